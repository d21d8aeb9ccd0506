//! What a store needs to know when it is opened, with units and defaults.

use std::path::PathBuf;

/// Default range of a block, 2 h.
const BLOCK_RANGE_MS: i64 = 2 * 3_600_000;

/// Default size of a WAL segment, 64 MiB.
const WAL_SEGMENT_BYTES: u64 = 64 << 20;

/// Options of a [`MetricStore`](crate::metrics::MetricStore).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Directory that holds everything the store writes. It is created if absent.
    pub dir: PathBuf,
    /// Number of independent shards, rounded up to a power of two. 0 means four
    /// for each core.
    pub shards: usize,
    /// When written data is forced to the disk.
    pub wal_sync: SyncPolicy,
    /// Size in bytes after which a WAL segment is closed and the next one begun.
    pub wal_segment_bytes: u64,
    /// How far samples may be behind the newest one of the store and yet be accepted
    /// when their series has a newer one, in milliseconds. 0 is not at all.
    pub out_of_order_window_ms: i64,
    /// Length in milliseconds of the range of a block that is written from the head; a
    /// quarter and a twelfth of the wider ranges that blocks are merged to.
    pub block_range_ms: i64,
    /// Most series held at one time; creating one more is refused. 0 is no limit.
    pub max_series: usize,
    /// Most series of one metric name at one time. 0 is no limit.
    pub max_series_per_metric: usize,
    /// Most series of one target at one time, that is with the same labels `job` and
    /// `instance`; series without one of them belong to no target. 0 is no limit.
    pub max_series_per_target: usize,
    /// Most exemplars kept over all series, the last ones. 0 keeps none.
    pub max_exemplars: usize,
}

impl StoreOptions {
    /// Returns the defaults for a store in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> StoreOptions {
        StoreOptions {
            dir: dir.into(),
            shards: 0,
            wal_sync: SyncPolicy::Interval,
            wal_segment_bytes: WAL_SEGMENT_BYTES,
            out_of_order_window_ms: 0,
            block_range_ms: BLOCK_RANGE_MS,
            max_series: 0,
            max_series_per_metric: 0,
            max_series_per_target: 0,
            max_exemplars: 0,
        }
    }
}

/// When written data is forced to the disk. In every policy a commit has been
/// handed to the operating system before it returns, so a killed process loses
/// nothing; the policies differ in what a power loss may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncPolicy {
    /// Before a commit returns: a power loss takes nothing acknowledged.
    Always,
    /// When somebody calls [`sync`](crate::metrics::MetricStore::sync), normally
    /// once a second: a power loss takes at most what came since the last call.
    Interval,
    /// When the operating system likes.
    Never,
}
