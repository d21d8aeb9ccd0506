//! What a log store needs to know when it is opened, with units and defaults.

use std::path::PathBuf;

use super::deletion::FilterCompiler;
use crate::options::SyncPolicy;

/// Default size of a WAL segment, 16 MiB.
const WAL_SEGMENT_BYTES: u64 = 16 << 20;

/// Default for the bytes of memory of the entries of a flush, 24 MiB.
const FLUSH_BYTES: usize = 24 << 20;

/// Default for the time that entries stay in memory, 10 min.
const FLUSH_AGE_NS: i64 = 600 * 1_000_000_000;

/// Options of a [`LogStore`](super::LogStore).
#[derive(Debug, Clone)]
pub struct LogStoreOptions {
    /// The data directory. The store writes below `logs/` in it, which is created if
    /// absent; a metrics store may have the same one.
    pub dir: PathBuf,
    /// When written data is forced to the disk.
    pub wal_sync: SyncPolicy,
    /// Size in bytes after which a WAL segment is closed and the next one begun.
    pub wal_segment_bytes: u64,
    /// How far an entry may be behind the newest one of its stream, in nanoseconds; an
    /// entry that is further behind is rejected. 0 is any distance.
    pub behind_limit_ns: i64,
    /// Most streams held at one time; entries of one more are rejected. 0 is no limit.
    pub max_streams: usize,
    /// Bytes of memory after which the entries in it are to be flushed; where nobody does,
    /// a push does it before there are twice as many.
    pub flush_bytes: usize,
    /// How long entries stay in memory at most, in nanoseconds.
    pub flush_age_ns: i64,
    /// Makes the filters of deletions again that were not processed before a restart.
    pub filters: Option<FilterCompiler>,
}

impl LogStoreOptions {
    /// Returns the defaults for a store in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> LogStoreOptions {
        LogStoreOptions {
            dir: dir.into(),
            wal_sync: SyncPolicy::Interval,
            wal_segment_bytes: WAL_SEGMENT_BYTES,
            behind_limit_ns: 0,
            max_streams: 0,
            flush_bytes: FLUSH_BYTES,
            flush_age_ns: FLUSH_AGE_NS,
            filters: None,
        }
    }
}
