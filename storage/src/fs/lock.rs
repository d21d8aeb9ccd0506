//! One store per directory: an advisory lock on its `LOCK` file.
//!
//! The lock belongs to the open file, so the system releases it when the process
//! ends in any way. The file itself stays: removing it would let two processes lock
//! two different files of the same name.

use std::any::Any;
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::FsError;

/// Name of the lock file in a data directory.
pub const LOCK_FILE: &str = "LOCK";

/// The right to write to a directory; dropping it gives it back.
pub struct DirLock {
    _held: Box<dyn Any + Send + Sync>,
}

impl DirLock {
    /// Wraps whatever releases the lock when it is dropped.
    pub(super) fn new(held: impl Any + Send + Sync) -> DirLock {
        DirLock {
            _held: Box::new(held),
        }
    }
}

impl fmt::Debug for DirLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirLock")
    }
}

/// Locks `LOCK` in `dir` without waiting.
pub(super) fn lock_file(dir: &Path) -> Result<DirLock, FsError> {
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| FsError::io("open", &path, e))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(DirLock::new(file)),
        Err(e) if e == rustix::io::Errno::WOULDBLOCK => Err(FsError::Locked {
            path: dir.to_path_buf(),
        }),
        Err(e) => Err(FsError::io("lock", &path, io::Error::from(e))),
    }
}
