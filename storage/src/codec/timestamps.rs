//! Vectors of timestamps. Series of one scrape share theirs, so a vector is coded once
//! for many series and may take a moment.
//!
//! ```text
//! vector  = kind u8 | n varint | body
//! REGULAR = first | step                     t[i] = first + i x step
//! PATCHED = first | step | least | packed    plus the residual of each
//! DELTA   = first | least | [anchors] | packed    differences, offset from the least
//! DELTA2  = first | packed                   zigzag differences of differences
//! anchors = (groups - 1) x zigzag varint     time where a group begins, less the one before
//! ```
//!
//! `first`, `step` and `least` are zigzag varints, `packed` is `packed`. Anchors are in
//! vectors of more than 512 times only, one for each 256 differences: from there a range
//! is read without what is before it. DELTA2 is read from its beginning. Any vector of
//! `i64` is coded exactly; the order does not matter. Arithmetic wraps on both sides.

use std::ops::Range;

use super::bits::varint_len;
use super::varint::{self, unzigzag, zigzag};
use super::{CodecError, packed};

/// Vectors of more times have anchors.
const ANCHORED_LEN: usize = 512;
/// Differences from one anchor to the next; whole packed blocks.
const GROUP_LEN: usize = 256;

/// How a vector is coded; the discriminant is its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Equal steps.
    Regular = 0,
    /// Equal steps with jitter.
    Patched = 1,
    /// Steps of any size.
    Delta = 2,
    /// Steps that change slowly.
    DeltaOfDelta = 3,
}

/// Appends the shortest form of `t_ms` to `out`.
pub fn encode(t_ms: &[i64], out: &mut Vec<u8>) -> Kind {
    let first = t_ms.first().copied().unwrap_or(0);
    let step = typical_step(t_ms);
    let residual = |i: usize| t_ms[i].wrapping_sub(at(first, step, i));
    let is_regular = (0..t_ms.len()).all(|i| residual(i) == 0);

    let mut start = |kind: Kind, more: &[i64]| {
        out.push(kind as u8);
        varint::write_u64(out, t_ms.len() as u64);
        varint::write_i64(out, first);
        more.iter().for_each(|&value| varint::write_i64(out, value));
    };
    if is_regular {
        start(Kind::Regular, &[step]);
        return Kind::Regular;
    }

    let least = (0..t_ms.len()).map(residual).min().unwrap_or(0);
    let residuals: Vec<u64> = (0..t_ms.len())
        .map(|i| residual(i).wrapping_sub(least) as u64)
        .collect();
    let deltas: Vec<i64> = t_ms
        .windows(2)
        .map(|pair| pair[1].wrapping_sub(pair[0]))
        .collect();
    let least_delta = deltas.iter().copied().min().unwrap_or(0);
    let offsets: Vec<u64> = deltas
        .iter()
        .map(|d| d.wrapping_sub(least_delta) as u64)
        .collect();
    let mut previous = 0i64;
    let second = deltas.iter().map(|&delta| {
        let change = delta.wrapping_sub(previous);
        previous = delta;
        zigzag(change)
    });
    let second: Vec<u64> = second.collect();

    let anchors: Vec<i64> = (1..n_groups(t_ms.len()))
        .map(|group| t_ms[group * GROUP_LEN].wrapping_sub(t_ms[(group - 1) * GROUP_LEN]))
        .collect();
    let delta_fixed: Vec<i64> = std::iter::once(least_delta).chain(anchors).collect();

    // The few bytes of fixed parts are weighed, too: vectors may be short.
    let choices = [
        (Kind::Patched, &residuals, vec![step, least]),
        (Kind::Delta, &offsets, delta_fixed),
        (Kind::DeltaOfDelta, &second, vec![]),
    ];
    let len_bytes = |(_, words, more): &(Kind, &Vec<u64>, Vec<i64>)| {
        let mut packed = packed::Length::default();
        words.iter().for_each(|&word| packed.add(word));
        let fixed = more.iter().map(|&value| varint_len(zigzag(value)));
        fixed.sum::<usize>() + packed.len_bytes()
    };
    let [patched, delta, second] = choices;
    let mut best = patched;
    for choice in [delta, second] {
        if len_bytes(&choice) < len_bytes(&best) {
            best = choice;
        }
    }
    start(best.0, &best.2);
    packed::pack(best.1, out);
    best.0
}

/// Returns the number of groups of differences; 1 in vectors without anchors.
fn n_groups(n: usize) -> usize {
    if n > ANCHORED_LEN {
        (n - 1).div_ceil(GROUP_LEN)
    } else {
        1
    }
}

/// Appends the timestamps of a vector to `out` and returns how many there are; more
/// than `limit` are refused before anything is allocated.
///
/// # Errors
/// [`CodecError`] when `bytes` is no such vector.
pub fn decode(bytes: &[u8], limit: usize, out: &mut Vec<i64>) -> Result<usize, CodecError> {
    let vector = Vector::read(bytes, limit)?;
    vector.decode(0..vector.n, out)?;
    Ok(vector.n)
}

/// Appends those timestamps of a vector whose positions are in `range` to `out` and
/// returns how many the whole vector has; more than `limit` are refused.
///
/// # Errors
/// [`CodecError`] when `range` goes beyond the vector, or `bytes` is none as far as it
/// was looked at.
pub fn decode_range(
    bytes: &[u8],
    limit: usize,
    range: Range<usize>,
    out: &mut Vec<i64>,
) -> Result<usize, CodecError> {
    let vector = Vector::read(bytes, limit)?;
    if range.start > range.end || range.end > vector.n {
        return Err(CodecError::Invalid("range of timestamps"));
    }
    vector.decode(range, out)?;
    Ok(vector.n)
}

/// A vector of which the head is read.
struct Vector<'a> {
    kind: u8,
    n: usize,
    first: i64,
    rest: &'a [u8],
}

impl<'a> Vector<'a> {
    fn read(mut bytes: &'a [u8], limit: usize) -> Result<Vector<'a>, CodecError> {
        let rest = &mut bytes;
        let &kind = rest
            .split_off_first()
            .ok_or(CodecError::Truncated("timestamps"))?;
        let found = varint::read_u64(rest)?;
        let n = usize::try_from(found).ok().filter(|&n| n <= limit);
        let n = n.ok_or(CodecError::TooMany {
            found,
            limit: limit as u64,
        })?;
        let first = varint::read_i64(rest)?;
        Ok(Vector {
            kind,
            n,
            first,
            rest,
        })
    }

    fn decode(&self, range: Range<usize>, out: &mut Vec<i64>) -> Result<(), CodecError> {
        let Vector { n, first, .. } = *self;
        let mut rest = self.rest;
        let rest = &mut rest;
        let mut words = Vec::new();
        match self.kind {
            0 => {
                let step = varint::read_i64(rest)?;
                out.extend(range.map(|i| at(first, step, i)));
            }
            1 => {
                let step = varint::read_i64(rest)?;
                let first = first.wrapping_add(varint::read_i64(rest)?);
                packed::unpack_range(rest, n, range.clone(), &mut words)?;
                let patched = |(i, &word)| at(first, step, i).wrapping_add(word as i64);
                out.extend(range.zip(&words).map(patched));
            }
            2 | 3 if range.is_empty() => {}
            kind @ (2 | 3) => {
                let mut least = 0;
                let (mut t_ms, mut start) = (first, 0);
                if kind == 2 {
                    least = varint::read_i64(rest)?;
                    let mut anchor = first;
                    for group in 1..n_groups(n) {
                        anchor = anchor.wrapping_add(varint::read_i64(rest)?);
                        if group * GROUP_LEN <= range.start {
                            (t_ms, start) = (anchor, group * GROUP_LEN);
                        }
                    }
                }
                // The difference before a time stands one place before it.
                packed::unpack_range(rest, n - 1, start..range.end - 1, &mut words)?;
                let filled = out.len();
                let mut delta = 0i64;
                out.reserve(words.len() + 1);
                out.push(t_ms);
                out.extend(words.iter().map(|&word| {
                    delta = match kind {
                        2 => least.wrapping_add(word as i64),
                        _ => delta.wrapping_add(unzigzag(word)),
                    };
                    t_ms = t_ms.wrapping_add(delta);
                    t_ms
                }));
                out.drain(filled..filled + (range.start - start));
            }
            _ => return Err(CodecError::Invalid("kind of timestamps")),
        }
        Ok(())
    }
}

fn at(first: i64, step: i64, i: usize) -> i64 {
    first.wrapping_add(step.wrapping_mul(i as i64))
}

/// Returns the median step: the schedule, whatever a few gaps or late scrapes say.
fn typical_step(t_ms: &[i64]) -> i64 {
    let mut steps: Vec<i64> = t_ms
        .windows(2)
        .map(|pair| pair[1].wrapping_sub(pair[0]))
        .collect();
    if steps.is_empty() {
        return 0;
    }
    let middle = steps.len() / 2;
    *steps.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(t_ms: &[i64]) -> (Kind, usize) {
        let mut bytes = Vec::new();
        let kind = encode(t_ms, &mut bytes);
        let mut out = vec![42];
        assert_eq!(decode(&bytes, t_ms.len(), &mut out), Ok(t_ms.len()));
        assert_eq!(&out[1..], t_ms);
        for start in (0..=t_ms.len()).step_by(97) {
            for end in (start..=t_ms.len()).step_by(149) {
                out.truncate(1);
                let found = decode_range(&bytes, t_ms.len(), start..end, &mut out);
                assert_eq!(found, Ok(t_ms.len()));
                assert_eq!(&out[1..], &t_ms[start..end]);
            }
        }
        assert!(decode_range(&bytes, t_ms.len(), 0..t_ms.len() + 1, &mut out).is_err());
        if let Some(limit) = t_ms.len().checked_sub(1) {
            assert!(matches!(
                decode(&bytes, limit, &mut out),
                Err(CodecError::TooMany { .. })
            ));
        }
        (kind, bytes.len())
    }

    #[test]
    fn schedules_are_nearly_free() {
        let start = 1_700_000_000_123i64;
        let regular: Vec<i64> = (0..480).map(|i| start + i * 15_000).collect();
        assert_eq!(round_trip(&regular), (Kind::Regular, 12));

        let jitter: Vec<i64> = regular
            .iter()
            .zip(0..)
            .map(|(t, i)| t + (i * i * 31 + i * 7) % 6)
            .collect();
        let (kind, len) = round_trip(&jitter);
        assert_eq!(kind, Kind::Patched);
        assert!(len <= 20 + 480 * 3 / 8, "{len}");

        let mut gap = regular.clone();
        gap.drain(200..203);
        let (kind, len) = round_trip(&gap);
        assert_eq!(kind, Kind::Delta);
        assert!(len <= 30, "{len}");
    }

    #[test]
    fn short_vectors() {
        assert_eq!(round_trip(&[]).0, Kind::Regular);
        assert_eq!(round_trip(&[-5]).0, Kind::Regular);
        round_trip(&[i64::MIN, i64::MAX]);
        round_trip(&[i64::MAX, 0, i64::MIN, i64::MIN]);
    }

    proptest! {
        #[test]
        fn round_trips_any_vector(t_ms in prop_oneof![
            prop::collection::vec(any::<i64>(), 0..300),
            (any::<i64>(), prop::collection::vec(
                prop_oneof![9 => Just(15_000i64), 1 => 0i64..100_000], 0..1500
            )).prop_map(|(start, steps)| {
                steps.iter().scan(start, |t, step| { *t = t.wrapping_add(*step); Some(*t) }).collect()
            }),
        ]) {
            round_trip(&t_ms);
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>, kind in 0u8..5) {
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            let mut out = Vec::new();
            let _ = decode(&bytes, 5000, &mut out);
            prop_assert!(out.len() <= 5000);
            let _ = decode_range(&bytes, 5000, 700..1000, &mut out);
        }
    }
}
