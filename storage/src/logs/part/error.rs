//! Why a part could not be written or read.

use std::path::{Path, PathBuf};

use crate::codec::CodecError;
use crate::fs::FsError;

/// A part could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
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
    /// What is to be written does not fit the format. The part is given up.
    #[error("part {} cannot take {what}", .path.display())]
    Input {
        /// The file that was being written.
        path: PathBuf,
        /// What does not fit, and the rule.
        what: String,
    },
    /// The caller broke off what was being done. Nothing of it is left.
    #[error("stopped before it was done; nothing is changed")]
    Stopped,
}

impl PartError {
    pub(crate) fn corrupt(path: &Path, offset: u64, detail: impl Into<String>) -> PartError {
        PartError::Corrupt {
            path: path.to_path_buf(),
            offset,
            detail: detail.into(),
        }
    }

    /// Tells whether the bytes of the part are at fault: trying again does not help.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, PartError::Corrupt { .. })
    }
}

/// A result of code that looks at bytes and does not know whose they are.
pub(super) type Decoded<T> = Result<T, CodecError>;
