//! How fast and how often: shards by throughput, pauses after failures.
//!
//! The numbers are Prometheus': a moving average of what comes and of what the sending of
//! a sample takes, and a little on top to catch up; the pause doubles, and a receiver may
//! ask for another one.

use std::time::Duration;

use jiff::fmt::rfc2822;

use crate::config::QueueConfig;

/// How often shards are counted anew.
pub(super) const RESHARD_INTERVAL: Duration = Duration::from_secs(10);

/// Weight of the newest rate in the average.
const ALPHA: f64 = 0.2;
/// Part of what is behind that is to be caught up in a second.
const CATCH_UP: f64 = 0.05;
/// Changes within this part of the shards are not worth it.
const TOLERANCE: f64 = 0.3;
/// Nobody who is further behind gets fewer shards.
const FAR_BEHIND_S: f64 = 10.0;

/// An average of a rate per second, where each value counts less than the next.
#[derive(Debug, Clone, Copy, Default)]
struct Average(Option<f64>);

impl Average {
    fn tick(&mut self, events: f64) -> f64 {
        let rate = events / RESHARD_INTERVAL.as_secs_f64();
        self.0 = match self.0 {
            Some(last) => Some(last + ALPHA * (rate - last)),
            None if events > 0.0 => Some(rate),
            None => None,
        };
        self.0.unwrap_or(0.0)
    }
}

/// What happened since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Happened {
    /// Samples that the log got, those that are not sent included.
    pub(super) read: u64,
    /// Samples that were sent, or given up.
    pub(super) sent: u64,
    /// Samples that are not sent.
    pub(super) dropped: u64,
    /// Time that all shards together took to send.
    pub(super) sending: Duration,
    /// How far what was sent is behind what there is, in seconds.
    pub(super) behind_s: f64,
}

/// Counts shards.
#[derive(Debug, Default)]
pub(super) struct Pace {
    read: Average,
    sent: Average,
    dropped: Average,
    sending: Average,
}

impl Pace {
    /// Returns how many shards there should be, and the number before it is rounded.
    pub(super) fn tick(
        &mut self,
        happened: &Happened,
        now: usize,
        config: &QueueConfig,
    ) -> (usize, Option<f64>) {
        let in_rate = self.read.tick(happened.read as f64);
        let out_rate = self.sent.tick(happened.sent as f64);
        let dropped_rate = self.dropped.tick(happened.dropped as f64);
        let sending = self.sending.tick(happened.sending.as_secs_f64());
        if out_rate <= 0.0 {
            return (now, None);
        }
        let kept = out_rate / (dropped_rate + out_rate);
        let wanted_rate = in_rate * kept;
        let pending = happened.behind_s * wanted_rate;
        let desired = sending / out_rate * (wanted_rate + CATCH_UP * pending);
        let rounded = desired.ceil();
        let bounds = now as f64 * (1.0 - TOLERANCE)..=now as f64 * (1.0 + TOLERANCE);
        let is_fewer = rounded < now as f64;
        if bounds.contains(&rounded) || (is_fewer && happened.behind_s > FAR_BEHIND_S) {
            return (now, Some(desired));
        }
        let most = config.max_shards as f64;
        let shards = rounded.min(most).max(config.min_shards as f64) as usize;
        (shards, Some(desired))
    }
}

/// Pauses between the attempts to send one batch.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Begins with the shortest pause.
    pub(super) fn new(config: &QueueConfig) -> Backoff {
        Backoff {
            next: config.min_backoff,
            longest: config.max_backoff,
        }
    }

    /// Returns the next pause; `asked` is what the receiver wants.
    pub(super) fn pause(&mut self, asked: Option<Duration>) -> Duration {
        let pause = asked.unwrap_or(self.next);
        self.next = pause.saturating_mul(2).min(self.longest);
        pause
    }
}

/// Reads a `Retry-After`: seconds, or a date. `None` where it is neither, or not ahead.
pub(super) fn retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<i64>() {
        let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds > 0)?;
        return Some(Duration::from_secs(seconds));
    }
    // The date of HTTP is that of mail but for the name of the zone.
    let date = text
        .strip_suffix("GMT")
        .map(|date| format!("{date}+0000"))?;
    let at = rfc2822::parse(&date).ok()?;
    let ahead_ms = at.timestamp().as_millisecond().checked_sub(now_ms)?;
    let ahead_ms = u64::try_from(ahead_ms)
        .ok()
        .filter(|&ahead_ms| ahead_ms > 0)?;
    Some(Duration::from_millis(ahead_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> QueueConfig {
        QueueConfig::default()
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_a_receiver_may_ask_for_another() {
        let mut backoff = Backoff::new(&config());
        let pauses: Vec<u64> = (0..10)
            .map(|_| backoff.pause(None).as_millis() as u64)
            .collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3840, 5000, 5000]);
        let asked = Some(Duration::from_secs(60));
        assert_eq!(backoff.pause(asked), Duration::from_secs(60));
        assert_eq!(backoff.pause(None), Duration::from_secs(5));
        let mut backoff = Backoff::new(&config());
        assert_eq!(backoff.pause(Some(Duration::from_secs(1))).as_secs(), 1);
        assert_eq!(backoff.pause(None), Duration::from_secs(2));
    }

    #[test]
    fn what_a_receiver_asks_for_is_seconds_or_a_date() {
        let now_ms = 1_445_412_000_000;
        for (text, seconds) in [
            ("120", Some(120)),
            ("0", None),
            ("-5", None),
            ("", None),
            ("soon", None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(480)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", None),
        ] {
            let asked = retry_after(text, now_ms).map(|asked| asked.as_secs());
            assert_eq!(asked, seconds, "{text:?}");
        }
    }

    #[test]
    fn shards_follow_the_time_that_sending_takes() {
        let mut pace = Pace::default();
        // A thousand samples a second, each of which takes 3 ms.
        let happened = Happened {
            read: 10_000,
            sent: 10_000,
            dropped: 0,
            sending: Duration::from_secs(30),
            behind_s: 0.0,
        };
        assert_eq!(pace.tick(&happened, 1, &config()), (3, Some(3.0)));
        assert_eq!(pace.tick(&happened, 3, &config()).0, 3);
        // What is behind is caught up.
        let behind = Happened {
            behind_s: 60.0,
            ..happened
        };
        assert_eq!(pace.tick(&behind, 3, &config()), (12, Some(12.0)));
        // Nobody far behind gets fewer.
        let quick = Happened {
            sending: Duration::from_millis(1),
            ..behind
        };
        for _ in 0..100 {
            assert_eq!(pace.tick(&quick, 12, &config()).0, 12);
        }
        let quick = Happened {
            behind_s: 1.0,
            ..quick
        };
        assert_eq!(pace.tick(&quick, 12, &config()).0, 1);
        let few = QueueConfig {
            max_shards: 2,
            ..config()
        };
        assert_eq!(Pace::default().tick(&happened, 1, &few).0, 2);
    }

    #[test]
    fn nothing_sent_changes_nothing() {
        let happened = Happened {
            read: 10_000,
            ..Happened::default()
        };
        assert_eq!(Pace::default().tick(&happened, 7, &config()), (7, None));
    }

    #[test]
    fn what_is_dropped_needs_no_shards() {
        let happened = Happened {
            read: 20_000,
            sent: 10_000,
            dropped: 10_000,
            sending: Duration::from_secs(20),
            behind_s: 0.0,
        };
        assert_eq!(Pace::default().tick(&happened, 1, &config()).0, 2);
    }
}
