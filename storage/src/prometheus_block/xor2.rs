//! The payload of a float chunk, encoding 4, as Prometheus 3 writes it when told to.
//!
//! ```text
//! | n u16 | start u8 | bits |
//!
//! sample 0     t as varint, 64 bits of the value; a start
//! sample 1     t1 - t0 as uvarint, value; a start
//! sample 2...  0                 same difference of times, same value
//!              10                same difference, then 0 value in the last window
//!                                                 or   1 value in a new window
//!              110 + 13 bits     change of the difference, value
//!              1110 + 20 bits    change, value
//!              11110 + 64 bits   change, value
//!              11111             same difference, stale marker
//!              then a start
//! value        0 same, 10 last window, 110 new window, 111 stale marker
//! start        one varbit where the chunk has it from this sample on, else nothing
//! ```
//!
//! The high bit of the byte in front says that sample 0 has a start, the others from
//! which sample on there is one, 0 for never. A start is the time since it: until the
//! sample itself as a varint for sample 0, and until the sample before, as a change of
//! the last such field, for the others. A start at time 0 says that there is none.
//!
//! Changes are plain two's complement here. Windows are those of [`super::xor`], but a
//! stale marker is no value to differ from: the last other one stays.
//!
//! Start times of samples are read over and counted; there is no place for them.

use super::columns::Columns;
use super::varbit::{read_int, read_prefix};
use super::xor::{read_n, read_uvarint, read_varint};
use crate::codec::CodecError;
use crate::codec::bits::BitReader;
use crate::model::{is_stale_marker, stale_marker};

/// Samples of a payload, and whether they said when they started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) n: usize,
    pub(super) has_starts: bool,
}

/// Appends the samples of a payload to `out`.
///
/// # Errors
/// [`CodecError`] when the bytes end early or are not valid.
pub(super) fn decode(payload: &[u8], out: &mut Columns) -> Result<Decoded, CodecError> {
    let (n, rest) = read_n(payload)?;
    let Some((&start, rest)) = rest.split_first() else {
        return Err(CodecError::Truncated("start times"));
    };
    let mut has_starts = false;
    if n == 0 {
        return Ok(Decoded { n, has_starts });
    }
    // From which sample on a start is written; 0 for never.
    let starts_from = usize::from(start & 0x7f);
    let mut bits = BitReader::new(rest);
    let mut t_ms = read_varint(&mut bits)?;
    let first = f64::from_bits(bits.read(64)?);
    let mut value = Value {
        last: if is_stale_marker(first) {
            0
        } else {
            first.to_bits()
        },
        leading: 0,
        significant: 64,
    };
    out.push(t_ms, first);
    if start & 0x80 != 0 {
        has_starts |= read_varint(&mut bits)? != t_ms;
    }
    let (mut step, mut since_start) = (0i64, 0i64);
    for i in 1..n {
        let sample = if i == 1 {
            step = read_uvarint(&mut bits)? as i64;
            value.read(&mut bits)?
        } else {
            match read_prefix(&mut bits, 5)? {
                0 => value.same(),
                1 if bits.read(1)? == 0 => value.in_last_window(&mut bits)?,
                1 => value.in_new_window(&mut bits)?,
                5 => stale_marker(),
                prefix => {
                    let width = [13, 20, 64][prefix as usize - 2];
                    let field = bits.read(width)?;
                    let change = (field << (64 - width)) as i64 >> (64 - width);
                    step = step.wrapping_add(change);
                    value.read(&mut bits)?
                }
            }
        };
        if starts_from > 0 && i >= starts_from {
            since_start = since_start.wrapping_add(read_int(&mut bits)?);
            has_starts |= since_start != t_ms;
        }
        t_ms = t_ms.wrapping_add(step);
        out.push(t_ms, sample);
    }
    Ok(Decoded { n, has_starts })
}

/// The value to differ from, and the window of bits that may.
struct Value {
    last: u64,
    leading: u32,
    significant: u32,
}

impl Value {
    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<f64, CodecError> {
        match read_prefix(bits, 3)? {
            0 => Ok(self.same()),
            1 => self.in_last_window(bits),
            2 => self.in_new_window(bits),
            _ => Ok(stale_marker()),
        }
    }

    fn same(&self) -> f64 {
        f64::from_bits(self.last)
    }

    fn in_last_window(&mut self, bits: &mut BitReader<'_>) -> Result<f64, CodecError> {
        let significant = bits.read(self.significant)?;
        self.last ^= significant << (64 - self.significant - self.leading);
        Ok(self.same())
    }

    fn in_new_window(&mut self, bits: &mut BitReader<'_>) -> Result<f64, CodecError> {
        self.leading = bits.read(5)? as u32;
        let count = bits.read(6)? as u32;
        self.significant = if count == 0 { 64 } else { count };
        if self.leading + self.significant > 64 {
            return Err(CodecError::Invalid("window of an XOR value"));
        }
        self.in_last_window(bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Chunks made by Prometheus' own encoder.
    fn vector(name: &str) -> Vec<u8> {
        let lines = include_str!("xor2_vectors.txt").lines();
        let mut found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let hex = found.next().unwrap();
        (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
            .collect()
    }

    /// The samples of the vectors: every field of every width, and stale markers.
    fn samples() -> Vec<(i64, f64)> {
        let steps = [
            15_000,
            15_000,
            15_000,
            15_000,
            15_001,
            14_990,
            19_000,
            15_000,
            15_000,
            600_000,
            15_000,
            15_000,
            3_000_000_000,
            15_000,
            15_000,
            15_000,
            15_000,
            15_000,
            15_001,
            15_000,
            15_000,
            15_000,
            10_904,
            15_000,
            19_095,
            15_000,
            15_000,
            539_287,
            15_000,
        ];
        let stale = stale_marker();
        let values = [5.0, 5.0, 6.0, stale, 6.0, -1.25e300, 0.1, 0.1, stale];
        let mut t_ms = 1_700_000_000_000;
        let mut samples = Vec::new();
        for (step, value) in steps.into_iter().zip(values.into_iter().cycle()) {
            samples.push((t_ms, value));
            t_ms += step;
        }
        samples
    }

    fn check(name: &str, samples: &[(i64, f64)], has_starts: bool) {
        let mut out = Columns::default();
        let n = samples.len();
        let decoded = decode(&vector(name), &mut out);
        assert_eq!(decoded, Ok(Decoded { n, has_starts }), "{name}");
        for (i, &(t_ms, value)) in samples.iter().enumerate() {
            assert_eq!(out.timestamps[i], t_ms, "{name}, sample {i}");
            assert_eq!(
                out.values[i].to_bits(),
                value.to_bits(),
                "{name}, sample {i}"
            );
        }
        assert_eq!(out.len(), n);
    }

    #[test]
    fn what_prometheus_encodes_is_decoded() {
        let plain = samples();
        check("plain", &plain, false);
        for name in ["one_start", "starts_from_5", "starts_from_0"] {
            check(name, &plain, true);
        }
        let mut stale_first = plain;
        stale_first[0].1 = stale_marker();
        stale_first[1].1 = stale_marker();
        stale_first[2].1 = 3.0;
        check("stale_first", &stale_first, false);
        // So many samples make the encoder write starts, though there are none.
        let long: Vec<_> = (0..140).map(|i| (i * 1000, (i % 3) as f64)).collect();
        check("long", &long, false);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>, n: u8) {
            if let Some(first) = bytes.first_mut() {
                *first = n % 2;
            }
            let mut out = Columns::default();
            let _ = decode(&bytes, &mut out);
            prop_assert!(out.len() <= 1 + bytes.len() * 8);
        }
    }
}
