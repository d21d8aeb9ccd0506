//! Integers in a bit stream, in as few bits as fit.
//!
//! ```text
//! 0 | 10 + 3 bits | 110 + 6 | 1110 + 9 | 11110 + 12 | 111110 + 18 | 1111110 + 25
//!   | 11111110 + 56 | 11111111 + 64
//! ```
//!
//! A signed field of n bits holds -(2^(n-1) - 1) to 2^(n-1).

use super::xor::widen;
use crate::codec::CodecError;
use crate::codec::bits::{BitReader, BitWriter, low_mask};

/// Widths of the fields by the number of ones in front; the last has no zero behind them.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Ones in front of the widest field.
const MOST: u32 = 8;

/// Counts ones up to the first zero, at most `limit`.
pub(super) fn read_prefix(bits: &mut BitReader<'_>, limit: u32) -> Result<u32, CodecError> {
    let mut ones = 0;
    while ones < limit && bits.read(1)? == 1 {
        ones += 1;
    }
    Ok(ones)
}

/// Reads a signed integer.
pub(super) fn read_int(bits: &mut BitReader<'_>) -> Result<i64, CodecError> {
    match read_prefix(bits, MOST)? {
        0 => Ok(0),
        MOST => Ok(bits.read(64)? as i64),
        ones => {
            let width = WIDTHS[ones as usize];
            Ok(widen(bits.read(width)?, width))
        }
    }
}

/// Reads an unsigned integer.
pub(super) fn read_uint(bits: &mut BitReader<'_>) -> Result<u64, CodecError> {
    match read_prefix(bits, MOST)? {
        0 => Ok(0),
        ones => bits.read(WIDTHS[ones as usize]),
    }
}

/// Writes a signed integer.
pub(super) fn write_int(bits: &mut BitWriter<'_>, value: i64) {
    let fits = |width: u32| {
        let half = 1i64 << (width - 1);
        -half < value && value <= half
    };
    let field = |ones: &usize| *ones == MOST as usize || fits(WIDTHS[*ones]);
    let ones = match value {
        0 => 0,
        _ => (1..MOST as usize).find(field).unwrap_or(MOST as usize),
    };
    write(bits, ones, value as u64);
}

/// Writes an unsigned integer.
pub(super) fn write_uint(bits: &mut BitWriter<'_>, value: u64) {
    let fits = |ones: &usize| value >> WIDTHS[*ones] == 0;
    let ones = (0..MOST as usize).find(fits).unwrap_or(MOST as usize);
    write(bits, ones, value);
}

fn write(bits: &mut BitWriter<'_>, ones: usize, value: u64) {
    let width = WIDTHS[ones];
    let prefix = low_mask(ones as u32);
    if ones < MOST as usize {
        bits.write(prefix << 1, ones as u32 + 1);
    } else {
        bits.write(prefix, MOST);
    }
    bits.write(value & low_mask(width), width);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_as_short_as_they_may_be() {
        let ints = [
            (0, 1),
            (-3, 5),
            (4, 5),
            (-4, 9),
            (32, 9),
            (33, 13),
            (-255, 13),
            (2048, 17),
            (131_072, 24),
            (-131_072, 32),
            (1 << 55, 64),
            ((1 << 55) + 1, 72),
            (i64::MIN, 72),
        ];
        for (value, expected) in ints {
            let mut bytes = Vec::new();
            write_int(&mut BitWriter::new(&mut bytes), value);
            assert_eq!(bytes.len(), usize::div_ceil(expected, 8), "{value}");
            assert_eq!(read_int(&mut BitReader::new(&bytes)), Ok(value));
        }
        for (value, expected) in [(0, 1), (7, 5), (8, 9), (511, 13), (u64::MAX, 72)] {
            let mut bytes = Vec::new();
            write_uint(&mut BitWriter::new(&mut bytes), value);
            assert_eq!(bytes.len(), usize::div_ceil(expected, 8), "{value}");
        }
    }

    proptest! {
        #[test]
        fn integers_survive(values in prop::collection::vec(
            (any::<i64>(), 0u32..64).prop_map(|(value, shift)| value >> shift), 0..50,
        )) {
            let mut bytes = Vec::new();
            let mut bits = BitWriter::new(&mut bytes);
            for value in &values {
                write_int(&mut bits, *value);
                write_uint(&mut bits, *value as u64);
            }
            let mut bits = BitReader::new(&bytes);
            for value in values {
                prop_assert_eq!(read_int(&mut bits), Ok(value));
                prop_assert_eq!(read_uint(&mut bits), Ok(value as u64));
            }
        }
    }
}
