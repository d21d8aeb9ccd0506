//! Compensated sums, as Prometheus adds.

/// A running sum with the part that rounding has lost (Kahan, in Neumaier's form).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    pub(crate) sum: f64,
    pub(crate) lost: f64,
}

impl Sum {
    /// Adds a value. Once the sum is infinite nothing counts as lost.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - total) + value;
        } else {
            self.lost += (value - total) + self.sum;
        }
        self.sum = total;
    }

    /// Returns the sum with what was lost.
    #[inline]
    pub(crate) fn total(&self) -> f64 {
        self.sum + self.lost
    }
}

/// A mean: of the sum while that is finite, else built up value by value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mean {
    sum: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// Begins with the first value.
    #[inline]
    pub(crate) fn new(first: f64) -> Mean {
        Mean {
            sum: Sum {
                sum: first,
                lost: 0.0,
            },
            count: 1.0,
            incremental: false,
        }
    }

    /// Goes on from the sum of so many values.
    pub(crate) fn of(sum: Sum, count: f64) -> Mean {
        Mean {
            sum,
            count,
            incremental: false,
        }
    }

    /// Adds a value.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut next = self.sum;
            next.add(value);
            if !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            // The sum would overflow: from here on the mean itself is kept.
            self.incremental = true;
            self.sum.sum /= self.count - 1.0;
            self.sum.lost /= self.count - 1.0;
        }
        let shrink = (self.count - 1.0) / self.count;
        self.sum = Sum {
            sum: shrink * self.sum.sum,
            lost: shrink * self.sum.lost,
        };
        self.sum.add(value / self.count);
    }

    /// Returns the mean.
    #[inline]
    pub(crate) fn mean(&self) -> f64 {
        if self.incremental {
            self.sum.total()
        } else {
            self.sum.sum / self.count + self.sum.lost / self.count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_survive_large_ones() {
        let mut sum = Sum::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.total(), 2.0);
    }

    #[test]
    fn an_infinite_sum_stays_infinite() {
        let mut sum = Sum::default();
        for value in [1.0, f64::INFINITY, 2.0] {
            sum.add(value);
        }
        assert_eq!(sum.total(), f64::INFINITY);
    }

    #[test]
    fn a_mean_of_large_values_does_not_overflow() {
        let mut mean = Mean::new(f64::MAX);
        mean.add(f64::MAX);
        mean.add(f64::MAX);
        assert!((mean.mean() / f64::MAX - 1.0).abs() < 1e-15);
    }
}
