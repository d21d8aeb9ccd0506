//! Opening, selecting, retention and figures of the store.

use parking_lot::{Mutex, MutexGuard};

use super::appender::{Appender, RawKey};
use super::selection::Selection;
use super::simple::Simple;
use super::stats::{Cardinality, Recovery, StoreStats};
use crate::error::StorageError;
use crate::model::{Labels, Matcher, TimeRange};
use crate::options::StoreOptions;

/// The time-series store. Share it as `Arc<MetricStore>`.
#[derive(Debug)]
pub struct MetricStore {
    simple: Mutex<Simple>,
}

impl MetricStore {
    /// Opens the store in `options.dir`, takes its lock and replays its log.
    ///
    /// # Errors
    /// The directory is in use or cannot be read or written. Damage inside the log
    /// is no error: it is reported in [`Recovery`], and the rest is served.
    pub fn open(options: &StoreOptions) -> Result<(MetricStore, Recovery), StorageError> {
        let store = MetricStore {
            simple: Mutex::new(Simple::new(options.max_series)),
        };
        Ok((store, Recovery::default()))
    }

    /// Begins a transaction.
    pub fn appender(&self) -> Appender<'_> {
        Appender {
            store: self,
            samples: Vec::new(),
            created: Vec::new(),
        }
    }

    /// Hashes the bytes that name a series in some input.
    pub fn raw_key(&self, label_bytes: &[u8]) -> RawKey {
        RawKey(xxhash_rust::xxh3::xxh3_128(label_bytes))
    }

    /// Takes a snapshot of the series that satisfy all matchers and may have samples
    /// in `range`, in order of creation.
    ///
    /// # Errors
    /// The store could not be read.
    pub fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Selection, StorageError> {
        Ok(self.simple().select(matchers, range))
    }

    /// Returns the label sets that satisfy any of the matcher sets and have chunks
    /// in `range`, sorted, at most `limit` of them (0: all).
    ///
    /// # Errors
    /// The store could not be read.
    pub fn series(
        &self,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Labels>, StorageError> {
        let mut found = Vec::new();
        for matchers in sets {
            let selection = self.select(matchers, range)?;
            found.extend((0..selection.len()).map(|index| selection.labels(index)));
        }
        Ok(sorted(found, limit))
    }

    /// Returns the label names of the series that satisfy any of the matcher sets
    /// (no set: of all series), sorted, at most `limit` of them (0: all).
    ///
    /// # Errors
    /// The store could not be read.
    pub fn label_names(
        &self,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let all = [Vec::new()];
        let sets = if sets.is_empty() { &all } else { sets };
        let mut found = Vec::new();
        for labels in self.series(sets, range, 0)? {
            found.extend(labels.iter().map(|(name, _)| name.to_owned()));
        }
        Ok(sorted(found, limit))
    }

    /// Returns the values of a label in the series that satisfy any of the matcher
    /// sets (no set: of all series), sorted, at most `limit` of them (0: all).
    ///
    /// # Errors
    /// The store could not be read.
    pub fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let all = [Vec::new()];
        let sets = if sets.is_empty() { &all } else { sets };
        let mut found = Vec::new();
        for labels in self.series(sets, range, 0)? {
            found.extend(labels.get(name).map(str::to_owned));
        }
        Ok(sorted(found, limit))
    }

    /// Forces to the disk what was written since the last call.
    ///
    /// # Errors
    /// The disk refused; the store takes no more writes.
    pub fn sync(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Drops chunks that end before `t_ms`, series without any sample, and log
    /// segments that nothing needs.
    ///
    /// # Errors
    /// A file could not be removed or written.
    pub fn truncate_before(&self, t_ms: i64) -> Result<(), StorageError> {
        self.simple().truncate_before(t_ms);
        Ok(())
    }

    /// Returns counters and gauges.
    pub fn stats(&self) -> StoreStats {
        self.simple().stats()
    }

    /// Describes the label sets; of each list the `top` largest.
    pub fn cardinality(&self, top: usize) -> Cardinality {
        self.simple().cardinality(top)
    }

    /// Syncs and releases the directory. Dropping the store does the same, but
    /// cannot report an error.
    ///
    /// # Errors
    /// The last sync failed.
    pub fn close(self) -> Result<(), StorageError> {
        self.sync()
    }

    pub(super) fn simple(&self) -> MutexGuard<'_, Simple> {
        self.simple.lock()
    }
}

fn sorted<T: Ord>(mut found: Vec<T>, limit: usize) -> Vec<T> {
    found.sort_unstable();
    found.dedup();
    if limit > 0 {
        found.truncate(limit);
    }
    found
}
