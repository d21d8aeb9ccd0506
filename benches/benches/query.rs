//! Queries over series in memory: the shapes of dashboards, on the sizes that the
//! budgets name. Scrapes every 15 s for eight hours, evaluated every 60 s.
//!
//! `KYMO_BENCH_STORE=1` puts the series into a store first, `KYMO_BENCH_STORE=blocks` lets
//! that write what it can to blocks. `KYMO_BENCH_THREADS=2` lets a second thread help.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench stops where something fails")]

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use kymo_query::{Cancel, Engine, EngineOptions, MemorySource, QueryOptions, Source, Workers};
use kymo_storage::StoreOptions;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::Labels;

const SCRAPE_MS: i64 = 15_000;
const HOURS_MS: i64 = 8 * 3_600_000;
const STEP_MS: i64 = 60_000;

/// 40 instances with 8 CPUs of 8 modes, 60 endpoints of 48 buckets less some, and
/// 240 gauges.
fn dataset() -> Vec<(Labels, Vec<(i64, f64)>)> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut all = Vec::new();
    let times = |offset: i64| (0..=HOURS_MS / SCRAPE_MS).map(move |i| i * SCRAPE_MS + offset);
    let modes = [
        "idle", "user", "system", "iowait", "irq", "nice", "softirq", "steal",
    ];
    for instance in 0..40 {
        for cpu in 0..8 {
            for mode in modes {
                let labels = Labels::from_pairs([
                    ("__name__", "cpu"),
                    ("cpu", &cpu.to_string()),
                    ("instance", &format!("host-{instance}:9100")),
                    ("job", "node"),
                    ("mode", mode),
                ]);
                let mut total = random() * 1e4;
                let samples = times(instance * 300).map(|t_ms| {
                    total += (random() * 1500.0).round() / 100.0;
                    (t_ms, total)
                });
                all.push((labels, samples.collect()));
            }
        }
    }
    for endpoint in 0..60 {
        for instance in 0..4 {
            let mut counts = [0.0; 12];
            let mut columns = vec![Vec::new(); counts.len()];
            for t_ms in times(instance * 300) {
                let mut below = 0.0;
                for (bucket, count) in counts.iter_mut().enumerate() {
                    below += (random() * 5.0).floor();
                    *count += below;
                    columns[bucket].push((t_ms, *count));
                }
            }
            for (bucket, samples) in columns.into_iter().enumerate() {
                let le = match bucket {
                    11 => "+Inf".to_owned(),
                    bucket => (0.005 * f64::powi(2.0, bucket as i32)).to_string(),
                };
                let labels = Labels::from_pairs([
                    ("__name__", "b"),
                    ("endpoint", &format!("/api/{endpoint}")),
                    ("instance", &format!("web-{instance}:8080")),
                    ("le", &le),
                ]);
                all.push((labels, samples));
            }
        }
    }
    for gauge in 0..240 {
        let labels = Labels::from_pairs([("__name__", "x"), ("id", &gauge.to_string())]);
        let samples = times(gauge).map(|t_ms| (t_ms, (random() * 1e4).round() / 100.0));
        all.push((labels, samples.collect()));
    }
    all
}

fn in_memory(all: &[(Labels, Vec<(i64, f64)>)]) -> Box<dyn Source> {
    let mut source = MemorySource::new();
    for (labels, samples) in all {
        for &(t_ms, value) in samples {
            source.push(labels, t_ms, value);
        }
    }
    Box::new(source)
}

fn in_store(all: &[(Labels, Vec<(i64, f64)>)], dir: &std::path::Path) -> Box<dyn Source> {
    let (store, _) = MetricStore::open(&StoreOptions::new(dir)).unwrap();
    let longest = all.iter().map(|(_, samples)| samples.len()).max().unwrap();
    for at in 0..longest {
        let mut appender = store.appender();
        for (labels, samples) in all {
            let series = appender.series(labels).unwrap();
            if let Some(&(t_ms, value)) = samples.get(at) {
                appender.append(series, t_ms, value).unwrap();
            }
        }
        appender.commit().unwrap();
    }
    Box::new(store)
}

/// Writes the older part of a store to blocks, two hours each.
fn in_blocks(all: &[(Labels, Vec<(i64, f64)>)], dir: &std::path::Path) -> Box<dyn Source> {
    drop(in_store(all, dir));
    let (store, _) = MetricStore::open(&StoreOptions::new(dir)).unwrap();
    let mut pace = || std::ops::ControlFlow::Continue(());
    store.compact(&Default::default(), &mut pace).unwrap();
    Box::new(store)
}

/// One thread that helps.
#[derive(Debug)]
struct Helper(std::sync::mpsc::SyncSender<Box<dyn FnOnce() + Send>>);

impl Helper {
    fn new() -> Helper {
        let (jobs, taken) = std::sync::mpsc::sync_channel::<Box<dyn FnOnce() + Send>>(16);
        std::thread::spawn(move || taken.into_iter().for_each(|job| job()));
        Helper(jobs)
    }
}

impl Workers for Helper {
    fn idle(&self) -> usize {
        1
    }

    fn start(&self, help: Box<dyn FnOnce() + Send>) {
        let _busy = self.0.try_send(help);
    }
}

const RANGES: [&str; 30] = [
    "sum by (mode) (rate(cpu[5m]))",
    "histogram_quantile(0.95, sum by (le, endpoint) (rate(b[5m])))",
    "quantile_over_time(0.9, x[10m])",
    "rate(cpu{mode=\"user\"}[5m])",
    "sum by (instance) (cpu)",
    "avg_over_time(x[1h])",
    "topk(5, rate(cpu[5m]))",
    "rate(cpu[5m]) / on (cpu, instance) group_left sum by (cpu, instance) (rate(cpu[5m]))",
    "x",
    "cpu - cpu offset 5m",
    "x unless x > 50 or x > 70",
    "max_over_time(x[1h])",
    "max_over_time(x[8h])",
    "min_over_time(x[1h])",
    "sum_over_time(b[1h])",
    "stddev_over_time(x[1h])",
    "deriv(x[1h])",
    "changes(x[1h])",
    "quantile_over_time(0.9, x[1h])",
    "avg by (mode) (cpu)",
    "min without (cpu) (cpu)",
    "stddev by (mode) (cpu)",
    "count(cpu)",
    "quantile by (mode) (0.9, cpu)",
    "bottomk(3, x)",
    "count_values(\"ten\", floor(x / 10))",
    "label_replace(x, \"n\", \"$1\", \"id\", \"(.).*\")",
    "max_over_time(sum by (mode) (rate(cpu[5m]))[30m:1m])",
    "absent(nothing)",
    "sum(abs(x)) / count(abs(x))",
];

const INSTANTS: [&str; 4] = [
    "count by (__name__) ({__name__=~\".+\"})",
    "sum by (mode) (rate(cpu[5m]))",
    "topk(10, x)",
    "avg_over_time(x[8h])",
];

fn queries(criterion: &mut Criterion) {
    let all = dataset();
    let dir = tempfile::tempdir().unwrap();
    let store = std::env::var_os("KYMO_BENCH_STORE");
    let source = match store.as_deref().and_then(|kind| kind.to_str()) {
        Some("blocks") => in_blocks(&all, dir.path()),
        Some(_) => in_store(&all, dir.path()),
        None => in_memory(&all),
    };
    let helps = std::env::var_os("KYMO_BENCH_THREADS").is_some_and(|threads| threads != "1");
    let engine = Engine::new(EngineOptions {
        workers: helps.then(|| Arc::new(Helper::new()) as Arc<dyn Workers>),
        ..EngineOptions::default()
    });
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    let mut group = criterion.benchmark_group("query");
    group.sample_size(20);
    for query in RANGES {
        let run = || {
            let (from, to) = (0, HOURS_MS);
            engine.range(source.as_ref(), query, from, to, STEP_MS, &options, &cancel)
        };
        run().unwrap();
        group.bench_function(query, |bencher| bencher.iter(|| run().unwrap()));
    }
    for query in INSTANTS {
        let run = || engine.instant(source.as_ref(), query, HOURS_MS, &options, &cancel);
        run().unwrap();
        let name = format!("{query} at one time");
        group.bench_function(name, |bencher| bencher.iter(|| run().unwrap()));
    }
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
