//! Metrics of logs: under Loki's names where dashboards and alerts read them, and our own
//! for the store.

use kymo_ingest::loki::{Reason, TENANT};
use kymo_storage::logs::LogStats;

use super::Logs;
use crate::observe::exposition::{Kind, TextWriter};

/// Writes what was received, and what the store holds once it is open.
pub(crate) fn write(writer: &mut TextWriter, logs: &Logs, store: Option<&LogStats>) {
    received(writer, logs);
    if let Some(stats) = store {
        stored(writer, stats);
    }
}

fn received(writer: &mut TextWriter, logs: &Logs) {
    let stats = logs.receiver.stats();
    let tenant = [("tenant", TENANT)];
    for (name, help, value) in [
        (
            "loki_distributor_lines_received_total",
            "The total number of lines received per tenant",
            stats.lines,
        ),
        (
            "loki_distributor_bytes_received_total",
            "The total number of uncompressed bytes received per tenant. Includes structured metadata bytes.",
            stats.bytes,
        ),
        (
            "loki_distributor_structured_metadata_bytes_received_total",
            "The total number of uncompressed bytes received per tenant for entries' structured metadata",
            stats.metadata_bytes,
        ),
    ] {
        writer.family(name, Kind::Counter, help);
        writer.sample(name, &tenant, value as f64);
    }
    let by_reason = Reason::ALL.into_iter().zip(stats.discarded);
    let by_reason: Vec<_> = by_reason
        .filter(|(_, discarded)| discarded.lines > 0 || discarded.bytes > 0)
        .collect();
    let name = "loki_discarded_samples_total";
    writer.family(
        name,
        Kind::Counter,
        "The total number of samples that were discarded.",
    );
    for (reason, discarded) in &by_reason {
        let labels = [("reason", reason.as_str()), ("tenant", TENANT)];
        writer.sample(name, &labels, discarded.lines as f64);
    }
    let name = "loki_discarded_bytes_total";
    writer.family(
        name,
        Kind::Counter,
        "The total number of bytes that were discarded.",
    );
    for (reason, discarded) in &by_reason {
        let labels = [("reason", reason.as_str()), ("tenant", TENANT)];
        writer.sample(name, &labels, discarded.bytes as f64);
    }
    let cut = [("reason", Reason::LineTooLong.as_str()), ("tenant", TENANT)];
    for (name, help, value) in [
        (
            "loki_mutated_samples_total",
            "The total number of samples that have been mutated.",
            stats.cut_lines,
        ),
        (
            "loki_mutated_bytes_total",
            "The total number of bytes that have been mutated.",
            stats.cut_bytes,
        ),
    ] {
        writer.family(name, Kind::Counter, help);
        writer.sample(name, &cut, value as f64);
    }
}

fn stored(writer: &mut TextWriter, stats: &LogStats) {
    for (name, help, value) in [
        (
            "kymo_logs_streams",
            "Streams that the store of logs knows.",
            stats.streams,
        ),
        (
            "kymo_logs_memory_entries",
            "Entries in memory, not yet in a part on disk.",
            stats.memory_entries,
        ),
        (
            "kymo_logs_memory_bytes",
            "Memory of the store of logs: entries, index and what it remembers of streams.",
            stats.memory_bytes,
        ),
        (
            "kymo_logs_wal_segments",
            "Segments of the log that a restart would read.",
            stats.wal_segments,
        ),
        ("kymo_logs_wal_bytes", "Bytes of these.", stats.wal_bytes),
        ("kymo_logs_parts", "Parts on disk.", stats.parts),
        (
            "kymo_logs_parts_bytes",
            "Bytes of the files of parts.",
            stats.parts_bytes,
        ),
        (
            "kymo_logs_parts_entries",
            "Entries in parts.",
            stats.parts_entries,
        ),
        (
            "kymo_logs_parts_line_bytes",
            "Bytes of the lines of these, as they came.",
            stats.parts_line_bytes,
        ),
        (
            "kymo_logs_deletions_pending",
            "Deletions that hide entries that are still on disk.",
            stats.deletions_pending,
        ),
        (
            "kymo_logs_poisoned",
            "Whether the store of logs takes no more writes because the disk failed.",
            u64::from(stats.poisoned.is_some()),
        ),
    ] {
        writer.gauge(name, help, value as f64);
    }
    for (name, help, value) in [
        (
            "kymo_logs_streams_created_total",
            "Streams created.",
            stats.streams_created_total,
        ),
        (
            "kymo_logs_entries_total",
            "Entries stored.",
            stats.entries_total,
        ),
        (
            "kymo_logs_bytes_total",
            "Bytes of lines and metadata of these.",
            stats.bytes_total,
        ),
        (
            "kymo_logs_duplicates_total",
            "Entries left out because an equal one was there.",
            stats.duplicates_total,
        ),
        (
            "kymo_logs_wal_written_bytes_total",
            "Bytes written to the log.",
            stats.wal_written_bytes_total,
        ),
        (
            "kymo_logs_wal_commits_total",
            "Commits of the log.",
            stats.wal_commits_total,
        ),
        (
            "kymo_logs_wal_failures_total",
            "Commits of the log that failed.",
            stats.wal_failures_total,
        ),
        (
            "kymo_logs_wal_syncs_total",
            "How often the log was forced to the disk.",
            stats.wal_syncs_total,
        ),
        (
            "kymo_logs_flushes_total",
            "Flushes of memory to parts.",
            stats.flushes_total,
        ),
        (
            "kymo_logs_flush_failures_total",
            "Flushes that failed.",
            stats.flush_failures_total,
        ),
        (
            "kymo_logs_merges_total",
            "Merges of parts.",
            stats.merges_total,
        ),
        (
            "kymo_logs_cleanings_total",
            "Parts written anew because of deletions or retention.",
            stats.cleanings_total,
        ),
        (
            "kymo_logs_dropped_by_time_total",
            "Parts dropped because of their age.",
            stats.dropped_by_time_total,
        ),
        (
            "kymo_logs_dropped_by_size_total",
            "Parts dropped for want of allowed space.",
            stats.dropped_by_size_total,
        ),
        (
            "kymo_logs_damages_total",
            "Damages found in files of the store of logs.",
            stats.damages_total,
        ),
    ] {
        writer.counter(name, help, value);
    }
}
