//! How often changes are handed out.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest distance of two bundles of changes.
const FIRST_GAP: Duration = Duration::from_millis(100);

/// Lets the first change through at once and the next ones in growing distances, up to
/// a longest one. After a quiet time it starts anew.
#[derive(Debug)]
pub(super) struct Pace {
    longest: Duration,
    gap: Duration,
    last: Option<Instant>,
}

impl Pace {
    /// Starts a pace; `longest` is the largest distance.
    pub(super) fn new(longest: Duration) -> Pace {
        Pace {
            longest,
            gap: FIRST_GAP.min(longest),
            last: None,
        }
    }

    /// Returns when the next bundle may be handed out.
    pub(super) fn next(&self, now: Instant) -> Instant {
        match self.last {
            Some(last) => now.max(last + self.gap),
            None => now,
        }
    }

    /// Notes that a bundle is handed out.
    pub(super) fn passed(&mut self, now: Instant) {
        let quiet = self.last.is_none_or(|last| now > last + self.longest);
        self.gap = match quiet {
            true => FIRST_GAP,
            false => self.gap.mul_f64(1.5),
        }
        .min(self.longest);
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn distances_grow_to_the_longest_and_start_anew_after_a_quiet_time() {
        let mut pace = Pace::new(Duration::from_secs(5));
        let start = Instant::now();
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..14 {
            let at = pace.next(now);
            waits.push((at - now).as_millis());
            pace.passed(at);
            now = at;
        }
        assert_eq!(waits[..4], [0, 100, 150, 225]);
        assert_eq!(waits[12..], [5000, 5000]);
        now += Duration::from_secs(6);
        assert_eq!(pace.next(now), now);
        pace.passed(now);
        assert_eq!(pace.next(now) - now, FIRST_GAP);
    }
}
