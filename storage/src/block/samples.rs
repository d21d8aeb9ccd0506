//! Reads the samples of a series: from its chunk entries to times and values.

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::RandomState;

use super::entry::{Entries, Entry, Times, Values};
use super::grouped::GroupReader;
use super::index::Index;
use super::vectors::Vector;
use super::{BlockError, Ulid};
use crate::codec::{CodecError, histogram, sealed};
use crate::model::TimeRange;

/// Times of shared vectors that are kept decoded. A query reads the same series of many
/// targets one after the other, and then the next series of all of them.
const MAX_KEPT_TIMES: usize = 1 << 19;

/// Of longer vectors a narrow range is read without the rest.
const LONG_VECTOR: usize = 256;

/// Times that are read to either side of such a range, for scrapes are not where the
/// mean step says.
const WINDOW_MARGIN: usize = 8;

/// Buffers that a reader keeps between series, of whatever blocks.
#[derive(Debug, Default)]
pub struct ReadScratch {
    sealed: sealed::Scratch,
    pub(super) runs: histogram::Scratch,
    times: Vec<i64>,
    kept: Vec<Kept>,
    by_key: HashMap<(Ulid, u32), u32, RandomState>,
    n_times: usize,
    /// What `kept` was read for.
    range: Option<TimeRange>,
}

/// The part of a shared vector that lies in a range, decoded.
#[derive(Debug)]
struct Kept {
    /// Position of the first time.
    start: usize,
    times: Box<[i64]>,
}

impl Kept {
    /// Returns the positions that lie in a slice of the vector, too.
    fn within(&self, slice: &Range<usize>) -> Range<usize> {
        let start = self.start.clamp(slice.start, slice.end);
        start..(self.start + self.times.len()).clamp(start, slice.end)
    }

    /// Returns the times at some of its positions.
    fn at(&self, positions: &Range<usize>) -> &[i64] {
        let place = |position: usize| position.saturating_sub(self.start);
        let times = self.times.get(place(positions.start)..place(positions.end));
        times.unwrap_or_default()
    }
}

impl ReadScratch {
    /// Returns the part of a vector of a block that lies in a range.
    fn vector(
        &mut self,
        key: (Ulid, u32),
        vector: &Vector<'_>,
        range: TimeRange,
    ) -> Result<&Kept, CodecError> {
        if self.range != Some(range) {
            self.forget();
            self.range = Some(range);
        }
        let at = match self.by_key.get(&key) {
            Some(&at) => at,
            None => {
                let start = read_within(vector, range, &mut self.times)?;
                if self.n_times + self.times.len() > MAX_KEPT_TIMES {
                    self.forget();
                }
                self.n_times += self.times.len();
                let times = self.times.as_slice().into();
                self.kept.push(Kept { start, times });
                let at = self.kept.len() as u32 - 1;
                self.by_key.insert(key, at);
                at
            }
        };
        Ok(&self.kept[at as usize])
    }

    fn forget(&mut self) {
        self.kept.clear();
        self.by_key.clear();
        self.n_times = 0;
    }
}

/// Replaces `times` by those of a vector in a range and returns the position of the first.
fn read_within(
    vector: &Vector<'_>,
    range: TimeRange,
    times: &mut Vec<i64>,
) -> Result<usize, CodecError> {
    let mut positions = 0..vector.n;
    if vector.n > LONG_VECTOR {
        let window = window_of(vector, range);
        if window.len() < vector.n / 2 {
            positions = window;
        }
    }
    loop {
        times.clear();
        vector.decode(positions.clone(), times)?;
        // A guess was good if there are others on both sides.
        let is_before = times.first().is_some_and(|&t| t < range.start_ms);
        let is_behind = times.last().is_some_and(|&t| t > range.end_ms);
        if (positions.start == 0 || is_before) && (positions.end == vector.n || is_behind) {
            break;
        }
        positions = 0..vector.n;
    }
    let kept = within(times, range);
    times.truncate(kept.end);
    times.drain(..kept.start);
    Ok(positions.start + kept.start)
}

/// The chunks of one series.
#[derive(Debug)]
pub(super) struct SeriesChunks<'a> {
    pub(super) index: &'a Index,
    pub(super) data: &'a GroupReader,
    pub(super) ulid: Ulid,
    /// First millisecond of the block.
    pub(super) base: i64,
    /// First millisecond after it.
    pub(super) end: i64,
    /// Where the entries are in the index.
    pub(super) at: Range<usize>,
}

/// What goes wrong in a chunk.
pub(super) enum Failure {
    Block(BlockError),
    Codec(CodecError),
}

impl From<BlockError> for Failure {
    fn from(error: BlockError) -> Failure {
        Failure::Block(error)
    }
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Failure {
        Failure::Codec(error)
    }
}

impl SeriesChunks<'_> {
    pub(super) fn fail(&self, failure: Failure) -> BlockError {
        match failure {
            Failure::Block(error) => error,
            Failure::Codec(error) => {
                let detail = format!("a chunk listed there: {error}");
                self.index.file.corrupt(self.at.start, detail)
            }
        }
    }

    /// Tells whether a chunk that is not wholly deleted shares a time with the range.
    pub(super) fn overlaps(
        &self,
        range: TimeRange,
        deleted: &[TimeRange],
    ) -> Result<bool, BlockError> {
        let mut entries = Entries::new(self.index.file.get(self.at.clone())?);
        let mut next = || -> Result<Option<TimeRange>, Failure> {
            let entry = entries.next()?;
            entry.map(|(entry, _)| self.bounds(&entry)).transpose()
        };
        while let Some(bounds) = next().map_err(|e| self.fail(e))? {
            let is_deleted =
                |d: &TimeRange| d.start_ms <= bounds.start_ms && bounds.end_ms <= d.end_ms;
            if bounds.overlaps(range) && !deleted.iter().any(is_deleted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns a shared vector.
    #[inline]
    fn vector(&self, number: u32) -> Result<Vector<'_>, Failure> {
        let vector = Vector::read(self.index.vector(number)?, self.base)?;
        self.within_block(vector)
    }

    /// Returns a vector that belongs to a chunk.
    fn own<'a>(
        &self,
        first: u64,
        span: u64,
        n: u32,
        bytes: &'a [u8],
    ) -> Result<Vector<'a>, Failure> {
        let vector = Vector::of_parts(self.base, first, span, u64::from(n), bytes)?;
        self.within_block(vector)
    }

    fn within_block<'a>(&self, vector: Vector<'a>) -> Result<Vector<'a>, Failure> {
        if vector.last < self.end {
            return Ok(vector);
        }
        Err(CodecError::Invalid("time behind the end of the block").into())
    }

    fn bounds(&self, entry: &Entry<'_>) -> Result<TimeRange, Failure> {
        let range = match entry.times {
            Times::Whole { vector } => {
                let vector = self.vector(vector)?;
                vector.first..=vector.last
            }
            Times::Slice {
                vector, start, len, ..
            } => {
                let vector = self.vector(vector)?;
                let slice = slice_of(&vector, start, len)?;
                let mut ends = Vec::new();
                if let Some(step) = vector.step() {
                    let at = |i: usize| vector.first + step * i as i64;
                    ends.extend([at(slice.start), at(slice.end - 1)]);
                } else {
                    vector.decode(slice, &mut ends)?;
                }
                ends[0]..=ends[ends.len() - 1]
            }
            Times::Own { first, span, n, .. } => {
                let vector = self.own(first, span, n, &[])?;
                vector.first..=vector.last
            }
        };
        Ok(TimeRange::new(*range.start(), *range.end()))
    }

    /// Appends the samples in the range.
    pub(super) fn read(
        &self,
        range: TimeRange,
        scratch: &mut ReadScratch,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), BlockError> {
        let mut entries = Entries::new(self.index.file.get(self.at.clone())?);
        let mut last = None;
        loop {
            let entry = entries.next().map_err(|e| self.fail(e.into()))?;
            let Some((entry, data_at)) = entry else {
                return Ok(());
            };
            if entry.is_histograms {
                continue;
            }
            let n = timestamps.len();
            self.chunk(&entry, data_at, range, scratch, timestamps, values)
                .map_err(|e| self.fail(e))?;
            // Times ascend from chunk to chunk, so there are no more than the block has
            // milliseconds.
            if let Some(new) = timestamps.get(n..).filter(|new| !new.is_empty()) {
                if last.is_some_and(|last| new[0] <= last) {
                    let error = CodecError::Invalid("order of the chunks of a series");
                    return Err(self.fail(error.into()));
                }
                last = new.last().copied();
            }
        }
    }

    fn chunk(
        &self,
        entry: &Entry<'_>,
        data_at: u64,
        range: TimeRange,
        scratch: &mut ReadScratch,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), Failure> {
        let (n, kept) = self.times(entry, data_at, range, scratch, timestamps)?;
        if kept.is_empty() {
            return Ok(());
        }
        match entry.values {
            Values::Constant(value) => values.resize(values.len() + kept.len(), value),
            _ => {
                let bytes = self.bytes(entry, data_at)?;
                decode(bytes, n, kept, &mut scratch.sealed, values)?;
            }
        }
        Ok(())
    }

    /// Returns the bytes of values that are not constant.
    pub(super) fn bytes<'e>(
        &'e self,
        entry: &Entry<'e>,
        data_at: u64,
    ) -> Result<&'e [u8], Failure> {
        match entry.values {
            Values::Inline(bytes) => Ok(bytes),
            Values::InData { len_bytes } => {
                let at = match entry.times {
                    Times::Own { len_bytes, .. } => data_at.saturating_add(len_bytes),
                    _ => data_at,
                };
                Ok(self.data(at, len_bytes)?)
            }
            Values::Constant(_) => Ok(&[]),
        }
    }

    /// Appends the times of a chunk in the range. Returns how many it has, and which of
    /// them these are.
    pub(super) fn times(
        &self,
        entry: &Entry<'_>,
        data_at: u64,
        range: TimeRange,
        scratch: &mut ReadScratch,
        timestamps: &mut Vec<i64>,
    ) -> Result<(usize, Range<usize>), Failure> {
        let found = match entry.times {
            Times::Whole { vector } => {
                let number = vector;
                let vector = self.vector(number)?;
                let all = 0..vector.n;
                let kept = self.shared(number, &vector, all, range, scratch, timestamps)?;
                (vector.n, kept)
            }
            Times::Slice {
                vector,
                start,
                len,
                ref presence,
            } => {
                let number = vector;
                let vector = self.vector(number)?;
                let slice = slice_of(&vector, start, len)?;
                match presence {
                    None => {
                        let n = slice.len();
                        let kept =
                            self.shared(number, &vector, slice, range, scratch, timestamps)?;
                        (n, kept)
                    }
                    Some(presence) => {
                        let kept = scratch.vector((self.ulid, number), &vector, range)?;
                        let positions = kept.within(&slice);
                        let times = kept.at(&positions);
                        let positions = positions.start - slice.start..positions.end - slice.start;
                        let before = presence.n_present_before(positions.start);
                        let begin = timestamps.len();
                        presence.keep(positions, times, timestamps);
                        let n = timestamps.len() - begin;
                        (presence.n_present(), before..before + n)
                    }
                }
            }
            Times::Own {
                first,
                span,
                n,
                len_bytes,
            } => {
                let head = self.own(first, span, n, &[])?;
                if !range.overlaps(TimeRange::new(head.first, head.last)) {
                    return Ok((n as usize, 0..0));
                }
                let bytes = self.data(data_at, len_bytes)?;
                let vector = self.own(first, span, n, bytes)?;
                scratch.times.clear();
                vector.decode(0..vector.n, &mut scratch.times)?;
                let kept = within(&scratch.times, range);
                timestamps.extend_from_slice(&scratch.times[kept.clone()]);
                (vector.n, kept)
            }
        };
        Ok(found)
    }

    /// Appends the times in the range of a slice of a shared vector, and returns which of
    /// the slice they are.
    #[inline]
    fn shared(
        &self,
        number: u32,
        vector: &Vector<'_>,
        slice: Range<usize>,
        range: TimeRange,
        scratch: &mut ReadScratch,
        timestamps: &mut Vec<i64>,
    ) -> Result<Range<usize>, Failure> {
        if !range.overlaps(TimeRange::new(vector.first, vector.last)) {
            return Ok(0..0);
        }
        if let Some(step) = vector.step() {
            let kept = steps_within(vector, step, &slice, range);
            vector.decode(kept.clone(), timestamps)?;
            return Ok(kept.start - slice.start..kept.end - slice.start);
        }
        let kept = scratch.vector((self.ulid, number), vector, range)?;
        let positions = kept.within(&slice);
        timestamps.extend_from_slice(kept.at(&positions));
        Ok(positions.start - slice.start..positions.end - slice.start)
    }

    fn data(&self, at: u64, len_bytes: u64) -> Result<&[u8], BlockError> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let len = usize::try_from(len_bytes).unwrap_or(usize::MAX);
        self.data.get(start..start.saturating_add(len))
    }
}

fn slice_of(vector: &Vector<'_>, start: u32, len: u32) -> Result<Range<usize>, CodecError> {
    let (start, len) = (start as usize, len as usize);
    match start
        .checked_add(len)
        .filter(|&end| end <= vector.n && len > 0)
    {
        Some(end) => Ok(start..end),
        None => Err(CodecError::Invalid("slice of a timestamp vector")),
    }
}

/// Guesses from the mean step which of the times of a vector are in a range, with some to
/// either side.
fn window_of(vector: &Vector<'_>, range: TimeRange) -> Range<usize> {
    let span = i128::from(vector.last) - i128::from(vector.first);
    let place = |t: i64| {
        let distance = i128::from(t.clamp(vector.first, vector.last)) - i128::from(vector.first);
        (distance * (vector.n as i128 - 1) / span.max(1)) as usize
    };
    let start = place(range.start_ms).saturating_sub(WINDOW_MARGIN);
    let end = place(range.end_ms).saturating_add(WINDOW_MARGIN);
    start..end.clamp(start, vector.n)
}

/// Returns which of ascending times are in a range.
#[inline]
fn within(times: &[i64], range: TimeRange) -> Range<usize> {
    let is_whole = times.first().is_some_and(|&t| t >= range.start_ms)
        && times.last().is_some_and(|&t| t <= range.end_ms);
    if is_whole {
        return 0..times.len();
    }
    let start = times.partition_point(|&t| t < range.start_ms);
    let end = times.partition_point(|&t| t <= range.end_ms);
    start..end.max(start)
}

/// Does [`within`] for the slice of a vector of equal steps.
#[inline]
fn steps_within(
    vector: &Vector<'_>,
    step: i64,
    slice: &Range<usize>,
    range: TimeRange,
) -> Range<usize> {
    let place = |t: i64, round_up: bool| -> usize {
        if t < vector.first || step <= 0 {
            return if t < vector.first { 0 } else { vector.n };
        }
        let distance = t.saturating_sub(vector.first);
        let up = i64::from(round_up && distance % step != 0);
        usize::try_from(distance / step + up).unwrap_or(usize::MAX)
    };
    // The first at or behind the start, and the one behind the last at or before the end.
    let start = if range.start_ms <= vector.first {
        0
    } else {
        place(range.start_ms, true)
    };
    let end = if range.end_ms < vector.first {
        0
    } else {
        place(range.end_ms, false).saturating_add(1)
    };
    let start = start.clamp(slice.start, slice.end);
    let end = end.clamp(start, slice.end);
    start..end
}

/// Appends the values of a chunk of `n` that are at the positions in `kept`.
#[inline]
fn decode(
    bytes: &[u8],
    n: usize,
    kept: Range<usize>,
    scratch: &mut sealed::Scratch,
    values: &mut Vec<f64>,
) -> Result<(), CodecError> {
    let end = values.len() + kept.len();
    sealed::decode_range(bytes, n, kept, scratch, values)?;
    if values.len() != end {
        return Err(CodecError::Invalid("number of values of a chunk"));
    }
    Ok(())
}
