//! Which queries give at a step what they give there in any other range.
//!
//! That is what it takes to put an answer together from parts. A query is steady where
//!
//! - nothing in it is one of the query's own times (`start()`, `@ end()`, `[range()]`),
//!   or a fixed one (`@ 1700000000`);
//! - nothing that depends on the order of rows is made of rows whose order depends on the
//!   range. Sums of floats depend on it, and so do ties of `topk`. Selected series come in
//!   an order that does not: a step sees those of them that have a value there. Groups of
//!   an aggregation come in the order in which the first member of each turned up, at
//!   whatever step, so that a sum of sums is not steady;
//! - no two series become equal when their name goes, because then they are joined, or
//!   refused, depending on where else each of them has values.
//!
//! What is not proven is refused. A test compares answers of random steady queries.

use kymo_storage::model::{METRIC_NAME, MatchOp, Matcher};

use crate::promql::ast::{
    AggregateExpr, AggregateOp, BinaryExpr, Call, Expr, ExprKind, SubqueryExpr, TimeModifiers,
    VectorSelector,
};
use crate::promql::deep::grow;

/// Beyond this a time or a duration is refused, so that sums of some cannot overflow.
const MAX_MS: i64 = i64::MAX / 64;

/// What the value at a step follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steady {
    /// Samples of so long before the step, in milliseconds.
    pub(super) back_ms: i64,
    /// Samples up to so long after the step; negative where the newest of them are older.
    pub(super) forward_ms: i64,
    /// The order in which series are selected.
    pub(super) ordered: bool,
    /// Whether names go, and with them all labels that belong to the metric. Series that
    /// differ in others of these than the name are not told apart here.
    pub(super) renames: bool,
}

/// Levels of a query that are looked at. Nobody writes more, and each is a call.
const MAX_LEVELS: usize = 256;

/// Looks at a query; `None` where it is not steady, selects nothing, or is very deep.
pub(super) fn steady(expr: &Expr, lookback_ms: i64) -> Option<Steady> {
    if !(0..MAX_MS).contains(&lookback_ms) || expr.is_deeper_than(MAX_LEVELS) {
        return None;
    }
    let mut look = Look {
        lookback_ms,
        window: None,
        ordered: false,
        renames: false,
    };
    look.expr(
        expr,
        Window {
            back_ms: 0,
            forward_ms: 0,
        },
    )?;
    let window = look.window?;
    Some(Steady {
        back_ms: window.back_ms,
        forward_ms: window.forward_ms,
        ordered: look.ordered,
        renames: look.renames,
    })
}

/// How far from a step something is looked at, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Window {
    back_ms: i64,
    forward_ms: i64,
}

/// What is known of the rows of an expression.
#[derive(Debug, Clone, Copy)]
struct Rows {
    order: Order,
    /// No two of them are equal but for the labels that belong to the metric.
    apart: bool,
    /// It is a scalar, or a text.
    scalar: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// There is one at most.
    One,
    /// As they were selected.
    Selected,
    /// It may change with the range.
    Loose,
}

const ONE: Rows = Rows {
    order: Order::One,
    apart: true,
    scalar: false,
};

const SCALAR: Rows = Rows {
    scalar: true,
    ..ONE
};

struct Look {
    lookback_ms: i64,
    window: Option<Window>,
    ordered: bool,
    renames: bool,
}

impl Look {
    fn expr(&mut self, expr: &Expr, at: Window) -> Option<Rows> {
        grow(|| self.level(expr, at))
    }

    fn level(&mut self, expr: &Expr, at: Window) -> Option<Rows> {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) => Some(SCALAR),
            ExprKind::Paren(inner) => self.expr(inner, at),
            ExprKind::Unary(unary) => {
                let rows = self.expr(&unary.expr, at)?;
                match unary.negative {
                    true => self.renamed(rows),
                    false => Some(rows),
                }
            }
            ExprKind::Binary(binary) => self.binary(binary, at),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, at),
            ExprKind::Call(call) => self.call(call, at),
            ExprKind::VectorSelector(selector) => self.selector(selector, self.lookback_ms, at),
            ExprKind::MatrixSelector(matrix) => {
                if matrix.range_expr.is_some() || !(0..MAX_MS).contains(&matrix.range_ms) {
                    return None;
                }
                self.selector(&matrix.selector, matrix.range_ms, at)
            }
            ExprKind::Subquery(subquery) => self.subquery(subquery, at),
        }
    }

    fn selector(&mut self, selector: &VectorSelector, back_ms: i64, at: Window) -> Option<Rows> {
        if selector.anchored || selector.smoothed {
            return None;
        }
        let offset_ms = plain_offset(&selector.time)?;
        let looked = Window {
            back_ms: at.back_ms + back_ms + offset_ms,
            forward_ms: at.forward_ms - offset_ms,
        };
        let window = self.window.get_or_insert(looked);
        window.back_ms = window.back_ms.max(looked.back_ms);
        window.forward_ms = window.forward_ms.max(looked.forward_ms);
        Some(Rows {
            order: Order::Selected,
            apart: selector.matchers.iter().any(pins_the_name),
            scalar: false,
        })
    }

    fn subquery(&mut self, subquery: &SubqueryExpr, at: Window) -> Option<Rows> {
        if subquery.range_expr.is_some()
            || subquery.step_expr.is_some()
            || !(0..MAX_MS).contains(&subquery.range_ms)
        {
            return None;
        }
        let offset_ms = plain_offset(&subquery.time)?;
        let inner = Window {
            back_ms: at.back_ms + subquery.range_ms + offset_ms,
            forward_ms: at.forward_ms - offset_ms,
        };
        if inner.back_ms.abs() > MAX_MS || inner.forward_ms.abs() > MAX_MS {
            return None;
        }
        // Its steps are multiples of its own step, whatever the range of the query.
        self.expr(&subquery.expr, inner)
    }

    fn call(&mut self, call: &Call, at: Window) -> Option<Rows> {
        let mut rows = ONE;
        for arg in &call.args {
            let looked = self.expr(arg, at)?;
            if !looked.scalar {
                rows = looked;
            }
        }
        match call.func {
            // Of the query itself, of the order of its answer, or of other series.
            "start" | "end" | "range" | "step" | "sort" | "sort_desc" | "sort_by_label"
            | "sort_by_label_desc" | "info" | "start_timestamp" => None,
            "time" | "pi" | "scalar" | "min_of" | "max_of" => Some(SCALAR),
            "vector" | "absent" | "absent_over_time" => Some(ONE),
            // Buckets of equal bounds are told apart by their text, whatever their order.
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => Some(Rows {
                order: Order::Loose,
                apart: true,
                scalar: false,
            }),
            // They may write the name.
            "label_replace" | "label_join" => Some(Rows {
                order: Order::Loose,
                apart: false,
                scalar: false,
            }),
            "last_over_time" | "first_over_time" => Some(rows),
            _ => self.renamed(rows),
        }
    }

    fn binary(&mut self, binary: &BinaryExpr, at: Window) -> Option<Rows> {
        let (lhs, rhs) = (self.expr(&binary.lhs, at)?, self.expr(&binary.rhs, at)?);
        let Some(matching) = &binary.matching else {
            let rows = if lhs.scalar { rhs } else { lhs };
            let keeps_name = binary.op.is_comparison() && !binary.return_bool;
            return match keeps_name {
                true => Some(rows),
                false => self.renamed(rows),
            };
        };
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            return None;
        }
        let one_each = lhs.order == Order::One && rhs.order == Order::One;
        Some(Rows {
            order: match one_each && !binary.op.is_set() {
                true => Order::One,
                false => Order::Loose,
            },
            apart: one_each
                || !(binary.op.is_set() || binary.op.is_comparison() && !binary.return_bool),
            scalar: false,
        })
    }

    /// Returns what becomes of rows whose name goes; `None` where some may become equal.
    fn renamed(&mut self, rows: Rows) -> Option<Rows> {
        self.renames |= rows.order != Order::One;
        rows.apart.then_some(rows)
    }

    fn aggregate(&mut self, aggregate: &AggregateExpr, at: Window) -> Option<Rows> {
        use AggregateOp::{
            Avg, Bottomk, Count, CountValues, Group, LimitRatio, Limitk, Max, Min, Quantile,
            Stddev, Stdvar, Sum, Topk,
        };
        if let Some(param) = &aggregate.param {
            self.expr(param, at)?;
        }
        let rows = self.expr(&aggregate.expr, at)?;
        match aggregate.op {
            Count | Group | CountValues => {}
            // Zeros of both signs and NaN of several kinds make these depend on it, too.
            Min | Max | Quantile | Sum | Avg | Stddev | Stdvar | Topk | Bottomk => {
                match rows.order {
                    Order::One => {}
                    Order::Selected => self.ordered = true,
                    Order::Loose => return None,
                }
            }
            Limitk | LimitRatio => return None,
        }
        if matches!(aggregate.op, Topk | Bottomk) {
            let order = Order::Loose;
            return Some(Rows { order, ..rows });
        }
        let by_metric =
            |name: &String| matches!(name.as_str(), METRIC_NAME | "__type__" | "__unit__");
        let by_nothing = aggregate.grouping.is_empty() && !aggregate.without;
        Some(Rows {
            order: match by_nothing && aggregate.op != CountValues {
                true => Order::One,
                false => Order::Loose,
            },
            apart: aggregate.op != CountValues
                && (aggregate.without || !aggregate.grouping.iter().any(by_metric)),
            scalar: false,
        })
    }
}

/// Returns the offset of a selector or subquery that has nothing else.
fn plain_offset(time: &TimeModifiers) -> Option<i64> {
    let is_plain = time.offset_expr.is_none() && !time.has_at();
    let offset_ms = time.offset_ms;
    (is_plain && (-MAX_MS..MAX_MS).contains(&offset_ms)).then_some(offset_ms)
}

fn pins_the_name(matcher: &Matcher) -> bool {
    matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal && !matcher.value().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{Features, parse_expr};

    fn look(query: &str) -> Option<(i64, i64, bool)> {
        let expr = parse_expr(query, &Features::ALL).unwrap();
        let seen = steady(&expr, 300_000)?;
        Some((seen.back_ms / 1000, seen.forward_ms / 1000, seen.ordered))
    }

    #[test]
    fn windows_reach_as_far_as_selectors_look() {
        for (query, expected) in [
            ("a", (300, 0, false)),
            ("a offset 1h", (3900, -3600, false)),
            ("a offset -1m", (240, 60, false)),
            ("rate(a[10m])", (600, 0, false)),
            ("a offset 1h + rate(a[1m] offset -1m)", (3900, 60, false)),
            ("max_over_time(a[1h:1m] offset 30m)", (5700, -1800, false)),
            ("sum(rate(a[1m]))", (60, 0, true)),
            (
                "sum by (x) (rate(a[1m])) / on (x) sum by (x) (b)",
                (300, 0, true),
            ),
            ("count(a)", (300, 0, false)),
            ("topk(3, {x=\"y\"})", (300, 0, true)),
            (
                "histogram_quantile(0.9, sum by (le) (rate(a[1m])))",
                (60, 0, true),
            ),
            ("sum(sum(a)) + time()", (300, 0, true)),
            ("count(sum by (x) (a))", (300, 0, true)),
            ("absent(a{x=\"1\"})", (300, 0, false)),
            ("a * 2 > bool 1", (300, 0, false)),
            ("quantile(scalar(b), a)", (300, 0, true)),
        ] {
            assert_eq!(look(query), Some(expected), "{query}");
        }
    }

    #[test]
    fn what_is_not_proven_is_refused() {
        for query in [
            "time()",
            "vector(1)",
            "a @ 100",
            "a @ start()",
            "rate(a[5m] @ end())",
            "a + start()",
            "a + range()",
            "rate(a[step()])",
            "a offset step()",
            "sum_over_time(a[1m:step()])",
            "sum(sum by (x) (a))",
            "max(a + b)",
            "topk(1, a or b)",
            "limitk(1, a)",
            "limit_ratio(0.5, a)",
            "sort(a)",
            "rate({x=\"y\"}[1m])",
            "-{__name__=~\"a|b\"}",
            "rate(label_replace(a, \"x\", \"y\", \"\", \"\")[5m:])",
            "abs(count by (__name__) (a))",
            "info(a)",
            "rate(a[1m] anchored)",
            "a smoothed",
            "a + fill(0) b",
        ] {
            assert_eq!(look(query), None, "{query}");
        }
    }
}
