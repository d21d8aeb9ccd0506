//! Fields of lines: their names, kinds, and where they come from.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::kind::kind;

/// A field of lines or of structured metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Field {
    label: String,
    #[serde(rename = "type")]
    kind: &'static str,
    cardinality: u64,
    /// The parsers that find it; `null` for structured metadata.
    parsers: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    json_path: Vec<String>,
}

/// What reads a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Parser {
    Json,
    Logfmt,
}

impl Parser {
    fn name(self) -> &'static str {
        match self {
            Parser::Json => "json",
            Parser::Logfmt => "logfmt",
        }
    }
}

/// Gathers fields, as many as are asked for.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    most: usize,
    found: BTreeMap<String, Found>,
}

#[derive(Debug, Clone)]
struct Found {
    kind: &'static str,
    values: BTreeSet<String>,
    parsers: BTreeSet<Parser>,
    path: Vec<String>,
}

impl Fields {
    pub(super) fn new(most: usize) -> Fields {
        Fields {
            most,
            found: BTreeMap::new(),
        }
    }

    /// Adds a value of a field; `path` is where it stands in an object.
    pub(super) fn add(
        &mut self,
        name: &str,
        value: &str,
        parser: Option<Parser>,
        path: Option<&[String]>,
    ) {
        if !self.found.contains_key(name) {
            if self.found.len() >= self.most {
                return;
            }
            let first = Found {
                kind: kind(value),
                values: BTreeSet::new(),
                parsers: BTreeSet::new(),
                path: Vec::new(),
            };
            self.found.insert(name.to_owned(), first);
        }
        let Some(field) = self.found.get_mut(name) else {
            return;
        };
        if !field.values.contains(value) {
            field.values.insert(value.to_owned());
        }
        field.parsers.extend(parser);
        if let Some(path) = path
            && field.path.is_empty()
        {
            field.path = path.to_vec();
        }
    }

    /// Returns what was found, in order of the names.
    pub(super) fn finish(self) -> Vec<Field> {
        let fields = self.found.into_iter();
        fields
            .map(|(label, found)| Field {
                label,
                kind: found.kind,
                cardinality: found.values.len() as u64,
                parsers: (!found.parsers.is_empty())
                    .then(|| found.parsers.iter().map(|parser| parser.name()).collect()),
                json_path: found.path,
            })
            .collect()
    }
}

/// Returns where the fields of an object stand, by the names that the parser gives them;
/// nothing where the line is no object.
pub(super) fn json_paths(line: &[u8]) -> BTreeMap<String, Vec<String>> {
    let mut paths = BTreeMap::new();
    if let Ok(object) = serde_json::from_slice::<serde_json::Map<_, _>>(line) {
        let mut path = Vec::new();
        descend(&object, &mut path, &mut paths);
    }
    paths
}

/// Objects are as deep as `serde_json` lets them be.
fn descend(
    object: &serde_json::Map<String, serde_json::Value>,
    path: &mut Vec<String>,
    paths: &mut BTreeMap<String, Vec<String>>,
) {
    for (key, value) in object {
        path.push(key.clone());
        match value {
            serde_json::Value::Object(inner) => descend(inner, path, paths),
            serde_json::Value::Array(_) | serde_json::Value::Null => {}
            _ => {
                paths
                    .entry(label_name(path))
                    .or_insert_with(|| path.clone());
            }
        }
        path.pop();
    }
}

/// Returns the name that the parser gives to what is at a path.
fn label_name(path: &[String]) -> String {
    let mut name = path.join("_");
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_the_kind_of_its_first_value_and_all_parsers() {
        let mut fields = Fields::new(3);
        fields.add("trace_id", "abc", None, None);
        fields.add(
            "status",
            "200",
            Some(Parser::Json),
            Some(&["status".to_owned()]),
        );
        fields.add("status", "oops", Some(Parser::Logfmt), None);
        fields.add("status", "200", Some(Parser::Logfmt), None);
        fields.add("took", "5ms", Some(Parser::Logfmt), None);
        fields.add("one_too_many", "x", None, None);
        let json = serde_json::to_string(&fields.finish()).unwrap();
        let expected = concat!(
            r#"[{"label":"status","type":"int","cardinality":2,"parsers":["json","logfmt"],"#,
            r#""jsonPath":["status"]},"#,
            r#"{"label":"took","type":"duration","cardinality":1,"parsers":["logfmt"]},"#,
            r#"{"label":"trace_id","type":"string","cardinality":1,"parsers":null}]"#,
        );
        assert_eq!(json, expected);
    }

    #[test]
    fn paths_lead_to_what_is_no_object() {
        let line = br#"{"a":{"b c":1,"d":{"e":"x"}},"7up":true,"n":null,"l":[1],"a_b":2}"#;
        let paths = json_paths(line);
        let found: Vec<(&str, String)> = paths
            .iter()
            .map(|(name, path)| (name.as_str(), path.join("/")))
            .collect();
        let expected = [
            ("_7up", "7up"),
            ("a_b", "a_b"),
            ("a_b_c", "a/b c"),
            ("a_d_e", "a/d/e"),
        ];
        assert_eq!(found, expected.map(|(name, path)| (name, path.to_owned())));
        for line in [&b"x"[..], b"[1]", b"{", b"\xff", b""] {
            assert!(json_paths(line).is_empty());
        }
    }
}
