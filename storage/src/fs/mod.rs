//! The only path to the disk of this crate.
//!
//! Everything above works on the trait [`Dir`], never on `std::fs`: so a test can
//! put a store on `memory::MemoryDir`, or on `crash::CrashDir`, which fails on demand
//! and rebuilds the directory as a crash at any moment would have left it. A test in this module reads the
//! sources and fails when another module names `std::fs`.
//!
//! Contract of a directory, and what callers may rely on:
//!
//! 1. Names are plain file names, without a separator; `.` and `..` are refused.
//! 2. What `append` wrote is visible to every later `read`, also of another process,
//!    as soon as it returns. It survives a power loss only after [`AppendFile::sync`].
//! 3. An `append` that failed may have written any prefix of its bytes. The caller
//!    restores the length with [`AppendFile::truncate`] or gives the file up.
//! 4. A created, renamed or removed *name* survives a power loss only after
//!    [`Dir::sync`] of its directory.
//! 5. `rename` replaces the target in one step: a crash leaves the old or the new.
//! 6. [`Dir::map`] is for bytes that nobody writes or cuts any more: sealed files, and
//!    the parts of an append-only file that are behind every later truncation. The
//!    file may be removed or renamed while it is mapped.
//! 7. After a failed `sync` nothing is known about the bytes since the last good one;
//!    the only safe reaction is to stop writing. Retrying proves nothing.

#![allow(unreachable_pub, reason = "public behind the feature `internals`")]
#![cfg_attr(
    not(any(test, feature = "internals")),
    allow(
        dead_code,
        reason = "the contract is whole and tested; the store uses a part of it"
    )
)]

mod lock;
mod map;
mod real;

#[cfg(any(test, feature = "internals"))]
pub mod crash;
#[cfg(test)]
pub(crate) mod lives;
#[cfg(any(test, feature = "internals"))]
pub mod memory;

#[cfg(test)]
mod tests;

pub use lock::DirLock;
pub use map::FileMap;
pub use real::RealDir;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Offsets of [`Dir::map`] are multiples of this.
pub const MAP_ALIGN_BYTES: u64 = 4096;

/// One directory and what may be done in it; the contract is in the module's text.
///
/// All calls take `&self` and may be made from several threads; order between
/// threads is the caller's business.
pub trait Dir: Send + Sync + fmt::Debug {
    /// Where the directory is, for messages.
    fn path(&self) -> &Path;

    /// Returns the names of the files in it, sorted by bytes.
    fn files(&self) -> Result<Vec<String>, FsError>;

    /// Returns the names of the directories in it, sorted by bytes.
    fn dirs(&self) -> Result<Vec<String>, FsError>;

    /// Opens a directory below this one; creates it, and syncs this one, when missing.
    fn subdir(&self, name: &str) -> Result<Arc<dyn Dir>, FsError>;

    /// Removes an empty directory below this one.
    fn remove_dir(&self, name: &str) -> Result<(), FsError>;

    /// Creates an empty file; refuses a name that exists.
    fn create(&self, name: &str) -> Result<Arc<dyn AppendFile>, FsError>;

    /// Opens an existing file to append at its end.
    fn open_append(&self, name: &str) -> Result<Arc<dyn AppendFile>, FsError>;

    /// Reads a whole file; one longer than `limit_bytes` is refused before anything
    /// is allocated.
    fn read(&self, name: &str, limit_bytes: u64) -> Result<Vec<u8>, FsError>;

    /// Returns the bytes in `range` of a file without reading them yet (rule 6 of the
    /// module). The range starts at a multiple of [`MAP_ALIGN_BYTES`]; one that is not
    /// wholly in the file is refused.
    fn map(&self, name: &str, range: Range<u64>) -> Result<FileMap, FsError>;

    /// Returns the length of a file in bytes.
    fn len_bytes(&self, name: &str) -> Result<u64, FsError>;

    /// Renames a file within the directory, replacing the target if there is one.
    fn rename(&self, from: &str, to: &str) -> Result<(), FsError>;

    /// Renames a directory below this one; refuses a name that exists. As durable as
    /// the name of a file: after [`Dir::sync`] of this directory.
    fn rename_dir(&self, from: &str, to: &str) -> Result<(), FsError>;

    /// Gives a file that nobody writes any more the same name in another directory,
    /// too: a hard link where the file system has them, else a copy that is synced.
    fn link(&self, name: &str, to: &dyn Dir) -> Result<(), FsError> {
        copy(self, name, to)
    }

    /// Removes a file.
    fn remove(&self, name: &str) -> Result<(), FsError>;

    /// Makes the names of the directory durable.
    fn sync(&self) -> Result<(), FsError>;

    /// Takes the directory's `LOCK` file for this process; see [`DirLock`].
    fn lock(&self) -> Result<DirLock, FsError>;
}

/// A file open for appending. Dropping it closes it without a sync.
pub trait AppendFile: Send + Sync + fmt::Debug {
    /// Writes all of `bytes` at the end of the file, or fails (rule 3 of the module).
    fn append(&self, bytes: &[u8]) -> Result<(), FsError>;

    /// Returns the length of the file in bytes.
    fn len_bytes(&self) -> Result<u64, FsError>;

    /// Cuts the file to `len_bytes`; the next append goes there.
    fn truncate(&self, len_bytes: u64) -> Result<(), FsError>;

    /// Makes the content and the length durable (`fdatasync`).
    fn sync(&self) -> Result<(), FsError>;
}

/// What went wrong at the disk; always with the operation and the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FsError {
    /// The operating system refused an operation.
    #[error("cannot {op} {}", path.display())]
    Io {
        /// The operation, as a verb phrase.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason the system gave.
        #[source]
        source: io::Error,
    },
    /// Another process, or another store of this one, holds the directory.
    #[error(
        "data directory {} is in use by another process; stop that one, or choose another directory",
        path.display()
    )]
    Locked {
        /// The directory, not the lock file.
        path: PathBuf,
    },
    /// A file is longer than any file of its kind can be.
    #[error("{} has {len_bytes} bytes, more than the {limit_bytes} a file of its kind may have", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len_bytes: u64,
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// A name that is not a plain file name.
    #[error("{name:?} is not a plain file name")]
    Name {
        /// The name as given.
        name: String,
    },
}

impl FsError {
    fn io(op: &'static str, path: &Path, source: io::Error) -> FsError {
        FsError::Io {
            op,
            path: path.to_path_buf(),
            source,
        }
    }

    /// Tells whether the disk or the quota is full: the one failure after which
    /// trying again later makes sense.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, FsError::Io { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ))
    }

    /// Returns the directory in which it happened.
    pub fn directory(&self) -> PathBuf {
        let path = match self {
            FsError::Io { path, .. } | FsError::TooLong { path, .. } => path.parent(),
            FsError::Locked { path } => Some(path.as_path()),
            FsError::Name { .. } => None,
        };
        path.map_or_else(PathBuf::new, Path::to_path_buf)
    }

    /// Tells whether the file or directory was not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, FsError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Bytes that a copy holds in memory at one time.
const COPY_BYTES: u64 = 1 << 20;

/// Copies a file to another directory and syncs it.
fn copy<D: Dir + ?Sized>(from: &D, name: &str, to: &dyn Dir) -> Result<(), FsError> {
    let len_bytes = from.len_bytes(name)?;
    let file = to.create(name)?;
    let mut at = 0;
    while at < len_bytes {
        let end = len_bytes.min(at + COPY_BYTES);
        file.append(&from.map(name, at..end)?)?;
        at = end;
    }
    file.sync()
}

/// Refuses names that would leave the directory.
fn check_name(name: &str) -> Result<(), FsError> {
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    if plain {
        Ok(())
    } else {
        Err(FsError::Name {
            name: name.to_owned(),
        })
    }
}
