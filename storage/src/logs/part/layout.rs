//! How a part begins and ends.
//!
//! ```text
//! file    = header 16 | groups | footer | trailer 48
//! header  = magic 8 | version u32 | 0 u32
//! trailer = footer at u64 | length u64 | length before it was compressed u64
//!         | CRC-32 of the footer u32 | CRC-32 of the trailer before it u32 | 0 u64 | magic 8
//! footer  = n streams | for each: n labels, name and value of each
//!         | n groups | for each: [`GroupInfo`]
//! ```

use std::path::Path;

use super::PartError;
use super::counts::Bound;
use super::error::Decoded;
use super::head::{MAX_ROWS, Place};
use super::wire::{put, put_bytes, take, take_count, take_text};
use super::zstd::Inflater;
use crate::codec::{CodecError, crc, varint};
use crate::model::Labels;

const MAGIC: &[u8; 8] = b"KYMOLOGP";

/// The version that is written. Version 1 had other filters, which are not looked at, and
/// counted entries by other minutes, see [`Bound`].
pub(super) const VERSION: u32 = 2;
const OLDEST: u32 = 1;

pub(super) const HEADER_BYTES: usize = 16;
pub(super) const TRAILER_BYTES: usize = 48;

/// Longest footer and head of a group, before they are compressed.
pub(super) const MAX_FOOTER_BYTES: usize = 1 << 30;
pub(super) const MAX_HEAD_BYTES: usize = 1 << 28;

pub(super) fn header() -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    out
}

/// A row group, as far as one needs to know to choose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    /// Where it begins in the file.
    pub(super) at: u64,
    pub(super) len: usize,
    pub(super) head: Place,
    pub(super) head_len: usize,
    pub(super) counts: Place,
    pub(super) filters: Place,
    /// How many entries it has.
    pub rows: usize,
    /// Time of its oldest entry.
    pub first_ns: i64,
    /// Time of its newest one.
    pub last_ns: i64,
    /// Bytes of its lines.
    pub line_bytes: u64,
    /// Streams that have entries in it, in order.
    pub streams: Vec<u32>,
}

impl GroupInfo {
    fn encode(&self, out: &mut Vec<u8>) {
        varint::write_u64(out, self.at);
        put(out, self.len);
        self.head.encode(out);
        put(out, self.head_len);
        self.counts.encode(out);
        self.filters.encode(out);
        put(out, self.rows);
        varint::write_i64(out, self.first_ns);
        varint::write_u64(
            out,
            self.last_ns.wrapping_sub(self.first_ns).cast_unsigned(),
        );
        varint::write_u64(out, self.line_bytes);
        put(out, self.streams.len());
        let mut last = 0;
        for &stream in &self.streams {
            put(out, (stream - last) as usize);
            last = stream;
        }
    }

    fn decode(bytes: &mut &[u8], n_streams: usize, until: u64) -> Decoded<GroupInfo> {
        let at = varint::read_u64(bytes)?;
        let len = take(bytes, usize::MAX)?;
        let right = at.checked_add(len as u64).is_some_and(|end| end <= until);
        if !right || at < HEADER_BYTES as u64 {
            return Err(CodecError::Invalid("place of a row group"));
        }
        let head = Place::decode(bytes)?;
        let head_len = take(bytes, MAX_HEAD_BYTES)?;
        let counts = Place::decode(bytes)?;
        let filters = Place::decode(bytes)?;
        let rows = take(bytes, MAX_ROWS)?;
        let first_ns = varint::read_i64(bytes)?;
        let last_ns = first_ns.wrapping_add(varint::read_u64(bytes)?.cast_signed());
        let line_bytes = varint::read_u64(bytes)?;
        let mut streams = Vec::new();
        let mut stream = 0;
        for _ in 0..take_count(bytes)? {
            stream += take(bytes, n_streams)?;
            if stream >= n_streams {
                return Err(CodecError::Invalid("stream of a row group"));
            }
            streams.push(stream as u32);
        }
        Ok(GroupInfo {
            at,
            len,
            head,
            head_len,
            counts,
            filters,
            rows,
            first_ns,
            last_ns,
            line_bytes,
            streams,
        })
    }
}

/// What a part holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) version: u32,
    pub(super) streams: Vec<Labels>,
    pub(super) groups: Vec<GroupInfo>,
}

impl Footer {
    /// Returns what the minutes of counts are.
    pub(super) fn minutes(&self) -> Bound {
        match self.version {
            1 => Bound::First,
            _ => Bound::Last,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.streams.len());
        for labels in &self.streams {
            put(out, labels.len());
            for (name, value) in labels.iter() {
                put_bytes(out, name.as_bytes());
                put_bytes(out, value.as_bytes());
            }
        }
        put(out, self.groups.len());
        for group in &self.groups {
            group.encode(out);
        }
    }

    fn decode(mut bytes: &[u8], until: u64, version: u32) -> Decoded<Footer> {
        let bytes = &mut bytes;
        let mut footer = Footer {
            version,
            ..Footer::default()
        };
        for _ in 0..take_count(bytes)? {
            let n = take_count(bytes)?;
            let mut pairs = Vec::new();
            for _ in 0..n {
                pairs.push((take_text(bytes)?, take_text(bytes)?));
            }
            let sorted = pairs.is_sorted_by(|a, b| a.0 < b.0);
            if !sorted || pairs.iter().any(|(_, value)| value.is_empty()) {
                return Err(CodecError::Invalid("labels of a stream"));
            }
            footer.streams.push(Labels::from_sorted(pairs));
        }
        for _ in 0..take_count(bytes)? {
            let group = GroupInfo::decode(bytes, footer.streams.len(), until)?;
            footer.groups.push(group);
        }
        Ok(footer)
    }
}

/// Returns the trailer of a footer that is `stored` in the file at `at`.
pub(super) fn trailer(at: u64, stored: &[u8], len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(TRAILER_BYTES);
    for word in [at, stored.len() as u64, len as u64] {
        out.extend(word.to_le_bytes());
    }
    out.extend(crc::ieee(&[stored]).to_le_bytes());
    let sum = crc::ieee(&[&out]);
    out.extend(sum.to_le_bytes());
    out.extend(0u64.to_le_bytes());
    out.extend(MAGIC);
    out
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

/// Checks beginning and end of a file and reads its footer.
pub(super) fn open(path: &Path, file: &[u8]) -> Result<Footer, PartError> {
    if file.get(..8) != Some(&MAGIC[..]) {
        return Err(PartError::corrupt(
            path,
            0,
            "it does not begin as a part does",
        ));
    }
    let version = word(file, 8) as u32;
    if !(OLDEST..=VERSION).contains(&version) {
        return Err(PartError::Version {
            path: path.to_path_buf(),
            found: version,
            supported: VERSION,
        });
    }
    let trailer_at = file.len().saturating_sub(TRAILER_BYTES).max(HEADER_BYTES);
    let end = &file[trailer_at.min(file.len())..];
    let bad = |detail: &str| PartError::corrupt(path, trailer_at as u64, detail);
    if end.len() < TRAILER_BYTES || end[40..] != MAGIC[..] {
        return Err(bad("it does not end as a part does"));
    }
    if word(end, 24) >> 32 != u64::from(crc::ieee(&[&end[..28]])) {
        return Err(bad("the checksum of its last bytes is wrong"));
    }
    let (at, len) = (word(end, 0), word(end, 8));
    let range = usize::try_from(at).ok().zip(at.checked_add(len));
    let range = range.and_then(|(start, end)| Some(start..usize::try_from(end).ok()?));
    let stored = range.filter(|range| range.end <= trailer_at && range.start >= HEADER_BYTES);
    let stored = stored.and_then(|range| file.get(range));
    let stored = stored.ok_or_else(|| bad("its footer is said to be outside of it"))?;
    if word(end, 24) as u32 != crc::ieee(&[stored]) {
        return Err(PartError::corrupt(
            path,
            at,
            "the checksum of the footer is wrong",
        ));
    }
    let len = usize::try_from(word(end, 16)).unwrap_or(usize::MAX);
    if len > MAX_FOOTER_BYTES {
        return Err(bad("its footer is longer than any is"));
    }
    let bytes = Inflater::default().take(&mut &stored[..], len);
    let footer = bytes.and_then(|bytes| Footer::decode(&bytes, at, version));
    footer.map_err(|error| PartError::corrupt(path, at, error.to_string()))
}
