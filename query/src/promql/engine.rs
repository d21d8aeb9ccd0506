//! The engine: a query's text in, its value with annotations and costs out.

use std::sync::Arc;

use crate::error::QueryError;
use crate::limits::{Cancel, MemoryGrant, MemoryPool};
use crate::promql::ast::{Expr, ValueType};
use crate::promql::eval::{Element, Evaluator, Grid, Row, into_series};
use crate::promql::features::Features;
use crate::promql::plan::{Bounds, Node, Plan};
use crate::promql::value::{PointValue, Value, VectorSample};
use crate::source::Source;
use crate::stats::QueryStats;
use crate::workers::Workers;

/// How an [`Engine`] works. The default is that of a server started without flags.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Age in milliseconds from which a sample no longer stands for its series.
    pub lookback_delta_ms: i64,
    /// Number of samples that one query may hold at a time. A query of more steps,
    /// or with a subquery of more, is refused as well (11 001 are always allowed).
    pub max_samples: usize,
    /// Bytes of memory that one query may hold at a time. What is counted are samples,
    /// selections and the labels of selected series.
    pub max_memory_bytes: u64,
    /// Where that memory is taken from; `None` for an endless one.
    pub memory: Option<Arc<dyn MemoryPool>>,
    /// Step in milliseconds of subqueries that name none.
    pub default_step_ms: i64,
    /// Optional parts of the language that are accepted.
    pub enable: Features,
    /// Keep metric names until the end of the evaluation, and drop them only then
    /// (`promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Judge by the label `__type__`, not by the name, whether a metric is a counter
    /// (`type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Let samples that say since when they have counted tell `rate` and its kin of
    /// resets, and of what was counted before the first sample
    /// (`use-start-timestamps`).
    pub use_start_timestamps: bool,
    /// Threads that help with queries; `None` to evaluate on the calling thread alone.
    pub workers: Option<Arc<dyn Workers>>,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            lookback_delta_ms: 300_000,
            max_samples: 50_000_000,
            max_memory_bytes: u64::MAX,
            memory: None,
            default_step_ms: 60_000,
            enable: Features::default(),
            delayed_name_removal: false,
            type_and_unit_labels: false,
            use_start_timestamps: false,
            workers: None,
        }
    }
}

/// What one query may decide for itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueryOptions {
    /// Lookback in milliseconds instead of the engine's; 0 for the engine's.
    pub lookback_delta_ms: i64,
}

/// The answer to a query.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// Warnings with positions in the query, sorted.
    pub warnings: Vec<String>,
    /// Infos with positions in the query, sorted.
    pub infos: Vec<String>,
    /// What the query has cost.
    pub stats: QueryStats,
    /// The memory taken for the value; keep it as long as that. Clones share it.
    pub memory: Arc<MemoryGrant>,
}

/// Runs queries over a [`Source`]. Holds no state between queries.
#[derive(Debug, Clone, Default)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// Returns an engine.
    pub fn new(options: EngineOptions) -> Engine {
        Engine { options }
    }

    /// Returns how the engine works.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Evaluates a query at one time, in milliseconds since the epoch.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn instant(
        &self,
        source: &dyn Source,
        query: &str,
        t_ms: i64,
        options: &QueryOptions,
        cancel: &Cancel,
    ) -> Result<QueryResult, QueryError> {
        let expr = self.parse(query)?;
        self.instant_parsed(source, query, &expr, t_ms, options, cancel)
    }

    /// Evaluates like [`Engine::instant`] what was parsed before; `query` is the text
    /// that warnings point into.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn instant_parsed(
        &self,
        source: &dyn Source,
        query: &str,
        expr: &Expr,
        t_ms: i64,
        options: &QueryOptions,
        cancel: &Cancel,
    ) -> Result<QueryResult, QueryError> {
        let bounds = Bounds {
            start_ms: t_ms,
            end_ms: t_ms,
            step_ms: 0,
        };
        let plan = Plan::new(expr, bounds)?;
        let run = Run {
            query,
            grid: Grid::instant(t_ms),
            source,
            lookback_delta_ms: self.lookback(options),
            cancel,
        };
        self.run(&plan.root, &run, |rows| match plan.root.value_type {
            ValueType::Scalar => Value::Scalar {
                t_ms,
                value: rows.first().and_then(|row| row.get(0)).unwrap_or(f64::NAN),
            },
            ValueType::Vector => Value::Vector(into_vector(rows, t_ms)),
            ValueType::Matrix | ValueType::String => Value::Matrix(Vec::new()),
        })
    }

    /// Evaluates a query at `start_ms`, `start_ms + step_ms` and so on, up to and
    /// including `end_ms`, all in milliseconds.
    ///
    /// # Errors
    /// See [`QueryError`]. A step below one millisecond, an end before the start and
    /// an expression that is neither scalar nor instant vector are
    /// [`QueryError::Invalid`].
    #[allow(clippy::too_many_arguments, reason = "three times and no fewer")]
    pub fn range(
        &self,
        source: &dyn Source,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
        cancel: &Cancel,
    ) -> Result<QueryResult, QueryError> {
        let expr = self.parse(query)?;
        let kind = expr.value_type();
        if kind != ValueType::Vector && kind != ValueType::Scalar {
            return Err(QueryError::Invalid(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                kind.documented()
            )));
        }
        let is_countable = end_ms.checked_sub(start_ms).is_some();
        if step_ms < 1 || end_ms < start_ms || !is_countable {
            return Err(QueryError::Invalid(format!(
                "invalid range: start {start_ms} ms, end {end_ms} ms, step {step_ms} ms; \
                 the step must be positive, the end not before the start, and both \
                 at most 292 million years apart"
            )));
        }
        let bounds = Bounds {
            start_ms,
            end_ms,
            step_ms,
        };
        let plan = Plan::new(&expr, bounds)?;
        let run = Run {
            query,
            grid: Grid::new(start_ms, end_ms, step_ms),
            source,
            lookback_delta_ms: self.lookback(options),
            cancel,
        };
        self.run(&plan.root, &run, |rows| {
            Value::Matrix(into_series(rows, &run.grid))
        })
    }

    fn parse(&self, query: &str) -> Result<Expr, QueryError> {
        Ok(crate::promql::parse_expr(query, &self.options.enable)?)
    }

    fn lookback(&self, options: &QueryOptions) -> i64 {
        if options.lookback_delta_ms > 0 {
            options.lookback_delta_ms
        } else {
            self.options.lookback_delta_ms
        }
    }

    fn run(
        &self,
        root: &Node,
        run: &Run<'_>,
        finish: impl FnOnce(Vec<Row>) -> Value,
    ) -> Result<QueryResult, QueryError> {
        run.cancel.check("query execution")?;
        let mut evaluator =
            Evaluator::new(run.source, &self.options, run.lookback_delta_ms, run.cancel);
        evaluator.hold_stack(root)?;
        let (value, annotations) = if let Some(text) = root.string() {
            let value = Value::String {
                t_ms: run.grid.start_ms,
                value: text.to_owned(),
            };
            (value, Default::default())
        } else if root.value_type == ValueType::Matrix {
            let (series, annotations) = evaluator.matrix(root, &run.grid)?;
            (Value::Matrix(series), annotations)
        } else {
            let (rows, annotations) = evaluator.top(root, &run.grid)?;
            (finish(rows), annotations)
        };
        run.cancel.check("expression evaluation")?;
        let (warnings, infos) = annotations.texts(run.query);
        let stats = evaluator.stats();
        let memory = Arc::new(evaluator.into_grant(value.memory_bytes()));
        Ok(QueryResult {
            value,
            warnings,
            infos,
            stats,
            memory,
        })
    }
}

/// What one run of a query needs besides its plan.
struct Run<'a> {
    query: &'a str,
    grid: Grid,
    source: &'a dyn Source,
    lookback_delta_ms: i64,
    cancel: &'a Cancel,
}

fn into_vector(rows: Vec<Row>, t_ms: i64) -> Vec<VectorSample> {
    rows.into_iter()
        .filter_map(|row| {
            let value = match row.element(0)? {
                Element::Float(value) => PointValue::Float(value),
                Element::Histogram(histogram) => PointValue::Histogram(histogram),
            };
            Some(VectorSample {
                labels: row.labels,
                t_ms,
                value,
            })
        })
        .collect()
}
