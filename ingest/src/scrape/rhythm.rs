//! When a target is scraped: a fixed beat, and the times its samples get.

use std::sync::Arc;
use std::time::Duration;

use kymo_storage::compat::duration::format_go;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::round::{Memory, Subject};

/// Largest distance from the ideal beat that is hidden from samples.
const MAX_TOLERANCE_NS: i64 = 2_000_000;

/// The ideal beat of a target. Samples of a scrape that starts a little late get the
/// time it should have started, because equal distances compress better.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    aligned_ns: i64,
    interval_ns: i64,
    tolerance_ns: i64,
}

impl Beat {
    /// Starts a beat at the first scrape.
    pub(super) fn start(now_ns: i64, interval: Duration) -> Beat {
        let interval_ns = i64::try_from(interval.as_nanos())
            .unwrap_or(i64::MAX)
            .max(1);
        Beat {
            aligned_ns: now_ns,
            interval_ns,
            tolerance_ns: (interval_ns / 100).min(MAX_TOLERANCE_NS),
        }
    }

    /// Returns the time for the samples of a scrape that starts at `now_ns`.
    pub(super) fn snap(&mut self, now_ns: i64) -> i64 {
        let behind = now_ns.saturating_sub(self.aligned_ns);
        if behind >= self.interval_ns {
            self.aligned_ns += behind / self.interval_ns * self.interval_ns;
        } else if behind < -self.tolerance_ns {
            // The clock was set back: the beat starts anew.
            self.aligned_ns = now_ns;
        }
        if now_ns.saturating_sub(self.aligned_ns) <= self.tolerance_ns {
            self.aligned_ns
        } else {
            now_ns
        }
    }
}

/// How a target's scrapes ended.
pub(super) struct Ended {
    pub(super) memory: Memory,
    /// The beat goes on, for the time of the markers; `None` where there was no scrape.
    pub(super) ticks: Option<Interval>,
}

/// Scrapes a target in its rhythm until `stop`; a scrape under way is finished unless
/// `halt` ends it.
pub(super) async fn run(
    subject: Arc<Subject>,
    mut memory: Memory,
    first_delay: Duration,
    stop: CancellationToken,
    halt: CancellationToken,
) -> Ended {
    let clock = Arc::clone(&subject.shared.clock);
    let interval = subject.target.interval;
    // In the metric the interval is written as Go does, `1m0s`.
    let interval_label = format_go(i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX));
    tokio::select! {
        () = stop.cancelled() => return Ended { memory, ticks: None },
        () = tokio::time::sleep(first_delay) => {}
    }
    let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
    // A late scrape is followed by the next one on the beat, never by a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut beat = Beat::start(clock(), interval);
    let mut last_ns: Option<i64> = None;
    loop {
        let now_ns = clock();
        if let Some(last_ns) = last_ns {
            let seconds = (now_ns - last_ns) as f64 / 1e9;
            let counters = &subject.shared.counters;
            counters.intervals.observe(&interval_label, seconds);
        }
        last_ns = Some(now_ns);
        let scrape_ns = beat.snap(now_ns);
        memory = subject.scrape(memory, scrape_ns, &halt).await;
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ended { memory, ticks: Some(ticks) },
            _ = ticks.tick() => {}
        }
    }
}

/// Ends the series of a target that was removed: with the time of the first beat
/// after its last scrape, written one beat and a tenth later, so that the same
/// series scraped elsewhere by then are left alone.
pub(super) async fn end_later(subject: Arc<Subject>, ended: Ended, halt: CancellationToken) {
    let Some(mut ticks) = ended.ticks else {
        return;
    };
    let interval = subject.target.interval;
    let wait = async {
        ticks.tick().await;
        let end_ns = (subject.shared.clock)();
        ticks.tick().await;
        tokio::time::sleep(interval / 10).await;
        end_ns
    };
    tokio::select! {
        () = halt.cancelled() => {}
        end_ns = wait => subject.end(ended.memory, end_ns).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_delays_are_hidden_and_large_ones_are_not() {
        let ms = 1_000_000;
        let mut beat = Beat::start(1_000 * ms, Duration::from_secs(15));
        assert_eq!(beat.snap(1_000 * ms), 1_000 * ms);
        assert_eq!(beat.snap(16_001 * ms), 16_000 * ms);
        assert_eq!(beat.snap(31_002 * ms), 31_000 * ms);
        assert_eq!(beat.snap(46_003 * ms), 46_003 * ms);
        // A beat left out altogether.
        assert_eq!(beat.snap(91_001 * ms), 91_000 * ms);
    }

    #[test]
    fn the_tolerance_of_short_intervals_is_a_hundredth() {
        let us = 1_000;
        let mut beat = Beat::start(0, Duration::from_millis(100));
        assert_eq!(beat.snap(101_000 * us), 100_000 * us);
        assert_eq!(beat.snap(201_001 * us), 201_001 * us);
    }

    #[test]
    fn a_clock_that_is_set_back_is_followed() {
        let mut beat = Beat::start(10_000_000_000, Duration::from_secs(1));
        assert_eq!(beat.snap(9_999_500_000), 10_000_000_000);
        assert_eq!(beat.snap(5_000_000_000), 5_000_000_000);
        assert_eq!(beat.snap(6_001_000_000), 6_000_000_000);
    }
}
