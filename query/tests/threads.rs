//! Queries with helping threads answer what they answer alone, to the bit, and end
//! when they are stopped.
#![allow(
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kymo_query::promql::Features;
use kymo_query::{
    Cancel, Engine, EngineOptions, MemorySource, QueryError, QueryOptions, QueryResult, SampleBuf,
    SelectHints, SeriesSet, Source, SourceError, Value, Workers,
};
use kymo_storage::model::{Labels, Matcher, TimeRange, stale_marker};

/// Helpers that come at once, late, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coming {
    AtOnce,
    Late,
    Never,
    /// And leave after a batch.
    Leaving,
}

#[derive(Debug)]
struct Threads {
    n: usize,
    coming: Coming,
    began: AtomicUsize,
}

impl Threads {
    fn new(n: usize, coming: Coming) -> Arc<Threads> {
        Arc::new(Threads {
            n,
            coming,
            began: AtomicUsize::new(0),
        })
    }
}

impl Workers for Threads {
    fn idle(&self) -> usize {
        self.n
    }

    fn start(&self, help: Box<dyn FnOnce() + Send>) {
        let coming = self.coming;
        if coming == Coming::Never {
            return;
        }
        self.began.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(move || {
            if coming == Coming::Late {
                std::thread::sleep(Duration::from_millis(2));
            }
            help();
        });
    }

    fn may_go_on(&self) -> bool {
        self.coming != Coming::Leaving
    }
}

const SERIES: usize = 400;
const SCRAPES: i64 = 60;

/// Counters with resets, gauges with holes, and buckets; values whose sums depend on
/// their order.
fn source() -> MemorySource {
    let mut source = MemorySource::new();
    let mut seed = 7u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as f64 / (1u64 << 53) as f64
    };
    for n in 0..SERIES {
        let name = ["c_total", "g", "b_bucket"][n % 3];
        let le = ["0.1", "1", "+Inf"][n / 3 % 3];
        let (group, number) = ((n % 7).to_string(), (n / 9).to_string());
        let mut pairs = vec![("__name__", name), ("group", &group), ("n", &number)];
        match name {
            "b_bucket" => pairs.push(("le", le)),
            _ => pairs.push(("x", le)),
        }
        let labels = Labels::from_pairs(pairs);
        let mut total = random() * 1e10;
        for scrape in 0..SCRAPES {
            let t_ms = scrape * 15_000 + (n % 2) as i64 * 700;
            if random() < 0.03 {
                total = 0.0;
            }
            total += random() / 3.0;
            let value = match (n % 3, scrape % 13) {
                (1, 3) => stale_marker(),
                (1, 4) => f64::NAN,
                (1, _) if random() < 0.2 => continue,
                (1, _) => (random() - 0.5) * 1e6,
                _ => total,
            };
            source.push(&labels, t_ms, value);
        }
    }
    source
}

const QUERIES: &[&str] = &[
    "g",
    "rate(c_total[2m])",
    "rate(g[2m])",
    "sum by (group) (rate(c_total[2m]))",
    "avg(g)",
    "sum(g)",
    "stddev by (group) (g)",
    "count without (n) (g)",
    "max by (x) (delta(g[3m]))",
    "topk(3, rate(c_total[2m]))",
    "quantile by (group) (0.3, g)",
    "quantile_over_time(1.5, g[5m])",
    "quantile_over_time(0.5, g[5m])",
    "histogram_quantile(0.9, sum by (le, group) (rate(b_bucket[4m])))",
    "max_over_time(rate(c_total[1m])[5m:30s])",
    "avg_over_time(g[5m])",
    "absent_over_time(g[1m])",
    "absent(nothing)",
    "g > 0 or on (group, n, x) c_total",
    "rate(c_total[2m]) / on (group, n, x) group_left sum by (group, n, x) (rate(c_total[5m]))",
    "timestamp(g)",
    "count_values(\"v\", round(g, 100000))",
    "double_exponential_smoothing(g[5m], 0.5, 0.5)",
    "double_exponential_smoothing(g[5m], 0.5, 7)",
    "rate({__name__=~\"c_total|g\"}[2m])",
    "sum(rate({__name__=~\"c_total|g\"}[2m]))",
    "sum_over_time(g[2m] smoothed)",
    "g smoothed",
    "increase(c_total[2m] anchored)",
    "last_over_time(g[1m]) + 1",
];

fn engine(workers: Option<Arc<dyn Workers>>) -> Engine {
    Engine::new(EngineOptions {
        enable: Features::ALL,
        workers,
        ..EngineOptions::default()
    })
}

fn both(engine: &Engine, source: &dyn Source, query: &str) -> [String; 2] {
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    let range = engine.range(source, query, 0, 900_000, 15_000, &options, &cancel);
    [
        told(&engine.instant(source, query, 600_000, &options, &cancel)),
        told(&range),
    ]
}

/// All of a result that must not depend on threads, NaN with its bits.
fn told(result: &Result<QueryResult, QueryError>) -> String {
    let result = match result {
        Ok(result) => result,
        Err(error) => return error.to_string(),
    };
    let value = match &result.value {
        Value::Matrix(series) => {
            let bits = |buf: &SampleBuf| buf.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let told = series
                .iter()
                .map(|s| (&s.labels, &s.floats.timestamps, bits(&s.floats)));
            format!("{:?}", told.collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    };
    format!(
        "{value} {:?} {:?} {:?}",
        result.warnings, result.infos, result.stats
    )
}

#[test]
fn answers_do_not_depend_on_threads() {
    let source = source();
    let alone = engine(None);
    for query in QUERIES {
        let expected = both(&alone, &source, query);
        for (n, coming) in [
            (1, Coming::AtOnce),
            (3, Coming::AtOnce),
            (1, Coming::Late),
            (2, Coming::Never),
            (2, Coming::Leaving),
        ] {
            let threads = Threads::new(n, coming);
            let helped = engine(Some(Arc::clone(&threads) as Arc<dyn Workers>));
            let got = both(&helped, &source, query);
            assert!(
                got == expected,
                "{query} with {n} {coming:?}: {got:?}, expected {expected:?}"
            );
        }
    }
}

#[test]
fn little_work_is_done_alone() {
    let threads = Threads::new(1, Coming::AtOnce);
    let helped = engine(Some(Arc::clone(&threads) as Arc<dyn Workers>));
    let source = source();
    let _ = both(&helped, &source, "sum(rate(c_total{n=\"1\"}[1m]))");
    assert_eq!(threads.began.load(Ordering::Relaxed), 0);
    let _ = both(&helped, &source, "sum(rate(c_total[1m]))");
    assert!(threads.began.load(Ordering::Relaxed) > 0);
}

/// A source of many series whose reading fails, panics or stops the query at one.
struct Trap(Snap, Cancel);

#[derive(Debug, Clone, Copy)]
enum Snap {
    Fail,
    Panic,
    Stop,
}

const TRAPPED: usize = 300;

impl Source for Trap {
    fn select(
        &self,
        _: &[Matcher],
        _: TimeRange,
        _: &SelectHints<'_>,
    ) -> Result<Box<dyn SeriesSet>, SourceError> {
        Ok(Box::new(Trap(self.0, self.1.clone())))
    }
}

impl SeriesSet for Trap {
    fn len(&self) -> usize {
        1000
    }

    fn labels(&self, index: usize) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("n", &index.to_string())])
    }

    fn read(&self, index: usize, into: &mut SampleBuf) -> Result<(), SourceError> {
        into.clear();
        for scrape in 0..60 {
            into.push(scrape * 15_000, index as f64);
        }
        match self.0 {
            Snap::Fail if index >= TRAPPED => Err(SourceError {
                message: format!("series {index} is damaged"),
            }),
            Snap::Panic => {
                assert_ne!(index, TRAPPED, "a bug in a source");
                Ok(())
            }
            Snap::Stop if index == TRAPPED => {
                self.1.expire();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[test]
fn the_first_failure_is_the_answer() {
    let helped = engine(Some(Threads::new(3, Coming::AtOnce)));
    for query in ["sum(m)", "rate(m[1m])"] {
        for _ in 0..20 {
            let got = both(&helped, &Trap(Snap::Fail, Cancel::new()), query);
            let expected = "series 300 is damaged";
            assert!(got.iter().all(|got| got.contains(expected)), "{got:?}");
        }
    }
}

#[test]
fn a_stopped_query_ends() {
    let helped = engine(Some(Threads::new(3, Coming::AtOnce)));
    for _ in 0..20 {
        let cancel = Cancel::new();
        let source = Trap(Snap::Stop, cancel.clone());
        let options = QueryOptions::default();
        let got = helped.range(&source, "sum(m)", 0, 900_000, 15_000, &options, &cancel);
        assert!(matches!(got, Err(QueryError::Timeout(_))), "{got:?}");
    }
}

#[test]
fn a_panic_of_a_helper_is_the_querys() {
    let helped = engine(Some(Threads::new(3, Coming::AtOnce)));
    for _ in 0..5 {
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            both(&helped, &Trap(Snap::Panic, Cancel::new()), "sum(m)")
        }));
        assert!(ran.is_err());
    }
}

#[test]
fn budgets_hold_with_helpers() {
    let source = source();
    for (max_samples, max_memory_bytes) in [(5_000, u64::MAX), (usize::MAX, 100_000)] {
        let options = |workers| EngineOptions {
            max_samples,
            max_memory_bytes,
            workers,
            ..EngineOptions::default()
        };
        let alone = both(&Engine::new(options(None)), &source, "rate(c_total[2m])");
        for _ in 0..5 {
            let workers = Threads::new(2, Coming::AtOnce);
            let helped = Engine::new(options(Some(workers)));
            assert_eq!(both(&helped, &source, "rate(c_total[2m])"), alone);
        }
        assert!(alone[1].contains("query"), "{alone:?}");
    }
}

/// Counts how often series are selected.
struct Counted<'a>(&'a MemorySource, AtomicUsize);

impl Source for Counted<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints<'_>,
    ) -> Result<Box<dyn SeriesSet>, SourceError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.select(matchers, range, hints)
    }
}

/// Returns what a query answers, and how often it selects series.
fn counted(source: &MemorySource, query: &str) -> (Result<QueryResult, QueryError>, usize) {
    let counted = Counted(source, AtomicUsize::new(0));
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    let result = engine(None).range(&counted, query, 0, 900_000, 15_000, &options, &cancel);
    (result, counted.1.load(Ordering::Relaxed))
}

#[test]
fn parts_that_come_again_are_evaluated_once_and_counted_twice() {
    let source = source();
    // The last one names no samples and changes nothing but where parts are equal.
    for (twice, apart, selected) in [
        ("g + g", "g + g{n!=\"no\"}", 1),
        (
            "g - abs(g) / abs(g)",
            "g - abs(g{n!=\"no\"}) / abs(g{n!=\"not\"})",
            1,
        ),
        (
            "g unless g > 0 or g > 9",
            "g unless g{n!=\"no\"} > 0 or g{n!=\"not\"} > 9",
            1,
        ),
        (
            "max_over_time((g * g)[2m:30s]) + max_over_time((g * g)[2m:30s])",
            "max_over_time((g * g{n!=\"no\"})[2m:30s]) \
             + max_over_time((g{n!=\"not\"} * g{n!=\"never\"})[2m:30s])",
            1,
        ),
        // About these something is to be said, at each place.
        (
            "rate(g[2m]) + rate(g[2m])",
            "rate(g[2m]) + rate(g{n!=\"no\"}[2m])",
            2,
        ),
    ] {
        let ((got, n), (expected, _)) = (counted(&source, twice), counted(&source, apart));
        let (got, expected) = (got.unwrap(), expected.unwrap());
        assert_eq!(n, selected, "{twice}");
        assert_eq!(got.stats, expected.stats, "{twice}");
        assert_eq!(got.infos.len(), expected.infos.len(), "{twice}");
        let bits = |result: QueryResult| told(&Ok(result)).split(" [").next().unwrap().to_owned();
        assert_eq!(bits(got), bits(expected), "{twice}");
    }
}

#[test]
fn series_without_samples_do_not_leave_windows_to_the_next() {
    use kymo_storage::model::histogram::FloatHistogram;
    let mut source = MemorySource::new();
    let labels = |n: &str| Labels::from_pairs([("__name__", "h"), ("n", n)]);
    (0..40).for_each(|scrape| source.push(&labels("1"), scrape * 15_000, 1.0));
    source.push(&labels("2"), 5_000_000, 1.0);
    (0..40).for_each(|scrape| {
        source.push_histogram(&labels("3"), scrape * 15_000, FloatHistogram::default());
    });
    let (result, _) = counted(&source, "count_over_time(h[1m])");
    let Value::Matrix(series) = result.unwrap().value else {
        panic!("a matrix expected");
    };
    assert_eq!(series.len(), 2);
    assert_eq!(series[0].floats.values[10], series[1].floats.values[10]);
}
