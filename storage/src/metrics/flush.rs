//! From the head into a block.
//!
//! When the head spans one and a half ranges of a block, its oldest aligned range is
//! written out, series by series in label order, and forgotten by the head. Nothing is
//! held up meanwhile: series are copied a batch at a time, as readers copy them, and
//! readers change over to the block in one step.
//!
//! What is written does not change any more. Samples of transactions that begin from
//! now on are out of bounds before the end of the range, and those that are open
//! already are waited for.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::drain::LateSeries;
use super::samples::Samples;
use super::shard::{NEVER, ReadScratch, Window};
use super::store::MetricStore;
use crate::block::{BlockMeta, BlockOptions, BlockWriter};
use crate::error::StorageError;
use crate::fs::Dir;
use crate::model::TimeRange;

/// Series that are copied and written between two calls of the pace.
const BATCH: usize = 512;

/// Series whose rows are copied under one lock of the index.
const ROWS: u32 = 4096;

/// Called between pieces of work of a few milliseconds at most: it may wait, and break
/// off what is being done, which then leaves nothing behind.
pub type Pace<'a> = dyn FnMut() -> ControlFlow<()> + 'a;

/// How far a flush came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// There is nothing to be written.
    Nothing,
    /// Transactions that may still write to the range are open.
    Waiting,
    /// The range is in a block, or held no samples.
    Done,
}

/// A range that waits for the transactions that may still write to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing {
    end_ms: i64,
    /// Transactions below this number may.
    below: u64,
}

impl MetricStore {
    /// Tells whether the head is so long that [`MetricStore::compact`] would move a range
    /// of it to a block. Costs a look at each shard.
    pub fn flush_is_due(&self) -> bool {
        self.due_range().is_some()
    }

    /// Returns the range of the next block, its end exclusive.
    fn due_range(&self) -> Option<(i64, i64)> {
        let newest_ms = self.newest_ms.load(Ordering::Acquire);
        let oldest_ms = self.head_oldest_ms()?;
        let range_ms = self.options.block_range_ms;
        if newest_ms == NEVER || newest_ms.saturating_sub(oldest_ms) <= range_ms / 2 * 3 {
            return None;
        }
        let aligned_ms = oldest_ms.div_euclid(range_ms) * range_ms;
        let start_ms = aligned_ms.max(self.blocks.set().head_from_ms);
        Some((start_ms, aligned_ms.saturating_add(range_ms)))
    }

    /// Returns a time before which the head has no in-order sample that readers see.
    pub(super) fn head_oldest_ms(&self) -> Option<i64> {
        let oldest_ms = self.oldest_ms()?;
        Some(oldest_ms.max(self.blocks.set().head_from_ms))
    }

    /// Writes the oldest range of the head to a block if the head is long enough.
    pub(super) fn flush_head(&self, pace: &mut Pace<'_>) -> Result<Flushed, StorageError> {
        match self.due_range() {
            Some((start_ms, end_ms)) => self.flush_range(start_ms, end_ms, pace),
            None => Ok(Flushed::Nothing),
        }
    }

    /// Moves what the head has before `end_ms` to blocks, however short the head is then:
    /// for when memory is short. Series without newer samples go. Returns whether it is
    /// done; where not, transactions that are open have to end first, and it is to be
    /// called again.
    ///
    /// # Errors
    /// As [`MetricStore::compact`].
    pub fn flush_before(&self, end_ms: i64, pace: &mut Pace<'_>) -> Result<bool, StorageError> {
        let _alone = self.maintaining.lock();
        let range_ms = self.options.block_range_ms;
        let mut outcome = Flushed::Nothing;
        while let Some(oldest_ms) = self
            .head_oldest_ms()
            .filter(|&oldest_ms| oldest_ms < end_ms && outcome != Flushed::Waiting)
        {
            let aligned_ms = oldest_ms.div_euclid(range_ms) * range_ms;
            let start_ms = aligned_ms.max(self.blocks.set().head_from_ms);
            let until_ms = aligned_ms.saturating_add(range_ms).min(end_ms);
            outcome = self.flush_range(start_ms, until_ms, pace)?;
        }
        self.settle_flushed()?;
        Ok(outcome != Flushed::Waiting)
    }

    /// Makes a restart find the head without what went to blocks. Until then it would
    /// bring that back from the log, also what was deleted from the blocks meanwhile; so
    /// this comes before anything is deleted from blocks, also where a flush failed half
    /// way.
    pub(super) fn settle_flushed(&self) -> Result<(), StorageError> {
        if self.unsettled.load(Ordering::Relaxed) && self.poisoned().is_none() {
            self.snapshot_head()?;
            self.unsettled.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn flush_range(
        &self,
        start_ms: i64,
        end_ms: i64,
        pace: &mut Pace<'_>,
    ) -> Result<Flushed, StorageError> {
        if !self.close_range(end_ms) {
            return Ok(Flushed::Waiting);
        }
        let alone = self.truncating.lock();
        let range = TimeRange::new(start_ms, end_ms - 1);
        let late = self.drain_late(start_ms..end_ms);
        let block = self.write_head_block(&alone, self.blocks.dir(), range, pace)?;
        let block = block.map(|meta| self.blocks.open_new(&meta)).transpose()?;
        self.unsettled.store(true, Ordering::Relaxed);
        self.blocks.publish(block, &[], Some(end_ms))?;
        self.blocks.counters.flushes.fetch_add(1, Ordering::Relaxed);
        // Samples that came late meanwhile may be in the block, too, which is harmless.
        self.forget_late(&late)?;
        self.truncate_head(&alone, end_ms)?;
        self.versions.changed(range);
        Ok(Flushed::Done)
    }

    /// Writes late samples of ranges that went to blocks before to blocks of their own,
    /// one a range, which overlap those that are there.
    pub(super) fn flush_late(&self, pace: &mut Pace<'_>) -> Result<u64, StorageError> {
        let mut n_blocks = 0;
        let head_from_ms = self.blocks.set().head_from_ms;
        let range_ms = self.options.block_range_ms;
        while let Some(times) = self.late_times() {
            let aligned_ms = times.start_ms.div_euclid(range_ms) * range_ms;
            let end_ms = aligned_ms.saturating_add(range_ms);
            if end_ms > head_from_ms {
                break;
            }
            let late = self.drain_late(aligned_ms..end_ms);
            let block =
                self.write_late_block(self.blocks.dir(), &late, aligned_ms..end_ms, pace)?;
            let block = block.map(|meta| self.blocks.open_new(&meta)).transpose()?;
            n_blocks += u64::from(block.is_some());
            self.unsettled.store(true, Ordering::Relaxed);
            self.blocks.publish(block, &[], None)?;
            self.forget_late(&late)?;
            let range = TimeRange::new(aligned_ms, end_ms.saturating_sub(1));
            self.versions.changed(range);
        }
        Ok(n_blocks)
    }

    /// Writes late samples of a range to a block in a directory of blocks; `None` where
    /// all are deleted.
    pub(super) fn write_late_block(
        &self,
        blocks: &Arc<dyn Dir>,
        late: &[LateSeries],
        times: Range<i64>,
        pace: &mut Pace<'_>,
    ) -> Result<Option<BlockMeta>, StorageError> {
        let options = BlockOptions {
            min_t_ms: times.start,
            max_t_ms: times.end,
            level: 1,
            ..BlockOptions::default()
        };
        let range = TimeRange::new(times.start, times.end.saturating_sub(1));
        let mut writer = BlockWriter::create(blocks, self.blocks.new_ulid(range), options)?;
        let mut samples = Samples::default();
        for series in late {
            go_on(pace)?;
            series.read(&mut samples)?;
            let (timestamps, values) = (&samples.timestamps, &samples.values);
            let labels = series.labels().iter();
            writer.series_with(labels, timestamps, values, &samples.histograms)?;
        }
        Ok(writer.finish()?)
    }

    /// Makes samples before `end_ms` out of bounds, and tells whether all transactions
    /// that began before that have ended.
    fn close_range(&self, end_ms: i64) -> bool {
        self.kept_from_ms.fetch_max(end_ms, Ordering::AcqRel);
        let (next, oldest_open, _) = self.active();
        let mut closing = self.closing.lock();
        let below = match *closing {
            Some(closing) if closing.end_ms == end_ms => closing.below,
            _ => next,
        };
        *closing = Some(Closing { end_ms, below });
        oldest_open >= below
    }

    /// Writes what the head has in `range` to a block in a directory of blocks; `None`
    /// where it has nothing.
    pub(super) fn write_head_block(
        &self,
        _alone: &MutexGuard<'_, ()>,
        blocks: &Arc<dyn Dir>,
        range: TimeRange,
        pace: &mut Pace<'_>,
    ) -> Result<Option<BlockMeta>, StorageError> {
        let options = BlockOptions {
            min_t_ms: range.start_ms,
            max_t_ms: range.end_ms.saturating_add(1),
            level: 1,
            head_until_ms: Some(range.end_ms.saturating_add(1)),
            ..BlockOptions::default()
        };
        let ulid = self.blocks.new_ulid(range);
        let mut writer = BlockWriter::create(blocks, ulid, options)?;
        let window = Window::new(range, range.start_ms);
        let ids = self.in_label_order(pace)?;
        let mut samples = Samples::default();
        let mut scratch = ReadScratch::default();
        for batch in ids.chunks(BATCH) {
            go_on(pace)?;
            let selection = self.capture_ids(batch, window);
            for index in 0..selection.len() {
                selection.read_samples(index, &mut scratch, &mut samples)?;
                let dictionary = selection.dictionary();
                let pairs = selection.row(index).pairs();
                let labels = pairs.map(|pair| dictionary.pair_text(pair));
                let (timestamps, values) = (&samples.timestamps, &samples.values);
                writer.series_with(labels, timestamps, values, &samples.histograms)?;
            }
        }
        Ok(writer.finish()?)
    }

    /// Returns the ids of all series of the head in label order. The caller keeps series
    /// from being removed.
    fn in_label_order(&self, pace: &mut Pace<'_>) -> Result<Vec<u32>, StorageError> {
        let (end_id, texts) = {
            let index = self.index.read();
            (index.end_id(), index.dictionary())
        };
        let ranks = {
            // Pairs that come later belong to series that come later.
            let texts = texts.read().copy_texts();
            texts.ranks()
        };
        let mut rows: Vec<u32> = Vec::new();
        let mut keyed: Vec<(u64, u32, u32)> = Vec::new();
        for first in (0..end_id).step_by(ROWS as usize) {
            go_on(pace)?;
            let index = self.index.read();
            for id in first..end_id.min(first.saturating_add(ROWS)) {
                let Some(row) = index.row(id) else { continue };
                let at = rows.len() as u32;
                let known = row.pairs().map(|pair| ranks.get(pair as usize).copied());
                rows.push(0);
                rows.extend(known.clone().flatten());
                rows[at as usize] = rows.len() as u32 - at - 1;
                if known.clone().all(|rank| rank.is_some()) {
                    let mut first_two = known.flatten().map(u64::from);
                    let high = first_two.next().unwrap_or(0) << 32;
                    keyed.push((high | first_two.next().unwrap_or(0), at, id));
                } else {
                    rows.truncate(at as usize);
                }
            }
        }
        let row = |at: u32| {
            let begin = at as usize + 1;
            &rows[begin..begin + rows[at as usize] as usize]
        };
        keyed.sort_unstable_by(|one, other| {
            one.0
                .cmp(&other.0)
                .then_with(|| row(one.1).cmp(row(other.1)))
        });
        Ok(keyed.into_iter().map(|(_, _, id)| id).collect())
    }
}

/// Lets the caller wait.
///
/// # Errors
/// The caller wants to stop.
pub(super) fn go_on(pace: &mut Pace<'_>) -> Result<(), StorageError> {
    match pace() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(StorageError::Stopped),
    }
}
