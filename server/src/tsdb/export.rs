//! Moving out: a store becomes blocks that Prometheus reads.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::Path;

use anyhow::bail;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{Labels, TimeRange};
use kymo_storage::prometheus_block::{Writer, WriterOptions, ulid};

use crate::clock;

/// Writes what the store has in `range` to blocks in the directory `to`.
pub(super) fn export(
    store: &MetricStore,
    range: TimeRange,
    to: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let Some(stored) = stored_range(store) else {
        bail!("there are no samples in the data directory");
    };
    // A block must not reach beyond its samples: Prometheus takes nothing that is older
    // than the end of its newest block.
    let start_ms = range.start_ms.max(stored.start_ms);
    let end_ms = range.end_ms.min(stored.end_ms);
    if start_ms > end_ms {
        bail!(
            "there are no samples in this range; those of the data directory are from {} to {}",
            stored.start_ms,
            stored.end_ms
        );
    }
    let mut n_blocks = 0;
    for window in store.import_windows(TimeRange::new(start_ms, end_ms)) {
        if let Some((name, series, samples)) = export_window(store, window, to)? {
            writeln!(out, "{name}: {series} series, {samples} samples")?;
            out.flush()?;
            n_blocks += 1;
        }
    }
    let dir = to.display();
    writeln!(
        out,
        "{n_blocks} blocks are in {dir}. Move them into the data directory of a Prometheus; \
         it finds them within a minute."
    )?;
    Ok(())
}

fn export_window(
    store: &MetricStore,
    window: TimeRange,
    to: &Path,
) -> anyhow::Result<Option<(String, u64, u64)>> {
    let selection = store.select(&[], window)?;
    let mut order: Vec<(Labels, usize)> = (0..selection.len())
        .map(|index| (selection.labels(index), index))
        .collect();
    order.sort();
    let now_ms = u64::try_from(clock::now_ms()).unwrap_or(0);
    let options = WriterOptions::new(
        ulid(now_ms, chance()),
        window.start_ms,
        window.end_ms.saturating_add(1),
    );
    let mut writer = Writer::create(to, options)?;
    let (mut times, mut values, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
    for (labels, index) in &order {
        selection.read(*index, &mut times, &mut values)?;
        selection.read_points(*index, &times, &mut histograms)?;
        writer.series_with(labels.iter(), &times, &values, &histograms)?;
    }
    let meta = writer.finish()?;
    Ok(meta.map(|meta| (meta.ulid, meta.n_series, meta.n_samples)))
}

/// Returns the times of the oldest and the newest sample, of blocks and head.
fn stored_range(store: &MetricStore) -> Option<TimeRange> {
    let stats = store.stats();
    let blocks = store.blocks();
    let starts = blocks.iter().map(|block| block.min_t_ms);
    let ends = blocks.iter().map(|block| block.max_t_ms - 1);
    let start_ms = starts.chain(stats.min_time_ms).min()?;
    let end_ms = match stats.max_time_ms {
        Some(newest_ms) => newest_ms,
        None => ends.max()?,
    };
    Some(TimeRange::new(start_ms, end_ms))
}

/// Returns bytes that differ from call to call.
fn chance() -> [u8; 10] {
    let mut bytes = [0; 10];
    let hash = || RandomState::new().build_hasher().finish().to_le_bytes();
    bytes[..8].copy_from_slice(&hash());
    bytes[8..].copy_from_slice(&hash()[..2]);
    bytes
}
