//! Gorilla's XOR code for doubles that are no decimals.
//!
//! ```text
//! first value   64 bits
//! then          0                                     the same bits again
//!               10  significant bits                  in the window of the last `11`
//!               11  leading u5, count u6, bits        a new window; count 0 means 64
//! ```
//!
//! Long chunks are cut into runs that are read alone:
//!
//! ```text
//! runs = length varint, of all runs but the last | runs of 512 values, the last of the rest
//! ```
//!
//! Exact for every bit pattern. Bit by bit it is slow to decode (some 6 ns a value),
//! so it is used only where integers do not serve.

use std::ops::Range;

use super::bits::{BitReader, BitWriter, low_mask, varint_len};
use super::{CodecError, varint};

/// Values of a run; a chunk of no more has no list of lengths.
pub const RUN_LEN: usize = 512;

/// What both sides know between two values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct XorState {
    /// Bits of the last value.
    pub last: u64,
    /// Zero bits before the window, at most 31.
    pub leading: u8,
    /// Bits in the window, 0 before there is one.
    pub significant: u8,
}

impl XorState {
    /// Starts with the first value, which is stored as its 64 bits.
    pub fn new(first: f64) -> XorState {
        XorState {
            last: first.to_bits(),
            leading: 0,
            significant: 0,
        }
    }

    /// Returns the code of `value` in the low bits, with its length in bits.
    #[inline]
    pub fn step(&mut self, value: f64) -> (u128, u32) {
        let bits = value.to_bits();
        let xor = bits ^ self.last;
        self.last = bits;
        if xor == 0 {
            return (0, 1);
        }
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        let window = u32::from(self.significant);
        let window_trailing = 64 - window - u32::from(self.leading);
        if window > 0 && leading >= u32::from(self.leading) && trailing >= window_trailing {
            let code = 0b10u128 << window | u128::from(xor >> window_trailing);
            return (code, 2 + window);
        }
        let significant = 64 - leading - trailing;
        self.leading = leading as u8;
        self.significant = significant as u8;
        let head = 0b11 << 11 | u128::from(leading) << 6 | u128::from(significant & 63);
        (
            head << significant | u128::from(xor >> trailing),
            13 + significant,
        )
    }

    /// Reads the code of the next value.
    ///
    /// # Errors
    /// [`CodecError`] when the bits end, or are not valid.
    // Two readers use it; as a call it costs half as much again.
    #[inline(always)]
    pub fn read(&mut self, bits: &mut BitReader<'_>) -> Result<f64, CodecError> {
        /// Control bits and a new window.
        const HEAD: u32 = 13;
        let head = bits.peek(HEAD);
        if head >> 63 == 0 {
            bits.skip(1)?;
            return Ok(f64::from_bits(self.last));
        }
        if head >> 62 == 0b10 {
            bits.skip(2)?;
        } else {
            bits.skip(HEAD)?;
            self.leading = (head >> 57 & 31) as u8;
            let count = (head >> 51 & 63) as u8;
            self.significant = if count == 0 { 64 } else { count };
            if self.leading + self.significant > 64 {
                return Err(CodecError::Invalid("window of an XOR value"));
            }
        }
        let window = u32::from(self.significant);
        if window == 0 {
            return Err(CodecError::Invalid("XOR value before its window"));
        }
        let significant = bits.read(window)?;
        self.last ^= significant << (64 - window - u32::from(self.leading));
        Ok(f64::from_bits(self.last))
    }
}

/// Appends the code of `values`.
pub fn encode(values: &[f64], out: &mut Vec<u8>) {
    let Some((&first, rest)) = values.split_first() else {
        return;
    };
    let mut bits = BitWriter::new(out);
    let mut state = XorState::new(first);
    bits.write(first.to_bits(), 64);
    for &value in rest {
        let (code, count) = state.step(value);
        bits.write((code >> 64) as u64, count.saturating_sub(64));
        bits.write(code as u64 & low_mask(count.min(64)), count.min(64));
    }
}

/// Returns how many bytes [`encode`] appends.
pub fn encoded_len(values: &[f64]) -> usize {
    let Some((&first, rest)) = values.split_first() else {
        return 0;
    };
    let mut state = XorState::new(first);
    let bits: usize = rest.iter().map(|&value| state.step(value).1 as usize).sum();
    8 + bits.div_ceil(8)
}

/// Appends the `n` values that `bytes` begin with to `out`.
///
/// # Errors
/// [`CodecError`] when the bytes end early or are not valid.
pub fn decode(bytes: &[u8], n: usize, out: &mut Vec<f64>) -> Result<(), CodecError> {
    if n == 0 {
        return Ok(());
    }
    // One bit is the least a value takes.
    if (n - 1) / 8 > bytes.len() {
        return Err(CodecError::Truncated("XOR values"));
    }
    let mut bits = BitReader::new(bytes);
    let first = f64::from_bits(bits.read(64)?);
    let mut state = XorState::new(first);
    out.reserve(n);
    out.push(first);
    for _ in 1..n {
        out.push(state.read(&mut bits)?);
    }
    Ok(())
}

/// Appends the code of `values` in runs.
pub fn encode_runs(values: &[f64], out: &mut Vec<u8>) {
    let mut runs = Vec::new();
    let (mut start, last) = (0, values.len().saturating_sub(1) / RUN_LEN);
    for (i, run) in values.chunks(RUN_LEN).enumerate() {
        encode(run, &mut runs);
        if i < last {
            varint::write_u64(out, (runs.len() - start) as u64);
            start = runs.len();
        }
    }
    out.extend_from_slice(&runs);
}

/// Returns how many bytes [`encode_runs`] appends.
pub fn runs_len(values: &[f64]) -> usize {
    let last = values.len().saturating_sub(1) / RUN_LEN;
    let run_len = |(i, run)| {
        let len_bytes = encoded_len(run);
        let head = if i < last {
            varint_len(len_bytes as u64)
        } else {
            0
        };
        head + len_bytes
    };
    values.chunks(RUN_LEN).enumerate().map(run_len).sum()
}

/// Appends those of the `n` values whose positions are in `range` to `out`. Reads the
/// runs that hold some, each up to the last one that is wanted.
///
/// # Errors
/// As [`decode`].
pub fn decode_runs(
    mut bytes: &[u8],
    n: usize,
    range: Range<usize>,
    out: &mut Vec<f64>,
) -> Result<(), CodecError> {
    const SHORT: CodecError = CodecError::Truncated("XOR values");
    let end = range.end.min(n);
    if range.start >= end {
        return Ok(());
    }
    let (first, last) = (range.start / RUN_LEN, (n - 1) / RUN_LEN);
    if last > bytes.len() {
        return Err(SHORT);
    }
    let mut skipped = 0u64;
    let mut lens = Vec::with_capacity(last);
    for run in 0..last {
        let len = varint::read_u64(&mut bytes)?;
        if run < first {
            skipped = skipped.saturating_add(len);
        } else {
            lens.push(len);
        }
    }
    let as_len = |len: u64| usize::try_from(len).map_err(|_| SHORT);
    bytes.split_off(..as_len(skipped)?).ok_or(SHORT)?;
    let start = out.len();
    for run in first..=(end - 1) / RUN_LEN {
        let run_bytes = match lens.get(run - first) {
            Some(&len) => bytes.split_off(..as_len(len)?).ok_or(SHORT)?,
            None => bytes,
        };
        decode(run_bytes, (end - run * RUN_LEN).min(RUN_LEN), out)?;
    }
    out.drain(start..start + range.start % RUN_LEN);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::value_tests::{check_bits, values};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trips_every_bit_pattern(values in values(300)) {
            let mut bytes = vec![7];
            encode(&values, &mut bytes);
            prop_assert_eq!(bytes.len(), 1 + encoded_len(&values));
            let mut out = vec![1.0];
            decode(&bytes[1..], values.len(), &mut out).unwrap();
            check_bits(&values, &out[1..]);
        }

        #[test]
        fn a_range_of_runs_is_a_slice(
            values in values(1500),
            ends: (prop::sample::Index, prop::sample::Index),
        ) {
            let [a, b] = [ends.0, ends.1].map(|end| end.index(values.len() + 1));
            let range = a.min(b)..a.max(b);
            let mut bytes = Vec::new();
            encode_runs(&values, &mut bytes);
            prop_assert_eq!(bytes.len(), runs_len(&values));
            let mut out = vec![1.0];
            decode_runs(&bytes, values.len(), range.clone(), &mut out).unwrap();
            check_bits(&values[range], &out[1..]);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, n in 0usize..5000, start in 0usize..3000) {
            let mut out = Vec::new();
            let _ = decode(&bytes, n, &mut out);
            prop_assert!(out.len() <= 1 + bytes.len() * 8);
            let _ = decode_runs(&bytes, n, start..start + 200, &mut out);
        }
    }
}
