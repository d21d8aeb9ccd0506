//! How fast requests may come: a bucket that fills at a steady pace.

use std::time::Instant;

use super::file::Rate;

/// How many requests may come at once now.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    state: Option<State>,
}

#[derive(Debug)]
struct State {
    /// The rate that the rest belongs to.
    rate: Rate,
    requests: f64,
    at: Instant,
}

impl Bucket {
    /// Takes one request; false where the bucket is empty. A rate that is new begins with
    /// a full bucket.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let full = State {
            rate,
            requests: rate.burst as f64,
            at: now,
        };
        let state = match &mut self.state {
            Some(state) if state.rate == rate => state,
            other => other.insert(full),
        };
        let gained = now.saturating_duration_since(state.at).as_secs_f64();
        let gained = gained / rate.interval.as_secs_f64();
        state.requests = (state.requests + gained).min(rate.burst as f64);
        state.at = now;
        if state.requests < 1.0 {
            return false;
        }
        state.requests -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_each_interval() {
        let rate = Rate {
            burst: 2,
            interval: Duration::from_secs(1),
        };
        let mut bucket = Bucket::default();
        let start = Instant::now();
        let taken = [0, 0, 0, 500, 1000, 1100, 9000, 9000, 9000];
        let taken = taken.map(|ms| bucket.take(rate, start + Duration::from_millis(ms)));
        let expected = [true, true, false, false, true, false, true, true, false];
        assert_eq!(taken, expected);
        let none = Rate { burst: 0, ..rate };
        assert!(!bucket.take(none, start));
    }
}
