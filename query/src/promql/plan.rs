//! From the syntax tree to what is evaluated.
//!
//! Durations are computed, `start()` and its kin become numbers, `@ start()` becomes a
//! time, parentheses go, and the parts that give the same at every step are marked
//! so that they are evaluated once. Spans stay: annotations name them.
//!
//! A chain of operators, `a or b or c`, is a tree that is deep to the left; such chains
//! are walked in a loop, here and in `eval`.

use kymo_storage::model::Matcher;

use crate::error::QueryError;
use crate::promql::ast::{
    AggregateExpr, AggregateOp, BinaryExpr, BinaryOp, DurationExpr, DurationExprKind, Expr,
    ExprKind, MatrixSelector, Span, StartOrEnd, SubqueryExpr, TimeModifiers, ValueType,
    VectorMatching, VectorSelector,
};
use crate::promql::deep::{drop_tree, grow};
use crate::promql::functions::function;

/// The times of a query, in milliseconds. The step is 0 for an instant query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) step_ms: i64,
}

/// A query ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) root: Node,
}

/// One operation with its place in the query's text.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value_type: ValueType,
    pub(crate) kind: NodeKind,
}

#[derive(Debug)]
pub(crate) enum NodeKind {
    Number(f64),
    String(String),
    Plus(Box<Node>),
    Minus(Box<Node>),
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call(Call),
    Vector(Selector),
    Matrix(RangeSelector),
    Subquery(Box<Subquery>),
    /// Evaluated at the first step only, then repeated.
    Invariant(Box<Node>),
}

#[derive(Debug)]
pub(crate) struct Binary {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: Node,
    pub(crate) rhs: Node,
    pub(crate) matching: Option<VectorMatching>,
    pub(crate) return_bool: bool,
}

#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) op: AggregateOp,
    pub(crate) expr: Node,
    pub(crate) param: Option<Node>,
    /// Sorted.
    pub(crate) grouping: Vec<String>,
    pub(crate) without: bool,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) func: &'static str,
    pub(crate) args: Vec<Node>,
}

/// When a selector or subquery looks at its data.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shift {
    pub(crate) offset_ms: i64,
    pub(crate) at_ms: Option<i64>,
}

/// How a selector treats the edges of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edges {
    Plain,
    Anchored,
    Smoothed,
}

#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) shift: Shift,
    pub(crate) edges: Edges,
    /// Of histograms only count and sum matter, see [`super::stats_only`].
    pub(crate) stats_only: bool,
}

#[derive(Debug)]
pub(crate) struct RangeSelector {
    pub(crate) selector: Selector,
    pub(crate) range_ms: i64,
}

#[derive(Debug)]
pub(crate) struct Subquery {
    pub(crate) expr: Node,
    pub(crate) range_ms: i64,
    /// 0 stands for the engine's default.
    pub(crate) step_ms: i64,
    pub(crate) shift: Shift,
}

impl Plan {
    /// Builds the plan of an expression.
    ///
    /// # Errors
    /// A computed duration is out of range.
    pub(crate) fn new(expr: &Expr, bounds: Bounds) -> Result<Plan, QueryError> {
        let planned = Planner { bounds }.plan(expr)?;
        let mut root = planned.wrapped();
        super::stats_only::mark(&mut root);
        Ok(Plan { root })
    }
}

impl Node {
    /// Returns the text of a string literal.
    pub(crate) fn string(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// Tells whether this is a range vector in an argument list.
    pub(crate) fn is_matrix(&self) -> bool {
        matches!(self.kind, NodeKind::Matrix(_) | NodeKind::Subquery(_))
    }

    /// Returns how many levels an evaluation goes down: those of the tree, but the left
    /// sides of a chain of operators are on one level.
    pub(crate) fn levels(&self) -> usize {
        let mut deepest = 0;
        let mut waiting = vec![(self, 1)];
        while let Some((node, level)) = waiting.pop() {
            deepest = deepest.max(level);
            match &node.kind {
                NodeKind::Number(_)
                | NodeKind::String(_)
                | NodeKind::Vector(_)
                | NodeKind::Matrix(_) => {}
                NodeKind::Plus(inner) | NodeKind::Minus(inner) | NodeKind::Invariant(inner) => {
                    waiting.push((inner, level + 1));
                }
                NodeKind::Binary(binary) => {
                    waiting.extend([(&binary.lhs, level), (&binary.rhs, level + 1)]);
                }
                NodeKind::Aggregate(aggregate) => {
                    waiting.push((&aggregate.expr, level + 1));
                    waiting.extend(aggregate.param.iter().map(|param| (param, level + 1)));
                }
                NodeKind::Call(call) => {
                    waiting.extend(call.args.iter().map(|arg| (arg, level + 1)));
                }
                NodeKind::Subquery(subquery) => waiting.push((&subquery.expr, level + 1)),
            }
        }
        deepest
    }

    /// Moves parts that have parts themselves to the end of a list.
    fn take_parts(&mut self, into: &mut Vec<Node>) {
        let mut take = |part: &mut Node| {
            if !part.is_leaf() {
                into.push(part.take());
            }
        };
        match &mut self.kind {
            NodeKind::Number(_)
            | NodeKind::String(_)
            | NodeKind::Vector(_)
            | NodeKind::Matrix(_) => {}
            NodeKind::Plus(inner) | NodeKind::Minus(inner) | NodeKind::Invariant(inner) => {
                take(inner);
            }
            NodeKind::Binary(binary) => {
                take(&mut binary.lhs);
                take(&mut binary.rhs);
            }
            NodeKind::Aggregate(aggregate) => {
                take(&mut aggregate.expr);
                aggregate.param.as_mut().map(take);
            }
            NodeKind::Call(call) => call.args.iter_mut().for_each(take),
            NodeKind::Subquery(subquery) => take(&mut subquery.expr),
        }
    }

    fn is_leaf(&self) -> bool {
        use NodeKind::*;
        matches!(self.kind, Number(_) | String(_) | Vector(_) | Matrix(_))
    }

    /// Moves the node out of its place, where a number stays.
    fn take(&mut self) -> Node {
        let kind = std::mem::replace(&mut self.kind, NodeKind::Number(0.0));
        Node {
            span: self.span,
            value_type: self.value_type,
            kind,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !self.is_leaf() {
            drop_tree(self, Node::take_parts);
        }
    }
}

/// A node, and whether it is the same at every step.
struct Planned {
    node: Node,
    invariant: bool,
    /// Whether an invariant node gains by being evaluated once.
    wrap: bool,
}

impl Planned {
    fn wrapped(self) -> Node {
        if !self.wrap {
            return self.node;
        }
        Node {
            span: self.node.span,
            value_type: self.node.value_type,
            kind: NodeKind::Invariant(Box::new(self.node)),
        }
    }
}

struct Planner {
    bounds: Bounds,
}

impl Planner {
    fn plan(&self, expr: &Expr) -> Result<Planned, QueryError> {
        grow(|| self.level(expr))
    }

    fn level(&self, expr: &Expr) -> Result<Planned, QueryError> {
        let expr = without_parens(expr);
        let node = |value_type, kind| Node {
            span: expr.span,
            value_type,
            kind,
        };
        let vector = |kind| node(ValueType::Vector, kind);
        let matrix = |kind| node(ValueType::Matrix, kind);
        Ok(match &expr.kind {
            ExprKind::Paren(inner) => self.plan(inner)?,
            ExprKind::Number(number) => Planned {
                node: node(ValueType::Scalar, NodeKind::Number(number.value)),
                invariant: true,
                wrap: false,
            },
            ExprKind::String(text) => Planned {
                node: node(ValueType::String, NodeKind::String(text.clone())),
                invariant: true,
                wrap: false,
            },
            ExprKind::Unary(unary) => {
                let inner = self.plan(&unary.expr)?;
                let (invariant, wrap) = (inner.invariant, inner.wrap);
                let value_type = inner.node.value_type;
                let inner = Box::new(inner.node);
                let kind = match unary.negative {
                    true => NodeKind::Minus(inner),
                    false => NodeKind::Plus(inner),
                };
                Planned {
                    node: node(value_type, kind),
                    invariant,
                    wrap,
                }
            }
            ExprKind::Binary(binary) => self.chain(binary, expr.span)?,
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, vector)?,
            ExprKind::Call(call) => {
                let value_type = function(call.func).map_or(ValueType::Vector, |f| f.return_type);
                self.call(call.func, &call.args, |kind| node(value_type, kind))?
            }
            ExprKind::VectorSelector(selector) => {
                let selector = self.selector(selector)?;
                let pinned = selector.shift.at_ms.is_some();
                Planned {
                    node: vector(NodeKind::Vector(selector)),
                    invariant: pinned,
                    wrap: pinned,
                }
            }
            ExprKind::MatrixSelector(selector) => {
                let selector = self.range_selector(selector)?;
                let pinned = selector.selector.shift.at_ms.is_some();
                Planned {
                    node: matrix(NodeKind::Matrix(selector)),
                    invariant: pinned,
                    wrap: false,
                }
            }
            ExprKind::Subquery(subquery) => self.subquery(subquery, matrix)?,
        })
    }

    /// Plans an operation and all those that are its left side.
    fn chain(&self, last: &BinaryExpr, span: Span) -> Result<Planned, QueryError> {
        let mut operations = vec![(last, span)];
        let mut left = without_parens(&last.lhs);
        while let ExprKind::Binary(binary) = &left.kind {
            operations.push((binary, left.span));
            left = without_parens(&binary.lhs);
        }
        let mut planned = self.plan(left)?;
        while let Some((binary, span)) = operations.pop() {
            planned = self.binary(binary, span, planned)?;
        }
        Ok(planned)
    }

    fn binary(&self, binary: &BinaryExpr, span: Span, lhs: Planned) -> Result<Planned, QueryError> {
        let rhs = self.plan(&binary.rhs)?;
        let invariant = lhs.invariant && rhs.invariant;
        // Inside of an invariant expression nothing is repeated, so nothing is wrapped.
        let (lhs, rhs) = match invariant {
            true => (lhs.node, rhs.node),
            false => (lhs.wrapped(), rhs.wrapped()),
        };
        let value_type = match (lhs.value_type, rhs.value_type) {
            (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
            _ => ValueType::Vector,
        };
        Ok(Planned {
            node: Node {
                span,
                value_type,
                kind: NodeKind::Binary(Box::new(Binary {
                    op: binary.op,
                    lhs,
                    rhs,
                    matching: binary.matching.clone(),
                    return_bool: binary.return_bool,
                })),
            },
            invariant,
            wrap: invariant,
        })
    }

    fn aggregate(
        &self,
        aggregate: &AggregateExpr,
        node: impl FnOnce(NodeKind) -> Node,
    ) -> Result<Planned, QueryError> {
        let inner = self.plan(&aggregate.expr)?;
        let param = match &aggregate.param {
            Some(param) => Some(self.plan(param)?),
            None => None,
        };
        // Prometheus looks at the aggregated expression alone.
        let (invariant, wrap) = (inner.invariant, inner.wrap);
        let mut grouping = aggregate.grouping.clone();
        grouping.sort();
        let planned = Aggregate {
            op: aggregate.op,
            expr: inner.node,
            param: param.map(|param| match invariant {
                true => param.node,
                false => param.wrapped(),
            }),
            grouping,
            without: aggregate.without,
        };
        Ok(Planned {
            node: node(NodeKind::Aggregate(Box::new(planned))),
            invariant,
            wrap,
        })
    }

    fn call(
        &self,
        func: &'static str,
        args: &[Expr],
        node: impl FnOnce(NodeKind) -> Node,
    ) -> Result<Planned, QueryError> {
        if let Some(number) = self.query_context(func) {
            return Ok(Planned {
                node: node(NodeKind::Number(number)),
                invariant: true,
                wrap: false,
            });
        }
        let mut planned = Vec::with_capacity(args.len());
        for arg in args {
            planned.push(self.plan(arg)?);
        }
        let pinned_timestamp = func == "timestamp"
            && planned
                .iter()
                .all(|arg| arg.invariant && matches!(arg.node.kind, NodeKind::Vector(_)));
        let invariant =
            pinned_timestamp || (!depends_on_step(func) && planned.iter().all(|arg| arg.invariant));
        let args = planned
            .into_iter()
            .map(|arg| match invariant {
                true => arg.node,
                false => arg.wrapped(),
            })
            .collect();
        Ok(Planned {
            node: node(NodeKind::Call(Call { func, args })),
            invariant,
            wrap: invariant,
        })
    }

    /// Returns the value of a function of the query itself, such as `start()`.
    fn query_context(&self, func: &str) -> Option<f64> {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let bounds = self.bounds;
        match func {
            "start" => Some(seconds(bounds.start_ms)),
            "end" => Some(seconds(bounds.end_ms)),
            "range" => Some(seconds(bounds.end_ms - bounds.start_ms)),
            "step" if bounds.start_ms == bounds.end_ms => Some(0.0),
            "step" => Some(seconds(bounds.step_ms)),
            _ => None,
        }
    }

    fn selector(&self, selector: &VectorSelector) -> Result<Selector, QueryError> {
        Ok(Selector {
            matchers: selector.matchers.clone(),
            shift: self.shift(&selector.time)?,
            edges: match (selector.anchored, selector.smoothed) {
                (true, _) => Edges::Anchored,
                (_, true) => Edges::Smoothed,
                _ => Edges::Plain,
            },
            stats_only: false,
        })
    }

    fn range_selector(&self, selector: &MatrixSelector) -> Result<RangeSelector, QueryError> {
        Ok(RangeSelector {
            selector: self.selector(&selector.selector)?,
            range_ms: self.duration(selector.range_ms, selector.range_expr.as_deref())?,
        })
    }

    fn subquery(
        &self,
        subquery: &SubqueryExpr,
        node: impl FnOnce(NodeKind) -> Node,
    ) -> Result<Planned, QueryError> {
        let inner = self.plan(&subquery.expr)?;
        let wrap = inner.invariant;
        let shift = self.shift(&subquery.time)?;
        let step_ms = self.duration(subquery.step_ms, subquery.step_expr.as_deref())?;
        let range_ms = self.duration(subquery.range_ms, subquery.range_expr.as_deref())?;
        let planned = Subquery {
            expr: Planned { wrap, ..inner }.wrapped(),
            range_ms,
            step_ms,
            shift,
        };
        Ok(Planned {
            node: node(NodeKind::Subquery(Box::new(planned))),
            invariant: shift.at_ms.is_some(),
            wrap: false,
        })
    }

    fn shift(&self, time: &TimeModifiers) -> Result<Shift, QueryError> {
        let offset_ms = match &time.offset_expr {
            Some(expr) => self.computed(expr, Sign::Any)?,
            None => time.offset_ms,
        };
        let at_ms = match time.at_bound {
            Some(StartOrEnd::Start) => Some(self.bounds.start_ms),
            Some(StartOrEnd::End) => Some(self.bounds.end_ms),
            None => time.at_ms,
        };
        Ok(Shift { offset_ms, at_ms })
    }

    fn duration(&self, literal_ms: i64, expr: Option<&DurationExpr>) -> Result<i64, QueryError> {
        match expr {
            Some(expr) => self.computed(expr, Sign::Positive),
            None => Ok(literal_ms),
        }
    }

    /// Computes a duration in milliseconds.
    fn computed(&self, expr: &DurationExpr, sign: Sign) -> Result<i64, QueryError> {
        let seconds = self.seconds(expr)?;
        if !seconds.is_finite() {
            return Err(duration_error(expr, "duration is NaN or infinite"));
        }
        if seconds <= 0.0 && matches!(sign, Sign::Positive) {
            return Err(duration_error(expr, "duration must be greater than 0"));
        }
        if seconds.abs() > MAX_DURATION_SECONDS {
            return Err(duration_error(expr, "duration is out of range"));
        }
        Ok((seconds * 1000.0) as i64)
    }

    fn seconds(&self, expr: &DurationExpr) -> Result<f64, QueryError> {
        grow(|| self.seconds_level(expr))
    }

    fn seconds_level(&self, expr: &DurationExpr) -> Result<f64, QueryError> {
        Ok(match &expr.kind {
            DurationExprKind::Literal(number) => number.value,
            DurationExprKind::Paren(inner) => self.seconds(inner)?,
            DurationExprKind::Unary { negative, expr } => {
                let seconds = self.seconds(expr)?;
                if *negative { -seconds } else { seconds }
            }
            DurationExprKind::Step => self.bounds.step_ms as f64 / 1000.0,
            DurationExprKind::Range => (self.bounds.end_ms - self.bounds.start_ms) as f64 / 1000.0,
            DurationExprKind::MinOf(l, r) => go_min(self.seconds(l)?, self.seconds(r)?),
            DurationExprKind::MaxOf(l, r) => go_max(self.seconds(l)?, self.seconds(r)?),
            DurationExprKind::Binary { op, lhs, rhs } => {
                let (l, r) = (self.seconds(lhs)?, self.seconds(rhs)?);
                match op {
                    BinaryOp::Div if r == 0.0 => {
                        return Err(duration_error(expr, "division by zero"));
                    }
                    BinaryOp::Mod if r == 0.0 => {
                        return Err(duration_error(expr, "modulo by zero"));
                    }
                    BinaryOp::Add => l + r,
                    BinaryOp::Sub => l - r,
                    BinaryOp::Mul => l * r,
                    BinaryOp::Div => l / r,
                    BinaryOp::Mod => l % r,
                    BinaryOp::Pow => l.powf(r),
                    _ => return Err(duration_error(expr, "unexpected duration operator")),
                }
            }
        })
    }
}

/// 2^63 nanoseconds in seconds.
const MAX_DURATION_SECONDS: f64 = (1u64 << 63) as f64 / 1e9;

enum Sign {
    Any,
    Positive,
}

fn duration_error(expr: &DurationExpr, what: &str) -> QueryError {
    QueryError::Invalid(format!("{}:{}: {what}", expr.span.start, expr.span.end))
}

/// Returns what stands in parentheses.
fn without_parens(mut expr: &Expr) -> &Expr {
    while let ExprKind::Paren(inner) = &expr.kind {
        expr = inner;
    }
    expr
}

/// Tells whether a function's result may change with the step though its arguments
/// do not.
fn depends_on_step(func: &str) -> bool {
    matches!(
        func,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "time"
            | "timestamp"
    )
}

/// Go's `math.Max`: an infinity wins over NaN, NaN over numbers, 0 over -0.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// Go's `math.Min`: a negative infinity wins over NaN, NaN over numbers, -0 over 0.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}
