//! The columns of a run: whole numbers, or doubles, one for each histogram.
//!
//! ```text
//! column = head varint | body
//! head & 3 = 0  head >> 2 bytes of a sealed chunk
//!            1  no body: all values are the zigzag integer head >> 2
//!            2  len varint | head >> 2 bytes | len bytes: sealed chunks of the high and the
//!               low 32 bits of integers that doubles do not hold
//! ```
//!
//! Integers go through the codecs of doubles, which recover them, so that a reader who
//! wants doubles has them at once.

use std::ops::Range;

use super::super::CodecError;
use super::super::decimal::MAX_INTEGER;
use super::super::sealed::{self, Effort};
use super::super::varint::{read_u64, unzigzag, write_u64, zigzag};

const SEALED: u64 = 0;
const CONSTANT: u64 = 1;
const HALVES: u64 = 2;

const SHORT: CodecError = CodecError::Truncated("column of histograms");
const INVALID: CodecError = CodecError::Invalid("column of histograms");

/// Buffers for columns that are written or read.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    sealed: sealed::Scratch,
    doubles: Vec<f64>,
    bytes: Vec<u8>,
}

impl Scratch {
    /// Appends a column of doubles.
    pub(super) fn write_doubles(&mut self, values: &[f64], effort: Effort, out: &mut Vec<u8>) {
        let Some(&first) = values.first() else { return };
        let is_same = |value: &f64| value.to_bits() == first.to_bits();
        let integer = first as i64;
        if (integer as f64).to_bits() == first.to_bits()
            && values.iter().all(is_same)
            && write_constant(integer, out)
        {
            return;
        }
        self.bytes.clear();
        sealed::seal_with(values, None, effort, &mut self.sealed, &mut self.bytes);
        write_u64(out, (self.bytes.len() as u64) << 2 | SEALED);
        out.extend_from_slice(&self.bytes);
    }

    /// Appends a column of integers.
    pub(super) fn write_integers(&mut self, values: &[i64], effort: Effort, out: &mut Vec<u8>) {
        let Some(&first) = values.first() else { return };
        if values.iter().all(|value| *value == first) && write_constant(first, out) {
            return;
        }
        let fits = |value: &i64| value.unsigned_abs() <= MAX_INTEGER as u64;
        if values.iter().all(fits) {
            self.seal(values.iter().map(|value| *value as f64), effort);
            write_u64(out, (self.bytes.len() as u64) << 2 | SEALED);
            out.extend_from_slice(&self.bytes);
            return;
        }
        self.seal(values.iter().map(|value| (value >> 32) as f64), effort);
        let high = std::mem::take(&mut self.bytes);
        self.seal(values.iter().map(|value| (value & LOW) as f64), effort);
        write_u64(out, (high.len() as u64) << 2 | HALVES);
        write_u64(out, self.bytes.len() as u64);
        out.extend_from_slice(&high);
        out.extend_from_slice(&self.bytes);
    }

    fn seal(&mut self, values: impl Iterator<Item = f64>, effort: Effort) {
        self.doubles.clear();
        self.doubles.extend(values);
        self.bytes.clear();
        let (sealed, doubles) = (&mut self.sealed, &self.doubles);
        sealed::seal_with(doubles, Some(0), effort, sealed, &mut self.bytes);
    }

    /// Takes a column of `n` doubles, or of integers as doubles, and appends those in
    /// `range`.
    pub(super) fn read_doubles(
        &mut self,
        bytes: &mut &[u8],
        n: usize,
        range: Range<usize>,
        out: &mut Vec<f64>,
    ) -> Result<(), CodecError> {
        match Column::take(bytes)? {
            Column::Constant(integer) => out.resize(out.len() + range.len(), integer as f64),
            Column::Sealed(chunk) => decode(chunk, n, range, &mut self.sealed, out)?,
            Column::Halves(high, low) => {
                let mut integers = Vec::new();
                self.join(high, low, n, range, &mut integers)?;
                out.extend(integers.iter().map(|integer| *integer as f64));
            }
        }
        Ok(())
    }

    /// As [`Scratch::read_doubles`], of integers, which are also added to `sums`, one to
    /// each.
    pub(super) fn read_summed(
        &mut self,
        bytes: &mut &[u8],
        n: usize,
        range: Range<usize>,
        out: &mut Vec<f64>,
        sums: &mut [i64],
    ) -> Result<(), CodecError> {
        let start = out.len();
        match Column::take(bytes)? {
            Column::Constant(integer) => {
                out.resize(start + range.len(), integer as f64);
                for sum in sums {
                    *sum = sum.wrapping_add(integer);
                }
            }
            Column::Sealed(chunk) => {
                decode(chunk, n, range, &mut self.sealed, out)?;
                for (sum, double) in sums.iter_mut().zip(&out[start..]) {
                    *sum = sum.wrapping_add(*double as i64);
                }
            }
            Column::Halves(high, low) => {
                let mut integers = Vec::new();
                self.join(high, low, n, range, &mut integers)?;
                for (sum, integer) in sums.iter_mut().zip(&integers) {
                    *sum = sum.wrapping_add(*integer);
                }
                out.extend(integers.iter().map(|integer| *integer as f64));
            }
        }
        Ok(())
    }

    /// Takes a column of `n` integers and appends those in `range`.
    pub(super) fn read_integers(
        &mut self,
        bytes: &mut &[u8],
        n: usize,
        range: Range<usize>,
        out: &mut Vec<i64>,
    ) -> Result<(), CodecError> {
        match Column::take(bytes)? {
            Column::Constant(integer) => out.resize(out.len() + range.len(), integer),
            Column::Sealed(chunk) => self.whole(chunk, n, range, out)?,
            Column::Halves(high, low) => self.join(high, low, n, range, out)?,
        }
        Ok(())
    }

    fn whole(
        &mut self,
        chunk: &[u8],
        n: usize,
        range: Range<usize>,
        out: &mut Vec<i64>,
    ) -> Result<(), CodecError> {
        self.doubles.clear();
        decode(chunk, n, range, &mut self.sealed, &mut self.doubles)?;
        for &double in &self.doubles {
            let integer = double as i64;
            let is_whole = (integer as f64).to_bits() == double.to_bits();
            if !is_whole || integer.unsigned_abs() > MAX_INTEGER as u64 {
                return Err(INVALID);
            }
            out.push(integer);
        }
        Ok(())
    }

    fn join(
        &mut self,
        high: &[u8],
        low: &[u8],
        n: usize,
        range: Range<usize>,
        out: &mut Vec<i64>,
    ) -> Result<(), CodecError> {
        let start = out.len();
        self.whole(high, n, range.clone(), out)?;
        let mut lower = Vec::new();
        self.whole(low, n, range, &mut lower)?;
        for (value, low) in out[start..].iter_mut().zip(lower) {
            if !(0..=LOW).contains(&low) {
                return Err(INVALID);
            }
            *value = *value << 32 | low;
        }
        Ok(())
    }
}

/// The low half of an integer.
const LOW: i64 = u32::MAX as i64;

/// Writes a column of one value and tells whether it is small enough for that.
fn write_constant(integer: i64, out: &mut Vec<u8>) -> bool {
    let word = zigzag(integer);
    let is_short = word >> 62 == 0;
    if is_short {
        write_u64(out, word << 2 | CONSTANT);
    }
    is_short
}

fn decode(
    chunk: &[u8],
    n: usize,
    range: Range<usize>,
    scratch: &mut sealed::Scratch,
    out: &mut Vec<f64>,
) -> Result<(), CodecError> {
    let end = out.len() + range.len();
    sealed::decode_range(chunk, n, range, scratch, out)?;
    if out.len() == end {
        Ok(())
    } else {
        Err(INVALID)
    }
}

enum Column<'a> {
    Constant(i64),
    Sealed(&'a [u8]),
    Halves(&'a [u8], &'a [u8]),
}

impl<'a> Column<'a> {
    fn take(bytes: &mut &'a [u8]) -> Result<Column<'a>, CodecError> {
        let head = read_u64(bytes)?;
        match head & 3 {
            SEALED => Ok(Column::Sealed(take(bytes, head >> 2)?)),
            CONSTANT => Ok(Column::Constant(unzigzag(head >> 2))),
            HALVES => {
                let low = read_u64(bytes)?;
                Ok(Column::Halves(take(bytes, head >> 2)?, take(bytes, low)?))
            }
            _ => Err(INVALID),
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], CodecError> {
    let len = usize::try_from(len).ok();
    len.and_then(|len| bytes.split_off(..len)).ok_or(SHORT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn integers(values: &[i64]) -> usize {
        let (mut scratch, mut bytes) = (Scratch::default(), Vec::new());
        scratch.write_integers(values, Effort::Block, &mut bytes);
        let n = values.len();
        for range in [0..n, n / 3..n / 2] {
            let mut out = vec![7];
            let mut rest = &bytes[..];
            let read = scratch.read_integers(&mut rest, n, range.clone(), &mut out);
            assert_eq!(read, Ok(()));
            assert!(rest.is_empty());
            assert_eq!(&out[1..], &values[range.clone()]);
            let mut out = Vec::new();
            let read = scratch.read_doubles(&mut &bytes[..], n, range.clone(), &mut out);
            assert_eq!(read, Ok(()));
            let doubles = values[range].iter().map(|value| *value as f64);
            assert_eq!(out, doubles.collect::<Vec<_>>());
        }
        bytes.len()
    }

    #[test]
    fn constants_are_short_and_large_integers_exact() {
        assert_eq!(integers(&[0; 400]), 1);
        assert_eq!(integers(&[-9; 400]), 1);
        assert_eq!(integers(&[1 << 40; 400]), 7);
        integers(&[i64::MAX; 3]);
        integers(&[i64::MIN, i64::MAX, 0, -1, 1 << 53, (1 << 53) + 1]);
    }

    proptest! {
        #[test]
        fn integers_survive(values in prop::collection::vec(
            prop_oneof![any::<i64>(), 0i64..50, Just(1 << 53)], 1..600,
        )) {
            integers(&values);
        }

        #[test]
        fn doubles_survive(values in prop::collection::vec(
            prop_oneof![any::<u64>().prop_map(f64::from_bits), (0i32..9).prop_map(f64::from)],
            1..300,
        )) {
            let (mut scratch, mut bytes) = (Scratch::default(), Vec::new());
            scratch.write_doubles(&values, Effort::Quick, &mut bytes);
            let n = values.len();
            let mut out = Vec::new();
            scratch.read_doubles(&mut &bytes[..], n, n / 3..n, &mut out).unwrap();
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&out), bits(&values[n / 3..]));
        }
    }
}
