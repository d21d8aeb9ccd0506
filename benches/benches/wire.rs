//! Remote write 1.0 and 2.0, and OTLP: 2,000 series of 12 labels (290 bytes) with one
//! sample each, the request that a scraping sender makes. Throughput is in samples.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench fails like a test, and its entry point comes from a macro"
)]

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kymo_ingest::otlp;
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

/// Returns the labels of a series.
fn labels(at: usize) -> [(&'static str, String); 12] {
    [
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
    ]
}

fn value(at: usize, t_ms: i64) -> f64 {
    at as f64 * 1.7 + t_ms as f64 / 1000.0
}

/// Encodes a sample, which both versions write the same way.
fn sample(at: usize, t_ms: i64) -> Vec<u8> {
    let mut sample = vec![1 << 3 | 1];
    sample.extend(value(at, t_ms).to_le_bytes());
    sample.push(2 << 3);
    varint(&mut sample, t_ms.cast_unsigned());
    sample
}

/// Encodes one request of 1.0: every series with a sample at `t_ms`.
fn request(t_ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for at in 0..N_SERIES {
        let mut series = Vec::new();
        for (name, value) in labels(at) {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut series, 1, &label);
        }
        field(&mut series, 2, &sample(at, t_ms));
        field(&mut out, 1, &series);
    }
    out
}

/// Encodes the same request of 2.0, with the metadata that its senders add.
fn request_v2(t_ms: i64) -> Vec<u8> {
    let mut numbers: HashMap<String, u64> = HashMap::new();
    let mut symbols = Vec::new();
    let mut number = |text: &str| {
        let next = numbers.len() as u64;
        *numbers.entry(text.to_owned()).or_insert_with(|| {
            field(&mut symbols, 4, text.as_bytes());
            next
        })
    };
    number("");
    let help = number("Bytes received.");
    let mut all = Vec::new();
    for at in 0..N_SERIES {
        let mut refs = Vec::new();
        for (name, value) in labels(at) {
            varint(&mut refs, number(name));
            varint(&mut refs, number(&value));
        }
        let mut series = Vec::new();
        field(&mut series, 1, &refs);
        field(&mut series, 2, &sample(at, t_ms));
        let mut metadata = vec![1 << 3, 1, 3 << 3];
        varint(&mut metadata, help);
        field(&mut series, 5, &metadata);
        field(&mut all, 5, &series);
    }
    symbols.extend(all);
    symbols
}

/// Encodes the same samples as one sum of OTLP.
fn request_otlp(t_ms: i64) -> Vec<u8> {
    let mut sum = vec![2 << 3, 2, 3 << 3, 1];
    for at in 0..N_SERIES {
        let mut point = Vec::new();
        for (name, value) in labels(at).iter().skip(1) {
            let (mut text, mut attribute) = (Vec::new(), Vec::new());
            field(&mut text, 1, value.as_bytes());
            field(&mut attribute, 1, name.as_bytes());
            field(&mut attribute, 2, &text);
            field(&mut point, 7, &attribute);
        }
        point.push(3 << 3 | 1);
        point.extend((t_ms * 1_000_000).to_le_bytes());
        point.push(4 << 3 | 1);
        point.extend(value(at, t_ms).to_le_bytes());
        field(&mut sum, 1, &point);
    }
    let (mut metric, mut scope, mut resource, mut out) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    field(&mut metric, 1, b"container.network.receive");
    field(&mut metric, 3, b"By");
    field(&mut metric, 7, &sum);
    field(&mut scope, 2, &metric);
    field(&mut resource, 2, &scope);
    field(&mut out, 1, &resource);
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
    let receiver = Receiver::new(Limits::default(), Accepts::default(), Extras::default());
    let version_2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    type Version = (&'static str, Option<&'static str>, fn(i64) -> Vec<u8>);
    let versions: [Version; 2] = [
        ("remote write v1", None, request),
        ("remote write v2", Some(version_2), request_v2),
    ];
    for (name, content_type, request) in versions {
        let (_dir, store) = store();
        let mut t_ms = START_MS;
        let mut group = c.benchmark_group(name);
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
                        .receive(&store, content_type, None, &body, NOW_MS)
                        .result
                        .unwrap()
                },
                criterion::BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

fn receive_otlp(c: &mut Criterion) {
    let (_dir, store) = store();
    let receiver = otlp::Receiver::new(otlp::Limits::default(), false);
    let settings = otlp::Settings::default();
    let form = (otlp::Format::Protobuf, otlp::Encoding::Identity);
    let mut t_ms = START_MS;
    let mut group = c.benchmark_group("otlp");
    group.throughput(Throughput::Elements(N_SERIES as u64));
    group.sample_size(20);
    group.bench_function("receive, series known", |b| {
        b.iter_batched(
            || {
                t_ms += 15_000;
                request_otlp(t_ms)
            },
            |body| {
                let mut reserve = |_| true;
                receiver
                    .receive(&store, &settings, form, &body, &mut reserve, NOW_MS)
                    .unwrap()
            },
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, walk, receive, receive_otlp);
criterion_main!(benches);
