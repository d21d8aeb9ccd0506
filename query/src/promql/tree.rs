//! How trees are walked, copied, compared and dropped, whatever their depth.

use std::fmt;

use crate::promql::ast::{DurationExpr, DurationExprKind, Expr, ExprKind, Span};
use crate::promql::deep::{drop_tree, grow};

/// What stands where something was moved out of a tree.
const NOTHING: ExprKind = ExprKind::String(String::new());

impl Expr {
    /// Calls `visit` with every expression that this one directly consists of, in the
    /// order of the text.
    pub fn for_each_part<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match &self.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::VectorSelector(_)
            | ExprKind::MatrixSelector(_) => {}
            ExprKind::Paren(inner) => visit(inner),
            ExprKind::Unary(unary) => visit(&unary.expr),
            ExprKind::Binary(binary) => {
                visit(&binary.lhs);
                visit(&binary.rhs);
            }
            ExprKind::Aggregate(aggregate) => {
                if let Some(param) = &aggregate.param {
                    visit(param);
                }
                visit(&aggregate.expr);
            }
            ExprKind::Call(call) => call.args.iter().for_each(visit),
            ExprKind::Subquery(subquery) => visit(&subquery.expr),
        }
    }

    /// Calls `visit` with the expression and all that it consists of, in the order of
    /// the text.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        let mut waiting = vec![self];
        while let Some(expr) = waiting.pop() {
            visit(expr);
            let known = waiting.len();
            expr.for_each_part(&mut |part| waiting.push(part));
            waiting[known..].reverse();
        }
    }

    /// Tells whether there are more than `levels` levels of expressions.
    pub(crate) fn is_deeper_than(&self, levels: usize) -> bool {
        let mut waiting = vec![(self, 1)];
        while let Some((expr, level)) = waiting.pop() {
            if level > levels {
                return true;
            }
            expr.for_each_part(&mut |part| waiting.push((part, level + 1)));
        }
        false
    }

    /// Moves parts that have parts themselves to the end of a list; what stays in their
    /// place means nothing.
    fn take_parts(&mut self, into: &mut Vec<Expr>) {
        let mut take = |part: &mut Expr| {
            if !part.is_leaf() {
                into.push(std::mem::replace(part, Expr::nothing()));
            }
        };
        match &mut self.kind {
            ExprKind::Number(_)
            | ExprKind::String(_)
            | ExprKind::VectorSelector(_)
            | ExprKind::MatrixSelector(_) => {}
            ExprKind::Paren(inner) => take(inner),
            ExprKind::Unary(unary) => take(&mut unary.expr),
            ExprKind::Binary(binary) => {
                take(&mut binary.lhs);
                take(&mut binary.rhs);
            }
            ExprKind::Aggregate(aggregate) => {
                take(&mut aggregate.expr);
                aggregate.param.as_mut().map(take);
            }
            ExprKind::Call(call) => call.args.iter_mut().for_each(take),
            ExprKind::Subquery(subquery) => take(&mut subquery.expr),
        }
    }

    fn is_leaf(&self) -> bool {
        use ExprKind::*;
        matches!(
            self.kind,
            Number(_) | String(_) | VectorSelector(_) | MatrixSelector(_)
        )
    }

    fn nothing() -> Expr {
        Expr {
            span: Span::default(),
            kind: NOTHING,
        }
    }

    /// Takes out what the expression is.
    pub fn into_kind(mut self) -> ExprKind {
        std::mem::replace(&mut self.kind, NOTHING)
    }
}

impl Drop for Expr {
    fn drop(&mut self) {
        if !self.is_leaf() {
            drop_tree(self, Expr::take_parts);
        }
    }
}

impl Clone for Expr {
    fn clone(&self) -> Expr {
        grow(|| Expr {
            span: self.span,
            kind: self.kind.clone(),
        })
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Expr) -> bool {
        grow(|| self.span == other.span && self.kind == other.kind)
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        grow(|| {
            f.debug_struct("Expr")
                .field("span", &self.span)
                .field("kind", &self.kind)
                .finish()
        })
    }
}

impl DurationExpr {
    /// Moves parts that have parts themselves to the end of a list.
    fn take_parts(&mut self, into: &mut Vec<DurationExpr>) {
        let mut take = |part: &mut DurationExpr| {
            if !part.is_leaf() {
                let nothing = DurationExpr {
                    span: part.span,
                    kind: DurationExprKind::Step,
                };
                into.push(std::mem::replace(part, nothing));
            }
        };
        use DurationExprKind::*;
        match &mut self.kind {
            Literal(_) | Step | Range => {}
            Unary { expr, .. } | Paren(expr) => take(expr),
            Binary { lhs, rhs, .. } | MinOf(lhs, rhs) | MaxOf(lhs, rhs) => {
                take(lhs);
                take(rhs);
            }
        }
    }

    fn is_leaf(&self) -> bool {
        use DurationExprKind::*;
        matches!(self.kind, Literal(_) | Step | Range)
    }
}

impl Drop for DurationExpr {
    fn drop(&mut self) {
        if !self.is_leaf() {
            drop_tree(self, DurationExpr::take_parts);
        }
    }
}

impl Clone for DurationExpr {
    fn clone(&self) -> DurationExpr {
        grow(|| DurationExpr {
            span: self.span,
            kind: self.kind.clone(),
        })
    }
}

impl PartialEq for DurationExpr {
    fn eq(&self, other: &DurationExpr) -> bool {
        grow(|| self.span == other.span && self.kind == other.kind)
    }
}

impl fmt::Debug for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        grow(|| {
            f.debug_struct("DurationExpr")
                .field("span", &self.span)
                .field("kind", &self.kind)
                .finish()
        })
    }
}
