//! The log of one shard: which series it has defined, and which ids it may still name.
//!
//! A series is defined in the log by the first transaction that writes a sample of
//! it, whoever created it; a snapshot says which ones were defined before it. An id
//! whose series was removed is kept back until every segment that could hold samples
//! under that id is gone, and with it every snapshot that has the series.

use std::sync::Arc;

use parking_lot::RwLock;
use smallvec::SmallVec;

use super::appender::Pending;
use super::side::Side;
use super::store::Layout;
use crate::fs::Dir;
use crate::index::{Index, Row};
use crate::model::TimeRange;
use crate::wal::{Entry, PendingSync, Position, Replayed, Start, Wal, WalError, WalOptions};

/// A set of slots, one bit each.
#[derive(Debug, Clone, Default)]
pub(super) struct SlotSet(Vec<u64>);

impl SlotSet {
    /// Adds a slot and tells whether it is new.
    #[inline]
    pub(super) fn insert(&mut self, slot: u32) -> bool {
        let (word, bit) = (slot as usize / 64, 1u64 << (slot % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    /// Removes a slot.
    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(word) = self.0.get_mut(slot as usize / 64) {
            *word &= !(1 << (slot % 64));
        }
    }

    /// Tells whether a slot is in the set.
    pub(super) fn contains(&self, slot: u32) -> bool {
        let word = self.0.get(slot as usize / 64);
        word.is_some_and(|word| word & 1 << (slot % 64) != 0)
    }
}

/// One log and what the store must remember about it.
#[derive(Debug)]
pub(super) struct ShardLog {
    wal: Wal,
    /// The log, or a snapshot of what was in it, defines the series of these slots.
    defined: SlotSet,
    /// Slots that the transaction being written defines.
    fresh: Vec<u32>,
    /// Removed ids, with the segment that was current when they were removed.
    kept_back: Vec<(u64, u32)>,
    /// The first segment that a restart may need; older ones are only read by tails.
    needed_from: u64,
    writes: LogCounts,
}

/// A commit in a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    /// Its number.
    pub(super) commit: u64,
    /// Where it ends.
    pub(super) end: Position,
}

/// Figures of a log that it does not count itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogCounts {
    pub(super) syncs: u64,
    pub(super) failures: u64,
    pub(super) truncations: u64,
}

impl ShardLog {
    /// Opens the log of a shard and replays it into `apply`. Segments from `held_from` on
    /// stay for whoever reads them.
    pub(super) fn open(
        dir: Arc<dyn Dir>,
        options: WalOptions,
        start: Start,
        held_from: Option<u64>,
        apply: &mut dyn FnMut(Entry<'_>),
    ) -> Result<(ShardLog, Replayed), WalError> {
        let needed_from = start.keep;
        let start = Start {
            keep: held_from.map_or(needed_from, |held| held.min(needed_from)),
            ..start
        };
        let (wal, replayed) = Wal::open_from(dir, options, start, apply)?;
        let log = ShardLog {
            wal,
            defined: SlotSet::default(),
            fresh: Vec::new(),
            kept_back: Vec::new(),
            needed_from,
            writes: LogCounts::default(),
        };
        Ok((log, replayed))
    }

    /// Sets which slots the log defines.
    pub(super) fn set_defined(&mut self, defined: SlotSet) {
        self.defined = defined;
    }

    /// Begins a new segment. Returns its number, and which series the ones before it
    /// define.
    pub(super) fn roll(&mut self) -> (u64, SlotSet) {
        self.wal.roll();
        (self.wal.stats().current_seq, self.defined.clone())
    }

    /// Returns the bytes of the segments from `position` on.
    pub(super) fn len_bytes_from(&self, position: u64) -> u64 {
        let segments = self.wal.segments().filter(|s| s.seq >= position);
        segments.map(|s| s.len_bytes).sum()
    }

    /// Removes the segments before `position`, which no restart needs, unless a tail
    /// needs them from `held_from` on.
    pub(super) fn remove_before(
        &mut self,
        position: u64,
        held_from: Option<u64>,
    ) -> Result<(), WalError> {
        let before = self.wal.stats().segments;
        self.needed_from = self.needed_from.max(position);
        self.wal
            .remove_before(held_from.map_or(position, |held| held.min(position)))?;
        self.writes.truncations += u64::from(self.wal.stats().segments < before);
        Ok(())
    }

    /// Writes the part of a transaction that belongs to this shard with one `write`,
    /// and returns which commit of this log that was.
    pub(super) fn write(
        &mut self,
        index: &RwLock<Index>,
        layout: Layout,
        shard: usize,
        pending: &[Pending],
        late: &[Pending],
        side: &Side,
    ) -> Result<Written, WalError> {
        self.fresh.clear();
        // Plain loops: a chained one is slower, and nearly always there is only one.
        for samples in [pending, late] {
            for sample in samples {
                if self.defined.insert(sample.slot) {
                    self.fresh.push(sample.slot);
                }
            }
        }
        let histograms = side.histograms_of(shard).iter();
        let exemplars = side.exemplars_of(shard).map(|(_, slot, _)| slot);
        for slot in histograms.map(|pending| pending.slot).chain(exemplars) {
            if self.defined.insert(slot) {
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
        written.map(|()| Written {
            commit: self.wal.stats().commits,
            end: self.wal.end(),
        })
    }

    /// Returns the end of the log.
    pub(super) fn end(&self) -> Position {
        self.wal.end()
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
            self.defined.remove(slot);
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
            self.defined.remove(layout.slot(id));
            self.kept_back.push((current, id));
        }
    }

    /// Takes the ids that no segment can name any more.
    pub(super) fn released(&mut self) -> Vec<u32> {
        // The current segment counts even if it does not exist yet: it has the number
        // under which ids were kept back.
        let current = self.wal.stats().current_seq;
        let oldest = self.wal.segments().next().map_or(current, |s| s.seq);
        // A tail knows which series had a number when.
        let oldest = oldest.max(self.needed_from.min(current));
        let mut released = Vec::new();
        self.kept_back.retain(|&(seq, id)| {
            if seq < oldest {
                released.push(id);
            }
            seq >= oldest
        });
        released
    }

    /// Returns the figures of the log, and those that the store counts.
    pub(super) fn stats(&self) -> (crate::wal::WalStats, LogCounts) {
        (self.wal.stats(), self.writes)
    }
}
