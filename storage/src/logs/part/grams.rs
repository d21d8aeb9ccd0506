//! Which parts of words the texts of a page have: a filter of sampled grams.
//!
//! A gram is six bytes in a row, in small letters. Of each window of grams that follow each
//! other the one with the least hash is a sample: a text and any longer one that contains
//! it have the samples of the former in common. So a text that has a window of grams, at
//! least, is not in a page without its samples. Of a wide window there are few samples and
//! the filter is small, but it says nothing of short texts; of those that are allowed a page
//! takes the narrowest one whose filter is small beside the page.
//!
//! ```text
//! filter = window u8, 0: there is none | [log2 of blocks u8 | 64 bytes each]
//! ```
//!
//! A hash sets four bits of one block of 512 bits. A table is made large and folded, half
//! on half, until about half of its bits are set.

use smallvec::SmallVec;

use super::error::Decoded;
use super::wire::{take_byte, take_slice};
use crate::codec::CodecError;

/// Bytes of a gram.
const GRAM: usize = 6;

/// Grams of a window.
pub(super) const WINDOWS: [usize; 4] = [1, 3, 6, 12];

/// Most blocks of a table, as a power of two: 256 KiB.
const MAX_LOG: u8 = 12;

const BLOCK_BYTES: usize = 64;

/// Bits of a block that a hash sets.
const PROBES: u32 = 4;

/// A table may take one in so many bytes of what it is of, or [`FREE_BYTES`].
const SHARE: usize = 5;
const FREE_BYTES: usize = 256;

/// Returns the shortest text that a window says something of.
pub(super) fn least_len(window: usize) -> usize {
    GRAM + window - 1
}

/// Calls `each` with the hashes of the samples of a text, some of them several times.
#[inline]
fn each_sample(text: &[u8], window: usize, mut each: impl FnMut(u64)) {
    if text.len() < least_len(window) {
        return;
    }
    let mut gram = 0u64;
    for &byte in &text[..GRAM - 1] {
        gram = gram << 8 | u64::from(byte.to_ascii_lowercase());
    }
    // The last hashes, as a ring; the least of them and how long it stays in it.
    let mut ring = [u64::MAX; 16];
    let (mut least, mut at_least) = (u64::MAX, 0);
    for (i, &byte) in text[GRAM - 1..].iter().enumerate() {
        gram = (gram << 8 | u64::from(byte.to_ascii_lowercase())) & 0xffff_ffff_ffff;
        let hash = hash(gram);
        ring[i % 16] = hash;
        let is_new = if hash <= least || window == 1 {
            (least, at_least) = (hash, i);
            true
        } else if i - at_least >= window {
            // What was the least has left the window.
            let start = i + 1 - window;
            (least, at_least) = (hash, i);
            for older in (start..i).rev() {
                if ring[older % 16] < least {
                    (least, at_least) = (ring[older % 16], older);
                }
            }
            true
        } else {
            i + 1 == window
        };
        if is_new && i + 1 >= window {
            each(least);
        }
    }
}

fn hash(gram: u64) -> u64 {
    let mixed = (gram ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 32)
}

/// Returns the hashes of the samples of a text.
pub(super) fn samples(text: &[u8], window: usize) -> SmallVec<[u64; 4]> {
    let mut samples = SmallVec::new();
    each_sample(text, window, |hash| samples.push(hash));
    samples.sort_unstable();
    samples.dedup();
    samples
}

/// Returns the block of a table that a hash is in, and the bits of it.
fn place(hash: u64, log: u8) -> (usize, [u64; 8]) {
    // A half of the table that is folded is that of the highest bit.
    let block = (hash >> 40) as usize & ((1 << log) - 1);
    let mut bits = [0; 8];
    for probe in 0..PROBES {
        let bit = (hash >> (probe * 9)) as usize & 511;
        bits[bit / 64] |= 1 << (bit % 64);
    }
    (block, bits)
}

/// Makes filters; its memory is reused.
#[derive(Debug, Default)]
pub(super) struct GramTable {
    blocks: Vec<[u64; 8]>,
}

impl GramTable {
    /// Appends that there is no filter.
    pub(super) fn none(out: &mut Vec<u8>) {
        out.push(0);
    }

    /// Appends the filter of texts that take `stored` bytes, with one of the windows that
    /// are allowed, in order; returns the window, where there is one.
    pub(super) fn encode<'t>(
        &mut self,
        texts: impl Iterator<Item = &'t [u8]> + Clone,
        stored: usize,
        windows: &[usize],
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let most = (stored / SHARE).max(FREE_BYTES);
        let len: usize = texts.clone().map(<[u8]>::len).sum();
        for &window in windows {
            // As many samples as there may be, a byte for each.
            let expected = 2 * len / (window + 1);
            let log = (expected / BLOCK_BYTES).checked_ilog2().unwrap_or(0) as u8 + 1;
            let log = log.min(MAX_LOG);
            self.blocks.clear();
            self.blocks.resize(1 << log, [0; 8]);
            for text in texts.clone() {
                each_sample(text, window, |hash| {
                    let (block, bits) = place(hash, log);
                    for (word, bits) in self.blocks[block].iter_mut().zip(bits) {
                        *word |= bits;
                    }
                });
            }
            let log = self.fold(log);
            if self.blocks.len() * BLOCK_BYTES <= most && self.is_telling() {
                out.extend([window as u8, log]);
                for word in self.blocks.iter().flatten() {
                    out.extend(word.to_le_bytes());
                }
                return Some(window);
            }
        }
        GramTable::none(out);
        None
    }

    /// Makes the table as small as it may be.
    fn fold(&mut self, mut log: u8) -> u8 {
        while log > 0 {
            let half = self.blocks.len() / 2;
            let (low, high) = self.blocks.split_at(half);
            let both = low.iter().flatten().zip(high.iter().flatten());
            let set: u32 = both.map(|(a, b)| (a | b).count_ones()).sum();
            if set as usize > half * 256 {
                break;
            }
            for block in 0..half {
                let high = self.blocks[half + block];
                for (word, bits) in self.blocks[block].iter_mut().zip(high) {
                    *word |= bits;
                }
            }
            self.blocks.truncate(half);
            log -= 1;
        }
        log
    }

    /// Tells whether not too many bits are set for the table to say something, and some.
    fn is_telling(&self) -> bool {
        let set: u32 = self.blocks.iter().flatten().map(|w| w.count_ones()).sum();
        set > 0 && set as usize <= self.blocks.len() * 340
    }
}

/// A filter that is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grams<'a> {
    window: usize,
    log: u8,
    blocks: &'a [u8],
}

impl<'a> Grams<'a> {
    /// Takes a filter off the front.
    pub(super) fn decode(bytes: &mut &'a [u8]) -> Decoded<Option<Grams<'a>>> {
        let window = usize::from(take_byte(bytes)?);
        if window == 0 {
            return Ok(None);
        }
        let log = take_byte(bytes)?;
        if log > MAX_LOG || !WINDOWS.contains(&window) {
            return Err(CodecError::Invalid("filter of grams"));
        }
        let blocks = take_slice(bytes, BLOCK_BYTES << log)?;
        Ok(Some(Grams {
            window,
            log,
            blocks,
        }))
    }

    /// Returns the window of the samples.
    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// Tells whether a text that has all these samples may be in the page.
    pub(super) fn has(&self, samples: &[u64]) -> bool {
        samples.iter().all(|&hash| {
            let (block, bits) = place(hash, self.log);
            let words = self.blocks.as_chunks::<8>().0;
            let words = words.get(block * 8..block * 8 + 8).unwrap_or_default();
            words
                .iter()
                .zip(bits)
                .all(|(word, bits)| u64::from_le_bytes(*word) & bits == bits)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter_of(texts: &[&[u8]], stored: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        GramTable::default().encode(texts.iter().copied(), stored, &WINDOWS[1..], &mut bytes);
        bytes
    }

    #[test]
    fn a_text_shares_the_samples_of_its_parts() {
        let text = b"The quick brown fox jumps over the lazy dog 0123456789abcdef";
        for window in WINDOWS {
            let all = samples(text, window);
            for start in 0..text.len() {
                for end in start..=text.len() {
                    let part = samples(&text[start..end], window);
                    assert_eq!(part.is_empty(), end - start < least_len(window));
                    assert!(part.iter().all(|hash| all.contains(hash)));
                }
            }
        }
    }

    #[test]
    fn few_absent_texts_are_taken_for_present() {
        let word = |i: u64| format!("{:016x}", hash(i));
        let texts: Vec<String> = (0..4000).map(word).collect();
        let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let bytes = filter_of(&texts, 1 << 20);
        let filter = Grams::decode(&mut &bytes[..]).unwrap().unwrap();
        let window = filter.window();
        assert!(texts.iter().all(|text| filter.has(&samples(text, window))));
        let absent = (4000..14_000).map(word);
        let wrong = absent.filter(|text| filter.has(&samples(text.as_bytes(), window)));
        assert!(wrong.count() < 300);
    }

    #[test]
    fn a_filter_is_small_beside_its_page() {
        let texts: Vec<String> = (0..4000).map(|i| format!("{:016x}", hash(i))).collect();
        let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        for stored in [1 << 10, 1 << 15, 1 << 16, 1 << 17, 1 << 20] {
            let bytes = filter_of(&texts, stored);
            assert!(bytes.len() <= stored / SHARE + FREE_BYTES + 2);
        }
        assert_eq!(filter_of(&texts, 1 << 10), [0]);
        assert_ne!(filter_of(&texts, 1 << 17), [0]);
    }

    #[test]
    fn bytes_of_no_filter_are_refused() {
        for bytes in [&[][..], &[1], &[2, 0], &[3, 13], &[3, 0, 1]] {
            assert!(Grams::decode(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_there_is_never_denied(
            texts in prop::collection::vec(prop_oneof!["[a-cA-C ]{0,60}", "[0-9é\\\\n\"]{0,30}"], 1..9),
            stored in 0usize..5000,
            part: (prop::sample::Index, prop::sample::Index, prop::sample::Index),
        ) {
            let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
            let bytes = filter_of(&texts, stored);
            let text = part.0.get(&texts);
            let [a, b] = [part.1, part.2].map(|i| i.index(text.len() + 1));
            if let Some(filter) = Grams::decode(&mut &bytes[..]).unwrap() {
                let part = text[a.min(b)..a.max(b)].to_ascii_uppercase();
                prop_assert!(filter.has(&samples(&part, filter.window())));
            }
        }
    }
}
