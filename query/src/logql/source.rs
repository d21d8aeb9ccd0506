//! Where a log query gets its entries from.
//!
//! A selection comes in groups: pieces of a few thousand entries that are read at once, each
//! with the range of its times. An engine that wants the newest entries reads the groups
//! from the newest and stops when the others are all older; one that counts reads them in
//! any order and from several threads.

use std::collections::BTreeMap;
use std::ops::Range;

use kymo_storage::logs::EntryHead;
use kymo_storage::logs::part::Needle;
use kymo_storage::model::{Labels, LogEntry, Matcher, NanoRange};

use super::columnar::ColumnGroup;
use crate::source::SourceError;

/// Log streams that a query can read.
pub trait LogSource: Send + Sync {
    /// Selects the entries in a range of the streams that satisfy all matchers.
    ///
    /// # Errors
    /// The data could not be read.
    fn select(&self, selection: &LogSelection<'_>) -> Result<Box<dyn LogSet>, SourceError>;
}

/// What a query asks a [`LogSource`] for.
#[derive(Debug, Clone, Copy)]
pub struct LogSelection<'a> {
    /// Conditions on the labels of streams.
    pub matchers: &'a [Matcher],
    /// Times of the wanted entries.
    pub range: NanoRange,
    /// What wanted lines contain at least. A source may leave out entries that do not, and
    /// need not look.
    pub needles: &'a [LineNeedles],
    /// Whether lines are looked at; without, a source may give empty ones.
    pub lines: bool,
    /// Whether structured metadata is looked at; without, a source may give none.
    pub metadata: bool,
}

impl<'a> LogSelection<'a> {
    /// Returns a selection of whole entries.
    pub fn new(matchers: &'a [Matcher], range: NanoRange) -> LogSelection<'a> {
        LogSelection {
            matchers,
            range,
            needles: &[],
            lines: true,
            metadata: true,
        }
    }
}

/// A condition on a line: it contains one of these texts, byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineNeedles {
    /// The texts, of which one is enough. None is empty.
    pub any_of: Vec<LineNeedle>,
}

/// A text that a line contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineNeedle {
    /// The text.
    pub text: Vec<u8>,
    /// Whether ASCII letters may be of either case.
    pub fold: bool,
}

impl LineNeedle {
    /// Returns a text whose case matters.
    pub fn exact(text: &[u8]) -> LineNeedle {
        LineNeedle {
            text: text.to_vec(),
            fold: false,
        }
    }
}

impl LineNeedles {
    /// Returns the texts as a store searches for them.
    pub(crate) fn searches(&self) -> Vec<Needle> {
        let needles = self.any_of.iter();
        let search = |needle: &LineNeedle| match needle.fold {
            true => Needle::folded(&needle.text),
            false => Needle::new(&needle.text),
        };
        needles.map(search).collect()
    }
}

/// Selected entries, read group by group in any order and from several threads.
pub trait LogSet: Send + Sync {
    /// Returns the labels of the selected streams. An [`EntryRef::stream`] is an index into
    /// them. Streams without entries in the range may be among them.
    fn streams(&self) -> &[Labels];

    /// Returns the groups, in order of their first times.
    fn groups(&self) -> &[LogGroup];

    /// Replaces the content of `into` by the entries of group `index` that are in the
    /// selected range. Entries of one stream come in order of time, those of one time in
    /// order of arrival, also where they are in different groups: of two groups that share a
    /// time of a stream, the earlier one has what came first. The order of streams within a
    /// group is free.
    ///
    /// # Errors
    /// The entries could not be read.
    fn read(&self, index: usize, into: &mut EntryBatch) -> Result<(), SourceError>;

    /// Returns the columns that group `index` is read from, where it has some and all of its
    /// entries in range and streams are selected.
    fn columns(&self, index: usize) -> Option<ColumnGroup<'_>> {
        let _ = index;
        None
    }

    /// Calls `each` with the entries of group `index` in any order and whatever their lines
    /// are, where they are in memory anyway; false where they are not, and then with none.
    fn heads(&self, index: usize, each: &mut dyn FnMut(EntryHead<'_>)) -> bool {
        let _ = (index, each);
        false
    }

    /// Returns how much memory the set holds beside what its source holds anyway, in bytes.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// A piece of a selection that is read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogGroup {
    /// No entry of the group is older, in nanoseconds since the epoch.
    pub first_ns: i64,
    /// No entry of the group is newer.
    pub last_ns: i64,
    /// How many entries it has at most.
    pub entries: usize,
    /// About how many bytes its lines have.
    pub line_bytes: u64,
}

/// One entry of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// Index of the stream among [`LogSet::streams`].
    pub stream: u32,
    /// When it happened, in nanoseconds since the epoch.
    pub t_ns: i64,
    /// The line, any bytes.
    pub line: &'a [u8],
    /// Structured metadata in order of the names.
    pub metadata: MetadataRef<'a>,
}

/// Structured metadata of one entry of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataRef<'a> {
    text: &'a str,
    ends: &'a [(u32, u32)],
    start: u32,
}

impl<'a> MetadataRef<'a> {
    /// No metadata.
    pub const NONE: MetadataRef<'static> = MetadataRef {
        text: "",
        ends: &[],
        start: 0,
    };

    /// Returns names and values.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut start = self.start as usize;
        self.ends.iter().map(move |&(name_end, value_end)| {
            let (name_end, value_end) = (name_end as usize, value_end as usize);
            let pair = (&self.text[start..name_end], &self.text[name_end..value_end]);
            start = value_end;
            pair
        })
    }

    /// Returns the value of a name.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// Returns how many bytes names and values have together.
    pub fn len_bytes(self) -> usize {
        let end = self.ends.last().map_or(self.start, |(_, end)| *end);
        (end - self.start) as usize
    }

    /// Returns how many names there are.
    pub fn len(self) -> usize {
        self.ends.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(self) -> bool {
        self.ends.is_empty()
    }
}

/// Entries of a group in flat memory, reused between groups.
#[derive(Debug, Clone, Default)]
pub struct EntryBatch {
    rows: Vec<Row>,
    lines: Vec<u8>,
    text: String,
    /// Ends of names and of values in `text`.
    pairs: Vec<(u32, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    stream: u32,
    t_ns: i64,
    line: (usize, usize),
    pairs: (u32, u32),
    text_start: u32,
}

impl EntryBatch {
    /// Removes all entries and keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.lines.clear();
        self.text.clear();
        self.pairs.clear();
    }

    /// Returns how many entries there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Tells whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the entry at an index below [`EntryBatch::len`].
    pub fn entry(&self, index: usize) -> EntryRef<'_> {
        let row = &self.rows[index];
        EntryRef {
            stream: row.stream,
            t_ns: row.t_ns,
            line: &self.lines[row.line.0..row.line.1],
            metadata: MetadataRef {
                text: &self.text,
                ends: &self.pairs[row.pairs.0 as usize..row.pairs.1 as usize],
                start: row.text_start,
            },
        }
    }

    /// Returns all entries.
    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> {
        (0..self.len()).map(|index| self.entry(index))
    }

    /// Appends an entry. Metadata comes in order of the names. A batch has less than 4 GiB
    /// of metadata: a group is far smaller.
    pub fn push<'p>(
        &mut self,
        stream: u32,
        t_ns: i64,
        line: &[u8],
        metadata: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) {
        let line_start = self.lines.len();
        self.lines.extend_from_slice(line);
        let (text_start, first) = (self.text.len() as u32, self.pairs.len() as u32);
        for (name, value) in metadata {
            self.text.push_str(name);
            let name_end = self.text.len() as u32;
            self.text.push_str(value);
            self.pairs.push((name_end, self.text.len() as u32));
        }
        self.rows.push(Row {
            stream,
            t_ns,
            line: (line_start, self.lines.len()),
            pairs: (first, self.pairs.len() as u32),
            text_start,
        });
    }

    /// Returns the bytes of memory that the batch holds.
    pub fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.lines.capacity()
            + self.text.capacity()
            + self.pairs.capacity() * size_of::<(u32, u32)>()
    }
}

/// Log streams in memory: for tests, and for embedders whose data is not in a store.
///
/// ```
/// use kymo_query::logql::{EntryBatch, LogSelection, LogSource, MemoryLogSource};
/// use kymo_storage::model::{Labels, MatchOp, Matcher, NanoRange};
///
/// let mut source = MemoryLogSource::new();
/// source.push(&Labels::from_pairs([("app", "a")]), 5, b"hello", []);
/// let matchers = [Matcher::new(MatchOp::Equal, "app", "a")?];
/// let set = source.select(&LogSelection::new(&matchers, NanoRange::ALL))?;
/// let mut batch = EntryBatch::default();
/// set.read(0, &mut batch)?;
/// assert_eq!(batch.entry(0).line, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryLogSource {
    streams: BTreeMap<Labels, Vec<LogEntry<'static>>>,
}

impl MemoryLogSource {
    /// Entries of a group.
    const GROUP: usize = 4096;

    /// Returns a source without streams.
    pub fn new() -> MemoryLogSource {
        MemoryLogSource::default()
    }

    /// Adds an entry to a stream, which is created where needed, behind those of the same
    /// time. Metadata comes in order of the names.
    pub fn push<'p>(
        &mut self,
        stream: &Labels,
        t_ns: i64,
        line: &[u8],
        metadata: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) {
        let entries = self.streams.entry(stream.clone()).or_default();
        let at = entries.partition_point(|entry| entry.t_ns <= t_ns);
        let metadata = metadata
            .into_iter()
            .map(|(name, value)| (name.to_owned().into(), value.to_owned().into()))
            .collect();
        let line = line.to_vec().into();
        entries.insert(
            at,
            LogEntry {
                t_ns,
                line,
                metadata,
            },
        );
    }
}

impl LogSource for MemoryLogSource {
    fn select(&self, selection: &LogSelection<'_>) -> Result<Box<dyn LogSet>, SourceError> {
        let mut selected = Selected {
            streams: Vec::new(),
            entries: Vec::new(),
            pieces: Vec::new(),
            groups: Vec::new(),
        };
        for (labels, entries) in &self.streams {
            let value = |name: &str| labels.get(name).unwrap_or("");
            if !selection
                .matchers
                .iter()
                .all(|m| m.matches(value(m.name())))
            {
                continue;
            }
            let stream = selected.streams.len() as u32;
            selected.streams.push(labels.clone());
            let of_range = entries.iter().filter(|e| selection.range.contains(e.t_ns));
            let of_range: Vec<_> = of_range.map(|entry| (stream, entry.clone())).collect();
            selected.entries.extend(of_range);
        }
        // Sorting is stable: entries of one stream and time stay in order of arrival.
        selected.entries.sort_by_key(|(_, entry)| entry.t_ns);
        let mut start = 0;
        for group in selected.entries.chunks(Self::GROUP) {
            selected.pieces.push(start..start + group.len());
            start += group.len();
            selected.groups.push(LogGroup {
                first_ns: group.first().map_or(0, |(_, entry)| entry.t_ns),
                last_ns: group.last().map_or(0, |(_, entry)| entry.t_ns),
                entries: group.len(),
                line_bytes: group.iter().map(|(_, entry)| entry.line.len() as u64).sum(),
            });
        }
        Ok(Box::new(selected))
    }
}

struct Selected {
    streams: Vec<Labels>,
    entries: Vec<(u32, LogEntry<'static>)>,
    pieces: Vec<Range<usize>>,
    groups: Vec<LogGroup>,
}

impl LogSet for Selected {
    fn streams(&self) -> &[Labels] {
        &self.streams
    }

    fn groups(&self) -> &[LogGroup] {
        &self.groups
    }

    fn read(&self, index: usize, into: &mut EntryBatch) -> Result<(), SourceError> {
        into.clear();
        for (stream, entry) in &self.entries[self.pieces[index].clone()] {
            let metadata = entry.metadata.iter().map(|(n, v)| (n.as_ref(), v.as_ref()));
            into.push(*stream, entry.t_ns, &entry.line, metadata);
        }
        Ok(())
    }
}
