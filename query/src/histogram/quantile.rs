//! Quantiles of the observations in a histogram, and the share of them in a range.
//!
//! Within a bucket observations are taken to be spread evenly: on a linear scale in
//! custom buckets and the zero bucket, on a logarithmic one in the others. The zero
//! bucket reaches to one side only if the other side has no buckets.

use kymo_storage::model::histogram::{Bucket, FloatHistogram};

/// What is odd about an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantileNote {
    /// The quantile is among observations of NaN.
    NanResult,
    /// Observations of NaN count as the largest and move the quantile up.
    NanSkew,
    /// Observations of NaN are in no range.
    NanExcluded,
}

/// Estimates the value below which the share `q` of the observations lies.
pub fn quantile(q: f64, histogram: &FloatHistogram) -> (f64, Option<QuantileNote>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    // From the end that is nearer. Observations of NaN are in no bucket but count, as if
    // they were above all others, so that only counting upwards finds the rank.
    let upwards = histogram.sum.is_nan() || q < 0.5;
    let mut buckets = histogram.all_buckets();
    let mut next = || match upwards {
        true => buckets.next(),
        false => buckets.next_back(),
    };
    let rank = (if upwards { q } else { 1.0 - q }) * histogram.count;
    let mut count = 0.0;
    let mut bucket = NO_BUCKET;
    while let Some(found) = next() {
        bucket = found;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    if histogram.uses_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        one_sided(&mut bucket, histogram);
    }
    // Rounding may have made the sum of the buckets larger.
    count = count.min(histogram.count);
    if count < rank {
        return match histogram.sum.is_nan() {
            true => (f64::NAN, Some(QuantileNote::NanResult)),
            false => (bucket.upper, None),
        };
    }
    let rank = match upwards {
        true => rank - (count - bucket.count),
        false => count - rank,
    };
    let mut note = None;
    // The share is of the last bucket that was walked, as in Prometheus.
    if histogram.sum.is_nan() {
        while let Some(found) = next() {
            bucket = found;
            count += bucket.count;
        }
        if count < histogram.count {
            note = Some(QuantileNote::NanSkew);
        }
    }
    let share = rank / bucket.count;
    let Bucket { lower, upper, .. } = bucket;
    if histogram.uses_custom_buckets() || (lower <= 0.0 && upper >= 0.0) {
        return (lower + (upper - lower) * share, note);
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    let value = if lower > 0.0 {
        (log_lower + (log_upper - log_lower) * share).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - share)).exp2()
    };
    (value, note)
}

/// Where no bucket has been met: what Prometheus has before the first.
const NO_BUCKET: Bucket = Bucket {
    lower: 0.0,
    upper: 0.0,
    lower_inclusive: false,
    upper_inclusive: false,
    count: 0.0,
};

/// Cuts the zero bucket at zero if there is nothing on one side of it.
fn one_sided(bucket: &mut Bucket, histogram: &FloatHistogram) {
    match (histogram.negative.is_empty(), histogram.positive.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

/// Estimates the share of the observations between two values.
pub fn fraction(lower: f64, upper: f64, histogram: &FloatHistogram) -> (f64, Option<QuantileNote>) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let (mut count, mut rank) = (0.0, 0.0);
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut buckets = histogram.all_buckets();
    for mut bucket in buckets.by_ref() {
        count += bucket.count;
        let is_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if is_zero {
            one_sided(&mut bucket, histogram);
        }
        let is_linear = histogram.uses_custom_buckets() || is_zero;
        for (value, value_rank) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if value_rank.is_none() && bucket.lower >= value {
                *value_rank = Some(rank);
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        for (value, value_rank) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if value_rank.is_none() && bucket.lower < value && bucket.upper > value {
                *value_rank = Some(if is_linear && bucket.lower == f64::NEG_INFINITY {
                    // Nothing can be said of such a bucket: as if all were below.
                    bucket.count
                } else {
                    rank + bucket.count * share_below(&bucket, value, is_linear)
                });
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += bucket.count;
    }
    let mut note = None;
    if histogram.sum.is_nan() {
        count += buckets.map(|bucket| bucket.count).fold(0.0, |a, b| a + b);
        if count < histogram.count {
            note = Some(QuantileNote::NanExcluded);
        }
    } else {
        count = histogram.count;
    }
    let at_most = |rank: Option<f64>| match rank {
        Some(rank) if rank <= count || rank.is_nan() => rank,
        _ => count,
    };
    let share = (at_most(upper_rank) - at_most(lower_rank)) / histogram.count;
    (share, note)
}

/// Returns which share of a bucket with finite bounds lies below a value inside.
pub(super) fn share_below(bucket: &Bucket, value: f64, is_linear: bool) -> f64 {
    if is_linear {
        return (value - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let log_lower = bucket.lower.abs().log2();
    let log_upper = bucket.upper.abs().log2();
    let log_value = value.abs().log2();
    if value > 0.0 {
        (log_value - log_lower) / (log_upper - log_lower)
    } else {
        1.0 - (log_value - log_upper) / (log_lower - log_upper)
    }
}
