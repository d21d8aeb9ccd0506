//! Reading: a snapshot of the entries of some streams in a range, in groups.
//!
//! A group is a block of the table. Groups come in order of their first times, with one
//! exception: of two whose times overlap, the one with the entries that came first comes
//! first, and its first time is given as no later than that of the other. So entries of one
//! stream and time keep their order of arrival over groups.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::store::{LogStore, labels_of};
use super::table::Block;
use crate::error::StorageError;
use crate::model::{Labels, Matcher, NanoRange};
use crate::wal::{EntryRow, metadata_pairs};

/// Stands for a stream that was not selected.
const NOT_SELECTED: u32 = u32::MAX;

/// An entry as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredEntry<'a> {
    /// Index of the stream among [`Selection::streams`].
    pub stream: u32,
    /// Nanoseconds since the epoch.
    pub t_ns: i64,
    /// The line, any bytes.
    pub line: &'a [u8],
    /// Names and values of structured metadata, in order of the names.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// A piece of a selection that is read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryGroup {
    /// No entry of the group is older, in nanoseconds since the epoch.
    pub first_ns: i64,
    /// No entry of the group is newer.
    pub last_ns: i64,
    /// How many entries it has at most.
    pub entries: usize,
    /// About how many bytes its lines have.
    pub line_bytes: u64,
}

/// Selected entries, read group by group in any order and from several threads.
#[derive(Debug)]
pub struct Selection {
    range: NanoRange,
    streams: Vec<Labels>,
    /// Index among the streams by id.
    picks: Vec<u32>,
    groups: Vec<EntryGroup>,
    blocks: Vec<Arc<Block>>,
}

impl LogStore {
    /// Selects the entries in a range of the streams that satisfy all matchers.
    ///
    /// # Errors
    /// What is on disk could not be read.
    pub fn select(
        &self,
        matchers: &[Matcher],
        range: NanoRange,
    ) -> Result<Selection, StorageError> {
        loop {
            let removals = self.removals.load(Ordering::Acquire);
            let blocks = self.state.lock().blocks();
            let selection = self.select_in(matchers, range, blocks);
            if self.removals.load(Ordering::Acquire) == removals {
                return Ok(selection);
            }
        }
    }

    fn select_in(
        &self,
        matchers: &[Matcher],
        range: NanoRange,
        blocks: Vec<Arc<Block>>,
    ) -> Selection {
        let mut selection = Selection {
            range,
            streams: Vec::new(),
            picks: Vec::new(),
            groups: Vec::new(),
            blocks: Vec::new(),
        };
        let blocks = blocks
            .into_iter()
            .filter(|block| range.overlaps(block.first_ns, block.last_ns));
        selection.blocks = blocks.collect();
        if selection.blocks.is_empty() || range.is_empty() {
            selection.blocks.clear();
            return selection;
        }
        let index = self.index.read();
        let ids = index.resolve(matchers);
        let end = ids.last().map_or(0, |&id| id as usize + 1);
        selection.picks.resize(end, NOT_SELECTED);
        for (at, &id) in ids.iter().enumerate() {
            selection.picks[id as usize] = at as u32;
            selection.streams.push(labels_of(&index, id));
        }
        drop(index);
        if ids.is_empty() {
            selection.blocks.clear();
        }
        selection.group();
        selection
    }
}

impl Selection {
    /// Returns the labels of the selected streams. Streams without entries in the range
    /// may be among them.
    pub fn streams(&self) -> &[Labels] {
        &self.streams
    }

    /// Returns the groups, in order of their first times.
    pub fn groups(&self) -> &[EntryGroup] {
        &self.groups
    }

    /// Returns how much memory the selection holds that the store does not, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.picks.capacity() * size_of::<u32>()
            + self.groups.capacity() * size_of::<EntryGroup>()
            + self.streams.iter().map(Labels::memory_bytes).sum::<usize>()
    }

    /// Makes the groups of the blocks, which are in order of arrival.
    fn group(&mut self) {
        let mut order: Vec<(EntryGroup, Arc<Block>)> = Vec::with_capacity(self.blocks.len());
        for block in self.blocks.drain(..) {
            let group = EntryGroup {
                first_ns: block.first_ns,
                last_ns: block.last_ns,
                entries: block.rows().len(),
                line_bytes: block.line_bytes,
            };
            order.push((group, block));
        }
        for at in (0..order.len()).rev() {
            let (group, later) = (order[at].0, &order[at + 1..]);
            let overlapping = later
                .iter()
                .map(|(later, _)| later)
                .filter(|later| later.first_ns <= group.last_ns && group.first_ns <= later.last_ns);
            let first_ns = overlapping.map(|later| later.first_ns).min();
            let group = &mut order[at].0;
            group.first_ns = group.first_ns.min(first_ns.unwrap_or(i64::MAX));
        }
        order.sort_by_key(|(group, _)| group.first_ns);
        (self.groups, self.blocks) = order.into_iter().unzip();
    }

    /// Calls `each` with the selected entries of group `index`. Entries of one stream come
    /// in order of time, those of one time in order of arrival.
    ///
    /// # Errors
    /// The entries could not be read.
    pub fn read(
        &self,
        index: usize,
        each: &mut dyn FnMut(StoredEntry<'_>),
    ) -> Result<(), StorageError> {
        let Some(block) = self.blocks.get(index) else {
            return Ok(());
        };
        let picked = |row: &&EntryRow| self.range.contains(row.t_ns) && self.pick(row).is_some();
        let mut rows: Vec<&EntryRow> = block.rows().iter().filter(picked).collect();
        // Stable: what came first stays first.
        rows.sort_by_key(|row| row.t_ns);
        let mut metadata: SmallVec<[(&str, &str); 8]> = SmallVec::new();
        for row in rows {
            metadata.clear();
            metadata.extend(metadata_pairs(row.metadata(block.bytes())));
            each(StoredEntry {
                stream: self.pick(row).unwrap_or(NOT_SELECTED),
                t_ns: row.t_ns,
                line: row.line(block.bytes()),
                metadata: &metadata,
            });
        }
        Ok(())
    }

    fn pick(&self, row: &EntryRow) -> Option<u32> {
        let pick = self.picks.get(row.stream as usize).copied();
        pick.filter(|&pick| pick != NOT_SELECTED)
    }
}
