//! The stage `json`: values out of JSON by JMESPath.
//!
//! Most expressions are a path of names (`request.user.id`), which needs no interpreter;
//! the others are compiled by the crate `jmespath`.

use std::sync::Arc;

use kymo_storage::compat::json::push_string;
use serde_json::Value as Tree;

use super::super::config::Mapping;
use super::super::value::Value;
use super::super::{Entry, Stage, Step};
use super::source_of;

/// How one value is found.
#[derive(Debug)]
enum Path {
    /// Name by name, and place by place in lists.
    Plain(Vec<Part>),
    /// By an expression.
    Expression(Box<jmespath::Expression<'static>>),
}

#[derive(Debug, PartialEq)]
enum Part {
    Name(String),
    /// A place from the start, or from the end where negative.
    Place(i64),
}

/// Takes values out of JSON.
#[derive(Debug, Clone)]
pub(super) struct Json {
    paths: Arc<[(Arc<str>, Path)]>,
    source: Option<Arc<str>>,
    drop_malformed: bool,
}

impl Json {
    pub(super) fn new(
        expressions: &Mapping,
        source: Option<&str>,
        drop_malformed: bool,
    ) -> Result<Json, String> {
        if expressions.is_empty() {
            return Err("JMES expression is required".to_owned());
        }
        let source = source_of(source)?;
        let mut paths = Vec::with_capacity(expressions.len());
        for (name, expression) in expressions {
            let text = if expression.is_empty() {
                name
            } else {
                expression
            };
            paths.push((Arc::from(name.as_str()), path(text)?));
        }
        Ok(Json {
            paths: paths.into(),
            source,
            drop_malformed,
        })
    }
}

/// Reads an expression.
fn path(text: &str) -> Result<Path, String> {
    if let Some(parts) = plain(text) {
        return Ok(Path::Plain(parts));
    }
    match jmespath::compile(text) {
        Ok(expression) => Ok(Path::Expression(Box::new(expression))),
        Err(error) => {
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default();
            Err(format!("could not compile JMES expression: {first}"))
        }
    }
}

/// Reads a path of plain names and places; `None` where it is more than that.
fn plain(text: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    for piece in text.trim().split('.') {
        let (name, mut places) = match piece.find('[') {
            Some(at) => piece.split_at(at),
            None => (piece, ""),
        };
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        let starts = name.starts_with(letter);
        if !starts || !name.chars().all(|c| letter(c) || c.is_ascii_digit()) {
            return None;
        }
        parts.push(Part::Name(name.to_owned()));
        while !places.is_empty() {
            let (place, behind) = places.strip_prefix('[')?.split_once(']')?;
            let digits = place.strip_prefix('-').unwrap_or(place);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            parts.push(Part::Place(place.parse().ok()?));
            places = behind;
        }
    }
    Some(parts)
}

fn follow<'v>(mut value: &'v Tree, parts: &[Part]) -> Option<&'v Tree> {
    for part in parts {
        value = match (part, value) {
            (Part::Name(name), Tree::Object(fields)) => fields.get(name)?,
            (Part::Place(place), Tree::Array(items)) => {
                let at = match *place {
                    place if place < 0 => i64::try_from(items.len()).ok()? + place,
                    place => place,
                };
                items.get(usize::try_from(at).ok()?)?
            }
            _ => return None,
        };
    }
    Some(value)
}

/// Returns a value as later stages see it: what is no text, number or boolean is its JSON.
fn extracted(json: &Tree) -> Value {
    match json {
        Tree::Null => Value::Null,
        Tree::Bool(is) => Value::Bool(*is),
        Tree::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        Tree::String(text) => Value::Text(text.clone()),
        Tree::Array(_) | Tree::Object(_) => {
            let mut out = String::new();
            write(json, &mut out);
            Value::Text(out)
        }
    }
}

/// Writes JSON as Go does: numbers shortest, the characters of HTML escaped.
fn write(json: &Tree, out: &mut String) {
    match json {
        Tree::String(text) => push_string(out, text),
        Tree::Number(number) => match number.as_f64() {
            Some(number) => out.push_str(&go_number(number)),
            None => out.push_str(&number.to_string()),
        },
        Tree::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Tree::Object(fields) => {
            out.push('{');
            for (at, (name, value)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_string(out, name);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Tree::Null | Tree::Bool(_) => out.push_str(&json.to_string()),
    }
}

fn go_number(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        return kymo_storage::compat::float::e(number);
    }
    number.to_string()
}

impl Stage for Json {
    fn process(&mut self, mut entry: Entry) -> Step {
        let Some(input) = entry.input(self.source.as_deref()) else {
            return Step::On(entry);
        };
        let parsed = match serde_json::from_str::<Tree>(&input) {
            Ok(parsed @ (Tree::Object(_) | Tree::Null)) => parsed,
            _ if self.drop_malformed => return Step::Away,
            _ => return Step::On(entry),
        };
        for (name, path) in self.paths.iter() {
            let value = match path {
                Path::Plain(parts) => follow(&parsed, parts).map_or(Value::Null, extracted),
                Path::Expression(expression) => match search(expression, &parsed) {
                    Some(found) => extracted(&found),
                    None => continue,
                },
            };
            entry.extracted.insert(Arc::clone(name), value);
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

fn search(expression: &jmespath::Expression<'_>, data: &Tree) -> Option<Tree> {
    let data = jmespath::Variable::from_serializable(data).ok()?;
    let found = expression.search(data).ok()?;
    serde_json::to_value(&*found).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_without_operators_need_no_interpreter() {
        let name = |name: &str| Part::Name(name.to_owned());
        for (text, expected) in [
            ("a", Some(vec![name("a")])),
            (
                "a.b_1[0][-1].c",
                Some(vec![
                    name("a"),
                    name("b_1"),
                    Part::Place(0),
                    Part::Place(-1),
                    name("c"),
                ]),
            ),
            ("a[*].b", None),
            ("\"a-b\"", None),
            ("a || b", None),
            ("length(a)", None),
            ("a-b", None),
            ("a..b", None),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
        assert!(path("a-b").is_err() && path("a..b").is_err());
    }

    #[test]
    fn both_ways_find_the_same() {
        let data: Tree = serde_json::from_str(
            r#"{"a":{"b":[{"c":1.0},{"c":"<x>"},true,null]},"n":1e21,"big":12345678901234567890}"#,
        )
        .unwrap();
        for text in [
            "a", "a.b", "a.b[0].c", "a.b[1].c", "a.b[-1]", "a.b[2]", "a.b[9]", "n", "x.y", "a.c",
            "big",
        ] {
            let parts = plain(text).unwrap();
            let fast = follow(&data, &parts).map_or(Value::Null, extracted);
            let slow = search(&jmespath::compile(text).unwrap(), &data).unwrap();
            assert_eq!(fast, extracted(&slow), "{text}");
        }
        let parts = plain("a.b").unwrap();
        let text = follow(&data, &parts).map(extracted);
        assert_eq!(
            text,
            Some(Value::Text(
                r#"[{"c":1},{"c":"\u003cx\u003e"},true,null]"#.to_owned()
            ))
        );
    }
}
