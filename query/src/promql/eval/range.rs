//! Functions over range vectors: each series is read once, its windows are found, and
//! a kernel turns them into one row.

use kymo_storage::compat::float::push_f_precision;
use kymo_storage::model::{Labels, METRIC_NAME, TimeRange};

use super::order::{SortedWindow, quantile};
use super::over_time::{self, Moments};
use super::rate::{self, Extrapolation, RateKind};
use super::regression;
use super::row::{
    Grid, Row, RowBuilder, has_equal_labels, is_metadata_label, same_labelset, without_metadata,
};
use super::window::{RangeSpec, Windows, drop_stale_markers, each_window};
use super::{Evaluator, Outcome, out_of_time};
use crate::error::QueryError;
use crate::limits::{Budget, Cancel, Held};
use crate::promql::annotations::Annotations;
use crate::promql::ast::Span;
use crate::promql::plan::{Call, Edges, Node, NodeKind, RangeSelector};
use crate::promql::value::Series;
use crate::source::{SampleBuf, SelectHints, SeriesSet};

/// The functions that may be used with `anchored` and `smoothed`.
const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];

/// Takes the rows of an operator one by one, with the values, which the taker may empty,
/// and the budget for what it keeps.
pub(super) type Sink<'s> =
    dyn FnMut(Made<'_>, &mut RowBuilder, &mut Budget) -> Result<(), QueryError> + 's;

/// What a row was made of.
#[derive(Clone, Copy)]
pub(super) struct Made<'a> {
    /// The labels that were asked for, the metric's name among them.
    pub(super) labels: &'a Labels,
    /// Whether the name is to go.
    pub(super) name: NameFate,
    /// The number of the series.
    pub(super) index: usize,
    input: &'a Input,
}

impl Made<'_> {
    /// Returns all labels of this or another series.
    pub(super) fn labels_of(&self, index: usize) -> Labels {
        self.input.labels(index)
    }
}

/// Whether a series keeps its metric's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameFate {
    Keep,
    Drop,
}

/// Where the samples of a range vector come from.
enum Input {
    Set(Box<dyn SeriesSet>),
    Rows(Vec<Row>, Grid),
}

impl Input {
    fn len(&self) -> usize {
        match self {
            Input::Set(set) => set.len(),
            Input::Rows(rows, _) => rows.len(),
        }
    }

    fn labels(&self, index: usize) -> Labels {
        match self {
            Input::Set(set) => set.labels(index),
            Input::Rows(rows, _) => rows[index].labels.clone(),
        }
    }

    /// Returns the labels with one of `names`, or all.
    fn labels_named(&self, index: usize, names: Option<&[String]>) -> Labels {
        match (self, names) {
            (Input::Set(set), Some(names)) => set.labels_named(index, names),
            _ => self.labels(index),
        }
    }

    fn drops_name(&self, index: usize) -> bool {
        match self {
            Input::Set(_) => false,
            Input::Rows(rows, _) => rows[index].drop_name,
        }
    }

    fn read(&self, index: usize, into: &mut SampleBuf) -> Result<(), QueryError> {
        match self {
            Input::Set(set) => set.read(index, into)?,
            Input::Rows(rows, grid) => rows[index].to_samples(grid, into),
        }
        drop_stale_markers(into);
        Ok(())
    }
}

impl Evaluator<'_> {
    /// Evaluates a function whose argument `at` is a range vector.
    pub(super) fn range_function(&mut self, call: &Call, at: usize, grid: &Grid) -> Outcome {
        if call.func == "absent_over_time" {
            return self.absent_over_time(call, grid);
        }
        let mut rows = Vec::new();
        let delayed = self.options.delayed_name_removal;
        let mut take = |made: Made<'_>, builder: &mut RowBuilder, budget: &mut Budget| {
            let drops = made.name == NameFate::Drop;
            let labels = match drops && !delayed {
                true => without_metadata(made.labels),
                false => made.labels.clone(),
            };
            if let Some(mut row) = builder.take(|| labels) {
                row.drop_name = drops;
                budget.hold_bytes(row.memory_bytes())?;
                rows.push(row);
            }
            Ok(())
        };
        let annotations = self.stream_range(call, at, None, grid, &mut take)?;
        if !self.options.delayed_name_removal && has_equal_labels(&rows) {
            return Err(same_labelset());
        }
        Ok((rows, annotations))
    }

    /// Evaluates a function over a range vector and hands every row to `sink`, with the
    /// labels that `names` lists, or all. Rows of equal labels are the caller's to refuse.
    pub(super) fn stream_range(
        &mut self,
        call: &Call,
        at: usize,
        names: Option<&[String]>,
        grid: &Grid,
        sink: &mut Sink<'_>,
    ) -> Result<Annotations, QueryError> {
        let held = self.budget.held();
        let (input, spec, edges, mut annotations) =
            self.range_input(call.func, &call.args[at], grid)?;
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
        let notes_counters = matches!(call.func, "rate" | "increase");
        // The reference puts the evaluated subquery in the place of the written one,
        // and the position is lost.
        let span = match call.args[0].kind {
            NodeKind::Subquery(_) => Span::default(),
            _ => call.args[0].span,
        };
        let mut kernel = Kernel::new(call.func, params, spec, edges, span)?;
        let mut windows = Windows::new(spec);
        let mut samples = SampleBuf::default();
        let mut builder = RowBuilder::new(grid.steps);
        let from_set = matches!(input, Input::Set(_));
        let mut noted = None;
        for index in 0..input.len() {
            self.check()?;
            input.read(index, &mut samples)?;
            if samples.timestamps.is_empty() {
                continue;
            }
            windows.find(&samples.timestamps, grid);
            let counts = windows.counts();
            self.looked += counts.looked;
            if from_set {
                self.read += counts.read;
            }
            self.budget.touch(counts.largest)?;
            kernel.run(
                &samples,
                &windows,
                grid,
                &mut builder,
                &mut annotations,
                self.cancel,
            )?;
            let made = builder.count();
            if made == 0 {
                builder.clear();
                continue;
            }
            self.budget.hold(made)?;
            let labels = input.labels_named(index, names);
            if notes_counters {
                self.note_counter(&labels, span, &mut noted, &mut annotations);
            }
            let name = match !keeps_name || input.drops_name(index) {
                true => NameFate::Drop,
                false => NameFate::Keep,
            };
            let made = Made {
                labels: &labels,
                name,
                index,
                input: &input,
            };
            sink(made, &mut builder, &mut self.budget)?;
            builder.clear();
        }
        // The input is gone; what was made of it stays.
        let now = self.budget.held();
        let samples = match &input {
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

    fn range_input(
        &mut self,
        func: &str,
        arg: &Node,
        grid: &Grid,
    ) -> Result<(Input, RangeSpec, Edges, Annotations), QueryError> {
        match &arg.kind {
            NodeKind::Matrix(selector) => {
                let (set, spec) = self.select_range(func, selector, grid)?;
                let edges = selector.selector.edges;
                Ok((Input::Set(set), spec, edges, Annotations::default()))
            }
            NodeKind::Subquery(subquery) => {
                // The windows count what they look at; the inner steps do not count twice.
                let looked = self.looked;
                let (rows, annotations, inner) = self.subquery(subquery, grid)?;
                self.looked = looked;
                let (range_ms, shift) = (subquery.range_ms, subquery.shift);
                let spec = RangeSpec::new(range_ms, shift, Edges::Plain, 0);
                Ok((Input::Rows(rows, inner), spec, Edges::Plain, annotations))
            }
            _ => Err(QueryError::Execution(format!(
                "the argument of {func} is no range vector"
            ))),
        }
    }

    fn select_range(
        &mut self,
        func: &str,
        selector: &RangeSelector,
        grid: &Grid,
    ) -> Result<(Box<dyn SeriesSet>, RangeSpec), QueryError> {
        let shift = selector.selector.shift;
        let edges = selector.selector.edges;
        let spec = RangeSpec::new(selector.range_ms, shift, edges, self.lookback_ms);
        let (first_ms, last_ms) = spec.needed(grid).ok_or_else(out_of_time)?;
        let hints = SelectHints {
            function: func,
            step_ms: if grid.is_instant() { 0 } else { grid.step_ms },
            range_ms: selector.range_ms,
            newest_only: false,
            whole: None,
        };
        let range = TimeRange::new(first_ms, last_ms);
        let set = self
            .source
            .select(&selector.selector.matchers, range, &hints)?;
        self.budget.hold_bytes(set.memory_bytes())?;
        Ok((set, spec))
    }

    /// Evaluates a range vector that is the whole query.
    pub(super) fn range_vector(
        &mut self,
        selector: &RangeSelector,
        grid: &Grid,
    ) -> Result<Vec<Series>, QueryError> {
        let (set, spec) = self.select_range("", selector, grid)?;
        let mut series = Vec::new();
        let mut samples = SampleBuf::default();
        for index in 0..set.len() {
            self.check()?;
            set.read(index, &mut samples)?;
            drop_stale_markers(&mut samples);
            if selector.range_ms == 0 || samples.timestamps.is_empty() {
                continue;
            }
            let end_ms = spec.end(grid, 0);
            let start_ms = end_ms - spec.range_ms;
            match selector.selector.edges {
                Edges::Plain => {}
                edges => rate::extend(&mut samples, start_ms, end_ms, edges == Edges::Smoothed),
            }
            let count = samples.timestamps.len();
            self.looked += count as u64;
            self.read += count as u64;
            self.budget.hold(count)?;
            if count > 0 {
                let labels = set.labels(index);
                let samples_bytes = samples.timestamps.capacity() + samples.values.capacity();
                self.budget
                    .hold_bytes(size_of::<Series>() + labels.memory_bytes() + samples_bytes * 8)?;
                series.push(Series {
                    labels,
                    floats: std::mem::take(&mut samples),
                });
            }
        }
        self.budget.release_bytes(set.memory_bytes());
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(series)
    }

    fn absent_over_time(&mut self, call: &Call, grid: &Grid) -> Outcome {
        let mut found = super::row::Bits::new(grid.steps);
        let mut take = |_: Made<'_>, builder: &mut RowBuilder, _: &mut Budget| {
            if let Some(row) = builder.take(Labels::empty) {
                row.add_to(&mut found);
            }
            Ok(())
        };
        let annotations = self.stream_range(call, 0, Some(&[]), grid, &mut take)?;
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

    /// Notes that a metric may be no counter. `noted` is the name looked at before.
    fn note_counter(
        &self,
        labels: &Labels,
        span: Span,
        noted: &mut Option<String>,
        annotations: &mut Annotations,
    ) {
        let Some(name) = labels.get(METRIC_NAME) else {
            return;
        };
        let by_type = self.options.type_and_unit_labels;
        if !by_type && noted.as_deref() == Some(name) {
            return;
        }
        *noted = Some(name.to_owned());
        let quoted = crate::promql::annotations::quoted;
        if by_type {
            let kind = labels.get("__type__").unwrap_or("");
            if kind != "counter" && kind != "histogram" {
                let text = format!(
                    "metric might not be a counter, __type__ label is not set to \"counter\" \
                     or \"histogram\", got {}: {}",
                    quoted(kind),
                    quoted(name)
                );
                annotations.info(text, span);
            }
        } else if !["_total", "_sum", "_count", "_bucket"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            let text = format!(
                "metric might not be a counter, name does not end in \
                 _total/_sum/_count/_bucket: {}",
                quoted(name)
            );
            annotations.info(text, span);
        }
    }
}

/// Watches series for labels that become equal once the metric's name is gone. As
/// long as all have one name and nothing else goes, none can.
#[derive(Debug, Default)]
pub(super) struct EqualLabels {
    name: Option<String>,
    mixed: bool,
}

impl EqualLabels {
    /// Tells whether series of the labels seen so far may have become equal.
    pub(super) fn possible(&mut self, labels: &Labels) -> bool {
        if self.mixed {
            return true;
        }
        let name = labels.get(METRIC_NAME).unwrap_or("");
        let others = labels
            .iter()
            .any(|(label, _)| label != METRIC_NAME && is_metadata_label(label));
        match &self.name {
            None => self.name = Some(name.to_owned()),
            Some(known) => self.mixed = known != name,
        }
        self.mixed |= others;
        self.mixed
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

/// What is computed over the windows of a series.
enum Work {
    Rate(RateKind, Extrapolation),
    ExtendedRate(RateKind),
    LastTwo { per_second: bool },
    Changes,
    Resets,
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Present,
    First,
    Last,
    TimeOfFirst,
    TimeOfLast,
    TimeOfMin,
    TimeOfMax,
    Variance { root: bool },
    Quantile(SortedWindow),
    MedianDeviation,
    Deriv,
    PredictLinear,
    Smoothing,
}

struct Kernel {
    work: Work,
    params: Vec<Row>,
    spec: RangeSpec,
    edges: Edges,
    span: Span,
    scratch: Vec<f64>,
}

impl Kernel {
    fn new(
        func: &str,
        params: Vec<Row>,
        spec: RangeSpec,
        edges: Edges,
        span: Span,
    ) -> Result<Kernel, QueryError> {
        let rate = |kind| match edges {
            Edges::Plain => Work::Rate(kind, Extrapolation::default()),
            _ => Work::ExtendedRate(kind),
        };
        let work = match func {
            "rate" => rate(RateKind::Rate),
            "increase" => rate(RateKind::Increase),
            "delta" => rate(RateKind::Delta),
            "irate" => Work::LastTwo { per_second: true },
            "idelta" => Work::LastTwo { per_second: false },
            "changes" => Work::Changes,
            "resets" => Work::Resets,
            "sum_over_time" => Work::Sum,
            "avg_over_time" => Work::Avg,
            "min_over_time" => Work::Min,
            "max_over_time" => Work::Max,
            "count_over_time" => Work::Count,
            "present_over_time" | "absent_over_time" => Work::Present,
            "first_over_time" => Work::First,
            "last_over_time" => Work::Last,
            "ts_of_first_over_time" => Work::TimeOfFirst,
            "ts_of_last_over_time" => Work::TimeOfLast,
            "ts_of_min_over_time" => Work::TimeOfMin,
            "ts_of_max_over_time" => Work::TimeOfMax,
            "stddev_over_time" => Work::Variance { root: true },
            "stdvar_over_time" => Work::Variance { root: false },
            "quantile_over_time" => Work::Quantile(SortedWindow::default()),
            "mad_over_time" => Work::MedianDeviation,
            "deriv" => Work::Deriv,
            "predict_linear" => Work::PredictLinear,
            "double_exponential_smoothing" => Work::Smoothing,
            _ => return Err(QueryError::Unsupported(format!("the function {func} is"))),
        };
        Ok(Kernel {
            work,
            params,
            spec,
            edges,
            span,
            scratch: Vec::new(),
        })
    }

    /// Returns scalar argument `index` at a step.
    fn param(params: &[Row], index: usize, step: usize) -> f64 {
        params
            .get(index)
            .and_then(|row| row.get(step))
            .unwrap_or(f64::NAN)
    }

    fn run(
        &mut self,
        samples: &SampleBuf,
        windows: &Windows,
        grid: &Grid,
        out: &mut RowBuilder,
        annotations: &mut Annotations,
        cancel: &Cancel,
    ) -> Result<(), QueryError> {
        let pairs = windows.pairs();
        let params = &self.params;
        let scratch = &mut self.scratch;
        let spec = &self.spec;
        match &mut self.work {
            Work::Rate(kind, cache) => {
                cache.prepare(*kind, samples, windows, spec, grid);
                rate::extrapolated(*kind, spec.range_ms, samples, cache, cancel, out)
            }
            Work::ExtendedRate(kind) => {
                let smoothed = self.edges == Edges::Smoothed;
                each_window(samples, pairs, cancel, |w| {
                    let end_ms = spec.end(grid, w.step);
                    if let Some(value) = rate::extended(*kind, &w, spec.range_ms, end_ms, smoothed)
                    {
                        out.set(w.step, value);
                    }
                })
            }
            Work::LastTwo { per_second } => each_window(samples, pairs, cancel, |w| {
                if let Some(value) = rate::last_two(&w, *per_second) {
                    out.set(w.step, value);
                }
            }),
            Work::Changes | Work::Resets => {
                let of_changes = matches!(self.work, Work::Changes);
                each_window(samples, pairs, cancel, |w| {
                    let start_ms = spec.end(grid, w.step) - spec.range_ms;
                    let Some(first) = first_index(&w, self.edges, start_ms) else {
                        return;
                    };
                    let values = &w.values[first..];
                    let count = match of_changes {
                        true => over_time::changes(values),
                        false => over_time::resets(values),
                    };
                    out.set(w.step, count as f64);
                })
            }
            Work::Sum => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, over_time::sum(w.values))
            }),
            Work::Avg => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, over_time::avg(w.values))
            }),
            Work::Min => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, w.values[over_time::min_at(w.values)]);
            }),
            Work::Max => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, w.values[over_time::max_at(w.values)]);
            }),
            Work::TimeOfMin => each_window(samples, pairs, cancel, |w| {
                let at = over_time::last_min_at(w.values);
                out.set(w.step, w.timestamps[at] as f64 / 1000.0);
            }),
            Work::TimeOfMax => each_window(samples, pairs, cancel, |w| {
                let at = over_time::last_max_at(w.values);
                out.set(w.step, w.timestamps[at] as f64 / 1000.0);
            }),
            Work::Count => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, w.values.len() as f64)
            }),
            Work::Present => each_window(samples, pairs, cancel, |w| out.set(w.step, 1.0)),
            Work::First => each_window(samples, pairs, cancel, |w| out.set(w.step, w.values[0])),
            Work::Last => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, w.values[w.values.len() - 1]);
            }),
            Work::TimeOfFirst => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, w.timestamps[0] as f64 / 1000.0);
            }),
            Work::TimeOfLast => each_window(samples, pairs, cancel, |w| {
                let t_ms = w.timestamps[w.timestamps.len() - 1];
                out.set(w.step, t_ms as f64 / 1000.0);
            }),
            Work::Variance { root } => each_window(samples, pairs, cancel, |w| {
                let variance = Moments::of(w.values).variance();
                out.set(w.step, if *root { variance.sqrt() } else { variance });
            }),
            Work::Quantile(sorted) => {
                sorted.reset();
                let any_nan = samples.values.iter().any(|value| value.is_nan());
                each_window(samples, pairs, cancel, |w| {
                    let q = Kernel::param(params, 0, w.step);
                    if q.is_nan() || !(0.0..=1.0).contains(&q) {
                        annotations.invalid_quantile(q, self.span);
                    }
                    let value = if any_nan {
                        scratch.clear();
                        scratch.extend_from_slice(w.values);
                        quantile(q, scratch)
                    } else {
                        let (from, to) = pairs[w.step];
                        sorted.move_to(&samples.values, from as usize, to as usize);
                        sorted.quantile(q)
                    };
                    out.set(w.step, value);
                })
            }
            Work::MedianDeviation => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, over_time::median_deviation(w.values, scratch));
            }),
            Work::Deriv => each_window(samples, pairs, cancel, |w| {
                if w.values.len() >= 2 {
                    let line = regression::least_squares(&w, w.timestamps[0]);
                    out.set(w.step, line.slope);
                }
            }),
            Work::PredictLinear => each_window(samples, pairs, cancel, |w| {
                if w.values.len() >= 2 {
                    let line = regression::least_squares(&w, grid.time(w.step));
                    let ahead = Kernel::param(params, 0, w.step);
                    out.set(w.step, line.slope * ahead + line.intercept);
                }
            }),
            Work::Smoothing => {
                let mut failure = None;
                each_window(samples, pairs, cancel, |w| {
                    let (sf, tf) = (
                        Kernel::param(params, 0, w.step),
                        Kernel::param(params, 1, w.step),
                    );
                    for (what, s, factor) in [("smoothing", "sf", sf), ("trend", "tf", tf)] {
                        if failure.is_none() && (factor <= 0.0 || factor >= 1.0) {
                            failure = Some(format!(
                                "invalid {what} factor. Expected: 0 < {s} < 1, got: {}",
                                go_f(factor)
                            ));
                        }
                    }
                    if w.values.len() >= 2 {
                        out.set(w.step, regression::double_smoothing(w.values, sf, tf));
                    }
                })?;
                match failure {
                    Some(text) => Err(QueryError::Execution(text)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Returns the first sample of a window that counts; with anchored edges the last one
/// at or before the start of the range stands for the start.
fn first_index(window: &super::window::Window<'_>, edges: Edges, start_ms: i64) -> Option<usize> {
    if edges != Edges::Anchored {
        return Some(0);
    }
    let behind = window.timestamps.partition_point(|&t| t <= start_ms);
    (behind < window.timestamps.len()).then(|| behind.saturating_sub(1))
}

/// Prints a number as Go's `%f` does.
fn go_f(value: f64) -> String {
    let mut text = String::new();
    push_f_precision(&mut text, value, 6);
    text
}
