//! Answers of PromQL queries, over series in memory and over the store.

mod answer;
mod series;

use kymo_query::promql::Features;
use kymo_query::{Cancel, Engine, EngineOptions, MemorySource, QueryOptions, Source};
use kymo_storage::StoreOptions;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::histogram::Histogram;
use serde_json::Value;

use crate::corpus::{self, Score, field};
use series::{Sample, Series, by_time};

#[test]
fn promql() {
    run("promql", |series| {
        let mut source = MemorySource::new();
        for series in series {
            for (t_ms, sample) in &series.samples {
                match sample {
                    Sample::Float(value) => source.push(&series.labels, *t_ms, *value),
                    Sample::Histogram(histogram) => {
                        source.push_histogram(&series.labels, *t_ms, histogram.clone());
                    }
                }
            }
        }
        Some(Loaded {
            source: Box::new(source),
            _dir: None,
        })
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
        for (t_ms, labels, sample) in by_time(series) {
            let series = appender.series(labels).unwrap();
            match sample {
                Sample::Float(value) => appender.append(series, t_ms, *value).unwrap(),
                Sample::Histogram(histogram) => {
                    let histogram = Histogram::Float(histogram.clone());
                    appender.append_histogram(series, t_ms, &histogram).unwrap();
                }
            }
        }
        appender.commit().unwrap();
        Some(Loaded {
            source: Box::new(store),
            _dir: Some(dir),
        })
    });
}

/// A source, and the directory it may need.
struct Loaded {
    source: Box<dyn Source>,
    _dir: Option<tempfile::TempDir>,
}

fn run(name: &str, load: impl Fn(&[Series]) -> Option<Loaded>) {
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
        let series: Vec<Series> = series.iter().map(series::read).collect();
        let with_histograms = series.iter().any(Series::has_histograms);
        let loaded = load(&series);
        for case in cases {
            let query = field(&case["params"], "query");
            let checked = match &loaded {
                Some(loaded) => check(&engine, loaded.source.as_ref(), case),
                None => Err("the store keeps no histograms yet".to_owned()),
            };
            match with_histograms {
                true => histograms.count(query, checked),
                false => floats.count(query, checked),
            }
        }
    }
    floats.finish();
    histograms.finish();
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
        Err(error) => answer::same_error(&error, answer),
        Ok(result) => answer::same_result(&result, answer, instant && is_ordered(query)),
    }
}

/// Tells whether the order of an instant query's answer says something.
fn is_ordered(query: &str) -> bool {
    ["sort", "topk", "bottomk"]
        .iter()
        .any(|function| query.starts_with(function))
}
