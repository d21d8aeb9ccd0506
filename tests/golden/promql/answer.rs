//! Whether an answer is the recorded one.

use std::collections::HashMap;
use std::sync::Arc;

use kymo_query::{
    PointValue, QueryError, QueryResult, SampleBuf, Series, Value as QueryValue, VectorSample,
};
use kymo_storage::compat::float;
use kymo_storage::model::Labels;
use kymo_storage::model::histogram::FloatHistogram;
use serde_json::Value;

use crate::corpus::field;

/// Values agree within this share of their size.
const TOLERANCE: f64 = 1e-9;

/// Buckets are absent below this share of the largest one.
const DUST: f64 = 1e-9;

pub(super) fn same_error(error: &QueryError, answer: &Value) -> Result<(), String> {
    let (kind, text) = match error {
        QueryError::Parse(_) | QueryError::Invalid(_) => {
            ("bad_data", format!("invalid parameter \"query\": {error}"))
        }
        _ => ("execution", error.to_string()),
    };
    if field(answer, "errorType") == kind && field(answer, "error") == text {
        return Ok(());
    }
    Err(format!(
        "{kind} {text}\nexpected {} {}",
        field(answer, "errorType"),
        answer.get("error").unwrap_or(&Value::from("no error"))
    ))
}

pub(super) fn same_result(
    result: &QueryResult,
    answer: &Value,
    ordered: bool,
) -> Result<(), String> {
    if answer.get("errorType").is_some() {
        return Err(format!("no error, expected {}", answer["error"]));
    }
    if field(answer, "resultType") != result.value.type_name() {
        return Err(format!("type {}", result.value.type_name()));
    }
    for (name, got) in [("warnings", &result.warnings), ("infos", &result.infos)] {
        let expected: Vec<&str> = match answer.get(name) {
            Some(texts) => texts
                .as_array()
                .unwrap()
                .iter()
                .map(|t| t.as_str().unwrap())
                .collect(),
            None => Vec::new(),
        };
        if *got != expected {
            return Err(format!("{name} {got:?}\nexpected {expected:?}"));
        }
    }
    let expected = &answer["result"];
    match &result.value {
        QueryValue::Scalar { t_ms, value } => same_point((*t_ms, *value), expected),
        QueryValue::String { value, .. } if expected[1].as_str() == Some(value) => Ok(()),
        QueryValue::String { value, .. } => Err(format!("{value}, expected {expected}")),
        QueryValue::Vector(vector) => {
            let row = |sample: &VectorSample| {
                let mut row = Row {
                    labels: sample.labels.clone(),
                    floats: Vec::new(),
                    histograms: Vec::new(),
                };
                match &sample.value {
                    PointValue::Float(value) => row.floats.push((sample.t_ms, *value)),
                    PointValue::Histogram(histogram) => {
                        row.histograms.push((sample.t_ms, Arc::clone(histogram)));
                    }
                    _ => panic!("an unknown kind of value"),
                }
                row
            };
            let rows: Vec<Row> = vector.iter().map(row).collect();
            same_rows(&rows, expected, ("value", "histogram"), ordered)
        }
        QueryValue::Matrix(series) => {
            let row = |series: &Series| {
                let SampleBuf {
                    timestamps, values, ..
                } = &series.floats;
                let histograms = series.histograms.iter();
                Row {
                    labels: series.labels.clone(),
                    floats: timestamps
                        .iter()
                        .copied()
                        .zip(values.iter().copied())
                        .collect(),
                    histograms: histograms
                        .map(|sample| (sample.t_ms, Arc::clone(&sample.histogram)))
                        .collect(),
                }
            };
            let rows: Vec<Row> = series.iter().map(row).collect();
            same_rows(&rows, expected, ("values", "histograms"), ordered)
        }
        _ => Err("an unknown kind of result".to_owned()),
    }
}

struct Row {
    labels: Labels,
    floats: Vec<(i64, f64)>,
    histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

/// Compares rows with those of an answer, whose points are under one of two keys each.
fn same_rows(
    got: &[Row],
    expected: &Value,
    keys: (&str, &str),
    ordered: bool,
) -> Result<(), String> {
    let expected = expected.as_array().unwrap();
    if got.len() != expected.len() {
        return Err(format!("{} series, expected {}", got.len(), expected.len()));
    }
    let by_labels: HashMap<&Labels, &Row> = got.iter().map(|row| (&row.labels, row)).collect();
    for (at, expected) in expected.iter().enumerate() {
        let labels = expected["metric"].as_object().unwrap();
        let labels = Labels::from_pairs(labels.iter().map(|(n, v)| (n, v.as_str().unwrap())));
        let row = match ordered {
            true => Some(&got[at]).filter(|row| row.labels == labels),
            false => by_labels.get(&labels).copied(),
        };
        let Some(row) = row else {
            return Err(format!("no series {labels} (at {at})"));
        };
        let of = |error: String| format!("{labels}: {error}");
        same_points(&row.floats, &points(expected, keys.0), |point, expected| {
            same_point(*point, expected)
        })
        .map_err(of)?;
        same_points(&row.histograms, &points(expected, keys.1), same_histogram).map_err(of)?;
    }
    Ok(())
}

/// Returns the points under a key: several, one, or none.
fn points(row: &Value, key: &str) -> Vec<Value> {
    match row.get(key) {
        None => Vec::new(),
        Some(points) if key.ends_with('s') => points.as_array().unwrap().clone(),
        Some(point) => vec![point.clone()],
    }
}

fn same_points<T>(
    got: &[T],
    expected: &[Value],
    same: impl Fn(&T, &Value) -> Result<(), String>,
) -> Result<(), String> {
    if got.len() != expected.len() {
        return Err(format!("{} points, expected {}", got.len(), expected.len()));
    }
    let mut pairs = got.iter().zip(expected);
    pairs.try_for_each(|(got, expected)| same(got, expected))
}

/// Compares a histogram by its buckets. Those whose count is nothing beside the largest
/// are what differences leave of rounding, and count as absent.
fn same_histogram(
    (t_ms, histogram): &(i64, Arc<FloatHistogram>),
    expected: &Value,
) -> Result<(), String> {
    type Shown = (i64, f64, f64, f64);
    let number = |value: &Value| float::parse(value.as_str().unwrap()).unwrap();
    let without_dust = |buckets: Vec<Shown>| {
        let largest = buckets.iter().map(|b| b.3.abs()).fold(0.0, f64::max);
        let is_dust = |bucket: &Shown| bucket.3.abs() < DUST * largest;
        buckets
            .into_iter()
            .filter(|b| !is_dust(b))
            .collect::<Vec<_>>()
    };
    let got = histogram.all_buckets().filter(|bucket| bucket.count != 0.0);
    let got = got.map(|bucket| {
        let kind = match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        };
        (kind, bucket.lower, bucket.upper, bucket.count)
    });
    let got = without_dust(got.collect());
    let buckets = expected[1].get("buckets").and_then(Value::as_array);
    let wanted = buckets.into_iter().flatten().map(|bucket| {
        let kind = bucket[0].as_i64().unwrap();
        (
            kind,
            number(&bucket[1]),
            number(&bucket[2]),
            number(&bucket[3]),
        )
    });
    let wanted = without_dust(wanted.collect());
    let same_bucket = |(a, b): (&Shown, &Shown)| {
        a.0 == b.0 && close(a.1, b.1) && close(a.2, b.2) && close(a.3, b.3)
    };
    let same = *t_ms == (expected[0].as_f64().unwrap() * 1000.0).round() as i64
        && close(histogram.count, number(&expected[1]["count"]))
        && close(histogram.sum, number(&expected[1]["sum"]))
        && got.len() == wanted.len()
        && got.iter().zip(&wanted).all(same_bucket);
    if same {
        return Ok(());
    }
    Err(format!("{histogram} @ {t_ms}, expected {expected}"))
}

fn same_point((t_ms, value): (i64, f64), expected: &Value) -> Result<(), String> {
    let expected_ms = (expected[0].as_f64().unwrap() * 1000.0).round() as i64;
    let expected = float::parse(expected[1].as_str().unwrap()).unwrap();
    if t_ms == expected_ms && close(value, expected) {
        return Ok(());
    }
    Err(format!(
        "{value} @ {t_ms}, expected {expected} @ {expected_ms}"
    ))
}

fn close(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}
