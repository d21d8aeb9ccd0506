//! Plain counters and gauges of a log store. The server turns them into metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::store::LogStore;
use crate::metrics::Damage;

/// What the opening of a log store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecovery {
    /// Streams that are known.
    pub streams: u64,
    /// Entries that were read from the log.
    pub entries: u64,
    /// Segments of the log that were read.
    pub segments: u64,
    /// Their bytes.
    pub wal_bytes: u64,
    /// Parts that are served.
    pub parts: u64,
    /// What could not be read, and an unfinished commit at the end of the log.
    pub damages: Vec<Damage>,
}

/// State of a [`LogStore`] at one moment. Names ending in `_total` only grow while the
/// store is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Streams that are known.
    pub streams: u64,
    /// Streams created since the store was opened, without replayed ones.
    pub streams_created_total: u64,
    /// Entries stored, without replayed ones.
    pub entries_total: u64,
    /// Bytes of lines and metadata of these.
    pub bytes_total: u64,
    /// Entries left out because an equal one was there.
    pub duplicates_total: u64,
    /// Entries refused.
    pub rejected_total: u64,
    /// Entries in memory.
    pub memory_entries: u64,
    /// Bytes of memory: tables, what is kept for the next ones, index and what the store
    /// remembers of streams.
    pub memory_bytes: u64,
    /// Segments of the log.
    pub wal_segments: u64,
    /// Their bytes.
    pub wal_bytes: u64,
    /// Bytes written to the log since the store was opened.
    pub wal_written_bytes_total: u64,
    /// Commits of the log.
    pub wal_commits_total: u64,
    /// Commits that failed.
    pub wal_failures_total: u64,
    /// Syncs of the log.
    pub wal_syncs_total: u64,
    /// Parts on disk.
    pub parts: u64,
    /// Bytes of their files.
    pub parts_bytes: u64,
    /// Entries in them.
    pub parts_entries: u64,
    /// Bytes of the lines of these.
    pub parts_line_bytes: u64,
    /// Time of the oldest entry of a part in nanoseconds, `None` while there is none.
    pub parts_first_ns: Option<i64>,
    /// Flushes of memory to parts.
    pub flushes_total: u64,
    /// Flushes that failed.
    pub flush_failures_total: u64,
    /// Entries that went to parts.
    pub flushed_total: u64,
    /// Merges of parts.
    pub merges_total: u64,
    /// Parts written anew because of deletions or retention.
    pub cleanings_total: u64,
    /// Parts dropped because of their age.
    pub dropped_by_time_total: u64,
    /// Parts dropped for want of allowed space.
    pub dropped_by_size_total: u64,
    /// Deletions that hide entries that are still there.
    pub deletions_pending: u64,
    /// Damages found.
    pub damages_total: u64,
    /// Why writes are refused, where they are.
    pub poisoned: Option<String>,
}

/// Counters that no part of the store keeps itself.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) streams_created: AtomicU64,
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) wal_failures: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) flush_failures: AtomicU64,
    pub(super) flushed: AtomicU64,
    pub(super) merges: AtomicU64,
    pub(super) cleanings: AtomicU64,
    pub(super) dropped_by_time: AtomicU64,
    pub(super) dropped_by_size: AtomicU64,
}

impl LogStore {
    /// Returns counters and gauges.
    pub fn stats(&self) -> LogStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        let mut stats = LogStats {
            streams_created_total: load(&counters.streams_created),
            entries_total: load(&counters.entries),
            bytes_total: load(&counters.bytes),
            duplicates_total: load(&counters.duplicates),
            rejected_total: load(&counters.rejected),
            memory_bytes: self.memory_bytes(),
            wal_failures_total: load(&counters.wal_failures),
            wal_syncs_total: load(&counters.syncs),
            flushes_total: load(&counters.flushes),
            flush_failures_total: load(&counters.flush_failures),
            flushed_total: load(&counters.flushed),
            merges_total: load(&counters.merges),
            cleanings_total: load(&counters.cleanings),
            dropped_by_time_total: load(&counters.dropped_by_time),
            dropped_by_size_total: load(&counters.dropped_by_size),
            damages_total: self.damages.total(),
            poisoned: self.poisoned(),
            ..LogStats::default()
        };
        stats.streams = self.index.read().len() as u64;
        let state = self.state.lock();
        let wal = state.wal.stats();
        let flushing = state.flushing.as_ref();
        let flushing = flushing.map_or(0, |flushing| flushing.table.len());
        stats.memory_entries = (state.table.len() + flushing) as u64;
        for part in state.parts.iter() {
            let meta = part.meta();
            stats.parts += 1;
            stats.parts_bytes += meta.file_bytes;
            stats.parts_entries += meta.rows;
            stats.parts_line_bytes += meta.line_bytes;
            let first_ns = stats.parts_first_ns.unwrap_or(i64::MAX);
            stats.parts_first_ns = Some(first_ns.min(meta.first_ns));
        }
        let pending = state.deletions.iter().filter(|deletion| deletion.hides());
        stats.deletions_pending = pending.count() as u64;
        stats.wal_segments = wal.segments;
        stats.wal_bytes = wal.len_bytes;
        stats.wal_written_bytes_total = wal.written_bytes;
        stats.wal_commits_total = wal.commits;
        stats
    }

    /// Returns how much memory the store holds, in bytes. Cheap enough to be asked several
    /// times a second.
    pub fn memory_bytes(&self) -> u64 {
        let index = {
            let index = self.index.read();
            index.dictionary_bytes() + index.label_bytes() + index.postings_estimate_bytes()
        };
        let state = self.state.lock();
        let notes = state.notes.capacity() * size_of::<super::store::StreamNote>();
        let tables = state.table_bytes() + state.table.spare().memory_bytes();
        (index + notes + tables) as u64
    }
}
