//! Native histograms on their way from the head through blocks: whatever is done, a store
//! with blocks answers as one without.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::*;
use crate::model::histogram::{
    Buckets, CounterResetHint, FloatHistogram, Histogram, HistogramPoint, HistogramSample,
};

/// Range of a block in these tests, in milliseconds.
const RANGE: i64 = 1000;

/// Samples are at multiples of this.
const STEP: i64 = 25;

fn on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[derive(Debug, Clone, PartialEq)]
enum Sample {
    Float(f64),
    Histogram(Histogram),
}

/// What series `n` has at a time: a counter with resets, with floats now and then.
fn sample(n: u8, t_ms: i64) -> Sample {
    let place = t_ms / STEP;
    if (place / 9 + i64::from(n)) % 4 == 0 {
        return Sample::Float(t_ms as f64);
    }
    let place = place.rem_euclid(31);
    let count = place as f64;
    let layout: Arc<[i32]> = (0..2 + (place / 7) as i32).collect();
    let counts = vec![count; layout.len()];
    let histogram = FloatHistogram {
        count: count * layout.len() as f64,
        sum: count / 3.0,
        counter_reset_hint: match n {
            3 => CounterResetHint::Gauge,
            _ => CounterResetHint::Unknown,
        },
        positive: Buckets::from_layout(layout, counts).unwrap(),
        ..FloatHistogram::default()
    };
    Sample::Histogram(match n {
        0 => Histogram::Float(histogram),
        _ => Histogram::Integer(crate::model::histogram::IntegerHistogram {
            counter_reset_hint: histogram.counter_reset_hint,
            count: histogram.count as u64,
            sum: histogram.sum,
            positive_spans: histogram.positive.spans(),
            positive_deltas: std::iter::once(count as i64)
                .chain(vec![0; histogram.positive.len() - 1])
                .collect(),
            ..Default::default()
        }),
    })
}

/// Samples by series and time.
type Content = BTreeMap<(Labels, i64), Sample>;

fn name(n: u8) -> Labels {
    labels(&format!("__name__=latency,n={n}"))
}

fn commit(store: &MetricStore, samples: &[(u8, i64)]) {
    let mut appender = store.appender();
    for &(n, t_ms) in samples {
        let series = appender.series(&name(n)).unwrap();
        let added = match sample(n, t_ms) {
            Sample::Float(value) => appender.append(series, t_ms, value),
            Sample::Histogram(histogram) => appender.append_histogram(series, t_ms, &histogram),
        };
        added.unwrap();
    }
    appender.commit().unwrap();
}

/// What is in a range, as it is stored, by series and time; checks that queries get the
/// same, and that no reset is denied.
fn content(store: &MetricStore, range: TimeRange) -> Content {
    let selection = store.select(&all(), range).unwrap();
    let mut content = Content::new();
    let (mut t, mut v) = (Vec::new(), Vec::new());
    let (mut points, mut samples) = (Vec::new(), Vec::new());
    for index in 0..selection.len() {
        let labels = selection.labels(index);
        selection.read(index, &mut t, &mut v).unwrap();
        for (&t_ms, &value) in t.iter().zip(&v) {
            content.insert((labels.clone(), t_ms), Sample::Float(value));
        }
        selection.read_points(index, &t, &mut points).unwrap();
        selection.read_histograms(index, &t, &mut samples).unwrap();
        check_hints(&samples);
        assert_eq!(points.len(), samples.len());
        for (point, sample) in points.iter().zip(&samples) {
            let float = point.histogram.to_float().unwrap();
            assert_eq!((point.t_ms, &float), (sample.t_ms, &*sample.histogram));
        }
        for HistogramPoint { t_ms, histogram } in points.drain(..) {
            // Empty buckets come and go with the others of a run.
            let mut plain = histogram.to_float().unwrap();
            plain.compact(0);
            let expected = content.insert(
                (labels.clone(), t_ms),
                Sample::Histogram(Histogram::Float(FloatHistogram {
                    counter_reset_hint: CounterResetHint::Unknown,
                    ..plain
                })),
            );
            assert_eq!(expected, None, "none at the time of another");
        }
    }
    content
}

/// What [`content`] finds of a sample.
fn plain(sample: Sample) -> Sample {
    match sample {
        Sample::Float(value) => Sample::Float(value),
        Sample::Histogram(histogram) => {
            let mut plain = histogram.to_float().unwrap();
            plain.counter_reset_hint = CounterResetHint::Unknown;
            plain.compact(0);
            Sample::Histogram(Histogram::Float(plain))
        }
    }
}

fn check_hints(samples: &[HistogramSample]) {
    for pair in samples.windows(2) {
        if pair[1].histogram.counter_reset_hint == CounterResetHint::NotReset {
            assert!(
                pair[0].histogram.count <= pair[1].histogram.count,
                "{pair:?}"
            );
        }
    }
}

#[test]
fn late_samples_at_deleted_times_do_not_keep_it_busy() {
    let mut place = place();
    place.options.block_range_ms = RANGE;
    place.options.out_of_order_window_ms = 1 << 40;
    let store = place.open();
    for t_ms in (0..5 * RANGE).step_by(100) {
        commit(&store, &[(0, t_ms), (1, t_ms)]);
    }
    store.compact(&Retention::default(), &mut on).unwrap();
    commit(&store, &[(0, 25), (1, 25)]);
    for t_ms in (5 * RANGE..8 * RANGE).step_by(100) {
        commit(&store, &[(0, t_ms), (1, t_ms)]);
    }
    let to_the_end = TimeRange::new(200, 9 * RANGE);
    store.delete_series(&[all()], to_the_end).unwrap();
    // Some of these are floats, some are not.
    let late: Vec<(u8, i64)> = (205..300)
        .step_by(5)
        .flat_map(|t| [(0, t), (1, t)])
        .collect();
    let kinds = late
        .iter()
        .map(|&(n, t)| matches!(sample(n, t), Sample::Float(_)));
    assert!(kinds.clone().any(|is_float| is_float) && !kinds.clone().all(|is_float| is_float));
    commit(&store, &late);
    store
        .compact(&Retention::default(), &mut turns(999))
        .unwrap();
    assert_eq!(store.late_times(), None);
}

#[test]
fn what_left_the_head_deleted_is_not_back_after_a_restart() {
    let compact = |store: &MetricStore| store.compact(&Retention::default(), &mut on).unwrap();
    // Deleted before it left, so that there is nothing for a block, or from its block.
    for is_early in [true, false] {
        let mut place = place();
        place.options.block_range_ms = RANGE;
        let store = place.open();
        // Chunks reach from the first of two ranges beyond them.
        for t_ms in (5975..=7525).step_by(50) {
            commit(&store, &[(0, t_ms), (1, t_ms), (2, t_ms), (3, t_ms)]);
        }
        if !is_early {
            compact(&store);
        }
        let deleted = TimeRange::new(5050, 6999);
        store.delete_series(&[all()], deleted).unwrap();
        let before = content(&store, TimeRange::ALL);
        assert_eq!(before.len(), 4 * 11);
        compact(&store);
        store.clean_tombstones(&mut on).unwrap();
        assert_eq!(store.stats().blocks.blocks, 0);
        assert_eq!(content(&store, TimeRange::ALL), before);
        drop(store);
        let after = content(&place.open(), TimeRange::ALL);
        assert!(after == before, "early: {is_early}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Samples of all series from now on, every so many milliseconds.
    Scrape(i64, i64),
    /// Samples that may be late.
    Late(Vec<(u8, i64)>),
    Delete(Option<u8>, TimeRange),
    /// Broken off after so many turns, if at all, with blocks kept for so long.
    Compact(usize, Option<i64>),
    FlushBefore(i64),
    Clean,
    Truncate(i64),
    Snapshot,
    Backup,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Before 1970, too.
    let t_ms = || (-2 * RANGE / STEP..7 * RANGE / STEP).prop_map(|t| t * STEP);
    let late = proptest::collection::vec((0u8..4, t_ms()), 1..9);
    let range = prop_oneof![
        9 => (t_ms(), 0..2 * RANGE).prop_map(|(t, d)| TimeRange::new(t, t + d)),
        1 => Just(TimeRange::ALL),
    ];
    let n_turns = prop_oneof![4 => Just(usize::MAX), 1 => 0usize..12];
    let kept_ms = prop_oneof![9 => Just(None), 1 => (1..9 * RANGE).prop_map(Some)];
    let step = prop_oneof![
        12 => (1i64..40, 1i64..4).prop_map(|(n, step)| Step::Scrape(n, step * STEP)),
        6 => late.prop_map(Step::Late),
        3 => (proptest::option::of(0u8..4), range).prop_map(|(n, range)| Step::Delete(n, range)),
        6 => (n_turns, kept_ms).prop_map(|(n, kept_ms)| Step::Compact(n, kept_ms)),
        1 => t_ms().prop_map(Step::FlushBefore),
        1 => Just(Step::Clean),
        1 => t_ms().prop_map(Step::Truncate),
        2 => Just(Step::Snapshot),
        1 => Just(Step::Backup),
        2 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..30)
}

/// Takes from `expected` what the store dropped, which it may do before a time.
fn forget(store: &MetricStore, expected: &mut Content, before_ms: i64) {
    let found = content(store, TimeRange::ALL);
    expected.retain(|place, _| place.1 >= before_ms || found.contains_key(place));
}

fn check_backup(place: &Place, store: &MetricStore, expected: &Content) {
    let copies = tempfile::tempdir().unwrap();
    let mut options = place.options.clone();
    options.dir = copies.path().join("copy");
    store.backup(&options.dir, true, &mut on).unwrap();
    let (copy, recovery) = MetricStore::open(&options).unwrap();
    assert_eq!(recovery.damages, []);
    assert!(content(&copy, TimeRange::ALL) == *expected, "a copy");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn blocks_have_the_histograms_that_were_written(steps in steps()) {
        let mut place = place();
        place.options.block_range_ms = RANGE;
        place.options.out_of_order_window_ms = 1 << 40;
        let mut store = place.open();
        let mut expected = Content::new();
        let (mut now_ms, mut deleted) = (-2 * RANGE, Vec::new());
        for step in steps {
            let mut written = Vec::new();
            let is_moved = !matches!(step, Step::Scrape(..));
            match step {
                Step::Scrape(n, step_ms) => {
                    for _ in 0..n {
                        now_ms += step_ms;
                        let scrape: Vec<(u8, i64)> = (0..4).map(|n| (n, now_ms)).collect();
                        commit(&store, &scrape);
                        written.extend(scrape);
                    }
                }
                Step::Late(mut samples) => {
                    samples.retain(|&(n, t_ms)| {
                        // Those would stay hidden.
                        let is_deleted = |(of, range): &(Option<u8>, TimeRange)| {
                            of.is_none_or(|of| of == n) && range.contains(t_ms)
                        };
                        t_ms < now_ms && !deleted.iter().any(is_deleted)
                    });
                    samples.retain(|(n, t)| !expected.contains_key(&(name(*n), *t)));
                    commit(&store, &samples);
                    written = samples;
                }
                Step::Delete(n, range) => {
                    let end_ms = range.end_ms.min(now_ms).max(range.start_ms);
                    let range = TimeRange::new(range.start_ms, end_ms);
                    let matchers = n.map(|n| equal("n", &n.to_string()));
                    let sets = [matchers.into_iter().collect::<Vec<_>>()];
                    store.delete_series(&sets, range).unwrap();
                    expected.retain(|(labels, t_ms), _| {
                        let is_named = n.is_none_or(|n| *labels == name(n));
                        !(is_named && range.contains(*t_ms))
                    });
                    deleted.push((n, range));
                    // What is scraped next is not at a deleted time.
                    now_ms = now_ms.max(range.end_ms / STEP * STEP);
                }
                Step::Compact(n_turns, time_ms) => {
                    let retention = Retention { time_ms, ..Retention::default() };
                    let outcome = store.compact(&retention, &mut turns(n_turns));
                    let is_fine = matches!(outcome, Ok(_) | Err(StorageError::Stopped));
                    prop_assert!(is_fine, "{:?}", outcome);
                    let end_ms = store.blocks().iter().map(|block| block.max_t_ms).max();
                    if let (Some(time_ms), Some(end_ms)) = (time_ms, end_ms) {
                        forget(&store, &mut expected, end_ms - time_ms);
                    }
                }
                Step::FlushBefore(t_ms) => {
                    prop_assert!(store.flush_before(t_ms, &mut on).unwrap());
                }
                Step::Clean => store.clean_tombstones(&mut on).unwrap(),
                Step::Truncate(t_ms) => {
                    let t_ms = t_ms.min(now_ms);
                    store.truncate_before(t_ms).unwrap();
                    // Until then a restart finds it in the log.
                    store.snapshot_head().unwrap();
                    forget(&store, &mut expected, t_ms);
                }
                Step::Snapshot => {
                    store.snapshot_head().unwrap();
                }
                Step::Backup => check_backup(&place, &store, &expected),
                Step::Reopen => {
                    drop(store);
                    store = place.open();
                }
            }
            for (n, t_ms) in written {
                expected.insert((name(n), t_ms), plain(sample(n, t_ms)));
            }
            if !is_moved {
                continue;
            }
            for range in [TimeRange::ALL, TimeRange::new(-300, 2100)] {
                let mut expected = expected.clone();
                expected.retain(|(_, t_ms), _| range.contains(*t_ms));
                prop_assert_eq!(content(&store, range), expected);
            }
        }
    }
}
