//! Which times of a series are deleted.
//!
//! ```text
//! section  = n slots varint | per slot: difference to the slot before varint
//!          | n intervals varint | n x interval
//! interval = start zigzag varint | end - start varint
//! ```
//!
//! The intervals of a series are closed at both ends, in order, and neither overlap
//! nor touch. They hide in-order and late samples from readers; memory is given back
//! when the samples leave the head, and the intervals go with them.

use hashbrown::HashMap;

use crate::codec::open::Malformed;
use crate::codec::varint;
use crate::model::TimeRange;

/// The deleted times of one series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<TimeRange>);

impl Intervals {
    /// Adds a range that is not empty.
    pub(super) fn add(&mut self, range: TimeRange) {
        if range.end_ms < range.start_ms {
            return;
        }
        let all = &mut self.0;
        // Neighbours become one.
        let first = all.partition_point(|at| at.end_ms < range.start_ms.saturating_sub(1));
        let end = all.partition_point(|at| at.start_ms <= range.end_ms.saturating_add(1));
        let mut whole = range;
        if first < end {
            whole.start_ms = whole.start_ms.min(all[first].start_ms);
            whole.end_ms = whole.end_ms.max(all[end - 1].end_ms);
        }
        all.splice(first..end, [whole]);
    }

    /// Tells whether all of `range` is deleted.
    pub(super) fn cover(&self, range: TimeRange) -> bool {
        let at = self.0.partition_point(|at| at.end_ms < range.start_ms);
        let found = self.0.get(at);
        found.is_some_and(|at| at.start_ms <= range.start_ms && range.end_ms <= at.end_ms)
    }

    /// Returns the intervals that overlap `range`.
    pub(super) fn overlapping(&self, range: TimeRange) -> &[TimeRange] {
        let first = self.0.partition_point(|at| at.end_ms < range.start_ms);
        let end = self.0.partition_point(|at| at.start_ms <= range.end_ms);
        self.0.get(first..end).unwrap_or_default()
    }

    /// Takes the intervals that end before `t_ms`.
    fn take_before(&mut self, t_ms: i64) -> Vec<TimeRange> {
        let n = self.0.partition_point(|at| at.end_ms < t_ms);
        self.0.drain(..n).collect()
    }
}

/// The deleted times of the series of a shard.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    by_slot: HashMap<u32, Intervals>,
}

impl Tombstones {
    /// Adds a range that is not empty.
    pub(super) fn add(&mut self, slot: u32, range: TimeRange) {
        self.by_slot.entry(slot).or_default().add(range);
    }

    /// Returns the deleted times of a series.
    pub(super) fn get(&self, slot: u32) -> Option<&Intervals> {
        self.by_slot.get(&slot)
    }

    /// Takes the deleted times of a series.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Intervals> {
        self.by_slot.remove(&slot)
    }

    /// Takes the intervals that end before `t_ms`.
    pub(super) fn take_before(&mut self, t_ms: i64) -> Vec<(u32, TimeRange)> {
        let mut taken = Vec::new();
        self.by_slot.retain(|&slot, intervals| {
            let old = intervals.take_before(t_ms).into_iter();
            taken.extend(old.map(|range| (slot, range)));
            !intervals.0.is_empty()
        });
        taken
    }

    /// Counts the intervals.
    pub(super) fn len(&self) -> u64 {
        let counts = self.by_slot.values().map(|all| all.0.len() as u64);
        counts.sum()
    }

    /// Returns the bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        let intervals = self.by_slot.values().map(|all| all.0.capacity());
        self.by_slot.capacity() * (size_of::<(u32, Intervals)>() + 1)
            + intervals.sum::<usize>() * size_of::<TimeRange>()
    }

    /// Appends all intervals as a section.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut slots: Vec<u32> = self.by_slot.keys().copied().collect();
        slots.sort_unstable();
        varint::write_u64(out, slots.len() as u64);
        let mut previous = 0;
        for slot in slots {
            varint::write_u64(out, u64::from(slot - previous));
            previous = slot;
            let intervals = self.get(slot).map_or(&[][..], |all| &all.0);
            varint::write_u64(out, intervals.len() as u64);
            for range in intervals {
                varint::write_i64(out, range.start_ms);
                varint::write_u64(out, range.end_ms.wrapping_sub(range.start_ms) as u64);
            }
        }
    }
}

/// Reads a section and hands its intervals to `each`.
pub(super) fn decode_section(
    mut bytes: &[u8],
    mut each: impl FnMut(u32, TimeRange),
) -> Result<(), Malformed> {
    let read = |rest: &mut &[u8]| varint::read_u64(rest).map_err(|_| Malformed);
    let mut slot = 0u32;
    for _ in 0..read(&mut bytes)? {
        let step = u32::try_from(read(&mut bytes)?).map_err(|_| Malformed)?;
        slot = slot.checked_add(step).ok_or(Malformed)?;
        for _ in 0..read(&mut bytes)? {
            let start_ms = varint::read_i64(&mut bytes).map_err(|_| Malformed)?;
            let len = read(&mut bytes)?;
            let end_ms = start_ms.checked_add_unsigned(len).ok_or(Malformed)?;
            each(slot, TimeRange::new(start_ms, end_ms));
        }
    }
    if bytes.is_empty() {
        Ok(())
    } else {
        Err(Malformed)
    }
}

/// Removes the samples inside the intervals, which are in order, from the columns.
pub(super) fn hide(deleted: &[TimeRange], timestamps: &mut Vec<i64>, values: &mut Vec<f64>) {
    for range in deleted {
        let first = timestamps.partition_point(|&t_ms| t_ms < range.start_ms);
        let end = timestamps.partition_point(|&t_ms| t_ms <= range.end_ms);
        timestamps.drain(first..end);
        values.drain(first..end);
    }
}

/// Tells whether a time is inside the intervals, which are in order.
pub(super) fn are_deleted(deleted: &[TimeRange], t_ms: i64) -> bool {
    let at = deleted.partition_point(|range| range.end_ms < t_ms);
    deleted.get(at).is_some_and(|range| range.start_ms <= t_ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_become_one() {
        let mut all = Intervals::default();
        for (start_ms, end_ms) in [(10, 20), (40, 50), (60, 70), (21, 21), (39, 62), (5, 4)] {
            all.add(TimeRange::new(start_ms, end_ms));
        }
        assert_eq!(all.0, [TimeRange::new(10, 21), TimeRange::new(39, 70)]);
        assert!(all.cover(TimeRange::new(40, 70)) && !all.cover(TimeRange::new(20, 22)));
        assert_eq!(all.overlapping(TimeRange::new(22, 38)), []);
        assert_eq!(all.overlapping(TimeRange::new(21, 39)).len(), 2);
        all.add(TimeRange::ALL);
        assert_eq!(all.0, [TimeRange::ALL]);
    }

    fn ranges() -> impl Strategy<Value = Vec<(u32, i64, i64)>> {
        let range = (0u32..3, 0i64..100, 0i64..12);
        proptest::collection::vec(range.prop_map(|(s, t, d)| (s, t, t + d)), 0..30)
    }

    proptest! {
            #[test]
            fn intervals_are_a_set_of_times(ranges in ranges(), before in 0i64..120) {
                let mut all = Tombstones::default();
                for &(slot, start_ms, end_ms) in &ranges {
                    all.add(slot, TimeRange::new(start_ms, end_ms));
                }
                let mut bytes = Vec::new();
                all.encode(&mut bytes);
                let mut again = Tombstones::default();
                decode_section(&bytes, |slot, range| again.add(slot, range)).unwrap();
                prop_assert_eq!(&again.by_slot, &all.by_slot);
                for cut in 0..bytes.len() {
                    let torn = decode_section(&bytes[..cut], |_, _| {});
    prop_assert!(torn.is_err());
                }
                for slot in 0..3 {
                    let deleted = |t: i64| {
                        ranges.iter().any(|&(s, start, end)| s == slot && start <= t && t <= end)
                    };
                    let intervals = all.get(slot).cloned().unwrap_or_default();
                    for t in 0..120 {
                        prop_assert_eq!(intervals.cover(TimeRange::new(t, t)), deleted(t));
                        let both = deleted(t) && deleted(t + 1);
                        prop_assert_eq!(intervals.cover(TimeRange::new(t, t + 1)), both);
                    }
                    let sound = |w: &[TimeRange]| w[0].end_ms + 1 < w[1].start_ms;
                    prop_assert!(intervals.0.windows(2).all(sound));
                    let mut timestamps: Vec<i64> = (0..120).collect();
                    let mut values: Vec<f64> = (0..120).map(f64::from).collect();
                    hide(intervals.overlapping(TimeRange::ALL), &mut timestamps, &mut values);
                    let expected: Vec<i64> = (0..120).filter(|&t| !deleted(t)).collect();
                    prop_assert_eq!(timestamps, expected);
                }
                let taken = all.take_before(before);
                prop_assert!(taken.iter().all(|(_, range)| range.end_ms < before));
                let left = all.by_slot.values().flat_map(|all| &all.0);
                prop_assert!(left.into_iter().all(|range| range.end_ms >= before));
            }

            #[test]
            fn arbitrary_sections_never_panic(bytes: Vec<u8>) {
                let _ = decode_section(&bytes, |_, range| {
                    assert!(range.start_ms <= range.end_ms);
                });
            }
        }
}
