//! Vectors of timestamps. Series of one scrape share theirs, so a vector is coded once
//! for many series and may take a moment.
//!
//! ```text
//! vector  = kind u8 | n varint | body
//! REGULAR = first | step                     t[i] = first + i x step
//! PATCHED = first | step | least | packed    plus the residual of each
//! DELTA   = first | least | packed           differences, offset from the least
//! DELTA2  = first | packed                   zigzag differences of differences
//! ```
//!
//! `first`, `step` and `least` are zigzag varints, `packed` is `packed`. Any vector of
//! `i64` is coded exactly; the order does not matter. Arithmetic wraps on both sides.

use super::varint::{self, unzigzag, zigzag};
use super::{CodecError, packed};

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

    // The few bytes of fixed parts are weighed, too: vectors may be short.
    let choices = [
        (Kind::Patched, &residuals, vec![step, least]),
        (Kind::Delta, &offsets, vec![least_delta]),
        (Kind::DeltaOfDelta, &second, vec![]),
    ];
    let len_bytes = |(_, words, more): &(Kind, &Vec<u64>, Vec<i64>)| {
        let fixed = more
            .iter()
            .map(|&v| super::bits::width(zigzag(v)).div_ceil(7).max(1));
        fixed.sum::<u32>() as usize + packed::packed_len(words)
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

/// Appends the timestamps of a vector to `out` and returns how many there are; more
/// than `limit` are refused before anything is allocated.
///
/// # Errors
/// [`CodecError`] when `bytes` is no such vector.
pub fn decode(mut bytes: &[u8], limit: usize, out: &mut Vec<i64>) -> Result<usize, CodecError> {
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
    let mut words = Vec::new();
    match kind {
        0 => {
            let step = varint::read_i64(rest)?;
            out.extend((0..n).map(|i| at(first, step, i)));
        }
        1 => {
            let step = varint::read_i64(rest)?;
            let first = first.wrapping_add(varint::read_i64(rest)?);
            packed::unpack(rest, n, &mut words)?;
            let patched = |(i, &word)| at(first, step, i).wrapping_add(word as i64);
            out.extend(words.iter().enumerate().map(patched));
        }
        2 | 3 => {
            let least = if kind == 2 {
                varint::read_i64(rest)?
            } else {
                0
            };
            let Some(steps) = n.checked_sub(1) else {
                return Ok(0);
            };
            packed::unpack(rest, steps, &mut words)?;
            let (mut t_ms, mut delta) = (first, 0i64);
            out.reserve(n);
            out.push(first);
            out.extend(words.iter().map(|&word| {
                delta = match kind {
                    2 => least.wrapping_add(word as i64),
                    _ => delta.wrapping_add(unzigzag(word)),
                };
                t_ms = t_ms.wrapping_add(delta);
                t_ms
            }));
        }
        _ => return Err(CodecError::Invalid("kind of timestamps")),
    }
    Ok(n)
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
            (any::<i64>(), prop::collection::vec(0i64..100_000, 0..300)).prop_map(|(start, steps)| {
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
        }
    }
}
