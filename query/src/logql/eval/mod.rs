//! Evaluation of queries that give numbers.
//!
//! An expression becomes rows: a set of labels with a value for each step, or none there.
//! All steps are worked on at once.
//!
//! Upstream source: `pkg/logql/evaluator.go` of Loki.

mod aggregate;
mod binary;
mod cell;
mod grid;
mod groups;
mod matching;
mod quantile;
mod range;
mod relabel;

use crate::limits::{Budget, Cancel};
use crate::logql::LogQlError;
use crate::logql::ast::{Grouping, MetricExpr, RangeOp, VectorExpr, VectorOp};
use crate::logql::engine::{LogEngineOptions, LogQueryOptions};
use crate::logql::label_set::LabelSet;
use crate::logql::source::LogSource;
use crate::logql::value::LogStats;
use crate::syntax::deep::grow;

pub(crate) use grid::Steps;

/// What is said of a number where only series can be, as in `sum(1)`.
const BARE_NUMBER: &str =
    "unexpected expr type (*syntax.LiteralExpr) for Evaluator type (*logql.DefaultEvaluator)";
/// Bits of the value that stands for none. No operation gives it.
const ABSENT_BITS: u64 = 0x7ff8_6b79_6d6f_0001;

/// The value that stands for none.
pub(crate) fn absent() -> f64 {
    f64::from_bits(ABSENT_BITS)
}

/// Tells whether a value is there.
#[inline]
pub(crate) fn is_present(value: f64) -> bool {
    value.to_bits() != ABSENT_BITS
}

/// One series over all steps.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) labels: LabelSet,
    /// One value for each step.
    pub(crate) values: Vec<f64>,
}

impl Row {
    /// Tells whether there is a value at any step.
    pub(crate) fn has_values(&self) -> bool {
        self.values.iter().any(|value| is_present(*value))
    }
}

/// What an expression gives.
pub(crate) enum Outcome {
    Number(f64),
    Rows(Vec<Row>),
}

/// Evaluates one query.
pub(crate) struct Evaluator<'q> {
    pub(crate) source: &'q dyn LogSource,
    pub(crate) steps: Steps,
    pub(crate) is_instant: bool,
    pub(crate) options: &'q LogEngineOptions,
    pub(crate) query: &'q LogQueryOptions,
    pub(crate) cancel: &'q Cancel,
    pub(crate) stats: LogStats,
    pub(crate) warnings: Vec<String>,
    pub(crate) budget: Budget,
}

impl Evaluator<'_> {
    /// Evaluates an expression.
    pub(crate) fn eval(&mut self, expr: &MetricExpr) -> Result<Outcome, LogQlError> {
        grow(|| match expr {
            MetricExpr::Literal(value) => Ok(Outcome::Number(*value)),
            MetricExpr::VectorLiteral(value) => {
                let values = vec![*value; self.steps.n];
                self.budget.hold_bytes(values.len() * size_of::<f64>())?;
                let labels = LabelSet::empty();
                Ok(Outcome::Rows(vec![Row { labels, values }]))
            }
            MetricExpr::Range(range) => {
                let rows = self.range(range, None)?;
                self.limit_series(rows).map(Outcome::Rows)
            }
            MetricExpr::Vector(vector) => {
                let rows = self.vector(vector)?;
                self.limit_series(rows).map(Outcome::Rows)
            }
            MetricExpr::LabelReplace(replace) => {
                let rows = self.rows(&replace.inner)?;
                relabel::label_replace(replace, rows).map(Outcome::Rows)
            }
            MetricExpr::Binary(binary) => self.binary(binary),
        })
    }

    /// Evaluates an expression that gives rows.
    fn rows(&mut self, expr: &MetricExpr) -> Result<Vec<Row>, LogQlError> {
        Ok(match self.eval(expr)? {
            Outcome::Rows(rows) => rows,
            Outcome::Number(_) => return Err(LogQlError::Unevaluable(BARE_NUMBER)),
        })
    }

    fn vector(&mut self, vector: &VectorExpr) -> Result<Vec<Row>, LogQlError> {
        if vector.op == VectorOp::ApproxTopk && !self.is_instant {
            return Err(LogQlError::Unevaluable(
                "count min sketches are only supported on instant queries",
            ));
        }
        // It has words of its own for a number.
        if vector.op == VectorOp::ApproxTopk && matches!(vector.inner, MetricExpr::Literal(_)) {
            return Err(LogQlError::Unevaluable("unexpected empty result"));
        }
        // What is aggregated is no answer, so its series do not count as such.
        let condenses = !matches!(
            vector.op,
            VectorOp::Topk
                | VectorOp::Bottomk
                | VectorOp::ApproxTopk
                | VectorOp::Sort
                | VectorOp::SortDesc
        );
        let rows = match &vector.inner {
            MetricExpr::Range(range) if condenses => {
                let no_labels = Grouping {
                    without: false,
                    labels: Vec::new(),
                };
                let adds = matches!(
                    range.op,
                    RangeOp::Count
                        | RangeOp::Rate
                        | RangeOp::Bytes
                        | RangeOp::BytesRate
                        | RangeOp::Sum
                );
                // Sums are the same in groups from the start.
                let pushed = vector.op == VectorOp::Sum && adds && range.grouping.is_none();
                let outer = vector.grouping.as_ref().unwrap_or(&no_labels);
                self.range(range, pushed.then_some(outer))?
            }
            inner => self.rows(inner)?,
        };
        aggregate::aggregate(vector, rows, self.steps.n)
    }

    /// Refuses more series than an answer may have.
    fn limit_series(&mut self, mut rows: Vec<Row>) -> Result<Vec<Row>, LogQlError> {
        let limit = match self.query.max_series {
            0 => self.options.max_series,
            limit => limit,
        };
        if rows.len() <= limit || limit == 0 {
            return Ok(rows);
        }
        rows.retain(Row::has_values);
        if rows.len() <= limit {
            return Ok(rows);
        }
        if !self.query.partial_series {
            return Err(LogQlError::TooManySeries { limit });
        }
        let warning = format!(
            "maximum number of series ({limit}) reached for a single query; \
             returning partial results"
        );
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
        rows.truncate(limit);
        Ok(rows)
    }
}
