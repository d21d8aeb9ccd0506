//! Aggregations that make one series of each group.
//!
//! Rows are folded into accumulator columns one after the other, in the order of the
//! selection, so that sums round as the reference's do.

use std::ops::Range;

use kymo_storage::model::Labels;

use super::column::Column;
use super::group::Groups;
use super::operand::{Fold, Member, keep_of};
use super::order::quantile;
use super::row::{Bits, Grid, Row, RowBuilder};
use super::{Evaluator, Outcome, total_bytes, total_count};
use crate::error::QueryError;
use crate::limits::Budget;
use crate::promql::annotations::Annotations;
use crate::promql::ast::AggregateOp;
use crate::promql::plan::{Aggregate, go_max, go_min};

impl Evaluator<'_> {
    /// Evaluates an aggregation.
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, grid: &Grid) -> Outcome {
        match aggregate.op {
            AggregateOp::CountValues => self.count_values(aggregate, grid),
            AggregateOp::Topk | AggregateOp::Bottomk => self.best_k(aggregate, grid),
            AggregateOp::Limitk | AggregateOp::LimitRatio => self.limit(aggregate, grid),
            AggregateOp::Quantile => self.aggregate_quantile(aggregate, grid),
            _ => self.fold(aggregate, grid),
        }
    }

    fn fold(&mut self, aggregate: &Aggregate, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let mut folding = Folding::new(aggregate, grid.steps);
        let annotations = self.fold_operand(aggregate, grid, &mut folding)?;
        self.check()?;
        let rows = folding.finish();
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
}

impl Fold for Collecting<'_> {
    fn add(&mut self, member: Member, budget: &mut Budget) -> Result<(), QueryError> {
        let number = member.group(&mut self.groups);
        if number == self.members.len() {
            let labels = member.group_labels(&self.groups);
            self.members.push((labels, Vec::new()));
        }
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
    steps: usize,
    groups: Groups<'a>,
    accumulators: Vec<Accumulator>,
}

struct Accumulator {
    labels: Labels,
    drop_name: bool,
    column: Column,
    seen: Bits,
}

impl<'a> Folding<'a> {
    fn new(aggregate: &'a Aggregate, steps: usize) -> Folding<'a> {
        Folding {
            op: aggregate.op,
            steps,
            groups: Groups::new(keep_of(aggregate)),
            accumulators: Vec::new(),
        }
    }

    fn finish(self) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.groups.len());
        for group in self.accumulators {
            let values = group.column.into_values(self.steps);
            if let Some(mut row) = Row::of_column(group.labels, values, &group.seen) {
                row.drop_name = group.drop_name;
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
            });
        }
        let group = &mut self.accumulators[number];
        group.drop_name |= member.row.drop_name;
        member.row.add_to(&mut group.seen);
        let (first, values, held) = member.row.columns();
        group.column.add(first, values, held);
        Ok(())
    }
}
