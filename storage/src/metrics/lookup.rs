//! Label names, label values and label sets, without samples.
//!
//! As in Prometheus, names and values are those of the blocks and of the head as far as
//! these overlap the range, whichever of their series have samples in it; label sets need
//! a chunk in the range.

use std::sync::atomic::Ordering;

use super::shard::NEVER;
use super::store::MetricStore;
use crate::block::{Block, BlockError};
use crate::error::StorageError;
use crate::index::{Dictionary, Index};
use crate::model::{Labels, Matcher, TimeRange};

/// Labels that a series has, as a rule.
const USUAL_LABELS: usize = 16;

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
        let most = if limit > 0 { limit } else { usize::MAX };
        for matchers in sets {
            // Of what comes in label order no more than the first ones are needed.
            let selection = self.select_sorted(matchers, range)?;
            let n = selection.len().min(most);
            found.extend((0..n).map(|index| selection.labels(index)));
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
        let mut found = self.head_label_names(sets, range);
        for block in self.blocks.set().overlapping(range) {
            let names = block_label_names(block, sets);
            found.extend(names.map_err(|error| self.blocks.failed(block, error))?);
        }
        Ok(sorted(found, limit))
    }

    /// Tells whether a series of the head, or one of a block that may have samples in
    /// `range`, has a label of this name. Costs a search per block.
    pub fn has_label(&self, name: &str, range: TimeRange) -> bool {
        let in_head = {
            let index = self.index.read();
            let dictionary = index.dictionary();
            let dictionary = dictionary.read();
            dictionary.name(name).is_some()
        };
        in_head
            || self
                .blocks
                .set()
                .overlapping(range)
                .any(|block| block.has_label(name))
    }

    fn head_label_names(&self, sets: &[Vec<Matcher>], range: TimeRange) -> Vec<String> {
        if !self.has_samples_around(range) {
            return Vec::new();
        }
        let index = self.index.read();
        if is_everything(sets) {
            return index.names();
        }
        let dictionary = index.dictionary();
        let dictionary = dictionary.read();
        let mut is_found = vec![false; dictionary.n_names()];
        for pair in pairs_of(&index, &dictionary, sets) {
            is_found[dictionary.pair_name(pair) as usize] = true;
        }
        let names = (0..).zip(is_found).filter(|&(_, found)| found);
        let texts = names.map(|(name, _)| dictionary.name_text(name).to_owned());
        texts.collect()
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
        let mut found = self.head_label_values(name, sets, range);
        for block in self.blocks.set().overlapping(range) {
            let values = block_label_values(block, name, sets);
            found.extend(values.map_err(|error| self.blocks.failed(block, error))?);
        }
        Ok(sorted(found, limit))
    }

    fn head_label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Vec<String> {
        if !self.has_samples_around(range) {
            return Vec::new();
        }
        let index = self.index.read();
        if is_everything(sets) {
            return index.values(name);
        }
        let dictionary = index.dictionary();
        let dictionary = dictionary.read();
        let Some(name) = dictionary.name(name) else {
            return Vec::new();
        };
        let pairs = pairs_of(&index, &dictionary, sets);
        let texts = pairs
            .into_iter()
            .filter(|&pair| dictionary.pair_name(pair) == name)
            .map(|pair| dictionary.value_text(pair).to_owned());
        texts.collect()
    }

    fn has_samples_around(&self, range: TimeRange) -> bool {
        let newest_ms = self.newest_ms.load(Ordering::Acquire);
        let oldest_ms = || self.head_oldest_ms();
        let in_order = newest_ms != NEVER
            && range.start_ms <= newest_ms
            && (range.end_ms >= newest_ms || oldest_ms().is_some_and(|ms| range.end_ms >= ms));
        in_order || self.late_times().is_some_and(|late| late.overlaps(range))
    }

    /// Returns the oldest time of any sample in memory.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        let shards = self.shards.iter();
        shards.filter_map(|shard| shard.lock().oldest_ms()).min()
    }
}

fn is_everything(sets: &[Vec<Matcher>]) -> bool {
    sets.is_empty() || sets.iter().any(Vec::is_empty)
}

fn block_label_names(block: &Block, sets: &[Vec<Matcher>]) -> Result<Vec<String>, BlockError> {
    if is_everything(sets) {
        return block.label_names();
    }
    block.label_names_of(&series_of(block, sets)?)
}

fn block_label_values(
    block: &Block,
    wanted: &str,
    sets: &[Vec<Matcher>],
) -> Result<Vec<String>, BlockError> {
    if is_everything(sets) {
        return block.label_values(wanted);
    }
    block.label_values_of(wanted, &series_of(block, sets)?)
}

/// Returns the series of a block that satisfy any of the sets.
fn series_of(block: &Block, sets: &[Vec<Matcher>]) -> Result<Vec<u32>, BlockError> {
    let mut found = Vec::new();
    for matchers in sets {
        found.extend(block.resolve(matchers)?);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Returns the labels of the series in memory that satisfy any of the sets, each once.
fn pairs_of(index: &Index, dictionary: &Dictionary, sets: &[Vec<Matcher>]) -> Vec<u32> {
    let mut ids = Vec::new();
    for matchers in sets {
        ids.extend(index.resolve(matchers));
    }
    let rows = ids.iter().filter_map(|&id| index.row(id));
    let pairs = rows.flat_map(|row| row.pairs());
    if ids.len() * USUAL_LABELS < dictionary.n_pairs() {
        return sorted(pairs.collect(), 0);
    }
    let mut is_found = vec![false; dictionary.n_pairs()];
    for pair in pairs {
        is_found[pair as usize] = true;
    }
    let found = (0..).zip(is_found).filter(|&(_, found)| found);
    found.map(|(pair, _)| pair).collect()
}

fn sorted<T: Ord>(mut found: Vec<T>, limit: usize) -> Vec<T> {
    found.sort_unstable();
    found.dedup();
    if limit > 0 {
        found.truncate(limit);
    }
    found
}
