//! A histogram as it is stored, with whole counts or not, and as queries get it.

use std::sync::Arc;

use super::{CounterResetHint, FloatHistogram, HistogramError, IntegerHistogram};
use crate::model::is_stale_marker;

/// A native histogram in the form in which it came.
#[derive(Debug, Clone, PartialEq)]
pub enum Histogram {
    /// With whole counts.
    Integer(IntegerHistogram),
    /// With any counts.
    Float(FloatHistogram),
}

impl Histogram {
    /// Tells whether the histogram can be stored.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), HistogramError> {
        match self {
            Histogram::Integer(histogram) => histogram.validate(),
            Histogram::Float(histogram) => histogram.validate(),
        }
    }

    /// Returns what it says of a reset before it.
    pub fn counter_reset_hint(&self) -> CounterResetHint {
        match self {
            Histogram::Integer(histogram) => histogram.counter_reset_hint,
            Histogram::Float(histogram) => histogram.counter_reset_hint,
        }
    }

    /// Returns the sum, where the stale marker stands, too.
    pub fn sum(&self) -> f64 {
        match self {
            Histogram::Integer(histogram) => histogram.sum,
            Histogram::Float(histogram) => histogram.sum,
        }
    }

    /// Tells whether this is no histogram but the mark that its series ended.
    pub fn is_stale_marker(&self) -> bool {
        is_stale_marker(self.sum())
    }

    /// Returns the histogram that queries compute with.
    ///
    /// # Errors
    /// The spans do not fit the buckets.
    pub fn to_float(&self) -> Result<FloatHistogram, HistogramError> {
        match self {
            Histogram::Integer(histogram) => histogram.to_float(),
            Histogram::Float(histogram) => Ok(histogram.clone()),
        }
    }
}

impl From<IntegerHistogram> for Histogram {
    fn from(histogram: IntegerHistogram) -> Histogram {
        Histogram::Integer(histogram)
    }
}

impl From<FloatHistogram> for Histogram {
    fn from(histogram: FloatHistogram) -> Histogram {
        Histogram::Float(histogram)
    }
}

/// A histogram at a time, as queries get it.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Milliseconds since the epoch.
    pub t_ms: i64,
    /// Since when the series had counted, in milliseconds since the epoch; 0 where that
    /// is not known.
    pub start_ms: i64,
    /// The histogram; one whose sum is the stale marker ends the series.
    pub histogram: Arc<FloatHistogram>,
}
