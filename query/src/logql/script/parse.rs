//! From the text of a script to its commands.

use kymo_storage::compat::quote::unquote;
use kymo_storage::compat::regex::Regex;
use kymo_storage::compat::{duration, float};

use crate::logql::LabelSet;

/// Values of one line of a script, and entries of one line of a load.
const MAX_REPEATED: usize = 1_000_000;

/// A script, ready to run.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it does, in order.
    pub commands: Vec<Command>,
}

/// One block of a script.
#[derive(Debug, Clone)]
pub enum Command {
    /// Forget all entries.
    Clear,
    /// Add entries.
    Load(Vec<Load>),
    /// Evaluate a query and compare the answer.
    Eval(Box<Eval>),
}

/// Entries of one stream, alike but for `{{.i}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The labels of the stream.
    pub labels: LabelSet,
    /// The line; `{{.i}}` in it is the number of the entry.
    pub line: String,
    /// Time of the first entry in nanoseconds.
    pub start_ns: i64,
    /// Distance of the entries.
    pub step_ns: i64,
    /// How many there are.
    pub count: usize,
    /// Structured metadata of each.
    pub metadata: LabelSet,
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
    /// Whether the order of the answer counts.
    pub ordered: bool,
}

/// When a query is evaluated, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once.
    Instant {
        /// The time.
        t_ns: i64,
    },
    /// At each step.
    Range {
        /// First time.
        start_ns: i64,
        /// Last time.
        end_ns: i64,
        /// Distance of the times.
        step_ns: i64,
    },
}

/// The answer that a query must have.
#[derive(Debug, Clone)]
pub enum Expected {
    /// A number.
    Scalar(f64),
    /// Series with a value for each step, or none there.
    Series(Vec<(LabelSet, Vec<Option<f64>>)>),
    /// None.
    Empty,
    /// An error.
    Fail(Failure),
}

/// Which errors are meant.
#[derive(Debug, Clone)]
pub enum Failure {
    /// Any.
    Any,
    /// Those with this text in them.
    Containing(String),
    /// Those with a match.
    Matching(Regex),
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
    /// The first line that has no meaning. Queries are read when they are run.
    pub fn parse(text: &str) -> Result<Script, ScriptError> {
        let mut commands: Vec<Command> = Vec::new();
        // Whether lines further in belong to the last command.
        let mut is_open = false;
        for (index, written) in text.lines().enumerate() {
            let line = index + 1;
            let error = |message: String| ScriptError { line, message };
            let text = without_comment(written).trim_end();
            if text.trim().is_empty() {
                // Only a line that was empty from the start ends a block.
                is_open &= !written.trim().is_empty();
                continue;
            }
            if text.starts_with([' ', '\t']) {
                let last = commands.last_mut().filter(|_| is_open);
                match last {
                    Some(Command::Load(loads)) => loads.push(load(text.trim()).map_err(error)?),
                    Some(Command::Eval(eval)) => expect(eval, text.trim()).map_err(error)?,
                    _ => return Err(error("this belongs to no command".to_owned())),
                }
                continue;
            }
            let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
            commands.push(match word {
                "clear" => Command::Clear,
                "load" => Command::Load(Vec::new()),
                "eval" => Command::Eval(Box::new(eval(line, rest.trim()).map_err(error)?)),
                _ => {
                    let message = format!("unknown command {word:?}, want clear, load or eval");
                    return Err(error(message));
                }
            });
            is_open = word != "clear";
        }
        Ok(Script { commands })
    }
}

/// Cuts a line at a `#` that is not in quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return &line[..at],
            (None, '"' | '`') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    line
}

fn eval(line: usize, text: &str) -> Result<Eval, String> {
    let (when, query) = if let Some(rest) = text.strip_prefix("instant at ") {
        let (at, query) = word(rest);
        let t_ns = time(at)?;
        (When::Instant { t_ns }, query)
    } else if let Some(rest) = text.strip_prefix("range from ") {
        let (from, rest) = word(rest);
        let (to, rest) = word(rest.strip_prefix("to ").unwrap_or_default());
        let (step, query) = word(rest.strip_prefix("step ").unwrap_or_default());
        let when = When::Range {
            start_ns: time(from)?,
            end_ns: time(to)?,
            step_ns: time(step)?,
        };
        (when, query)
    } else {
        return Err(
            "want eval instant at T QUERY or eval range from T to T step S QUERY".to_owned(),
        );
    };
    Ok(Eval {
        line,
        query: query.to_owned(),
        when,
        expected: Expected::Series(Vec::new()),
        ordered: false,
    })
}

fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start())
}

fn time(text: &str) -> Result<i64, String> {
    match text {
        "0" => Ok(0),
        text => duration::parse_go(text).map_err(|error| error.to_string()),
    }
}

/// Reads a line below an `eval`.
fn expect(eval: &mut Eval, text: &str) -> Result<(), String> {
    if text.starts_with("skip values-comparison on ") {
        return Ok(());
    }
    if let Some(what) = text.strip_prefix("expect ") {
        let what = what.trim();
        match what {
            "empty" => eval.expected = Expected::Empty,
            "ordered" => eval.ordered = true,
            "fail" => eval.expected = Expected::Fail(Failure::Any),
            _ => {
                let failure = what.strip_prefix("fail ").unwrap_or_default().trim();
                let failure = if let Some(text) = failure.strip_prefix("msg:") {
                    Failure::Containing(text.trim().to_owned())
                } else if let Some(pattern) = failure.strip_prefix("regex:") {
                    let regex = Regex::new(pattern.trim());
                    Failure::Matching(regex.map_err(|error| error.to_string())?)
                } else {
                    return Err(format!("unknown expectation {what:?}"));
                };
                eval.expected = Expected::Fail(failure);
            }
        }
        return Ok(());
    }
    if !text.starts_with('{') {
        let number = float::parse(text).map_err(|error| error.to_string())?;
        eval.expected = Expected::Scalar(number);
        return Ok(());
    }
    let (labels, rest) = labels(text)?;
    let mut values = Vec::new();
    for word in rest.split_whitespace() {
        push_values(word, &mut values)?;
    }
    match &mut eval.expected {
        Expected::Series(series) => series.push((labels, values)),
        _ => return Err("series beside another kind of answer".to_owned()),
    }
    Ok(())
}

/// Reads `6`, `_`, `2+3x2` or `4x3`.
fn push_values(word: &str, out: &mut Vec<Option<f64>>) -> Result<(), String> {
    if word == "_" {
        out.push(None);
        return Ok(());
    }
    if let Ok(value) = float::parse(word) {
        out.push(Some(value));
        return Ok(());
    }
    let bad = || format!("invalid values {word:?}");
    let (run, times) = word.rsplit_once('x').ok_or_else(bad)?;
    let times: usize = times.parse().map_err(|_| bad())?;
    if times > MAX_REPEATED {
        return Err(bad());
    }
    if run == "_" {
        out.resize(out.len() + times, None);
        return Ok(());
    }
    let (mut value, step) = match float::parse(run) {
        Ok(value) => (value, 0.0),
        Err(_) => {
            let sign = run.rfind(['+', '-']).filter(|at| *at > 0).ok_or_else(bad)?;
            let parse = |text: &str| float::parse(text).map_err(|_| bad());
            (parse(&run[..sign])?, parse(&run[sign..])?)
        }
    };
    for _ in 0..=times {
        out.push(Some(value));
        value += step;
    }
    Ok(())
}

/// Reads `{a="b"} "line" @ 5s [repeat every 10s for 3] [metadata k="v"]`.
fn load(text: &str) -> Result<Load, String> {
    let (labels, rest) = labels(text)?;
    let (line, rest) = quoted(rest.trim_start())?;
    let rest = rest
        .trim_start()
        .strip_prefix('@')
        .ok_or("want @ TIME behind the line")?;
    let (at, mut rest) = word(rest.trim_start());
    let mut load = Load {
        labels,
        line: line.to_owned(),
        start_ns: time(at)?,
        step_ns: 0,
        count: 1,
        metadata: LabelSet::empty(),
    };
    while !rest.is_empty() {
        if let Some(repeat) = rest.strip_prefix("[repeat every ") {
            let (step, after) = word(repeat);
            let counted = after
                .strip_prefix("for ")
                .and_then(|after| after.split_once(']'));
            let (count, after) = counted.ok_or("want [repeat every STEP for COUNT]")?;
            load.step_ns = time(step)?;
            let count: usize = count
                .trim()
                .parse()
                .map_err(|_| format!("no count: {count}"))?;
            load.count = Some(count)
                .filter(|n| *n <= MAX_REPEATED)
                .ok_or("too many entries")?;
            rest = after.trim_start();
        } else if let Some(metadata) = rest.strip_prefix("[metadata ") {
            let (pairs, after) = pairs(metadata, ']')?;
            load.metadata =
                LabelSet::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            rest = after.trim_start();
        } else {
            return Err(format!("unknown option {rest:?}"));
        }
    }
    Ok(load)
}

/// Reads `{a="b", c=""}`.
fn labels(text: &str) -> Result<(LabelSet, &str), String> {
    let inside = text.strip_prefix('{').ok_or("want labels in braces")?;
    let (pairs, rest) = pairs(inside, '}')?;
    let set = LabelSet::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    Ok((set, rest))
}

/// Names and values as they are written.
type Pairs = Vec<(String, String)>;

/// Reads names and values up to a closing sign, with commas or spaces between.
fn pairs(text: &str, close: char) -> Result<(Pairs, &str), String> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', ',']);
    loop {
        if let Some(after) = rest.strip_prefix(close) {
            return Ok((pairs, after));
        }
        let (name, after) = match rest.starts_with(['"', '`']) {
            true => quoted(rest)?,
            false => {
                let len = rest.find(|c: char| c == '=' || c.is_whitespace());
                rest.split_at(len.ok_or_else(|| format!("want {close} behind {text:?}"))?)
            }
        };
        let value = after
            .trim_start()
            .strip_prefix('=')
            .ok_or("want = behind a name")?;
        let value = value.trim_start();
        let (raw, after) = quoted(value)?;
        let written = &value[..value.len() - after.len()];
        let unquoted = unquote(written).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        pairs.push((
            name.trim().to_owned(),
            unquoted.unwrap_or_else(|_| raw.to_owned()),
        ));
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
}

/// Reads a text in quotes or backticks, without its escapes resolved.
fn quoted(text: &str) -> Result<(&str, &str), String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '`'));
    let quote = quote.ok_or_else(|| format!("want a quoted text: {text:?}"))?;
    let inside = &text[1..];
    let end = inside.find(quote).ok_or("the quotes are not closed")?;
    Ok((&inside[..end], &inside[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let text = r#"
# a comment
clear
load
  {app="a", b="x y"} "n={{.i}} # no comment" @ 10s [repeat every 5s for 3] [metadata k="v" "k 2"="w"]
  {} `raw "line"` @ 0s # comment

eval instant at 1m sum(x) # comment
  {a="", b="c"} 1

eval range from 0 to 1m step 30s x
  expect ordered
  {} 1 _ 2+1x2 4x1
eval instant at 1m y
  expect fail msg: broken thing
eval instant at 1m 1
  -2.5
"#;
        let script = Script::parse(text).unwrap();
        let [
            Command::Clear,
            Command::Load(loads),
            Command::Eval(instant),
            Command::Eval(range),
            Command::Eval(fail),
            Command::Eval(scalar),
        ] = script.commands.as_slice()
        else {
            panic!("{:?}", script.commands);
        };
        assert_eq!(loads[0].line, "n={{.i}} # no comment");
        assert_eq!((loads[0].count, loads[0].step_ns), (3, 5_000_000_000));
        assert_eq!(loads[0].metadata.get("k 2"), Some("w"));
        assert_eq!(loads[1].line, "raw \"line\"");
        assert_eq!((instant.query.as_str(), instant.line), ("sum(x)", 8));
        let Expected::Series(series) = &instant.expected else {
            panic!("{:?}", instant.expected);
        };
        assert_eq!(series[0].0.get("a"), Some(""));
        let Expected::Series(series) = &range.expected else {
            panic!("{:?}", range.expected);
        };
        let some = |values: &[f64]| values.iter().map(|v| Some(*v)).collect::<Vec<_>>();
        assert_eq!(series[0].1[..2], [Some(1.0), None]);
        assert_eq!(series[0].1[2..], some(&[2.0, 3.0, 4.0, 4.0, 4.0]));
        assert!(range.ordered);
        assert!(
            matches!(&fail.expected, Expected::Fail(Failure::Containing(t)) if t == "broken thing")
        );
        assert!(matches!(scalar.expected, Expected::Scalar(-2.5)));
    }

    #[test]
    fn what_has_no_meaning_is_refused_with_its_line() {
        let cases = [
            ("\nfoo", "line 2: unknown command"),
            ("load\n  {a=\"b\"} \"x\" 5s", "line 2: want @ TIME"),
            ("load\n  {a=\"b\" \"x\" @ 5s", "line 2: want = behind"),
            ("eval sometimes x", "line 1: want eval instant"),
            ("eval instant at 1m x\n  {} 1z", "line 2: invalid values"),
            ("  {} 1", "line 1: this belongs to no command"),
        ];
        for (text, expected) in cases {
            let message = Script::parse(text).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{text:?}: {message}");
        }
    }
}
