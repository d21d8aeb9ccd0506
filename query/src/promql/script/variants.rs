//! Other ways to ask for what an instant query asks for.
//!
//! With `@` on every selector the time of the evaluation must not matter, so a
//! query is asked again at other times; each time also as the middle of a range.

use crate::promql::ast::{Expr, ExprKind};
use crate::promql::deep::grow;

/// Functions whose answer depends on the time of the evaluation even where their
/// arguments do not.
const TIME_DEPENDENT: [&str; 15] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// Returns the query pinned to `t_ms`, and the times at which it is to be asked.
/// `None` where pinning changes the answer.
pub(super) fn pinned(expr: &Expr, t_ms: i64) -> Option<(String, Vec<i64>)> {
    let mut pinned = expr.clone();
    pin(&mut pinned, t_ms)?;
    let times = match t_ms {
        0 => vec![-1000, 0, 1000],
        _ => vec![-10 * t_ms, 0, t_ms / 5, t_ms, 10 * t_ms],
    };
    Some((pinned.to_string(), times))
}

fn pin(expr: &mut Expr, t_ms: i64) -> Option<()> {
    grow(|| pin_level(expr, t_ms))
}

fn pin_level(expr: &mut Expr, t_ms: i64) -> Option<()> {
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::VectorSelector(selector) => {
            selector.time.at_ms.get_or_insert(t_ms);
        }
        ExprKind::MatrixSelector(matrix) => {
            matrix.selector.time.at_ms.get_or_insert(t_ms);
        }
        // What is inside is evaluated at times that the subquery fixes.
        ExprKind::Subquery(subquery) => {
            subquery.time.at_ms.get_or_insert(t_ms);
        }
        ExprKind::Paren(inner) => pin(inner, t_ms)?,
        ExprKind::Unary(unary) => pin(&mut unary.expr, t_ms)?,
        ExprKind::Binary(binary) => {
            pin(&mut binary.lhs, t_ms)?;
            pin(&mut binary.rhs, t_ms)?;
        }
        ExprKind::Aggregate(aggregate) => {
            pin(&mut aggregate.expr, t_ms)?;
            if let Some(param) = &mut aggregate.param {
                pin(param, t_ms)?;
            }
        }
        ExprKind::Call(call) => {
            if TIME_DEPENDENT.contains(&call.func) {
                return None;
            }
            for arg in &mut call.args {
                pin(arg, t_ms)?;
            }
        }
    }
    Some(())
}

/// Tells whether a query asks for the bounds of the evaluation, so that it answers
/// differently as a range.
pub(super) fn depends_on_bounds(query: &str) -> bool {
    let functions = ["start()", "end()", "range()", "step()"];
    functions.iter().any(|function| query.contains(function))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::features::Features;
    use crate::promql::parse::parse_expr;

    fn pin_text(query: &str) -> Option<String> {
        let expr = parse_expr(query, &Features::ALL).unwrap();
        pinned(&expr, 60_000).map(|(query, _)| query)
    }

    #[test]
    fn selectors_and_outer_subqueries_are_pinned_once() {
        let cases = [
            (
                "sum(a) + rate(b[5m])",
                "sum(a @ 60.000) + rate(b[5m] @ 60.000)",
            ),
            ("a @ 5", "a @ 5.000"),
            (
                "max_over_time(a[5m:1m])",
                "max_over_time(a[5m:1m] @ 60.000)",
            ),
            (
                "topk(scalar(a), -(b))",
                "topk(scalar(a @ 60.000), -(b @ 60.000))",
            ),
        ];
        for (query, expected) in cases {
            assert_eq!(pin_text(query).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_depends_on_the_clock_is_not_pinned() {
        assert_eq!(pin_text("a * time()"), None);
        assert_eq!(pin_text("sum(timestamp(a))"), None);
        assert_eq!(
            pin_text("sum_over_time(timestamp(a)[5m:])").as_deref(),
            Some("sum_over_time(timestamp(a)[5m:] @ 60.000)")
        );
        assert!(depends_on_bounds("a @ end()"));
        assert!(!depends_on_bounds("a_end"));
    }

    #[test]
    fn the_epoch_has_times_of_its_own() {
        let expr = parse_expr("a", &Features::ALL).unwrap();
        let times = |t_ms| pinned(&expr, t_ms).map(|(_, times)| times);
        assert_eq!(times(0), Some(vec![-1000, 0, 1000]));
        assert_eq!(times(500), Some(vec![-5000, 0, 100, 500, 5000]));
    }
}
