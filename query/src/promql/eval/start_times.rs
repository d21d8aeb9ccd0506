//! Counters whose samples say since when they have counted.
//!
//! A start that lies behind the sample before is a reset, also where the value did not
//! fall. A first start inside the range is a sample of zero, so that nothing need be
//! guessed on that side and a single sample is enough. A start of 0 is not known.

use super::rate::RateKind;
use super::window::Window;
use crate::source::SampleBuf;

/// When a sample was taken, and since when its series had counted then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) t_ms: i64,
    pub(super) start_ms: i64,
}

impl Times {
    /// Tells whether the start of a sample says that the counter began anew behind the
    /// sample before.
    pub(super) fn is_reset(self, before: Times) -> bool {
        let start_ms = self.start_ms;
        if start_ms == 0 || start_ms >= self.t_ms || start_ms < before.t_ms {
            return false;
        }
        // A start at the sample before is that of a delta, unless it only says that
        // the first sample did not know its start.
        start_ms > before.t_ms || before.start_ms != 0 && before.start_ms < before.t_ms
    }

    /// Tells whether a sample claims to have begun before the sample before it ended.
    pub(super) fn overlaps(self, before: Times) -> bool {
        let start_ms = self.start_ms;
        start_ms != 0 && start_ms < before.t_ms && start_ms != before.start_ms
    }

    /// Tells whether the series began behind `range_start_ms`, and so from zero there.
    pub(super) fn begins_behind(self, range_start_ms: i64) -> bool {
        let start_ms = self.start_ms;
        start_ms != 0 && start_ms > range_start_ms && start_ms < self.t_ms
    }
}

/// A window with the start of each of its samples.
pub(super) struct Started<'a> {
    pub(super) window: Window<'a>,
    pub(super) starts: &'a [i64],
}

impl<'a> Started<'a> {
    /// Adds the starts to a window of `samples`, of which it is one of `pairs`.
    pub(super) fn new(
        window: Window<'a>,
        samples: &'a SampleBuf,
        pairs: &[(u32, u32)],
    ) -> Started<'a> {
        let range = pairs.get(window.step).copied().unwrap_or_default();
        let starts = samples.start_times.get(range.0 as usize..range.1 as usize);
        Started {
            window,
            starts: starts.unwrap_or_default(),
        }
    }

    fn times(&self, at: usize) -> Times {
        Times {
            t_ms: self.window.timestamps[at],
            start_ms: self.starts.get(at).copied().unwrap_or(0),
        }
    }

    /// Tells whether the counter began anew between a sample and the one before.
    fn is_reset(&self, at: usize) -> bool {
        let values = self.window.values;
        values[at] < values[at - 1] || self.times(at).is_reset(self.times(at - 1))
    }

    /// Tells whether any two neighbours overlap.
    pub(super) fn any_overlap(&self) -> bool {
        (1..self.window.values.len()).any(|at| self.times(at).overlaps(self.times(at - 1)))
    }

    /// Counts the resets.
    pub(super) fn resets(&self) -> usize {
        (1..self.window.values.len())
            .filter(|&at| self.is_reset(at))
            .count()
    }

    /// Computes the rate between the last two samples, per second.
    pub(super) fn last_two(&self) -> Option<f64> {
        let last = self.window.values.len().checked_sub(1)?;
        let before = last.checked_sub(1)?;
        let Window {
            timestamps, values, ..
        } = self.window;
        let interval_ms = timestamps[last] - timestamps[before];
        if interval_ms == 0 {
            return None;
        }
        let risen = match self.is_reset(last) {
            true => values[last],
            false => values[last] - values[before],
        };
        Some(risen / (interval_ms as f64 / 1000.0))
    }

    /// Computes the increase or rate of a counter over `range_ms` up to `end_ms`.
    pub(super) fn extrapolated(&self, kind: RateKind, range_ms: i64, end_ms: i64) -> Option<f64> {
        let last = self.window.values.len().checked_sub(1)?;
        let begin = self.times(0);
        let (first, first_ms) = (self.window.values[0], begin.t_ms);
        let last_ms = self.window.timestamps[last];
        let mut risen = self.window.values[last] - first;
        for at in 1..=last {
            if self.is_reset(at) {
                risen += self.window.values[at - 1];
            }
        }
        let range_start_ms = end_ms - range_ms;
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let mut sampled = seconds(last_ms - first_ms);
        let average = match last {
            0 => 0.0,
            _ => sampled / last as f64,
        };
        let threshold = average * 1.1;
        let reach = |gap: f64| if gap >= threshold { average / 2.0 } else { gap };
        let mut to_start = 0.0;
        if begin.begins_behind(range_start_ms) {
            sampled = seconds(last_ms - begin.start_ms);
            risen += first;
        } else if last == 0 {
            return None;
        } else {
            to_start = reach(seconds(first_ms - range_start_ms));
            if risen > 0.0 && first >= 0.0 {
                // A counter cannot have been below zero.
                let to_zero = sampled * (first / risen);
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
        }
        let to_end = reach(seconds(end_ms - last_ms));
        let mut factor = 1.0;
        if sampled != 0.0 {
            factor = (sampled + to_start + to_end) / sampled;
        }
        if kind == RateKind::Rate {
            factor /= seconds(range_ms);
        }
        Some(risen * factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started<'a>(times: &'a [i64], values: &'a [f64], starts: &'a [i64]) -> Started<'a> {
        Started {
            window: Window {
                timestamps: times,
                values,
                step: 0,
            },
            starts,
        }
    }

    #[test]
    fn a_start_behind_the_sample_before_is_a_reset() {
        let times = [60_000, 120_000];
        let resets = |starts: [i64; 2]| started(&times, &[1.0, 1.0], &starts).resets();
        assert_eq!(resets([0, 0]), 0);
        assert_eq!(resets([30_000, 90_000]), 1);
        assert_eq!(resets([30_000, 30_000]), 0);
        // Deltas begin where the one before ended, if that knew where it began.
        assert_eq!(resets([30_000, 60_000]), 1);
        assert_eq!(resets([0, 60_000]), 0);
        assert_eq!(resets([60_000, 60_000]), 0);
        assert_eq!(resets([61_000, 60_000]), 0);
        // A start that is not before its sample says nothing.
        assert_eq!(resets([30_000, 120_000]), 0);
        assert_eq!(started(&times, &[2.0, 1.0], &[0, 0]).resets(), 1);
    }

    #[test]
    fn a_first_start_inside_the_range_is_a_zero() {
        let increase = |start_ms: i64| {
            let one = started(&[120_000], &[8.0], std::slice::from_ref(&start_ms));
            one.extrapolated(RateKind::Increase, 120_000, 180_000)
        };
        assert_eq!(increase(90_000), Some(8.0));
        assert_eq!(increase(60_000), None);
        assert_eq!(increase(0), None);
        assert_eq!(increase(120_000), None);
    }

    #[test]
    fn starts_that_overlap_are_noticed() {
        let times = [60_000, 120_000];
        let overlap = |starts: [i64; 2]| started(&times, &[1.0, 2.0], &starts).any_overlap();
        assert!(overlap([10_000, 20_000]));
        assert!(!overlap([10_000, 10_000]));
        assert!(!overlap([10_000, 60_000]));
        assert!(!overlap([10_000, 0]));
    }
}
