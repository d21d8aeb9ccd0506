//! Quantiles, fractions, deviations, trimming, conversion.

use super::*;
use crate::histogram::{
    ClassicHistogram, Keep, QuantileNote, average, fraction, quantile, sample_size,
    standard_deviation, trim, variance,
};

#[track_caller]
fn near(found: f64, expected: f64) {
    let same = found == expected
        || found.is_nan() && expected.is_nan()
        || (found - expected).abs() <= 1e-12 * expected.abs();
    assert!(same, "{found}, expected {expected}");
}

#[test]
fn quantiles_are_interpolated_within_buckets() {
    // (0.5, 1], (1, 2], (2, 4]
    let above = positive(0, 0, &[2.0, 4.0, 2.0]);
    let below = exponential(
        0,
        (0.0, 0.0),
        Buckets::default(),
        buckets(0, &[2.0, 4.0, 2.0]),
    );
    let both = exponential(0, (0.25, 4.0), buckets(0, &[2.0]), buckets(0, &[2.0]));
    let one_sided = exponential(0, (0.25, 4.0), buckets(0, &[4.0]), Buckets::default());
    let bounds = custom(&[1.0, 3.0], &[2.0, 4.0, 2.0]);
    let negative_first = custom(&[-1.0, 3.0], &[2.0, 4.0, 2.0]);
    let cases = [
        (&above, 0.0, 0.5),
        (&above, 0.25, 1.0),
        (&above, 0.5, 2f64.sqrt()),
        (&above, 0.75, 2.0),
        (&above, 1.0, 4.0),
        (&below, 0.0, -4.0),
        (&below, 0.5, -(2f64.sqrt())),
        (&below, 1.0, -0.5),
        (&both, 0.5, 0.0),
        (&both, 0.25, -0.5),
        (&both, 0.3125, -0.1875),
        (&both, 0.375, -0.125),
        (&one_sided, 0.25, 0.125),
        (&bounds, 0.125, 0.5),
        (&bounds, 0.5, 2.0),
        // Nobody knows how far the last bucket reaches.
        (&bounds, 0.9, 3.0),
        (&negative_first, 0.1, -1.0),
        (&above, -0.1, f64::NEG_INFINITY),
        (&above, 1.1, f64::INFINITY),
        (&above, f64::NAN, f64::NAN),
    ];
    for (histogram, q, expected) in cases {
        let (found, note) = quantile(q, histogram);
        near(found, expected);
        assert_eq!(note, None);
    }
    near(quantile(0.5, &FloatHistogram::default()).0, f64::NAN);
}

#[test]
fn observations_of_nan_are_noted() {
    let mut histogram = positive(0, 0, &[2.0, 4.0, 2.0]);
    histogram.sum = f64::NAN;
    histogram.count = 10.0;
    let (found, note) = quantile(0.95, &histogram);
    assert!(found.is_nan());
    assert_eq!(note, Some(QuantileNote::NanResult));
    assert_eq!(quantile(0.3, &histogram).1, Some(QuantileNote::NanSkew));
    let (share, note) = fraction(f64::NEG_INFINITY, f64::INFINITY, &histogram);
    assert_eq!((share, note), (0.8, Some(QuantileNote::NanExcluded)));
    // Infinite observations of both signs also have a sum of NaN, but are in buckets.
    histogram.count = 8.0;
    assert_eq!(quantile(0.3, &histogram).1, None);
    assert_eq!(fraction(0.0, 1.0, &histogram).1, None);
}

#[test]
fn fractions_are_interpolated_within_buckets() {
    let above = positive(0, 0, &[2.0, 4.0, 2.0]);
    let both = exponential(0, (0.25, 4.0), buckets(0, &[2.0]), buckets(0, &[2.0]));
    let bounds = custom(&[1.0, 3.0], &[2.0, 4.0, 2.0]);
    let negative_first = custom(&[-1.0, 3.0], &[2.0, 4.0, 2.0]);
    let (down, up) = (f64::NEG_INFINITY, f64::INFINITY);
    let cases = [
        (&above, down, up, 1.0),
        (&above, 1.0, 2.0, 0.5),
        (&above, 2f64.sqrt(), up, 0.5),
        (&above, 0.0, 0.1, 0.0),
        (&above, 3.0, 3.0, 0.0),
        (&above, 9.0, up, 0.0),
        (&both, 0.0, up, 0.5),
        (&both, -0.125, 0.125, 0.25),
        (&bounds, 1.0, 2.0, 0.25),
        (&bounds, down, 0.5, 0.125),
        // Nothing is said of where in the outer buckets observations are.
        (&negative_first, down, -5.0, 0.25),
        (&bounds, 7.0, up, 0.25),
        (&bounds, f64::NAN, up, f64::NAN),
    ];
    for (histogram, lower, upper, expected) in cases {
        let (found, note) = fraction(lower, upper, histogram);
        near(found, expected);
        assert_eq!(note, None);
    }
}

#[test]
fn deviations_are_of_the_middles_of_buckets() {
    let mut histogram = exponential(0, (0.25, 2.0), buckets(2, &[1.0]), buckets(2, &[1.0]));
    histogram.sum = 0.0;
    near(average(&histogram), 0.0);
    near(variance(&histogram), 2.0 * 8.0 / 4.0);
    near(standard_deviation(&histogram), 2.0);
    let mut bounds = custom(&[2.0, 4.0], &[0.0, 2.0, 0.0]);
    bounds.sum = 8.0;
    near(variance(&bounds), 1.0);
    near(variance(&FloatHistogram::default()), f64::NAN);
}

#[test]
fn trimming_splits_the_bucket_at_the_value() {
    let above = positive(0, 0, &[2.0, 4.0, 2.0]);
    let check = |histogram: &FloatHistogram, value, keep, count, sum| {
        let mut trimmed = histogram.clone();
        trim(&mut trimmed, value, keep);
        near(trimmed.count, count);
        near(trimmed.sum, sum);
        trimmed
    };
    // Nothing is removed, nothing estimated.
    assert_eq!(check(&above, 4.0, Keep::Below, 8.0, 1.0), above);
    assert_eq!(check(&above, 0.5, Keep::Above, 8.0, 1.0), above);
    let low = 2.0 * 0.5f64.sqrt();
    let left = check(&above, 1.0, Keep::Below, 2.0, low);
    assert_eq!(pairs(&left.positive), [(0, 2.0)]);
    let left = check(
        &above,
        2f64.sqrt(),
        Keep::Below,
        4.0,
        low + 2.0 * 2f64.sqrt().sqrt(),
    );
    assert_eq!(left.positive.len(), 2);
    check(&above, 0.1, Keep::Below, 0.0, 0.0);
    check(
        &above,
        3.0,
        Keep::Above,
        2.0 * (4f64 / 3.0).log2(),
        2.0 * (4f64 / 3.0).log2() * 12f64.sqrt(),
    );
    let zero = exponential(0, (1.0, 4.0), Buckets::default(), Buckets::default());
    check(&zero, 0.0, Keep::Above, 2.0, 1.0);
    let bounds = custom(&[2.0, 4.0], &[2.0, 4.0, 2.0]);
    check(&bounds, 1.0, Keep::Below, 1.0, 0.5);
    check(&bounds, 3.0, Keep::Above, 4.0, 2.0 * 3.5 + 2.0 * 4.0);
    // Which of the highest are above is not known: all, if the value is among them.
    check(&bounds, 9.0, Keep::Above, 2.0, 18.0);
    check(&bounds, 9.0, Keep::Below, 6.0, 2.0 * 1.0 + 4.0 * 3.0);
}

#[test]
fn classic_histograms_become_native() {
    let mut classic = ClassicHistogram::default();
    for (bound, count) in [
        (1.0, 2.0),
        (f64::INFINITY, 9.0),
        (0.5, 2.0),
        (5.0, 6.0),
        (5.0, 7.0),
    ] {
        classic.set_bucket(bound, count).unwrap();
    }
    classic.set_sum(12.0);
    let native = classic.to_native().unwrap();
    assert_eq!(&native.custom_bounds[..], [0.5, 1.0, 5.0]);
    assert_eq!(
        pairs(&native.positive),
        [(0, 2.0), (1, 0.0), (2, 4.0), (3, 3.0)]
    );
    assert_eq!((native.count, native.sum), (9.0, 12.0));
    classic.set_count(8.0).unwrap();
    let error = |result: Result<(), _>| result.map_err(|error| format!("{error}")).unwrap_err();
    assert_eq!(
        classic.to_native().unwrap_err().to_string(),
        "count mismatch: count=8 != le=+Inf count=9"
    );
    assert_eq!(
        error(classic.set_bucket(2.0, 1.0)),
        "count is not cumulative: 1 < 2"
    );
    assert_eq!(
        error(classic.set_bucket(2.0, 7.0)),
        "count is not cumulative: 7 > 6"
    );
    assert_eq!(
        error(classic.set_bucket(f64::NAN, 7.0)),
        "bucket boundary must not be NaN"
    );
    assert_eq!(
        error(classic.set_bucket(2.0, -7.0)),
        "bucket count must be non-negative: le=2, count=-7"
    );
    // Only a count: all are below +Inf.
    let mut only_count = ClassicHistogram::default();
    only_count.set_count(3.5).unwrap();
    let native = only_count.to_native().unwrap();
    assert_eq!(pairs(&native.positive), [(0, 3.5)]);
    assert!(native.custom_bounds.is_empty());
}

#[test]
fn histograms_count_as_many_samples() {
    assert_eq!(sample_size(&FloatHistogram::default()), 11);
    assert_eq!(sample_size(&positive(0, 0, &[1.0, 2.0, 3.0])), 13);
    assert_eq!(sample_size(&custom(&[1.0, 2.0], &[1.0, 2.0, 3.0])), 14);
}

proptest! {
    #[test]
    fn quantiles_rise_and_fractions_undo_them(mut histogram in any_exponential()) {
        // Buckets that reach into the zero bucket are nonsense.
        let nearest = histogram
            .positive_buckets()
            .chain(histogram.negative_buckets())
            .map(|b| b.lower.abs().min(b.upper.abs()));
        histogram.zero_threshold = nearest.fold(histogram.zero_threshold, f64::min);
        if histogram.zero_threshold == 0.0 {
            // Many observations of one value have no share below it.
            histogram.count -= std::mem::take(&mut histogram.zero_count);
        }
        if histogram.count == 0.0 {
            return Ok(());
        }
        let mut before = f64::NEG_INFINITY;
        for tenths in 0..=10 {
            let q = f64::from(tenths) / 10.0;
            let (value, _) = quantile(q, &histogram);
            prop_assert!(value >= before * (1.0 - 1e-9 * before.signum()), "{value} < {before}");
            before = value;
            let (share, _) = fraction(f64::NEG_INFINITY, value, &histogram);
            prop_assert!((share - q).abs() < 1e-6, "{share} at {q}");
        }
    }

    #[test]
    fn trimming_both_ways_keeps_every_observation(
        histogram in any_exponential(),
        value in -20f64..20.0,
    ) {
        let count = in_buckets(&histogram);
        let (mut below, mut above) = (histogram.clone(), histogram);
        trim(&mut below, value, Keep::Below);
        trim(&mut above, value, Keep::Above);
        let all = in_buckets(&below) + in_buckets(&above);
        prop_assert!((all - count).abs() <= 1e-9 * count, "{all} of {count}");
    }

    #[test]
    fn estimates_survive_nonsense(
        schema in prop_oneof![Just(-53), -60i32..60],
        counts in vec(any::<f64>(), 0..5),
        first in any::<i32>().prop_map(|first| first.min(i32::MAX - 5)),
        numbers in any::<[f64; 5]>(),
    ) {
        let [threshold, zero, count, sum, value] = numbers;
        let histogram = FloatHistogram {
            schema,
            zero_threshold: threshold,
            zero_count: zero,
            count,
            sum,
            positive: buckets(first, &counts),
            negative: buckets(first / 2, &counts),
            ..FloatHistogram::default()
        };
        quantile(value, &histogram);
        fraction(value, f64::INFINITY, &histogram);
        variance(&histogram);
        trim(&mut histogram.clone(), value, Keep::Below);
        trim(&mut histogram.clone(), value, Keep::Above);
    }
}
