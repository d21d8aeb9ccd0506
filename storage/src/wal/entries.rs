//! The record of log entries.
//!
//! ```text
//! body     = n_runs varint | n_runs x (stream number varint, entries varint) | payload
//! payload  = the entries of the runs, one run after the other
//! entry    = time difference zigzag varint | line length varint | metadata length varint
//!          | line | metadata
//! metadata = pairs of texts: name, value
//! text     = length varint, UTF-8 bytes
//! ```
//!
//! Differences are to the entry before, and to 0 for the first of a frame. The payload is
//! also what a store holds in memory: it is made once, before any lock is taken, and then
//! only copied. So nothing is compressed: a segment of entries lives until the next flush,
//! and a copy costs less than the cheapest compression.

use super::format::{FrameKind, MAX_SERIES};
use super::writer::Wal;
use crate::codec::{CodecError, text, varint};

/// A frame is full when its payload is this long.
const FRAME_BYTES: usize = 256 << 10;
/// Most entries in one frame: its count is a u16.
const MAX_ENTRIES: usize = u16::MAX as usize;
/// Fewest bytes of an entry.
const MIN_ENTRY_BYTES: usize = 3;

/// Where an entry stands in a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRow {
    /// Nanoseconds since the epoch.
    pub t_ns: i64,
    /// The number of the stream; in a frame that is being collected, whatever its caller
    /// calls the stream.
    pub stream: u32,
    /// Where the line begins in the payload; the metadata follows it.
    pub at: u32,
    /// Bytes of the line.
    pub line_len: u32,
    /// Bytes of the encoded metadata.
    pub metadata_len: u32,
}

impl EntryRow {
    /// Returns the line of the entry.
    #[inline]
    pub fn line(self, payload: &[u8]) -> &[u8] {
        let start = self.at as usize;
        &payload[start..start + self.line_len as usize]
    }

    /// Returns the encoded metadata of the entry.
    #[inline]
    pub fn metadata(self, payload: &[u8]) -> &[u8] {
        let start = self.at as usize + self.line_len as usize;
        &payload[start..start + self.metadata_len as usize]
    }

    /// Returns the line with the encoded metadata behind it.
    #[inline]
    pub fn content(self, payload: &[u8]) -> &[u8] {
        let start = self.at as usize;
        &payload[start..start + self.line_len as usize + self.metadata_len as usize]
    }
}

/// Reads the pairs of encoded metadata; what is not UTF-8, or cut short, ends them.
pub fn metadata_pairs(mut encoded: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    std::iter::from_fn(move || {
        if encoded.is_empty() {
            return None;
        }
        let name = text::read(&mut encoded).ok()?;
        Some((name, text::read(&mut encoded).ok()?))
    })
}

/// Entries that are collected for one frame.
#[derive(Debug, Default)]
pub struct EntriesFrame {
    payload: Vec<u8>,
    rows: Vec<EntryRow>,
    last_ns: i64,
    metadata: Vec<u8>,
}

impl EntriesFrame {
    /// Returns the rows, in order of arrival.
    pub fn rows(&self) -> &[EntryRow] {
        &self.rows
    }

    /// Returns the bytes that the rows point into.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Tells whether the next entry belongs into another frame.
    pub fn is_full(&self) -> bool {
        self.payload.len() >= FRAME_BYTES || self.rows.len() >= MAX_ENTRIES
    }

    /// Drops what was collected and keeps the memory.
    pub fn clear(&mut self) {
        self.payload.clear();
        self.rows.clear();
        self.last_ns = 0;
    }

    /// Collects an entry of what the caller calls `stream`. Lines and metadata of 4 GiB
    /// and more are the caller's to refuse.
    pub fn push<'p>(
        &mut self,
        stream: u32,
        t_ns: i64,
        line: &[u8],
        metadata: impl Iterator<Item = (&'p str, &'p str)>,
    ) {
        self.metadata.clear();
        for (name, value) in metadata {
            text::write(&mut self.metadata, name);
            text::write(&mut self.metadata, value);
        }
        varint::write_i64(&mut self.payload, t_ns.wrapping_sub(self.last_ns));
        self.last_ns = t_ns;
        varint::write_u64(&mut self.payload, line.len() as u64);
        varint::write_u64(&mut self.payload, self.metadata.len() as u64);
        self.rows.push(EntryRow {
            t_ns,
            stream,
            at: self.payload.len() as u32,
            line_len: line.len() as u32,
            metadata_len: self.metadata.len() as u32,
        });
        self.payload.extend_from_slice(line);
        self.payload.extend_from_slice(&self.metadata);
    }
}

/// Entries of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEntries<'a> {
    /// Where the entries stand, in the order they were logged. Damage may leave a number
    /// without a definition.
    pub rows: Vec<EntryRow>,
    /// What the rows point into.
    pub payload: &'a [u8],
}

/// Decodes a body of `n` entries.
pub(super) fn decode(mut body: &[u8], n: usize) -> Result<LoggedEntries<'_>, CodecError> {
    let n_runs = varint::read_u64(&mut body)?;
    if n_runs > n as u64 {
        return Err(CodecError::TooMany {
            found: n_runs,
            limit: n as u64,
        });
    }
    let mut runs = Vec::with_capacity(n_runs as usize);
    let mut total = 0u64;
    for _ in 0..n_runs {
        let number = varint::read_u64(&mut body)?;
        let number = u32::try_from(number).ok().filter(|&id| id < MAX_SERIES);
        let number = number.ok_or(CodecError::Invalid("stream number"))?;
        let len = varint::read_u64(&mut body)?;
        total = total.saturating_add(len);
        if len == 0 || total > n as u64 {
            return Err(CodecError::Invalid("run of entries"));
        }
        runs.push((number, len));
    }
    if total != n as u64 {
        return Err(CodecError::Invalid("number of entries"));
    }
    let payload = body;
    let mut rows = Vec::with_capacity(n.min(payload.len() / MIN_ENTRY_BYTES + 1));
    let mut t_ns = 0i64;
    for (stream, len) in runs {
        for _ in 0..len {
            t_ns = t_ns.wrapping_add(varint::read_i64(&mut body)?);
            let line_len = varint::read_u64(&mut body)?;
            let metadata_len = varint::read_u64(&mut body)?;
            let at = payload.len() - body.len();
            take(&mut body, line_len)?;
            let mut metadata = take(&mut body, metadata_len)?;
            while !metadata.is_empty() {
                text::read(&mut metadata)?;
                text::read(&mut metadata)?;
            }
            rows.push(EntryRow {
                t_ns,
                stream,
                at: at as u32,
                line_len: line_len as u32,
                metadata_len: metadata_len as u32,
            });
        }
    }
    if body.is_empty() {
        Ok(LoggedEntries { rows, payload })
    } else {
        Err(CodecError::Invalid("end of the entries"))
    }
}

fn take<'a>(body: &mut &'a [u8], len: u64) -> Result<&'a [u8], CodecError> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    body.split_off(..len)
        .ok_or(CodecError::Truncated("log entry"))
}

/// Decodes the number of a deletion.
pub(super) fn decode_deletion(mut body: &[u8]) -> Result<u64, CodecError> {
    let number = varint::read_u64(&mut body)?;
    if body.is_empty() {
        Ok(number)
    } else {
        Err(CodecError::Invalid("end of the deletion"))
    }
}

impl Wal {
    /// Collects the entries of a frame; `number` gives the number of what the frame calls
    /// a stream. Streams were defined as series are, in this commit or before.
    ///
    /// What is too large is refused by [`Wal::commit`].
    pub fn entries(&mut self, frame: &EntriesFrame, number: impl Fn(u32) -> u32) {
        let mut runs: Vec<(u32, u64)> = Vec::new();
        for row in &frame.rows {
            let number = number(row.stream);
            match runs.last_mut() {
                Some((last, len)) if *last == number => *len += 1,
                _ => runs.push((number, 1)),
            }
        }
        let mut head = Vec::with_capacity(4 + runs.len() * 4);
        varint::write_u64(&mut head, runs.len() as u64);
        for (number, len) in runs {
            if number >= MAX_SERIES {
                self.refuse_id(number);
                return;
            }
            varint::write_u64(&mut head, u64::from(number));
            varint::write_u64(&mut head, len);
        }
        let n = frame.rows.len() as u16;
        self.record_of(FrameKind::Entries, n, &[&head, &frame.payload]);
    }

    /// Collects the mark of a deletion: what stands before it was there when the deletion
    /// of this number was asked for, what follows was not.
    pub fn deletion(&mut self, number: u64) {
        let mut body = Vec::new();
        varint::write_u64(&mut body, number);
        self.record(FrameKind::Deletion, 1, &body);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wal::format::{FRAME_HEADER_BYTES, begin_frame, finish_frame, read_frame};

    type Given = (u32, i64, Vec<u8>, Vec<(String, String)>);

    fn body_of(frame: &EntriesFrame) -> Vec<u8> {
        let mut body = Vec::new();
        let mut runs: Vec<(u32, u64)> = Vec::new();
        for row in frame.rows() {
            match runs.last_mut() {
                Some((last, len)) if *last == row.stream => *len += 1,
                _ => runs.push((row.stream, 1)),
            }
        }
        varint::write_u64(&mut body, runs.len() as u64);
        for (number, len) in runs {
            varint::write_u64(&mut body, u64::from(number));
            varint::write_u64(&mut body, len);
        }
        body.extend_from_slice(frame.payload());
        body
    }

    fn collect(given: &[Given]) -> EntriesFrame {
        let mut frame = EntriesFrame::default();
        for (stream, t_ns, line, metadata) in given {
            let pairs = metadata.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            frame.push(*stream, *t_ns, line, pairs);
        }
        frame
    }

    proptest! {
        #[test]
        fn entries_come_back(
            given in prop::collection::vec(
                (0u32..4, any::<i64>(), any::<Vec<u8>>(),
                 prop::collection::vec((".{0,9}", ".{0,9}"), 0..3)),
                0..20,
            ),
        ) {
            let frame = collect(&given);
            let body = body_of(&frame);
            let found = decode(&body, given.len()).unwrap();
            prop_assert_eq!(&found.rows, &frame.rows);
            for (row, (_, _, line, metadata)) in found.rows.iter().zip(&given) {
                prop_assert_eq!(row.line(found.payload), &line[..]);
                let pairs: Vec<_> = metadata_pairs(row.metadata(found.payload)).collect();
                let wanted: Vec<_> =
                    metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                prop_assert_eq!(pairs, wanted);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(body: Vec<u8>, n in 0usize..70_000) {
            if let Ok(found) = decode(&body, n) {
                for row in &found.rows {
                    let _ = (row.line(found.payload), row.metadata(found.payload));
                }
            }
            let _ = decode_deletion(&body);
        }

        #[test]
        fn cut_bodies_are_refused(
            given in prop::collection::vec(
                (0u32..3, any::<i64>(), prop::collection::vec(any::<u8>(), 1..20),
                 Just(Vec::new())),
                1..6,
            ),
            cut in any::<prop::sample::Index>(),
        ) {
            let body = body_of(&collect(&given));
            let cut = cut.index(body.len());
            prop_assert!(decode(&body[..cut], given.len()).is_err());
        }
    }

    #[test]
    fn a_frame_of_entries_is_known_by_its_type() {
        let frame = collect(&[(1, 5, b"line".to_vec(), Vec::new())]);
        let mut out = Vec::new();
        let start = begin_frame(&mut out);
        out.extend_from_slice(&body_of(&frame));
        finish_frame(&mut out, start, FrameKind::Entries, 0, 1);
        let read = read_frame(&out).unwrap();
        assert_eq!(read.kind, FrameKind::Entries);
        assert_eq!(read.body, &out[FRAME_HEADER_BYTES..]);
    }
}
