//! The payload of a float chunk, encoding 1.
//!
//! ```text
//! | n u16 | bits, most significant first, the last byte filled with zeroes |
//!
//! sample 0     t as varint, 64 bits of the value
//! sample 1     t1 - t0 as uvarint, value
//! sample 2...  change of the difference of times, value
//!
//! change       0                     no change
//!              10 + 14 bits, 110 + 17 bits, 1110 + 20 bits, 1111 + 64 bits
//! value        as in crate::codec::xor
//! ```
//!
//! The bytes of varints stand in the bit stream, on whichever bit they begin. A field
//! of n bits holds -(2^(n-1) - 1) to 2^(n-1). Times wrap around: any two are stored.

use super::columns::Columns;
use crate::codec::CodecError;
use crate::codec::bits::{BitReader, BitWriter, low_mask};
use crate::codec::varint;
use crate::codec::xor::XorState;

/// Samples in a chunk that we write, as Prometheus does.
pub(super) const CHUNK_SAMPLES: usize = 120;

/// Widths of the fields for a change, and their prefixes.
const CHANGES: [(u32, u64, u32); 3] = [(14, 0b10, 2), (17, 0b110, 3), (20, 0b1110, 4)];

/// Appends the payload of a float chunk, Prometheus' encoding 1, for the samples, of which
/// there are 1 to 65 535.
pub(super) fn encode(timestamps: &[i64], values: &[f64], out: &mut Vec<u8>) {
    debug_assert_eq!(timestamps.len(), values.len());
    debug_assert!(u16::try_from(timestamps.len()).is_ok());
    out.extend_from_slice(&(timestamps.len() as u16).to_be_bytes());
    let mut samples = timestamps.iter().zip(values);
    let Some((&first_t, &first)) = samples.next() else {
        return;
    };
    let mut bytes = Vec::with_capacity(varint::MAX_LEN);
    varint::write_i64(&mut bytes, first_t);
    let mut bits = BitWriter::new(out);
    write_bytes(&mut bits, &bytes);
    bits.write(first.to_bits(), 64);
    let mut state = XorState::new(first);
    let (mut last_t, mut step) = (first_t, None);
    for (&t_ms, &value) in samples {
        let next_step = t_ms.wrapping_sub(last_t);
        match step {
            None => {
                bytes.clear();
                varint::write_u64(&mut bytes, next_step as u64);
                write_bytes(&mut bits, &bytes);
            }
            Some(step) => write_change(&mut bits, next_step.wrapping_sub(step)),
        }
        (last_t, step) = (t_ms, Some(next_step));
        let (code, count) = state.step(value);
        bits.write((code >> 64) as u64, count.saturating_sub(64));
        bits.write(code as u64, count.min(64));
    }
}

fn write_bytes(bits: &mut BitWriter<'_>, bytes: &[u8]) {
    for &byte in bytes {
        bits.write(byte.into(), 8);
    }
}

fn write_change(bits: &mut BitWriter<'_>, change: i64) {
    if change == 0 {
        return bits.write(0, 1);
    }
    for (width, prefix, prefix_width) in CHANGES {
        let half = 1i64 << (width - 1);
        if -half < change && change <= half {
            bits.write(prefix, prefix_width);
            return bits.write(change as u64 & low_mask(width), width);
        }
    }
    bits.write(0b1111, 4);
    bits.write(change as u64, 64);
}

/// Reads an unsigned varint whose bytes stand in the bit stream.
pub(super) fn read_uvarint(bits: &mut BitReader<'_>) -> Result<u64, CodecError> {
    let mut bytes = [0; varint::MAX_LEN];
    for i in 0..bytes.len() {
        bytes[i] = bits.read(8)? as u8;
        if bytes[i] < 0x80 {
            return varint::read_u64(&mut &bytes[..=i]);
        }
    }
    Err(CodecError::Invalid("varint"))
}

/// Reads a signed varint whose bytes stand in the bit stream.
pub(super) fn read_varint(bits: &mut BitReader<'_>) -> Result<i64, CodecError> {
    read_uvarint(bits).map(varint::unzigzag)
}

/// Makes the low `width` bits a number in the range of such a field.
pub(super) fn widen(field: u64, width: u32) -> i64 {
    if field > 1 << (width - 1) {
        field.wrapping_sub(1 << width) as i64
    } else {
        field as i64
    }
}

fn read_change(bits: &mut BitReader<'_>) -> Result<i64, CodecError> {
    if bits.read(1)? == 0 {
        return Ok(0);
    }
    for (width, ..) in CHANGES {
        if bits.read(1)? == 0 {
            return Ok(widen(bits.read(width)?, width));
        }
    }
    Ok(bits.read(64)? as i64)
}

/// Takes the number of samples off the front of a payload.
pub(super) fn read_n(payload: &[u8]) -> Result<(usize, &[u8]), CodecError> {
    match payload.split_first_chunk() {
        Some((&n, rest)) => Ok((usize::from(u16::from_be_bytes(n)), rest)),
        None => Err(CodecError::Truncated("number of samples")),
    }
}

/// Appends the samples of a payload to `out`; returns how many.
///
/// # Errors
/// [`CodecError`] when the bytes end early or are not valid.
pub(super) fn decode(payload: &[u8], out: &mut Columns) -> Result<usize, CodecError> {
    let (n, rest) = read_n(payload)?;
    if n == 0 {
        return Ok(0);
    }
    let mut bits = BitReader::new(rest);
    let mut t_ms = read_varint(&mut bits)?;
    let first = f64::from_bits(bits.read(64)?);
    // An encoder that takes up a chunk again begins with a window of all 64 bits,
    // which no `11` announces.
    let mut state = XorState {
        significant: 64,
        ..XorState::new(first)
    };
    out.push(t_ms, first);
    let mut step = 0i64;
    for i in 1..n {
        if i == 1 {
            step = read_uvarint(&mut bits)? as i64;
        } else {
            step = step.wrapping_add(read_change(&mut bits)?);
        }
        t_ms = t_ms.wrapping_add(step);
        out.push(t_ms, state.read(&mut bits)?);
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::stale_marker;

    fn bits_of(values: &[f64]) -> Vec<u64> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    fn round_trip(timestamps: &[i64], values: &[f64]) {
        let mut payload = Vec::new();
        encode(timestamps, values, &mut payload);
        let mut out = Columns::default();
        assert_eq!(decode(&payload, &mut out), Ok(timestamps.len()));
        assert_eq!(out.timestamps, timestamps);
        assert_eq!(bits_of(&out.values), bits_of(values));
    }

    #[test]
    fn the_bits_are_those_of_the_format() {
        let mut payload = Vec::new();
        // Differences 60 000, 60 000, 60 010; values 1, 1, 1, 2.
        encode(
            &[0, 60_000, 120_000, 180_010],
            &[1.0, 1.0, 1.0, 2.0],
            &mut payload,
        );
        let mut expected = vec![0, 4, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xe0, 0xd4, 0x03];
        // 0 | 0 0 | 10 00000000001010 | 11 00001 001011 11111111111
        expected.extend([
            0b0001_0000,
            0b0000_0001,
            0b0101_1000,
            0b0100_1011,
            0xff,
            0b1110_0000,
        ]);
        assert_eq!(payload, expected);
    }

    #[test]
    fn the_borders_of_the_fields_survive() {
        for width in [14, 17, 20, 63] {
            let half = 1i64 << (width - 1);
            for change in [-half - 1, -half, 1 - half, half - 1, half, half + 1] {
                let times = [0, 5, 10i64.wrapping_add(change)];
                round_trip(&times, &[0.0, -0.0, stale_marker()]);
            }
        }
    }

    /// A server that restarts takes up its open chunk: its first change of value
    /// uses a window that was never announced.
    #[test]
    fn a_window_of_all_bits_needs_no_announcement() {
        let mut payload = vec![0, 2];
        let mut bits = BitWriter::new(&mut payload);
        bits.write(0, 8);
        bits.write(1f64.to_bits(), 64);
        bits.write(9, 8);
        bits.write(0b10, 2);
        bits.write(1f64.to_bits() ^ 2.5f64.to_bits(), 64);
        let mut out = Columns::default();
        assert_eq!(decode(&payload, &mut out), Ok(2));
        assert_eq!((out.timestamps, out.values), (vec![0, 9], vec![1.0, 2.5]));
    }

    proptest! {
        #[test]
        fn any_samples_survive_to_the_bit(samples in prop::collection::vec((
            prop_oneof![any::<i64>(), (-2000i64..2000), Just(15_000i64)],
            prop_oneof![any::<u64>(), Just(0x7ff0_0000_0000_0002), (0u64..4).prop_map(|v| (v as f64).to_bits())],
        ), 1..300)) {
            let mut t_ms = 0i64;
            let timestamps: Vec<i64> = samples
                .iter()
                .map(|sample| {
                    t_ms = t_ms.wrapping_add(sample.0);
                    t_ms
                })
                .collect();
            let values: Vec<f64> = samples.iter().map(|sample| f64::from_bits(sample.1)).collect();
            round_trip(&timestamps, &values);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut out = Columns::default();
            let _ = decode(&bytes, &mut out);
            prop_assert!(out.len() <= 1 + bytes.len() * 4);
        }
    }
}
