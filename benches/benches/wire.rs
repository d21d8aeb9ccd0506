//! Remote write 1.0: 2,000 series of 12 labels (290 bytes) with one sample each, the
//! request that a scraping sender makes. Throughput is in samples.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench fails like a test, and its entry point comes from a macro"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kymo_ingest::remote_write::{Accepts, Extras, Limits, Receiver};
use kymo_ingest::wire::write_request::{LabelBytes, Part, WriteRequest};
use kymo_storage::StoreOptions;
use kymo_storage::metrics::MetricStore;

const N_SERIES: usize = 2000;
const START_MS: i64 = 1_700_000_000_000;

/// The clock stands after every sample of the bench.
const NOW_MS: i64 = i64::MAX;

fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Encodes one request: every series with a sample at `t_ms`.
fn request(t_ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for at in 0..N_SERIES {
        let labels = [
            (
                "__name__",
                "container_network_receive_bytes_total".to_owned(),
            ),
            ("cluster", "production-eu-central-1".to_owned()),
            ("container", format!("worker-{}", at % 7)),
            ("endpoint", "https-metrics".to_owned()),
            ("id", format!("/kubepods/burstable/pod{at:012x}")),
            ("instance", format!("10.0.{}.{}:10250", at / 250, at % 250)),
            ("interface", "eth0".to_owned()),
            ("job", "kubelet".to_owned()),
            ("metrics_path", "/metrics/cadvisor".to_owned()),
            ("namespace", format!("team-{}", at % 20)),
            ("node", format!("node-{}", at % 40)),
            ("pod", format!("worker-{at:08x}")),
        ];
        let mut series = Vec::new();
        for (name, value) in labels {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut series, 1, &label);
        }
        let mut sample = vec![1 << 3 | 1];
        sample.extend((at as f64 * 1.7 + t_ms as f64 / 1000.0).to_le_bytes());
        sample.push(2 << 3);
        varint(&mut sample, t_ms.cast_unsigned());
        field(&mut series, 2, &sample);
        field(&mut out, 1, &series);
    }
    out
}

fn store() -> (tempfile::TempDir, MetricStore) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = MetricStore::open(&StoreOptions::new(dir.path())).unwrap();
    (dir, store)
}

fn walk(c: &mut Criterion) {
    let request = request(START_MS);
    let (_dir, store) = store();
    let mut group = c.benchmark_group("remote write v1");
    group.throughput(Throughput::Elements(N_SERIES as u64));
    group.bench_function("walk and hash", |b| {
        b.iter(|| {
            let mut view = WriteRequest::new(&request);
            let mut n_samples = 0;
            while let Some(Part::Series(series)) = view.next_part().unwrap() {
                let scanned = series.scan(|t_ms, value| {
                    black_box((t_ms, value));
                    n_samples += 1;
                });
                if let LabelBytes::Run(bytes) = scanned.unwrap().labels {
                    black_box(store.raw_key(bytes));
                }
            }
            n_samples
        });
    });

    let compressed = snap::raw::Encoder::new().compress_vec(&request).unwrap();
    let mut decoded = vec![0; request.len()];
    group.bench_function("snappy", |b| {
        b.iter(|| {
            snap::raw::Decoder::new()
                .decompress(&compressed, &mut decoded)
                .unwrap()
        });
    });
    group.finish();
}

fn receive(c: &mut Criterion) {
    let (_dir, store) = store();
    let receiver = Receiver::new(Limits::default(), Accepts::default(), Extras::default());
    let mut t_ms = START_MS;
    let mut group = c.benchmark_group("remote write v1");
    group.throughput(Throughput::Elements(N_SERIES as u64));
    group.sample_size(20);
    group.bench_function("receive, series known", |b| {
        b.iter_batched(
            || {
                t_ms += 15_000;
                snap::raw::Encoder::new()
                    .compress_vec(&request(t_ms))
                    .unwrap()
            },
            |body| {
                receiver
                    .receive(&store, None, None, &body, NOW_MS)
                    .result
                    .unwrap()
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, walk, receive);
criterion_main!(benches);
