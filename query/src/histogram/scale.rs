//! Histograms times and by numbers.

use kymo_storage::model::histogram::{Buckets, CounterResetHint, FloatHistogram};

/// Multiplies all counts and the sum. Below zero no counter is left.
pub fn multiply(histogram: &mut FloatHistogram, factor: f64) {
    scale(histogram, |number| number * factor);
    if factor < 0.0 {
        histogram.counter_reset_hint = CounterResetHint::Gauge;
    }
}

/// Divides all counts and the sum. By zero, no buckets are left.
pub fn divide(histogram: &mut FloatHistogram, divisor: f64) {
    if divisor == 0.0 {
        histogram.positive = Buckets::default();
        histogram.negative = Buckets::default();
    }
    scale(histogram, |number| number / divisor);
    if divisor < 0.0 {
        histogram.counter_reset_hint = CounterResetHint::Gauge;
    }
}

fn scale(histogram: &mut FloatHistogram, change: impl Fn(f64) -> f64) {
    let numbers = [
        &mut histogram.zero_count,
        &mut histogram.count,
        &mut histogram.sum,
    ];
    let positive = histogram.positive.counts_mut().iter_mut();
    let negative = histogram.negative.counts_mut().iter_mut();
    for number in numbers.into_iter().chain(positive).chain(negative) {
        *number = change(*number);
    }
}
