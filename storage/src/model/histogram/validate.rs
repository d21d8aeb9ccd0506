//! What makes a histogram valid, in the words that senders are answered.

use super::{CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMAS, FloatHistogram};
use crate::compat::float;

/// A histogram that is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HistogramError {
    /// More observations in buckets than in all.
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's \
         observation count should be at least the number of observations found in the buckets"
    )]
    CountTooSmall {
        /// Observations in buckets.
        found: u64,
        /// What the histogram says.
        count: u64,
    },
    /// Another number of observations in buckets than in all.
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's \
         observation count should equal the number of observations found in the buckets \
         (in absence of NaN)"
    )]
    CountMismatch {
        /// Observations in buckets.
        found: u64,
        /// What the histogram says.
        count: u64,
    },
    /// A negative number of observations. (Two spaces are in the original's text.)
    #[error("observation count is  {}: histogram's observation count is negative", float::g(*.0))]
    NegativeCount(f64),
    /// A negative number of observations in the zero bucket.
    #[error(
        "zero bucket has observation count of {}: histogram has a bucket whose observation \
         count is negative",
        float::g(*.0)
    )]
    NegativeZeroCount(f64),
    /// A negative number of observations in a bucket.
    #[error(
        "bucket number {number} has observation count of {}: histogram has a bucket whose \
         observation count is negative",
        float::g(*count)
    )]
    NegativeBucket {
        /// The bucket, from 1.
        number: usize,
        /// Its observations.
        count: f64,
    },
    /// The same of whole counts, which are written in full.
    #[error(
        "bucket number {number} has observation count of {count}: histogram has a bucket whose \
         observation count is negative"
    )]
    NegativeWholeBucket {
        /// The bucket, from 1.
        number: usize,
        /// Its observations.
        count: i64,
    },
    /// Spans that go backwards.
    #[error(
        "span number {span} with offset {offset}: histogram has a span whose offset is negative"
    )]
    NegativeOffset {
        /// The span, from 1.
        span: usize,
        /// Its offset.
        offset: i32,
    },
    /// Spans for another number of buckets than there are.
    #[error(
        "spans need {spanned} buckets, have {buckets} buckets: histogram spans specify \
         different number of buckets than provided"
    )]
    SpansAndBuckets {
        /// Buckets in the spans.
        spanned: u64,
        /// Buckets that came.
        buckets: usize,
    },
    /// Spans that end beyond the last index.
    #[error("histogram has a bucket whose index is beyond 32 bits")]
    IndexTooLarge,
    /// Custom buckets beyond the last bound.
    #[error(
        "only {bounds} custom bounds defined which is insufficient to cover total span length \
         of {spanned}: histogram custom bounds are too few"
    )]
    TooFewBounds {
        /// Bounds there are.
        bounds: usize,
        /// Bounds needed, and one.
        spanned: i64,
    },
    /// Custom bounds that do not ascend.
    #[error(
        "previous bound is {previous:.6} and current is {current:.6}: histogram custom bounds \
         must be in strictly increasing order"
    )]
    UnorderedBounds {
        /// The bound before.
        previous: f64,
        /// The bound that is not above it.
        current: f64,
    },
    /// The bound that is always there, listed.
    #[error(
        "last +Inf bound must not be explicitly defined: histogram custom bounds must be finite"
    )]
    InfiniteBound,
    /// A bound that is no number.
    #[error("histogram custom bounds must not be NaN")]
    NanBound,
    /// Custom buckets beside a zero bucket with observations.
    #[error("custom buckets: must have zero count of 0")]
    CustomZeroCount,
    /// Custom buckets beside a zero bucket.
    #[error("custom buckets: must have zero threshold of 0")]
    CustomZeroThreshold,
    /// Custom buckets beside negative spans.
    #[error("custom buckets: must not have negative spans")]
    CustomNegativeSpans,
    /// Custom buckets beside negative ones.
    #[error("custom buckets: must not have negative buckets")]
    CustomNegativeBuckets,
    /// Bounds where the schema has its own.
    #[error("histogram with exponential schema must not have custom bounds")]
    NeedlessBounds,
    /// A schema that cannot be stored.
    #[error(
        "histogram has an invalid schema, which must be between -4 and 8 for exponential \
         buckets, or -53 for custom buckets, got schema {0}"
    )]
    InvalidSchema(i32),
    /// Something about the positive, negative or custom buckets.
    #[error("{side}: {error}")]
    Side {
        /// `positive side`, `negative side` or `custom buckets`.
        side: &'static str,
        /// What.
        error: Box<HistogramError>,
    },
}

impl HistogramError {
    pub(super) fn of(self, side: &'static str) -> HistogramError {
        HistogramError::Side {
            side,
            error: Box::new(self),
        }
    }
}

impl FloatHistogram {
    /// Tells whether the histogram can be stored.
    ///
    /// # Errors
    /// What is wrong with it. The observations in buckets may be more than in all:
    /// that is how floats add up.
    pub fn validate(&self) -> Result<(), HistogramError> {
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            let spanned = self
                .positive
                .layout()
                .last()
                .map_or(0, |i| i64::from(*i) + 1);
            let first = self.positive.layout().first().copied();
            custom_bounds(&self.custom_bounds, first, spanned)
                .map_err(|error| error.of("custom buckets"))?;
            no_zero_bucket(self.zero_count != 0.0, self.zero_threshold)?;
            if !self.negative.is_empty() {
                return Err(HistogramError::CustomNegativeSpans);
            }
        } else if EXPONENTIAL_SCHEMAS.contains(&self.schema) {
            counts(self.negative.counts()).map_err(|error| error.of("negative side"))?;
            if self.zero_count < 0.0 {
                return Err(HistogramError::NegativeZeroCount(self.zero_count));
            }
            if !self.custom_bounds.is_empty() {
                return Err(HistogramError::NeedlessBounds);
            }
        } else {
            return Err(HistogramError::InvalidSchema(self.schema));
        }
        if self.count < 0.0 {
            return Err(HistogramError::NegativeCount(self.count));
        }
        counts(self.positive.counts()).map_err(|error| error.of("positive side"))
    }
}

fn counts(counts: &[f64]) -> Result<(), HistogramError> {
    match counts.iter().position(|count| *count < 0.0) {
        None => Ok(()),
        Some(at) => Err(HistogramError::NegativeBucket {
            number: at + 1,
            count: counts[at],
        }),
    }
}

pub(super) fn no_zero_bucket(has_observations: bool, threshold: f64) -> Result<(), HistogramError> {
    if has_observations {
        return Err(HistogramError::CustomZeroCount);
    }
    if threshold != 0.0 {
        return Err(HistogramError::CustomZeroThreshold);
    }
    Ok(())
}

/// Checks custom bounds, and that they reach for buckets from index `first` on up to
/// below `spanned`.
pub(super) fn custom_bounds(
    bounds: &[f64],
    first: Option<i32>,
    spanned: i64,
) -> Result<(), HistogramError> {
    if bounds.iter().any(|bound| bound.is_nan()) {
        return Err(HistogramError::NanBound);
    }
    for pair in bounds.windows(2) {
        if let [previous, current] = *pair
            && current <= previous
        {
            return Err(HistogramError::UnorderedBounds { previous, current });
        }
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Err(HistogramError::InfiniteBound);
    }
    if let Some(offset) = first.filter(|first| *first < 0) {
        return Err(HistogramError::NegativeOffset { span: 1, offset });
    }
    if bounds.len() as i64 + 1 < spanned {
        return Err(HistogramError::TooFewBounds {
            bounds: bounds.len(),
            spanned,
        });
    }
    Ok(())
}
