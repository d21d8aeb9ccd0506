//! What there is in a range: streams, their label names and values, how much each has.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use super::store::{LogStore, labels_of};
use crate::error::StorageError;
use crate::index::Row;
use crate::model::{Labels, Matcher, NanoRange};

/// How much of a stream is in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamVolume {
    /// The stream.
    pub labels: Labels,
    /// Bytes of lines and metadata.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Pieces of data that hold them.
    pub chunks: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Volume {
    bytes: u64,
    entries: u64,
    chunks: u64,
}

impl LogStore {
    /// Returns the streams with entries in a range that satisfy all matchers, sorted.
    ///
    /// # Errors
    /// What is on disk could not be read.
    pub fn streams(
        &self,
        matchers: &[Matcher],
        range: NanoRange,
    ) -> Result<Vec<Labels>, StorageError> {
        let mut labels = self.with_present(matchers, range, |index, ids| {
            ids.iter()
                .map(|&id| labels_of(index, id))
                .collect::<Vec<_>>()
        })?;
        labels.sort_unstable();
        Ok(labels)
    }

    /// Returns the label names of the streams with entries in a range that satisfy all
    /// matchers, sorted.
    ///
    /// # Errors
    /// What is on disk could not be read.
    pub fn label_names(
        &self,
        matchers: &[Matcher],
        range: NanoRange,
    ) -> Result<Vec<String>, StorageError> {
        self.texts(matchers, range, |name, _| Some(name))
    }

    /// Returns the values of a label of the streams with entries in a range that satisfy
    /// all matchers, sorted.
    ///
    /// # Errors
    /// What is on disk could not be read.
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: NanoRange,
    ) -> Result<Vec<String>, StorageError> {
        self.texts(matchers, range, |of, value| (of == name).then_some(value))
    }

    fn texts(
        &self,
        matchers: &[Matcher],
        range: NanoRange,
        choose: impl for<'t> Fn(&'t str, &'t str) -> Option<&'t str>,
    ) -> Result<Vec<String>, StorageError> {
        self.with_present(matchers, range, |index, ids| {
            let dictionary = index.dictionary();
            let dictionary = dictionary.read();
            let rows = ids.iter().filter_map(|&id| index.row(id));
            let pairs: BTreeSet<_> = rows.flat_map(Row::pairs).collect();
            let texts = pairs.into_iter().filter_map(|pair| {
                let (name, value) = dictionary.pair_text(pair);
                choose(name, value)
            });
            let texts: BTreeSet<&str> = texts.collect();
            texts.into_iter().map(str::to_owned).collect()
        })
    }

    /// Returns how much each stream has in a range that satisfies all matchers, sorted by
    /// stream. What is in memory is counted exactly.
    ///
    /// # Errors
    /// What is on disk could not be read.
    pub fn volumes(
        &self,
        matchers: &[Matcher],
        range: NanoRange,
    ) -> Result<Vec<StreamVolume>, StorageError> {
        let mut found = loop {
            let removals = self.removals.load(Ordering::Acquire);
            let volumes = self.count(range);
            let index = self.index.read();
            let ids = index.resolve(matchers);
            let found = ids.into_iter().filter_map(|id| {
                let volume = volumes.get(&id)?;
                Some(StreamVolume {
                    labels: labels_of(&index, id),
                    bytes: volume.bytes,
                    entries: volume.entries,
                    chunks: volume.chunks,
                })
            });
            let found: Vec<StreamVolume> = found.collect();
            drop(index);
            if self.removals.load(Ordering::Acquire) == removals {
                break found;
            }
        };
        found.sort_unstable_by(|one, other| one.labels.cmp(&other.labels));
        Ok(found)
    }

    fn count(&self, range: NanoRange) -> HashMap<u32, Volume> {
        let blocks = self.state.lock().blocks();
        let mut volumes: HashMap<u32, Volume> = HashMap::new();
        let overlapping = blocks
            .iter()
            .filter(|block| range.overlaps(block.first_ns, block.last_ns));
        for block in overlapping {
            for row in block.rows().iter().filter(|row| range.contains(row.t_ns)) {
                let volume = volumes.entry(row.stream).or_default();
                volume.bytes += u64::from(row.line_len) + u64::from(row.metadata_len);
                volume.entries += 1;
                // All that is in memory counts as one piece.
                volume.chunks = 1;
            }
        }
        volumes
    }

    /// Calls `read` with the index and the ids of the streams that satisfy all matchers
    /// and may have entries in the range.
    fn with_present<T>(
        &self,
        matchers: &[Matcher],
        range: NanoRange,
        read: impl Fn(&crate::index::Index, &[u32]) -> T,
    ) -> Result<T, StorageError> {
        loop {
            let removals = self.removals.load(Ordering::Acquire);
            let mut present = Vec::new();
            {
                let state = self.state.lock();
                let spans = state.table.spans();
                let inside = spans.filter(|(_, s)| range.overlaps(s.first_ns, s.last_ns));
                present.extend(inside.map(|(id, _)| id));
            }
            present.sort_unstable();
            present.dedup();
            let index = self.index.read();
            let mut ids = index.resolve(matchers);
            ids.retain(|id| present.binary_search(id).is_ok());
            let found = read(&index, &ids);
            drop(index);
            if self.removals.load(Ordering::Acquire) == removals {
                return Ok(found);
            }
        }
    }
}
