//! Plain counters and gauges of a store. The server turns them into metrics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

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
    /// Samples committed, histograms included, without replayed ones.
    pub samples_appended_total: u64,
    /// What was of histograms in the counters of samples.
    pub histograms: HistogramStats,
    /// Samples refused, or dropped at commit, because the series had a newer one.
    pub out_of_order_total: u64,
    /// Samples refused, or dropped at commit, because another value was there already.
    pub duplicate_total: u64,
    /// Samples refused because they were too far behind the newest sample.
    pub out_of_bounds_total: u64,
    /// Samples refused because they were older than the out-of-order window.
    pub too_old_total: u64,
    /// Samples that came late and were stored.
    pub late_appended_total: u64,
    /// How far samples were behind that were not in order, stored or not.
    pub delays: Delays,
    /// Late samples in memory.
    pub late_samples: u64,
    /// Times of the oldest and the newest late sample in memory in milliseconds.
    pub late_times_ms: Option<(i64, i64)>,
    /// Deleted intervals of series in memory.
    pub tombstones: u64,
    /// References that named no series.
    pub series_not_found_total: u64,
    /// Series refused by `max_series`.
    pub series_limit_total: u64,
    /// Series refused by `max_series_per_metric`.
    pub metric_series_limit_total: u64,
    /// Series refused by `max_series_per_target`.
    pub target_series_limit_total: u64,
    /// The exemplars.
    pub exemplars: ExemplarStats,
    /// The metadata of metrics.
    pub metadata: MetadataStats,
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
    /// Blocks on disk.
    pub blocks: BlockStats,
    /// Snapshots and files of the head.
    pub head: HeadStats,
    /// Calls of `truncate_before` that dropped something.
    pub truncations_total: u64,
    /// Why writes are refused, where they are.
    pub poisoned: Option<String>,
}

/// A histogram of how far samples were behind the newest one of the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delays {
    /// Samples that were behind by at most [`Delays::BOUNDS_MS`] each and by more than
    /// the bound before; the last are those that were behind by more than all.
    pub counts: [u64; Delays::BOUNDS_MS.len() + 1],
    /// The sum of all delays in milliseconds.
    pub sum_ms: i64,
}

impl Delays {
    /// Upper bounds in milliseconds: 10 and 30 minutes, 1, 2, 3, 6 and 12 hours, as in
    /// Prometheus.
    pub const BOUNDS_MS: [i64; 7] = [
        600_000, 1_800_000, 3_600_000, 7_200_000, 10_800_000, 21_600_000, 43_200_000,
    ];
}

/// [`Delays`] that are being counted.
#[derive(Debug, Default)]
pub(super) struct DelayCounters {
    counts: [AtomicU64; Delays::BOUNDS_MS.len() + 1],
    sum_ms: AtomicI64,
}

impl DelayCounters {
    /// Counts a sample of `t_ms`, if it is behind.
    pub(super) fn observe(&self, newest_ms: i64, t_ms: i64) {
        let delay_ms = newest_ms.saturating_sub(t_ms);
        if delay_ms > 0 {
            let bucket = Delays::BOUNDS_MS.partition_point(|&bound| bound < delay_ms);
            self.counts[bucket].fetch_add(1, Ordering::Relaxed);
            self.sum_ms.fetch_add(delay_ms, Ordering::Relaxed);
        }
    }

    /// Returns what was counted so far.
    pub(super) fn load(&self) -> Delays {
        Delays {
            counts: std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed)),
            sum_ms: self.sum_ms.load(Ordering::Relaxed),
        }
    }
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
    /// Late samples and deleted times.
    pub late: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Table from raw keys to series.
    pub aliases: u64,
    /// Interned names and values with their table.
    pub symbols: u64,
    /// Label sets of the series and the table that finds them.
    pub labels: u64,
    /// Postings.
    pub postings: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Metadata of metrics.
    pub metadata: u64,
    /// Counts of series by target.
    pub targets: u64,
}

impl MemoryStats {
    /// Returns the sum in bytes.
    pub fn total(&self) -> u64 {
        self.series
            + self.open_chunks
            + self.sealed_chunks
            + self.late
            + self.histograms
            + self.aliases
            + self.symbols
            + self.labels
            + self.postings
            + self.exemplars
            + self.metadata
            + self.targets
    }
}

/// Counters of histograms; those of all samples include them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistogramStats {
    /// Committed, without replayed ones.
    pub appended_total: u64,
    /// Of these, late ones.
    pub late_appended_total: u64,
    /// Refused, or dropped at commit, because the series had a newer sample.
    pub out_of_order_total: u64,
    /// Refused because they were older than the out-of-order window.
    pub too_old_total: u64,
    /// Refused because they were too far behind the newest sample of the store.
    pub out_of_bounds_total: u64,
}

/// State of the exemplars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExemplarStats {
    /// Exemplars stored, without replayed ones.
    pub appended_total: u64,
    /// Exemplars refused, or dropped at commit, because the series had a newer one.
    pub out_of_order_total: u64,
    /// Exemplars refused because their labels were too long.
    pub long_labels_total: u64,
    /// Exemplars in memory.
    pub exemplars: u64,
    /// Series that have one.
    pub series: u64,
    /// How many are kept at most.
    pub max_exemplars: u64,
    /// Time of the exemplar that came first, in milliseconds.
    pub first_time_ms: Option<i64>,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// State of the metadata of metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetadataStats {
    /// Metrics with metadata.
    pub metrics: u64,
    /// Times metadata was new or changed, without replayed ones.
    pub changes_total: u64,
    /// Metadata refused, because of the number of metrics, their bytes or a long name.
    pub refused_total: u64,
    /// Help texts and units that were cut.
    pub cut_total: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
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

/// State of the blocks, and what happened to them since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockStats {
    /// Blocks that are served.
    pub blocks: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Time of the oldest block in milliseconds, `None` while there is none.
    pub min_time_ms: Option<i64>,
    /// Intervals that were deleted and are still in blocks.
    pub tombstones: u64,
    /// Ranges of the head that were written to blocks.
    pub flushes_total: u64,
    /// Merges of blocks.
    pub merges_total: u64,
    /// Merges of blocks that shared times.
    pub overlapping_merges_total: u64,
    /// Compactions that failed.
    pub failures_total: u64,
    /// Blocks dropped because of their age.
    pub dropped_by_time_total: u64,
    /// Blocks dropped for want of allowed space.
    pub dropped_by_size_total: u64,
    /// Blocks set aside because they were damaged.
    pub set_aside_total: u64,
    /// Bytes that were checked against their checksums by scrubs.
    pub scrubbed_bytes_total: u64,
}

/// A block of the store. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockInfo {
    /// Its name.
    pub ulid: String,
    /// First millisecond of its range.
    pub min_t_ms: i64,
    /// First millisecond after its range.
    pub max_t_ms: i64,
    /// 1 for a block from the head, more for one that was merged.
    pub level: u32,
    /// Names of the blocks of level 1 whose data is in this one.
    pub sources: Vec<String>,
    /// Series.
    pub series: u64,
    /// Samples, deleted ones included.
    pub samples: u64,
    /// Chunks.
    pub chunks: u64,
    /// Deleted intervals.
    pub tombstones: u64,
    /// Bytes of the index on disk.
    pub index_bytes: u64,
    /// Bytes of the samples on disk.
    pub data_bytes: u64,
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
