//! Reading: a snapshot of the entries of some streams in a range, in groups.
//!
//! A group is a row group of a part, or a block of a table. Groups come in order of their
//! first times, with one exception: of two whose times overlap, the one with the entries
//! that came first comes first, and its first time is given as no later than that of the
//! other. So entries of one stream and time keep their order of arrival over groups.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::deletion::{Deletion, Hiding};
use super::part::{Needle, PartError, PartReader, RowFilter};
use super::parts::{Damages, Served};
use super::store::{LogStore, Snapshot, labels_of};
use super::table::Block;
use crate::error::StorageError;
use crate::model::{Labels, Matcher, NanoRange};
use crate::wal::{EntryRow, metadata_pairs};

/// Stands for a stream that was not selected.
const NOT_SELECTED: u32 = u32::MAX;

/// What of the selected entries is wanted.
#[derive(Debug, Clone)]
pub struct SelectOptions {
    /// Sets of texts: entries whose line has none of one of the sets may be left out.
    pub needles: Vec<Vec<Needle>>,
    /// Whether lines are wanted; without, they may be empty.
    pub lines: bool,
    /// Whether structured metadata is wanted; without, there may be none.
    pub metadata: bool,
}

impl Default for SelectOptions {
    /// Whole entries, all of them.
    fn default() -> SelectOptions {
        SelectOptions {
            needles: Vec::new(),
            lines: true,
            metadata: true,
        }
    }
}

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

/// An entry in memory, without its line.
#[derive(Debug, Clone, Copy)]
pub struct EntryHead<'a> {
    /// Index of the stream among [`Selection::streams`].
    pub stream: u32,
    /// Nanoseconds since the epoch.
    pub t_ns: i64,
    /// Bytes of the line.
    pub line_bytes: u32,
    metadata: &'a [u8],
}

impl<'a> EntryHead<'a> {
    /// Returns names and values of structured metadata, in order of the names.
    pub fn metadata(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        metadata_pairs(self.metadata)
    }
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

impl EntryGroup {
    fn overlaps(&self, other: &EntryGroup) -> bool {
        self.first_ns <= other.last_ns && other.first_ns <= self.last_ns
    }
}

/// A row group of a part in a selection, for who reads its columns.
#[derive(Debug, Clone, Copy)]
pub struct PartGroup<'s> {
    /// The part.
    pub part: &'s PartReader,
    /// Number of the group in it.
    pub group: usize,
    /// Numbers of the selected streams in the part, in order, each with its index among
    /// [`Selection::streams`].
    pub streams: &'s [(u32, u32)],
    /// Times of the selected entries.
    pub range: NanoRange,
}

/// Selected entries, read group by group in any order and from several threads.
#[derive(Debug)]
pub struct Selection {
    range: NanoRange,
    options: SelectOptions,
    damages: Arc<Damages>,
    streams: Vec<Labels>,
    /// Index among the streams by id.
    picks: Vec<u32>,
    groups: Vec<EntryGroup>,
    sources: Vec<Source>,
    parts: Vec<Picked>,
}

/// Where the entries of a group are.
#[derive(Debug)]
enum Source {
    Block { block: Arc<Block>, hiding: Hiding },
    Part { picked: usize, group: usize },
}

/// A part with what is selected of it.
#[derive(Debug)]
struct Picked {
    part: Arc<Served>,
    /// Numbers of the selected streams in the part, in order.
    numbers: Vec<u32>,
    /// With their indexes among the streams of the selection.
    streams: Vec<(u32, u32)>,
    hiding: Hiding,
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
        self.select_with(matchers, range, SelectOptions::default())
    }

    /// As [`LogStore::select`], for a reader that does not want all of them, or not all of
    /// each.
    ///
    /// # Errors
    /// What is on disk could not be read.
    pub fn select_with(
        &self,
        matchers: &[Matcher],
        range: NanoRange,
        options: SelectOptions,
    ) -> Result<Selection, StorageError> {
        loop {
            let removals = self.removals.load(Ordering::Acquire);
            let snapshot = self.state.lock().snapshot();
            let selection = self.select_in(matchers, range, options.clone(), snapshot);
            if self.removals.load(Ordering::Acquire) == removals {
                return Ok(selection);
            }
        }
    }

    fn select_in(
        &self,
        matchers: &[Matcher],
        range: NanoRange,
        options: SelectOptions,
        snapshot: Snapshot,
    ) -> Selection {
        let mut selection = Selection {
            range,
            options,
            damages: Arc::clone(&self.damages),
            streams: Vec::new(),
            picks: Vec::new(),
            groups: Vec::new(),
            sources: Vec::new(),
            parts: Vec::new(),
        };
        let in_range = |first_ns, last_ns| !range.is_empty() && range.overlaps(first_ns, last_ns);
        let parts = snapshot.parts.iter().filter(|part| {
            !part.is_damaged() && in_range(part.meta().first_ns, part.meta().last_ns)
        });
        let mut parts: Vec<&Arc<Served>> = parts.collect();
        // In order of arrival: parts of different days have no time in common, but for
        // those of many days.
        parts.sort_by_key(|part| (part.id().first, part.id().day));
        let blocks = snapshot.blocks.iter();
        let blocks = blocks.filter(|block| in_range(block.first_ns, block.last_ns));
        let blocks: Vec<&Arc<Block>> = blocks.collect();
        if parts.is_empty() && blocks.is_empty() {
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
        if !ids.is_empty() {
            selection.fill(&parts, &blocks, &snapshot.deletions);
        }
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

    /// Returns the row group that a group is, where it is one, and nothing in it is
    /// hidden by a deletion: its columns may be read in place of its entries.
    pub fn part_group(&self, index: usize) -> Option<PartGroup<'_>> {
        let Some(&Source::Part { picked, group }) = self.sources.get(index) else {
            return None;
        };
        let picked = self.parts.get(picked)?;
        picked.hiding.is_empty().then(|| PartGroup {
            part: picked.part.reader(),
            group,
            streams: &picked.streams,
            range: self.range,
        })
    }

    /// Returns how much memory the selection holds that the store does not, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let parts = self.parts.iter().map(|picked| picked.streams.len() * 12);
        self.picks.capacity() * size_of::<u32>()
            + self.groups.capacity() * (size_of::<EntryGroup>() + size_of::<Source>())
            + self.streams.iter().map(Labels::memory_bytes).sum::<usize>()
            + parts.sum::<usize>()
    }

    /// Makes groups of what overlaps the range.
    fn fill(
        &mut self,
        parts: &[&Arc<Served>],
        blocks: &[&Arc<Block>],
        deletions: &[Arc<Deletion>],
    ) {
        let range = self.range;
        // Inclusive, as the times of pieces are.
        let last_ns = range.end_ns.saturating_sub(1);
        let concerning = deletions
            .iter()
            .filter(|d| d.concerns(0, range.start_ns, last_ns));
        let deletions: Vec<_> = concerning
            .map(|deletion| {
                let streams = self.streams.iter().map(|labels| deletion.is_of(labels));
                (deletion, Arc::new(streams.collect::<Vec<bool>>()))
            })
            .collect();
        let hiding = |born, first_ns, last_ns| {
            let mut hiding = Hiding::default();
            for (deletion, streams) in &deletions {
                if deletion.concerns(born, first_ns, last_ns) {
                    hiding.add(deletion, Arc::clone(streams));
                }
            }
            hiding
        };
        for part in parts {
            let picks = part.ids().iter().enumerate();
            let picks = picks.filter_map(|(number, &id)| Some((number as u32, self.pick(id)?)));
            let streams: Vec<(u32, u32)> = picks.collect();
            if streams.is_empty() {
                continue;
            }
            let numbers: Vec<u32> = streams.iter().map(|(number, _)| *number).collect();
            for (group, info) in part.groups().iter().enumerate() {
                let is_in = range.overlaps(info.first_ns, info.last_ns)
                    && have_common(&info.streams, &numbers);
                if is_in {
                    self.groups.push(EntryGroup {
                        first_ns: info.first_ns,
                        last_ns: info.last_ns,
                        entries: info.rows,
                        line_bytes: info.line_bytes,
                    });
                    self.sources.push(Source::Part {
                        picked: self.parts.len(),
                        group,
                    });
                }
            }
            let meta = part.meta();
            self.parts.push(Picked {
                part: Arc::clone(part),
                numbers,
                streams,
                hiding: hiding(part.entry.applied, meta.first_ns, meta.last_ns),
            });
        }
        for block in blocks {
            self.groups.push(EntryGroup {
                first_ns: block.first_ns,
                last_ns: block.last_ns,
                entries: block.rows().len(),
                line_bytes: block.line_bytes,
            });
            self.sources.push(Source::Block {
                block: Arc::clone(block),
                hiding: hiding(block.born, block.first_ns, block.last_ns),
            });
        }
        order(&mut self.groups, &mut self.sources);
    }

    /// Calls `each` with the selected entries of group `index`. Entries of one stream come
    /// in order of time, those of one time in order of arrival. A part that proves damaged
    /// is named, and later selections are without it.
    ///
    /// # Errors
    /// The entries could not be read.
    pub fn read(
        &self,
        index: usize,
        each: &mut dyn FnMut(StoredEntry<'_>),
    ) -> Result<(), StorageError> {
        match self.sources.get(index) {
            Some(Source::Block { block, hiding }) => {
                self.read_block(block, hiding, each);
                Ok(())
            }
            Some(&Source::Part { picked, group }) => match self.parts.get(picked) {
                Some(picked) => {
                    let read = self.read_part(picked, group, each);
                    read.map_err(|error| self.damages.failed(&picked.part, error))
                }
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Calls `each` with the selected entries of group `index` in order of arrival, whatever
    /// their lines are, where that costs next to nothing; false where it does not, and then
    /// with none.
    pub fn heads(&self, index: usize, each: &mut dyn FnMut(EntryHead<'_>)) -> bool {
        let Some(Source::Block { block, hiding }) = self.sources.get(index) else {
            return false;
        };
        if !hiding.is_empty() {
            return false;
        }
        for row in block
            .rows()
            .iter()
            .filter(|row| self.range.contains(row.t_ns))
        {
            if let Some(stream) = self.pick(row.stream) {
                each(EntryHead {
                    stream,
                    t_ns: row.t_ns,
                    line_bytes: row.line_len,
                    metadata: row.metadata(block.bytes()),
                });
            }
        }
        true
    }

    fn read_part(
        &self,
        picked: &Picked,
        group: usize,
        each: &mut dyn FnMut(StoredEntry<'_>),
    ) -> Result<(), PartError> {
        // What a deletion finds may depend on all of an entry.
        let hides = !picked.hiding.is_empty();
        let filter = RowFilter {
            streams: Some(&picked.numbers),
            range: self.range,
            needles: &self.options.needles,
            lines: self.options.lines || hides,
            metadata: self.options.metadata || hides,
        };
        picked.part.reader().group(group)?.read(&filter, |row| {
            let at = picked.numbers.binary_search(&row.stream);
            let Ok((_, stream)) = at.map(|at| picked.streams[at]) else {
                return Ok(());
            };
            let entry = StoredEntry {
                stream,
                t_ns: row.t_ns,
                line: row.line,
                metadata: row.metadata,
            };
            if !hides || !self.is_hidden(&picked.hiding, entry) {
                each(entry);
            }
            Ok::<(), PartError>(())
        })
    }

    fn read_block(&self, block: &Block, hiding: &Hiding, each: &mut dyn FnMut(StoredEntry<'_>)) {
        let needles = &self.options.needles;
        let bytes = block.bytes();
        let is_wanted = |row: &&EntryRow| {
            self.range.contains(row.t_ns)
                && self.pick(row.stream).is_some()
                && needles
                    .iter()
                    .all(|any| any.iter().any(|n| n.is_in(row.line(bytes))))
        };
        let mut rows: Vec<&EntryRow> = block.rows().iter().filter(is_wanted).collect();
        // Stable: what came first stays first.
        rows.sort_by_key(|row| row.t_ns);
        let mut metadata: SmallVec<[(&str, &str); 8]> = SmallVec::new();
        for row in rows {
            metadata.clear();
            if self.options.metadata || !hiding.is_empty() {
                metadata.extend(metadata_pairs(row.metadata(bytes)));
            }
            let entry = StoredEntry {
                stream: self.pick(row.stream).unwrap_or(NOT_SELECTED),
                t_ns: row.t_ns,
                line: row.line(bytes),
                metadata: &metadata,
            };
            if hiding.is_empty() || !self.is_hidden(hiding, entry) {
                each(entry);
            }
        }
    }

    fn is_hidden(&self, hiding: &Hiding, entry: StoredEntry<'_>) -> bool {
        let at = entry.stream as usize;
        let labels = self.streams.get(at);
        labels.is_some_and(|labels| hiding.hides(at, labels, entry))
    }

    fn pick(&self, id: u32) -> Option<u32> {
        let pick = self.picks.get(id as usize).copied();
        pick.filter(|&pick| pick != NOT_SELECTED)
    }
}

/// Tells whether two ascending lists have something in common.
fn have_common(one: &[u32], other: &[u32]) -> bool {
    let (few, many) = match one.len() < other.len() {
        true => (one, other),
        false => (other, one),
    };
    few.iter().any(|number| many.binary_search(number).is_ok())
}

/// Sorts groups, which are in order of arrival, by their first times, as the module says.
fn order(groups: &mut Vec<EntryGroup>, sources: &mut Vec<Source>) {
    let mut by_time: Vec<usize> = (0..groups.len()).collect();
    by_time.sort_by_key(|&at| groups[at].first_ns);
    // For each group those that overlap it and came later.
    let mut later: Vec<SmallVec<[usize; 2]>> = vec![SmallVec::new(); groups.len()];
    let mut open: Vec<usize> = Vec::new();
    for &at in &by_time {
        open.retain(|&other| groups[other].overlaps(&groups[at]));
        for &other in &open {
            later[at.min(other)].push(at.max(other));
        }
        open.push(at);
    }
    let mut firsts: Vec<i64> = groups.iter().map(|group| group.first_ns).collect();
    for at in (0..groups.len()).rev() {
        let least = later[at].iter().map(|&later| firsts[later]).min();
        firsts[at] = firsts[at].min(least.unwrap_or(i64::MAX));
    }
    for (group, &first_ns) in groups.iter_mut().zip(&firsts) {
        group.first_ns = first_ns;
    }
    let pairs = groups.drain(..).zip(sources.drain(..));
    let mut pairs: Vec<(EntryGroup, Source)> = pairs.collect();
    pairs.sort_by_key(|(group, _)| group.first_ns);
    (*groups, *sources) = pairs.into_iter().unzip();
}
