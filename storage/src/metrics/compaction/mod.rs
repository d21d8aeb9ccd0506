//! Keeping the blocks few: merging them, and dropping what is out of retention.

mod merge;
mod plan;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::blocks::Served;
use super::flush::{Flushed, Pace, go_on};
use super::store::MetricStore;
use crate::error::StorageError;
use crate::model::TimeRange;
use plan::Candidate;

/// Ranges of blocks, each in ranges of a block from the head.
pub(super) const LADDER_STEPS: [i64; 3] = [1, 4, 12];

/// Returns the place on the ladder of a block with this range.
pub(super) fn level_of(range: TimeRange, block_range_ms: i64) -> u32 {
    let len_ms = range.end_ms.saturating_sub(range.start_ms);
    let fits = |steps: &&i64| len_ms < block_range_ms.saturating_mul(**steps);
    let wider = LADDER_STEPS.iter().filter(|steps| !fits(steps)).count();
    (wider + 1).min(LADDER_STEPS.len()) as u32
}

/// How much of the past is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Length of history in milliseconds: blocks that end so long before the newest
    /// block go. `None` keeps all.
    pub time_ms: Option<i64>,
    /// Bytes on disk: the oldest blocks go until the rest, with the log and the files
    /// of the head, takes no more. `None` keeps all.
    pub size_bytes: Option<u64>,
}

/// What a call of [`MetricStore::compact`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// Ranges of the head that went to blocks.
    pub flushed: u64,
    /// Blocks of late samples.
    pub late_blocks: u64,
    /// Merges of blocks.
    pub merged: u64,
    /// Blocks dropped because of their age.
    pub dropped_by_time: u64,
    /// Blocks dropped for want of allowed space.
    pub dropped_by_size: u64,
}

impl MetricStore {
    /// Does what is due: moves the oldest ranges of a long head to blocks, drops blocks
    /// out of retention, and merges blocks whose window is complete. Meant to be called
    /// every minute or so; `pace` is called every few milliseconds of work and may wait.
    ///
    /// # Errors
    /// The disk refused ([`StorageError::DiskFull`] where it is full), a block is
    /// damaged, or `pace` broke off ([`StorageError::Stopped`]). What was finished
    /// stays, the rest is as before and can be tried again.
    pub fn compact(
        &self,
        retention: &Retention,
        pace: &mut Pace<'_>,
    ) -> Result<Compacted, StorageError> {
        let _alone = self.maintaining.lock();
        let mut done = Compacted::default();
        let outcome = self.compact_alone(retention, pace, &mut done);
        if outcome
            .as_ref()
            .is_err_and(|error| !matches!(error, StorageError::Stopped))
        {
            let failures = &self.blocks.counters.failures;
            failures.fetch_add(1, Ordering::Relaxed);
        }
        outcome.map(|()| done)
    }

    fn compact_alone(
        &self,
        retention: &Retention,
        pace: &mut Pace<'_>,
        done: &mut Compacted,
    ) -> Result<(), StorageError> {
        self.blocks.set_damaged_aside()?;
        // Space first: a full disk must not keep us from making room.
        self.drop_old_blocks(retention, done)?;
        while self.flush_head(pace)? == Flushed::Done {
            done.flushed += 1;
            self.drop_old_blocks(retention, done)?;
        }
        if done.flushed > 0 {
            done.late_blocks += self.flush_late(pace)?;
        }
        self.settle_flushed()?;
        while self.merge_next(pace)? {
            done.merged += 1;
        }
        Ok(())
    }

    fn merge_next(&self, pace: &mut Pace<'_>) -> Result<bool, StorageError> {
        go_on(pace)?;
        let set = self.blocks.set();
        let range_ms = self.options.block_range_ms;
        let ladder = LADDER_STEPS.map(|steps| range_ms.saturating_mul(steps));
        let sound: Vec<&Arc<Served>> = set.blocks.iter().filter(|b| !b.is_damaged()).collect();
        let candidates: Vec<Candidate> = sound
            .iter()
            .map(|block| Candidate {
                min_t_ms: block.meta().min_t_ms,
                max_t_ms: block.meta().max_t_ms,
                level: block.meta().level,
                len_bytes: block.len_bytes(),
            })
            .collect();
        let Some(merge) = plan::next(&candidates, &ladder, set.head_from_ms) else {
            return Ok(false);
        };
        let old: Vec<Arc<Served>> = merge.blocks.iter().map(|&at| sound[at].clone()).collect();
        let is_last_step = merge.level as usize == ladder.len();
        let new = self.merge_blocks(&old, merge.level, is_last_step, pace)?;
        self.blocks.publish(new, &old, None)?;
        let counters = &self.blocks.counters;
        counters.merges.fetch_add(1, Ordering::Relaxed);
        if merge::any_overlap(&old) {
            counters.overlapping_merges.fetch_add(1, Ordering::Relaxed);
        }
        Ok(true)
    }

    /// Rewrites every block without what was deleted from it.
    ///
    /// # Errors
    /// As [`MetricStore::compact`].
    pub fn clean_tombstones(&self, pace: &mut Pace<'_>) -> Result<(), StorageError> {
        let _alone = self.maintaining.lock();
        self.settle_flushed()?;
        for block in &self.blocks.set().blocks {
            if block.n_tombstones() == 0 || block.is_damaged() {
                continue;
            }
            let old = [Arc::clone(block)];
            let level = block.meta().level;
            let new = self.merge_blocks(&old, level, block.meta().is_cold, pace)?;
            self.blocks.publish(new, &old, None)?;
        }
        Ok(())
    }

    fn drop_old_blocks(
        &self,
        retention: &Retention,
        done: &mut Compacted,
    ) -> Result<(), StorageError> {
        let set = self.blocks.set();
        let end_ms = set.blocks.iter().map(|block| block.meta().max_t_ms).max();
        if let (Some(time_ms), Some(end_ms)) = (retention.time_ms, end_ms) {
            let is_old =
                |block: &&Arc<Served>| end_ms.saturating_sub(block.meta().max_t_ms) >= time_ms;
            let old: Vec<_> = set.blocks.iter().filter(is_old).cloned().collect();
            self.blocks.publish(None, &old, None)?;
            done.dropped_by_time += old.len() as u64;
            let counter = &self.blocks.counters.dropped_by_time;
            counter.fetch_add(old.len() as u64, Ordering::Relaxed);
        }
        if let Some(size_bytes) = retention.size_bytes {
            let set = self.blocks.set();
            let mut newest_first: Vec<&Arc<Served>> = set.blocks.iter().collect();
            newest_first.sort_by_key(|block| std::cmp::Reverse(block.meta().max_t_ms));
            let mut taken = self.head_disk_bytes()?;
            let mut old = Vec::new();
            for block in newest_first {
                taken = taken.saturating_add(block.len_bytes());
                if taken > size_bytes {
                    old.push(Arc::clone(block));
                }
            }
            self.blocks.publish(None, &old, None)?;
            done.dropped_by_size += old.len() as u64;
            let counter = &self.blocks.counters.dropped_by_size;
            counter.fetch_add(old.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}
