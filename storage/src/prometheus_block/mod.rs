//! Prometheus' own blocks: read by those who move in, written for those who move on.
//!
//! ```text
//! 01ABC.../           named by a ULID
//!   meta.json         time range, counts, where it came from
//!   index             symbols | series | postings | postings table | contents
//!   chunks/000001     magic, then chunk after chunk; 000002 and so on
//!   tombstones        deleted intervals by series
//! ```
//!
//! Fixed integers are big-endian, checksums are CRC-32C, `uvarint` and `varint` are
//! those of protobuf, the latter zigzag. Each file is drawn in its module
//! here, and what is read and what is refused in `docs/formats/prometheus-block.md`.
//!
//! Invariants:
//! - A block whose index is damaged does not open: [`Reader::open`] checks every
//!   series and every reference before the first sample is handed out.
//! - What is not taken is counted. Nothing is left out without a line in the
//!   [`ImportReport`], and no sample is handed out twice.
//! - A written block appears under its name whole and durable, or not at all.
//!
//! It is not a store: nothing is looked up here, and a block is never changed.

pub mod chunk;
mod columns;
mod histogram;
mod index;
mod index_writer;
mod meta;
mod output;
mod reader;
mod report;
mod scan;
mod segments;
mod series_entry;
mod tombstones;
mod varbit;
mod writer;
mod xor;
mod xor2;

#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
mod tests;

pub use meta::BlockMeta;
pub use reader::{Cursor, Reader, Series, block_names};
pub use report::{ImportReport, Skipped, SkippedKind};
pub use writer::{Writer, WriterOptions};

use std::io;
use std::path::{Path, PathBuf};

use crate::block::Ulid;
use crate::fs::FsError;
use crate::model::Labels;

/// Returns a name for a new block: a ULID of a time in milliseconds since the epoch and
/// bytes taken by chance.
pub fn ulid(t_ms: u64, chance: [u8; 10]) -> String {
    Ulid::new(t_ms, chance).to_string()
}

/// Why a block of Prometheus cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrometheusBlockError {
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
    /// The directory is not a block.
    #[error("{} is not a block of Prometheus: {detail}", .path.display())]
    NotABlock {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The bytes are not what Prometheus writes.
    #[error("{} is damaged at byte {offset}: {detail}; take the block from a backup", .path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What was expected and what was found.
        detail: String,
    },
    /// The file has a version that is not read.
    #[error("{}: {detail}", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Which version, who writes it, and what to do.
        detail: String,
    },
    /// A series was handed to the writer that cannot come next.
    #[error("series {labels:?} cannot be written: {detail}")]
    Series {
        /// Its labels.
        labels: Labels,
        /// What is wrong with it.
        detail: String,
    },
    /// What the block should be is no block.
    #[error("a block cannot be written: {0}")]
    Options(String),
    /// The block is larger than the format allows.
    #[error("{what} of the block {} is larger than the format allows ({limit}); write a shorter range", .path.display())]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// The directory of the block.
        path: PathBuf,
        /// The limit with its unit.
        limit: &'static str,
    },
}

impl PrometheusBlockError {
    fn corrupt(path: &Path, offset: u64, detail: impl Into<String>) -> PrometheusBlockError {
        PrometheusBlockError::Corrupt {
            path: path.to_path_buf(),
            offset,
            detail: detail.into(),
        }
    }

    /// Tells whether the disk or the quota is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, PrometheusBlockError::Io { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ))
    }
}

impl From<FsError> for PrometheusBlockError {
    fn from(error: FsError) -> PrometheusBlockError {
        match error {
            FsError::Io { op, path, source } => PrometheusBlockError::Io {
                operation: op,
                path,
                source,
            },
            FsError::TooLong { ref path, .. } | FsError::Locked { ref path } => {
                PrometheusBlockError::NotABlock {
                    path: path.clone(),
                    detail: error.to_string(),
                }
            }
            FsError::Name { name } => {
                PrometheusBlockError::Options(format!("{name:?} is not a plain file name"))
            }
        }
    }
}

type Result<T> = std::result::Result<T, PrometheusBlockError>;
