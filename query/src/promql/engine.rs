//! The engine: a query's text in, its value with annotations and costs out.

use std::sync::Arc;

use kymo_storage::model::TimeRange;

use crate::cache::{Keeping, keeping};
use crate::error::QueryError;
use crate::limits::{Cancel, MemoryGrant, MemoryPool};
use crate::promql::ast::{Expr, ValueType};
use crate::promql::eval::{Element, Evaluator, Grid, Row, into_series};
use crate::promql::explain::Explanation;
use crate::promql::features::Features;
use crate::promql::plan::{Bounds, Node, Plan};
use crate::promql::reach::{self, Ordered};
use crate::promql::value::{PointValue, Value, VectorSample};
use crate::source::Source;
use crate::stats::QueryStats;
use crate::workers::Workers;

/// Most levels of a query that is explained: what explains it is as deep, and so is its
/// JSON, which few could read.
const MAX_EXPLAINED_LEVELS: usize = 256;

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
    /// Count the samples of each step, too. Every step is evaluated once more for it, and
    /// together with the one before.
    pub count_per_step: bool,
}

/// Samples that one step of a query has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSamples {
    /// Time of the step in milliseconds.
    pub t_ms: i64,
    /// Samples that it looked at (`totalQueryableSamplesPerStep`).
    pub total: u64,
    /// Samples among them that the step before had not read (`samplesReadPerStep`).
    pub read: u64,
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
    /// The same by step, where it was asked for.
    pub steps: Vec<StepSamples>,
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
        let grid = Grid::instant(t_ms);
        let lookback_delta_ms = self.lookback(options);
        let run = Run {
            query,
            grid,
            source,
            whole: reach::whole(&plan.root, &grid, lookback_delta_ms),
            lookback_delta_ms,
            cancel,
        };
        let mut result = self.run(&plan.root, &run, |rows| match plan.root.value_type {
            ValueType::Scalar => Value::Scalar {
                t_ms,
                value: rows.first().and_then(|row| row.get(0)).unwrap_or(f64::NAN),
            },
            ValueType::Vector => Value::Vector(into_vector(rows, t_ms)),
            ValueType::Matrix | ValueType::String => Value::Matrix(Vec::new()),
        })?;
        if options.count_per_step {
            result.steps.push(StepSamples {
                t_ms,
                total: result.stats.total_samples,
                read: result.stats.samples_read,
            });
        }
        Ok(result)
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
        let asked = RangeQuery {
            query,
            start_ms,
            end_ms,
            step_ms,
        };
        let prepared = self.prepare(&asked, options)?;
        let mut result = self.run_part(&prepared, source, start_ms, end_ms, cancel)?;
        if options.count_per_step {
            result.steps = self.count_steps(&prepared, source, &asked, cancel)?;
        }
        Ok(result)
    }

    /// Counts the samples of each step of a range query. A step looks at as many as an
    /// instant query does; what two steps together read, and the first of them alone does
    /// not, is what the second reads.
    fn count_steps(
        &self,
        prepared: &Prepared<'_>,
        source: &dyn Source,
        asked: &RangeQuery<'_>,
        cancel: &Cancel,
    ) -> Result<Vec<StepSamples>, QueryError> {
        let grid = Grid::new(asked.start_ms, asked.end_ms, asked.step_ms);
        let mut counted = Vec::with_capacity(grid.steps);
        let mut read_before = 0;
        for step in 0..grid.steps {
            let t_ms = grid.time(step);
            let alone = self.run_part(prepared, source, t_ms, t_ms, cancel)?.stats;
            let read = match step {
                0 => alone.samples_read,
                _ => {
                    let before_ms = grid.time(step - 1);
                    let both = self.run_part(prepared, source, before_ms, t_ms, cancel)?;
                    both.stats.samples_read.saturating_sub(read_before)
                }
            };
            read_before = alone.samples_read;
            counted.push(StepSamples {
                t_ms,
                total: alone.total_samples,
                read,
            });
        }
        Ok(counted)
    }

    /// Explains what the engine will do with a query. With a step of 0 it is an instant
    /// query at the start.
    ///
    /// # Errors
    /// As [`Engine::range`] and [`Engine::instant`], as far as they evaluate nothing.
    pub fn explain(
        &self,
        asked: &RangeQuery<'_>,
        options: &QueryOptions,
    ) -> Result<Explanation, QueryError> {
        let RangeQuery {
            query, start_ms, ..
        } = *asked;
        let expr = self.parse(query)?;
        if expr.is_deeper_than(MAX_EXPLAINED_LEVELS) {
            return Err(QueryError::Invalid(format!(
                "query is nested too deeply to be explained, at most {MAX_EXPLAINED_LEVELS} \
                 levels are"
            )));
        }
        if asked.step_ms > 0 {
            let prepared = self.prepare(asked, options)?;
            let grid = Grid::new(start_ms, asked.end_ms, asked.step_ms);
            let keeping = match self.options.delayed_name_removal {
                true => Keeping::Refused,
                false => keeping(&prepared.expr, prepared.lookback_delta_ms),
            };
            let steps = (start_ms, asked.step_ms, grid.steps);
            let root = &prepared.plan.root;
            let whole = prepared.whole;
            return Explanation::new(query, root, steps, whole, Some(keeping));
        }
        let bounds = Bounds {
            start_ms,
            end_ms: start_ms,
            step_ms: 0,
        };
        let plan = Plan::new(&expr, bounds)?;
        let whole = reach::whole(&plan.root, &Grid::instant(start_ms), self.lookback(options));
        Explanation::new(query, &plan.root, (start_ms, 0, 1), whole, None)
    }

    /// Makes a range query ready to be run, as a whole or in parts.
    ///
    /// # Errors
    /// As [`Engine::range`].
    pub(crate) fn prepare<'q>(
        &self,
        asked: &RangeQuery<'q>,
        options: &QueryOptions,
    ) -> Result<Prepared<'q>, QueryError> {
        let RangeQuery {
            query,
            start_ms,
            end_ms,
            step_ms,
        } = *asked;
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
        let grid = Grid::new(start_ms, end_ms, step_ms);
        let lookback_delta_ms = self.lookback(options);
        let whole = reach::whole(&plan.root, &grid, lookback_delta_ms);
        Ok(Prepared {
            query,
            expr,
            plan,
            step_ms,
            lookback_delta_ms,
            whole,
        })
    }

    /// Runs some steps of a range query, which start at a step of it. They are only
    /// those of the whole where nothing in the query is one of its own times.
    pub(crate) fn run_part(
        &self,
        prepared: &Prepared<'_>,
        source: &dyn Source,
        start_ms: i64,
        end_ms: i64,
        cancel: &Cancel,
    ) -> Result<QueryResult, QueryError> {
        let run = Run {
            query: prepared.query,
            grid: Grid::new(start_ms, end_ms, prepared.step_ms),
            source,
            whole: prepared.whole,
            lookback_delta_ms: prepared.lookback_delta_ms,
            cancel,
        };
        self.run(&prepared.plan.root, &run, |rows| {
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
        let source = Ordered {
            source: run.source,
            whole: run.whole,
        };
        let mut evaluator =
            Evaluator::new(&source, &self.options, run.lookback_delta_ms, run.cancel);
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
            steps: Vec::new(),
            memory,
        })
    }
}

/// A query at many times, all in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct RangeQuery<'a> {
    /// The expression.
    pub query: &'a str,
    /// Time of the first step.
    pub start_ms: i64,
    /// Time after which there is no step.
    pub end_ms: i64,
    /// Distance of the steps.
    pub step_ms: i64,
}

/// A range query ready to be run.
#[derive(Debug)]
pub(crate) struct Prepared<'q> {
    query: &'q str,
    pub(crate) expr: Expr,
    plan: Plan,
    step_ms: i64,
    pub(crate) lookback_delta_ms: i64,
    /// The times that it looks at.
    pub(crate) whole: Option<TimeRange>,
}

/// What one run of a query needs besides its plan.
struct Run<'a> {
    query: &'a str,
    grid: Grid,
    source: &'a dyn Source,
    whole: Option<TimeRange>,
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
