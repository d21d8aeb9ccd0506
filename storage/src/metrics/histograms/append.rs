//! Histograms of a transaction.

use std::sync::atomic::Ordering;

use super::super::appender::{Appender, Bounds, Committed, SeriesRef};
use super::super::shard::{Applied, Checked, NEVER, Shard};
use crate::codec::flat::Flat;
use crate::error::AppendError;
use crate::model::histogram::Histogram;

/// Most buckets of a histogram, so that it fits a frame of the log.
const MAX_BUCKETS: usize = 1 << 16;

/// A histogram that waits for its commit.
#[derive(Debug, Clone)]
pub(in crate::metrics) struct PendingHistogram {
    pub(in crate::metrics) shard: usize,
    pub(in crate::metrics) slot: u32,
    pub(in crate::metrics) born: u32,
    pub(in crate::metrics) t_ms: i64,
    /// It is late already.
    pub(in crate::metrics) is_late: bool,
    pub(in crate::metrics) flat: Flat,
}

impl PendingHistogram {
    /// Returns what the log is told.
    pub(in crate::metrics) fn logged(&self) -> (u32, i64, bool, &Flat) {
        (self.slot, self.t_ms, self.is_late, &self.flat)
    }
}

impl Appender<'_> {
    /// Adds a histogram to the transaction, as [`Appender::append`] does a float. A series
    /// may have both, one at a time. The marker that a series ended may come as a float,
    /// too: behind a histogram it becomes one of histograms.
    ///
    /// # Errors
    /// The histogram is not valid, or not acceptable. The transaction goes on without it.
    pub fn append_histogram(
        &mut self,
        series: SeriesRef,
        t_ms: i64,
        histogram: &Histogram,
    ) -> Result<(), AppendError> {
        // A stale marker is none, so there is nothing to be valid.
        if !histogram.is_stale_marker() {
            histogram.validate()?;
        }
        let flat = Flat::of(histogram)?;
        let found = flat.shape.n_buckets().max(flat.shape.custom_bounds.len());
        if found > MAX_BUCKETS {
            let limit = MAX_BUCKETS;
            return Err(AppendError::TooManyBuckets { found, limit });
        }
        let flat = match flat.is_stale_marker() {
            true => Flat::stale_marker(flat.shape.is_integer),
            false => flat,
        };
        let bounds = self.bounds(t_ms);
        let layout = self.store.layout;
        let (shard, slot) = (layout.shard(series.id()), layout.slot(series.id()));
        let checked = match self.store.shards.get(shard) {
            Some(found) => {
                let mut found = found.lock();
                found.check_histogram(slot, series.born(), t_ms, &flat, &bounds)
            }
            None => Err(AppendError::UnknownSeries),
        };
        let checked = checked.inspect_err(|error| {
            self.count(error, t_ms);
            self.count_histogram(error);
        })?;
        let (born, is_late) = match checked {
            Checked::InOrder(born) => (born, false),
            Checked::Late(born) => {
                let admitted = self.admit_late(t_ms);
                admitted.inspect_err(|error| self.count_histogram(error))?;
                (born, true)
            }
            Checked::Repeated => return Ok(()),
        };
        self.side.histograms.push(PendingHistogram {
            shard,
            slot,
            born,
            t_ms,
            is_late,
            flat,
        });
        Ok(())
    }
}

impl Appender<'_> {
    /// Counts a refused histogram once more among its kind.
    fn count_histogram(&self, error: &AppendError) {
        let counters = &self.store.counters.of_histograms;
        let counter = match error {
            AppendError::OutOfOrder => &counters.out_of_order,
            AppendError::TooOld => &counters.too_old,
            AppendError::OutOfBounds => &counters.out_of_bounds,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Histograms of a transaction on their way into the shards, between its floats.
pub(in crate::metrics) struct Applying<'a> {
    /// In order of shard.
    rest: &'a [PendingHistogram],
    /// Those of the present shard, in order of slot, that are not stored yet.
    waiting: Vec<(u32, Option<&'a PendingHistogram>)>,
    bounds: Bounds,
    /// In order when they were added, and not any more.
    pub(in crate::metrics) turned: Vec<PendingHistogram>,
    pub(in crate::metrics) newest_ms: i64,
    pub(in crate::metrics) oldest_ms: i64,
    pub(in crate::metrics) refused: Refused,
}

/// Histograms that were accepted and are not stored all the same.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::metrics) struct Refused {
    pub(in crate::metrics) out_of_order: u64,
    pub(in crate::metrics) too_old: u64,
    pub(in crate::metrics) duplicate: u64,
}

impl<'a> Applying<'a> {
    /// Begins with histograms in order of shard.
    pub(in crate::metrics) fn new(all: &'a [PendingHistogram], bounds: Bounds) -> Applying<'a> {
        Applying {
            rest: all,
            waiting: Vec::new(),
            bounds,
            turned: Vec::new(),
            newest_ms: NEVER,
            oldest_ms: i64::MAX,
            refused: Refused::default(),
        }
    }

    /// Goes to a shard, which is behind the one before, and tells whether it gets any.
    #[inline]
    pub(in crate::metrics) fn begin(&mut self, shard: usize) -> bool {
        if self.rest.is_empty() {
            return false;
        }
        let n = self.rest.partition_point(|pending| pending.shard <= shard);
        let (of_shard, rest) = self.rest.split_at(n);
        self.rest = rest;
        self.waiting.clear();
        let waiting = of_shard.iter().map(|pending| (pending.slot, Some(pending)));
        self.waiting.extend(waiting);
        // Those of a series stay in their order.
        self.waiting.sort_by_key(|(slot, _)| *slot);
        !self.waiting.is_empty()
    }

    /// Stores what a series has before a float of it, which may be none.
    #[inline]
    pub(in crate::metrics) fn apply_before(
        &mut self,
        slot: u32,
        t_ms: i64,
        shard: &mut Shard,
        epoch: u32,
        committed: &mut Committed,
    ) {
        if !self.waiting.is_empty() {
            self.apply_until(slot, t_ms, shard, epoch, committed);
        }
    }

    fn apply_until(
        &mut self,
        slot: u32,
        t_ms: i64,
        shard: &mut Shard,
        epoch: u32,
        committed: &mut Committed,
    ) {
        let first = self.waiting.partition_point(|(other, _)| *other < slot);
        for at in first..self.waiting.len() {
            match self.waiting[at] {
                (other, _) if other != slot => return,
                (_, Some(pending)) if pending.t_ms < t_ms => {
                    self.waiting[at].1 = None;
                    self.apply(pending, shard, epoch, committed);
                }
                (_, Some(_)) => return,
                (_, None) => {}
            }
        }
    }

    /// Stores what is left for the shard.
    pub(in crate::metrics) fn apply_all(
        &mut self,
        shard: &mut Shard,
        epoch: u32,
        committed: &mut Committed,
    ) {
        for (_, pending) in std::mem::take(&mut self.waiting) {
            if let Some(pending) = pending {
                self.apply(pending, shard, epoch, committed);
            }
        }
    }

    fn apply(
        &mut self,
        pending: &PendingHistogram,
        shard: &mut Shard,
        epoch: u32,
        committed: &mut Committed,
    ) {
        let &PendingHistogram {
            slot, born, t_ms, ..
        } = pending;
        let flat = pending.flat.clone();
        if pending.is_late {
            committed
                .count_late_histogram(shard.apply_late_histogram(slot, born, t_ms, flat, epoch));
            self.oldest_ms = self.oldest_ms.min(t_ms);
            return;
        }
        match shard.apply_histogram(slot, born, t_ms, flat, epoch) {
            Applied::Stored => {
                committed.samples += 1;
                committed.histograms += 1;
                self.newest_ms = self.newest_ms.max(t_ms);
                self.oldest_ms = self.oldest_ms.min(t_ms);
            }
            Applied::Repeated => {}
            Applied::OutOfOrder => match self.bounds.check_late(t_ms) {
                Ok(()) => {
                    self.oldest_ms = self.oldest_ms.min(t_ms);
                    self.turned.push(PendingHistogram {
                        is_late: true,
                        ..pending.clone()
                    });
                }
                Err(AppendError::TooOld) => self.refused.too_old += 1,
                Err(_) => self.refused.out_of_order += 1,
            },
            Applied::Duplicate => self.refused.duplicate += 1,
            Applied::Lost => committed.dropped += 1,
        }
    }
}

impl Committed {
    /// Counts what became of a late histogram.
    pub(in crate::metrics) fn count_late_histogram(&mut self, applied: Applied) {
        match applied {
            Applied::Stored => {
                self.samples += 1;
                self.histograms += 1;
                self.late += 1;
                self.late_histograms += 1;
            }
            Applied::Lost => self.dropped += 1,
            _ => {}
        }
    }
}
