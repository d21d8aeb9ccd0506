//! What a query answers, from the API's JSON.

use serde::Deserialize;
use serde_json::Value;

use crate::client::LabelMap;

/// The value of an expression. Numbers stay texts, as the API has them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Scalar(Point),
    Vector(Vec<Series>),
    Matrix(Vec<Series>),
}

/// A time and a number.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Point(pub(super) f64, pub(super) String);

/// A series with what it has: one sample of a vector, or those of a matrix.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
pub(super) struct Series {
    #[serde(default)]
    pub(super) metric: LabelMap,
    value: Option<Point>,
    #[serde(default)]
    values: Vec<Point>,
    histogram: Option<HistogramPoint>,
    #[serde(default)]
    histograms: Vec<HistogramPoint>,
    /// The JSON that was read.
    #[serde(skip)]
    pub(super) json: Value,
}

/// A time and a native histogram.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct HistogramPoint(pub(super) f64, pub(super) Histogram);

/// A native histogram.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Histogram {
    pub(super) count: String,
    pub(super) sum: String,
    #[serde(default)]
    pub(super) buckets: Vec<Bucket>,
}

/// Which ends belong to a bucket, its ends, and its count.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Bucket(
    pub(super) i32,
    pub(super) String,
    pub(super) String,
    pub(super) String,
);

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
            "vector" => Ok(Data::Vector(all(envelope.result).map_err(wrong)?)),
            "matrix" => Ok(Data::Matrix(all(envelope.result).map_err(wrong)?)),
            other => Err(format!("query error: unexpected value type {other:?}")),
        }
    }
}

fn all(result: Value) -> Result<Vec<Series>, serde_json::Error> {
    let items: Vec<Value> = serde_json::from_value(result)?;
    let mut series = Vec::with_capacity(items.len());
    for json in items {
        let mut one = Series::deserialize(&json)?;
        one.json = json;
        series.push(one);
    }
    Ok(series)
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
