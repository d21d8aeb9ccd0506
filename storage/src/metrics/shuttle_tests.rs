//! Threads that write, read and maintain one store, under schedules that shuttle picks:
//! by chance, and by chance with few changes of thread (PCT).
//!
//! `KYMO_SHUTTLE_SCHEDULES` sets how many of each a test tries. A failure prints its
//! schedule and its seed; `SHUTTLE_RANDOM_SEED` tries that one again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

use super::*;
use crate::fs::Dir;
use crate::fs::crash::{CrashDir, Cut, Loss};
use crate::fs::memory::MemoryDir;
use crate::model::histogram::{FloatHistogram, Histogram};
use crate::model::{Labels, MatchOp, Matcher, TimeRange};
use crate::sync::thread;
use crate::{AppendError, StoreOptions, SyncPolicy};

mod blocks;
mod crash;
mod deletion;
mod head;
mod removal;

/// Schedules of each kind in an ordinary run.
const SCHEDULES: usize = 100;
/// Changes of thread that PCT makes beyond the needed ones.
const PCT_DEPTH: usize = 3;
/// The store has large frames in a debug build.
const STACK_BYTES: usize = 1 << 21;
/// Range of a block in milliseconds.
const RANGE_MS: i64 = 100;

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("KYMO_SHUTTLE_SCHEDULES");
    let schedules = schedules.map_or(SCHEDULES, |n| n.parse().expect("KYMO_SHUTTLE_SCHEDULES"));
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    let scenario = Arc::new(scenario);
    let again = Arc::clone(&scenario);
    Runner::new(RandomScheduler::new(schedules), config.clone()).run(move || again());
    Runner::new(PctScheduler::new(PCT_DEPTH, schedules), config).run(move || scenario());
}

fn on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn options() -> StoreOptions {
    let mut options = StoreOptions::new("/store");
    options.shards = 2;
    options.wal_sync = SyncPolicy::Never;
    options.wal_segment_bytes = 512;
    options.block_range_ms = RANGE_MS;
    options
}

/// Labels of a series; there are two metrics.
fn labels_of(series: u32) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("m{}", series % 2)),
        ("n", series.to_string()),
    ])
}

fn named(name: &str) -> Vec<Matcher> {
    vec![Matcher::new(MatchOp::Equal, "__name__", name).unwrap()]
}

/// A histogram that is told by its sum.
fn histogram(value: f64) -> Histogram {
    Histogram::Float(FloatHistogram {
        sum: value,
        ..FloatHistogram::default()
    })
}

/// Samples: series, time, bits of the value or of a histogram's sum.
type Samples = BTreeSet<(u32, i64, u64)>;

/// A store, and what was written to it.
struct World<D> {
    dir: D,
    options: StoreOptions,
    store: MetricStore,
    ledger: Mutex<Ledger>,
}

/// Never held while a lock of the store is waited for, so shuttle need not know of it.
#[derive(Default)]
struct Ledger {
    /// By number of the transaction, from the moment its commit begins.
    offered: Vec<Samples>,
    /// Transactions that returned.
    committed: BTreeSet<usize>,
}

impl World<MemoryDir> {
    fn new(options: StoreOptions) -> World<MemoryDir> {
        World::on(MemoryDir::new("/store"), options)
    }
}

impl<D: Dir> World<D> {
    fn on(dir: D, options: StoreOptions) -> World<D> {
        let (store, recovery) = MetricStore::open_in(&dir, &options).unwrap();
        assert_eq!(recovery.damages, []);
        World {
            dir,
            options,
            store,
            ledger: Mutex::default(),
        }
    }

    /// Writes samples (series, time) in one transaction; those out of bounds are left
    /// out. Returns its number.
    fn write(&self, samples: &[(u32, i64)]) -> usize {
        let mut appender = self.store.appender();
        let mut accepted = Vec::new();
        for &(n, t_ms) in samples {
            let series = appender.series(&labels_of(n)).unwrap();
            // A value tells a sample from those of other series.
            let value = f64::from(n) * 1e6 + t_ms as f64;
            // Every fourth series has histograms, another one both in turn.
            let appended = match n % 4 {
                2 => appender.append_histogram(series, t_ms, &histogram(value)),
                3 if t_ms % 20 == 0 => appender.append_histogram(series, t_ms, &histogram(value)),
                _ => appender.append(series, t_ms, value),
            };
            match appended {
                Ok(()) => accepted.push((n, t_ms, value.to_bits())),
                Err(AppendError::OutOfBounds | AppendError::OutOfOrder | AppendError::TooOld) => {}
                Err(error) => panic!("series {n} at {t_ms}: {error}"),
            }
        }
        self.commit(appender, accepted)
    }

    fn commit(&self, appender: Appender<'_>, samples: Vec<(u32, i64, u64)>) -> usize {
        let n_samples = samples.len() as u64;
        let number = {
            let mut ledger = self.ledger.lock().unwrap();
            ledger.offered.push(samples.into_iter().collect());
            ledger.offered.len() - 1
        };
        let done = appender.commit().unwrap();
        assert_eq!((done.samples, done.dropped), (n_samples, 0));
        self.ledger.lock().unwrap().committed.insert(number);
        number
    }

    /// Returns what must be there: samples of transactions that returned.
    fn committed(&self) -> Samples {
        let ledger = self.ledger.lock().unwrap();
        let committed = ledger.committed.iter();
        committed
            .flat_map(|&number| ledger.offered[number].clone())
            .collect()
    }

    fn offered(&self) -> Vec<Samples> {
        self.ledger.lock().unwrap().offered.clone()
    }

    /// Reads all, and checks that it has whole transactions and all that returned.
    fn check(&self) {
        let committed = self.committed();
        let selection = self.store.select(&[], TimeRange::ALL).unwrap();
        let offered = self.offered();
        // Reading takes no part of the store that changes.
        let seen = samples_of(&selection);
        let lost: Vec<_> = committed.difference(&seen).collect();
        assert!(lost.is_empty(), "committed and not seen: {lost:?}");
        let known: Samples = offered.iter().flatten().copied().collect();
        let invented: Vec<_> = seen.difference(&known).collect();
        assert!(invented.is_empty(), "seen and never written: {invented:?}");
        for transaction in &offered {
            let n_seen = transaction.intersection(&seen).count();
            let whole = n_seen == 0 || n_seen == transaction.len();
            assert!(whole, "{n_seen} of {transaction:?} were seen");
        }
    }

    /// Looks at the newest samples only.
    fn check_newest(&self) {
        let committed = self.committed();
        let selection = self.store.select_newest(&[], TimeRange::ALL).unwrap();
        let seen = samples_of(&selection);
        for &(n, t_ms, _) in &committed {
            let newest = seen
                .iter()
                .filter(|(series, ..)| *series == n)
                .map(|s| s.1)
                .max();
            assert!(
                newest >= Some(t_ms),
                "series {n}: {newest:?} is not {t_ms} or later"
            );
        }
    }

    /// Ends the store and opens it again: everything is still there.
    fn reopen(self) -> World<D> {
        self.check();
        let World {
            dir,
            options,
            store,
            ledger,
        } = self;
        let before = content(&store);
        drop(store);
        let (store, recovery) = MetricStore::open_in(&dir, &options).unwrap();
        assert_eq!(recovery.damages, []);
        assert_eq!(content(&store), before);
        World {
            dir,
            options,
            store,
            ledger,
        }
    }
}

/// Reads a selection, in which each series and each time comes once.
fn samples_of(selection: &Selection) -> Samples {
    let mut samples = Samples::new();
    let mut known = BTreeSet::new();
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    for index in 0..selection.len() {
        selection.read(index, &mut timestamps, &mut values).unwrap();
        let labels = selection.labels(index);
        let n: u32 = labels.get("n").unwrap().parse().unwrap();
        assert_eq!(labels, labels_of(n));
        assert!(known.insert(n), "series {n} comes twice");
        let in_order = timestamps.is_sorted_by(|one, next| one < next);
        assert!(in_order, "series {n}: {timestamps:?}");
        let bits = values.iter().map(|value| value.to_bits());
        samples.extend(
            timestamps
                .iter()
                .zip(bits)
                .map(|(&t_ms, bits)| (n, t_ms, bits)),
        );
        let mut histograms = Vec::new();
        let read = selection.read_histograms(index, &timestamps, &mut histograms);
        read.unwrap();
        assert!(histograms.is_sorted_by(|one, next| one.t_ms < next.t_ms));
        let sums = histograms.iter();
        samples.extend(sums.map(|s| (n, s.t_ms, s.histogram.sum.to_bits())));
    }
    samples
}

fn content(store: &MetricStore) -> Samples {
    samples_of(&store.select(&[], TimeRange::ALL).unwrap())
}
