//! Which times of a shared vector a chunk has samples at.
//!
//! ```text
//! presence = n_runs varint | n_runs x (gap varint, length - 1 varint)
//! ```
//!
//! The runs are those of missing positions, in ascending order; a gap is the number of
//! present ones since the run before. A series that began late or ended early, or missed
//! a scrape or two of its target, shares the vector of the target for a few bytes.

use std::ops::Range;

use super::{CodecError, varint};

/// A vector of timestamps less some of its positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    /// Positions of the vector.
    n: u32,
    n_missing: u32,
    /// Missing positions, neither empty nor touching.
    runs: Vec<Range<u32>>,
}

impl Presence {
    /// Returns which of the times of `vector` are in `times`, both ascending; or `None`
    /// where `times` has others, too, or `vector` has more than fit 32 bits.
    pub fn of(vector: &[i64], times: &[i64]) -> Option<Presence> {
        let mut presence = Presence {
            n: u32::try_from(vector.len()).ok()?,
            ..Presence::default()
        };
        let mut times = times.iter().peekable();
        for (&t_ms, position) in vector.iter().zip(0..) {
            if times.next_if_eq(&&t_ms).is_none() {
                presence.miss(position);
            }
        }
        times.next().is_none().then_some(presence)
    }

    fn miss(&mut self, position: u32) {
        self.n_missing += 1;
        match self.runs.last_mut() {
            Some(run) if run.end == position => run.end += 1,
            _ => self.runs.push(position..position + 1),
        }
    }

    /// Returns how many positions are present.
    pub fn n_present(&self) -> usize {
        (self.n - self.n_missing) as usize
    }

    /// Returns how many of the positions before `position` are present.
    pub fn n_present_before(&self, position: usize) -> usize {
        let missing = self.runs.iter().map(|run| {
            let end = (run.end as usize).min(position);
            end.saturating_sub(run.start as usize)
        });
        position.min(self.n as usize) - missing.sum::<usize>()
    }

    /// Appends the present ones of those times of a vector that stand at `positions`.
    ///
    /// `times` is that part of the vector.
    pub fn keep(&self, positions: Range<usize>, times: &[i64], out: &mut Vec<i64>) {
        let mut next = positions.start;
        for run in &self.runs {
            let (start, end) = (run.start as usize, run.end as usize);
            if start > next {
                let until = start.min(positions.end);
                out.extend(
                    times
                        .get(next - positions.start..until - positions.start)
                        .unwrap_or_default(),
                );
            }
            next = next.max(end);
            if next >= positions.end {
                return;
            }
        }
        out.extend(times.get(next - positions.start..).unwrap_or_default());
    }

    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::write_u64(out, self.runs.len() as u64);
        let mut next = 0;
        for run in &self.runs {
            varint::write_u64(out, u64::from(run.start - next));
            varint::write_u64(out, u64::from(run.end - run.start - 1));
            next = run.end;
        }
    }

    /// Takes the presence in a vector of `n` times off the front of `bytes`.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes end early or name positions beyond `n`.
    pub fn decode(bytes: &mut &[u8], n: usize) -> Result<Presence, CodecError> {
        const INVALID: CodecError = CodecError::Invalid("position in a vector");
        let n = u32::try_from(n).map_err(|_| INVALID)?;
        let found = varint::read_u64(bytes)?;
        // A run takes two bytes and a position at least.
        if found > bytes.len() as u64 / 2 {
            return Err(CodecError::Truncated("runs of missing times"));
        }
        let mut presence = Presence {
            n,
            n_missing: 0,
            runs: Vec::with_capacity(found as usize),
        };
        let mut next = 0u64;
        for i in 0..found {
            let gap = varint::read_u64(bytes)?;
            let start = next.saturating_add(gap);
            let end = start.saturating_add(varint::read_u64(bytes)?.saturating_add(1));
            if end > u64::from(n) || (gap == 0 && i > 0) {
                return Err(INVALID);
            }
            presence.n_missing += (end - start) as u32;
            presence.runs.push(start as u32..end as u32);
            next = end;
        }
        Ok(presence)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(n: usize) -> Vec<i64> {
        (0..n as i64).map(|i| 1_000 + i * 15_000).collect()
    }

    #[test]
    fn a_late_start_and_a_missed_scrape_take_five_bytes() {
        let times = vector(480);
        let mut present = times[100..].to_vec();
        present.remove(50);
        let presence = Presence::of(&times, &present).unwrap();
        assert_eq!(presence.n_present(), 379);
        let mut bytes = Vec::new();
        presence.encode(&mut bytes);
        assert_eq!(bytes, [2, 0, 99, 50, 0]);
    }

    #[test]
    fn other_times_are_not_in_the_vector() {
        let times = vector(10);
        assert_eq!(Presence::of(&times, &[1_001]), None);
        assert_eq!(Presence::of(&times, &[1_000, 1_000]), None);
        assert_eq!(Presence::of(&times[..5], &times), None);
        assert_eq!(Presence::of(&times, &[]).unwrap().n_present(), 0);
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_was_present(
            present in prop::collection::vec(prop::bool::weighted(0.8), 0..500),
            ends: (prop::sample::Index, prop::sample::Index),
        ) {
            let n = present.len();
            let times = vector(n);
            let kept = |range: Range<usize>| -> Vec<i64> {
                range.filter(|&i| present[i]).map(|i| times[i]).collect()
            };
            let presence = Presence::of(&times, &kept(0..n)).unwrap();
            let mut bytes = Vec::new();
            presence.encode(&mut bytes);
            bytes.push(7);
            let mut rest = &bytes[..];
            let read = Presence::decode(&mut rest, n).unwrap();
            prop_assert_eq!(rest, [7]);
            prop_assert_eq!(&read, &presence);
            prop_assert_eq!(read.n_present(), kept(0..n).len());
            for position in 0..=n {
                prop_assert_eq!(read.n_present_before(position), kept(0..position).len());
            }
            let [a, b] = [ends.0, ends.1].map(|end| end.index(n + 1));
            let range = a.min(b)..a.max(b);
            let mut out = vec![5];
            read.keep(range.clone(), &times[range.clone()], &mut out);
            prop_assert_eq!(&out[1..], &kept(range)[..]);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, n in 0usize..1000) {
            if let Ok(presence) = Presence::decode(&mut &bytes[..], n) {
                prop_assert!(presence.n_present() <= n);
                let mut out = Vec::new();
                presence.keep(0..n, &vector(n), &mut out);
                prop_assert_eq!(out.len(), presence.n_present());
            }
        }
    }
}
