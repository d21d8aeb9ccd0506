//! Bodies of all formats, with the entries and errors Prometheus' parsers gave.
//!
//! A case agrees when its entries do: labels, values, histograms, explicit times, start
//! times, metadata and exemplars, and when it fails or ends at the same entry. Error texts
//! are counted apart, as `exposition/errors`. The raw text of a series is compared where
//! it stands in the body; elsewhere it is Prometheus' own way to tell series apart.

use std::collections::BTreeMap;

use kymo_ingest::exposition::{
    Detected, Entry, Exemplar, Format, Parser, ParserOptions, Series, detect,
};
use kymo_ingest::wire::histogram::{SentFloatHistogram, SentHistogram};
use kymo_storage::compat::float;
use kymo_storage::model::histogram::{IntegerHistogram, Span};
use serde_json::{Value, json};

use crate::corpus::{self, Score, field};

#[test]
fn exposition() {
    let Some(documents) = corpus::documents("exposition") else {
        return;
    };
    let mut entries = Score::new("exposition");
    let mut errors = Score::new("exposition/errors");
    for (_, document) in &documents {
        let cases = document["cases"].as_array().unwrap();
        for (number, case) in cases.iter().enumerate() {
            let profile = &document["profiles"][field(case, "profile")];
            let body = body(case);
            let name = format!(
                "{number} {} {:?}",
                field(case, "content_type"),
                String::from_utf8_lossy(&body)
            );
            let answer = read(case, profile, &body);
            entries.count(&name, same_entries(case, &answer));
            if let Some(expected) = expected_error(case) {
                errors.count(&name, same("error", &expected, &answer.error));
            }
        }
    }
    entries.finish();
    errors.finish();
}

fn body(case: &Value) -> Vec<u8> {
    use base64::Engine;
    match case.get("body_base64").and_then(Value::as_str) {
        Some(base64) => base64::prelude::BASE64_STANDARD.decode(base64).unwrap(),
        None => corpus::bytes(&case["body"]).unwrap(),
    }
}

/// What came of a body.
struct Read {
    /// `None` where no parser was chosen.
    entries: Option<Vec<Value>>,
    error: Value,
}

fn read(case: &Value, profile: &Value, body: &[u8]) -> Read {
    let on = |name: &str| profile[name].as_bool().unwrap_or(false);
    let fallback = match field(case, "fallback") {
        "text/plain" => Some(Format::Text),
        "application/openmetrics-text" => Some(Format::OpenMetrics),
        "application/vnd.google.protobuf" => Some(Format::Protobuf),
        _ => None,
    };
    let detected = match detect(field(case, "content_type"), fallback) {
        Ok(detected) => detected,
        Err(error) => {
            return Read {
                entries: None,
                error: json!(error.to_string()),
            };
        }
    };
    let options = ParserOptions {
        skip_created_series: on("openmetrics_skip_st_series"),
        type_and_unit_labels: on("type_and_unit_labels"),
        native_histograms: !on("ignore_native_histograms"),
        convert_classic_histograms: on("convert_classic_to_nhcb"),
        keep_classic_histograms: on("keep_classic"),
    };
    let Detected { format, warning } = detected;
    let mut parser = Parser::new(format, body, options);
    let mut entries = Vec::new();
    let mut error = json!(warning);
    while let Some(entry) = parser.next() {
        match entry {
            Ok(entry) => entries.push(show(entry, &mut parser)),
            Err(failure) => error = json!(failure.to_string()),
        }
    }
    Read {
        entries: Some(entries),
        error,
    }
}

fn show(entry: Entry<'_>, parser: &mut Parser<'_>) -> Value {
    let pair = |name: &[u8], text: &[u8]| json!([bytes(name), bytes(text)]);
    match entry {
        Entry::Help { name, help } => {
            json!({"help": pair(name, help.unescape().as_bytes())})
        }
        Entry::Type { name, kind } => json!({"type": pair(name, kind.as_str().as_bytes())}),
        Entry::Unit { name, unit } => json!({"unit": pair(name, unit)}),
        Entry::Comment(text) => json!({"comment": bytes(text)}),
        Entry::Sample(sample) => {
            let mut shown = show_series(&sample.series, sample.timestamp_ms, parser);
            shown["value"] = number(sample.value);
            show_exemplars(&mut shown, sample.exemplar.as_slice());
            shown
        }
        Entry::Histogram(sample) => {
            let mut shown = show_series(&sample.series, sample.timestamp_ms, parser);
            match &sample.histogram {
                SentHistogram::Integer(histogram) => shown["histogram"] = show_integer(histogram),
                SentHistogram::Float(sent) => shown["float_histogram"] = show_float(sent),
            }
            show_exemplars(&mut shown, &sample.exemplars);
            shown
        }
        other => panic!("an entry unknown here: {other:?}"),
    }
}

fn show_series(series: &Series<'_>, t_ms: Option<i64>, parser: &mut Parser<'_>) -> Value {
    let labels = sorted(series.labels().map(|(n, v)| (n.to_vec(), v.to_vec())));
    let mut shown = json!({"labels": labels});
    if let Some(line) = series.line() {
        shown["series"] = bytes(line);
    }
    if let Some(t_ms) = t_ms {
        shown["ts"] = json!(t_ms);
    }
    if let Some(start_ms) = parser.start_timestamp_ms() {
        shown["st"] = json!(start_ms);
    }
    shown
}

fn show_exemplars(shown: &mut Value, exemplars: &[Exemplar<'_>]) {
    if exemplars.is_empty() {
        return;
    }
    let show = |exemplar: &Exemplar<'_>| {
        let labels = sorted(exemplar.labels().map(|(n, v)| (n.to_vec(), v.to_vec())));
        let mut shown = json!({"labels": labels, "value": number(exemplar.value)});
        if let Some(t_ms) = exemplar.timestamp_ms {
            shown["ts"] = json!(t_ms);
        }
        shown
    };
    shown["exemplars"] = exemplars.iter().map(show).collect();
}

fn show_integer(histogram: &IntegerHistogram) -> Value {
    json!({
        "count": histogram.count,
        "counter_reset_hint": histogram.counter_reset_hint as u8,
        "custom_values": numbers(&histogram.custom_bounds),
        "negative_deltas": histogram.negative_deltas,
        "negative_spans": spans(&histogram.negative_spans),
        "positive_deltas": histogram.positive_deltas,
        "positive_spans": spans(&histogram.positive_spans),
        "schema": histogram.schema,
        "sum": number(histogram.sum),
        "zero_count": histogram.zero_count,
        "zero_threshold": number(histogram.zero_threshold),
    })
}

fn show_float(sent: &SentFloatHistogram) -> Value {
    let histogram = &sent.histogram;
    json!({
        "count": number(histogram.count),
        "counter_reset_hint": histogram.counter_reset_hint as u8,
        "custom_values": numbers(&histogram.custom_bounds),
        "negative_counts": numbers(&sent.negative_counts),
        "negative_spans": spans(&sent.negative_spans),
        "positive_counts": numbers(&sent.positive_counts),
        "positive_spans": spans(&sent.positive_spans),
        "schema": histogram.schema,
        "sum": number(histogram.sum),
        "zero_count": number(histogram.zero_count),
        "zero_threshold": number(histogram.zero_threshold),
    })
}

fn spans(spans: &[Span]) -> Value {
    let pair = |span: &Span| json!([span.offset, span.length]);
    spans.iter().map(pair).collect()
}

fn numbers(values: &[f64]) -> Value {
    values.iter().map(|value| number(*value)).collect()
}

/// Sorts labels by name as a label set has them; of equal names the last stays,
/// which is what becomes of them in an object.
fn sorted(labels: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Value {
    let labels: BTreeMap<Vec<u8>, Vec<u8>> = labels.collect();
    let object = labels.iter().map(|(name, value)| {
        let key = match bytes(name) {
            Value::String(text) => text,
            other => format!("base64:{}", other["base64"].as_str().unwrap()),
        };
        (key, bytes(value))
    });
    Value::Object(object.collect())
}

/// Writes bytes as the corpus does: text, or base64 where they are not UTF-8.
fn bytes(bytes: &[u8]) -> Value {
    use base64::Engine;
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({"base64": base64::prelude::BASE64_STANDARD.encode(bytes)}),
    }
}

fn number(value: f64) -> Value {
    json!(float::g(value))
}

fn expected_error(case: &Value) -> Option<Value> {
    let new_error = case.get("new_error");
    case.get("error").or(new_error).cloned()
}

fn same_entries(case: &Value, answer: &Read) -> Result<(), String> {
    let fails = case.get("error").is_some();
    let warns = case.get("new_error").is_some();
    if (fails || warns) == answer.error.is_null() {
        let expected = expected_error(case).unwrap_or(Value::Null);
        return same("error", &expected, &answer.error);
    }
    let Some(expected) = case.get("entries").and_then(Value::as_array) else {
        return match &answer.entries {
            None => Ok(()),
            Some(_) => Err("expected no parser".to_owned()),
        };
    };
    let Some(entries) = &answer.entries else {
        return Err(format!("no parser was chosen: {}", answer.error));
    };
    for (expected, entry) in expected.iter().zip(entries) {
        let mut expected = expected.clone();
        if entry.get("series").is_none()
            && let Some(fields) = expected.as_object_mut()
        {
            fields.remove("series");
        }
        same("entry", &expected, entry)?;
    }
    same(
        "count of entries",
        &json!(expected.len()),
        &json!(entries.len()),
    )
}

fn same(what: &str, expected: &Value, got: &Value) -> Result<(), String> {
    if expected == got {
        return Ok(());
    }
    Err(format!("{what}\nexpected {expected}\ngot      {got}"))
}
