//! One write transaction: a scrape, a request, the results of a rule group.

use super::store::MetricStore;
use crate::error::{AppendError, StorageError};
use crate::model::Labels;

/// A 128-bit hash of the bytes that name a series in some input, made by
/// [`MetricStore::raw_key`]. Keys of different stores have nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawKey(pub(crate) u128);

/// Names a series of one store while that series is in memory. It means nothing
/// to another store or after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeriesRef(pub(crate) u64);

/// A sample of a series that is named by its raw key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawSample {
    /// Key of the bytes that name the series.
    pub key: RawKey,
    /// Milliseconds since the epoch.
    pub t_ms: i64,
    /// The value; bits are kept as they are.
    pub value: f64,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// Samples stored. Repeated samples (same time and bits) are not counted.
    pub samples: u64,
    /// Series created.
    pub series: u64,
    /// Samples that were accepted by `append`, then dropped because an earlier
    /// sample of this or another transaction conflicts with them.
    pub dropped: u64,
}

/// One transaction. Nothing of it is visible or logged before [`commit`]; dropping
/// it is a rollback.
///
/// [`commit`]: Appender::commit
#[derive(Debug)]
pub struct Appender<'a> {
    pub(super) store: &'a MetricStore,
    pub(super) samples: Vec<(SeriesRef, i64, f64)>,
    pub(super) created: Vec<SeriesRef>,
}

impl Appender<'_> {
    /// Finds the series with these labels or creates it.
    ///
    /// # Errors
    /// The labels are empty, or the store is full.
    pub fn series(&mut self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        self.store.simple().series(labels, &mut self.created)
    }

    /// Returns the series remembered for a raw key.
    pub fn raw_series(&mut self, key: RawKey) -> Option<SeriesRef> {
        self.store.simple().aliases.get(&key).copied()
    }

    /// Remembers which series a raw key names, for as long as the series lives.
    pub fn alias(&mut self, key: RawKey, series: SeriesRef) {
        self.store.simple().aliases.insert(key, series);
    }

    /// Adds a sample to the transaction. Order and duplicates are checked against
    /// committed samples; conflicts inside the transaction are settled at commit,
    /// where the first sample stays.
    ///
    /// # Errors
    /// The sample is not acceptable. The transaction goes on without it.
    pub fn append(&mut self, series: SeriesRef, t_ms: i64, value: f64) -> Result<(), AppendError> {
        if self.store.simple().accept(series, t_ms, value)? {
            self.samples.push((series, t_ms, value));
        }
        Ok(())
    }

    /// Adds many samples by raw key. Indexes of samples whose key is not known are
    /// added to `misses`, for the caller to parse their labels and call
    /// [`Appender::alias`]; indexes of samples that are not acceptable are added to
    /// `rejected` with the reason. Both are in ascending order of index.
    pub fn append_raw(
        &mut self,
        samples: &[RawSample],
        misses: &mut Vec<usize>,
        rejected: &mut Vec<(usize, AppendError)>,
    ) {
        for (index, sample) in samples.iter().enumerate() {
            match self.raw_series(sample.key) {
                None => misses.push(index),
                Some(series) => {
                    if let Err(error) = self.append(series, sample.t_ms, sample.value) {
                        rejected.push((index, error));
                    }
                }
            }
        }
    }

    /// Logs the transaction and makes it visible, all at once. When it returns, the
    /// operating system has the data, and the disk has it under
    /// [`SyncPolicy::Always`](crate::SyncPolicy::Always).
    ///
    /// # Errors
    /// The log could not be written: nothing of the transaction is acknowledged,
    /// and the store takes no more writes.
    pub fn commit(mut self) -> Result<Committed, StorageError> {
        let samples = std::mem::take(&mut self.samples);
        let created = std::mem::take(&mut self.created);
        Ok(self.store.simple().commit(&samples, &created))
    }

    /// Forgets the transaction.
    pub fn rollback(self) {}
}
