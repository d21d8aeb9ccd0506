//! Histograms against tables of cases and against dense maps of buckets.

mod estimates;
mod sums;

use std::collections::BTreeMap;

use kymo_storage::model::histogram::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// Makes buckets from an index on without a gap.
fn buckets(first: i32, counts: &[f64]) -> Buckets {
    let indexes = (first..).take(counts.len()).collect();
    Buckets::from_layout(indexes, counts.to_vec()).unwrap()
}

fn from_map(map: &BTreeMap<i32, f64>) -> Buckets {
    let indexes = map.keys().copied().collect();
    Buckets::from_layout(indexes, map.values().copied().collect()).unwrap()
}

fn pairs(buckets: &Buckets) -> Vec<(i32, f64)> {
    buckets.iter().collect()
}

/// An exponential histogram whose count is that of its buckets.
fn exponential(
    schema: i32,
    zero: (f64, f64),
    positive: Buckets,
    negative: Buckets,
) -> FloatHistogram {
    let of = |buckets: &Buckets| buckets.counts().iter().sum::<f64>();
    FloatHistogram {
        schema,
        zero_threshold: zero.0,
        zero_count: zero.1,
        count: zero.1 + of(&positive) + of(&negative),
        sum: 1.0,
        positive,
        negative,
        ..FloatHistogram::default()
    }
}

fn positive(schema: i32, first: i32, counts: &[f64]) -> FloatHistogram {
    exponential(
        schema,
        (0.0, 0.0),
        buckets(first, counts),
        Buckets::default(),
    )
}

fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: counts.iter().sum(),
        sum: 1.0,
        positive: buckets(0, counts),
        custom_bounds: bounds.into(),
        ..FloatHistogram::default()
    }
}

fn with_hint(mut histogram: FloatHistogram, hint: CounterResetHint) -> FloatHistogram {
    histogram.counter_reset_hint = hint;
    histogram
}

/// Returns the observations of all buckets.
fn in_buckets(histogram: &FloatHistogram) -> f64 {
    histogram.all_buckets().map(|bucket| bucket.count).sum()
}

prop_compose! {
    fn any_side()(
        map in btree_map(-40i32..40, prop_oneof![Just(0u32), 1u32..50], 0..12),
    ) -> Buckets {
        from_map(&map.into_iter().map(|(index, count)| (index, f64::from(count))).collect())
    }
}

prop_compose! {
    fn any_exponential()(
        schema in -4i32..=8,
        threshold in prop_oneof![Just(0.0), Just(0.001), 0.01f64..40.0],
        zero_count in 0u32..5,
        positive in any_side(),
        negative in any_side(),
    ) -> FloatHistogram {
        exponential(schema, (threshold, f64::from(zero_count)), positive, negative)
    }
}

prop_compose! {
    fn any_custom()(
        bounds in btree_map(-10i32..10, Just(()), 0..8),
        counts in vec(0u32..20, 9),
    ) -> FloatHistogram {
        let bounds: Vec<f64> = bounds.into_keys().map(f64::from).collect();
        let counts = counts.into_iter().take(bounds.len() + 1).map(f64::from);
        custom(&bounds, &counts.collect::<Vec<f64>>())
    }
}
