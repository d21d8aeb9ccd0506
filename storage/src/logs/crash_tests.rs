//! The store on a directory that fails on demand and knows what a crash leaves.

use std::ops::ControlFlow;

use super::flush::DAY_NS;
use super::*;
use crate::fs::crash::{CrashDir, Cut, Faults, Loss};
use crate::model::{Labels, LogEntry, NanoRange, StreamBatch};
use crate::{StorageError, SyncPolicy};

fn options(wal_sync: SyncPolicy) -> LogStoreOptions {
    let mut options = LogStoreOptions::new("/test");
    options.wal_sync = wal_sync;
    options.wal_segment_bytes = 1024;
    options
}

fn on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Nanoseconds between two entries: days end soon, and their parts are merged.
const STEP_NS: i64 = DAY_NS / 4;

/// Pushes entry number `n` of three streams.
fn write(store: &LogStore, n: i64) -> Result<Pushed, PushError> {
    let batches = ["a", "b", "c"].map(|app| StreamBatch {
        labels: Labels::from_pairs([("app", app)]),
        entries: vec![LogEntry {
            t_ns: n * STEP_NS,
            line: format!("{app} {n}").into_bytes().into(),
            metadata: Default::default(),
        }],
    });
    store.push(&batches)
}

/// Returns which entries are there, after a look that each has all three streams.
fn read(store: &LogStore) -> Vec<i64> {
    let selection = store.select(&[], NanoRange::ALL).unwrap();
    let mut found = Vec::new();
    for group in 0..selection.groups().len() {
        let read = selection.read(group, &mut |entry| {
            let app = selection.streams()[entry.stream as usize]
                .get("app")
                .unwrap();
            let n = entry.t_ns / STEP_NS;
            assert_eq!(entry.line, format!("{app} {n}").as_bytes());
            found.push(n);
        });
        read.unwrap();
    }
    found.sort_unstable();
    assert!(
        found.chunks(3).all(|three| three == [three[0]; 3]),
        "{found:?}"
    );
    found.into_iter().step_by(3).collect()
}

fn all(range: std::ops::RangeInclusive<i64>) -> Vec<i64> {
    range.collect()
}

#[test]
fn a_full_disk_refuses_pushes_until_there_is_space() {
    let dir = CrashDir::new("/test");
    let options = options(SyncPolicy::Never);
    let (store, _) = LogStore::open_in(&dir, &options).unwrap();
    for n in 1..=5 {
        write(&store, n).unwrap();
    }
    dir.set_faults(Faults {
        capacity_bytes: Some(dir.written_bytes() + 20),
        ..Faults::default()
    });
    let PushError::Storage(error) = write(&store, 6).unwrap_err();
    assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
    assert_eq!(read(&store), all(1..=5));
    // Neither can a flush be, which leaves everything where it is.
    let error = store.flush(&mut on).unwrap_err();
    assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
    assert_eq!(read(&store), all(1..=5));
    assert_eq!(store.poisoned(), None);
    dir.set_faults(Faults::default());
    write(&store, 6).unwrap();
    assert_eq!(read(&store), all(1..=6));
    assert_eq!(store.flush(&mut on).unwrap(), 15);
    assert_eq!(store.flush(&mut on).unwrap(), 3);
    write(&store, 7).unwrap();
    assert_eq!(read(&store), all(1..=7));
    drop(store);
    let (store, recovery) = LogStore::open_in(&dir, &options).unwrap();
    assert_eq!(recovery.damages, []);
    assert_eq!(read(&store), all(1..=7));
}

/// A flush, a merge and a deletion that run out of space at every place they can.
#[test]
fn a_full_disk_loses_nothing_wherever_it_is_met() {
    for room_bytes in (0..9000).step_by(149) {
        let dir = CrashDir::new("/test");
        let options = options(SyncPolicy::Never);
        let (store, _) = LogStore::open_in(&dir, &options).unwrap();
        for n in 1..=10 {
            write(&store, n).unwrap();
            store.flush(&mut on).unwrap();
        }
        write(&store, 11).unwrap();
        dir.set_faults(Faults {
            capacity_bytes: Some(dir.written_bytes() + room_bytes),
            ..Faults::default()
        });
        let _ = store.flush(&mut on);
        assert_eq!(read(&store), all(1..=11));
        let _ = store.maintain(0, &LogRetention::default(), &mut on);
        assert_eq!(read(&store), all(1..=11));
        let request = DeleteRequest {
            matchers: Vec::new(),
            range: NanoRange {
                start_ns: 2 * STEP_NS,
                end_ns: 4 * STEP_NS,
            },
            query: "{}".to_owned(),
            filter: None,
            created_ns: 0,
        };
        let left = match store.delete(request) {
            Ok(_) => [vec![1], all(4..=11)].concat(),
            Err(_) => all(1..=11),
        };
        assert_eq!(read(&store), left, "room for {room_bytes} bytes");
        dir.set_faults(Faults::default());
        assert_eq!(store.poisoned(), None);
        write(&store, 12).unwrap();
        let mut left = left;
        left.push(12);
        store.flush(&mut on).unwrap();
        store
            .maintain(0, &LogRetention::default(), &mut on)
            .unwrap();
        assert_eq!(read(&store), left, "room for {room_bytes} bytes");
        drop(store);
        let (store, recovery) = LogStore::open_in(&dir, &options).unwrap();
        assert_eq!(recovery.damages, []);
        assert_eq!(read(&store), left, "room for {room_bytes} bytes");
    }
}

#[test]
fn a_failing_disk_stops_writes_and_leaves_reads() {
    let broken = Faults {
        short_write: Some(7),
        truncates: true,
        ..Faults::default()
    };
    let no_sync = Faults {
        syncs: true,
        ..Faults::default()
    };
    for faults in [broken, no_sync] {
        let dir = CrashDir::new("/test");
        let options = options(SyncPolicy::Always);
        let (store, _) = LogStore::open_in(&dir, &options).unwrap();
        write(&store, 1).unwrap();
        dir.set_faults(faults);
        write(&store, 2).unwrap_err();
        dir.set_faults(Faults::default());
        let PushError::Storage(error) = write(&store, 3).unwrap_err();
        assert!(matches!(error, StorageError::Poisoned { .. }), "{error}");
        assert!(store.stats().poisoned.is_some());
        assert!(read(&store).contains(&1));
        drop(store);
        let (store, _) = LogStore::open_in(&dir, &options).unwrap();
        assert!(read(&store).contains(&1));
        write(&store, 4).unwrap();
        assert!(read(&store).contains(&4));
    }
}

/// Crashes at every change and in the middle of every write: what was acknowledged is
/// there as a whole and once, and nothing that was never written.
#[test]
fn acknowledged_pushes_survive_a_crash_anywhere() {
    for (sync, losses) in [
        (SyncPolicy::Never, vec![Loss::Process]),
        (SyncPolicy::Always, vec![Loss::Everything, Loss::Chance(7)]),
    ] {
        let dir = CrashDir::new("/test");
        let options = options(sync);
        let (store, _) = LogStore::open_in(&dir, &options).unwrap();
        let begun = dir.ops();
        let mut acknowledged = Vec::new();
        for n in 1..=30 {
            write(&store, n).unwrap();
            acknowledged.push((dir.ops(), n));
            if n % 2 == 0 {
                store.flush(&mut on).unwrap();
            }
            if n % 10 == 0 {
                store
                    .maintain(0, &LogRetention::default(), &mut on)
                    .unwrap();
            }
        }
        assert!(store.stats().merges_total > 0);
        drop(store);
        for ops in begun..dir.ops() {
            for &loss in &losses {
                let partial_bytes = dir.write_len(ops) / 2;
                let image = dir.image(Cut { ops, partial_bytes }, loss);
                let (store, _) = LogStore::open_in(&image, &options).unwrap();
                let found = read(&store);
                let n_done = acknowledged.partition_point(|(done, _)| *done <= ops);
                let wanted = all(1..=n_done as i64);
                // What was being pushed may be there, too.
                let with_next = all(1..=n_done as i64 + 1);
                assert!(
                    found == wanted || found == with_next,
                    "cut {ops}, {loss:?}: {found:?}"
                );
                write(&store, 50).unwrap();
                store.flush(&mut on).unwrap();
                assert_eq!(read(&store).last(), Some(&50));
                assert_eq!(read(&store).len(), found.len() + 1);
            }
        }
    }
}
