//! Whether an answer is the expected one.

use std::collections::HashMap;

use kymo_storage::model::histogram::{Buckets, FloatHistogram};
use kymo_storage::model::{Labels, is_stale_marker};

use super::parse::{Clause, Eval, Expected, ExpectedSeries, TextMatch, When};
use crate::promql::series::{SeriesHistogram, SeriesValue};
use crate::promql::{PointValue, QueryResult, Series, Value, VectorSample};

/// How far numbers may differ, relative to their sum.
const EPSILON: f64 = 1e-6;

/// Times at which an expected series has values.
struct Steps {
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
}

/// Compares warnings and infos with what the clauses say of them.
pub(super) fn annotations(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    let warn = |c: &Clause| match c {
        Clause::Warn(text) => Some(text.clone()),
        _ => None,
    };
    let info = |c: &Clause| match c {
        Clause::Info(text) => Some(text.clone()),
        _ => None,
    };
    let warns: Vec<TextMatch> = eval.clauses.iter().filter_map(warn).collect();
    let infos: Vec<TextMatch> = eval.clauses.iter().filter_map(info).collect();
    of_class("warn", &warns, &result.warnings)?;
    of_class("info", &infos, &result.infos)?;
    for clause in &eval.clauses {
        let found = match clause {
            Clause::NoWarn => &result.warnings,
            Clause::NoInfo => &result.infos,
            _ => continue,
        };
        if !found.is_empty() {
            return Err(format!("unexpected annotations {found:?}"));
        }
    }
    Ok(())
}

fn of_class(class: &str, expected: &[TextMatch], found: &[String]) -> Result<(), String> {
    if expected.is_empty() {
        return Ok(());
    }
    for wanted in expected {
        if !found.iter().any(|text| wanted.matches(text)) {
            return Err(format!(
                "no {class} annotation like {wanted:?} in {found:?}"
            ));
        }
    }
    let stray = found
        .iter()
        .find(|text| !expected.iter().any(|w| w.matches(text)));
    match stray {
        Some(text) => Err(format!("unexpected {class} annotation {text:?}")),
        None => Ok(()),
    }
}

/// Compares a value with the expected answer.
pub(super) fn value(eval: &Eval, is_ordered: bool, value: &Value) -> Result<(), String> {
    match (&eval.expected, value) {
        (Expected::Scalar(wanted), Value::Scalar { value, .. }) => number(*wanted, *value),
        (Expected::String(wanted), Value::String { value, .. }) => {
            if wanted == value {
                Ok(())
            } else {
                Err(format!("expected string {wanted:?}, got {value:?}"))
            }
        }
        (Expected::Series(wanted), Value::Vector(found)) => vector(wanted, is_ordered, found),
        (Expected::Series(wanted), Value::Matrix(found)) => match eval.when {
            When::Range {
                start_ms,
                end_ms,
                step_ms,
            } => {
                let steps = Steps {
                    start_ms,
                    end_ms,
                    step_ms,
                };
                matrix(wanted, &steps, found)
            }
            // A range vector without a word on its times can only be empty.
            When::Instant { t_ms } => {
                let steps = Steps {
                    start_ms: t_ms,
                    end_ms: t_ms,
                    step_ms: 1,
                };
                matrix(wanted, &steps, found)
            }
        },
        (
            Expected::RangeVector {
                series,
                start_ms,
                end_ms,
                step_ms,
            },
            Value::Matrix(found),
        ) => {
            let steps = Steps {
                start_ms: *start_ms,
                end_ms: *end_ms,
                step_ms: *step_ms,
            };
            matrix(series, &steps, found)
        }
        (expected, found) => {
            let found = found.type_name();
            Err(format!("got a {found}, expected {expected:?}"))
        }
    }
}

fn vector(
    wanted: &[ExpectedSeries],
    is_ordered: bool,
    found: &[VectorSample],
) -> Result<(), String> {
    let mut missing = by_labels(wanted);
    for (at, sample) in found.iter().enumerate() {
        let Some(series) = wanted.iter().find(|s| s.labels == sample.labels) else {
            let (labels, value) = (&sample.labels, &sample.value);
            return Err(format!("unexpected series {labels} with {value:?}"));
        };
        missing.remove(&sample.labels);
        if is_ordered && series.position != at + 1 {
            return Err(format!(
                "series {} expected at position {}, found at {}",
                sample.labels,
                series.position,
                at + 1
            ));
        }
        let same = match (series.values.first(), &sample.value) {
            (Some(SeriesValue::Float(wanted)), PointValue::Float(value)) => number(*wanted, *value),
            // A gap is worth zero here, as in Prometheus.
            (Some(SeriesValue::Gap), PointValue::Float(value)) => number(0.0, *value),
            (Some(SeriesValue::Histogram(wanted)), PointValue::Histogram(value)) => {
                histogram(wanted, value)
            }
            (wanted, found) => Err(format!("expected {wanted:?}, got {found:?}")),
        };
        same.map_err(|error| format!("{}: {error}", sample.labels))?;
    }
    none_missing(&missing)
}

fn matrix(wanted: &[ExpectedSeries], steps: &Steps, found: &[Series]) -> Result<(), String> {
    if !found.is_sorted_by(|a, b| a.labels <= b.labels) {
        return Err("series of a matrix are not sorted by labels".to_owned());
    }
    let mut missing = by_labels(wanted);
    for series in found {
        let points = &series.floats;
        let Some(wanted) = wanted.iter().find(|s| s.labels == series.labels) else {
            return Err(format!(
                "unexpected series {} with {points:?}",
                series.labels
            ));
        };
        missing.remove(&series.labels);
        let (mut expected, mut expected_histograms) = (Vec::new(), Vec::new());
        let mut t_ms = steps.start_ms;
        for value in &wanted.values {
            if t_ms > steps.end_ms {
                let n = wanted.values.len();
                return Err(format!(
                    "{n} points expected for {} do not fit",
                    series.labels
                ));
            }
            match value {
                SeriesValue::Gap => {}
                SeriesValue::Float(value) => expected.push((t_ms, *value)),
                SeriesValue::Histogram(value) => expected_histograms.push((t_ms, value)),
            }
            t_ms += steps.step_ms;
        }
        let same_times = points.timestamps.iter().eq(expected.iter().map(|(t, _)| t));
        let values = points.values.iter().zip(&expected);
        let same_values = values
            .clone()
            .all(|(found, (_, wanted))| close(*wanted, *found));
        if !same_times || !same_values {
            return Err(format!(
                "{}: expected {expected:?}, got {points:?}",
                series.labels
            ));
        }
        let found = &series.histograms;
        let times = expected_histograms.iter().map(|(t, _)| *t);
        if !times.eq(found.iter().map(|sample| sample.t_ms)) {
            return Err(format!(
                "{}: expected histograms {expected_histograms:?}, got {found:?}",
                series.labels
            ));
        }
        for ((t_ms, wanted), found) in expected_histograms.iter().zip(found) {
            histogram(wanted, &found.histogram)
                .map_err(|error| format!("{} at {t_ms} ms: {error}", series.labels))?;
        }
    }
    none_missing(&missing)
}

fn by_labels(wanted: &[ExpectedSeries]) -> HashMap<&Labels, &ExpectedSeries> {
    wanted
        .iter()
        .map(|series| (&series.labels, series))
        .collect()
}

fn none_missing(missing: &HashMap<&Labels, &ExpectedSeries>) -> Result<(), String> {
    match missing.values().min_by_key(|series| series.position) {
        None => Ok(()),
        Some(series) => Err(format!(
            "expected series {} with {:?} not found",
            series.labels, series.values
        )),
    }
}

/// Compares histograms, whatever empty buckets they have. The hint counts where one was
/// written.
fn histogram(wanted: &SeriesHistogram, found: &FloatHistogram) -> Result<(), String> {
    let (mut a, mut b) = (FloatHistogram::clone(&wanted.histogram), found.clone());
    a.compact(0);
    b.compact(0);
    let same_side = |a: &Buckets, b: &Buckets| {
        let mut counts = a.counts().iter().zip(b.counts());
        a.has_layout_of(b) && counts.all(|(a, b)| close(*a, *b))
    };
    let same = a.schema == b.schema
        && close(a.count, b.count)
        && close(a.sum, b.sum)
        && (!a.uses_custom_buckets() || a.custom_bounds == b.custom_bounds)
        && a.zero_threshold == b.zero_threshold
        && close(a.zero_count, b.zero_count)
        && same_side(&a.positive, &b.positive)
        && same_side(&a.negative, &b.negative)
        && (!wanted.hint_set || a.counter_reset_hint == b.counter_reset_hint);
    if same {
        return Ok(());
    }
    let [a, b] = [a, b].map(|histogram| histogram.to_test_notation());
    Err(format!("expected {a}, got {b}"))
}

fn number(wanted: f64, found: f64) -> Result<(), String> {
    if close(wanted, found) {
        return Ok(());
    }
    Err(format!("expected {wanted}, got {found}"))
}

/// Tells whether two numbers count as one: a stale marker is only like itself, other
/// NaNs are alike.
fn close(a: f64, b: f64) -> bool {
    if is_stale_marker(a) || is_stale_marker(b) {
        return is_stale_marker(a) && is_stale_marker(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

#[cfg(test)]
mod tests {
    use super::*;
    use kymo_storage::model::stale_marker;

    #[test]
    fn numbers_are_close_relative_to_their_size() {
        assert!(close(1.0, 1.000001));
        assert!(!close(1.0, 1.00001));
        assert!(!close(0.0, 1e-300));
        assert!(close(f64::INFINITY, f64::INFINITY));
        assert!(!close(f64::INFINITY, f64::MAX));
        assert!(close(f64::NAN, -f64::NAN));
        assert!(!close(f64::NAN, stale_marker()));
        assert!(close(stale_marker(), stale_marker()));
    }
}
