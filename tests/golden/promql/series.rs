//! The series of a file.

use kymo_storage::compat::float;
use kymo_storage::model::histogram::{
    Buckets, CounterResetHint, FloatHistogram, IntegerHistogram, Span,
};
use kymo_storage::model::{Labels, stale_marker};
use serde_json::Value;

/// One series of the corpus.
pub(super) struct Series {
    pub(super) labels: Labels,
    /// In order of time.
    pub(super) samples: Vec<(i64, Sample)>,
}

pub(super) enum Sample {
    Float(f64),
    Histogram(FloatHistogram),
}

impl Series {
    pub(super) fn has_histograms(&self) -> bool {
        let mut samples = self.samples.iter();
        samples.any(|(_, sample)| matches!(sample, Sample::Histogram(_)))
    }
}

pub(super) fn read(series: &Value) -> Series {
    let labels = series["labels"].as_object().unwrap();
    let list = |key: &str| {
        series
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let floats = list("samples").map(|sample| {
        let value = Sample::Float(number(&sample[1]));
        (sample[0].as_i64().unwrap(), value)
    });
    let histograms = list("histograms").map(|sample| {
        let histogram = Sample::Histogram(histogram(sample));
        (sample["t"].as_i64().unwrap(), histogram)
    });
    let mut samples: Vec<(i64, Sample)> = floats.chain(histograms).collect();
    samples.sort_by_key(|(t_ms, _)| *t_ms);
    Series {
        labels: Labels::from_pairs(labels.iter().map(|(n, v)| (n, v.as_str().unwrap()))),
        samples,
    }
}

/// Returns all samples in order of time; of one time in order of the series.
pub(super) fn by_time(series: &[Series]) -> Vec<(i64, &Labels, &Sample)> {
    let mut samples: Vec<(i64, &Labels, &Sample)> = series
        .iter()
        .flat_map(|series| {
            let labels = &series.labels;
            series.samples.iter().map(move |(t, v)| (*t, labels, v))
        })
        .collect();
    samples.sort_by_key(|&(t_ms, _, _)| t_ms);
    samples
}

/// Reads a number, or a text for one.
fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("stale") => stale_marker(),
        Some(text) => float::parse(text).unwrap(),
        None => value.as_f64().unwrap(),
    }
}

fn histogram(value: &Value) -> FloatHistogram {
    let numbers = |key: &str| -> Vec<f64> {
        let list = value
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        list.map(number).collect()
    };
    let whole = |key: &str| -> Vec<i64> {
        let list = value
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        list.map(|value| value.as_i64().unwrap()).collect()
    };
    let spans = |key: &str| -> Vec<Span> {
        let list = value
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let span = |span: &Value| Span {
            offset: span[0].as_i64().unwrap() as i32,
            length: span[1].as_u64().unwrap() as u32,
        };
        list.map(span).collect()
    };
    let counter_reset_hint = match value.get("reset_hint").and_then(Value::as_i64) {
        Some(3) => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    };
    let float = |key: &str| value.get(key).map_or(0.0, number);
    // A staleness marker has a sum and nothing else.
    let schema = value.get("schema").map_or(0, |n| n.as_i64().unwrap()) as i32;
    let bounds = numbers("custom_values").into();
    if value.get("float").is_none() {
        let count = |key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
        let integer = IntegerHistogram {
            counter_reset_hint,
            schema,
            zero_threshold: float("zero_threshold"),
            zero_count: count("zero_count"),
            count: count("count"),
            sum: float("sum"),
            positive_spans: spans("positive_spans"),
            positive_deltas: whole("positive_deltas"),
            negative_spans: spans("negative_spans"),
            negative_deltas: whole("negative_deltas"),
            custom_bounds: bounds,
        };
        return integer.to_float().unwrap();
    }
    let side = |name: &str| {
        let counts = numbers(&format!("{name}_counts"));
        Buckets::from_spans(&spans(&format!("{name}_spans")), counts).unwrap()
    };
    FloatHistogram {
        counter_reset_hint,
        schema,
        zero_threshold: float("zero_threshold"),
        zero_count: float("zero_count"),
        count: float("count"),
        sum: float("sum"),
        positive: side("positive"),
        negative: side("negative"),
        custom_bounds: bounds,
    }
}
