//! How far the opening of a store has come.

use std::sync::atomic::{AtomicU64, Ordering};

/// Tells how much of the log was read, while
/// [`MetricStore::open_watched`](super::MetricStore::open_watched) runs. It may be looked
/// at from any thread.
#[derive(Debug, Default)]
pub struct OpenProgress {
    segments: AtomicU64,
    read: AtomicU64,
}

impl OpenProgress {
    /// Returns how many segments of the log are to be read; 0 until that is known.
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// Returns how many of them were read. The segments of a shard count together.
    pub fn segments_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed).min(self.segments())
    }

    /// Notes that there are more segments to be read.
    pub(super) fn expect(&self, segments: u64) {
        self.segments.fetch_add(segments, Ordering::Relaxed);
    }

    /// Notes that segments were read.
    pub(super) fn done(&self, segments: u64) {
        self.read.fetch_add(segments, Ordering::Relaxed);
    }
}
