//! The one-line form of a tree, as Prometheus prints it.
//!
//! It is what rules, `format_query` and generator URLs show, so its oddities are
//! kept: matchers are sorted, a plus sign before a duration is dropped, numbers
//! never have an exponent.

use std::fmt::{self, Display, Formatter};

use kymo_storage::compat::name::is_legacy_label_name;
use kymo_storage::compat::quote::quote;
use kymo_storage::compat::{duration, float};
use kymo_storage::model::{METRIC_NAME, MatchOp, Matcher};

use crate::promql::ast::{
    AggregateExpr, BinaryExpr, Call, Cardinality, DurationExpr, DurationExprKind, Expr, ExprKind,
    MatrixSelector, NumberLiteral, SubqueryExpr, TimeModifiers, VectorMatching, VectorSelector,
};
use crate::promql::deep::grow;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        grow(|| match &self.kind {
            // A duration that stands as a number keeps no trace of its units.
            ExprKind::Number(number) => write!(f, "{number}"),
            ExprKind::String(text) => f.write_str(&quote(text)),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
            ExprKind::Unary(unary) => {
                write!(f, "{}{}", sign(unary.negative), unary.expr)
            }
            ExprKind::Binary(binary) => {
                write!(f, "{} {} {}", binary.lhs, Operator(binary), binary.rhs)
            }
            ExprKind::Aggregate(aggregate) => {
                write!(f, "{}(", Heading(aggregate))?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            ExprKind::Call(Call { func, args }) => {
                write!(f, "{func}(")?;
                for (index, arg) in args.iter().enumerate() {
                    write!(f, "{}{arg}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str(")")
            }
            ExprKind::VectorSelector(selector) => {
                write_name_and_matchers(f, selector)?;
                write_at(f, &selector.time)?;
                write_edge(f, selector)?;
                write_offset(f, &selector.time)
            }
            ExprKind::MatrixSelector(matrix) => write_matrix(f, matrix),
            ExprKind::Subquery(subquery) => {
                write!(f, "{}{}", subquery.expr, SubquerySuffix(subquery))
            }
        })
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.is_duration {
            return f.write_str(&float::f(self.value));
        }
        let ns = self.value.abs() * 1e9;
        f.write_str(if self.value < 0.0 { "-" } else { "" })?;
        f.write_str(&duration::format_prometheus(ns as i64))
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        grow(|| match &self.kind {
            DurationExprKind::Literal(number) => number.fmt(f),
            DurationExprKind::Unary { negative, expr } => {
                write!(f, "{}{expr}", if *negative { "-" } else { "" })
            }
            DurationExprKind::Binary { op, lhs, rhs } => {
                write!(f, "{lhs} {} {rhs}", op.as_str())
            }
            DurationExprKind::MinOf(lhs, rhs) => write!(f, "min_of({lhs}, {rhs})"),
            DurationExprKind::MaxOf(lhs, rhs) => write!(f, "max_of({lhs}, {rhs})"),
            DurationExprKind::Step => f.write_str("step()"),
            DurationExprKind::Range => f.write_str("range()"),
            DurationExprKind::Paren(inner) => write!(f, "({inner})"),
        })
    }
}

/// A binary operator with all that stands between its sides.
pub(super) struct Operator<'a>(pub(super) &'a BinaryExpr);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        match &self.0.matching {
            Some(matching) => write_matching(f, matching),
            None => Ok(()),
        }
    }
}

/// An aggregation up to its parenthesis.
pub(super) struct Heading<'a>(pub(super) &'a AggregateExpr);

impl Display for Heading<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        let clause = match (self.0.without, self.0.grouping.is_empty()) {
            (true, _) => "without",
            (false, false) => "by",
            (false, true) => return Ok(()),
        };
        write!(f, " {clause} ({}) ", names(&self.0.grouping))
    }
}

/// What stands behind the expression of a subquery.
pub(super) struct SubquerySuffix<'a>(pub(super) &'a SubqueryExpr);

impl Display for SubquerySuffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let subquery = self.0;
        f.write_str("[")?;
        write_length(f, subquery.range_ms, subquery.range_expr.as_deref())?;
        f.write_str(":")?;
        if subquery.step_ns != 0 || subquery.step_expr.is_some() {
            write_length(f, subquery.step_ms, subquery.step_expr.as_deref())?;
        }
        f.write_str("]")?;
        write_at(f, &subquery.time)?;
        write_offset(f, &subquery.time)
    }
}

fn sign(negative: bool) -> &'static str {
    if negative { "-" } else { "+" }
}

fn names(labels: &[String]) -> String {
    let quoted = |label: &String| match is_legacy_label_name(label) {
        true => label.clone(),
        false => quote(label),
    };
    labels.iter().map(quoted).collect::<Vec<_>>().join(", ")
}

fn write_matching(f: &mut Formatter<'_>, matching: &VectorMatching) -> fmt::Result {
    let group = match matching.card {
        Cardinality::ManyToOne => Some("group_left"),
        Cardinality::OneToMany => Some("group_right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if !matching.labels.is_empty() || matching.on || group.is_some() {
        let clause = if matching.on { "on" } else { "ignoring" };
        write!(f, " {clause} ({})", names(&matching.labels))?;
    }
    if let Some(group) = group {
        write!(f, " {group} ({})", names(&matching.include))?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left == right => write!(f, " fill ({})", float::g(left)),
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", float::g(left))?;
            }
            if let Some(right) = right {
                write!(f, " fill_right ({})", float::g(right))?;
            }
            Ok(())
        }
    }
}

fn write_name_and_matchers(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    f.write_str(&selector.name)?;
    let is_the_name = |m: &&Matcher| {
        m.name() == METRIC_NAME
            && m.op() == MatchOp::Equal
            && m.value() == selector.name
            && !m.value().is_empty()
    };
    let matchers = selector.matchers.iter().filter(|m| !is_the_name(m));
    let mut matchers: Vec<String> = matchers.map(matcher_text).collect();
    if matchers.is_empty() {
        return Ok(());
    }
    matchers.sort();
    write!(f, "{{{}}}", matchers.join(","))
}

/// Writes a matcher as it stands in a selector: `name="value"`.
pub fn matcher_text(matcher: &Matcher) -> String {
    let name = matcher.name();
    let name = match is_legacy_label_name(name) {
        true => name.to_owned(),
        false => quote(name),
    };
    format!("{name}{}{}", matcher.op().as_str(), quote(matcher.value()))
}

fn write_matrix(f: &mut Formatter<'_>, matrix: &MatrixSelector) -> fmt::Result {
    let selector = &matrix.selector;
    write_name_and_matchers(f, selector)?;
    f.write_str("[")?;
    write_length(f, matrix.range_ms, matrix.range_expr.as_deref())?;
    f.write_str("]")?;
    write_edge(f, selector)?;
    write_at(f, &selector.time)?;
    write_offset(f, &selector.time)
}

fn write_length(f: &mut Formatter<'_>, ms: i64, expr: Option<&DurationExpr>) -> fmt::Result {
    match expr {
        Some(expr) => expr.fmt(f),
        None => f.write_str(&duration::format_prometheus(ms.saturating_mul(1_000_000))),
    }
}

fn write_edge(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    if selector.anchored {
        f.write_str(" anchored")
    } else if selector.smoothed {
        f.write_str(" smoothed")
    } else {
        Ok(())
    }
}

fn write_at(f: &mut Formatter<'_>, time: &TimeModifiers) -> fmt::Result {
    match (time.at_ms, time.at_bound) {
        (Some(at_ms), _) => write!(f, " @ {:.3}", at_ms as f64 / 1000.0),
        (None, Some(bound)) => write!(f, " @ {}()", bound.as_str()),
        (None, None) => Ok(()),
    }
}

fn write_offset(f: &mut Formatter<'_>, time: &TimeModifiers) -> fmt::Result {
    if let Some(expr) = &time.offset_expr {
        return write!(f, " offset {expr}");
    }
    let ns = time.offset_ns;
    if ns == 0 {
        return Ok(());
    }
    f.write_str(if ns < 0 { " offset -" } else { " offset " })?;
    // The least number has no opposite and keeps its own sign, as in Prometheus.
    let length = if ns < 0 { ns.wrapping_neg() } else { ns };
    f.write_str(&duration::format_prometheus(length))
}
