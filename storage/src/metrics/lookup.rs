//! Label names, label values and label sets, without samples.
//!
//! As in Prometheus' head, names and values do not depend on the range but for one
//! that lies wholly outside the stored times; label sets need a chunk in the range.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::shard::NEVER;
use super::store::MetricStore;
use crate::error::StorageError;
use crate::index::Index;
use crate::model::{Labels, Matcher, TimeRange};

impl MetricStore {
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
        if !self.has_samples_around(range) {
            return Ok(Vec::new());
        }
        let index = self.index.read();
        if is_everything(sets) {
            return Ok(sorted(index.names(), limit));
        }
        let mut names = BTreeSet::new();
        let dictionary = index.dictionary();
        let dictionary = dictionary.read();
        for_each_pair(&index, sets, |pair| {
            names.insert(dictionary.pair_name(pair));
        });
        let texts = names
            .iter()
            .map(|&name| dictionary.name_text(name).to_owned());
        Ok(sorted(texts.collect(), limit))
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
        if !self.has_samples_around(range) {
            return Ok(Vec::new());
        }
        let index = self.index.read();
        if is_everything(sets) {
            return Ok(sorted(index.values(name), limit));
        }
        let dictionary = index.dictionary();
        let dictionary = dictionary.read();
        let Some(name) = dictionary.name(name) else {
            return Ok(Vec::new());
        };
        let mut pairs = BTreeSet::new();
        for_each_pair(&index, sets, |pair| {
            if dictionary.pair_name(pair) == name {
                pairs.insert(pair);
            }
        });
        let texts = pairs
            .iter()
            .map(|&pair| dictionary.value_text(pair).to_owned());
        Ok(sorted(texts.collect(), limit))
    }

    fn has_samples_around(&self, range: TimeRange) -> bool {
        let newest_ms = self.newest_ms.load(Ordering::Acquire);
        let oldest_ms = || self.oldest_ms();
        let in_order = newest_ms != NEVER
            && range.start_ms <= newest_ms
            && (range.end_ms >= newest_ms || oldest_ms().is_some_and(|ms| range.end_ms >= ms));
        in_order || self.late_times().is_some_and(|late| late.overlaps(range))
    }

    /// Returns the oldest time of any sample that is kept.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        let shards = self.shards.iter();
        shards.filter_map(|shard| shard.lock().oldest_ms()).min()
    }
}

fn is_everything(sets: &[Vec<Matcher>]) -> bool {
    sets.is_empty() || sets.iter().any(Vec::is_empty)
}

fn for_each_pair(index: &Index, sets: &[Vec<Matcher>], mut each: impl FnMut(u32)) {
    for matchers in sets {
        for id in index.resolve(matchers) {
            for pair in index.row(id).into_iter().flat_map(|row| row.pairs()) {
                each(pair);
            }
        }
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
