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
    /// Bytes of memory: tables, index and what the store remembers of streams.
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
    pub(super) damages: AtomicU64,
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
            damages_total: load(&counters.damages),
            poisoned: self.poisoned(),
            ..LogStats::default()
        };
        stats.streams = self.index.read().len() as u64;
        let state = self.state.lock();
        let wal = state.wal.stats();
        stats.memory_entries = state.table.len() as u64;
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
        (index + notes + state.table.memory_bytes()) as u64
    }
}
