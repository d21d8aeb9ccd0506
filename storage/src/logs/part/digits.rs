//! Finds texts in values that are kept as bytes and written as two digits each, without
//! writing them.

use memchr::memmem;
use smallvec::SmallVec;

use super::error::Decoded;
use super::needle::Needle;
use super::values::Encoding;
use super::wire::{take, take_bytes, take_slice};
use crate::codec::CodecError;

/// Places of the dashes of a UUID, and the digits between them.
const DASHES: [usize; 4] = [8, 13, 18, 23];
const BLOCKS: [usize; 4] = [8, 12, 16, 20];
const UUID_LEN: usize = 36;

/// Values of a page, all of one length.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digits<'a> {
    /// What is in front of the digits of all.
    prefix: &'a [u8],
    /// Bytes of a value.
    width: usize,
    is_uuid: bool,
    bytes: &'a [u8],
}

/// Digits, as numbers.
type Nibbles = SmallVec<[u8; 40]>;

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl<'a> Digits<'a> {
    /// Reads the `n` values of a page; `None` of one with another encoding.
    pub(super) fn of(
        encoding: Encoding,
        n: usize,
        mut bytes: &'a [u8],
    ) -> Decoded<Option<Digits<'a>>> {
        let rest = &mut bytes;
        let (prefix, width) = match encoding {
            Encoding::Hex => {
                let prefix = take_bytes(rest)?;
                (prefix, take(rest, rest.len())?)
            }
            Encoding::Uuid => (&[][..], 16),
            _ => return Ok(None),
        };
        let len = n.checked_mul(width);
        let len = len.ok_or(CodecError::Invalid("width of hexadecimal digits"))?;
        Ok(Some(Digits {
            prefix,
            width,
            is_uuid: encoding == Encoding::Uuid,
            bytes: take_slice(rest, len)?,
        }))
    }

    /// Returns the length of a value as it is written.
    pub(super) fn value_len(&self) -> usize {
        match self.is_uuid {
            true => UUID_LEN,
            false => self.prefix.len() + 2 * self.width,
        }
    }

    /// Calls `hit` with the values that contain a text, some of them several times. The text
    /// is as long as a part of the needle, which says whether the case matters.
    pub(super) fn each_with(&self, needle: &Needle, text: &[u8], hit: &mut dyn FnMut(usize)) {
        let Some(last_start) = self.value_len().checked_sub(text.len()) else {
            return;
        };
        // Where the text begins in front of the digits, or has a dash, its place is known.
        let known = match self.is_uuid {
            true if !text.contains(&b'-') => 0,
            true => last_start + 1,
            false => self.prefix.len().min(last_start + 1),
        };
        for start in 0..known {
            self.each_at(needle, start, text, hit);
        }
        let digits: Option<Nibbles> = text.iter().copied().map(nibble).collect();
        if let Some(digits) = digits
            && known <= last_start
        {
            self.each_with_digits(&digits, hit);
        }
    }

    /// Calls `hit` with the values that have a text at a place.
    pub(super) fn each_at(
        &self,
        needle: &Needle,
        start: usize,
        text: &[u8],
        hit: &mut dyn FnMut(usize),
    ) {
        let (mut digits, mut first) = (Nibbles::new(), 0);
        for (at, &byte) in (start..).zip(text) {
            let fixed = match self.is_uuid {
                true => DASHES.contains(&at).then_some(b'-'),
                false => self.prefix.get(at).copied(),
            };
            match fixed {
                Some(fixed) if needle.is_same(&[byte], &[fixed]) => {}
                Some(_) => return,
                None => {
                    let Some(digit) = nibble(byte) else { return };
                    if digits.is_empty() {
                        first = match self.is_uuid {
                            true => at - DASHES.iter().filter(|&&dash| dash < at).count(),
                            false => at - self.prefix.len(),
                        };
                    }
                    digits.push(digit);
                }
            }
        }
        if self.width == 0 || start + text.len() > self.value_len() {
            return;
        }
        let is_there = |value: &[u8]| {
            let mut places = (first..).zip(&digits);
            places.all(|(at, &digit)| {
                let byte = value.get(at / 2).copied().unwrap_or(0);
                digit == if at % 2 == 0 { byte >> 4 } else { byte & 15 }
            })
        };
        for (index, value) in self.bytes.chunks_exact(self.width).enumerate() {
            if is_there(value) {
                hit(index);
            }
        }
    }

    /// Calls `hit` with the values that have these digits in a row.
    fn each_with_digits(&self, digits: &[u8], hit: &mut dyn FnMut(usize)) {
        if self.width == 0 || digits.is_empty() {
            return;
        }
        for head in [0, 1] {
            // Of the first byte the low half is needed, or of the last the high one.
            let (odd, rest) = digits.split_at(head);
            let (pairs, tail) = rest.as_chunks::<2>();
            let core: SmallVec<[u8; 20]> = pairs.iter().map(|[a, b]| a << 4 | b).collect();
            let is_there = |at: usize, start: usize| {
                let end = start + core.len();
                let before = odd.is_empty()
                    || start > 0
                        && self.bytes.get(at.wrapping_sub(1)).map(|b| b & 15) == Some(odd[0]);
                let behind = tail.is_empty()
                    || end < self.width
                        && self.bytes.get(at + core.len()).map(|b| b >> 4) == Some(tail[0]);
                end <= self.width && before && behind && {
                    let first = 2 * start - head;
                    let last = first + digits.len() - 1;
                    !self.is_uuid || !BLOCKS.iter().any(|&b| first < b && b <= last)
                }
            };
            if core.is_empty() {
                for index in 0..self.bytes.len() / self.width {
                    let mut starts = 0..=self.width;
                    if starts.any(|start| is_there(index * self.width + start, start)) {
                        hit(index);
                    }
                }
                continue;
            }
            let finder = memmem::Finder::new(&core);
            let mut at = 0;
            while let Some(found) = self.bytes.get(at..).and_then(|rest| finder.find(rest)) {
                let found = at + found;
                let index = found / self.width;
                at = match is_there(found, found - index * self.width) {
                    true => {
                        hit(index);
                        (index + 1) * self.width
                    }
                    false => found + 1,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::logs::part::values::read_hex;
    use crate::logs::part::wire::{put, put_bytes};

    /// Checks every search for a text against the values as they are written.
    fn check(encoding: Encoding, prefix: &str, values: &[String], text: &str) {
        let mut bytes = Vec::new();
        if encoding == Encoding::Hex {
            put_bytes(&mut bytes, prefix.as_bytes());
            put(&mut bytes, (values[0].len() - prefix.len()) / 2);
        }
        for value in values {
            let digits = value[prefix.len()..].replace('-', "");
            assert!(read_hex(digits.as_bytes(), &mut bytes));
        }
        let digits = Digits::of(encoding, values.len(), &bytes).unwrap().unwrap();
        assert_eq!(digits.value_len(), values[0].len());
        let needle = Needle::new(text.as_bytes());
        let which = |is_hit: &dyn Fn(&String) -> bool| -> BTreeSet<usize> {
            (0..values.len()).filter(|&i| is_hit(&values[i])).collect()
        };
        let mut found = BTreeSet::new();
        digits.each_with(&needle, text.as_bytes(), &mut |i| {
            found.insert(i);
        });
        assert_eq!(
            found,
            which(&|value| value.contains(text)),
            "{text} in {values:?}"
        );
        for start in 0..values[0].len() + 2 {
            let mut found = BTreeSet::new();
            digits.each_at(&needle, start, text.as_bytes(), &mut |i| {
                found.insert(i);
            });
            let at = |value: &String| value.get(start..).is_some_and(|v| v.starts_with(text));
            assert_eq!(found, which(&at), "{text} at {start} of {values:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_page_are_refused() {
        for bytes in [&[][..], &[0], &[1], &[0, 3, 1, 1], &[0xff; 12]] {
            assert!(Digits::of(Encoding::Hex, 2, bytes).is_err(), "{bytes:?}");
        }
        assert!(Digits::of(Encoding::Uuid, 2, &[0; 31]).is_err());
        assert!(Digits::of(Encoding::Texts, 2, &[]).unwrap().is_none());
        let none = Digits::of(Encoding::Hex, 5, &[0, 0]).unwrap().unwrap();
        none.each_with(&Needle::new(b"a"), b"a", &mut |_| unreachable!());
        none.each_at(&Needle::new(b""), 0, b"", &mut |_| unreachable!());
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_is_written(
            prefix in "[g-i-]{0,3}",
            values in prop::collection::vec("[01a]{8}", 1..6),
            texts in prop::collection::vec("[g-i-]{0,2}[01a]{1,9}", 1..9),
        ) {
            let values: Vec<String> = values.iter().map(|value| format!("{prefix}{value}")).collect();
            for text in &texts {
                check(Encoding::Hex, &prefix, &values, text);
            }
        }

        #[test]
        fn dashes_of_a_uuid_count(
            values in prop::collection::vec("[01a]{8}-[01a]{4}-[01a]{4}-[01a]{4}-[01a]{12}", 1..4),
            part: (prop::sample::Index, prop::sample::Index),
            texts in prop::collection::vec("[01a]{0,5}-?[01a]{1,5}", 1..9),
        ) {
            let [a, b] = [part.0, part.1].map(|i| i.index(36));
            check(Encoding::Uuid, "", &values, &values[0][a.min(b)..=a.max(b)]);
            for text in &texts {
                check(Encoding::Uuid, "", &values, text);
            }
        }
    }
}
