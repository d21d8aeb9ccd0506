//! Evaluation of a plan over a grid of steps, series by series.
//!
//! Every operator takes and gives [`Row`]s: one per series, with its values at all
//! steps. What happens per step is arithmetic on columns; labels are compared,
//! grouped and built once per series. The sample counts of Prometheus' engine, which
//! gathers vectors step by step, are kept beside (`settle`), so that its limit holds
//! here as well.

mod aggregate;
mod aggregate_histograms;
mod aggregate_k;
pub(crate) mod batches;
mod binary;
mod bits;
mod call;
mod column;
mod count_values;
mod elements;
mod elementwise;
mod group;
mod histogram;
mod histogram_column;
mod histogram_notes;
mod info;
mod labels;
mod matching;
mod native_histograms;
mod once;
mod operand;
mod order;
mod over_time;
mod quicksort;
mod range;
mod rate;
mod rate_histogram;
mod regression;
mod row;
mod selector;
mod start_times;
mod subquery;
mod sum;
mod window;

pub(crate) use sum::Sum;

pub(crate) use histogram_column::Element;
pub(crate) use row::{Grid, Row, into_series};

use hashbrown::HashMap;
use kymo_storage::model::Labels;

use crate::error::QueryError;
use crate::histogram::{multiply, sample_size};
use crate::limits::{Budget, Cancel, Held, MemoryGrant};
use crate::promql::annotations::Annotations;
use crate::promql::common::Common;
use crate::promql::deep::grow;
use crate::promql::engine::EngineOptions;
use crate::promql::plan::{Node, NodeKind};
use crate::promql::value::Series;
use crate::source::Source;
use crate::stats::QueryStats;
use once::Kept;
use row::{merge_equal_labels, without_metadata};
use selector::Answer;

/// Rows of an evaluated node and what is to be said about them.
type Outcome = Result<(Vec<Row>, Annotations), QueryError>;

/// Number of steps that every query may have, as many as the API gives points.
const FEW_STEPS: usize = 11_001;

/// Bytes of buffers for each step: the values of a row being made and the window of
/// samples that it is made of.
const STEP_BYTES: usize = 16;

/// Bytes of a point of a result: time and value.
const POINT_BYTES: usize = 16;

/// Levels of a plan that the stack of any thread has room for.
const FREE_LEVELS: usize = 64;

/// Bytes of stack that each further level is counted with.
const LEVEL_BYTES: usize = 4 << 10;

/// The state of one query's evaluation.
pub(crate) struct Evaluator<'a> {
    source: &'a dyn Source,
    options: &'a EngineOptions,
    lookback_ms: i64,
    cancel: &'a Cancel,
    budget: Budget,
    /// Samples looked at, and samples read.
    looked: u64,
    read: u64,
    /// Parts of the plan that come again, and what is kept of them.
    common: Common,
    kept: HashMap<usize, Kept>,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(
        source: &'a dyn Source,
        options: &'a EngineOptions,
        lookback_ms: i64,
        cancel: &'a Cancel,
    ) -> Evaluator<'a> {
        Evaluator {
            source,
            options,
            lookback_ms,
            cancel,
            budget: Budget::new(
                options.max_samples,
                options.max_memory_bytes,
                options.memory.clone(),
            ),
            looked: 0,
            read: 0,
            common: Common::default(),
            kept: HashMap::new(),
        }
    }

    /// Counts the stack that the evaluation of a deep plan takes from the heap.
    pub(crate) fn hold_stack(&mut self, root: &Node) -> Result<(), QueryError> {
        let levels = root.levels().saturating_sub(FREE_LEVELS);
        self.budget.hold_bytes(levels.saturating_mul(LEVEL_BYTES))
    }

    /// Evaluates the top of a plan: a vector or scalar.
    pub(crate) fn top(&mut self, node: &Node, grid: &Grid) -> Outcome {
        self.common = Common::of(node);
        let (mut rows, annotations) = self.eval(node, grid)?;
        if self.options.delayed_name_removal {
            for row in &mut rows {
                if row.drop_name {
                    row.labels = without_metadata(&row.labels);
                }
            }
            rows = merge_equal_labels(rows, grid.steps)?;
        }
        // The result has a time beside each value.
        self.budget.touch_bytes(total_count(&rows) * POINT_BYTES)?;
        Ok((rows, annotations))
    }

    /// Evaluates the top of a plan that is a range vector, at one time.
    pub(crate) fn matrix(
        &mut self,
        node: &Node,
        grid: &Grid,
    ) -> Result<(Vec<Series>, Annotations), QueryError> {
        match &node.kind {
            NodeKind::Matrix(selector) => {
                let series = self.range_vector(selector, grid)?;
                Ok((series, Annotations::default()))
            }
            NodeKind::Subquery(subquery) => {
                let (mut rows, annotations, inner) = self.subquery(subquery, grid)?;
                if self.options.delayed_name_removal {
                    for row in &mut rows {
                        if row.drop_name {
                            row.labels = without_metadata(&row.labels);
                        }
                    }
                    rows = merge_equal_labels(rows, inner.steps)?;
                }
                Ok((into_series(rows, &inner), annotations))
            }
            NodeKind::Invariant(node) => self.matrix(node, grid),
            _ => Err(QueryError::Execution(
                "expression is no range vector".to_owned(),
            )),
        }
    }

    /// Returns what the evaluation has cost so far.
    pub(crate) fn stats(&self) -> QueryStats {
        QueryStats {
            total_samples: self.looked,
            samples_read: self.read,
            peak_samples: self.budget.peak() as u64,
        }
    }

    /// Ends the evaluation and returns the memory held for a result of `bytes` bytes.
    pub(crate) fn into_grant(self, bytes: u64) -> MemoryGrant {
        self.budget.into_grant(bytes)
    }

    /// Evaluates a node that is a vector or scalar. A scalar is one row without
    /// labels and with a value at every step.
    fn eval(&mut self, node: &Node, grid: &Grid) -> Outcome {
        grow(|| self.level(node, grid))
    }

    fn level(&mut self, node: &Node, grid: &Grid) -> Outcome {
        self.check()?;
        if grid.steps == 0 {
            return Ok((Vec::new(), Annotations::default()));
        }
        // Columns are made as long as the grid before there is a sample to count.
        if grid.steps > self.options.max_samples.max(FEW_STEPS) {
            return Err(QueryError::TooManySamples);
        }
        self.budget
            .touch_bytes(grid.steps.saturating_mul(STEP_BYTES))?;
        match self.common.part(node) {
            Some(part) => self.once(part, node, grid),
            None => self.eval_node(node, grid),
        }
    }

    fn eval_node(&mut self, node: &Node, grid: &Grid) -> Outcome {
        match &node.kind {
            NodeKind::Number(number) => {
                self.budget.hold(grid.steps)?;
                let row = Row::constant(Labels::empty(), *number, grid.steps);
                self.budget.hold_bytes(row.memory_bytes())?;
                Ok((vec![row], Annotations::default()))
            }
            NodeKind::Plus(inner) => self.eval(inner, grid),
            NodeKind::Minus(inner) => self.negate(inner, grid),
            NodeKind::Binary(binary) => self.binary(binary, node.span, grid),
            NodeKind::Aggregate(aggregate) => self.aggregate(aggregate, node.span, grid),
            NodeKind::Call(call) => self.call(call, node.span, grid),
            NodeKind::Vector(selector) => self.selected((selector, node.span), Answer::Value, grid),
            NodeKind::Invariant(inner) => self.invariant(inner, grid),
            NodeKind::String(_) | NodeKind::Matrix(_) | NodeKind::Subquery(_) => Err(
                QueryError::Execution("a range vector or string has no value at a step".to_owned()),
            ),
        }
    }

    fn negate(&mut self, inner: &Node, grid: &Grid) -> Outcome {
        let (mut rows, annotations) = self.eval(inner, grid)?;
        for row in &mut rows {
            row.map(|value| -value);
            if let Some(histograms) = &mut row.histograms {
                histograms.change(|histogram| multiply(histogram, -1.0));
            }
            self.drop_metadata(row);
        }
        if !self.options.delayed_name_removal {
            rows = merge_equal_labels(rows, grid.steps)?;
        }
        Ok((rows, annotations))
    }

    /// Evaluates a node at the first step and repeats the values.
    fn invariant(&mut self, inner: &Node, grid: &Grid) -> Outcome {
        let once = Grid { steps: 1, ..*grid };
        let looked = self.looked;
        let (mut rows, annotations) = self.eval(inner, &once)?;
        // What one evaluation looks at counts for every step.
        self.looked += (self.looked - looked) * (grid.steps as u64 - 1);
        if grid.steps > 1 {
            for row in &mut rows {
                let more = row.count().saturating_mul(grid.steps - 1);
                self.budget.hold(more)?;
                self.budget.hold_bytes(grid.steps * size_of::<f64>())?;
                row.repeat(grid.steps);
            }
        }
        Ok((rows, annotations))
    }

    /// Marks that a row's metric has changed its meaning.
    fn drop_metadata(&self, row: &mut Row) {
        if !self.options.delayed_name_removal {
            row.labels = without_metadata(&row.labels);
        }
        row.drop_name = true;
    }

    fn check(&self) -> Result<(), QueryError> {
        self.cancel.check("expression evaluation")
    }

    /// Ends an operator that Prometheus evaluates step by step: counts its samples,
    /// refuses equal labels at one step and joins series that became equal.
    /// `before` is what was held before the operands were evaluated.
    fn settle(
        &mut self,
        before: Held,
        operands: &[&[Row]],
        rows: Vec<Row>,
        grid: &Grid,
    ) -> Result<Vec<Row>, QueryError> {
        let gathered = counts_per_step(operands, grid.steps);
        self.settle_counted(before, &gathered, rows, grid)
    }

    /// As [`Evaluator::settle`], of operands that are gone: `gathered` is how many
    /// values they had at each step.
    fn settle_counted(
        &mut self,
        before: Held,
        gathered: &[usize],
        rows: Vec<Row>,
        grid: &Grid,
    ) -> Result<Vec<Row>, QueryError> {
        self.check()?;
        let made = counts_per_step(&[&rows], grid.steps);
        let mut kept = self.budget.held();
        for (gathered, made) in gathered.iter().zip(&made) {
            self.budget.reset_to(kept);
            self.budget.touch(gathered + made)?;
            kept.samples += made;
        }
        let rows = if grid.is_instant() {
            if !self.options.delayed_name_removal && row::has_equal_labels(&rows) {
                return Err(row::same_labelset());
            }
            rows
        } else {
            merge_equal_labels(rows, grid.steps)?
        };
        self.budget.reset_to(Held {
            samples: before.samples + total_count(&rows),
            ..before
        });
        self.budget.hold_bytes(total_bytes(&rows))?;
        Ok(rows)
    }
}

/// The error of offsets and ranges that lead beyond the first or last millisecond.
fn out_of_time() -> QueryError {
    QueryError::Execution(
        "time out of range: an offset or range leads beyond 292 million years from 1970".to_owned(),
    )
}

/// Returns how many values all rows together have.
fn total_count(rows: &[Row]) -> usize {
    rows.iter().map(Row::count).sum()
}

/// Returns how much memory all rows together hold, in bytes.
fn total_bytes(rows: &[Row]) -> usize {
    rows.iter().map(Row::memory_bytes).sum()
}

/// Returns how many values the rows have at each step.
fn counts_per_step(operands: &[&[Row]], steps: usize) -> Vec<usize> {
    let mut change = vec![0isize; steps + 1];
    for row in operands.iter().copied().flatten() {
        let (first, values, holes) = row.columns();
        if let Some(histograms) = &row.histograms {
            for (step, histogram) in histograms.iter() {
                let size = sample_size(histogram) as isize;
                change[step] += size;
                change[step + 1] -= size;
            }
        }
        if holes.is_none() {
            change[first] += 1;
            change[first + values.len()] -= 1;
        } else {
            row.for_each(|step, _| {
                change[step] += 1;
                change[step + 1] -= 1;
            });
        }
    }
    let mut running = 0;
    change.truncate(steps);
    change
        .into_iter()
        .map(|by| {
            running += by;
            running.unsigned_abs()
        })
        .collect()
}
