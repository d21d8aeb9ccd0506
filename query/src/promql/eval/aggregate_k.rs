//! Aggregations that keep some of the series of each group, and `count_values`.

use hashbrown::HashMap;
use kymo_storage::compat::float;
use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::{Labels, LabelsBuilder};

use super::aggregate::{Parameter, keep_of};
use super::group::{Groups, Keep};
use super::histogram_column::Element;
use super::histogram_notes::ignored_in_aggregation;
use super::order::{Best, Direction};
use super::row::{Grid, Row, RowBuilder};
use super::{Evaluator, Outcome, total_bytes, total_count};
use crate::error::QueryError;
use crate::promql::annotations::Annotations;
use crate::promql::ast::{AggregateOp, Span};
use crate::promql::plan::Aggregate;

impl Evaluator<'_> {
    /// Evaluates `topk`, `bottomk`, `limitk` and `limit_ratio`.
    pub(super) fn aggregate_k(
        &mut self,
        aggregate: &Aggregate,
        span: Span,
        grid: &Grid,
    ) -> Outcome {
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
        } else {
            if param.max < 1.0 {
                return Ok((Vec::new(), annotations));
            }
            check_count(param.min, param.max, param.any_nan)?;
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
        if matches!(aggregate.op, AggregateOp::Topk | AggregateOp::Bottomk) {
            note_ignored(&rows, &param, aggregate.op, span, &mut annotations);
        }
        let mut kept = Kept::new(&rows, grid);
        for step in 0..grid.steps {
            self.check()?;
            for members in &members {
                let present = members
                    .iter()
                    .filter_map(|&index| Some((index, rows[index].get(step)?)));
                let elements = members
                    .iter()
                    .filter_map(|&index| Some((index, rows[index].element(step)?)));
                match aggregate.op {
                    AggregateOp::LimitRatio => {
                        let ratio = param.at(step).clamp(-1.0, 1.0);
                        for (index, element) in elements {
                            if ratio != 0.0 && in_ratio(&rows[index].labels, ratio) {
                                kept.keep(step, index, element);
                            }
                        }
                    }
                    op => {
                        // Go truncates towards zero; no more than there are can stay.
                        let k = (param.at(step) as i64).min(rows.len() as i64);
                        let Ok(k @ 1..) = usize::try_from(k) else {
                            continue;
                        };
                        if op == AggregateOp::Limitk {
                            for (index, element) in elements.take(k) {
                                kept.keep(step, index, element);
                            }
                            continue;
                        }
                        let direction = match op {
                            AggregateOp::Topk => Direction::Descending,
                            _ => Direction::Ascending,
                        };
                        let mut best = Best::new(k, direction);
                        present.for_each(|(index, value)| best.add(value, index));
                        for (value, index) in best.sorted() {
                            kept.keep(step, index, Element::Float(value));
                        }
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

    /// Evaluates `count_values`.
    pub(super) fn count_values(&mut self, aggregate: &Aggregate, grid: &Grid) -> Outcome {
        let label = aggregate
            .param
            .as_ref()
            .and_then(|param| param.string())
            .unwrap_or("");
        if !NameValidation::Utf8.is_label_name(label) {
            let text = format!("invalid label name {}", quote(label));
            return Err(QueryError::Execution(text));
        }
        let mut grouping = aggregate.grouping.clone();
        if !aggregate.without {
            grouping.push(label.to_owned());
            grouping.sort();
        }
        let keep = match aggregate.without {
            true => Keep::AllBut(&grouping),
            false => Keep::Only(&grouping),
        };
        let before = self.budget.held();
        let (rows, annotations) = self.eval(&aggregate.expr, grid)?;
        let mut groups = Groups::new(keep);
        let mut counts: Vec<(Labels, HashMap<usize, f64>)> = Vec::new();
        for row in &rows {
            self.check()?;
            let mut builder = LabelsBuilder::from_labels(&row.labels);
            // A series often keeps its value; the label set is built when it changes.
            let mut last: Option<(u64, usize)> = None;
            row.for_each_histogram(|step, histogram| {
                builder.set(label, &histogram.to_string());
                let labels = builder.labels();
                let number = groups.number(&labels, |_| false);
                if number == counts.len() {
                    counts.push((groups.labels(&labels), HashMap::new()));
                }
                *counts[number].1.entry(step).or_insert(0.0) += 1.0;
            });
            row.for_each(|step, value| {
                let number = match last {
                    Some((bits, number)) if bits == value.to_bits() => number,
                    _ => {
                        builder.set(label, &float::f(value));
                        let labels = builder.labels();
                        let number = groups.number(&labels, |_| false);
                        if number == counts.len() {
                            counts.push((groups.labels(&labels), HashMap::new()));
                        }
                        last = Some((value.to_bits(), number));
                        number
                    }
                };
                *counts[number].1.entry(step).or_insert(0.0) += 1.0;
            });
        }
        let mut builder = RowBuilder::new(grid.steps);
        let mut result = Vec::with_capacity(counts.len());
        for (labels, by_step) in counts {
            let mut by_step: Vec<(usize, f64)> = by_step.into_iter().collect();
            by_step.sort_by_key(|&(step, _)| step);
            for (step, count) in by_step {
                builder.set(step, count);
            }
            result.extend(builder.take(|| labels));
        }
        let result = self.settle(before, &[&rows], result, grid)?;
        Ok((result, annotations))
    }
}

/// Tells that histograms have no rank, where any rank is asked for.
fn note_ignored(
    rows: &[Row],
    param: &Parameter,
    op: AggregateOp,
    span: Span,
    annotations: &mut Annotations,
) {
    let mut any = false;
    for row in rows {
        row.for_each_histogram(|step, _| any |= param.at(step) >= 1.0);
    }
    if any {
        ignored_in_aggregation(op.as_str(), span, annotations);
    }
}

fn check_count(min: f64, max: f64, any_nan: bool) -> Result<(), QueryError> {
    let text = if any_nan {
        "Parameter value is NaN".to_owned()
    } else if min <= i64::MIN as f64 {
        format!("Scalar value {} underflows int64", float::g(min))
    } else if max >= i64::MAX as f64 {
        format!("Scalar value {} overflows int64", float::g(max))
    } else {
        return Ok(());
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
