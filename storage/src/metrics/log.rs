//! The log of one shard: which series it has defined, and which ids it may still name.
//!
//! A series is defined in the log by the first transaction that writes a sample of
//! it, whoever created it. An id whose series was removed is kept back until every
//! segment that could hold samples under that id is gone: a checkpoint defines an id
//! before all segments, so older samples of another series must not follow it.

use std::sync::Arc;

use parking_lot::RwLock;
use smallvec::SmallVec;

use super::appender::Pending;
use super::side::Side;
use super::store::Layout;
use crate::fs::Dir;
use crate::index::{Index, Row};
use crate::model::{Labels, TimeRange};
use crate::wal::{CheckpointDone, Entry, PendingSync, Replayed, Wal, WalError, WalOptions};

/// Series that are copied from the index at a time for a checkpoint.
const CHECKPOINT_BATCH: usize = 1024;

/// One log and what the store must remember about it.
#[derive(Debug)]
pub(super) struct ShardLog {
    wal: Wal,
    /// One bit per slot: the log has a definition of its series.
    defined: Vec<u64>,
    /// Slots that the transaction being written defines.
    fresh: Vec<u32>,
    /// Removed ids, with the segment that was current when they were removed.
    kept_back: Vec<(u64, u32)>,
    /// The newest time in the store when the current segment was first looked at.
    begun: Option<(u64, i64)>,
    writes: LogCounts,
}

/// Figures of a log that it does not count itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogCounts {
    pub(super) syncs: u64,
    pub(super) failures: u64,
    pub(super) truncations: u64,
}

impl ShardLog {
    /// Opens the log of a shard and replays it into `apply`.
    pub(super) fn open(
        dir: Arc<dyn Dir>,
        options: WalOptions,
        apply: &mut dyn FnMut(Entry<'_>),
    ) -> Result<(ShardLog, Replayed), WalError> {
        let (wal, replayed) = Wal::open(dir, options, apply)?;
        let log = ShardLog {
            wal,
            defined: Vec::new(),
            fresh: Vec::new(),
            kept_back: Vec::new(),
            begun: None,
            writes: LogCounts::default(),
        };
        Ok((log, replayed))
    }

    /// Notes that the log defines the series in `slot`; tells whether that is new.
    #[inline]
    pub(super) fn define(&mut self, slot: u32) -> bool {
        let (word, bit) = (slot as usize / 64, 1u64 << (slot % 64));
        if self.defined.len() <= word {
            self.defined.resize(word + 1, 0);
        }
        let new = self.defined[word] & bit == 0;
        self.defined[word] |= bit;
        new
    }

    fn undefine(&mut self, slot: u32) {
        if let Some(word) = self.defined.get_mut(slot as usize / 64) {
            *word &= !(1 << (slot % 64));
        }
    }

    fn is_defined(&self, slot: u32) -> bool {
        let word = self.defined.get(slot as usize / 64);
        word.is_some_and(|word| word & 1 << (slot % 64) != 0)
    }

    /// Writes the part of a transaction that belongs to this shard with one `write`,
    /// and returns the number of the commit in this log.
    pub(super) fn write(
        &mut self,
        index: &RwLock<Index>,
        layout: Layout,
        shard: usize,
        pending: &[Pending],
        late: &[Pending],
        side: &Side,
    ) -> Result<u64, WalError> {
        self.fresh.clear();
        let samples = pending.iter().chain(late).map(|sample| sample.slot);
        let exemplars = side.exemplars_of(shard).map(|(_, slot, _)| slot);
        for slot in samples.chain(exemplars) {
            if self.define(slot) {
                self.fresh.push(slot);
            }
        }
        if !self.fresh.is_empty() {
            let index = index.read();
            let dictionary = index.dictionary();
            let dictionary = dictionary.read();
            for &slot in &self.fresh {
                let pairs = index.row(layout.id(shard, slot)).into_iter();
                let labels = pairs.flat_map(Row::pairs);
                let labels: SmallVec<[(&str, &str); 32]> =
                    labels.map(|pair| dictionary.pair_text(pair)).collect();
                self.wal.series(slot, labels.iter().copied());
            }
        }
        for sample in pending {
            self.wal.float(sample.slot, sample.t_ms, sample.value);
        }
        if !late.is_empty() {
            let late = late.iter();
            self.wal
                .late(late.map(|sample| (sample.slot, sample.t_ms, sample.value)));
        }
        side.log(shard, &mut self.wal);
        let written = self.wal.commit();
        if written.is_err() {
            self.writes.failures += 1;
            self.undefine_fresh();
        }
        written.map(|()| self.wal.stats().commits)
    }

    /// Writes deleted times of series that the log defines, and returns the number of the
    /// commit.
    pub(super) fn write_tombstones(
        &mut self,
        deleted: &[(u32, TimeRange)],
    ) -> Result<u64, WalError> {
        self.fresh.clear();
        self.wal.tombstones(deleted);
        let written = self.wal.commit();
        self.writes.failures += u64::from(written.is_err());
        written.map(|()| self.wal.stats().commits)
    }

    /// Takes a commit back because another log of the same transaction failed. Where a
    /// later commit stands behind it, it has to stay: nobody was told that it
    /// succeeded, but a restart will find it.
    pub(super) fn revert(&mut self, commit: u64) -> Result<(), WalError> {
        if self.wal.stats().commits != commit {
            return Ok(());
        }
        self.wal.revert_last()?;
        self.undefine_fresh();
        Ok(())
    }

    fn undefine_fresh(&mut self) {
        for slot in std::mem::take(&mut self.fresh) {
            self.undefine(slot);
        }
    }

    /// Returns what has to be synced, to be done without holding the log.
    pub(super) fn begin_sync(&mut self) -> Option<PendingSync> {
        let pending = self.wal.begin_sync();
        self.writes.syncs += u64::from(pending.is_some());
        pending
    }

    /// Takes the outcome of a sync.
    pub(super) fn end_sync(
        &mut self,
        outcome: Result<(), crate::fs::FsError>,
    ) -> Result<(), WalError> {
        self.writes.failures += u64::from(outcome.is_err());
        self.wal.end_sync(outcome)
    }

    /// Holds back the ids of removed series.
    pub(super) fn keep_back(&mut self, layout: Layout, ids: impl Iterator<Item = u32>) {
        let current = self.wal.stats().current_seq;
        for id in ids {
            self.undefine(layout.slot(id));
            self.kept_back.push((current, id));
        }
    }

    /// Takes the ids that no segment can name any more.
    pub(super) fn released(&mut self) -> Vec<u32> {
        // The current segment counts even if it does not exist yet: it has the number
        // under which ids were kept back.
        let current = self.wal.stats().current_seq;
        let oldest = self.wal.segments().next().map_or(current, |s| s.seq);
        let mut released = Vec::new();
        self.kept_back.retain(|&(seq, id)| {
            if seq < oldest {
                released.push(id);
            }
            seq >= oldest
        });
        released
    }

    /// Closes the current segment once it covers an eighth of what is kept, so that
    /// a store that writes little can drop segments, too.
    pub(super) fn roll_if_long(&mut self, kept_from_ms: i64, newest_ms: i64) {
        let current = self.wal.stats().current_seq;
        match self.begun {
            Some((seq, begun_ms)) if seq == current => {
                let kept = newest_ms.saturating_sub(kept_from_ms);
                if newest_ms.saturating_sub(begun_ms) > kept / 8 {
                    self.wal.roll();
                    self.begun = None;
                }
            }
            _ => self.begun = Some((current, newest_ms)),
        }
    }

    /// Returns the figures of the log, and those that the store counts.
    pub(super) fn stats(&self) -> (crate::wal::WalStats, LogCounts) {
        (self.wal.stats(), self.writes)
    }
}

/// Drops segments of a log that hold only samples older than `t_ms`, after writing the
/// series that are left into a checkpoint. The log is not held meanwhile.
pub(super) fn truncate(
    log: &parking_lot::Mutex<ShardLog>,
    index: &RwLock<Index>,
    layout: Layout,
    shard: usize,
    t_ms: i64,
) -> Result<(), WalError> {
    let begun = log.lock().wal.begin_truncation(t_ms)?;
    let Some(mut checkpoint) = begun else {
        return Ok(());
    };
    let n_slots = log.lock().defined.len() * 64;
    let mut batch: Vec<(u32, Labels)> = Vec::new();
    for start in (0..n_slots).step_by(CHECKPOINT_BATCH) {
        {
            let log = log.lock();
            let index = index.read();
            let dictionary = index.dictionary();
            let dictionary = dictionary.read();
            for slot in start as u32..(start + CHECKPOINT_BATCH) as u32 {
                let row = index.row(layout.id(shard, slot));
                if let Some(row) = row.filter(|_| log.is_defined(slot)) {
                    let labels = row.pairs().map(|pair| dictionary.pair_text(pair));
                    batch.push((slot, Labels::from_sorted(labels)));
                }
            }
        }
        for (slot, labels) in batch.drain(..) {
            checkpoint.series(slot, labels.iter())?;
        }
    }
    let done: CheckpointDone = checkpoint.finish()?;
    let mut log = log.lock();
    log.writes.truncations += 1;
    log.wal.end_truncation(done)
}
