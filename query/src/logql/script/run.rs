//! Running of scripts.

use kymo_storage::model::Labels;

use super::parse::{Command, Eval, Expected, Failure, Load, Script, When};
use crate::limits::Cancel;
use crate::logql::{
    Direction, LabelSet, LogEngine, LogQueryOptions, LogRangeQuery, LogResult, LogValue,
    MemoryLogSource, parse,
};

/// How values may differ, relative to the larger.
const TOLERANCE: f64 = 1e-9;

/// What came of a script.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its queries, in order.
    pub evals: Vec<EvalReport>,
}

/// What came of one query.
#[derive(Debug, Clone)]
pub struct EvalReport {
    /// Line of the command, from 1.
    pub line: usize,
    /// What differs; `None` where the answer is as expected.
    pub difference: Option<String>,
}

impl Report {
    /// Counts the queries that answered as expected.
    pub fn n_passed(&self) -> usize {
        let passed = self.evals.iter().filter(|eval| eval.difference.is_none());
        passed.count()
    }
}

/// Runs a script.
pub fn run(script: &Script, engine: &LogEngine) -> Report {
    let mut source = MemoryLogSource::new();
    let mut evals = Vec::new();
    for command in &script.commands {
        match command {
            Command::Clear => source = MemoryLogSource::new(),
            Command::Load(loads) => loads.iter().for_each(|load| push(&mut source, load)),
            Command::Eval(eval) => evals.push(EvalReport {
                line: eval.line,
                difference: check(eval, engine, &source).err(),
            }),
        }
    }
    Report { evals }
}

fn push(source: &mut MemoryLogSource, load: &Load) {
    let labels: Labels = load.labels.to_labels();
    for i in 0..load.count {
        let line = load.line.replace("{{.i}}", &i.to_string());
        let t_ns = load
            .start_ns
            .saturating_add(load.step_ns.saturating_mul(i as i64));
        source.push(&labels, t_ns, line.as_bytes(), load.metadata.iter());
    }
}

fn evaluate(
    eval: &Eval,
    engine: &LogEngine,
    source: &MemoryLogSource,
) -> Result<LogResult, String> {
    let expr = parse(&eval.query).map_err(|error| error.to_string())?;
    let (options, cancel) = (LogQueryOptions::default(), Cancel::new());
    let result = match eval.when {
        When::Instant { t_ns } => engine.instant(source, &expr, t_ns, &options, &cancel),
        When::Range {
            start_ns,
            end_ns,
            step_ns,
        } => {
            let query = LogRangeQuery {
                start_ns,
                end_ns,
                step_ns,
                interval_ns: 0,
                limit: 100,
                direction: Direction::Forward,
            };
            engine.range(source, &expr, &query, &options, &cancel)
        }
    };
    result.map_err(|error| error.to_string())
}

/// Compares the answer to a query with what is expected.
fn check(eval: &Eval, engine: &LogEngine, source: &MemoryLogSource) -> Result<(), String> {
    let outcome = evaluate(eval, engine, source);
    if let Expected::Fail(failure) = &eval.expected {
        return match outcome {
            Ok(result) => Err(format!("{}: no error but {:?}", eval.query, result.value)),
            Err(error) => {
                let is_meant = match failure {
                    Failure::Any => true,
                    Failure::Containing(text) => error.contains(text),
                    Failure::Matching(regex) => regex.is_match(&error),
                };
                match is_meant {
                    true => Ok(()),
                    false => Err(format!("{}: another error: {error}", eval.query)),
                }
            }
        };
    }
    let value = outcome
        .map_err(|error| format!("{}: {error}", eval.query))?
        .value;
    compare(eval, &value).map_err(|difference| format!("{}: {difference}", eval.query))
}

fn compare(eval: &Eval, value: &LogValue) -> Result<(), String> {
    let (start_ns, end_ns, step_ns) = match eval.when {
        When::Instant { t_ns } => (t_ns, t_ns, 1),
        When::Range {
            start_ns,
            end_ns,
            step_ns,
        } => (start_ns, end_ns, step_ns.max(1)),
    };
    let steps = usize::try_from((end_ns - start_ns) / step_ns).unwrap_or(0) + 1;
    let t_ms = |step: usize| (start_ns + step as i64 * step_ns).div_euclid(1_000_000);
    // All kinds of answers as values by step.
    let got: Vec<(LabelSet, Vec<Option<f64>>)> = match value {
        LogValue::Scalar { value, .. } => match &eval.expected {
            Expected::Scalar(wanted) if is_same(*wanted, *value) => return Ok(()),
            _ => return Err(format!("got the number {value}")),
        },
        LogValue::Streams(_) => return Err("got entries".to_owned()),
        LogValue::Vector(samples) => samples
            .iter()
            .map(|sample| (sample.labels.clone(), vec![Some(sample.value)]))
            .collect(),
        LogValue::Matrix(series) => series
            .iter()
            .map(|series| {
                let at = |step| {
                    let found = series.points.iter().find(|(t, _)| *t == t_ms(step));
                    found.map(|(_, value)| *value)
                };
                (series.labels.clone(), (0..steps).map(at).collect())
            })
            .collect(),
    };
    let wanted: Vec<(LabelSet, Vec<Option<f64>>)> = match &eval.expected {
        Expected::Series(series) => series.clone(),
        Expected::Scalar(value) => vec![(LabelSet::empty(), vec![Some(*value); steps])],
        Expected::Empty | Expected::Fail(_) => Vec::new(),
    };
    if wanted.is_empty() && !matches!(eval.expected, Expected::Empty) {
        return Err("the script expects nothing".to_owned());
    }
    let (mut got, mut wanted) = (got, wanted);
    if !eval.ordered {
        got.sort_by(|a, b| a.0.cmp(&b.0));
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let same_values = |a: &[Option<f64>], b: &[Option<f64>]| {
        let pairs = || a.iter().zip(b);
        a.len() == b.len()
            && pairs().all(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => is_same(*a, *b),
                (a, b) => a.is_none() && b.is_none(),
            })
    };
    let mut pairs = got.iter().zip(&wanted);
    let is_same = got.len() == wanted.len()
        && pairs.all(|(got, wanted)| got.0 == wanted.0 && same_values(&got.1, &wanted.1));
    match is_same {
        true => Ok(()),
        false => Err(format!("want {wanted:?}, got {got:?}")),
    }
}

fn is_same(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() || a.is_infinite() || b.is_infinite() {
        return a.is_nan() && b.is_nan() || a == b;
    }
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}
