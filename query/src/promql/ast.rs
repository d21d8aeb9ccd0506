//! The syntax tree of PromQL.
//!
//! It follows the shape of Prometheus' own tree (`promql/parser/ast.go`), so that
//! prints, `/api/v1/parse_query` and error positions can agree with it. Every node
//! carries the byte range of the text that it was parsed from.
//!
//! A tree may be as deep as a query is long: cloning, comparing, printing and dropping it
//! never run out of stack.

use kymo_storage::model::Matcher;

use crate::promql::functions::function;

/// A range of bytes in the query text, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

/// The four types of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// One number.
    Scalar,
    /// One sample for each of many series at one time.
    Vector,
    /// Many samples for each of many series.
    Matrix,
    /// A text.
    String,
}

impl ValueType {
    /// Returns the word used in error texts: `instant vector`, `range vector`, ...
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            ValueType::String => "string",
        }
    }

    /// Returns the word used in results: `vector`, `matrix`, ...
    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
            ValueType::String => "string",
        }
    }
}

impl Expr {
    /// Returns the type of the values that the expression has.
    pub fn value_type(&self) -> ValueType {
        match &self.inside().kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Binary(_) if self.is_scalar() => ValueType::Scalar,
            ExprKind::Call(call) => {
                function(call.func).map_or(ValueType::Vector, |f| f.return_type)
            }
            ExprKind::MatrixSelector(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            _ => ValueType::Vector,
        }
    }

    /// Tells whether an operation has only scalars as operands.
    fn is_scalar(&self) -> bool {
        let mut waiting = vec![self];
        while let Some(expr) = waiting.pop() {
            let inside = expr.inside();
            match &inside.kind {
                ExprKind::Binary(binary) => waiting.extend([&binary.lhs, &binary.rhs]),
                _ if inside.value_type() != ValueType::Scalar => return false,
                _ => {}
            }
        }
        true
    }

    /// Returns what is left without parentheses and signs around it.
    fn inside(&self) -> &Expr {
        let mut expr = self;
        loop {
            match &expr.kind {
                ExprKind::Paren(inner) => expr = inner,
                ExprKind::Unary(unary) => expr = &unary.expr,
                _ => return expr,
            }
        }
    }
}

/// An expression with its place in the text.
pub struct Expr {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
}

/// The kinds of expression.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A number, or a duration used as a number of seconds.
    Number(NumberLiteral),
    /// A quoted text, unquoted.
    String(String),
    /// An expression in parentheses.
    Paren(Box<Expr>),
    /// `+e` or `-e`.
    Unary(UnaryExpr),
    /// `lhs op rhs`.
    Binary(Box<BinaryExpr>),
    /// `sum by (a) (e)`.
    Aggregate(Box<AggregateExpr>),
    /// `f(args)`.
    Call(Call),
    /// `name{matchers}` with its modifiers.
    VectorSelector(VectorSelector),
    /// `name{matchers}[range]` with its modifiers.
    MatrixSelector(MatrixSelector),
    /// `e[range:step]` with its modifiers.
    Subquery(Box<SubqueryExpr>),
}

/// A number.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberLiteral {
    /// Its value; a duration counts in seconds.
    pub value: f64,
    /// Whether it was written as a duration, and prints as one.
    pub is_duration: bool,
}

/// A sign in front of an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct UnaryExpr {
    /// Whether the sign is a minus.
    pub negative: bool,
    /// What it stands in front of.
    pub expr: Box<Expr>,
}

/// The 18 binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Unless,
    TrimLower,
    TrimUpper,
}

impl BinaryOp {
    /// Returns the operator as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimLower => ">/",
            BinaryOp::TrimUpper => "</",
        }
    }

    /// Tells whether the operator compares, and so filters unless `bool` is given.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Eq | Ne | Lt | Le | Gt | Ge)
    }

    /// Tells whether the operator works on sets of series and not on their values.
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// Two expressions joined by an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryExpr {
    /// The operator.
    pub op: BinaryOp,
    /// The left side.
    pub lhs: Expr,
    /// The right side.
    pub rhs: Expr,
    /// How series of two vectors find each other; `None` unless both sides are vectors.
    pub matching: Option<VectorMatching>,
    /// Whether a comparison answers 0 or 1 instead of filtering.
    pub return_bool: bool,
}

/// How many series of one side may meet how many of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cardinality {
    OneToOne,
    ManyToOne,
    OneToMany,
    ManyToMany,
}

impl Cardinality {
    /// Returns the words used in the tree's JSON and in error texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        }
    }
}

/// The matching clause of a binary operator.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorMatching {
    /// How many may meet how many.
    pub card: Cardinality,
    /// Labels of the `on` or `ignoring` clause.
    pub labels: Vec<String>,
    /// Whether the clause is `on`; else `ignoring`, also where none was written.
    pub on: bool,
    /// Labels that the "one" side gives to the result (`group_left(...)`).
    pub include: Vec<String>,
    /// Value that stands in for a missing series of the left side.
    pub fill_left: Option<f64>,
    /// Value that stands in for a missing series of the right side.
    pub fill_right: Option<f64>,
}

/// The 14 aggregation operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// Returns the operator's name.
    pub fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Count => "count",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Group => "group",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Topk => "topk",
            AggregateOp::Bottomk => "bottomk",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Quantile => "quantile",
            AggregateOp::Limitk => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }

    /// Tells whether the operator takes a parameter before the vector.
    pub fn has_param(self) -> bool {
        use AggregateOp::*;
        matches!(
            self,
            Topk | Bottomk | CountValues | Quantile | Limitk | LimitRatio
        )
    }

    /// Tells whether the operator is refused unless experimental functions are enabled.
    pub fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::Limitk | AggregateOp::LimitRatio)
    }
}

/// An aggregation over a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateExpr {
    /// The operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// The parameter of `topk`, `quantile`, `count_values` and the like.
    pub param: Option<Expr>,
    /// Labels of the `by` or `without` clause.
    pub grouping: Vec<String>,
    /// Whether the clause is `without`.
    pub without: bool,
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function's name, known to the function table.
    pub func: &'static str,
    /// Its arguments, checked for number and type.
    pub args: Vec<Expr>,
}

/// A time that is one of the query's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartOrEnd {
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// Shifts of the time at which a selector or subquery is evaluated.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TimeModifiers {
    /// `offset` as a literal, in milliseconds, cut towards zero.
    pub offset_ms: i64,
    /// The same in nanoseconds: an offset below a millisecond shifts nothing, but
    /// it was set, and is printed.
    pub offset_ns: i64,
    /// `offset` as an expression, where it is not a plain literal.
    pub offset_expr: Option<Box<DurationExpr>>,
    /// `@ timestamp` in milliseconds.
    pub at_ms: Option<i64>,
    /// `@ start()` or `@ end()`.
    pub at_bound: Option<StartOrEnd>,
}

impl TimeModifiers {
    /// Tells whether an offset was written, other than zero.
    pub fn has_offset(&self) -> bool {
        self.offset_ns != 0 || self.offset_expr.is_some()
    }

    /// Tells whether an `@` was written.
    pub fn has_at(&self) -> bool {
        self.at_ms.is_some() || self.at_bound.is_some()
    }
}

impl StartOrEnd {
    /// Returns the function's name, without its parentheses.
    pub fn as_str(self) -> &'static str {
        match self {
            StartOrEnd::Start => "start",
            StartOrEnd::End => "end",
        }
    }
}

/// An instant vector selector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The metric name as written outside the braces, empty if none.
    pub name: String,
    /// All conditions, the one on the name included.
    pub matchers: Vec<Matcher>,
    /// `offset` and `@`.
    pub time: TimeModifiers,
    /// `anchored`
    pub anchored: bool,
    /// `smoothed`
    pub smoothed: bool,
}

/// A range vector selector. Its modifiers are kept on the inner selector.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// Span of the inner selector without the range.
    pub selector_span: Span,
    /// The selector.
    pub selector: VectorSelector,
    /// Length of the range in milliseconds, where it is a literal.
    pub range_ms: i64,
    /// Length of the range as an expression, where it is not a plain literal.
    pub range_expr: Option<Box<DurationExpr>>,
}

/// A subquery.
#[derive(Debug, Clone, PartialEq)]
pub struct SubqueryExpr {
    /// What is evaluated at each step.
    pub expr: Expr,
    /// Length of the range in milliseconds, where it is a literal.
    pub range_ms: i64,
    /// Length of the range as an expression.
    pub range_expr: Option<Box<DurationExpr>>,
    /// Step in milliseconds, cut; 0 stands for the default.
    pub step_ms: i64,
    /// The same in nanoseconds, which tells a tiny step from none.
    pub step_ns: i64,
    /// Step as an expression.
    pub step_expr: Option<Box<DurationExpr>>,
    /// `offset` and `@`.
    pub time: TimeModifiers,
}

/// A computed duration, as in `[5m + step()]`.
pub struct DurationExpr {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: DurationExprKind,
}

/// The kinds of computed duration. Values are in seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExprKind {
    /// A duration or number.
    Literal(NumberLiteral),
    /// `+d` or `-d`.
    Unary {
        /// Whether the sign is a minus.
        negative: bool,
        /// What it stands in front of.
        expr: Box<DurationExpr>,
    },
    /// `l op r`; the operator is one of `+ - * / % ^`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// The left side.
        lhs: Box<DurationExpr>,
        /// The right side.
        rhs: Box<DurationExpr>,
    },
    /// `min_of(l, r)`
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(l, r)`
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// `(d)`
    Paren(Box<DurationExpr>),
}
