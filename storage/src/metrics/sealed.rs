//! Finished chunks of one shard, in pages that readers share.
//!
//! ```text
//! record = codec u8 | samples varint | first time i64 | duration varint
//!        | previous record u32 | its newest time, as distance from the first, varint
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
//! retention; a list ends where the time of the next record is. Records never change:
//! a reader that holds the pages can decode at leisure while the shard goes on.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::codec::open::{self, Malformed};
use crate::codec::{sealed, timestamps, varint};
use crate::model::TimeRange;

const PAGE_BYTES: usize = 1 << 18;
/// Records begin at multiples of this.
const ALIGN: usize = 4;
const OFFSET_BITS: u32 = 16;
const _: () = assert!(PAGE_BYTES / ALIGN == 1 << OFFSET_BITS);

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

/// Names a record: page in the upper 16 bits, offset / 4 below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkRef(u32);

impl ChunkRef {
    /// No record.
    pub(super) const NONE: ChunkRef = ChunkRef(u32::MAX);

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

/// One page as readers hold it.
type Page = Arc<RwLock<Vec<u8>>>;

#[derive(Debug)]
struct PageInfo {
    range: TimeRange,
    n_chunks: u64,
}

/// The sealed chunks of a shard.
#[derive(Debug, Default)]
pub(super) struct SealedChunks {
    /// By page number; the numbers of dropped pages are used again.
    pages: Arc<Vec<Option<Page>>>,
    info: Vec<Option<PageInfo>>,
    current: Option<usize>,
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
        let previous_end_ms = self.end_ms(chunk.previous).unwrap_or(i64::MIN);
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
        scratch.extend_from_slice(&chunk.previous.0.to_le_bytes());
        let back = start_ms.wrapping_sub(previous_end_ms);
        varint::write_u64(scratch, back as u64);
        varint::write_u64(scratch, payload.len() as u64);
        scratch.extend_from_slice(payload);

        let number = self.page_for(scratch.len())?;
        let page = self.pages.get(number)?.as_ref()?;
        let mut bytes = page.write();
        let padded = bytes.len().next_multiple_of(ALIGN);
        bytes.resize(padded, 0);
        bytes.extend_from_slice(scratch);
        let info = self.info[number].get_or_insert(PageInfo {
            range: chunk.range,
            n_chunks: 0,
        });
        info.range.start_ms = info.range.start_ms.min(start_ms);
        info.range.end_ms = info.range.end_ms.max(end_ms);
        info.n_chunks += 1;
        self.n_chunks += 1;
        self.len_bytes += scratch.len() as u64;
        Some(ChunkRef(
            (number as u32) << OFFSET_BITS | (padded / ALIGN) as u32,
        ))
    }

    /// Returns the number of a page with room for `len` more bytes.
    fn page_for(&mut self, len: usize) -> Option<usize> {
        if let Some(number) = self.current
            && let Some(page) = self.pages.get(number)?
            && page.read().len() + ALIGN + len <= PAGE_BYTES
        {
            return Some(number);
        }
        let pages = Arc::make_mut(&mut self.pages);
        let number = match pages.iter().position(Option::is_none) {
            Some(number) => number,
            None => {
                pages.push(None);
                self.info.push(None);
                pages.len() - 1
            }
        };
        // The highest number stays unused so that no record equals `ChunkRef::NONE`.
        if number >= usize::from(u16::MAX) {
            return None;
        }
        pages[number] = Some(Arc::new(RwLock::new(Vec::with_capacity(PAGE_BYTES))));
        self.current = Some(number);
        Some(number)
    }

    /// Drops pages without a sample at or after `t_ms` and returns how many chunks
    /// went with them.
    pub(super) fn truncate_before(&mut self, t_ms: i64) -> u64 {
        let mut dropped = 0;
        for number in 0..self.info.len() {
            let Some(info) = self.info[number].take_if(|info| info.range.end_ms < t_ms) else {
                continue;
            };
            dropped += info.n_chunks;
            let pages = Arc::make_mut(&mut self.pages);
            if let Some(page) = pages[number].take() {
                self.len_bytes = self.len_bytes.saturating_sub(page.read().len() as u64);
            }
            self.current = self.current.filter(|&current| current != number);
        }
        self.n_chunks -= dropped;
        dropped
    }

    /// Tells whether the page of a record is still there.
    pub(super) fn holds(&self, chunk: ChunkRef) -> bool {
        self.pages.get(chunk.page()).is_some_and(Option::is_some)
    }

    fn end_ms(&self, chunk: ChunkRef) -> Option<i64> {
        let page = self.pages.get(chunk.page())?.as_ref()?.read();
        let record = read_record(&page, chunk.offset()).ok()?;
        Some(record.range.end_ms)
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
        let pages = self.pages.iter().flatten();
        pages.map(|page| page.read().len()).sum()
    }
}

/// The head of a record.
struct Record {
    codec: u8,
    n: u16,
    range: TimeRange,
    previous: ChunkRef,
    previous_end_ms: i64,
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
        previous_end_ms: start_ms.wrapping_sub(back as i64),
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
        while chunk != ChunkRef::NONE {
            let page = self.page(chunk)?;
            let record = read_record(&page.read(), chunk.offset())?;
            let kept = record.range.end_ms >= self.kept_from_ms;
            if !kept || !visit(&record, chunk) || record.previous_end_ms < self.kept_from_ms {
                break;
            }
            chunk = record.previous;
        }
        Ok(())
    }

    fn page(&self, chunk: ChunkRef) -> Result<&Page, Malformed> {
        let page = self.pages.get(chunk.page()).ok_or(Malformed)?;
        page.as_ref().ok_or(Malformed)
    }

    /// Appends the samples of a record that lie in `range`.
    pub(super) fn decode(
        &self,
        chunk: ChunkRef,
        range: TimeRange,
        scratch: &mut sealed::Scratch,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), Malformed> {
        let page = self.page(chunk)?.read();
        let record = read_record(&page, chunk.offset())?;
        let payload = page.get(record.payload).ok_or(Malformed)?;
        match record.codec {
            TOKENS => open::decode_into(payload, record.n, range, timestamps, values),
            COLUMNS => {
                let start = timestamps.len();
                decode_columns(payload, record.n, scratch, timestamps, values)?;
                clip(start, range, record.range, timestamps, values);
                Ok(())
            }
            _ => Err(Malformed),
        }
    }
}

fn decode_columns(
    mut payload: &[u8],
    n: u16,
    scratch: &mut sealed::Scratch,
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), Malformed> {
    let n = usize::from(n);
    let len = varint::read_u64(&mut payload).map_err(|_| Malformed)?;
    let len = usize::try_from(len).map_err(|_| Malformed)?;
    let (times, payload) = payload.split_at_checked(len).ok_or(Malformed)?;
    let found = timestamps::decode(times, n, timestamps);
    if found != Ok(n) || sealed::decode(payload, n, scratch, values).is_err() {
        return Err(Malformed);
    }
    Ok(())
}

/// Removes what lies outside `range` from the samples at and after `start`, which
/// reach over `whole`.
fn clip(
    start: usize,
    range: TimeRange,
    whole: TimeRange,
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) {
    if whole.end_ms > range.end_ms {
        let end = start + timestamps[start..].partition_point(|&t_ms| t_ms <= range.end_ms);
        timestamps.truncate(end);
        values.truncate(end);
    }
    if whole.start_ms < range.start_ms {
        let before = timestamps[start..].partition_point(|&t_ms| t_ms < range.start_ms);
        timestamps.drain(start..start + before);
        values.drain(start..start + before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::open::{self, Edit, OpenChunk};

    /// Builds the tokens of ten samples from `start` on, 10 ms apart.
    fn tokens(start: i64) -> Vec<u8> {
        let (mut open, mut tokens) = (OpenChunk::NEW, Vec::new());
        for i in 0..10 {
            match open.append(
                start + i * 10,
                (start + i) as f64,
                &mut open::Scratch::default(),
            ) {
                Edit::Push(token) => tokens.extend_from_slice(token),
                Edit::Increment => *tokens.last_mut().unwrap() += 1,
            }
        }
        tokens
    }

    #[test]
    fn lists_are_read_back_and_end_at_dropped_pages() {
        let mut chunks = SealedChunks::default();
        let mut newest = [ChunkRef::NONE; 100];
        let mut scratch = Scratch::default();
        for round in 0..200i64 {
            for previous in &mut newest {
                let range = TimeRange::new(round * 1000, round * 1000 + 90);
                let chunk = Chunk {
                    n: 10,
                    range,
                    tokens: &tokens(range.start_ms),
                    exponent: None,
                    previous: *previous,
                };
                *previous = chunks.push(&chunk, &mut scratch).unwrap();
            }
        }
        let before = chunks.pages(i64::MIN);
        let n_before = chunks.n_chunks();
        assert_eq!(n_before, 20_000);
        let dropped = chunks.truncate_before(150_000);
        assert!(dropped > 5_000, "{dropped}");
        assert_eq!(chunks.n_chunks(), n_before - dropped);
        let after = chunks.pages(150_000);
        for &newest in &newest {
            let read = |pages: &SealedPages, range| {
                let (mut records, mut t, mut v) = (Vec::new(), Vec::new(), Vec::new());
                pages.overlapping(newest, range, &mut records).unwrap();
                for &record in records.iter().rev() {
                    let codec = &mut sealed::Scratch::default();
                    pages.decode(record, range, codec, &mut t, &mut v).unwrap();
                }
                t
            };
            assert_eq!(read(&before, TimeRange::ALL).len(), 2000);
            assert_eq!(read(&after, TimeRange::ALL).len(), 500);
            assert_eq!(
                read(&after, TimeRange::new(180_085, 181_005)),
                [180_090, 181_000]
            );
            assert!(after.any_overlaps(newest, TimeRange::new(151_000, 151_000)));
            assert!(!after.any_overlaps(newest, TimeRange::new(151_100, 151_900)));
            assert!(!after.any_overlaps(newest, TimeRange::new(0, 149_000)));
        }
    }
}
