//! What there is in a range: streams, their label names and values, how much each has.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::part::{PartError, Stretch};
use super::parts::Served;
use super::store::{LogStore, labels_of};
use crate::error::StorageError;
use crate::index::Row;
use crate::model::{Labels, Matcher, NanoRange};
use crate::wal::EntryRow;

/// How much of a stream is in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamVolume {
    /// The stream.
    pub labels: Labels,
    /// Bytes of lines.
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
    /// stream. Entries that a deletion hides are counted until they are gone.
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
            let ids = self.index.read().resolve(matchers);
            let volumes = self.count(range, &ids)?;
            let index = self.index.read();
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

    /// Counts what some streams have in a range, by their ids, which come in order.
    fn count(&self, range: NanoRange, ids: &[u32]) -> Result<HashMap<u32, Volume>, StorageError> {
        let snapshot = self.state.lock().snapshot();
        let mut volumes: HashMap<u32, Volume> = HashMap::new();
        let is_in = |first_ns, last_ns| !range.is_empty() && range.overlaps(first_ns, last_ns);
        for part in snapshot.parts.iter().filter(|part| !part.is_damaged()) {
            for (group, info) in part.groups().iter().enumerate() {
                if is_in(info.first_ns, info.last_ns) {
                    count_group(part, group, range, ids, &mut volumes)
                        .map_err(|error| self.damages.failed(part, error))?;
                }
            }
        }
        let blocks = snapshot.blocks.iter();
        let mut in_memory = HashSet::new();
        for block in blocks.filter(|block| is_in(block.first_ns, block.last_ns)) {
            let is_wanted = |row: &&EntryRow| {
                range.contains(row.t_ns) && ids.binary_search(&row.stream).is_ok()
            };
            for row in block.rows().iter().filter(is_wanted) {
                let volume = volumes.entry(row.stream).or_default();
                volume.bytes += u64::from(row.line_len);
                volume.entries += 1;
                // All that is in memory counts as one piece.
                volume.chunks += u64::from(in_memory.insert(row.stream));
            }
        }
        Ok(volumes)
    }

    /// Calls `read` with the index and the ids of the streams that satisfy all matchers
    /// and may have entries in the range.
    fn with_present<T>(
        &self,
        matchers: &[Matcher],
        range: NanoRange,
        read: impl Fn(&crate::index::Index, &[u32]) -> T,
    ) -> Result<T, StorageError> {
        let is_in = |first_ns, last_ns| !range.is_empty() && range.overlaps(first_ns, last_ns);
        loop {
            let removals = self.removals.load(Ordering::Acquire);
            let mut present = Vec::new();
            let parts = {
                let state = self.state.lock();
                let flushing = state.flushing.iter().map(|flushing| &*flushing.table);
                let tables = flushing.chain([&state.table]);
                let spans = tables.flat_map(|table| table.spans());
                let inside = spans.filter(|(_, s)| is_in(s.first_ns, s.last_ns));
                present.extend(inside.map(|(id, _)| id));
                Arc::clone(&state.parts)
            };
            for part in parts.iter().filter(|part| !part.is_damaged()) {
                let groups = part.groups().iter();
                let groups = groups.filter(|info| is_in(info.first_ns, info.last_ns));
                let numbers: BTreeSet<u32> =
                    groups.flat_map(|info| &info.streams).copied().collect();
                let ids = numbers.into_iter();
                present.extend(ids.filter_map(|number| part.ids().get(number as usize)));
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

/// Adds what a row group has in a range: of minutes that are in it as a whole what was
/// counted, of others the rows.
fn count_group(
    part: &Served,
    group: usize,
    range: NanoRange,
    ids: &[u32],
    volumes: &mut HashMap<u32, Volume>,
) -> Result<(), PartError> {
    let reader = part.reader();
    let counts = reader.counts(group)?;
    let mut found = HashSet::new();
    let mut add = |stream: u32, entries, bytes| {
        if let Some(&id) = part.ids().get(stream as usize) {
            let volume = volumes.entry(id).or_default();
            volume.bytes += bytes;
            volume.entries += entries;
            volume.chunks += u64::from(found.insert(id));
        }
    };
    let mut borders: Vec<Stretch> = Vec::new();
    for count in &counts.counts {
        let id = part.ids().get(count.stream as usize);
        if id.is_none_or(|id| ids.binary_search(id).is_err()) {
            continue;
        }
        let (first_ns, last_ns) = counts.times(count);
        let info = &part.groups()[group];
        let (first_ns, last_ns) = (first_ns.max(info.first_ns), last_ns.min(info.last_ns));
        if range.contains(first_ns) && range.contains(last_ns) {
            add(count.stream, count.rows, count.bytes);
        } else if range.overlaps(first_ns, last_ns) {
            let border = Stretch {
                stream: count.stream,
                first_ns: first_ns.max(range.start_ns),
                last_ns: last_ns.min(range.end_ns.saturating_sub(1)),
            };
            // Levels of one minute follow each other.
            if borders.last() != Some(&border) {
                borders.push(border);
            }
        }
    }
    if borders.is_empty() {
        return Ok(());
    }
    reader.group(group)?.stretches(&borders, |page, rows, at| {
        let lens = page.line_lens()?.get(rows.clone()).unwrap_or_default();
        let bytes = lens.iter().copied().map(u64::from).sum();
        add(borders[at].stream, rows.len() as u64, bytes);
        Ok(())
    })
}
