//! `json` with paths: `| json city="extra.geo.city", first="tags[0]"`.
//!
//! One pass over the line finds all paths; it goes over what is malformed as long as braces
//! and quotes can be told. Upstream source: `EachKey` of `github.com/buger/jsonparser`, and
//! `pkg/logql/log/jsonexpr` of Loki.

use super::entry_labels::EntryLabels;
use super::hints::Hints;
use super::json::{
    Flow, JsonError, JsonValue, items, members, next_token, push_string, string_end, unescape,
    value,
};
use super::json_stage::ERROR_KIND;
use super::names::{NameId, Names};
use crate::logql::ast::Extraction;
use crate::logql::path::{Step, parse_json_path};

/// `json` with paths.
#[derive(Debug, Clone)]
pub(super) struct JsonPaths {
    labels: Vec<NameId>,
    paths: Vec<Vec<Step>>,
    longest: usize,
    found: Vec<bool>,
    /// Keys of the objects around, one for each level.
    around: Vec<Vec<u8>>,
    value: Vec<u8>,
}

impl JsonPaths {
    /// Compiles paths.
    pub(super) fn new(extractions: &[Extraction], names: &mut Names) -> Result<JsonPaths, String> {
        let mut stage = JsonPaths {
            labels: Vec::new(),
            paths: Vec::new(),
            longest: 0,
            found: vec![false; extractions.len()],
            around: Vec::new(),
            value: Vec::new(),
        };
        for extraction in extractions {
            let text = &extraction.expression;
            let path = parse_json_path(text)
                .map_err(|error| format!("cannot parse expression [{text}]: {error}"))?;
            stage.longest = stage.longest.max(path.len());
            stage.labels.push(names.fix(&extraction.label));
            stage.paths.push(path);
        }
        stage.around.resize(stage.longest + 1, Vec::new());
        Ok(stage)
    }

    /// Extracts labels.
    pub(super) fn run(&mut self, line: &[u8], hints: &Hints, labels: &mut EntryLabels) {
        if line.is_empty() || hints.nothing_to_do(labels) {
            return;
        }
        if !matches!(line[0], b'"' | b'{' | b'[') {
            hints.fail(ERROR_KIND, None, labels);
            return;
        }
        self.found.fill(false);
        let matched = self.walk(line, hints, labels);
        if matched < self.labels.len() {
            for name in &self.labels {
                if labels.get(*name).is_none() {
                    labels.set_parsed(*name, b"");
                }
            }
        }
    }

    /// Goes through the line, and returns how many labels it has set.
    fn walk(&mut self, text: &[u8], hints: &Hints, labels: &mut EntryLabels) -> usize {
        let (mut at, mut level, mut matched) = (0, 0i64, 0);
        while at < text.len() {
            match text[at] {
                b'"' => {
                    let Some((end, escaped)) = string_end(text, at + 1) else {
                        return matched;
                    };
                    let key = &text[at + 1..end - 1];
                    let Some(next) = next_token(text, end) else {
                        return matched;
                    };
                    if text[next] != b':' {
                        at = next;
                        continue;
                    }
                    at = next;
                    if self.longest as i64 >= level {
                        if level < 1 {
                            let error = JsonError::Malformed.to_string();
                            hints.fail(ERROR_KIND, Some(&error), labels);
                            return matched;
                        }
                        let level = level as usize;
                        let around = &mut self.around[level - 1];
                        around.clear();
                        match escaped {
                            false => around.extend_from_slice(key),
                            true if unescape(key, around) => {}
                            true => return matched,
                        }
                        matched += self.member(text, at + 1, level, hints, labels);
                        if self.has_all() {
                            return matched;
                        }
                    }
                }
                b'{' => level += 1,
                b'}' | b']' => level -= 1,
                b'[' => {
                    if level < 0 {
                        let error = JsonError::Malformed.to_string();
                        hints.fail(ERROR_KIND, Some(&error), labels);
                        return matched;
                    }
                    matched += self.array(&text[at..], level as usize, hints, labels);
                    if self.has_all() {
                        return matched;
                    }
                    // Keys within arrays belong to no path.
                    let Ok((JsonValue::Array(array), _)) = value(text, at) else {
                        return matched;
                    };
                    at += array.len() - 1;
                }
                _ => {}
            }
            at += 1;
        }
        matched
    }

    fn has_all(&self) -> bool {
        self.found.iter().all(|found| *found)
    }

    /// Tells whether a path goes through the objects around.
    fn is_around(&self, path: usize, levels: usize) -> bool {
        let path = &self.paths[path];
        let mut pairs = path
            .iter()
            .zip(&self.around[..levels.min(self.around.len())]);
        pairs.all(
            |(part, key)| matches!(part, Step::Key(wanted) if wanted.as_bytes() == key.as_slice()),
        )
    }

    /// Takes the value of a member for the paths that end here.
    fn member(
        &mut self,
        text: &[u8],
        at: usize,
        level: usize,
        hints: &Hints,
        labels: &mut EntryLabels,
    ) -> usize {
        let mut matched = 0;
        for path in 0..self.paths.len() {
            let ends = self.paths[path].len() == level && !self.found[path];
            if ends && self.is_around(path, level) {
                self.found[path] = true;
                matched += self.take(path, value(text, at).map(|(v, _)| v), hints, labels);
            }
        }
        matched
    }

    /// Takes what paths want of an array.
    fn array(
        &mut self,
        text: &[u8],
        level: usize,
        hints: &Hints,
        labels: &mut EntryLabels,
    ) -> usize {
        let mut matched = 0;
        for path in 0..self.paths.len() {
            let index = match self.paths[path].get(level) {
                Some(Step::Index(index)) if !self.found[path] => *index,
                _ => continue,
            };
            if !self.is_around(path, level) {
                continue;
            }
            let mut n = 0;
            let mut item = None;
            items(text, |value| {
                item = (n == index).then_some(value);
                n += 1;
                if item.is_some() { Flow::Stop } else { Flow::On }
            });
            let Some(item) = item else {
                continue;
            };
            self.found[path] = true;
            if let Some(value) = resolve(item, &self.paths[path][level + 1..]) {
                matched += self.take(path, Ok(value), hints, labels);
            }
        }
        matched
    }

    fn take(
        &mut self,
        path: usize,
        value: Result<JsonValue<'_>, JsonError>,
        hints: &Hints,
        labels: &mut EntryLabels,
    ) -> usize {
        self.value.clear();
        match value {
            Err(error) => {
                hints.fail(ERROR_KIND, Some(&error.to_string()), labels);
                return 0;
            }
            Ok(JsonValue::Null) => {}
            Ok(JsonValue::Object(text)) => self.value.extend_from_slice(text),
            Ok(
                JsonValue::String(text)
                | JsonValue::Number(text)
                | JsonValue::Bool(text)
                | JsonValue::Array(text),
            ) => push_string(text, &mut self.value),
        }
        let mut name = self.labels[path];
        if labels.clashes(name) {
            name = labels.names.extracted(name);
        }
        labels.set_parsed(name, &self.value);
        1
    }
}

/// Follows a path inside a value.
fn resolve<'a>(value: JsonValue<'a>, path: &[Step]) -> Option<JsonValue<'a>> {
    let Some((part, rest)) = path.split_first() else {
        return Some(value);
    };
    let mut found = None;
    match (part, value) {
        (Step::Key(wanted), JsonValue::Object(text)) => {
            let _ = members(text, &mut Vec::new(), |key, value| {
                found = (key == wanted.as_bytes()).then_some(value);
                if found.is_some() {
                    Flow::Stop
                } else {
                    Flow::On
                }
            });
        }
        (Step::Index(index), JsonValue::Array(text)) => {
            let mut n = 0;
            items(text, |value| {
                found = (n == *index).then_some(value);
                n += 1;
                if found.is_some() {
                    Flow::Stop
                } else {
                    Flow::On
                }
            });
        }
        _ => {}
    }
    resolve(found?, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_inside_values_are_followed() {
        let text = br#"{"a":[{"b":"x"},[1,{"c":null}]]}"#;
        let follow = |path: &str| {
            let path = parse_json_path(path).unwrap();
            resolve(JsonValue::Object(text), &path)
        };
        assert_eq!(follow("a[0].b"), Some(JsonValue::String(b"x")));
        assert_eq!(follow("a[1][1].c"), Some(JsonValue::Null));
        assert_eq!(follow("a[2]"), None);
        assert_eq!(follow("a.b"), None);
    }
}
