//! Plain counters and gauges of a store. The server turns them into metrics.

/// State of a [`MetricStore`](super::MetricStore) at one moment. Names ending in
/// `_total` only grow while the store is open.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Series in memory.
    pub series: u64,
    /// Series whose newest sample is a stale marker.
    pub stale_series: u64,
    /// Series created since the store was opened, replayed ones included.
    pub series_created_total: u64,
    /// Series removed because no sample of theirs was left.
    pub series_removed_total: u64,
    /// Chunks in memory, open ones included.
    pub chunks: u64,
    /// Chunks begun.
    pub chunks_created_total: u64,
    /// Chunks dropped by retention.
    pub chunks_removed_total: u64,
    /// Bytes of chunk payload in memory, open chunks included.
    pub chunk_bytes: u64,
    /// Samples committed, without replayed ones.
    pub samples_appended_total: u64,
    /// Samples refused, or dropped at commit, because the series had a newer one.
    pub out_of_order_total: u64,
    /// Samples refused, or dropped at commit, because another value was there already.
    pub duplicate_total: u64,
    /// Samples refused because they were too far behind the newest sample.
    pub out_of_bounds_total: u64,
    /// Samples refused because they were older than the out-of-order window.
    pub too_old_total: u64,
    /// References that named no series.
    pub series_not_found_total: u64,
    /// Series refused by `max_series`.
    pub series_limit_total: u64,
    /// Time of the oldest sample in milliseconds, `None` while there is none.
    pub min_time_ms: Option<i64>,
    /// Time of the newest sample in milliseconds, `None` while there is none.
    pub max_time_ms: Option<i64>,
    /// Transactions begun and not yet ended.
    pub active_appenders: u64,
    /// Transactions begun so far (Prometheus' isolation high watermark).
    pub newest_append_id: u64,
    /// Newest transaction below which all have ended (its low watermark).
    pub settled_append_id: u64,
    /// Distinct label name and value pairs.
    pub label_pairs: u64,
    /// Bytes of distinct label names and values.
    pub symbol_bytes: u64,
    /// Where the memory is, in bytes.
    pub memory: MemoryStats,
    /// The write-ahead log.
    pub wal: WalStats,
    /// Snapshots and files of the head.
    pub head: HeadStats,
    /// Calls of `truncate_before` that dropped something.
    pub truncations_total: u64,
    /// Why writes are refused, where they are.
    pub poisoned: Option<String>,
}

/// Bytes of anonymous memory by purpose, counted from capacities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Columns of the series: last sample, state, references.
    pub series: u64,
    /// Open chunks.
    pub open_chunks: u64,
    /// Sealed chunks and their directory.
    pub sealed_chunks: u64,
    /// Table from raw keys to series.
    pub aliases: u64,
    /// Interned names and values with their table.
    pub symbols: u64,
    /// Label sets of the series and the table that finds them.
    pub labels: u64,
    /// Postings.
    pub postings: u64,
}

impl MemoryStats {
    /// Returns the sum in bytes.
    pub fn total(&self) -> u64 {
        self.series
            + self.open_chunks
            + self.sealed_chunks
            + self.aliases
            + self.symbols
            + self.labels
            + self.postings
    }
}

/// State of the write-ahead log over all shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalStats {
    /// Segments on disk.
    pub segments: u64,
    /// Highest segment number in use.
    pub current_segment: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes handed to the operating system since the store was opened.
    pub written_bytes_total: u64,
    /// Calls of `fdatasync`.
    pub syncs_total: u64,
    /// Calls of `write`.
    pub writes_total: u64,
    /// Writes or syncs that failed.
    pub writes_failed_total: u64,
    /// Damaged places found at open.
    pub corruptions_total: u64,
    /// Times segments were removed.
    pub truncations_total: u64,
}

/// State of what the head has on disk beside the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeadStats {
    /// Bytes of the newest snapshot, 0 if there is none.
    pub snapshot_bytes: u64,
    /// Bytes of the log that are in no snapshot.
    pub unsnapshotted_bytes: u64,
    /// Snapshots taken since the store was opened.
    pub snapshots_total: u64,
    /// Snapshots and writes of pages that failed.
    pub failures_total: u64,
    /// Full pages that wait in memory.
    pub pages_waiting: u64,
}

/// What the label sets look like, for `/api/v1/status/tsdb`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cardinality {
    /// Series in memory.
    pub series: u64,
    /// Distinct label name and value pairs.
    pub label_pairs: u64,
    /// Chunks in memory.
    pub chunks: u64,
    /// Time of the oldest sample in milliseconds, `None` while there is none.
    pub min_time_ms: Option<i64>,
    /// Time of the newest sample in milliseconds, `None` while there is none.
    pub max_time_ms: Option<i64>,
    /// Series for each metric name; largest first, equal counts by name.
    pub series_by_metric_name: Vec<(String, u64)>,
    /// Distinct values for each label name; largest first.
    pub values_by_label_name: Vec<(String, u64)>,
    /// Bytes of values over all series for each label name; largest first.
    pub bytes_by_label_name: Vec<(String, u64)>,
    /// Series for each `name=value`; largest first.
    pub series_by_label_pair: Vec<(String, u64)>,
}

/// What was found when the store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// WAL segments read.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Series that a snapshot had.
    pub snapshot_series: u64,
    /// Bytes of the snapshot.
    pub snapshot_bytes: u64,
    /// Series found.
    pub series: u64,
    /// Samples found in the WAL.
    pub samples: u64,
    /// Places that could not be read, in order of file and offset. A last segment
    /// that ends in the middle of a record, as a kill leaves it, is one of them.
    pub damages: Vec<Damage>,
}

/// A place in a file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: std::path::PathBuf,
    /// Where the unreadable part begins, in bytes.
    pub offset: u64,
    /// Bytes that were passed over.
    pub lost_bytes: u64,
    /// What was expected and what was found.
    pub detail: String,
}
