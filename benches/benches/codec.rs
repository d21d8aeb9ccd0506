//! Chunk codecs: bytes per value (printed first) and time per value, by class of
//! series. 12 series each; sealed into chunks of 120, 480 and 8192, with the effort of
//! memory, of young blocks and of cold ones.
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
use kymo_storage::codec::sealed::{self, Effort};
use kymo_storage::codec::{timestamps, xor};

mod shapes;
use shapes::{CLASSES, Random, series};

const VALUES: usize = 480;
const LONG: usize = 8192;
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

fn data(class: &str, n: usize) -> Vec<Vec<f64>> {
    (0..SERIES).map(|seed| series(class, seed, n)).collect()
}

/// Bytes per value of the chunks, and the codecs that they got.
fn sealed_size(chunks: &[&[f64]], effort: Effort) -> (f64, String) {
    let mut scratch = sealed::Scratch::default();
    let mut out = Vec::new();
    let mut codecs: Vec<String> = chunks
        .iter()
        .map(|c| {
            let codec = sealed::seal_with(c, None, effort, &mut scratch, &mut out);
            format!("{codec:?}")
        })
        .collect();
    codecs.sort();
    codecs.dedup();
    let n: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    (out.len() as f64 / n as f64, codecs.join("+"))
}

fn print_sizes() {
    println!("bytes per value, headers included");
    println!(
        "{:16} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9}  codecs of blocks, of cold ones",
        "class", "xor 120", "open 120", "seal 120", "seal 480", "block 480", "cold 8192"
    );
    for class in CLASSES {
        let (data, cold) = (data(class, VALUES), data(class, LONG));
        let short: Vec<&[f64]> = data.iter().flat_map(|values| values.chunks(120)).collect();
        let long: Vec<&[f64]> = data.iter().map(|values| &values[..]).collect();
        let cold: Vec<&[f64]> = cold.iter().map(|values| &values[..]).collect();
        let n = (VALUES as u64 * SERIES) as f64;
        let xor: usize = short.iter().map(|c| xor::encoded_len(c)).sum();
        let mut tokens = Vec::new();
        let open = short.iter().map(|c| opened(c, &mut tokens).len_bytes);
        let open: usize = open.map(usize::from).sum();
        let [xor, open] = [xor, open].map(|bytes| bytes as f64 / n);
        let (sealed_short, _) = sealed_size(&short, Effort::Quick);
        let (sealed_long, _) = sealed_size(&long, Effort::Quick);
        let (block, block_codecs) = sealed_size(&long, Effort::Block);
        let (cold, cold_codecs) = sealed_size(&cold, Effort::Cold);
        println!(
            "{class:16} {xor:8.3} {open:8.3} {sealed_short:8.3} {sealed_long:8.3} {block:9.3} \
             {cold:9.3}  {block_codecs}, {cold_codecs}"
        );
    }
}

fn values(c: &mut Criterion) {
    print_sizes();
    for class in CLASSES {
        let data = data(class, VALUES);
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
        cold(c, class);
    }
}

/// Long chunks, whole and a twentieth of them.
fn cold(c: &mut Criterion, class: &str) {
    let mut scratch = sealed::Scratch::default();
    let data = data(class, LONG);
    let mut group = c.benchmark_group(class);
    group.throughput(Throughput::Elements(LONG as u64 * SERIES));
    let mut bytes = Vec::new();
    group.bench_function("seal cold 8192", |b| {
        b.iter(|| {
            for values in &data {
                bytes.clear();
                let effort = Effort::Cold;
                black_box(sealed::seal_with(
                    values,
                    None,
                    effort,
                    &mut scratch,
                    &mut bytes,
                ));
            }
        });
    });
    let chunks: Vec<Vec<u8>> = data
        .iter()
        .map(|values| {
            let mut bytes = Vec::new();
            sealed::seal_with(values, None, Effort::Cold, &mut scratch, &mut bytes);
            bytes
        })
        .collect();
    let mut out = Vec::new();
    let ranges = [
        ("cold decode 8192", 0..LONG),
        ("cold decode 400 of 8192", LONG / 2 + 100..LONG / 2 + 500),
    ];
    for (name, range) in ranges {
        group.throughput(Throughput::Elements(range.len() as u64 * SERIES));
        group.bench_function(name, |b| {
            b.iter(|| {
                for chunk in &chunks {
                    out.clear();
                    let range = range.clone();
                    sealed::decode_range(chunk, LONG, range, &mut scratch, &mut out).unwrap();
                }
            });
        });
    }
    group.finish();
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
