//! Entries counted without a look at any: what a part has counted by the minute where a
//! minute is in one segment of the windows, and elsewhere rows by their times alone.

use std::ops::Range;

use kymo_storage::logs::part::{Counts, Group, LEVEL_NAME, Page, PartError, Stretch, Values};

use super::plan::Counted;
use super::read::metadata_that_matters;
use super::{ColumnGroup, Plan};

/// Entries of a stream and level in one segment of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::logql) struct Piece {
    /// Index of the stream in the selection.
    pub(in crate::logql) stream: u32,
    /// Number of the level among those of the pieces; 0 where nobody asks.
    pub(in crate::logql) level: u32,
    /// The segment.
    pub(in crate::logql) segment: u32,
    /// A time in it.
    pub(in crate::logql) t_ns: i64,
    /// How many there are.
    pub(in crate::logql) entries: u64,
    /// How many bytes their lines have; an estimate where only entries are counted.
    pub(in crate::logql) bytes: u64,
}

/// The entries of a group, counted.
#[derive(Debug, Default)]
pub(in crate::logql) struct Pieces {
    /// Values of [`LEVEL_NAME`], the first is that of entries without it. Empty where they
    /// make no difference.
    pub(in crate::logql) levels: Vec<String>,
    /// By stream, in order of the times of each.
    pub(in crate::logql) pieces: Vec<Piece>,
}

/// What is taken of one count.
#[derive(Debug, Clone, Copy)]
struct Border {
    stream: u32,
    entries: u64,
    bytes: u64,
}

impl Plan {
    /// Returns what of entries is counted, where nothing else is looked at.
    pub(in crate::logql) fn counted(&self) -> Option<Counted> {
        self.counted
    }

    /// Counts the entries of a group by the segments of windows; `None` where more of them
    /// is to be known. `stretch` tells the segment of a time, and the last time that is in
    /// the same one.
    ///
    /// # Errors
    /// The group is damaged.
    pub(in crate::logql) fn counts(
        &self,
        of: &ColumnGroup<'_>,
        stretch: impl Fn(i64) -> (Option<u32>, i64),
    ) -> Result<Option<Pieces>, PartError> {
        let Some(counted) = self.counted else {
            return Ok(None);
        };
        let group = of.part.group(of.group)?;
        let mut counts = of.part.counts(of.group)?;
        let level = match &metadata_that_matters(&group, self)[..] {
            [] => None,
            [column] if group.key(*column).name == LEVEL_NAME => {
                match Levels::new(&group, *column, &counts)? {
                    None => return Ok(None),
                    found => found,
                }
            }
            _ => return Ok(None),
        };
        let info = group.info();
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut stretches, mut borders) = (Vec::new(), Vec::new());
        let mut selected: Option<(u32, Option<u32>)> = None;
        for count in &counts.counts {
            let at = match selected {
                Some((number, at)) if number == count.stream => at,
                _ => {
                    let streams = of.streams;
                    let at = streams.binary_search_by_key(&count.stream, |(number, _)| *number);
                    let at = at.ok().map(|at| streams[at].1);
                    selected = Some((count.stream, at));
                    at
                }
            };
            let (first_ns, last_ns) = counts.times(count);
            let (first_ns, last_ns) = (first_ns.max(info.first_ns), last_ns.min(info.last_ns));
            let Some(stream) = at.filter(|_| of.range.overlaps(first_ns, last_ns)) else {
                continue;
            };
            let is_in = of.range.contains(first_ns) && of.range.contains(last_ns);
            let (segment, until_ns) = stretch(first_ns);
            if is_in && last_ns <= until_ns {
                let Some(segment) = segment else {
                    continue;
                };
                let level = if level.is_some() { count.level } else { 0 };
                let piece = Piece {
                    stream,
                    level,
                    segment,
                    t_ns: first_ns,
                    entries: count.rows,
                    bytes: count.bytes,
                };
                match pieces.last_mut() {
                    Some(last) if last.same_as(&piece) => last.add(&piece),
                    _ => pieces.push(piece),
                }
                continue;
            }
            let wanted = Stretch {
                stream: count.stream,
                first_ns: first_ns.max(of.range.start_ns),
                last_ns: last_ns.min(of.range.end_ns.saturating_sub(1)),
            };
            if stretches.last() != Some(&wanted) {
                stretches.push(wanted);
                borders.push(Border {
                    stream,
                    entries: 0,
                    bytes: 0,
                });
            }
            if let Some(border) = borders.last_mut() {
                border.entries += count.rows;
                border.bytes += count.bytes;
            }
        }
        let mut of_level = vec![0u64; counts.levels.len().max(1)];
        group.stretches(&stretches, |page, rows, at| {
            let border = borders[at];
            let mut start = rows.start;
            while start < rows.end {
                let t_ns = page.times()?[start];
                let (segment, until_ns) = stretch(t_ns);
                let times = &page.times()?[start..rows.end];
                // One at least, also where damaged times do not ascend.
                let len = times.partition_point(|&t| t <= until_ns).max(1);
                let within = start..start + len;
                start += len;
                let Some(segment) = segment else {
                    continue;
                };
                let piece = |level: u32, entries: u64, bytes| Piece {
                    stream: border.stream,
                    level,
                    segment,
                    t_ns,
                    entries,
                    bytes,
                };
                let estimate = |n: u64| {
                    let bytes = u128::from(border.bytes) * u128::from(n);
                    (bytes / u128::from(border.entries.max(1))) as u64
                };
                match (&level, counted) {
                    (None, Counted::Entries) => {
                        pieces.push(piece(0, len as u64, estimate(len as u64)));
                    }
                    (None, Counted::Bytes) => {
                        let lens = page.line_lens()?.get(within).unwrap_or_default();
                        let bytes = lens.iter().map(|len| u64::from(*len)).sum();
                        pieces.push(piece(0, len as u64, bytes));
                    }
                    (Some(level), Counted::Entries) => {
                        of_level.fill(0);
                        level.count(page, within, &mut of_level)?;
                        let found = of_level.iter().enumerate().filter(|(_, n)| **n > 0);
                        for (level, &n) in found {
                            pieces.push(piece(level as u32, n, estimate(n)));
                        }
                    }
                    (Some(level), Counted::Bytes) => {
                        let lens = page.line_lens()?;
                        level.each(page, within, |row, level| {
                            let bytes = lens.get(row).copied().unwrap_or(0);
                            let piece = piece(level, 1, u64::from(bytes));
                            match pieces.last_mut() {
                                Some(last) if last.same_as(&piece) => last.add(&piece),
                                _ => pieces.push(piece),
                            }
                        })?;
                    }
                }
            }
            Ok::<(), PartError>(())
        })?;
        let levels = match level {
            Some(_) => std::mem::take(&mut counts.levels),
            None => Vec::new(),
        };
        Ok(Some(Pieces { levels, pieces }))
    }
}

impl Piece {
    /// Tells whether another piece is of the same stream, level and segment.
    fn same_as(&self, other: &Piece) -> bool {
        let key = |piece: &Piece| (piece.stream, piece.level, piece.segment);
        key(self) == key(other)
    }

    fn add(&mut self, other: &Piece) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

/// The level of each row of a group.
struct Levels {
    column: u32,
    /// For each text of the dictionary the number of its level among those of the counts.
    of_code: Vec<u32>,
}

impl Levels {
    /// Finds the levels of the counts in a column; `None` where they are not all there, or
    /// do not tell an empty one from none.
    fn new(group: &Group<'_>, column: u32, counts: &Counts) -> Result<Option<Levels>, PartError> {
        let opened = group.column(column)?;
        let number = |text: &[u8]| {
            let mut levels = counts.levels.iter().filter(|_| !text.is_empty());
            levels.position(|level| level.as_bytes() == text)
        };
        let numbers = opened.dictionary.iter().map(number);
        let of_code: Option<Vec<u32>> = numbers.map(|at| at.map(|at| at as u32)).collect();
        let of_code = of_code.filter(|_| opened.has_dictionary);
        Ok(of_code.map(|of_code| Levels { column, of_code }))
    }

    /// Adds how many rows of a page have which level.
    fn count(
        &self,
        page: &Page<'_, '_>,
        rows: Range<usize>,
        of_level: &mut [u64],
    ) -> Result<(), PartError> {
        let found = page.metadata(self.column)?;
        let values = match &found.rows {
            None => rows.clone(),
            Some(of_values) => {
                let place = |row: usize| of_values.partition_point(|&of| (of as usize) < row);
                place(rows.start)..place(rows.end)
            }
        };
        if let Some(without) = of_level.first_mut() {
            *without += rows.len().saturating_sub(values.len()) as u64;
        }
        if let Values::Codes(codes) = &found.values {
            for &code in codes.get(values).unwrap_or_default() {
                let level = self.of_code.get(code as usize).copied().unwrap_or(0);
                if let Some(n) = of_level.get_mut(level as usize) {
                    *n += 1;
                }
            }
        }
        Ok(())
    }

    /// Calls `each` with rows of a page and their levels.
    fn each(
        &self,
        page: &Page<'_, '_>,
        rows: Range<usize>,
        mut each: impl FnMut(usize, u32),
    ) -> Result<(), PartError> {
        let found = page.metadata(self.column)?;
        let codes = match &found.values {
            Values::Codes(codes) => codes.as_slice(),
            _ => &[],
        };
        let level = |index: usize| {
            let code = codes
                .get(index)
                .and_then(|code| usize::try_from(*code).ok());
            let level = code.and_then(|code| self.of_code.get(code));
            level.copied().unwrap_or(0)
        };
        let Some(of_values) = &found.rows else {
            rows.for_each(|row| each(row, level(row)));
            return Ok(());
        };
        let mut next = of_values.partition_point(|&row| (row as usize) < rows.start);
        for row in rows {
            match of_values.get(next) {
                Some(&with) if with as usize == row => {
                    each(row, level(next));
                    next += 1;
                }
                _ => each(row, 0),
            }
        }
        Ok(())
    }
}
