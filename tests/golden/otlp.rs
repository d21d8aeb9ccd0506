//! OTLP metrics as Prometheus' translation makes them series and samples.
//!
//! Labels, times and values of all samples have to agree, and so have errors and
//! warnings (`otlp`); what is told beside them is counted apart (`otlp/metadata`).

use std::collections::HashMap;

use kymo_ingest::otlp::{
    Family, PointError, Promotion, Sample, SampleValue, Settings, Sink, Strategy, Translated,
    from_json, translate,
};
use kymo_storage::model::histogram::{CounterResetHint, IntegerHistogram, Span};
use kymo_storage::model::{Exemplar, is_stale_marker};
use serde_json::{Map, Value, json};

use crate::corpus::{self, Score};

#[test]
fn otlp() {
    let Some(cases) = corpus::cases("otlp") else {
        return;
    };
    let mut score = Score::new("otlp");
    let mut metadata = Score::new("otlp/metadata");
    for (at, case) in cases.iter().enumerate() {
        match run(case) {
            Ok((found, expected)) => {
                let samples = |all: &[Value]| sorted(all.iter().map(sample_of).collect());
                let told = |all: &[Value]| sorted(all.to_vec());
                score.count(at, same(&samples(&found), &samples(&expected)));
                metadata.count(at, same(&told(&found), &told(&expected)));
            }
            Err(difference) => score.count(at, Err(difference)),
        }
    }
    score.finish();
    metadata.finish();
}

fn same(found: &[Value], expected: &[Value]) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let text = |all: &[Value]| {
        let lines: Vec<String> = all.iter().map(Value::to_string).collect();
        lines.join("\n    ")
    };
    Err(format!(
        "found\n    {}\n  in place of\n    {}",
        text(found),
        text(expected)
    ))
}

fn sorted(mut all: Vec<Value>) -> Vec<Value> {
    all.sort_by_key(Value::to_string);
    all
}

/// Returns what of a sample has to agree.
fn sample_of(appended: &Value) -> Value {
    let mut sample = appended.as_object().cloned().unwrap_or_default();
    sample.retain(|key, _| ["labels", "t", "value", "histogram"].contains(&key.as_str()));
    Value::Object(sample)
}

/// Translates a case; returns what was appended and what should have been. The error says
/// how it went otherwise.
fn run(case: &Value) -> Result<(Vec<Value>, Vec<Value>), String> {
    let otlp = &case["otlp"];
    let text = match otlp["text"].as_str() {
        Some(text) => text.to_owned(),
        None => otlp.to_string(),
    };
    let request = from_json(text.as_bytes(), 32 << 20, &mut |_| true);
    let request = match (request, case.get("unmarshal_error")) {
        (Ok(request), None) => request,
        (Err(_), Some(_)) => return Ok((Vec::new(), Vec::new())),
        (Err(error), None) => return Err(format!("is no request: {error}")),
        (Ok(_), Some(error)) => return Err(format!("is read, and should not be: {error}")),
    };
    let mut recorder = Recorder::default();
    let translated = translate(&request, &settings(&case["settings"]), &mut recorder);
    let translated = translated.map_err(|error| error.to_string())?;
    let errors: Vec<String> = translated
        .errors
        .iter()
        .map(|one| one.to_string())
        .collect();
    let expected = corpus::field(case, "error");
    if errors.join("\n") != expected {
        return Err(format!("fails with {errors:?} in place of {expected}"));
    }
    warnings_agree(case, &translated)?;
    let expected = case["appended"].as_array().cloned().unwrap_or_default();
    Ok((recorder.appended, expected))
}

fn warnings_agree(case: &Value, translated: &Translated) -> Result<(), String> {
    let texts = |key: &str| {
        let all = case[key].as_array().cloned().unwrap_or_default();
        let texts = all.iter().map(|one| one.as_str().unwrap().to_owned());
        texts.collect::<Vec<String>>()
    };
    let mut expected = texts("warnings");
    expected.extend(texts("infos"));
    expected.sort();
    let mut found = translated.warnings.texts().to_vec();
    found.sort();
    match found == expected {
        true => Ok(()),
        false => Err(format!("warns {found:?} in place of {expected:?}")),
    }
}

fn settings(given: &Value) -> Settings {
    let is_on = |key: &str| given[key].as_bool().unwrap_or(false);
    let names = |key: &str| {
        let names = given[key].as_array().cloned().unwrap_or_default();
        let names = names.iter().map(|name| name.as_str().unwrap().to_owned());
        names.collect::<Vec<String>>()
    };
    let promotion = match is_on("promote_all_resource_attributes") {
        true => Promotion::AllBut(names("ignore_resource_attributes")),
        false => Promotion::Listed(names("promote_resource_attributes")),
    };
    Settings {
        strategy: Strategy::from_config(corpus::field(given, "translation_strategy")).unwrap(),
        promotion,
        keep_identifying_attributes: is_on("keep_identifying_resource_attributes"),
        convert_histograms_to_nhcb: is_on("convert_histograms_to_nhcb"),
        promote_scope_metadata: is_on("promote_scope_metadata"),
        underscore_sanitization: !is_on("no_underscore_sanitization"),
        preserve_multiple_underscores: !is_on("collapse_underscores"),
        allow_delta: is_on("allow_delta"),
        type_and_unit_labels: is_on("type_and_unit_labels"),
        ..Settings::default()
    }
}

/// Writes down what is appended, and knows series by their keys, as a store does.
#[derive(Default)]
struct Recorder {
    series: Vec<Value>,
    known: HashMap<Vec<u8>, usize>,
    family: Family,
    appended: Vec<Value>,
}

impl Sink for Recorder {
    type Series = usize;

    fn digest(&self, bytes: &[u8]) -> [u8; 16] {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let half = |seed: u8| {
            let mut hasher = DefaultHasher::new();
            (seed, bytes).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        (half(0) << 64 | half(1)).to_le_bytes()
    }

    fn known(&mut self, key: &[u8]) -> Option<usize> {
        self.known.get(key).copied()
    }

    fn series(&mut self, key: Option<&[u8]>, labels: &[(&str, &str)]) -> Result<usize, PointError> {
        let labels = labels.iter();
        let labels: Map<String, Value> = labels
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        self.series.push(Value::Object(labels));
        let series = self.series.len() - 1;
        if let Some(key) = key {
            self.known.insert(key.to_vec(), series);
        }
        Ok(series)
    }

    fn family(&mut self, family: &Family) {
        self.family = family.clone();
    }

    fn append(&mut self, series: usize, sample: Sample<'_>) -> Result<(), PointError> {
        let mut appended = json!({
            "labels": self.series[series],
            "t": sample.t_ms,
            "family": self.family.name,
            "type": self.family.metadata.kind.as_str(),
            "unit": self.family.metadata.unit,
            "help": self.family.metadata.help,
        });
        match sample.value {
            SampleValue::Float(value) => appended["value"] = float(value),
            SampleValue::Histogram(value) => appended["histogram"] = histogram(value),
        }
        if sample.start_ms != 0 {
            appended["st"] = json!(sample.start_ms);
        }
        if !sample.exemplars.is_empty() {
            appended["exemplars"] = sample.exemplars.iter().map(exemplar).collect();
        }
        self.appended.push(appended);
        Ok(())
    }
}

/// Writes a float as the corpus does: a string in Go's shortest form.
fn float(value: f64) -> Value {
    match is_stale_marker(value) {
        true => json!("stale"),
        false => json!(kymo_storage::compat::float::g(value)),
    }
}

fn exemplar(exemplar: &Exemplar) -> Value {
    let labels = exemplar.labels.iter();
    let labels: Map<String, Value> = labels.map(|(n, v)| (n.to_owned(), json!(v))).collect();
    json!({"labels": labels, "t": exemplar.t_ms, "value": float(exemplar.value)})
}

fn histogram(histogram: &IntegerHistogram) -> Value {
    let spans = |spans: &[Span]| -> Value {
        let pairs = spans.iter().map(|one| json!([one.offset, one.length]));
        pairs.collect()
    };
    let hint = match histogram.counter_reset_hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    };
    let bounds: Value = histogram
        .custom_bounds
        .iter()
        .map(|one| float(*one))
        .collect();
    json!({
        "schema": histogram.schema,
        "count": histogram.count,
        "sum": float(histogram.sum),
        "zero_count": histogram.zero_count,
        "zero_threshold": float(histogram.zero_threshold),
        "positive_spans": spans(&histogram.positive_spans),
        "positive_deltas": histogram.positive_deltas,
        "negative_spans": spans(&histogram.negative_spans),
        "negative_deltas": histogram.negative_deltas,
        "custom_values": bounds,
        "counter_reset_hint": hint,
    })
}
