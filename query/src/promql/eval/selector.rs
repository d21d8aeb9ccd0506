//! Instant vector selectors: the newest sample within the lookback, at every step.

use std::sync::Arc;

use kymo_storage::model::histogram::{CounterResetHint, FloatHistogram};
use kymo_storage::model::{Labels, METRIC_NAME, TimeRange, is_stale_marker};

use super::batches::{Extent, PerSeries};
use super::histogram_notes::About;
use super::rate_histogram;
use super::row::{Grid, Row, RowBuilder};
use super::window::drop_stale_markers;
use super::{Evaluator, Outcome, out_of_time};
use crate::error::QueryError;
use crate::limits::{Budget, Cancel};
use crate::promql::annotations::Annotations;
use crate::promql::ast::Span;
use crate::promql::plan::{Edges, Selector, Shift};
use crate::promql::stats_only;
use crate::source::{HistogramSample, SampleBuf, SelectHints, SeriesSet, Times};

/// What a selector answers for a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its value.
    Value,
    /// Its time in seconds.
    Timestamp,
    /// Its time in milliseconds.
    TimestampMs,
    /// Since when its series has counted, in seconds; 0 where that is not known.
    StartTime,
}

/// Takes the rows of a selector one by one.
pub(super) trait Sink {
    /// Takes the row of a series, and the budget for what is kept of it.
    fn take(&mut self, index: usize, row: Row, budget: &mut Budget) -> Result<(), QueryError>;

    /// Is called when all rows have been taken; `labels_of` tells all labels of a series.
    fn end(&mut self, labels_of: &dyn Fn(usize) -> Labels) {
        let _ = labels_of;
    }
}

/// Rows that are the result.
struct KeepAll(Vec<Row>);

impl Sink for KeepAll {
    fn take(&mut self, _: usize, row: Row, budget: &mut Budget) -> Result<(), QueryError> {
        budget.hold_bytes(row.memory_bytes())?;
        self.0.push(row);
        Ok(())
    }
}

/// A selector at work on its series.
struct AtSteps {
    set: Box<dyn SeriesSet>,
    /// Labels that the rows get; `None` for all.
    names: Option<Vec<String>>,
    answer: Answer,
    shift: Shift,
    smoothed: bool,
    stats_only: bool,
    span: Span,
    grid: Grid,
    lookback_ms: i64,
    cancel: Cancel,
}

/// What came of a series.
struct OfSeries {
    index: usize,
    /// Memory of the buffer that its samples were read to.
    buffer_bytes: usize,
    row: Row,
    notes: Option<Annotations>,
}

/// Buffers of one thread, and what it keeps between series that share timestamps.
struct Buffers {
    samples: SampleBuf,
    builder: RowBuilder,
    newest: Newest,
}

impl PerSeries for AtSteps {
    type Buffers = Buffers;
    type Made = OfSeries;

    fn buffers(&self) -> Buffers {
        Buffers {
            samples: SampleBuf::default(),
            builder: RowBuilder::new(self.grid.steps),
            newest: Newest::default(),
        }
    }

    fn make(&self, index: usize, buffers: &mut Buffers) -> Result<Option<OfSeries>, QueryError> {
        self.cancel.check("expression evaluation")?;
        let Buffers {
            samples,
            builder,
            newest,
        } = buffers;
        let times = self.set.read_next(index, samples)?;
        if !self.smoothed && (times == Times::New || !newest.is_found) {
            newest.find(&samples.timestamps, self);
        }
        let mut notes = None;
        match (self.smoothed, samples.histograms.is_empty()) {
            (true, true) => self.between(samples, builder),
            (false, true) => self.at_newest(samples, newest, builder),
            (true, false) => notes = Some(self.between_of_both(index, samples, builder)),
            (false, false) => self.newest_of_both(samples, builder),
        }
        let labels = || match &self.names {
            // What is said of histograms names the metric.
            Some(names) if samples.histograms.is_empty() => self.set.labels_named(index, names),
            _ => self.set.labels(index),
        };
        let buffer_bytes = samples.memory_bytes();
        let row = match (builder.take(labels), &notes) {
            (Some(row), _) => row,
            // What is to be said is said of series without elements, too.
            (None, Some(notes)) if !notes.is_empty() => Row::full(Labels::empty(), []),
            (None, _) => return Ok(None),
        };
        Ok(Some(OfSeries {
            index,
            buffer_bytes,
            row,
            notes,
        }))
    }
}

/// Where the newest sample of each step stands.
#[derive(Debug, Default)]
struct Newest {
    is_found: bool,
    /// The first step that has one, and the samples from there on, if all steps up to
    /// the last that has one have one.
    first: usize,
    run: Vec<u32>,
    /// Otherwise steps with their samples.
    scattered: Vec<(u32, u32)>,
}

impl Newest {
    fn find(&mut self, times: &[i64], of: &AtSteps) {
        self.is_found = true;
        self.run.clear();
        self.scattered.clear();
        let mut behind = 0;
        for step in 0..of.grid.steps {
            let t_ms = time_of(&of.shift, &of.grid, step);
            while behind < times.len() && times[behind] <= t_ms {
                behind += 1;
            }
            let Some(at) = behind.checked_sub(1) else {
                continue;
            };
            if times[at] <= t_ms - of.lookback_ms {
                continue;
            }
            if self.run.is_empty() && self.scattered.is_empty() {
                self.first = step;
            }
            if self.scattered.is_empty() && step == self.first + self.run.len() {
                self.run.push(at as u32);
            } else {
                let first = self.first;
                let run = self.run.drain(..).enumerate();
                self.scattered
                    .extend(run.map(|(nth, at)| ((first + nth) as u32, at)));
                self.scattered.push((step as u32, at as u32));
            }
        }
    }
}

impl AtSteps {
    /// Takes the newest sample of a series at every step.
    fn at_newest(&self, samples: &SampleBuf, newest: &Newest, into: &mut RowBuilder) {
        let values = samples.values.as_slice();
        // Nearly always there is none.
        let any_nan = values.iter().fold(false, |any, value| any | value.is_nan());
        let answer = |at: u32| {
            let at = at as usize;
            match self.answer {
                Answer::Value => values[at],
                Answer::Timestamp => samples.timestamps[at] as f64 / 1000.0,
                Answer::TimestampMs => samples.timestamps[at] as f64,
                Answer::StartTime => {
                    let start_ms = samples.start_times.get(at).copied();
                    start_ms.unwrap_or(0) as f64 / 1000.0
                }
            }
        };
        if !any_nan && newest.scattered.is_empty() {
            let run = into.set_run(newest.first, newest.run.len());
            for (value, &at) in run.iter_mut().zip(&newest.run) {
                *value = answer(at);
            }
            return;
        }
        let run = newest.run.iter().enumerate();
        let run = run.map(|(nth, &at)| (newest.first + nth, at));
        let scattered = newest.scattered.iter();
        for (step, at) in run.chain(scattered.map(|&(step, at)| (step as usize, at))) {
            if !is_stale_marker(values[at as usize]) {
                into.set(step, answer(at));
            }
        }
    }

    /// As `newest`, of a series that has histograms.
    fn newest_of_both(&self, samples: &mut SampleBuf, into: &mut RowBuilder) {
        if self.stats_only {
            stats_only::strip(samples);
        }
        let (times, histograms) = (&samples.timestamps, &samples.histograms);
        let (mut behind, mut behind_histograms) = (0, 0);
        for step in 0..self.grid.steps {
            let t_ms = time_of(&self.shift, &self.grid, step);
            while behind < times.len() && times[behind] <= t_ms {
                behind += 1;
            }
            while histograms
                .get(behind_histograms)
                .is_some_and(|sample| sample.t_ms <= t_ms)
            {
                behind_histograms += 1;
            }
            let value = behind
                .checked_sub(1)
                .map(|at| (times[at], samples.values[at]));
            let histogram = behind_histograms.checked_sub(1).map(|at| &histograms[at]);
            let value_ms = value.map(|value| value.0);
            let (newest_ms, is_stale) = match histogram {
                Some(newest) if Some(newest.t_ms) > value_ms => {
                    (newest.t_ms, newest.histogram.is_stale_marker())
                }
                _ => match value {
                    Some((t_ms, value)) => (t_ms, is_stale_marker(value)),
                    None => continue,
                },
            };
            if newest_ms <= t_ms - self.lookback_ms || is_stale {
                continue;
            }
            match (self.answer, histogram, value) {
                (Answer::Timestamp, ..) => into.set(step, newest_ms as f64 / 1000.0),
                (Answer::StartTime, Some(newest), _) if Some(newest.t_ms) > value_ms => {
                    into.set(step, newest.start_ms as f64 / 1000.0);
                }
                (Answer::StartTime, ..) => {
                    let start_ms = behind
                        .checked_sub(1)
                        .and_then(|at| samples.start_times.get(at));
                    into.set(step, start_ms.map_or(0.0, |&ms| ms as f64 / 1000.0));
                }
                // Whoever asks for milliseconds wants no histograms, but to know of them.
                (_, Some(newest), _) if Some(newest.t_ms) > value_ms => {
                    into.set_histogram(step, Arc::clone(&newest.histogram));
                }
                (Answer::TimestampMs, ..) => into.set(step, newest_ms as f64),
                (Answer::Value, _, Some((_, value))) => into.set(step, value),
                (Answer::Value, _, None) => {}
            }
        }
    }

    /// As `between`, of a series that has histograms.
    fn between_of_both(
        &self,
        index: usize,
        samples: &mut SampleBuf,
        into: &mut RowBuilder,
    ) -> Annotations {
        let mut notes = Annotations::default();
        let labels = self.set.labels(index);
        let about = About {
            name: labels.get(METRIC_NAME).unwrap_or(""),
            span: self.span,
        };
        if self.stats_only {
            stats_only::strip(samples);
        }
        drop_stale_markers(samples);
        let mut values = RowBuilder::new(self.grid.steps);
        let mut floats = SampleBuf {
            timestamps: samples.timestamps.clone(),
            values: samples.values.clone(),
            ..SampleBuf::default()
        };
        self.between(&mut floats, &mut values);
        let values = values.take(Labels::empty);
        for step in 0..self.grid.steps {
            let t_ms = time_of(&self.shift, &self.grid, step);
            let (from_ms, to_ms) = (t_ms - self.lookback_ms, t_ms + self.lookback_ms);
            let up_to = |end_ms: i64| samples.timestamps.partition_point(|&t| t <= end_ms);
            let has_floats = up_to(from_ms) < up_to(to_ms);
            let histograms = &samples.histograms;
            let first = histograms.partition_point(|sample| sample.t_ms <= from_ms);
            let behind = histograms.partition_point(|sample| sample.t_ms <= to_ms);
            let around = &histograms[first..behind.max(first)];
            if around.is_empty() {
                if let Some(value) = values.as_ref().and_then(|row| row.get(step)) {
                    into.set(step, value);
                }
                continue;
            }
            if has_floats {
                about.mixed_kinds(&mut notes);
                continue;
            }
            let next = around.partition_point(|sample| sample.t_ms < t_ms);
            let before = next.checked_sub(1).map(|at| &around[at]);
            match (before, around.get(next)) {
                (_, Some(next)) if next.t_ms == t_ms => {
                    into.set_histogram(step, Arc::clone(&next.histogram));
                }
                (Some(before), Some(next))
                    if before.histogram.uses_custom_buckets()
                        != next.histogram.uses_custom_buckets() =>
                {
                    about.mixed_schemas(&mut notes);
                }
                (Some(before), Some(next)) => {
                    let gauge = |sample: &HistogramSample| {
                        sample.histogram.counter_reset_hint == CounterResetHint::Gauge
                    };
                    let is_counter = !(gauge(before) && gauge(next));
                    let between = rate_histogram::interpolate(
                        before, next, t_ms, is_counter, &about, &mut notes,
                    );
                    if let Some(between) = between {
                        into.set_histogram(step, Arc::new(between));
                    }
                }
                (Some(before), None) => {
                    let mut carried = FloatHistogram::clone(&before.histogram);
                    carried.counter_reset_hint = CounterResetHint::Unknown;
                    into.set_histogram(step, Arc::new(carried));
                }
                (None, _) => {}
            }
        }
        notes
    }

    /// Finds values between the samples of a series at every step (`smoothed`).
    fn between(&self, samples: &mut SampleBuf, into: &mut RowBuilder) {
        drop_stale_markers(samples);
        let (times, values) = (&samples.timestamps, &samples.values);
        for step in 0..self.grid.steps {
            let t_ms = time_of(&self.shift, &self.grid, step);
            let next = times.partition_point(|&t| t < t_ms);
            let next_near = next < times.len() && times[next] <= t_ms + self.lookback_ms;
            let before = next
                .checked_sub(1)
                .filter(|&at| times[at] > t_ms - self.lookback_ms);
            if next < times.len() && times[next] == t_ms {
                into.set(step, values[next]);
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
                into.set(step, value);
            }
        }
    }
}

impl Evaluator<'_> {
    /// Evaluates a selector, which stands at `span`.
    pub(super) fn selected(
        &mut self,
        (selector, span): (&Selector, Span),
        answer: Answer,
        grid: &Grid,
    ) -> Outcome {
        let mut kept = KeepAll(Vec::new());
        let notes = self.stream_instant((selector, span), None, answer, grid, &mut kept)?;
        Ok((kept.0, notes))
    }

    /// Evaluates a selector and hands every row to `sink`, with the labels that `names`
    /// lists, or all.
    pub(super) fn stream_instant(
        &mut self,
        (selector, span): (&Selector, Span),
        names: Option<&[String]>,
        answer: Answer,
        grid: &Grid,
        sink: &mut dyn Sink,
    ) -> Result<Annotations, QueryError> {
        let smoothed = selector.edges == Edges::Smoothed;
        let after_ms = if smoothed { self.lookback_ms } else { 0 };
        let (set, range) = self.select(selector, after_ms, grid)?;
        let set_bytes = set.memory_bytes();
        let extent = Extent::new(set.len(), (range.start_ms, range.end_ms), grid.steps);
        let work = Arc::new(AtSteps {
            set,
            names: names.map(<[String]>::to_vec),
            answer,
            shift: selector.shift,
            smoothed,
            stats_only: selector.stats_only,
            span,
            grid: *grid,
            lookback_ms: self.lookback_ms,
            cancel: self.cancel.clone(),
        });
        let mut annotations = Annotations::default();
        self.for_each_series(Arc::clone(&work), extent, |evaluator, made: OfSeries| {
            if let Some(notes) = &made.notes {
                annotations.merge(notes);
            }
            if made.row.is_empty() {
                return Ok(());
            }
            let count = made.row.count();
            if !smoothed {
                evaluator.looked += count as u64;
                evaluator.read += count as u64;
            }
            let budget = &mut evaluator.budget;
            budget.touch_bytes(made.buffer_bytes)?;
            budget.hold(count)?;
            sink.take(made.index, made.row, budget)
        })?;
        sink.end(&|index| work.set.labels(index));
        self.budget.release_bytes(set_bytes);
        Ok(annotations)
    }

    /// Selects the series of an instant selector, with `after_ms` more at the end.
    fn select(
        &mut self,
        selector: &Selector,
        after_ms: i64,
        grid: &Grid,
    ) -> Result<(Box<dyn SeriesSet>, TimeRange), QueryError> {
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
        Ok((set, range))
    }
}

fn checked_time_of(selector: &Selector, grid: &Grid, step: usize) -> Option<i64> {
    let at_ms = selector.shift.at_ms.unwrap_or_else(|| grid.time(step));
    at_ms.checked_sub(selector.shift.offset_ms)
}

/// Returns the time at which a selector looks for samples at a step.
fn time_of(shift: &Shift, grid: &Grid, step: usize) -> i64 {
    shift.at_ms.unwrap_or_else(|| grid.time(step)) - shift.offset_ms
}

/// Returns the value at `t_ms` on the line between two samples. A counter that was
/// reset between them starts from zero.
pub(super) fn interpolate(a: (i64, f64), b: (i64, f64), t_ms: i64, is_counter: bool) -> f64 {
    let y1 = if is_counter && b.1 < a.1 { 0.0 } else { a.1 };
    y1 + (b.1 - y1) * (t_ms - a.0) as f64 / (b.0 - a.0) as f64
}
