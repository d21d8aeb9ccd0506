//! Finished chunks of one shard, in pages that readers share.
//!
//! ```text
//! record = codec u8 | samples varint | first time i64 | duration varint
//!        | previous record u32 | serial of its page, as distance from ours, varint
//!        | length varint | payload
//! codec 0  payload = tokens of the open chunk
//!       1  payload = length varint, timestamps | values
//! ```
//!
//! The second form, of `codec::timestamps` and `codec::sealed`, is the rule; where the
//! tokens are shorter, as for a short chunk, they stay.
//!
//! The records of a series are a list from the newest to the oldest. Pages fill in
//! order of sealing, so a page goes as a whole when its newest sample is out of
//! retention; a list ends at a record whose page is gone. Numbers of pages are given
//! again, which a record notices by the serial. Records never change: a reader that
//! holds the pages can decode at leisure while the shard goes on.
//!
//! A full page waits in memory until it is stored (see `head_files`); which of the two
//! a page is makes no difference to readers.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::page::{FilePlace, HEADER_BYTES, PAGE_BYTES, Page, PageBytes, PageInfo};
use crate::codec::open::{self, Malformed};
use crate::codec::{sealed, timestamps, varint};
use crate::model::TimeRange;

/// Records begin at multiples of this.
const ALIGN: usize = 4;
const OFFSET_BITS: u32 = 16;
const _: () = assert!(PAGE_BYTES / ALIGN <= 1 << OFFSET_BITS);

/// The tokens of the open chunk as they were.
const TOKENS: u8 = 0;
/// Timestamps and values apart.
const COLUMNS: u8 = 1;

/// Buffers that are kept between chunks.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    timestamps: Vec<i64>,
    values: Vec<f64>,
    codec: sealed::Scratch,
    times: Vec<u8>,
    payload: Vec<u8>,
    record: Vec<u8>,
}

/// Vectors of times that a reader keeps decoded: series of one scrape share theirs.
const N_KEPT: usize = 16;

/// Buffers that a reader keeps between series.
#[derive(Debug, Default)]
pub(super) struct ReadScratch {
    codec: sealed::Scratch,
    kept: KeptTimes,
}

/// Vectors of times with the bytes they came from, by a hash of those.
#[derive(Debug, Default)]
struct KeptTimes {
    places: Vec<(Vec<u8>, Vec<i64>)>,
    hasher: RandomState,
}

/// Names a record: page in the upper 16 bits, offset / 4 below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkRef(u32);

impl ChunkRef {
    /// No record.
    pub(super) const NONE: ChunkRef = ChunkRef(u32::MAX);

    /// Reads what [`ChunkRef::stored`] returned.
    pub(super) fn from_stored(stored: u32) -> ChunkRef {
        ChunkRef(stored)
    }

    /// Returns the reference as it is stored.
    pub(super) fn stored(self) -> u32 {
        self.0
    }

    fn page(self) -> usize {
        (self.0 >> OFFSET_BITS) as usize
    }

    fn offset(self) -> usize {
        (self.0 & ((1 << OFFSET_BITS) - 1)) as usize * ALIGN
    }
}

/// A finished chunk before it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    /// Number of samples.
    pub(super) n: u16,
    /// Times of the first and the last sample.
    pub(super) range: TimeRange,
    /// The tokens of the open chunk.
    pub(super) tokens: &'a [u8],
    /// The exponent of its values, where they were coded as decimals.
    pub(super) exponent: Option<u8>,
    /// The record before it.
    pub(super) previous: ChunkRef,
}

impl Scratch {
    /// Codes the columns of a chunk into `payload` and tells which form is shorter.
    fn encode(&mut self, chunk: &Chunk<'_>) -> u8 {
        self.timestamps.clear();
        self.values.clear();
        let decoded = open::decode(chunk.tokens, chunk.n, |t_ms, value| {
            self.timestamps.push(t_ms);
            self.values.push(value);
            true
        });
        if decoded.is_err() {
            // The reader of the chunk will be told.
            return TOKENS;
        }
        self.times.clear();
        timestamps::encode(&self.timestamps, &mut self.times);
        self.payload.clear();
        varint::write_u64(&mut self.payload, self.times.len() as u64);
        self.payload.extend_from_slice(&self.times);
        sealed::seal(
            &self.values,
            chunk.exponent,
            &mut self.codec,
            &mut self.payload,
        );
        if self.payload.len() <= chunk.tokens.len() {
            COLUMNS
        } else {
            TOKENS
        }
    }
}

/// The sealed chunks of a shard.
#[derive(Debug, Default)]
pub(super) struct SealedChunks {
    /// By page number; the numbers of dropped pages are used again.
    pages: Arc<Vec<Option<Page>>>,
    info: Vec<Option<PageInfo>>,
    current: Option<usize>,
    /// Full pages that are not stored, oldest first.
    waiting: Vec<usize>,
    next_serial: u32,
    n_chunks: u64,
    len_bytes: u64,
}

/// The pages of a shard at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct SealedPages {
    pages: Arc<Vec<Option<Page>>>,
    /// Records whose newest sample is older are gone.
    kept_from_ms: i64,
}

impl SealedChunks {
    /// Stores a chunk. `None` when 65,535 pages (16 GiB) are in use.
    pub(super) fn push(&mut self, chunk: &Chunk<'_>, buffers: &mut Scratch) -> Option<ChunkRef> {
        let codec = buffers.encode(chunk);
        let (scratch, payload) = match codec {
            COLUMNS => (&mut buffers.record, buffers.payload.as_slice()),
            _ => (&mut buffers.record, chunk.tokens),
        };
        scratch.clear();
        scratch.push(codec);
        varint::write_u64(scratch, u64::from(chunk.n));
        let TimeRange { start_ms, end_ms } = chunk.range;
        scratch.extend_from_slice(&start_ms.to_le_bytes());
        varint::write_u64(scratch, end_ms.wrapping_sub(start_ms) as u64);
        // Room for the longest distance is asked for before it is known.
        let len = scratch.len() + payload.len() + 4 + 2 * varint::MAX_LEN;
        let number = self.page_for(len)?;
        let page = self.pages.get(number)?.as_ref()?;
        let previous = self
            .pages
            .get(chunk.previous.page())
            .and_then(Option::as_ref);
        let back = previous.and_then(|previous| page.serial.checked_sub(previous.serial));
        let (previous, back) = match back {
            Some(back) => (chunk.previous, back),
            None => (ChunkRef::NONE, 0),
        };
        scratch.extend_from_slice(&previous.0.to_le_bytes());
        varint::write_u64(scratch, u64::from(back));
        varint::write_u64(scratch, payload.len() as u64);
        scratch.extend_from_slice(payload);

        let at = page.push(scratch, ALIGN)?;
        let info = self.info[number].get_or_insert(PageInfo {
            serial: page.serial,
            len: HEADER_BYTES as u32,
            n_chunks: 0,
            range: chunk.range,
            place: None,
        });
        let len = (at + scratch.len()) as u32;
        self.len_bytes += u64::from(len - info.len);
        info.len = len;
        info.range.start_ms = info.range.start_ms.min(start_ms);
        info.range.end_ms = info.range.end_ms.max(end_ms);
        info.n_chunks += 1;
        self.n_chunks += 1;
        Some(ChunkRef(
            (number as u32) << OFFSET_BITS | (at / ALIGN) as u32,
        ))
    }

    /// Returns the number of a page with room for `len` more bytes.
    fn page_for(&mut self, len: usize) -> Option<usize> {
        if let Some(number) = self.current {
            let page = self.pages.get(number)?.as_ref()?;
            if page.has_room(len, ALIGN) {
                return Some(number);
            }
        }
        let serial = self.next_serial;
        let next_serial = serial.checked_add(1)?;
        let number = self.free_number()?;
        self.waiting.extend(self.current);
        self.place(number, Page::new(serial));
        self.current = Some(number);
        self.next_serial = next_serial;
        Some(number)
    }

    /// Returns a number that no page has, and makes room for it.
    fn free_number(&mut self) -> Option<usize> {
        let number = match self.pages.iter().position(Option::is_none) {
            Some(number) => number,
            None => self.pages.len(),
        };
        // The highest number stays unused so that no record equals `ChunkRef::NONE`.
        (number < usize::from(u16::MAX)).then_some(number)
    }

    fn place(&mut self, number: usize, page: Page) {
        let pages = Arc::make_mut(&mut self.pages);
        if pages.len() <= number {
            pages.resize(number + 1, None);
            self.info.resize(number + 1, None);
        }
        pages[number] = Some(page);
    }

    /// Drops pages without a sample at or after `t_ms` and returns how many chunks
    /// went with them.
    pub(super) fn truncate_before(&mut self, t_ms: i64) -> u64 {
        self.drop_pages(|_, info| info.range.end_ms < t_ms)
    }

    /// Drops the pages that `is_dropped` picks and returns how many chunks went.
    fn drop_pages(&mut self, is_dropped: impl Fn(usize, &PageInfo) -> bool) -> u64 {
        let mut dropped = 0;
        for number in 0..self.info.len() {
            let Some(info) = self.info[number].take_if(|info| is_dropped(number, info)) else {
                continue;
            };
            dropped += u64::from(info.n_chunks);
            Arc::make_mut(&mut self.pages)[number] = None;
            let len = u64::from(info.len).saturating_sub(HEADER_BYTES as u64);
            self.len_bytes = self.len_bytes.saturating_sub(len);
            self.current = self.current.filter(|&current| current != number);
            self.waiting.retain(|&waiting| waiting != number);
        }
        self.n_chunks -= dropped;
        dropped
    }

    /// Tells whether the page of a record is still there.
    pub(super) fn holds(&self, chunk: ChunkRef) -> bool {
        self.pages.get(chunk.page()).is_some_and(Option::is_some)
    }

    /// Returns the pages of now; records of chunks that end before `kept_from_ms`
    /// count as gone.
    pub(super) fn pages(&self, kept_from_ms: i64) -> SealedPages {
        SealedPages {
            pages: Arc::clone(&self.pages),
            kept_from_ms,
        }
    }

    /// Counts the chunks in memory.
    pub(super) fn n_chunks(&self) -> u64 {
        self.n_chunks
    }

    /// Returns the bytes of the records.
    pub(super) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Returns the oldest time of any chunk.
    pub(super) fn min_time_ms(&self) -> Option<i64> {
        let pages = self.info.iter().flatten();
        pages.map(|info| info.range.start_ms).min()
    }

    /// Returns the bytes of memory held; of the page being filled only what is
    /// filled, because the rest was never touched.
    pub(super) fn memory_bytes(&self) -> usize {
        self.pages.iter().flatten().map(Page::memory_bytes).sum()
    }

    /// Counts the full pages that are not stored.
    pub(super) fn n_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns the full pages that are not stored, with their numbers, oldest first.
    pub(super) fn waiting(&self) -> Vec<(usize, Page, PageInfo)> {
        let found =
            |&number: &usize| Some((number, self.pages[number].clone()?, self.info[number]?));
        self.waiting.iter().filter_map(found).collect()
    }

    /// Replaces a page by the same one where it is stored, unless it was dropped.
    pub(super) fn stored(&mut self, number: usize, page: Page, place: FilePlace) {
        let info = self.info.get_mut(number).and_then(Option::as_mut);
        let Some(info) = info.filter(|info| info.serial == page.serial) else {
            return;
        };
        info.place = Some(place);
        self.waiting.retain(|&waiting| waiting != number);
        Arc::make_mut(&mut self.pages)[number] = Some(page);
    }

    /// Returns all pages by number, and the number of the one that is filled.
    pub(super) fn all(&self) -> (Vec<(usize, Page, PageInfo)>, Option<usize>) {
        let found = |number: usize| Some((number, self.pages[number].clone()?, self.info[number]?));
        let all = (0..self.pages.len()).filter_map(found).collect();
        (all, self.current)
    }

    /// The serial of the next page.
    pub(super) fn next_serial(&self) -> u32 {
        self.next_serial
    }

    /// Makes serials begin at `next` at the earliest.
    pub(super) fn begin_serials(&mut self, next: u32) {
        self.next_serial = self.next_serial.max(next);
    }

    /// Puts back a page that was there before a restart. `false` when its number is
    /// taken or none.
    pub(super) fn restore(
        &mut self,
        number: usize,
        page: Page,
        info: PageInfo,
        is_current: bool,
    ) -> bool {
        let is_free = self.pages.get(number).is_none_or(Option::is_none);
        if !is_free || number >= usize::from(u16::MAX) || info.serial == u32::MAX {
            return false;
        }
        self.n_chunks += u64::from(info.n_chunks);
        self.len_bytes += u64::from(info.len).saturating_sub(HEADER_BYTES as u64);
        if is_current {
            self.waiting.extend(self.current.replace(number));
        } else if page.is_in_memory() {
            self.waiting.push(number);
        }
        self.begin_serials(info.serial + 1);
        self.place(number, page);
        self.info[number] = Some(info);
        true
    }

    /// Drops a page that cannot be read and returns how many chunks went with it.
    pub(super) fn drop_damaged(&mut self, number: usize, serial: u32) -> u64 {
        self.drop_pages(|other, info| other == number && info.serial == serial)
    }

    /// Returns the lowest head file that a page is stored in.
    pub(super) fn first_file(&self) -> Option<u64> {
        let places = self.info.iter().flatten().filter_map(|info| info.place);
        places.map(|place| place.file).min()
    }
}

/// The head of a record.
struct Record {
    codec: u8,
    n: u16,
    range: TimeRange,
    previous: ChunkRef,
    /// Distance from the serial of its page.
    back: u32,
    /// Where the payload begins and ends in the page.
    payload: std::ops::Range<usize>,
}

fn read_record(page: &[u8], offset: usize) -> Result<Record, Malformed> {
    let mut rest = page.get(offset..).ok_or(Malformed)?;
    let &codec = rest.split_off_first().ok_or(Malformed)?;
    let n = varint::read_u64(&mut rest).map_err(|_| Malformed)?;
    let start_ms = i64::from_le_bytes(*rest.first_chunk().ok_or(Malformed)?);
    rest = &rest[8..];
    let duration = varint::read_u64(&mut rest).map_err(|_| Malformed)?;
    let previous = u32::from_le_bytes(*rest.first_chunk().ok_or(Malformed)?);
    rest = &rest[4..];
    let back = varint::read_u64(&mut rest).map_err(|_| Malformed)?;
    let len = varint::read_u64(&mut rest).map_err(|_| Malformed)?;
    let begin = page.len() - rest.len();
    let len = usize::try_from(len).map_err(|_| Malformed)?;
    Ok(Record {
        codec,
        n: u16::try_from(n).map_err(|_| Malformed)?,
        range: TimeRange::new(start_ms, start_ms.wrapping_add(duration as i64)),
        previous: ChunkRef(previous),
        back: u32::try_from(back).map_err(|_| Malformed)?,
        payload: begin..begin.checked_add(len).ok_or(Malformed)?,
    })
}

impl SealedPages {
    /// Tells whether the series whose newest record is `chunk` has a chunk in `range`.
    pub(super) fn any_overlaps(&self, chunk: ChunkRef, range: TimeRange) -> bool {
        let mut found = false;
        // A damaged list cannot be judged; reading it will tell.
        let walked = self.walk(chunk, |record, _| {
            found = record.range.overlaps(range);
            !found && record.range.end_ms >= range.start_ms
        });
        found || walked.is_err()
    }

    /// As [`SealedPages::any_overlaps`], but without chunks that `hidden` hides.
    pub(super) fn any_shown(
        &self,
        chunk: ChunkRef,
        range: TimeRange,
        hidden: impl Fn(TimeRange) -> bool,
    ) -> bool {
        let mut found = false;
        let walked = self.walk(chunk, |record, _| {
            found = record.range.overlaps(range) && !hidden(record.range);
            !found && record.range.end_ms >= range.start_ms
        });
        found || walked.is_err()
    }

    /// Returns the time of the oldest sample of the series whose newest record is
    /// `chunk`, as far as its list can be read.
    pub(super) fn oldest_ms(&self, chunk: ChunkRef) -> Option<i64> {
        let mut oldest_ms = None;
        let _ = self.walk(chunk, |record, _| {
            oldest_ms = Some(record.range.start_ms);
            true
        });
        oldest_ms
    }

    /// Collects the records with samples in `range`, newest first.
    pub(super) fn overlapping(
        &self,
        chunk: ChunkRef,
        range: TimeRange,
        into: &mut Vec<ChunkRef>,
    ) -> Result<(), Malformed> {
        self.walk(chunk, |record, at| {
            if record.range.overlaps(range) {
                into.push(at);
            }
            record.range.end_ms >= range.start_ms
        })
    }

    /// Visits the records of a series from the newest until `visit` returns `false`.
    fn walk(
        &self,
        mut chunk: ChunkRef,
        mut visit: impl FnMut(&Record, ChunkRef) -> bool,
    ) -> Result<(), Malformed> {
        let mut serial = None;
        while let Some(page) = self.page(chunk) {
            if serial.is_some_and(|serial| serial != page.serial) {
                break;
            }
            let record = read_record(&page.bytes()?, chunk.offset())?;
            let kept = record.range.end_ms >= self.kept_from_ms;
            if !kept || !visit(&record, chunk) || record.previous == ChunkRef::NONE {
                break;
            }
            // A list leads back, or it would have no end.
            if record.back == 0 && record.previous.offset() >= chunk.offset() {
                return Err(Malformed);
            }
            serial = Some(page.serial.checked_sub(record.back).ok_or(Malformed)?);
            chunk = record.previous;
        }
        Ok(())
    }

    fn page(&self, chunk: ChunkRef) -> Option<&Page> {
        self.pages.get(chunk.page())?.as_ref()
    }

    /// Appends the samples of a record that lie in `range`.
    pub(super) fn decode(
        &self,
        chunk: ChunkRef,
        range: TimeRange,
        scratch: &mut ReadScratch,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), Malformed> {
        let page: PageBytes<'_> = self.page(chunk).ok_or(Malformed)?.bytes()?;
        let record = read_record(&page, chunk.offset())?;
        let payload = page.get(record.payload).ok_or(Malformed)?;
        match record.codec {
            TOKENS => open::decode_into(payload, record.n, range, timestamps, values),
            COLUMNS => scratch.columns(payload, record.n, range, timestamps, values),
            _ => Err(Malformed),
        }
    }
}

impl ReadScratch {
    /// Appends the samples of two columns that lie in `range`.
    fn columns(
        &mut self,
        mut payload: &[u8],
        n: u16,
        range: TimeRange,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), Malformed> {
        let n = usize::from(n);
        let len = varint::read_u64(&mut payload).map_err(|_| Malformed)?;
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        let (encoded, payload) = payload.split_at_checked(len).ok_or(Malformed)?;
        let times = self.kept.decode(encoded, n)?;
        let start = times.partition_point(|&t_ms| t_ms < range.start_ms);
        let end = times.partition_point(|&t_ms| t_ms <= range.end_ms);
        let wanted = start..end.max(start);
        let n_wanted = wanted.len();
        timestamps.extend_from_slice(&times[wanted.clone()]);
        let begin = values.len();
        let decoded = sealed::decode_range(payload, n, wanted, &mut self.codec, values);
        if decoded.is_err() || values.len() - begin != n_wanted {
            return Err(Malformed);
        }
        Ok(())
    }
}

impl KeptTimes {
    /// Returns the times of a vector of `n`.
    fn decode(&mut self, encoded: &[u8], n: usize) -> Result<&[i64], Malformed> {
        if self.places.is_empty() {
            self.places.resize(N_KEPT, (Vec::new(), Vec::new()));
        }
        let place = self.hasher.hash_one(encoded) as usize % N_KEPT;
        let (known, times) = &mut self.places[place];
        if known != encoded || times.len() != n {
            known.clear();
            times.clear();
            if timestamps::decode(encoded, n, times) != Ok(n) {
                times.clear();
                return Err(Malformed);
            }
            known.extend_from_slice(encoded);
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests;
