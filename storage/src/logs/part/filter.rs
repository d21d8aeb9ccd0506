//! Which long words the values of a page have: a Bloom filter that has no false negatives.
//!
//! A word is a run of letters, digits, `_` and bytes above ASCII. Short ones are too
//! frequent to tell anything and are not in a filter. The longest word of the page is known
//! too: a text of that length without other bytes is a whole word of the page or not there.
//!
//! ```text
//! filter = length of the longest word | n words of bits | bits u64 each
//! ```

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64;

use super::error::Decoded;
use super::wire::{put, take_byte, take_count, take_slice};

/// Bytes of the shortest word that is in a filter.
pub(super) const MIN_WORD: usize = 8;

/// Bits for each word, and how many of them it sets: one in a hundred other words is taken
/// for one of the page.
const BITS_PER_WORD: usize = 10;
const PROBES: u64 = 6;

/// Tells whether a byte is part of a word.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Returns the words of a text.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| !is_word(byte))
        .filter(|word| !word.is_empty())
}

/// Appends the filter of the values of a page.
pub(super) fn encode(values: &[&[u8]], out: &mut Vec<u8>) {
    let (mut longest, mut hashes) = (
        0,
        HashSet::with_hasher(foldhash::fast::FixedState::default()),
    );
    for word in values.iter().flat_map(|value| words(value)) {
        longest = longest.max(word.len());
        if word.len() >= MIN_WORD {
            hashes.insert(xxh3_64(word));
        }
    }
    put(out, longest);
    let mut bits = vec![0u64; (hashes.len() * BITS_PER_WORD).div_ceil(64)];
    for hash in hashes {
        for bit in probes(hash, bits.len()) {
            bits[bit / 64] |= 1 << (bit % 64);
        }
    }
    put(out, bits.len());
    for word in bits {
        out.extend(word.to_le_bytes());
    }
}

fn probes(hash: u64, n_words: usize) -> impl Iterator<Item = usize> {
    let n_bits = n_words as u64 * 64;
    let step = hash.rotate_left(32) | 1;
    (0..PROBES).map(move |i| {
        let mixed = hash.wrapping_add(i.wrapping_mul(step));
        ((u128::from(mixed) * u128::from(n_bits)) >> 64) as usize
    })
}

/// Finds the filters of the pages of all columns; none of a column without filters.
pub(super) fn decode_all<'a>(
    bytes: &mut &'a [u8],
    n_columns: usize,
    n_pages: usize,
) -> Decoded<Vec<Vec<Filter<'a>>>> {
    let mut filters = Vec::with_capacity(n_columns);
    for _ in 0..n_columns {
        let n = if take_byte(bytes)? == 1 { n_pages } else { 0 };
        let of_pages = (0..n).map(|_| Filter::decode(bytes));
        filters.push(of_pages.collect::<Decoded<Vec<_>>>()?);
    }
    Ok(filters)
}

/// The filter of one page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter<'a> {
    longest: usize,
    bits: &'a [u8],
}

impl<'a> Filter<'a> {
    /// Takes a filter off the front.
    pub(super) fn decode(bytes: &mut &'a [u8]) -> Decoded<Filter<'a>> {
        let longest = super::wire::take(bytes, u32::MAX as usize)?;
        let n_words = take_count(bytes)?;
        let bits = take_slice(bytes, n_words.saturating_mul(8))?;
        Ok(Filter { longest, bits })
    }

    /// Tells whether a whole word may be in the page.
    fn has(&self, word: &[u8]) -> bool {
        let n_words = self.bits.len() / 8;
        n_words > 0
            && probes(xxh3_64(word), n_words).all(|bit| {
                let byte = self.bits.get(bit / 8).copied().unwrap_or(0xff);
                byte >> (bit % 8) & 1 == 1
            })
    }

    /// Tells whether a value of the page may contain a text.
    pub(super) fn may_contain(&self, needle: &[u8]) -> bool {
        words(needle).all(|word| {
            if word.len() > self.longest {
                return false;
            }
            let start = word.as_ptr().addr() - needle.as_ptr().addr();
            let is_inner = start > 0 && start + word.len() < needle.len();
            let is_whole = is_inner || word.len() == self.longest;
            !is_whole || word.len() < MIN_WORD || self.has(word)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter_of(values: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        bytes
    }

    #[test]
    fn whole_words_are_told_from_parts_of_words() {
        let bytes = filter_of(&[b"alpha-needle_in_hay omega", b"0123456789abcdef"]);
        let filter = Filter::decode(&mut &bytes[..]).unwrap();
        for there in [
            "needle_in_hay",
            "-needle_in_hay ",
            "eedle_in_ha",
            "0123456789abcdef",
            "omega",
            "",
        ] {
            assert!(filter.may_contain(there.as_bytes()), "{there}");
        }
        for absent in ["-another_word ", "0123456789abcdee", "0123456789abcdef0"] {
            assert!(!filter.may_contain(absent.as_bytes()), "{absent}");
        }
    }

    #[test]
    fn few_absent_words_are_taken_for_present() {
        let word = |i: usize| format!("{:016x}", xxh3_64(&i.to_le_bytes()));
        let values: Vec<String> = (0..4000).map(word).collect();
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let bytes = filter_of(&values);
        let filter = Filter::decode(&mut &bytes[..]).unwrap();
        assert!(values.iter().all(|value| filter.may_contain(value)));
        let wrong = (4000..14_000)
            .filter(|&i| filter.may_contain(word(i).as_bytes()))
            .count();
        assert!(wrong < 200, "{wrong} of 10000");
    }

    proptest! {
        #[test]
        fn what_is_there_is_never_denied(values in prop::collection::vec("[a-c_ .]{0,30}", 1..6), part: (prop::sample::Index, prop::sample::Index, prop::sample::Index)) {
            let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            let bytes = filter_of(&values);
            let filter = Filter::decode(&mut &bytes[..]).unwrap();
            let value = part.0.get(&values);
            let [a, b] = [part.1, part.2].map(|i| i.index(value.len() + 1));
            prop_assert!(filter.may_contain(&value[a.min(b)..a.max(b)]));
        }
    }
}
