//! Binary operators on numbers, and between vectors and scalars.

use kymo_storage::model::Labels;

use super::elements::{Combined, Met};
use super::histogram_column::Element;
use super::row::{Grid, Row, RowBuilder};
use super::{Evaluator, Outcome, counts_per_step};
use crate::limits::Held;
use crate::promql::annotations::Annotations;
use crate::promql::ast::{BinaryOp, Span, ValueType};
use crate::promql::plan::{Binary, Node, NodeKind};

/// Runs `$body` with `$compute` as the function of an operator: once for each of the
/// usual ones, so that loops over columns have it built in.
macro_rules! each_operator {
    ($op:expr, $compute:ident => $body:expr) => {
        match $op {
            BinaryOp::Add => {
                let $compute = |l: f64, r: f64| l + r;
                $body
            }
            BinaryOp::Sub => {
                let $compute = |l: f64, r: f64| l - r;
                $body
            }
            BinaryOp::Mul => {
                let $compute = |l: f64, r: f64| l * r;
                $body
            }
            BinaryOp::Div => {
                let $compute = |l: f64, r: f64| l / r;
                $body
            }
            op => {
                let $compute = |l: f64, r: f64| scalar_result(op, l, r);
                $body
            }
        }
    };
}

impl Evaluator<'_> {
    /// Evaluates a binary operator, and those that are its left side before it.
    pub(super) fn binary(&mut self, last: &Binary, span: Span, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let mut operations = vec![(last, span)];
        let mut left = &last.lhs;
        while let NodeKind::Binary(binary) = &left.kind
            && self.common.part(left).is_none()
        {
            operations.push((binary, left.span));
            left = &binary.lhs;
        }
        let mut outcome = self.eval(left, grid)?;
        while let Some((binary, span)) = operations.pop() {
            self.check()?;
            outcome = self.operation(binary, span, before, outcome, grid)?;
        }
        Ok(outcome)
    }

    /// Applies an operator to its left side, which is evaluated, and its right side.
    /// `before` is what was held before the left side was.
    fn operation(
        &mut self,
        binary: &Binary,
        span: Span,
        before: Held,
        (lhs, mut annotations): (Vec<Row>, Annotations),
        grid: &Grid,
    ) -> Outcome {
        let (rhs, notes) = self.eval(&binary.rhs, grid)?;
        annotations.merge(&notes);
        let gathered = counts_per_step(&[&lhs, &rhs], grid.steps);
        let mut met = Met::default();
        let scalar = |node: &Node| node.value_type == ValueType::Scalar;
        let rows = match (scalar(&binary.lhs), scalar(&binary.rhs)) {
            (true, true) => {
                let values = (0..grid.steps).map(|step| {
                    scalar_result(binary.op, scalar_at(&lhs, step), scalar_at(&rhs, step))
                });
                vec![Row::full(Labels::empty(), values)]
            }
            (false, true) => {
                let scalar = rhs.first();
                self.with_scalar(binary, lhs, scalar, Side::Right, grid, &mut met)
            }
            (true, false) => {
                let scalar = lhs.first();
                self.with_scalar(binary, rhs, scalar, Side::Left, grid, &mut met)
            }
            (false, false) => self.match_vectors(binary, lhs, rhs, grid, &mut met)?,
        };
        met.tell(binary.op, span, &mut annotations);
        let rows = self.settle_counted(before, &gathered, rows, grid)?;
        Ok((rows, annotations))
    }

    /// Applies an operator to each element of a vector and a scalar, which stands on
    /// the given side.
    fn with_scalar(
        &self,
        binary: &Binary,
        rows: Vec<Row>,
        scalar: Option<&Row>,
        side: Side,
        grid: &Grid,
        met: &mut Met,
    ) -> Vec<Row> {
        let op = binary.op;
        let mut builder = RowBuilder::new(grid.steps);
        let mut result = Vec::with_capacity(rows.len());
        for mut row in rows {
            if row.histograms.is_some() || is_trim(op) {
                row.for_each_element(|step, element| {
                    let scalar = Element::Float(value_at(scalar, step));
                    let (l, r) = match side {
                        Side::Left => (&scalar, &element),
                        Side::Right => (&element, &scalar),
                    };
                    let result = met.element(binary, l, r, step);
                    let result = result.map(|result| match result {
                        Combined::Keep if binary.return_bool => Element::Float(1.0),
                        Combined::Keep => element.clone(),
                        Combined::Made(made) => made,
                    });
                    if let Some(made) = result {
                        made.set(&mut builder, step);
                    }
                });
                if let Some(mut made) = builder.take(|| row.labels.clone()) {
                    made.drop_name = row.drop_name;
                    if !keeps_meaning(op) || binary.return_bool {
                        self.drop_metadata(&mut made);
                    }
                    result.push(made);
                }
                continue;
            }
            if is_comparison(op) && !binary.return_bool {
                result.extend(row.filter_map(&mut builder, |step, value| {
                    let scalar = value_at(scalar, step);
                    let holds = match side {
                        Side::Left => compare(op, scalar, value),
                        Side::Right => compare(op, value, scalar),
                    };
                    holds.then_some(value)
                }));
                continue;
            }
            match side {
                Side::Left => each_operator!(op, compute => {
                    row.map_with(scalar, |value, scalar| compute(scalar, value));
                }),
                Side::Right => each_operator!(op, compute => row.map_with(scalar, compute)),
            }
            self.drop_metadata(&mut row);
            result.push(row);
        }
        result
    }
}

/// Computes the values of two columns.
pub(super) fn compute_columns(op: BinaryOp, l: &[f64], r: &[f64]) -> Vec<f64> {
    each_operator!(op, compute => {
        l.iter().zip(r).map(|(&l, &r)| compute(l, r)).collect()
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

fn scalar_at(rows: &[Row], step: usize) -> f64 {
    value_at(rows.first(), step)
}

fn value_at(row: Option<&Row>, step: usize) -> f64 {
    row.and_then(|row| row.get(step)).unwrap_or(f64::NAN)
}

pub(super) fn is_trim(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
}

pub(super) fn is_comparison(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge
    )
}

/// Tells whether a result is still what its metric's name says.
pub(super) fn keeps_meaning(op: BinaryOp) -> bool {
    is_comparison(op) || is_trim(op)
}

/// Tells whether two numbers compare as asked.
pub(super) fn compare(op: BinaryOp, l: f64, r: f64) -> bool {
    match op {
        BinaryOp::Eq => l == r,
        BinaryOp::Ne => l != r,
        BinaryOp::Lt => l < r,
        BinaryOp::Le => l <= r,
        BinaryOp::Gt => l > r,
        BinaryOp::Ge => l >= r,
        _ => false,
    }
}

/// Returns what an operator makes of two numbers; a comparison makes 0 or 1.
pub(super) fn scalar_result(op: BinaryOp, l: f64, r: f64) -> f64 {
    match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => l % r,
        BinaryOp::Pow => l.powf(r),
        BinaryOp::Atan2 => l.atan2(r),
        _ => f64::from(u8::from(compare(op, l, r))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_meet_as_in_c() {
        let inf = f64::INFINITY;
        let cases = [
            (BinaryOp::Mod, -5.0, 3.0, -2.0),
            (BinaryOp::Mod, 5.0, -3.0, 2.0),
            (BinaryOp::Div, 1.0, 0.0, inf),
            (BinaryOp::Pow, 2.0, -1.0, 0.5),
            (BinaryOp::Pow, f64::NAN, 0.0, 1.0),
            (BinaryOp::Atan2, 0.0, -1.0, std::f64::consts::PI),
            (BinaryOp::Ne, f64::NAN, f64::NAN, 1.0),
            (BinaryOp::Eq, f64::NAN, f64::NAN, 0.0),
            (BinaryOp::Ge, inf, inf, 1.0),
        ];
        for (op, l, r, expected) in cases {
            assert_eq!(scalar_result(op, l, r), expected, "{l} {op:?} {r}");
        }
        assert!(scalar_result(BinaryOp::Mod, 1.0, 0.0).is_nan());
    }
}
