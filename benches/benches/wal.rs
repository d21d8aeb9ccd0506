//! The log: bytes and time per sample, written and replayed, for a mix of series as
//! node_exporter has them (55 % constant, 15 % sparse, 15 % integer counters, 10 % cpu
//! seconds, 5 % memory): 10,000 series, one sample each per commit, in memory.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
#![allow(clippy::print_stdout, reason = "the sizes are part of the result")]
#![allow(clippy::unwrap_used, reason = "a bench stops where something fails")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use kymo_storage::fs::memory::MemoryDir;
use kymo_storage::fs::{Dir, RealDir};
use kymo_storage::wal::{Entry, Wal, WalOptions};

#[allow(dead_code, reason = "shared with another bench")]
mod shapes;
use shapes::series;

const SERIES: usize = 10_000;
const COMMITS: usize = 60;
const OPTIONS: WalOptions = WalOptions {
    shard: 0,
    segment_bytes: 64 << 20,
};

/// Values by commit, then by series.
fn mix() -> Vec<Vec<f64>> {
    let class = |i: usize| match i % 20 {
        0..=10 => "constant",
        11..=13 => "quiet bucket",
        14 => "poisson counter",
        15 => "byte counter",
        16 => "bursty counter",
        17 | 18 => "cpu seconds",
        _ => "memory pages",
    };
    let all: Vec<Vec<f64>> = (0..SERIES)
        .map(|i| series(class(i), i as u64, COMMITS))
        .collect();
    (0..COMMITS)
        .map(|t| all.iter().map(|values| values[t]).collect())
        .collect()
}

fn full_doubles() -> Vec<Vec<f64>> {
    let all: Vec<Vec<f64>> = (0..SERIES)
        .map(|i| series("entropy walk", i as u64, COMMITS))
        .collect();
    (0..COMMITS)
        .map(|t| all.iter().map(|values| values[t]).collect())
        .collect()
}

fn open(dir: Arc<dyn Dir>) -> (Wal, u64) {
    let mut samples = 0;
    let opened = Wal::open(dir, OPTIONS, &mut |entry| {
        if let Entry::Floats { values, .. } = entry {
            samples += values.len() as u64;
            black_box(values);
        }
    });
    (opened.unwrap().0, samples)
}

fn write(dir: Arc<dyn Dir>, commits: &[Vec<f64>]) -> u64 {
    let mut wal = open(dir).0;
    for (t, values) in commits.iter().enumerate() {
        for (id, &value) in values.iter().enumerate() {
            wal.float(id as u32, t as i64 * 15_000, value);
        }
        wal.commit().unwrap();
    }
    wal.stats().written_bytes
}

fn memory() -> Arc<dyn Dir> {
    Arc::new(MemoryDir::new("wal"))
}

fn wal(c: &mut Criterion) {
    for (name, commits) in [("node mix", mix()), ("full doubles", full_doubles())] {
        let n = (SERIES * COMMITS) as u64;
        let bytes = write(memory(), &commits);
        println!(
            "wal {name}: {:.3} bytes per sample",
            bytes as f64 / n as f64
        );
        let mut group = c.benchmark_group(format!("wal {name}"));
        group.throughput(Throughput::Elements(n));
        group.bench_function("write to memory", |b| {
            b.iter_batched(memory, |dir| write(dir, &commits), BatchSize::PerIteration);
        });
        group.bench_function("write to disk", |b| {
            b.iter_batched(
                || tempfile::tempdir().unwrap(),
                |temp| {
                    write(Arc::new(RealDir::open(temp.path()).unwrap()), &commits);
                    temp
                },
                BatchSize::PerIteration,
            );
        });
        let dir = memory();
        write(dir.clone(), &commits);
        group.bench_function("replay", |b| b.iter(|| assert_eq!(open(dir.clone()).1, n)));
        group.finish();
    }
}

fn series_records(c: &mut Criterion) {
    let labels: Vec<Vec<(String, String)>> = (0..SERIES)
        .map(|i| {
            let pairs = [
                ("__name__", format!("node_metric_{}_total", i % 300)),
                ("cluster", "eu-west-1".to_owned()),
                ("device", format!("dev{}", i % 17)),
                ("instance", format!("10.0.{}.{}:9100", i % 7, i % 251)),
                ("job", "node".to_owned()),
                ("mode", format!("mode{}", i % 8)),
            ];
            pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
        })
        .collect();
    let write = |dir| {
        let mut wal = open(dir).0;
        for (id, labels) in labels.iter().enumerate() {
            wal.series(
                id as u32,
                labels.iter().map(|(n, v)| (n.as_str(), v.as_str())),
            );
        }
        wal.commit().unwrap();
        wal.stats().written_bytes
    };
    println!(
        "wal series: {:.1} bytes each",
        write(memory()) as f64 / SERIES as f64
    );
    let mut group = c.benchmark_group("wal series");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.bench_function("write to memory", |b| {
        b.iter_batched(memory, write, BatchSize::PerIteration);
    });
    let dir = memory();
    write(dir.clone());
    group.bench_function("replay", |b| b.iter(|| open(dir.clone()).0));
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
}

criterion_group! { name = benches; config = short(); targets = wal, series_records }
criterion_main!(benches);
