use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::fuzz::{MadeChunk, make};
use super::*;
use crate::fs::Dir;
use crate::fs::crash::{CrashDir, Cut, Faults, Loss};
use crate::fs::memory::MemoryDir;
use crate::model::histogram::{Histogram, HistogramPoint, IntegerHistogram, Span};
use crate::model::{TimeRange, stale_marker};

const ULID: &str = "01BKGTZQ1SYQJTR4PB43C8PD98";

/// Samples by labels; values as bits.
type Content = BTreeMap<Labels, Vec<(i64, u64)>>;

fn write(parent: &Arc<dyn Dir>, options: WriterOptions, content: &Content) -> Option<BlockMeta> {
    let mut writer = Writer::create_in(parent.clone(), options).unwrap();
    for (labels, samples) in content {
        let (times, values): (Vec<i64>, Vec<f64>) = samples
            .iter()
            .map(|&(t_ms, bits)| (t_ms, f64::from_bits(bits)))
            .unzip();
        writer.series(labels.iter(), &times, &values).unwrap();
    }
    writer.finish().unwrap()
}

fn read(reader: &Reader, range: TimeRange, report: &mut ImportReport) -> Result<Content> {
    let mut content = Content::new();
    let mut cursor = reader.read(range, report);
    while let Some(series) = cursor.next_series()? {
        let labels = Labels::from_pairs(series.labels.iter().copied());
        let values = series.values.iter().map(|value| value.to_bits());
        let samples = series.timestamps.iter().copied().zip(values);
        content.insert(labels, samples.collect());
    }
    Ok(content)
}

fn read_all(block: &dyn Dir) -> Result<(Content, ImportReport)> {
    let mut report = ImportReport::default();
    let content = read(&Reader::open_dir(block)?, TimeRange::ALL, &mut report)?;
    Ok((content, report))
}

/// Some series over two hours, among them a long one.
fn example() -> Content {
    let mut content = Content::new();
    for n in 0..40i64 {
        let labels = Labels::from_pairs([
            ("__name__", format!("metric_{}", n % 3)),
            ("instance", format!("host-{n}.example:9100")),
            ("quantile", format!("0.{n}")),
        ]);
        let n_samples = if n == 7 { 480 } else { n * 6 };
        let samples = (0..n_samples).map(|i| {
            let value = if i % 50 == 49 {
                stale_marker()
            } else {
                (i * n) as f64 / 7.0
            };
            (i * 15_000 + n, value.to_bits())
        });
        content.insert(labels, samples.collect());
    }
    content.retain(|_, samples| !samples.is_empty());
    content
}

/// Returns a directory with the example in a block, and that block.
fn example_block() -> (MemoryDir, Content) {
    let parent = MemoryDir::new("data");
    let content = example();
    let options = WriterOptions::new(ULID, 0, 7_200_000).segment_bytes(20_000);
    write(
        &(Arc::new(parent.clone()) as Arc<dyn Dir>),
        options,
        &content,
    )
    .unwrap();
    (parent.child(ULID), content)
}

#[test]
fn a_block_is_read_as_it_was_written() {
    let (block, content) = example_block();
    assert_eq!(block.files().unwrap(), ["index", "meta.json", "tombstones"]);
    assert_eq!(block.dirs().unwrap(), ["chunks"]);
    let chunks = block.child("chunks").files().unwrap();
    assert!(chunks.len() > 1 && chunks[0] == "000001", "{chunks:?}");
    let (read, report) = read_all(&block).unwrap();
    assert_eq!(read, content);
    let reader = Reader::open_dir(&block).unwrap();
    let n_samples: usize = content.values().map(Vec::len).sum();
    let n_chunks: usize = content.values().map(|s| s.len().div_ceil(120)).sum();
    let meta = reader.meta();
    assert_eq!(meta.n_samples, n_samples as u64);
    assert_eq!((meta.n_series, meta.n_chunks), (39, n_chunks as u64));
    assert_eq!(
        (reader.n_series(), reader.n_chunks()),
        (39, n_chunks as u64)
    );
    assert_eq!((meta.level, &meta.sources[..]), (1, &[ULID.to_owned()][..]));
    assert_eq!(report.samples, n_samples as u64);
    assert_eq!(reader.extent(), Some(TimeRange::new(1, 479 * 15_000 + 7)));
    let labels: Vec<Labels> = (0..39).map(|n| reader.labels(n).unwrap()).collect();
    assert_eq!(labels, content.keys().cloned().collect::<Vec<_>>());
    assert!(reader.labels(39).is_err());
}

#[test]
fn ranges_cut_a_block_into_pieces_without_loss() {
    let (block, content) = example_block();
    let reader = Reader::open_dir(&block).unwrap();
    let mut report = ImportReport::default();
    let mut joined = Content::new();
    for start_ms in (0..7_200_000).step_by(500_000) {
        let range = TimeRange::new(start_ms, start_ms + 499_999);
        let piece = read(&reader, range, &mut report).unwrap();
        for (labels, samples) in piece {
            joined.entry(labels).or_default().extend(samples);
        }
    }
    assert_eq!(joined, content);
    assert_eq!(report, read_all(&block).unwrap().1);
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing() {
    let (block, content) = example_block();
    let whole = read_all(&block).unwrap();
    assert_eq!(whole.0, content);
    let chunks = block.child("chunks");
    let mut n_found = 0;
    for (dir, name) in [
        (&block, "index"),
        (&block, "tombstones"),
        (&chunks, "000001"),
        (&chunks, "000002"),
    ] {
        let good = dir.read(name, u64::MAX).unwrap();
        let step = if name == "index" { 7 } else { 23 };
        for at in (0..good.len()).step_by(step) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            dir.put(name, bad);
            match read_all(&block) {
                Ok(read) => assert_eq!(read, whole, "{name} at {at}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(&format!("/{name}")), "{name} at {at}: {text}");
                    n_found += 1;
                }
            }
        }
        for len in (0..good.len()).step_by(397) {
            dir.put(name, good[..len].to_vec());
            assert!(read_all(&block).is_err(), "{name} of {len} bytes");
        }
        dir.put(name, good);
    }
    assert!(n_found > 1000, "{n_found}");
    chunks.remove("000002").unwrap();
    let error = read_all(&block).unwrap_err().to_string();
    assert!(error.contains("which does not exist"), "{error}");
}

#[test]
fn tombstones_take_samples_away() {
    let (block, content) = example_block();
    let reader = Reader::open_dir(&block).unwrap();
    let index = index::Index::open(&block).unwrap();
    let number = |series: usize| u64::from(index.number(series).unwrap());
    block.put(
        "tombstones",
        tombstones::tests::file(&[(number(3), 0, 60_000), (number(5), 0, i64::MAX)]),
    );
    let (read, report) = read_all(&block).unwrap();
    let mut expected = content.clone();
    let labels = |n| reader.labels(n).unwrap();
    let gone = expected.remove(&labels(5)).unwrap().len();
    let cut = expected.get_mut(&labels(3)).unwrap();
    let before = cut.len();
    cut.retain(|sample| sample.0 > 60_000);
    assert_eq!(report.deleted as usize, gone + before - cut.len());
    assert!(before > cut.len());
    assert_eq!(read, expected);
}

#[test]
fn overlapping_chunks_are_merged() {
    let floats = MadeChunk::of_floats;
    let block = make(&[(
        &[("__name__", "a")],
        vec![
            floats(&[(10, 1.0), (20, 1.0), (40, 1.0)]),
            floats(&[(5, 2.0), (20, 2.0), (30, 2.0)]),
            floats(&[(40, 3.0)]),
        ],
    )])
    .unwrap();
    let (content, report) = read_all(&block).unwrap();
    let samples: Vec<(i64, f64)> = content
        .values()
        .flatten()
        .map(|&(t_ms, bits)| (t_ms, f64::from_bits(bits)))
        .collect();
    assert_eq!(
        samples,
        [(5, 2.0), (10, 1.0), (20, 2.0), (30, 2.0), (40, 3.0)]
    );
    assert_eq!((report.samples, report.replaced), (5, 2));
}

#[test]
fn what_is_not_taken_is_counted_by_series() {
    let other = |encoding, n: u16, min_t_ms, max_t_ms| MadeChunk {
        min_t_ms,
        max_t_ms,
        encoding,
        // Flags, the threshold, schema 9, and no buckets.
        payload: [&n.to_be_bytes()[..], &[0, 0, 0xc4, 0x80]].concat(),
    };
    let block = make(&[
        (
            &[("__name__", "a")],
            vec![
                MadeChunk::of_floats(&[(1, 1.0)]),
                other(2, 9, 10, 30),
                other(5, 0x4003, 40, 60),
            ],
        ),
        (&[("__name__", "b")], vec![other(3, 4, 0, 99)]),
        (&[("__name__", "c")], vec![other(2, 100, 5, 5)]),
        (&[("__name__", "d")], vec![other(255, 100, 5, 5)]),
    ])
    .unwrap();
    let reader = Reader::open_dir(&block).unwrap();
    let mut report = ImportReport::default();
    for range in [TimeRange::new(0, 49), TimeRange::new(50, 99)] {
        let content = read(&reader, range, &mut report).unwrap();
        assert_eq!(content.len(), usize::from(range.start_ms == 0));
    }
    let skipped: Vec<_> = report
        .skipped()
        .map(|(series, kind, skipped)| {
            let name = reader.labels(series).unwrap().metric_name().to_owned();
            (name, kind, skipped.chunks, skipped.samples, skipped.range)
        })
        .collect();
    let row = |name: &str, kind, chunks, samples, start, end| {
        (
            name.to_owned(),
            kind,
            chunks,
            samples,
            TimeRange::new(start, end),
        )
    };
    let expected = [
        row("a", SkippedKind::Schema(9), 2, 12, 10, 60),
        row("b", SkippedKind::Schema(9), 1, 4, 0, 99),
        row("c", SkippedKind::Schema(9), 1, 100, 5, 5),
        row("d", SkippedKind::Unknown(255), 1, 0, 5, 5),
    ];
    assert_eq!(skipped, expected);
    let (series, sum) = report.skipped_by_kind()[&SkippedKind::Schema(9)];
    assert_eq!((series, sum.chunks, sum.samples), (3, 4, 116));
    assert_eq!(report.samples, 1);
}

#[test]
fn other_versions_and_other_directories_are_refused_by_name() {
    let (block, _) = example_block();
    let index = block.read("index", u64::MAX).unwrap();
    for (version, text) in [(1, "as the first releases"), (7, "no release")] {
        let mut other = index.clone();
        other[4] = version;
        block.put("index", other);
        let error = Reader::open_dir(&block).unwrap_err().to_string();
        assert!(
            error.contains(&format!("index has version {version}, ")),
            "{error}"
        );
        assert!(error.contains(text), "{error}");
    }
    block.remove("index").unwrap();
    let error = Reader::open_dir(&block).unwrap_err().to_string();
    assert!(
        error.ends_with("is not a block of Prometheus: it has no index"),
        "{error}"
    );
    let error = Reader::open_dir(&MemoryDir::new("x"))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "x is not a block of Prometheus: it has no meta.json");
    let error = Reader::open(Path::new("/no/such/directory")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot open directory /no/such/directory"
    );
}

#[test]
fn the_writer_refuses_what_would_be_no_block() {
    let parent: Arc<dyn Dir> = Arc::new(MemoryDir::new("data"));
    let create = |ulid: &str, min, max| {
        Writer::create_in(parent.clone(), WriterOptions::new(ulid, min, max))
    };
    assert!(create("../x", 0, 10).is_err());
    assert!(create(ULID, 10, 10).is_err());
    let mut writer = create(ULID, 10, 20).unwrap();
    let mut refused = |labels: &[(&str, &str)], times: &[i64]| {
        let values = vec![1.0; times.len()];
        let error = writer.series(labels.iter().copied(), times, &values);
        error.map_or_else(|error| error.to_string(), |()| String::new())
    };
    assert_eq!(refused(&[("a", "2")], &[10, 19]), "");
    for (labels, times, text) in [
        (&[("a", "1")][..], &[10][..], "comes behind {\"a\": \"2\"}"),
        (&[("a", "2")], &[10], "comes behind"),
        (&[("b", "1"), ("a", "1")], &[10], "not in order of name"),
        (&[("b", "")], &[10], "empty value"),
        (&[], &[10], "no labels"),
        (&[("b", "1")], &[10, 10], "not ascending"),
        (&[("b", "1")], &[9, 10], "not from 10 to before 20"),
        (&[("b", "1")], &[10, 20], "not from 10 to before 20"),
    ] {
        let error = refused(labels, times);
        assert!(error.contains(text), "{error}");
    }
    assert_eq!(refused(&[("b", "1")], &[]), "");
    assert_eq!(refused(&[("b", "1")], &[12]), "");
    assert_eq!(writer.finish().unwrap().unwrap().n_series, 2);
    assert!(create(ULID, 0, 10).is_err(), "it is there already");
    assert_eq!(parent.dirs().unwrap(), [ULID]);
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    let parent: Arc<dyn Dir> = Arc::new(MemoryDir::new("data"));
    let options = WriterOptions::new(ULID, 0, 7_200_000);
    let mut writer = Writer::create_in(parent.clone(), options.clone()).unwrap();
    writer
        .series([("a", "b")].into_iter(), &[1], &[1.0])
        .unwrap();
    assert_eq!(parent.dirs().unwrap(), [format!("{ULID}.tmp-for-creation")]);
    drop(writer);
    assert_eq!(parent.dirs().unwrap(), [""; 0]);
    assert_eq!(write(&parent, options, &Content::new()), None);
    assert_eq!(parent.dirs().unwrap(), [""; 0]);
}

#[test]
fn a_crash_leaves_the_whole_block_or_none() {
    let dir = CrashDir::new("data");
    let parent: Arc<dyn Dir> = Arc::new(dir.clone());
    let mut content = example();
    content.retain(|labels, _| labels.metric_name() == "metric_1");
    let options = WriterOptions::new(ULID, 0, 7_200_000).segment_bytes(4000);
    write(&parent, options.clone(), &content).unwrap();
    let mut n_whole = 0;
    for ops in 0..=dir.ops() {
        for loss in [
            Loss::Process,
            Loss::Everything,
            Loss::Chance(1),
            Loss::Chance(2),
        ] {
            let cut = Cut {
                ops,
                partial_bytes: 0,
            };
            let image = dir.image(cut, loss);
            if image.dirs().unwrap().iter().any(|name| name == ULID) {
                assert_eq!(read_all(&image.child(ULID)).unwrap().0, content);
                n_whole += 1;
            }
        }
        if ops == dir.ops() {
            assert!(n_whole >= 4, "a finished block survives everything");
        }
    }

    let full = CrashDir::new("full");
    full.set_faults(Faults {
        capacity_bytes: Some(3000),
        ..Faults::default()
    });
    let mut writer = Writer::create_in(Arc::new(full.clone()), options).unwrap();
    for (labels, samples) in &content {
        let times: Vec<i64> = samples.iter().map(|sample| sample.0).collect();
        let values = vec![1.5; times.len()];
        if let Err(error) = writer.series(labels.iter(), &times, &values) {
            assert!(error.is_disk_full(), "{error}");
        }
    }
    assert!(writer.finish().unwrap_err().is_disk_full());
    assert_eq!(full.dirs().unwrap(), [""; 0]);
}

fn any_content() -> impl Strategy<Value = Content> {
    let label = ("[abé_]{1,2}", "[0-9a-zü]{1,40}");
    let labels = prop::collection::vec(label, 1..6).prop_map(Labels::from_pairs);
    let sample = (
        0i64..7_200_000,
        prop_oneof![any::<u64>(), Just(stale_marker().to_bits()), Just(0)],
    );
    let samples = prop::collection::btree_map(sample.0, sample.1, 1..300);
    let samples = samples.prop_map(|map| map.into_iter().collect::<Vec<_>>());
    prop::collection::btree_map(labels, samples, 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_series_survive(content in any_content(), segment_bytes in 100u64..5000) {
        let parent = MemoryDir::new("data");
        let options = WriterOptions::new(ULID, 0, 7_200_000).segment_bytes(segment_bytes);
        let meta = write(&(Arc::new(parent.clone()) as Arc<dyn Dir>), options, &content);
        prop_assert_eq!(meta.is_none(), content.is_empty());
        if meta.is_some() {
            prop_assert_eq!(read_all(&parent.child(ULID)).unwrap().0, content);
        }
    }
}

/// A counter with a bucket more from the tenth on, and its end.
fn latency(seed: i64, n: i64) -> Vec<HistogramPoint> {
    let point = |at: i64| {
        let length = 2 + u32::from(at >= 10);
        let histogram = IntegerHistogram {
            schema: 2,
            zero_threshold: 1e-3,
            zero_count: at as u64,
            count: (at + (seed + at) * i64::from(length)) as u64,
            sum: at as f64 * 0.25,
            positive_spans: vec![Span { offset: -1, length }],
            positive_deltas: [seed + at, 0, 0][..length as usize].to_vec(),
            ..IntegerHistogram::default()
        };
        let histogram = match (at, seed % 2) {
            (49, _) => Histogram::Integer(IntegerHistogram {
                sum: stale_marker(),
                ..IntegerHistogram::default()
            }),
            (_, 0) => Histogram::Integer(histogram),
            _ => Histogram::Float(histogram.to_float().unwrap()),
        };
        HistogramPoint {
            t_ms: 100_000 + at * 15_000,
            histogram,
        }
    };
    (0..n).map(point).collect()
}

#[test]
fn histograms_are_read_as_they_were_written() {
    let parent = MemoryDir::new("data");
    let dir: Arc<dyn Dir> = Arc::new(parent.clone());
    let options = WriterOptions::new(ULID, 0, 7_200_000);
    let mut writer = Writer::create_in(dir, options).unwrap();
    let labels = |seed: i64| [("__name__", "latency".to_owned()), ("n", seed.to_string())];
    for seed in 0..4 {
        let points = latency(seed, 60);
        let labels = labels(seed);
        let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
        // Floats before, between and behind the histograms.
        let times = [5_000, 400_001, 400_002, 5_000_000];
        let n_floats = if seed == 3 { 4 } else { 0 };
        let values = [1.0, 2.0, 3.0, 4.0];
        let twice = writer.series_with(labels.clone(), &[100_000], &values[..1], &points);
        let error = twice.unwrap_err().to_string();
        assert!(
            error.contains("a float and a histogram at 100000"),
            "{error}"
        );
        let (times, values) = (&times[..n_floats], &values[..n_floats]);
        writer.series_with(labels, times, values, &points).unwrap();
    }
    let meta = writer.finish().unwrap().unwrap();
    assert_eq!(
        (meta.n_samples, meta.n_histograms, meta.n_series),
        (244, 240, 4)
    );
    let reader = Reader::open_dir(&parent.child(ULID)).unwrap();
    assert_eq!(reader.meta(), &meta);
    for range in [TimeRange::ALL, TimeRange::new(200_000, 500_000)] {
        let mut report = ImportReport::default();
        let mut cursor = reader.read(range, &mut report);
        for seed in 0..4 {
            let series = cursor.next_series().unwrap().unwrap();
            let mut expected = latency(seed, 60);
            expected.retain(|point| range.contains(point.t_ms));
            assert_eq!(series.histograms.len(), expected.len());
            for (found, expected) in series.histograms.iter().zip(expected) {
                assert_eq!(found.t_ms, expected.t_ms);
                let kind = |point: &HistogramPoint| std::mem::discriminant(&point.histogram);
                assert_eq!(kind(found), kind(&expected));
                let seen = |point: &HistogramPoint| {
                    let mut histogram = point.histogram.to_float().unwrap();
                    histogram.compact(0);
                    histogram
                };
                assert!(seen(found).is_same_data(&seen(&expected)), "{found:?}");
            }
        }
        assert!(cursor.next_series().unwrap().is_none());
        assert_eq!(report.skipped().count(), 0);
    }
}
