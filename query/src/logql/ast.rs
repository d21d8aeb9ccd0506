//! The syntax tree of LogQL.
//!
//! It holds what a query means, not how it was written: parentheses are gone, literal
//! arithmetic is done, and stages are in the order in which they were written.

use kymo_storage::model::Matcher;

/// A whole query.
#[derive(Debug, Clone)]
pub enum Expr {
    /// Entries of streams.
    Log(LogExpr),
    /// Numbers computed from entries.
    Metric(MetricExpr),
}

/// A stream selector with its pipeline: `{app="a"} |= "x" | json`.
#[derive(Debug, Clone)]
pub struct LogExpr {
    /// Conditions on the labels of streams.
    pub matchers: Vec<Matcher>,
    /// What is done with each entry, in this order.
    pub stages: Vec<Stage>,
}

/// One stage of a pipeline.
#[derive(Debug, Clone)]
pub enum Stage {
    /// `|= "a" or "b"` and its kin.
    LineFilter(LineFilter),
    /// `| json`, with the paths to extract if any are named.
    Json(Vec<Extraction>),
    /// `| logfmt`, with the keys to extract if any are named.
    Logfmt {
        /// `--strict`: the first defect of a line is an error.
        strict: bool,
        /// `--keep-empty`: keys without a value become empty labels.
        keep_empty: bool,
        /// Labels and the keys they come from; all keys where empty.
        extractions: Vec<Extraction>,
    },
    /// `| regexp "(?P<name>...)"`
    Regexp(String),
    /// `| pattern "<name> ..."`
    Pattern(String),
    /// `| unpack`
    Unpack,
    /// `| level="error" and status >= 500`
    LabelFilter(LabelFilter),
    /// `| line_format "{{.msg}}"`
    LineFormat(String),
    /// `| label_format a=b, c="{{.d}}"`
    LabelFormat(Vec<LabelFormat>),
    /// `| decolorize`
    Decolorize,
    /// `| drop a, b="x"`
    Drop(Vec<LabelChoice>),
    /// `| keep a, b="x"`
    Keep(Vec<LabelChoice>),
}

/// Operators of line filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Matches,
    /// `!~`
    NotMatches,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

/// A line filter with all its `or` operands, which share the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFilter {
    /// How the line is compared with the operands.
    pub op: LineOp,
    /// At least one. A positive operator wants one of them, a negative one none.
    pub operands: Vec<LineOperand>,
}

/// What a line is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineOperand {
    /// A text, regular expression or pattern, as the operator says.
    Text(String),
    /// `ip("...")`: an address, range or network; with `|=` and `!=` only.
    Ip(String),
}

/// A label and the expression it is extracted by: `a="x.y[0]"`. A bare name has itself as
/// expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction {
    /// The new label.
    pub label: String,
    /// A path for `json`, a key for `logfmt`.
    pub expression: String,
}

/// A condition on the labels of an entry.
#[derive(Debug, Clone)]
pub enum LabelFilter {
    /// Both are true; both are looked at.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// One is true; the second is looked at where the first is not.
    Or(Box<LabelFilter>, Box<LabelFilter>),
    /// `name="text"`, `!=`, `=~`, `!~`
    Text(Matcher),
    /// `name > 5`
    Number(String, CompareOp, f64),
    /// `name > 5s`: the operand in nanoseconds.
    Duration(String, CompareOp, i64),
    /// `name > 5KB`: the operand in bytes.
    Bytes(String, CompareOp, u64),
    /// `name = ip("...")`; `equal` is false for `!=`.
    Ip {
        /// The label.
        name: String,
        /// An address, range or network.
        pattern: String,
        /// Whether the address has to match.
        equal: bool,
    },
}

/// Comparisons of a number, duration or size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `==` or `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

/// One assignment of `label_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelFormat {
    /// `to=from`
    Rename {
        /// The new name.
        to: String,
        /// The name that goes.
        from: String,
    },
    /// `to="template"`
    Template {
        /// The label that is set.
        to: String,
        /// A Go template.
        template: String,
    },
}

/// One choice of `drop` or `keep`.
#[derive(Debug, Clone)]
pub enum LabelChoice {
    /// A label, whatever its value.
    Name(String),
    /// A label whose value satisfies the condition.
    Matcher(Matcher),
}

/// A query that gives numbers.
#[derive(Debug, Clone)]
pub enum MetricExpr {
    /// `rate({app="a"}[5m])`
    Range(RangeExpr),
    /// `sum by (app) (...)`
    Vector(Box<VectorExpr>),
    /// `a / on (app) b`
    Binary(Box<BinaryExpr>),
    /// `label_replace(v, "dst", "$1", "src", "(.*)")`
    LabelReplace(Box<LabelReplace>),
    /// `vector(1)`
    VectorLiteral(f64),
    /// `1`
    Literal(f64),
}

/// Functions over the entries of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the function of its name")]
pub enum RangeOp {
    Count,
    Rate,
    RateCounter,
    Bytes,
    BytesRate,
    Sum,
    Avg,
    Min,
    Max,
    Stdvar,
    Stddev,
    Quantile,
    First,
    Last,
    Absent,
}

/// A function over the entries of a window.
#[derive(Debug, Clone)]
pub struct RangeExpr {
    /// The function.
    pub op: RangeOp,
    /// The quantile of `quantile_over_time`.
    pub parameter: Option<f64>,
    /// The entries.
    pub log: LogExpr,
    /// What is read as a number, where the function works on numbers.
    pub unwrap: Option<Unwrap>,
    /// Length of the window in nanoseconds.
    pub range_ns: i64,
    /// How far the window is shifted into the past, in nanoseconds; may be negative.
    pub offset_ns: i64,
    /// `by` or `without` of the function itself.
    pub grouping: Option<Grouping>,
}

/// `| unwrap duration(took) | __error__=""`
#[derive(Debug, Clone)]
pub struct Unwrap {
    /// The label with the number.
    pub label: String,
    /// How its text is read.
    pub conversion: Conversion,
    /// Conditions on entries after the number was read.
    pub filters: Vec<LabelFilter>,
}

/// How `unwrap` reads a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// As a number.
    Number,
    /// As a duration, in seconds; `duration` and `duration_seconds`.
    Duration {
        /// Whether it was written `duration_seconds`.
        seconds: bool,
    },
    /// As a size, in bytes.
    Bytes,
}

/// `by (...)` or `without (...)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// Whether the labels are those that go.
    pub without: bool,
    /// The labels, as written.
    pub labels: Vec<String>,
}

/// Aggregations over the series of one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the operator of its name")]
pub enum VectorOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Sort,
    SortDesc,
    ApproxTopk,
}

/// An aggregation over the series of one time.
#[derive(Debug, Clone)]
pub struct VectorExpr {
    /// The operator.
    pub op: VectorOp,
    /// How many of `topk`, `bottomk` and `approx_topk`.
    pub parameter: Option<usize>,
    /// What is aggregated.
    pub inner: MetricExpr,
    /// `by` or `without`.
    pub grouping: Option<Grouping>,
}

/// Operators between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the operator of its name")]
pub enum BinaryOp {
    Or,
    And,
    Unless,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// An operator between two expressions.
#[derive(Debug, Clone)]
pub struct BinaryExpr {
    /// The operator.
    pub op: BinaryOp,
    /// Whether a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// How series of both sides find each other.
    pub matching: Option<Matching>,
    /// The left side.
    pub lhs: MetricExpr,
    /// The right side.
    pub rhs: MetricExpr,
}

/// How series of two sides find each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matching {
    /// Whether `labels` are those that count (`on`), not those that do not (`ignoring`).
    pub on: bool,
    /// The labels.
    pub labels: Vec<String>,
    /// Which side may have many series for one of the other.
    pub group: MatchGroup,
    /// Labels that the many take from the one.
    pub include: Vec<String>,
}

/// Which side of an operator may have many series for one of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchGroup {
    /// Neither.
    OneToOne,
    /// The left: `group_left`.
    Left,
    /// The right: `group_right`.
    Right,
}

/// `label_replace(v, "dst", "replacement", "src", "regex")`
#[derive(Debug, Clone)]
pub struct LabelReplace {
    /// What is changed.
    pub inner: MetricExpr,
    /// The label that is set.
    pub dst: String,
    /// Its new value, with `$1` for groups.
    pub replacement: String,
    /// The label that is read.
    pub src: String,
    /// What its whole value has to match.
    pub regex: String,
}
