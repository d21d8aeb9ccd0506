//! Whole lives of a store: every kind of operation in random order, with restarts and
//! with crashes at random moments, against a plain map of what has to be there.
//!
//! How many lives are lived says [`lives`]; each is cut in `CUTS_PER_LIFE` places.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::*;
use crate::fs::crash::CrashDir;
use crate::fs::lives::{self, Chance};
use crate::model::histogram::{
    CounterResetHint, FloatHistogram, Histogram, IntegerHistogram, Span,
};
use crate::model::{Labels, MatchOp, Matcher, STALE_NAN_BITS, TimeRange, stale_marker};
use crate::{AppendError, StoreOptions, SyncPolicy};

/// Lives in an ordinary test run.
const LIVES: u64 = 24;
/// Crashes that are tried of each.
const CUTS_PER_LIFE: usize = 24;
/// Operations of a life.
const STEPS: usize = 70;
/// Range of a block in milliseconds.
const RANGE_MS: i64 = 1000;
/// Series, of which the first ones have only floats.
const N_SERIES: u64 = 12;
const N_FLOATS: u64 = 8;

/// Samples by series and time: the bits of a float, or a digest of a histogram.
type Content = BTreeMap<Labels, BTreeMap<i64, u64>>;

/// A number for what is in a histogram, whatever its empty buckets are.
fn digest(histogram: &FloatHistogram) -> u64 {
    if histogram.is_stale_marker() {
        return STALE_NAN_BITS;
    }
    let numbers = [histogram.count, histogram.sum, f64::from(histogram.schema)];
    let sides = histogram.positive.iter().chain(histogram.negative.iter());
    let buckets = sides.filter(|(_, count)| *count != 0.0);
    let buckets = buckets.flat_map(|(index, count)| [f64::from(index), count]);
    let bits = numbers.into_iter().chain(buckets).map(f64::to_bits);
    bits.fold(0, |digest: u64, bits| Chance(digest ^ bits).next())
}

/// A store on a recording directory, and what it has to hold.
struct Life {
    chance: Chance,
    options: StoreOptions,
    dir: CrashDir,
    store: Option<MetricStore>,
    now_ms: i64,
    content: Content,
    /// Times of deletions. Nothing is written there any more: late samples that follow
    /// a deletion may be hidden by it, as in Prometheus.
    deleted: Vec<std::ops::RangeInclusive<i64>>,
    /// After how many changes of the disk which content was acknowledged.
    ledger: Vec<(usize, Content)>,
}

fn labels_of(n: u64) -> Labels {
    Labels::from_pairs([("__name__", format!("m{}", n % 3)), ("n", n.to_string())])
}

impl Life {
    fn begin(seed: u64, wal_sync: SyncPolicy) -> Life {
        let mut chance = Chance(seed);
        let mut options = StoreOptions::new("/life");
        options.shards = 1 << chance.below(3);
        options.wal_sync = wal_sync;
        options.wal_segment_bytes = 512 << chance.below(4);
        options.block_range_ms = RANGE_MS;
        options.out_of_order_window_ms = [0, 400, 5000][chance.below(3) as usize];
        let mut life = Life {
            chance,
            options,
            dir: CrashDir::new("/life"),
            store: None,
            now_ms: 0,
            content: Content::new(),
            deleted: Vec::new(),
            ledger: Vec::new(),
        };
        life.open();
        life
    }

    fn open(&mut self) {
        let (store, recovery) = MetricStore::open_in(&self.dir, &self.options).unwrap();
        assert_eq!(recovery.damages, []);
        self.store = Some(store);
    }

    fn store(&self) -> &MetricStore {
        self.store.as_ref().unwrap()
    }

    fn step(&mut self) {
        match self.chance.below(20) {
            0..=11 => self.write(),
            12 | 13 => self.compact(),
            14 | 15 => {
                self.store().snapshot_head().unwrap();
            }
            16 => {
                self.store().flush_pages().unwrap();
            }
            17 => self.delete(),
            18 => self.store().clean_tombstones(&mut on).unwrap(),
            _ => self.restart(),
        }
        self.ledger.push((self.dir.ops(), self.content.clone()));
    }

    fn compact(&mut self) {
        if self.chance.below(6) == 0 {
            let end_ms = self.now_ms - self.chance.below(2500) as i64;
            assert!(self.store().flush_before(end_ms, &mut on).unwrap());
            return;
        }
        let mut turns = match self.chance.below(4) {
            0 => self.chance.below(12),
            _ => u64::MAX,
        };
        let mut pace = || match turns.checked_sub(1) {
            Some(left) => {
                turns = left;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        };
        let outcome = self.store().compact(&Retention::default(), &mut pace);
        assert!(outcome.is_ok() || turns == 0, "{outcome:?}");
    }

    fn write(&mut self) {
        let n_times = 1 + self.chance.below(6);
        for _ in 0..n_times {
            self.now_ms += [5, 20, 90][self.chance.below(3) as usize];
            let mut pending = Vec::new();
            let store = self.store.take().unwrap();
            let mut appender = store.appender();
            // One sample a series: what is accepted is stored, then.
            for n in 0..N_SERIES {
                if self.chance.below(3) == 0 {
                    continue;
                }
                let labels = labels_of(n);
                let t_ms = match self.chance.below(4) {
                    0 => self.now_ms - self.chance.below(6000) as i64,
                    _ => self.now_ms,
                };
                if self.deleted.iter().any(|range| range.contains(&t_ms)) {
                    continue;
                }
                // Where a block has the one kind and the head a late one of the other,
                // readers see the float.
                let is_taken = |samples: &BTreeMap<i64, u64>| samples.contains_key(&t_ms);
                if n >= N_FLOATS && self.content.get(&labels).is_some_and(is_taken) {
                    continue;
                }
                let series = appender.series(&labels).unwrap();
                let (appended, bits) = match n {
                    // The last ones turn from one kind to the other and back.
                    N_FLOATS.. if n < N_SERIES - 2 || self.chance.below(2) == 0 => {
                        let histogram = self.histogram(n);
                        let bits = digest(&histogram.to_float().unwrap());
                        (appender.append_histogram(series, t_ms, &histogram), bits)
                    }
                    _ => {
                        let value = match self.chance.below(8) {
                            0 => stale_marker(),
                            1 => f64::from_bits(self.chance.next()),
                            _ => self.chance.below(1000) as f64 / 10.0,
                        };
                        (appender.append(series, t_ms, value), value.to_bits())
                    }
                };
                match appended {
                    Ok(()) => pending.push((labels, t_ms, bits)),
                    Err(
                        AppendError::OutOfOrder | AppendError::OutOfBounds | AppendError::TooOld,
                    ) => {}
                    Err(error) if error.is_duplicate() => {}
                    Err(error) => panic!("{error}"),
                }
            }
            appender.commit().unwrap();
            self.store = Some(store);
            for (labels, t_ms, bits) in pending {
                let samples = self.content.entry(labels).or_default();
                samples.entry(t_ms).or_insert(bits);
            }
        }
    }

    /// Returns a counter that goes on, one that began anew, or none of both.
    fn histogram(&mut self, n: u64) -> Histogram {
        let count = match self.chance.below(8) {
            0 => self.chance.below(50),
            _ => self.now_ms as u64,
        };
        let offset = self.chance.below(3) as i32;
        let whole = IntegerHistogram {
            schema: (n % 3) as i32,
            count: count + 1,
            sum: self.chance.below(100) as f64,
            positive_spans: vec![Span { offset, length: 2 }],
            positive_deltas: vec![count as i64, 1 - count as i64],
            ..IntegerHistogram::default()
        };
        match self.chance.below(6) {
            0 => Histogram::Float(FloatHistogram {
                counter_reset_hint: CounterResetHint::Gauge,
                ..whole.to_float().unwrap()
            }),
            1 => Histogram::Integer(IntegerHistogram {
                sum: stale_marker(),
                ..IntegerHistogram::default()
            }),
            _ => Histogram::Integer(whole),
        }
    }

    fn delete(&mut self) {
        let name = format!("m{}", self.chance.below(3));
        let start_ms = self.chance.below(self.now_ms as u64 + 1) as i64;
        let range = TimeRange::new(start_ms, start_ms + self.chance.below(1500) as i64);
        let matcher = Matcher::new(MatchOp::Equal, "__name__", &name).unwrap();
        self.store().delete_series(&[vec![matcher]], range).unwrap();
        self.deleted.push(range.start_ms..=range.end_ms);
        for (labels, samples) in &mut self.content {
            if labels.get("__name__") == Some(&name) {
                samples.retain(|&t_ms, _| !(range.start_ms..=range.end_ms).contains(&t_ms));
            }
        }
    }

    fn restart(&mut self) {
        let store = self.store.take().unwrap();
        match self.chance.below(2) {
            0 => store.close().unwrap(),
            _ => drop(store),
        }
        self.open();
    }

    fn check(&self) {
        assert_eq!(read(self.store()), without_empty(&self.content));
    }
}

fn on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn without_empty(content: &Content) -> Content {
    let mut content = content.clone();
    content.retain(|_, samples| !samples.is_empty());
    content
}

fn read(store: &MetricStore) -> Content {
    let selection = store.select(&[], TimeRange::ALL).unwrap();
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    let mut content = Content::new();
    for index in 0..selection.len() {
        selection.read(index, &mut timestamps, &mut values).unwrap();
        assert!(timestamps.is_sorted_by(|one, next| one < next));
        let bits = values.iter().map(|value| value.to_bits());
        let mut samples: BTreeMap<i64, u64> = timestamps.iter().copied().zip(bits).collect();
        let mut histograms = Vec::new();
        let read = selection.read_histograms(index, &timestamps, &mut histograms);
        read.unwrap();
        assert!(histograms.is_sorted_by(|one, next| one.t_ms < next.t_ms));
        for sample in histograms {
            let before = samples.insert(sample.t_ms, digest(&sample.histogram));
            assert_eq!(before, None, "a float and a histogram at one time");
        }
        if !samples.is_empty() {
            let before = content.insert(selection.labels(index), samples);
            assert_eq!(before, None, "a series comes once");
        }
    }
    content
}

/// Checks what a crash left: all that had been acknowledged, and nothing but what was
/// being done besides.
fn check_crash(found: &Content, before: &Content, after: &Content) {
    let has = |content: &Content, labels: &Labels, t_ms: i64, bits: u64| {
        let samples = content.get(labels);
        samples.is_some_and(|samples| samples.get(&t_ms) == Some(&bits))
    };
    for (labels, samples) in found {
        for (&t_ms, &bits) in samples {
            let known = [before, after];
            let known = known.iter().any(|content| has(content, labels, t_ms, bits));
            assert!(known, "{labels:?} at {t_ms} was never there");
        }
    }
    for (labels, samples) in before {
        for (&t_ms, &bits) in samples {
            if has(after, labels, t_ms, bits) {
                assert!(
                    has(found, labels, t_ms, bits),
                    "{labels:?} at {t_ms} is lost"
                );
            }
        }
    }
}

fn live(seed: u64) {
    let (wal_sync, losses) = lives::losses(seed);
    let mut life = Life::begin(seed, wal_sync);
    let begun = life.dir.ops();
    life.ledger.push((begun, Content::new()));
    for _ in 0..STEPS {
        life.step();
        life.check();
    }
    life.store = None;
    for turn in 0..CUTS_PER_LIFE {
        let cut = lives::cut(&mut life.chance, &life.dir, begun);
        let loss = losses[turn % 2];
        let image = life.dir.image(cut, loss);
        let (store, _) = MetricStore::open_in(&image, &life.options)
            .unwrap_or_else(|error| panic!("{cut:?} {loss:?}: {error}"));
        let (before, after) = lives::around(&life.ledger, cut);
        check_crash(&read(&store), before, after);
        // It goes on as if nothing had happened.
        let found = read(&store);
        store.compact(&Retention::default(), &mut on).unwrap();
        store.snapshot_head().unwrap();
        assert_eq!(read(&store), found);
        drop(store);
        let (store, _) = MetricStore::open_in(&image, &life.options).unwrap();
        assert_eq!(read(&store), found);
    }
}

/// Process kills and power losses, torn and unsynced writes.
#[test]
fn lives_end_anywhere_and_lose_nothing_acknowledged() {
    lives::live_all(LIVES, live);
}
