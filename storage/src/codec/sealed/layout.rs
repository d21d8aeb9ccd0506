//! The choice among the integer codecs by exact length, and how they are written.

use super::super::bits::varint_len;
use super::super::varint::{self, zigzag};
use super::super::{packed, pages};
use super::recover::{positions_len, write_positions};
use super::{
    ANCHORED_LEN, Codec, GROUP_LEN, HAS_EXCEPTIONS, HAS_FACTOR, HAS_STALE, PAGED_DELTAS, Scratch,
};

/// A choice among the integer codecs, with what it takes to write it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) codec: Codec,
    pub(super) len_bytes: usize,
    exponent: u8,
    factor: u64,
    least: i64,
    /// Of all differences divided by the factor.
    least_delta: i64,
    /// Of those that are not 0.
    least_change: i64,
    changes: usize,
    /// Whether the values themselves pack as short as their differences.
    is_plain: bool,
}

/// What a first look at all integers gives.
struct Extremes {
    least: i64,
    least_delta: i64,
    least_change: i64,
    changes: usize,
    factor: u64,
}

fn extremes(integers: &[i64]) -> Extremes {
    let mut found = Extremes {
        least: integers.first().copied().unwrap_or(0),
        least_delta: i64::MAX,
        least_change: i64::MAX,
        changes: 0,
        factor: 0,
    };
    for pair in integers.windows(2) {
        let delta = pair[1] - pair[0];
        found.least = found.least.min(pair[1]);
        found.least_delta = found.least_delta.min(delta);
        if delta != 0 {
            found.changes += 1;
            found.least_change = found.least_change.min(delta);
            if found.factor != 1 {
                found.factor = common_factor(found.factor, delta.unsigned_abs());
            }
        }
    }
    found.factor = found.factor.max(1);
    found
}

/// Returns the greatest common divisor. Once it is found, most differences are multiples
/// of it and cost one division.
fn common_factor(factor: u64, value: u64) -> u64 {
    if factor == 0 {
        return value;
    }
    let (mut a, mut b) = (factor, value % factor);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Divides without a division by 1, which is by far the most common divisor.
#[inline]
fn quotient(dividend: i64, divisor: i64) -> i64 {
    if divisor == 1 {
        dividend
    } else {
        dividend / divisor
    }
}

/// Unchanged values before each change, the first value not counted.
fn change_gaps(integers: &[i64], gaps: &mut Vec<u64>) {
    gaps.clear();
    let mut gap = 0;
    for pair in integers.windows(2) {
        if pair[0] == pair[1] {
            gap += 1;
        } else {
            gaps.push(gap);
            gap = 0;
        }
    }
}

/// Returns the values where groups of `len` differences begin, but for the first group:
/// each as its distance from the one before.
fn anchors(integers: &[i64], len: usize, factor: i64) -> impl Iterator<Item = u64> {
    let last = integers.len().saturating_sub(2) / len;
    (1..=last).map(move |group| {
        let (from, to) = (integers[(group - 1) * len], integers[group * len]);
        zigzag(quotient(to - from, factor))
    })
}

impl Scratch {
    /// Computes the length of every integer codec and returns the shortest. Two looks at
    /// the integers: one for what they have in common, one for the widths that remain.
    pub(super) fn lay_out(&mut self, exponent: u8) -> Layout {
        let integers = &self.integers[..];
        let Extremes {
            least,
            least_delta,
            least_change,
            changes,
            factor,
        } = extremes(integers);
        let (first, divisor) = (integers[0], factor as i64);
        let head = self.head_len(factor);
        let mut layout = Layout {
            codec: Codec::For,
            len_bytes: 0,
            exponent,
            factor,
            least,
            least_delta: quotient(least_delta, divisor),
            least_change: quotient(least_change, divisor),
            changes,
            is_plain: false,
        };

        let mut plain = packed::Length::default();
        let mut delta = packed::Length::default();
        let mut zigzags = packed::Length::default();
        // Below a change in four this can win; the lengths decide.
        let is_quiet = changes > 0 && changes * 4 < integers.len();
        let (mut changed, mut gaps) = (packed::Length::default(), packed::Length::default());
        let mut gap = 0;
        plain.add(quotient(first - least, divisor) as u64);
        for pair in integers.windows(2) {
            let step = quotient(pair[1] - pair[0], divisor);
            plain.add(quotient(pair[1] - least, divisor) as u64);
            delta.add((step - layout.least_delta) as u64);
            zigzags.add(zigzag(step));
            if is_quiet {
                if step == 0 {
                    gap += 1;
                } else {
                    changed.add((step - layout.least_change) as u64);
                    gaps.add(gap);
                    gap = 0;
                }
            }
        }
        let anchors_len = if integers.len() > ANCHORED_LEN {
            anchors(integers, GROUP_LEN, divisor).map(varint_len).sum()
        } else {
            0
        };
        let signed_len = |value: i64| varint_len(zigzag(value));
        let plain = head + signed_len(least) + plain.len_bytes();
        let head = head + signed_len(first);
        let delta = head + signed_len(layout.least_delta) + anchors_len + delta.len_bytes();
        let zigzags = head + anchors_len + zigzags.len_bytes();
        layout.is_plain = plain <= delta.min(zigzags);
        layout.len_bytes = plain;
        let mut consider = |codec, len_bytes| {
            if len_bytes < layout.len_bytes {
                (layout.codec, layout.len_bytes) = (codec, len_bytes);
            }
        };
        consider(Codec::Delta, delta);
        consider(Codec::DeltaZigzag, zigzags);
        if is_quiet {
            let head = head + varint_len(changes as u64) + signed_len(layout.least_change);
            consider(Codec::Sparse, head + gaps.len_bytes() + changed.len_bytes());
        }
        layout
    }

    /// Returns the bytes up to the integers.
    fn head_len(&self, factor: u64) -> usize {
        let factor = if factor > 1 { varint_len(factor) } else { 0 };
        2 + factor
            + positions_len(&self.stale)
            + positions_len(&self.exceptions)
            + 8 * self.exceptions.len()
    }

    /// Writes what the codecs of integers, and `PcoDoubles`, have in common.
    pub(super) fn write_head(
        &self,
        codec: Codec,
        exponent: u8,
        factor: u64,
        values: &[f64],
        out: &mut Vec<u8>,
    ) {
        let flag = |set: bool, flag| if set { flag } else { 0 };
        out.push(codec as u8);
        out.push(
            exponent
                | flag(!self.stale.is_empty(), HAS_STALE)
                | flag(!self.exceptions.is_empty(), HAS_EXCEPTIONS)
                | flag(factor > 1, HAS_FACTOR),
        );
        write_positions(&self.stale, out);
        write_positions(&self.exceptions, out);
        for &at in &self.exceptions {
            out.extend_from_slice(&values[at].to_bits().to_le_bytes());
        }
        if factor > 1 {
            varint::write_u64(out, factor);
        }
    }

    pub(super) fn write(&mut self, layout: &Layout, values: &[f64], out: &mut Vec<u8>) {
        let start = out.len();
        self.write_head(layout.codec, layout.exponent, layout.factor, values, out);
        let integers = &self.integers[..];
        let divisor = layout.factor as i64;
        let deltas = integers
            .windows(2)
            .map(|pair| quotient(pair[1] - pair[0], divisor));
        let words = &mut self.words;
        words.clear();
        match layout.codec {
            Codec::Delta | Codec::DeltaZigzag | Codec::Sparse => {
                varint::write_i64(out, integers[0]);
            }
            _ => varint::write_i64(out, layout.least),
        }
        let write_anchors = |out: &mut Vec<u8>| {
            if integers.len() > ANCHORED_LEN {
                anchors(integers, GROUP_LEN, divisor)
                    .for_each(|distance| varint::write_u64(out, distance));
            }
        };
        match layout.codec {
            Codec::Delta => {
                varint::write_i64(out, layout.least_delta);
                write_anchors(out);
                words.extend(deltas.map(|delta| (delta - layout.least_delta) as u64));
            }
            Codec::DeltaZigzag => {
                write_anchors(out);
                words.extend(deltas.map(zigzag));
            }
            Codec::Sparse => {
                varint::write_u64(out, layout.changes as u64);
                varint::write_i64(out, layout.least_change);
                change_gaps(integers, &mut self.gaps);
                packed::pack(&self.gaps, out);
                let changed = deltas.filter(|&delta| delta != 0);
                words.extend(changed.map(|delta| (delta - layout.least_change) as u64));
            }
            _ => words.extend(
                integers
                    .iter()
                    .map(|v| quotient(v - layout.least, divisor) as u64),
            ),
        }
        packed::pack(words, out);
        debug_assert_eq!(
            out.len() - start,
            layout.len_bytes,
            "lengths are computed exactly"
        );
    }

    /// Appends the integers in pages where that takes at most `limit` bytes, and tells
    /// whether it did.
    pub(super) fn write_pages(
        &mut self,
        layout: &Layout,
        values: &[f64],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        let integers = &self.integers[..];
        let divisor = layout.factor as i64;
        let mut words = std::mem::take(&mut self.words);
        words.clear();
        if layout.is_plain {
            let offset = |v: &i64| quotient(v - layout.least, divisor) as u64;
            words.extend(integers.iter().map(offset));
        } else {
            let offset =
                |pair: &[i64]| (quotient(pair[1] - pair[0], divisor) - layout.least_delta) as u64;
            words.extend(integers.windows(2).map(offset));
        }
        let word_bytes = match words.iter().fold(0, |all, word| all | word) {
            0..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        };
        let pages = pages::encode_words(&words, word_bytes);
        let page_len = pages::page_len(words.len());
        self.words = words;
        let Some(pages) = pages.filter(|pages| pages.len() < limit) else {
            return false;
        };
        self.write_head(
            Codec::PcoIntegers,
            layout.exponent,
            layout.factor,
            values,
            out,
        );
        let integers = &self.integers[..];
        if layout.is_plain {
            out.push(word_bytes);
            varint::write_i64(out, layout.least);
        } else {
            out.push(word_bytes | PAGED_DELTAS);
            varint::write_i64(out, integers[0]);
            varint::write_i64(out, layout.least_delta);
            anchors(integers, page_len, divisor)
                .for_each(|distance| varint::write_u64(out, distance));
        }
        out.extend_from_slice(&pages);
        if out.len() - start > limit {
            out.truncate(start);
            return false;
        }
        true
    }
}
