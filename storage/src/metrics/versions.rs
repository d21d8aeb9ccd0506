//! Which times of the store have changed, for whoever keeps what was computed from it.
//!
//! Time is cut into buckets of five minutes. Each change is numbered, and the buckets
//! that it touches note the number; a keeper remembers the number of its reading and
//! asks later which of its times have a greater one.
//!
//! Samples that come in order change nothing that anybody has read, as long as they are
//! newer than all that was read. So a keeper says how far it looks
//! ([`Versions::watch`]), and what is appended before that is a change like any other: a
//! sample that came late, or in order of a series that lags behind. What is newer costs
//! the writer one comparison for each sample.
//!
//! **Invariant:** a change has its number before the call that made it returns. One that
//! is made by a transaction has it before any reader can see the transaction: both happen
//! under the shared side of the store's `gate`, and a reader takes the exclusive one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use super::shard::NEVER;
use crate::model::TimeRange;

/// Length of a bucket.
const BUCKET_MS: i64 = 300_000;

/// Buckets that are noted one by one for one change, two weeks of them; a longer range is
/// noted as such.
const MAX_SPAN: i64 = 4096;

/// Buckets and ranges that are remembered.
const MAX_BUCKETS: usize = 1 << 16;
const MAX_RANGES: usize = 64;

/// The number of a change. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// Returns the number itself.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Returns the version that has this number.
    pub fn from_number(number: u64) -> Version {
        Version(number)
    }
}

/// Numbers the changes of a store, by the times that they change.
#[derive(Debug)]
pub struct Versions {
    /// Times up to here were read by somebody who keeps what came of it.
    watched_ms: AtomicI64,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    newest: u64,
    /// The newest change of each bucket that has changed.
    buckets: BTreeMap<i64, u64>,
    /// Changes of long ranges.
    ranges: Vec<(TimeRange, u64)>,
}

impl Versions {
    pub(super) fn new() -> Versions {
        Versions {
            watched_ms: AtomicI64::new(NEVER),
            noted: Mutex::default(),
        }
    }

    /// Begins to number what is appended at or before `until_ms`, for good, and returns
    /// the number of the newest change. To be called before reading; what is read
    /// afterwards has all changes up to this number.
    pub fn watch(&self, until_ms: i64) -> Version {
        self.watched_ms.fetch_max(until_ms, Ordering::AcqRel);
        Version(self.noted.lock().newest)
    }

    /// Returns the first and last time in `range` that may have changed after `version`;
    /// `None` where nothing has.
    pub fn changed_since(&self, version: Version, range: TimeRange) -> Option<TimeRange> {
        if range.end_ms < range.start_ms {
            return None;
        }
        let noted = self.noted.lock();
        if noted.newest <= version.0 {
            return None;
        }
        let (first, last) = (bucket(range.start_ms), bucket(range.end_ms));
        let is_newer = |(_, number): &(&i64, &u64)| **number > version.0;
        let mut buckets = noted.buckets.range(first..=last).filter(is_newer);
        let first = buckets.next().map(|(&bucket, _)| bucket);
        let last = buckets.next_back().map(|(&bucket, _)| bucket).or(first);
        let mut hull = first.zip(last).map(|(first, last)| TimeRange {
            start_ms: first.saturating_mul(BUCKET_MS),
            end_ms: last.saturating_mul(BUCKET_MS).saturating_add(BUCKET_MS - 1),
        });
        for (changed, number) in &noted.ranges {
            if *number > version.0 && changed.overlaps(range) {
                hull = Some(hull.map_or(*changed, |hull| around(hull, *changed)));
            }
        }
        hull.map(|hull| TimeRange {
            start_ms: hull.start_ms.max(range.start_ms),
            end_ms: hull.end_ms.min(range.end_ms),
        })
    }

    /// Notes a change of all times in a range.
    pub(super) fn changed(&self, range: TimeRange) {
        if range.end_ms < range.start_ms {
            return;
        }
        let mut noted = self.noted.lock();
        noted.newest += 1;
        let (first, last) = (bucket(range.start_ms), bucket(range.end_ms));
        if last - first < MAX_SPAN {
            for bucket in first..=last {
                noted.note(bucket);
            }
        } else {
            noted.note_range(range);
        }
    }

    /// Tells whether a sample at this time is a change to be noted.
    #[inline]
    pub(super) fn are_watched_at(&self, t_ms: i64) -> bool {
        t_ms <= self.watched_ms.load(Ordering::Acquire)
    }

    /// Notes appended samples, of which only those that are watched count.
    #[cold]
    pub(super) fn appended(&self, times: impl Iterator<Item = i64>) {
        let watched_ms = self.watched_ms.load(Ordering::Acquire);
        let mut noted = self.noted.lock();
        noted.newest += 1;
        let mut last = None;
        for t_ms in times.filter(|&t_ms| t_ms <= watched_ms) {
            // Neighbours in a transaction are so in time.
            let bucket = bucket(t_ms);
            if last != Some(bucket) {
                noted.note(bucket);
                last = Some(bucket);
            }
        }
    }
}

impl Noted {
    fn note(&mut self, bucket: i64) {
        self.buckets.insert(bucket, self.newest);
        if self.buckets.len() > MAX_BUCKETS {
            self.forget_buckets();
        }
    }

    /// Remembers the older half of the buckets as one range.
    fn forget_buckets(&mut self) {
        let Some(&middle) = self.buckets.keys().nth(MAX_BUCKETS / 2) else {
            return;
        };
        let newer = self.buckets.split_off(&middle);
        let older = std::mem::replace(&mut self.buckets, newer);
        let Some((&first, _)) = older.first_key_value() else {
            return;
        };
        let range = TimeRange {
            start_ms: first.saturating_mul(BUCKET_MS),
            end_ms: middle.saturating_mul(BUCKET_MS).saturating_sub(1),
        };
        // As if it had changed now, which is never wrong.
        self.note_range(range);
    }

    fn note_range(&mut self, range: TimeRange) {
        if self.ranges.len() >= MAX_RANGES {
            let all = self.ranges.drain(..).map(|(range, _)| range);
            let whole = all.fold(range, around);
            self.ranges.push((whole, self.newest));
        } else {
            self.ranges.push((range, self.newest));
        }
    }
}

fn bucket(t_ms: i64) -> i64 {
    t_ms.div_euclid(BUCKET_MS)
}

/// Returns the shortest range that holds both.
fn around(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange {
        start_ms: one.start_ms.min(other.start_ms),
        end_ms: one.end_ms.max(other.end_ms),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minutes(first: i64, last: i64) -> TimeRange {
        TimeRange::new(first * 60_000, last * 60_000)
    }

    #[test]
    fn only_what_is_watched_counts_as_appended() {
        let versions = Versions::new();
        assert!(!versions.are_watched_at(i64::MIN + 1));
        let before = versions.watch(600_000);
        assert!(versions.are_watched_at(600_000) && !versions.are_watched_at(600_001));
        versions.appended([30_000, 900_000].into_iter());
        let changed = versions.changed_since(before, minutes(-60, 60));
        assert_eq!(changed, Some(TimeRange::new(0, 299_999)));
        assert_eq!(versions.changed_since(before, minutes(5, 60)), None);
        // Nobody looks less far again.
        let after = versions.watch(0);
        assert_eq!(versions.changed_since(after, TimeRange::ALL), None);
        assert!(versions.are_watched_at(600_000));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_never_forgotten() {
        let versions = Versions::new();
        let before = versions.watch(i64::MAX);
        let many = MAX_BUCKETS as i64 + 10;
        versions.appended((0..many).map(|bucket| bucket * BUCKET_MS));
        assert!(versions.noted.lock().buckets.len() <= MAX_BUCKETS);
        for bucket in [0, 1, many / 3, many - 1] {
            let at = TimeRange::new(bucket * BUCKET_MS, bucket * BUCKET_MS);
            assert_eq!(versions.changed_since(before, at), Some(at));
        }
        let before = versions.watch(0);
        for n in 0..200 {
            versions.changed(TimeRange::new(-n, i64::MAX));
        }
        assert!(versions.noted.lock().ranges.len() <= MAX_RANGES);
        let old = TimeRange::new(-150, -150);
        assert_eq!(versions.changed_since(before, old), Some(old));
    }

    proptest! {
        #[test]
        fn no_change_is_missed(
            changes in prop::collection::vec((-50i64..50, 0i64..30), 0..12),
            asked in (-60i64..60, 0i64..40),
            at in 0usize..12,
        ) {
            let versions = Versions::new();
            let asked = minutes(asked.0, asked.0 + asked.1);
            let mut stamp = versions.watch(0);
            let mut after = Vec::new();
            for (n, &(first, len)) in changes.iter().enumerate() {
                if n == at {
                    stamp = versions.watch(0);
                    after.clear();
                }
                let range = minutes(first, first + len);
                versions.changed(range);
                after.push(range);
            }
            let told = versions.changed_since(stamp, asked);
            for range in after {
                if range.overlaps(asked) {
                    let told = told.expect("a change inside");
                    prop_assert!(told.start_ms <= range.start_ms.max(asked.start_ms));
                    prop_assert!(told.end_ms >= range.end_ms.min(asked.end_ms));
                }
            }
        }
    }
}
