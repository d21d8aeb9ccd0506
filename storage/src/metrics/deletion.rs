//! Deleting samples of the head.
//!
//! What is deleted is hidden at once and stays hidden over restarts; memory comes back
//! when the samples leave the head.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::store::MetricStore;
use super::versions::Versions;
use crate::error::StorageError;
use crate::model::{Matcher, TimeRange};
use crate::options::SyncPolicy;

/// A part of a deletion: slot, creation and times of a series.
type Stone = (u32, u32, TimeRange);

/// Notes the deletion of a range when it is done, or given up half done.
pub(super) struct NotedAfter<'a>(pub(super) &'a Versions, pub(super) TimeRange);

impl Drop for NotedAfter<'_> {
    fn drop(&mut self) {
        self.0.changed(self.1);
    }
}

impl MetricStore {
    /// Deletes the samples in `range` of the series that satisfy any of the matcher
    /// sets, and returns how many series lost samples. When it returns, the logs have
    /// it as they have a commit.
    ///
    /// As in Prometheus, times are deleted rather than samples: one that comes late into
    /// them afterwards is hidden, too, as long as its times are in the head. The times
    /// of a series reach from its oldest to its newest sample of now, so nothing that is
    /// appended in order later is touched.
    ///
    /// # Errors
    /// A log could not be written: nothing is deleted. With
    /// [`StorageError::DiskFull`] it can be tried again later, after other errors the
    /// store takes no more writes.
    pub fn delete_in_head(
        &self,
        sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<u64, StorageError> {
        if let Some(reason) = self.poisoned() {
            return Err(StorageError::Poisoned { reason });
        }
        // While it is open no series goes, so that a slot cannot change hands between
        // the log and the shard.
        let open = self.appender();
        let _snapshots_wait = self.committing.read();
        let stones = self.stones(sets, range);
        self.write_stones(&stones)?;
        let _noted = NotedAfter(&self.versions, range);
        let mut n_series = 0;
        for (number, stones) in stones.iter().enumerate() {
            n_series += stones.len() as u64;
            let mut shard = self.shards[number].lock();
            for &(slot, born, range) in stones {
                shard.delete(slot, born, range);
            }
        }
        drop(open);
        Ok(n_series)
    }

    /// Finds what there is to delete, by shard.
    fn stones(&self, sets: &[Vec<Matcher>], range: TimeRange) -> Vec<Vec<Stone>> {
        let mut ids = BTreeSet::new();
        {
            let index = self.index.read();
            for matchers in sets {
                ids.extend(index.resolve(matchers));
            }
        }
        let mut slots: Vec<Vec<u32>> = vec![Vec::new(); self.shards.len()];
        for id in ids {
            slots[self.layout.shard(id)].push(self.layout.slot(id));
        }
        let by_shard = slots.iter().zip(&self.shards).map(|(slots, shard)| {
            let shard = shard.lock();
            let stones = slots.iter().filter_map(|&slot| {
                let (born, range) = shard.deletable(slot, range)?;
                Some((slot, born, range))
            });
            stones.collect()
        });
        by_shard.collect()
    }

    /// Logs a deletion in all shards or in none.
    fn write_stones(&self, stones: &[Vec<Stone>]) -> Result<(), StorageError> {
        let shards = || stones.iter().enumerate().filter(|(_, s)| !s.is_empty());
        let mut written: SmallVec<[(usize, u64); 32]> = SmallVec::new();
        for (number, stones) in shards() {
            let deleted: Vec<(u32, TimeRange)> = stones
                .iter()
                .map(|&(slot, _, range)| (slot, range))
                .collect();
            let result = self.logs[number].lock().write_tombstones(&deleted);
            match result {
                Ok(commit) => written.push((number, commit)),
                Err(error) => {
                    for (number, commit) in written {
                        if let Err(error) = self.logs[number].lock().revert(commit) {
                            self.log_failed(error);
                        }
                    }
                    return Err(self.log_failed(error));
                }
            }
        }
        if self.options.wal_sync == SyncPolicy::Always {
            for (number, _) in shards() {
                self.sync_log(&self.logs[number])?;
            }
        }
        Ok(())
    }
}
