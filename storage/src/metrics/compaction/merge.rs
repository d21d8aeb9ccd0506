//! Many blocks into one.

use std::sync::Arc;

use crate::block::{BlockOptions, BlockParent, BlockWriter, Ulid};
use crate::error::StorageError;
use crate::metrics::blocks::Served;
use crate::metrics::flush::{Pace, go_on};
use crate::metrics::label_order::{BlockPart, Member, Walk};
use crate::metrics::samples::Samples;
use crate::metrics::store::MetricStore;
use crate::model::TimeRange;

/// Samples that are written between two calls of the pace.
const SAMPLES_PER_TURN: usize = 50_000;

impl MetricStore {
    /// Writes the samples of `old` to a new block that nobody sees yet. Of two samples
    /// of a series at the same time that of the earlier block stays. `None` where
    /// nothing is left.
    pub(super) fn merge_blocks(
        &self,
        old: &[Arc<Served>],
        level: u32,
        cold: bool,
        pace: &mut Pace<'_>,
    ) -> Result<Option<Arc<Served>>, StorageError> {
        let options = options_of(old, level, cold);
        let range = TimeRange::new(options.min_t_ms, options.max_t_ms.saturating_sub(1));
        let ulid = self.blocks.new_ulid(range);
        let mut writer = BlockWriter::create(self.blocks.dir(), ulid, options)?;
        let mut old: Vec<&Arc<Served>> = old.iter().collect();
        old.sort_unstable_by_key(|block| block.meta().ulid);
        let parts: Vec<BlockPart> = old
            .iter()
            .map(|block| BlockPart {
                block: Arc::clone(block),
                ids: (0..block.n_series()).collect(),
            })
            .collect();
        let unreadable = |unreadable| self.blocks.unreadable(&parts, unreadable);
        let mut walk = Walk::new(&parts).map_err(unreadable)?;
        let mut samples = Samples::default();
        let mut written = 0;
        while let Some(members) = walk.next().map_err(unreadable)? {
            samples.clear();
            for &Member { part, series } in members {
                let block = &parts[part as usize].block;
                samples
                    .add_block(block, series)
                    .map_err(|error| self.blocks.failed(block, error))?;
            }
            let Some(&Member { part, series }) = members.first() else {
                continue;
            };
            let block = &parts[part as usize].block;
            let labels = block.labels(series);
            let labels = labels.map_err(|error| self.blocks.failed(block, error))?;
            let (timestamps, values) = (&samples.timestamps, &samples.values);
            writer.series_with(labels, timestamps, values, &samples.histograms)?;
            written += samples.len() + SAMPLES_PER_TURN / 1000;
            if written >= SAMPLES_PER_TURN {
                written = 0;
                go_on(pace)?;
            }
        }
        let meta = writer.finish()?;
        meta.map(|meta| self.blocks.open_new(&meta)).transpose()
    }
}

fn options_of(old: &[Arc<Served>], level: u32, cold: bool) -> BlockOptions {
    let metas = || old.iter().map(|block| block.meta());
    let mut sources: Vec<Ulid> = metas().flat_map(|meta| meta.sources.clone()).collect();
    sources.sort_unstable();
    sources.dedup();
    BlockOptions {
        min_t_ms: metas().map(|meta| meta.min_t_ms).min().unwrap_or(0),
        max_t_ms: metas().map(|meta| meta.max_t_ms).max().unwrap_or(0),
        level,
        sources,
        parents: metas()
            .map(|meta| BlockParent {
                ulid: meta.ulid,
                min_t_ms: meta.min_t_ms,
                max_t_ms: meta.max_t_ms,
            })
            .collect(),
        cold,
        head_until_ms: metas().filter_map(|meta| meta.head_until_ms).max(),
    }
}

/// Tells whether any two of the blocks share a time.
pub(super) fn any_overlap(blocks: &[Arc<Served>]) -> bool {
    let mut ranges: Vec<(i64, i64)> = blocks
        .iter()
        .map(|block| (block.meta().min_t_ms, block.meta().max_t_ms))
        .collect();
    ranges.sort_unstable();
    ranges.windows(2).any(|pair| pair[1].0 < pair[0].1)
}
