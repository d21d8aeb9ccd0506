//! Little-endian base-128 integers, and the zigzag map for signed ones.

use super::CodecError;

/// Longest encoding of a `u64` in bytes.
pub const MAX_LEN: usize = 10;

/// Appends `value` in 1 to 10 bytes.
#[inline]
pub fn write_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed value; small magnitudes are short.
#[inline]
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    write_u64(out, zigzag(value));
}

/// Takes one value from the front of `bytes`.
///
/// # Errors
/// [`CodecError`] when the bytes end early or the value does not fit 64 bits.
#[inline]
pub fn read_u64(bytes: &mut &[u8]) -> Result<u64, CodecError> {
    match bytes.split_first() {
        Some((&first, rest)) if first < 0x80 => {
            *bytes = rest;
            Ok(u64::from(first))
        }
        _ => read_long(bytes),
    }
}

#[cold]
fn read_long(bytes: &mut &[u8]) -> Result<u64, CodecError> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(MAX_LEN).enumerate() {
        let part = u64::from(byte & 0x7f);
        if i == MAX_LEN - 1 && byte > 1 {
            return Err(CodecError::Invalid("varint"));
        }
        value |= part << (7 * i);
        if byte < 0x80 {
            *bytes = &bytes[i + 1..];
            return Ok(value);
        }
    }
    Err(CodecError::Truncated("varint"))
}

/// Takes one signed value from the front of `bytes`.
///
/// # Errors
/// As [`read_u64`].
#[inline]
pub fn read_i64(bytes: &mut &[u8]) -> Result<i64, CodecError> {
    read_u64(bytes).map(unzigzag)
}

/// Maps 0, -1, 1, -2, ... to 0, 1, 2, 3, ...
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Undoes [`zigzag`].
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges_have_their_known_lengths() {
        for (value, len) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (16_383, 2),
            (16_384, 3),
            (u64::MAX, 10),
        ] {
            let mut out = Vec::new();
            write_u64(&mut out, value);
            assert_eq!(out.len(), len, "{value}");
            assert_eq!(read_u64(&mut &out[..]), Ok(value));
        }
    }

    #[test]
    fn a_value_over_64_bits_is_refused() {
        let mut bytes: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read_u64(&mut bytes), Err(CodecError::Invalid("varint")));
        assert_eq!(
            read_u64(&mut &[0x80u8][..]),
            Err(CodecError::Truncated("varint"))
        );
    }

    proptest! {
        #[test]
        fn round_trips(values: Vec<i64>) {
            let mut out = Vec::new();
            for &v in &values {
                write_i64(&mut out, v);
            }
            let mut rest = &out[..];
            for &v in &values {
                prop_assert_eq!(read_i64(&mut rest), Ok(v));
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            while read_u64(&mut rest).is_ok() {}
        }
    }
}
