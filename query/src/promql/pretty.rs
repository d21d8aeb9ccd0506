//! The form of a tree over several lines.
//!
//! A part whose one-line form is longer than 100 bytes is split, its parts indented
//! by one level; selectors never are.

use crate::promql::ast::{Expr, ExprKind};
use crate::promql::print::{Heading, Operator, SubquerySuffix};

/// Longest line, in bytes, that is not split.
const MAX_LINE_LEN: usize = 100;

/// Writes an expression over as many lines as it needs.
pub fn pretty(expr: &Expr) -> String {
    level(expr, 0)
}

fn level(expr: &Expr, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let line = expr.to_string();
    let fits = line.len() <= MAX_LINE_LEN;
    match &expr.kind {
        // A subquery that fits stands without the indent; a long one has it from
        // its inner expression.
        ExprKind::Subquery(_) if fits => line,
        ExprKind::Subquery(subquery) => {
            format!(
                "{}{}",
                level(&subquery.expr, depth),
                SubquerySuffix(subquery)
            )
        }
        ExprKind::Unary(unary) => {
            let sign = if unary.negative { "-" } else { "+" };
            format!("{indent}{sign}{}", level(&unary.expr, depth).trim())
        }
        _ if fits => format!("{indent}{line}"),
        ExprKind::Paren(inner) => {
            format!("{indent}(\n{}\n{indent})", level(inner, depth + 1))
        }
        ExprKind::Binary(binary) => format!(
            "{}\n{indent}{}\n{}",
            level(&binary.lhs, depth + 1),
            Operator(binary),
            level(&binary.rhs, depth + 1)
        ),
        ExprKind::Aggregate(aggregate) => {
            let param = match &aggregate.param {
                Some(param) => format!("{},\n", level(param, depth + 1)),
                None => String::new(),
            };
            format!(
                "{indent}{}(\n{param}{}\n{indent})",
                Heading(aggregate),
                level(&aggregate.expr, depth + 1)
            )
        }
        ExprKind::Call(call) => {
            let args = call.args.iter().map(|arg| level(arg, depth + 1));
            let args = args.collect::<Vec<_>>().join(",\n");
            format!("{indent}{}(\n{args}\n{indent})", call.func)
        }
        ExprKind::Number(_)
        | ExprKind::String(_)
        | ExprKind::VectorSelector(_)
        | ExprKind::MatrixSelector(_) => format!("{indent}{line}"),
    }
}
