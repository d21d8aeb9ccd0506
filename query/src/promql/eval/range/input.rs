//! Where the samples of a range vector come from: a selector, or the steps of a subquery.

use std::sync::Arc;

use kymo_storage::model::histogram::CounterResetHint;
use kymo_storage::model::{Labels, TimeRange};

use crate::error::QueryError;
use crate::promql::annotations::Annotations;
use crate::promql::eval::row::{Grid, Row};
use crate::promql::eval::window::{RangeSpec, drop_stale_markers};
use crate::promql::eval::{Evaluator, out_of_time};
use crate::promql::plan::{Edges, Node, NodeKind, RangeSelector};
use crate::source::{HistogramSample, SampleBuf, SelectHints, SeriesSet, Times};

pub(super) enum Input {
    Set(Box<dyn SeriesSet>),
    Rows(Vec<Row>, Grid),
}

/// A range vector before its samples are read.
pub(super) struct RangeInput {
    pub(super) input: Input,
    pub(super) spec: RangeSpec,
    pub(super) edges: Edges,
    pub(super) stats_only: bool,
    pub(super) annotations: Annotations,
}

impl Input {
    pub(super) fn len(&self) -> usize {
        match self {
            Input::Set(set) => set.len(),
            Input::Rows(rows, _) => rows.len(),
        }
    }

    /// Returns the labels with one of `names`, or all.
    pub(super) fn labels(&self, index: usize, names: Option<&[String]>) -> Labels {
        match (self, names) {
            (Input::Set(set), Some(names)) => set.labels_named(index, names),
            (Input::Set(set), None) => set.labels(index),
            (Input::Rows(rows, _), _) => rows[index].labels.clone(),
        }
    }

    pub(super) fn drops_name(&self, index: usize) -> bool {
        match self {
            Input::Set(_) => false,
            Input::Rows(rows, _) => rows[index].drop_name,
        }
    }
}

/// Reads the series of an input one after the other.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) samples: SampleBuf,
    /// The row in the buffer, where that is all in there.
    row: Option<usize>,
}

impl Reader {
    /// Reads a series, without stale markers. Tells whether its timestamps are those of
    /// the call before.
    pub(super) fn read(&mut self, input: &Input, index: usize) -> Result<Times, QueryError> {
        let samples = &mut self.samples;
        let times = match input {
            Input::Set(set) => set.read_next(index, samples)?,
            Input::Rows(rows, grid) => {
                let before = self.row.map(|before| &rows[before]);
                self.row = Some(index);
                let times = rows[index].to_samples(grid, before, samples);
                forget_resets(&mut samples.histograms);
                times
            }
        };
        if drop_stale_markers(samples) {
            self.row = None;
            return Ok(Times::New);
        }
        Ok(times)
    }
}

/// Forgets what is known of resets: between the steps of a subquery samples are left
/// out or come twice.
fn forget_resets(histograms: &mut [HistogramSample]) {
    for sample in histograms {
        let hint = sample.histogram.counter_reset_hint;
        if matches!(hint, CounterResetHint::Reset | CounterResetHint::NotReset) {
            Arc::make_mut(&mut sample.histogram).counter_reset_hint = CounterResetHint::Unknown;
        }
    }
}

impl Evaluator<'_> {
    /// Evaluates the range vector that is an argument of `func`, up to reading it.
    pub(super) fn range_input(
        &mut self,
        func: &str,
        arg: &Node,
        grid: &Grid,
    ) -> Result<RangeInput, QueryError> {
        match &arg.kind {
            NodeKind::Matrix(selector) => {
                let (set, spec) = self.select_range(func, selector, grid)?;
                Ok(RangeInput {
                    input: Input::Set(set),
                    spec,
                    edges: selector.selector.edges,
                    stats_only: selector.selector.stats_only,
                    annotations: Annotations::default(),
                })
            }
            NodeKind::Subquery(subquery) => {
                // The windows count what they look at; the inner steps do not count twice.
                let looked = self.looked;
                let (rows, annotations, inner) = self.subquery(subquery, grid)?;
                self.looked = looked;
                let (range_ms, shift) = (subquery.range_ms, subquery.shift);
                Ok(RangeInput {
                    input: Input::Rows(rows, inner),
                    spec: RangeSpec::new(range_ms, shift, Edges::Plain, 0),
                    edges: Edges::Plain,
                    stats_only: false,
                    annotations,
                })
            }
            _ => Err(QueryError::Execution(format!(
                "the argument of {func} is no range vector"
            ))),
        }
    }

    pub(super) fn select_range(
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
}
