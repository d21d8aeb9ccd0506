//! Sets of steps.

use std::ops::Range;

use smallvec::SmallVec;

/// A set of steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Bits {
    words: SmallVec<[u64; 2]>,
}

impl Bits {
    pub(crate) fn new(len: usize) -> Bits {
        Bits {
            words: SmallVec::from_elem(0, len.div_ceil(64)),
        }
    }

    /// Returns the bytes of memory that the set takes, itself included.
    pub(super) fn memory_bytes(&self) -> usize {
        let words = match self.words.spilled() {
            true => self.words.capacity() * size_of::<u64>(),
            false => 0,
        };
        size_of::<Bits>() + words
    }

    pub(crate) fn set(&mut self, at: usize) {
        self.words[at / 64] |= 1 << (at % 64);
    }

    pub(crate) fn unset(&mut self, at: usize) {
        if let Some(word) = self.words.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }

    pub(crate) fn get(&self, at: usize) -> bool {
        self.words
            .get(at / 64)
            .is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    pub(crate) fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Sets all of `from..to`.
    pub(crate) fn set_range(&mut self, from: usize, to: usize) {
        let mut at = from;
        while at < to {
            let in_word = at % 64;
            let n = (64 - in_word).min(to - at);
            let mask = if n == 64 { !0 } else { (1u64 << n) - 1 };
            self.words[at / 64] |= mask << in_word;
            at += n;
        }
    }

    /// Returns those of `len` steps from `first` on, counted from there.
    pub(super) fn part(&self, first: usize, len: usize) -> Bits {
        let mut part = Bits::new(len);
        for at in 0..len {
            if self.get(first + at) {
                part.set(at);
            }
        }
        part
    }

    /// Tells whether all or none of a range are set; `None` where some are.
    pub(crate) fn all_or_none(&self, range: Range<usize>) -> Option<bool> {
        let all = self.get(range.start);
        let mut at = range.start;
        while at < range.end {
            let in_word = at % 64;
            let n = (64 - in_word).min(range.end - at);
            let mask = if n == 64 { !0 } else { (1u64 << n) - 1 };
            let bits = self
                .words
                .get(at / 64)
                .map_or(0, |word| word >> in_word & mask);
            if bits != if all { mask } else { 0 } {
                return None;
            }
            at += n;
        }
        Some(all)
    }

    /// Returns the first set step.
    pub(crate) fn first(&self) -> Option<usize> {
        let at = self.words.iter().position(|&word| word != 0)?;
        Some(at * 64 + self.words[at].trailing_zeros() as usize)
    }

    /// Returns the last set step.
    pub(crate) fn last(&self) -> Option<usize> {
        let at = self.words.iter().rposition(|&word| word != 0)?;
        Some(at * 64 + 63 - self.words[at].leading_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_know_their_ends() {
        let mut bits = Bits::new(200);
        assert_eq!((bits.first(), bits.last(), bits.count()), (None, None, 0));
        bits.set_range(61, 131);
        assert_eq!(
            (bits.first(), bits.last(), bits.count()),
            (Some(61), Some(130), 70)
        );
    }

    #[test]
    fn ranges_have_all_or_none_or_some() {
        let mut bits = Bits::new(300);
        bits.set_range(61, 200);
        let cases = [
            (61..200, Some(true)),
            (70..71, Some(true)),
            (0..61, Some(false)),
            (200..300, Some(false)),
            (60..62, None),
            (128..201, None),
        ];
        for (range, expected) in cases {
            assert_eq!(bits.all_or_none(range.clone()), expected, "{range:?}");
        }
        assert_eq!(
            (bits.part(199, 2).get(0), bits.part(199, 2).get(1)),
            (true, false)
        );
    }
}
