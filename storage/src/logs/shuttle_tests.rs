//! Threads that push, read, delete and maintain one store, under schedules that shuttle
//! picks: by chance, and by chance with few changes of thread (PCT).
//!
//! `KYMO_SHUTTLE_SCHEDULES` sets how many of each a test tries. A failure prints its
//! schedule and its seed; `SHUTTLE_RANDOM_SEED` tries that one again.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

use super::*;
use crate::SyncPolicy;
use crate::fs::memory::MemoryDir;
use crate::model::{Labels, LogEntry, NanoRange, StreamBatch};
use crate::sync::thread;

/// Schedules of each kind in an ordinary run.
const SCHEDULES: usize = 40;
/// Changes of thread that PCT makes beyond the needed ones.
const PCT_DEPTH: usize = 3;
/// The store has large frames in a debug build.
const STACK_BYTES: usize = 1 << 21;

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("KYMO_SHUTTLE_SCHEDULES");
    let schedules = schedules.map_or(SCHEDULES, |n| n.parse().expect("KYMO_SHUTTLE_SCHEDULES"));
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    let scenario = Arc::new(scenario);
    let again = Arc::clone(&scenario);
    Runner::new(RandomScheduler::new(schedules), config.clone()).run(move || again());
    Runner::new(PctScheduler::new(PCT_DEPTH, schedules), config).run(move || scenario());
}

fn on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn open(dir: &MemoryDir) -> LogStore {
    let mut options = LogStoreOptions::new("/store");
    options.wal_sync = SyncPolicy::Never;
    options.wal_segment_bytes = 256;
    LogStore::open_in(dir, &options).unwrap().0
}

/// Pushes an entry of time `n` to each of two streams.
fn push(store: &LogStore, n: i64) {
    let batches = ["a", "b"].map(|app| StreamBatch {
        labels: Labels::from_pairs([("app", app)]),
        entries: vec![LogEntry {
            t_ns: n,
            line: format!("line {n}").into_bytes().into(),
            metadata: Default::default(),
        }],
    });
    store.push(&batches).unwrap();
}

/// Returns the times that are there, after a look that both streams have each once.
fn read(store: &LogStore) -> Vec<i64> {
    let selection = store.select(&[], NanoRange::ALL).unwrap();
    let mut found: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for group in 0..selection.groups().len() {
        let read = selection.read(group, &mut |entry| {
            found.entry(entry.t_ns).or_default().push(entry.stream);
        });
        read.unwrap();
    }
    for (t_ns, streams) in &mut found {
        streams.sort_unstable();
        assert_eq!(streams, &[0, 1], "entries of time {t_ns}");
    }
    found.into_keys().collect()
}

#[test]
fn pushes_are_seen_whole_and_once_while_parts_take_over() {
    explore(|| {
        let dir = MemoryDir::new("/store");
        let store = open(&dir);
        for n in 0..3 {
            push(&store, n);
            store.flush(&mut on).unwrap();
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                push(&store, 3);
                push(&store, 4);
            });
            scope.spawn(|| {
                store.flush(&mut on).unwrap();
                store
                    .maintain(0, &LogRetention::default(), &mut on)
                    .unwrap();
            });
            let mut before = read(&store);
            for _ in 0..3 {
                let now = read(&store);
                assert!(before.iter().all(|t_ns| now.contains(t_ns)));
                before = now;
            }
        });
        assert_eq!(read(&store), [0, 1, 2, 3, 4]);
        drop(store);
        assert_eq!(read(&open(&dir)), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn a_deletion_hides_what_was_there_whatever_is_flushed_meanwhile() {
    explore(|| {
        let dir = MemoryDir::new("/store");
        let store = open(&dir);
        push(&store, 0);
        push(&store, 1);
        thread::scope(|scope| {
            scope.spawn(|| {
                let request = DeleteRequest {
                    matchers: Vec::new(),
                    range: NanoRange {
                        start_ns: 0,
                        end_ns: 3,
                    },
                    query: "{}".to_owned(),
                    filter: None,
                    created_ns: 0,
                };
                store.delete(request).unwrap();
                assert!(!read(&store).contains(&0));
                // Comes after it.
                push(&store, 2);
            });
            scope.spawn(|| {
                store.flush(&mut on).unwrap();
                store
                    .maintain(0, &LogRetention::default(), &mut on)
                    .unwrap();
            });
            push(&store, 3);
            read(&store);
        });
        assert_eq!(read(&store), [2, 3]);
        store.flush(&mut on).unwrap();
        store
            .maintain(0, &LogRetention::default(), &mut on)
            .unwrap();
        assert_eq!(read(&store), [2, 3]);
        drop(store);
        assert_eq!(read(&open(&dir)), [2, 3]);
    });
}

#[test]
fn streams_go_and_come_back_under_readers() {
    explore(|| {
        let store = open(&MemoryDir::new("/store"));
        push(&store, 0);
        store.flush(&mut on).unwrap();
        let retention = LogRetention {
            time_ns: Some(1),
            ..LogRetention::default()
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                store.maintain(100, &retention, &mut on).unwrap();
            });
            scope.spawn(|| push(&store, 99));
            read(&store);
            read(&store);
        });
        assert_eq!(read(&store), [99]);
        assert_eq!(store.stats().streams, 2);
    });
}
