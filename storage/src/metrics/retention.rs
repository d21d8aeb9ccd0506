//! Dropping what is older than anybody wants.
//!
//! A series goes in two steps, because a transaction may have found it and be about to
//! append to it: it is marked when it has no sample left, and removed when every
//! transaction that was open at that moment has ended and no later one has touched it.

use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use roaring::RoaringBitmap;

use super::deletion::NotedAfter;
use super::store::{Capture, MetricStore};
use crate::error::StorageError;
use crate::index::Row;
use crate::model::TimeRange;

/// Series that are removed under one lock of the index.
const SLICE_SLOTS: usize = 2048;

impl MetricStore {
    /// Drops what the head has before `t_ms`, late samples included, and series without
    /// any sample. Samples before `t_ms` are out of bounds from now on. Chunks go in groups
    /// of a few hundred kilobytes, so the memory of some may come back only later. Their
    /// files and the log go with the next
    /// [`snapshot_head`](MetricStore::snapshot_head).
    ///
    /// # Errors
    /// The disk refused to take what tails may need of series that went.
    pub fn truncate_before(&self, t_ms: i64) -> Result<(), StorageError> {
        let alone = self.truncating.lock();
        let gone = TimeRange::new(i64::MIN, t_ms.saturating_sub(1));
        let _noted = NotedAfter(&self.versions, gone);
        // First: what was deleted of chunks that reach beyond it is not known afterwards.
        self.blocks.publish(None, &[], Some(t_ms))?;
        for shard in &self.shards {
            shard.lock().forget_late_before(t_ms);
        }
        self.truncate_head(&alone, t_ms)
    }

    /// As [`MetricStore::truncate_before`], but keeps late samples: those before `t_ms` may
    /// be in no block yet.
    pub(super) fn truncate_head(
        &self,
        _alone: &MutexGuard<'_, ()>,
        t_ms: i64,
    ) -> Result<(), StorageError> {
        let mut capture = self.capture.lock();
        self.kept_from_ms.fetch_max(t_ms, Ordering::Relaxed);
        let mut dead = self.remove_doomed(&mut capture);
        for shard in &self.shards {
            self.head.note_dropped(shard.lock().truncate_before(t_ms));
            MutexGuard::bump(&mut capture);
        }
        // Those that were marked before wait as long as those that were marked now: one
        // that lost its mark may have got it again.
        capture.doomed_below = Some(self.active().0);
        dead |= self.remove_doomed(&mut capture);
        drop(capture);
        if !dead.is_empty() {
            self.counters.truncations.fetch_add(1, Ordering::Relaxed);
        }
        self.keep_back(&dead);
        self.tails.removed.flush()?;
        Ok(())
    }

    /// Removes the marked series, unless a transaction from before the mark is open.
    /// Readers and writers get their turn between slices.
    fn remove_doomed(&self, capture: &mut MutexGuard<'_, Capture>) -> RoaringBitmap {
        let mut dead = RoaringBitmap::new();
        let Some(below) = capture.doomed_below else {
            return dead;
        };
        let (_, oldest_open, _) = self.active();
        if oldest_open < below {
            return dead;
        }
        capture.doomed_below = None;
        for (number, shard) in self.shards.iter().enumerate() {
            let slots: Vec<u32> = shard.lock().doomed().collect();
            for slots in slots.chunks(SLICE_SLOTS) {
                dead |= self.remove_slots(number, slots);
                MutexGuard::bump(capture);
            }
        }
        if !dead.is_empty() {
            // Until now they led to slots without a series, and no id is given again
            // before `keep_back`.
            self.aliases.remove_all(&dead);
            self.forget_dead_pairs();
            let removed = &self.counters.series_removed;
            removed.fetch_add(dead.len(), Ordering::Relaxed);
        }
        dead
    }

    /// Numbers the pairs of labels anew when many have no series any more.
    fn forget_dead_pairs(&self) {
        if !self.index.read().has_dead_pairs() {
            return;
        }
        let mut renumbering = self.index.read().begin_renumbering();
        while self.index.read().renumber_slice(&mut renumbering) {}
        self.index.write().adopt(renumbering);
    }

    /// Removes those of the series in some slots of a shard that are still marked.
    fn remove_slots(&self, number: usize, slots: &[u32]) -> RoaringBitmap {
        let removed = &self.tails.removed;
        let seq = removed.is_on().then(|| self.logs[number].lock().end().seq);
        let mut index = self.index.write();
        let mut shard = self.shards[number].lock();
        let mut dead = RoaringBitmap::new();
        for &slot in slots.iter().filter(|&&slot| shard.is_doomed(slot)) {
            dead.insert(self.layout.id(number, slot));
        }
        // While their labels are there.
        self.targets.remove(&dead, &index);
        if let Some(seq) = seq {
            let dictionary = index.dictionary();
            let dictionary = dictionary.read();
            for id in &dead {
                let pairs = index.row(id).into_iter().flat_map(Row::pairs);
                removed.add(id, seq, pairs.map(|pair| dictionary.pair_text(pair)));
            }
        }
        index.remove(&dead);
        for id in &dead {
            shard.remove(self.layout.slot(id));
        }
        dead
    }

    /// Holds back the ids of removed series until nothing names them.
    fn keep_back(&self, dead: &RoaringBitmap) {
        for (number, log) in self.logs.iter().enumerate() {
            let ids = dead.iter().filter(|&id| self.layout.shard(id) == number);
            log.lock().keep_back(self.layout, ids);
        }
    }
}
