//! What a window keeps while it moves over a series, so that each sample is looked at
//! a few times and not once in every window.
//!
//! Only where that gives the very same bits: extremes are values of the series, counts
//! are integers, and sums are taken apart only where no addition rounds.

use std::collections::VecDeque;

/// Where the best value of a window stands, whatever "best" is.
#[derive(Debug, Clone, Default)]
pub(super) struct Extremes {
    /// Positions of values that no later one of the window beats, the best first.
    queue: VecDeque<usize>,
    to: usize,
}

impl Extremes {
    /// Begins with another series.
    pub(super) fn reset(&mut self) {
        self.queue.clear();
        self.to = 0;
    }

    /// Moves the window to `values[from..to]`, which is not empty; neither end goes
    /// backwards. `beats` tells whether a later value takes the place of an earlier one.
    /// Returns where the best value stands; NaN is best only among NaN, the last then.
    pub(super) fn move_to(
        &mut self,
        values: &[f64],
        (from, to): (u32, u32),
        beats: impl Fn(f64, f64) -> bool,
    ) -> usize {
        let (from, to) = (from as usize, to as usize);
        while self.queue.front().is_some_and(|&at| at < from) {
            self.queue.pop_front();
        }
        for (at, &value) in values.iter().enumerate().take(to).skip(self.to.max(from)) {
            if value.is_nan() {
                continue;
            }
            while self
                .queue
                .back()
                .is_some_and(|&back| beats(value, values[back]))
            {
                self.queue.pop_back();
            }
            self.queue.push_back(at);
        }
        self.to = to;
        self.queue.front().copied().unwrap_or(to - 1)
    }
}

/// How many neighbours of a window are different, in whatever way.
#[derive(Debug, Clone, Default)]
pub(super) struct PairCounts {
    /// How many there are up to each sample and the one before it.
    upto: Vec<u32>,
}

impl PairCounts {
    /// Begins with another series; `counts` is asked of each value and the one before.
    pub(super) fn reset(&mut self, values: &[f64], counts: impl Fn(f64, f64) -> bool) {
        self.upto.clear();
        let mut n = 0;
        let mut before = f64::NAN;
        for (at, &value) in values.iter().enumerate() {
            n += u32::from(at > 0 && counts(before, value));
            self.upto.push(n);
            before = value;
        }
    }

    /// Returns how many there are among the samples `from..to`, which are not none.
    pub(super) fn within(&self, from: usize, to: usize) -> u32 {
        self.upto[to - 1] - self.upto[from]
    }
}

/// Sums of integers so small that no sum of them is rounded.
#[derive(Debug, Clone, Default)]
pub(super) struct WholeSums {
    /// Of all samples before each one.
    before: Vec<f64>,
}

/// From here on not every integer is a float.
const MAX_WHOLE: f64 = (1u64 << 53) as f64;

impl WholeSums {
    /// Begins with another series; `false` where its sums may be rounded. A negative
    /// zero would lose its sign and is none of these integers.
    pub(super) fn reset(&mut self, values: &[f64]) -> bool {
        self.before.clear();
        let (mut sum, mut size) = (0.0, 0.0);
        for &value in values {
            let whole = (value as i64) as f64;
            size += value.abs();
            if whole.to_bits() != value.to_bits() || size >= MAX_WHOLE {
                return false;
            }
            self.before.push(sum);
            sum += value;
        }
        self.before.push(sum);
        true
    }

    /// Returns the sum of the samples `from..to`.
    pub(super) fn within(&self, from: usize, to: usize) -> f64 {
        self.before[to] - self.before[from]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::promql::eval::over_time;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-3i32..4).prop_map(f64::from),
            1 => prop::sample::select(vec![f64::NAN, -0.0, f64::INFINITY, 0.5]),
        ]
    }

    /// Windows of which neither end goes backwards, none empty.
    fn windows() -> impl Strategy<Value = (Vec<f64>, Vec<(u32, u32)>)> {
        let moves = prop::collection::vec((0u32..4, 0u32..4), 1..20);
        (prop::collection::vec(value(), 70), moves).prop_map(|(values, moves)| {
            let (mut from, mut to) = (0, 1);
            let mut windows = Vec::new();
            for (by, more) in moves {
                from += by;
                to = (to + more).max(from + 1).min(values.len() as u32);
                from = from.min(to - 1);
                windows.push((from, to));
            }
            (values, windows)
        })
    }

    proptest! {
        #[test]
        fn extremes_are_those_of_each_window((values, windows) in windows()) {
            type Beats = fn(f64, f64) -> bool;
            type At = fn(&[f64]) -> usize;
            let cases: [(Beats, At); 4] = [
                (|new, old| new < old, over_time::min_at),
                (|new, old| new > old, over_time::max_at),
                (|new, old| new <= old, over_time::last_min_at),
                (|new, old| new >= old, over_time::last_max_at),
            ];
            for (beats, at) in cases {
                let mut extremes = Extremes::default();
                extremes.reset();
                for &(from, to) in &windows {
                    let expected = from as usize + at(&values[from as usize..to as usize]);
                    prop_assert_eq!(extremes.move_to(&values, (from, to), beats), expected);
                }
            }
        }

        #[test]
        fn pairs_are_counted_as_in_each_window((values, windows) in windows()) {
            let (mut changes, mut resets) = (PairCounts::default(), PairCounts::default());
            changes.reset(&values, over_time::is_change);
            resets.reset(&values, over_time::is_reset);
            for &(from, to) in &windows {
                let (from, to) = (from as usize, to as usize);
                let of = &values[from..to];
                prop_assert_eq!(changes.within(from, to) as usize, over_time::changes(of));
                prop_assert_eq!(resets.within(from, to) as usize, over_time::resets(of));
            }
        }

        #[test]
        fn whole_sums_are_those_of_each_window((values, windows) in windows()) {
            let whole: Vec<f64> = values
                .iter()
                .map(|value| if value.is_finite() { value.trunc() + 0.0 } else { 7.0 })
                .collect();
            let mut sums = WholeSums::default();
            prop_assert!(sums.reset(&whole));
            for &(from, to) in &windows {
                let (from, to) = (from as usize, to as usize);
                let (sum, expected) = (sums.within(from, to), over_time::sum(&whole[from..to]));
                prop_assert_eq!(sum.to_bits(), expected.to_bits());
                let expected = over_time::avg(&whole[from..to]);
                prop_assert_eq!((sum / (to - from) as f64).to_bits(), expected.to_bits());
            }
        }
    }

    #[test]
    fn sums_that_round_are_left_alone() {
        let mut sums = WholeSums::default();
        for values in [
            vec![1.0, 0.5],
            vec![-0.0],
            vec![f64::NAN],
            vec![f64::INFINITY],
            vec![MAX_WHOLE],
            vec![MAX_WHOLE / 2.0, -MAX_WHOLE / 2.0],
            vec![1e300],
        ] {
            assert!(!sums.reset(&values), "{values:?}");
        }
        assert!(sums.reset(&[MAX_WHOLE - 2.0, 1.0]));
    }
}
