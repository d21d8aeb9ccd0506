//! Histograms as most clients send them: whole counts, written as differences.

use std::sync::Arc;

use super::buckets::indexes_of;
use super::validate::{custom_bounds, no_zero_bucket};
use super::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, EXPONENTIAL_SCHEMAS, FloatHistogram,
    HistogramError, Span,
};

/// A native histogram with whole counts. The first bucket of a side holds its count,
/// each other one the difference to the bucket before it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IntegerHistogram {
    /// What is known of a reset before it.
    pub counter_reset_hint: CounterResetHint,
    /// Resolution; -53 stands for custom buckets.
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations.
    pub count: u64,
    /// Their sum. The stale marker stands here.
    pub sum: f64,
    /// Layout of the positive buckets.
    pub positive_spans: Vec<Span>,
    /// Positive buckets.
    pub positive_deltas: Vec<i64>,
    /// Layout of the negative buckets.
    pub negative_spans: Vec<Span>,
    /// Negative buckets.
    pub negative_deltas: Vec<i64>,
    /// Upper bounds of custom buckets.
    pub custom_bounds: Arc<[f64]>,
}

impl IntegerHistogram {
    /// Tells whether the histogram can be stored.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let mut found = u128::from(self.zero_count);
        let positive = indexes_of(&self.positive_spans, self.positive_deltas.len());
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            let custom = |error: HistogramError| error.of("custom buckets");
            custom_bounds(&self.custom_bounds, None, 0).map_err(custom)?;
            let indexes = positive.map_err(custom)?;
            let spanned = indexes.last().map_or(0, |index| i64::from(*index) + 1);
            custom_bounds(&self.custom_bounds, indexes.first().copied(), spanned)
                .map_err(custom)?;
            no_zero_bucket(self.zero_count != 0, self.zero_threshold)?;
            if !self.negative_spans.is_empty() {
                return Err(HistogramError::CustomNegativeSpans);
            }
            if !self.negative_deltas.is_empty() {
                return Err(HistogramError::CustomNegativeBuckets);
            }
        } else if EXPONENTIAL_SCHEMAS.contains(&self.schema) {
            positive.map_err(|error| error.of("positive side"))?;
            let negative = |error: HistogramError| error.of("negative side");
            indexes_of(&self.negative_spans, self.negative_deltas.len()).map_err(negative)?;
            found += observations(&self.negative_deltas).map_err(negative)?;
            if !self.custom_bounds.is_empty() {
                return Err(HistogramError::NeedlessBounds);
            }
        } else {
            return Err(HistogramError::InvalidSchema(self.schema));
        }
        let positive = observations(&self.positive_deltas);
        found += positive.map_err(|error| error.of("positive side"))?;
        let count = self.count;
        let shown = u64::try_from(found).unwrap_or(u64::MAX);
        match found.cmp(&u128::from(count)) {
            std::cmp::Ordering::Greater if self.sum.is_nan() => {
                Err(HistogramError::CountTooSmall {
                    found: shown,
                    count,
                })
            }
            std::cmp::Ordering::Equal => Ok(()),
            _ if self.sum.is_nan() => Ok(()),
            _ => Err(HistogramError::CountMismatch {
                found: shown,
                count,
            }),
        }
    }

    /// Returns the same histogram with floats for counts.
    ///
    /// # Errors
    /// The spans do not fit the buckets.
    pub fn to_float(&self) -> Result<FloatHistogram, HistogramError> {
        let side = |spans: &[Span], deltas: &[i64], side| {
            let mut count = 0i64;
            let counts = deltas.iter().map(|delta| {
                count = count.wrapping_add(*delta);
                count as f64
            });
            Buckets::from_spans(spans, counts.collect())
                .map_err(|error: HistogramError| error.of(side))
        };
        let is_custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
        let mut float = FloatHistogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            count: self.count as f64,
            sum: self.sum,
            positive: side(&self.positive_spans, &self.positive_deltas, "positive side")?,
            ..FloatHistogram::default()
        };
        if is_custom {
            float.custom_bounds = Arc::clone(&self.custom_bounds);
        } else {
            float.zero_threshold = self.zero_threshold;
            float.zero_count = self.zero_count as f64;
            float.negative = side(&self.negative_spans, &self.negative_deltas, "negative side")?;
        }
        Ok(float)
    }
}

fn observations(deltas: &[i64]) -> Result<u128, HistogramError> {
    let (mut count, mut all) = (0i64, 0u128);
    for (at, delta) in deltas.iter().enumerate() {
        count = count.saturating_add(*delta);
        let Ok(whole) = u64::try_from(count) else {
            return Err(HistogramError::NegativeWholeBucket {
                number: at + 1,
                count,
            });
        };
        all += u128::from(whole);
    }
    Ok(all)
}
