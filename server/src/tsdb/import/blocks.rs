//! Moving in: the blocks of a Prometheus become blocks of a store.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::TimeRange;
use kymo_storage::prometheus_block::{ImportReport, PrometheusBlockError, Reader, block_names};

use super::super::list::readable_time;

/// Imports all blocks of the data directory `from`, or `from` itself where it is one.
pub(super) fn import(store: &MetricStore, from: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let is_block = from.join("meta.json").is_file();
    let paths = match is_block {
        true => vec![from.to_owned()],
        false => {
            let names = block_names(from)?;
            names.iter().map(|name| from.join(name)).collect()
        }
    };
    if paths.is_empty() {
        bail!(
            "there are no blocks in {from:?}; a block is a directory with a name such as \
             01BX5ZZKBKACTAV9WEVGEMMVRY"
        );
    }
    let mut damaged = 0;
    let mut oldest_ms = i64::MAX;
    for path in &paths {
        let done =
            import_block(store, path).with_context(|| format!("import {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        writeln!(
            out,
            "{name}: {} series, {} samples",
            done.series, done.report.samples
        )?;
        write_skipped(&done.report, out)?;
        // A long import is watched.
        out.flush()?;
        damaged += done.damaged;
        oldest_ms = oldest_ms.min(done.oldest_ms);
    }
    if !is_block && from.join("wal").is_dir() {
        writeln!(
            out,
            "What Prometheus collected in its last hours is in no block yet. To import it, let \
             Prometheus take a snapshot (POST /api/v1/admin/tsdb/snapshot) and import that."
        )?;
    }
    if oldest_ms < i64::MAX {
        writeln!(
            out,
            "The oldest sample is of {}. A server drops what is older than its \
             --storage.retention.time.",
            readable_time(oldest_ms)
        )?;
    }
    if damaged > 0 {
        bail!("{damaged} series have damaged chunks; they were left out, everything else is there");
    }
    Ok(())
}

/// What came of one block.
struct Done {
    report: ImportReport,
    series: u64,
    damaged: u64,
    oldest_ms: i64,
}

fn import_block(store: &MetricStore, path: &Path) -> anyhow::Result<Done> {
    let reader = Reader::open(path)?;
    let mut done = Done {
        report: ImportReport::default(),
        series: reader.n_series(),
        damaged: 0,
        oldest_ms: i64::MAX,
    };
    if let Some(extent) = reader.extent() {
        done.oldest_ms = extent.start_ms;
        for window in store.import_windows(extent) {
            import_window(store, &reader, window, &mut done)?;
        }
    }
    Ok(done)
}

fn import_window(
    store: &MetricStore,
    reader: &Reader,
    window: TimeRange,
    done: &mut Done,
) -> anyhow::Result<()> {
    let mut import = store.import(window)?;
    let mut cursor = reader.read(window, &mut done.report);
    loop {
        match cursor.next_series() {
            Ok(Some(series)) => {
                let labels = series.labels.iter().copied();
                import.series_with(labels, series.timestamps, series.values, series.histograms)?;
            }
            Ok(None) => break,
            Err(error @ PrometheusBlockError::Corrupt { .. }) => {
                done.damaged += 1;
                writeln!(io::stderr(), "kymo tsdb: {error}")?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    import.finish()?;
    Ok(())
}

fn write_skipped(report: &ImportReport, out: &mut dyn Write) -> io::Result<()> {
    for (kind, (series, skipped)) in report.skipped_by_kind() {
        writeln!(
            out,
            "  left out: {} of {series} series, {} samples in {} chunks",
            kind.describe(),
            skipped.samples,
            skipped.chunks
        )?;
    }
    for (count, what) in [
        (report.deleted, "samples that were deleted"),
        (report.replaced, "samples that another chunk has, too"),
    ] {
        if count > 0 {
            writeln!(out, "  left out: {count} {what}")?;
        }
    }
    Ok(())
}
