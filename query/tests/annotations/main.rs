//! Annotations in the style of the alerts that people share for nodes, Kubernetes,
//! Redis and PostgreSQL, expanded over real queries. Beside this file is what
//! `promtool test rules` of Prometheus made of them.
#![allow(
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use kymo_query::template::Sample;
use kymo_query::template::alert::{self, AlertData, Expander, Prefix};
use kymo_query::{
    Cancel, Engine, EngineOptions, MemorySource, PointValue, QueryOptions, Value as QueryValue,
};
use kymo_storage::compat::float;
use kymo_storage::model::Labels;
use serde_json::Value;

const RECORDED: &str = include_str!("recorded.jsonl");
const EXTERNAL_URL: &str = "http://prom.example.com/base";

fn source() -> MemorySource {
    let mut source = MemorySource::new();
    for (host, zone, value) in [("b", "z1", 2.5), ("a", "z1", 1.25), ("c", "z2", 12_000.0)] {
        let labels = Labels::from_pairs([("__name__", "load"), ("host", host), ("zone", zone)]);
        source.push(&labels, 0, value);
    }
    source
}

fn query(source: &MemorySource, text: &str, t_ms: i64) -> Result<Vec<Sample>, String> {
    let engine = Engine::new(EngineOptions::default());
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    let result = engine
        .instant(source, text, t_ms, &options, &cancel)
        .map_err(|error| error.to_string())?;
    Ok(match result.value {
        QueryValue::Vector(samples) => samples
            .into_iter()
            .map(|sample| match sample.value {
                PointValue::Float(value) => (sample.labels, value).into(),
                #[allow(unreachable_patterns, reason = "values other than floats may come")]
                _ => (sample.labels, f64::NAN).into(),
            })
            .collect(),
        // Rules give a scalar as a series without labels.
        QueryValue::Scalar { value, .. } => vec![(Labels::empty(), value).into()],
        _ => return Err("rule result is not a vector or scalar".to_owned()),
    })
}

fn expand(case: &Value, source: &MemorySource) -> String {
    let labels = Labels::from_pairs(
        case["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap())),
    );
    let external = Labels::from_pairs([("region", "eu")]);
    let value = float::parse(case["value"].as_str().unwrap()).unwrap();
    let data = AlertData::new(&labels, &external, EXTERNAL_URL, value);
    let name = format!("__alert_{}", case["alert"].as_str().unwrap());
    let expander = Expander {
        name: &name,
        text: case["text"].as_str().unwrap(),
        data: &data,
        now_ms: 0,
        external_url: EXTERNAL_URL,
        path_prefix: "/base",
        query: &|text, t_ms| query(source, text, t_ms),
        prefix: Prefix::Alert,
    };
    match expander.expand() {
        Ok(text) => text,
        Err(error) => format!("<error expanding template: {error}>"),
    }
}

#[test]
fn annotations_read_as_they_do_in_prometheus() {
    let source = source();
    let mut count = 0;
    for line in RECORDED.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = case["text"].as_str().unwrap();
        count += 1;
        if let Some(want) = case["parse_error"].as_str() {
            let name = format!("__alert_{}", case["alert"].as_str().unwrap());
            assert_eq!(
                alert::check(&name, text, Prefix::Alert)
                    .unwrap_err()
                    .to_string(),
                want
            );
            continue;
        }
        let want = case["annotation"].as_str().unwrap();
        assert_eq!(expand(&case, &source), want, "{text}");
        // What fails while it is carried out is a template all the same.
        alert::check("__alert_x", text, Prefix::Alert).unwrap();
    }
    assert!(count >= 100, "only {count} annotations are recorded");
}
