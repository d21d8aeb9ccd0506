//! Functions over range vectors: each series is read once, its windows are found, and
//! a kernel turns them into one row. Several threads may do that at a time; the rows
//! come in the order of the series.

mod counter;
mod equal;
mod histograms;
mod input;
mod kernel;
mod lanes;
mod moving;
mod vector;

use std::sync::Arc;

use kymo_storage::model::{Labels, METRIC_NAME};

pub(super) use equal::EqualLabels;
pub(super) use histograms::{Folding, SeenHints};

use super::batches::{Extent, PerSeries};
use super::histogram_notes::About;
use super::row::{Bits, Grid, Row, RowBuilder, has_equal_labels, same_labelset, without_metadata};
use super::window::{Counts, RangeSpec, Windows};
use super::{Evaluator, Outcome, out_of_time};
use crate::error::QueryError;
use crate::limits::{Budget, Cancel, Held};
use crate::promql::annotations::Annotations;
use crate::promql::ast::Span;
use crate::promql::plan::{Call, Edges, NodeKind};
use crate::promql::stats_only;
use counter::CounterNotes;
use histograms::OfBoth;
use input::{Input, RangeInput, Reader};
use kernel::Kernel;

/// The functions that may be used with `anchored` and `smoothed`.
const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];

/// Takes the rows of a range function one by one.
pub(super) trait Sink {
    /// Takes a row, and the budget for what is kept of it.
    fn take(&mut self, made: Made, row: Row, budget: &mut Budget) -> Result<(), QueryError>;

    /// Is called when all rows have been taken; `labels_of` tells all labels of a
    /// series and whether its metric's name is to go.
    fn end(&mut self, labels_of: &dyn Fn(usize) -> (Labels, NameFate)) {
        let _ = labels_of;
    }
}

/// What a row was made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    /// Whether the name is to go, which is among the row's labels still.
    pub(super) name: NameFate,
    /// The number of the series.
    pub(super) index: usize,
}

/// Whether a series keeps its metric's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameFate {
    Keep,
    Drop,
}

/// A function at work on the series of a range vector.
struct OverWindows {
    input: Input,
    /// Labels that the rows get; `None` for all.
    names: Option<Vec<String>>,
    kernel: Kernel,
    func: &'static str,
    edges: Edges,
    /// Of histograms only count and sum matter.
    stats_only: bool,
    span: Span,
    spec: RangeSpec,
    grid: Grid,
    /// Whether the function looks at when its samples began to count.
    looks_at_starts: bool,
    /// Samples that the query may hold.
    max_samples: usize,
    cancel: Cancel,
}

/// Buffers of one thread, and what it keeps between series that share timestamps.
struct Buffers {
    kernel: Kernel,
    windows: Windows,
    reader: Reader,
    builder: RowBuilder,
}

/// What came of a series.
struct OfSeries {
    index: usize,
    counts: Counts,
    /// Memory of the buffer that its samples were read to.
    buffer_bytes: usize,
    row: Option<Row>,
    notes: Option<Annotations>,
}

impl PerSeries for OverWindows {
    type Buffers = Buffers;
    type Made = OfSeries;

    fn buffers(&self) -> Buffers {
        Buffers {
            kernel: self.kernel.clone(),
            windows: Windows::new(self.spec),
            reader: Reader::default(),
            builder: RowBuilder::new(self.grid.steps),
        }
    }

    fn make(&self, index: usize, buffers: &mut Buffers) -> Result<Option<OfSeries>, QueryError> {
        self.cancel.check("expression evaluation")?;
        let Buffers {
            kernel,
            windows,
            reader,
            builder,
        } = buffers;
        let times = reader.read(&self.input, index)?;
        let samples = &mut reader.samples;
        if samples.is_empty() {
            windows.forget();
            return Ok(None);
        }
        if !self.looks_at_starts || samples.start_times.len() != samples.timestamps.len() {
            samples.start_times.clear();
        }
        if !self.looks_at_starts {
            samples.histograms.iter_mut().for_each(|s| s.start_ms = 0);
        }
        if self.stats_only && !samples.histograms.is_empty() {
            stats_only::strip(samples);
        }
        windows.find(&samples.timestamps, times, &self.grid);
        let mut counts = windows.counts();
        if !samples.histograms.is_empty() {
            counts = self.of_both("").counts(samples, counts);
        }
        if counts.largest > self.max_samples {
            return Err(QueryError::TooManySamples);
        }
        let mut notes = Annotations::default();
        kernel.run(
            samples,
            windows,
            &self.grid,
            builder,
            &mut notes,
            &self.cancel,
        )?;
        if kernel.overlaps() > 0 {
            let labels = self.input.labels(index, None);
            notes.start_time_overlap(labels.metric_name(), kernel.overlaps(), self.span);
        }
        if !samples.histograms.is_empty() {
            let floats = builder.take(Labels::empty);
            let labels = self.input.labels(index, None);
            let of_both = self.of_both(labels.get(METRIC_NAME).unwrap_or(""));
            of_both.run(samples, windows, floats.as_ref(), builder, &mut notes)?;
        }
        let labels = || self.input.labels(index, self.names.as_deref());
        Ok(Some(OfSeries {
            index,
            counts,
            buffer_bytes: samples.memory_bytes(),
            row: builder.take(labels),
            notes: (!notes.is_empty()).then_some(notes),
        }))
    }
}

impl OverWindows {
    /// Returns the function for a series with histograms, of a metric of that name.
    fn of_both<'a>(&'a self, name: &'a str) -> OfBoth<'a> {
        OfBoth {
            func: self.func,
            edges: self.edges,
            spec: &self.spec,
            grid: &self.grid,
            about: About {
                name,
                span: self.span,
            },
            cancel: &self.cancel,
        }
    }
}

impl Evaluator<'_> {
    /// Evaluates a function whose argument `at` is a range vector.
    pub(super) fn range_function(&mut self, call: &Call, at: usize, grid: &Grid) -> Outcome {
        if call.func == "absent_over_time" {
            return self.absent_over_time(call, grid);
        }
        let mut kept = KeepAll {
            delayed: self.options.delayed_name_removal,
            rows: Vec::new(),
        };
        let annotations = self.stream_range(call, at, None, grid, &mut kept)?;
        if !kept.delayed && has_equal_labels(&kept.rows) {
            return Err(same_labelset());
        }
        Ok((kept.rows, annotations))
    }

    /// Evaluates a function over a range vector and hands every row to `sink`, with the
    /// labels that `names` lists, or all. Rows of equal labels are the caller's to refuse.
    pub(super) fn stream_range(
        &mut self,
        call: &Call,
        at: usize,
        names: Option<&[String]>,
        grid: &Grid,
        sink: &mut dyn Sink,
    ) -> Result<Annotations, QueryError> {
        let held = self.budget.held();
        let RangeInput {
            input,
            spec,
            edges,
            stats_only,
            mut annotations,
        } = self.range_input(call.func, &call.args[at], grid)?;
        let input_bytes = self.budget.held().bytes - held.bytes;
        let mut params = Vec::with_capacity(call.args.len() - 1);
        for (index, arg) in call.args.iter().enumerate() {
            if index != at {
                let (mut rows, notes) = self.eval(arg, grid)?;
                annotations.merge(&notes);
                params.extend(rows.pop());
            }
        }
        refuse_edges(call.func, edges)?;
        let keeps_name = matches!(call.func, "last_over_time" | "first_over_time");
        // The reference puts the evaluated subquery in the place of the written one,
        // and the position is lost.
        let span = match call.args[0].kind {
            NodeKind::Subquery(_) => Span::default(),
            _ => call.args[0].span,
        };
        let mut counters = matches!(call.func, "rate" | "increase")
            .then(|| CounterNotes::new(self.options.type_and_unit_labels, span));
        let from_set = matches!(input, Input::Set(_));
        let needed = spec.needed(grid).ok_or_else(out_of_time)?;
        let extent = Extent::new(input.len(), needed, grid.steps);
        let work = Arc::new(OverWindows {
            input,
            names: names.map(<[String]>::to_vec),
            kernel: Kernel::new(call.func, params, spec, edges, span)?,
            func: call.func,
            edges,
            stats_only,
            span,
            spec,
            grid: *grid,
            looks_at_starts: self.options.use_start_timestamps
                && matches!(call.func, "rate" | "irate" | "increase" | "resets"),
            max_samples: self.options.max_samples,
            cancel: self.cancel.clone(),
        });
        let name_of = |index: usize| match !keeps_name || work.input.drops_name(index) {
            true => NameFate::Drop,
            false => NameFate::Keep,
        };
        self.for_each_series(Arc::clone(&work), extent, |evaluator, made: OfSeries| {
            evaluator.looked += made.counts.looked;
            if from_set {
                evaluator.read += made.counts.read;
            }
            let budget = &mut evaluator.budget;
            budget.touch_bytes(made.buffer_bytes)?;
            budget.touch(made.counts.largest)?;
            if let Some(notes) = made.notes {
                annotations.merge(&notes);
            }
            let Some(row) = made.row else {
                return Ok(());
            };
            budget.hold(row.count())?;
            if let Some(counters) = &mut counters
                && row.has_values()
            {
                counters.note(&row.labels, &mut annotations);
            }
            let index = made.index;
            let name = name_of(index);
            sink.take(Made { name, index }, row, budget)
        })?;
        sink.end(&|index| (work.input.labels(index, None), name_of(index)));
        // The input is gone; what was made of it stays.
        let now = self.budget.held();
        let samples = match &work.input {
            Input::Rows(rows, _) => {
                let left = now.samples.saturating_sub(super::total_count(rows));
                left.max(held.samples)
            }
            Input::Set(_) => now.samples,
        };
        self.budget.reset_to(Held {
            samples,
            bytes: now.bytes.saturating_sub(input_bytes),
        });
        Ok(annotations)
    }

    fn absent_over_time(&mut self, call: &Call, grid: &Grid) -> Outcome {
        let mut present = Presence(Bits::new(grid.steps));
        let annotations = self.stream_range(call, 0, Some(&[]), grid, &mut present)?;
        let found = present.0;
        let mut builder = RowBuilder::new(grid.steps);
        for step in 0..grid.steps {
            if !found.get(step) {
                builder.set(step, 1.0);
            }
        }
        let rows = builder.take(|| super::labels::absent(&call.args[0]));
        Ok((
            rows.into_iter()
                .map(|mut row| {
                    row.drop_name = true;
                    row
                })
                .collect(),
            annotations,
        ))
    }
}

/// Rows that are the result.
struct KeepAll {
    delayed: bool,
    rows: Vec<Row>,
}

impl Sink for KeepAll {
    fn take(&mut self, made: Made, mut row: Row, budget: &mut Budget) -> Result<(), QueryError> {
        row.drop_name = made.name == NameFate::Drop;
        if row.drop_name && !self.delayed {
            row.labels = without_metadata(&row.labels);
        }
        budget.hold_bytes(row.memory_bytes())?;
        self.rows.push(row);
        Ok(())
    }
}

/// The steps at which there is any row.
struct Presence(Bits);

impl Sink for Presence {
    fn take(&mut self, _: Made, row: Row, _: &mut Budget) -> Result<(), QueryError> {
        row.add_to(&mut self.0);
        Ok(())
    }
}

fn refuse_edges(func: &str, edges: Edges) -> Result<(), QueryError> {
    let (word, allowed): (&str, &[&str]) = match edges {
        Edges::Plain => return Ok(()),
        Edges::Anchored => ("anchored", &ANCHORED),
        Edges::Smoothed => ("smoothed", &SMOOTHED),
    };
    if allowed.contains(&func) {
        return Ok(());
    }
    Err(QueryError::Execution(format!(
        "{word} modifier can only be used with: {} - not with {func}",
        allowed.join(", ")
    )))
}
