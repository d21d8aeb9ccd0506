//! Aggregations that make one series of each group.
//!
//! Rows are folded into accumulator columns one after the other, in the order of the
//! selection, so that sums round as the reference's do. Over a selector or a range
//! function the rows are never kept: each is folded as soon as it is computed.

use kymo_storage::model::Labels;

use super::aggregate_histograms::{HistogramFolding, Met};
use super::group::{Groups, Keep};
use super::histogram_notes::ignored_in_aggregation;
use super::order::quantile;
use super::range::{EqualLabels, Made, NameFate};
use super::row::{
    Bits, Grid, METADATA_LABELS, Row, RowBuilder, has_equal_labels, is_metadata_label,
    same_labelset, without_metadata,
};
use super::selector::Answer;
use super::sum::{Mean, Sum};
use super::{Evaluator, Outcome, total_bytes, total_count};
use crate::error::QueryError;
use crate::limits::Budget;
use crate::promql::annotations::Annotations;
use crate::promql::ast::{AggregateOp, Span};
use crate::promql::plan::{Aggregate, NodeKind, go_max, go_min};

impl Evaluator<'_> {
    /// Evaluates an aggregation.
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, span: Span, grid: &Grid) -> Outcome {
        match aggregate.op {
            AggregateOp::CountValues => self.count_values(aggregate, grid),
            AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio => self.aggregate_k(aggregate, span, grid),
            AggregateOp::Quantile => self.aggregate_quantile(aggregate, grid),
            _ => self.fold(aggregate, grid),
        }
    }

    fn fold(&mut self, aggregate: &Aggregate, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let delayed = self.options.delayed_name_removal;
        let mut folding = Folding::new(aggregate, grid.steps);
        let mut annotations;
        match streamed(aggregate) {
            Some(Streamed::Range(call, at)) => {
                let mut equal = EqualLabels::default();
                let mut made_of = Vec::new();
                // All labels of the rows, once two of them may be equal.
                let mut suspicious: Option<Vec<Labels>> = None;
                let names = needed_labels(aggregate);
                let mut of_histograms = Vec::new();
                let mut fold = |made: Made<'_>, row: Row, budget: &mut Budget| {
                    let drops_name = made.name == NameFate::Drop;
                    let drops = drops_name && !delayed;
                    match &mut suspicious {
                        Some(all) => all.push(made.labels_of(made.index)),
                        None => {
                            made_of.push(made.index);
                            if drops && equal.possible(&row.labels) {
                                let all = made_of.iter().map(|&index| made.labels_of(index));
                                suspicious = Some(all.collect());
                            }
                        }
                    }
                    let (grown, notes) = folding.add(&row, drops, drops_name);
                    of_histograms.extend(notes);
                    budget.hold_bytes(grown)
                };
                annotations = self.stream_range(call, at, names.as_deref(), grid, &mut fold)?;
                of_histograms.iter().for_each(|n| annotations.merge(n));
                if let Some(all) = suspicious {
                    refuse_equal(&all)?;
                }
            }
            Some(Streamed::Instant(selector)) => {
                let names = match keep_of(aggregate) {
                    Keep::Only(names) => Some(names),
                    Keep::AllBut(_) => None,
                };
                let mut of_histograms = Vec::new();
                let mut fold = |row: Row, budget: &mut Budget| {
                    let (grown, notes) = folding.add(&row, false, false);
                    of_histograms.extend(notes);
                    budget.hold_bytes(grown)
                };
                let selector = (selector, aggregate.expr.span);
                annotations =
                    self.stream_instant(selector, names, Answer::Value, grid, &mut fold)?;
                of_histograms.iter().for_each(|n| annotations.merge(n));
            }
            None => {
                let (rows, notes) = self.eval(&aggregate.expr, grid)?;
                annotations = notes;
                for row in &rows {
                    let (grown, notes) = folding.add(row, false, row.drop_name);
                    notes.iter().for_each(|notes| annotations.merge(notes));
                    self.budget.hold_bytes(grown)?;
                }
            }
        }
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
        let (rows, notes) = self.eval(&aggregate.expr, grid)?;
        annotations.merge(&notes);
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
        let mut groups = Groups::new(keep_of(aggregate));
        let mut members: Vec<(Labels, Vec<&Row>)> = Vec::new();
        for row in &rows {
            if row.histograms.is_some() {
                ignored_in_aggregation("quantile", aggregate.expr.span, &mut annotations);
            }
            let number = groups.number(&row.labels, |_| false);
            if number == members.len() {
                members.push((groups.labels(&row.labels), Vec::new()));
            }
            members[number].1.push(row);
        }
        let mut builder = RowBuilder::new(grid.steps);
        let mut scratch = Vec::new();
        let mut result = Vec::with_capacity(members.len());
        for (labels, members) in members {
            self.check()?;
            for step in 0..grid.steps {
                scratch.clear();
                scratch.extend(members.iter().filter_map(|row| row.get(step)));
                if !scratch.is_empty() {
                    builder.set(step, quantile(param.at(step), &mut scratch));
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

    pub(super) fn at(&self, step: usize) -> f64 {
        self.row
            .as_ref()
            .and_then(|row| row.get(step))
            .unwrap_or(0.0)
    }
}

/// Returns the labels that tell the groups of an aggregation apart.
pub(super) fn keep_of(aggregate: &Aggregate) -> Keep<'_> {
    match aggregate.without {
        true => Keep::AllBut(&aggregate.grouping),
        false => Keep::Only(&aggregate.grouping),
    }
}

/// Returns the labels that folding looks at where those are few: the groups' and the
/// metric's.
fn needed_labels(aggregate: &Aggregate) -> Option<Vec<String>> {
    let Keep::Only(names) = keep_of(aggregate) else {
        return None;
    };
    let of_metric = METADATA_LABELS.map(str::to_owned);
    Some(names.iter().cloned().chain(of_metric).collect())
}

/// An operand whose rows can be folded as they are computed.
enum Streamed<'a> {
    Range(&'a crate::promql::plan::Call, usize),
    Instant(&'a crate::promql::plan::Selector),
}

fn streamed(aggregate: &Aggregate) -> Option<Streamed<'_>> {
    match &aggregate.expr.kind {
        NodeKind::Call(call) if call.func != "absent_over_time" => {
            let at = call.args.iter().position(|arg| arg.is_matrix())?;
            Some(Streamed::Range(call, at))
        }
        NodeKind::Vector(selector) => Some(Streamed::Instant(selector)),
        _ => None,
    }
}

fn refuse_equal(all: &[Labels]) -> Result<(), QueryError> {
    let rows: Vec<Row> = all
        .iter()
        .map(|labels| Row::constant(without_metadata(labels), 0.0, 1))
        .collect();
    match has_equal_labels(&rows) {
        true => Err(same_labelset()),
        false => Ok(()),
    }
}

/// The accumulators of one group: columns over the steps.
enum Column {
    Sum { sums: Vec<f64>, lost: Vec<f64> },
    Avg(Vec<Option<Mean>>),
    Count(Vec<f64>),
    Min(Vec<f64>),
    Max(Vec<f64>),
    Group,
    Spread { moments: Vec<Moments>, root: bool },
}

/// Welford's moments without compensation, as the reference aggregates.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    distance: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.distance = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.distance += delta * (value - self.mean);
    }
}

impl Column {
    fn new(op: AggregateOp, steps: usize) -> Column {
        match op {
            // Minus zero is what changes no value it is added to, its sign included.
            AggregateOp::Sum => Column::Sum {
                sums: vec![-0.0; steps],
                lost: vec![0.0; steps],
            },
            AggregateOp::Avg => Column::Avg(vec![None; steps]),
            AggregateOp::Count => Column::Count(vec![0.0; steps]),
            AggregateOp::Min => Column::Min(vec![f64::NAN; steps]),
            AggregateOp::Max => Column::Max(vec![f64::NAN; steps]),
            AggregateOp::Stddev | AggregateOp::Stdvar => Column::Spread {
                moments: vec![Moments::default(); steps],
                root: op == AggregateOp::Stddev,
            },
            _ => Column::Group,
        }
    }

    /// Returns how many bytes of memory one step takes.
    fn step_bytes(&self) -> usize {
        match self {
            Column::Sum { .. } => 2 * size_of::<f64>(),
            Column::Avg(_) => size_of::<Option<Mean>>(),
            Column::Count(_) | Column::Min(_) | Column::Max(_) => size_of::<f64>(),
            Column::Group => 0,
            Column::Spread { .. } => size_of::<Moments>(),
        }
    }

    fn add(&mut self, first: usize, values: &[f64], held: Option<&Bits>) {
        match self {
            Column::Sum { sums, lost } => {
                if held.is_none() {
                    return add_all(&mut sums[first..], &mut lost[first..], values);
                }
                each(first, values, held, |step, value| {
                    let mut sum = Sum {
                        sum: sums[step],
                        lost: lost[step],
                    };
                    sum.add(value);
                    (sums[step], lost[step]) = (sum.sum, sum.lost);
                });
            }
            Column::Avg(means) => each(first, values, held, |step, value| match &mut means[step] {
                Some(mean) => mean.add(value),
                none => *none = Some(Mean::new(value)),
            }),
            Column::Count(counts) => each(first, values, held, |step, _| counts[step] += 1.0),
            Column::Min(least) => each(first, values, held, |step, value| {
                if least[step] > value || least[step].is_nan() {
                    least[step] = value;
                }
            }),
            Column::Max(most) => each(first, values, held, |step, value| {
                if most[step] < value || most[step].is_nan() {
                    most[step] = value;
                }
            }),
            Column::Group => {}
            Column::Spread { moments, .. } => {
                each(first, values, held, |step, value| moments[step].add(value));
            }
        }
    }

    fn value(&self, step: usize) -> f64 {
        match self {
            Column::Sum { sums, lost } => sums[step] + lost[step],
            Column::Avg(means) => means[step].map_or(f64::NAN, |mean| mean.mean()),
            Column::Count(values) | Column::Min(values) | Column::Max(values) => values[step],
            Column::Group => 1.0,
            Column::Spread { moments, root } => {
                let variance = moments[step].distance / moments[step].count;
                if *root { variance.sqrt() } else { variance }
            }
        }
    }
}

/// Adds a column of values to a column of sums; the loop has no branches.
fn add_all(sums: &mut [f64], lost: &mut [f64], values: &[f64]) {
    for ((sum, lost), &value) in sums.iter_mut().zip(lost).zip(values) {
        let total = *sum + value;
        let large_sum = (*sum - total) + value;
        let large_value = (value - total) + *sum;
        let error = if sum.abs() >= value.abs() {
            large_sum
        } else {
            large_value
        };
        *lost = if total.abs() > f64::MAX {
            0.0
        } else {
            *lost + error
        };
        *sum = total;
    }
}

fn each(first: usize, values: &[f64], held: Option<&Bits>, mut each: impl FnMut(usize, f64)) {
    for (at, &value) in values.iter().enumerate() {
        if held.is_none_or(|held| held.get(at)) {
            each(first + at, value);
        }
    }
}

/// Groups with their accumulators while rows come in.
struct Folding<'a> {
    op: AggregateOp,
    span: Span,
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
    /// memory they take, and what is to be said of them.
    fn add_histograms(&mut self, row: &Row, op: AggregateOp, span: Span) -> (usize, Annotations) {
        let mut notes = Annotations::default();
        let mut grown = 0;
        match op {
            AggregateOp::Sum | AggregateOp::Avg => {
                let folding = self
                    .histograms
                    .get_or_insert_with(|| Box::new(HistogramFolding::new(op)));
                grown = folding.add(row, &self.seen, span, &mut notes);
            }
            AggregateOp::Count | AggregateOp::Group => {
                row.for_each_histogram(|step, _| {
                    self.seen.set(step);
                    self.column.add(step, &[1.0], None);
                });
            }
            op => ignored_in_aggregation(op.as_str(), span, &mut notes),
        }
        (grown, notes)
    }
}

impl<'a> Folding<'a> {
    fn new(aggregate: &'a Aggregate, steps: usize) -> Folding<'a> {
        Folding {
            op: aggregate.op,
            span: aggregate.expr.span,
            steps,
            groups: Groups::new(keep_of(aggregate)),
            accumulators: Vec::new(),
        }
    }

    /// Folds one row in. `without_name`: the metric's labels are gone already, though
    /// still in `labels`; `drop_name`: they go at the end. Returns how many bytes of
    /// memory the row's group takes, if it is new, and what is to be said of histograms.
    fn add(
        &mut self,
        row: &Row,
        without_name: bool,
        drop_name: bool,
    ) -> (usize, Option<Annotations>) {
        let labels = &row.labels;
        let (first, values, held) = row.columns();
        let skip = |name: &str| without_name && is_metadata_label(name);
        let number = self.groups.number(labels, skip);
        let mut grown = 0;
        if number == self.accumulators.len() {
            let labels = match without_name {
                true => self.groups.labels(&without_metadata(labels)),
                false => self.groups.labels(labels),
            };
            let column = Column::new(self.op, self.steps);
            grown = size_of::<Accumulator>()
                + labels.memory_bytes()
                + self.steps * column.step_bytes()
                + self.steps / 8;
            self.accumulators.push(Accumulator {
                labels,
                drop_name: false,
                column,
                seen: Bits::new(self.steps),
                histograms: None,
            });
        }
        let group = &mut self.accumulators[number];
        group.drop_name |= drop_name;
        let mut notes = None;
        if row.histograms.is_some() {
            let (more, of_histograms) = group.add_histograms(row, self.op, self.span);
            grown += more;
            notes = Some(of_histograms);
        }
        match held {
            None => group.seen.set_range(first, first + values.len()),
            Some(_) => each(first, values, held, |step, _| group.seen.set(step)),
        }
        group.column.add(first, values, held);
        (grown, notes)
    }

    fn finish(self, annotations: &mut Annotations) -> Vec<Row> {
        let mut builder = RowBuilder::new(self.steps);
        let mut rows = Vec::with_capacity(self.groups.len());
        for mut group in self.accumulators {
            if let Some(histograms) = group.histograms.take() {
                for (step, met) in histograms.finish(&group.seen, self.span, annotations) {
                    match met {
                        Met::Histogram(histogram) => builder.set_histogram(step, histogram),
                        Met::Nothing => group.seen.unset(step),
                    }
                }
            }
            for step in 0..self.steps {
                if group.seen.get(step) {
                    builder.set(step, group.column.value(step));
                }
            }
            if let Some(mut row) = builder.take(|| group.labels) {
                row.drop_name = group.drop_name;
                rows.push(row);
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(op: AggregateOp, rows: &[&[f64]]) -> Vec<f64> {
        let mut column = Column::new(op, 2);
        for row in rows {
            column.add(0, row, None);
        }
        (0..2).map(|step| column.value(step)).collect()
    }

    #[test]
    fn columns_fold_step_by_step() {
        let rows: [&[f64]; 3] = [&[1.0, 4.0], &[2.0, f64::NAN], &[6.0, 2.0]];
        let cases = [
            (AggregateOp::Sum, [9.0, f64::NAN]),
            (AggregateOp::Avg, [3.0, f64::NAN]),
            (AggregateOp::Count, [3.0, 3.0]),
            (AggregateOp::Min, [1.0, 2.0]),
            (AggregateOp::Max, [6.0, 4.0]),
            (AggregateOp::Group, [1.0, 1.0]),
            (AggregateOp::Stdvar, [14.0 / 3.0, f64::NAN]),
        ];
        for (op, expected) in cases {
            let got = folded(op, &rows);
            for (got, expected) in got.iter().zip(expected) {
                let close = (got - expected).abs() < 1e-12 || got.is_nan() && expected.is_nan();
                assert!(close, "{op:?}: {got}, expected {expected}");
            }
        }
    }

    #[test]
    fn branchless_sums_are_the_same_to_the_bit() {
        let values = [
            1.0,
            1e100,
            -1e100,
            f64::INFINITY,
            f64::NAN,
            -0.0,
            1e308,
            1e308,
            0.1,
        ];
        for first in values {
            for second in values {
                for third in values {
                    let (mut sums, mut lost) = ([-0.0], [0.0]);
                    let mut expected = Sum {
                        sum: first,
                        lost: 0.0,
                    };
                    add_all(&mut sums, &mut lost, &[first]);
                    for value in [second, third] {
                        add_all(&mut sums, &mut lost, &[value]);
                        expected.add(value);
                    }
                    let got = sums[0] + lost[0];
                    let same = got.to_bits() == expected.total().to_bits()
                        || got.is_nan() && expected.total().is_nan();
                    assert!(same, "{first} {second} {third}: {got}");
                }
            }
        }
    }
}
