//! The head: creating series, appending to known ones, finding and reading them.
//!
//! Data shape: twelve labels and about 290 bytes of text per series, 200 series per
//! host, batches of 2,000 samples; a quarter each of constants, integer counters,
//! two-decimal gauges and full doubles. Prints bytes per series beside the times.
#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::print_stdout, reason = "a bench reports what it measured")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kymo_storage::StoreOptions;
use kymo_storage::metrics::{MetricStore, RawKey, RawSample};
use kymo_storage::model::{Labels, MatchOp, Matcher, TimeRange};

const N_SERIES: u32 = 200_000;
const BATCH: usize = 2_000;
const START_MS: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 15_000;

fn labels(series: u32) -> Labels {
    let (host, metric) = (series / 200, series % 200);
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

struct Filled {
    store: MetricStore,
    keys: Vec<RawKey>,
    round: i64,
    dir: tempfile::TempDir,
}

fn create(store: &MetricStore, keys: &[RawKey], sets: &[Labels], first: u32) {
    let mut appender = store.appender();
    for (offset, labels) in sets.iter().enumerate() {
        let series = appender.series(labels).expect("a valid label set");
        let n = first + offset as u32;
        appender.alias(keys[n as usize], series);
        let appended = appender.append(series, START_MS, value(n, 0));
        appended.expect("an acceptable sample");
    }
    appender.commit().expect("room on the disk");
}

fn filled() -> Filled {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (store, _) = MetricStore::open(&StoreOptions::new(dir.path())).expect("a new store");
    let keys: Vec<RawKey> = (0..N_SERIES)
        .map(|n| store.raw_key(&n.to_le_bytes()))
        .collect();
    for first in (0..N_SERIES).step_by(BATCH) {
        let sets: Vec<Labels> = (first..first + BATCH as u32).map(labels).collect();
        create(&store, &keys, &sets, first);
    }
    Filled {
        store,
        keys,
        round: 0,
        dir,
    }
}

impl Filled {
    /// Appends one sample to every series and returns how long the store took.
    fn append_round(&mut self) -> Duration {
        self.round += 1;
        let t_ms = START_MS + self.round * STEP_MS;
        let (mut misses, mut rejected) = (Vec::new(), Vec::new());
        let mut took = Duration::ZERO;
        for (batch, keys) in self.keys.chunks(BATCH).enumerate() {
            let first = (batch * BATCH) as u32;
            let samples: Vec<RawSample> = (first..)
                .zip(keys)
                .map(|(n, &key)| RawSample {
                    key,
                    t_ms,
                    value: value(n, self.round),
                })
                .collect();
            let begun = Instant::now();
            let mut appender = self.store.appender();
            appender.append_raw(&samples, &mut misses, &mut rejected);
            appender.commit().expect("room on the disk");
            took += begun.elapsed();
        }
        assert!(misses.is_empty() && rejected.is_empty());
        took
    }
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2));

    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("create", |bencher| {
        bencher.iter_custom(|iterations| {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let options = StoreOptions::new(dir.path());
            let (store, _) = MetricStore::open(&options).expect("a new store");
            let mut took = Duration::ZERO;
            let n = iterations as u32 * BATCH as u32;
            let keys: Vec<RawKey> = (0..n).map(|n| store.raw_key(&n.to_le_bytes())).collect();
            for first in (0..n).step_by(BATCH) {
                let sets: Vec<Labels> = (first..first + BATCH as u32).map(labels).collect();
                let begun = Instant::now();
                create(&store, &keys, &sets, first);
                took += begun.elapsed();
            }
            took
        });
    });

    let mut head = filled();
    group.throughput(Throughput::Elements(u64::from(N_SERIES)));
    group.bench_function("append_raw", |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| head.append_round()).sum());
    });
    let (stats, series) = (head.store.stats(), u64::from(N_SERIES));
    println!(
        "bytes per series after {} samples each: {} ({:?}); log bytes per sample {:.2}",
        head.round + 1,
        stats.memory.total() / series,
        stats.memory,
        stats.wal.bytes as f64 / (series as f64 * (head.round + 1) as f64),
    );

    let matcher = |op, name, value| Matcher::new(op, name, value).expect("a valid pattern");
    let queries = [
        (
            "name",
            vec![matcher(
                MatchOp::Equal,
                "__name__",
                "node_metric_family_number_3_total",
            )],
        ),
        (
            "name_and_datacenter",
            vec![
                matcher(
                    MatchOp::Equal,
                    "__name__",
                    "node_metric_family_number_3_total",
                ),
                matcher(MatchOp::Equal, "datacenter", "dc-3"),
            ],
        ),
        (
            "regex_over_pods",
            vec![matcher(MatchOp::Regex, "pod", "node-exporter-000[0-3].")],
        ),
    ];
    for (name, matchers) in &queries {
        let selected = head
            .store
            .select(matchers, TimeRange::ALL)
            .expect("a selection");
        assert!(!selected.is_empty(), "{name} selects nothing to measure");
        group.throughput(Throughput::Elements(selected.len() as u64));
        group.bench_function(format!("select/{name}"), |bencher| {
            bencher.iter(|| head.store.select(black_box(matchers), TimeRange::ALL));
        });
    }
    let selected = head
        .store
        .select(&queries[2].1, TimeRange::ALL)
        .expect("a selection");
    let per_series = head.round as u64 + 1;
    group.throughput(Throughput::Elements(selected.len() as u64 * per_series));
    group.bench_function("read", |bencher| {
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        bencher.iter(|| {
            for index in 0..selected.len() {
                let read = selected.read(index, &mut timestamps, &mut values);
                read.expect("sound chunks");
                black_box(&values);
            }
        });
    });

    let options = StoreOptions::new(head.dir.path());
    drop(head.store);
    group.throughput(Throughput::Elements(series * per_series));
    group.bench_function("replay", |bencher| {
        bencher.iter(|| MetricStore::open(&options).expect("a readable store"));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
