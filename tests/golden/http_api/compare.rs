//! Comparing an answer with the recorded one, as the corpus' README asks.

use serde_json::Value;

use crate::corpus;

/// Largest relative difference of values in results.
const TOLERANCE: f64 = 1e-9;
/// Largest difference of numbers elsewhere: a microsecond.
const MICROSECOND: f64 = 1e-6;

/// What came of one comparison.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The first difference; `None` where the answers agree.
    pub(crate) difference: Option<String>,
    /// Messages that both have, ours first; their wording is judged apart.
    pub(crate) messages: Vec<(String, String)>,
}

impl Outcome {
    pub(crate) fn failed(difference: String) -> Outcome {
        Outcome {
            difference: Some(difference),
            messages: Vec::new(),
        }
    }
}

/// How one case is compared.
pub(crate) struct Rules {
    ignored: Vec<Vec<Step>>,
    unordered: Vec<Vec<Step>>,
    counted: Vec<Vec<Step>>,
    federate: bool,
}

/// A step of a path, or of a pattern for paths.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    /// `.*`: any key.
    AnyKey,
    /// `[]`: any index.
    AnyIndex,
    /// `**`: this and anything below, as the recorded value is blank.
    Below,
}

impl Rules {
    pub(crate) fn of(case: &Value) -> Rules {
        let patterns = |name: &str| -> Vec<Vec<Step>> {
            let list = case.get(name).and_then(Value::as_array);
            list.into_iter()
                .flatten()
                .map(|pattern| parse(pattern.as_str().unwrap()))
                .collect()
        };
        Rules {
            ignored: patterns("ignore"),
            unordered: patterns("unordered"),
            counted: patterns("count"),
            federate: corpus::field(case, "text") == "federate",
        }
    }

    pub(crate) fn compare_text(&self, text: &str, expected: &str, status: u16) -> Outcome {
        let mut outcome = Outcome::default();
        if covers(&self.ignored, &[Step::Key("text".to_owned())]) {
            return outcome;
        }
        if status >= 300 {
            if text.is_empty() != expected.is_empty() {
                return Outcome::failed(format!("text {text:?} instead of {expected:?}"));
            }
            if !expected.is_empty() {
                outcome
                    .messages
                    .push((text.to_owned(), expected.to_owned()));
            }
            return outcome;
        }
        let same = if self.federate {
            federate_lines(text) == federate_lines(expected)
        } else {
            text == expected
        };
        if !same {
            return Outcome::failed(format!("text {text:?} instead of {expected:?}"));
        }
        outcome
    }

    pub(crate) fn compare_json(&self, found: &Value, expected: &Value) -> Outcome {
        let mut messages = Vec::new();
        let difference = self.compare(found, expected, &mut Vec::new(), &mut messages);
        Outcome {
            difference: difference.err(),
            messages,
        }
    }

    fn compare(
        &self,
        found: &Value,
        expected: &Value,
        path: &mut Vec<Step>,
        messages: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        let here = path.clone();
        let differ = |what: String| Err(format!("{}: {what}", shown(&here)));
        if covers(&self.ignored, path) {
            if kind(found) != kind(expected) {
                return differ(format!("{} instead of {}", kind(found), kind(expected)));
            }
            return Ok(());
        }
        if is_message(path)
            && let (Value::String(found), Value::String(expected)) = (found, expected)
        {
            if found.is_empty() != expected.is_empty() {
                return differ(format!("{found:?} instead of {expected:?}"));
            }
            messages.push((found.clone(), expected.clone()));
            return Ok(());
        }
        match (found, expected) {
            (Value::Object(found), Value::Object(expected)) => {
                let too_much = |key: &&String| !expected.contains_key(*key);
                // The reference was built with three kinds of discovery, Kymo has more.
                let may_have_more = is_discovery_list(path);
                if let Some(key) = found.keys().find(too_much).filter(|_| !may_have_more) {
                    return differ(format!("has {key:?}, which is too much"));
                }
                for (key, expected) in expected {
                    let Some(found) = found.get(key) else {
                        return differ(format!("{key:?} is missing"));
                    };
                    path.push(Step::Key(key.clone()));
                    self.compare(found, expected, path, messages)?;
                    path.pop();
                }
                Ok(())
            }
            (Value::Array(found), Value::Array(expected)) => {
                if found.len() != expected.len() {
                    let (ours, theirs) = (found.len(), expected.len());
                    return differ(format!("{ours} items instead of {theirs}"));
                }
                if covers(&self.counted, path) {
                    return Ok(());
                }
                if covers(&self.unordered, path) {
                    return self.compare_sets(found, expected, path);
                }
                for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                    path.push(Step::Index(i));
                    self.compare(found, expected, path, messages)?;
                    path.pop();
                }
                Ok(())
            }
            (Value::String(ours), Value::String(theirs)) if in_result(path) => {
                if ours == theirs || close(ours, theirs) {
                    Ok(())
                } else {
                    differ(format!("{ours:?} instead of {theirs:?}"))
                }
            }
            (Value::Number(ours), Value::Number(theirs)) => {
                let (ours_f, theirs_f) = (ours.as_f64(), theirs.as_f64());
                let near = ours_f
                    .zip(theirs_f)
                    .is_some_and(|(a, b)| (a - b).abs() < MICROSECOND);
                if ours == theirs || near {
                    Ok(())
                } else {
                    differ(format!("{ours} instead of {theirs}"))
                }
            }
            _ if found == expected => Ok(()),
            _ => differ(format!("{found} instead of {expected}")),
        }
    }

    fn compare_sets(
        &self,
        found: &[Value],
        expected: &[Value],
        path: &[Step],
    ) -> Result<(), String> {
        let mut left: Vec<&Value> = found.iter().collect();
        for expected in expected {
            let at = left.iter().position(|found| {
                let mut path = path.to_vec();
                path.push(Step::Index(0));
                self.compare(found, expected, &mut path, &mut Vec::new())
                    .is_ok()
            });
            match at {
                Some(at) => {
                    left.swap_remove(at);
                }
                None => return Err(format!("{}: no item equals {expected}", shown(path))),
            }
        }
        Ok(())
    }
}

/// Lines of `/federate` without their timestamps, as a sorted list.
fn federate_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| match line.rsplit_once(' ') {
            Some((sample, _)) if !line.starts_with('#') => sample.to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    lines.sort();
    lines
}

/// Tells whether a text at this place is a message for people.
fn is_message(path: &[Step]) -> bool {
    path.iter().any(|step| {
        matches!(step, Step::Key(key)
            if matches!(key.as_str(), "error" | "lastError" | "warnings" | "infos"))
    })
}

/// Tells whether this is the list of discovery mechanisms in `/api/v1/features`.
fn is_discovery_list(path: &[Step]) -> bool {
    let name = |name: &str| Step::Key(name.to_owned());
    *path == [name("data"), name("service_discovery_providers")]
}

fn in_result(path: &[Step]) -> bool {
    let key = |i: usize, name: &str| path.get(i) == Some(&Step::Key(name.to_owned()));
    key(0, "data") && key(1, "result") && path.get(3) != Some(&Step::Key("metric".to_owned()))
}

fn close(ours: &str, theirs: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    let Some((ours, theirs)) = number(ours).zip(number(theirs)) else {
        return false;
    };
    if ours.is_nan() && theirs.is_nan() || ours == theirs {
        return true;
    }
    let whole = ours.fract() == 0.0 && theirs.fract() == 0.0;
    !whole && (ours - theirs).abs() <= TOLERANCE * ours.abs().max(theirs.abs())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Reads `data.result[0].*`, `data.list[].name` or `data.list**`.
fn parse(pattern: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in pattern.split('.') {
        let (part, below) = match part.strip_suffix("**") {
            Some(part) => (part, true),
            None => (part, false),
        };
        let mut pieces = part.split('[');
        match pieces.next() {
            Some("*") => steps.push(Step::AnyKey),
            Some("") | None => {}
            Some(key) => steps.push(Step::Key(key.to_owned())),
        }
        for index in pieces {
            let index = index.trim_end_matches(']');
            steps.push(index.parse().map_or(Step::AnyIndex, Step::Index));
        }
        if below {
            steps.push(Step::Below);
        }
    }
    steps
}

fn covers(patterns: &[Vec<Step>], path: &[Step]) -> bool {
    patterns.iter().any(|pattern| {
        let fits = |pattern: &[Step]| {
            pattern.len() == path.len()
                && pattern.iter().zip(path).all(|(want, is)| match want {
                    Step::AnyKey => matches!(is, Step::Key(_)),
                    Step::AnyIndex => matches!(is, Step::Index(_)),
                    want => want == is,
                })
        };
        match pattern.split_last() {
            Some((Step::Below, above)) => {
                path.len() >= above.len() && covers(&[above.to_vec()], &path[..above.len()])
            }
            _ => fits(pattern),
        }
    })
}

fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Step::Index(i) => text.push_str(&format!("[{i}]")),
            other => text.push_str(&format!("{other:?}")),
        }
    }
    text
}
