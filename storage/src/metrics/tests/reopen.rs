//! What a store finds again when its directory is opened anew.

use super::*;
use crate::metrics::appender::Pending;
use crate::metrics::shard::Applied;
use crate::metrics::side::Side;

#[test]
fn a_killed_store_has_everything_again() {
    let place = place();
    let store = place.open();
    let mut expected: BTreeMap<Labels, Samples> = BTreeMap::new();
    for t in 0..600 {
        let mut appender = store.appender();
        for n in 0..20 {
            let series = labels(&format!("job=j{},n={n}", n % 3));
            let value = match (t + n) % 97 {
                0 => stale_marker(),
                r => r as f64 / if n % 2 == 0 { 10.0 } else { 7.0 },
            };
            let found = appender.series(&series).unwrap();
            appender.append(found, t * 1000, value).unwrap();
            expected
                .entry(series)
                .or_default()
                .push((t * 1000, value.to_bits()));
        }
        appender.commit().unwrap();
    }
    assert_eq!(content(&store), expected);
    let order: Vec<Labels> = read(&store, &all(), TimeRange::ALL)
        .into_iter()
        .map(|(labels, _)| labels)
        .collect();
    assert!(matches!(
        MetricStore::open(&place.options),
        Err(StorageError::Locked { .. })
    ));
    drop(store);
    let (store, recovery) = MetricStore::open(&place.options).unwrap();
    assert_eq!(recovery.damages, []);
    assert_eq!((recovery.series, recovery.samples), (20, 12_000));
    assert_eq!(content(&store), expected);
    let again = read(&store, &all(), TimeRange::ALL)
        .into_iter()
        .map(|(labels, _)| labels);
    assert_eq!(again.collect::<Vec<_>>(), order);
    let stats = store.stats();
    assert_eq!(
        (stats.min_time_ms, stats.max_time_ms),
        (Some(0), Some(599_000))
    );
    // It goes on where it was.
    let mut appender = store.appender();
    let series = appender.series(&labels("job=j0,n=0")).unwrap();
    assert_eq!(
        appender.append(series, 598_000, 1.0),
        Err(AppendError::OutOfOrder)
    );
    appender.append(series, 600_000, 1.0).unwrap();
    assert_eq!(appender.commit().unwrap().series, 0);
}

#[test]
fn a_torn_tail_loses_its_transaction_only_and_is_reported() {
    let place = place();
    let store = place.open();
    for t in 0..50 {
        write(&store, &[("a=1", t, t as f64)]);
    }
    drop(store);
    let segment = place.segments().pop().unwrap();
    let len = fs::metadata(&segment).unwrap().len();
    fs::OpenOptions::new()
        .write(true)
        .open(&segment)
        .unwrap()
        .set_len(len - 3)
        .unwrap();
    let (store, recovery) = MetricStore::open(&place.options).unwrap();
    assert_eq!(recovery.damages.len(), 1);
    assert_eq!(recovery.damages[0].path, segment);
    assert_eq!(content(&store)[&labels("a=1")].len(), 49);
    write(&store, &[("a=1", 49, 1.0)]);
    drop(store);
    assert_eq!(content(&place.open())[&labels("a=1")].len(), 50);
}

#[test]
fn a_flipped_byte_is_named_and_nothing_false_is_served() {
    let place = place();
    let store = place.open();
    for t in 0..50 {
        write(&store, &[("a=1", t, t as f64), ("b=1", t, t as f64)]);
    }
    let before = content(&store);
    drop(store);
    let segment = place.segments().pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&segment, &bytes).unwrap();
    let (store, recovery) = MetricStore::open(&place.options).unwrap();
    assert_eq!(recovery.damages.len(), 1);
    assert_eq!(recovery.damages[0].path, segment);
    assert!(recovery.damages[0].offset <= middle as u64);
    assert_eq!(store.stats().wal.corruptions_total, 1);
    for (labels, samples) in content(&store) {
        assert_eq!(samples, before[&labels][..samples.len()]);
    }
}

#[test]
fn a_directory_of_another_version_is_refused() {
    let place = place();
    drop(place.open());
    fs::write(place.dir.path().join("VERSION"), "kymo-store 9\nshards 4\n").unwrap();
    let error = MetricStore::open(&place.options).unwrap_err();
    assert!(matches!(error, StorageError::Version { .. }), "{error}");
}

#[test]
fn the_number_of_shards_stays_that_of_the_directory() {
    let mut place = place();
    let store = place.open();
    for n in 0..50 {
        write(&store, &[(&format!("n={n}"), 1000, 1.0)]);
    }
    let before = content(&store);
    drop(store);
    place.options.shards = 16;
    assert_eq!(content(&place.open()), before);
}

#[test]
fn transactions_that_overtake_each_other_are_all_found_again() {
    let place = place();
    let store = place.open();
    write(&store, &[("n=a", 10, 1.0), ("n=b", 10, 1.0)]);
    // Two transactions: the log has the later times first, the shard the earlier ones.
    let mut appender = store.appender();
    let series = appender.series(&labels("n=a")).unwrap();
    drop(appender);
    let shard = store.layout.shard(series.id());
    let slot = store.layout.slot(series.id());
    let born = store.shards[shard].lock().touch(slot).unwrap();
    let pending = |times: &[i64]| -> Vec<Pending> {
        let pending = |&t_ms: &i64| Pending {
            slot,
            born,
            t_ms,
            value: t_ms as f64,
        };
        times.iter().map(pending).collect()
    };
    for times in [&[40, 35, 50][..], &[20, 30]] {
        let mut log = store.logs[shard].lock();
        let (pending, side) = (pending(times), Side::default());
        log.write(&store.index, store.layout, shard, &pending, &[], &side)
            .unwrap();
    }
    for t_ms in [20, 30, 40, 50] {
        let applied = store.shards[shard]
            .lock()
            .apply(slot, born, t_ms, t_ms as f64, 1);
        assert_eq!(applied, Applied::Stored);
    }
    let before = content(&store);
    assert_eq!(before[&labels("n=a")].len(), 5);
    drop(store);
    // Without the one that its own transaction dropped, and as often as it is read.
    for _ in 0..2 {
        let store = place.open();
        assert_eq!(content(&store), before);
    }
    let store = place.open();
    store.snapshot_head().unwrap();
    drop(store);
    assert_eq!(content(&place.open()), before);
}
