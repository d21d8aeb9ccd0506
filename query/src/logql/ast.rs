//! The syntax tree of LogQL.
//!
//! It holds what a query means, not how it was written: parentheses are gone, literal
//! arithmetic is done, and stages are in the order in which they were written.
//!
//! Conditions and metric expressions may be nested as deeply as a query is long, so what
//! walks over them goes down through `syntax::deep::grow`, and so do copying and dropping.

use kymo_storage::model::Matcher;

use crate::syntax::deep::{drop_tree, grow};

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

impl LineOp {
    /// Returns the operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            LineOp::Contains => "|=",
            LineOp::NotContains => "!=",
            LineOp::Matches => "|~",
            LineOp::NotMatches => "!~",
            LineOp::Pattern => "|>",
            LineOp::NotPattern => "!>",
        }
    }

    /// Tells whether lines that fit are the ones that go.
    pub fn is_negative(self) -> bool {
        matches!(
            self,
            LineOp::NotContains | LineOp::NotMatches | LineOp::NotPattern
        )
    }
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
#[derive(Debug)]
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

impl Clone for LabelFilter {
    fn clone(&self) -> LabelFilter {
        grow(|| match self {
            LabelFilter::And(left, right) => LabelFilter::And(left.clone(), right.clone()),
            LabelFilter::Or(left, right) => LabelFilter::Or(left.clone(), right.clone()),
            LabelFilter::Text(matcher) => LabelFilter::Text(matcher.clone()),
            LabelFilter::Number(name, op, value) => LabelFilter::Number(name.clone(), *op, *value),
            LabelFilter::Duration(name, op, ns) => LabelFilter::Duration(name.clone(), *op, *ns),
            LabelFilter::Bytes(name, op, bytes) => LabelFilter::Bytes(name.clone(), *op, *bytes),
            LabelFilter::Ip {
                name,
                pattern,
                equal,
            } => LabelFilter::Ip {
                name: name.clone(),
                pattern: pattern.clone(),
                equal: *equal,
            },
        })
    }
}

impl Drop for LabelFilter {
    fn drop(&mut self) {
        drop_tree(self, |filter, parts| {
            if let LabelFilter::And(left, right) | LabelFilter::Or(left, right) = filter {
                for part in [left, right] {
                    parts.push(std::mem::replace(part, LabelFilter::nothing()));
                }
            }
        });
    }
}

impl LabelFilter {
    /// A condition without parts, which stands where one was taken out.
    fn nothing() -> LabelFilter {
        LabelFilter::Number(String::new(), CompareOp::Equal, 0.0)
    }
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

impl CompareOp {
    /// Returns the operator as printed.
    pub fn as_str(self) -> &'static str {
        match self {
            CompareOp::Equal => "==",
            CompareOp::NotEqual => "!=",
            CompareOp::Greater => ">",
            CompareOp::GreaterOrEqual => ">=",
            CompareOp::Less => "<",
            CompareOp::LessOrEqual => "<=",
        }
    }

    /// Compares.
    #[inline]
    pub(crate) fn holds<T: PartialOrd>(self, value: &T, operand: &T) -> bool {
        match self {
            CompareOp::Equal => value == operand,
            CompareOp::NotEqual => value != operand,
            CompareOp::Greater => value > operand,
            CompareOp::GreaterOrEqual => value >= operand,
            CompareOp::Less => value < operand,
            CompareOp::LessOrEqual => value <= operand,
        }
    }
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
#[derive(Debug)]
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

impl Clone for MetricExpr {
    fn clone(&self) -> MetricExpr {
        grow(|| match self {
            MetricExpr::Range(range) => MetricExpr::Range(range.clone()),
            MetricExpr::Vector(vector) => MetricExpr::Vector(vector.clone()),
            MetricExpr::Binary(binary) => MetricExpr::Binary(binary.clone()),
            MetricExpr::LabelReplace(replace) => MetricExpr::LabelReplace(replace.clone()),
            MetricExpr::VectorLiteral(value) => MetricExpr::VectorLiteral(*value),
            MetricExpr::Literal(value) => MetricExpr::Literal(*value),
        })
    }
}

impl Drop for MetricExpr {
    fn drop(&mut self) {
        let take = |part: &mut MetricExpr| std::mem::replace(part, MetricExpr::Literal(0.0));
        drop_tree(self, |expr, parts| match expr {
            MetricExpr::Vector(vector) => parts.push(take(&mut vector.inner)),
            MetricExpr::LabelReplace(replace) => parts.push(take(&mut replace.inner)),
            MetricExpr::Binary(binary) => {
                parts.push(take(&mut binary.lhs));
                parts.push(take(&mut binary.rhs));
            }
            _ => {}
        });
    }
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

impl RangeOp {
    /// Returns the function's name.
    pub fn as_str(self) -> &'static str {
        match self {
            RangeOp::Count => "count_over_time",
            RangeOp::Rate => "rate",
            RangeOp::RateCounter => "rate_counter",
            RangeOp::Bytes => "bytes_over_time",
            RangeOp::BytesRate => "bytes_rate",
            RangeOp::Sum => "sum_over_time",
            RangeOp::Avg => "avg_over_time",
            RangeOp::Min => "min_over_time",
            RangeOp::Max => "max_over_time",
            RangeOp::Stdvar => "stdvar_over_time",
            RangeOp::Stddev => "stddev_over_time",
            RangeOp::Quantile => "quantile_over_time",
            RangeOp::First => "first_over_time",
            RangeOp::Last => "last_over_time",
            RangeOp::Absent => "absent_over_time",
        }
    }

    /// Tells whether the function may group by itself.
    pub fn takes_grouping(self) -> bool {
        use RangeOp::*;
        matches!(
            self,
            Avg | Min | Max | Stdvar | Stddev | Quantile | First | Last
        )
    }

    /// Tells whether the function works on lines as they are.
    pub fn takes_lines(self) -> bool {
        use RangeOp::*;
        matches!(self, Count | Rate | Bytes | BytesRate | Absent)
    }

    /// Tells whether the function works on what `unwrap` reads.
    pub fn takes_numbers(self) -> bool {
        !matches!(self, RangeOp::Count | RangeOp::Bytes | RangeOp::BytesRate)
    }
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

impl VectorOp {
    /// Returns the operator's name.
    pub fn as_str(self) -> &'static str {
        match self {
            VectorOp::Sum => "sum",
            VectorOp::Avg => "avg",
            VectorOp::Count => "count",
            VectorOp::Min => "min",
            VectorOp::Max => "max",
            VectorOp::Stddev => "stddev",
            VectorOp::Stdvar => "stdvar",
            VectorOp::Topk => "topk",
            VectorOp::Bottomk => "bottomk",
            VectorOp::Sort => "sort",
            VectorOp::SortDesc => "sort_desc",
            VectorOp::ApproxTopk => "approx_topk",
        }
    }

    /// Tells whether the operator wants to know how many.
    pub fn takes_count(self) -> bool {
        matches!(
            self,
            VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk
        )
    }
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

impl BinaryOp {
    /// Returns the operator as written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Or => "or",
            BinaryOp::And => "and",
            BinaryOp::Unless => "unless",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::Less => "<",
            BinaryOp::LessOrEqual => "<=",
        }
    }

    /// Tells whether the operator works on sets of series, not on their values.
    pub fn is_set_operator(self) -> bool {
        matches!(self, BinaryOp::Or | BinaryOp::And | BinaryOp::Unless)
    }

    /// Tells whether the operator compares.
    pub fn is_comparison(self) -> bool {
        self.level() == 3
    }

    /// Returns how tightly the operator binds, from 1.
    pub(crate) fn level(self) -> u8 {
        use BinaryOp::*;
        match self {
            Or => 1,
            And | Unless => 2,
            Equal | NotEqual | Greater | GreaterOrEqual | Less | LessOrEqual => 3,
            Add | Sub => 4,
            Mul | Div | Mod => 5,
            Pow => 6,
        }
    }
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
