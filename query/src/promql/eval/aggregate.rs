//! Aggregations that make one series of each group.
//!
//! Rows are folded into accumulator columns one after the other, in the order of the
//! selection, so that sums round as the reference's do.

use std::ops::Range;

use kymo_storage::model::Labels;

use super::aggregate_histograms::{HistogramFolding, Met};
use super::column::Column;
use super::group::Groups;
use super::histogram_notes::ignored_in_aggregation;
use super::operand::{Fold, Member, keep_of};
use super::order::quantile;
use super::row::{Bits, Grid, Row, RowBuilder};
use super::{Evaluator, Outcome, total_bytes, total_count};
use crate::error::QueryError;
use crate::limits::Budget;
use crate::promql::annotations::Annotations;
use crate::promql::ast::{AggregateOp, Span};
use crate::promql::plan::{Aggregate, go_max, go_min};

impl Evaluator<'_> {
    /// Evaluates an aggregation.
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, span: Span, grid: &Grid) -> Outcome {
        match aggregate.op {
            AggregateOp::CountValues => self.count_values(aggregate, grid),
            AggregateOp::Topk | AggregateOp::Bottomk => self.best_k(aggregate, span, grid),
            AggregateOp::Limitk | AggregateOp::LimitRatio => self.limit(aggregate, grid),
            AggregateOp::Quantile => self.aggregate_quantile(aggregate, grid),
            _ => self.fold(aggregate, grid),
        }
    }

    fn fold(&mut self, aggregate: &Aggregate, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let mut folding = Folding::new(aggregate, grid.steps);
        let mut annotations = self.fold_operand(aggregate, grid, &mut folding)?;
        self.check()?;
        let rows = folding.finish(&mut annotations);
        self.budget.reset_to(before);
        self.budget.hold(total_count(&rows))?;
        self.budget.hold_bytes(total_bytes(&rows))?;
        Ok((rows, annotations))
    }

    fn aggregate_quantile(&mut self, aggregate: &Aggregate, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let (param, mut annotations) = self.parameter(aggregate, grid)?;
        let mut collecting = Collecting {
            groups: Groups::new(keep_of(aggregate)),
            members: Vec::new(),
            any_histogram: false,
        };
        annotations.merge(&self.fold_operand(aggregate, grid, &mut collecting)?);
        if let Some(node) = &aggregate.param {
            if param.any_nan {
                annotations.invalid_quantile(f64::NAN, node.span);
            }
            if param.max > 1.0 {
                annotations.invalid_quantile(param.max, node.span);
            }
            if param.min < 0.0 {
                annotations.invalid_quantile(param.min, node.span);
            }
        }
        if collecting.any_histogram {
            ignored_in_aggregation("quantile", aggregate.expr.span, &mut annotations);
        }
        let mut builder = RowBuilder::new(grid.steps);
        let mut tile = Tile::default();
        let mut result = Vec::with_capacity(collecting.members.len());
        for (labels, members) in collecting.members {
            for from in (0..grid.steps).step_by(Tile::STEPS) {
                self.check()?;
                let steps = from..(from + Tile::STEPS).min(grid.steps);
                tile.fill(&members, steps.clone());
                for step in steps {
                    let values = tile.column(step - from);
                    if !values.is_empty() {
                        builder.set(step, quantile(param.at(step), values));
                    }
                }
            }
            if let Some(mut row) = builder.take(|| labels) {
                row.drop_name = members.iter().any(|row| row.drop_name);
                result.push(row);
            }
        }
        self.budget.reset_to(before);
        self.budget.hold(total_count(&result))?;
        self.budget.hold_bytes(total_bytes(&result))?;
        Ok((result, annotations))
    }

    /// Evaluates the parameter of an aggregation.
    pub(super) fn parameter(
        &mut self,
        aggregate: &Aggregate,
        grid: &Grid,
    ) -> Result<(Parameter, Annotations), QueryError> {
        let Some(node) = &aggregate.param else {
            return Ok((Parameter::of(None), Annotations::default()));
        };
        let (mut rows, annotations) = self.eval(node, grid)?;
        Ok((Parameter::of(rows.pop()), annotations))
    }
}

/// The scalar parameter of an aggregation at every step.
pub(super) struct Parameter {
    row: Option<Row>,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) any_nan: bool,
}

impl Parameter {
    fn of(row: Option<Row>) -> Parameter {
        let (mut min, mut max, mut any_nan) = (f64::MAX, -f64::MAX, false);
        match &row {
            Some(row) => row.for_each(|_, value| {
                max = go_max(max, value);
                min = go_min(min, value);
                any_nan |= value.is_nan();
            }),
            None => (min, max) = (0.0, 0.0),
        }
        Parameter {
            row,
            min,
            max,
            any_nan,
        }
    }

    /// Returns the parameter as a count, which Go truncates towards zero.
    pub(super) fn count(&self, step: usize) -> usize {
        usize::try_from(self.at(step) as i64).unwrap_or(0)
    }

    pub(super) fn at(&self, step: usize) -> f64 {
        self.row
            .as_ref()
            .and_then(|row| row.get(step))
            .unwrap_or(0.0)
    }
}

/// The rows of each group.
struct Collecting<'a> {
    groups: Groups<'a>,
    members: Vec<(Labels, Vec<Row>)>,
    any_histogram: bool,
}

impl Fold for Collecting<'_> {
    fn add(&mut self, member: Member, budget: &mut Budget) -> Result<(), QueryError> {
        let number = member.group(&mut self.groups);
        if number == self.members.len() {
            let labels = member.group_labels(&self.groups);
            self.members.push((labels, Vec::new()));
        }
        self.any_histogram |= member.row.histograms.is_some();
        budget.hold_bytes(member.row.memory_bytes())?;
        self.members[number].1.push(member.row);
        Ok(())
    }
}

/// The values of many rows at a few steps, step by step.
#[derive(Debug, Default)]
struct Tile {
    columns: [Vec<f64>; Tile::STEPS],
}

impl Tile {
    const STEPS: usize = 16;

    fn fill(&mut self, rows: &[Row], steps: Range<usize>) {
        self.columns.iter_mut().for_each(Vec::clear);
        for row in rows {
            for (step, column) in steps.clone().zip(&mut self.columns) {
                column.extend(row.get(step));
            }
        }
    }

    fn column(&mut self, at: usize) -> &mut [f64] {
        &mut self.columns[at]
    }
}

/// Groups with their accumulators while rows come in.
struct Folding<'a> {
    op: AggregateOp,
    span: Span,
    /// What is to be said of histograms.
    notes: Annotations,
    steps: usize,
    groups: Groups<'a>,
    accumulators: Vec<Accumulator>,
}

struct Accumulator {
    labels: Labels,
    drop_name: bool,
    column: Column,
    seen: Bits,
    histograms: Option<Box<HistogramFolding>>,
}

impl Accumulator {
    /// Takes the histograms of a row, if the operator takes any. Returns how many bytes of
    /// memory they take.
    fn add_histograms(
        &mut self,
        row: &Row,
        op: AggregateOp,
        span: Span,
        notes: &mut Annotations,
    ) -> usize {
        let mut grown = 0;
        match op {
            AggregateOp::Sum | AggregateOp::Avg => {
                let folding = self
                    .histograms
                    .get_or_insert_with(|| Box::new(HistogramFolding::new(op)));
                grown = folding.add(row, &self.seen, span, notes);
            }
            AggregateOp::Count | AggregateOp::Group => {
                row.for_each_histogram(|step, _| {
                    self.seen.set(step);
                    self.column.add(step, &[1.0], None);
                });
            }
            op => ignored_in_aggregation(op.as_str(), span, notes),
        }
        grown
    }

    /// Returns the row of the group.
    fn finish(
        mut self,
        span: Span,
        builder: &mut RowBuilder,
        annotations: &mut Annotations,
    ) -> Option<Row> {
        let Some(histograms) = self.histograms.take() else {
            let values = self.column.into_values(builder.steps());
            return Row::of_column(self.labels, values, &self.seen);
        };
        for (step, met) in histograms.finish(&self.seen, span, annotations) {
            match met {
                Met::Histogram(histogram) => builder.set_histogram(step, histogram),
                Met::Nothing => self.seen.unset(step),
            }
        }
        let values = self.column.into_values(builder.steps());
        for (step, value) in values.into_iter().enumerate() {
            if self.seen.get(step) {
                builder.set(step, value);
            }
        }
        builder.take(|| self.labels)
    }
}

impl<'a> Folding<'a> {
    fn new(aggregate: &'a Aggregate, steps: usize) -> Folding<'a> {
        Folding {
            op: aggregate.op,
            span: aggregate.expr.span,
            notes: Annotations::default(),
            steps,
            groups: Groups::new(keep_of(aggregate)),
            accumulators: Vec::new(),
        }
    }

    fn finish(self, annotations: &mut Annotations) -> Vec<Row> {
        annotations.merge(&self.notes);
        let mut builder = RowBuilder::new(self.steps);
        let mut rows = Vec::with_capacity(self.groups.len());
        for group in self.accumulators {
            let drop_name = group.drop_name;
            if let Some(mut row) = group.finish(self.span, &mut builder, annotations) {
                row.drop_name = drop_name;
                rows.push(row);
            }
        }
        rows
    }
}

impl Fold for Folding<'_> {
    fn add(&mut self, member: Member, budget: &mut Budget) -> Result<(), QueryError> {
        let number = member.group(&mut self.groups);
        if number == self.accumulators.len() {
            let labels = member.group_labels(&self.groups);
            let column = Column::new(self.op, self.steps);
            let bytes = size_of::<Accumulator>()
                + labels.memory_bytes()
                + self.steps * column.step_bytes()
                + self.steps / 8;
            budget.hold_bytes(bytes)?;
            self.accumulators.push(Accumulator {
                labels,
                drop_name: false,
                column,
                seen: Bits::new(self.steps),
                histograms: None,
            });
        }
        let group = &mut self.accumulators[number];
        group.drop_name |= member.row.drop_name;
        let row = &member.row;
        if row.histograms.is_some() {
            let grown = group.add_histograms(row, self.op, self.span, &mut self.notes);
            budget.hold_bytes(grown)?;
        }
        row.add_values_to(&mut group.seen);
        let (first, values, held) = row.columns();
        group.column.add(first, values, held);
        Ok(())
    }
}
