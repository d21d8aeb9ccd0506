//! The form of a tree that one can read, as `format_query` gives it.
//!
//! What fits into a line stays in one. What does not is broken: a pipeline before each
//! stage, an operator around itself, a function behind its parenthesis, and what is inside
//! goes in by two spaces. Broken operators have parentheses where they would otherwise bind
//! differently.

use std::fmt::{self, Display, Write};

use kymo_storage::compat::duration;
use kymo_storage::compat::float;
use kymo_storage::compat::quote::quote;

use crate::logql::ast::{
    BinaryExpr, BinaryOp, Expr, Grouping, LabelReplace, LogExpr, MetricExpr, RangeExpr, Stage,
    VectorExpr,
};
use crate::logql::print::{Operator, selector, unwrap_head};
use crate::syntax::deep::grow;

/// The longest line that is not broken, in bytes.
const MAX_LINE: usize = 100;

/// The level from which on nothing goes in further, so that a deep query does not become
/// mostly space.
const MAX_INDENT: usize = 64;

/// Writes a query in as many lines as it needs.
pub(crate) fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    match expr {
        Expr::Log(log) => log_expr(&mut out, log, 0),
        Expr::Metric(metric) => metric_expr(&mut out, metric, 0),
    }
    out
}

fn indent(level: usize) -> String {
    "  ".repeat(level.min(MAX_INDENT))
}

/// Begins a line.
fn line(out: &mut String, level: usize, text: impl Display) {
    out.push_str(&indent(level));
    out.push_str(&text.to_string());
}

/// Ends a line and begins the next.
fn next_line(out: &mut String, level: usize, text: impl Display) {
    out.push('\n');
    line(out, level, text);
}

/// Writes the one-line form of something if it is short enough. No more of it is made
/// than it takes to know.
fn in_one_line(out: &mut String, expr: &impl Display, level: usize) -> bool {
    let mut short = Short(String::new());
    let fits = write!(short, "{expr}").is_ok();
    if fits {
        line(out, level, short.0);
    }
    fits
}

/// A text that ends with an error where a line does.
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_LINE {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

fn log_expr(out: &mut String, log: &LogExpr, level: usize) {
    if in_one_line(out, log, level) {
        return;
    }
    line(out, level, selector(&log.matchers));
    let mut rest = log.stages.as_slice();
    while let Some(first) = rest.first() {
        let is_line_filter = |stage: &&Stage| matches!(stage, Stage::LineFilter(_));
        // Line filters that stand together share a line if they fit.
        let together = rest.iter().take_while(is_line_filter).count().max(1);
        let texts: Vec<String> = rest[..together].iter().map(Stage::to_string).collect();
        let one = texts.join(" ");
        if matches!(first, Stage::Decolorize) {
            // As Loki does, at the beginning of its line.
            next_line(out, 0, one);
        } else if one.len() <= MAX_LINE || !is_line_filter(&first) {
            next_line(out, level + 1, one);
        } else {
            for text in texts {
                next_line(out, level + 1, text);
            }
        }
        rest = &rest[together..];
    }
}

fn metric_expr(out: &mut String, expr: &MetricExpr, level: usize) {
    grow(|| {
        if in_one_line(out, expr, level) {
            return;
        }
        match expr {
            MetricExpr::Range(range) => range_expr(out, range, level),
            MetricExpr::Vector(vector) => vector_expr(out, vector, level),
            MetricExpr::Binary(binary) => binary_expr(out, binary, level),
            MetricExpr::LabelReplace(replace) => label_replace(out, replace, level),
            MetricExpr::VectorLiteral(_) | MetricExpr::Literal(_) => line(out, level, expr),
        }
    });
}

fn range_expr(out: &mut String, range: &RangeExpr, level: usize) {
    line(out, level, format_args!("{}(\n", range.op.as_str()));
    if let Some(parameter) = range.parameter {
        line(out, level + 1, format_args!("{},\n", float::g(parameter)));
    }
    log_expr(out, &range.log, level + 1);
    if let Some(unwrap) = &range.unwrap {
        next_line(out, level + 2, unwrap_head(unwrap));
        for filter in &unwrap.filters {
            next_line(out, level + 2, format_args!("| {filter}"));
        }
    }
    out.push_str(&format!(
        " [{}]",
        duration::format_prometheus(range.range_ns)
    ));
    if range.offset_ns != 0 {
        out.push_str(&format!(" offset {}", offset(range.offset_ns)));
    }
    next_line(out, level, ")");
    if let Some(grouping) = &range.grouping {
        out.push_str(&group(grouping));
    }
}

/// Writes an offset without units that are zero, where that says all of it.
fn offset(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let length_ns = ns.checked_abs();
    let short = length_ns.map(|ns| (ns, duration::format_prometheus(ns)));
    match short {
        Some((ns, short)) if duration::parse_prometheus(&short) == Ok(ns) => {
            format!("{sign}{short}")
        }
        _ => duration::format_go(ns),
    }
}

fn group(grouping: &Grouping) -> String {
    let word = if grouping.without { "without" } else { "by" };
    format!(" {word} ({})", grouping.labels.join(", "))
}

fn vector_expr(out: &mut String, vector: &VectorExpr, level: usize) {
    line(out, level, vector.op.as_str());
    match &vector.grouping {
        Some(grouping) if grouping.without || !grouping.labels.is_empty() => {
            out.push_str(&group(grouping));
        }
        _ => {}
    }
    out.push_str("(\n");
    if let Some(count) = vector.parameter {
        line(out, level + 1, format_args!("{count},\n"));
    }
    metric_expr(out, &vector.inner, level + 1);
    next_line(out, level, ")");
}

fn binary_expr(out: &mut String, binary: &BinaryExpr, level: usize) {
    side(out, binary.op, &binary.lhs, false, level + 1);
    next_line(out, level, Operator(binary, ", "));
    out.push('\n');
    side(out, binary.op, &binary.rhs, true, level + 1);
}

/// Writes a side of an operator.
fn side(out: &mut String, op: BinaryOp, expr: &MetricExpr, is_right: bool, level: usize) {
    if in_one_line(out, expr, level) {
        return;
    }
    if needs_parentheses(op, expr, is_right) {
        line(out, level, "(\n");
        metric_expr(out, expr, level + 1);
        next_line(out, level, ")");
    } else {
        metric_expr(out, expr, level);
    }
}

/// Tells whether a side of an operator would fall apart without parentheses.
fn needs_parentheses(op: BinaryOp, side: &MetricExpr, is_right: bool) -> bool {
    let MetricExpr::Binary(inner) = side else {
        return false;
    };
    let binds_right = op == BinaryOp::Pow;
    inner.op.level() < op.level() || inner.op.level() == op.level() && is_right != binds_right
}

fn label_replace(out: &mut String, replace: &LabelReplace, level: usize) {
    line(out, level, "label_replace(\n");
    metric_expr(out, &replace.inner, level + 1);
    for text in [
        &replace.dst,
        &replace.replacement,
        &replace.src,
        &replace.regex,
    ] {
        out.push(',');
        next_line(out, level + 1, quote(text));
    }
    next_line(out, level, ")");
}
