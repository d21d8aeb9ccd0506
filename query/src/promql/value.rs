//! Results of queries.

use std::sync::Arc;

use kymo_storage::model::Labels;
use kymo_storage::model::histogram::FloatHistogram;

use crate::source::{HistogramSample, SampleBuf, histogram_bytes};

/// The value of one point.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PointValue {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VectorSample {
    /// Labels of the series.
    pub labels: Labels,
    /// Time of the evaluation in milliseconds, not of the sample.
    pub t_ms: i64,
    /// What the series is worth at that time.
    pub value: PointValue,
}

/// One series of a matrix.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Series {
    /// Labels of the series.
    pub labels: Labels,
    /// The float points in order of time.
    pub floats: SampleBuf,
    /// The histogram points in order of time, none at the time of a float.
    pub histograms: Vec<HistogramSample>,
}

/// The value of a query.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// One number, at the time of the evaluation in milliseconds.
    Scalar {
        /// Time of the evaluation.
        t_ms: i64,
        /// The number.
        value: f64,
    },
    /// A text.
    String {
        /// Time of the evaluation.
        t_ms: i64,
        /// The text.
        value: String,
    },
    /// One point for each of many series, in the order of the evaluation.
    Vector(Vec<VectorSample>),
    /// Points of many series, sorted by labels.
    Matrix(Vec<Series>),
}

impl Value {
    /// Returns the API's name of the type: `scalar`, `string`, `vector`, `matrix`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Scalar { .. } => "scalar",
            Value::String { .. } => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        }
    }

    /// Returns how much memory the value holds, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let bytes: usize = match self {
            Value::Scalar { .. } => 0,
            Value::String { value, .. } => value.capacity(),
            Value::Vector(samples) => {
                let each = samples.iter().map(|sample| {
                    let of_value = match &sample.value {
                        PointValue::Float(_) => 0,
                        PointValue::Histogram(histogram) => histogram.memory_bytes(),
                    };
                    sample.labels.memory_bytes() + of_value
                });
                samples.capacity() * size_of::<VectorSample>() + each.sum::<usize>()
            }
            Value::Matrix(series) => {
                let each = series.iter().map(|series| {
                    series.labels.memory_bytes()
                        + series.floats.memory_bytes()
                        + histogram_bytes(&series.histograms)
                });
                series.capacity() * size_of::<Series>() + each.sum::<usize>()
            }
        };
        bytes as u64
    }
}
