//! The record that gives series their numbers.
//!
//! ```text
//! body   = n_strings varint | n_strings x (len varint, bytes) | n x series
//! series = number varint | n_labels varint | n_labels x (name index, value index) varint
//! ```
//!
//! The string table is the frame's own: the new series of one commit share most of
//! their strings, and a frame that needs no other can never be misread. A number may
//! be defined again; with the same labels that says nothing new, with others it is a
//! new series from there on.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use super::format::MAX_SERIES;
use crate::codec::{CodecError, varint};

/// Most series in one frame: its count is a u16.
pub(super) const MAX_SERIES_PER_FRAME: usize = u16::MAX as usize;

/// Collects the series of one frame.
#[derive(Debug, Default)]
pub(super) struct SeriesEncoder {
    text: Vec<u8>,
    strings: Vec<(u32, u32)>,
    index: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    series: Vec<u8>,
    n: usize,
}

impl SeriesEncoder {
    /// Returns the number of series collected.
    pub(super) fn len(&self) -> usize {
        self.n
    }

    /// Returns about how long the body is.
    pub(super) fn len_bytes(&self) -> usize {
        self.text.len() + self.strings.len() * 2 + self.series.len()
    }

    /// Adds a series; the caller bounds the length of its labels.
    pub(super) fn push<'a>(&mut self, id: u32, labels: impl Iterator<Item = (&'a str, &'a str)>) {
        varint::write_u64(&mut self.series, u64::from(id));
        // The number of labels comes before them and is known after them; labels of a
        // series are few, so one pass over a short buffer is cheapest.
        let mut pairs = Vec::with_capacity(32);
        for (name, value) in labels {
            pairs.push(self.string(name));
            pairs.push(self.string(value));
        }
        varint::write_u64(&mut self.series, pairs.len() as u64 / 2);
        for index in pairs {
            varint::write_u64(&mut self.series, u64::from(index));
        }
        self.n += 1;
    }

    fn string(&mut self, string: &str) -> u32 {
        let bytes = string.as_bytes();
        let hash = self.hasher.hash_one(bytes);
        let (text, strings) = (&self.text, &self.strings);
        let get = |i: &u32| {
            let (start, end) = strings[*i as usize];
            &text[start as usize..end as usize]
        };
        if let Some(&index) = self.index.find(hash, |i| get(i) == bytes) {
            return index;
        }
        let index = self.strings.len() as u32;
        self.index
            .insert_unique(hash, index, |i| self.hasher.hash_one(get(i)));
        let start = self.text.len() as u32;
        self.text.extend_from_slice(bytes);
        self.strings.push((start, self.text.len() as u32));
        index
    }

    /// Appends the body to `out` and starts over.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        varint::write_u64(out, self.strings.len() as u64);
        for &(start, end) in &self.strings {
            varint::write_u64(out, u64::from(end - start));
            out.extend_from_slice(&self.text[start as usize..end as usize]);
        }
        out.extend_from_slice(&self.series);
        self.clear();
    }

    /// Drops what was collected.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.strings.clear();
        self.index.clear();
        self.series.clear();
        self.n = 0;
    }
}

/// Decodes a body of `n` series and hands each one to `apply`.
pub(super) fn decode(
    mut body: &[u8],
    n: usize,
    mut apply: impl FnMut(u32, &[(&str, &str)]),
) -> Result<(), CodecError> {
    let n_strings = varint::read_u64(&mut body)?;
    // Every string takes a byte at least, which bounds what is allocated.
    if n_strings > body.len() as u64 {
        return Err(CodecError::TooMany {
            found: n_strings,
            limit: body.len() as u64,
        });
    }
    let mut strings = Vec::with_capacity(n_strings as usize);
    for _ in 0..n_strings {
        let len = usize::try_from(varint::read_u64(&mut body)?).unwrap_or(usize::MAX);
        let bytes = body
            .split_off(..len)
            .ok_or(CodecError::Truncated("strings"))?;
        strings.push(str::from_utf8(bytes).map_err(|_| CodecError::Invalid("UTF-8"))?);
    }
    let string = |body: &mut &[u8]| -> Result<&str, CodecError> {
        let index = usize::try_from(varint::read_u64(body)?).unwrap_or(usize::MAX);
        strings
            .get(index)
            .copied()
            .ok_or(CodecError::Invalid("string index"))
    };
    let mut labels = Vec::new();
    for _ in 0..n {
        let id = varint::read_u64(&mut body)?;
        let id = u32::try_from(id).ok().filter(|&id| id < MAX_SERIES);
        let id = id.ok_or(CodecError::Invalid("series number"))?;
        labels.clear();
        for _ in 0..varint::read_u64(&mut body)? {
            let name = string(&mut body)?;
            labels.push((name, string(&mut body)?));
        }
        apply(id, &labels);
    }
    if body.is_empty() {
        Ok(())
    } else {
        Err(CodecError::Invalid("end of the series"))
    }
}
