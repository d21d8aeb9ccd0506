//! What a query answers, from the API's JSON.

use kymo_storage::compat::float;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::client::LabelMap;

/// The value of an expression. Numbers are texts, as the API has them, without exponents, as
/// Go's client of the API writes them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Scalar(Point),
    Vector(Vec<Series>),
    Matrix(Vec<Series>),
}

/// A time and a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Point(
    Number,
    #[serde(deserialize_with = "number")] pub(super) String,
);

/// A series with what it has: one sample of a vector, or those of a matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub(super) struct Series {
    #[serde(default)]
    pub(super) metric: LabelMap,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Point>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<Point>,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<HistogramPoint>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    histograms: Vec<HistogramPoint>,
}

/// A time and a native histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct HistogramPoint(Number, pub(super) Histogram);

/// A native histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Histogram {
    #[serde(deserialize_with = "number")]
    pub(super) count: String,
    #[serde(deserialize_with = "number")]
    pub(super) sum: String,
    #[serde(default)]
    pub(super) buckets: Vec<Bucket>,
}

/// Which ends belong to a bucket, its ends, and its count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Bucket(
    pub(super) i32,
    #[serde(deserialize_with = "number")] pub(super) String,
    #[serde(deserialize_with = "number")] pub(super) String,
    #[serde(deserialize_with = "number")] pub(super) String,
);

/// Reads a number in a text and writes it without an exponent.
fn number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    Ok(text.parse().map_or(text, float::f))
}

impl Point {
    /// Returns the time in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.0.as_f64().unwrap_or(0.0)
    }
}

impl HistogramPoint {
    /// Returns the time in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.0.as_f64().unwrap_or(0.0)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    result_type: String,
    result: Value,
}

impl Data {
    /// Reads the field `data` of an answer.
    ///
    /// # Errors
    /// It is a text, or nothing that is known.
    pub(super) fn read(data: Value) -> Result<Data, String> {
        let wrong = |error: serde_json::Error| format!("query error: {error}");
        let envelope: Envelope = serde_json::from_value(data).map_err(wrong)?;
        match envelope.result_type.as_str() {
            "scalar" => Ok(Data::Scalar(
                serde_json::from_value(envelope.result).map_err(wrong)?,
            )),
            "vector" => Ok(Data::Vector(
                serde_json::from_value(envelope.result).map_err(wrong)?,
            )),
            "matrix" => Ok(Data::Matrix(
                serde_json::from_value(envelope.result).map_err(wrong)?,
            )),
            other => Err(format!("query error: unexpected value type {other:?}")),
        }
    }
}

impl Series {
    /// Returns the samples that are floats.
    pub(super) fn floats(&self) -> impl Iterator<Item = &Point> {
        self.value.iter().chain(&self.values)
    }

    /// Returns the samples that are histograms.
    pub(super) fn histograms(&self) -> impl Iterator<Item = &HistogramPoint> {
        self.histogram.iter().chain(&self.histograms)
    }
}
