//! What tailing counts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one file.
#[derive(Debug)]
pub(super) struct FileStats {
    path: PathBuf,
    size: AtomicU64,
    position: AtomicU64,
    read_bytes: AtomicU64,
    lines: AtomicU64,
    too_long: AtomicU64,
    cuts: AtomicU64,
    cut_bytes: AtomicU64,
}

/// The counters of a file at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileCounts {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Up to here the store has it.
    pub position: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Lines that were read.
    pub lines: u64,
    /// Lines that were too long and left out.
    pub too_long: u64,
    /// How often it was cut.
    pub cuts: u64,
    /// Bytes of unfinished lines that were gone when it was cut.
    pub cut_bytes: u64,
}

impl FileStats {
    pub(super) fn new(path: &Path) -> FileStats {
        FileStats {
            path: path.to_owned(),
            size: AtomicU64::new(0),
            position: AtomicU64::new(0),
            read_bytes: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            too_long: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            cut_bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn size(&self, bytes: u64) {
        self.size.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn position(&self, at: u64) {
        self.position.store(at, Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: u64) {
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn line(&self) {
        self.lines.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn too_long(&self) {
        self.too_long.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cut(&self, lost_bytes: u64) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        self.cut_bytes.fetch_add(lost_bytes, Ordering::Relaxed);
    }

    /// Returns the counters.
    pub(super) fn counts(&self) -> FileCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FileCounts {
            path: self.path.clone(),
            size: get(&self.size),
            position: get(&self.position),
            read_bytes: get(&self.read_bytes),
            lines: get(&self.lines),
            too_long: get(&self.too_long),
            cuts: get(&self.cuts),
            cut_bytes: get(&self.cut_bytes),
        }
    }
}
