//! Aggregations that keep some of the series of each group.

use kymo_storage::compat::float;
use kymo_storage::model::Labels;

use super::aggregate::Parameter;
use super::group::Groups;
use super::histogram_column::Element;
use super::histogram_notes::ignored_in_aggregation;
use super::operand::{Fold, Member, keep_of};
use super::order::{Best, Direction};
use super::row::{Grid, Row, RowBuilder};
use super::{Evaluator, Outcome, total_bytes, total_count};
use crate::error::QueryError;
use crate::limits::Budget;
use crate::promql::ast::{AggregateOp, Span};
use crate::promql::plan::Aggregate;

impl Evaluator<'_> {
    /// Evaluates `topk` and `bottomk`.
    pub(super) fn best_k(&mut self, aggregate: &Aggregate, span: Span, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let (param, mut annotations) = self.parameter(aggregate, grid)?;
        let direction = match aggregate.op {
            AggregateOp::Topk => Direction::Descending,
            _ => Direction::Ascending,
        };
        let mut tops = Tops {
            groups: Groups::new(keep_of(aggregate)),
            direction,
            counts: (0..grid.steps).map(|step| param.count(step)).collect(),
            best: Vec::new(),
            any_histogram: false,
            result: Vec::new(),
        };
        annotations.merge(&self.fold_operand(aggregate, grid, &mut tops)?);
        self.check()?;
        // The reference looks at the parameter only when it has the operand.
        let result = match check_count(&param)? {
            Count::None => Vec::new(),
            Count::Some => {
                if tops.any_histogram {
                    ignored_in_aggregation(aggregate.op.as_str(), span, &mut annotations);
                }
                tops.result
            }
        };
        self.budget.reset_to(before);
        self.budget.hold(total_count(&result))?;
        self.budget.hold_bytes(total_bytes(&result))?;
        Ok((result, annotations))
    }

    /// Evaluates `limitk` and `limit_ratio`.
    pub(super) fn limit(&mut self, aggregate: &Aggregate, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let (param, mut annotations) = self.parameter(aggregate, grid)?;
        let (rows, notes) = self.eval(&aggregate.expr, grid)?;
        annotations.merge(&notes);
        if aggregate.op == AggregateOp::LimitRatio {
            if param.max == 0.0 && param.min == 0.0 {
                return Ok((Vec::new(), annotations));
            }
            if param.any_nan {
                return Err(QueryError::Execution("Ratio value is NaN".to_owned()));
            }
            if let Some(node) = &aggregate.param {
                for (ratio, cap) in [(param.max, 1.0), (param.min, -1.0)] {
                    if ratio * cap > 1.0 {
                        let text = format!(
                            "ratio value should be between -1 and 1, got {}, capping to {}",
                            float::g(ratio),
                            float::g(cap)
                        );
                        annotations.warn(text, node.span);
                    }
                }
            }
        } else if check_count(&param)? == Count::None {
            return Ok((Vec::new(), annotations));
        }

        let mut groups = Groups::new(keep_of(aggregate));
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let number = groups.number(&row.labels, |_| false);
            if number == members.len() {
                members.push(Vec::new());
            }
            members[number].push(index);
        }
        let mut kept = Kept::new(&rows, grid);
        for step in 0..grid.steps {
            self.check()?;
            for members in &members {
                let elements = members
                    .iter()
                    .filter_map(|&index| Some((index, rows[index].element(step)?)));
                if aggregate.op == AggregateOp::LimitRatio {
                    let ratio = param.at(step).clamp(-1.0, 1.0);
                    for (index, element) in elements {
                        if ratio != 0.0 && in_ratio(&rows[index].labels, ratio) {
                            kept.keep(step, index, element);
                        }
                    }
                } else {
                    for (index, element) in elements.take(param.count(step)) {
                        kept.keep(step, index, element);
                    }
                }
            }
        }
        let result = kept.finish();
        self.budget.reset_to(before);
        self.budget.hold(total_count(&result))?;
        self.budget.hold_bytes(total_bytes(&result))?;
        Ok((result, annotations))
    }
}

/// The best of each group at each step while rows come in. No row is kept: what is, are
/// values with the numbers of their series.
struct Tops<'a> {
    groups: Groups<'a>,
    direction: Direction,
    /// How many are wanted at each step.
    counts: Vec<usize>,
    best: Vec<GroupBest>,
    /// Whether there is a histogram, which has no rank, where any rank is asked for.
    any_histogram: bool,
    result: Vec<Row>,
}

/// The best of one group.
struct GroupBest {
    steps: Vec<Best>,
    /// For each step a value that another must be better than to be kept; NaN where all
    /// are looked at.
    bars: Vec<f64>,
}

impl Fold for Tops<'_> {
    fn add(&mut self, member: Member, budget: &mut Budget) -> Result<(), QueryError> {
        let number = member.group(&mut self.groups);
        let direction = self.direction;
        if number == self.best.len() {
            let best = |&k: &usize| Best::new(k, direction);
            budget.hold_bytes(self.counts.len() * (size_of::<Best>() + size_of::<f64>()))?;
            self.best.push(GroupBest {
                steps: self.counts.iter().map(best).collect(),
                bars: vec![f64::NAN; self.counts.len()],
            });
        }
        let GroupBest { steps, bars } = &mut self.best[number];
        let mut grown = 0;
        let mut add = |step: usize, value: f64| {
            let passes = match direction {
                Direction::Descending => value > bars[step],
                Direction::Ascending => value < bars[step],
            };
            if passes || bars[step].is_nan() {
                let best = &mut steps[step];
                grown += usize::from(best.add(value, member.index));
                bars[step] = best.bar();
            }
        };
        member.row.for_each(&mut add);
        let counts = &self.counts;
        member
            .row
            .for_each_histogram(|step, _| self.any_histogram |= counts[step] > 0);
        budget.hold_bytes(grown * size_of::<(f64, usize)>())
    }

    fn end(&mut self, labels_of: &dyn Fn(usize) -> (Labels, bool)) {
        let steps = self.counts.len();
        // Series, step and value of all that stays.
        let mut kept: Vec<(usize, usize, f64)> = Vec::new();
        for group in std::mem::take(&mut self.best) {
            for (step, best) in group.steps.into_iter().enumerate() {
                let sorted = best.sorted().into_iter();
                kept.extend(sorted.map(|(value, index)| (index, step, value)));
            }
        }
        // One step shows its order; else every series has its place.
        if steps > 1 {
            kept.sort_unstable_by_key(|&(index, step, _)| (index, step));
        }
        let mut builder = RowBuilder::new(steps);
        for of_series in kept.chunk_by(|a, b| a.0 == b.0) {
            for &(_, step, value) in of_series {
                builder.set(step, value);
            }
            let (labels, drop_name) = labels_of(of_series[0].0);
            self.result.extend(builder.take(|| labels).map(|mut row| {
                row.drop_name = drop_name;
                row
            }));
        }
    }
}

/// How many series an aggregation keeps at most.
#[derive(Debug, PartialEq, Eq)]
enum Count {
    None,
    Some,
}

fn check_count(param: &Parameter) -> Result<Count, QueryError> {
    let text = if param.max < 1.0 {
        return Ok(Count::None);
    } else if param.any_nan {
        "Parameter value is NaN".to_owned()
    } else if param.min <= i64::MIN as f64 {
        format!("Scalar value {} underflows int64", float::g(param.min))
    } else if param.max >= i64::MAX as f64 {
        format!("Scalar value {} overflows int64", float::g(param.max))
    } else {
        return Ok(Count::Some);
    };
    Err(QueryError::Execution(text))
}

/// Tells whether a series is in the share of all that `ratio` names; a negative one
/// names the rest of the positive one's.
fn in_ratio(labels: &Labels, ratio: f64) -> bool {
    let offset = labels.prometheus_hash() as f64 / u64::MAX as f64;
    (ratio >= 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio)
}

/// Values that stay, on their way to rows.
struct Kept<'a> {
    rows: &'a [Row],
    /// Of one step: in order. Of more: builders by row.
    order: Vec<(usize, Element)>,
    builders: Vec<Option<RowBuilder>>,
    steps: usize,
}

impl<'a> Kept<'a> {
    fn new(rows: &'a [Row], grid: &Grid) -> Kept<'a> {
        Kept {
            rows,
            order: Vec::new(),
            builders: Vec::new(),
            steps: grid.steps,
        }
    }

    fn keep(&mut self, step: usize, index: usize, element: Element) {
        if self.steps == 1 {
            self.order.push((index, element));
            return;
        }
        if self.builders.is_empty() {
            self.builders.resize_with(self.rows.len(), || None);
        }
        let builder = self.builders[index].get_or_insert_with(|| RowBuilder::new(self.steps));
        element.set(builder, step);
    }

    fn finish(self) -> Vec<Row> {
        let like = |index: usize, mut row: Row| {
            row.drop_name = self.rows[index].drop_name;
            row
        };
        let labels = |index: usize| self.rows[index].labels.clone();
        if self.steps == 1 {
            return self
                .order
                .iter()
                .map(|(index, element)| {
                    like(*index, Row::of_element(labels(*index), element.clone()))
                })
                .collect();
        }
        let mut rows = Vec::new();
        for (index, builder) in self.builders.into_iter().enumerate() {
            if let Some(row) = builder.and_then(|mut b| b.take(|| labels(index))) {
                rows.push(like(index, row));
            }
        }
        rows
    }
}
