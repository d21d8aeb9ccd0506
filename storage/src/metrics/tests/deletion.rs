use std::ops::ControlFlow;

use super::*;
use crate::fs::memory::MemoryDir;

/// One sample a second for 2000 seconds, so that there are sealed chunks.
fn filled(place: &Place) -> MetricStore {
    let store = place.open();
    for t in 0..2000 {
        let t_ms = t * 1000;
        write(
            &store,
            &[("n=a", t_ms, t as f64 * 0.37), ("n=b", t_ms, 1.0)],
        );
    }
    store
}

fn times(store: &MetricStore, series: &str, range: TimeRange) -> Option<Vec<i64>> {
    let found = read(store, &all(), range).into_iter();
    let mut found = found.filter(|(found, _)| *found == labels(series));
    let (_, samples) = found.next()?;
    Some(samples.iter().map(|s| s.0).collect())
}

#[test]
fn deleted_times_are_hidden_at_once_and_after_a_restart() {
    let place = place();
    let store = filled(&place);
    let a = [vec![equal("n", "a")]];
    let range = TimeRange::new(100_500, 1_899_999);
    assert_eq!(store.delete_in_head(&a, range).unwrap(), 1);
    let mut store = Some(store);
    for _ in 0..2 {
        let open = store.take().unwrap_or_else(|| place.open());
        let left: Vec<i64> = (0..=100).chain(1900..2000).map(|t| t * 1000).collect();
        assert_eq!(times(&open, "n=a", TimeRange::ALL), Some(left));
        assert_eq!(times(&open, "n=b", TimeRange::ALL).unwrap().len(), 2000);
        // Chunks that are deleted as a whole are not there.
        let sealed = TimeRange::new(700_000, 800_000);
        assert_eq!(times(&open, "n=a", sealed), None);
        let newest = TimeRange::new(1_000_000, 1_900_500);
        let selection = open.select_newest(&a[0], newest).unwrap();
        assert_eq!(read_selection(&selection)[0].1.last().unwrap().0, 1_900_000);
        assert_eq!(open.stats().tombstones, 1);
    }
}

#[test]
fn later_samples_are_not_deleted() {
    let mut place = place();
    place.options.out_of_order_window_ms = HOUR;
    let store = filled(&place);
    let sets = [vec![equal("n", "a")], vec![equal("n", "b")], all()];
    assert_eq!(store.delete_in_head(&sets, TimeRange::ALL).unwrap(), 2);
    assert_eq!(store.delete_in_head(&[], TimeRange::ALL).unwrap(), 0);
    let future = TimeRange::new(2_000_000, i64::MAX);
    assert_eq!(store.delete_in_head(&[all()], future).unwrap(), 0);
    // The open chunk keeps the series in the list, as in Prometheus.
    assert_eq!(times(&store, "n=a", TimeRange::ALL), Some(vec![]));
    assert_eq!(store.series(&[all()], TimeRange::ALL, 0).unwrap().len(), 2);
    write(
        &store,
        &[
            ("n=a", 2_000_000, 1.0),
            ("n=a", 1_000_500, 2.0),
            ("n=a", -500, 3.0),
        ],
    );
    let expected = Some(vec![-500, 2_000_000]);
    assert_eq!(times(&store, "n=a", TimeRange::ALL), expected);
    drop(store);
    let store = place.open();
    assert_eq!(times(&store, "n=a", TimeRange::ALL), expected);
    // Late samples are deleted like others, and their times are taken again.
    assert_eq!(
        store
            .delete_in_head(&[all()], TimeRange::new(-600, -400))
            .unwrap(),
        1
    );
    assert_eq!(times(&store, "n=a", TimeRange::ALL), Some(vec![2_000_000]));
    assert_eq!(times(&store, "n=a", TimeRange::new(-600, 0)), None);
}

#[test]
fn deleted_times_go_with_the_samples() {
    let mut place = place();
    place.options.out_of_order_window_ms = 2 * HOUR;
    let store = filled(&place);
    write(&store, &[("n=c", 1_999_000, 1.0)]);
    let sets = [all()];
    store
        .delete_in_head(&sets, TimeRange::new(0, 500_000))
        .unwrap();
    store
        .delete_in_head(&sets, TimeRange::new(700_000, 1_500_000))
        .unwrap();
    assert_eq!(store.stats().tombstones, 4);
    write(&store, &[("n=b", 400_500, 1.0)]);
    assert_eq!(store.stats().late_samples, 1);
    store.truncate_before(600_000).unwrap();
    let stats = store.stats();
    assert_eq!((stats.tombstones, stats.late_samples), (2, 0));
    let left = times(&store, "n=a", TimeRange::new(600_000, i64::MAX)).unwrap();
    let expected: Vec<i64> = (600..700).chain(1501..2000).map(|t| t * 1000).collect();
    assert_eq!(left, expected);
    store.truncate_before(1_990_000_000).unwrap();
    store.truncate_before(1_990_000_000).unwrap();
    let stats = store.stats();
    assert_eq!((stats.tombstones, stats.series), (0, 0));
}

#[test]
fn deleted_times_of_chunks_that_are_half_out_of_retention_stay_deleted() {
    let place = place();
    let store = filled(&place);
    let sets = [all()];
    store
        .delete_series(&sets, TimeRange::new(0, 500_000))
        .unwrap();
    // In the middle of a chunk of either series.
    store.truncate_before(600_000).unwrap();
    let left = |store: &MetricStore| {
        let of = |n| times(store, n, TimeRange::ALL).unwrap();
        [of("n=a"), of("n=b")].concat()
    };
    let before = left(&store);
    assert!(before.iter().all(|&t_ms| t_ms > 500_000), "{before:?}");
    assert_eq!(before.iter().filter(|&&t_ms| t_ms >= 600_000).count(), 2800);
    store.snapshot_head().unwrap();
    drop(store);
    assert_eq!(left(&place.open()), before);
}

/// A store of five ranges of a block, with late samples in the first one.
fn of_five_ranges(dir: &dyn Dir) -> MetricStore {
    let mut options = StoreOptions::new("/test");
    options.shards = 1;
    options.block_range_ms = 1000;
    options.out_of_order_window_ms = 1 << 40;
    let (store, recovery) = MetricStore::open_in(dir, &options).unwrap();
    assert_eq!(recovery.damages, []);
    store
}

fn fill_five_ranges(store: &MetricStore) {
    for t_ms in (0..5000).step_by(100) {
        write(store, &[("n=a", t_ms, 1.0)]);
        if t_ms < 900 {
            write(store, &[("n=ended", t_ms, 2.0)]);
        }
    }
    write(store, &[("n=a", 250, 3.0), ("n=ended", 250, 4.0)]);
}

/// What goes wrong after the first range is in a block must not leave the head of before
/// to a restart: what is deleted from the block would come back with it.
#[test]
fn what_is_deleted_after_a_compaction_broke_off_stays_deleted() {
    // Also where it is the next process that deletes.
    for is_ended in [false, true] {
        let mut n_turns = 0;
        while !deletes_after(n_turns, is_ended) {
            n_turns += 1;
        }
        assert!(n_turns > 8);
    }
}

/// Deletes after a compaction of so many turns, and tells whether that came to its end.
fn deletes_after(n_turns: usize, is_ended: bool) -> bool {
    let deleted = TimeRange::new(0, 999);
    let dir = MemoryDir::new("/test");
    let mut store = of_five_ranges(&dir);
    fill_five_ranges(&store);
    let outcome = store.compact(&Retention::default(), &mut turns(n_turns));
    if is_ended {
        drop(store);
        store = of_five_ranges(&dir);
    }
    store.delete_series(&[all()], deleted).unwrap();
    store
        .clean_tombstones(&mut || ControlFlow::Continue(()))
        .unwrap();
    let samples = |store: &MetricStore| {
        let mut samples = content(store);
        // A series without samples may be there as long as its open chunk is.
        samples.retain(|_, samples| !samples.is_empty());
        samples
    };
    let before = samples(&store);
    let is_left = |samples: &Samples| samples.iter().any(|s| deleted.contains(s.0));
    assert!(!before.values().any(is_left));
    drop(store);
    assert_eq!(samples(&of_five_ranges(&dir)), before, "{n_turns} turns");
    outcome.is_ok()
}

#[test]
fn what_is_deleted_while_a_flush_waits_stays_deleted() {
    let dir = MemoryDir::new("/test");
    let store = of_five_ranges(&dir);
    fill_five_ranges(&store);
    // Begins while the first range is written, so that the second one waits for it.
    let mut open = None;
    let mut pace = || {
        open.get_or_insert_with(|| store.appender());
        ControlFlow::Continue(())
    };
    assert!(!store.flush_before(4000, &mut pace).unwrap());
    drop(open);
    assert_eq!(store.blocks().len(), 1);
    let deleted = TimeRange::new(0, 999);
    store.delete_series(&[all()], deleted).unwrap();
    store
        .clean_tombstones(&mut || ControlFlow::Continue(()))
        .unwrap();
    let before = content(&store);
    drop(store);
    assert_eq!(content(&of_five_ranges(&dir)), before);
}
