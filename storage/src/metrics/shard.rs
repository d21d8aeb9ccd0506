//! One shard of the head: the samples of every n-th series.
//!
//! A series is one row of 56 bytes in a plain vector, found by its slot; the bytes of
//! its open chunk lie in [`Buffers`], its finished chunks in [`SealedChunks`]. There
//! is no heap object per series. The owner puts the shard behind a mutex that it
//! takes once per transaction.
//!
//! What only few series have, samples that came late and deleted times, lies beside the
//! rows: see [`extras`](super::extras). So do native histograms, see
//! [`histograms`](super::histograms).
//!
//! Samples become visible with their transaction: the first append of an *epoch*
//! notes how far the series reached before, and a reader that closed the epoch before
//! it sees no further (see [`store`](super::store)).

use super::appender::Bounds;
use super::buffers::{Buffers, MAX_BYTES, Place};
use super::extras::{Extra, NO_EXTRA, Taken};
use super::histograms::{Histograms, Point};
use super::late::{LateBuffer, LateSample};
use super::sealed::{self, Chunk, ChunkRef, SealedChunks, SealedPages};
use super::tombstones::Tombstones;
use crate::codec::open::{self, Edit, Malformed, OpenChunk, Scratch};
use crate::error::AppendError;
use crate::model::{STALE_NAN_BITS, TimeRange};

/// A chunk is sealed at this number of samples whatever they take.
const MAX_SAMPLES: u16 = 480;
/// From this number of samples on a chunk is sealed as soon as it is large.
const GOOD_SAMPLES: u16 = 120;
/// What is large, in bytes.
const GOOD_BYTES: u16 = 240;
/// No token is longer; a chunk with less room left is sealed.
const LONGEST_TOKEN: usize = size_of::<Scratch>();

mod histograms;
mod saved;

pub(super) use saved::SavedRow;

/// No sample yet.
pub(super) const NEVER: i64 = i64::MIN;

/// The samples of some series.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) rows: Vec<SeriesRow>,
    pub(super) buffers: Buffers,
    sealed: SealedChunks,
    scratch: sealed::Scratch,
    pub(super) late: LateBuffer,
    pub(super) tombstones: Tombstones,
    pub(super) histograms: Histograms,
    /// `None` where nothing ever left.
    kept_from_ms: Option<i64>,
    /// No sample is older.
    oldest_ms: Option<i64>,
    counts: ShardCounts,
}

/// Figures of a shard.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ShardCounts {
    pub(super) stale: u64,
    pub(super) open_chunks: u64,
    pub(super) open_bytes: u64,
    pub(super) chunks_created: u64,
    pub(super) chunks_removed: u64,
}

impl ShardCounts {
    /// Returns the bytes that an open chunk has on average.
    pub(super) fn mean_open_bytes(&self) -> usize {
        let mean = self.open_bytes.checked_div(self.open_chunks);
        mean.map_or(0, |mean| mean as usize + 1)
    }
}

/// One series; see the module's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeriesRow {
    pub(super) open: OpenChunk,
    /// Newest time before the first append of `epoch`, [`NEVER`] if there was none.
    seen_ms: i64,
    /// The epoch of the last append.
    epoch: u32,
    /// Number of the creation; tells two series with one id apart.
    pub(super) born: u32,
    pub(super) place: Place,
    pub(super) sealed: ChunkRef,
}

// Flags of a row.
pub(super) const LIVE: u8 = 1;
/// There are samples that came in order.
pub(super) const SAMPLES: u8 = 2;
/// Empty, and to be removed if nobody uses it soon.
const DOOMED: u8 = 4;
/// There are late samples.
pub(super) const LATE: u8 = 8;
/// There are deleted times.
pub(super) const DELETED: u8 = 16;
/// There are histograms.
pub(super) const HISTOGRAMS: u8 = 32;

const EMPTY: SeriesRow = SeriesRow {
    open: OpenChunk::NEW,
    seen_ms: NEVER,
    epoch: 0,
    born: 0,
    place: Place::NONE,
    sealed: ChunkRef::NONE,
};

/// What a sample is to its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// To be stored; the number of the series' creation.
    InOrder(u32),
    /// To be stored among the late samples; the same number.
    Late(u32),
    /// It is stored already.
    Repeated,
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    Stored,
    /// The same sample was there.
    Repeated,
    OutOfOrder,
    /// Another value was there.
    Duplicate,
    /// There is no room for chunks, or the series is gone.
    Lost,
}

/// Which samples of a range a reader needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All.
    All,
    /// The newest; others may come with it.
    Newest,
}

/// The times a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Of late samples.
    pub(super) range: TimeRange,
    /// Of samples that came in order: what is before is in blocks. `None` where all
    /// of it is.
    pub(super) in_order: Option<TimeRange>,
}

impl Window {
    /// Returns a window in which samples in order begin at `from_ms` at the earliest.
    pub(super) fn new(range: TimeRange, from_ms: i64) -> Window {
        let start_ms = range.start_ms.max(from_ms);
        let in_order = TimeRange::new(start_ms, range.end_ms);
        Window {
            range,
            in_order: (start_ms <= range.end_ms).then_some(in_order),
        }
    }
}

/// A series as a reader took it: what is needed to read it later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Captured {
    pub(super) born: u32,
    pub(super) sealed: ChunkRef,
    /// Samples behind this time belong to transactions that are not seen.
    pub(super) seen_until_ms: i64,
    /// The bytes of the open chunk in the reader's buffer, and its samples.
    pub(super) open_at: usize,
    pub(super) open_len: u16,
    pub(super) open_n: u16,
    /// Number of what the series has beside these, or [`NO_EXTRA`].
    pub(super) extra: u32,
}

/// Buffers of a reader.
#[derive(Debug, Default)]
pub(super) struct ReadScratch {
    chunks: Vec<ChunkRef>,
    sealed: sealed::ReadScratch,
    pub(super) late: Vec<LateSample>,
}

impl Captured {
    /// Tells whether a chunk lies in a window, or there are late samples.
    pub(super) fn is_in(&self, pages: &SealedPages, window: Window) -> bool {
        if self.open_n > 0 || self.extra != NO_EXTRA {
            return true;
        }
        window.in_order.is_some_and(|range| {
            let end_ms = range.end_ms.min(self.seen_until_ms);
            pages.any_overlaps(self.sealed, TimeRange::new(range.start_ms, end_ms))
        })
    }

    /// Appends the samples in a window, in order of time, to columns that are empty.
    /// `taken` was given to [`Shard::capture`], `pages` are those of the shard then or
    /// later.
    pub(super) fn read(
        &self,
        pages: &SealedPages,
        taken: &Taken,
        window: Window,
        scratch: &mut ReadScratch,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), Malformed> {
        if let Some(range) = window.in_order {
            let seen = TimeRange::new(range.start_ms, range.end_ms.min(self.seen_until_ms));
            scratch.chunks.clear();
            pages.overlapping(self.sealed, seen, &mut scratch.chunks)?;
            for &chunk in scratch.chunks.iter().rev() {
                pages.decode(chunk, seen, &mut scratch.sealed, timestamps, values)?;
            }
            let tokens = &taken.bytes[self.open_at..self.open_at + usize::from(self.open_len)];
            open::decode_into(tokens, self.open_n, seen, timestamps, values)?;
        }
        match taken.extras.get(self.extra as usize) {
            Some(extra) => extra.apply(window.range, &mut scratch.late, timestamps, values),
            None => Ok(()),
        }
    }

    /// Tells whether the series may have histograms.
    pub(super) fn has_histograms(&self, taken: &Taken) -> bool {
        let extra = taken.extras.get(self.extra as usize);
        extra.is_some_and(Extra::has_histograms)
    }

    /// Appends the histograms in a window, in order of time.
    pub(super) fn read_histograms(
        &self,
        taken: &Taken,
        window: Window,
        into: &mut Vec<Point>,
    ) -> Result<(), Malformed> {
        match taken.extras.get(self.extra as usize) {
            Some(extra) => extra.read_histograms(window, into),
            None => Ok(()),
        }
    }
}

impl Shard {
    /// Begins series `slot`.
    pub(super) fn create(&mut self, slot: u32, born: u32) {
        if self.rows.len() <= slot as usize {
            self.rows.resize(slot as usize + 1, EMPTY);
        }
        let row = &mut self.rows[slot as usize];
        *row = SeriesRow { born, ..EMPTY };
        row.open.flags = LIVE;
    }

    /// Returns the creation number of the series in `slot` and keeps it from being
    /// removed as unused.
    #[inline]
    pub(super) fn touch(&mut self, slot: u32) -> Option<u32> {
        let row = self.rows.get_mut(slot as usize)?;
        if row.open.flags & DOOMED != 0 {
            row.open.flags &= !DOOMED;
        }
        (row.open.flags & LIVE != 0).then_some(row.born)
    }

    /// Checks a sample against what is stored; `born` is the creation the caller
    /// expects in the slot, if any.
    #[inline]
    pub(super) fn check(
        &mut self,
        slot: u32,
        born: Option<u32>,
        t_ms: i64,
        value: f64,
        bounds: &Bounds,
    ) -> Result<Checked, AppendError> {
        let found = self.touch(slot).ok_or(AppendError::UnknownSeries)?;
        if born.is_some_and(|born| born != found) {
            return Err(AppendError::UnknownSeries);
        }
        let row = &self.rows[slot as usize];
        if t_ms < bounds.valid_from_ms {
            return bounds.check_late(t_ms).map(|()| Checked::Late(found));
        }
        if row.open.flags & HISTOGRAMS != 0
            && let Some(checked) = self.check_after_histogram(slot, found, t_ms, value, bounds)
        {
            return checked;
        }
        if row.open.flags & SAMPLES == 0 || t_ms > row.open.last_ms {
            return Ok(Checked::InOrder(found));
        }
        if t_ms < row.open.last_ms {
            return bounds.check_late(t_ms).map(|()| Checked::Late(found));
        }
        if row.open.last_bits == value.to_bits() {
            return Ok(Checked::Repeated);
        }
        Err(AppendError::DuplicateTimestamp {
            t_ms,
            existing: f64::from_bits(row.open.last_bits),
            new: value,
        })
    }

    /// Stores a sample in an epoch.
    #[inline]
    pub(super) fn apply(
        &mut self,
        slot: u32,
        born: u32,
        t_ms: i64,
        value: f64,
        epoch: u32,
    ) -> Applied {
        let Some(row) = self.rows.get(slot as usize) else {
            return Applied::Lost;
        };
        if row.open.flags & LIVE == 0 || row.born != born {
            return Applied::Lost;
        }
        if row.open.flags & HISTOGRAMS != 0
            && let Some(applied) = self.apply_beside_histograms(slot, t_ms, value, epoch)
        {
            return applied;
        }
        self.apply_float(slot, t_ms, value, epoch)
    }

    /// As [`Shard::apply`], of a series that exists, with a look at its floats alone.
    #[inline]
    fn apply_float(&mut self, slot: u32, t_ms: i64, value: f64, epoch: u32) -> Applied {
        let row = &mut self.rows[slot as usize];
        let bits = value.to_bits();
        if row.open.flags & SAMPLES != 0 {
            if t_ms < row.open.last_ms {
                return Applied::OutOfOrder;
            }
            if t_ms == row.open.last_ms {
                return if bits == row.open.last_bits {
                    Applied::Repeated
                } else {
                    Applied::Duplicate
                };
            }
            if row.open.last_bits == STALE_NAN_BITS {
                self.counts.stale -= 1;
            }
        }
        if bits == STALE_NAN_BITS {
            self.counts.stale += 1;
        }
        if row.epoch != epoch {
            row.epoch = epoch;
            row.seen_ms = if row.open.flags & SAMPLES != 0 {
                row.open.last_ms
            } else {
                NEVER
            };
        }
        row.open.flags |= SAMPLES;
        let full = usize::from(row.open.len_bytes) + LONGEST_TOKEN > MAX_BYTES
            || row.open.n >= MAX_SAMPLES
            || (row.open.n >= GOOD_SAMPLES && row.open.len_bytes >= GOOD_BYTES);
        if full {
            self.seal(slot);
        }
        self.push(slot, t_ms, value)
    }

    #[inline]
    fn push(&mut self, slot: u32, t_ms: i64, value: f64) -> Applied {
        if self.rows[slot as usize].open.n == 0 {
            self.counts.open_chunks += 1;
            self.counts.chunks_created += 1;
            self.note_oldest(Some(t_ms));
        }
        let row = &mut self.rows[slot as usize];
        let len = usize::from(row.open.len_bytes);
        match row.open.append(t_ms, value, &mut Scratch::default()) {
            Edit::Increment => self.buffers.increment_last(row.place, len),
            Edit::Push(token) => match self.buffers.append(row.place, len, token) {
                Some(place) => {
                    row.place = place;
                    self.counts.open_bytes += token.len() as u64;
                }
                None => {
                    // The order of times stays right; what was in the chunk is lost
                    // to readers until a restart replays it.
                    self.drop_open(slot);
                    return Applied::Lost;
                }
            },
        }
        Applied::Stored
    }

    /// Moves the open chunk of a series to the finished ones.
    #[cold]
    fn seal(&mut self, slot: u32) {
        let row = &mut self.rows[slot as usize];
        let tokens = &self.buffers.get(row.place)[..usize::from(row.open.len_bytes)];
        let start_ms = open::first_ms(tokens).unwrap_or(row.open.last_ms);
        let chunk = Chunk {
            n: row.open.n,
            range: TimeRange::new(start_ms, row.open.last_ms),
            tokens,
            exponent: row.open.exponent(),
            previous: row.sealed,
        };
        if let Some(sealed) = self.sealed.push(&chunk, &mut self.scratch) {
            row.sealed = sealed;
        }
        self.drop_open(slot);
    }

    fn drop_open(&mut self, slot: u32) {
        let row = &mut self.rows[slot as usize];
        if row.open.n > 0 {
            self.counts.open_chunks -= 1;
            self.counts.open_bytes -= u64::from(row.open.len_bytes);
        }
        self.buffers.free(row.place);
        row.place = Place::NONE;
        row.open.clear();
    }

    /// Copies what is needed to read the series in `slot` later, if a sample of it
    /// that was there before `epoch` may lie in `range`. What is copied goes to the end
    /// of `taken`. With `Wanted::Newest` older samples may be left out.
    ///
    /// Whether finished chunks lie in the range is not looked at, because that may read
    /// the disk and the shard is locked; see [`Captured::is_in`].
    #[inline]
    pub(super) fn capture(
        &self,
        slot: u32,
        window: Window,
        wanted: Wanted,
        epoch: u32,
        pages: &SealedPages,
        taken: &mut Taken,
    ) -> Option<Captured> {
        let row = self.rows.get(slot as usize)?;
        if row.open.flags & (LATE | DELETED | HISTOGRAMS) != 0 {
            return self.capture_with_extra(slot, window, wanted, epoch, pages, taken);
        }
        let range = window.in_order?;
        Shard::capture_in_order(&self.buffers, row, range, wanted, epoch, taken)
    }

    /// As [`Shard::capture`], of the samples that came in order.
    #[inline]
    pub(super) fn capture_in_order(
        buffers: &Buffers,
        row: &SeriesRow,
        range: TimeRange,
        wanted: Wanted,
        epoch: u32,
        taken: &mut Taken,
    ) -> Option<Captured> {
        let bytes = &mut taken.bytes;
        if row.open.flags & SAMPLES == 0 || row.open.last_ms < range.start_ms {
            return None;
        }
        let mut captured = Captured {
            born: row.born,
            sealed: row.sealed,
            seen_until_ms: i64::MAX,
            open_at: bytes.len(),
            open_len: 0,
            open_n: 0,
            extra: NO_EXTRA,
        };
        if row.epoch == epoch {
            captured.seen_until_ms = row.seen_ms;
            if row.seen_ms == NEVER || row.seen_ms < range.start_ms {
                return None;
            }
        }
        let tokens = &buffers.get(row.place)[..usize::from(row.open.len_bytes)];
        let end_ms = range.end_ms.min(captured.seen_until_ms);
        if wanted == Wanted::Newest
            && let Some((t_ms, bits)) = row.open.newest_until(tokens, end_ms)
        {
            // One sample is less to copy than all, and nothing older counts.
            let alone = open::alone(t_ms, bits);
            bytes.extend_from_slice(&alone);
            captured.sealed = ChunkRef::NONE;
            captured.open_len = alone.len() as u16;
            captured.open_n = 1;
            return (t_ms >= range.start_ms).then_some(captured);
        }
        let first_ms = open::first_ms(tokens);
        let open_overlaps = first_ms.is_some_and(|first_ms| first_ms <= end_ms);
        if first_ms.is_some_and(|first_ms| first_ms <= range.start_ms) {
            // What is sealed is older than the range.
            captured.sealed = ChunkRef::NONE;
        }
        if open_overlaps {
            bytes.extend_from_slice(tokens);
            captured.open_len = row.open.len_bytes;
            captured.open_n = row.open.n;
        }
        (open_overlaps || captured.sealed != ChunkRef::NONE).then_some(captured)
    }

    /// Returns the sealed pages of now.
    pub(super) fn pages(&self) -> SealedPages {
        self.sealed.pages(self.kept_from_ms())
    }

    /// Drops samples that came in order and deleted times, as far as they end before
    /// `t_ms`, and marks series that have nothing left. Returns how many chunks went.
    pub(super) fn truncate_before(&mut self, t_ms: i64) -> u64 {
        let removed_before = self.counts.chunks_removed;
        self.forget_tombstones_before(t_ms);
        self.forget_histograms_before(t_ms);
        self.kept_from_ms = self.kept_from_ms.max(Some(t_ms));
        self.counts.chunks_removed += self.sealed.truncate_before(t_ms);
        for slot in 0..self.rows.len() {
            let row = &mut self.rows[slot];
            if row.open.flags & LIVE == 0 {
                continue;
            }
            if row.open.flags & SAMPLES != 0 && row.open.last_ms < t_ms {
                self.counts.chunks_removed += u64::from(row.open.n > 0);
                self.forget_samples(slot as u32);
            }
            let row = &mut self.rows[slot];
            if row.sealed != ChunkRef::NONE && !self.sealed.holds(row.sealed) {
                row.sealed = ChunkRef::NONE;
            }
            if row.open.flags & (SAMPLES | LATE | HISTOGRAMS) == 0 {
                row.open.flags |= DOOMED;
            }
        }
        self.oldest_ms = self.find_oldest_ms();
        self.counts.chunks_removed - removed_before
    }

    /// Drops the samples of a series that came in order; the series stays.
    pub(super) fn forget_samples(&mut self, slot: u32) {
        self.drop_open(slot);
        let row = &mut self.rows[slot as usize];
        if row.open.flags & SAMPLES != 0 && row.open.last_bits == STALE_NAN_BITS {
            self.counts.stale -= 1;
        }
        row.sealed = ChunkRef::NONE;
        row.open.flags &= !SAMPLES;
        row.seen_ms = NEVER;
    }

    /// Tells whether the series in `slot` is still marked as having nothing left.
    pub(super) fn is_doomed(&self, slot: u32) -> bool {
        let row = self.rows.get(slot as usize);
        let flags = LIVE | SAMPLES | LATE | HISTOGRAMS | DOOMED;
        row.is_some_and(|row| row.open.flags & flags == LIVE | DOOMED)
    }

    /// Returns the slots of the marked series.
    pub(super) fn doomed(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.rows.len() as u32).filter(|&slot| self.is_doomed(slot))
    }

    /// Ends a series without samples; its slot can be created again.
    pub(super) fn remove(&mut self, slot: u32) {
        self.forget_extras(slot);
        self.forget_histograms(slot);
        if let Some(row) = self.rows.get_mut(slot as usize) {
            *row = EMPTY;
        }
    }

    /// Renumbers the creation of the series in `slot`.
    pub(super) fn set_born(&mut self, slot: u32, born: u32) {
        if let Some(row) = self.rows.get_mut(slot as usize) {
            row.born = born;
        }
    }

    /// Tells whether `t_ms` is after what the series in `slot` had before the first
    /// append of `epoch`, which is the one of its last append.
    pub(super) fn is_since(&self, slot: u32, t_ms: i64, epoch: u32) -> bool {
        let row = self.rows.get(slot as usize);
        row.is_some_and(|row| row.epoch == epoch && row.seen_ms < t_ms)
    }

    /// Returns the figures of the shard.
    pub(super) fn counts(&self) -> ShardCounts {
        self.counts
    }

    /// Returns the sealed chunks.
    pub(super) fn sealed(&self) -> &SealedChunks {
        &self.sealed
    }

    /// Returns the sealed chunks, to move their pages.
    pub(super) fn sealed_mut(&mut self) -> &mut SealedChunks {
        &mut self.sealed
    }

    /// Counts the chunks, runs of histograms included.
    pub(super) fn n_chunks(&self) -> u64 {
        self.counts.open_chunks + self.sealed.n_chunks() + self.histograms.n_runs()
    }

    /// Returns a time before which there is no sample: that of the oldest one, as of
    /// the last truncation.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.oldest_ms
    }

    fn find_oldest_ms(&self) -> Option<i64> {
        let open = self.rows.iter().filter(|row| row.open.n > 0);
        let open = open.filter_map(|row| open::first_ms(self.buffers.get(row.place)));
        let histograms = self.histograms.iter();
        let histograms = histograms.filter_map(|(_, series)| series.in_order_range());
        open.chain(self.sealed.min_time_ms())
            .chain(histograms.map(|range| range.start_ms))
            .min()
    }

    /// Returns the bytes of memory of the rows and of the open chunks.
    pub(super) fn memory_bytes(&self) -> (usize, usize) {
        let rows = self.rows.capacity() * size_of::<SeriesRow>();
        (rows, self.buffers.memory_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_56_bytes() {
        assert_eq!(size_of::<SeriesRow>(), 56);
    }

    fn read(shard: &Shard, slot: u32, range: TimeRange, epoch: u32) -> Option<Vec<i64>> {
        let (mut taken, pages) = (Taken::default(), shard.pages());
        let window = Window::new(range, i64::MIN);
        let captured = shard.capture(slot, window, Wanted::All, epoch, &pages, &mut taken)?;
        let (mut t, mut v) = (Vec::new(), Vec::new());
        captured
            .read(
                &pages,
                &taken,
                window,
                &mut ReadScratch::default(),
                &mut t,
                &mut v,
            )
            .unwrap();
        Some(t)
    }

    #[test]
    fn samples_of_an_open_epoch_are_not_seen() {
        let mut shard = Shard::default();
        shard.create(3, 1);
        for t in 0..1000 {
            assert_eq!(shard.apply(3, 1, t, t as f64 * 0.37, 1), Applied::Stored);
        }
        assert_eq!(read(&shard, 3, TimeRange::ALL, 1), None);
        assert_eq!(read(&shard, 3, TimeRange::ALL, 2).unwrap().len(), 1000);
        for t in 1000..2000 {
            assert_eq!(shard.apply(3, 1, t, t as f64 * 0.37, 2), Applied::Stored);
        }
        assert_eq!(read(&shard, 3, TimeRange::ALL, 2).unwrap().len(), 1000);
        assert_eq!(read(&shard, 3, TimeRange::ALL, 3).unwrap().len(), 2000);
        assert_eq!(read(&shard, 3, TimeRange::new(1000, 5000), 2), None);
        let middle = read(&shard, 3, TimeRange::new(700, 702), 3);
        assert_eq!(middle, Some(vec![700, 701, 702]));
        assert_eq!(read(&shard, 3, TimeRange::new(2000, 5000), 3), None);
    }

    #[test]
    fn conflicts_are_told_apart() {
        let mut shard = Shard::default();
        shard.create(0, 9);
        assert_eq!(shard.apply(0, 9, 10, 1.0, 1), Applied::Stored);
        assert_eq!(shard.apply(0, 9, 10, 1.0, 1), Applied::Repeated);
        assert_eq!(shard.apply(0, 9, 10, 2.0, 1), Applied::Duplicate);
        assert_eq!(shard.apply(0, 9, 9, 2.0, 1), Applied::OutOfOrder);
        assert_eq!(shard.apply(0, 8, 11, 2.0, 1), Applied::Lost);
        assert_eq!(shard.apply(1, 9, 11, 2.0, 1), Applied::Lost);
        let none = Bounds::NONE;
        assert_eq!(
            shard.check(0, Some(9), 10, 1.0, &none),
            Ok(Checked::Repeated)
        );
        assert_eq!(
            shard.check(0, None, 11, 1.0, &none),
            Ok(Checked::InOrder(9))
        );
        let mut bounds = Bounds {
            valid_from_ms: 12,
            ..none
        };
        assert_eq!(
            shard.check(0, Some(9), 11, 1.0, &bounds),
            Err(AppendError::OutOfBounds)
        );
        assert_eq!(
            shard.check(0, Some(9), 9, 1.0, &none),
            Err(AppendError::OutOfOrder)
        );
        assert_eq!(
            shard.check(0, Some(7), 11, 1.0, &none),
            Err(AppendError::UnknownSeries)
        );
        bounds.late_from_ms = Some(8);
        for (t_ms, answer) in [
            (12, Ok(Checked::InOrder(9))),
            (11, Ok(Checked::Late(9))),
            (10, Ok(Checked::Late(9))),
            (8, Ok(Checked::Late(9))),
            (7, Err(AppendError::TooOld)),
        ] {
            assert_eq!(shard.check(0, Some(9), t_ms, 1.0, &bounds), answer);
        }
    }

    #[test]
    fn truncation_keeps_figures_and_touched_series() {
        let mut shard = Shard::default();
        for slot in 0..20 {
            shard.create(slot, slot);
            for t in 0..i64::from(slot) * 200 {
                shard.apply(slot, slot, t, t as f64 * 0.1, 1);
            }
        }
        let chunks = shard.counts().open_chunks + shard.sealed().n_chunks();
        shard.truncate_before(2000);
        assert_eq!(
            shard.doomed().collect::<Vec<_>>(),
            (0..=10).collect::<Vec<_>>()
        );
        assert_eq!(shard.touch(4), Some(4));
        assert!(!shard.is_doomed(4));
        let left = shard.counts().open_chunks + shard.sealed().n_chunks();
        assert_eq!(shard.counts().chunks_removed, chunks - left);
        assert_eq!(
            read(&shard, 15, TimeRange::ALL, 9).unwrap().last(),
            Some(&2999)
        );
        assert_eq!(read(&shard, 5, TimeRange::ALL, 9), None);
        shard.truncate_before(1 << 40);
        assert_eq!(shard.counts().open_chunks + shard.sealed().n_chunks(), 0);
        assert_eq!(shard.counts().open_bytes + shard.sealed().len_bytes(), 0);
    }
}
