//! Taking typed values out of a [`Node`] by name, collecting every mistake.
//!
//! The rules are those of Go's strict YAML reading (`go.yaml.in/yaml/v2`): a number or
//! boolean may be written where a text is wanted (its characters count), an unknown
//! key or one that stands twice is a mistake. The texts are Go's too, with the Go name
//! of the type, because people search for them.
//!
//! A written null is not a missing key: Go makes the zero of the field's type of it and
//! asks no reader of that type, so `honor_timestamps:` is `false` and `scheme: ~` is
//! empty, whatever their defaults are. Where the default is that zero, or a zero means
//! "inherit", the two are the same, and [`Fields::take`] passes over both; a default
//! that is not takes [`Fields::bool_or`], [`Fields::string_or`] or
//! [`Fields::take_with_null`].

use std::collections::HashMap;

use kymo_storage::compat::quote::quote;

use super::error::{ConfigError, Problem, ProblemKind};
use super::yaml::{Node, Position, Value};

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a key or type that does not belong there.
    pub(crate) fn shape(&mut self, at: Position, message: String, remedy: Option<String>) {
        self.push(at, ProblemKind::Shape, message, remedy);
    }

    /// Notes a value that is not allowed.
    pub(crate) fn value(&mut self, at: Position, message: impl Into<String>) {
        self.push(at, ProblemKind::Value, message.into(), None);
    }

    /// Notes something that this version does not do.
    pub(crate) fn unsupported(&mut self, at: Position, what: &str, remedy: &str) {
        let message = format!("{what} is not supported yet by this version of Kymo");
        self.push(
            at,
            ProblemKind::Unsupported,
            message,
            Some(remedy.to_owned()),
        );
    }

    /// Counts the mistakes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the mistakes in the order of the file.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| problem.at);
        self.0
    }

    /// Tells whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over the mistakes of another list.
    pub(crate) fn append(&mut self, mut other: Problems) {
        self.0.append(&mut other.0);
    }

    /// Returns what was read, or the mistakes in the order of the file.
    pub(crate) fn settle<T>(self, read: T) -> Result<T, ConfigError> {
        if self.is_empty() {
            return Ok(read);
        }
        Err(ConfigError::Invalid {
            path: None,
            problems: self.into_sorted(),
        })
    }

    fn push(&mut self, at: Position, kind: ProblemKind, message: String, remedy: Option<String>) {
        self.0.push(Problem {
            at,
            kind,
            message,
            remedy,
        });
    }
}

/// The pairs of a map, taken one by one under the names its reader knows.
pub(crate) struct Fields<'n> {
    node: &'n Node,
    go_type: &'static str,
    pairs: &'n [(Node, Node)],
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Opens a map; `go_type` is the name complaints give it. What is not a map is a
    /// mistake and reads as an empty one.
    pub(crate) fn open(
        node: &'n Node,
        go_type: &'static str,
        problems: &mut Problems,
    ) -> Fields<'n> {
        Fields {
            node,
            go_type,
            pairs: map(node, go_type, problems),
            known: Vec::new(),
        }
    }

    /// Returns where a key stands, or the map where it does not have the key.
    pub(crate) fn position_of(&self, name: &str) -> Position {
        self.node.position_of(name)
    }

    /// Takes the value under `name`; `None` where it is missing or null.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.take_with_null(name).filter(|node| !node.is_null())
    }

    /// Takes the value under `name`, a null included.
    pub(crate) fn take_with_null(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.push(name);
        let pair = self.pairs.iter().find(|(key, _)| key.text() == Some(name));
        pair.map(|(_, value)| value)
    }

    /// Takes a text; empty where it is missing.
    pub(crate) fn string(&mut self, name: &'static str, problems: &mut Problems) -> String {
        let node = self.take(name);
        node.and_then(|node| string(node, problems))
            .unwrap_or_default()
    }

    /// Takes a text; `default` where it is missing, empty where it is null.
    pub(crate) fn string_or(
        &mut self,
        name: &'static str,
        default: &str,
        problems: &mut Problems,
    ) -> String {
        let node = self.take_with_null(name);
        node.and_then(|node| string(node, problems))
            .unwrap_or_else(|| default.to_owned())
    }

    /// Takes a boolean; `default` where it is missing, `false` where it is null.
    pub(crate) fn bool_or(
        &mut self,
        name: &'static str,
        default: bool,
        problems: &mut Problems,
    ) -> bool {
        match self.take_with_null(name) {
            Some(node) if node.is_null() => false,
            Some(node) => boolean(node, problems).unwrap_or(default),
            None => default,
        }
    }

    /// Takes a boolean that may be left to others: `None` where it is missing or null.
    pub(crate) fn bool(&mut self, name: &'static str, problems: &mut Problems) -> Option<bool> {
        let node = self.take(name);
        node.and_then(|node| boolean(node, problems))
    }

    /// Takes a non-negative whole number; 0 where it is missing.
    pub(crate) fn uint(&mut self, name: &'static str, problems: &mut Problems) -> u64 {
        let node = self.take(name);
        node.and_then(|node| uint(node, problems)).unwrap_or(0)
    }

    /// Takes a list; empty where it is missing.
    pub(crate) fn list(
        &mut self,
        name: &'static str,
        go_type: &'static str,
        problems: &mut Problems,
    ) -> &'n [Node] {
        match self.take(name) {
            Some(node) => list(node, go_type, problems),
            None => &[],
        }
    }

    /// Takes a value and hands its text to `parse`; a failure is a mistake at the
    /// value. `None` where it is missing or wrong.
    pub(crate) fn parsed<T, E: ToString>(
        &mut self,
        name: &'static str,
        problems: &mut Problems,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let node = self.take(name)?;
        let text = string(node, problems)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                problems.value(node.at, error.to_string());
                None
            }
        }
    }

    /// Knows `names` as Prometheus' own, and refuses them unless they say nothing.
    pub(crate) fn unsupported(
        &mut self,
        names: &[&'static str],
        remedy: &str,
        problems: &mut Problems,
    ) {
        for name in names {
            if let Some(node) = self.take(name)
                && !node.is_empty()
            {
                problems.unsupported(self.position_of(name), name, remedy);
            }
        }
    }

    /// Ends reading: keys that nobody took are unknown, keys that stand twice are wrong.
    pub(crate) fn finish(self, problems: &mut Problems) {
        let go_type = self.go_type;
        self.finish_with(problems, |key, _| {
            format!(
                "field {} already set in type {go_type}",
                key.text().unwrap_or_default()
            )
        });
    }

    /// Ends reading like [`Fields::finish`], in the words of version 3 of Go's YAML
    /// package, which Prometheus reads rule files with.
    pub(crate) fn finish_v3(self, problems: &mut Problems) {
        self.finish_with(problems, twice_v3);
    }

    /// Ends reading; `twice` makes the text about a key and the first of its name.
    fn finish_with(self, problems: &mut Problems, twice: impl Fn(&Node, &Node) -> String) {
        let Fields { go_type, .. } = self;
        for (i, (key, _)) in self.pairs.iter().enumerate() {
            let name = match key.text() {
                Some(name) => name,
                None if key.is_null() => "",
                None => {
                    wrong_type(key, "string", problems);
                    continue;
                }
            };
            if !self.known.contains(&name) {
                let message = format!("field {name} not found in type {go_type}");
                let remedy = match nearest(name, &self.known) {
                    Some(known) => format!("did you mean \"{known}\"?"),
                    None => "not known here, remove it".to_owned(),
                };
                problems.shape(key.at, message, Some(remedy));
            } else if let Some((first, _)) =
                self.pairs[..i].iter().find(|(k, _)| k.text() == Some(name))
            {
                problems.shape(key.at, twice(key, first), None);
            }
        }
    }
}

/// Reads a text; numbers and booleans count as written.
pub(crate) fn string(node: &Node, problems: &mut Problems) -> Option<String> {
    match &node.value {
        Value::Null => Some(String::new()),
        Value::Scalar { text, .. } => Some(text.clone()),
        _ => {
            wrong_type(node, "string", problems);
            None
        }
    }
}

/// Reads a boolean in YAML 1.1's spellings.
pub(crate) fn boolean(node: &Node, problems: &mut Problems) -> Option<bool> {
    let value = match &node.value {
        Value::Scalar { text, plain: true } => yaml_bool(text),
        _ => None,
    };
    if value.is_none() {
        wrong_type(node, "bool", problems);
    }
    value
}

/// Reads a whole number that is not negative.
pub(crate) fn uint(node: &Node, problems: &mut Problems) -> Option<u64> {
    let value = match &node.value {
        Value::Scalar { text, plain: true } => yaml_int(text).and_then(|n| u64::try_from(n).ok()),
        _ => None,
    };
    if value.is_none() {
        wrong_type(node, "uint", problems);
    }
    value
}

/// Reads a whole number of 64 bits; what is behind a point is cut, as Go's reader does.
pub(crate) fn int(node: &Node, problems: &mut Problems) -> Option<i64> {
    let value = match &node.value {
        Value::Scalar { text, plain: true } => match yaml_int(text) {
            Some(whole) => i64::try_from(whole).ok(),
            None => yaml_float(text)
                .filter(|number| number.abs() < TWO_TO_63)
                .map(|number| number as i64),
        },
        _ => None,
    };
    if value.is_none() {
        wrong_type(node, "int", problems);
    }
    value
}

/// Reads a whole number that is not negative where any number may be written; what is
/// behind the point is cut, as Go's reader does.
pub(crate) fn uint_from_number(node: &Node, go_type: &str, problems: &mut Problems) -> Option<u64> {
    let value = match &node.value {
        Value::Scalar { text, plain: true } => match yaml_int(text) {
            Some(whole) => u64::try_from(whole).ok(),
            None => match yaml_float(text) {
                // Go lets the first number too large pass and makes this of it.
                Some(number) if number == TWO_TO_64 => Some(1 << 63),
                Some(number) if (0.0..TWO_TO_64).contains(&number) => Some(number as u64),
                _ => None,
            },
        },
        _ => None,
    };
    if value.is_none() {
        wrong_type(node, go_type, problems);
    }
    value
}

/// Reads a number.
pub(crate) fn float(node: &Node, problems: &mut Problems) -> Option<f64> {
    let value = match &node.value {
        Value::Scalar { text, plain: true } => {
            yaml_float(text).or_else(|| yaml_int(text).map(|n| n as f64))
        }
        _ => None,
    };
    if value.is_none() {
        wrong_type(node, "float64", problems);
    }
    value
}

/// Reads a list.
pub(crate) fn list<'n>(node: &'n Node, go_type: &str, problems: &mut Problems) -> &'n [Node] {
    match &node.value {
        Value::List(items) => items,
        Value::Null => &[],
        _ => {
            wrong_type(node, go_type, problems);
            &[]
        }
    }
}

fn map<'n>(node: &'n Node, go_type: &str, problems: &mut Problems) -> &'n [(Node, Node)] {
    match &node.value {
        Value::Map(pairs) => pairs,
        Value::Null => &[],
        _ => {
            wrong_type(node, go_type, problems);
            &[]
        }
    }
}

/// Reads a list of texts.
pub(crate) fn strings(node: &Node, problems: &mut Problems) -> Vec<String> {
    let items = list(node, "[]string", problems);
    items
        .iter()
        .filter_map(|item| string(item, problems))
        .collect()
}

/// Reads a map with any keys, as pairs in the order of the file.
pub(crate) fn pairs<'n>(
    node: &'n Node,
    go_type: &str,
    problems: &mut Problems,
) -> Vec<(Position, String, &'n Node)> {
    let twice = |key: &Node, _: &Node| {
        let name = quote(key.text().unwrap_or_default());
        format!("key {name} already set in map")
    };
    pairs_with(node, go_type, twice, problems)
}

/// Reads a map with any keys; `twice` makes the text about a key and the first of its
/// name.
pub(crate) fn pairs_with<'n>(
    node: &'n Node,
    go_type: &str,
    twice: impl Fn(&Node, &Node) -> String,
    problems: &mut Problems,
) -> Vec<(Position, String, &'n Node)> {
    let pairs = map(node, go_type, problems);
    let mut out: Vec<(Position, String, &Node)> = Vec::with_capacity(pairs.len());
    // Where each name stood first, so that a map of many keys is read in one pass.
    let mut first: HashMap<String, &Node> = HashMap::with_capacity(pairs.len());
    for (key, value) in pairs {
        let Some(name) = string(key, problems) else {
            continue;
        };
        match first.get(&name) {
            Some(earlier) => problems.shape(key.at, twice(key, earlier), None),
            None => {
                first.insert(name.clone(), key);
                out.push((key.at, name, value));
            }
        }
    }
    out
}

/// Notes that a node has another type than `wanted`, in Go's words.
pub(crate) fn wrong_type(node: &Node, wanted: &str, problems: &mut Problems) {
    let found = match &node.value {
        Value::Null => "!!null".to_owned(),
        Value::List(_) => "!!seq".to_owned(),
        Value::Map(_) => "!!map".to_owned(),
        Value::Scalar { text, plain } => {
            let tag = if *plain { yaml_tag(text) } else { "!!str" };
            let cut = text.char_indices().nth(7).map_or(text.len(), |(i, _)| i);
            if text.len() > 10 {
                format!("{tag} `{}...`", &text[..cut])
            } else {
                format!("{tag} `{text}`")
            }
        }
    };
    let message = format!("cannot unmarshal {found} into {wanted}");
    problems.shape(node.at, message, None);
}

/// The text of version 3 of Go's YAML package about a key that stands twice.
pub(crate) fn twice_v3(key: &Node, first: &Node) -> String {
    let name = quote(key.text().unwrap_or_default());
    format!(
        "mapping key {name} already defined at line {}",
        first.at.line
    )
}

fn yaml_tag(text: &str) -> &'static str {
    if yaml_bool(text).is_some() {
        "!!bool"
    } else if yaml_int(text).is_some() {
        "!!int"
    } else if yaml_float(text).is_some() {
        "!!float"
    } else {
        "!!str"
    }
}

/// Reads a plain scalar as YAML 1.1 boolean.
pub(crate) fn yaml_bool(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(false)
        }
        _ => None,
    }
}

/// Reads a plain scalar as YAML 1.1 integer: a sign, a base prefix, `_` anywhere.
pub(crate) fn yaml_int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let lower = digits.to_ascii_lowercase();
    let value = if let Some(hex) = lower.strip_prefix("0x") {
        i128::from(u64::from_str_radix(hex, 16).ok()?)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        i128::from(u64::from_str_radix(octal, 8).ok()?)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        i128::from(u64::from_str_radix(binary, 2).ok()?)
    } else if lower.len() > 1 && lower.starts_with('0') {
        i128::from(u64::from_str_radix(&lower, 8).ok()?)
    } else {
        i128::from(lower.parse::<u64>().ok()?)
    };
    Some(if negative { -value } else { value })
}

/// Reads a plain scalar as YAML 1.1 float that is not an integer.
pub(crate) fn yaml_float(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let plain = text.replace('_', "");
    let body = plain.strip_prefix(['-', '+']).unwrap_or(&plain);
    let numeric = body
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    let starts = body.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !numeric || !starts {
        return None;
    }
    plain.parse().ok()
}

/// Reads anything, as the value that JSON has for it.
pub(crate) fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.value {
        Value::Null => Json::Null,
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(pairs) => {
            let named = pairs.iter().map(|(key, value)| {
                let name = key.text().unwrap_or_default();
                (name.to_owned(), json(value))
            });
            Json::Object(named.collect())
        }
        Value::Scalar { text, plain: false } => Json::from(text.as_str()),
        Value::Scalar { text, plain: true } => {
            let whole = yaml_int(text).and_then(|whole| i64::try_from(whole).ok());
            let number = || yaml_float(text).and_then(serde_json::Number::from_f64);
            let read = yaml_bool(text).map(Json::from);
            let read = read.or_else(|| whole.map(Json::from));
            let read = read.or_else(|| number().map(Json::Number));
            read.unwrap_or_else(|| Json::from(text.as_str()))
        }
    }
}

/// Finds the known name that a mistyped one was meant to be: at most a third of its
/// characters differ.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let budget = (name.chars().count() / 3).clamp(1, 3);
    let scored = known.iter().map(|k| (edit_distance(name, k), *k));
    scored
        .filter(|(distance, _)| *distance <= budget)
        .min()
        .map(|(_, k)| k)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
