//! Averages and deviations of the observations in a histogram.

use kymo_storage::model::histogram::FloatHistogram;

use crate::promql::Sum;

/// Returns the mean of the observations.
pub fn average(histogram: &FloatHistogram) -> f64 {
    histogram.sum / histogram.count
}

/// Returns the standard deviation of the observations, see [`variance`].
pub fn standard_deviation(histogram: &FloatHistogram) -> f64 {
    variance(histogram).sqrt()
}

/// Estimates the variance of the observations.
///
/// All of a bucket stand at its middle: the geometric one of exponential buckets, the
/// arithmetic one of custom buckets, zero for the zero bucket.
pub fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut squares = Sum::default();
    for bucket in histogram.all_buckets() {
        if bucket.count == 0.0 {
            continue;
        }
        let middle = if histogram.uses_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let distance = middle - mean;
        squares.add(bucket.count * distance * distance);
    }
    squares.total() / histogram.count
}
