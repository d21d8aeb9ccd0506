//! Why a block could not be written or read.

use std::path::{Path, PathBuf};

use crate::fs::FsError;

/// A block could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The disk refused.
    #[error(transparent)]
    Fs(#[from] FsError),
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
    /// A file was written by a version that this one cannot read.
    #[error("{} has format version {found}, this version reads {supported} and before; use the version that wrote it", .path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The newest that can be read.
        supported: u32,
    },
    /// What is to be written does not fit the format. The block is given up.
    #[error("block {} cannot take {what}", .path.display())]
    Input {
        /// The directory of the block.
        path: PathBuf,
        /// What does not fit, and the rule.
        what: String,
    },
    /// There is no such series.
    #[error("block {} has {n_series} series, there is none with number {series}", .path.display())]
    NoSeries {
        /// The directory of the block.
        path: PathBuf,
        /// The number that was asked for.
        series: u32,
        /// How many there are.
        n_series: u32,
    },
}

impl BlockError {
    pub(crate) fn corrupt(path: &Path, offset: u64, detail: impl Into<String>) -> BlockError {
        BlockError::Corrupt {
            path: path.to_path_buf(),
            offset,
            detail: detail.into(),
        }
    }

    /// Tells whether the bytes of the block are at fault: trying again does not help.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, BlockError::Corrupt { .. })
    }
}
