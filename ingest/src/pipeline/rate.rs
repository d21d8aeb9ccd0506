//! A bucket of tokens: how many things may happen in a time.

use std::time::Duration;

/// Tokens that come back at a rate, up to a burst.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at_ns: Option<i64>,
}

impl Bucket {
    pub(crate) fn new(rate: f64, burst: f64) -> Bucket {
        Bucket {
            rate,
            burst,
            tokens: burst,
            at_ns: None,
        }
    }

    /// Takes `count` tokens if they are there.
    pub(crate) fn take(&mut self, count: f64, now_ns: i64) -> bool {
        self.refill(now_ns);
        if self.tokens < count {
            return false;
        }
        self.tokens -= count;
        true
    }

    /// Takes `count` tokens that may still have to come, and returns how long that takes.
    pub(crate) fn take_late(&mut self, count: f64, now_ns: i64) -> Duration {
        self.refill(now_ns);
        self.tokens -= count;
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        let seconds = -self.tokens / self.rate;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    fn refill(&mut self, now_ns: i64) {
        let before_ns = self.at_ns.unwrap_or(now_ns);
        // A clock that is set back gives no tokens.
        let passed_ns = now_ns.saturating_sub(before_ns).max(0);
        self.tokens = (self.tokens + passed_ns as f64 / 1e9 * self.rate).min(self.burst);
        self.at_ns = Some(now_ns.max(before_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_at_the_rate() {
        let mut bucket = Bucket::new(10.0, 2.0);
        assert!(bucket.take(1.0, 0) && bucket.take(1.0, 0) && !bucket.take(1.0, 0));
        assert!(!bucket.take(1.0, 99_000_000));
        assert!(bucket.take(1.0, 100_000_000));
        assert!(!bucket.take(1.0, -5));
        assert_eq!(
            bucket.take_late(1.0, 100_000_000),
            Duration::from_millis(100)
        );
        assert_eq!(
            bucket.take_late(1.0, 100_000_000),
            Duration::from_millis(200)
        );
    }
}
