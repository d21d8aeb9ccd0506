//! Metrics of the store, under Prometheus' names where it has them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use kymo_storage::compat::float::exposition;
use kymo_storage::metrics::{Delays, ExemplarStats, MetadataStats, StoreStats};
use parking_lot::Mutex;

use super::exposition::{Kind, TextWriter};
use super::summary::Histogram;
use crate::app::App;

const COMPACTION_BOUNDS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0,
];
const CLEANUP_BOUNDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What the server's care for the store took, and when.
#[derive(Debug)]
pub(crate) struct StoreMetrics {
    opening_ms: AtomicU64,
    triggered: AtomicU64,
    compactions: Mutex<Histogram>,
    cleanups: Mutex<Histogram>,
    /// Times in milliseconds since the epoch, 0 for never.
    snapshot_ms: AtomicI64,
    scrub_ms: AtomicI64,
}

impl Default for StoreMetrics {
    fn default() -> StoreMetrics {
        StoreMetrics {
            opening_ms: AtomicU64::default(),
            triggered: AtomicU64::default(),
            compactions: Mutex::new(Histogram::new(COMPACTION_BOUNDS)),
            cleanups: Mutex::new(Histogram::new(CLEANUP_BOUNDS)),
            snapshot_ms: AtomicI64::default(),
            scrub_ms: AtomicI64::default(),
        }
    }
}

impl StoreMetrics {
    /// Remembers how long opening the store took.
    pub(crate) fn opened(&self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.opening_ms.store(ms, Ordering::Relaxed);
    }

    /// Counts a look for something to compact.
    pub(crate) fn compaction_triggered(&self) {
        self.triggered.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a compaction that changed something.
    pub(crate) fn compacted(&self, took: Duration) {
        self.compactions.lock().observe(took.as_secs_f64());
    }

    /// Counts a rewriting of blocks without what was deleted.
    pub(crate) fn tombstones_cleaned(&self, took: Duration) {
        self.cleanups.lock().observe(took.as_secs_f64());
    }

    /// Remembers a snapshot of the head.
    pub(crate) fn snapshot_taken(&self, now_ms: i64) {
        self.snapshot_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Remembers a scrub that came to its end.
    pub(crate) fn scrubbed(&self, now_ms: i64) {
        self.scrub_ms.store(now_ms, Ordering::Relaxed);
    }
}

/// Writes what the store counted and holds.
pub(super) fn write(writer: &mut TextWriter, stats: &StoreStats, app: &App) {
    let seconds = |ms: Option<i64>| ms.map_or(0.0, |ms| ms as f64 / 1000.0);
    let lowest_ms = stats
        .min_time_ms
        .into_iter()
        .chain(stats.blocks.min_time_ms);
    for (name, help, value) in [
        (
            "prometheus_tsdb_head_series",
            "Total number of series in the head block.",
            stats.series as f64,
        ),
        (
            "prometheus_tsdb_head_stale_series",
            "Total number of stale series in the head block.",
            stats.stale_series as f64,
        ),
        (
            "prometheus_tsdb_head_chunks",
            "Total number of chunks in the head block.",
            stats.chunks as f64,
        ),
        (
            "prometheus_tsdb_head_chunks_storage_size_bytes",
            "Size of the chunks in memory.",
            stats.chunk_bytes as f64,
        ),
        (
            "prometheus_tsdb_head_active_appenders",
            "Number of currently active appender transactions",
            stats.active_appenders as f64,
        ),
        (
            "prometheus_tsdb_head_min_time_seconds",
            "Minimum time bound of the head block.",
            seconds(stats.min_time_ms),
        ),
        (
            "prometheus_tsdb_head_max_time_seconds",
            "Maximum timestamp of the head block.",
            seconds(stats.max_time_ms),
        ),
        (
            "prometheus_tsdb_lowest_timestamp_seconds",
            "Lowest timestamp value stored in the database.",
            seconds(lowest_ms.min()),
        ),
        (
            "prometheus_tsdb_isolation_high_watermark",
            "The highest TSDB append ID that has been given out.",
            stats.newest_append_id as f64,
        ),
        (
            "prometheus_tsdb_isolation_low_watermark",
            "The lowest TSDB append ID that is still referenced.",
            stats.settled_append_id as f64,
        ),
        (
            "prometheus_tsdb_symbol_table_size_bytes",
            "Size of symbol table in memory.",
            stats.symbol_bytes as f64,
        ),
        (
            "prometheus_tsdb_retention_limit_seconds",
            "How long to retain samples in the database.",
            app.retention().time.as_secs_f64(),
        ),
        (
            "prometheus_tsdb_retention_limit_bytes",
            "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled",
            app.retention().size_bytes as f64,
        ),
        (
            "prometheus_tsdb_retention_limit_percentage",
            "Max percentage of total storage space to be retained in the tsdb blocks, configured 0 means disabled",
            app.retention().percentage,
        ),
        (
            "prometheus_tsdb_wal_segment_current",
            "Write log segment index that TSDB is currently writing to.",
            stats.wal.current_segment as f64,
        ),
        (
            "prometheus_tsdb_wal_storage_size_bytes",
            "Size of the write log directory.",
            stats.wal.bytes as f64,
        ),
        (
            "kymo_storage_wal_segments",
            "Segments of the write log on disk.",
            stats.wal.segments as f64,
        ),
        (
            "kymo_storage_poisoned",
            "Whether the store takes no more writes after a failure.",
            f64::from(u8::from(stats.poisoned.is_some())),
        ),
    ] {
        writer.gauge(name, help, value);
    }
    for (name, help, value) in [
        (
            "prometheus_tsdb_head_series_created_total",
            "Total number of series created in the head",
            stats.series_created_total,
        ),
        (
            "prometheus_tsdb_head_series_removed_total",
            "Total number of series removed in the head",
            stats.series_removed_total,
        ),
        (
            "prometheus_tsdb_head_series_not_found_total",
            "Total number of requests for series that were not found.",
            stats.series_not_found_total,
        ),
        (
            "prometheus_tsdb_head_chunks_created_total",
            "Total number of chunks created in the head",
            stats.chunks_created_total,
        ),
        (
            "prometheus_tsdb_head_chunks_removed_total",
            "Total number of chunks removed in the head",
            stats.chunks_removed_total,
        ),
        (
            "prometheus_tsdb_wal_corruptions_total",
            "Total number of WAL corruptions.",
            stats.wal.corruptions_total,
        ),
        (
            "prometheus_tsdb_wal_truncations_total",
            "Total number of write log truncations that were attempted.",
            stats.wal.truncations_total,
        ),
        (
            "prometheus_tsdb_wal_writes_failed_total",
            "Total number of write log writes that failed.",
            stats.wal.writes_failed_total,
        ),
        (
            "kymo_storage_duplicate_samples_total",
            "Samples refused or dropped because another value was there already.",
            stats.duplicate_total,
        ),
        (
            "kymo_storage_truncations_total",
            "Times that retention dropped something.",
            stats.truncations_total,
        ),
        (
            "kymo_storage_wal_written_bytes_total",
            "Bytes handed to the operating system for the write log.",
            stats.wal.written_bytes_total,
        ),
        (
            "kymo_storage_wal_writes_total",
            "Calls of write for the write log.",
            stats.wal.writes_total,
        ),
        (
            "kymo_storage_wal_syncs_total",
            "Calls of fdatasync for the write log.",
            stats.wal.syncs_total,
        ),
    ] {
        writer.counter(name, help, value);
    }
    by_type(writer, stats);
    let name = "kymo_storage_memory_bytes";
    writer.family(name, Kind::Gauge, "Memory of the store by what it holds.");
    for (part, bytes) in [
        ("series", stats.memory.series),
        ("open_chunks", stats.memory.open_chunks),
        ("sealed_chunks", stats.memory.sealed_chunks),
        ("late", stats.memory.late),
        ("histograms", stats.memory.histograms),
        ("aliases", stats.memory.aliases),
        ("symbols", stats.memory.symbols),
        ("labels", stats.memory.labels),
        ("postings", stats.memory.postings),
        ("exemplars", stats.memory.exemplars),
        ("metadata", stats.memory.metadata),
        ("targets", stats.memory.targets),
    ] {
        writer.sample(name, &[("part", part)], bytes as f64);
    }
    blocks(writer, stats, app);
    head(writer, stats, app);
    late(writer, stats);
    series_limits(writer, stats, app);
    exemplars(writer, &stats.exemplars);
    metadata(writer, &stats.metadata);
}

/// Blocks, and what happens to them.
fn blocks(writer: &mut TextWriter, stats: &StoreStats, app: &App) {
    let (blocks, care) = (&stats.blocks, &app.metrics.store);
    let triggered = care.triggered.load(Ordering::Relaxed);
    writer.gauge(
        "prometheus_tsdb_blocks_loaded",
        "Number of currently loaded data blocks",
        blocks.blocks as f64,
    );
    writer.gauge(
        "prometheus_tsdb_storage_blocks_bytes",
        "The number of bytes that are currently used for local storage by all blocks.",
        blocks.bytes as f64,
    );
    #[rustfmt::skip]
    let counters = [
        ("prometheus_tsdb_compactions_total", "Total number of compactions that were executed for the partition.", blocks.flushes_total + blocks.merges_total),
        ("prometheus_tsdb_compactions_failed_total", "Total number of compactions that failed for the partition.", blocks.failures_total),
        ("prometheus_tsdb_compactions_triggered_total", "Total number of triggered compactions for the partition.", triggered),
        ("prometheus_tsdb_vertical_compactions_total", "Total number of compactions done on overlapping blocks.", blocks.overlapping_merges_total),
        ("prometheus_tsdb_reloads_total", "Number of times the database reloaded block data from disk.", triggered),
        ("prometheus_tsdb_reloads_failures_total", "Number of times the database failed to reloadBlocks block data from disk.", blocks.set_aside_total),
        ("prometheus_tsdb_time_retentions_total", "The number of times that blocks were deleted because the maximum time limit was exceeded.", blocks.dropped_by_time_total),
        ("prometheus_tsdb_size_retentions_total", "The number of times that blocks were deleted because the maximum number of bytes was exceeded.", blocks.dropped_by_size_total),
        ("prometheus_tsdb_head_truncations_total", "Total number of head truncations attempted.", blocks.flushes_total),
        ("kymo_storage_blocks_set_aside_total", "Blocks set aside because they were damaged; their directories end in .damaged.", blocks.set_aside_total),
        ("kymo_storage_scrubbed_bytes_total", "Bytes of blocks that scrubs checked against their checksums.", blocks.scrubbed_bytes_total),
    ];
    for (name, help, value) in counters {
        writer.counter(name, help, value);
    }
    for (name, help, histogram) in [
        (
            "prometheus_tsdb_compaction_duration_seconds",
            "Duration of compaction runs",
            &care.compactions,
        ),
        (
            "prometheus_tsdb_tombstone_cleanup_seconds",
            "The time taken to recompact blocks to remove tombstones.",
            &care.cleanups,
        ),
    ] {
        writer.family(name, Kind::Histogram, help);
        histogram.lock().write(writer, name, &[]);
    }
    writer.gauge(
        "kymo_storage_last_scrub_timestamp_seconds",
        "When the last scrub of all blocks ended, 0: not since the start.",
        care.scrub_ms.load(Ordering::Relaxed) as f64 / 1000.0,
    );
    let name = "kymo_storage_tombstones";
    let help = "Deleted intervals of series whose samples are still there, by place.";
    writer.family(name, Kind::Gauge, help);
    writer.sample(name, &[("place", "head")], stats.tombstones as f64);
    writer.sample(name, &[("place", "blocks")], blocks.tombstones as f64);
}

/// What the head has on disk, and how far a restart would have to go back.
fn head(writer: &mut TextWriter, stats: &StoreStats, app: &App) {
    let (head, care) = (&stats.head, &app.metrics.store);
    let seconds = |ms: i64| ms as f64 / 1000.0;
    for (name, help, value) in [
        (
            "prometheus_tsdb_data_replay_duration_seconds",
            "Time taken to replay the data on disk.",
            care.opening_ms.load(Ordering::Relaxed) as f64 / 1000.0,
        ),
        (
            "kymo_storage_last_snapshot_timestamp_seconds",
            "When the last snapshot of the head was taken, 0: not since the start.",
            seconds(care.snapshot_ms.load(Ordering::Relaxed)),
        ),
        (
            "kymo_storage_snapshot_bytes",
            "Bytes of the newest snapshot of the head.",
            head.snapshot_bytes as f64,
        ),
        (
            "kymo_storage_unsnapshotted_bytes",
            "Bytes of the write log that a restart would replay.",
            head.unsnapshotted_bytes as f64,
        ),
        (
            "kymo_storage_pages_waiting",
            "Full pages of the head that are not on disk yet.",
            head.pages_waiting as f64,
        ),
    ] {
        writer.gauge(name, help, value);
    }
    writer.counter(
        "prometheus_tsdb_checkpoint_creations_total",
        "Total number of checkpoint creations attempted.",
        head.snapshots_total + head.failures_total,
    );
    writer.counter(
        "prometheus_tsdb_checkpoint_creations_failed_total",
        "Total number of checkpoint creations that failed.",
        head.failures_total,
    );
}

/// Samples, floats and histograms apart.
fn by_type(writer: &mut TextWriter, stats: &StoreStats) {
    let histograms = &stats.histograms;
    for (name, help, all, of_histograms) in [
        (
            "prometheus_tsdb_head_samples_appended_total",
            "Total number of appended samples.",
            stats.samples_appended_total,
            histograms.appended_total,
        ),
        (
            "prometheus_tsdb_head_out_of_order_samples_appended_total",
            "Total number of appended out of order samples.",
            stats.late_appended_total,
            histograms.late_appended_total,
        ),
        (
            "prometheus_tsdb_out_of_bound_samples_total",
            "Total number of out of bound samples ingestion failed attempts with out of order support disabled.",
            stats.out_of_bounds_total,
            histograms.out_of_bounds_total,
        ),
        (
            "prometheus_tsdb_out_of_order_samples_total",
            "Total number of out of order samples ingestion failed attempts due to out of order being disabled.",
            stats.out_of_order_total,
            histograms.out_of_order_total,
        ),
        (
            "prometheus_tsdb_too_old_samples_total",
            "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.",
            stats.too_old_total,
            histograms.too_old_total,
        ),
    ] {
        writer.family(name, Kind::Counter, help);
        let floats = all.saturating_sub(of_histograms);
        for (kind, n) in [("float", floats), ("histogram", of_histograms)] {
            writer.sample(name, &[("type", kind)], n as f64);
        }
    }
}

/// Samples out of order.
fn late(writer: &mut TextWriter, stats: &StoreStats) {
    writer.gauge(
        "kymo_storage_late_samples",
        "Out of order samples in memory.",
        stats.late_samples as f64,
    );
    let name = "prometheus_tsdb_sample_ooo_delta";
    writer.family(
        name,
        Kind::Histogram,
        "Delta in seconds by which a sample is considered out of order (reported regardless of OOO time window and whether sample is accepted or not).",
    );
    let bucket_name = format!("{name}_bucket");
    let mut total = 0;
    for (at, count) in stats.delays.counts.iter().enumerate() {
        total += count;
        let bound = match Delays::BOUNDS_MS.get(at) {
            Some(&bound_ms) => exposition(bound_ms as f64 / 1000.0),
            None => exposition(f64::INFINITY),
        };
        writer.sample(&bucket_name, &[("le", &bound)], total as f64);
    }
    let sum_s = stats.delays.sum_ms as f64 / 1000.0;
    writer.sample(&format!("{name}_sum"), &[], sum_s);
    writer.sample(&format!("{name}_count"), &[], total as f64);
}

fn series_limits(writer: &mut TextWriter, stats: &StoreStats, app: &App) {
    let name = "kymo_storage_series_limit_total";
    writer.family(
        name,
        Kind::Counter,
        "Series refused, by the limit they met.",
    );
    for (kind, refused) in [
        ("total", stats.series_limit_total),
        ("metric", stats.metric_series_limit_total),
        ("target", stats.target_series_limit_total),
    ] {
        writer.sample(name, &[("kind", kind)], refused as f64);
    }
    let name = "kymo_storage_series_limit";
    writer.family(
        name,
        Kind::Gauge,
        "Most series held at one time, 0: no limit.",
    );
    for (kind, limit) in [
        ("total", app.flags.storage.max_series),
        ("metric", app.flags.storage.max_series_per_metric),
        ("target", app.flags.storage.max_series_per_target),
    ] {
        writer.sample(name, &[("kind", kind)], limit as f64);
    }
}

fn exemplars(writer: &mut TextWriter, stats: &ExemplarStats) {
    writer.counter(
        "prometheus_tsdb_exemplar_exemplars_appended_total",
        "Total number of appended exemplars.",
        stats.appended_total,
    );
    writer.counter(
        "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
        "Total number of out of order exemplar ingestion failed attempts.",
        stats.out_of_order_total,
    );
    writer.counter(
        "kymo_storage_exemplars_refused_total",
        "Exemplars refused because their labels were too long.",
        stats.long_labels_total,
    );
    for (name, help, value) in [
        (
            "prometheus_tsdb_exemplar_exemplars_in_storage",
            "Number of exemplars currently in circular storage.",
            stats.exemplars as f64,
        ),
        (
            "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
            "Number of series with exemplars currently in circular storage.",
            stats.series as f64,
        ),
        (
            "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
            "The timestamp of the oldest exemplar stored in circular storage. Useful to check for what time\
             range the current exemplar buffer limit allows. This usually means the last timestamp\
             for all exemplars for a typical setup. This is not true though if one of the series timestamp is in future compared to rest series.",
            stats.first_time_ms.map_or(0.0, |ms| ms as f64 / 1000.0),
        ),
        (
            "prometheus_tsdb_exemplar_max_exemplars",
            "Total number of exemplars the exemplar storage can store, resizeable.",
            stats.max_exemplars as f64,
        ),
    ] {
        writer.gauge(name, help, value);
    }
}

fn metadata(writer: &mut TextWriter, stats: &MetadataStats) {
    writer.gauge(
        "kymo_storage_metadata_metrics",
        "Metrics whose metadata is stored.",
        stats.metrics as f64,
    );
    for (name, help, value) in [
        (
            "kymo_storage_metadata_changes_total",
            "Times stored metadata was new or changed.",
            stats.changes_total,
        ),
        (
            "kymo_storage_metadata_refused_total",
            "Metadata refused because there was too much.",
            stats.refused_total,
        ),
        (
            "kymo_storage_metadata_cut_total",
            "Help texts and units that were cut to their longest length.",
            stats.cut_total,
        ),
    ] {
        writer.counter(name, help, value);
    }
}
