//! The exemplars of a store: the ring, its locks and its place in log and snapshot.
//!
//! Exemplars are part of transactions. They are checked when they are appended,
//! logged behind the samples, and checked again when they go into the ring, because
//! other transactions may have come first. They outlive their series: the ring has
//! the labels. It is replayed from the logs of all shards, whose exemplars are put in
//! the order of their numbers; one that is in the ring already changes nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

pub use super::ring::SeriesExemplars;
use super::ring::{Added, Ring};
use super::stats::ExemplarStats;
use super::store::MetricStore;
use crate::codec::{CodecError, varint};
use crate::error::AppendError;
use crate::model::{Exemplar, Labels, Matcher, TimeRange};
use crate::options::StoreOptions;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Exemplars {
    ring: RwLock<Ring>,
    /// Number of the next exemplar that is logged.
    next: AtomicU64,
    appended: AtomicU64,
    out_of_order: AtomicU64,
    long_labels: AtomicU64,
}

/// An exemplar that waits for its commit.
#[derive(Debug, Clone)]
pub(super) struct PendingExemplar {
    pub(super) shard: usize,
    pub(super) slot: u32,
    pub(super) labels: Labels,
    pub(super) exemplar: Exemplar,
}

impl Exemplars {
    /// Makes the exemplars of an empty store.
    pub(super) fn new(options: &StoreOptions) -> Exemplars {
        Exemplars {
            ring: RwLock::new(Ring::new(
                options.max_exemplars,
                options.out_of_order_window_ms,
            )),
            ..Exemplars::default()
        }
    }

    /// Tells whether exemplars are kept at all.
    pub(super) fn is_on(&self) -> bool {
        self.ring.read().max() > 0
    }

    /// Takes exemplars that are late by less than this, see [`Ring::set_window_ms`].
    pub(super) fn set_window_ms(&self, window_ms: i64) {
        self.ring.write().set_window_ms(window_ms);
    }

    /// Tells whether an exemplar is new; one that is there already is not.
    pub(super) fn check(&self, labels: &Labels, exemplar: &Exemplar) -> Result<bool, AppendError> {
        if !exemplar.has_short_labels() {
            self.long_labels.fetch_add(1, Ordering::Relaxed);
            return Err(AppendError::ExemplarLabels);
        }
        let checked = self.ring.read().check(labels, exemplar);
        if checked == Added::OutOfOrder {
            self.out_of_order.fetch_add(1, Ordering::Relaxed);
            return Err(AppendError::OutOfOrderExemplar);
        }
        Ok(checked == Added::Stored)
    }

    /// Returns the first of `n` numbers, which are then used.
    pub(super) fn number(&self, n: usize) -> u64 {
        self.next.fetch_add(n as u64, Ordering::Relaxed)
    }

    /// Stores the exemplars of a transaction.
    pub(super) fn apply(&self, pending: &[PendingExemplar]) {
        let (mut stored, mut out_of_order) = (0, 0);
        {
            let mut ring = self.ring.write();
            for pending in pending {
                match ring.add(&pending.labels, &pending.exemplar) {
                    Added::Stored => stored += 1,
                    Added::Repeated => {}
                    Added::OutOfOrder => out_of_order += 1,
                }
            }
        }
        self.appended.fetch_add(stored, Ordering::Relaxed);
        self.out_of_order.fetch_add(out_of_order, Ordering::Relaxed);
    }

    /// Returns figures.
    pub(super) fn stats(&self) -> ExemplarStats {
        let ring = self.ring.read();
        ExemplarStats {
            appended_total: self.appended.load(Ordering::Relaxed),
            out_of_order_total: self.out_of_order.load(Ordering::Relaxed),
            long_labels_total: self.long_labels.load(Ordering::Relaxed),
            exemplars: ring.len() as u64,
            series: ring.n_series() as u64,
            max_exemplars: ring.max() as u64,
            first_time_ms: ring.first_ms(),
            memory_bytes: ring.memory_bytes() as u64,
        }
    }

    /// Returns everything as bytes, for a snapshot; see `docs/formats/exemplars.md`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let ring = self.ring.read();
        let mut out = Vec::new();
        varint::write_u64(&mut out, self.next.load(Ordering::Relaxed));
        ring.encode(&mut out);
        out
    }

    /// Reads what [`Exemplars::encode`] wrote, within the limits of `options`.
    ///
    /// # Errors
    /// The bytes are none that it wrote.
    pub(super) fn decode(
        mut bytes: &[u8],
        options: &StoreOptions,
    ) -> Result<Exemplars, CodecError> {
        let exemplars = Exemplars::new(options);
        let next = varint::read_u64(&mut bytes)?;
        exemplars.next.store(next, Ordering::Relaxed);
        exemplars.ring.write().decode(&mut bytes)?;
        if bytes.is_empty() {
            Ok(exemplars)
        } else {
            Err(CodecError::Invalid("end of the exemplars"))
        }
    }
}

/// Exemplars found in logs, in the order of their numbers: the last ones, as many as
/// are kept.
#[derive(Debug)]
pub(super) struct ReplayedExemplars {
    max: usize,
    next: u64,
    found: BTreeMap<u64, (Labels, Exemplar)>,
}

impl ReplayedExemplars {
    /// Begins with nothing; at most `max` are kept.
    pub(super) fn new(max: usize) -> ReplayedExemplars {
        ReplayedExemplars {
            max,
            next: 0,
            found: BTreeMap::new(),
        }
    }

    /// Takes a logged exemplar.
    pub(super) fn push(&mut self, number: u64, labels: &Labels, exemplar: &Exemplar) {
        self.next = self.next.max(number.saturating_add(1));
        if self.max == 0 {
            return;
        }
        self.found
            .insert(number, (labels.clone(), exemplar.clone()));
        if self.found.len() > self.max {
            self.found.pop_first();
        }
    }

    /// Stores what was found. What is there already stays as it is.
    pub(super) fn finish(self, exemplars: &Exemplars) {
        exemplars.next.fetch_max(self.next, Ordering::Relaxed);
        let mut ring = exemplars.ring.write();
        for (labels, exemplar) in self.found.values() {
            ring.add(labels, exemplar);
        }
    }
}

impl MetricStore {
    /// Tells whether exemplars are kept at all, so that nobody reads them in vain.
    pub fn keeps_exemplars(&self) -> bool {
        self.exemplars.is_on()
    }

    /// Keeps at most `max` exemplars from now on, those that came last; 0 keeps none.
    pub fn set_max_exemplars(&self, max: usize) {
        self.exemplars.ring.write().set_max(max);
    }

    /// Returns the exemplars in `range` of the series that satisfy all matchers of any
    /// set, in order of labels; those of a series in order of time.
    pub fn exemplars(&self, sets: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        self.exemplars.ring.read().select(sets, range)
    }
}
