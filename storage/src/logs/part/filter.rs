//! Which words, and which parts of words, the values of a page or of a column have: filters
//! that have no false negatives.
//!
//! A word is a run of letters, digits, `_` and bytes above ASCII. Short ones are too
//! frequent to tell anything and are not in a filter. The longest word is known too: a text
//! of that length without other bytes is a whole word or not there. Parts of words are told
//! by grams. All of it is of small letters, so that it serves searches in any case.
//!
//! A column of hexadecimal digits has one filter of words; parts of these are looked for in
//! its bytes, which is as fast. A dictionary has one filter of grams. Otherwise each page of
//! texts has a filter of its own: of grams, or of words where these would take too much.
//!
//! ```text
//! filters = for each column: mark u8, 0: none | 1: one filter | 2: one for each page
//! filter  = twice the length of the longest word, and one more where there are bytes above
//!           ASCII, n | grams | n blocks of words | 64 bytes of each
//! ```

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::error::Decoded;
use super::grams::{self, GramTable, Grams, WINDOWS};
use super::wire::{put, take, take_byte, take_count, take_slice};
use crate::codec::CodecError;

/// Bytes of the shortest word that is in a filter.
pub(super) const MIN_WORD: usize = 8;

/// Bits for each word, and how many of them it sets: one in fifty other words, about, is
/// taken for one that is there.
const BITS_PER_WORD: usize = 10;
const PROBES: u32 = 6;

/// Bits of a word are in one block, which is a line of a cache.
const BLOCK_BYTES: usize = 64;

const NONE: u8 = 0;
const OF_COLUMN: u8 = 1;
const OF_PAGES: u8 = 2;

/// Tells whether a byte is part of a word.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Returns the words of a text.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| !is_word(byte))
        .filter(|word| !word.is_empty())
}

/// Hashes a word in small letters.
fn hash(word: &[u8]) -> u64 {
    if !word.iter().any(u8::is_ascii_uppercase) {
        return xxh3_64(word);
    }
    let mut small: SmallVec<[u8; 64]> = SmallVec::from_slice(word);
    small.make_ascii_lowercase();
    xxh3_64(&small)
}

/// Returns the block of a word and the bits of it.
fn place(hash: u64, n_blocks: usize) -> (usize, [u64; 8]) {
    let block = ((u128::from(hash) * n_blocks as u128) >> 64) as usize;
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bits = [0; 8];
    for probe in 0..PROBES {
        let bit = (mixed >> (probe * 9)) as usize & 511;
        bits[bit / 64] |= 1 << (bit % 64);
    }
    (block, bits)
}

/// Tells whether grams of a window tell all words that are in filters.
fn tells_words(window: usize) -> bool {
    grams::least_len(window) <= MIN_WORD
}

/// Makes filters; its memory is reused.
#[derive(Debug, Default)]
pub(super) struct FilterMaker {
    hashes: Vec<u64>,
    is_ascii: bool,
    blocks: Vec<[u64; 8]>,
    grams: GramTable,
}

impl FilterMaker {
    /// Appends that a column has no filter.
    pub(super) fn none(out: &mut Vec<u8>) {
        out.push(NONE);
    }

    /// Appends the filter of a dictionary.
    pub(super) fn of_dictionary(&mut self, texts: &[&[u8]], stored: usize, out: &mut Vec<u8>) {
        out.push(OF_COLUMN);
        self.texts(texts, stored, &WINDOWS, out);
    }

    /// Appends the filter of a column without texts, of the values that have words.
    pub(super) fn of_column<'t>(
        &mut self,
        values: impl Iterator<Item = &'t [u8]>,
        out: &mut Vec<u8>,
    ) {
        out.push(OF_COLUMN);
        let longest = self.take_words(values);
        self.longest(longest, out);
        GramTable::none(out);
        self.words(out);
    }

    /// Begins the filters of pages: as many as there are follow.
    pub(super) fn of_pages(out: &mut Vec<u8>) {
        out.push(OF_PAGES);
    }

    /// Appends the filter of a page of texts that take `stored` bytes.
    pub(super) fn of_page(&mut self, texts: &[&[u8]], stored: usize, out: &mut Vec<u8>) {
        // All grams of a page are too many.
        self.texts(texts, stored, &WINDOWS[1..], out);
    }

    fn texts(&mut self, texts: &[&[u8]], stored: usize, windows: &[usize], out: &mut Vec<u8>) {
        let longest = self.take_words(texts.iter().copied());
        self.longest(longest, out);
        let window = self
            .grams
            .encode(texts.iter().copied(), stored, windows, out);
        if window.is_some_and(tells_words) {
            self.hashes.clear();
        }
        self.words(out);
    }

    /// Hashes the words of values; returns the length of the longest.
    fn take_words<'t>(&mut self, values: impl Iterator<Item = &'t [u8]>) -> usize {
        let mut longest = 0;
        self.hashes.clear();
        self.is_ascii = true;
        for word in values.flat_map(words) {
            longest = longest.max(word.len());
            self.is_ascii &= word.is_ascii();
            if word.len() >= MIN_WORD {
                self.hashes.push(hash(word));
            }
        }
        longest
    }

    fn longest(&self, longest: usize, out: &mut Vec<u8>) {
        put(out, longest << 1 | usize::from(!self.is_ascii));
    }

    /// Appends the filter of the hashes.
    fn words(&mut self, out: &mut Vec<u8>) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        let n_blocks = (self.hashes.len() * BITS_PER_WORD).div_ceil(8 * BLOCK_BYTES);
        self.blocks.clear();
        self.blocks.resize(n_blocks, [0; 8]);
        for &hash in &self.hashes {
            let (block, bits) = place(hash, n_blocks);
            for (word, bits) in self.blocks[block].iter_mut().zip(bits) {
                *word |= bits;
            }
        }
        put(out, n_blocks);
        for word in self.blocks.iter().flatten() {
            out.extend(word.to_le_bytes());
        }
    }
}

/// The filters of a group.
#[derive(Debug)]
pub(super) struct Filters<'a> {
    columns: Vec<OfColumn<'a>>,
}

#[derive(Debug)]
enum OfColumn<'a> {
    None,
    Whole(Filter<'a>),
    Pages(Vec<Filter<'a>>),
}

impl<'a> Filters<'a> {
    /// Knows nothing of any column.
    pub(super) fn unknown() -> Filters<'a> {
        Filters {
            columns: Vec::new(),
        }
    }

    /// Finds the filters of all columns.
    pub(super) fn decode(
        mut bytes: &'a [u8],
        n_columns: usize,
        n_pages: usize,
    ) -> Decoded<Filters<'a>> {
        let bytes = &mut bytes;
        let mut columns = Vec::with_capacity(n_columns);
        for _ in 0..n_columns {
            columns.push(match take_byte(bytes)? {
                NONE => OfColumn::None,
                OF_COLUMN => OfColumn::Whole(Filter::decode(bytes)?),
                OF_PAGES => {
                    let of_pages = (0..n_pages).map(|_| Filter::decode(bytes));
                    OfColumn::Pages(of_pages.collect::<Decoded<Vec<_>>>()?)
                }
                _ => return Err(CodecError::Invalid("mark of filters")),
            });
        }
        Ok(Filters { columns })
    }

    /// Returns the filter of all values of a column.
    pub(super) fn of_column(&self, column: u32) -> Option<Filter<'a>> {
        match self.columns.get(column as usize) {
            Some(OfColumn::Whole(filter)) => Some(*filter),
            _ => None,
        }
    }

    /// Returns the filter of the values of a column in a page.
    pub(super) fn of_page(&self, column: u32, page: usize) -> Option<Filter<'a>> {
        match self.columns.get(column as usize) {
            Some(OfColumn::Pages(filters)) => filters.get(page).copied(),
            _ => None,
        }
    }
}

/// A filter that is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter<'a> {
    longest: usize,
    is_ascii: bool,
    grams: Option<Grams<'a>>,
    words: &'a [[u8; 8]],
}

impl<'a> Filter<'a> {
    /// Takes a filter off the front.
    fn decode(bytes: &mut &'a [u8]) -> Decoded<Filter<'a>> {
        let longest = take(bytes, u32::MAX as usize)?;
        let (longest, is_ascii) = (longest >> 1, longest & 1 == 0);
        let grams = Grams::decode(bytes)?;
        let n_blocks = take_count(bytes)?;
        let words = take_slice(bytes, n_blocks.saturating_mul(BLOCK_BYTES))?;
        Ok(Filter {
            longest,
            is_ascii,
            grams,
            words: words.as_chunks().0,
        })
    }

    /// Tells whether a whole word may be there.
    fn has(&self, word: &[u8]) -> bool {
        let n_blocks = self.words.len() / 8;
        if n_blocks == 0 {
            return false;
        }
        let (block, bits) = place(hash(word), n_blocks);
        let words = self.words.get(block * 8..block * 8 + 8).unwrap_or_default();
        let mut pairs = words.iter().zip(bits);
        pairs.all(|(word, bits)| u64::from_le_bytes(*word) & bits == bits)
    }

    /// Tells whether a value may contain a text, in whatever case.
    pub(super) fn may_contain(&self, text: &[u8]) -> bool {
        let without_words = self.grams.is_some_and(|grams| tells_words(grams.window()));
        let mut words = words(text);
        let by_words = words.all(|word| {
            if word.len() > self.longest || self.is_ascii && !word.is_ascii() {
                return false;
            }
            let start = word.as_ptr().addr() - text.as_ptr().addr();
            let is_inner = start > 0 && start + word.len() < text.len();
            let is_whole = is_inner || word.len() == self.longest;
            !is_whole || word.len() < MIN_WORD || without_words || self.has(word)
        });
        by_words
            && self.grams.is_none_or(|grams| {
                text.len() < grams::least_len(grams.window())
                    || grams.has(&grams::samples(text, grams.window()))
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Makes filters of values: of a column, of a page, of a dictionary.
    fn filters_of(values: &[&[u8]], stored: usize) -> [Vec<u8>; 3] {
        let mut maker = FilterMaker::default();
        let mut bytes = [Vec::new(), Vec::new(), Vec::new()];
        maker.of_column(values.iter().copied(), &mut bytes[0]);
        FilterMaker::of_pages(&mut bytes[1]);
        maker.of_page(values, stored, &mut bytes[1]);
        maker.of_dictionary(values, stored, &mut bytes[2]);
        bytes
    }

    fn read(bytes: &[u8]) -> Filter<'_> {
        let filters = Filters::decode(bytes, 1, 1).unwrap();
        let filter = filters.of_column(0).or_else(|| filters.of_page(0, 0));
        filter.unwrap()
    }

    #[test]
    fn whole_words_are_told_from_parts_of_words() {
        let values: [&[u8]; 2] = [b"alpha-Needle_in_hay omega", b"0123456789abcdef"];
        for bytes in filters_of(&values, 0) {
            let filter = read(&bytes);
            for there in [
                "needle_in_hay",
                "-needle_in_hay ",
                "-NEEDLE_in_hay ",
                "eedle_in_ha",
                "0123456789abcdef",
                "omega",
                "",
            ] {
                assert!(filter.may_contain(there.as_bytes()), "{there}");
            }
            for absent in [
                "-another_word ",
                "ü",
                "fedcba9876543210",
                "0123456789abcdef0",
            ] {
                assert!(!filter.may_contain(absent.as_bytes()), "{absent}");
            }
        }
    }

    #[test]
    fn few_absent_words_are_taken_for_present() {
        let word = |i: usize| format!("{:016x}", xxh3_64(&i.to_le_bytes()));
        let values: Vec<String> = (0..4000).map(word).collect();
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        for bytes in filters_of(&values, 0) {
            let filter = read(&bytes);
            assert!(values.iter().all(|value| filter.may_contain(value)));
            let wrong = (4000..14_000)
                .filter(|&i| filter.may_contain(word(i).as_bytes()))
                .count();
            assert!(wrong < 300, "{wrong} of 10000");
        }
    }

    #[test]
    fn parts_of_words_are_told_where_that_is_cheap() {
        let values: Vec<String> = (0..4000)
            .map(|i| format!("worker number {i} of the pool of workers has begun"))
            .collect();
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let [_, page, _] = filters_of(&values, 100_000);
        assert!(page.len() < 20_300);
        let filter = read(&page);
        assert!(filter.may_contain(b"orker number 17"));
        assert!(!filter.may_contain(b"orker nimber 17"));
        assert!(!filter.may_contain(b"no such text"));
    }

    #[test]
    fn bytes_that_are_no_filters_are_refused() {
        for bytes in [
            &[][..],
            &[3],
            &[1],
            &[1, 5],
            &[1, 5, 0],
            &[1, 5, 0, 1, 0],
            &[2, 9, 7],
        ] {
            assert!(Filters::decode(bytes, 1, 1).is_err(), "{bytes:?}");
        }
        assert!(Filters::decode(&[0], 1, 1).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_there_is_never_denied(
            values in prop::collection::vec("[a-cA_ .]{0,30}", 1..6),
            stored in 0usize..4000,
            part: (prop::sample::Index, prop::sample::Index, prop::sample::Index),
        ) {
            let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            let value = part.0.get(&values);
            let [a, b] = [part.1, part.2].map(|i| i.index(value.len() + 1));
            let part = &value[a.min(b)..a.max(b)];
            for bytes in filters_of(&values, stored) {
                prop_assert!(read(&bytes).may_contain(part));
                prop_assert!(read(&bytes).may_contain(&part.to_ascii_uppercase()));
            }
        }
    }
}
