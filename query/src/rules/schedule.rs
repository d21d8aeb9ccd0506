//! When a group is evaluated: at multiples of its interval, each group a little later
//! than the others, at times that a restart does not change.

use xxhash_rust::xxh64::xxh64;

/// Times at which one group is evaluated, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    interval_ns: i64,
    offset_ns: i64,
}

impl Schedule {
    /// Returns the times for a group with this name in this file; they are those at
    /// which Prometheus evaluates it. An interval below a millisecond counts as one.
    pub fn new(file: &str, name: &str, interval_ms: i64) -> Schedule {
        let interval_ns = interval_ms.max(1).saturating_mul(1_000_000);
        let offset = group_hash(file, name) % interval_ns.unsigned_abs();
        Schedule {
            interval_ns,
            offset_ns: i64::try_from(offset).unwrap_or(0),
        }
    }

    /// Returns the last time that is not after `now_ns`.
    pub fn last(&self, now_ns: i64) -> i64 {
        let since_ns = now_ns.saturating_sub(self.offset_ns);
        since_ns.div_euclid(self.interval_ns) * self.interval_ns + self.offset_ns
    }

    /// Returns the first time after `now_ns`.
    pub fn next(&self, now_ns: i64) -> i64 {
        self.last(now_ns).saturating_add(self.interval_ns)
    }

    /// Returns the time that follows the evaluation at `at_ns` when it is `now_ns`, and
    /// how many were missed between them.
    pub fn after(&self, at_ns: i64, now_ns: i64) -> (i64, u64) {
        let elapsed = now_ns.saturating_sub(at_ns).div_euclid(self.interval_ns);
        let missed = (elapsed - 1).max(0);
        let next_ns = at_ns.saturating_add((missed + 1).saturating_mul(self.interval_ns));
        (next_ns, missed.unsigned_abs())
    }

    /// Returns the interval.
    pub fn interval_ns(&self) -> i64 {
        self.interval_ns
    }
}

/// Hashes a group as Prometheus does: the label set of file and name, packed.
fn group_hash(file: &str, name: &str) -> u64 {
    let mut packed = Vec::with_capacity(file.len() + name.len() + 16);
    for text in ["file", file, "name", name] {
        // An empty value is no label there, but a file and a group always have a name.
        match u8::try_from(text.len()) {
            Ok(len) if len < 255 => packed.push(len),
            _ => {
                packed.push(255);
                packed.extend(text.len().to_le_bytes().into_iter().take(3));
            }
        }
        packed.extend_from_slice(text.as_bytes());
    }
    xxh64(&packed, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn times_are_a_multiple_of_the_interval_and_the_groups_own_offset() {
        let one = Schedule::new("a.yml", "one", 15_000);
        let other = Schedule::new("a.yml", "other", 15_000);
        assert_ne!(one.offset_ns, other.offset_ns);
        for now_ns in [0, 7 * S, 1_800_000_000 * S + 123, -5 * S] {
            let (last, next) = (one.last(now_ns), one.next(now_ns));
            assert!(last <= now_ns && now_ns < next, "{last} {now_ns} {next}");
            assert_eq!(next - last, 15 * S);
            assert_eq!((last - one.offset_ns).rem_euclid(15 * S), 0);
        }
        assert_eq!(Schedule::new("a.yml", "one", 15_000), one);
    }

    #[test]
    fn times_that_have_passed_are_missed() {
        let schedule = Schedule::new("a.yml", "one", 10_000);
        let at = schedule.last(1_000 * S);
        for (late_s, next_s, missed) in [
            (0, 10, 0),
            (9, 10, 0),
            (10, 10, 0),
            (25, 20, 1),
            (31, 30, 2),
        ] {
            let found = schedule.after(at, at + late_s * S);
            assert_eq!(found, (at + next_s * S, missed), "{late_s} s late");
        }
    }
}
