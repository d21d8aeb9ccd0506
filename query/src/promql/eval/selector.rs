//! Instant vector selectors: the newest sample within the lookback, at every step.

use kymo_storage::model::{Labels, TimeRange, is_stale_marker};

use super::row::{Grid, Row, RowBuilder};
use super::{Evaluator, out_of_time};
use crate::error::QueryError;
use crate::limits::Budget;
use crate::promql::plan::{Edges, Selector};
use crate::source::{SampleBuf, SelectHints, SeriesSet};

/// What a selector answers for a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its value.
    Value,
    /// Its time in seconds.
    Timestamp,
    /// Its time in milliseconds.
    TimestampMs,
}

/// Takes the rows of a selector one by one.
pub(super) type InstantSink<'s> =
    dyn FnMut(&Labels, &RowBuilder, &mut Budget) -> Result<(), QueryError> + 's;

impl Evaluator<'_> {
    /// Evaluates a selector.
    pub(super) fn instant_vector(
        &mut self,
        selector: &Selector,
        grid: &Grid,
    ) -> Result<Vec<Row>, QueryError> {
        if selector.edges == Edges::Smoothed {
            return self.smoothed_vector(selector, grid);
        }
        self.selected(selector, Answer::Value, grid)
    }

    /// Evaluates a plain selector.
    pub(super) fn selected(
        &mut self,
        selector: &Selector,
        answer: Answer,
        grid: &Grid,
    ) -> Result<Vec<Row>, QueryError> {
        let set = self.select(selector, 0, grid)?;
        let mut rows = Vec::with_capacity(set.len());
        let mut samples = SampleBuf::default();
        let mut builder = RowBuilder::new(grid.steps);
        for index in 0..set.len() {
            self.check()?;
            set.read(index, &mut samples)?;
            self.newest(&samples, selector, answer, grid, &mut builder);
            self.count_selected(builder.count())?;
            if let Some(row) = builder.take(|| set.labels(index)) {
                self.budget.hold_bytes(row.memory_bytes())?;
                rows.push(row);
            }
        }
        self.budget.release_bytes(set.memory_bytes());
        Ok(rows)
    }

    /// Evaluates a plain selector and hands every row that is not empty to `sink`, with
    /// the labels that `names` lists, or all, and the budget for what it keeps.
    pub(super) fn stream_instant(
        &mut self,
        selector: &Selector,
        names: Option<&[String]>,
        grid: &Grid,
        sink: &mut InstantSink<'_>,
    ) -> Result<(), QueryError> {
        let set = self.select(selector, 0, grid)?;
        let mut samples = SampleBuf::default();
        let mut builder = RowBuilder::new(grid.steps);
        for index in 0..set.len() {
            self.check()?;
            set.read(index, &mut samples)?;
            self.newest(&samples, selector, Answer::Value, grid, &mut builder);
            let count = builder.count();
            if count > 0 {
                self.count_selected(count)?;
                let labels = match names {
                    Some(names) => set.labels_named(index, names),
                    None => set.labels(index),
                };
                sink(&labels, &builder, &mut self.budget)?;
                builder.clear();
            }
        }
        self.budget.release_bytes(set.memory_bytes());
        Ok(())
    }

    /// Selects the series of an instant selector, with `after_ms` more at the end.
    pub(super) fn select(
        &mut self,
        selector: &Selector,
        after_ms: i64,
        grid: &Grid,
    ) -> Result<Box<dyn SeriesSet>, QueryError> {
        // Once the first and last time are in range, so is every one between them.
        let bounds = || {
            let at = |step| checked_time_of(selector, grid, step);
            let first_ms = at(0)?.checked_sub(self.lookback_ms)?.checked_add(1)?;
            let last_ms = at(grid.steps.saturating_sub(1))?.checked_add(after_ms)?;
            Some((first_ms, last_ms))
        };
        let (first_ms, last_ms) = bounds().ok_or_else(out_of_time)?;
        let hints = SelectHints {
            function: "",
            step_ms: if grid.is_instant() { 0 } else { grid.step_ms },
            range_ms: 0,
            newest_only: grid.is_instant() && after_ms == 0,
            whole: None,
        };
        let range = TimeRange::new(first_ms, last_ms);
        let set = self.source.select(&selector.matchers, range, &hints)?;
        self.budget.hold_bytes(set.memory_bytes())?;
        Ok(set)
    }

    /// Finds the newest sample of a series at every step.
    pub(super) fn newest(
        &self,
        samples: &SampleBuf,
        selector: &Selector,
        answer: Answer,
        grid: &Grid,
        into: &mut RowBuilder,
    ) {
        let (times, values) = (&samples.timestamps, &samples.values);
        let mut behind = 0;
        for step in 0..grid.steps {
            let t_ms = time_of(selector, grid, step);
            while behind < times.len() && times[behind] <= t_ms {
                behind += 1;
            }
            let Some(at) = behind.checked_sub(1) else {
                continue;
            };
            let value = values[at];
            if times[at] <= t_ms - self.lookback_ms || is_stale_marker(value) {
                continue;
            }
            into.set(
                step,
                match answer {
                    Answer::Value => value,
                    Answer::Timestamp => times[at] as f64 / 1000.0,
                    Answer::TimestampMs => times[at] as f64,
                },
            );
        }
    }

    pub(super) fn count_selected(&mut self, count: usize) -> Result<(), QueryError> {
        self.looked += count as u64;
        self.read += count as u64;
        self.budget.hold(count)
    }

    /// Evaluates `selector smoothed`: values between samples are interpolated.
    fn smoothed_vector(
        &mut self,
        selector: &Selector,
        grid: &Grid,
    ) -> Result<Vec<Row>, QueryError> {
        let set = self.select(selector, self.lookback_ms, grid)?;
        let mut rows = Vec::new();
        let mut samples = SampleBuf::default();
        let mut builder = RowBuilder::new(grid.steps);
        for index in 0..set.len() {
            self.check()?;
            set.read(index, &mut samples)?;
            super::window::drop_stale_markers(&mut samples);
            let (times, values) = (&samples.timestamps, &samples.values);
            for step in 0..grid.steps {
                let t_ms = time_of(selector, grid, step);
                let next = times.partition_point(|&t| t < t_ms);
                let next_near = next < times.len() && times[next] <= t_ms + self.lookback_ms;
                let before = next
                    .checked_sub(1)
                    .filter(|&at| times[at] > t_ms - self.lookback_ms);
                if next < times.len() && times[next] == t_ms {
                    builder.set(step, values[next]);
                } else if let Some(at) = before {
                    let value = match next_near {
                        true => interpolate(
                            (times[at], values[at]),
                            (times[next], values[next]),
                            t_ms,
                            false,
                        ),
                        false => values[at],
                    };
                    builder.set(step, value);
                }
            }
            self.budget.hold(builder.count())?;
            if let Some(row) = builder.take(|| set.labels(index)) {
                self.budget.hold_bytes(row.memory_bytes())?;
                rows.push(row);
            }
        }
        self.budget.release_bytes(set.memory_bytes());
        Ok(rows)
    }
}

fn checked_time_of(selector: &Selector, grid: &Grid, step: usize) -> Option<i64> {
    let at_ms = selector.shift.at_ms.unwrap_or_else(|| grid.time(step));
    at_ms.checked_sub(selector.shift.offset_ms)
}

/// Returns the time at which a selector looks for samples at a step.
fn time_of(selector: &Selector, grid: &Grid, step: usize) -> i64 {
    selector.shift.at_ms.unwrap_or_else(|| grid.time(step)) - selector.shift.offset_ms
}

/// Returns the value at `t_ms` on the line between two samples. A counter that was
/// reset between them starts from zero.
pub(super) fn interpolate(a: (i64, f64), b: (i64, f64), t_ms: i64, is_counter: bool) -> f64 {
    let y1 = if is_counter && b.1 < a.1 { 0.0 } else { a.1 };
    y1 + (b.1 - y1) * (t_ms - a.0) as f64 / (b.0 - a.0) as f64
}
