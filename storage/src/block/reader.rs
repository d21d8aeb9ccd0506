//! Reads a block.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{BlockError, BlockMeta};
use crate::fs::Dir;
use crate::model::{Matcher, TimeRange};

/// An open block; every method may be called from several threads.
#[derive(Debug)]
pub struct Block {
    dir: Arc<dyn Dir>,
    meta: BlockMeta,
}

/// Buffers that a reader keeps between series, of whatever blocks.
#[derive(Debug, Default)]
pub struct ReadScratch {}

/// The labels of a series of a block, in order of name.
#[derive(Debug, Clone)]
pub struct SeriesLabels<'a> {
    block: &'a Block,
}

impl<'a> Iterator for SeriesLabels<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let _ = self.block;
        None
    }
}

impl Block {
    /// Opens the block in `dir`: reads `meta.json`, the head of the index, and the
    /// tombstones.
    pub fn open(dir: Arc<dyn Dir>) -> Result<Block, BlockError> {
        Err(BlockError::corrupt(dir.path(), 0, "it has no index"))
    }

    /// Returns what the block is.
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Counts the series.
    pub fn n_series(&self) -> u32 {
        0
    }

    /// Counts the intervals that were deleted.
    pub fn n_tombstones(&self) -> u64 {
        0
    }

    /// Returns the series that satisfy all matchers, ascending, which is label order.
    pub fn resolve(&self, matchers: &[Matcher]) -> Result<Vec<u32>, BlockError> {
        let _ = matchers;
        Ok(Vec::new())
    }

    /// Returns the labels of a series in order of name, borrowed from the map.
    pub fn labels(&self, series: u32) -> Result<SeriesLabels<'_>, BlockError> {
        let _ = series;
        Ok(SeriesLabels { block: self })
    }

    /// Tells whether a chunk of the series, not wholly deleted, shares a time with the
    /// range; looks at the index only.
    pub fn overlaps(&self, series: u32, range: TimeRange) -> Result<bool, BlockError> {
        let _ = (series, range);
        Ok(false)
    }

    /// Appends the samples of a series in the range, without the deleted ones, to
    /// `timestamps` and `values`. After an error both are as long as before.
    pub fn read(
        &self,
        series: u32,
        range: TimeRange,
        scratch: &mut ReadScratch,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), BlockError> {
        let _ = (series, range, scratch, timestamps, values);
        Ok(())
    }

    /// Returns the names of labels, sorted.
    pub fn label_names(&self) -> Result<Vec<String>, BlockError> {
        Ok(Vec::new())
    }

    /// Returns the values of a name, sorted; empty where no series has it.
    pub fn label_values(&self, name: &str) -> Result<Vec<String>, BlockError> {
        let _ = name;
        Ok(Vec::new())
    }

    /// Deletes samples: later reads do not see them. Durable when it returns.
    pub fn delete(&self, ranges: &[(u32, TimeRange)]) -> Result<(), BlockError> {
        let _ = ranges;
        Ok(())
    }

    /// Reads everything and checks it. `pace` is called between pieces of work; it may
    /// wait, and break off.
    pub fn verify(&self, pace: &mut dyn FnMut() -> ControlFlow<()>) -> Result<(), BlockError> {
        let _ = pace();
        Ok(())
    }

    /// Links the files of the block into the empty directory `to`, which is synced.
    pub fn link_into(&self, to: &Arc<dyn Dir>) -> Result<(), BlockError> {
        let _ = (to, &self.dir);
        Ok(())
    }
}
