//! Whether a counter began anew between two histograms of its series.

use kymo_storage::model::histogram::{
    Bucket, Buckets, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, exponential_bound,
};

use super::{layout, zero};

/// Tells whether a counter began anew between `previous` and `histogram`.
///
/// A hint of the later one decides. Without one, or on gauges that are taken for
/// counters, it did if any count but the sum went down, if a bucket with observations
/// is gone, or if the layout changed as only a new counter changes it: finer buckets, a
/// narrower zero bucket or one that cuts a bucket with observations.
pub fn detect_reset(histogram: &FloatHistogram, previous: &FloatHistogram) -> bool {
    match histogram.counter_reset_hint {
        CounterResetHint::Reset => return true,
        CounterResetHint::NotReset => return false,
        CounterResetHint::Unknown | CounterResetHint::Gauge => {}
    }
    if histogram.count < previous.count {
        return true;
    }
    if histogram.uses_custom_buckets() != previous.uses_custom_buckets() {
        return true;
    }
    if histogram.uses_custom_buckets() && histogram.custom_bounds != previous.custom_bounds {
        return is_less_at_common_bounds(histogram, previous);
    }
    if histogram.schema > previous.schema || histogram.zero_threshold < previous.zero_threshold {
        return true;
    }
    let threshold = histogram.zero_threshold;
    let widened = zero::widened(previous, None, threshold);
    if widened.threshold != threshold || histogram.zero_count < widened.count.sum {
        return true;
    }
    let sides = [
        (&histogram.positive, &previous.positive),
        (&histogram.negative, &previous.negative),
    ];
    sides.into_iter().any(|(now, before)| {
        is_side_less(now, before, histogram.schema, previous.schema, threshold)
    })
}

/// Tells whether a bucket of one side went down. Those in the zero bucket do not count.
fn is_side_less(
    now: &Buckets,
    before: &Buckets,
    schema: i32,
    schema_before: i32,
    threshold: f64,
) -> bool {
    let has_zero = schema != CUSTOM_BUCKETS_SCHEMA && threshold != 0.0;
    let is_in_zero = |index: i32| has_zero && exponential_bound(index, schema) <= threshold;
    let first = now.layout().first();
    if schema == schema_before
        && now.has_layout_of(before)
        && first.is_none_or(|index| !is_in_zero(*index))
    {
        let mut counts = now.counts().iter().zip(before.counts());
        return counts.any(|(now, before)| now < before);
    }
    let now = now.iter().skip_while(|(index, _)| is_in_zero(*index));
    let before = layout::merged(before, schema_before, schema);
    let before = before.skip_while(|(index, _)| is_in_zero(*index));
    let mut both = layout::side_by_side(now, before);
    both.any(|(_, now, before)| match (now, before) {
        (Some(now), Some(before)) => now < before,
        (None, Some(before)) => before != 0.0,
        (_, None) => false,
    })
}

/// Tells whether fewer observations lie between two neighbours among the bounds that
/// both have.
fn is_less_at_common_bounds(histogram: &FloatHistogram, previous: &FloatHistogram) -> bool {
    let bounds = layout::common_bounds(&histogram.custom_bounds, &previous.custom_bounds);
    let mut now = histogram.positive_buckets().peekable();
    let mut before = previous.positive_buckets().peekable();
    let mut ends = bounds.iter().copied().chain([f64::INFINITY]);
    ends.any(|end| up_to(&mut now, end) < up_to(&mut before, end))
}

fn up_to<I: Iterator<Item = Bucket>>(buckets: &mut std::iter::Peekable<I>, end: f64) -> f64 {
    let mut sum = 0.0;
    while let Some(bucket) = buckets.next_if(|bucket| bucket.upper <= end) {
        sum += bucket.count;
    }
    sum
}
