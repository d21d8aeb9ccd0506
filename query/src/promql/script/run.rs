//! Runs scripts.

use std::sync::Arc;

use kymo_storage::model::{Labels, Matcher};

use super::parse::{Clause, Command, Eval, Expected, Load, Script, TextMatch, When};
use super::store::{LoadError, TestSample, TestStore};
use super::{compare, nhcb, variants};
use crate::error::QueryError;
use crate::limits::Cancel;
use crate::promql::ast::{Expr, ExprKind};
use crate::promql::parse::parse_expr;
use crate::promql::series::{SeriesHistogram, SeriesValue};
use crate::promql::{Engine, PointValue, QueryOptions, QueryResult, Value, VectorSample};

/// How far the range reaches to both sides of the time of an instant query that is
/// asked again as a range.
const RANGE_MARGIN_MS: i64 = 60_000;

/// What a script's queries answered.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One entry for each query, in order.
    pub evals: Vec<EvalReport>,
}

/// What one query answered.
#[derive(Debug, Clone)]
pub struct EvalReport {
    /// Line of the query in the script, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// Whether the answer was the expected one.
    pub outcome: Outcome,
}

/// Whether an answer was the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was, in every way the query was asked.
    Passed,
    /// It was not; what differed.
    Failed(String),
    /// The query or its data needs something that is not there yet; what.
    Unsupported(String),
}

impl Report {
    /// Counts the queries that answered as expected.
    pub fn n_passed(&self) -> usize {
        self.evals
            .iter()
            .filter(|e| e.outcome == Outcome::Passed)
            .count()
    }
}

/// Runs a script on an engine, over a store that it clears first.
///
/// An instant query is also asked with `@` on all its selectors, at several times,
/// and each time as the middle of a range; all answers must be the expected one.
pub fn run(script: &Script, engine: &Engine, store: &mut dyn TestStore) -> Report {
    let mut runner = Runner {
        engine,
        store,
        missing: Vec::new(),
    };
    runner.store.clear();
    let mut report = Report::default();
    for command in &script.commands {
        match command {
            Command::Clear => {
                runner.store.clear();
                runner.missing.clear();
            }
            Command::Load(load) => runner.load(load),
            Command::Eval(eval) => report.evals.push(EvalReport {
                line: eval.line,
                query: eval.query.clone(),
                outcome: runner.eval(eval),
            }),
        }
    }
    report
}

struct Runner<'a> {
    engine: &'a Engine,
    store: &'a mut dyn TestStore,
    /// Series of which something could not be loaded, and what.
    missing: Vec<(Labels, LoadError)>,
}

/// One way to ask for what a query asks for.
struct Variant {
    query: String,
    t_ms: i64,
}

impl Runner<'_> {
    fn load(&mut self, load: &Load) {
        for series in &load.series {
            let mut t_ms = 0i64;
            let mut starts = series.start_offsets_ms.iter();
            for value in &series.values {
                let start = starts.next().copied().flatten();
                let sample = TestSample {
                    t_ms,
                    start_ms: start.map(|offset_ms| t_ms.saturating_add(offset_ms)),
                    value,
                };
                if *value != SeriesValue::Gap
                    && let Err(error) = self.store.add(&series.labels, &sample)
                {
                    self.note_missing(series.labels.clone(), error);
                }
                t_ms = t_ms.saturating_add(load.step_ms);
            }
        }
        if load.with_nhcb {
            self.load_native(load);
        }
    }

    /// Loads the classic histograms among the series as native ones.
    fn load_native(&mut self, load: &Load) {
        for (labels, classic) in nhcb::classic_histograms(load) {
            for (t_ms, classic) in classic {
                let native = classic.and_then(|classic| classic.to_native());
                let added = native.map_err(|error| LoadError::Failed(error.to_string()));
                let added = added.and_then(|native| {
                    let value = SeriesValue::Histogram(SeriesHistogram {
                        histogram: Arc::new(native),
                        hint_set: false,
                    });
                    let sample = TestSample {
                        t_ms,
                        start_ms: None,
                        value: &value,
                    };
                    self.store.add(&labels, &sample)
                });
                if let Err(error) = added {
                    self.note_missing(labels.clone(), error);
                }
            }
        }
    }

    fn note_missing(&mut self, labels: Labels, error: LoadError) {
        if !self.missing.iter().any(|(known, _)| *known == labels) {
            self.missing.push((labels, error));
        }
    }

    fn eval(&self, eval: &Eval) -> Outcome {
        let features = &self.engine.options().enable;
        let expr = match parse_expr(&eval.query, features) {
            Ok(expr) => expr,
            Err(error) => return self.judge(eval, Err(error.into())).into(),
        };
        if let Some(error) = self.missing_for(&expr) {
            return match error {
                LoadError::Unsupported(_) => Outcome::Unsupported(error.to_string()),
                LoadError::Failed(_) => Outcome::Failed(error.to_string()),
            };
        }
        let outcome = match eval.when {
            When::Range {
                start_ms,
                end_ms,
                step_ms,
            } => {
                let result = self.range(&eval.query, start_ms, end_ms, step_ms);
                self.judge(eval, result)
            }
            When::Instant { t_ms } => self.instants(eval, &expr, t_ms).map(|()| None),
        };
        outcome.into()
    }

    /// Asks an instant query in all its variants.
    fn instants(&self, eval: &Eval, expr: &Expr, t_ms: i64) -> Result<(), Miss> {
        let t_ms = match eval.expected {
            Expected::RangeVector { end_ms, .. } => end_ms,
            _ => t_ms,
        };
        let mut all = vec![Variant {
            query: eval.query.clone(),
            t_ms,
        }];
        if let Some((query, times)) = variants::pinned(expr, t_ms) {
            all.extend(times.into_iter().map(|t_ms| Variant {
                query: query.clone(),
                t_ms,
            }));
        }
        for variant in &all {
            self.instant(eval, variant)
                .map_err(|miss| miss.of(&format!("{} at {} ms", variant.query, variant.t_ms)))?;
        }
        Ok(())
    }

    fn instant(&self, eval: &Eval, variant: &Variant) -> Result<(), Miss> {
        let options = QueryOptions::default();
        let (query, t_ms) = (&variant.query, variant.t_ms);
        let source = self.store.source();
        let result = self
            .engine
            .instant(source, query, t_ms, &options, &Cancel::new());
        let Some(value) = self.judge(eval, result)? else {
            return Ok(());
        };
        let has_one_time = matches!(eval.expected, Expected::Scalar(_) | Expected::Series(_));
        if !has_one_time || variants::depends_on_bounds(query) {
            return Ok(());
        }
        let (start_ms, end_ms) = (t_ms - RANGE_MARGIN_MS, t_ms + RANGE_MARGIN_MS);
        let in_range = |error: String| Miss::Wrong(format!("as a range: {error}"));
        let result = self
            .range(query, start_ms, end_ms, RANGE_MARGIN_MS)
            .map_err(|error| in_range(error.to_string()))?;
        if is_ordered(eval) {
            // The series of a range are sorted by labels.
            return Ok(());
        }
        let middle = middle(result.value, &value, t_ms).map_err(in_range)?;
        compare::value(eval, false, &middle).map_err(in_range)
    }

    fn range(
        &self,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<QueryResult, QueryError> {
        let (options, cancel) = (QueryOptions::default(), Cancel::new());
        let source = self.store.source();
        self.engine
            .range(source, query, start_ms, end_ms, step_ms, &options, &cancel)
    }

    /// Compares an answer with what is expected of it, and returns its value unless
    /// an error was expected.
    fn judge(
        &self,
        eval: &Eval,
        result: Result<QueryResult, QueryError>,
    ) -> Result<Option<Value>, Miss> {
        let failure = eval.clauses.iter().find_map(|clause| match clause {
            Clause::Fail(text) => Some(text),
            _ => None,
        });
        match (result, failure) {
            (Err(QueryError::Unsupported(what)), _) => {
                Err(Miss::Unsupported(format!("{what} not supported yet")))
            }
            (Err(error), Some(text)) => expected_error(text, &error),
            (Err(error), None) => Err(Miss::Wrong(error.to_string())),
            (Ok(_), Some(text)) => Err(Miss::Wrong(format!("no error, expected {text:?}"))),
            (Ok(result), None) => {
                compare::annotations(eval, &result).map_err(Miss::Wrong)?;
                compare::value(eval, is_ordered(eval), &result.value).map_err(Miss::Wrong)?;
                Ok(Some(result.value))
            }
        }
    }

    /// Finds a series that the query would select but that is not all there.
    fn missing_for(&self, expr: &Expr) -> Option<&LoadError> {
        if self.missing.is_empty() {
            return None;
        }
        let mut selectors = Vec::new();
        collect_selectors(expr, &mut selectors);
        let selected = |labels: &Labels| {
            let has = |m: &Matcher| m.matches(labels.get(m.name()).unwrap_or_default());
            selectors.iter().any(|matchers| matchers.iter().all(has))
        };
        let found = self.missing.iter().find(|(labels, _)| selected(labels));
        found.map(|(_, error)| error)
    }
}

/// Why an answer does not count.
enum Miss {
    Wrong(String),
    Unsupported(String),
}

impl From<Result<Option<Value>, Miss>> for Outcome {
    fn from(judged: Result<Option<Value>, Miss>) -> Outcome {
        match judged {
            Ok(_) => Outcome::Passed,
            Err(Miss::Unsupported(what)) => Outcome::Unsupported(what),
            Err(Miss::Wrong(what)) => Outcome::Failed(what),
        }
    }
}

impl Miss {
    fn of(self, variant: &str) -> Miss {
        match self {
            Miss::Wrong(what) => Miss::Wrong(format!("{variant}: {what}")),
            unsupported => unsupported,
        }
    }
}

fn expected_error(text: &TextMatch, error: &QueryError) -> Result<Option<Value>, Miss> {
    let message = error.to_string();
    if text.matches(&message) {
        return Ok(None);
    }
    Err(Miss::Wrong(format!(
        "expected error {text:?}, got {message:?}"
    )))
}

fn is_ordered(eval: &Eval) -> bool {
    eval.clauses.iter().any(|c| matches!(c, Clause::Ordered))
}

/// Takes the points at one time out of the answer to a range query, in the form that
/// the answer to the instant query has.
fn middle(range: Value, instant: &Value, t_ms: i64) -> Result<Value, String> {
    let Value::Matrix(series) = range else {
        return Err(format!("got a {}", range.type_name()));
    };
    if !series.is_sorted_by(|a, b| a.labels <= b.labels) {
        return Err("series of a matrix are not sorted by labels".to_owned());
    }
    let mut samples = Vec::new();
    for series in series {
        let float = series.floats.timestamps.binary_search(&t_ms).ok();
        let histogram = series.histograms.iter().find(|s| s.t_ms == t_ms);
        let value = match (float, histogram) {
            (Some(at), _) => PointValue::Float(series.floats.values[at]),
            (None, Some(sample)) => PointValue::Histogram(Arc::clone(&sample.histogram)),
            (None, None) => continue,
        };
        samples.push(VectorSample {
            labels: series.labels,
            t_ms,
            value,
        });
    }
    if !matches!(instant, Value::Scalar { .. }) {
        return Ok(Value::Vector(samples));
    }
    match samples.first().map(|sample| &sample.value) {
        Some(PointValue::Float(value)) => Ok(Value::Scalar {
            t_ms,
            value: *value,
        }),
        _ => Err("no value at the time itself".to_owned()),
    }
}

fn collect_selectors<'a>(expr: &'a Expr, into: &mut Vec<&'a [Matcher]>) {
    expr.walk(&mut |part| match &part.kind {
        ExprKind::VectorSelector(selector) => into.push(&selector.matchers),
        ExprKind::MatrixSelector(matrix) => into.push(&matrix.selector.matchers),
        _ => {}
    });
}
