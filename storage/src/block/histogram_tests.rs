use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::tests::{HOUR, options, ulid};
use super::*;
use crate::fs::Dir;
use crate::fs::memory::MemoryDir;
use crate::model::histogram::HistogramPoint;
use crate::model::histogram::{
    Buckets, CounterResetHint, FloatHistogram, Histogram, IntegerHistogram, Span,
};
use crate::model::{Labels, TimeRange};

/// The floats and the histograms of a series.
type Series = (Vec<(i64, f64)>, Vec<HistogramPoint>);

/// A counter with these increments of a bucket each.
fn counter(times: impl Iterator<Item = i64>, seed: u64, is_float: bool) -> Vec<HistogramPoint> {
    let (mut state, mut counts) = (seed | 1, BTreeMap::new());
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) % below
    };
    let point = |t_ms| {
        if random(60) == 0 {
            counts.clear();
        }
        *counts.entry(random(8) as i32 - 3).or_insert(0) += random(50) as i64;
        let layout: Arc<[i32]> = counts.keys().copied().collect();
        let floats: Vec<f64> = counts.values().map(|count| *count as f64).collect();
        let positive = Buckets::from_layout(layout, floats).unwrap();
        let sum = random(1000) as f64 / 8.0;
        let histogram = if is_float {
            Histogram::Float(FloatHistogram {
                count: positive.counts().iter().sum(),
                sum,
                positive,
                ..FloatHistogram::default()
            })
        } else {
            let mut last = 0;
            let delta = |count: &i64| *count - std::mem::replace(&mut last, *count);
            Histogram::Integer(IntegerHistogram {
                count: counts.values().sum::<i64>() as u64,
                sum,
                positive_spans: positive.spans(),
                positive_deltas: counts.values().map(delta).collect(),
                ..IntegerHistogram::default()
            })
        };
        HistogramPoint { t_ms, histogram }
    };
    times.map(point).collect()
}

/// What a query sees of a histogram, but for empty buckets and its hint.
fn seen(histogram: &Histogram) -> FloatHistogram {
    let mut float = histogram.to_float().unwrap();
    float.counter_reset_hint = CounterResetHint::Unknown;
    float.compact(0);
    float
}

fn labels(n: usize) -> Labels {
    Labels::from_pairs([("__name__", "latency".to_owned()), ("n", format!("{n:03}"))])
}

fn block_of(cold: bool, all: &[Series]) -> (MemoryDir, BlockMeta) {
    let memory = MemoryDir::new("blocks");
    let blocks: Arc<dyn Dir> = Arc::new(memory.clone());
    let options = BlockOptions {
        cold,
        ..options(-HOUR, 2 * HOUR)
    };
    let mut writer = BlockWriter::create(&blocks, ulid(7), options).unwrap();
    for (n, (floats, points)) in all.iter().enumerate() {
        let (t, v): (Vec<i64>, Vec<f64>) = floats.iter().copied().unzip();
        let labels = labels(n);
        writer.series_with(labels.iter(), &t, &v, points).unwrap();
    }
    let meta = writer.finish().unwrap().unwrap();
    (memory.child(&ulid(7).to_string()), meta)
}

#[test]
fn histograms_share_times_with_what_was_scraped_with_them() {
    let times = || (0..480).map(|i| i * 15_000 - HOUR + i * i % 7);
    let floats: Vec<(i64, f64)> = times().map(|t| (t, 1.0)).collect();
    let own = |n: u64| vec![(vec![], counter(times(), n, false)); 1];
    let alone = block_of(false, &own(3)).1;
    let mut all = vec![(floats.clone(), vec![]), (floats, vec![])];
    let without = block_of(false, &all).1;
    all.extend(own(3));
    let with = block_of(false, &all).1;
    let bytes = |meta: &BlockMeta| (meta.bytes_data + meta.bytes_index) as i64;
    let times = bytes(&alone) - (bytes(&with) - bytes(&without));
    assert!(times > 150, "times are not written again: {times}");
    assert_eq!((with.n_histograms, with.n_samples), (480, 3 * 480));
}

#[test]
fn a_block_without_histograms_is_of_the_first_version() {
    let floats = vec![(0, 1.0)];
    let point = counter(std::iter::once(5), 1, false);
    let version = |all: &[Series]| {
        let (dir, _) = block_of(false, all);
        let block = Block::open(Arc::new(dir.clone())).unwrap();
        assert_eq!(block.n_series(), 1);
        dir.read("index", 1 << 20).unwrap()[8]
    };
    assert_eq!(version(&[(floats, vec![])]), 1);
    assert_eq!(version(&[(vec![], point)]), 2);
}

#[test]
fn the_hint_of_a_histogram_is_that_of_its_place() {
    let times = |from: i64| (0..20).map(move |i| i * 15_000 + from);
    let mut points = counter(times(0), 4, false);
    for point in &mut points {
        if let Histogram::Integer(histogram) = &mut point.histogram {
            *histogram = IntegerHistogram {
                count: 1,
                positive_spans: vec![Span {
                    offset: 0,
                    length: 1,
                }],
                positive_deltas: vec![1],
                ..IntegerHistogram::default()
            };
            if point.t_ms == 150_000 {
                histogram.counter_reset_hint = CounterResetHint::Reset;
            }
        }
    }
    let (dir, _) = block_of(false, &[(vec![], points)]);
    let block = Block::open(Arc::new(dir)).unwrap();
    let mut found = Vec::new();
    let mut scratch = ReadScratch::default();
    let range = TimeRange::new(30_000, HOUR);
    block
        .read_histograms(0, range, &mut scratch, &mut found)
        .unwrap();
    assert_eq!(found.len(), 18);
    for sample in found {
        let expected = match sample.t_ms {
            150_000 => CounterResetHint::Unknown,
            _ => CounterResetHint::NotReset,
        };
        assert_eq!(sample.histogram.counter_reset_hint, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_block_holds_the_histograms_that_were_written(
        series in prop::collection::vec(
            (any::<u64>(), any::<bool>(), 1i64..900, prop::collection::btree_set(0i64..900, 0..200)),
            1..8,
        ),
        cold: bool,
        ranges in prop::collection::vec((-HOUR - 10..HOUR + 10, 0..2 * HOUR), 1..6),
        delete in prop::option::of((any::<prop::sample::Index>(), -HOUR..HOUR, 0..HOUR)),
    ) {
        let all: Vec<Series> = series
            .iter()
            .map(|(seed, is_float, n, floats)| {
                let t_ms = |i: i64| i * 8000 - HOUR + (seed % 3) as i64;
                let times = (0..*n).filter(|i| !floats.contains(i)).map(t_ms);
                let points = counter(times, *seed, *is_float);
                (floats.iter().map(|&i| (t_ms(i), i as f64)).collect(), points)
            })
            .collect();
        let (dir, meta) = block_of(cold, &all);
        let dir: Arc<dyn Dir> = Arc::new(dir);
        let n_histograms: usize = all.iter().map(|series| series.1.len()).sum();
        prop_assert_eq!(meta.n_histograms, n_histograms as u64);
        let block = Block::open(Arc::clone(&dir)).unwrap();
        let mut ranges: Vec<TimeRange> =
            ranges.iter().map(|&(start, len)| TimeRange::new(start, start + len)).collect();
        ranges.push(TimeRange::ALL);
        let mut deleted = None;
        if let Some((at, start, len)) = delete {
            let (series, range) = (at.index(all.len()) as u32, TimeRange::new(start, start + len));
            if (series as usize) < block.n_series() as usize {
                block.delete(&[(series, range)]).unwrap();
                deleted = Some((series, range));
            }
        }
        let mut scratch = ReadScratch::default();
        let with_samples = all.iter().filter(|(floats, points)| floats.len() + points.len() > 0);
        for (series, (floats, points)) in with_samples.enumerate() {
            let series = series as u32;
            for &range in &ranges {
                let is_kept = |t_ms: i64| {
                    let is_deleted = |(of, deleted): (u32, TimeRange)| of == series && deleted.contains(t_ms);
                    range.contains(t_ms) && !deleted.is_some_and(is_deleted)
                };
                let (mut t, mut v) = (Vec::new(), Vec::new());
                block.read(series, range, &mut scratch, &mut t, &mut v).unwrap();
                let expected: Vec<i64> = floats.iter().map(|f| f.0).filter(|t| is_kept(*t)).collect();
                prop_assert_eq!(t, expected);
                let expected: Vec<_> = points
                    .iter()
                    .filter(|point| is_kept(point.t_ms))
                    .map(|point| (point.t_ms, seen(&point.histogram)))
                    .collect();
                let mut found = Vec::new();
                block.read_points(series, range, &mut scratch, &mut found).unwrap();
                let kinds = found.iter().zip(points).filter(|(found, point)| {
                    std::mem::discriminant(&found.histogram) != std::mem::discriminant(&point.histogram)
                });
                prop_assert_eq!(kinds.count(), 0);
                let found: Vec<_> = found.iter().map(|p| (p.t_ms, seen(&p.histogram))).collect();
                prop_assert_eq!(&found, &expected);
                let mut found = Vec::new();
                block.read_histograms(series, range, &mut scratch, &mut found).unwrap();
                let seen = |s: &crate::model::histogram::HistogramSample| {
                    (s.t_ms, seen(&Histogram::Float(FloatHistogram::clone(&s.histogram))))
                };
                prop_assert_eq!(found.iter().map(seen).collect::<Vec<_>>(), expected);
            }
        }
    }
}
