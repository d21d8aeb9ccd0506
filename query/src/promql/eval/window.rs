//! Which samples belong to which step: index pairs found with two pointers.

use std::ops::Range;

use super::row::Grid;
use crate::error::QueryError;
use crate::limits::Cancel;
use crate::promql::plan::{Edges, Shift};
use crate::source::{SampleBuf, Times};
use kymo_storage::model::is_stale_marker;

/// Where the range of a step lies, and how far around it samples are looked for.
/// Ranges are open on the left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RangeSpec {
    pub(crate) range_ms: i64,
    pub(crate) shift: Shift,
    pub(crate) before_ms: i64,
    pub(crate) after_ms: i64,
}

impl RangeSpec {
    pub(crate) fn new(range_ms: i64, shift: Shift, edges: Edges, lookback_ms: i64) -> RangeSpec {
        let (before_ms, after_ms) = match edges {
            Edges::Plain => (0, 0),
            Edges::Anchored => (lookback_ms, 0),
            Edges::Smoothed => (lookback_ms, lookback_ms),
        };
        RangeSpec {
            range_ms,
            shift,
            before_ms,
            after_ms,
        }
    }

    /// Returns the end of the range at a step.
    pub(crate) fn end(&self, grid: &Grid, step: usize) -> i64 {
        self.shift.at_ms.unwrap_or_else(|| grid.time(step)) - self.shift.offset_ms
    }

    /// Returns the first and last millisecond that samples are needed of; `None` where
    /// one is out of range. All other times of the windows lie between them.
    pub(crate) fn needed(&self, grid: &Grid) -> Option<(i64, i64)> {
        let end_ms = |step| {
            let at_ms = self.shift.at_ms.unwrap_or_else(|| grid.time(step));
            at_ms.checked_sub(self.shift.offset_ms)
        };
        let first_ms = end_ms(0)?
            .checked_sub(self.range_ms)?
            .checked_sub(self.before_ms)?
            .checked_add(1)?;
        let last_ms = end_ms(grid.steps.saturating_sub(1))?.checked_add(self.after_ms)?;
        Some((first_ms, last_ms))
    }
}

/// The windows of one series, kept between series that share their timestamps.
#[derive(Debug)]
pub(crate) struct Windows {
    spec: RangeSpec,
    pairs: Vec<(u32, u32)>,
    counts: Counts,
    /// Counts up whenever the pairs change.
    generation: u64,
}

impl Windows {
    pub(crate) fn new(spec: RangeSpec) -> Windows {
        Windows {
            spec,
            pairs: Vec::new(),
            counts: Counts::default(),
            generation: 0,
        }
    }

    /// Finds the windows of a series at every step. `times` tells whether its timestamps
    /// are those of the call before.
    pub(crate) fn find(&mut self, timestamps: &[i64], times: Times, grid: &Grid) {
        if times == Times::Same && self.pairs.len() == grid.steps {
            return;
        }
        self.generation += 1;
        self.pairs.clear();
        self.pairs.reserve(grid.steps);
        let (mut from, mut to) = (0, 0);
        for step in 0..grid.steps {
            let end = self.spec.end(grid, step);
            let (low, high) = (
                end - self.spec.range_ms - self.spec.before_ms,
                end + self.spec.after_ms,
            );
            while to < timestamps.len() && timestamps[to] <= high {
                to += 1;
            }
            while from < to && timestamps[from] <= low {
                from += 1;
            }
            self.pairs.push((from as u32, to as u32));
        }
        self.counts = self.count();
    }

    /// Forgets the windows: a series was left out, and the next one may share its times.
    pub(crate) fn forget(&mut self) {
        self.pairs.clear();
    }

    /// Returns the indexes of the samples in the window of each step.
    pub(crate) fn pairs(&self) -> &[(u32, u32)] {
        &self.pairs
    }

    /// Returns a number that changes whenever the windows do.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns what the windows of the series cost.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    fn count(&self) -> Counts {
        let mut counts = Counts::default();
        let mut read_to = 0;
        for (step, &(from, to)) in self.pairs.iter().enumerate() {
            let len = to.saturating_sub(from);
            counts.looked += u64::from(len);
            counts.largest = counts.largest.max(len as usize);
            if step == 0 {
                counts.read += u64::from(len);
            } else if self.spec.shift.at_ms.is_none() {
                // Samples behind the end of the step before are new.
                counts.read += u64::from(to.saturating_sub(from.max(read_to)));
            }
            read_to = to;
        }
        counts
    }
}

/// Samples that the windows of a series hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Over all steps, each as often as it is looked at.
    pub(crate) looked: u64,
    /// Each once.
    pub(crate) read: u64,
    /// In the largest window.
    pub(crate) largest: usize,
}

/// One window of samples and the step that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    pub(crate) timestamps: &'a [i64],
    pub(crate) values: &'a [f64],
    pub(crate) step: usize,
}

/// Calls `each` with every window that has samples, until the query is stopped: large
/// windows at many steps are hours of work for one series.
#[inline]
pub(crate) fn each_window(
    samples: &SampleBuf,
    pairs: &[(u32, u32)],
    cancel: &Cancel,
    mut each: impl FnMut(Window<'_>),
) -> Result<(), QueryError> {
    for (step, &(from, to)) in pairs.iter().enumerate() {
        let range: Range<usize> = from as usize..to as usize;
        if range.start >= range.end {
            continue;
        }
        let (Some(timestamps), Some(values)) = (
            samples.timestamps.get(range.clone()),
            samples.values.get(range.clone()),
        ) else {
            continue;
        };
        cancel.check("expression evaluation")?;
        each(Window {
            timestamps,
            values,
            step,
        });
    }
    Ok(())
}

/// Removes the stale markers, which ranges do not see. Tells whether there were any among
/// the floats.
pub(crate) fn drop_stale_markers(samples: &mut SampleBuf) -> bool {
    samples
        .histograms
        .retain(|s| !s.histogram.is_stale_marker());
    // Nearly always there are none, which a pass without branches tells fastest.
    if !samples
        .values
        .iter()
        .fold(false, |any, value| any | value.is_nan())
    {
        return false;
    }
    let Some(first) = samples.values.iter().position(|&v| is_stale_marker(v)) else {
        return false;
    };
    let mut kept = first;
    for at in first..samples.values.len() {
        if !is_stale_marker(samples.values[at]) {
            samples.values[kept] = samples.values[at];
            samples.timestamps[kept] = samples.timestamps[at];
            if let Some(&start_ms) = samples.start_times.get(at) {
                samples.start_times[kept] = start_ms;
            }
            kept += 1;
        }
    }
    samples.values.truncate(kept);
    samples.timestamps.truncate(kept);
    samples.start_times.truncate(kept);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use kymo_storage::model::stale_marker;

    #[test]
    fn windows_are_open_on_the_left() {
        let spec = RangeSpec::new(20, Shift::default(), Edges::Plain, 0);
        let mut windows = Windows::new(spec);
        let grid = Grid::new(10, 50, 10);
        windows.find(&[10, 20, 30, 40], Times::New, &grid);
        assert_eq!(windows.pairs(), [(0, 1), (0, 2), (1, 3), (2, 4), (3, 4)]);
        let expected = Counts {
            looked: 8,
            read: 4,
            largest: 2,
        };
        assert_eq!(windows.counts(), expected);
    }

    #[test]
    fn a_pinned_range_is_the_same_at_every_step() {
        let shift = Shift {
            offset_ms: 5,
            at_ms: Some(35),
        };
        let mut windows = Windows::new(RangeSpec::new(15, shift, Edges::Plain, 0));
        let grid = Grid::new(0, 2, 1);
        windows.find(&[10, 20, 30, 40], Times::New, &grid);
        assert_eq!(windows.pairs(), [(1, 3), (1, 3), (1, 3)]);
        let expected = Counts {
            looked: 6,
            read: 2,
            largest: 2,
        };
        assert_eq!(windows.counts(), expected);
    }

    #[test]
    fn a_stopped_query_looks_at_no_more_windows() {
        let mut samples = SampleBuf::default();
        for t_ms in 0..4 {
            samples.push(t_ms, 1.0);
        }
        let pairs = [(0, 2), (1, 3), (2, 4)];
        let cancel = Cancel::new();
        let mut seen = 0;
        let ended = each_window(&samples, &pairs, &cancel, |window| {
            seen += 1;
            if window.step == 1 {
                cancel.expire();
            }
        });
        assert!(matches!(ended, Err(QueryError::Timeout(_))));
        assert_eq!(seen, 2);
    }

    #[test]
    fn stale_markers_leave_no_trace() {
        let mut samples = SampleBuf::default();
        for (t_ms, value) in [(1, 1.0), (2, stale_marker()), (3, f64::NAN), (4, 4.0)] {
            samples.push(t_ms, value);
        }
        assert!(drop_stale_markers(&mut samples));
        assert!(!drop_stale_markers(&mut samples));
        assert_eq!(samples.timestamps, [1, 3, 4]);
        assert_eq!(samples.values[2], 4.0);
    }
}
