//! Selectors, ranges, subqueries and their modifiers.

use kymo_storage::compat::float;
use kymo_storage::model::{METRIC_NAME, MatchOp, Matcher};

use super::duration::{Length, take_length};
use super::expr::take_node;
use super::{Node, TooDeep, TreeBuilder, Value, take, take_number, token};
use crate::promql::ast::{
    ExprKind, MatrixSelector, Span, StartOrEnd, SubqueryExpr, TimeModifiers, VectorSelector,
};
use crate::promql::grammar::{Meaning, Symbol};

/// `anchored` or `smoothed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeEdge {
    Anchored,
    Smoothed,
}

impl TreeBuilder<'_> {
    pub(super) fn apply_to_selector(
        &mut self,
        meaning: Meaning,
        args: &mut [Value],
    ) -> Result<Value, TooDeep> {
        use Meaning::*;
        let value = match meaning {
            OffsetBy => {
                let node = take_node(args, 0);
                Value::Expr(self.with_offset(node, take_length(args, 2)))
            }
            Anchored => Value::Expr(self.with_edge(take_node(args, 0), RangeEdge::Anchored)),
            Smoothed => Value::Expr(self.with_edge(take_node(args, 0), RangeEdge::Smoothed)),
            AtTime => {
                let node = take_node(args, 0);
                Value::Expr(self.with_time(node, take_number(args, 2)))
            }
            AtBound => {
                let bound = match token(args, 2).symbol {
                    Symbol::Start => StartOrEnd::Start,
                    _ => StartOrEnd::End,
                };
                let set = |time: &mut TimeModifiers| time.at_bound = Some(bound);
                Value::Expr(self.with_at(take_node(args, 0), set))
            }
            MatrixSelector => {
                let bracket = Span {
                    start: token(args, 1).span.start,
                    end: token(args, 3).span.end,
                };
                let node = take_node(args, 0);
                Value::Expr(self.range_of(node, take_length(args, 2), bracket)?)
            }
            SubqueryWithStep => {
                let end = token(args, 5).span.start + 1;
                let step = take_length(args, 4);
                Value::Expr(subquery(
                    take_node(args, 0),
                    take_length(args, 2),
                    Some(step),
                    end,
                )?)
            }
            Subquery => {
                let end = token(args, 4).span.start + 1;
                Value::Expr(subquery(
                    take_node(args, 0),
                    take_length(args, 2),
                    None,
                    end,
                )?)
            }
            NamedSelectorWithMatchers => {
                let name = token(args, 0);
                let (matchers, braces) = take_braces(args, 1);
                let span = Span {
                    start: name.span.start,
                    end: braces.end,
                };
                Value::Expr(selector(self.text(name), matchers, span)?)
            }
            NamedSelector => {
                let name = token(args, 0);
                Value::Expr(selector(self.text(name), Vec::new(), name.span)?)
            }
            UnnamedSelector => {
                let (matchers, span) = take_braces(args, 0);
                Value::Expr(selector(String::new(), matchers, span)?)
            }
            MatchersInBraces | NoMatchers => {
                let last = args.len().saturating_sub(1);
                let span = Span {
                    start: token(args, 0).span.start,
                    end: token(args, last).span.end,
                };
                let matchers = match meaning {
                    NoMatchers => Vec::new(),
                    _ => take_matchers(args, 1),
                };
                Value::Braces(matchers, span)
            }
            FirstMatcher => Value::Matchers(take_matcher(args, 0).into_iter().collect()),
            NextMatcher => {
                let mut matchers = take_matchers(args, 0);
                matchers.extend(take_matcher(args, 2));
                Value::Matchers(matchers)
            }
            Matcher => self.matcher(args),
            _ => match take(args, 0) {
                Value::Name(name, _) => {
                    equal(METRIC_NAME, name).map_or(Value::Empty, Value::Matcher)
                }
                _ => Value::Empty,
            },
        };
        Ok(value)
    }

    fn matcher(&mut self, args: &mut [Value]) -> Value {
        let (label, value) = (token(args, 0), token(args, 2));
        let op = match token(args, 1).symbol {
            Symbol::Neq => MatchOp::NotEqual,
            Symbol::EqlRegex => MatchOp::Regex,
            Symbol::NeqRegex => MatchOp::NotRegex,
            _ => MatchOp::Equal,
        };
        let name = match take(args, 0) {
            Value::Name(name, _) => name,
            _ => self.text(label),
        };
        let text = self.unquoted(value);
        match kymo_storage::model::Matcher::new(op, name, text) {
            Ok(matcher) => Value::Matcher(matcher),
            Err(error) => {
                let span = Span {
                    start: label.span.start,
                    end: value.span.end,
                };
                self.error(span, error.to_string());
                Value::Empty
            }
        }
    }

    fn range_of(&mut self, node: Node, length: Length, bracket: Span) -> Result<Node, TooDeep> {
        let inner = node.expr.span;
        let span = Span {
            start: inner.start,
            end: self.last_closing,
        };
        let mut wrong = None;
        let (below, mut is_bad_range) = (node.depth().max(length.depth), false);
        let selector = match node.expr.into_kind() {
            ExprKind::VectorSelector(selector) => {
                if selector.time.has_offset() {
                    wrong = Some("no offset modifiers allowed before range");
                } else if selector.time.has_at() {
                    wrong = Some("no @ modifiers allowed before range");
                }
                selector
            }
            _ => {
                wrong = Some("ranges only allowed for vector selectors");
                is_bad_range = true;
                empty_selector()
            }
        };
        if let Some(message) = wrong {
            self.error(bracket, message);
        }
        let matrix = MatrixSelector {
            selector_span: inner,
            selector,
            range_ms: length.ns / 1_000_000,
            range_expr: length.expr,
        };
        let mut node = Node::new(span, ExprKind::MatrixSelector(matrix), below)?;
        node.is_bad_range = is_bad_range;
        Ok(node)
    }

    fn with_offset(&mut self, mut node: Node, length: Length) -> Node {
        let span = node.expr.span;
        if node.is_bad_range {
            self.error(span, "ranges only allowed for vector selectors");
            return node;
        }
        let Some(time) = time_modifiers(&mut node) else {
            let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            self.error(span, message);
            return node;
        };
        if time.has_offset() {
            self.error(span, "offset may not be set multiple times");
        } else {
            time.offset_ms = length.ns / 1_000_000;
            time.offset_ns = length.ns;
            time.offset_expr = length.expr;
        }
        node.depth = node.depth.max(length.depth + 1);
        node.expr.span.end = self.last_closing;
        node
    }

    fn with_time(&mut self, node: Node, seconds: f64) -> Node {
        let bound = i64::MAX as f64;
        if !seconds.is_finite() || seconds >= bound || seconds <= -bound {
            let mut text = String::new();
            float::push_f_precision(&mut text, seconds, 6);
            let message = format!("timestamp out of bounds for @ modifier: {text}");
            self.error(node.expr.span, message);
        }
        let t_ms = (seconds * 1000.0).round() as i64;
        self.with_at(node, |time| time.at_ms = Some(t_ms))
    }

    fn with_at(&mut self, mut node: Node, set: impl FnOnce(&mut TimeModifiers)) -> Node {
        let span = node.expr.span;
        if node.is_bad_range {
            self.error(span, "ranges only allowed for vector selectors");
            return node;
        }
        let Some(time) = time_modifiers(&mut node) else {
            let message = "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
            self.error(span, message);
            return node;
        };
        if time.has_at() {
            self.error(span, "@ <timestamp> may not be set multiple times");
            return node;
        }
        set(time);
        node.expr.span.end = self.last_closing;
        node
    }

    fn with_edge(&mut self, mut node: Node, edge: RangeEdge) -> Node {
        let span = node.expr.span;
        let name = match edge {
            RangeEdge::Anchored => "anchored",
            RangeEdge::Smoothed => "smoothed",
        };
        if !self.features.extended_range_selectors {
            let message = format!("{name} modifier is experimental and not enabled");
            self.error(span, message);
            return node;
        }
        if node.is_bad_range {
            return node;
        }
        let selector = match &mut node.expr.kind {
            ExprKind::VectorSelector(selector) => selector,
            ExprKind::MatrixSelector(matrix) => &mut matrix.selector,
            ExprKind::Subquery(_) => {
                self.error(
                    span,
                    format!("{name} modifier is not supported for subqueries"),
                );
                return node;
            }
            _ => {
                self.error(span, format!("{name} modifier not implemented"));
                return node;
            }
        };
        match edge {
            RangeEdge::Anchored => selector.anchored = true,
            RangeEdge::Smoothed => selector.smoothed = true,
        }
        if selector.anchored && selector.smoothed {
            self.error(
                span,
                "anchored and smoothed modifiers cannot be used together",
            );
        }
        node
    }
}

/// Returns the modifiers of what can have some.
fn time_modifiers(node: &mut Node) -> Option<&mut TimeModifiers> {
    match &mut node.expr.kind {
        ExprKind::VectorSelector(selector) => Some(&mut selector.time),
        ExprKind::MatrixSelector(matrix) => Some(&mut matrix.selector.time),
        ExprKind::Subquery(subquery) => Some(&mut subquery.time),
        _ => None,
    }
}

fn subquery(node: Node, range: Length, step: Option<Length>, end: usize) -> Result<Node, TooDeep> {
    let span = Span {
        start: node.expr.span.start,
        end,
    };
    let step = step.unwrap_or_default();
    let below = node.depth().max(range.depth).max(step.depth);
    let subquery = SubqueryExpr {
        expr: node.expr,
        range_ms: range.ns / 1_000_000,
        range_expr: range.expr,
        step_ms: step.ns / 1_000_000,
        step_ns: step.ns,
        step_expr: step.expr,
        time: TimeModifiers::default(),
    };
    Node::new(span, ExprKind::Subquery(Box::new(subquery)), below)
}

fn selector(name: String, mut matchers: Vec<Matcher>, span: Span) -> Result<Node, TooDeep> {
    if !name.is_empty() {
        matchers.extend(equal(METRIC_NAME, name.clone()));
    }
    let selector = VectorSelector {
        name,
        matchers,
        ..empty_selector()
    };
    Node::new(span, ExprKind::VectorSelector(selector), 0)
}

fn empty_selector() -> VectorSelector {
    VectorSelector {
        name: String::new(),
        matchers: Vec::new(),
        time: TimeModifiers::default(),
        anchored: false,
        smoothed: false,
    }
}

/// Returns the matcher `name="value"`. Only regular expressions can fail.
fn equal(name: &str, value: String) -> Option<Matcher> {
    Matcher::new(MatchOp::Equal, name, value).ok()
}

fn take_matchers(args: &mut [Value], index: usize) -> Vec<Matcher> {
    match take(args, index) {
        Value::Matchers(matchers) => matchers,
        _ => Vec::new(),
    }
}

fn take_matcher(args: &mut [Value], index: usize) -> Option<Matcher> {
    match take(args, index) {
        Value::Matcher(matcher) => Some(matcher),
        _ => None,
    }
}

fn take_braces(args: &mut [Value], index: usize) -> (Vec<Matcher>, Span) {
    match take(args, index) {
        Value::Braces(matchers, span) => (matchers, span),
        _ => (Vec::new(), Span::default()),
    }
}
