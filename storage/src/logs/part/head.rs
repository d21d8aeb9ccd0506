//! What a row group is: its pages, streams, skeletons and columns, and where their bytes are.
//!
//! ```text
//! head = n rows | pages: n, rows of each | runs: n, (stream delta, rows) of each
//!      | columns: n, (key, place) of each | shapes: n, columns of each
//!      | skeletons: n, each | places of times, skeleton numbers, shape numbers
//! place = offset in the group | length | CRC-32 u32
//! ```

use super::error::Decoded;
use super::skeleton::{ColumnKey, Origin, Skeleton};
use super::wire::{put, take, take_count, take_slice};
use crate::codec::CodecError;

/// Most columns of a group.
pub(super) const MAX_COLUMNS: usize = 4096;

/// Most skeletons of a group.
pub(super) const MAX_SKELETONS: usize = 4096;

/// Most rows of a group.
pub(super) const MAX_ROWS: usize = 1 << 20;

/// Where bytes are, from the start of the group, and what they must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) crc: u32,
}

impl Place {
    /// Appends bytes to a group and returns their place.
    pub(super) fn append(bytes: &[u8], group: &mut Vec<u8>) -> Place {
        let at = group.len();
        group.extend_from_slice(bytes);
        Place {
            at,
            len: bytes.len(),
            crc: crate::codec::crc::ieee(&[bytes]),
        }
    }

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        put(out, self.at);
        put(out, self.len);
        out.extend(self.crc.to_le_bytes());
    }

    pub(super) fn decode(bytes: &mut &[u8]) -> Decoded<Place> {
        let at = take(bytes, usize::MAX)?;
        let len = take(bytes, usize::MAX)?;
        let crc = take_slice(bytes, 4)?
            .first_chunk()
            .copied()
            .unwrap_or_default();
        Ok(Place {
            at,
            len,
            crc: u32::from_le_bytes(crc),
        })
    }
}

/// Neighbouring rows of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Number of the stream in the part.
    pub stream: u32,
    /// Its first row.
    pub start: usize,
    /// The row behind its last one.
    pub end: usize,
}

/// What a row group is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The row behind the last one of each page.
    pub(super) page_ends: Vec<usize>,
    pub(super) runs: Vec<Run>,
    pub(super) columns: Vec<(ColumnKey, Place)>,
    /// Sets of metadata names that rows have, as columns in order of the names.
    pub(super) shapes: Vec<Vec<u32>>,
    pub(super) skeletons: Vec<Skeleton>,
    pub(super) times: Place,
    pub(super) skeleton_codes: Place,
    pub(super) shape_codes: Place,
}

impl Head {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.page_ends.last().copied().unwrap_or(0));
        put(out, self.page_ends.len());
        let mut start = 0;
        for &end in &self.page_ends {
            put(out, end - start);
            start = end;
        }
        put(out, self.runs.len());
        let mut stream = 0;
        for run in &self.runs {
            put(out, (run.stream - stream) as usize);
            put(out, run.end - run.start);
            stream = run.stream;
        }
        put(out, self.columns.len());
        for (key, place) in &self.columns {
            key.encode(out);
            place.encode(out);
        }
        put(out, self.shapes.len());
        for shape in &self.shapes {
            put(out, shape.len());
            for &column in shape {
                put(out, column as usize);
            }
        }
        put(out, self.skeletons.len());
        for skeleton in &self.skeletons {
            skeleton.encode(out);
        }
        for place in [self.times, self.skeleton_codes, self.shape_codes] {
            place.encode(out);
        }
    }

    pub(super) fn decode(mut bytes: &[u8], n_streams: usize) -> Decoded<Head> {
        let bytes = &mut bytes;
        let mut head = Head::default();
        let rows = take(bytes, MAX_ROWS)?;
        let mut end = 0;
        for _ in 0..take_count(bytes)? {
            end += take(bytes, super::column::MAX_PAGE_ROWS)?;
            head.page_ends.push(end);
        }
        if end != rows {
            return Err(CodecError::Invalid("rows of the pages of a group"));
        }
        let (mut stream, mut start) = (0, 0);
        for _ in 0..take_count(bytes)? {
            stream += take(bytes, n_streams)?;
            let end = start + take(bytes, rows)?;
            if stream >= n_streams || end > rows {
                return Err(CodecError::Invalid("streams of a group"));
            }
            head.runs.push(Run {
                stream: stream as u32,
                start,
                end,
            });
            start = end;
        }
        if start != rows {
            return Err(CodecError::Invalid("rows of the streams of a group"));
        }
        for _ in 0..take(bytes, MAX_COLUMNS)? {
            head.columns
                .push((ColumnKey::decode(bytes)?, Place::decode(bytes)?));
        }
        for _ in 0..take_count(bytes)? {
            head.shapes.push(head.shape(bytes)?);
        }
        for _ in 0..take(bytes, MAX_SKELETONS)? {
            let skeleton = Skeleton::decode(bytes, head.columns.len())?;
            let of_lines =
                |&column: &u32| head.columns[column as usize].0.origin == Origin::Metadata;
            if skeleton.columns.iter().any(of_lines) {
                return Err(CodecError::Invalid("column of a skeleton"));
            }
            head.skeletons.push(skeleton);
        }
        head.times = Place::decode(bytes)?;
        head.skeleton_codes = Place::decode(bytes)?;
        head.shape_codes = Place::decode(bytes)?;
        Ok(head)
    }

    fn shape(&self, bytes: &mut &[u8]) -> Decoded<Vec<u32>> {
        let mut shape = Vec::new();
        let mut last: Option<&str> = None;
        for _ in 0..take_count(bytes)? {
            let column = take(bytes, self.columns.len())?;
            let key = self.columns.get(column).map(|(key, _)| key);
            let key = key.filter(|key| key.origin == Origin::Metadata);
            // In order of the names, and so each once.
            let key = key.filter(|key| last.is_none_or(|last| last < key.name.as_str()));
            let key = key.ok_or(CodecError::Invalid("names of structured metadata"))?;
            last = Some(key.name.as_str());
            shape.push(column as u32);
        }
        Ok(shape)
    }

    pub(super) fn rows(&self) -> usize {
        self.page_ends.last().copied().unwrap_or(0)
    }

    /// Returns the rows of a page.
    pub(super) fn page(&self, page: usize) -> std::ops::Range<usize> {
        let end = self.page_ends.get(page).copied().unwrap_or(0);
        let start = page
            .checked_sub(1)
            .map_or(0, |before| self.page_ends[before]);
        start..end
    }
}
