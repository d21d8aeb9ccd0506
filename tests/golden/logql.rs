//! Log queries against the answers of Loki.
//!
//! The streams go through the checks of a push, which add levels and names of services, into
//! memory, and the engine runs over them. What the API adds, limits above all, is not here.

use std::collections::BTreeMap;

use kymo_ingest::loki::{Buffers, Limits, Rules, admit_json};
use kymo_query::Cancel;
use kymo_query::logql::{
    Direction, LabelSet, LogEngine, LogEngineOptions, LogQlError, LogQueryOptions, LogRangeQuery,
    LogValue, MemoryLogSource, parse, text_of,
};
use kymo_storage::compat::{float, time};
use serde_json::{Value, json};

use crate::corpus::{self, Score, field};

#[test]
fn logql() {
    let Some(documents) = corpus::documents("logql") else {
        return;
    };
    let mut score = Score::new("logql");
    for (_, document) in &documents {
        let source = source(&document["streams"]);
        let engine = LogEngine::new(LogEngineOptions::default());
        for case in document["cases"].as_array().into_iter().flatten() {
            let params = &case["params"];
            let name = format!("{} {}", field(params, "query"), field(params, "direction"));
            score.count(&name, judge(&engine, &source, case));
        }
    }
    score.finish();
}

/// Puts the streams into memory, as a push would.
fn source(streams: &Value) -> MemoryLogSource {
    let rules = Rules::new(Limits {
        reject_old_samples: false,
        ..Limits::default()
    });
    let body = json!({ "streams": streams }).to_string();
    let mut buffers = Buffers::default();
    // After all entries, so that none is of the future.
    let now_ns = 1_900_000_000_000_000_000;
    let admitted = admit_json(&rules, body.as_bytes(), &mut buffers, now_ns).unwrap();
    let mut source = MemoryLogSource::new();
    for batch in &admitted.batches {
        let mut seen = BTreeMap::new();
        for entry in &batch.entries {
            let metadata: Vec<(&str, &str)> = entry
                .metadata
                .iter()
                .map(|(name, value)| (name.as_ref(), value.as_ref()))
                .collect();
            // An entry that is there already counts once.
            let known = seen.insert((entry.t_ns, entry.line.to_vec(), metadata.clone()), ());
            if known.is_none() {
                source.push(&batch.labels, entry.t_ns, &entry.line, metadata);
            }
        }
    }
    source
}

/// Runs a case and says what differs.
fn judge(engine: &LogEngine, source: &MemoryLogSource, case: &Value) -> Result<(), String> {
    let status = case["status"].as_u64().unwrap();
    let outcome = run(engine, source, case);
    match outcome {
        Err((code, text)) => {
            let wanted = field(case, "error").trim_end();
            if code != status || status < 400 {
                return Err(format!(
                    "want status {status} {wanted:?}, got {code} {text:?}"
                ));
            }
            match text.trim_end() == wanted {
                true => Ok(()),
                false => Err(format!("want {wanted:?}, got {text:?}")),
            }
        }
        Ok(_) if status != 200 => Err(format!("no error, want {}", field(case, "error"))),
        Ok((kind, result)) => {
            let data = &case["data"];
            if field(data, "resultType") != kind {
                return Err(format!("want {}, got {kind}", data["resultType"]));
            }
            // Series of vectors are in an order of their own.
            let is_ordered = kind == "vector";
            let wanted = normal(&data["result"], is_ordered);
            let got = normal(&result, is_ordered);
            match wanted == got {
                true => Ok(()),
                false => Err(difference(&wanted, &got)),
            }
        }
    }
}

/// Runs a case.
fn run(
    engine: &LogEngine,
    source: &MemoryLogSource,
    case: &Value,
) -> Result<(&'static str, Value), (u64, String)> {
    let failed = |error: LogQlError| {
        let status = if matches!(error, LogQlError::Matching(_)) {
            500
        } else {
            400
        };
        (status, error.to_string())
    };
    let params = &case["params"];
    let expr = parse(field(params, "query")).map_err(failed)?;
    let expr = expr.with_rounded_sizes();
    let ns = |name: &str| field(params, name).parse::<i64>().unwrap_or(0);
    let (options, cancel) = (LogQueryOptions::default(), Cancel::new());
    let result = if field(case, "path").ends_with("/query") {
        engine.instant(source, &expr, ns("time"), &options, &cancel)
    } else {
        let duration = |name: &str| {
            let text = field(params, name);
            let seconds = float::parse(text).map(|seconds| (seconds * 1e9) as i64);
            let go = || kymo_storage::compat::duration::parse_api(text).ok();
            seconds.ok().or_else(go)
        };
        let (start_ns, end_ns) = (ns("start"), ns("end"));
        let default_step = ((end_ns - start_ns) / 250 / 1_000_000_000).max(1) * 1_000_000_000;
        let query = LogRangeQuery {
            start_ns,
            end_ns,
            step_ns: duration("step").unwrap_or(default_step),
            interval_ns: duration("interval").unwrap_or(0),
            limit: params["limit"].as_u64().unwrap_or(100) as usize,
            direction: match field(params, "direction") {
                "forward" => Direction::Forward,
                _ => Direction::Backward,
            },
        };
        engine.range(source, &expr, &query, &options, &cancel)
    };
    Ok(to_json(&result.map_err(failed)?.value))
}

fn to_json(value: &LogValue) -> (&'static str, Value) {
    let labels = |set: &LabelSet| Value::from_iter(set.iter());
    let point = |t_ms: i64, value: f64| {
        let mut seconds = String::new();
        time::push_api(&mut seconds, t_ms);
        let seconds: f64 = seconds.parse().unwrap();
        json!([seconds, float::api(value)])
    };
    match value {
        LogValue::Streams(streams) => {
            let streams = streams.iter().map(|stream| {
                let entry = |line: &kymo_query::logql::LogLine| {
                    json!([line.t_ns.to_string(), text_of(&line.line)])
                };
                let values: Vec<Value> = stream.entries.iter().map(entry).collect();
                json!({ "stream": labels(&stream.labels), "values": values })
            });
            ("streams", streams.collect())
        }
        LogValue::Matrix(series) => {
            let series = series.iter().map(|series| {
                let values = series
                    .points
                    .iter()
                    .map(|(t_ms, value)| point(*t_ms, *value));
                json!({ "metric": labels(&series.labels), "values": values.collect::<Vec<_>>() })
            });
            ("matrix", series.collect())
        }
        LogValue::Vector(samples) => {
            let samples = samples.iter().map(|sample| {
                let value = point(sample.t_ms, sample.value);
                json!({ "metric": labels(&sample.labels), "value": value })
            });
            ("vector", samples.collect())
        }
        LogValue::Scalar { t_ms, value } => ("scalar", json!([t_ms, float::api(*value)])),
    }
}

/// Brings an answer into a form that can be compared: series in order of their labels, and
/// numbers rounded to what has to agree.
fn normal(result: &Value, is_ordered: bool) -> Vec<String> {
    let items = result.as_array().cloned().unwrap_or_default();
    let mut items: Vec<String> = items
        .into_iter()
        .map(|item| rounded(item).to_string())
        .collect();
    if !is_ordered {
        items.sort();
    }
    items
}

fn rounded(item: Value) -> Value {
    match item {
        Value::Object(mut object) if object.contains_key("metric") => {
            for name in ["value", "values"] {
                if let Some(values) = object.get_mut(name) {
                    *values = rounded_points(values.take());
                }
            }
            Value::Object(object)
        }
        Value::Number(number) => json!(number.as_f64()),
        Value::String(text) => json!(rounded_number(&text)),
        other => other,
    }
}

fn rounded_points(points: Value) -> Value {
    match points {
        Value::Array(items) => items.into_iter().map(rounded_points).collect(),
        Value::String(text) => json!(rounded_number(&text)),
        Value::Number(number) => json!(number.as_f64()),
        other => other,
    }
}

fn rounded_number(text: &str) -> String {
    match float::parse(text) {
        Ok(value) if value.is_finite() => format!("{value:.9e}"),
        _ => text.to_owned(),
    }
}

fn difference(wanted: &[String], got: &[String]) -> String {
    let pair = wanted.iter().zip(got).find(|(wanted, got)| wanted != got);
    let (first_wanted, first_got) = match pair {
        Some((wanted, got)) => (wanted.as_str(), got.as_str()),
        None => ("", ""),
    };
    format!(
        "want {} items, got {}: {first_wanted:.1200} but {first_got:.1200}",
        wanted.len(),
        got.len()
    )
}
