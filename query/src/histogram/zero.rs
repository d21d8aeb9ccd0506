//! Zero buckets of different width.
//!
//! The narrower one grows to the wider one and swallows the buckets it reaches. Where
//! its new end would cut a bucket with observations, it grows to that bucket's end; then
//! the other one grows in turn, until both are equally wide.

use std::cmp::Ordering;

use kymo_storage::model::histogram::{Bucket, FloatHistogram};

use super::sum::Lost;
use crate::promql::Sum;

/// What a zero bucket holds once it is wider.
pub(super) struct Widened {
    pub(super) count: Sum,
    pub(super) threshold: f64,
}

/// Returns what the zero bucket would hold with at least the given threshold.
pub(super) fn widened(histogram: &FloatHistogram, lost: Option<&Lost>, threshold: f64) -> Widened {
    // Begins anew when the end moves, but keeps what was lost until then: as Prometheus.
    let mut lost_count = lost.map_or(0.0, |lost| lost.zero_count);
    let mut threshold = threshold;
    if threshold == histogram.zero_threshold {
        let count = Sum {
            sum: histogram.zero_count,
            lost: lost_count,
        };
        return Widened { count, threshold };
    }
    loop {
        let mut count = Sum {
            sum: histogram.zero_count,
            lost: lost_count,
        };
        let positive = histogram.positive_buckets();
        let lost_positive = lost.map(|lost| lost.positive.as_slice());
        if let Some(end) = swallow(&mut count, positive, lost_positive, threshold, |b| {
            (b.lower, b.upper)
        }) {
            threshold = end;
        }
        let negative = histogram.negative_buckets();
        let lost_negative = lost.map(|lost| lost.negative.as_slice());
        let moved = swallow(&mut count, negative, lost_negative, threshold, |b| {
            (-b.upper, -b.lower)
        });
        match moved {
            None => return Widened { count, threshold },
            Some(end) => {
                threshold = end;
                lost_count = count.lost;
            }
        }
    }
}

/// Adds the buckets of one side that begin below the threshold. Returns the end of the
/// last one if the threshold cuts it and it has observations.
fn swallow(
    count: &mut Sum,
    buckets: impl Iterator<Item = Bucket>,
    lost: Option<&[f64]>,
    threshold: f64,
    ends: impl Fn(&Bucket) -> (f64, f64),
) -> Option<f64> {
    for (at, bucket) in buckets.enumerate() {
        let (near, far) = ends(&bucket);
        if near >= threshold {
            return None;
        }
        count.add(bucket.count);
        if let Some(lost) = lost.and_then(|lost| lost.get(at)) {
            count.add(*lost);
        }
        if far > threshold {
            return (bucket.count != 0.0).then_some(far);
        }
    }
    None
}

/// Makes the zero buckets of two histograms equally wide: changes the first one, and
/// returns what the zero bucket of the second one would hold.
pub(super) fn reconcile(
    histogram: &mut FloatHistogram,
    mut lost: Option<&mut Lost>,
    other: &FloatHistogram,
) -> Sum {
    let mut of_other = Widened {
        count: Sum {
            sum: other.zero_count,
            lost: 0.0,
        },
        threshold: other.zero_threshold,
    };
    loop {
        if histogram.zero_threshold > of_other.threshold {
            of_other = widened(other, None, histogram.zero_threshold);
        }
        if of_other.threshold > histogram.zero_threshold {
            let own = widened(histogram, lost.as_deref(), of_other.threshold);
            histogram.zero_threshold = own.threshold;
            histogram.zero_count = own.count.sum;
            if let Some(lost) = lost.as_deref_mut() {
                lost.zero_count = own.count.lost;
            }
            remove_swallowed(histogram, lost.as_deref_mut());
        }
        // A threshold that is no number is equal to none; it ends the loop as well.
        let order = histogram.zero_threshold.partial_cmp(&of_other.threshold);
        if order.is_none_or(Ordering::is_eq) {
            return of_other.count;
        }
    }
}

/// Removes buckets inside the zero bucket, and all that are empty.
fn remove_swallowed(histogram: &mut FloatHistogram, lost: Option<&mut Lost>) {
    let threshold = histogram.zero_threshold;
    let positive = histogram.positive_buckets();
    let n_positive = positive.take_while(|b| b.lower < threshold).count();
    let negative = histogram.negative_buckets();
    let n_negative = negative.take_while(|b| b.upper > -threshold).count();
    histogram.positive.counts_mut()[..n_positive].fill(0.0);
    histogram.negative.counts_mut()[..n_negative].fill(0.0);
    match lost {
        None => histogram.compact(0),
        Some(lost) => {
            lost.positive[..n_positive].fill(0.0);
            lost.negative[..n_negative].fill(0.0);
            lost.compact(histogram);
        }
    }
}
