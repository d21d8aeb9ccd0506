//! Integers in as many bits as they need, in blocks of 128.
//!
//! ```text
//! block = width u8 | [n exceptions u8 | n x (index u8, value >> width varint)] | bits
//! ```
//!
//! The width, 0 to 64, is the one that makes the block shortest; values that need more
//! are exceptions, which bit 7 of the width announces. A full block of up to 32 bits
//! is in the layout of `bitpacking::BitPacker4x`; a shorter or wider one has its values
//! one after the other, lowest bits first. The number of values is the caller's to know.
//!
//! This module is also the guard in front of that crate, which panics on a width over
//! 32 or a short buffer and silently cuts values when the width is too small.

use std::ops::Range;

use bitpacking::{BitPacker, BitPacker4x};

use super::bits::{low_mask, width};
use super::{CodecError, varint};

/// Values in a full block.
pub const BLOCK_LEN: usize = BitPacker4x::BLOCK_LEN;

const HAS_EXCEPTIONS: u8 = 0x80;

#[derive(Debug, Clone, Copy)]
struct BlockPlan {
    width: u32,
    exceptions: usize,
    len_bytes: usize,
}

/// Appends `values`.
pub fn pack(values: &[u64], out: &mut Vec<u8>) {
    for block in values.chunks(BLOCK_LEN) {
        let plan = plan(block);
        let mark = if plan.exceptions > 0 {
            HAS_EXCEPTIONS
        } else {
            0
        };
        out.push(plan.width as u8 | mark);
        if plan.exceptions > 0 {
            out.push(plan.exceptions as u8);
            for (i, &value) in block.iter().enumerate() {
                if width(value) > plan.width {
                    out.push(i as u8);
                    varint::write_u64(out, value >> plan.width);
                }
            }
        }
        pack_bits(block, plan.width, out);
    }
}

/// Takes `n` values from the front of `bytes` and appends them to `out`.
///
/// # Errors
/// [`CodecError`] when the bytes end early or are not valid.
pub fn unpack(bytes: &mut &[u8], n: usize, out: &mut Vec<u64>) -> Result<(), CodecError> {
    // A block of any width takes a byte at least, which bounds what is allocated.
    if n.div_ceil(BLOCK_LEN) > bytes.len() {
        return Err(SHORT);
    }
    out.reserve(n);
    let mut left = n;
    while left > 0 {
        let len = left.min(BLOCK_LEN);
        unpack_block(bytes, len, out)?;
        left -= len;
    }
    Ok(())
}

/// Takes those of `n` packed values whose positions are in `range` and appends them to
/// `out`. Only the blocks that hold some are unpacked; those before are stepped over,
/// those after are not looked at.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_range(
    mut bytes: &[u8],
    n: usize,
    range: Range<usize>,
    out: &mut Vec<u64>,
) -> Result<(), CodecError> {
    let (first, end) = (range.start / BLOCK_LEN, range.end.min(n));
    if range.start >= end {
        return Ok(());
    }
    if end.div_ceil(BLOCK_LEN) > bytes.len() {
        return Err(SHORT);
    }
    let bytes = &mut bytes;
    for _ in 0..first {
        // Before the block of `range.start` all are full.
        let (width, _) = take_head(bytes)?;
        bytes.split_off(..bits_len(BLOCK_LEN, width)).ok_or(SHORT)?;
    }
    let start = out.len();
    out.reserve(end - first * BLOCK_LEN);
    for block in first..end.div_ceil(BLOCK_LEN) {
        unpack_block(bytes, (n - block * BLOCK_LEN).min(BLOCK_LEN), out)?;
    }
    out.truncate(start + (end - first * BLOCK_LEN));
    out.drain(start..start + range.start % BLOCK_LEN);
    Ok(())
}

const SHORT: CodecError = CodecError::Truncated("packed integers");

/// Exceptions of a block: how many, and their bytes with whatever follows.
type Exceptions<'a> = (u8, &'a [u8]);

/// Takes width and exceptions off the front of a block.
fn take_head<'a>(bytes: &mut &'a [u8]) -> Result<(u32, Exceptions<'a>), CodecError> {
    let &mark = bytes.split_off_first().ok_or(SHORT)?;
    let width = u32::from(mark & !HAS_EXCEPTIONS);
    if width > 64 {
        return Err(CodecError::Invalid("width of packed integers"));
    }
    if mark & HAS_EXCEPTIONS == 0 {
        return Ok((width, (0, &[])));
    }
    let count = *bytes.split_off_first().ok_or(SHORT)?;
    let exceptions = *bytes;
    for _ in 0..count {
        bytes.split_off_first().ok_or(SHORT)?;
        varint::read_u64(bytes)?;
    }
    Ok((width, (count, exceptions)))
}

fn unpack_block(bytes: &mut &[u8], len: usize, out: &mut Vec<u64>) -> Result<(), CodecError> {
    let (width, (n_exceptions, mut exceptions)) = take_head(bytes)?;
    let start = out.len();
    let bits = bytes.split_off(..bits_len(len, width)).ok_or(SHORT)?;
    unpack_bits(bits, len, width, out);
    for _ in 0..n_exceptions {
        let &index = exceptions.split_off_first().ok_or(SHORT)?;
        let high = varint::read_u64(&mut exceptions)?;
        match out.get_mut(start + usize::from(index)) {
            Some(value) if width < 64 => *value |= high << width,
            _ => return Err(CodecError::Invalid("exception of packed integers")),
        }
    }
    Ok(())
}

/// Finds the shortest form of a block.
fn plan(block: &[u64]) -> BlockPlan {
    let mut counts = Counts::default();
    for (i, &value) in block.iter().enumerate() {
        counts.add(i, width(value));
    }
    counts.plan(block.len())
}

/// How many values of a block have each width. Neighbours count in two tables: they
/// tend to be of one width, and a counter that is raised twice in a row waits for itself.
#[derive(Debug, Clone)]
struct Counts([[u16; 65]; 2]);

impl Default for Counts {
    fn default() -> Counts {
        Counts([[0; 65]; 2])
    }
}

impl Counts {
    #[inline]
    fn add(&mut self, i: usize, width: u32) {
        self.0[i % 2][width as usize] += 1;
    }

    /// An exception takes a byte for its index and one for each seven bits that it is
    /// too wide. So all exceptions to width `w` together take one byte for each value
    /// wider than `w`, than `w + 7`, than `w + 14` and so on, and one more each: a sum
    /// that is known from the one for `w + 7`.
    fn plan(&self, len: usize) -> BlockPlan {
        let mut best = BlockPlan {
            width: 64,
            exceptions: 0,
            len_bytes: usize::MAX,
        };
        let mut parts = [0usize; 72];
        let mut wider = 0;
        let mut of_width = 0;
        for candidate in (0..=64usize).rev() {
            wider += of_width;
            of_width = usize::from(self.0[0][candidate]) + usize::from(self.0[1][candidate]);
            parts[candidate] = wider + parts[candidate + 7];
            let len_bytes = 1
                + bits_len(len, candidate as u32)
                + usize::from(wider > 0)
                + wider
                + parts[candidate];
            // Of equals the wider one, which has fewer exceptions.
            if len_bytes < best.len_bytes {
                best = BlockPlan {
                    width: candidate as u32,
                    exceptions: wider,
                    len_bytes,
                };
            }
        }
        best
    }
}

/// Computes how many bytes [`pack`] would append from the widths of the values alone.
#[derive(Debug, Default)]
pub struct Length {
    counts: Counts,
    in_block: usize,
    full_blocks: usize,
}

impl Length {
    /// Goes on with the next value.
    #[inline]
    pub fn add(&mut self, value: u64) {
        self.counts.add(self.in_block, width(value));
        self.in_block += 1;
        if self.in_block == BLOCK_LEN {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        self.full_blocks += self.counts.plan(self.in_block).len_bytes;
        self.counts = Counts::default();
        self.in_block = 0;
    }

    /// Returns the bytes that the values so far would take.
    pub fn len_bytes(mut self) -> usize {
        if self.in_block > 0 {
            self.end_block();
        }
        self.full_blocks
    }
}

/// Returns the bytes that the bits of `len` values take.
fn bits_len(len: usize, width: u32) -> usize {
    (len * width as usize).div_ceil(8)
}

fn is_simd(len: usize, width: u32) -> bool {
    len == BLOCK_LEN && width <= 32
}

fn pack_bits(block: &[u64], width: u32, out: &mut Vec<u8>) {
    let start = out.len();
    let mask = low_mask(width);
    if is_simd(block.len(), width) {
        let mut words = [0u32; BLOCK_LEN];
        for (word, &value) in words.iter_mut().zip(block) {
            *word = (value & mask) as u32;
        }
        out.resize(start + bits_len(BLOCK_LEN, width), 0);
        BitPacker4x::new().compress(&words, &mut out[start..], width as u8);
        return;
    }
    let (mut word, mut have) = (0u128, 0);
    for &value in block {
        word |= u128::from(value & mask) << have;
        have += width;
        while have >= 8 {
            out.push(word as u8);
            word >>= 8;
            have -= 8;
        }
    }
    if have > 0 {
        out.push(word as u8);
    }
}

/// Appends `len` values from `bytes`, which is [`bits_len`] long.
fn unpack_bits(bytes: &[u8], len: usize, width: u32, out: &mut Vec<u64>) {
    if width == 0 {
        out.resize(out.len() + len, 0);
    } else if is_simd(len, width) {
        let mut words = [0u32; BLOCK_LEN];
        BitPacker4x::new().decompress(bytes, &mut words, width as u8);
        out.extend(words.iter().map(|&word| u64::from(word)));
    } else {
        let mask = low_mask(width);
        let width = width as usize;
        let value = |i: usize| {
            let at = i * width;
            let shift = at % 8;
            // 57 bits and a shift of up to 7 fit one word.
            if width <= 57
                && let Some(word) = bytes.get(at / 8..).and_then(|b| b.first_chunk())
            {
                return u64::from_le_bytes(*word) >> shift & mask;
            }
            let rest = bytes.get(at / 8..).unwrap_or_default();
            let mut word = [0; 16];
            let len = rest.len().min(16);
            word[..len].copy_from_slice(&rest[..len]);
            (u128::from_le_bytes(word) >> shift) as u64 & mask
        };
        out.extend((0..len).map(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed_len(values: &[u64]) -> usize {
        let mut length = Length::default();
        values.iter().for_each(|&value| length.add(value));
        length.len_bytes()
    }

    /// The shortest form of a block by trying all.
    fn shortest(block: &[u64]) -> usize {
        let len_bytes = |w: u32| {
            let wider = block.iter().map(|&v| width(v)).filter(|&wide| wide > w);
            let bytes: Vec<usize> = wider
                .map(|wide| 1 + (wide - w).div_ceil(7) as usize)
                .collect();
            let count = usize::from(!bytes.is_empty());
            1 + bits_len(block.len(), w) + count + bytes.iter().sum::<usize>()
        };
        (0..=64).map(len_bytes).min().unwrap()
    }

    fn round_trip(values: &[u64]) -> usize {
        let mut bytes = vec![9];
        pack(values, &mut bytes);
        assert_eq!(bytes.len() - 1, packed_len(values));
        let expected: usize = values.chunks(BLOCK_LEN).map(shortest).sum();
        assert_eq!(bytes.len() - 1, expected);
        bytes.push(77);
        let mut rest = &bytes[1..];
        let mut out = vec![5];
        unpack(&mut rest, values.len(), &mut out).unwrap();
        assert_eq!(&out[1..], values);
        assert_eq!(rest, [77]);
        bytes.len() - 2
    }

    #[test]
    fn zeroes_take_a_byte_per_block() {
        assert_eq!(round_trip(&[0; 300]), 3);
    }

    #[test]
    fn one_wide_value_does_not_widen_its_block() {
        let mut values = [3u64; 128];
        values[100] = 1 << 40;
        assert_eq!(round_trip(&values), 1 + 1 + 7 + 32);
    }

    #[test]
    fn a_width_over_64_is_refused() {
        let mut out = Vec::new();
        assert!(unpack(&mut &[65u8, 0, 0][..], 1, &mut out).is_err());
        // An exception above the 64 bits that the block has already.
        let bytes = [64 | HAS_EXCEPTIONS, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(unpack(&mut &bytes[..], 1, &mut out).is_err());
    }

    proptest! {
        #[test]
        fn round_trips_every_width(
            values in prop::collection::vec((any::<u64>(), 0u32..64), 0..400),
            cap in 0u32..=64,
        ) {
            let value = |&(v, shift): &(u64, u32)| (v >> shift) & low_mask(cap);
            round_trip(&values.iter().map(value).collect::<Vec<_>>());
        }

        #[test]
        fn a_range_is_a_slice(
            values in prop::collection::vec(prop_oneof![0u64..9, any::<u64>()], 0..700),
            ends: (prop::sample::Index, prop::sample::Index),
        ) {
            let [a, b] = [ends.0, ends.1].map(|end| end.index(values.len() + 1));
            let range = a.min(b)..a.max(b);
            let mut bytes = Vec::new();
            pack(&values, &mut bytes);
            let mut out = vec![5];
            unpack_range(&bytes, values.len(), range.clone(), &mut out).unwrap();
            prop_assert_eq!(&out[1..], &values[range]);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, n in 0usize..3000, start in 0usize..3000) {
            let mut out = Vec::new();
            let _ = unpack(&mut &bytes[..], n, &mut out);
            let _ = unpack_range(&bytes, n, start..start + 200, &mut out);
        }
    }
}
