//! Values that differ only in their digits: addresses, numbered names, paths with a number.

use super::error::Decoded;
use super::number;
use super::texts::Texts;
use super::wire::{put, put_bytes, take, take_byte, take_bytes};
use crate::codec::{CodecError, packed, varint};

/// Most runs of digits of a value.
const MAX_RUNS: usize = 12;

/// Most digits of a run.
const MAX_DIGITS: usize = 18;

/// Values with the same text between their runs of digits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pattern {
    /// Texts around the runs, one more than these.
    texts: Texts,
    runs: Vec<Run>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Run {
    /// Digits of all, 0 where numbers are without zeros in front.
    width: u8,
    numbers: Vec<u64>,
}

/// Calls `run` for each run of digits and `text` for each text around them, also empty ones.
pub(super) fn pieces<'a>(
    value: &'a [u8],
    mut text: impl FnMut(&'a [u8]),
    mut run: impl FnMut(&'a [u8]),
) {
    let mut rest = value;
    loop {
        let len = rest.iter().position(u8::is_ascii_digit);
        let (before, digits) = rest.split_at(len.unwrap_or(rest.len()));
        text(before);
        if digits.is_empty() {
            return;
        }
        let len = digits.iter().position(|byte| !byte.is_ascii_digit());
        let (digits, after) = digits.split_at(len.unwrap_or(digits.len()));
        run(digits);
        rest = after;
    }
}

/// Returns the texts around the runs of digits of the values of a page.
pub(super) fn around(mut bytes: &[u8]) -> Texts {
    let mut around = Texts::default();
    for _ in 0..=take(&mut bytes, MAX_RUNS).unwrap_or(0) {
        around.push(take_bytes(&mut bytes).unwrap_or_default());
    }
    around
}

/// Tells whether values of a page may have a text in them, in whatever case. The longest
/// piece between its digits decides, which is around the runs of all values or of none.
pub(super) fn may_write(mut bytes: &[u8], text: &[u8]) -> bool {
    let pieces = text.split(u8::is_ascii_digit);
    let Some(piece) = pieces
        .max_by_key(|piece| piece.len())
        .filter(|p| !p.is_empty())
    else {
        return true;
    };
    let Ok(n_runs) = take(&mut bytes, MAX_RUNS) else {
        return true;
    };
    (0..=n_runs).any(|_| match take_bytes(&mut bytes) {
        Ok(around) => around
            .windows(piece.len())
            .any(|part| part.eq_ignore_ascii_case(piece)),
        // Whoever reads the values says what is damaged.
        Err(_) => true,
    })
}

impl Pattern {
    /// Takes the values apart; `None` where they are not of one pattern.
    pub(super) fn of(values: &[&[u8]]) -> Option<Pattern> {
        let mut pattern = Pattern::default();
        let mut widths = Vec::new();
        pieces(
            values.first()?,
            |text| pattern.texts.push(text),
            |digits| widths.push(Some(digits.len())),
        );
        if widths.is_empty() || widths.len() > MAX_RUNS {
            return None;
        }
        pattern.runs.resize(widths.len(), Run::default());
        let mut has_zeros = vec![false; widths.len()];
        for value in values {
            let (mut n_texts, mut n_runs, mut right) = (0, 0, true);
            let texts = &pattern.texts;
            let runs = &mut pattern.runs;
            pieces(
                value,
                |text| {
                    right &= texts.get(n_texts) == text && n_texts < texts.len();
                    n_texts += 1;
                },
                |digits| {
                    if let Some(run) = runs.get_mut(n_runs)
                        && digits.len() <= MAX_DIGITS
                    {
                        has_zeros[n_runs] |= digits.len() > 1 && digits[0] == b'0';
                        if widths[n_runs] != Some(digits.len()) {
                            widths[n_runs] = None;
                        }
                        let number = |n, &byte: &u8| n * 10 + u64::from(byte - b'0');
                        run.numbers.push(digits.iter().fold(0, number));
                    }
                    n_runs += 1;
                },
            );
            let whole = runs
                .iter()
                .all(|run| run.numbers.len() == runs[0].numbers.len());
            if !right || n_texts != texts.len() || n_runs != runs.len() || !whole {
                return None;
            }
        }
        for ((run, width), has_zeros) in pattern.runs.iter_mut().zip(widths).zip(has_zeros) {
            if run.numbers.len() != values.len() {
                return None;
            }
            match width {
                Some(width) if has_zeros => run.width = width as u8,
                _ if has_zeros => return None,
                _ => {}
            }
        }
        Some(pattern)
    }

    /// Returns the most digits that a run of a value has.
    pub(super) fn most_digits(&self) -> usize {
        let most = |run: &Run| {
            let largest = run.numbers.iter().copied().max().unwrap_or(0);
            let n_digits = largest.checked_ilog10().unwrap_or(0) as usize + 1;
            n_digits.max(usize::from(run.width))
        };
        self.runs.iter().map(most).max().unwrap_or(0)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.runs.len());
        for text in self.texts.iter() {
            put_bytes(out, text);
        }
        for run in &self.runs {
            out.push(run.width);
            let base = run.numbers.iter().copied().min().unwrap_or(0);
            varint::write_u64(out, base);
            let above: Vec<u64> = run.numbers.iter().map(|number| number - base).collect();
            packed::pack(&above, out);
        }
    }

    /// Reads `n` values.
    pub(super) fn decode(bytes: &mut &[u8], n: usize) -> Decoded<Pattern> {
        let mut pattern = Pattern::default();
        let n_runs = take(bytes, MAX_RUNS)?;
        for _ in 0..=n_runs {
            pattern.texts.push(take_bytes(bytes)?);
        }
        for _ in 0..n_runs {
            let width = take_byte(bytes)?;
            if usize::from(width) > MAX_DIGITS {
                return Err(CodecError::Invalid("digits of a pattern"));
            }
            let base = varint::read_u64(bytes)?;
            let mut numbers = Vec::new();
            packed::unpack(bytes, n, &mut numbers)?;
            for number in &mut numbers {
                *number = number.wrapping_add(base);
            }
            pattern.runs.push(Run { width, numbers });
        }
        Ok(pattern)
    }

    /// Returns how many digits a run has, 0 where that differs, and its numbers.
    pub(super) fn run(&self, run: usize) -> (u8, &[u64]) {
        let run = self.runs.get(run);
        run.map_or((0, &[]), |run| (run.width, &run.numbers))
    }

    /// Appends a value.
    pub(super) fn write(&self, index: usize, out: &mut Vec<u8>) {
        let mut buffer = itoa::Buffer::new();
        out.extend_from_slice(self.texts.get(0));
        for (i, run) in self.runs.iter().enumerate() {
            let digits = buffer
                .format(run.numbers.get(index).copied().unwrap_or(0))
                .as_bytes();
            let zeros = usize::from(run.width).saturating_sub(digits.len());
            out.resize(out.len() + zeros, b'0');
            out.extend_from_slice(digits);
            out.extend_from_slice(self.texts.get(i + 1));
        }
    }

    /// Calls `each` with the values, as numbers, and how many bytes [`Pattern::write`]
    /// appends for them.
    pub(super) fn each_len(&self, mut each: impl FnMut(usize, usize)) {
        let n = self.runs.first().map_or(0, |run| run.numbers.len());
        for index in 0..n {
            let of_run = |run: &Run| {
                let number = run.numbers.get(index).copied().unwrap_or(0);
                number::digits(number).max(usize::from(run.width))
            };
            let digits: usize = self.runs.iter().map(of_run).sum();
            each(index, self.texts.bytes().len() + digits);
        }
    }

    /// Returns the texts around the digits.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(texts: &[&str]) -> bool {
        let values: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let Some(pattern) = Pattern::of(&values) else {
            return false;
        };
        let mut bytes = Vec::new();
        pattern.encode(&mut bytes);
        let mut rest = &bytes[..];
        let pattern = Pattern::decode(&mut rest, values.len()).unwrap();
        assert!(rest.is_empty());
        for (i, value) in values.iter().enumerate() {
            let mut out = Vec::new();
            pattern.write(i, &mut out);
            assert_eq!(&out, value);
        }
        true
    }

    #[test]
    fn finds_what_differs_in_digits_alone() {
        assert!(round_trip(&["10.0.0.1", "192.168.14.250"]));
        assert!(round_trip(&["dev-00012", "dev-10000"]));
        assert!(round_trip(&["/a/7/b", "/a/81/b"]));
        assert!(!round_trip(&["a1", "b1"]));
        assert!(!round_trip(&["a1", "a1b2"]));
        assert!(!round_trip(&["a1b2", "a1"]));
        assert!(!round_trip(&["a01", "a1"]));
        assert!(!round_trip(&["a", "a"]));
        assert!(!round_trip(&["1234567890123456789"]));
    }

    #[test]
    fn a_text_that_is_not_around_the_digits_is_told_without_values() {
        let mut bytes = Vec::new();
        let pattern = Pattern::of(&[b"dev-00012.of", b"dev-10000.of"]).unwrap();
        pattern.encode(&mut bytes);
        for there in ["", "1", "ev-0", "DEV-1", "0.of", "-", "0.O"] {
            assert!(may_write(&bytes, there.as_bytes()), "{there}");
        }
        for absent in ["no-such-needle-4711", "dev:1", "0.off", "worker-1"] {
            assert!(!may_write(&bytes, absent.as_bytes()), "{absent}");
        }
        // What is damaged is said by whoever reads the values.
        for damaged in [&[][..], &[1], &[1, 9, b'a'], &[200]] {
            assert!(may_write(damaged, b"x"));
        }
    }

    proptest! {
        #[test]
        fn parts_of_values_may_be_there(
            texts in prop::collection::vec("ab[0-9]{1,3}x[0-9]{0,3}", 1..4),
            part: (prop::sample::Index, prop::sample::Index, prop::sample::Index),
        ) {
            let values: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
            let value = part.0.get(&values);
            let [a, b] = [part.1, part.2].map(|i| i.index(value.len() + 1));
            let part = &value[a.min(b)..a.max(b)];
            if let Some(pattern) = Pattern::of(&values) {
                let mut bytes = Vec::new();
                pattern.encode(&mut bytes);
                prop_assert!(may_write(&bytes, part));
                prop_assert!(may_write(&bytes, &part.to_ascii_uppercase()));
            }
        }

        #[test]
        fn what_is_taken_apart_comes_back(texts in prop::collection::vec("(a|b)?[0-9]{1,3}(x[0-9]{0,3})?", 1..4)) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            round_trip(&texts);
        }
    }
}
