//! Chunk codecs: bytes per value (printed first) and time per value, by class of
//! series. 12 series of 480 values each; sealed into chunks of 120 and 480.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
#![allow(clippy::print_stdout, reason = "the sizes are part of the result")]
#![allow(clippy::unwrap_used, reason = "a bench stops where something fails")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kymo_storage::codec::open::{self, Edit, OpenChunk};
use kymo_storage::codec::{sealed, timestamps, xor};

mod shapes;
use shapes::{CLASSES, Random, series};

const VALUES: usize = 480;
const SERIES: u64 = 12;
/// The samples of one chunk that was appended to, 15 s apart.
fn opened(values: &[f64], bytes: &mut Vec<u8>) -> OpenChunk {
    let mut chunk = OpenChunk::NEW;
    bytes.clear();
    for (n, &value) in values.iter().enumerate() {
        let t_ms = n as i64 * 15_000;
        match chunk.append(t_ms, value, &mut open::Scratch::default()) {
            Edit::Push(token) => bytes.extend_from_slice(token),
            Edit::Increment => *bytes.last_mut().unwrap() += 1,
        }
    }
    chunk
}

fn data(class: &str) -> Vec<Vec<f64>> {
    (0..SERIES)
        .map(|seed| series(class, seed, VALUES))
        .collect()
}

fn sealed_bytes(chunks: &[&[f64]]) -> (usize, String) {
    let mut scratch = sealed::Scratch::default();
    let mut out = Vec::new();
    let mut codecs: Vec<String> = chunks
        .iter()
        .map(|c| format!("{:?}", sealed::seal(c, None, &mut scratch, &mut out)))
        .collect();
    codecs.sort();
    codecs.dedup();
    (out.len(), codecs.join("+"))
}

fn print_sizes() {
    println!("bytes per value, headers included");
    println!(
        "{:16} {:>8} {:>8} {:>8} {:>8}  codecs at 480",
        "class", "xor 120", "open 120", "seal 120", "seal 480"
    );
    for class in CLASSES {
        let data = data(class);
        let short: Vec<&[f64]> = data.iter().flat_map(|values| values.chunks(120)).collect();
        let long: Vec<&[f64]> = data.iter().map(|values| &values[..]).collect();
        let n = (VALUES as u64 * SERIES) as f64;
        let xor: usize = short.iter().map(|c| xor::encoded_len(c)).sum();
        let mut tokens = Vec::new();
        let open = short.iter().map(|c| opened(c, &mut tokens).len_bytes);
        let open: usize = open.map(usize::from).sum();
        let (seal_short, _) = sealed_bytes(&short);
        let (seal_long, codecs) = sealed_bytes(&long);
        let [xor, open, short, long] =
            [xor, open, seal_short, seal_long].map(|bytes| bytes as f64 / n);
        println!("{class:16} {xor:8.3} {open:8.3} {short:8.3} {long:8.3}  {codecs}");
    }
}

fn values(c: &mut Criterion) {
    print_sizes();
    for class in CLASSES {
        let data = data(class);
        let mut group = c.benchmark_group(class);
        group.throughput(Throughput::Elements(VALUES as u64 * SERIES));
        let mut bytes = Vec::new();
        group.bench_function("open push", |b| {
            b.iter(|| {
                for values in &data {
                    black_box(opened(values, &mut bytes).len_bytes);
                }
            });
        });
        let opened: Vec<(OpenChunk, Vec<u8>)> = data
            .iter()
            .map(|values| {
                let mut bytes = Vec::new();
                (opened(values, &mut bytes), bytes)
            })
            .collect();
        let mut out = Vec::new();
        group.bench_function("open decode", |b| {
            b.iter(|| {
                for (chunk, bytes) in &opened {
                    out.clear();
                    open::decode(bytes, chunk.n, |_, value| {
                        out.push(value);
                        true
                    })
                    .unwrap();
                }
            });
        });
        let mut scratch = sealed::Scratch::default();
        group.bench_function("seal 480", |b| {
            b.iter(|| {
                for (values, (chunk, _)) in data.iter().zip(&opened) {
                    bytes.clear();
                    let hint = chunk.exponent();
                    black_box(sealed::seal(values, hint, &mut scratch, &mut bytes));
                }
            });
        });
        let chunks: Vec<Vec<u8>> = data
            .iter()
            .map(|values| {
                let mut bytes = Vec::new();
                sealed::seal(values, None, &mut scratch, &mut bytes);
                bytes
            })
            .collect();
        group.bench_function("sealed decode 480", |b| {
            b.iter(|| {
                for chunk in &chunks {
                    out.clear();
                    sealed::decode(chunk, VALUES, &mut scratch, &mut out).unwrap();
                }
            });
        });
        group.finish();
    }
}

fn times(c: &mut Criterion) {
    let mut random = Random(1);
    let start = 1_700_000_000_000i64;
    let regular: Vec<i64> = (0..VALUES as i64).map(|i| start + i * 15_000).collect();
    let jittered: Vec<i64> = regular
        .iter()
        .map(|t| t + (random.unit() * 7.0) as i64)
        .collect();
    let mut group = c.benchmark_group("timestamps");
    group.throughput(Throughput::Elements(VALUES as u64));
    for (name, t_ms) in [("regular", regular), ("jittered", jittered)] {
        let mut bytes = Vec::new();
        timestamps::encode(&t_ms, &mut bytes);
        println!(
            "timestamps {name}: {:.3} bytes per value",
            bytes.len() as f64 / VALUES as f64
        );
        let mut out = Vec::new();
        group.bench_function(format!("{name} encode"), |b| {
            b.iter(|| {
                let mut bytes = Vec::new();
                black_box(timestamps::encode(&t_ms, &mut bytes))
            });
        });
        group.bench_function(format!("{name} decode"), |b| {
            b.iter(|| {
                out.clear();
                timestamps::decode(&bytes, VALUES, &mut out).unwrap()
            });
        });
    }
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
}

criterion_group! { name = benches; config = short(); targets = values, times }
criterion_main!(benches);
