//! History from elsewhere, straight into blocks.

use std::sync::Arc;

use super::compaction::{LADDER_STEPS, level_of};
use super::stats::BlockInfo;
use super::store::MetricStore;
use crate::block::{BlockOptions, BlockWriter};
use crate::error::StorageError;
use crate::model::TimeRange;
use crate::model::histogram::HistogramPoint;

/// A block that is being filled with history; see [`MetricStore::import`]. Dropped
/// unfinished it leaves nothing.
#[derive(Debug)]
pub struct Import<'a> {
    store: &'a MetricStore,
    writer: BlockWriter,
}

impl MetricStore {
    /// Cuts a closed range of time at the borders of the widest blocks, so that each
    /// piece can be imported on its own.
    pub fn import_windows(&self, range: TimeRange) -> Vec<TimeRange> {
        let window_ms = self.import_window_ms();
        let mut windows = Vec::new();
        let mut start_ms = range.start_ms;
        while start_ms <= range.end_ms {
            let aligned_ms = start_ms.div_euclid(window_ms) * window_ms;
            let last_ms = aligned_ms.saturating_add(window_ms - 1);
            windows.push(TimeRange::new(start_ms, last_ms.min(range.end_ms)));
            match last_ms.checked_add(1) {
                Some(next_ms) => start_ms = next_ms,
                None => break,
            }
        }
        windows
    }

    /// Returns the width of the windows: each begins at a multiple of it, where the range
    /// does not begin later.
    pub fn import_window_ms(&self) -> i64 {
        let widest = LADDER_STEPS[LADDER_STEPS.len() - 1];
        self.options.block_range_ms.saturating_mul(widest)
    }

    /// Begins to import samples within `range`, which is one of
    /// [`MetricStore::import_windows`]. They may be of any age and may overlap what is
    /// stored: of two samples of a series at the same time the older block's stays.
    ///
    /// # Errors
    /// The disk refused.
    pub fn import(&self, range: TimeRange) -> Result<Import<'_>, StorageError> {
        let level = level_of(range, self.options.block_range_ms);
        let options = BlockOptions {
            min_t_ms: range.start_ms,
            max_t_ms: range.end_ms.saturating_add(1),
            level,
            cold: level as usize == LADDER_STEPS.len(),
            ..BlockOptions::default()
        };
        let ulid = self.blocks.new_ulid(range);
        let writer = BlockWriter::create(self.blocks.dir(), ulid, options)?;
        Ok(Import {
            store: self,
            writer,
        })
    }
}

impl Import<'_> {
    /// Adds a series of floats; see [`Import::series_with`].
    ///
    /// # Errors
    /// As there.
    pub fn series<'l>(
        &mut self,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
        timestamps: &[i64],
        values: &[f64],
    ) -> Result<(), StorageError> {
        self.series_with(labels, timestamps, values, &[])
    }

    /// Adds a series of floats and native histograms, which ascend strictly in time, none
    /// at the time of another. Series come in ascending order of their labels, which are
    /// sorted by name, each name once, no value empty.
    ///
    /// # Errors
    /// A rule is broken, or the disk refused; nothing of the import is stored then.
    pub fn series_with<'l>(
        &mut self,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
        timestamps: &[i64],
        values: &[f64],
        histograms: &[HistogramPoint],
    ) -> Result<(), StorageError> {
        Ok(self
            .writer
            .series_with(labels, timestamps, values, histograms)?)
    }

    /// Makes the samples durable and visible; `None` where there were none.
    ///
    /// # Errors
    /// The disk refused; nothing of the import is stored then.
    pub fn finish(self) -> Result<Option<BlockInfo>, StorageError> {
        let Some(meta) = self.writer.finish()? else {
            return Ok(None);
        };
        let block = self.store.blocks.open_new(&meta)?;
        let _alone = self.store.maintaining.lock();
        self.store.blocks.publish([Arc::clone(&block)], &[], None)?;
        Ok(Some(block.info()))
    }
}
