//! Operators between two expressions.
//!
//! Upstream source: `BinOpStepEvaluator` of `pkg/logql/evaluator.go` of Loki.

use hashbrown::HashMap;

use super::matching::{Signatures, joined_labels};
use super::{Evaluator, Outcome, Row, absent, is_present};
use crate::logql::LogQlError;
use crate::logql::ast::{BinaryExpr, BinaryOp, MatchGroup};
use crate::logql::label_set::LabelSet;

impl Evaluator<'_> {
    pub(super) fn binary(&mut self, expr: &BinaryExpr) -> Result<Outcome, LogQlError> {
        let left = self.eval(&expr.lhs)?;
        let right = self.eval(&expr.rhs)?;
        let rows = match (left, right) {
            (Outcome::Number(left), Outcome::Number(right)) => {
                return Ok(Outcome::Number(numbers(expr.op, left, right)));
            }
            (Outcome::Number(left), Outcome::Rows(rows)) => {
                with_number(expr, rows, |op, value| (numbers(op, left, value), value))
            }
            (Outcome::Rows(rows), Outcome::Number(right)) => {
                with_number(expr, rows, |op, value| (numbers(op, value, right), value))
            }
            (Outcome::Rows(left), Outcome::Rows(right)) => {
                let signatures = Signatures::new(expr.matching.as_ref(), &left, &right);
                match expr.op {
                    BinaryOp::And => and(left, &right, &signatures, true),
                    BinaryOp::Unless => and(left, &right, &signatures, false),
                    BinaryOp::Or => or(left, right, &signatures),
                    _ => self.join(expr, left, right, &signatures)?,
                }
            }
        };
        Ok(Outcome::Rows(rows))
    }

    /// Applies an operator to pairs of series that match.
    fn join(
        &mut self,
        expr: &BinaryExpr,
        left: Vec<Row>,
        right: Vec<Row>,
        signatures: &Signatures,
    ) -> Result<Vec<Row>, LogQlError> {
        let matching = expr.matching.as_ref();
        let group = matching.map_or(MatchGroup::OneToOne, |matching| matching.group);
        let is_swapped = group == MatchGroup::Right;
        let (many, one) = if is_swapped {
            (&right, &left)
        } else {
            (&left, &right)
        };
        let (of_many, of_one) = match is_swapped {
            true => (&signatures.right, &signatures.left),
            false => (&signatures.left, &signatures.right),
        };
        let side = if is_swapped { "left" } else { "right" };
        let mut ones: Vec<Vec<usize>> = vec![Vec::new(); signatures.n];
        for (row, signature) in of_one.iter().enumerate() {
            ones[*signature].push(row);
        }
        let mut made: Vec<Row> = Vec::new();
        let mut by_labels: HashMap<LabelSet, usize> = HashMap::new();
        let mut by_pair: HashMap<(usize, usize), usize> = HashMap::new();
        // The one that each signature has at a step, and which results it has there.
        let mut found: Vec<Option<usize>> = vec![None; signatures.n];
        let mut results: Vec<Vec<usize>> = vec![Vec::new(); signatures.n];
        for step in 0..self.steps.n {
            if step % 1024 == 0 {
                self.cancel.check("query execution")?;
            }
            for (signature, rows) in ones.iter().enumerate() {
                results[signature].clear();
                let mut present = rows
                    .iter()
                    .filter(|row| is_present(one[**row].values[step]));
                found[signature] = present.next().copied();
                if present.next().is_some() {
                    return Err(LogQlError::Matching(format!(
                        "found duplicate series on the {side} hand-side;many-to-many matching not \
                         allowed: matching labels must be unique on one side"
                    )));
                }
            }
            for (row, signature) in of_many.iter().enumerate() {
                let value = many[row].values[step];
                let Some(partner) = found[*signature].filter(|_| is_present(value)) else {
                    continue;
                };
                let result = match by_pair.get(&(row, partner)) {
                    Some(result) => *result,
                    None => {
                        let labels =
                            joined_labels(matching, &many[row].labels, &one[partner].labels);
                        let next = made.len();
                        let result = *by_labels.entry(labels.clone()).or_insert(next);
                        if result == next {
                            let bytes = self.steps.n * size_of::<f64>() + labels.memory_bytes();
                            self.budget.hold_bytes(bytes)?;
                            made.push(Row {
                                labels,
                                values: vec![absent(); self.steps.n],
                            });
                        }
                        by_pair.insert((row, partner), result);
                        result
                    }
                };
                let results = &mut results[*signature];
                let is_double = match group {
                    MatchGroup::OneToOne => !results.is_empty(),
                    _ => results.contains(&result),
                };
                if is_double {
                    let how = match group {
                        MatchGroup::OneToOne => {
                            "many-to-one matching must be explicit (group_left/group_right)"
                        }
                        _ => "grouping labels must ensure unique matches",
                    };
                    return Err(LogQlError::Matching(format!(
                        "multiple matches for labels: {how}"
                    )));
                }
                results.push(result);
                let other = one[partner].values[step];
                let (left, right) = if is_swapped {
                    (other, value)
                } else {
                    (value, other)
                };
                let merged = merged(expr, numbers(expr.op, left, right), left);
                if is_present(merged) {
                    made[result].values[step] = merged;
                }
            }
        }
        made.retain(Row::has_values);
        Ok(made)
    }
}

/// Applies an operator between each value and a number.
fn with_number(
    expr: &BinaryExpr,
    mut rows: Vec<Row>,
    apply: impl Fn(BinaryOp, f64) -> (f64, f64),
) -> Vec<Row> {
    for value in rows.iter_mut().flat_map(|row| &mut row.values) {
        if is_present(*value) {
            let (result, kept) = apply(expr.op, *value);
            *value = merged(expr, result, kept);
        }
    }
    rows.retain(Row::has_values);
    rows
}

/// Returns what an operator leaves: a comparison that only filters leaves the value.
fn merged(expr: &BinaryExpr, result: f64, kept: f64) -> f64 {
    match (is_comparison(expr.op), expr.return_bool) {
        (false, _) | (true, true) => result,
        (true, false) if result == 0.0 => absent(),
        (true, false) => kept,
    }
}

fn is_comparison(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::Greater
            | BinaryOp::GreaterOrEqual
            | BinaryOp::Less
            | BinaryOp::LessOrEqual
    )
}

/// Applies an operator to numbers; a comparison gives 0 or 1.
fn numbers(op: BinaryOp, a: f64, b: f64) -> f64 {
    let truth = |holds: bool| f64::from(u8::from(holds));
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div | BinaryOp::Mod if b == 0.0 => f64::NAN,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Equal => truth(a == b),
        BinaryOp::NotEqual => truth(a != b),
        BinaryOp::Greater => truth(a > b),
        BinaryOp::GreaterOrEqual => truth(a >= b),
        BinaryOp::Less => truth(a < b),
        BinaryOp::LessOrEqual => truth(a <= b),
        // Sets of numbers are refused when a query is parsed.
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => f64::NAN,
    }
}

/// Keeps values on the left that have, or have not, a partner on the right.
fn and(mut left: Vec<Row>, right: &[Row], signatures: &Signatures, wanted: bool) -> Vec<Row> {
    let steps = left.first().map_or(0, |row| row.values.len());
    let mut is_there = vec![false; signatures.n];
    for step in 0..steps {
        is_there.fill(false);
        for (row, signature) in right.iter().zip(&signatures.right) {
            is_there[*signature] |= is_present(row.values[step]);
        }
        for (row, signature) in left.iter_mut().zip(&signatures.left) {
            if is_there[*signature] != wanted {
                row.values[step] = absent();
            }
        }
    }
    left.retain(Row::has_values);
    left
}

/// Adds values on the right that have no partner on the left.
fn or(left: Vec<Row>, mut right: Vec<Row>, signatures: &Signatures) -> Vec<Row> {
    let steps = right.first().map_or(0, |row| row.values.len());
    let mut is_there = vec![false; signatures.n];
    for step in 0..steps {
        is_there.fill(false);
        for (row, signature) in left.iter().zip(&signatures.left) {
            is_there[*signature] |= is_present(row.values[step]);
        }
        for (row, signature) in right.iter_mut().zip(&signatures.right) {
            if is_there[*signature] {
                row.values[step] = absent();
            }
        }
    }
    right.retain(Row::has_values);
    // A series of both sides is one: its values are at different steps.
    let known: HashMap<LabelSet, usize> = left
        .iter()
        .enumerate()
        .map(|(at, row)| (row.labels.clone(), at))
        .collect();
    let mut rows = left;
    for row in right {
        match known.get(&row.labels) {
            Some(at) => {
                let values = rows[*at].values.iter_mut().zip(row.values);
                for (known, value) in values.filter(|(_, value)| is_present(*value)) {
                    *known = value;
                }
            }
            None => rows.push(row),
        }
    }
    rows
}
