//! Native histograms in the head, alone and beside floats.

use super::*;
use crate::model::histogram::{
    Buckets, CounterResetHint, FloatHistogram, Histogram, HistogramError, HistogramSample,
    IntegerHistogram, Span,
};
use crate::model::is_stale_marker;

fn span(offset: i32, length: usize) -> Span {
    let length = length as u32;
    Span { offset, length }
}

/// With whole counts in neighbouring buckets from `offset` on.
fn whole(offset: i32, counts: &[u64]) -> Histogram {
    let mut before = 0;
    let deltas = counts.iter().map(|count| {
        let delta = *count as i64 - before;
        before = *count as i64;
        delta
    });
    Histogram::Integer(IntegerHistogram {
        count: counts.iter().sum(),
        sum: counts.iter().sum::<u64>() as f64 * 1.5,
        positive_deltas: deltas.collect(),
        positive_spans: vec![span(offset, counts.len())],
        ..IntegerHistogram::default()
    })
}

fn float(offset: i32, counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema: 2,
        count: counts.iter().sum(),
        sum: 0.1,
        negative: Buckets::from_spans(&[span(offset, counts.len())], counts.to_vec()).unwrap(),
        ..FloatHistogram::default()
    }
}

fn custom(counts: &[u64]) -> Histogram {
    match whole(0, counts) {
        Histogram::Integer(histogram) => Histogram::Integer(IntegerHistogram {
            schema: -53,
            custom_bounds: vec![0.5, 1.0, 2.5].into(),
            ..histogram
        }),
        other => other,
    }
}

fn append(store: &MetricStore, series: &str, t_ms: i64, histogram: &Histogram) {
    try_append(store, series, t_ms, histogram).unwrap();
}

fn try_append(
    store: &MetricStore,
    series: &str,
    t_ms: i64,
    histogram: &Histogram,
) -> Result<Committed, AppendError> {
    let mut appender = store.appender();
    let series = appender.series(&labels(series))?;
    appender.append_histogram(series, t_ms, histogram)?;
    Ok(appender.commit().unwrap())
}

/// Floats and histograms of a series.
type Both = (Vec<(i64, f64)>, Vec<HistogramSample>);

fn read_all(store: &MetricStore, range: TimeRange) -> Vec<Both> {
    let selection = store.select(&all(), range).unwrap();
    let (mut t, mut v, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
    let each = (0..selection.len()).map(|index| {
        selection.read(index, &mut t, &mut v).unwrap();
        selection
            .read_histograms(index, &t, &mut histograms)
            .unwrap();
        let floats = t.iter().copied().zip(v.iter().copied());
        (floats.collect(), histograms.clone())
    });
    each.collect()
}

/// The histograms of the only series, without their hints.
fn read_one(store: &MetricStore) -> Vec<(i64, FloatHistogram)> {
    let found = read_all(store, TimeRange::ALL);
    assert_eq!(found.len(), 1);
    let plain = found[0].1.iter().map(|sample| {
        let histogram = FloatHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            ..FloatHistogram::clone(&sample.histogram)
        };
        (sample.t_ms, histogram)
    });
    plain.collect()
}

fn hints(store: &MetricStore) -> Vec<CounterResetHint> {
    let found = read_all(store, TimeRange::ALL);
    let hints = found[0].1.iter();
    hints.map(|s| s.histogram.counter_reset_hint).collect()
}

#[test]
fn histograms_come_back_as_they_were() {
    let place = place();
    let store = place.open();
    let all = [
        whole(-2, &[1, 2, 3]),
        whole(-2, &[1, 2, 9]),
        Histogram::Float(float(3, &[0.5, 0.25])),
        custom(&[4, 0, 1]),
    ];
    for (t_ms, histogram) in (1000..).zip(&all) {
        append(&store, "n=1", t_ms, histogram);
    }
    let expected: Vec<_> = (1000..)
        .zip(all.iter().map(|histogram| histogram.to_float().unwrap()))
        .collect();
    assert_eq!(read_one(&store), expected);
    assert_eq!(store.newest_time_ms(), Some(1003));
    assert!(store.has_histograms(TimeRange::new(0, 1000)));
    assert!(!store.has_histograms(TimeRange::new(0, 999)));
    let stats = store.stats();
    assert_eq!(
        (
            stats.samples_appended_total,
            stats.histograms.appended_total
        ),
        (4, 4)
    );
    assert!(stats.memory.histograms > 0 && stats.chunks == 3);
    drop(store);
    for _ in 0..2 {
        let store = place.open();
        assert_eq!(read_one(&store), expected);
        store.close().unwrap();
    }
    let store = place.open();
    append(&store, "n=1", 2000, &custom(&[4, 0, 2]));
    assert_eq!(read_one(&store).len(), 5);
    assert_eq!(hints(&store)[4], CounterResetHint::NotReset);
}

#[test]
fn what_is_no_histogram_is_refused() {
    let place = place();
    let store = place.open();
    let histogram = IntegerHistogram {
        count: 5,
        ..IntegerHistogram::default()
    };
    let error = try_append(&store, "n=1", 1000, &Histogram::Integer(histogram)).unwrap_err();
    assert!(matches!(
        error,
        AppendError::Histogram(HistogramError::CountMismatch { found: 0, count: 5 })
    ));
    let many = whole(0, &vec![1; 70_000]);
    assert!(matches!(
        try_append(&store, "n=1", 1000, &many).unwrap_err(),
        AppendError::TooManyBuckets { found: 70_000, .. }
    ));
}

#[test]
fn order_and_duplicates_are_checked_over_both_kinds() {
    let place = place();
    let store = place.open();
    let one = whole(0, &[1]);
    append(&store, "n=1", 1000, &one);
    let append = |t_ms, histogram: &Histogram| try_append(&store, "n=1", t_ms, histogram);
    let append_float = |t_ms, value| {
        let mut appender = store.appender();
        let series = appender.series(&labels("n=1")).unwrap();
        appender.append(series, t_ms, value)?;
        Ok(appender.commit().unwrap())
    };
    assert_eq!(append(1000, &one).unwrap().samples, 0);
    assert_eq!(
        append(1000, &whole(0, &[2])).unwrap_err(),
        AppendError::DuplicateHistogram
    );
    assert_eq!(append(999, &one).unwrap_err(), AppendError::OutOfOrder);
    let error: AppendError = append_float(1000, 2.5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "duplicate sample for timestamp 1000; overrides not allowed: \
         existing is a histogram, new value 2.5"
    );
    assert_eq!(append_float(999, 1.0), Err(AppendError::OutOfOrder));
    append_float(1001, 7.0).unwrap();
    assert_eq!(
        append(1001, &one).unwrap_err().to_string(),
        "duplicate sample for timestamp"
    );
    assert_eq!(append(1000, &one).unwrap_err(), AppendError::OutOfOrder);
    append(1002, &one).unwrap();
    assert_eq!(append(-HOUR, &one).unwrap_err(), AppendError::OutOfBounds);
    let found = read_all(&store, TimeRange::ALL);
    assert_eq!(found[0].0, [(1001, 7.0)]);
    let times: Vec<i64> = found[0].1.iter().map(|sample| sample.t_ms).collect();
    assert_eq!(times, [1000, 1002]);
    // A float between them ends a run.
    assert_eq!(hints(&store), [CounterResetHint::Unknown; 2]);
    assert_eq!(store.stats().duplicate_total, 3);
    assert_eq!(store.stats().out_of_order_total, 3);
    let of_histograms = store.stats().histograms;
    assert_eq!(of_histograms.out_of_order_total, 2);
    assert_eq!(of_histograms.out_of_bounds_total, 1);
}

#[test]
fn samples_of_one_transaction_keep_their_order() {
    let place = place();
    let store = place.open();
    let mut appender = store.appender();
    let series = appender.series(&labels("n=1")).unwrap();
    for t_ms in 0..10 {
        if t_ms % 3 == 0 {
            appender.append(series, t_ms, 1.0).unwrap();
        } else {
            appender
                .append_histogram(series, t_ms, &whole(0, &[t_ms as u64]))
                .unwrap();
        }
    }
    let done = appender.commit().unwrap();
    assert_eq!((done.samples, done.histograms, done.dropped), (10, 6, 0));
    let times = |store: &MetricStore| {
        let found = read_all(store, TimeRange::ALL);
        let floats: Vec<i64> = found[0].0.iter().map(|sample| sample.0).collect();
        let histograms: Vec<i64> = found[0].1.iter().map(|sample| sample.t_ms).collect();
        (floats, histograms)
    };
    let expected = (vec![0, 3, 6, 9], vec![1, 2, 4, 5, 7, 8]);
    assert_eq!(times(&store), expected);
    drop(store);
    assert_eq!(times(&place.open()), expected);
}

#[test]
fn hints_are_those_of_runs() {
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    let place = place();
    let store = place.open();
    let hinted = |counts: &[f64], hint| {
        Histogram::Float(FloatHistogram {
            counter_reset_hint: hint,
            ..float(0, counts)
        })
    };
    let steps = [
        (hinted(&[1.0], Unknown), Unknown),
        (hinted(&[1.0, 2.0], Unknown), NotReset),
        (hinted(&[4.0, 1.0], Unknown), Unknown),
        (hinted(&[4.0, 1.0], Reset), Unknown),
        (hinted(&[4.0, 1.0], NotReset), NotReset),
        (hinted(&[3.0], Gauge), Gauge),
        (hinted(&[9.0], Gauge), Gauge),
        (whole(0, &[90, 90]), Unknown),
        (whole(0, &[90, 91]), NotReset),
        (whole(-5, &[90, 91]), Unknown),
    ];
    for (t_ms, (histogram, _)) in (0..).zip(&steps) {
        append(&store, "n=1", t_ms, histogram);
    }
    let expected: Vec<_> = steps.iter().map(|(_, hint)| *hint).collect();
    assert_eq!(hints(&store), expected);
    // All of a run are read in one layout.
    let found = read_all(&store, TimeRange::new(0, 0));
    let negative: Vec<_> = found[0].1[0].histogram.negative.iter().collect();
    assert_eq!(negative, [(0, 1.0), (1, 0.0)]);
    drop(store);
    let store = place.open();
    assert_eq!(hints(&store), expected);
    store.close().unwrap();
    assert_eq!(hints(&place.open()), expected);
}

#[test]
fn a_long_run_has_one_layout_and_no_gap_in_what_is_known() {
    let place = place();
    let mut store = place.open();
    // Equal ones, of which every other has an empty bucket more.
    let n: i64 = 800;
    for t_ms in 0..n {
        let mut counts = vec![1_000_000.5 + (t_ms / 2) as f64 / 3.0; 20];
        counts.resize(20 + t_ms as usize % 2, 0.0);
        let histogram = float(-3, &counts);
        append(&store, "n=1", t_ms, &Histogram::Float(histogram));
    }
    append(&store, "n=1", n, &Histogram::Float(float(-4, &[1e9; 22])));
    let parts = store.stats().chunks;
    assert!(parts > 8, "{parts} parts");
    for turn in 0..3 {
        let found = read_all(&store, TimeRange::ALL);
        assert_eq!(found[0].1.len() as i64, n + 1);
        for (at, sample) in found[0].1.iter().enumerate() {
            assert_eq!(sample.histogram.negative.len(), 22, "histogram {at}");
            let hint = match at {
                0 => CounterResetHint::Unknown,
                _ => CounterResetHint::NotReset,
            };
            assert_eq!(sample.histogram.counter_reset_hint, hint, "histogram {at}");
        }
        for pair in found[0].1.windows(2) {
            let same = pair[0].histogram.count == pair[1].histogram.count;
            assert_eq!(pair[0].histogram.is_same_data(&pair[1].histogram), same);
        }
        match turn {
            0 => drop(store),
            _ => store.close().unwrap(),
        }
        store = place.open();
    }
}

#[test]
fn a_series_of_histograms_ends_with_a_marker_of_its_kind() {
    let place = place();
    let store = place.open();
    append(&store, "n=1", 1000, &whole(0, &[1]));
    assert_eq!(store.stats().stale_series, 0);
    write(&store, &[("n=1", 2000, stale_marker())]);
    assert_eq!(store.stats().stale_series, 1);
    // Once more is no error.
    write(&store, &[("n=1", 2000, stale_marker())]);
    let check = |store: &MetricStore| {
        let found = read_all(store, TimeRange::ALL);
        assert_eq!(found[0].0, []);
        assert_eq!(found[0].1.len(), 2);
        assert!(is_stale_marker(found[0].1[1].histogram.sum));
    };
    check(&store);
    drop(store);
    let store = place.open();
    check(&store);
    append(&store, "n=1", 3000, &whole(0, &[2]));
    assert_eq!(store.stats().stale_series, 0);
    assert_eq!(hints(&store)[2], CounterResetHint::Unknown);
    // A marker that comes as a histogram needs nothing else.
    let marker = FloatHistogram {
        sum: stale_marker(),
        ..FloatHistogram::default()
    };
    append(&store, "n=1", 4000, &Histogram::Float(marker));
    assert_eq!(store.stats().stale_series, 1);
}

#[test]
fn late_histograms_are_merged_into_the_others() {
    let mut place = place();
    place.options.out_of_order_window_ms = HOUR;
    let store = place.open();
    let counter = |t_ms: i64| whole(0, &[t_ms as u64]);
    for t_ms in [1000, 2000, 3000] {
        append(&store, "n=1", t_ms, &counter(t_ms));
    }
    let done = try_append(&store, "n=1", 1500, &counter(1500)).unwrap();
    assert_eq!((done.samples, done.late), (1, 1));
    // A time that is taken stays as it is.
    for t_ms in [1500, 2000] {
        let done = try_append(&store, "n=1", t_ms, &whole(7, &[1])).unwrap();
        assert_eq!((done.samples, done.dropped), (0, 0));
    }
    assert_eq!(
        try_append(&store, "n=1", 3000 - HOUR - 1, &counter(1)).unwrap_err(),
        AppendError::TooOld
    );
    // Late beside floats that came in order, and the other way round.
    write(&store, &[("n=1", 4000, 1.0), ("n=1", 2500, 2.0)]);
    append(&store, "n=1", 3500, &counter(3500));
    let check = |store: &MetricStore| {
        let found = read_all(store, TimeRange::ALL);
        assert_eq!(found[0].0, [(2500, 2.0), (4000, 1.0)]);
        let times: Vec<_> = found[0].1.iter().map(|s| s.t_ms).collect();
        assert_eq!(times, [1000, 1500, 2000, 3000, 3500]);
        use CounterResetHint::{NotReset, Unknown};
        let expected = [Unknown, Unknown, Unknown, NotReset, Unknown];
        assert_eq!(hints(store), expected);
    };
    check(&store);
    assert_eq!(store.stats().late_samples, 3);
    let of_histograms = store.stats().histograms;
    assert_eq!(of_histograms.late_appended_total, 2);
    assert_eq!(of_histograms.too_old_total, 1);
    drop(store);
    let store = place.open();
    check(&store);
    store.snapshot_head().unwrap();
    drop(store);
    check(&place.open());
}

#[test]
fn deleted_histograms_are_hidden_and_stay_so() {
    let mut place = place();
    place.options.out_of_order_window_ms = HOUR;
    let store = place.open();
    for t_ms in [1000, 2000, 3000, 1500, 2500] {
        append(&store, "n=1", t_ms, &whole(0, &[t_ms as u64]));
    }
    let range = TimeRange::new(1200, 2000);
    assert_eq!(store.delete_in_head(&[all()], range).unwrap(), 1);
    let check = |store: &MetricStore| {
        let times: Vec<_> = read_one(store).iter().map(|sample| sample.0).collect();
        assert_eq!(times, [1000, 2500, 3000]);
    };
    check(&store);
    drop(store);
    let store = place.open();
    check(&store);
    store.snapshot_head().unwrap();
    drop(store);
    let store = place.open();
    check(&store);
    store.delete_in_head(&[all()], TimeRange::ALL).unwrap();
    assert_eq!(read_all(&store, TimeRange::ALL).len(), 0);
}

#[test]
fn a_reader_sees_whole_transactions_only() {
    let place = place();
    let store = place.open();
    append(&store, "n=1", 1000, &whole(0, &[1]));
    let selection = store.select(&all(), TimeRange::ALL).unwrap();
    append(&store, "n=1", 2000, &whole(0, &[2]));
    let mut histograms = Vec::new();
    selection.read_histograms(0, &[], &mut histograms).unwrap();
    assert_eq!(histograms.len(), 1);
    assert_eq!(read_one(&store).len(), 2);
}

#[test]
fn retention_drops_histograms_and_their_series() {
    let place = place();
    let store = place.open();
    for t_ms in 0..1000 {
        append(&store, "n=1", t_ms, &whole(0, &[t_ms as u64; 20]));
    }
    append(&store, "n=2", 5000, &whole(0, &[1]));
    let before = store.stats();
    store.truncate_before(900).unwrap();
    let found = read_all(&store, TimeRange::ALL);
    assert_eq!(found[0].1.last().unwrap().t_ms, 999);
    assert!(found[0].1[0].t_ms > 0);
    let after = store.stats();
    assert!(after.memory.histograms < before.memory.histograms);
    assert_eq!(
        after.chunks,
        after.chunks_created_total - after.chunks_removed_total
    );
    store.truncate_before(1000).unwrap();
    store.truncate_before(1000).unwrap();
    assert_eq!(store.stats().series, 1);
    assert_eq!(read_one(&store).len(), 1);
}

fn go_on() -> std::ops::ControlFlow<()> {
    std::ops::ControlFlow::Continue(())
}

/// Counters and gauges, of both kinds of counts, one every 50 ms.
fn fill(store: &MetricStore, from_ms: i64, to_ms: i64) {
    for t_ms in (from_ms..to_ms).step_by(50) {
        let n = (t_ms / 50) as u64;
        append(store, "n=counter", t_ms, &whole(0, &[n % 70, n, 2 * n]));
        append(store, "n=custom", t_ms, &custom(&[n, 7, n / 3]));
        let gauge = FloatHistogram {
            counter_reset_hint: CounterResetHint::Gauge,
            ..float(-1, &[(n % 9) as f64, 0.5])
        };
        append(store, "n=gauge", t_ms, &Histogram::Float(gauge));
        match n % 40 {
            0..20 => append(store, "n=mixed", t_ms, &whole(4, &[n])),
            _ => drop(write(store, &[("n=mixed", t_ms, n as f64)])),
        }
    }
}

/// All samples in some ranges, without hints and empty buckets, which depend on where
/// chunks begin.
fn answers(store: &MetricStore) -> Vec<String> {
    let ranges = [
        TimeRange::ALL,
        TimeRange::new(0, 900),
        TimeRange::new(950, 1050),
        TimeRange::new(3333, 7777),
        TimeRange::new(11_000, 20_000),
    ];
    let answer = |range| {
        let mut found = read_all(store, range);
        for sample in found.iter_mut().flat_map(|(_, histograms)| histograms) {
            let histogram = Arc::make_mut(&mut sample.histogram);
            histogram.compact(0);
            if histogram.counter_reset_hint != CounterResetHint::Gauge {
                histogram.counter_reset_hint = CounterResetHint::Unknown;
            }
        }
        found.retain(|(floats, histograms)| !floats.is_empty() || !histograms.is_empty());
        let mut found: Vec<String> = found.iter().map(|series| format!("{series:?}")).collect();
        found.sort();
        found.join("\n")
    };
    ranges.into_iter().map(answer).collect()
}

#[test]
fn histograms_go_to_blocks_and_blocks_are_merged() {
    let mut plain = place();
    plain.options.block_range_ms = 1 << 40;
    let mut place = place();
    place.options.block_range_ms = 1000;
    for place in [&mut plain, &mut place] {
        place.options.out_of_order_window_ms = 100_000;
    }
    let (plain, mut store) = (plain.open(), place.open());
    for turn in 0..12 {
        for store in [&store, &plain] {
            fill(store, turn * 1000, turn * 1000 + 1000);
            if turn % 4 == 3 {
                // Of a range that is in a block by now.
                for (at, series) in [(7, "n=counter"), (9, "n=late"), (11, "n=mixed")] {
                    append(store, series, turn * 1000 - 2500 + at, &whole(9, &[3]));
                }
            }
        }
        store.compact(&Retention::default(), &mut go_on).unwrap();
        if turn == 7 {
            drop(store);
            store = place.open();
        }
        assert_eq!(answers(&store), answers(&plain));
        for t_ms in [500, 900, turn * 1000 + 500] {
            let range = TimeRange::new(t_ms, t_ms);
            assert!(store.has_histograms(range));
        }
    }
    assert!(store.stats().blocks.blocks > 1);
    assert!(store.stats().late_samples < 9);
}

#[test]
fn a_head_with_histograms_is_copied_and_deleted_from() {
    let mut place = place();
    place.options.block_range_ms = 1000;
    let store = place.open();
    fill(&store, 0, 4000);
    store.compact(&Retention::default(), &mut go_on).unwrap();
    let before = answers(&store);
    let copy = tempfile::tempdir().unwrap();
    let to = copy.path().join("copy");
    store.backup(&to, true, &mut go_on).unwrap();
    let (copied, _) = MetricStore::open(&StoreOptions::new(&to)).unwrap();
    assert_eq!(answers(&copied), before);
    let range = TimeRange::new(500, 3500);
    store.delete_series(&[all()], range).unwrap();
    let left = |store: &MetricStore| {
        let found = read_all(store, TimeRange::ALL);
        let times = found.iter().flat_map(|(floats, histograms)| {
            let floats = floats.iter().map(|sample| sample.0);
            floats.chain(histograms.iter().map(|sample| sample.t_ms))
        });
        times.collect::<Vec<_>>()
    };
    assert!(left(&store).iter().all(|t_ms| !range.contains(*t_ms)));
    let kept = left(&store);
    assert_eq!(kept.len(), 4 * (10 + 9));
    fill(&store, 4000, 8000);
    let after = left(&store);
    store.compact(&Retention::default(), &mut go_on).unwrap();
    assert_eq!(left(&store), after);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Against a plain list.
    #[test]
    fn series_are_like_lists(
        steps in prop::collection::vec((0u8..12, 1i64..40, 0i32..6, 0u64..5), 1..300),
        restarts in prop::collection::vec(0usize..300, 0..3),
    ) {
        let mut place = place();
        place.options.shards = 1;
        place.options.out_of_order_window_ms = 200;
        place.options.block_range_ms = 1000;
        let mut store = place.open();
        let mut model: BTreeMap<i64, Option<FloatHistogram>> = BTreeMap::new();
        let (mut now_ms, mut n) = (1000, 1);
        for (at, &(kind, step_ms, offset, add)) in steps.iter().enumerate() {
            if restarts.contains(&at) {
                match at % 3 {
                    0 => drop(store.snapshot_head().unwrap()),
                    1 => drop(store.compact(&Retention::default(), &mut go_on).unwrap()),
                    _ => {}
                }
                drop(store);
                store = place.open();
            }
            now_ms += step_ms;
            n += add;
            let t_ms = if kind == 0 { now_ms - 100 } else { now_ms };
            if kind == 1 {
                write(&store, &[("n=1", t_ms, 1.0)]);
                model.entry(t_ms).or_insert(None);
                continue;
            }
            let histogram = match kind {
                2 | 3 => Histogram::Float(float(offset, &[n as f64, 0.5])),
                4 => custom(&[n, 1]),
                _ => whole(offset, &[n, n + add]),
            };
            append(&store, "n=1", t_ms, &histogram);
            let histogram = histogram.to_float().unwrap();
            model.entry(t_ms).or_insert(Some(histogram));
        }
        let found = read_all(&store, TimeRange::ALL);
        let floats: Vec<i64> = found[0].0.iter().map(|sample| sample.0).collect();
        let expected = model.iter().filter(|(_, h)| h.is_none()).map(|(t_ms, _)| *t_ms);
        prop_assert_eq!(floats, expected.collect::<Vec<_>>());
        let histograms = model.into_iter().filter_map(|(t_ms, h)| Some((t_ms, h?)));
        let histograms: Vec<_> = histograms.collect();
        prop_assert_eq!(found[0].1.len(), histograms.len());
        for (sample, (t_ms, expected)) in found[0].1.iter().zip(histograms) {
            prop_assert_eq!(sample.t_ms, t_ms);
            // The layout is that of a run: empty buckets come and go.
            let mut found = FloatHistogram::clone(&sample.histogram);
            found.counter_reset_hint = CounterResetHint::Unknown;
            let mut expected = expected;
            found.compact(0);
            expected.compact(0);
            prop_assert_eq!(found, expected);
        }
    }
}
