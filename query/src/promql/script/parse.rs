//! From the text of a script to its commands.

use kymo_storage::compat::quote::unquote;
use kymo_storage::compat::regex::Regex;
use kymo_storage::model::Labels;

use super::line::{self, Mode, Steps, WhenWords};
use crate::promql::literal::parse_number;
use crate::promql::parse::parse_series;
use crate::promql::series::{MAX_SERIES_VALUES, SeriesValue};

/// A script, ready to run.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it does, in order.
    pub commands: Vec<Command>,
}

/// One block of a script.
#[derive(Debug, Clone)]
pub enum Command {
    /// Forget all series.
    Clear,
    /// Add samples.
    Load(Load),
    /// Evaluate a query and compare the answer.
    Eval(Box<Eval>),
}

/// Samples to add, the first of each series at time zero.
#[derive(Debug, Clone)]
pub struct Load {
    /// Distance of the samples in milliseconds.
    pub step_ms: i64,
    /// Whether classic histograms are also to be stored as native ones with custom
    /// buckets.
    pub with_nhcb: bool,
    /// The series, each once.
    pub series: Vec<LoadedSeries>,
}

/// One series of a load.
#[derive(Debug, Clone)]
pub struct LoadedSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its values, a step apart.
    pub values: Vec<SeriesValue>,
    /// For each value how far in milliseconds its start time lies from its sample's;
    /// empty where the script says nothing of start times.
    pub start_offsets_ms: Vec<Option<i64>>,
}

/// A query with what its answer must be.
#[derive(Debug, Clone)]
pub struct Eval {
    /// Line of the command, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// At which times it is evaluated.
    pub when: When,
    /// The answer.
    pub expected: Expected,
    /// What is said of errors, order and annotations.
    pub clauses: Vec<Clause>,
}

/// When a query is evaluated, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once.
    Instant {
        /// The time.
        t_ms: i64,
    },
    /// At each step.
    Range {
        /// First time.
        start_ms: i64,
        /// Last time.
        end_ms: i64,
        /// Distance of the times.
        step_ms: i64,
    },
}

/// The answer that a query must have.
#[derive(Debug, Clone)]
pub enum Expected {
    /// A number.
    Scalar(f64),
    /// A text.
    String(String),
    /// Series with one value each, or one for each step.
    Series(Vec<ExpectedSeries>),
    /// Series with several values each in answer to an instant query.
    RangeVector {
        /// The series.
        series: Vec<ExpectedSeries>,
        /// Time of the first value in milliseconds.
        start_ms: i64,
        /// No value may be later.
        end_ms: i64,
        /// Distance of the values.
        step_ms: i64,
    },
}

/// A series in an answer.
#[derive(Debug, Clone)]
pub struct ExpectedSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its values.
    pub values: Vec<SeriesValue>,
    /// Its place in the answer, from 1, where the order counts.
    pub position: usize,
}

/// One `expect` line.
#[derive(Debug, Clone)]
pub enum Clause {
    /// The query fails, with such an error.
    Fail(TextMatch),
    /// There is such a warning, and every warning is of this or another clause.
    Warn(TextMatch),
    /// There is no warning.
    NoWarn,
    /// There is such an info, and every info is of this or another clause.
    Info(TextMatch),
    /// There is no info.
    NoInfo,
    /// The order of the answer counts.
    Ordered,
}

/// Which texts a clause means.
#[derive(Debug, Clone)]
pub enum TextMatch {
    /// Any.
    Any,
    /// This one.
    Exactly(String),
    /// Those that contain a match.
    Matching(Regex),
}

impl TextMatch {
    /// Tells whether a text is meant.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            TextMatch::Any => true,
            TextMatch::Exactly(wanted) => wanted == text,
            TextMatch::Matching(regex) => regex.is_match(text),
        }
    }
}

/// A script that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// The first line that has no meaning, series included. Queries are read when they
    /// are run.
    pub fn parse(text: &str) -> Result<Script, ScriptError> {
        let lines = text.lines().map(str::trim);
        let lines = lines.map(|l| if l.starts_with('#') { "" } else { l });
        let mut lines = Lines {
            lines: lines.collect(),
            next: 0,
        };
        let mut commands = Vec::new();
        while let Some(line) = lines.take() {
            if line.is_empty() {
                continue;
            }
            let command = line.split_whitespace().next().unwrap_or_default();
            let command = command.to_ascii_lowercase();
            commands.push(if command == "clear" {
                Command::Clear
            } else if command.starts_with("load") {
                Command::Load(load(line, &mut lines)?)
            } else if command.starts_with("eval") {
                Command::Eval(Box::new(eval(line, &mut lines)?))
            } else {
                return Err(lines.error(format!("invalid command {line:?}")));
            });
        }
        Ok(Script { commands })
    }
}

struct Lines<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> Lines<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.next)?;
        self.next += 1;
        Some(line)
    }

    /// Takes the next line of the current block.
    fn take_of_block(&mut self) -> Option<&'a str> {
        let line = self.take()?;
        (!line.is_empty()).then_some(line)
    }

    /// Makes an error about the line that was taken last.
    fn error(&self, message: impl ToString) -> ScriptError {
        ScriptError {
            line: self.next,
            message: message.to_string(),
        }
    }
}

fn load(first: &str, lines: &mut Lines<'_>) -> Result<Load, ScriptError> {
    let Some((with_nhcb, step)) = line::load(first) else {
        return Err(lines.error("invalid load command, want load[_with_nhcb] STEP"));
    };
    let step_ms = line::duration_ms(step).map_err(|error| lines.error(error))?;
    let mut series: Vec<LoadedSeries> = Vec::new();
    let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
    while let Some(line) = lines.take_of_block() {
        if let Some((metric, offsets)) = start_line(line) {
            if starts.is_some() {
                return Err(lines.error("@st line has no following sample line"));
            }
            let (labels, _) =
                parse_series(&format!("{metric} _")).map_err(|error| lines.error(error))?;
            let offsets = line::start_offsets_ms(offsets, MAX_SERIES_VALUES)
                .map_err(|error| lines.error(error))?;
            starts = Some((labels, offsets));
            continue;
        }
        let (labels, values) = parse_series(line).map_err(|error| lines.error(error))?;
        let start_offsets_ms = match starts.take() {
            None => Vec::new(),
            Some((of, _)) if of != labels => {
                let message = "@st metric does not match the following sample line metric";
                return Err(lines.error(message));
            }
            Some((_, offsets)) if offsets.len() != values.len() => {
                return Err(lines.error(format!(
                    "@st line has {} values but sample line has {}",
                    offsets.len(),
                    values.len()
                )));
            }
            Some((_, offsets)) => offsets,
        };
        // A later line for the same series stands instead of the earlier one.
        series.retain(|known| known.labels != labels);
        series.push(LoadedSeries {
            labels,
            values,
            start_offsets_ms,
        });
    }
    if starts.is_some() {
        return Err(lines.error("@st line has no following sample line"));
    }
    Ok(Load {
        step_ms,
        with_nhcb,
        series,
    })
}

/// Splits `metric{labels}@st OFFSETS`.
fn start_line(line: &str) -> Option<(&str, &str)> {
    let (metric, offsets) = line.split_once([' ', '\t'])?;
    Some((metric.strip_suffix("@st")?, offsets))
}

fn eval(first: &str, lines: &mut Lines<'_>) -> Result<Eval, ScriptError> {
    let Some((mode, when, query)) = line::eval(first) else {
        return Err(lines.error(
            "invalid eval command, want eval instant at TIME QUERY \
             or eval range from TIME to TIME step STEP QUERY",
        ));
    };
    let when = match when {
        WhenWords::Instant { at } => When::Instant {
            t_ms: line::duration_ms(at).map_err(|error| lines.error(error))?,
        },
        WhenWords::Range(steps) => {
            let (start_ms, end_ms, step_ms) = times(&steps).map_err(|error| lines.error(error))?;
            When::Range {
                start_ms,
                end_ms,
                step_ms,
            }
        }
    };
    let mut eval = Eval {
        line: lines.next,
        query: query.to_owned(),
        when,
        expected: Expected::Series(Vec::new()),
        clauses: Vec::new(),
    };
    match mode {
        Mode::Plain | Mode::Fail => {}
        Mode::Warn => eval.clauses.push(Clause::Warn(TextMatch::Any)),
        Mode::Info => eval.clauses.push(Clause::Info(TextMatch::Any)),
        Mode::Ordered => eval.clauses.push(Clause::Ordered),
    }
    let mut failure = TextMatch::Any;
    let mut position = 0;
    while let Some(line) = lines.take_of_block() {
        position += 1;
        if mode == Mode::Fail
            && let Some(found) = old_failure(line).map_err(|error| lines.error(error))?
        {
            failure = found;
            break;
        }
        if line.starts_with("expect range vector") {
            let steps = line::expect_range_vector(line)
                .ok_or_else(|| lines.error("invalid range vector definition"))?;
            let (start_ms, end_ms, step_ms) = times(&steps).map_err(|error| lines.error(error))?;
            eval.expected = Expected::RangeVector {
                series: Vec::new(),
                start_ms,
                end_ms,
                step_ms,
            };
        } else if let Some(quoted) = line.strip_prefix("expect string") {
            let text = unquote(quoted.trim()).map_err(|error| lines.error(error))?;
            let text = String::from_utf8_lossy(&text).into_owned();
            eval.expected = Expected::String(text);
        } else if line.split_whitespace().next() == Some("expect") {
            let clause = clause(line).map_err(|error| lines.error(error))?;
            eval.clauses.push(clause);
            position -= 1;
        } else if let Ok(number) = parse_number(line) {
            eval.expected = Expected::Scalar(number);
            break;
        } else {
            let (labels, values) = parse_series(line).map_err(|error| lines.error(error))?;
            let added = add_series(&mut eval, labels, values, position);
            added.map_err(|error| lines.error(error))?;
        }
    }
    if mode == Mode::Fail {
        eval.clauses.push(Clause::Fail(failure));
    }
    contradiction(&eval.clauses).map_err(|error| lines.error(error))?;
    Ok(eval)
}

fn times(steps: &Steps<'_>) -> Result<(i64, i64, i64), String> {
    let start_ms = line::duration_ms(steps.from)?;
    let end_ms = line::duration_ms(steps.to)?;
    if end_ms < start_ms {
        return Err(format!(
            "end timestamp ({}) is before start timestamp ({})",
            steps.to, steps.from
        ));
    }
    Ok((start_ms, end_ms, line::duration_ms(steps.step)?))
}

/// Reads the line that says which error an `eval_fail` wants.
fn old_failure(line: &str) -> Result<Option<TextMatch>, String> {
    if let Some(message) = line.strip_prefix("expected_fail_message") {
        return Ok(Some(TextMatch::Exactly(message.trim().to_owned())));
    }
    if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
        return Ok(Some(TextMatch::Matching(regex(pattern)?)));
    }
    Ok(None)
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern.trim()).map_err(|error| error.to_string())
}

fn clause(line: &str) -> Result<Clause, String> {
    let Some((word, matching)) = line::expect(line) else {
        return Err("invalid expect statement, want expect WORD [msg:TEXT | regex:RE]".to_owned());
    };
    let text = match matching {
        None => TextMatch::Any,
        Some(("msg", text)) => TextMatch::Exactly(text.trim().to_owned()),
        Some((_, pattern)) => TextMatch::Matching(regex(pattern)?),
    };
    Ok(match word {
        "fail" => Clause::Fail(text),
        "warn" => Clause::Warn(text),
        "info" => Clause::Info(text),
        "no_warn" => Clause::NoWarn,
        "no_info" => Clause::NoInfo,
        "ordered" => Clause::Ordered,
        _ => return Err(format!("invalid expected error or annotation type {word}")),
    })
}

/// Refuses clauses that no answer can satisfy.
fn contradiction(clauses: &[Clause]) -> Result<(), &'static str> {
    let has = |wanted: fn(&Clause) -> bool| clauses.iter().any(wanted);
    if has(|c| matches!(c, Clause::Info(_))) && has(|c| matches!(c, Clause::NoInfo)) {
        return Err("info and no_info cannot be used together");
    }
    if has(|c| matches!(c, Clause::Warn(_))) && has(|c| matches!(c, Clause::NoWarn)) {
        return Err("warn and no_warn cannot be used together");
    }
    let n_fail = clauses
        .iter()
        .filter(|c| matches!(c, Clause::Fail(_)))
        .count();
    if n_fail > 1 {
        return Err("multiple expect fail lines are not allowed");
    }
    Ok(())
}

fn add_series(
    eval: &mut Eval,
    labels: Labels,
    values: Vec<SeriesValue>,
    position: usize,
) -> Result<(), &'static str> {
    let is_instant = matches!(eval.when, When::Instant { .. });
    let series = match &mut eval.expected {
        Expected::RangeVector { series, .. } => series,
        Expected::Series(_) if is_instant && values.len() > 1 => {
            return Err("several values for an instant query, want expect range vector first");
        }
        Expected::Series(series) => series,
        Expected::Scalar(_) | Expected::String(_) => return Err("series besides a text"),
    };
    series.retain(|known| known.labels != labels);
    series.push(ExpectedSeries {
        labels,
        values,
        position,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Script::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn blocks_end_at_blank_lines_and_comments() {
        let script = Script::parse(
            "load 1m\n  a 1 2\n  a 3\n# comment\n\nclear\neval instant at 1m a\n  {} 1\n\neval instant at 1m 1+1\n  2\n",
        )
        .unwrap();
        assert_eq!(script.commands.len(), 4);
        let Command::Load(load) = &script.commands[0] else {
            panic!("no load");
        };
        assert_eq!(
            load.series.len(),
            1,
            "the later line replaces the earlier one"
        );
        assert_eq!(load.series[0].values, [SeriesValue::Float(3.0)]);
        let Command::Eval(eval) = &script.commands[3] else {
            panic!("no eval");
        };
        assert!(matches!(eval.expected, Expected::Scalar(2.0)));
        assert_eq!(eval.line, 10);
    }

    #[test]
    fn what_has_no_meaning_is_refused_with_its_line() {
        let cases = [
            ("\nfoo", "line 2: invalid command"),
            ("load x", "line 1: not a valid duration string"),
            ("load 1m\n  a{ 1", "line 2: 1:"),
            (
                "load 1m\n  a@st _\n",
                "line 2: @st line has no following sample line",
            ),
            (
                "load 1m\n  a@st _\n  b 1",
                "line 3: @st metric does not match",
            ),
            (
                "load 1m\n  a@st _ _\n  a 1",
                "line 3: @st line has 2 values but",
            ),
            (
                "eval range from 5m to 1m step 1m a",
                "line 1: end timestamp",
            ),
            (
                "eval instant at 1m a\n  expect warn\n  expect no_warn",
                "line 3: warn and",
            ),
            ("eval instant at 1m a\n  a 1 2", "line 2: several values"),
            ("eval instant at 1m a\n  expect string x", "line 2: "),
        ];
        for (text, expected) in cases {
            let message = error(text);
            assert!(message.starts_with(expected), "{text:?}: {message}");
        }
    }
}
