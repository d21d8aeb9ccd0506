//! Old samples and series go, and what takes their place is not mixed with them.

use super::*;

#[test]
fn retention_removes_samples_series_and_segments() {
    let mut place = place();
    place.options.wal_segment_bytes = 512;
    let store = place.open();
    for t in 0..200 {
        let t_ms = t * 60_000;
        let mut appender = store.appender();
        for n in 0..10 {
            let name = if t < 100 {
                format!("old=1,n={n}")
            } else {
                format!("new=1,n={n}")
            };
            let series = appender.series(&labels(&name)).unwrap();
            appender.alias(store.raw_key(name.as_bytes()), series);
            appender.append(series, t_ms, t as f64).unwrap();
        }
        appender.commit().unwrap();
    }
    let before = store.stats();
    assert_eq!(before.series, 20);
    let cut = 150 * 60_000;
    store.truncate_before(cut).unwrap();
    assert!(store.snapshot_is_due());
    // The log goes when two snapshots have what was in it.
    store.snapshot_head().unwrap();
    assert!(store.stats().wal.bytes >= before.wal.bytes);
    assert!(store.snapshot_is_due());
    store.snapshot_head().unwrap();
    assert!(!store.snapshot_is_due());
    let stats = store.stats();
    assert_eq!((stats.series, stats.series_removed_total), (10, 10));
    assert!(
        stats.wal.bytes < before.wal.bytes,
        "{:?} {:?}",
        stats.wal,
        before.wal
    );
    let mut appender = store.appender();
    assert_eq!(appender.raw_series(store.raw_key(b"old=1,n=1")), None);
    let series = appender.raw_series(store.raw_key(b"new=1,n=1")).unwrap();
    assert_eq!(
        appender.append(series, cut - 1, 1.0),
        Err(AppendError::OutOfBounds)
    );
    appender.rollback();
    assert_eq!(
        store.label_names(&[], TimeRange::ALL, 0).unwrap(),
        ["n", "new"]
    );
    assert_eq!(content(&store).len(), 10);
    drop(store);
    let store = place.open();
    assert_eq!(content(&store).len(), 10);
    assert_eq!(
        content(&store)[&labels("new=1,n=3")].last(),
        Some(&(199 * 60_000, 199f64.to_bits()))
    );
}

/// Ids of removed series are given again, and neither a live reader nor a restart may
/// then mix the samples of two series.
#[test]
fn ids_given_again_do_not_mix_series() {
    let mut place = place();
    place.options.shards = 1;
    place.options.wal_segment_bytes = 300;
    let mut store = place.open();
    for round in 0..30i64 {
        let base = round * 2 * HOUR;
        for t in 0..20 {
            let mut appender = store.appender();
            for n in 0..5 {
                let series = appender
                    .series(&labels(&format!("round={round},n={n}")))
                    .unwrap();
                appender
                    .append(series, base + t * 60_000, (round * 100 + n) as f64)
                    .unwrap();
            }
            appender.commit().unwrap();
        }
        store.truncate_before(base - 3 * HOUR).unwrap();
        if round % 3 > 0 {
            store.snapshot_head().unwrap();
        }
        if round % 4 == 3 {
            drop(store);
            store = place.open();
        }
        for (labels, samples) in content(&store) {
            let number = |name| labels.get(name).unwrap().parse::<i64>().unwrap();
            let value = (number("round") * 100 + number("n")) as f64;
            assert!(samples.iter().all(
                |&(t_ms, bits)| bits == value.to_bits() && t_ms / (2 * HOUR) == number("round")
            ));
        }
    }
    // Five series for each of the rounds that are kept, and a few ids on hold.
    let stats = store.stats();
    assert!(stats.series <= 20, "{}", stats.series);
    let shard = store.shards[0].lock();
    assert!(shard.end_slot() < 120, "{}", shard.end_slot());
}

#[test]
fn a_series_in_use_is_not_removed() {
    let place = place();
    let store = place.open();
    let mut early = store.appender();
    let series = early.series(&labels("a=1")).unwrap();
    write(&store, &[("b=1", 10 * HOUR, 1.0)]);
    store.truncate_before(9 * HOUR).unwrap();
    early.append(series, 10 * HOUR, 1.0).unwrap();
    store.truncate_before(9 * HOUR).unwrap();
    early.commit().unwrap();
    store.truncate_before(9 * HOUR).unwrap();
    assert_eq!(content(&store).len(), 2);
    // Without a sample and without a user it goes.
    let mut idle = store.appender();
    let gone = idle.series(&labels("c=1")).unwrap();
    idle.rollback();
    store.truncate_before(9 * HOUR).unwrap();
    assert_eq!(store.stats().series, 2);
    let mut appender = store.appender();
    assert_eq!(
        appender.append(gone, 11 * HOUR, 1.0),
        Err(AppendError::UnknownSeries)
    );
}

#[test]
fn a_series_stays_for_every_transaction_that_found_it() {
    let place = place();
    let store = place.open();
    write(&store, &[("n=old", 0, 1.0), ("n=new", 10_000, 1.0)]);
    let first = store.appender();
    // Marks the series, and has to wait for the first transaction.
    store.truncate_before(5000).unwrap();
    let mut second = store.appender();
    let series = second.series(&labels("n=old")).unwrap();
    second.append(series, 10_000, 2.0).unwrap();
    // Marks it once more, and now has to wait for the second one, too.
    store.truncate_before(5000).unwrap();
    drop(first);
    store.truncate_before(5000).unwrap();
    let done = second.commit().unwrap();
    assert_eq!((done.samples, done.dropped), (1, 0));
    assert_eq!(content(&store)[&labels("n=old")].len(), 1);
    assert_eq!(store.stats().series_removed_total, 0);
}
