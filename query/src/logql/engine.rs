//! The engine: a query in, its value with costs out.

use std::sync::Arc;

use super::ast::{Expr, MetricExpr, VectorOp};
use super::entries::EntryQuery;
use super::error::LogQlError;
use super::eval::{Evaluator, Outcome, Row, Steps, is_present};
use super::source::LogSource;
use super::value::{LogResult, LogSample, LogSeries, LogStats, LogValue};
use crate::limits::{Budget, Cancel, MemoryPool};
use crate::workers::Workers;

/// How a [`LogEngine`] works.
#[derive(Debug, Clone)]
pub struct LogEngineOptions {
    /// Most series of an answer, and of what an answer is made of; 0 for no limit.
    pub max_series: usize,
    /// Bytes of memory that one query may hold at a time: entries, series, groups that are
    /// read.
    pub max_memory_bytes: u64,
    /// Where that memory is taken from; `None` for an endless one.
    pub memory: Option<Arc<dyn MemoryPool>>,
    /// Threads that help with queries; `None` to evaluate on the calling thread alone.
    pub workers: Option<Arc<dyn Workers>>,
}

impl Default for LogEngineOptions {
    fn default() -> LogEngineOptions {
        LogEngineOptions {
            max_series: 500,
            max_memory_bytes: u64::MAX,
            memory: None,
            workers: None,
        }
    }
}

/// What one query may decide for itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogQueryOptions {
    /// What templates take for the present, in nanoseconds since the epoch.
    pub now_ns: i64,
    /// Most series instead of the engine's; 0 for the engine's.
    pub max_series: usize,
    /// Whether a query for too many series gets some of them and a warning instead of an
    /// error.
    pub partial_series: bool,
    /// Whether streams of an answer are those of the source, and the other labels are told
    /// with each entry. Without, entries with other labels are other streams.
    pub categorize_labels: bool,
}

/// Which entries come first, and which are left out beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// The newest come first.
    #[default]
    Backward,
    /// The oldest come first.
    Forward,
}

/// A query over a range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRangeQuery {
    /// The first time, in nanoseconds since the epoch.
    pub start_ns: i64,
    /// The last time at which numbers are computed, and the first of which there are no
    /// entries.
    pub end_ns: i64,
    /// Distance of the times at which numbers are computed.
    pub step_ns: i64,
    /// Least distance of entries, 0 for all.
    pub interval_ns: i64,
    /// Most entries.
    pub limit: usize,
    /// Which entries come first.
    pub direction: Direction,
}

/// Runs queries over a [`LogSource`]. Holds no state between queries.
///
/// ```
/// use kymo_query::Cancel;
/// use kymo_query::logql::{
///     LogEngine, LogEngineOptions, LogQueryOptions, LogValue, MemoryLogSource, parse,
/// };
/// use kymo_storage::model::Labels;
///
/// let mut source = MemoryLogSource::new();
/// let stream = Labels::from_pairs([("app", "shop")]);
/// for i in 0..10 {
///     let line = format!("level=info took={i}ms");
///     source.push(&stream, i * 1_000_000_000, line.as_bytes(), []);
/// }
/// let engine = LogEngine::new(LogEngineOptions::default());
/// let query = parse(r#"max_over_time({app="shop"} | logfmt | unwrap duration(took) [5s])"#)?;
/// let (options, cancel) = (LogQueryOptions::default(), Cancel::new());
/// let result = engine.instant(&source, &query, 9_000_000_000, &options, &cancel)?;
/// let LogValue::Vector(samples) = result.value else {
///     return Err("a function gives a vector".into());
/// };
/// assert_eq!(samples[0].value, 0.009);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LogEngine {
    options: LogEngineOptions,
}

impl LogEngine {
    /// Returns an engine.
    pub fn new(options: LogEngineOptions) -> LogEngine {
        LogEngine { options }
    }

    /// Returns how the engine works.
    pub fn options(&self) -> &LogEngineOptions {
        &self.options
    }

    /// Evaluates a query for numbers at one time, in nanoseconds since the epoch.
    ///
    /// # Errors
    /// See [`LogQlError`]. A query for entries is [`LogQlError::InstantEntries`].
    pub fn instant(
        &self,
        source: &dyn LogSource,
        expr: &Expr,
        t_ns: i64,
        options: &LogQueryOptions,
        cancel: &Cancel,
    ) -> Result<LogResult, LogQlError> {
        let Expr::Metric(expr) = expr else {
            return Err(LogQlError::InstantEntries);
        };
        let steps = Steps::instant(t_ns);
        let t_ms = steps.t_ms(0);
        self.metric(
            source,
            expr,
            (steps, true),
            options,
            cancel,
            |outcome| match outcome {
                Outcome::Number(value) => LogValue::Scalar { t_ms, value },
                Outcome::Rows(rows) => {
                    let samples = rows.into_iter().filter_map(|row| {
                        let value = row.values.first().copied().filter(|v| is_present(*v))?;
                        let labels = row.labels;
                        Some(LogSample {
                            labels,
                            t_ms,
                            value,
                        })
                    });
                    let mut samples: Vec<LogSample> = samples.collect();
                    if !sorts(expr) {
                        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
                    }
                    LogValue::Vector(samples)
                }
            },
        )
    }

    /// Evaluates a query over a range of time: numbers at each step, or entries.
    ///
    /// # Errors
    /// See [`LogQlError`].
    pub fn range(
        &self,
        source: &dyn LogSource,
        expr: &Expr,
        query: &LogRangeQuery,
        options: &LogQueryOptions,
        cancel: &Cancel,
    ) -> Result<LogResult, LogQlError> {
        let expr = match expr {
            Expr::Metric(expr) => expr,
            Expr::Log(expr) => {
                let mut entries = EntryQuery {
                    source,
                    query,
                    options,
                    cancel,
                    workers: self.options.workers.as_ref(),
                    stats: LogStats::default(),
                    budget: self.budget(),
                };
                let value = entries.run(expr)?;
                let bytes = value.memory_bytes();
                return Ok(LogResult {
                    value,
                    stats: entries.stats,
                    warnings: Vec::new(),
                    memory: Arc::new(entries.budget.into_grant(bytes)),
                });
            }
        };
        let steps = Steps::new(query.start_ns, query.end_ns, query.step_ns)?;
        self.metric(source, expr, (steps, false), options, cancel, |outcome| {
            let points = |values: Vec<f64>| {
                let values = values.into_iter().enumerate();
                let present = values.filter(|(_, value)| is_present(*value));
                present
                    .map(|(step, value)| (steps.t_ms(step), value))
                    .collect()
            };
            let rows = match outcome {
                Outcome::Rows(rows) => rows,
                Outcome::Number(value) => vec![Row {
                    labels: Default::default(),
                    values: vec![value; steps.n],
                }],
            };
            let series = rows.into_iter().map(|row| LogSeries {
                labels: row.labels,
                points: points(row.values),
            });
            let mut series: Vec<LogSeries> =
                series.filter(|series| !series.points.is_empty()).collect();
            series.sort_by(|a, b| a.labels.cmp(&b.labels));
            LogValue::Matrix(joined(series))
        })
    }

    fn budget(&self) -> Budget {
        let memory = self.options.memory.clone();
        Budget::new(usize::MAX, self.options.max_memory_bytes, memory)
    }

    fn metric(
        &self,
        source: &dyn LogSource,
        expr: &MetricExpr,
        (steps, is_instant): (Steps, bool),
        options: &LogQueryOptions,
        cancel: &Cancel,
        to_value: impl FnOnce(Outcome) -> LogValue,
    ) -> Result<LogResult, LogQlError> {
        let mut evaluator = Evaluator {
            source,
            steps,
            is_instant,
            options: &self.options,
            query: options,
            cancel,
            stats: LogStats::default(),
            warnings: Vec::new(),
            budget: self.budget(),
        };
        let outcome = evaluator.eval(expr)?;
        let value = to_value(outcome);
        let bytes = value.memory_bytes();
        evaluator.stats.entries = evaluator.stats.post_filter_lines;
        Ok(LogResult {
            value,
            stats: evaluator.stats,
            warnings: evaluator.warnings,
            memory: Arc::new(evaluator.budget.into_grant(bytes)),
        })
    }
}

/// Makes one series of those with the same labels, which `label_replace` may make: it then has
/// several points of one time, as in Loki.
fn joined(sorted: Vec<LogSeries>) -> Vec<LogSeries> {
    let mut series: Vec<LogSeries> = Vec::with_capacity(sorted.len());
    let mut grown = Vec::new();
    for next in sorted {
        match series.last_mut() {
            Some(last) if last.labels == next.labels => {
                last.points.extend(next.points);
                grown.push(series.len() - 1);
            }
            _ => series.push(next),
        }
    }
    grown.dedup();
    for index in grown {
        if let Some(series) = series.get_mut(index) {
            series.points.sort_by_key(|(t_ms, _)| *t_ms);
        }
    }
    series
}

/// Tells whether a query orders its answer itself.
fn sorts(expr: &MetricExpr) -> bool {
    crate::syntax::deep::grow(|| match expr {
        MetricExpr::Vector(vector) => {
            matches!(vector.op, VectorOp::Sort | VectorOp::SortDesc) || sorts(&vector.inner)
        }
        MetricExpr::Binary(binary) => sorts(&binary.lhs) || sorts(&binary.rhs),
        MetricExpr::LabelReplace(replace) => sorts(&replace.inner),
        MetricExpr::Range(_) | MetricExpr::VectorLiteral(_) | MetricExpr::Literal(_) => false,
    })
}
