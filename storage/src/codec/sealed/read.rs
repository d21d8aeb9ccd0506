//! Sealed chunks back to values, whole or a range of positions.

use std::ops::Range;

use super::super::varint::{self, unzigzag};
use super::super::{CodecError, decimal, packed, pages, xor};
use super::recover::read_positions;
use super::{
    ANCHORED_LEN, CODECS, Codec, EXPONENT_MASK, GROUP_LEN, HAS_EXCEPTIONS, HAS_FACTOR, HAS_STALE,
    MAX_VALUES, PAGED_DELTAS, Scratch,
};
use crate::model::stale_marker;

const SHORT: CodecError = CodecError::Truncated("chunk");

/// Appends the `n` values of a sealed chunk to `out`.
///
/// # Errors
/// [`CodecError`] when `bytes` is not a chunk of `n` values; `out` may then have grown
/// by up to `n`.
#[cfg(any(test, feature = "internals"))]
pub fn decode(
    bytes: &[u8],
    n: usize,
    scratch: &mut Scratch,
    out: &mut Vec<f64>,
) -> Result<(), CodecError> {
    decode_range(bytes, n, 0..n, scratch, out)
}

/// Appends those of the `n` values of a sealed chunk whose positions are in `range`.
/// Reads what they need: blocks, groups, runs or pages of at most 1,024 values.
///
/// # Errors
/// [`CodecError`] when `range` goes beyond `n`, or as far as it was looked at `bytes` is
/// not a chunk of `n` values; `out` may then have grown by up to `n`.
pub fn decode_range(
    mut bytes: &[u8],
    n: usize,
    range: Range<usize>,
    scratch: &mut Scratch,
    out: &mut Vec<f64>,
) -> Result<(), CodecError> {
    if n > MAX_VALUES {
        return Err(CodecError::TooMany {
            found: n as u64,
            limit: MAX_VALUES as u64,
        });
    }
    if range.start > range.end || range.end > n {
        return Err(CodecError::Invalid("range of a chunk"));
    }
    let &codec = bytes.split_off_first().ok_or(SHORT)?;
    let codec = CODECS.into_iter().find(|&known| known as u8 == codec);
    match codec.ok_or(CodecError::Invalid("codec of a chunk"))? {
        Codec::Const => {
            let bits = u64::from_le_bytes(*bytes.first_chunk().ok_or(SHORT)?);
            out.resize(out.len() + range.len(), f64::from_bits(bits));
            Ok(())
        }
        Codec::Xor if n > xor::RUN_LEN => xor::decode_runs(bytes, n, range, out),
        Codec::Xor => {
            let start = out.len();
            xor::decode(bytes, range.end, out)?;
            out.drain(start..start + range.start);
            Ok(())
        }
        Codec::Raw => {
            let bytes = bytes.get(range.start * 8..range.end * 8).ok_or(SHORT)?;
            let (words, _) = bytes.as_chunks::<8>();
            out.extend(
                words
                    .iter()
                    .map(|word| f64::from_bits(u64::from_le_bytes(*word))),
            );
            Ok(())
        }
        _ if range.is_empty() => Ok(()),
        codec => scratch.decode_columns(codec, bytes, n, range, out),
    }
}

/// Integers as they come off the bytes, back to values.
struct Decimals {
    factor: i64,
    power: f64,
}

impl Decimals {
    /// Arithmetic wraps: damaged bytes give wrong integers, never a panic.
    #[inline]
    fn advance(&self, integer: i64, steps: i64) -> i64 {
        integer.wrapping_add(steps.wrapping_mul(self.factor))
    }

    #[inline]
    fn value(&self, integer: i64) -> f64 {
        integer as f64 / self.power
    }

    /// Appends the values after `integer` that `steps` lead to.
    fn walk(&self, mut integer: i64, steps: impl Iterator<Item = i64>, out: &mut Vec<f64>) {
        out.extend(steps.map(|step| {
            integer = self.advance(integer, step);
            self.value(integer)
        }));
    }
}

/// Where the differences that lead to a range of values begin.
struct Start {
    /// Position of a value that is known, and the value.
    at: usize,
    integer: i64,
}

/// Takes the anchors of groups of `group_len` differences and returns the last one that
/// is not after `position`.
fn read_anchors(
    bytes: &mut &[u8],
    n: usize,
    group_len: usize,
    first: i64,
    position: usize,
    decimals: &Decimals,
) -> Result<Start, CodecError> {
    let mut start = Start {
        at: 0,
        integer: first,
    };
    let mut anchor = first;
    for group in 1..=n.saturating_sub(2) / group_len {
        anchor = decimals.advance(anchor, varint::read_i64(bytes)?);
        if group * group_len <= position {
            start = Start {
                at: group * group_len,
                integer: anchor,
            };
        }
    }
    Ok(start)
}

impl Scratch {
    fn decode_columns(
        &mut self,
        codec: Codec,
        mut bytes: &[u8],
        n: usize,
        range: Range<usize>,
        out: &mut Vec<f64>,
    ) -> Result<(), CodecError> {
        let rest = &mut bytes;
        let &head = rest.split_off_first().ok_or(SHORT)?;
        self.stale.clear();
        self.exceptions.clear();
        if head & HAS_STALE != 0 {
            read_positions(rest, n, &mut self.stale)?;
        }
        let mut exception_bits: &[[u8; 8]] = &[];
        if head & HAS_EXCEPTIONS != 0 {
            read_positions(rest, n, &mut self.exceptions)?;
            let raw = rest.split_off(..8 * self.exceptions.len());
            exception_bits = raw
                .ok_or(CodecError::Truncated("exceptions"))?
                .as_chunks()
                .0;
        }
        let start = out.len();
        if codec == Codec::PcoDoubles {
            pages::decode_doubles(rest, n, range.clone(), &mut self.pages, out)?;
        } else {
            let factor = if head & HAS_FACTOR != 0 {
                varint::read_u64(rest)? as i64
            } else {
                1
            };
            let decimals = Decimals {
                factor,
                power: decimal::power(head & EXPONENT_MASK),
            };
            self.decode_integers(codec, rest, n, range.clone(), &decimals, out)?;
        }
        let values = &mut out[start..];
        let place = |at: usize| at.checked_sub(range.start);
        for &at in &self.stale {
            if let Some(value) = place(at).and_then(|at| values.get_mut(at)) {
                *value = stale_marker();
            }
        }
        for (&at, bits) in self.exceptions.iter().zip(exception_bits) {
            if let Some(value) = place(at).and_then(|at| values.get_mut(at)) {
                *value = f64::from_bits(u64::from_le_bytes(*bits));
            }
        }
        Ok(())
    }

    /// Appends the values of `range`, which is not empty.
    fn decode_integers(
        &mut self,
        codec: Codec,
        rest: &mut &[u8],
        n: usize,
        range: Range<usize>,
        decimals: &Decimals,
        out: &mut Vec<f64>,
    ) -> Result<(), CodecError> {
        let mut word_bytes = 0;
        if codec == Codec::PcoIntegers {
            word_bytes = *rest.split_off_first().ok_or(SHORT)?;
        }
        let is_paged_deltas = word_bytes & PAGED_DELTAS != 0;
        let word_bytes = word_bytes & !PAGED_DELTAS;
        let first = varint::read_i64(rest)?;
        let words = &mut self.words;
        words.clear();
        match codec {
            Codec::Sparse => return self.decode_sparse(rest, n, range, first, decimals, out),
            Codec::Delta | Codec::DeltaZigzag | Codec::PcoIntegers
                if codec != Codec::PcoIntegers || is_paged_deltas =>
            {
                let least = if codec == Codec::DeltaZigzag {
                    0
                } else {
                    varint::read_i64(rest)?
                };
                let n_words = n - 1;
                let start = if codec == Codec::PcoIntegers {
                    if n_words == 0 {
                        return Err(CodecError::Invalid("differences of one value"));
                    }
                    let page_len = pages::page_len(n_words);
                    read_anchors(rest, n, page_len, first, range.start, decimals)?
                } else if n > ANCHORED_LEN {
                    read_anchors(rest, n, GROUP_LEN, first, range.start, decimals)?
                } else {
                    Start {
                        at: 0,
                        integer: first,
                    }
                };
                // The difference before a value stands one place before it.
                let wanted = start.at..range.end - 1;
                if codec == Codec::PcoIntegers {
                    let scratch = &mut self.pages;
                    pages::decode_words(rest, n_words, word_bytes, wanted, scratch, words)?;
                } else if range.len() == n {
                    packed::unpack(rest, n_words, words)?;
                } else {
                    packed::unpack_range(rest, n_words, wanted, words)?;
                }
                let filled = out.len();
                out.reserve(words.len() + 1);
                out.push(decimals.value(start.integer));
                if codec == Codec::DeltaZigzag {
                    let steps = words.iter().map(|&word| unzigzag(word));
                    decimals.walk(start.integer, steps, out);
                } else {
                    let steps = words.iter().map(|&word| least.wrapping_add(word as i64));
                    decimals.walk(start.integer, steps, out);
                }
                if start.at < range.start {
                    out.drain(filled..filled + (range.start - start.at));
                }
            }
            _ => {
                if codec == Codec::PcoIntegers {
                    pages::decode_words(rest, n, word_bytes, range, &mut self.pages, words)?;
                } else if range.len() == n {
                    packed::unpack(rest, n, words)?;
                } else {
                    packed::unpack_range(rest, n, range, words)?;
                }
                let integer = |&word| decimals.advance(first, word as i64);
                out.extend(words.iter().map(|word| decimals.value(integer(word))));
            }
        }
        Ok(())
    }

    /// Changes are few: those before the range are walked through, and that is all.
    fn decode_sparse(
        &mut self,
        rest: &mut &[u8],
        n: usize,
        range: Range<usize>,
        first: i64,
        decimals: &Decimals,
        out: &mut Vec<f64>,
    ) -> Result<(), CodecError> {
        let changes = varint::read_u64(rest)?;
        let least = varint::read_i64(rest)?;
        if changes >= n as u64 {
            return Err(CodecError::TooMany {
                found: changes,
                limit: n as u64 - 1,
            });
        }
        self.gaps.clear();
        packed::unpack(rest, changes as usize, &mut self.gaps)?;
        packed::unpack(rest, changes as usize, &mut self.words)?;
        let start = out.len();
        out.reserve(range.len());
        let mut integer = first;
        // Position of the next change.
        let mut at = 1usize;
        for (&gap, &word) in self.gaps.iter().zip(&self.words) {
            at = usize::try_from(gap).map_or(usize::MAX, |gap| at.saturating_add(gap));
            if at >= n {
                return Err(CodecError::Invalid("position of a change"));
            }
            if at > range.start {
                out.resize(
                    start + at.min(range.end) - range.start,
                    decimals.value(integer),
                );
                if at >= range.end {
                    return Ok(());
                }
            }
            integer = decimals.advance(integer, least.wrapping_add(word as i64));
            at += 1;
        }
        out.resize(start + range.len(), decimals.value(integer));
        Ok(())
    }
}
