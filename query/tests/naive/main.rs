//! The engine answers as a naive interpreter of the language does, to the bit.
//!
//! The interpreter walks the tree once for each step and keeps whole vectors; it knows no
//! columns, no fused operators, no windows that slide, no labels that come late. Queries
//! and data are random, with gaps, stale markers, resets, NaN and infinities. The data is
//! in memory and in a store, in its head and in a block.
//!
//! `PROPTEST_CASES=100000 cargo test --release -p kymo-query --test naive` tries harder.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

mod functions;
mod interpret;
mod model;
mod write;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use interpret::Interpreter;
use kymo_query::promql::{Features, parse_expr};
use kymo_query::{
    Cancel, Engine, EngineOptions, MemorySource, PointValue, QueryError, QueryOptions, QueryResult,
    Source, Value,
};
use kymo_storage::StoreOptions;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::stale_marker;
use model::{Data, Labels, Samples};
use proptest::prelude::*;

/// Number of different data.
const N_DATA: usize = 6;
const SCRAPES: i64 = 60;

/// Data in all forms.
struct Sources {
    data: Data,
    memory: MemorySource,
    head: MetricStore,
    block: MetricStore,
    _dirs: [tempfile::TempDir; 2],
}

/// Stores data. What is older than `flushed_ms` goes to a block.
fn store(data: &Data, flushed_ms: Option<i64>) -> (MetricStore, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = MetricStore::open(&StoreOptions::new(dir.path())).unwrap();
    let mut appender = store.appender();
    for (labels, samples) in data {
        let series = appender.series(&packed(labels)).unwrap();
        for &(t_ms, value) in samples {
            appender.append(series, t_ms, value).unwrap();
        }
    }
    appender.commit().unwrap();
    if let Some(end_ms) = flushed_ms {
        let mut pace = || ControlFlow::Continue(());
        while !store.flush_before(end_ms, &mut pace).unwrap() {}
    }
    (store, dir)
}

fn packed(labels: &Labels) -> kymo_storage::model::Labels {
    let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    kymo_storage::model::Labels::from_pairs(pairs)
}

/// Makes data from a seed. Scrapes are 15 s apart, in some series to the millisecond.
fn data(seed: u64) -> Data {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        // Xorshift: any numbers do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    let mut data = Data::new();
    // In the order of labels, so that all sources have one order.
    for name in ["g", "m_total", "x"] {
        for (a, b) in [("p", "1"), ("p", "2"), ("q", ""), ("q", "1"), ("r", "2")] {
            let labels = [("__name__", name), ("a", a), ("b", b)];
            let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
            let labels = labels.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            let jitter = [0, 0, 700][random(3) as usize];
            let mut samples = Samples::new();
            let mut counter = random(100) as f64;
            for scrape in 0..SCRAPES {
                counter = if random(20) == 0 {
                    0.0
                } else {
                    counter + random(40) as f64 / 4.0
                };
                let value = match (name, random(30)) {
                    (_, 0..3) => continue,
                    (_, 3) => stale_marker(),
                    ("m_total", _) => counter,
                    ("g", 4) => f64::NAN,
                    ("g", 5) => f64::INFINITY,
                    ("g", 6) => -0.0,
                    ("g", 7) => -1e308,
                    ("g", _) => random(9) as f64 - 4.0,
                    _ => random(1_000_000) as f64 / 999.0,
                };
                samples.push((scrape * 15_000 + random(jitter + 1) as i64, value));
            }
            data.push((labels, samples));
        }
    }
    data
}

fn sources(at: usize) -> &'static Sources {
    static ALL: OnceLock<Vec<Sources>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let make = |seed| {
            let data = data(seed);
            let mut memory = MemorySource::new();
            for (labels, samples) in &data {
                let labels = packed(labels);
                for &(t_ms, value) in samples {
                    memory.push(&labels, t_ms, value);
                }
            }
            let (head, head_dir) = store(&data, None);
            let (block, block_dir) = store(&data, Some(SCRAPES * 9_000));
            Sources {
                data,
                memory,
                head,
                block,
                _dirs: [head_dir, block_dir],
            }
        };
        (1..=N_DATA as u64).map(make).collect()
    });
    &all[at % all.len()]
}

/// An answer in the interpreter's form. A time has one point.
type Series = BTreeMap<Labels, Samples>;

fn series_of(result: Result<QueryResult, QueryError>) -> Result<Series, String> {
    let owned = |labels: &kymo_storage::model::Labels| {
        let pairs = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
        pairs.collect::<Labels>()
    };
    Ok(match result.map_err(|error| error.to_string())?.value {
        Value::Scalar { t_ms, value } => BTreeMap::from([(Labels::new(), vec![(t_ms, value)])]),
        Value::Vector(samples) => {
            let points = samples.iter().map(|sample| match sample.value {
                PointValue::Float(value) => (owned(&sample.labels), vec![(sample.t_ms, value)]),
                ref other => panic!("{other:?}"),
            });
            points.collect()
        }
        Value::Matrix(series) => {
            let series = series.iter().map(|series| {
                let times = series.floats.timestamps.iter().copied();
                let points = times.zip(series.floats.values.iter().copied());
                (owned(&series.labels), points.collect())
            });
            series.collect()
        }
        other => panic!("{other:?}"),
    })
}

fn same(ours: &Result<Series, String>, naive: &Result<Series, String>) -> bool {
    match (ours, naive) {
        (Err(_), Err(_)) => true,
        (Ok(ours), Ok(naive)) => {
            ours.len() == naive.len()
                && ours.iter().zip(naive).all(|((l, a), (m, b))| {
                    let equal = |(a, b): (&(i64, f64), &(i64, f64))| {
                        a.0 == b.0
                            && (a.1.to_bits() == b.1.to_bits() || a.1.is_nan() && b.1.is_nan())
                    };
                    l == m && a.len() == b.len() && a.iter().zip(b).all(equal)
                })
        }
        _ => false,
    }
}

fn engine() -> Engine {
    Engine::new(EngineOptions {
        enable: Features::ALL,
        ..EngineOptions::default()
    })
}

/// Asks both at `start_ms` and over nine steps from there.
fn check(source: &dyn Source, data: &Data, query: &str, start_ms: i64, step_ms: i64) {
    let expr = match parse_expr(query, &Features::ALL) {
        Ok(expr) => expr,
        Err(error) => panic!("{query}: {error}"),
    };
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    let engine = engine();
    let end_ms = start_ms + 8 * step_ms;
    let answers = [
        (
            start_ms,
            engine.instant(source, query, start_ms, &options, &cancel),
        ),
        (
            end_ms,
            engine.range(source, query, start_ms, end_ms, step_ms, &options, &cancel),
        ),
    ];
    for (end_ms, ours) in answers {
        let naive = Interpreter {
            data,
            start_ms,
            end_ms,
            step_ms,
        };
        let (ours, naive) = (series_of(ours), naive.range(&expr));
        assert!(
            same(&ours, &naive),
            "{query} from {start_ms} to {end_ms} step {step_ms}\n ours  {ours:?}\n naive {naive:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_queries_are_answered_as_by_the_interpreter(
        choices in prop::collection::vec(any::<u8>(), 0..60),
        data in 0..N_DATA,
        start in 0i64..1_000,
        step_ms in prop::sample::select(vec![30_000i64, 15_000, 7_001, 1_000, 120_000]),
    ) {
        let query = write::query(&choices);
        let sources = sources(data);
        let all: [&dyn Source; 3] = [&sources.memory, &sources.head, &sources.block];
        for source in all {
            check(source, &sources.data, &query, start * 1_000, step_ms);
        }
    }
}
