//! The store on a directory in memory.

mod parts;

use super::*;
use crate::StorageError;
use crate::fs::memory::MemoryDir;
use crate::model::{Labels, LogEntry, MatchOp, Matcher, NanoRange, StreamBatch};

fn options() -> LogStoreOptions {
    LogStoreOptions::new("/test")
}

fn open(dir: &MemoryDir) -> LogStore {
    let (store, recovery) = LogStore::open_in(dir, &options()).unwrap();
    assert_eq!(recovery.damages, []);
    store
}

fn stream(app: &str) -> Labels {
    Labels::from_pairs([("app", app), ("env", "prod")])
}

fn batch<'a>(labels: &Labels, entries: &[(i64, &'a str)]) -> StreamBatch<'a> {
    let entry = |&(t_ns, line): &(i64, &'a str)| LogEntry {
        t_ns,
        line: line.as_bytes().into(),
        metadata: Default::default(),
    };
    StreamBatch {
        labels: labels.clone(),
        entries: entries.iter().map(entry).collect(),
    }
}

fn read(store: &LogStore, matchers: &[Matcher], range: NanoRange) -> Vec<(String, i64, String)> {
    let selection = store.select(matchers, range).unwrap();
    let mut found = Vec::new();
    for group in 0..selection.groups().len() {
        let read = selection.read(group, &mut |entry| {
            let labels = &selection.streams()[entry.stream as usize];
            let mut line = String::from_utf8_lossy(entry.line).into_owned();
            for (name, value) in entry.metadata {
                line.push_str(&format!(" {name}={value}"));
            }
            found.push((labels.get("app").unwrap().to_owned(), entry.t_ns, line));
        });
        read.unwrap();
    }
    // Stable: entries of one time stay as they were read.
    found.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    found
}

fn all(store: &LogStore) -> Vec<(String, i64, String)> {
    read(store, &[], NanoRange::ALL)
}

fn rows(given: &[(&str, i64, &str)]) -> Vec<(String, i64, String)> {
    let row = |&(app, t, line): &(&str, i64, &str)| (app.to_owned(), t, line.to_owned());
    given.iter().map(row).collect()
}

#[test]
fn what_was_pushed_is_selected_by_stream_and_time() {
    let store = open(&MemoryDir::new("/test"));
    let (a, b) = (stream("a"), stream("b"));
    let pushed = store
        .push(&[batch(&a, &[(30, "z"), (10, "x")]), batch(&b, &[(20, "y")])])
        .unwrap();
    assert_eq!((pushed.entries, pushed.bytes), (3, 3));
    assert_eq!(
        all(&store),
        rows(&[("a", 10, "x"), ("a", 30, "z"), ("b", 20, "y")])
    );
    let matcher = [Matcher::new(MatchOp::Equal, "app", "a").unwrap()];
    let range = NanoRange {
        start_ns: 10,
        end_ns: 30,
    };
    assert_eq!(read(&store, &matcher, range), rows(&[("a", 10, "x")]));
    assert_eq!(store.streams(&[], range).unwrap(), [a.clone(), b.clone()]);
    assert_eq!(store.label_names(&[], range).unwrap(), ["app", "env"]);
    let late = NanoRange {
        start_ns: 25,
        end_ns: 40,
    };
    assert_eq!(store.label_values("app", &[], late).unwrap(), ["a"]);
    let volumes = store.volumes(&[], late).unwrap();
    assert_eq!(
        (volumes.len(), volumes[0].entries, volumes[0].bytes),
        (1, 1, 1)
    );
}

#[test]
fn equal_entries_count_once_and_others_keep_their_order() {
    let store = open(&MemoryDir::new("/test"));
    let a = stream("a");
    let first = store.push(&[batch(&a, &[(1, "a"), (1, "b"), (1, "a")])]);
    assert_eq!(first.unwrap().duplicates, 1);
    let again = store.push(&[batch(&a, &[(1, "b"), (1, "c"), (0, "a")])]);
    let again = again.unwrap();
    assert_eq!((again.entries, again.duplicates), (2, 1));
    assert_eq!(
        all(&store),
        rows(&[("a", 0, "a"), ("a", 1, "a"), ("a", 1, "b"), ("a", 1, "c")])
    );
    // Only metadata differs.
    let mut with = batch(&a, &[(1, "a")]);
    with.entries[0].metadata.push(("k".into(), "v".into()));
    assert_eq!(store.push(&[with.clone()]).unwrap().entries, 1);
    assert_eq!(store.push(&[with]).unwrap().duplicates, 1);
    assert_eq!(all(&store)[4].2, "a k=v");
}

#[test]
fn a_push_that_is_all_there_writes_nothing() {
    let store = open(&MemoryDir::new("/test"));
    let batches = [batch(&stream("a"), &[(1, "a"), (2, "b")])];
    store.push(&batches).unwrap();
    let written = store.stats().wal_written_bytes_total;
    assert_eq!(store.push(&batches).unwrap().duplicates, 2);
    assert_eq!(store.stats().wal_written_bytes_total, written);
}

#[test]
fn a_restart_finds_everything() {
    let dir = MemoryDir::new("/test");
    let store = open(&dir);
    let lines: Vec<String> = (0..2000)
        .map(|n| format!("line {n} {}", "x".repeat(900)))
        .collect();
    for (n, line) in lines.iter().enumerate() {
        let app = ["a", "b", "c"][n % 3];
        store
            .push(&[batch(&stream(app), &[(n as i64, line)])])
            .unwrap();
    }
    let before = all(&store);
    assert_eq!(before.len(), 2000);
    store.close().unwrap();
    let store = open(&dir);
    assert_eq!(all(&store), before);
    store.push(&[batch(&stream("d"), &[(5, "new")])]).unwrap();
    drop(store);
    let store = open(&dir);
    assert_eq!(all(&store).len(), 2001);
    assert_eq!(store.stats().streams, 4);
}

#[test]
fn a_selection_does_not_change_under_its_reader() {
    let store = open(&MemoryDir::new("/test"));
    store.push(&[batch(&stream("a"), &[(1, "one")])]).unwrap();
    let selection = store.select(&[], NanoRange::ALL).unwrap();
    store.push(&[batch(&stream("a"), &[(2, "two")])]).unwrap();
    let mut n = 0;
    selection.read(0, &mut |_| n += 1).unwrap();
    assert_eq!((n, all(&store).len()), (1, 2));
}

#[test]
fn entries_too_far_behind_and_streams_over_the_limit_are_told() {
    let mut options = options();
    options.behind_limit_ns = 100;
    options.max_streams = 1;
    let (store, _) = LogStore::open_in(&MemoryDir::new("/test"), &options).unwrap();
    let a = stream("a");
    let pushed = store
        .push(&[
            batch(&a, &[(500, "new"), (399, "old"), (400, "edge")]),
            batch(&stream("b"), &[(1, "no")]),
        ])
        .unwrap();
    let rejected = [
        Rejected {
            batch: 0,
            entry: 1,
            reason: Rejection::TooFarBehind { oldest_ns: 400 },
        },
        Rejected {
            batch: 1,
            entry: 0,
            reason: Rejection::StreamLimit { limit: 1 },
        },
    ];
    assert_eq!(pushed.rejected, rejected);
    assert_eq!(all(&store), rows(&[("a", 400, "edge"), ("a", 500, "new")]));
}

#[test]
fn a_line_that_no_frame_holds_is_refused_alone() {
    let store = open(&MemoryDir::new("/test"));
    let long = "x".repeat(16 << 20);
    let pushed = store.push(&[batch(&stream("a"), &[(1, "a"), (2, &long), (3, "b")])]);
    let pushed = pushed.unwrap();
    assert_eq!((pushed.entries, pushed.rejected.len()), (2, 1));
    assert!(matches!(
        pushed.rejected[0].reason,
        Rejection::TooLong { .. }
    ));
    assert_eq!(all(&store), rows(&[("a", 1, "a"), ("a", 3, "b")]));
}

#[test]
fn groups_of_overlapping_times_keep_the_order_of_arrival() {
    let store = open(&MemoryDir::new("/test"));
    let a = stream("a");
    let long = "x".repeat(300 << 10);
    // Each push fills a third of a block; the late ones overlap those before.
    for n in 0..12 {
        let early = format!("early {n}");
        let time = 100 * n + 1;
        let entries = [(time, long.as_str()), (5, early.as_str()), (time, "same")];
        store.push(&[batch(&a, &entries)]).unwrap();
    }
    let selection = store.select(&[], NanoRange::ALL).unwrap();
    assert!(selection.groups().len() > 2);
    assert!(selection.groups().is_sorted_by_key(|group| group.first_ns));
    let early: Vec<String> = all(&store)
        .into_iter()
        .filter(|row| row.1 == 5)
        .map(|row| row.2)
        .collect();
    let wanted: Vec<String> = (0..12).map(|n| format!("early {n}")).collect();
    assert_eq!(early, wanted);
}

#[test]
fn a_second_store_is_refused_and_a_newer_version_too() {
    let dir = MemoryDir::new("/test");
    let store = open(&dir);
    let error = LogStore::open_in(&dir, &options()).unwrap_err();
    assert!(matches!(error, StorageError::Locked { .. }), "{error}");
    drop(store);
    dir.child("logs").put("VERSION", b"kymo-logs 2\n".to_vec());
    let error = LogStore::open_in(&dir, &options()).unwrap_err();
    assert!(matches!(error, StorageError::Version { .. }), "{error}");
}
