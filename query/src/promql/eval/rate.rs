//! `rate`, `increase`, `delta` and their kin.
//!
//! What depends on times alone is computed once for all series that share their
//! timestamps; per series and step remain a difference, the resets inside the window
//! and one factor.

use super::row::{Grid, RowBuilder};
use super::selector::interpolate;
use super::window::{RangeSpec, Window, Windows};
use crate::error::QueryError;
use crate::limits::Cancel;
use crate::source::SampleBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RateKind {
    /// Counter, per second.
    Rate,
    /// Counter.
    Increase,
    /// Gauge.
    Delta,
}

impl RateKind {
    pub(super) fn is_counter(self) -> bool {
        self != RateKind::Delta
    }
}

/// The times of one window that extrapolation needs, in seconds.
#[derive(Debug, Clone, Copy)]
struct Gaps {
    sampled: f64,
    to_start: f64,
    to_end: f64,
}

/// The windows with at least two samples, kept between series that share them. Columns
/// of equal length; those that every series needs are apart from the others.
#[derive(Debug, Clone, Default)]
pub(super) struct Extrapolation {
    generation: Option<u64>,
    /// The step of each window.
    steps: Vec<u32>,
    /// Where its first and last sample stand.
    ends: Vec<(u32, u32)>,
    /// What the difference is multiplied with when the range is filled on both sides.
    factors: Vec<f64>,
    /// A counter whose first value is at least this many differences above zero
    /// cannot have begun inside the range.
    far_from_zero: Vec<f64>,
    gaps: Vec<Gaps>,
}

impl Extrapolation {
    pub(super) fn prepare(
        &mut self,
        kind: RateKind,
        samples: &SampleBuf,
        windows: &Windows,
        spec: &RangeSpec,
        grid: &Grid,
    ) {
        if self.generation == Some(windows.generation()) {
            return;
        }
        self.generation = Some(windows.generation());
        self.steps.clear();
        self.ends.clear();
        self.factors.clear();
        self.far_from_zero.clear();
        self.gaps.clear();
        let times = &samples.timestamps;
        for (step, &(from, to)) in windows.pairs().iter().enumerate() {
            if to.saturating_sub(from) < 2 {
                continue;
            }
            let end_ms = spec.end(grid, step);
            let start_ms = end_ms - spec.range_ms;
            let (first_ms, last_ms) = (times[from as usize], times[to as usize - 1]);
            let sampled = (last_ms - first_ms) as f64 / 1000.0;
            let average = sampled / f64::from(to - from - 1);
            // Samples close to an edge of the range: the series is taken to reach it.
            // Else it is taken to end half an interval outside of its samples.
            let threshold = average * 1.1;
            let reach = |gap_ms: i64| {
                let gap = gap_ms as f64 / 1000.0;
                if gap >= threshold { average / 2.0 } else { gap }
            };
            let gaps = Gaps {
                sampled,
                to_start: reach(first_ms - start_ms),
                to_end: reach(end_ms - last_ms),
            };
            self.steps.push(step as u32);
            self.ends.push((from, to - 1));
            self.factors
                .push(gaps.factor(kind, gaps.to_start, seconds(spec.range_ms)));
            self.far_from_zero.push(match gaps.to_start <= sampled {
                true => 1.0,
                false => f64::INFINITY,
            });
            self.gaps.push(gaps);
        }
    }

    /// Returns the first step, if the windows are those of steps without a gap.
    fn run(&self) -> Option<usize> {
        let (&first, &last) = (self.steps.first()?, self.steps.last()?);
        ((last - first) as usize + 1 == self.steps.len()).then_some(first as usize)
    }
}

impl Gaps {
    #[inline]
    fn factor(&self, kind: RateKind, to_start: f64, range_seconds: f64) -> f64 {
        let mut factor = 1.0;
        if self.sampled != 0.0 {
            factor = (self.sampled + to_start + self.to_end) / self.sampled;
        }
        if kind == RateKind::Rate {
            factor /= range_seconds;
        }
        factor
    }
}

/// Tells whether a counter with that first value may have begun inside its range.
///
/// Where this is not so, the division of the first value by the difference can be
/// spared: its result is at least one, and rounding does not bring the product with
/// the sampled time below the gap then.
#[inline]
fn may_begin(first_value: f64, difference: f64, far_from_zero: f64) -> bool {
    (difference > 0.0) & (first_value >= 0.0) & (first_value < far_from_zero * difference)
}

/// Computes the extrapolated rate of a series at every step.
pub(super) fn extrapolated(
    kind: RateKind,
    range_ms: i64,
    samples: &SampleBuf,
    times: &Extrapolation,
    cancel: &Cancel,
    out: &mut RowBuilder,
) -> Result<(), QueryError> {
    match times.run() {
        Some(first) => {
            let run = out.set_run(first, times.steps.len());
            rates(kind, range_ms, &samples.values, times, cancel, run)?;
        }
        None => {
            let mut values = vec![0.0; times.steps.len()];
            rates(kind, range_ms, &samples.values, times, cancel, &mut values)?;
            for (&step, &value) in times.steps.iter().zip(&values) {
                out.set(step as usize, value);
            }
        }
    }
    Ok(())
}

/// Computes the rate of every window.
fn rates(
    kind: RateKind,
    range_ms: i64,
    values: &[f64],
    times: &Extrapolation,
    cancel: &Cancel,
    rates: &mut [f64],
) -> Result<(), QueryError> {
    if kind.is_counter() && values.windows(2).fold(false, |any, w| any | (w[1] < w[0])) {
        return rates_with_resets(kind, range_ms, values, times, cancel, rates);
    }
    let mut may_any_begin = false;
    let columns = times.ends.iter().zip(&times.factors);
    for ((rate, (&(first, last), &factor)), &far) in
        rates.iter_mut().zip(columns).zip(&times.far_from_zero)
    {
        let first_value = values[first as usize];
        let difference = values[last as usize] - first_value;
        may_any_begin |= may_begin(first_value, difference, far);
        *rate = difference * factor;
    }
    if kind.is_counter() && may_any_begin {
        for (at, rate) in rates.iter_mut().enumerate() {
            let (first, last) = times.ends[at];
            let first_value = values[first as usize];
            let difference = values[last as usize] - first_value;
            *rate = counter_rate(kind, range_ms, times, at, first_value, difference);
        }
    }
    Ok(())
}

/// As [`rates`], for a counter that was reset. Windows of many resets take long.
fn rates_with_resets(
    kind: RateKind,
    range_ms: i64,
    values: &[f64],
    times: &Extrapolation,
    cancel: &Cancel,
    rates: &mut [f64],
) -> Result<(), QueryError> {
    let resets = reset_positions(values);
    // Windows move forward, and so does the first reset that can lie inside.
    let mut next_reset = 0;
    for (at, rate) in rates.iter_mut().enumerate() {
        cancel.check("expression evaluation")?;
        let (first, last) = times.ends[at];
        let (first, last) = (first as usize, last as usize);
        let mut difference = values[last] - values[first];
        while next_reset < resets.len() && resets[next_reset] <= first {
            next_reset += 1;
        }
        for &at in resets[next_reset..].iter().take_while(|&&at| at <= last) {
            difference += values[at - 1];
        }
        *rate = counter_rate(kind, range_ms, times, at, values[first], difference);
    }
    Ok(())
}

/// Extrapolates the difference of window `at`, which begins with `first_value`.
#[inline]
fn counter_rate(
    kind: RateKind,
    range_ms: i64,
    times: &Extrapolation,
    at: usize,
    first_value: f64,
    difference: f64,
) -> f64 {
    if may_begin(first_value, difference, times.far_from_zero[at]) {
        // A counter cannot have been below zero.
        let gaps = &times.gaps[at];
        let to_zero = gaps.sampled * (first_value / difference);
        if to_zero < gaps.to_start {
            return difference * gaps.factor(kind, to_zero, seconds(range_ms));
        }
    }
    difference * times.factors[at]
}

/// Returns the positions of the samples that are below the one before.
fn reset_positions(values: &[f64]) -> Vec<usize> {
    (1..values.len())
        .filter(|&at| values[at] < values[at - 1])
        .collect()
}

/// Returns a duration in seconds, divided as Go's `Duration.Seconds` does.
pub(super) fn seconds(ms: i64) -> f64 {
    (ms / 1000) as f64 + (ms % 1000 * 1_000_000) as f64 / 1e9
}

/// Returns the difference of the last two samples; a counter per second.
pub(super) fn last_two(window: &Window<'_>, per_second: bool) -> Option<f64> {
    let n = window.values.len();
    if n < 2 {
        return None;
    }
    let (before, last) = (window.values[n - 2], window.values[n - 1]);
    let interval_ms = window.timestamps[n - 1] - window.timestamps[n - 2];
    if interval_ms == 0 {
        return None;
    }
    let was_reset = per_second && last < before;
    let mut result = if was_reset { last } else { last - before };
    if per_second {
        result /= interval_ms as f64 / 1000.0;
    }
    Some(result)
}

/// Computes the rate between the edges of a range that is anchored or smoothed. The
/// window reaches beyond the range.
pub(super) fn extended(
    kind: RateKind,
    window: &Window<'_>,
    range_ms: i64,
    end_ms: i64,
    smoothed: bool,
) -> Option<f64> {
    let start_ms = end_ms - range_ms;
    let edges = Extent::find(window.timestamps, start_ms, end_ms, smoothed)?;
    if smoothed && window.timestamps[edges.first] > end_ms {
        return None;
    }
    let is_counter = kind.is_counter();
    let (left, right) = edges.values(window, start_ms, end_ms, smoothed, is_counter);
    let mut result = right - left;
    if is_counter {
        let (first, behind) = edges.inside(window.timestamps, start_ms, end_ms);
        let mut before = left;
        let mut correction = 0.0;
        for &value in window.values.get(first..behind).unwrap_or(&[]) {
            if value < before {
                correction += before;
            }
            before = value;
        }
        if right < before {
            correction += before;
        }
        result += correction;
    }
    if kind == RateKind::Rate {
        result /= seconds(range_ms);
    }
    Some(result)
}

/// Replaces samples around a range by those inside, with one at either edge.
pub(super) fn extend(samples: &mut SampleBuf, start_ms: i64, end_ms: i64, smoothed: bool) {
    let window = Window {
        timestamps: &samples.timestamps,
        values: &samples.values,
        step: 0,
    };
    let mut extended = SampleBuf::default();
    if let Some(edges) = Extent::find(window.timestamps, start_ms, end_ms, smoothed) {
        let (left, right) = edges.values(&window, start_ms, end_ms, smoothed, false);
        extended.push(start_ms, left);
        let (first, behind) = edges.inside(window.timestamps, start_ms, end_ms);
        for at in first..behind {
            extended.push(window.timestamps[at], window.values[at]);
        }
        extended.push(end_ms, right);
    }
    *samples = extended;
}

/// The samples that stand for the edges of a range.
#[derive(Debug, Clone, Copy)]
struct Extent {
    first: usize,
    last: usize,
}

impl Extent {
    /// Finds them; `None` where no sample is after the start.
    fn find(times: &[i64], start_ms: i64, end_ms: i64, smoothed: bool) -> Option<Extent> {
        let mut last = times.len().checked_sub(1)?;
        let searched = &times[..last];
        let first = searched
            .partition_point(|&t| t <= start_ms)
            .saturating_sub(1);
        if smoothed {
            last = searched.partition_point(|&t| t < end_ms);
        }
        (times[last] > start_ms).then_some(Extent { first, last })
    }

    /// Returns the values at the edges.
    fn values(
        self,
        window: &Window<'_>,
        start_ms: i64,
        end_ms: i64,
        smoothed: bool,
        is_counter: bool,
    ) -> (f64, f64) {
        let sample = |at: usize| (window.timestamps[at], window.values[at]);
        let (first, last) = (self.first, self.last);
        let left = if smoothed && window.timestamps[first] < start_ms {
            interpolate(sample(first), sample(first + 1), start_ms, is_counter)
        } else {
            window.values[first]
        };
        let right = if smoothed && last > 0 && window.timestamps[last] > end_ms {
            interpolate(sample(last - 1), sample(last), end_ms, is_counter)
        } else {
            window.values[last]
        };
        (left, right)
    }

    /// Returns the range of the samples strictly inside.
    fn inside(self, times: &[i64], start_ms: i64, end_ms: i64) -> (usize, usize) {
        let first = self.first + usize::from(times[self.first] <= start_ms);
        let behind = self.last + usize::from(times[self.last] < end_ms);
        (first, behind.max(first))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::promql::plan::{Edges, Shift};
    use crate::source::Times;

    fn rate_at(kind: RateKind, samples: &[(i64, f64)], range_ms: i64, t_ms: i64) -> Option<f64> {
        let mut buffer = SampleBuf::default();
        for &(t_ms, value) in samples {
            buffer.push(t_ms, value);
        }
        let spec = RangeSpec::new(range_ms, Shift::default(), Edges::Plain, 0);
        let grid = Grid::instant(t_ms);
        let mut windows = Windows::new(spec);
        windows.find(&buffer.timestamps, Times::New, &grid);
        let mut times = Extrapolation::default();
        times.prepare(kind, &buffer, &windows, &spec, &grid);
        let mut out = RowBuilder::new(1);
        extrapolated(kind, range_ms, &buffer, &times, &Cancel::new(), &mut out).unwrap();
        out.take(kymo_storage::model::Labels::empty)?.get(0)
    }

    #[test]
    fn rates_extrapolate_to_the_edges_of_the_range() {
        let steady = [
            (10_000, 10.0),
            (20_000, 20.0),
            (30_000, 30.0),
            (40_000, 40.0),
        ];
        let reset = [
            (10_000, 10.0),
            (20_000, 20.0),
            (30_000, 5.0),
            (40_000, 15.0),
        ];
        let cases = [
            (RateKind::Increase, &steady[..], 40_000, 45_000, Some(40.0)),
            (RateKind::Rate, &steady[..], 40_000, 45_000, Some(1.0)),
            // Half an interval at the end, where the gap is too wide.
            (
                RateKind::Increase,
                &steady[..],
                100_000,
                100_000,
                Some(45.0),
            ),
            // The value before the reset is added back.
            (RateKind::Increase, &reset[..], 30_000, 40_000, Some(22.5)),
            (
                RateKind::Delta,
                &reset[..],
                40_000,
                40_000,
                Some(5.0 * 4.0 / 3.0),
            ),
            (RateKind::Rate, &steady[..1], 40_000, 45_000, None),
        ];
        for (kind, samples, range_ms, t_ms, expected) in cases {
            let got = rate_at(kind, samples, range_ms, t_ms);
            let close = match (got, expected) {
                (Some(got), Some(expected)) => (got - expected).abs() < 1e-9,
                (got, expected) => got == expected,
            };
            assert!(close, "{kind:?} at {t_ms}: {got:?}, expected {expected:?}");
        }
    }

    /// Extrapolates one window as the reference's text reads.
    fn plainly(kind: RateKind, samples: &SampleBuf, start_ms: i64, end_ms: i64) -> Option<f64> {
        let inside = |t_ms: i64| t_ms > start_ms && t_ms <= end_ms;
        let at: Vec<usize> = (0..samples.values.len())
            .filter(|&at| inside(samples.timestamps[at]))
            .collect();
        let (&first, &last) = (at.first()?, at.last()?);
        if first == last {
            return None;
        }
        let (times, values) = (&samples.timestamps, &samples.values);
        let mut result = values[last] - values[first];
        if kind.is_counter() {
            for at in first + 1..=last {
                if values[at] < values[at - 1] {
                    result += values[at - 1];
                }
            }
        }
        let mut to_start = (times[first] - start_ms) as f64 / 1000.0;
        let mut to_end = (end_ms - times[last]) as f64 / 1000.0;
        let sampled = (times[last] - times[first]) as f64 / 1000.0;
        let average = sampled / (last - first) as f64;
        if to_start >= average * 1.1 {
            to_start = average / 2.0;
        }
        if kind.is_counter() && result > 0.0 && values[first] >= 0.0 {
            let to_zero = sampled * (values[first] / result);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        if to_end >= average * 1.1 {
            to_end = average / 2.0;
        }
        let mut factor = (sampled + to_start + to_end) / sampled;
        if kind == RateKind::Rate {
            factor /= seconds(end_ms - start_ms);
        }
        Some(result * factor)
    }

    proptest! {
        #[test]
        fn every_window_is_extrapolated_to_the_bit(
            steps in prop::collection::vec((1i64..40, value()), 1..40),
            range_ms in 1i64..200,
            step_ms in 1i64..50,
        ) {
            let mut samples = SampleBuf::default();
            let mut t_ms = 0;
            for (step_ms, value) in steps {
                t_ms += step_ms;
                samples.push(t_ms, value);
            }
            let spec = RangeSpec::new(range_ms, Shift::default(), Edges::Plain, 0);
            let grid = Grid::new(0, t_ms + 50, step_ms);
            let mut windows = Windows::new(spec);
            windows.find(&samples.timestamps, Times::New, &grid);
            for kind in [RateKind::Rate, RateKind::Increase, RateKind::Delta] {
                let mut times = Extrapolation::default();
                times.prepare(kind, &samples, &windows, &spec, &grid);
                let mut out = RowBuilder::new(grid.steps);
                extrapolated(kind, range_ms, &samples, &times, &Cancel::new(), &mut out).unwrap();
                let row = out.take(kymo_storage::model::Labels::empty);
                for step in 0..grid.steps {
                    let end_ms = grid.time(step);
                    let expected = plainly(kind, &samples, end_ms - range_ms, end_ms);
                    let got = row.as_ref().and_then(|row| row.get(step));
                    prop_assert_eq!(got.map(bits), expected.map(bits));
                }
            }
        }
    }

    /// Tells numbers apart by all their bits, and NaN from numbers.
    fn bits(value: f64) -> u64 {
        if value.is_nan() {
            f64::NAN.to_bits()
        } else {
            value.to_bits()
        }
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (0u32..1000).prop_map(f64::from),
            4 => (-20i32..20).prop_map(|n| f64::from(n) / 7.0),
            1 => prop::sample::select(vec![0.0, -0.0, f64::INFINITY, f64::MAX, 5e-324]),
        ]
    }

    #[test]
    fn the_last_two_samples_make_an_instant_rate() {
        let window = Window {
            timestamps: &[0, 10_000, 15_000],
            values: &[7.0, 3.0, 13.0],
            step: 0,
        };
        assert_eq!(last_two(&window, true), Some(2.0));
        assert_eq!(last_two(&window, false), Some(10.0));
        let reset = Window {
            values: &[7.0, 13.0, 5.0],
            ..window
        };
        assert_eq!(last_two(&reset, true), Some(1.0));
        assert_eq!(last_two(&reset, false), Some(-8.0));
    }

    #[test]
    fn anchored_ranges_begin_with_the_sample_before_them() {
        let window = Window {
            timestamps: &[0, 10_000, 20_000, 30_000],
            values: &[0.0, 10.0, 3.0, 8.0],
            step: 0,
        };
        let increase = extended(RateKind::Increase, &window, 15_000, 30_000, false);
        assert_eq!(increase, Some(8.0));
        let smooth = extended(RateKind::Increase, &window, 15_000, 30_000, true);
        assert_eq!(smooth, Some(6.5));
    }
}
