//! Classic histograms as native ones with custom buckets.

use kymo_storage::compat::float::g;
use kymo_storage::model::histogram::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, FloatHistogram, HistogramError, Span,
};

/// The samples of one classic histogram at one time, as they come in.
#[derive(Debug, Clone, Default)]
pub struct ClassicHistogram {
    /// Bounds and cumulative counts, ascending.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// Samples that make no histogram.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClassicHistogramError {
    /// A bucket ends at no number.
    #[error("bucket boundary must not be NaN")]
    NanBound,
    /// A bucket counts less than nothing.
    #[error("bucket count must be non-negative: le={}, count={}", g(*.bound), g(*.count))]
    NegativeBucket {
        /// End of the bucket.
        bound: f64,
        /// What it counts.
        count: f64,
    },
    /// Less than nothing is counted.
    #[error("count must be non-negative: count={}", g(*.0))]
    NegativeCount(f64),
    /// A bucket counts less than a smaller one.
    #[error("count is not cumulative: {} {} {}", g(*.count), sign(*.count, *.neighbour), g(*.neighbour))]
    NotCumulative {
        /// What the bucket counts.
        count: f64,
        /// What the other one counts.
        neighbour: f64,
    },
    /// The last bucket and the count differ.
    #[error("count mismatch: count={} != le=+Inf count={}", g(*.count), g(*.last))]
    CountMismatch {
        /// The count.
        count: f64,
        /// What the last bucket counts.
        last: f64,
    },
    /// What came out is no valid histogram.
    #[error(transparent)]
    Histogram(#[from] HistogramError),
}

fn sign(a: f64, b: f64) -> &'static str {
    if a < b { "<" } else { ">" }
}

impl ClassicHistogram {
    /// Sets what the bucket up to `bound` counts, all smaller ones included. The first
    /// count of a bound stays.
    ///
    /// # Errors
    /// The count does not fit those of other buckets.
    pub fn set_bucket(&mut self, bound: f64, count: f64) -> Result<(), ClassicHistogramError> {
        if bound.is_nan() {
            return Err(ClassicHistogramError::NanBound);
        }
        if count < 0.0 {
            return Err(ClassicHistogramError::NegativeBucket { bound, count });
        }
        let at = self.buckets.partition_point(|bucket| bucket.0 < bound);
        let above = self.buckets.get(at);
        if above.is_some_and(|above| above.0 == bound) {
            return Ok(());
        }
        let below = at.checked_sub(1).and_then(|below| self.buckets.get(below));
        let not_cumulative = |neighbour| ClassicHistogramError::NotCumulative { count, neighbour };
        if let Some(below) = below.filter(|below| count < below.1) {
            return Err(not_cumulative(below.1));
        }
        if let Some(above) = above.filter(|above| count > above.1) {
            return Err(not_cumulative(above.1));
        }
        self.buckets.insert(at, (bound, count));
        Ok(())
    }

    /// Sets the number of observations.
    ///
    /// # Errors
    /// It is negative.
    pub fn set_count(&mut self, count: f64) -> Result<(), ClassicHistogramError> {
        if count < 0.0 {
            return Err(ClassicHistogramError::NegativeCount(count));
        }
        self.count = Some(count);
        Ok(())
    }

    /// Sets the sum of the observations.
    pub fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// Makes the native histogram. Without a count it is that of the last bucket, without
    /// a last bucket the count is its.
    ///
    /// # Errors
    /// The last bucket and the count differ, or bounds are no bounds.
    pub fn to_native(&self) -> Result<FloatHistogram, ClassicHistogramError> {
        let mut buckets = self.buckets.clone();
        let of_last = buckets.last().map(|bucket| bucket.1);
        let count = self.count.or(of_last).unwrap_or(0.0);
        let last = match buckets.last() {
            Some((bound, last)) if *bound == f64::INFINITY => *last,
            _ => {
                buckets.push((f64::INFINITY, count));
                count
            }
        };
        if count != last {
            return Err(ClassicHistogramError::CountMismatch { count, last });
        }
        let mut before = 0.0;
        let counts = buckets.iter().map(|(_, cumulative)| {
            let count = cumulative - before;
            before = *cumulative;
            count
        });
        let counts: Vec<f64> = counts.collect();
        let all = Span {
            offset: 0,
            length: u32::try_from(counts.len()).unwrap_or(u32::MAX),
        };
        let bounds = buckets.iter().map(|bucket| bucket.0);
        let mut histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive: Buckets::from_spans(&[all], counts)?,
            custom_bounds: bounds.take(buckets.len() - 1).collect(),
            ..FloatHistogram::default()
        };
        let is_whole = |number: f64| number == number.round() && number.abs() < 9.3e18;
        let all_whole = buckets.iter().all(|bucket| is_whole(bucket.1)) && is_whole(count);
        // Short runs of empty buckets are cheaper to keep where counts are whole.
        histogram.compact(if all_whole { 2 } else { 0 });
        histogram.validate()?;
        Ok(histogram)
    }
}
