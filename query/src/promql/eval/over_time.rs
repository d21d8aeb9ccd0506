//! What is computed of the values of one window, which are never none.

use super::order::quantile;
use super::sum::{Mean, Sum};

pub(super) fn sum(values: &[f64]) -> f64 {
    let mut sum = Sum::default();
    for &value in values {
        sum.add(value);
    }
    if sum.sum.is_infinite() {
        return sum.sum;
    }
    sum.total()
}

pub(super) fn avg(values: &[f64]) -> f64 {
    let Some((&first, rest)) = values.split_first() else {
        return f64::NAN;
    };
    let mut mean = Mean::new(first);
    for &value in rest {
        mean.add(value);
    }
    mean.mean()
}

/// Returns where the first value stands that no other is better than. NaN is worse
/// than every number.
#[cfg(test)]
fn best_at(values: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (at, &value) in values.iter().enumerate() {
        if better(value, values[best]) || values[best].is_nan() {
            best = at;
        }
    }
    best
}

#[cfg(test)]
pub(super) fn min_at(values: &[f64]) -> usize {
    best_at(values, |value, best| value < best)
}

#[cfg(test)]
pub(super) fn max_at(values: &[f64]) -> usize {
    best_at(values, |value, best| value > best)
}

#[cfg(test)]
pub(super) fn last_min_at(values: &[f64]) -> usize {
    best_at(values, |value, best| value <= best)
}

#[cfg(test)]
pub(super) fn last_max_at(values: &[f64]) -> usize {
    best_at(values, |value, best| value >= best)
}

/// Tells whether a value differs from the one before. NaN does not differ from NaN.
pub(super) fn is_change(before: f64, value: f64) -> bool {
    before != value && !(before.is_nan() && value.is_nan())
}

/// Tells whether a value is below the one before.
pub(super) fn is_reset(before: f64, value: f64) -> bool {
    value < before
}

#[cfg(test)]
pub(super) fn changes(values: &[f64]) -> usize {
    let pairs = values.windows(2);
    pairs.filter(|pair| is_change(pair[0], pair[1])).count()
}

#[cfg(test)]
pub(super) fn resets(values: &[f64]) -> usize {
    let pairs = values.windows(2);
    pairs.filter(|pair| is_reset(pair[0], pair[1])).count()
}

/// Count, mean and squared distance from it, updated value by value with compensation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    count: f64,
    mean: Sum,
    distance: Sum,
}

impl Moments {
    pub(super) fn of(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        for &value in values {
            moments.count += 1.0;
            let delta = value - moments.mean.total();
            moments.mean.add(delta / moments.count);
            moments.distance.add(delta * (value - moments.mean.total()));
        }
        moments
    }

    /// Returns the population variance.
    pub(super) fn variance(&self) -> f64 {
        self.distance.total() / self.count
    }
}

/// Returns the median distance from the median.
pub(super) fn median_deviation(values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    scratch.clear();
    scratch.extend_from_slice(values);
    let median = quantile(0.5, scratch);
    for value in scratch.iter_mut() {
        *value = (*value - median).abs();
    }
    quantile(0.5, scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    #[test]
    fn extremes_prefer_numbers_and_name_the_right_sample() {
        let values = [NAN, 2.0, 1.0, 3.0, 1.0, 3.0, NAN];
        assert_eq!((min_at(&values), max_at(&values)), (2, 3));
        assert_eq!((last_min_at(&values), last_max_at(&values)), (4, 5));
        assert!([NAN, NAN][min_at(&[NAN, NAN])].is_nan());
    }

    #[test]
    fn neighbours_are_compared() {
        let values = [1.0, 1.0, NAN, NAN, 2.0, 1.0];
        assert_eq!((changes(&values), resets(&values)), (3, 1));
    }

    #[test]
    fn sums_and_means_and_variances() {
        let values = [1.0, 2.0, 3.0, 4.0];
        assert_eq!((sum(&values), avg(&values)), (10.0, 2.5));
        assert_eq!(Moments::of(&values).variance(), 1.25);
        assert_eq!(sum(&[1.0, f64::INFINITY]), f64::INFINITY);
        assert_eq!(
            median_deviation(&[4.0, 6.0, 2.0, 1.0, 999.0], &mut Vec::new()),
            2.0
        );
    }
}
