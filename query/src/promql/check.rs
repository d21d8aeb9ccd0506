//! The rules about types that a well-formed query must keep.
//!
//! Prometheus reports every broken rule, inner expressions first; so does this.

use kymo_storage::compat::quote::quote;
use kymo_storage::model::METRIC_NAME;

use crate::promql::ast::{
    AggregateExpr, AggregateOp, BinaryExpr, Call, Cardinality, Expr, ExprKind, Span, ValueType,
    VectorSelector,
};
use crate::promql::deep::grow;
use crate::promql::error::{ParseError, report};
use crate::promql::functions::{Function, function};

/// Checks a tree, completes it where the types of its parts say how, and returns
/// what is wrong.
pub(crate) fn check(input: &[u8], expr: &mut Expr) -> Vec<ParseError> {
    let mut checker = Checker {
        input,
        errors: Vec::new(),
    };
    checker.expr(expr, SelectorUse::Value);
    checker.errors
}

/// What a selector is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SelectorUse {
    /// Its series: it must not select everything by mistake.
    Value,
    /// Its matchers alone, as in the second argument of `info`.
    Matchers,
}

struct Checker<'a> {
    input: &'a [u8],
    errors: Vec<ParseError>,
}

impl Checker<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>) {
        report(&mut self.errors, self.input, span, message);
    }

    /// Checks an expression and returns its type.
    fn expr(&mut self, expr: &mut Expr, selector_use: SelectorUse) -> ValueType {
        grow(|| self.level(expr, selector_use))
    }

    fn level(&mut self, expr: &mut Expr, selector_use: SelectorUse) -> ValueType {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Paren(inner) => self.expr(inner, SelectorUse::Value),
            ExprKind::Unary(unary) => {
                let found = self.expr(&mut unary.expr, SelectorUse::Value);
                if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got \"{}\"",
                        found.documented()
                    );
                    self.error(span, message);
                }
                found
            }
            ExprKind::Binary(binary) => self.binary(binary, span),
            ExprKind::Aggregate(aggregate) => {
                self.aggregate(aggregate);
                ValueType::Vector
            }
            ExprKind::Call(call) => {
                self.call(call, span);
                function(call.func).map_or(ValueType::Vector, |f| f.return_type)
            }
            ExprKind::VectorSelector(selector) => {
                self.selector(selector, span, selector_use);
                ValueType::Vector
            }
            ExprKind::MatrixSelector(matrix) => {
                self.selector(&matrix.selector, matrix.selector_span, SelectorUse::Value);
                ValueType::Matrix
            }
            ExprKind::Subquery(subquery) => {
                let found = self.expr(&mut subquery.expr, SelectorUse::Value);
                if found != ValueType::Vector {
                    let message = format!(
                        "subquery is only allowed on instant vector, got {} instead",
                        found.as_str()
                    );
                    self.error(span, message);
                }
                ValueType::Matrix
            }
        }
    }

    fn expect(&mut self, expr: &mut Expr, wanted: ValueType, context: &str) {
        let found = self.expr(expr, SelectorUse::Value);
        if found != wanted {
            self.wrong_type(expr.span, wanted, context, found);
        }
    }

    fn wrong_type(&mut self, span: Span, wanted: ValueType, context: &str, found: ValueType) {
        let message = format!(
            "expected type {} in {context}, got {}",
            wanted.documented(),
            found.documented()
        );
        self.error(span, message);
    }

    fn aggregate(&mut self, aggregate: &mut AggregateExpr) {
        let expr = &mut aggregate.expr;
        self.expect(expr, ValueType::Vector, "aggregation expression");
        if let Some(param) = &mut aggregate.param {
            let wanted = match aggregate.op {
                AggregateOp::CountValues => ValueType::String,
                _ => ValueType::Scalar,
            };
            self.expect(param, wanted, "aggregation parameter");
        }
    }

    fn binary(&mut self, binary: &mut BinaryExpr, span: Span) -> ValueType {
        let left = self.expr(&mut binary.lhs, SelectorUse::Value);
        let right = self.expr(&mut binary.rhs, SelectorUse::Value);
        let operator = self.operator_span(binary);
        let op = binary.op;
        if binary.return_bool && !op.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            self.error(operator, message);
        }
        let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if op.is_comparison() && !binary.return_bool && scalars {
            self.error(
                operator,
                "comparisons between scalars must use BOOL modifier",
            );
        }
        if let Some(matching) = &mut binary.matching {
            if op.is_set() && matching.card == Cardinality::OneToOne {
                matching.card = Cardinality::ManyToMany;
            }
            let mut twice = Vec::new();
            for label in matching.labels.iter().filter(|_| matching.on) {
                let n = matching.include.iter().filter(|i| *i == label).count();
                twice.extend(std::iter::repeat_n(label.clone(), n));
            }
            for label in twice {
                let message = format!(
                    "label {} must not occur in ON and GROUP clause at once",
                    quote(&label)
                );
                self.error(operator, message);
            }
        }
        for (side, found) in [(&binary.lhs, left), (&binary.rhs, right)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                self.error(side.span, message);
            }
        }
        self.matching(binary, span, left, right);
        let has_scalar = left == ValueType::Scalar || right == ValueType::Scalar;
        if has_scalar && op.is_set() {
            let message = format!(
                "set operator {} not allowed in binary scalar expression",
                quote(op.as_str())
            );
            self.error(span, message);
        }
        if scalars {
            ValueType::Scalar
        } else {
            ValueType::Vector
        }
    }

    fn matching(&mut self, binary: &mut BinaryExpr, span: Span, left: ValueType, right: ValueType) {
        let Some(matching) = &binary.matching else {
            return;
        };
        let has_fill = matching.fill_left.or(matching.fill_right).is_some();
        if left != ValueType::Vector || right != ValueType::Vector {
            if !matching.labels.is_empty() {
                self.error(span, "vector matching only allowed between instant vectors");
            }
            if has_fill {
                let message = "filling in missing series only allowed between instant vectors";
                self.error(span, message);
            }
            binary.matching = None;
        } else if binary.op.is_set() {
            let card = matching.card;
            if matches!(card, Cardinality::OneToMany | Cardinality::ManyToOne) {
                let op = quote(binary.op.as_str());
                self.error(span, format!("no grouping allowed for {op} operation"));
            }
            if card != Cardinality::ManyToMany {
                self.error(span, "set operations must always be many-to-many");
            }
            if has_fill {
                self.error(
                    span,
                    "filling in missing series not allowed for set operators",
                );
            }
        }
    }

    /// Finds what stands between the sides of an operator, without space around it.
    fn operator_span(&self, binary: &BinaryExpr) -> Span {
        let is_space = |at: usize| {
            let byte = self.input.get(at);
            byte.is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
        };
        let mut start = binary.lhs.span.end;
        while is_space(start) {
            start += 1;
        }
        let mut end = binary.rhs.span.start.saturating_sub(1);
        while end > start && is_space(end) {
            end -= 1;
        }
        Span { start, end }
    }

    fn call(&mut self, call: &mut Call, span: Span) {
        let Some(f) = function(call.func) else {
            return;
        };
        self.n_arguments(f, call.args.len(), span);
        if f.name == "info" {
            self.info_matchers(call, span);
        }
        for (index, arg) in call.args.iter_mut().enumerate() {
            let wanted = match f.arg_types.get(index) {
                Some(wanted) => *wanted,
                // Too many arguments: what they are does not matter.
                None if f.variadic == 0 => break,
                None => match f.arg_types.last() {
                    Some(last) => *last,
                    None => break,
                },
            };
            let selector_use = match f.name {
                "info" if index == 1 => SelectorUse::Matchers,
                _ => SelectorUse::Value,
            };
            let found = self.expr(arg, selector_use);
            if found != wanted {
                let context = format!("call to function {}", quote(f.name));
                self.wrong_type(arg.span, wanted, &context, found);
            }
        }
    }

    fn n_arguments(&mut self, f: &Function, n: usize, span: Span) {
        let listed = f.arg_types.len();
        let name = quote(f.name);
        if f.variadic == 0 {
            if n != listed {
                let message = format!("expected {listed} argument(s) in call to {name}, got {n}");
                self.error(span, message);
            }
            return;
        }
        let least = listed.saturating_sub(1);
        if n < least {
            let message =
                format!("expected at least {least} argument(s) in call to {name}, got {n}");
            self.error(span, message);
        } else if let Ok(more @ 1..) = usize::try_from(f.variadic)
            && n > least + more
        {
            let most = least + more;
            let message = format!("expected at most {most} argument(s) in call to {name}, got {n}");
            self.error(span, message);
        }
    }

    fn info_matchers(&mut self, call: &Call, span: Span) {
        let Some(arg) = call.args.get(1) else {
            return;
        };
        let found = arg.value_type();
        if found != ValueType::Vector {
            let context = "call to function \"info\"";
            self.wrong_type(span, ValueType::Vector, context, found);
        }
        match &arg.kind {
            ExprKind::VectorSelector(selector) if selector.name.is_empty() => {}
            ExprKind::VectorSelector(_) => {
                let message = "expected label selectors only, got vector selector instead";
                self.error(arg.span, message);
            }
            _ => self.error(arg.span, "expected label selectors only"),
        }
    }

    fn selector(&mut self, selector: &VectorSelector, span: Span, selector_use: SelectorUse) {
        if !selector.name.is_empty() {
            // The last matcher is the one for this name.
            let n_written = selector.matchers.len().saturating_sub(1);
            for matcher in &selector.matchers[..n_written] {
                if matcher.name() == METRIC_NAME {
                    let message = format!(
                        "metric name must not be set twice: {} or {}",
                        quote(&selector.name),
                        quote(matcher.value())
                    );
                    self.error(span, message);
                }
            }
            return;
        }
        let selects_all = selector.matchers.iter().all(|m| m.matches_empty());
        if selector_use == SelectorUse::Value && selects_all {
            let message = "vector selector must contain at least one non-empty matcher";
            self.error(span, message);
        }
    }
}
