//! The dictionary of timestamp vectors: series of one scrape share their times.
//!
//! ```text
//! vector = first varint | span varint | n varint | the times as `codec::timestamps`
//! ```
//!
//! `first` counts from the first millisecond of the block, `span` from `first`; the times
//! are coded as differences to the first. Each vector is stored once. A chunk refers to
//! a vector, to a slice of one, or to a slice of which a few times are left out.
//!
//! A vector enters the dictionary when it is seen for the second time, or at once where
//! it costs next to nothing because its steps are equal. Others are the chunk's own.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::entry::Times;
use crate::codec::presence::Presence;
use crate::codec::varint::{read_u64, write_u64};
use crate::codec::{CodecError, sealed, timestamps};

/// Parts of the block's range that each vector can be found by.
const N_PARTS: i64 = 16;

/// A slice may lack one in so many of its times.
const MISSING_SHARE: usize = 8;

/// Bounds of the dictionary while it is written. Past them times are the chunk's own.
const MAX_BYTES: usize = 32 << 20;
const MAX_VECTORS: usize = 1 << 20;
const MAX_SEEN: usize = 1 << 21;
const MAX_PLACES: usize = 1 << 20;

/// Times that are kept decoded, for comparisons.
const MAX_DECODED: usize = 2 << 20;

/// The dictionary while it is written.
#[derive(Debug)]
pub(super) struct Vectors {
    range: Range<i64>,
    encoded: Vec<u8>,
    /// Where each vector ends in `encoded`.
    ends: Vec<u32>,
    hashes: Vec<u64>,
    by_hash: HashTable<u32>,
    /// Hashes of vectors that came once.
    seen: HashSet<u64, RandomState>,
    /// The first time of a vector in a part of the range, and the vector.
    places: HashMap<i64, u32, RandomState>,
    decoded: HashMap<u32, Box<[i64]>, RandomState>,
    n_decoded: usize,
    hasher: RandomState,
}

impl Vectors {
    /// Returns an empty dictionary of a block with this range.
    pub(super) fn new(range: Range<i64>) -> Vectors {
        Vectors {
            range,
            encoded: Vec::new(),
            ends: Vec::new(),
            hashes: Vec::new(),
            by_hash: HashTable::new(),
            seen: HashSet::default(),
            places: HashMap::default(),
            decoded: HashMap::default(),
            n_decoded: 0,
            hasher: RandomState::default(),
        }
    }

    /// Finds times, which ascend and are not empty, or adds them. `None` where they are to
    /// be stored with their chunk.
    pub(super) fn place(&mut self, t_ms: &[i64]) -> Option<Times> {
        let hash = self.hasher.hash_one(t_ms);
        if let Some(vector) = self.find(hash, t_ms) {
            return Some(Times::Whole { vector });
        }
        if let Some(slice) = self.find_around(t_ms) {
            return Some(slice);
        }
        if is_regular(t_ms) || self.seen.contains(&hash) {
            let vector = self.add(hash, t_ms)?;
            return Some(Times::Whole { vector });
        }
        if self.seen.len() < MAX_SEEN {
            self.seen.insert(hash);
        }
        None
    }

    /// Returns the bytes of all vectors and where each ends.
    pub(super) fn finish(self) -> (Vec<u8>, Vec<u32>) {
        (self.encoded, self.ends)
    }

    fn find(&mut self, hash: u64, t_ms: &[i64]) -> Option<u32> {
        let hashes = &self.hashes;
        let same = |&vector: &u32| hashes[vector as usize] == hash;
        let vector = *self.by_hash.find(hash, same)?;
        (self.decoded(vector) == t_ms).then_some(vector)
    }

    /// Finds a vector that has all these times and few others between.
    fn find_around(&mut self, t_ms: &[i64]) -> Option<Times> {
        let mut tried = None;
        let mut rest = t_ms;
        while let Some(&first) = rest.first() {
            if let Some(&vector) = self.places.get(&first)
                && tried != Some(vector)
            {
                tried = Some(vector);
                if let Some(found) = self.is_within(vector, t_ms) {
                    return Some(found);
                }
            }
            let end = self.part_end(self.part(first));
            rest = &rest[rest.partition_point(|&t| t < end)..];
        }
        None
    }

    fn is_within(&mut self, vector: u32, t_ms: &[i64]) -> Option<Times> {
        let whole = self.decoded(vector);
        let start = whole.binary_search(&t_ms[0]).ok()?;
        let len = slice_len(&whole[start..], t_ms)?;
        let presence = if len == t_ms.len() {
            None
        } else {
            Some(Presence::of(&whole[start..start + len], t_ms)?)
        };
        Some(Times::Slice {
            vector,
            start: start as u32,
            len: len as u32,
            presence,
        })
    }

    fn add(&mut self, hash: u64, t_ms: &[i64]) -> Option<u32> {
        if self.encoded.len() > MAX_BYTES || self.ends.len() >= MAX_VECTORS {
            return None;
        }
        let vector = self.ends.len() as u32;
        encode(t_ms, self.range.start, &mut self.encoded);
        self.ends.push(self.encoded.len() as u32);
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.by_hash
            .insert_unique(hash, vector, |&vector| hashes[vector as usize]);
        let mut rest = t_ms;
        while let Some(&first) = rest.first() {
            if self.places.len() >= MAX_PLACES {
                break;
            }
            self.places.entry(first).or_insert(vector);
            let end = self.part_end(self.part(first));
            rest = &rest[rest.partition_point(|&t| t < end)..];
        }
        self.remember(vector, t_ms.into());
        Some(vector)
    }

    fn part_ms(&self) -> i64 {
        self.range.end.saturating_sub(self.range.start) / N_PARTS + 1
    }

    fn part(&self, t_ms: i64) -> i64 {
        t_ms.saturating_sub(self.range.start) / self.part_ms()
    }

    fn part_end(&self, part: i64) -> i64 {
        let end = (part + 1).saturating_mul(self.part_ms());
        self.range.start.saturating_add(end)
    }

    fn decoded(&mut self, vector: u32) -> &[i64] {
        if !self.decoded.contains_key(&vector) {
            let at = vector as usize;
            let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            let bytes = &self.encoded[start as usize..self.ends[at] as usize];
            let mut t_ms = Vec::new();
            let head = Vector::read(bytes, self.range.start);
            let read = head.and_then(|head| head.decode(0..head.n, &mut t_ms));
            debug_assert_eq!(read, Ok(()), "what was written can be read");
            self.remember(vector, t_ms.into_boxed_slice());
        }
        &self.decoded[&vector]
    }

    fn remember(&mut self, vector: u32, t_ms: Box<[i64]>) {
        if self.n_decoded + t_ms.len() > MAX_DECODED {
            self.decoded.clear();
            self.n_decoded = 0;
        }
        self.n_decoded += t_ms.len();
        self.decoded.insert(vector, t_ms);
    }
}

/// Returns how many times of `whole`, from its first on, hold all of `t_ms`, which begins
/// with the same. `None` where some are not in `whole`, or too many others are.
fn slice_len(whole: &[i64], t_ms: &[i64]) -> Option<usize> {
    let (mut at, mut missing) = (0, 0);
    for &t in t_ms {
        while *whole.get(at)? < t {
            at += 1;
            missing += 1;
            if missing * MISSING_SHARE > t_ms.len() {
                return None;
            }
        }
        if whole[at] != t {
            return None;
        }
        at += 1;
    }
    Some(at)
}

fn is_regular(t_ms: &[i64]) -> bool {
    let mut steps = t_ms.windows(2).map(|pair| pair[1] - pair[0]);
    let first = steps.next();
    steps.all(|step| Some(step) == first)
}

/// Appends a vector whose times ascend from `base` on.
fn encode(t_ms: &[i64], base: i64, out: &mut Vec<u8>) {
    let (first, last) = (t_ms[0], t_ms[t_ms.len() - 1]);
    write_u64(out, first.wrapping_sub(base) as u64);
    write_u64(out, last.wrapping_sub(first) as u64);
    write_u64(out, t_ms.len() as u64);
    encode_times(t_ms, out);
}

/// Appends times as differences to the first.
pub(super) fn encode_times(t_ms: &[i64], out: &mut Vec<u8>) {
    let first = t_ms.first().copied().unwrap_or(0);
    let relative: Vec<i64> = t_ms.iter().map(|t| t.wrapping_sub(first)).collect();
    timestamps::encode(&relative, out);
}

/// A vector of the dictionary, or the times of a chunk, at rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector<'a> {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) n: usize,
    times: &'a [u8],
}

impl<'a> Vector<'a> {
    /// Reads the head of a vector of the dictionary of a block that begins at `base`.
    #[inline]
    pub(super) fn read(mut bytes: &'a [u8], base: i64) -> Result<Vector<'a>, CodecError> {
        let (first, span) = (read_u64(&mut bytes)?, read_u64(&mut bytes)?);
        Vector::of_parts(base, first, span, read_u64(&mut bytes)?, bytes)
    }

    /// Returns the vector with these fields.
    #[inline]
    pub(super) fn of_parts(
        base: i64,
        first: u64,
        span: u64,
        n: u64,
        times: &'a [u8],
    ) -> Result<Vector<'a>, CodecError> {
        let n = usize::try_from(n).ok();
        let n = n.filter(|n| (1..=sealed::MAX_VALUES).contains(n));
        let first = base.checked_add_unsigned(first);
        let last = first.and_then(|first| first.checked_add_unsigned(span));
        match (n, first, last) {
            (Some(n), Some(first), Some(last)) => Ok(Vector {
                first,
                last,
                n,
                times,
            }),
            _ => Err(CodecError::Invalid("head of a timestamp vector")),
        }
    }

    /// Returns the step, where all steps are equal and that is how it is coded. It is
    /// above 0 but for a single time.
    #[inline]
    pub(super) fn step(&self) -> Option<i64> {
        if self.times.first() != Some(&(timestamps::Kind::Regular as u8)) {
            return None;
        }
        let steps = self.n as i64 - 1;
        let span = self.last.checked_sub(self.first)?;
        if steps == 0 {
            return (span == 0).then_some(0);
        }
        // Another span comes of damage; decoding will say so.
        (span >= steps && span % steps == 0).then_some(span / steps)
    }

    /// Appends the times at the positions in `range`; they ascend.
    #[inline]
    pub(super) fn decode(&self, range: Range<usize>, out: &mut Vec<i64>) -> Result<(), CodecError> {
        if range.end > self.n {
            return Err(CodecError::Invalid("slice of a timestamp vector"));
        }
        if let Some(step) = self.step() {
            out.extend(range.map(|i| self.first + step * i as i64));
            return Ok(());
        }
        let start = out.len();
        let n = timestamps::decode_range(self.times, self.n, range.clone(), out)?;
        let times = out.get_mut(start..).unwrap_or_default();
        times
            .iter_mut()
            .for_each(|t| *t = t.wrapping_add(self.first));
        let fits = n == self.n
            && times.len() == range.len()
            && times.is_sorted_by(|a, b| a < b)
            && (range.start > 0 || times.first().is_none_or(|&t| t == self.first))
            && (range.end < n || times.last().is_none_or(|&t| t == self.last));
        if !fits {
            return Err(CodecError::Invalid("timestamp vector"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    /// Times of a scrape that is a little late now and then.
    fn jittered(n: i64) -> Vec<i64> {
        (0..n).map(|i| 1000 + i * 15_000 + i * i % 7).collect()
    }

    #[test]
    fn the_second_of_its_kind_is_shared() {
        let mut vectors = Vectors::new(0..2 * HOUR);
        let times = jittered(480);
        let whole = |vector| Some(Times::Whole { vector });
        assert_eq!(vectors.place(&times), None);
        assert_eq!(vectors.place(&times), whole(0));
        assert_eq!(vectors.place(&times), whole(0));
        let regular: Vec<i64> = (0..480).map(|i| 7 + i * 15_000).collect();
        assert_eq!(vectors.place(&regular), whole(1));
        assert_eq!(vectors.place(&[77]), whole(2));
        let (bytes, ends) = vectors.finish();
        assert_eq!(ends.len(), 3);
        let read = |from: u32, to: u32| {
            let mut out = Vec::new();
            let vector = Vector::read(&bytes[from as usize..to as usize], 0).unwrap();
            vector.decode(0..vector.n, &mut out).unwrap();
            assert_eq!((out[0], out[out.len() - 1]), (vector.first, vector.last));
            out
        };
        assert_eq!(read(0, ends[0]), times);
        assert_eq!(read(ends[0], ends[1]), regular);
        assert_eq!(read(ends[1], ends[2]), [77]);
        assert!(ends[1] - ends[0] < 20, "{ends:?}");
    }

    #[test]
    fn parts_of_a_vector_refer_to_it() {
        let mut vectors = Vectors::new(0..2 * HOUR);
        let times = jittered(480);
        vectors.place(&times);
        vectors.place(&times);
        let slice = |start: usize, len: usize, of: &[i64]| {
            let whole = &times[start..start + len];
            Some(Times::Slice {
                vector: 0,
                start: start as u32,
                len: len as u32,
                presence: Presence::of(whole, of).filter(|_| whole != of),
            })
        };
        let part = &times[13..400];
        assert_eq!(vectors.place(part), slice(13, 387, part));
        let mut gaps = times.clone();
        gaps.remove(300);
        gaps.drain(1..3);
        let found = vectors.place(&gaps);
        assert_eq!(found, slice(0, 480, &gaps));
        let Some(Times::Slice { presence, .. }) = found else {
            unreachable!();
        };
        assert_eq!(presence.unwrap().n_present(), 477);
        let part = &times[..479];
        assert_eq!(vectors.place(part), slice(0, 479, part));
        // Half of them are missing: that is another rhythm.
        let half: Vec<i64> = times.iter().copied().step_by(2).collect();
        assert_eq!(vectors.place(&half), None);
        let mut other = times.clone();
        other[200] += 1;
        assert_eq!(vectors.place(&other), None);
    }

    proptest! {
        #[test]
        fn every_slice_is_read(steps in prop::collection::vec(1i64..100_000, 1..300), regular: bool, a in 0usize..300, b in 0usize..300) {
            let mut t = -50_000;
            let times: Vec<i64> = steps.iter().map(|step| { t += if regular { 10 } else { *step }; t }).collect();
            let mut bytes = Vec::new();
            encode(&times, -60_000, &mut bytes);
            let vector = Vector::read(&bytes, -60_000).unwrap();
            prop_assert_eq!(vector.n, times.len());
            let (a, b) = (a.min(times.len()), b.min(times.len()));
            let mut out = vec![5];
            vector.decode(a.min(b)..a.max(b), &mut out).unwrap();
            prop_assert_eq!(&out[1..], &times[a.min(b)..a.max(b)]);
            prop_assert!(vector.decode(0..times.len() + 1, &mut out).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, base: i64) {
            if let Ok(vector) = Vector::read(&bytes, base) {
                let mut out = Vec::new();
                let _ = vector.decode(0..vector.n, &mut out);
                prop_assert!(out.len() <= sealed::MAX_VALUES);
            }
        }
    }
}
