//! The labels of every series as a row of pair numbers.
//!
//! ```text
//! row = n_labels * 2 + wide, varint | n_labels x pair id, 3 bytes (4 if wide)
//! ```
//!
//! Pairs stand in order of label name, so equal label sets have equal rows. Rows lie
//! in pages and never move; the place of a removed row is given to the next row of
//! the same length.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::text::PairId;
use crate::codec::varint;

const PAGE_BYTES: usize = 1 << 20;
const NO_ROW: u32 = u32::MAX;

/// Rows by series id.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pages: Vec<Vec<u8>>,
    /// Place of the row of each id: page * `PAGE_BYTES` + offset, or `NO_ROW`.
    at: Vec<u32>,
    /// Places of removed rows by length in bytes.
    free: HashMap<usize, Vec<u32>>,
}

/// The pairs of one series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    bytes: &'a [u8],
}

impl<'a> Row<'a> {
    /// Reads a row that begins at the start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Row<'a> {
        let (_, len_bytes) = layout(bytes);
        Row {
            bytes: &bytes[..len_bytes],
        }
    }

    /// Reads a row from bytes that may be anything; all its pairs are below `n_pairs`.
    pub(crate) fn parse(bytes: &'a [u8], n_pairs: u32) -> Option<Row<'a>> {
        let mut rest = bytes;
        let header = usize::try_from(varint::read_u64(&mut rest).ok()?).ok()?;
        let header_len = bytes.len() - rest.len();
        let len = (header >> 1).checked_mul(3 + (header & 1))?;
        let row = Row {
            bytes: bytes.get(..header_len.checked_add(len)?)?,
        };
        let fits = row.bytes.len() <= PAGE_BYTES && row.pairs().all(|pair| pair < n_pairs);
        // `layout` reads the shortest form only.
        (fits && layout(row.bytes) == (header_len, row.bytes.len())).then_some(row)
    }

    /// Returns the row as stored.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Iterates over the pairs in order of label name.
    pub(crate) fn pairs(self) -> impl Iterator<Item = PairId> + Clone + use<'a> {
        let (header, _) = layout(self.bytes);
        let wide = self.bytes[0] & 1 == 1;
        self.bytes[header..]
            .chunks_exact(if wide { 4 } else { 3 })
            .map(|pair| {
                let low = u32::from(pair[0]) | u32::from(pair[1]) << 8 | u32::from(pair[2]) << 16;
                low | pair.get(3).map_or(0, |&high| u32::from(high) << 24)
            })
    }
}

/// Returns the length of the header and of the whole row.
fn layout(bytes: &[u8]) -> (usize, usize) {
    let (mut value, mut header) = (0usize, 0);
    loop {
        let byte = bytes[header];
        value |= usize::from(byte & 0x7f) << (7 * header);
        header += 1;
        if byte < 0x80 {
            break;
        }
    }
    let width = 3 + (value & 1);
    (header, header + (value >> 1) * width)
}

/// Writes the row of `pairs` to `into`, replacing its content.
pub(crate) fn encode(pairs: &[PairId], into: &mut Vec<u8>) {
    into.clear();
    let wide = pairs.iter().any(|&pair| pair >= 1 << 24);
    let mut header = pairs.len() * 2 + usize::from(wide);
    while header >= 0x80 {
        into.push(header as u8 | 0x80);
        header >>= 7;
    }
    into.push(header as u8);
    for pair in pairs {
        into.extend_from_slice(&pair.to_le_bytes()[..3 + usize::from(wide)]);
    }
}

/// Hashes a row as the table of the index does.
pub(super) fn hash(row: Option<Row<'_>>, hasher: &RandomState) -> u64 {
    hasher.hash_one(row.map_or(&[][..], Row::bytes))
}

impl Rows {
    /// Returns the row of a series, if the id is in use.
    pub(crate) fn get(&self, id: u32) -> Option<Row<'_>> {
        let at = *self.at.get(id as usize)?;
        if at == NO_ROW {
            return None;
        }
        let page = self.pages.get(at as usize / PAGE_BYTES)?;
        Some(Row::new(&page[at as usize % PAGE_BYTES..]))
    }

    /// Returns one more than the highest id that ever had a row.
    pub(crate) fn end_id(&self) -> u32 {
        self.at.len() as u32
    }

    /// Makes room for the places of rows to come.
    pub(crate) fn reserve(&mut self, n_rows: usize) {
        self.at.reserve_exact(n_rows);
    }

    /// Stores the row of a series whose id is not in use.
    ///
    /// Returns whether there was room: 4 GiB of rows are addressable, and one row is
    /// at most a page.
    pub(crate) fn set(&mut self, id: u32, row: &[u8]) -> bool {
        let reused = self.free.get_mut(&row.len()).and_then(Vec::pop);
        let at = match reused {
            Some(at) => {
                let offset = at as usize % PAGE_BYTES;
                self.pages[at as usize / PAGE_BYTES][offset..offset + row.len()]
                    .copy_from_slice(row);
                at
            }
            None => match self.push(row) {
                Some(at) => at,
                None => return false,
            },
        };
        if self.at.len() <= id as usize {
            self.at.resize(id as usize + 1, NO_ROW);
        }
        self.at[id as usize] = at;
        true
    }

    fn push(&mut self, row: &[u8]) -> Option<u32> {
        if row.len() > PAGE_BYTES {
            return None;
        }
        let fits = self
            .pages
            .last()
            .is_some_and(|page| page.len() + row.len() <= PAGE_BYTES);
        if !fits {
            // The last page stays unused so that no place equals `NO_ROW`.
            if (self.pages.len() + 2) * PAGE_BYTES > u32::MAX as usize {
                return None;
            }
            self.pages.push(Vec::with_capacity(PAGE_BYTES));
        }
        let page = self.pages.len() - 1;
        let at = page * PAGE_BYTES + self.pages[page].len();
        self.pages[page].extend_from_slice(row);
        Some(at as u32)
    }

    /// Forgets the row of a series.
    pub(crate) fn remove(&mut self, id: u32) {
        if let Some(len) = self.get(id).map(|row| row.bytes().len()) {
            let at = std::mem::replace(&mut self.at[id as usize], NO_ROW);
            self.free.entry(len).or_default().push(at);
        }
    }

    /// Returns the bytes of memory in use.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.pages.iter().map(Vec::len).sum::<usize>() + self.at.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_rows_of_known_pairs_are_parsed() {
        let mut bytes = Vec::new();
        for pairs in [
            vec![],
            vec![1, 2, 70_000],
            (0..200).collect(),
            vec![5, 1 << 24],
        ] {
            encode(&pairs, &mut bytes);
            let end = pairs.iter().max().map_or(0, |&pair| pair + 1);
            let row = Row::parse(&bytes, end).unwrap();
            assert!(row.pairs().eq(pairs.iter().copied()));
            assert!(end == 0 || Row::parse(&bytes, end - 1).is_none());
            for len in 0..bytes.len() {
                assert!(Row::parse(&bytes[..len], end).is_none());
            }
            bytes.push(0xff);
            assert_eq!(
                Row::parse(&bytes, end).unwrap().bytes(),
                &bytes[..bytes.len() - 1]
            );
        }
        assert!(Row::parse(&[0xff; 12], 9).is_none());
    }

    #[test]
    fn rows_come_back_and_places_are_used_again() {
        let mut rows = Rows::default();
        let sets: Vec<Vec<PairId>> = vec![
            vec![1, 2, 3],
            (0..200).collect(),
            vec![5, 1 << 24],
            vec![0xff_ffff],
        ];
        let mut bytes = Vec::new();
        for (id, pairs) in sets.iter().enumerate() {
            encode(pairs, &mut bytes);
            assert!(rows.set(id as u32, &bytes));
        }
        for (id, pairs) in sets.iter().enumerate() {
            let row = rows.get(id as u32).unwrap();
            assert_eq!(&row.pairs().collect::<Vec<_>>(), pairs);
        }
        let used = rows.memory_bytes();
        rows.remove(0);
        assert!(rows.get(0).is_none());
        encode(&[7, 8, 9], &mut bytes);
        assert!(rows.set(0, &bytes));
        assert_eq!(rows.get(0).unwrap().pairs().collect::<Vec<_>>(), [7, 8, 9]);
        assert_eq!(rows.memory_bytes(), used);
        assert!(rows.get(99).is_none());
    }
}
