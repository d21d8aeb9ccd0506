//! Metrics of the store, under Prometheus' names where it has them.

use kymo_storage::metrics::{ExemplarStats, MetadataStats, StoreStats};

use super::exposition::{Kind, TextWriter};
use crate::app::App;

/// Writes what the store counted and holds.
pub(super) fn write(writer: &mut TextWriter, stats: &StoreStats, app: &App) {
    let seconds = |ms: Option<i64>| ms.map_or(0.0, |ms| ms as f64 / 1000.0);
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
            seconds(stats.min_time_ms),
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
            "prometheus_tsdb_out_of_bound_samples_total",
            "Total number of out of bound samples ingestion failed attempts with out of order support disabled.",
            stats.out_of_bounds_total,
        ),
        (
            "prometheus_tsdb_out_of_order_samples_total",
            "Total number of out of order samples ingestion failed attempts due to out of order being disabled.",
            stats.out_of_order_total,
        ),
        (
            "prometheus_tsdb_too_old_samples_total",
            "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.",
            stats.too_old_total,
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
    let name = "prometheus_tsdb_head_samples_appended_total";
    writer.family(name, Kind::Counter, "Total number of appended samples.");
    writer.sample(
        name,
        &[("type", "float")],
        stats.samples_appended_total as f64,
    );
    let name = "kymo_storage_memory_bytes";
    writer.family(name, Kind::Gauge, "Memory of the store by what it holds.");
    for (part, bytes) in [
        ("series", stats.memory.series),
        ("open_chunks", stats.memory.open_chunks),
        ("sealed_chunks", stats.memory.sealed_chunks),
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
    series_limits(writer, stats, app);
    exemplars(writer, &stats.exemplars);
    metadata(writer, &stats.metadata);
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
        ("total", app.flags.max_series),
        ("metric", app.flags.max_series_per_metric),
        ("target", app.flags.max_series_per_target),
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
