//! Layouts, bounds, checks and texts of single histograms.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

fn buckets(spans: &[Span], counts: &[f64]) -> Buckets {
    Buckets::from_spans(spans, counts.to_vec()).unwrap()
}

fn pairs(buckets: &Buckets) -> Vec<(i32, f64)> {
    buckets.iter().collect()
}

fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: counts.iter().sum(),
        sum: 7.0,
        positive: buckets(&[span(0, counts.len() as u32)], counts),
        custom_bounds: bounds.into(),
        ..FloatHistogram::default()
    }
}

#[test]
fn spans_give_each_bucket_an_index() {
    type Case<'a> = (&'a [Span], &'a [f64], &'a [(i32, f64)], &'a [Span]);
    let cases: [Case<'_>; 4] = [
        (&[], &[], &[], &[]),
        (
            &[span(-2, 2), span(1, 1)],
            &[1.0, 2.0, 3.0],
            &[(-2, 1.0), (-1, 2.0), (1, 3.0)],
            &[span(-2, 2), span(1, 1)],
        ),
        // Spans that touch are one, and those without buckets none.
        (
            &[span(3, 1), span(0, 1)],
            &[1.0, 2.0],
            &[(3, 1.0), (4, 2.0)],
            &[span(3, 2)],
        ),
        (
            &[span(3, 0), span(2, 1), span(1, 0), span(4, 1)],
            &[1.0, 2.0],
            &[(5, 1.0), (11, 2.0)],
            &[span(5, 1), span(5, 1)],
        ),
    ];
    for (spans, counts, expected, normal) in cases {
        let buckets = buckets(spans, counts);
        assert_eq!(pairs(&buckets), expected);
        assert_eq!(buckets.spans(), normal);
        assert_eq!(buckets.n_spans(), normal.len());
    }
}

#[test]
fn spans_that_fit_no_buckets_are_refused() {
    let cases: [(&[Span], usize, &str); 5] = [
        (
            &[span(0, 3)],
            2,
            "spans need 3 buckets, have 2 buckets: histogram spans specify different number of \
             buckets than provided",
        ),
        (
            &[span(0, u32::MAX), span(0, u32::MAX)],
            0,
            "spans need 8589934590 buckets, have 0 buckets: histogram spans specify different \
             number of buckets than provided",
        ),
        (
            &[span(0, 1), span(-1, 1)],
            2,
            "span number 2 with offset -1: histogram has a span whose offset is negative",
        ),
        (
            &[span(i32::MAX, 2)],
            2,
            "histogram has a bucket whose index is beyond 32 bits",
        ),
        (
            &[span(1, 1), span(i32::MAX, 1)],
            2,
            "histogram has a bucket whose index is beyond 32 bits",
        ),
    ];
    for (spans, n, expected) in cases {
        let error = Buckets::from_spans(spans, vec![1.0; n]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    assert!(Buckets::from_layout(Arc::from([1, 1]), vec![1.0, 1.0]).is_none());
    assert!(Buckets::from_layout(Arc::from([1, 2]), vec![1.0]).is_none());
}

#[test]
fn compaction_leaves_short_gaps_written_out_where_asked() {
    let all = buckets(
        &[span(-3, 8), span(2, 2)],
        &[0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 3.0, 0.0, 0.0, 4.0],
    );
    let cases: [(u32, &[(i32, f64)]); 3] = [
        (0, &[(-2, 1.0), (0, 2.0), (3, 3.0), (8, 4.0)]),
        (1, &[(-2, 1.0), (-1, 0.0), (0, 2.0), (3, 3.0), (8, 4.0)]),
        (
            4,
            &[
                (-2, 1.0),
                (-1, 0.0),
                (0, 2.0),
                (1, 0.0),
                (2, 0.0),
                (3, 3.0),
                (4, 0.0),
                (5, 0.0),
                (6, 0.0),
                (7, 0.0),
                (8, 4.0),
            ],
        ),
    ];
    for (max_empty, expected) in cases {
        let mut compacted = all.clone();
        compacted.compact(max_empty);
        assert_eq!(pairs(&compacted), expected, "at most {max_empty}");
    }
}

#[test]
fn buckets_come_from_the_lowest_to_the_highest() {
    let histogram = FloatHistogram {
        zero_threshold: 0.75,
        zero_count: 5.0,
        positive: buckets(&[span(0, 2)], &[1.0, 2.0]),
        negative: buckets(&[span(0, 2)], &[3.0, 4.0]),
        ..FloatHistogram::default()
    };
    let bounds = |b: Bucket| (b.lower, b.upper, b.count);
    let up: Vec<_> = histogram.all_buckets().map(bounds).collect();
    assert_eq!(
        up,
        [
            (-2.0, -1.0, 4.0),
            (-1.0, -0.75, 3.0),
            (-0.75, 0.75, 5.0),
            (0.75, 1.0, 1.0),
            (1.0, 2.0, 2.0)
        ]
    );
    let mut down: Vec<_> = histogram.all_buckets().rev().map(bounds).collect();
    down.reverse();
    assert_eq!(up, down);

    let custom = custom(&[-1.0, 4.0], &[1.0, 2.0, 3.0]);
    let up: Vec<_> = custom.all_buckets().map(bounds).collect();
    assert_eq!(
        up,
        [
            (f64::NEG_INFINITY, -1.0, 1.0),
            (-1.0, 4.0, 2.0),
            (4.0, f64::INFINITY, 3.0)
        ]
    );
}

#[test]
fn texts_are_those_of_prometheus() {
    let histogram = FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: 1,
        count: 22.5,
        sum: 1e6,
        zero_threshold: 0.001,
        zero_count: 2.0,
        positive: buckets(&[span(0, 1), span(1, 2)], &[5.0, 0.0, 7.5]),
        negative: buckets(&[span(-1, 2)], &[3.0, 4.0]),
        ..FloatHistogram::default()
    };
    assert_eq!(
        histogram.to_string(),
        "{count:22.5, sum:1e+06, [-1,-0.7071067811865475):4, [-0.7071067811865475,-0.5):3, \
         [-0.001,0.001]:2, (0.7071067811865475,1]:5, (2,2.82842712474619]:7.5}"
    );
    assert_eq!(
        histogram.to_test_notation(),
        "{{schema:1 count:22.5 sum:1e+06 z_bucket:2 z_bucket_w:0.001 counter_reset_hint:gauge \
         buckets:[5 0 0 7.5] n_offset:-1 n_buckets:[3 4]}}"
    );
    let custom = custom(&[0.5, 1.0], &[1.0, 2.0, 3.0]);
    assert_eq!(
        custom.to_string(),
        "{count:6, sum:7, [-Inf,0.5]:1, (0.5,1]:2, (1,+Inf]:3}"
    );
    assert_eq!(
        custom.to_test_notation(),
        "{{schema:-53 count:6 sum:7 custom_values:[0.5 1] buckets:[1 2 3]}}"
    );
    assert_eq!(FloatHistogram::default().to_string(), "{count:0, sum:0}");
    assert_eq!(FloatHistogram::default().to_test_notation(), "{{}}");
}

#[test]
fn what_is_no_histogram_is_named() {
    let exponential = FloatHistogram {
        positive: buckets(&[span(0, 2)], &[1.0, 2.0]),
        negative: buckets(&[span(0, 1)], &[1.0]),
        count: 4.0,
        ..FloatHistogram::default()
    };
    let custom = custom(&[1.0, 2.0], &[1.0, 2.0, 3.0]);
    type Change = fn(&mut FloatHistogram);
    let cases: [(&FloatHistogram, Change, &str); 16] = [
        (&exponential, |_| {}, ""),
        // What floats add up to need not match.
        (&exponential, |h| h.count = 1.0, ""),
        (&custom, |_| {}, ""),
        (
            &exponential,
            |h| h.positive.counts_mut()[1] = -1.0,
            "positive side: bucket number 2 has observation count of -1: histogram has a bucket \
             whose observation count is negative",
        ),
        (
            &exponential,
            |h| h.negative.counts_mut()[0] = -0.5,
            "negative side: bucket number 1 has observation count of -0.5: histogram has a \
             bucket whose observation count is negative",
        ),
        (
            &exponential,
            |h| h.zero_count = -3.0,
            "zero bucket has observation count of -3: histogram has a bucket whose observation \
             count is negative",
        ),
        (
            &exponential,
            |h| h.count = -1.0,
            "observation count is  -1: histogram's observation count is negative",
        ),
        (
            &exponential,
            |h| h.custom_bounds = [1.0].into(),
            "histogram with exponential schema must not have custom bounds",
        ),
        (
            &exponential,
            |h| h.schema = 9,
            "histogram has an invalid schema, which must be between -4 and 8 for exponential \
             buckets, or -53 for custom buckets, got schema 9",
        ),
        (
            &custom,
            |h| h.custom_bounds = [2.0, 1.0].into(),
            "custom buckets: previous bound is 2.000000 and current is 1.000000: histogram \
             custom bounds must be in strictly increasing order",
        ),
        (
            &custom,
            |h| h.custom_bounds = [1.0, f64::INFINITY].into(),
            "custom buckets: last +Inf bound must not be explicitly defined: histogram custom \
             bounds must be finite",
        ),
        (
            &custom,
            |h| h.custom_bounds = [1.0, f64::NAN].into(),
            "custom buckets: histogram custom bounds must not be NaN",
        ),
        (
            &custom,
            |h| h.custom_bounds = [1.0].into(),
            "custom buckets: only 1 custom bounds defined which is insufficient to cover total \
             span length of 3: histogram custom bounds are too few",
        ),
        (
            &custom,
            |h| h.zero_count = 1.0,
            "custom buckets: must have zero count of 0",
        ),
        (
            &custom,
            |h| h.zero_threshold = 1.0,
            "custom buckets: must have zero threshold of 0",
        ),
        (
            &custom,
            |h| h.negative = h.positive.clone(),
            "custom buckets: must not have negative spans",
        ),
    ];
    for (histogram, change, expected) in cases {
        let mut histogram = histogram.clone();
        change(&mut histogram);
        let error = histogram.validate().err();
        let error = error.map_or(String::new(), |error| error.to_string());
        assert_eq!(error, expected);
    }
}

#[test]
fn whole_counts_become_floats() {
    let integer = IntegerHistogram {
        schema: 2,
        zero_threshold: 0.5,
        zero_count: 2,
        count: 12,
        sum: 3.5,
        positive_spans: vec![span(1, 2), span(3, 1)],
        positive_deltas: vec![1, 2, -2],
        negative_spans: vec![span(0, 1)],
        negative_deltas: vec![5],
        ..IntegerHistogram::default()
    };
    assert_eq!(integer.validate(), Ok(()));
    let float = integer.to_float().unwrap();
    assert_eq!(pairs(&float.positive), [(1, 1.0), (2, 3.0), (6, 1.0)]);
    assert_eq!(pairs(&float.negative), [(0, 5.0)]);
    assert_eq!((float.count, float.zero_count, float.sum), (12.0, 2.0, 3.5));
    assert_eq!((float.schema, float.zero_threshold), (2, 0.5));
    assert_eq!(float.validate(), Ok(()));
}

#[test]
fn whole_counts_must_add_up() {
    let integer = IntegerHistogram {
        count: 2,
        positive_spans: vec![span(0, 1)],
        positive_deltas: vec![2],
        ..IntegerHistogram::default()
    };
    type Change = fn(&mut IntegerHistogram);
    let cases: [(Change, &str); 6] = [
        (|_| {}, ""),
        (
            |h| h.count = 5,
            "2 observations found in buckets, but the Count field is 5: histogram's observation \
             count should equal the number of observations found in the buckets (in absence of \
             NaN)",
        ),
        // Observations of NaN are in no bucket.
        (
            |h| {
                h.count = 5;
                h.sum = f64::NAN;
            },
            "",
        ),
        (
            |h| {
                h.count = 1;
                h.sum = f64::NAN;
            },
            "2 observations found in buckets, but the Count field is 1: histogram's observation \
             count should be at least the number of observations found in the buckets",
        ),
        (
            |h| h.positive_deltas[0] = i64::MIN,
            "positive side: bucket number 1 has observation count of -9223372036854775808: \
             histogram has a bucket whose observation count is negative",
        ),
        (
            |h| h.positive_deltas.push(1),
            "positive side: spans need 1 buckets, have 2 buckets: histogram spans specify \
             different number of buckets than provided",
        ),
    ];
    for (change, expected) in cases {
        let mut histogram = integer.clone();
        change(&mut histogram);
        let error = histogram.validate().err();
        let error = error.map_or(String::new(), |error| error.to_string());
        assert_eq!(error, expected);
    }
}

fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let one = (
        prop_oneof![-5i32..50, any::<i32>()],
        prop_oneof![0u32..6, any::<u32>()],
    );
    vec(one.prop_map(|(offset, length)| span(offset, length)), 0..6)
}

proptest! {
    #[test]
    fn spans_survive_indexes(map in btree_map(-50i32..50, 0.0f64..5.0, 0..20)) {
        let layout: Arc<[i32]> = map.keys().copied().collect();
        let made = Buckets::from_layout(layout, map.values().copied().collect()).unwrap();
        let again = Buckets::from_spans(&made.spans(), made.counts().to_vec()).unwrap();
        prop_assert_eq!(&made, &again);
        prop_assert_eq!(made.spans().len(), made.n_spans());
    }

    #[test]
    fn compaction_changes_no_count(
        map in btree_map(-20i32..20, prop_oneof![Just(0.0), 0.5f64..2.0], 0..30),
        max_empty in 0u32..4,
    ) {
        let layout: Arc<[i32]> = map.keys().copied().collect();
        let made = Buckets::from_layout(layout, map.values().copied().collect()).unwrap();
        let mut compact = made.clone();
        compact.compact(max_empty);
        let full = |b: &Buckets| b.iter().filter(|p| p.1 != 0.0).collect::<Vec<_>>();
        prop_assert_eq!(full(&made), full(&compact));
        let gaps = compact.layout().windows(2).map(|w| (w[1] - w[0] - 1) as u32);
        prop_assert!(gaps.into_iter().all(|gap| gap == 0 || gap > max_empty));
        let mut again = compact.clone();
        again.compact(max_empty);
        prop_assert_eq!(compact, again);
    }

    #[test]
    fn nothing_breaks_on_nonsense(
        spans in any_spans(),
        deltas in vec(any::<i64>(), 0..20),
        schema in prop_oneof![Just(-53), -10i32..60, any::<i32>()],
        bounds in vec(any::<f64>(), 0..5),
    ) {
        let integer = IntegerHistogram {
            schema,
            zero_threshold: f64::NAN,
            zero_count: 3,
            positive_spans: spans.clone(),
            positive_deltas: deltas.clone(),
            negative_spans: spans,
            negative_deltas: deltas,
            custom_bounds: bounds.into(),
            ..IntegerHistogram::default()
        };
        let _ = integer.validate();
        if let Ok(float) = integer.to_float() {
            let _ = float.validate();
            prop_assert!(!float.to_string().is_empty());
            prop_assert!(float.all_buckets().count() <= 2 * float.positive.len() + 1);
        }
    }
}
