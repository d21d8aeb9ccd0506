//! Aggregations over the series of each step.
//!
//! Upstream source: `VectorAggEvaluator` of `pkg/logql/evaluator.go` of Loki.

use std::cmp::Ordering;

use hashbrown::HashMap;

use super::{Row, absent, is_present};
use crate::logql::LogQlError;
use crate::logql::ast::{Grouping, VectorExpr, VectorOp};
use crate::logql::label_set::LabelSet;

/// Aggregates rows.
pub(super) fn aggregate(
    expr: &VectorExpr,
    rows: Vec<Row>,
    steps: usize,
) -> Result<Vec<Row>, LogQlError> {
    let groups = group(expr.grouping.as_ref(), &rows);
    Ok(match expr.op {
        VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk => {
            let k = expr.parameter.unwrap_or(0);
            choose(rows, &groups, k, expr.op == VectorOp::Bottomk, steps)
        }
        VectorOp::Sort | VectorOp::SortDesc => sort(rows, expr.op == VectorOp::SortDesc),
        op => {
            let rows = &rows;
            let condensed = groups.into_iter().map(|(labels, members)| {
                let column = |step: usize| {
                    let values = members.iter().map(move |row| rows[*row].values[step]);
                    condense(op, values.filter(|value| is_present(*value)))
                };
                Row {
                    labels,
                    values: (0..steps).map(column).collect(),
                }
            });
            condensed.collect()
        }
    })
}

/// Returns groups with the rows that are in them.
fn group(grouping: Option<&Grouping>, rows: &[Row]) -> Vec<(LabelSet, Vec<usize>)> {
    let mut groups: Vec<(LabelSet, Vec<usize>)> = Vec::new();
    let mut by_labels: HashMap<LabelSet, usize> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        let labels = match grouping {
            None => LabelSet::empty(),
            Some(grouping) => {
                let is_named = |name: &str| grouping.labels.iter().any(|label| label == name);
                match grouping.without {
                    // Empty labels go, too.
                    true => row
                        .labels
                        .filter(|name, value| !is_named(name) && !value.is_empty()),
                    false => row.labels.filter(|name, _| is_named(name)),
                }
            }
        };
        let next = groups.len();
        let at = *by_labels.entry(labels.clone()).or_insert(next);
        if at == next {
            groups.push((labels, Vec::new()));
        }
        groups[at].1.push(index);
    }
    groups
}

/// Aggregates the values of one step.
fn condense(op: VectorOp, mut values: impl Iterator<Item = f64>) -> f64 {
    let Some(first) = values.next() else {
        return absent();
    };
    match op {
        VectorOp::Sum => values.fold(first, |sum, value| sum + value),
        VectorOp::Count => values.count() as f64 + 1.0,
        // NaN stays only where there is nothing else.
        VectorOp::Max => values.fold(first, f64::max),
        VectorOp::Min => values.fold(first, f64::min),
        VectorOp::Avg => {
            let (mut mean, mut n) = (first, 1.0);
            for value in values {
                n += 1.0;
                let keeps = match value.is_infinite() {
                    true => mean == value,
                    false => !value.is_nan(),
                };
                if mean.is_infinite() && keeps {
                    continue;
                }
                mean += (value - mean) / n;
            }
            mean
        }
        _ => {
            let (mut mean, mut n, mut squares) = (first, 1.0, 0.0);
            for value in values {
                n += 1.0;
                let delta = value - mean;
                mean += delta / n;
                squares += delta * (value - mean);
            }
            match op {
                VectorOp::Stddev => (squares / n).sqrt(),
                _ => squares / n,
            }
        }
    }
}

/// Keeps the largest or smallest values of each group and step.
fn choose(
    mut rows: Vec<Row>,
    groups: &[(LabelSet, Vec<usize>)],
    k: usize,
    smallest: bool,
    steps: usize,
) -> Vec<Row> {
    let mut order: Vec<usize> = Vec::new();
    for (_, members) in groups {
        for step in 0..steps {
            order.clear();
            let present = members
                .iter()
                .filter(|row| is_present(rows[**row].values[step]));
            order.extend(present);
            if order.len() <= k {
                continue;
            }
            let value = |row: &usize| rows[*row].values[step];
            order.sort_by(|a, b| by_value(value(a), value(b), !smallest));
            for row in order.drain(k..) {
                rows[row].values[step] = absent();
            }
        }
    }
    if steps == 1 {
        // One step has an order of its own.
        let values: Vec<f64> = rows.iter().map(|row| row.values[0]).collect();
        let mut rows: Vec<Option<Row>> = rows.into_iter().map(Some).collect();
        let mut ordered = Vec::with_capacity(rows.len());
        for (_, members) in groups {
            let mut members = members.clone();
            members.sort_by(|a, b| by_value(values[*a], values[*b], !smallest));
            ordered.extend(members.into_iter().filter_map(|row| rows[row].take()));
        }
        ordered.retain(Row::has_values);
        return ordered;
    }
    rows.retain(Row::has_values);
    rows
}

/// Puts rows in the order of their values, as far as there is one step.
fn sort(mut rows: Vec<Row>, descending: bool) -> Vec<Row> {
    if let Some(1) = rows.first().map(|row| row.values.len()) {
        rows.sort_by(|a, b| by_value(a.values[0], b.values[0], descending));
    }
    rows
}

/// Compares values; NaN is behind all numbers in both directions.
fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    let numbers = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
    let numbers = if descending {
        numbers.reverse()
    } else {
        numbers
    };
    a.is_nan().cmp(&b.is_nan()).then(numbers)
}
