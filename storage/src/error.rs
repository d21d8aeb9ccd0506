//! What can go wrong in the store, and why a sample is not accepted.

use std::io;
use std::path::PathBuf;

use crate::block::BlockError;
use crate::compat::float;
use crate::fs::FsError;
use crate::logs::part::PartError;
use crate::model::Exemplar;
use crate::model::histogram::HistogramError;
use crate::wal::WalError;

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// An operation on a file failed.
    #[error("cannot {operation} {}", .path.display())]
    Io {
        /// What was tried, such as `write`.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The answer of the operating system.
        #[source]
        source: io::Error,
    },
    /// Another process has the directory open.
    #[error("directory {} is in use by another process; stop it or choose another directory", .path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// Stored bytes are not what was written.
    #[error("{} is damaged at byte {offset}: {detail}", .path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What was expected and what was found.
        detail: String,
    },
    /// The disk is full. Nothing of what was asked is acknowledged; it can be tried
    /// again when there is space.
    #[error("the disk is full; free space below {}, nothing stored so far is lost", .dir.display())]
    DiskFull {
        /// A directory of the store.
        dir: PathBuf,
    },
    /// A transaction is larger than the log takes. Nothing of it is stored.
    #[error("{detail}; write less at a time")]
    TooLarge {
        /// What is too large, its size and the limit.
        detail: String,
    },
    /// The directory was written by a version that this one cannot read.
    #[error("{} says {found:?}, this version reads {expected:?}; use the version that wrote it, or another directory", .path.display())]
    Version {
        /// The file that names the version.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// A chunk in memory is not what was written.
    #[error("a chunk of series {series} cannot be decoded")]
    Chunk {
        /// The labels of the series.
        series: String,
    },
    /// A block cannot take what was to be written to it.
    #[error("{detail}")]
    Block {
        /// What, and the rule.
        detail: String,
    },
    /// A directory that is to be filled has something in it.
    #[error("{} is in the way; choose a directory that is empty or does not exist", .path.display())]
    NotEmpty {
        /// What is there.
        path: PathBuf,
    },
    /// The caller broke off what was being done. Nothing of it is left.
    #[error("stopped before it was done; nothing is changed")]
    Stopped,
    /// An earlier write failed; nothing more is accepted until a restart.
    #[error(
        "the store takes no more writes after an earlier failure: {reason}; data can still be read; repair the cause and restart"
    )]
    Poisoned {
        /// The failure that stopped writing.
        reason: String,
    },
}

impl AppendError {
    /// Tells whether a limit on series refused a new one.
    pub fn is_series_limit(&self) -> bool {
        matches!(
            self,
            AppendError::SeriesLimit { .. }
                | AppendError::MetricSeriesLimit { .. }
                | AppendError::TargetSeriesLimit { .. }
        )
    }
}

impl From<FsError> for StorageError {
    fn from(error: FsError) -> StorageError {
        match error {
            FsError::Io { op, path, source } => StorageError::Io {
                operation: op,
                path,
                source,
            },
            FsError::Locked { path } => StorageError::Locked { path },
            other => StorageError::Poisoned {
                reason: other.to_string(),
            },
        }
    }
}

impl From<BlockError> for StorageError {
    fn from(error: BlockError) -> StorageError {
        match error {
            BlockError::Fs(error) if error.is_disk_full() => StorageError::DiskFull {
                dir: error.directory(),
            },
            BlockError::Fs(error) => error.into(),
            BlockError::Corrupt {
                path,
                offset,
                detail,
            } => StorageError::Corrupt {
                path,
                offset,
                detail,
            },
            BlockError::Version {
                path,
                found,
                supported,
            } => StorageError::Version {
                path,
                found: format!("version {found}"),
                expected: format!("version {supported} and before"),
            },
            other => StorageError::Block {
                detail: other.to_string(),
            },
        }
    }
}

impl From<PartError> for StorageError {
    fn from(error: PartError) -> StorageError {
        match error {
            PartError::Fs(error) if error.is_disk_full() => StorageError::DiskFull {
                dir: error.directory(),
            },
            PartError::Fs(error) => error.into(),
            PartError::Corrupt {
                path,
                offset,
                detail,
            } => StorageError::Corrupt {
                path,
                offset,
                detail,
            },
            PartError::Version {
                path,
                found,
                supported,
            } => StorageError::Version {
                path,
                found: format!("version {found}"),
                expected: format!("version {supported} and before"),
            },
            PartError::Stopped => StorageError::Stopped,
            other => StorageError::Block {
                detail: other.to_string(),
            },
        }
    }
}

impl From<WalError> for StorageError {
    fn from(error: WalError) -> StorageError {
        match error {
            WalError::Fs(error) => error.into(),
            WalError::DiskFull { dir, .. } => StorageError::DiskFull { dir },
            WalError::TooLarge { .. } => StorageError::TooLarge {
                detail: error.to_string(),
            },
            WalError::Version {
                path,
                found,
                supported,
            } => StorageError::Version {
                path,
                found: format!("version {found}"),
                expected: format!("version {supported} and before"),
            },
            other => StorageError::Poisoned {
                reason: other.to_string(),
            },
        }
    }
}

/// A sample, series or exemplar was not accepted. The texts are Prometheus', because its
/// clients look at them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The series has a newer sample.
    #[error("out of order sample")]
    OutOfOrder,
    /// The series has another value at this very time.
    #[error("duplicate sample for timestamp {t_ms}; overrides not allowed: existing {}, new value {}", float::g(*existing), float::g(*new))]
    DuplicateTimestamp {
        /// Time of both samples in milliseconds.
        t_ms: i64,
        /// The value that stays.
        existing: f64,
        /// The value that was refused.
        new: f64,
    },
    /// The series has a histogram at this very time.
    #[error("duplicate sample for timestamp {t_ms}; overrides not allowed: existing is a histogram, new value {}", float::g(*new))]
    DuplicateAfterHistogram {
        /// Time of both samples in milliseconds.
        t_ms: i64,
        /// The value that was refused.
        new: f64,
    },
    /// The series has another sample at the very time of a histogram.
    #[error("duplicate sample for timestamp")]
    DuplicateHistogram,
    /// The histogram is none.
    #[error(transparent)]
    Histogram(#[from] HistogramError),
    /// The histogram has more buckets than the log holds.
    #[error("histogram has {found} buckets, at most {limit} are stored; lower its resolution")]
    TooManyBuckets {
        /// How many it has.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The sample is too far behind the newest sample of the store.
    #[error("out of bounds")]
    OutOfBounds,
    /// The sample is older than the out-of-order window.
    #[error("too old sample")]
    TooOld,
    /// The reference does not name a series (any more).
    #[error("unknown series")]
    UnknownSeries,
    /// The store holds as many series as it may.
    #[error(
        "series limit of {limit} reached; raise the limit or drop series before they are stored"
    )]
    SeriesLimit {
        /// The limit.
        limit: usize,
    },
    /// The metric has as many series as it may.
    #[error(
        "metric {metric} has reached the limit of {limit} series per metric; raise --storage.max-series-per-metric, or drop series or labels of it before they are stored"
    )]
    MetricSeriesLimit {
        /// The limit.
        limit: usize,
        /// Name of the metric.
        metric: String,
    },
    /// The target has as many series as it may.
    #[error(
        "target job={job:?}, instance={instance:?} has reached the limit of {limit} series per target; raise --storage.max-series-per-target, or drop series of it before they are stored"
    )]
    TargetSeriesLimit {
        /// The limit.
        limit: usize,
        /// Label `job` of the target.
        job: String,
        /// Label `instance` of the target.
        instance: String,
    },
    /// The exemplar is older than the newest of its series.
    #[error("out of order exemplar")]
    OutOfOrderExemplar,
    /// The exemplar has too long labels.
    #[error(
        "label length for exemplar exceeds maximum of {} UTF-8 characters",
        Exemplar::MAX_LABEL_CHARS
    )]
    ExemplarLabels,
    /// The labels cannot name a series.
    #[error("{0}")]
    InvalidLabels(String),
}

impl AppendError {
    /// Tells whether the series has another sample at the very time.
    pub fn is_duplicate(&self) -> bool {
        matches!(
            self,
            AppendError::DuplicateTimestamp { .. }
                | AppendError::DuplicateAfterHistogram { .. }
                | AppendError::DuplicateHistogram
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_that_clients_match_on() {
        assert_eq!(AppendError::OutOfOrder.to_string(), "out of order sample");
        assert_eq!(AppendError::OutOfBounds.to_string(), "out of bounds");
        assert_eq!(AppendError::TooOld.to_string(), "too old sample");
        let error = AppendError::DuplicateTimestamp {
            t_ms: 1000,
            existing: 3.0,
            new: 9.0,
        };
        assert_eq!(
            error.to_string(),
            "duplicate sample for timestamp 1000; overrides not allowed: existing 3, new value 9"
        );
    }
}
