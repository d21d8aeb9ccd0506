//! Durations: literals, and expressions that are computed when a query runs.

use super::expr::{binary_op, nothing, take_literal};
use super::{DurationNode, MAX_DEPTH, TooDeep, TreeBuilder, Value, take, token};
use crate::promql::ast::{DurationExpr, DurationExprKind, NumberLiteral, Span};
use crate::promql::grammar::{Meaning, Symbol};
use crate::promql::literal::seconds_to_ns;
use crate::promql::token::Token;

/// Literals beyond this many seconds have more nanoseconds than 64 bits hold.
const MAX_SECONDS: f64 = (1u64 << 63) as f64 / 1e9;

/// How long something is: a literal, or an expression beside a zero.
#[derive(Default)]
pub(super) struct Length {
    pub(super) ns: i64,
    pub(super) expr: Option<Box<DurationExpr>>,
    pub(super) depth: u32,
}

/// Takes the length that the duration at `index` says.
pub(super) fn take_length(args: &mut [Value], index: usize) -> Length {
    let node = take_duration(args, index);
    match &node.expr.kind {
        DurationExprKind::Literal(literal) => Length {
            ns: seconds_to_ns(literal.value),
            expr: None,
            depth: 0,
        },
        _ => Length {
            ns: 0,
            depth: node.depth,
            expr: Some(Box::new(node.expr)),
        },
    }
}

fn take_duration(args: &mut [Value], index: usize) -> DurationNode {
    match take(args, index) {
        Value::Duration(node) => node,
        _ => literal(nothing(), Span::default()),
    }
}

fn literal(literal: NumberLiteral, span: Span) -> DurationNode {
    DurationNode {
        expr: DurationExpr {
            span,
            kind: DurationExprKind::Literal(literal),
        },
        depth: 1,
    }
}

fn node(span: Span, kind: DurationExprKind, below: u32) -> Result<DurationNode, TooDeep> {
    if below >= MAX_DEPTH {
        return Err(TooDeep);
    }
    Ok(DurationNode {
        expr: DurationExpr { span, kind },
        depth: below + 1,
    })
}

impl TreeBuilder<'_> {
    pub(super) fn apply_to_duration(
        &mut self,
        meaning: Meaning,
        args: &mut [Value],
    ) -> Result<Value, TooDeep> {
        use Meaning::*;
        let node = match meaning {
            PositiveDuration => self.positive(take_duration(args, 0)),
            DurationFromLiteral => {
                let (number, span) = take_literal(args, 0);
                self.in_range(number, span, span)
            }
            DurationFromSignedLiteral => {
                let (mut number, mut span) = take_literal(args, 1);
                let sign = token(args, 0);
                if sign.symbol == Symbol::Sub {
                    number.value = -number.value;
                }
                span.start = sign.span.start;
                self.in_range(number, span, sign.span)
            }
            DurationFunction => {
                let function = query_time(token(args, 0), token(args, 2))?;
                self.gated(&function);
                function
            }
            SignedDurationFunction => {
                let function = query_time(token(args, 1), token(args, 3))?;
                let signed = with_sign(token(args, 0), function)?;
                self.gated(&signed);
                signed
            }
            DurationMinMax => {
                let of = min_max(
                    token(args, 0),
                    take_duration(args, 2),
                    take_duration(args, 4),
                )?;
                self.gated(&of);
                of
            }
            SignedDurationMinMax => {
                let of = min_max(
                    token(args, 1),
                    take_duration(args, 3),
                    take_duration(args, 5),
                )?;
                let signed = with_sign(token(args, 0), of)?;
                self.gated(&signed);
                signed
            }
            SignedParenDuration => {
                let inner = take_duration(args, 2);
                let start = inner.expr.span.start;
                let wrapped = parenthesised(inner, start)?;
                self.signed(token(args, 0), wrapped)?
            }
            SignedDuration => {
                let inner = take_duration(args, 1);
                self.signed(token(args, 0), inner)?
            }
            DurationArithmetic => {
                let op = token(args, 1);
                self.arithmetic(take_duration(args, 0), op, take_duration(args, 2))?
            }
            _ => {
                let inner = take_duration(args, 1);
                self.gated(&inner);
                parenthesised(inner, token(args, 0).span.start)?
            }
        };
        Ok(Value::Duration(node))
    }

    fn positive(&mut self, node: DurationNode) -> DurationNode {
        match &node.expr.kind {
            DurationExprKind::Literal(number) if number.value <= 0.0 => {
                self.error(node.expr.span, "duration must be greater than 0");
                literal(nothing(), Span::default())
            }
            _ => node,
        }
    }

    /// Refuses a literal that is too long; the error stands at `blamed`.
    fn in_range(&mut self, number: NumberLiteral, span: Span, blamed: Span) -> DurationNode {
        if number.value.abs() > MAX_SECONDS {
            self.error(blamed, "duration out of range");
            return literal(nothing(), Span::default());
        }
        literal(number, span)
    }

    /// Refuses anything but literals where duration expressions are not enabled.
    fn gated(&mut self, node: &DurationNode) {
        if !self.features.duration_expr {
            self.error(
                node.expr.span,
                "experimental duration expression is not enabled",
            );
        }
    }

    /// Puts a sign before a duration. A plus before an expression says nothing and
    /// is dropped.
    fn signed(&mut self, sign: Token, inner: DurationNode) -> Result<DurationNode, TooDeep> {
        let negative = sign.symbol == Symbol::Sub;
        match &inner.expr.kind {
            DurationExprKind::Literal(number) => {
                let mut number = number.clone();
                if negative {
                    number.value = -number.value;
                }
                let span = Span {
                    start: sign.span.start,
                    end: inner.expr.span.end,
                };
                Ok(self.in_range(number, span, sign.span))
            }
            _ if negative => with_sign(sign, inner),
            _ => Ok(inner),
        }
    }

    fn arithmetic(
        &mut self,
        lhs: DurationNode,
        op: Token,
        rhs: DurationNode,
    ) -> Result<DurationNode, TooDeep> {
        self.gated(&lhs);
        let by_zero =
            matches!(&rhs.expr.kind, DurationExprKind::Literal(number) if number.value == 0.0);
        let wrong = match op.symbol {
            Symbol::Div if by_zero => "division by zero",
            Symbol::Mod if by_zero => "modulo by zero",
            _ => {
                let span = Span {
                    start: lhs.expr.span.start,
                    end: rhs.expr.span.end,
                };
                let below = lhs.depth.max(rhs.depth);
                let kind = DurationExprKind::Binary {
                    op: binary_op(op.symbol),
                    lhs: Box::new(lhs.expr),
                    rhs: Box::new(rhs.expr),
                };
                return node(span, kind, below);
            }
        };
        self.error(op.span, wrong);
        Ok(literal(nothing(), Span::default()))
    }
}

/// Makes `step()` or `range()`.
fn query_time(name: Token, right_paren: Token) -> Result<DurationNode, TooDeep> {
    let kind = match name.symbol {
        Symbol::Step => DurationExprKind::Step,
        _ => DurationExprKind::Range,
    };
    let span = Span {
        start: name.span.start,
        end: right_paren.span.end,
    };
    node(span, kind, 0)
}

/// Makes `min_of(a, b)` or `max_of(a, b)`, which stands where its operands stand.
fn min_max(name: Token, lhs: DurationNode, rhs: DurationNode) -> Result<DurationNode, TooDeep> {
    let span = Span {
        start: lhs.expr.span.start,
        end: rhs.expr.span.end,
    };
    let below = lhs.depth.max(rhs.depth);
    let (lhs, rhs) = (Box::new(lhs.expr), Box::new(rhs.expr));
    let kind = match name.symbol {
        Symbol::MinOf => DurationExprKind::MinOf(lhs, rhs),
        _ => DurationExprKind::MaxOf(lhs, rhs),
    };
    node(span, kind, below)
}

fn with_sign(sign: Token, inner: DurationNode) -> Result<DurationNode, TooDeep> {
    let span = Span {
        start: sign.span.start,
        end: inner.expr.span.end,
    };
    let kind = DurationExprKind::Unary {
        negative: sign.symbol == Symbol::Sub,
        expr: Box::new(inner.expr),
    };
    node(span, kind, inner.depth)
}

/// Keeps the parentheses around a duration, once. An expression stands where it
/// stands without them; a literal begins with them.
fn parenthesised(inner: DurationNode, start: usize) -> Result<DurationNode, TooDeep> {
    let mut span = inner.expr.span;
    match &inner.expr.kind {
        DurationExprKind::Paren(_) => return Ok(inner),
        DurationExprKind::Literal(_) => span.start = start,
        _ => {}
    }
    let kind = DurationExprKind::Paren(Box::new(inner.expr));
    node(span, kind, inner.depth)
}
