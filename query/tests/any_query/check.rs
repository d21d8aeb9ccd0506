//! What must hold for any query: an answer or an error in the end, never a panic.
//!
//! The fuzz target `promql_eval` uses this file too.

use std::collections::HashSet;
use std::sync::OnceLock;

use kymo_query::promql::Features;
use kymo_query::{
    Cancel, Engine, EngineOptions, MemorySource, QueryError, QueryOptions, QueryResult, Value,
};
use kymo_storage::model::histogram::{
    Buckets, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram,
};
use kymo_storage::model::{Labels, stale_marker};

use crate::write;

const MAX_SAMPLES: usize = 4_000;

/// Start, end and step of the ranges; instants are evaluated at the ends.
const TIMES: [(i64, i64, i64); 16] = [
    (300_000, 570_000, 30_000),
    (0, 600_000, 7_001),
    (-60_000, 60_000, 1_000),
    (599_999, 600_001, 1),
    (0, 0, 1),
    (0, 11_000, 1),
    (0, i64::MAX, i64::MAX),
    (i64::MIN, 0, i64::MAX),
    (i64::MIN, i64::MAX, 1),
    (i64::MIN, i64::MIN + 600_000, 15_000),
    (i64::MIN + 1, i64::MIN + 1, i64::MAX),
    (i64::MAX - 600_000, i64::MAX, 15_000),
    (i64::MAX, i64::MAX, i64::MAX),
    (i64::MIN / 2, i64::MAX / 2, i64::MAX / 50),
    // The first and last time that the API accepts.
    (
        -9_223_309_901_257_974_000,
        -9_223_309_901_257_000_000,
        1_000_000,
    ),
    (
        9_223_309_901_257_000_000,
        9_223_309_901_257_974_999,
        1_000_000,
    ),
];

/// A query, and when and how it is run.
#[derive(Debug)]
pub(crate) struct Case {
    query: String,
    times: (i64, i64, i64),
    delayed_name_removal: bool,
    type_and_unit_labels: bool,
    lookback_delta_ms: i64,
}

impl Case {
    /// Reads a case: a byte for the times, one for the options, and a query as text
    /// or, where the highest bit of the options is set, bytes to write one from.
    pub(crate) fn read(input: &[u8]) -> Option<Case> {
        let (&[times, options], rest) = input.split_first_chunk()?;
        let query = match options & 128 {
            0 => std::str::from_utf8(rest).ok()?.to_owned(),
            _ => write::query(rest),
        };
        Some(Case {
            query,
            times: TIMES[usize::from(times) % TIMES.len()],
            delayed_name_removal: options & 1 != 0,
            type_and_unit_labels: options & 2 != 0,
            lookback_delta_ms: [0, 1, 3_600_000, i64::MAX][usize::from(options >> 2 & 3)],
        })
    }

    /// Runs the query at the start, the end, and all steps between.
    pub(crate) fn run(&self) {
        let engine = Engine::new(EngineOptions {
            max_samples: MAX_SAMPLES,
            enable: Features::ALL,
            delayed_name_removal: self.delayed_name_removal,
            type_and_unit_labels: self.type_and_unit_labels,
            ..EngineOptions::default()
        });
        let options = QueryOptions {
            lookback_delta_ms: self.lookback_delta_ms,
            ..QueryOptions::default()
        };
        let (start_ms, end_ms, step_ms) = self.times;
        let (query, source) = (self.query.as_str(), source());
        let running = Cancel::new();
        for t_ms in [start_ms, end_ms] {
            check_result(&engine.instant(source, query, t_ms, &options, &running));
        }
        let range = engine.range(source, query, start_ms, end_ms, step_ms, &options, &running);
        check_result(&range);
        if let Ok(QueryResult {
            value: Value::Matrix(series),
            ..
        }) = &range
        {
            let on_grid = |&t_ms: &i64| {
                (start_ms..=end_ms).contains(&t_ms)
                    && t_ms.abs_diff(start_ms) % step_ms.unsigned_abs() == 0
            };
            assert!(
                series
                    .iter()
                    .all(|s| s.floats.timestamps.iter().all(on_grid))
            );
        }

        let stopped = Cancel::new();
        stopped.expire();
        assert!(
            engine
                .instant(source, query, 0, &options, &stopped)
                .is_err()
        );
    }
}

fn check_result(result: &Result<QueryResult, QueryError>) {
    let result = match result {
        Ok(result) => result,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(result.stats.peak_samples <= MAX_SAMPLES as u64);
    match &result.value {
        Value::Vector(samples) => {
            let mut seen = HashSet::new();
            assert!(
                samples.iter().all(|s| seen.insert(&s.labels)),
                "equal labels"
            );
        }
        Value::Matrix(series) => {
            for series in series {
                let (times, values) = (&series.floats.timestamps, &series.floats.values);
                assert_eq!(times.len(), values.len());
                let histograms: Vec<i64> = series.histograms.iter().map(|s| s.t_ms).collect();
                assert!(
                    !times.is_empty() || !histograms.is_empty(),
                    "a series without samples"
                );
                for times in [times, &histograms] {
                    assert!(times.is_sorted_by(|a, b| a < b), "times go back: {times:?}");
                }
                let mut both = histograms.iter().filter(|t| times.contains(t));
                assert_eq!(both.next(), None, "two kinds at a time");
            }
            assert!(
                series.is_sorted_by(|a, b| a.labels < b.labels),
                "equal labels"
            );
        }
        _ => {}
    }
}

/// Histograms of all kinds, some of them nonsense.
fn histogram(at: i64) -> FloatHistogram {
    let count = [1.0, 7.5, 0.0, f64::NAN, f64::INFINITY, -3.0][at as usize % 6];
    let is_custom = at % 7 == 3;
    let buckets = |first: i32| {
        let layout = [first, first + 1, first + 5];
        let counts = vec![count, at as f64, 1e308];
        Buckets::from_layout(layout.into(), counts).unwrap_or_default()
    };
    FloatHistogram {
        counter_reset_hint: match at % 5 {
            0 => CounterResetHint::Gauge,
            1 => CounterResetHint::Reset,
            _ => CounterResetHint::Unknown,
        },
        schema: match is_custom {
            true => CUSTOM_BUCKETS_SCHEMA,
            false => (at % 13) as i32 - 4,
        },
        zero_threshold: [0.0, 0.5, 3.0, f64::NAN, f64::INFINITY][at as usize % 5],
        zero_count: (at % 3) as f64,
        count: count + at as f64,
        sum: count * 1.5,
        positive: buckets(if is_custom { 0 } else { at as i32 * 17 - 300 }),
        negative: buckets(at as i32),
        custom_bounds: [1.0, 2.0, at as f64].into(),
    }
}

/// Eleven minutes of a counter, a gauge, a histogram and what `info` joins.
fn source() -> &'static MemorySource {
    static SOURCE: OnceLock<MemorySource> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let mut source = MemorySource::new();
        let mut fill = |pairs: &[(&str, &str)], value: &dyn Fn(i64) -> Option<f64>| {
            let labels = Labels::from_pairs(pairs.iter().copied());
            for scrape in 0..44 {
                if let Some(value) = value(scrape) {
                    source.push(&labels, scrape * 15_000, value);
                }
            }
        };
        for instance in ["a", "b"] {
            let job = ("job", "j");
            let instance = ("instance", instance);
            let reset = |at: i64| Some((at % 17) as f64);
            fill(&[("__name__", "m_total"), instance, job], &reset);
            let typed = [("__name__", "m_total"), ("__type__", "counter"), instance];
            fill(&typed, &|at| (at % 3 > 0).then_some(at as f64 * 1e300));
            let gauge = |at: i64| match at % 9 {
                0 => None,
                1 => Some(f64::NAN),
                2 => Some(f64::INFINITY),
                3 => Some(-0.0),
                4 => Some(stale_marker()),
                5 => Some(-1e308),
                _ => Some(at as f64 - 20.5),
            };
            fill(&[("__name__", "n"), instance, job], &gauge);
            for (le, upto) in [("0.1", 1), ("1", 3), ("5e-324", 2), ("+Inf", 4), ("x", 1)] {
                let bucket = [("__name__", "h_bucket"), ("le", le), instance];
                fill(&bucket, &|at| Some((at * upto) as f64));
            }
            let info = [("__name__", "target_info"), ("data", "d"), instance, job];
            fill(&info, &|_| Some(1.0));
        }
        for instance in ["a", "b"] {
            let labels = [("__name__", "nh"), ("instance", instance), ("job", "j")];
            let labels = Labels::from_pairs(labels);
            for scrape in 0..44 {
                match scrape % 11 {
                    7 => source.push(&labels, scrape * 15_000, scrape as f64),
                    8 => source.push(&labels, scrape * 15_000, stale_marker()),
                    _ => source.push_histogram(&labels, scrape * 15_000, histogram(scrape)),
                }
            }
        }
        for (end, t_ms) in [("first", i64::MIN), ("last", i64::MAX)] {
            let labels = Labels::from_pairs([("__name__", "m_total"), ("end", end)]);
            source.push(&labels, t_ms, 1.0);
        }
        source
    })
}
