//! The store on a directory that fails on demand and knows what a crash leaves.

use std::collections::BTreeMap;

use super::*;
use crate::fs::crash::{CrashDir, Cut, Faults, Loss};
use crate::model::{Labels, TimeRange};
use crate::{StorageError, StoreOptions, SyncPolicy};

const N_SERIES: i64 = 24;

fn options(wal_sync: SyncPolicy) -> StoreOptions {
    let mut options = StoreOptions::new("/test");
    options.shards = 4;
    options.wal_sync = wal_sync;
    options.wal_segment_bytes = 2048;
    options
}

/// One sample of every series at `t_ms`.
fn write(store: &MetricStore, t_ms: i64) -> Result<Committed, StorageError> {
    let mut appender = store.appender();
    for n in 0..N_SERIES {
        let labels = Labels::from_pairs([("n", n.to_string()), ("job", "x".to_owned())]);
        let series = appender.series(&labels).unwrap();
        appender
            .append(series, t_ms, (n * 1000 + t_ms) as f64)
            .unwrap();
    }
    appender.commit()
}

/// Checks that every value is the one that was written, and returns how many samples
/// each time has.
fn read(store: &MetricStore) -> BTreeMap<i64, i64> {
    let selection = store.select(&[], TimeRange::ALL).unwrap();
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    let mut counts = BTreeMap::new();
    for index in 0..selection.len() {
        selection.read(index, &mut timestamps, &mut values).unwrap();
        let n: i64 = selection.labels(index).get("n").unwrap().parse().unwrap();
        for (&t_ms, &value) in timestamps.iter().zip(&values) {
            assert_eq!(value, (n * 1000 + t_ms) as f64);
            *counts.entry(t_ms).or_default() += 1;
        }
    }
    counts
}

fn whole(times: impl Iterator<Item = i64>) -> BTreeMap<i64, i64> {
    times.map(|t_ms| (t_ms, N_SERIES)).collect()
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_space() {
    let dir = CrashDir::new("/test");
    let options = options(SyncPolicy::Never);
    let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
    for t_ms in 1..=5 {
        write(&store, t_ms).unwrap();
    }
    // Room for the part of one shard, not for those of all.
    let capacity_bytes = Some(dir.written_bytes() + 60);
    dir.set_faults(Faults {
        capacity_bytes,
        ..Faults::default()
    });
    let error = write(&store, 6).unwrap_err();
    assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
    assert_eq!(read(&store), whole(1..=5));
    assert_eq!(store.stats().poisoned, None);
    // What was refused is on no log, so that something else can be said instead.
    let cut = Cut {
        ops: dir.ops(),
        partial_bytes: 0,
    };
    let (again, _) = MetricStore::open_in(&dir.image(cut, Loss::Process), &options).unwrap();
    assert_eq!(read(&again), whole(1..=5));
    dir.set_faults(Faults::default());
    for t_ms in 6..=9 {
        write(&store, t_ms).unwrap();
    }
    assert_eq!(read(&store), whole(1..=9));
    drop(store);
    let (store, recovery) = MetricStore::open_in(&dir, &options).unwrap();
    assert_eq!(recovery.damages, []);
    assert_eq!(read(&store), whole(1..=9));
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
        let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
        write(&store, 1).unwrap();
        dir.set_faults(faults);
        write(&store, 2).unwrap_err();
        dir.set_faults(Faults::default());
        let error = write(&store, 3).unwrap_err();
        assert!(matches!(error, StorageError::Poisoned { .. }), "{error}");
        assert!(store.stats().poisoned.is_some());
        assert_eq!(read(&store), whole(1..=1));
        drop(store);
        let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
        assert_eq!(read(&store)[&1], N_SERIES);
        write(&store, 4).unwrap();
        assert_eq!(read(&store)[&4], N_SERIES);
    }
}

/// A commit that finds samples late only when it applies them writes to the log twice.
/// When the disk is full in between, those samples are dropped and no others.
#[test]
fn a_full_disk_drops_what_turned_late() {
    let mut n_dropped = 0;
    for room_bytes in 0..300 {
        let dir = CrashDir::new("/test");
        let mut options = options(SyncPolicy::Never);
        options.shards = 1;
        options.out_of_order_window_ms = 1000;
        let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
        write(&store, 1).unwrap();
        dir.set_faults(Faults {
            capacity_bytes: Some(dir.written_bytes() + room_bytes),
            ..Faults::default()
        });
        let mut appender = store.appender();
        let labels = Labels::from_pairs([("n", "3"), ("job", "x")]);
        let series = appender.series(&labels).unwrap();
        for t_ms in [100, 50] {
            let value = (3000 + t_ms) as f64;
            appender.append(series, t_ms, value).unwrap();
        }
        let mut expected = whole(1..=1);
        if let Ok(done) = appender.commit() {
            assert_eq!(done.samples + done.dropped, 2);
            n_dropped += done.dropped;
            expected.insert(100, 1);
            if done.dropped == 0 {
                expected.insert(50, 1);
            }
        }
        assert_eq!(read(&store), expected);
        drop(store);
        let (store, recovery) = MetricStore::open_in(&dir, &options).unwrap();
        assert_eq!(recovery.damages, []);
        assert_eq!(read(&store), expected);
    }
    assert!(n_dropped > 0, "the second write failed once");
}

#[test]
fn a_full_disk_deletes_nothing() {
    let dir = CrashDir::new("/test");
    let options = options(SyncPolicy::Never);
    let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
    for t_ms in 1..=5 {
        write(&store, t_ms).unwrap();
    }
    // Room for the part of one shard, not for those of all.
    let capacity_bytes = Some(dir.written_bytes() + 40);
    dir.set_faults(Faults {
        capacity_bytes,
        ..Faults::default()
    });
    let sets = [Vec::new()];
    let range = TimeRange::new(2, 4);
    let error = store.delete_in_head(&sets, range).unwrap_err();
    assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
    assert_eq!(read(&store), whole(1..=5));
    let cut = Cut {
        ops: dir.ops(),
        partial_bytes: 0,
    };
    let (again, _) = MetricStore::open_in(&dir.image(cut, Loss::Process), &options).unwrap();
    assert_eq!(read(&again), whole(1..=5));
    dir.set_faults(Faults::default());
    let n_series = store.delete_in_head(&sets, range).unwrap();
    assert_eq!(n_series, N_SERIES as u64);
    assert_eq!(read(&store), whole([1, 5].into_iter()));
}

/// As below, with samples that come late, some of them settled only at commit, and
/// with deletions.
#[test]
fn late_samples_and_deletions_survive_a_crash_anywhere() {
    for (sync, losses) in [
        (SyncPolicy::Never, vec![Loss::Process]),
        (SyncPolicy::Always, vec![Loss::Everything, Loss::Chance(3)]),
    ] {
        let dir = CrashDir::new("/test");
        let mut options = options(sync);
        options.out_of_order_window_ms = 1000;
        let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
        let begun = dir.ops();
        let (mut acknowledged, mut deleted) = (Vec::new(), Vec::new());
        for round in 1..=20 {
            let mut appender = store.appender();
            // The second one is in order until the first is committed.
            let times = [round * 10, round * 10 - 2, round * 10 - 15];
            for n in 0..N_SERIES {
                let labels = Labels::from_pairs([("n", n.to_string()), ("job", "x".to_owned())]);
                let series = appender.series(&labels).unwrap();
                for t_ms in times {
                    let value = (n * 1000 + t_ms) as f64;
                    appender.append(series, t_ms, value).unwrap();
                }
            }
            let done = appender.commit().unwrap();
            assert_eq!(done.samples, 3 * N_SERIES as u64);
            acknowledged.extend(times.map(|t_ms| (dir.ops(), t_ms)));
            if round % 5 == 0 {
                let range = TimeRange::new(round * 10 - 30, round * 10 - 20);
                let n_series = store.delete_in_head(&[Vec::new()], range).unwrap();
                assert_eq!(n_series, N_SERIES as u64);
                deleted.push((dir.ops(), range));
            }
        }
        drop(store);
        for ops in begun..dir.ops() {
            for &loss in &losses {
                let partial_bytes = dir.write_len(ops) / 2;
                let image = dir.image(Cut { ops, partial_bytes }, loss);
                let (store, _) = MetricStore::open_in(&image, &options).unwrap();
                let found = read(&store);
                for &(done, t_ms) in acknowledged.iter().filter(|(done, _)| *done <= ops) {
                    let gone =
                        |&(by, range): &(usize, TimeRange)| by <= ops && range.contains(t_ms);
                    if deleted.iter().any(gone) {
                        assert_eq!(found.get(&t_ms), None, "cut {ops}, {loss:?}");
                    } else if deleted
                        .iter()
                        .all(|(by, at)| *by <= ops || !at.contains(t_ms))
                    {
                        let n = found.get(&t_ms);
                        assert_eq!(n, Some(&N_SERIES), "{t_ms} of {done}, cut {ops}, {loss:?}");
                    }
                }
            }
        }
    }
}

/// Crashes at every change and in the middle of every write: what was acknowledged is
/// there as a whole, and nothing that was never written.
#[test]
fn acknowledged_transactions_survive_a_crash_anywhere() {
    for (sync, losses) in [
        (SyncPolicy::Never, vec![Loss::Process]),
        (SyncPolicy::Always, vec![Loss::Everything, Loss::Chance(7)]),
    ] {
        let dir = CrashDir::new("/test");
        let options = options(sync);
        let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
        let begun = dir.ops();
        let mut acknowledged = Vec::new();
        for t_ms in 1..=40 {
            write(&store, t_ms).unwrap();
            acknowledged.push((dir.ops(), t_ms));
        }
        drop(store);
        for ops in begun..dir.ops() {
            for &loss in &losses {
                let partial_bytes = dir.write_len(ops) / 2;
                let image = dir.image(Cut { ops, partial_bytes }, loss);
                let (store, _) = MetricStore::open_in(&image, &options).unwrap();
                let found = read(&store);
                for &(done, t_ms) in &acknowledged {
                    if done <= ops {
                        assert_eq!(found.get(&t_ms), Some(&N_SERIES), "cut {ops}, {loss:?}");
                    }
                }
                write(&store, 50).unwrap();
                assert_eq!(read(&store)[&50], N_SERIES);
            }
        }
    }
}
