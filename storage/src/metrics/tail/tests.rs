//! Tails over whole lives of a store: series come and go, segments and snapshots roll,
//! blocks take over, the process is killed; what a tail hands out is what was stored.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::super::Retention;
use super::*;
use crate::fs::crash::{CrashDir, Cut, Loss};
use crate::fs::lives::Chance;
use crate::fs::memory::MemoryDir;
use crate::model::histogram::IntegerHistogram;
use crate::model::{Labels, MetricType};
use crate::{StoreOptions, SyncPolicy};

/// Range of a block in milliseconds.
const RANGE_MS: i64 = 1000;

type Sample = (String, i64, u64);

/// Remembers what it was handed.
#[derive(Debug, Default)]
struct Recorder {
    series: HashMap<u32, String>,
    samples: Vec<Sample>,
    exemplars: Vec<(String, Exemplar)>,
    metadata: Vec<(String, MetricMetadata)>,
    lost: u64,
}

impl TailSink for Recorder {
    fn series(&mut self, id: u32, labels: &[(&str, &str)]) {
        assert!(labels.is_sorted());
        self.series.insert(id, format!("{labels:?}"));
    }

    fn samples(&mut self, ids: &[u32], t_ms: &[i64], values: &[f64]) {
        assert_eq!((ids.len(), ids.len()), (t_ms.len(), values.len()));
        for ((id, &t_ms), value) in ids.iter().zip(t_ms).zip(values) {
            let labels = self.series[id].clone();
            self.samples.push((labels, t_ms, value.to_bits()));
        }
    }

    fn histogram(&mut self, id: u32, t_ms: i64, histogram: &Histogram) {
        let labels = self.series[&id].clone();
        let Histogram::Integer(found) = histogram else {
            panic!("{histogram:?}");
        };
        assert_eq!(found.zero_count, found.count);
        self.samples.push((labels, t_ms, found.count));
    }

    fn exemplar(&mut self, id: u32, exemplar: &Exemplar) {
        let labels = self.series[&id].clone();
        self.exemplars.push((labels, exemplar.clone()));
    }

    fn metadata(&mut self, name: &str, metadata: &MetricMetadata) {
        self.metadata.push((name.to_owned(), metadata.clone()));
    }

    fn lost(&mut self, samples: u64) {
        self.lost += samples;
    }
}

fn on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn options(chance: &mut Chance) -> StoreOptions {
    let mut options = StoreOptions::new("/tail");
    options.shards = 1 << chance.below(3);
    options.wal_sync = SyncPolicy::Never;
    options.wal_segment_bytes = 256 << chance.below(4);
    options.block_range_ms = RANGE_MS;
    options.max_exemplars = 10;
    options
}

fn histogram(count: u64) -> Histogram {
    Histogram::Integer(IntegerHistogram {
        count,
        zero_count: count,
        ..IntegerHistogram::default()
    })
}

/// Writes one transaction of a few series, some of them new; returns what it holds.
fn write(store: &MetricStore, chance: &mut Chance, now_ms: i64) -> Vec<Sample> {
    let mut appender = store.appender();
    let mut written: Vec<Sample> = Vec::new();
    for _ in 0..=chance.below(6) {
        // Names come and go with the time, and some come back.
        let era = now_ms / 700 % 7;
        let n = era * 10 + chance.below(8) as i64;
        let labels = Labels::from_pairs([("__name__", format!("m{n}")), ("x", "y".to_owned())]);
        let pairs: Vec<_> = labels.iter().collect();
        let text = format!("{pairs:?}");
        if written.iter().any(|(labels, ..)| *labels == text) {
            continue;
        }
        let series = appender.series(&labels).unwrap();
        if chance.below(5) == 0 {
            let count = chance.below(1000);
            let histogram = histogram(count);
            if appender
                .append_histogram(series, now_ms, &histogram)
                .is_ok()
            {
                written.push((text, now_ms, count));
            }
            continue;
        }
        let value = chance.below(1000) as f64 / 10.0;
        if appender.append(series, now_ms, value).is_ok() {
            written.push((text, now_ms, value.to_bits()));
        }
    }
    appender.commit().unwrap();
    written
}

/// Does one of the things that happen to a store beside being written to.
fn keep_going(store: &MetricStore, chance: &mut Chance) {
    match chance.below(8) {
        0 | 1 => {
            store.compact(&Retention::default(), &mut on).unwrap();
        }
        2 | 3 => {
            store.snapshot_head().unwrap();
        }
        _ => {}
    }
}

fn count<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> BTreeMap<&'a Sample, usize> {
    let mut counts = BTreeMap::new();
    for sample in samples {
        *counts.entry(sample).or_default() += 1;
    }
    counts
}

#[test]
fn what_a_tail_hands_out_is_what_was_stored_in_order_over_kills() {
    for seed in 0..10 {
        let mut chance = Chance(seed);
        let options = options(&mut chance);
        let dir = MemoryDir::new("/tail");
        let open = || {
            let (store, recovery) = MetricStore::open_in(&dir, &options).unwrap();
            assert_eq!(recovery.damages, []);
            Arc::new(store)
        };
        let mut store = open();
        let mut now_ms = 0;
        // Before the tail begins; not its business.
        for _ in 0..chance.below(20) {
            now_ms += 50;
            write(&store, &mut chance, now_ms);
        }
        let mut tail = LogTail::open(&store, "far").unwrap();
        let mut sink = Recorder::default();
        let mut stored = Vec::new();
        // Pieces that were marked and are not done.
        let mut pieces: Vec<(TailMark, Vec<Sample>)> = Vec::new();
        let mut received: Vec<Sample> = Vec::new();
        let outage = chance.below(2) == 0;
        for step in 0..600 {
            now_ms += 20 + chance.below(60) as i64;
            stored.extend(write(&store, &mut chance, now_ms));
            keep_going(&store, &mut chance);
            if outage && (100..400).contains(&step) {
                continue;
            }
            if chance.below(3) == 0 {
                let stop = tail.read(1 + chance.below(60) as usize, &mut sink).unwrap();
                assert!(!matches!(stop, TailStop::Mark(_)), "seed {seed}: {stop:?}");
                let (mark, written) = tail.mark(step);
                written.unwrap();
                pieces.push((mark, std::mem::take(&mut sink.samples)));
            }
            if chance.below(4) == 0 && !pieces.is_empty() {
                let n = 1 + chance.below(pieces.len() as u64) as usize;
                tail.done(&pieces[n - 1].0).unwrap();
                let done = pieces.drain(..n).flat_map(|(_, samples)| samples);
                received.extend(done);
            }
            if chance.below(50) == 0 {
                sink.series.clear();
                tail.forget();
            }
            if chance.below(60) == 0 {
                drop(tail);
                drop(store);
                store = open();
                tail = LogTail::open(&store, "far").unwrap();
                sink = Recorder::default();
                for (mark, samples) in &mut pieces {
                    let stop = tail.read(1, &mut sink).unwrap();
                    assert!(matches!(stop, TailStop::Mark(_)), "seed {seed}: {stop:?}");
                    assert_eq!(count(&sink.samples), count(&*samples), "seed {seed}");
                    sink.samples.clear();
                    let (again, written) = tail.mark(0);
                    written.unwrap();
                    assert_eq!(again, *mark);
                }
            }
        }
        received.extend(pieces.into_iter().flat_map(|(_, samples)| samples));
        let stop = tail.read(usize::MAX, &mut sink).unwrap();
        assert_eq!((stop, tail.has_more()), (TailStop::End, false));
        assert_eq!(tail.backlog_bytes(), 0);
        assert_eq!(sink.lost, 0, "seed {seed}");
        received.append(&mut sink.samples);
        assert_eq!(count(&received), count(&stored), "seed {seed}");
        let mut newest: HashMap<&str, i64> = HashMap::new();
        for (labels, t_ms, _) in &received {
            let before = newest.insert(labels, *t_ms);
            assert!(
                before.is_none_or(|before| before < *t_ms),
                "seed {seed}: order"
            );
        }
        assert_eq!(tail.take_damages(), []);
    }
}

/// What had happened when the disk had changed so many times.
#[derive(Default)]
struct Ledger {
    stored: Vec<(usize, Vec<Sample>)>,
    done: Vec<(usize, usize)>,
}

#[test]
fn a_crash_at_any_moment_loses_nothing_that_was_acknowledged() {
    for seed in 0..5 {
        let mut chance = Chance(seed ^ 0x5eed);
        let options = options(&mut chance);
        let dir = CrashDir::new("/tail");
        let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
        let store = Arc::new(store);
        let mut tail = LogTail::open(&store, "far").unwrap();
        let first = dir.ops();
        let mut sink = Recorder::default();
        let mut ledger = Ledger::default();
        let mut now_ms = 0;
        for step in 0..150 {
            now_ms += 20 + chance.below(60) as i64;
            let written = write(&store, &mut chance, now_ms);
            ledger.stored.push((dir.ops(), written));
            keep_going(&store, &mut chance);
            if chance.below(4) == 0 {
                tail.read(chance.below(60) as usize, &mut sink).unwrap();
                let (mark, written) = tail.mark(step);
                written.unwrap();
                if chance.below(2) == 0 {
                    // What comes with it may have happened from here on.
                    let received = sink.samples.len();
                    ledger.done.push((dir.ops(), received));
                    tail.done(&mark).unwrap();
                }
            }
        }
        for _ in 0..16 {
            let ops = first + chance.below((dir.ops() - first) as u64) as usize;
            let cut = Cut {
                ops,
                partial_bytes: chance.below(40) as usize,
            };
            let image = dir.image(cut, Loss::Process);
            let (store, recovery) = MetricStore::open_in(&image, &options).unwrap();
            let torn = |damage: &Damage| damage.detail.starts_with("an unfinished commit");
            assert!(recovery.damages.iter().all(torn), "seed {seed}, {cut:?}");
            let mut tail = LogTail::open(&Arc::new(store), "far").unwrap();
            let mut again = Recorder::default();
            while let TailStop::Mark(word) = tail.read(usize::MAX, &mut again).unwrap() {
                tail.mark(word).1.unwrap();
            }
            assert_eq!(again.lost, 0, "seed {seed}, {cut:?}");
            let received = ledger.done.iter().rfind(|(at, _)| *at <= ops);
            let received = received.map_or(0, |&(_, received)| received);
            let have = sink.samples[..received].iter().chain(&again.samples);
            let have = count(have);
            for (at, written) in &ledger.stored {
                for sample in written.iter().filter(|_| *at <= ops) {
                    assert!(
                        have.contains_key(sample),
                        "seed {seed}, {cut:?}: {sample:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_tail_holds_the_log_until_it_is_done_or_ended() {
    let mut options = StoreOptions::new("/tail");
    options.shards = 1;
    options.wal_segment_bytes = 512;
    options.block_range_ms = RANGE_MS;
    let dir = MemoryDir::new("/tail");
    let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
    let store = Arc::new(store);
    let segments = |store: &MetricStore| {
        store.snapshot_head().unwrap();
        store.stats().wal.segments
    };
    let fill = |store: &MetricStore, from: i64| {
        for n in from..from + 300 {
            write(store, &mut Chance(n as u64), n * 40);
            if n % 20 == 0 {
                store.compact(&Retention::default(), &mut on).unwrap();
            }
        }
        store.snapshot_head().unwrap();
    };
    fill(&store, 0);
    let free = segments(&store);
    let mut tail = LogTail::open(&store, "a").unwrap();
    fill(&store, 300);
    let held = segments(&store);
    assert!(held > free + 10, "{held} and {free}");
    assert_eq!(tail.next_ms().unwrap(), Some(300 * 40));
    let mut sink = Recorder::default();
    tail.read(50, &mut sink).unwrap();
    assert!(tail.next_ms().unwrap().unwrap() < 400 * 40);
    assert!(tail.backlog_bytes() > 10_000);
    assert_eq!(tail.read(usize::MAX, &mut sink).unwrap(), TailStop::End);
    assert!(segments(&store) >= held, "read is not done");
    let (mark, _) = tail.mark(0);
    tail.done(&mark).unwrap();
    write(&store, &mut Chance(1), 700 * 40);
    segments(&store);
    let freed = segments(&store);
    assert!(freed <= free + 3, "{freed} and {free}");
    assert!(dir.subdir("cursors").unwrap().files().unwrap().len() <= 2);
    fill(&store, 701);
    assert!(segments(&store) > free + 10);
    drop(tail);
    store.retain_tails(&["b"]).unwrap();
    assert!(segments(&store) <= free + 3);
    store.retain_tails(&[]).unwrap();
    assert_eq!(dir.subdir("cursors").unwrap().files().unwrap(), [""; 0]);
}

#[test]
fn exemplars_and_metadata_come_with_their_series() {
    let mut options = StoreOptions::new("/tail");
    options.max_exemplars = 10;
    let dir = MemoryDir::new("/tail");
    let (store, _) = MetricStore::open_in(&dir, &options).unwrap();
    let store = Arc::new(store);
    let labels = Labels::from_pairs([("__name__", "requests_total")]);
    let exemplar = Exemplar {
        labels: Labels::from_pairs([("trace_id", "abc")]),
        value: 3.5,
        t_ms: 1000,
        timed: true,
    };
    let metadata = MetricMetadata {
        kind: MetricType::Counter,
        help: "Requests.".to_owned(),
        unit: String::new(),
    };
    let mut tail = LogTail::open(&store, "a").unwrap();
    let mut appender = store.appender();
    let series = appender.series(&labels).unwrap();
    appender.append(series, 1000, 1.0).unwrap();
    appender.append_exemplar(series, &exemplar).unwrap();
    appender.set_metadata("requests_total", &metadata);
    appender.commit().unwrap();
    let mut sink = Recorder::default();
    tail.read(usize::MAX, &mut sink).unwrap();
    assert_eq!(sink.samples.len(), 1);
    let text = sink.samples[0].0.clone();
    let (of, found) = &sink.exemplars[0];
    assert_eq!((of, sink.exemplars.len()), (&text, 1));
    assert_eq!(found.labels, exemplar.labels);
    assert_eq!((found.t_ms, found.value), (exemplar.t_ms, exemplar.value));
    assert_eq!(sink.metadata, [("requests_total".to_owned(), metadata)]);
}
