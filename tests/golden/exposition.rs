//! Bodies of the text formats, with the entries and errors Prometheus' parsers gave.
//!
//! A case agrees when its entries do: labels, values, explicit times, start times,
//! metadata and exemplars, and when it fails or ends at the same entry. Error texts
//! are counted apart, as `exposition/errors`. Protobuf bodies and profiles that turn
//! classic histograms into native ones are not read yet; they have their own line.

use std::collections::BTreeMap;

use kymo_ingest::exposition::{Detected, Entry, Format, Parser, ParserOptions, Sample, detect};
use kymo_storage::compat::float;
use serde_json::{Value, json};

use crate::corpus::{self, Score, field};

#[test]
fn exposition() {
    let Some(documents) = corpus::documents("exposition") else {
        return;
    };
    let mut entries = Score::new("exposition");
    let mut errors = Score::new("exposition/errors");
    let mut unsupported = 0;
    for (_, document) in &documents {
        let cases = document["cases"].as_array().unwrap();
        for (number, case) in cases.iter().enumerate() {
            let profile = &document["profiles"][field(case, "profile")];
            let body = corpus::bytes(&case["body"]).unwrap();
            let name = format!(
                "{number} {} {:?}",
                field(case, "content_type"),
                String::from_utf8_lossy(&body)
            );
            match read(case, profile, &body) {
                Answer::Unsupported => unsupported += 1,
                Answer::Read(answer) => {
                    entries.count(&name, same_entries(case, &answer));
                    if let Some(expected) = expected_error(case) {
                        errors.count(&name, same("error", &expected, &answer.error));
                    }
                }
            }
        }
    }
    println!("exposition: {unsupported} cases of protobuf or native histograms not read yet");
    entries.finish();
    errors.finish();
}

enum Answer {
    Unsupported,
    Read(Read),
}

/// What came of a body.
struct Read {
    /// `None` where no parser was chosen.
    entries: Option<Vec<Value>>,
    error: Value,
}

fn read(case: &Value, profile: &Value, body: &[u8]) -> Answer {
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
            return Answer::Read(Read {
                entries: None,
                error: json!(error.to_string()),
            });
        }
    };
    if detected.format == Format::Protobuf {
        let refusal = Parser::new(Format::Protobuf, body, ParserOptions::default());
        assert!(refusal.is_err(), "protobuf is read now: compare it");
        return Answer::Unsupported;
    }
    if on("convert_classic_to_nhcb") {
        return Answer::Unsupported;
    }
    let options = ParserOptions {
        skip_created_series: on("openmetrics_skip_st_series"),
        type_and_unit_labels: on("type_and_unit_labels"),
    };
    let Detected { format, warning } = detected;
    let mut parser = Parser::new(format, body, options).unwrap();
    let mut entries = Vec::new();
    let mut error = json!(warning);
    while let Some(entry) = parser.next() {
        match entry {
            Ok(entry) => entries.push(show(entry, &mut parser)),
            Err(failure) => error = json!(failure.to_string()),
        }
    }
    Answer::Read(Read {
        entries: Some(entries),
        error,
    })
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
        Entry::Sample(sample) => show_sample(&sample, parser),
        other => panic!("an entry unknown here: {other:?}"),
    }
}

fn show_sample(sample: &Sample<'_>, parser: &mut Parser<'_>) -> Value {
    let labels = sorted(sample.labels().map(|(n, v)| (n.to_vec(), v.to_vec())));
    let mut shown = json!({
        "series": bytes(sample.series),
        "labels": labels,
        "value": number(sample.value),
    });
    if let Some(t_ms) = sample.timestamp_ms {
        shown["ts"] = json!(t_ms);
    }
    if let Some(start_ms) = parser.start_timestamp_ms() {
        shown["st"] = json!(start_ms);
    }
    if let Some(exemplar) = &sample.exemplar {
        let labels = sorted(exemplar.labels().map(|(n, v)| (n.to_vec(), v.to_vec())));
        let mut exemplar_shown = json!({"labels": labels, "value": number(exemplar.value)});
        if let Some(t_ms) = exemplar.timestamp_ms {
            exemplar_shown["ts"] = json!(t_ms);
        }
        shown["exemplars"] = json!([exemplar_shown]);
    }
    shown
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
        same("entry", expected, entry)?;
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
