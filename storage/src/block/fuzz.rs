//! A damaged block: the body of the fuzz target `block`, and of tests that run its seeds
//! and random damage on every build.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use super::grouped::{GroupReader, GroupWriter};
use super::layout::{DATA_FILE, DATA_GROUP_BYTES, INDEX_FILE, INDEX_GROUP_BYTES, index_header};
use super::tombstones::TOMBSTONES_FILE;
use super::{Block, BlockError, BlockMeta, BlockOptions, BlockWriter, META_FILE};
use super::{ReadScratch, Ulid};
use crate::codec::crc;
use crate::fs::Dir;
use crate::fs::memory::MemoryDir;
use crate::model::histogram::HistogramPoint;
use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, IntegerHistogram, Span};
use crate::model::{MatchOp, Matcher, TimeRange, stale_marker};

const HOUR: i64 = 3_600_000;

/// The files of a good block.
struct Good {
    meta: BlockMeta,
    meta_json: Vec<u8>,
    index: Vec<u8>,
    data: Vec<u8>,
    tombstones: Vec<u8>,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| match good() {
    Ok(good) => good,
    Err(error) => unreachable!("memory does not fail: {error}"),
});

/// A block with every kind of times, values and lists.
fn good() -> Result<Good, BlockError> {
    let memory = MemoryDir::new("blocks");
    let blocks: Arc<dyn Dir> = Arc::new(memory.clone());
    let options = BlockOptions {
        max_t_ms: 2 * HOUR,
        ..BlockOptions::default()
    };
    let mut writer = BlockWriter::create(&blocks, Ulid::from_bits(7), options)?;
    let scrapes = |group: i64| (0..100).map(move |i| group * 77 + i * 15_000 + i * i % (group + 1));
    for name in ["constant", "counter", "double", "gauge"] {
        for n in 0..100i64 {
            let group = n % 3;
            let mut times: Vec<i64> = scrapes(group).collect();
            match n {
                10 => times.truncate(3),
                11..20 => drop(times.drain(..30)),
                20..25 => drop(times.remove(n as usize)),
                25 => times.iter_mut().for_each(|t| *t += *t % 13),
                26 => times = (0..2500).map(|i| i * 1500).collect(),
                _ => {}
            }
            let value = |i: usize| match name {
                "constant" => n as f64 * 0.25,
                "counter" => (i * i) as f64,
                "double" => (i as f64 + n as f64).sqrt(),
                _ => (i % 7) as f64 / 10.0,
            };
            let values: Vec<f64> = (0..times.len()).map(value).collect();
            let (instance, job) = (format!("host{n:02}"), format!("job{group}"));
            let labels = [
                ("__name__", name),
                ("instance", instance.as_str()),
                ("job", job.as_str()),
            ];
            let n_labels = if n % 10 == 0 { 2 } else { 3 };
            writer.series(labels.into_iter().take(n_labels), &times, &values)?;
        }
    }
    for n in 0..30i64 {
        let instance = format!("host{n:02}");
        let labels = [("__name__", "histogram"), ("instance", instance.as_str())];
        let times: Vec<i64> = scrapes(n % 3).collect();
        let histogram = |(&t_ms, i): (&i64, i64)| HistogramPoint {
            t_ms,
            histogram: histogram(n, i),
        };
        let points: Vec<HistogramPoint> = times.iter().zip(0..).map(histogram).collect();
        let n_floats = if n % 5 == 0 { 40 } else { 0 };
        let values = vec![n as f64; n_floats];
        let points = &points[n_floats..];
        writer.series_with(labels.into_iter(), &times[..n_floats], &values, points)?;
    }
    let name = Ulid::from_bits(7).to_string();
    let Some(meta) = writer.finish()? else {
        unreachable!("there are series");
    };
    let dir = memory.child(&name);
    let block = Block::open(Arc::new(dir.clone()))?;
    block.delete(&[(1, TimeRange::new(0, 40_000)), (30, TimeRange::ALL)])?;
    let read = |file: &str| dir.read(file, 1 << 24);
    Ok(Good {
        meta,
        meta_json: read(META_FILE)?,
        index: read(INDEX_FILE)?,
        data: read(DATA_FILE)?,
        tombstones: read(TOMBSTONES_FILE)?,
    })
}

/// A histogram of a series: of a few kinds, with resets, a new bucket, and an end.
fn histogram(series: i64, at: i64) -> Histogram {
    let count = (at % 40) * series + at % 3;
    if at == 95 {
        return Histogram::Integer(IntegerHistogram {
            sum: stale_marker(),
            ..IntegerHistogram::default()
        });
    }
    let length = 3 + u32::from(at > 20);
    let span = Span { offset: -1, length };
    let integer = IntegerHistogram {
        zero_threshold: 0.001,
        count: (count * i64::from(length)) as u64,
        sum: count as f64 / 3.0,
        positive_spans: vec![span],
        positive_deltas: [count, 0, 0, 0][..length as usize].to_vec(),
        ..IntegerHistogram::default()
    };
    match series % 4 {
        0 => integer
            .to_float()
            .map_or(Histogram::Integer(integer), Histogram::Float),
        1 => Histogram::Integer(IntegerHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            zero_threshold: 0.0,
            custom_bounds: [0.5, 1.0, 2.5, series as f64 + 10.0].into(),
            ..integer
        }),
        _ => Histogram::Integer(integer),
    }
}

/// Damages a block as `data` says, opens it and asks it everything.
///
/// The first byte says whether checksums are put right afterwards (1) and the numbers in
/// the headers are changed (2). Then come pieces of four bytes: which file, at which
/// offset, and what is mixed into the byte there.
///
/// # Panics
/// When the block breaks a promise; that is what it is for.
pub fn check_block(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else {
        return;
    };
    let good = &*GOOD;
    let (is_repaired, are_counts_changed) = (mode & 1 != 0, mode & 2 != 0);
    let mut meta = good.meta.clone();
    let mut files = [
        good.index.clone(),
        good.data.clone(),
        good.tombstones.clone(),
        good.meta_json.clone(),
    ];
    let mut patches = rest.chunks_exact(4);
    if are_counts_changed {
        for field in [&mut meta.n_series, &mut meta.n_samples, &mut meta.n_chunks] {
            let patch = patches.next().and_then(|p| p.first_chunk::<4>());
            *field ^= patch.map_or(0, |patch| u64::from(u32::from_le_bytes(*patch)));
        }
        let header = index_header(&meta);
        files[0][..header.len()].copy_from_slice(&header);
    }
    for patch in patches {
        let &[file, low, high, mix] = patch else {
            continue;
        };
        let file = &mut files[usize::from(file) % 4];
        let at = usize::from(u16::from_le_bytes([low, high])) % file.len();
        file[at] ^= mix;
    }
    let memory = MemoryDir::new("block");
    let [index, data, mut tombstones, mut meta_json] = files;
    if is_repaired {
        let repair = |name, original: &[u8], damaged: &[u8], group_bytes| {
            repair(&memory, name, original, damaged, group_bytes)
        };
        let lens = [
            repair(INDEX_FILE, &good.index, &index, INDEX_GROUP_BYTES),
            repair(DATA_FILE, &good.data, &data, DATA_GROUP_BYTES),
        ];
        let [Ok(bytes_index), Ok(bytes_data)] = lens else {
            unreachable!("memory does not fail");
        };
        (meta.bytes_index, meta.bytes_data) = (bytes_index, bytes_data);
        if let Some((body, sum)) = tombstones.split_last_chunk_mut::<4>() {
            *sum = crc::ieee(&[body]).to_le_bytes();
        }
        if let Ok(bytes) = meta.encode(memory.path()) {
            meta_json = bytes;
        }
    } else {
        memory.put(INDEX_FILE, index);
        memory.put(DATA_FILE, data);
    }
    memory.put(TOMBSTONES_FILE, tombstones);
    memory.put(META_FILE, meta_json);
    match Block::open(Arc::new(memory)) {
        Ok(block) => ask(&block),
        Err(error) => check_error(&error),
    }
}

/// Writes a damaged file with the right checksums.
fn repair(
    memory: &MemoryDir,
    name: &str,
    original: &[u8],
    damaged: &[u8],
    group_bytes: usize,
) -> Result<u64, BlockError> {
    let scratch = MemoryDir::new("original");
    scratch.put(name, original.to_vec());
    let file = GroupReader::open(&scratch, name, original.len() as u64, group_bytes)?;
    let mut writer = GroupWriter::create(memory, name, group_bytes)?;
    writer.append(&damaged[..file.len()])?;
    writer.finish(file.word())
}

fn check_error(error: &BlockError) {
    assert!(
        !matches!(error, BlockError::Input { .. }),
        "reading is not writing: {error}"
    );
    assert!(error.to_string().contains("block"), "{error}");
}

fn ask(block: &Block) {
    let check = |result: Result<(), BlockError>| result.unwrap_or_else(|e| check_error(&e));
    let matchers = [
        (MatchOp::Equal, "__name__", "gauge"),
        (MatchOp::Equal, "instance", "host42"),
        (MatchOp::Regex, "instance", "host[2-4]7|host9[a-z0-9]"),
        (MatchOp::NotRegex, "instance", ".*(1|2)[0-9]*"),
        (MatchOp::NotEqual, "job", "job1"),
        (MatchOp::Equal, "job", ""),
    ];
    let matchers = matchers.map(|(op, name, value)| Matcher::new(op, name, value));
    let matchers: Vec<Matcher> = matchers.into_iter().filter_map(Result::ok).collect();
    let n_series = block.n_series();
    for some in matchers.chunks(1).chain(matchers.windows(2)) {
        check(block.resolve(some).map(|ids| {
            assert!(ids.is_sorted_by(|a, b| a < b));
            assert!(ids.last().is_none_or(|&last| last < n_series));
        }));
    }
    check(block.label_names().map(|names| assert!(names.is_sorted())));
    check(block.label_values("instance").map(drop));
    check(block.stats().map(drop));
    let mut scratch = ReadScratch::default();
    let (mut t, mut v) = (Vec::new(), Vec::new());
    for series in 0..n_series.min(500) {
        check(block.labels(series).map(|labels| labels.for_each(drop)));
        for range in [TimeRange::ALL, TimeRange::new(100_000, 200_000)] {
            check(block.overlaps(series, range).map(drop));
            t.clear();
            v.clear();
            check(block.read(series, range, &mut scratch, &mut t, &mut v));
            assert_eq!(t.len(), v.len());
            assert!(t.is_sorted_by(|a, b| a < b) && t.iter().all(|&t| range.contains(t)));
            let (mut histograms, mut points) = (Vec::new(), Vec::new());
            check(block.read_histograms(series, range, &mut scratch, &mut histograms));
            check(block.read_points(series, range, &mut scratch, &mut points));
            let times = histograms.iter().map(|histogram| histogram.t_ms);
            assert!(times.clone().is_sorted_by(|a, b| a < b));
            assert!(times.clone().all(|t| range.contains(t)));
            // What is damaged may be whole numbers for the one and not for the other.
            if !points.is_empty() && points.len() == histograms.len() {
                assert!(times.eq(points.iter().map(|point| point.t_ms)));
            }
            let last = t.last().copied().unwrap_or(0);
            assert!(last < block.meta().max_t_ms && t.first().is_none_or(|&t| t >= 0));
        }
    }
    check(block.verify(&mut || ControlFlow::Continue(())));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the fuzzer once found, and where it starts from.
    #[test]
    fn the_seeds_of_the_fuzz_target_pass() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/block");
        let mut n = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            check_block(&std::fs::read(seed.unwrap().path()).unwrap());
            n += 1;
        }
        assert!(n > 0, "there are seeds in {seeds}");
    }

    #[test]
    fn an_unharmed_block_answers() {
        check_block(&[0]);
        check_block(&[1]);
    }

    #[test]
    fn labels_that_do_not_exist_do_no_harm() {
        // A column of label numbers is wider than there are labels.
        let [low, high] = 11_068u16.to_le_bytes();
        check_block(&[1, 0, low, high, 128]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn no_damage_makes_a_block_panic(
            mode in 0u8..4,
            patches in prop::collection::vec((0u8..4, any::<u16>(), 1u8..), 1..12),
        ) {
            let mut data = vec![mode];
            if mode & 2 != 0 {
                data.extend([0; 12]);
            }
            for (file, at, mix) in patches {
                data.push(file);
                data.extend(at.to_le_bytes());
                data.push(mix);
            }
            check_block(&data);
        }
    }
}
