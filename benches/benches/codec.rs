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
use kymo_storage::codec::open::{self, OpenChunk, Plan, plan_for};
use kymo_storage::codec::{sealed, timestamps, xor};

mod shapes;
use shapes::{CLASSES, Random, series};

const VALUES: usize = 480;
const SERIES: u64 = 12;
const SLAB_BYTES: usize = 32;

struct Slabs {
    chunk: OpenChunk,
    bytes: Vec<[u8; SLAB_BYTES]>,
}

impl Slabs {
    fn new(plan: Plan) -> Slabs {
        Slabs {
            chunk: OpenChunk::new(plan),
            bytes: Vec::new(),
        }
    }

    fn push(&mut self, value: f64) {
        let last = self
            .bytes
            .last_mut()
            .map_or(&mut [][..], |slab| &mut slab[..]);
        if let Some(spill) = self.chunk.push(last, value) {
            let mut slab = [0; SLAB_BYTES];
            self.chunk.push_spilled(&mut slab, spill);
            self.bytes.push(slab);
        }
    }
}

fn opened(values: &[f64], plan: Plan) -> Slabs {
    let mut slabs = Slabs::new(plan);
    values.iter().for_each(|&value| slabs.push(value));
    slabs
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
        let open: usize = short
            .iter()
            .map(|c| opened(c, plan_for(c, None)).bytes.len() * SLAB_BYTES)
            .sum();
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
        let plans: Vec<Plan> = data.iter().map(|values| plan_for(values, None)).collect();
        let mut group = c.benchmark_group(class);
        group.throughput(Throughput::Elements(VALUES as u64 * SERIES));
        group.bench_function("open push", |b| {
            b.iter(|| {
                for (values, &plan) in data.iter().zip(&plans) {
                    black_box(opened(values, plan).bytes.len());
                }
            });
        });
        let slabs: Vec<Slabs> = data
            .iter()
            .zip(&plans)
            .map(|(values, &plan)| opened(values, plan))
            .collect();
        let mut out = Vec::new();
        let mut bytes = Vec::new();
        group.bench_function("open decode", |b| {
            b.iter(|| {
                for slabs in &slabs {
                    out.clear();
                    let slices = slabs.bytes.iter().map(|slab| &slab[..]);
                    let plan = slabs.chunk.plan();
                    open::decode(plan, VALUES, slices, &mut bytes, &mut out).unwrap();
                }
            });
        });
        let mut scratch = sealed::Scratch::default();
        group.bench_function("seal 480", |b| {
            b.iter(|| {
                for (values, &plan) in data.iter().zip(&plans) {
                    bytes.clear();
                    black_box(sealed::seal(values, Some(plan), &mut scratch, &mut bytes));
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
