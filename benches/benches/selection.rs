//! Selecting and reading series: of the head, of a block, of three blocks and the head.
//!
//! Twelve labels and about 290 bytes of text per series, 200 series per host, each host
//! scraped at its own times with a little jitter; a quarter each of constants, integer
//! counters, two-decimal gauges and full doubles. `KYMO_BENCH_SERIES` sets the number of
//! series, 12,000 unless told. Times are of the processor, so that a busy machine tells the
//! same.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench stops where something fails")]

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kymo_storage::StoreOptions;
use kymo_storage::metrics::{MetricStore, Selection};
use kymo_storage::model::{Labels, MatchOp, Matcher, TimeRange};

const HOUR_MS: i64 = 3_600_000;
const STEP_MS: i64 = 15_000;
const PER_HOST: u32 = 200;

/// The time that this thread has had.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        // The count is brought up to date when the thread is taken off.
        std::thread::yield_now();
        let status = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(status.split(' ').next().unwrap().parse().unwrap())
    }

    fn end(&self, begun: Duration) -> Duration {
        self.start() - begun
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn labels(series: u32) -> Labels {
    let (host, metric) = (series / PER_HOST, series % PER_HOST);
    Labels::from_pairs([
        (
            "__name__",
            format!("node_metric_family_number_{metric}_total"),
        ),
        ("cluster", "production-eu-central".to_owned()),
        ("datacenter", format!("dc-{}", host % 7)),
        ("environment", "prod".to_owned()),
        (
            "instance",
            format!("10.0.{}.{}:9100", host / 256, host % 256),
        ),
        ("job", "node-exporter".to_owned()),
        ("namespace", format!("monitoring-{}", host % 30)),
        ("node", format!("node-{host}.internal.example.com")),
        ("pod", format!("node-exporter-{host:05x}")),
        ("rack", format!("rack-{}", host % 100)),
        ("region", "eu-central-1".to_owned()),
        ("team", format!("team-{}", metric % 9)),
    ])
}

fn value(series: u32, round: i64) -> f64 {
    let n = i64::from(series);
    match series % 4 {
        0 => 42.0,
        1 => (n * 7 + round * (n % 91)) as f64,
        2 => ((n * 31 + round * 17) % 10_007) as f64 / 100.0,
        _ => (n as f64 * 0.37 + round as f64 * 1.7).sin(),
    }
}

/// The time of a scrape.
fn time(series: u32, round: i64) -> i64 {
    let host = i64::from(series / PER_HOST);
    round * STEP_MS + host * 379 % STEP_MS + (host + round * 7919) % 5
}

/// Fills a store: blocks of the hours given, then half an hour in the head.
fn filled(dir: &std::path::Path, n_series: u32, hours: i64, has_head: bool) -> MetricStore {
    let (store, _) = MetricStore::open(&StoreOptions::new(dir)).unwrap();
    let sets: Vec<Labels> = (0..n_series).map(labels).collect();
    let mut order: Vec<u32> = (0..n_series).collect();
    order.sort_by(|&one, &other| sets[one as usize].cmp(&sets[other as usize]));
    let rounds = HOUR_MS / STEP_MS;
    for hour in 0..hours {
        // A scrape of the last round may be late by a step.
        let end_ms = (hour + 1) * HOUR_MS - 1;
        let range = TimeRange::new(hour * HOUR_MS, end_ms);
        let mut import = store.import(range).unwrap();
        for &series in &order {
            let samples = (hour * rounds..(hour + 1) * rounds)
                .map(|round| (time(series, round), value(series, round)))
                .filter(|&(t_ms, _)| t_ms <= end_ms);
            let (timestamps, values): (Vec<i64>, Vec<f64>) = samples.unzip();
            let labels = sets[series as usize].iter();
            import.series(labels, &timestamps, &values).unwrap();
        }
        import.finish().unwrap();
    }
    if has_head {
        for round in hours * rounds..hours * rounds + rounds / 2 {
            let mut appender = store.appender();
            for (series, set) in (0..).zip(&sets) {
                let id = appender.series(set).unwrap();
                let t_ms = time(series, round);
                appender.append(id, t_ms, value(series, round)).unwrap();
            }
            appender.commit().unwrap();
        }
    }
    store
}

fn read_all(selected: &Selection) -> usize {
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    let mut samples = 0;
    for index in 0..selected.len() {
        selected.read(index, &mut timestamps, &mut values).unwrap();
        samples += black_box(&values).len();
    }
    samples
}

fn bench(criterion: &mut Criterion<CpuTime>) {
    let n_series = std::env::var("KYMO_BENCH_SERIES").map_or(12_000, |n| n.parse().unwrap());
    for (place, hours, has_head) in [
        ("head", 0, true),
        ("block", 1, false),
        ("blocks_and_head", 3, true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path(), n_series, hours, has_head);
        bench_store(criterion, &format!("{place}/{n_series}"), &store);
    }
}

fn bench_store(criterion: &mut Criterion<CpuTime>, place: &str, store: &MetricStore) {
    let mut group = criterion.benchmark_group(format!("selection/{place}"));
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    let matcher = |op, name, value| Matcher::new(op, name, value).unwrap();
    let job = [matcher(MatchOp::Equal, "job", "node-exporter")];
    let name = [matcher(
        MatchOp::Equal,
        "__name__",
        "node_metric_family_number_3_total",
    )];
    let middle = [matcher(MatchOp::Regex, "__name__", ".*family_number_1.*")];
    let all = TimeRange::ALL;
    let sets = [("all", &job), ("name", &name), ("regex", &middle)];
    for (what, matchers) in sets {
        let selected = store.select(matchers, all).unwrap();
        group.throughput(Throughput::Elements(selected.len() as u64));
        group.bench_function(format!("select/{what}"), |bencher| {
            bencher.iter(|| store.select(black_box(matchers), all).unwrap());
        });
    }
    let selected = store.select(&job, all).unwrap();
    group.throughput(Throughput::Elements(selected.len() as u64));
    let now = TimeRange::new(i64::MAX - 1, i64::MAX);
    let newest_ms = |selected: &Selection| {
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        selected.read(0, &mut timestamps, &mut values).unwrap();
        timestamps.last().copied().unwrap_or(now.start_ms)
    };
    let newest_ms = newest_ms(&selected);
    let lookback = TimeRange::new(newest_ms - 300_000, newest_ms + STEP_MS);
    group.bench_function("instant", |bencher| {
        bencher.iter(|| read_all(&store.select_newest(&job, lookback).unwrap()));
    });
    group.bench_function("labels", |bencher| {
        bencher.iter(|| {
            for index in 0..selected.len() {
                black_box(selected.labels(index));
            }
        });
    });
    group.bench_function("labels_named", |bencher| {
        bencher.iter(|| {
            for index in 0..selected.len() {
                black_box(selected.labels_named(index, &["datacenter", "team"]));
            }
        });
    });
    let samples = read_all(&selected) as u64;
    group.throughput(Throughput::Elements(samples));
    group.bench_function("read", |bencher| bencher.iter(|| read_all(&selected)));
    let middle = TimeRange::new(HOUR_MS / 2, HOUR_MS / 2 + 600_000);
    let part = store.select(&job, middle).unwrap();
    if !part.is_empty() {
        group.throughput(Throughput::Elements(part.len() as u64));
        group.bench_function("read_ten_minutes", |bencher| {
            bencher.iter(|| read_all(&part));
        });
    }
    group.throughput(Throughput::Elements(selected.len() as u64));
    let sets = [job.to_vec()];
    group.bench_function("names", |bencher| {
        bencher.iter(|| store.label_names(&[], all, 0).unwrap());
    });
    group.bench_function("names_of", |bencher| {
        bencher.iter(|| store.label_names(&sets, all, 0).unwrap());
    });
    group.bench_function("values", |bencher| {
        bencher.iter(|| store.label_values("node", &[], all, 0).unwrap());
    });
    group.bench_function("values_of", |bencher| {
        bencher.iter(|| store.label_values("node", &sets, all, 0).unwrap());
    });
    group.bench_function("series_of", |bencher| {
        bencher.iter(|| store.series(&sets, all, 0).unwrap());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = bench
}
criterion_main!(benches);
