//! Reads the index of a block: names, values, series.
//!
//! Names and shapes are read when the block is opened; they are few. The dictionary of
//! values is checked as a whole when it is first needed; all else in groups.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::grouped::GroupReader;
use super::index_writer::{SeriesLayout, SeriesRow, TOP};
#[cfg(any(test, feature = "internals"))]
use super::layout::SECTIONS;
use super::layout::{INDEX_FILE, INDEX_GROUP_BYTES, N_SECTIONS, Section, open_index};
use super::{BlockError, BlockMeta, fixed};
use crate::codec::CodecError;
use crate::codec::varint::read_u64;
use crate::fs::Dir;
use crate::index::{NameId, PairId};

/// Widths of all columns of all shapes that are taken.
const MAX_COLUMNS: usize = 1 << 24;

/// Names with so many values at most have them in memory, too, as long as all of them
/// together are not more than so many bytes.
const MAX_FEW: u32 = 64;
const MAX_KEPT_BYTES: usize = 1 << 18;

/// An open index.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) file: GroupReader,
    sections: [Range<usize>; N_SECTIONS],
    pub(super) names: Vec<Name>,
    n_pairs: u32,
    /// Where the columns of each shape end.
    shape_ends: Vec<u32>,
    columns: Vec<Column>,
    pub(super) n_series: u32,
    series: SeriesLayout,
    text_ends: Ends,
    vector_ends: Ends,
    posting_ends: Ends,
    is_dictionary_checked: AtomicBool,
}

/// A name of labels.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) text: Box<str>,
    /// Number of the first value; a pair is a value of a name.
    pub(super) base: PairId,
    pub(super) n_values: u32,
    /// Its transducer in the file; empty where there is none.
    transducer: Range<usize>,
    is_transducer_checked: AtomicBool,
    /// Its values, where they are few; most labels of most series are such. Filled when
    /// the dictionary is checked.
    few: OnceLock<Box<[Box<str>]>>,
}

impl Name {
    /// Returns the text of one of the values.
    #[inline]
    pub(super) fn value<'a>(&'a self, pair: PairId, dictionary: &Dictionary<'a>) -> &'a str {
        let at = (pair - self.base) as usize;
        match self.few.get().and_then(|few| few.get(at)) {
            Some(text) => text,
            None => dictionary.text(pair),
        }
    }
}

/// A label of the series of a shape.
#[derive(Debug, Clone, Copy)]
struct Column {
    name: NameId,
    /// Number of the pair that is written as 0.
    least: PairId,
    width: u32,
}

/// Where the parts of a section end.
#[derive(Debug)]
struct Ends {
    at: usize,
    n: usize,
    width: usize,
    section: Range<usize>,
}

impl Ends {
    /// Returns where part `i` is in the file.
    #[inline]
    fn part(&self, file: &GroupReader, i: usize) -> Result<Range<usize>, BlockError> {
        if i >= self.n {
            let detail = format!("part {i} is asked of {}", self.n);
            return Err(file.corrupt(self.at, detail));
        }
        let before = i.saturating_sub(1);
        let at = self.at + before * self.width;
        let ends = file.get(at..self.at + (i + 1) * self.width)?;
        let (first, last) = ends.split_at(self.width);
        let (start, end) = if i == 0 {
            (0, fixed::read(first) as usize)
        } else {
            (fixed::read(first) as usize, fixed::read(last) as usize)
        };
        if start > end || end > self.section.len() {
            return Err(file.corrupt(at, "a part of a section ends before it starts"));
        }
        Ok(self.section.start + start..self.section.start + end)
    }
}

impl Index {
    /// Opens the index of the block that is `meta`.
    pub(super) fn open(dir: &dyn Dir, meta: &BlockMeta) -> Result<Index, BlockError> {
        let file = GroupReader::open(dir, INDEX_FILE, meta.bytes_index, INDEX_GROUP_BYTES)?;
        let sections = open_index(&file, meta)?;
        let section = |section: Section| sections[section as usize].clone();
        let at = section(Section::Names);
        let names = read_names(file.get(at.clone())?, section(Section::Transducers))
            .map_err(|e| file.corrupt(at.start, e.to_string()))?;
        let n_pairs = names.last().map_or(0, |name| name.base + name.n_values);
        let at = section(Section::Shapes);
        let (shape_ends, columns) = read_shapes(file.get(at.clone())?, &names)
            .map_err(|e| file.corrupt(at.start, e.to_string()))?;

        let n_series = u32::try_from(meta.n_series);
        let n_series = n_series.map_err(|_| file.corrupt(0, "it has too many series"))?;
        let series = SeriesLayout::new(
            shape_ends.len() as u64,
            section(Section::Labels).len() as u64,
            section(Section::Chunks).len() as u64,
        );
        let rows = section(Section::Series);
        let n_rows = n_series as usize + 1;
        if n_rows.checked_mul(series.row_bytes) != Some(rows.len()) {
            return Err(file.corrupt(rows.start, "it has not a row for each series"));
        }
        let ends = |of: Section, ends: Section, n: Option<usize>| {
            let at = section(ends);
            let width = fixed::byte_width(section(of).len() as u64);
            let n = n.unwrap_or(at.len() / width);
            if n.checked_mul(width) != Some(at.len()) {
                return Err(file.corrupt(at.start, "it has not an end for each part of a section"));
            }
            Ok(Ends {
                at: at.start,
                n,
                width,
                section: section(of),
            })
        };
        let n = Some(n_pairs as usize);
        let text_ends = ends(Section::Texts, Section::TextEnds, n)?;
        let vector_ends = ends(Section::Vectors, Section::VectorEnds, None)?;
        let posting_ends = ends(Section::Postings, Section::PostingEnds, n)?;
        Ok(Index {
            sections,
            names,
            n_pairs,
            shape_ends,
            columns,
            n_series,
            series,
            text_ends,
            vector_ends,
            posting_ends,
            is_dictionary_checked: AtomicBool::new(false),
            file,
        })
    }

    fn section(&self, section: Section) -> &Range<usize> {
        &self.sections[section as usize]
    }

    /// Returns the name and length of each section.
    #[cfg(any(test, feature = "internals"))]
    pub(super) fn section_sizes(&self) -> Vec<(String, usize)> {
        let sections = SECTIONS.iter().zip(&self.sections);
        sections
            .map(|(section, at)| (format!("{section:?}"), at.len()))
            .collect()
    }

    /// Counts the sets of names.
    pub(super) fn n_shapes(&self) -> usize {
        self.shape_ends.len()
    }

    /// Counts the pairs.
    pub(super) fn n_pairs(&self) -> u32 {
        self.n_pairs
    }

    /// Returns the name of a pair, if there is such a pair.
    #[inline]
    pub(super) fn name_of(&self, pair: PairId) -> Option<&Name> {
        let behind = self.names.partition_point(|name| name.base <= pair);
        let name = self.names.get(behind.checked_sub(1)?)?;
        (pair - name.base < name.n_values).then_some(name)
    }

    /// Finds a name.
    pub(super) fn name(&self, name: &str) -> Option<NameId> {
        let found = self.names.binary_search_by(|known| (*known.text).cmp(name));
        found.ok().map(|at| at as NameId)
    }

    /// Returns the texts of all values, checked when that is asked for the first time.
    #[inline]
    pub(super) fn dictionary(&self) -> Result<Dictionary<'_>, BlockError> {
        let (texts, ends) = (
            self.section(Section::Texts),
            self.section(Section::TextEnds),
        );
        let is_checked = self.is_dictionary_checked.load(Ordering::Acquire);
        if !is_checked {
            self.file.get(texts.clone())?;
            self.file.get(ends.clone())?;
        }
        let dictionary = Dictionary {
            texts: self.file.get_checked(texts.clone()),
            ends: self.file.get_checked(ends.clone()),
            width: self.text_ends.width,
        };
        if !is_checked {
            self.keep_few(&dictionary);
            self.is_dictionary_checked.store(true, Ordering::Release);
        }
        Ok(dictionary)
    }

    /// Copies the values of names that have few.
    #[cold]
    fn keep_few(&self, dictionary: &Dictionary<'_>) {
        let mut left = MAX_KEPT_BYTES;
        for name in self.names.iter().filter(|name| name.n_values <= MAX_FEW) {
            let pairs = name.base..name.base + name.n_values;
            let len_bytes: usize = pairs.clone().map(|pair| dictionary.bytes(pair).len()).sum();
            if let Some(rest) = left.checked_sub(len_bytes) {
                left = rest;
                name.few
                    .get_or_init(|| pairs.map(|pair| dictionary.text(pair).into()).collect());
            }
        }
    }

    /// Returns the transducer of a name that has many values.
    pub(super) fn transducer(&self, name: &Name) -> Result<Option<fst::Map<&[u8]>>, BlockError> {
        if name.transducer.is_empty() {
            return Ok(None);
        }
        let corrupt = |e: fst::Error| self.file.corrupt(name.transducer.start, e.to_string());
        let map = fst::Map::new(self.file.get(name.transducer.clone())?).map_err(corrupt)?;
        // A transducer is not safe to walk when it is not what its builder wrote, so its
        // own checksum is looked at, too.
        if !name.is_transducer_checked.load(Ordering::Acquire) {
            map.as_fst().verify().map_err(corrupt)?;
            name.is_transducer_checked.store(true, Ordering::Release);
        }
        Ok(Some(map))
    }

    /// Returns the row of a series and where its chunk entries are in the file.
    #[inline]
    pub(super) fn row(&self, series: u32) -> Result<(SeriesRow, Range<usize>), BlockError> {
        let bytes = self.series.row_bytes;
        let rows = self.section(Section::Series);
        let at = rows.start + series as usize * bytes;
        let both = self.file.get(at..at + 2 * bytes)?;
        let (row, next) = both.split_at(bytes);
        let (row, next) = (self.series.read(row), self.series.read(next));
        let chunks = self.section(Section::Chunks);
        if row.chunks_at > next.chunks_at || next.chunks_at > chunks.len() {
            return Err(self
                .file
                .corrupt(at, "the chunks of a series end before they start"));
        }
        Ok((
            row,
            chunks.start + row.chunks_at..chunks.start + next.chunks_at,
        ))
    }

    /// Returns the pairs of a series, in order of name.
    #[inline]
    pub(super) fn pairs(&self, series: u32) -> Result<Pairs<'_>, BlockError> {
        let (row, _) = self.row(series)?;
        let bad = || {
            let detail = format!("the labels of series {series} are not there");
            self.file
                .corrupt(self.section(Section::Series).start, detail)
        };
        let &end = self.shape_ends.get(row.shape).ok_or_else(bad)?;
        let start = row.shape.checked_sub(1).map_or(0, |at| self.shape_ends[at]);
        let columns = &self.columns[start as usize..end as usize];
        let bits: usize = columns.iter().map(|column| column.width as usize).sum();
        let labels = self.section(Section::Labels);
        let len = bits.div_ceil(8);
        if labels
            .len()
            .checked_sub(len)
            .is_none_or(|last| row.labels_at > last)
        {
            return Err(bad());
        }
        let at = labels.start + row.labels_at;
        Ok(Pairs {
            columns: columns.iter(),
            bytes: self.file.get(at..at + len)?,
            at: 0,
        })
    }

    /// Returns a vector of the dictionary of timestamps.
    #[inline]
    pub(super) fn vector(&self, vector: u32) -> Result<&[u8], BlockError> {
        let part = self.vector_ends.part(&self.file, vector as usize)?;
        self.file.get(part)
    }

    /// Returns the list of series of a pair.
    pub(super) fn list(&self, pair: PairId) -> Result<&[u8], BlockError> {
        let part = self.posting_ends.part(&self.file, pair as usize)?;
        self.file.get(part)
    }

    /// Returns the figures about names.
    pub(super) fn stats(&self) -> Result<Vec<NameStats>, BlockError> {
        let at = self.section(Section::Stats);
        let mut bytes = self.file.get(at.clone())?;
        let names = self.names.iter().map(|name| read_stats(&mut bytes, name));
        names
            .collect::<Result<_, _>>()
            .map_err(|e| self.file.corrupt(at.start, e.to_string()))
    }
}

/// Pairs of a series, in order of name.
#[derive(Debug, Clone)]
pub(super) struct Pairs<'a> {
    columns: std::slice::Iter<'a, Column>,
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Pairs<'_> {
    type Item = (NameId, PairId);

    #[inline]
    fn next(&mut self) -> Option<(NameId, PairId)> {
        let column = self.columns.next()?;
        let value = fixed::bits(self.bytes, self.at, column.width);
        self.at += column.width as usize;
        Some((column.name, column.least.saturating_add(value)))
    }
}

/// The texts of all values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dictionary<'a> {
    texts: &'a [u8],
    ends: &'a [u8],
    width: usize,
}

impl<'a> Dictionary<'a> {
    /// Returns the value of a pair; nothing where there is none, which checksums exclude.
    #[inline]
    pub(super) fn text(&self, pair: PairId) -> &'a str {
        str::from_utf8(self.bytes(pair)).unwrap_or_default()
    }

    #[inline]
    fn bytes(&self, pair: PairId) -> &'a [u8] {
        let at = pair as usize * self.width;
        let start = match at.checked_sub(self.width) {
            Some(before) => self.end(before),
            None => 0,
        };
        self.texts.get(start..self.end(at)).unwrap_or_default()
    }

    #[inline]
    fn end(&self, at: usize) -> usize {
        let mask = u64::MAX >> (64 - 8 * self.width);
        if let Some(word) = self.ends.get(at..at + 8).and_then(|w| w.first_chunk()) {
            return (u64::from_le_bytes(*word) & mask) as usize;
        }
        let bytes = self.ends.get(at..at + self.width);
        fixed::read(bytes.unwrap_or_default()) as usize
    }

    /// Finds where among the ascending values `pairs` those from `value` on begin.
    pub(super) fn position(&self, pairs: Range<PairId>, value: &[u8]) -> PairId {
        let (mut low, mut high) = (pairs.start, pairs.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.bytes(middle) < value {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Narrows ascending values to those that begin with `prefix`.
    pub(super) fn with_prefix(&self, pairs: Range<PairId>, prefix: &str) -> Range<PairId> {
        let start = self.position(pairs.clone(), prefix.as_bytes());
        let (mut low, mut high) = (start, pairs.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.bytes(middle).starts_with(prefix.as_bytes()) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        start..low
    }
}

/// Figures about a name in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameStats {
    /// The name.
    pub name: String,
    /// Its different values.
    pub n_values: u32,
    /// Series that have it.
    pub n_series: u64,
    /// Bytes of its values, each counted once.
    pub value_bytes: u64,
    /// Numbers of the values with the most series, in sorted order of values, and the
    /// series each has; most first.
    pub top: Vec<(u32, u32)>,
}

fn read_stats(bytes: &mut &[u8], name: &Name) -> Result<NameStats, CodecError> {
    const BAD: CodecError = CodecError::Invalid("figure of a name");
    let n_series = read_u64(bytes)?;
    let value_bytes = read_u64(bytes)?;
    let n_top = read_u64(bytes)?;
    if n_top > TOP as u64 {
        return Err(BAD);
    }
    let mut top = Vec::with_capacity(TOP);
    for _ in 0..n_top {
        let value = u32::try_from(read_u64(bytes)?).map_err(|_| BAD)?;
        let count = u32::try_from(read_u64(bytes)?).map_err(|_| BAD)?;
        if value >= name.n_values {
            return Err(BAD);
        }
        top.push((value, count));
    }
    Ok(NameStats {
        name: name.text.to_string(),
        n_values: name.n_values,
        n_series,
        value_bytes,
        top,
    })
}

fn read_names(mut bytes: &[u8], transducers: Range<usize>) -> Result<Vec<Name>, CodecError> {
    const BAD: CodecError = CodecError::Invalid("name of labels");
    let rest = &mut bytes;
    let mut names: Vec<Name> = Vec::new();
    let (mut base, mut transducer_at) = (0u32, transducers.start);
    while !rest.is_empty() {
        let len = usize::try_from(read_u64(rest)?).map_err(|_| BAD)?;
        let text = rest.split_off(..len).ok_or(BAD)?;
        let text = str::from_utf8(text).map_err(|_| BAD)?;
        let n_values = u32::try_from(read_u64(rest)?).map_err(|_| BAD)?;
        let len = usize::try_from(read_u64(rest)?).map_err(|_| BAD)?;
        let end = transducer_at.checked_add(len);
        let end = end.filter(|&end| end <= transducers.end).ok_or(BAD)?;
        if n_values == 0 || names.last().is_some_and(|last| *last.text >= *text) {
            return Err(BAD);
        }
        names.push(Name {
            text: text.into(),
            base,
            n_values,
            transducer: transducer_at..end,
            is_transducer_checked: AtomicBool::new(false),
            few: OnceLock::new(),
        });
        base = base.checked_add(n_values).ok_or(BAD)?;
        transducer_at = end;
    }
    Ok(names)
}

fn read_shapes(mut bytes: &[u8], names: &[Name]) -> Result<(Vec<u32>, Vec<Column>), CodecError> {
    const BAD: CodecError = CodecError::Invalid("set of names");
    let rest = &mut bytes;
    let (mut ends, mut columns) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let n = read_u64(rest)?;
        let mut next = 0u64;
        for _ in 0..n {
            let at = next.checked_add(read_u64(rest)?).ok_or(BAD)?;
            let name = usize::try_from(at).ok().and_then(|at| names.get(at));
            let name = name.ok_or(BAD)?;
            next = at + 1;
            let least = read_u64(rest)?;
            let span = read_u64(rest)?;
            let greatest = least.checked_add(span);
            if greatest.is_none_or(|greatest| greatest >= u64::from(name.n_values)) {
                return Err(BAD);
            }
            columns.push(Column {
                name: at as NameId,
                least: name.base + least as u32,
                width: fixed::bit_width(span),
            });
            if columns.len() > MAX_COLUMNS {
                return Err(BAD);
            }
        }
        ends.push(columns.len() as u32);
    }
    Ok((ends, columns))
}
