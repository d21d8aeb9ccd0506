//! The form of a tree over several lines.
//!
//! A part whose one-line form is longer than 100 bytes is split, its parts indented
//! by one level; selectors never are. How long the parts are is found out first, from
//! the leaves up, so that the work grows with the text and not with its depth.

use std::fmt::{self, Display, Write};

use crate::promql::ast::{Expr, ExprKind};
use crate::promql::deep::grow;
use crate::promql::print::{Heading, Operator, SubquerySuffix};

/// Longest line, in bytes, that is not split.
const MAX_LINE_LEN: usize = 100;

const INDENT: &str = "  ";

/// Writes an expression over as many lines as it needs.
pub fn pretty(expr: &Expr) -> String {
    let mut text = String::new();
    write_pretty(expr, &mut text);
    text
}

/// Returns how many bytes the expression takes over as many lines as it needs. That may
/// be far more than its own length: each level of depth indents all lines within it.
pub fn pretty_len(expr: &Expr) -> usize {
    let mut counter = Counter(0);
    write_pretty(expr, &mut counter);
    counter.0
}

fn write_pretty(expr: &Expr, out: &mut dyn Out) {
    let mut measured = Vec::new();
    measure(expr, &mut measured);
    let mut writer = Writer {
        measured: &measured,
        next: 0,
        trims: false,
        out,
    };
    writer.part(expr, 0);
}

/// Where the text goes.
trait Out {
    fn text(&mut self, text: &str);

    fn indent(&mut self, depth: usize);
}

impl Out for String {
    fn text(&mut self, text: &str) {
        self.push_str(text);
    }

    fn indent(&mut self, depth: usize) {
        self.extend(std::iter::repeat_n(INDENT, depth));
    }
}

/// Counts bytes.
struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

impl Out for Counter {
    fn text(&mut self, text: &str) {
        self.0 = self.0.saturating_add(text.len());
    }

    fn indent(&mut self, depth: usize) {
        self.0 = self.0.saturating_add(INDENT.len() * depth);
    }
}

/// What is known of a part before it is written.
struct Measured {
    /// Whether its one-line form is short enough.
    fits: bool,
    /// How many parts it has, itself included.
    parts: usize,
}

/// Measures a part and all its parts, each before its own; returns how many bytes its
/// one-line form has.
fn measure(expr: &Expr, into: &mut Vec<Measured>) -> usize {
    let at = into.len();
    into.push(Measured {
        fits: false,
        parts: 1,
    });
    let mut len = 0usize;
    expr.for_each_part(&mut |part| {
        len = len.saturating_add(grow(|| measure(part, into)));
    });
    len = len.saturating_add(own_len(expr));
    let parts = into.len() - at;
    if let Some(measured) = into.get_mut(at) {
        *measured = Measured {
            fits: len <= MAX_LINE_LEN,
            parts,
        };
    }
    len
}

/// Returns how many bytes of the one-line form are not of the parts.
fn own_len(expr: &Expr) -> usize {
    match &expr.kind {
        ExprKind::Paren(_) => "()".len(),
        ExprKind::Unary(_) => "-".len(),
        ExprKind::Binary(binary) => "  ".len() + len(&Operator(binary)),
        ExprKind::Aggregate(aggregate) => {
            let comma = if aggregate.param.is_some() { ", " } else { "" };
            len(&Heading(aggregate)) + "()".len() + comma.len()
        }
        ExprKind::Call(call) => {
            let n_commas = call.args.len().saturating_sub(1);
            call.func.len() + "()".len() + n_commas * ", ".len()
        }
        ExprKind::Subquery(subquery) => len(&SubquerySuffix(subquery)),
        ExprKind::Number(_)
        | ExprKind::String(_)
        | ExprKind::VectorSelector(_)
        | ExprKind::MatrixSelector(_) => len(expr),
    }
}

fn len(what: &dyn Display) -> usize {
    let mut counter = Counter(0);
    // Counting does not fail.
    let _ = write!(counter, "{what}");
    counter.0
}

struct Writer<'a> {
    measured: &'a [Measured],
    /// Which of the measured parts is written next.
    next: usize,
    /// Whether the next indent is left out.
    trims: bool,
    out: &'a mut dyn Out,
}

impl Writer<'_> {
    fn text(&mut self, text: &str) {
        self.trims = false;
        self.out.text(text);
    }

    fn indent(&mut self, depth: usize) {
        if !std::mem::take(&mut self.trims) {
            self.out.indent(depth);
        }
    }

    fn part(&mut self, expr: &Expr, depth: usize) {
        grow(|| self.level(expr, depth));
    }

    fn level(&mut self, expr: &Expr, depth: usize) {
        let fits = self.measured.get(self.next).is_some_and(|m| m.fits);
        let first = self.next;
        self.next += 1;
        match &expr.kind {
            // A subquery that fits stands without the indent; a long one has it from
            // its inner expression.
            ExprKind::Subquery(_) if fits => self.text(&expr.to_string()),
            ExprKind::Subquery(subquery) => {
                self.part(&subquery.expr, depth);
                self.text(&SubquerySuffix(subquery).to_string());
            }
            ExprKind::Unary(unary) => {
                self.indent(depth);
                self.text(if unary.negative { "-" } else { "+" });
                self.trims = true;
                self.part(&unary.expr, depth);
            }
            _ if fits => {
                self.indent(depth);
                self.text(&expr.to_string());
            }
            ExprKind::Paren(inner) => {
                self.indent(depth);
                self.text("(\n");
                self.part(inner, depth + 1);
                self.close(depth);
            }
            ExprKind::Binary(binary) => {
                self.part(&binary.lhs, depth + 1);
                self.text("\n");
                self.indent(depth);
                self.text(&Operator(binary).to_string());
                self.text("\n");
                self.part(&binary.rhs, depth + 1);
            }
            ExprKind::Aggregate(aggregate) => {
                self.indent(depth);
                self.text(&Heading(aggregate).to_string());
                self.text("(\n");
                if let Some(param) = &aggregate.param {
                    self.part(param, depth + 1);
                    self.text(",\n");
                }
                self.part(&aggregate.expr, depth + 1);
                self.close(depth);
            }
            ExprKind::Call(call) => {
                self.indent(depth);
                self.text(call.func);
                self.text("(\n");
                for (at, arg) in call.args.iter().enumerate() {
                    if at > 0 {
                        self.text(",\n");
                    }
                    self.part(arg, depth + 1);
                }
                self.close(depth);
            }
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::VectorSelector(_)
            | ExprKind::MatrixSelector(_) => {
                self.indent(depth);
                self.text(&expr.to_string());
            }
        }
        let parts = self.measured.get(first).map_or(1, |m| m.parts);
        self.next = first + parts;
    }

    fn close(&mut self, depth: usize) {
        self.text("\n");
        self.indent(depth);
        self.text(")");
    }
}
