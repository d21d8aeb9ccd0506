//! Operators on two numbers.

use crate::logql::ast::BinaryOp;

/// Returns what an operator makes of two numbers. Unlike in PromQL nothing divided by zero
/// is infinite, and a comparison gives 1 or 0.
pub(crate) fn apply(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |is_true| if is_true { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div if right == 0.0 => f64::NAN,
        BinaryOp::Div => left / right,
        BinaryOp::Mod if right == 0.0 => f64::NAN,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterOrEqual => truth(left >= right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessOrEqual => truth(left <= right),
        // These work on sets, and the parser refuses them between numbers.
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => f64::NAN,
    }
}
