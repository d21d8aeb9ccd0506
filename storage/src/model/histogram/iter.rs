//! Buckets with their bounds, from the lowest to the highest.

use super::bounds::{custom_bound, exponential_bound};
use super::{Buckets, CUSTOM_BUCKETS_SCHEMA, FloatHistogram};

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether observations of exactly `lower` are in it.
    pub lower_inclusive: bool,
    /// Whether observations of exactly `upper` are in it.
    pub upper_inclusive: bool,
    /// Its observations.
    pub count: f64,
}

/// All buckets of a histogram upwards, or downwards with `rev`.
pub type AllBuckets<'a> = Box<dyn DoubleEndedIterator<Item = Bucket> + 'a>;

impl FloatHistogram {
    /// Walks the positive buckets upwards, away from zero.
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.side(&self.positive, true)
    }

    /// Walks the negative buckets downwards, away from zero.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.side(&self.negative, false)
    }

    /// Returns the bucket around zero.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// Walks all buckets upwards. The zero bucket is among them if it has observations,
    /// and what others reach into it is cut off.
    pub fn all_buckets(&self) -> AllBuckets<'_> {
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        let below = self.negative_buckets().rev();
        let above = self.positive_buckets();
        let outside = |bucket| self.outside_zero(bucket);
        Box::new(
            below
                .map(outside)
                .chain(zero)
                .chain(above.map(move |bucket| self.outside_zero(bucket))),
        )
    }

    fn outside_zero(&self, mut bucket: Bucket) -> Bucket {
        if bucket.upper < 0.0 && bucket.upper > -self.zero_threshold {
            bucket.upper = -self.zero_threshold;
        } else if bucket.lower > 0.0 && bucket.lower < self.zero_threshold {
            bucket.lower = self.zero_threshold;
        }
        bucket
    }

    fn side<'a>(
        &'a self,
        buckets: &'a Buckets,
        is_positive: bool,
    ) -> impl DoubleEndedIterator<Item = Bucket> + 'a {
        buckets.iter().map(move |(index, count)| {
            let bound = |index: i64| match self.schema {
                CUSTOM_BUCKETS_SCHEMA => custom_bound(index, &self.custom_bounds),
                schema => exponential_bound(index.clamp(MIN, MAX) as i32, schema),
            };
            let index = i64::from(index);
            let (near, far) = (bound(index - 1), bound(index));
            let (lower, upper) = if is_positive {
                (near, far)
            } else {
                (-far, -near)
            };
            let (lower_inclusive, upper_inclusive) = match self.schema {
                CUSTOM_BUCKETS_SCHEMA => (index == 0, true),
                _ => (lower < 0.0, upper > 0.0),
            };
            Bucket {
                lower,
                upper,
                lower_inclusive,
                upper_inclusive,
                count,
            }
        })
    }
}

const MIN: i64 = i32::MIN as i64;
const MAX: i64 = i32::MAX as i64;
