//! What was deleted from a block since it was written.
//!
//! ```text
//! file     = magic 8 | ulid u128 | n varint | n x series | crc u32 of all before
//! series   = number - previous number varint | n varint | n x interval
//! interval = start - end of the previous one varint | end - start varint
//! ```
//!
//! Intervals are closed, ascend and do not touch. The first of a series counts from the
//! first millisecond of the block. The file is replaced as a whole.

use std::collections::BTreeMap;
use std::path::Path;

use super::{BlockError, Ulid};
use crate::codec::varint::{read_u64, write_u64};
use crate::codec::{CodecError, crc};
use crate::model::TimeRange;

/// Name of the file.
pub(super) const TOMBSTONES_FILE: &str = "tombstones";

/// Most bytes of the file.
pub(super) const MAX_BYTES: u64 = 256 << 20;

const MAGIC: &[u8; 8] = b"KYMOBLKT";
const HEADER_BYTES: usize = 24;

/// Deleted intervals by series.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tombstones {
    by_series: BTreeMap<u32, Vec<TimeRange>>,
}

impl Tombstones {
    /// Tells whether nothing is deleted.
    pub(super) fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }

    /// Counts the intervals.
    pub(super) fn len(&self) -> u64 {
        self.by_series
            .values()
            .map(|ranges| ranges.len() as u64)
            .sum()
    }

    /// Returns what is deleted of a series.
    pub(super) fn of(&self, series: u32) -> &[TimeRange] {
        self.by_series.get(&series).map_or(&[], Vec::as_slice)
    }

    /// Adds an interval, which is not empty.
    pub(super) fn add(&mut self, series: u32, range: TimeRange) {
        let ranges = self.by_series.entry(series).or_default();
        // Those that overlap or touch the new one become part of it.
        let start = ranges.partition_point(|r| r.end_ms.saturating_add(1) < range.start_ms);
        let end = ranges.partition_point(|r| r.start_ms <= range.end_ms.saturating_add(1));
        let joined = ranges[start..end].iter().fold(range, |joined, r| {
            TimeRange::new(joined.start_ms.min(r.start_ms), joined.end_ms.max(r.end_ms))
        });
        ranges.splice(start..end, [joined]);
    }

    /// Writes the file of the block `ulid` that begins at `base`; no interval begins before.
    pub(super) fn encode(&self, ulid: Ulid, base: i64) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&ulid.bits().to_le_bytes());
        write_u64(&mut out, self.by_series.len() as u64);
        let mut next_series = 0;
        for (&series, ranges) in &self.by_series {
            write_u64(&mut out, u64::from(series - next_series));
            next_series = series;
            write_u64(&mut out, ranges.len() as u64);
            let mut before = base;
            for range in ranges {
                write_u64(&mut out, range.start_ms.wrapping_sub(before) as u64);
                write_u64(&mut out, range.end_ms.wrapping_sub(range.start_ms) as u64);
                before = range.end_ms;
            }
        }
        let sum = crc::ieee(&[&out]);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the file of the block `ulid` that begins at `base` and has `n_series` series.
    pub(super) fn decode(
        bytes: &[u8],
        path: &Path,
        ulid: Ulid,
        base: i64,
        n_series: u32,
    ) -> Result<Tombstones, BlockError> {
        let corrupt = |detail: &str| BlockError::corrupt(path, 0, detail);
        let (body, sum) = bytes
            .split_last_chunk::<4>()
            .filter(|(body, _)| body.len() >= HEADER_BYTES)
            .ok_or_else(|| corrupt("it is too short"))?;
        if crc::ieee(&[body]).to_le_bytes() != *sum {
            return Err(corrupt("its checksum does not fit"));
        }
        let (header, body) = body.split_at(HEADER_BYTES);
        if header[..8] != *MAGIC || header[8..] != ulid.bits().to_le_bytes() {
            return Err(corrupt("it belongs to another block"));
        }
        let mut rest = body;
        let read = Tombstones::read(&mut rest, base, n_series);
        read.map_err(|error| {
            let at = HEADER_BYTES + body.len() - rest.len();
            BlockError::corrupt(path, at as u64, error.to_string())
        })
    }

    fn read(rest: &mut &[u8], base: i64, n_series: u32) -> Result<Tombstones, CodecError> {
        const BAD_SERIES: CodecError = CodecError::Invalid("series of a tombstone");
        const BAD_INTERVAL: CodecError = CodecError::Invalid("interval of a tombstone");
        let mut by_series = BTreeMap::new();
        let mut before = None;
        for _ in 0..read_u64(rest)? {
            let step = read_u64(rest)?;
            let series = match before {
                Some(_) if step == 0 => return Err(BAD_SERIES),
                before => u64::from(before.unwrap_or(0)).checked_add(step),
            };
            let series = series.and_then(|series| u32::try_from(series).ok());
            let series = series.filter(|&s| s < n_series).ok_or(BAD_SERIES)?;
            before = Some(series);
            let mut ranges = Vec::new();
            let mut last = base;
            for _ in 0..read_u64(rest)? {
                let start = last.checked_add_unsigned(read_u64(rest)?);
                let start = start.ok_or(BAD_INTERVAL)?;
                let end = start.checked_add_unsigned(read_u64(rest)?);
                last = end.ok_or(BAD_INTERVAL)?;
                ranges.push(TimeRange::new(start, last));
            }
            let ascends = |pair: &[TimeRange]| pair[0].end_ms < pair[1].start_ms;
            if ranges.is_empty() || !ranges.windows(2).all(ascends) {
                return Err(BAD_INTERVAL);
            }
            by_series.insert(series, ranges);
        }
        if !rest.is_empty() {
            return Err(CodecError::Invalid("end of the tombstones"));
        }
        Ok(Tombstones { by_series })
    }
}

/// Tells whether a time is deleted.
pub(super) fn covers(deleted: &[TimeRange], t_ms: i64) -> bool {
    let at = deleted.partition_point(|range| range.end_ms < t_ms);
    deleted.get(at).is_some_and(|range| range.start_ms <= t_ms)
}

/// Removes the deleted ones of ascending times and their values.
pub(super) fn drop_deleted(
    deleted: &[TimeRange],
    start: usize,
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) {
    let mut deleted = deleted.iter().peekable();
    let mut kept = start;
    for at in start..timestamps.len() {
        let t = timestamps[at];
        while deleted.next_if(|range| range.end_ms < t).is_some() {}
        if deleted.peek().is_some_and(|range| range.start_ms <= t) {
            continue;
        }
        timestamps[kept] = t;
        values[kept] = values[at];
        kept += 1;
    }
    timestamps.truncate(kept);
    values.truncate(kept);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn deletes_the_union_and_comes_back(
            ranges in prop::collection::vec((0u32..4, -50i64..150, 0i64..30), 0..30),
            at in any::<prop::sample::Index>(),
            bit in 0u32..8,
        ) {
            let mut tombstones = Tombstones::default();
            let mut model: BTreeSet<(u32, i64)> = BTreeSet::new();
            for &(series, start, len) in &ranges {
                tombstones.add(series, TimeRange::new(start, start + len));
                model.extend((start..=start + len).map(|t| (series, t)));
            }
            for series in 0..4 {
                let mut times: Vec<i64> = (-60..200).collect();
                let mut values: Vec<f64> = times.iter().map(|&t| t as f64).collect();
                drop_deleted(tombstones.of(series), 10, &mut times, &mut values);
                let expected: Vec<i64> = (-60..200)
                    .filter(|&t| t < -50 || !model.contains(&(series, t)))
                    .collect();
                prop_assert_eq!(&times, &expected);
                prop_assert!(values.iter().zip(&times).all(|(v, t)| *v == *t as f64));
                let touch = |pair: &[TimeRange]| pair[0].end_ms + 1 >= pair[1].start_ms;
                prop_assert!(!tombstones.of(series).windows(2).any(touch));
            }
            let ulid = Ulid::from_bits(77);
            let path = Path::new("b/tombstones");
            let mut bytes = tombstones.encode(ulid, -50);
            prop_assert_eq!(Tombstones::decode(&bytes, path, ulid, -50, 4).unwrap(), tombstones);
            prop_assert!(Tombstones::decode(&bytes, path, Ulid::from_bits(1), -50, 4).is_err());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Tombstones::decode(&bytes, path, ulid, -50, 4).is_err());
            prop_assert!(Tombstones::decode(&bytes[..at], path, ulid, -50, 4).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Tombstones::read(&mut &bytes[..], 0, 100);
        }
    }
}
