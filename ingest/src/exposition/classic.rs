//! A classic histogram on its way to a native one with custom buckets.
//!
//! Counts up to bounds are put in, in any order; what comes out has a bucket between
//! each two bounds. Whole counts make a histogram of whole counts, others one of floats.
//! What is missing is taken from what is there: the last bucket from the count, the count
//! from the last bucket.
//!
//! The rules and the texts are those of Prometheus' conversion.

use std::sync::Arc;

use kymo_storage::compat::float::g;
use kymo_storage::model::histogram::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, IntegerHistogram, Span, compact_spans,
};

use crate::wire::histogram::{SentFloatHistogram, SentHistogram};

/// Why a classic histogram is none.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassicError {
    /// Fewer than no observations up to a bound.
    #[error("bucket count must be non-negative: le={}, count={}", g(*bound), g(*count))]
    NegativeBucket {
        /// The bound.
        bound: f64,
        /// The count.
        count: f64,
    },
    /// A bound that is no number.
    #[error("bucket boundary must not be NaN")]
    NanBound,
    /// Fewer than no observations.
    #[error("count must be non-negative: count={}", g(*.0))]
    NegativeCount(f64),
    /// Fewer observations up to a bound than up to a lower one.
    #[error("count is not cumulative: {} < {}", g(*count), g(*lower))]
    Falling {
        /// The count.
        count: f64,
        /// The count of the bound below.
        lower: f64,
    },
    /// More observations up to a bound than up to a higher one.
    #[error("count is not cumulative: {} > {}", g(*count), g(*higher))]
    Rising {
        /// The count.
        count: f64,
        /// The count of the bound above.
        higher: f64,
    },
    /// Another number of observations in all than in the last bucket.
    #[error("count mismatch: count={} != le={} count={}", g(*count), g(*bound), g(*last))]
    Mismatch {
        /// Observations in all.
        count: f64,
        /// The last bound.
        bound: f64,
        /// Observations up to it.
        last: f64,
    },
}

/// What is known of a classic histogram so far. After the first error nothing is taken
/// in, until [`clear`](Self::clear).
#[derive(Debug, Default)]
pub(super) struct ClassicHistogram {
    /// Bounds and the observations up to them, ascending in both.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    error: Option<ClassicError>,
}

impl ClassicHistogram {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.buckets.clear();
        self.count = None;
        self.sum = 0.0;
        self.error = None;
    }

    /// Takes in the number of observations up to a bound; of a bound that is known, the
    /// first number stays.
    pub(super) fn set_bucket(&mut self, bound: f64, count: f64) -> Result<(), ClassicError> {
        self.attempt(|histogram| histogram.insert(bound, count))
    }

    /// Takes in the number of all observations.
    pub(super) fn set_count(&mut self, count: f64) -> Result<(), ClassicError> {
        self.attempt(|histogram| {
            if count < 0.0 {
                return Err(ClassicError::NegativeCount(count));
            }
            histogram.count = Some(count);
            Ok(())
        })
    }

    /// Takes in the sum of all observations.
    pub(super) fn set_sum(&mut self, sum: f64) -> Result<(), ClassicError> {
        self.attempt(|histogram| {
            histogram.sum = sum;
            Ok(())
        })
    }

    fn attempt(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), ClassicError>,
    ) -> Result<(), ClassicError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let result = step(self);
        self.error = result.err();
        result
    }

    fn insert(&mut self, bound: f64, count: f64) -> Result<(), ClassicError> {
        if bound.is_nan() {
            return Err(ClassicError::NanBound);
        }
        if count < 0.0 {
            return Err(ClassicError::NegativeBucket { bound, count });
        }
        let at = match self.buckets.last() {
            None => 0,
            // Mostly they come in order.
            Some((last, _)) if *last < bound => self.buckets.len(),
            Some(_) => self.buckets.partition_point(|(known, _)| *known < bound),
        };
        let above = self.buckets.get(at);
        if above.is_some_and(|(known, _)| *known == bound) {
            return Ok(());
        }
        let below = at.checked_sub(1).and_then(|below| self.buckets.get(below));
        if let Some(&(_, lower)) = below
            && count < lower
        {
            return Err(ClassicError::Falling { count, lower });
        }
        if let Some(&(_, higher)) = above
            && count > higher
        {
            return Err(ClassicError::Rising { count, higher });
        }
        self.buckets.insert(at, (bound, count));
        Ok(())
    }

    /// Makes a native histogram of what is known. Nothing more can be taken in then,
    /// until [`clear`](Self::clear).
    pub(super) fn convert(
        &mut self,
        hint: CounterResetHint,
    ) -> Result<SentHistogram, ClassicError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let last = self.buckets.last().copied();
        let count = self
            .count
            .or(last.map(|(_, count)| count))
            .unwrap_or_default();
        let (bound, in_buckets) = match last {
            Some(last) if last.0 == f64::INFINITY => last,
            _ => {
                self.buckets.push((f64::INFINITY, count));
                (f64::INFINITY, count)
            }
        };
        if count != in_buckets {
            let last = in_buckets;
            return Err(ClassicError::Mismatch { count, bound, last });
        }
        let whole: Option<Vec<i64>> = self
            .buckets
            .iter()
            .map(|(_, count)| whole(*count))
            .collect();
        Ok(match (whole, whole_count(count)) {
            (Some(counts), Some(count)) => {
                SentHistogram::Integer(self.integer(counts, count, hint))
            }
            _ => SentHistogram::Float(self.float(count, hint)),
        })
    }

    fn integer(
        &self,
        mut counts: Vec<i64>,
        count: u64,
        hint: CounterResetHint,
    ) -> IntegerHistogram {
        // From counts up to bounds to counts between them, and to the differences of those.
        for _ in 0..2 {
            let mut last = 0;
            for count in &mut counts {
                last = std::mem::replace(count, count.wrapping_sub(last));
            }
        }
        let mut histogram = IntegerHistogram {
            counter_reset_hint: hint,
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: self.layout(),
            positive_deltas: counts,
            custom_bounds: self.bounds(),
            ..IntegerHistogram::default()
        };
        histogram.compact(2);
        histogram
    }

    fn float(&self, count: f64, hint: CounterResetHint) -> SentFloatHistogram {
        let mut last = 0.0;
        let counts = self.buckets.iter().map(|(_, count)| {
            let between = count - last;
            last = *count;
            between
        });
        let mut sent = SentFloatHistogram {
            positive_counts: counts.collect(),
            positive_spans: self.layout(),
            histogram: FloatHistogram {
                counter_reset_hint: hint,
                schema: CUSTOM_BUCKETS_SCHEMA,
                count,
                sum: self.sum,
                custom_bounds: self.bounds(),
                ..FloatHistogram::default()
            },
            ..SentFloatHistogram::default()
        };
        compact_spans(&mut sent.positive_spans, &mut sent.positive_counts, 0);
        sent
    }

    fn layout(&self) -> Vec<Span> {
        let length = u32::try_from(self.buckets.len()).unwrap_or(u32::MAX);
        vec![Span { offset: 0, length }]
    }

    fn bounds(&self) -> Arc<[f64]> {
        let bounds = self.buckets.iter().map(|(bound, _)| *bound);
        bounds.filter(|bound| *bound != f64::INFINITY).collect()
    }
}

/// Returns a count that is whole, and of a size that a bucket can have.
fn whole(count: f64) -> Option<i64> {
    const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
    let fits = (-TOO_LARGE..TOO_LARGE).contains(&count) && count.round() == count;
    fits.then_some(count as i64)
}

fn whole_count(count: f64) -> Option<u64> {
    whole(count).and_then(|count| u64::try_from(count).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(buckets: &[(f64, f64)], count: Option<f64>) -> Result<SentHistogram, String> {
        let mut histogram = ClassicHistogram::default();
        for (bound, up_to) in buckets {
            let _ = histogram.set_bucket(*bound, *up_to);
        }
        if let Some(count) = count {
            let _ = histogram.set_count(count);
        }
        let _ = histogram.set_sum(1.5);
        let result = histogram.convert(CounterResetHint::Unknown);
        result.map_err(|error| error.to_string())
    }

    fn integer(result: Result<SentHistogram, String>) -> IntegerHistogram {
        match result {
            Ok(SentHistogram::Integer(histogram)) => histogram,
            other => panic!("{other:?}"),
        }
    }

    const INF: f64 = f64::INFINITY;

    /// Bounds with counts, the count of all, and what is wrong.
    type Case = (&'static [(f64, f64)], Option<f64>, &'static str);

    #[test]
    fn counts_up_to_bounds_become_counts_between_them() {
        let buckets = [(1.0, 3.0), (0.5, 1.0), (1.0, 9.0), (INF, 7.0)];
        let histogram = integer(converted(&buckets, None));
        assert_eq!(histogram.positive_deltas, [1, 1, 2]);
        assert_eq!(*histogram.custom_bounds, [0.5, 1.0]);
        assert_eq!((histogram.count, histogram.sum), (7, 1.5));
        histogram.validate().unwrap();
    }

    #[test]
    fn what_is_missing_follows_from_the_rest() {
        let histogram = integer(converted(&[(1.0, 3.0)], Some(4.0)));
        assert_eq!(histogram.positive_deltas, [3, -2]);
        let histogram = integer(converted(&[(1.0, 3.0)], None));
        assert_eq!((histogram.count, histogram.positive_deltas.len()), (3, 1));
        let histogram = integer(converted(&[], Some(2.0)));
        assert_eq!(histogram.positive_deltas, [2]);
        let histogram = integer(converted(&[], None));
        assert_eq!((histogram.count, histogram.positive_spans.len()), (0, 0));
    }

    #[test]
    fn counts_that_are_not_whole_stay_floats() {
        for buckets in [
            [(1.0, 0.5), (INF, 2.0)],
            [(1.0, 2f64.powi(63)), (INF, 2f64.powi(64))],
        ] {
            match converted(&buckets, None) {
                Ok(SentHistogram::Float(sent)) => {
                    assert_eq!(sent.positive_counts[0], buckets[0].1);
                    assert_eq!(sent.histogram.count, buckets[1].1);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_histogram_is_named() {
        let cases: [Case; 7] = [
            (
                &[(1.0, -1.0)],
                None,
                "bucket count must be non-negative: le=1, count=-1",
            ),
            (&[(f64::NAN, 1.0)], None, "bucket boundary must not be NaN"),
            (&[], Some(-2.0), "count must be non-negative: count=-2"),
            (
                &[(1.0, 3.0), (5.0, 1.0)],
                None,
                "count is not cumulative: 1 < 3",
            ),
            (
                &[(1.0, 3.0), (0.5, 4.0)],
                None,
                "count is not cumulative: 4 > 3",
            ),
            (
                &[(INF, 4.0)],
                Some(5.0),
                "count mismatch: count=5 != le=+Inf count=4",
            ),
            (
                &[(1.0, 1.0), (5.0, 3.0), (2.0, 0.0)],
                None,
                "count is not cumulative: 0 < 1",
            ),
        ];
        for (buckets, count, text) in cases {
            assert_eq!(converted(buckets, count).unwrap_err(), text);
        }
    }

    #[test]
    fn the_first_error_stays_until_everything_is_forgotten() {
        let mut histogram = ClassicHistogram::default();
        let error = histogram.set_count(-1.0).unwrap_err();
        assert_eq!(histogram.set_sum(1.0), Err(error));
        assert_eq!(histogram.set_bucket(1.0, 1.0), Err(error));
        histogram.clear();
        assert_eq!(histogram.set_count(1.0), Ok(()));
    }
}
