//! What administrators ask of a store: deleting samples, a copy, a look for damage.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::blocks::Served;
use super::deletion::NotedAfter;
use super::flush::Pace;
use super::recovery;
use super::samples::Samples;
use super::shard::NEVER;
use super::stats::{BlockInfo, Damage};
use super::store::MetricStore;
use crate::block::BlockError;
use crate::error::StorageError;
use crate::fs::{Dir, RealDir};
use crate::model::{Matcher, TimeRange};

impl MetricStore {
    /// Deletes the samples in `range` of the series that satisfy any of the matcher
    /// sets. They are out of sight when it returns, and stay so after a restart; their
    /// space is freed when blocks are merged, or by [`MetricStore::clean_tombstones`].
    /// Samples that come later are not touched. Waits for a compaction that runs.
    ///
    /// # Errors
    /// The disk refused, or a block is damaged. What was deleted before stays deleted;
    /// deleting again is harmless.
    pub fn delete_series(
        &self,
        sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<(), StorageError> {
        let _alone = self.maintaining.lock();
        self.settle_flushed()?;
        let _noted = NotedAfter(&self.versions, range);
        for block in self.blocks.set().overlapping(range) {
            delete_in_block(block, sets, range)
                .map_err(|error| self.blocks.failed(block, error))?;
        }
        self.delete_in_head(sets, range)?;
        Ok(())
    }

    /// Makes a copy of the store in the directory `to`, which is created: a store of
    /// its own, that can be opened. Blocks share their files with this store where the
    /// file system allows it. With `head` the copy holds what is in memory, too, as of
    /// the moment when it is copied. Waits for a compaction that runs.
    ///
    /// # Errors
    /// The directory holds a store already, the disk refused, or `pace` broke off; the
    /// directory is to be removed then.
    pub fn backup(&self, to: &Path, head: bool, pace: &mut Pace<'_>) -> Result<(), StorageError> {
        self.backup_to(&RealDir::open(to)?, head, pace)
    }

    pub(super) fn backup_to(
        &self,
        to: &dyn Dir,
        head: bool,
        pace: &mut Pace<'_>,
    ) -> Result<(), StorageError> {
        let _alone = self.maintaining.lock();
        recovery::begin_copy(to, self.shards.len())?;
        let blocks = recovery::blocks_dir(to)?;
        let set = self.blocks.set();
        for block in set.blocks.iter().filter(|block| !block.is_damaged()) {
            let dir = blocks.subdir(&block.meta().ulid.to_string())?;
            block
                .link_into(&dir)
                .map_err(|error| self.blocks.failed(block, error))?;
        }
        let newest_ms = self.newest_ms.load(Ordering::Acquire);
        if head && newest_ms != NEVER {
            let start_ms = self.oldest_ms().unwrap_or(newest_ms).max(set.head_from_ms);
            self.copy_late(&blocks, start_ms, pace)?;
            if start_ms <= newest_ms {
                let range = TimeRange::new(start_ms, newest_ms);
                let truncating = self.truncating.lock();
                self.write_head_block(&truncating, &blocks, range, pace)?;
            }
        }
        blocks.sync()?;
        Ok(())
    }

    /// Writes the late samples before a time to blocks in a directory of blocks, one a
    /// range.
    fn copy_late(
        &self,
        blocks: &Arc<dyn Dir>,
        end_ms: i64,
        pace: &mut Pace<'_>,
    ) -> Result<(), StorageError> {
        let range_ms = self.options.block_range_ms;
        let mut starts = BTreeSet::new();
        let mut samples = Samples::default();
        for series in self.drain_late(i64::MIN..end_ms) {
            series.read(&mut samples)?;
            let histograms = samples.histograms.iter().map(|point| point.t_ms);
            let times = samples.timestamps.iter().copied().chain(histograms);
            starts.extend(times.map(|t_ms| t_ms.div_euclid(range_ms) * range_ms));
        }
        for start_ms in starts {
            let times = start_ms..start_ms.saturating_add(range_ms).min(end_ms);
            let late = self.drain_late(times.clone());
            self.write_late_block(blocks, &late, times, pace)?;
        }
        Ok(())
    }

    /// Reads all blocks and checks every byte of them against its checksum. A damaged
    /// block is set aside, as when a reader finds the damage; see
    /// [`MetricStore::take_damages`].
    ///
    /// # Errors
    /// The disk refused, or `pace` broke off ([`StorageError::Stopped`]).
    pub fn scrub(&self, pace: &mut Pace<'_>) -> Result<(), StorageError> {
        for block in &self.blocks.set().blocks {
            if block.is_damaged() {
                continue;
            }
            let mut stopped = false;
            let verified = block.verify(&mut || {
                let turn = pace();
                stopped |= turn.is_break();
                turn
            });
            match verified {
                Ok(()) if stopped => return Err(StorageError::Stopped),
                Ok(()) => {
                    let bytes = &self.blocks.counters.scrubbed_bytes;
                    bytes.fetch_add(block.len_bytes(), Ordering::Relaxed);
                }
                Err(error) if error.is_corrupt() => self.blocks.note(block, &error),
                Err(error) => return Err(error.into()),
            }
        }
        let _alone = self.maintaining.lock();
        self.blocks.set_damaged_aside()
    }

    /// Returns what was found damaged in blocks since the last call; what was found at
    /// the opening is in [`Recovery`](super::Recovery).
    pub fn take_damages(&self) -> Vec<Damage> {
        self.blocks.take_damages()
    }

    /// Describes the blocks, oldest first.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        self.blocks.infos()
    }
}

fn delete_in_block(
    block: &Arc<Served>,
    sets: &[Vec<Matcher>],
    range: TimeRange,
) -> Result<(), BlockError> {
    let mut deleted = Vec::new();
    for matchers in sets {
        for series in block.resolve(matchers)? {
            if block.overlaps(series, range)? {
                deleted.push((series, range));
            }
        }
    }
    match deleted.is_empty() {
        true => Ok(()),
        false => block.delete(&deleted),
    }
}
