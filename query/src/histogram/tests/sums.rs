//! Sums, differences, means, resets.

use super::*;
use crate::histogram::{
    HistogramMean, HistogramSum, IncompatibleSchemas, Reconciled, add, detect_reset, divide,
    multiply, subtract, with_schema,
};

/// The bucket at a coarser schema in which a bucket lies, halving by halving.
fn coarser(mut index: i32, from: i32, to: i32) -> i32 {
    for _ in to..from {
        index = (index + 1).div_euclid(2);
    }
    index
}

fn dense(buckets: &Buckets, from: i32, to: i32) -> BTreeMap<i32, f64> {
    let mut map = BTreeMap::new();
    for (index, count) in buckets.iter() {
        *map.entry(coarser(index, from, to)).or_insert(0.0) += count;
    }
    map
}

fn without_empty(map: BTreeMap<i32, f64>) -> Vec<(i32, f64)> {
    map.into_iter().filter(|(_, count)| *count != 0.0).collect()
}

#[test]
fn the_finer_schema_is_merged_to_the_coarser() {
    // Schema 1: ..., (0.5, 0.71], (0.71, 1], (1, 1.41], (1.41, 2], ...
    let fine = positive(1, -1, &[1.0, 2.0, 3.0, 4.0, 5.0]);
    let coarse = positive(0, 0, &[10.0, 20.0]);
    let mut sum = fine.clone();
    assert_eq!(add(&mut sum, &coarse), Ok(Reconciled::default()));
    assert_eq!(sum.schema, 0);
    assert_eq!(pairs(&sum.positive), [(0, 13.0), (1, 27.0), (2, 5.0)]);
    assert_eq!(sum.count, 45.0);
    let mut sum = coarse.clone();
    add(&mut sum, &fine).unwrap();
    assert_eq!(pairs(&sum.positive), [(0, 13.0), (1, 27.0), (2, 5.0)]);
    subtract(&mut sum, &fine).unwrap();
    sum.compact(0);
    assert_eq!(pairs(&sum.positive), pairs(&coarse.positive));
    assert_eq!(
        pairs(&with_schema(&fine, -2).positive),
        [(0, 3.0), (1, 12.0)]
    );
}

#[test]
fn the_narrower_zero_bucket_grows_to_whole_buckets() {
    // Buckets (0.5, 1], (1, 2], (2, 4] and their negatives.
    let narrow = exponential(
        0,
        (0.1, 1.0),
        buckets(0, &[2.0, 4.0, 8.0]),
        buckets(0, &[16.0]),
    );
    let wide = exponential(0, (1.5, 32.0), buckets(2, &[64.0]), Buckets::default());
    for (a, b) in [(&narrow, &wide), (&wide, &narrow)] {
        let mut sum = a.clone();
        add(&mut sum, b).unwrap();
        sum.compact(0);
        // 1.5 cuts a bucket with observations, so that the end is 2.
        assert_eq!((sum.zero_threshold, sum.zero_count), (2.0, 55.0));
        assert_eq!(pairs(&sum.positive), [(2, 72.0)]);
        assert!(sum.negative.is_empty());
    }
    // Nothing is cut that has no observations.
    let empty_there = exponential(
        0,
        (0.1, 1.0),
        buckets(0, &[2.0, 0.0, 8.0]),
        Buckets::default(),
    );
    let mut sum = empty_there;
    add(&mut sum, &wide).unwrap();
    assert_eq!((sum.zero_threshold, sum.zero_count), (1.5, 35.0));
}

#[test]
fn custom_buckets_meet_at_common_bounds() {
    let a = custom(&[1.0, 2.0, 3.0], &[1.0, 2.0, 4.0, 8.0]);
    let b = custom(&[1.0, 3.0, 5.0], &[16.0, 32.0, 64.0, 128.0]);
    let mut sum = a.clone();
    let reconciled = add(&mut sum, &b).unwrap();
    assert!(reconciled.bounds_differ);
    assert_eq!(&sum.custom_bounds[..], [1.0, 3.0]);
    assert_eq!(pairs(&sum.positive), [(0, 17.0), (1, 38.0), (2, 200.0)]);
    let mut difference = a.clone();
    subtract(&mut difference, &b).unwrap();
    assert_eq!(
        pairs(&difference.positive),
        [(0, -15.0), (1, -26.0), (2, -184.0)]
    );
    let mut same = a.clone();
    assert_eq!(add(&mut same, &a), Ok(Reconciled::default()));
    assert_eq!(
        pairs(&same.positive),
        [(0, 2.0), (1, 4.0), (2, 8.0), (3, 16.0)]
    );
    let mut nothing_common = a.clone();
    add(&mut nothing_common, &custom(&[7.0], &[1.0, 2.0])).unwrap();
    assert!(nothing_common.custom_bounds.is_empty());
    assert_eq!(pairs(&nothing_common.positive), [(0, 18.0)]);
    let exponential = positive(0, 0, &[1.0]);
    let before = a.clone();
    let mut a = a;
    assert_eq!(add(&mut a, &exponential), Err(IncompatibleSchemas));
    assert_eq!(
        HistogramSum::new(a.clone()).add(&exponential),
        Err(IncompatibleSchemas)
    );
    assert_eq!(a, before);
}

#[test]
fn hints_meet() {
    use CounterResetHint::*;
    let cases = [
        (Unknown, Unknown, Unknown, false),
        (Reset, Reset, Reset, false),
        (NotReset, NotReset, NotReset, false),
        (Gauge, Reset, Gauge, false),
        (NotReset, Gauge, Gauge, false),
        (Unknown, Gauge, Gauge, false),
        (Unknown, NotReset, Unknown, false),
        (Reset, Unknown, Unknown, false),
        (Reset, NotReset, Unknown, true),
        (NotReset, Reset, Unknown, true),
    ];
    for (a, b, expected, conflict) in cases {
        let one = |hint| with_hint(positive(0, 0, &[1.0]), hint);
        let mut sum = one(a);
        let reconciled = add(&mut sum, &one(b)).unwrap();
        assert_eq!(
            (sum.counter_reset_hint, reconciled.resets_conflict),
            (expected, conflict)
        );
        let mut sum = HistogramSum::new(one(a));
        assert_eq!(sum.add(&one(b)).unwrap().resets_conflict, conflict);
        assert_eq!(sum.total().counter_reset_hint, expected);
    }
}

#[test]
fn numbers_scale_everything() {
    let mut histogram = exponential(0, (1.0, 4.0), buckets(2, &[2.0]), buckets(3, &[6.0]));
    multiply(&mut histogram, -0.5);
    assert_eq!(histogram.counter_reset_hint, CounterResetHint::Gauge);
    assert_eq!(
        (histogram.zero_count, histogram.count, histogram.sum),
        (-2.0, -6.0, -0.5)
    );
    assert_eq!(pairs(&histogram.positive), [(2, -1.0)]);
    assert_eq!(pairs(&histogram.negative), [(3, -3.0)]);
    divide(&mut histogram, 0.0);
    assert!(histogram.positive.is_empty() && histogram.negative.is_empty());
    assert_eq!(histogram.count, f64::NEG_INFINITY);
}

#[test]
fn what_rounding_loses_comes_back() {
    let one = |count: f64| positive(0, 0, &[count]);
    let mut sum = HistogramSum::new(one(1.0));
    for count in [1e16, 1.0, 1.0, -1e16] {
        sum.add(&one(count)).unwrap();
    }
    assert_eq!(pairs(&sum.total().positive), [(0, 3.0)]);
}

#[test]
fn means_survive_sums_that_are_too_large() {
    let one = |count: f64| positive(0, 0, &[count, 1.0]);
    let mut mean = HistogramMean::new(one(f64::MAX));
    mean.add(&one(f64::MAX)).unwrap();
    mean.add(&one(f64::MAX)).unwrap();
    let mean = mean.mean();
    assert_eq!(mean.positive.len(), 2);
    let large = mean.positive.counts()[0];
    assert!((large / f64::MAX - 1.0).abs() < 1e-15, "{large}");
    assert!((mean.positive.counts()[1] - 1.0).abs() < 1e-15);
    let mut mean = HistogramMean::new(one(1.0));
    mean.add(&one(2.0)).unwrap();
    assert_eq!(pairs(&mean.mean().positive), [(0, 1.5), (1, 1.0)]);
}

#[test]
fn resets_are_seen_in_every_part() {
    let before = exponential(
        1,
        (0.5, 3.0),
        buckets(2, &[1.0, 0.0, 2.0]),
        buckets(2, &[1.0]),
    );
    type Change = fn(&mut FloatHistogram);
    let cases: [(&str, Change, bool); 15] = [
        ("nothing", |_| {}, false),
        ("more", |h| h.positive.counts_mut()[1] += 1.0, false),
        ("count", |h| h.count -= 1.0, true),
        ("sum", |h| h.sum -= 100.0, false),
        ("zero count", |h| h.zero_count -= 1.0, true),
        ("bucket", |h| h.positive.counts_mut()[2] -= 1.0, true),
        (
            "negative bucket",
            |h| h.negative.counts_mut()[0] -= 1.0,
            true,
        ),
        ("empty bucket gone", |h| h.compact(0), false),
        ("bucket gone", |h| h.negative = Buckets::default(), true),
        (
            "bucket gone in the middle",
            |h| h.positive = buckets(3, &[0.0, 2.0]),
            true,
        ),
        ("coarser", |h| *h = with_schema(h, 0), false),
        ("finer", |h| h.schema = 2, true),
        ("narrower zero", |h| h.zero_threshold = 0.25, true),
        (
            "hint",
            |h| h.counter_reset_hint = CounterResetHint::Reset,
            true,
        ),
        (
            "hint against the count",
            |h| {
                h.count = 0.0;
                h.counter_reset_hint = CounterResetHint::NotReset;
            },
            false,
        ),
    ];
    for (what, change, expected) in cases {
        let mut now = before.clone();
        change(&mut now);
        assert_eq!(detect_reset(&now, &before), expected, "{what}");
    }
    // A wider zero bucket swallows whole buckets or means a reset.
    let mut now = before.clone();
    now.zero_threshold = 2.0;
    now.positive = buckets(4, &[2.0]);
    now.negative = Buckets::default();
    now.zero_count = 5.0;
    assert!(!detect_reset(&now, &before));
    now.zero_count = 4.0;
    assert!(detect_reset(&now, &before));
    now.zero_count = 9.0;
    now.zero_threshold = 1.9;
    assert!(detect_reset(&now, &before));
    let custom_before = custom(&[1.0, 2.0], &[1.0, 2.0, 3.0]);
    assert!(detect_reset(
        &custom(&[1.0, 2.0], &[1.0, 1.0, 30.0]),
        &custom_before
    ));
    assert!(!detect_reset(
        &custom(&[2.0, 4.0], &[3.0, 1.0, 2.0]),
        &custom_before
    ));
    assert!(detect_reset(
        &custom(&[2.0, 4.0], &[2.0, 2.0, 9.0]),
        &custom_before
    ));
    assert!(detect_reset(&custom_before, &positive(0, 0, &[1.0])));
    assert!(detect_reset(&positive(0, 0, &[100.0]), &custom_before));
}

#[test]
fn numbers_that_are_none_end_no_loop() {
    let odd = exponential(0, (f64::NAN, 1.0), buckets(0, &[1.0]), Buckets::default());
    let even = exponential(0, (0.5, 1.0), buckets(0, &[1.0]), buckets(3, &[f64::NAN]));
    for (a, b) in [(&odd, &even), (&even, &odd), (&odd, &odd)] {
        let mut sum = a.clone();
        add(&mut sum, b).unwrap();
        let mut sum = HistogramSum::new(a.clone());
        sum.add(b).unwrap();
        detect_reset(a, b);
    }
    let endless = exponential(
        0,
        (f64::INFINITY, 1.0),
        Buckets::default(),
        Buckets::default(),
    );
    let mut sum = even.clone();
    add(&mut sum, &endless).unwrap();
    assert_eq!(sum.zero_threshold, f64::INFINITY);
}

proptest! {
    #[test]
    fn sums_are_those_of_dense_maps(a in any_exponential(), b in any_exponential()) {
        // With one zero bucket there is nothing but buckets to add.
        let b = FloatHistogram { zero_threshold: a.zero_threshold, ..b };
        let a = FloatHistogram { zero_threshold: 0.0, ..a };
        let b = FloatHistogram { zero_threshold: 0.0, ..b };
        let schema = a.schema.min(b.schema);
        let mut expected = dense(&a.positive, a.schema, schema);
        let mut difference = expected.clone();
        for (index, count) in dense(&b.positive, b.schema, schema) {
            *expected.entry(index).or_insert(0.0) += count;
            *difference.entry(index).or_insert(0.0) -= count;
        }
        let mut sum = a.clone();
        add(&mut sum, &b).unwrap();
        sum.compact(0);
        prop_assert_eq!(sum.schema, schema);
        let expected = without_empty(expected);
        prop_assert_eq!(pairs(&sum.positive), expected.clone());
        let mut compensated = HistogramSum::new(a.clone());
        compensated.add(&b).unwrap();
        let mut total = compensated.total();
        total.compact(0);
        prop_assert_eq!(pairs(&total.positive), expected);
        let mut taken = a.clone();
        subtract(&mut taken, &b).unwrap();
        taken.compact(0);
        prop_assert_eq!(pairs(&taken.positive), without_empty(difference));
    }

    #[test]
    fn no_observation_is_lost(a in any_exponential(), b in any_exponential()) {
        let mut sum = a.clone();
        add(&mut sum, &b).unwrap();
        // Whole numbers of this size are exact.
        let whole = |h: &FloatHistogram| in_buckets(h) + h.zero_count.min(0.0);
        // What lies in both the zero bucket and buckets of its own stays where it is.
        if a.zero_threshold == 0.0 && b.zero_threshold == 0.0 || a.schema == b.schema {
            let inside = |h: &FloatHistogram| {
                h.positive_buckets().chain(h.negative_buckets())
                    .filter(|b| b.lower.abs().max(b.upper.abs()) <= h.zero_threshold)
                    .map(|b| b.count).sum::<f64>()
            };
            if inside(&a) == 0.0 && inside(&b) == 0.0 {
                prop_assert_eq!(whole(&sum), whole(&a) + whole(&b));
            }
        }
        prop_assert!(sum.zero_threshold >= a.zero_threshold.max(b.zero_threshold));
        let mut other_way = b.clone();
        add(&mut other_way, &a).unwrap();
        sum.compact(0);
        other_way.compact(0);
        prop_assert_eq!(sum.zero_threshold, other_way.zero_threshold);
        prop_assert_eq!(sum.count, other_way.count);
    }

    #[test]
    fn a_grown_counter_has_no_reset(a in any_exponential(), more in any_side()) {
        let mut now = a.clone();
        let grown = exponential(a.schema, (a.zero_threshold, 1.0), more, Buckets::default());
        add(&mut now, &grown).unwrap();
        prop_assert!(!detect_reset(&now, &a));
        prop_assert!(!detect_reset(&a, &a));
        if let Some(at) = a.positive.counts().iter().position(|c| *c > 0.0) {
            let mut less = a.clone();
            less.positive.counts_mut()[at] -= 1.0;
            less.count += 1.0;
            let bucket = a.positive_buckets().nth(at).unwrap();
            prop_assert_eq!(detect_reset(&less, &a), bucket.upper > a.zero_threshold);
        }
    }

    #[test]
    fn custom_sums_keep_every_observation(a in any_custom(), b in any_custom()) {
        let mut sum = a.clone();
        let reconciled = add(&mut sum, &b).unwrap();
        prop_assert_eq!(reconciled.bounds_differ, a.custom_bounds != b.custom_bounds);
        prop_assert_eq!(in_buckets(&sum), in_buckets(&a) + in_buckets(&b));
        let below = |h: &FloatHistogram, bound: f64| {
            h.positive_buckets().filter(|b| b.upper <= bound).map(|b| b.count).sum::<f64>()
        };
        for bound in sum.custom_bounds.iter() {
            prop_assert_eq!(below(&sum, *bound), below(&a, *bound) + below(&b, *bound));
        }
        let mut compensated = HistogramSum::new(a);
        compensated.add(&b).unwrap();
        let mut total = compensated.total();
        total.compact(0);
        sum.compact(0);
        prop_assert_eq!(total, sum);
    }
}
