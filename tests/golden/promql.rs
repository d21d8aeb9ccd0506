//! Answers of PromQL queries, over series in memory and over the store.

use std::collections::HashMap;

use kymo_query::promql::Features;
use kymo_query::{
    Cancel, Engine, EngineOptions, MemorySource, PointValue, QueryError, QueryOptions, QueryResult,
    Source, Value as QueryValue,
};
use kymo_storage::StoreOptions;
use kymo_storage::compat::float;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{Labels, stale_marker};
use serde_json::Value;

use crate::corpus::{self, Score, field};

/// Values agree within this share of their size.
const TOLERANCE: f64 = 1e-9;

#[test]
fn promql() {
    run("promql", |series| {
        let mut source = MemorySource::new();
        for series in series {
            for &(t_ms, value) in &series.samples {
                source.push(&series.labels, t_ms, value);
            }
        }
        Loaded {
            source: Box::new(source),
            _dir: None,
        }
    });
}

#[test]
fn promql_over_the_store() {
    run("promql/store", |series| {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = MetricStore::open(&StoreOptions::new(dir.path())).unwrap();
        // The reference met the series in the order of the file, the samples in time.
        let mut appender = store.appender();
        for series in series {
            appender.series(&series.labels).unwrap();
        }
        for (t_ms, labels, value) in by_time(series) {
            let series = appender.series(labels).unwrap();
            appender.append(series, t_ms, value).unwrap();
        }
        appender.commit().unwrap();
        Loaded {
            source: Box::new(store),
            _dir: Some(dir),
        }
    });
}

/// A source, and the directory it may need.
struct Loaded {
    source: Box<dyn Source>,
    _dir: Option<tempfile::TempDir>,
}

/// One series of the corpus.
struct Series {
    labels: Labels,
    samples: Vec<(i64, f64)>,
}

fn run(name: &str, load: impl Fn(&[Series]) -> Loaded) {
    let Some(documents) = corpus::documents("promql") else {
        return;
    };
    let engine = Engine::new(EngineOptions {
        enable: Features {
            experimental_functions: true,
            ..Features::default()
        },
        ..EngineOptions::default()
    });
    let mut floats = Score::new(name);
    let mut histograms = Score::new(&format!("{name}/histograms"));
    for (_, document) in documents {
        let series = document["series"].as_array().unwrap();
        let cases = document["cases"].as_array().unwrap();
        if series
            .iter()
            .any(|series| series.get("histograms").is_some())
        {
            for case in cases {
                let query = field(&case["params"], "query");
                histograms.count(query, Err("native histograms are not supported yet"));
            }
            continue;
        }
        let series: Vec<Series> = series.iter().map(read_series).collect();
        let loaded = load(&series);
        for case in cases {
            let query = field(&case["params"], "query");
            floats.count(query, check(&engine, loaded.source.as_ref(), case));
        }
    }
    floats.finish();
    histograms.finish();
}

fn read_series(series: &Value) -> Series {
    let labels = series["labels"].as_object().unwrap();
    let samples = series["samples"].as_array().unwrap();
    Series {
        labels: Labels::from_pairs(labels.iter().map(|(n, v)| (n, v.as_str().unwrap()))),
        samples: samples
            .iter()
            .map(|sample| {
                let value = match sample[1].as_str().unwrap() {
                    "stale" => stale_marker(),
                    value => float::parse(value).unwrap(),
                };
                (sample[0].as_i64().unwrap(), value)
            })
            .collect(),
    }
}

/// Returns all samples in order of time; of one time in order of the series.
fn by_time(series: &[Series]) -> Vec<(i64, &Labels, f64)> {
    let mut samples: Vec<(i64, &Labels, f64)> = series
        .iter()
        .flat_map(|series| {
            let labels = &series.labels;
            series.samples.iter().map(move |&(t, v)| (t, labels, v))
        })
        .collect();
    samples.sort_by_key(|&(t_ms, _, _)| t_ms);
    samples
}

fn check(engine: &Engine, source: &dyn Source, case: &Value) -> Result<(), String> {
    let params = &case["params"];
    let answer = &case["answer"];
    let query = field(params, "query");
    let ms = |name: &str| (params[name].as_f64().unwrap() * 1000.0).round() as i64;
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    let instant = field(case, "path").ends_with("/query");
    let outcome = match instant {
        true => engine.instant(source, query, ms("time"), &options, &cancel),
        false => engine.range(
            source,
            query,
            ms("start"),
            ms("end"),
            ms("step"),
            &options,
            &cancel,
        ),
    };
    match outcome {
        Err(error) => same_error(&error, answer),
        Ok(result) => same_result(&result, answer, instant && is_ordered(query)),
    }
}

/// Tells whether the order of an instant query's answer says something.
fn is_ordered(query: &str) -> bool {
    ["sort", "topk", "bottomk"]
        .iter()
        .any(|function| query.starts_with(function))
}

fn same_error(error: &QueryError, answer: &Value) -> Result<(), String> {
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

fn same_result(result: &QueryResult, answer: &Value, ordered: bool) -> Result<(), String> {
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
            let rows: Vec<Row> = vector
                .iter()
                .map(|sample| match sample.value {
                    PointValue::Float(value) => (&sample.labels, vec![(sample.t_ms, value)]),
                    _ => panic!("an unknown kind of value"),
                })
                .collect();
            let points = |row: &Value| vec![row["value"].clone()];
            same_rows(&rows, expected, points, ordered)
        }
        QueryValue::Matrix(series) => {
            let rows: Vec<Row> = series
                .iter()
                .map(|series| {
                    let floats = &series.floats;
                    let times = floats.timestamps.iter().copied();
                    (
                        &series.labels,
                        times.zip(floats.values.iter().copied()).collect(),
                    )
                })
                .collect();
            let points = |row: &Value| row["values"].as_array().unwrap().clone();
            same_rows(&rows, expected, points, ordered)
        }
        _ => Err("an unknown kind of result".to_owned()),
    }
}

type Row<'a> = (&'a Labels, Vec<(i64, f64)>);

fn same_rows(
    got: &[Row<'_>],
    expected: &Value,
    points: impl Fn(&Value) -> Vec<Value>,
    ordered: bool,
) -> Result<(), String> {
    let expected = expected.as_array().unwrap();
    if got.len() != expected.len() {
        return Err(format!("{} series, expected {}", got.len(), expected.len()));
    }
    let by_labels: HashMap<&Labels, &Row> = got.iter().map(|row| (row.0, row)).collect();
    for (at, expected) in expected.iter().enumerate() {
        let labels = expected["metric"].as_object().unwrap();
        let labels = Labels::from_pairs(labels.iter().map(|(n, v)| (n, v.as_str().unwrap())));
        let row = match ordered {
            true => Some(&got[at]).filter(|row| *row.0 == labels),
            false => by_labels.get(&labels).copied(),
        };
        let Some((_, values)) = row else {
            return Err(format!("no series {labels} (at {at})"));
        };
        let expected = points(expected);
        if values.len() != expected.len() {
            let counts = (values.len(), expected.len());
            return Err(format!(
                "{labels}: {} points, expected {}",
                counts.0, counts.1
            ));
        }
        for (&point, expected) in values.iter().zip(&expected) {
            same_point(point, expected).map_err(|error| format!("{labels}: {error}"))?;
        }
    }
    Ok(())
}

fn same_point((t_ms, value): (i64, f64), expected: &Value) -> Result<(), String> {
    let expected_ms = (expected[0].as_f64().unwrap() * 1000.0).round() as i64;
    let expected = float::parse(expected[1].as_str().unwrap()).unwrap();
    let close = value == expected
        || value.is_nan() && expected.is_nan()
        || (value - expected).abs() <= TOLERANCE * value.abs().max(expected.abs());
    if t_ms == expected_ms && close {
        return Ok(());
    }
    Err(format!(
        "{value} @ {t_ms}, expected {expected} @ {expected_ms}"
    ))
}
