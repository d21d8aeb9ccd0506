//! A short head goes to blocks when memory is short, and what it held comes back.

use std::ops::ControlFlow;

use super::*;
use crate::metrics::OpenProgress;

const SERIES: usize = 20_000;

fn fill(store: &MetricStore, name: &str, t_ms: i64) {
    let mut appender = store.appender();
    for n in 0..SERIES {
        let labels = Labels::from_pairs([("__name__", name), ("n", &format!("{name}-value-{n}"))]);
        let series = appender.series(&labels).unwrap();
        appender.append(series, t_ms, n as f64).unwrap();
    }
    appender.commit().unwrap();
}

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn what_is_flushed_early_is_read_from_its_block_and_its_memory_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions::new(dir.path());
    let (store, _) = MetricStore::open(&options).unwrap();
    fill(&store, "old", 1_000);
    fill(&store, "new", 600_000);
    let full = store.memory_bytes();
    // An open transaction may write to what is to be flushed.
    let open = store.appender();
    assert!(!store.flush_before(500_000, &mut go_on).unwrap());
    drop(open);
    assert!(store.flush_before(500_000, &mut go_on).unwrap());
    assert_eq!(store.blocks().len(), 1);
    assert_eq!(store.stats().series, SERIES as u64);
    assert!(store.flush_before(600_001, &mut go_on).unwrap());
    assert_eq!(store.stats().series, 0);
    let left = store.memory_bytes();
    // The table of series keeps its length for those that come next.
    assert!(left < full / 2, "{left} of {full} bytes are left");

    for name in ["old", "new"] {
        let matcher = Matcher::new(MatchOp::Equal, "__name__", name).unwrap();
        let all = TimeRange::new(i64::MIN, i64::MAX);
        assert_eq!(store.select(&[matcher], all).unwrap().len(), SERIES);
    }
    // Newer samples are taken, and go to a block of their own.
    fill(&store, "newer", 600_001);
    assert!(store.flush_before(700_000, &mut go_on).unwrap());
    assert_eq!(store.blocks().len(), 3);
    store.close().unwrap();
    let progress = OpenProgress::default();
    let (store, recovery) = MetricStore::open_watched(&options, &progress).unwrap();
    assert_eq!(recovery.damages, []);
    assert_eq!(progress.segments(), recovery.segments);
    assert_eq!(progress.segments_read(), recovery.segments);
    let all = TimeRange::new(i64::MIN, i64::MAX);
    assert_eq!(store.select(&[], all).unwrap().len(), 3 * SERIES);
}
