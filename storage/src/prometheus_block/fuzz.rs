//! Blocks made by hand, and the reader over arbitrary bytes: the body of the fuzz
//! target `prometheus_block`, and of a test that runs its seeds on every build.

use std::ops::Range;
use std::sync::Arc;

use super::index_writer::IndexWriter;
use super::meta::{self, BlockMeta};
use super::series_entry::ChunkMeta;
use super::{ImportReport, Reader, Result, chunk, index, segments, tombstones, xor};
use crate::codec::crc;
use crate::codec::varint::{read_u64, write_u64};
use crate::fs::Dir;
use crate::fs::memory::MemoryDir;
use crate::model::TimeRange;
use crate::model::histogram::{Histogram, HistogramPoint, IntegerHistogram, Span};

/// A chunk as its bytes.
#[derive(Debug, Clone)]
pub(super) struct MadeChunk {
    pub(super) min_t_ms: i64,
    pub(super) max_t_ms: i64,
    pub(super) encoding: u8,
    pub(super) payload: Vec<u8>,
}

impl MadeChunk {
    pub(super) fn of_floats(samples: &[(i64, f64)]) -> MadeChunk {
        let (timestamps, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        let mut payload = Vec::new();
        xor::encode(&timestamps, &values, &mut payload);
        MadeChunk {
            min_t_ms: timestamps.first().copied().unwrap_or(0),
            max_t_ms: timestamps.last().copied().unwrap_or(0),
            encoding: 1,
            payload,
        }
    }
}

impl MadeChunk {
    /// Three histograms from a time on.
    fn of_histograms(from: i64) -> MadeChunk {
        let histogram = |at: u64| IntegerHistogram {
            count: at,
            positive_spans: vec![Span {
                offset: -1,
                length: 1,
            }],
            positive_deltas: vec![at as i64],
            ..IntegerHistogram::default()
        };
        let point = |at: i64| HistogramPoint {
            t_ms: from + at * 15,
            histogram: Histogram::Integer(histogram(at as u64)),
        };
        let points: Vec<HistogramPoint> = (0..3).map(point).collect();
        let chunk = chunk::encode_histograms(&points);
        MadeChunk {
            min_t_ms: from,
            max_t_ms: from + 30,
            encoding: chunk::Encoding::Histogram as u8,
            payload: chunk.map_or_else(|_| Vec::new(), |chunks| chunks[0].payload.clone()),
        }
    }
}

/// A series: its labels and its chunks.
pub(super) type MadeSeries<'a> = (&'a [(&'a str, &'a str)], Vec<MadeChunk>);

/// Makes a block of one chunk file, whatever the chunks are.
pub(super) fn make(series: &[MadeSeries<'_>]) -> Result<MemoryDir> {
    let block = MemoryDir::new("block");
    let dir: Arc<dyn Dir> = Arc::new(block.clone());
    let mut index = IndexWriter::create(&dir)?;
    let mut file = segments::MAGIC.to_be_bytes().to_vec();
    file.extend([segments::VERSION, 0, 0, 0]);
    for (labels, chunks) in series {
        let mut metas = Vec::new();
        for chunk in chunks {
            metas.push(ChunkMeta {
                min_t_ms: chunk.min_t_ms,
                max_t_ms: chunk.max_t_ms,
                reference: file.len() as u64,
            });
            write_u64(&mut file, chunk.payload.len() as u64);
            file.push(chunk.encoding);
            file.extend_from_slice(&chunk.payload);
            let sum = crc::castagnoli(&[&[chunk.encoding], &chunk.payload]);
            file.extend(sum.to_be_bytes());
        }
        index.series(labels.iter().copied(), &metas)?;
    }
    index.finish()?;
    block.child(segments::DIR).put("000001", file);
    block.put(tombstones::FILE, tombstones::empty_file());
    let meta = BlockMeta {
        ulid: "01BKGTZQ1SYQJTR4PB43C8PD98".to_owned(),
        min_t_ms: 0,
        max_t_ms: 7_200_000,
        n_samples: 0,
        n_histograms: 0,
        n_series: series.len() as u64,
        n_chunks: 0,
        n_tombstones: 0,
        level: 1,
        sources: Vec::new(),
    };
    block.put(meta::FILE, meta.encode().unwrap_or_default());
    Ok(block)
}

/// Returns the file of tombstones with this content.
pub(super) fn sealed_tombstones(content: &[u8]) -> Vec<u8> {
    let mut file = tombstones::empty_file();
    file.truncate(5);
    file.extend_from_slice(content);
    file.extend(crc::castagnoli(&[content]).to_be_bytes());
    file
}

/// Ways in which `data` is taken.
const MODES: u8 = 12;

/// Opens a block that is made of `data` and reads it whole and in two halves.
///
/// The first byte says what the rest is: the payload of a chunk of floats in one of two
/// encodings or of histograms in one of four, the content of the tombstones, or changes to
/// a sound block. Checksums
/// are put right, but for the last kind of changes, so that everything is reached.
///
/// # Panics
/// When the reader breaks a promise; that is what it is for.
pub fn check_reader(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else {
        return;
    };
    let Ok(block) = make(&sound(mode, rest)) else {
        return;
    };
    let chunks = block.child(segments::DIR);
    let changed = |dir: &MemoryDir, name: &str, seal: bool| {
        let mut bytes = dir.read(name, u64::MAX).unwrap_or_default();
        let sections = sections(name, &bytes);
        change(&mut bytes, rest);
        for content in sections.into_iter().filter(|_| seal) {
            let sum = crc::castagnoli(&[&bytes[content.clone()]]);
            bytes[content.end..content.end + 4].copy_from_slice(&sum.to_be_bytes());
        }
        dir.put(name, bytes);
    };
    match mode % MODES {
        2 => block.put(tombstones::FILE, sealed_tombstones(rest)),
        3 => changed(&block, index::FILE, true),
        4 => changed(&block, index::FILE, false),
        5 => changed(&chunks, "000001", false),
        6 => block.put(meta::FILE, rest.to_vec()),
        7 => block.put(index::FILE, rest.to_vec()),
        _ => {}
    }
    let Ok(reader) = Reader::open_dir(&block) else {
        return;
    };
    let Some(extent) = reader.extent() else {
        return;
    };
    let whole = read(&reader, &[TimeRange::ALL]);
    let middle = extent.start_ms.midpoint(extent.end_ms);
    if let Some(middle_end) = middle.checked_sub(1) {
        let halves = [
            TimeRange::new(i64::MIN, middle_end),
            TimeRange::new(middle, i64::MAX),
        ];
        if let (Some(whole), Some(halves)) = (whole, read(&reader, &halves)) {
            assert_eq!(whole, halves, "two halves are the whole");
        }
    }
}

/// The series of the block, one of them with the payload that is tried.
fn sound(mode: u8, rest: &[u8]) -> Vec<MadeSeries<'static>> {
    let floats = |from: i64| {
        let samples: Vec<_> = (0..5).map(|i| (from + i * 15, i as f64 / 3.0)).collect();
        MadeChunk::of_floats(&samples)
    };
    let encoded = |encoding| MadeChunk {
        min_t_ms: i64::MIN,
        max_t_ms: i64::MAX,
        encoding,
        payload: rest.to_vec(),
    };
    let tried = match mode % MODES {
        encoding @ 0..2 => encoded(1 + 3 * encoding),
        mode @ 8..MODES => encoded([2, 3, 5, 6][usize::from(mode - 8)]),
        _ => MadeChunk::of_histograms(-100),
    };
    vec![
        (
            &[("__name__", "a"), ("job", "x")],
            vec![floats(0), floats(200)],
        ),
        (&[("__name__", "b"), ("job", "x")], vec![tried]),
        (&[("__name__", "c")], vec![floats(50), floats(90)]),
    ]
}

/// Changes bytes; `changes` is read as `offset u16 | byte`.
fn change(bytes: &mut [u8], changes: &[u8]) {
    let (changes, _) = changes.as_chunks::<3>();
    for &[high, low, byte] in changes {
        let at = usize::from(u16::from_be_bytes([high, low]));
        if let Some(target) = bytes.get_mut(at % bytes.len().max(1)) {
            *target = byte;
        }
    }
}

/// Returns the parts of a sound index that have a checksum behind them.
fn sections(name: &str, bytes: &[u8]) -> Vec<Range<usize>> {
    if name != index::FILE || bytes.len() < 60 {
        return Vec::new();
    }
    let contents = bytes.len() - 52..bytes.len() - 4;
    let offset = |n: usize| {
        let field = bytes[contents.clone()].as_chunks::<8>().0[n];
        u64::from_be_bytes(field) as usize
    };
    let section = |at: usize| {
        let len = bytes[at..]
            .first_chunk()
            .map_or(0, |len| u32::from_be_bytes(*len));
        at + 4..at + 4 + len as usize
    };
    let mut found = vec![contents.clone(), section(offset(0)), section(offset(5))];
    let (mut at, end) = (offset(1), offset(2));
    while at < end {
        at = at.next_multiple_of(16);
        let mut rest = &bytes[at..];
        let len = read_u64(&mut rest).unwrap_or(0) as usize;
        let start = bytes.len() - rest.len();
        found.push(start..start + len);
        at = start + len + 4;
    }
    found.push(section(offset(4).next_multiple_of(4)));
    found
}

type Samples = Vec<(String, i64, u64)>;

/// Returns all samples by series, or `None` after an error.
fn read(reader: &Reader, ranges: &[TimeRange]) -> Option<(Samples, ImportReport)> {
    let mut samples = Samples::new();
    let mut report = ImportReport::default();
    for &range in ranges {
        let mut cursor = reader.read(range, &mut report);
        let mut last = Vec::new();
        while let Some(series) = cursor.next_series().ok()? {
            let labels: Vec<(String, String)> = series
                .labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert!(last < labels, "series in order");
            assert!(
                series.timestamps.is_sorted_by(|a, b| a < b),
                "times in order"
            );
            assert!(series.timestamps.iter().all(|&t_ms| range.contains(t_ms)));
            assert_eq!(series.timestamps.len(), series.values.len());
            let name = format!("{labels:?}");
            let pairs = series.timestamps.iter().zip(series.values);
            samples.extend(pairs.map(|(&t_ms, value)| (name.clone(), t_ms, value.to_bits())));
            let points = series.histograms;
            assert!(points.is_sorted_by(|a, b| a.t_ms < b.t_ms), "in order");
            for point in points {
                assert!(range.contains(point.t_ms));
                assert!(!series.timestamps.contains(&point.t_ms), "one a time");
                let name = format!("{name} {:?}", point.histogram);
                samples.push((name, point.t_ms, point.histogram.sum().to_bits()));
            }
            last = labels;
        }
    }
    samples.sort();
    assert_eq!(report.samples, samples.len() as u64);
    Some((samples, report))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn seeds() -> Vec<Vec<u8>> {
        let seeds = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../fuzz/corpus/prometheus_block"
        );
        let entries = std::fs::read_dir(seeds).unwrap();
        let read = entries.map(|seed| std::fs::read(seed.unwrap().path()).unwrap());
        let seeds: Vec<_> = read.collect();
        assert!(!seeds.is_empty(), "there are seeds");
        seeds
    }

    #[test]
    fn the_seeds_of_the_fuzz_target_pass() {
        for seed in seeds() {
            super::check_reader(&seed);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..60)) {
            super::check_reader(&data);
        }

        #[test]
        fn changed_seeds_never_panic(
            mut data in prop::sample::select(seeds()),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            more in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            for (at, byte) in changes {
                // The first byte says what the rest is.
                let at = at.index(data.len() - 1) + 1;
                data[at] = byte;
            }
            data.extend(more);
            super::check_reader(&data);
        }
    }
}
