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
    /// String indexes of the labels of the last series.
    last: Vec<(u32, u32)>,
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
        let mut n_labels = 0;
        for (at, (name, value)) in labels.enumerate() {
            n_labels = at + 1;
            // Series that come after each other have most labels in common, and a
            // comparison is cheaper than a look into the table.
            let (last_name, last_value) = match self.last.get(at) {
                Some(&(name, value)) => (Some(name), Some(value)),
                None => (None, None),
            };
            let pair = (self.string(name, last_name), self.string(value, last_value));
            match self.last.get_mut(at) {
                Some(last) => *last = pair,
                None => self.last.push(pair),
            }
        }
        self.last.truncate(n_labels);
        varint::write_u64(&mut self.series, n_labels as u64);
        for &(name, value) in &self.last {
            varint::write_u64(&mut self.series, u64::from(name));
            varint::write_u64(&mut self.series, u64::from(value));
        }
        self.n += 1;
    }

    /// Returns the index of a string, which may be `guess`.
    #[inline]
    fn string(&mut self, string: &str, guess: Option<u32>) -> u32 {
        let bytes = string.as_bytes();
        let (text, strings) = (&self.text, &self.strings);
        let get = |i: &u32| {
            let (start, end) = strings[*i as usize];
            &text[start as usize..end as usize]
        };
        if let Some(guess) = guess.filter(|guess| get(guess) == bytes) {
            return guess;
        }
        let hash = self.hasher.hash_one(bytes);
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
        self.last.clear();
        self.n = 0;
    }
}

/// The series that one frame defines, in order. Labels are pairs of indexes into the
/// strings of the frame, so that whoever looks strings up does it once a frame.
#[derive(Debug, Default)]
pub struct Definitions<'a> {
    strings: Vec<&'a str>,
    /// Number of each series, and where its labels end.
    series: Vec<(u32, usize)>,
    labels: Vec<(u32, u32)>,
}

impl<'a> Definitions<'a> {
    /// Returns the strings that labels are indexes of, each once.
    pub fn strings(&self) -> &[&'a str] {
        &self.strings
    }

    /// Returns number and labels of each series; labels are indexes of name and value,
    /// all of them below the number of strings.
    pub fn series(&self) -> impl Iterator<Item = (u32, &[(u32, u32)])> {
        let mut start = 0;
        self.series.iter().map(move |&(id, end)| {
            let labels = &self.labels[start..end];
            start = end;
            (id, labels)
        })
    }

    /// Returns number and labels of each series, labels as text.
    #[cfg(any(test, feature = "internals"))]
    pub fn texts(&self) -> impl Iterator<Item = (u32, Vec<(&'a str, &'a str)>)> {
        let string = |index: u32| self.strings[index as usize];
        self.series().map(move |(id, labels)| {
            let texts = labels.iter().map(|&(n, v)| (string(n), string(v)));
            (id, texts.collect())
        })
    }
}

/// Decodes a body of `n` series.
pub(super) fn decode(mut body: &[u8], n: usize) -> Result<Definitions<'_>, CodecError> {
    let n_strings = varint::read_u64(&mut body)?;
    // Every string takes a byte at least, which bounds what is allocated.
    let limit = (body.len() as u64).min(u64::from(u32::MAX));
    if n_strings > limit {
        return Err(CodecError::TooMany {
            found: n_strings,
            limit,
        });
    }
    let mut found = Definitions {
        strings: Vec::with_capacity(n_strings as usize),
        ..Definitions::default()
    };
    for _ in 0..n_strings {
        let len = usize::try_from(varint::read_u64(&mut body)?).unwrap_or(usize::MAX);
        let bytes = body
            .split_off(..len)
            .ok_or(CodecError::Truncated("strings"))?;
        let string = str::from_utf8(bytes).map_err(|_| CodecError::Invalid("UTF-8"))?;
        found.strings.push(string);
    }
    let index = |body: &mut &[u8]| match varint::read_u64(body)? {
        index if index < n_strings => Ok(index as u32),
        _ => Err(CodecError::Invalid("string index")),
    };
    for _ in 0..n {
        let id = varint::read_u64(&mut body)?;
        let id = u32::try_from(id).ok().filter(|&id| id < MAX_SERIES);
        let id = id.ok_or(CodecError::Invalid("series number"))?;
        for _ in 0..varint::read_u64(&mut body)? {
            let name = index(&mut body)?;
            found.labels.push((name, index(&mut body)?));
        }
        found.series.push((id, found.labels.len()));
    }
    if body.is_empty() {
        Ok(found)
    } else {
        Err(CodecError::Invalid("end of the series"))
    }
}
