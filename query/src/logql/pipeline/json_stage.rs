//! The stages `json` and `unpack`.
//!
//! Upstream source: `pkg/logql/log/parser.go` of Loki.

use super::entry_labels::EntryLabels;
use super::hints::Hints;
use super::json::{
    Flow, JsonError, JsonValue, is_blank, is_too_deep, members, push_string, unescape,
};
use super::names::{EXTRACTED, NameId, push_sanitized};
use crate::logql::text::text_of;

/// What a line is called that is no JSON.
pub(super) const ERROR_KIND: &str = "JSONParserErr";

/// `json` without arguments: all members become labels, nested ones with joined names.
#[derive(Debug, Clone, Default)]
pub(super) struct Json {
    /// Name of the objects around a member.
    prefix: Vec<u8>,
    value: Vec<u8>,
}

impl Json {
    /// Extracts labels; tells whether the line is still wanted.
    pub(super) fn run(&mut self, line: &[u8], hints: &Hints, labels: &mut EntryLabels) -> bool {
        if hints.nothing_to_do(labels) {
            return true;
        }
        self.prefix.clear();
        match self.object(line, 0, hints, labels) {
            Ok(flow) => flow != Flow::Refuse,
            Err(error) => {
                hints.fail(ERROR_KIND, Some(&error.to_string()), labels);
                true
            }
        }
    }

    fn object(
        &mut self,
        text: &[u8],
        depth: usize,
        hints: &Hints,
        labels: &mut EntryLabels,
    ) -> Result<Flow, JsonError> {
        let mut failure = None;
        let flow = members(text, &mut Vec::new(), |key, value| {
            let flow = match value {
                JsonValue::Object(_) if is_too_deep(depth) => Flow::On,
                JsonValue::Object(inner) => {
                    let len = self.prefix.len();
                    self.push_key(key);
                    let inside = match hints.wants_prefix(&self.prefix) {
                        true => self.object(inner, depth + 1, hints, labels),
                        false => Ok(Flow::On),
                    };
                    self.prefix.truncate(len);
                    return inside.unwrap_or_else(|error| {
                        failure = Some(error);
                        Flow::Stop
                    });
                }
                JsonValue::String(text) => {
                    self.label(key, depth, hints, labels, |out| push_string(text, out))
                }
                JsonValue::Number(text) | JsonValue::Bool(text) => {
                    self.label(key, depth, hints, labels, |out| out.extend_from_slice(text))
                }
                JsonValue::Null | JsonValue::Array(_) => Flow::On,
            };
            match flow {
                Flow::On if hints.has_all(labels) => Flow::Stop,
                flow => flow,
            }
        })?;
        failure.map_or(Ok(flow), Err)
    }

    fn push_key(&mut self, key: &[u8]) {
        if is_blank(key) {
            return;
        }
        if !self.prefix.is_empty() {
            self.prefix.push(b'_');
        }
        push_sanitized(&mut self.prefix, key);
    }

    /// Returns the label of a member of an inner object. Where keys are blank all the way,
    /// its name is empty; a name that is taken is moved by a longer key.
    fn nested_name(&mut self, key: &[u8], labels: &mut EntryLabels) -> NameId {
        let len = self.prefix.len();
        self.push_key(key);
        let mut name = labels.names.of_sanitized(&self.prefix);
        if labels.clashes(name) {
            self.prefix.truncate(len);
            self.push_key(&[key, EXTRACTED.as_bytes()].concat());
            name = labels.names.of_sanitized(&self.prefix);
        }
        self.prefix.truncate(len);
        name
    }

    fn label(
        &mut self,
        key: &[u8],
        depth: usize,
        hints: &Hints,
        labels: &mut EntryLabels,
        push_value: impl FnOnce(&mut Vec<u8>),
    ) -> Flow {
        let name = match depth {
            0 => {
                let Some(mut name) = labels.names.of_key(key) else {
                    return Flow::On;
                };
                if labels.clashes(name) {
                    name = labels.names.extracted(name);
                }
                name
            }
            _ => self.nested_name(key, labels),
        };
        if !hints.needs(name, labels) {
            return Flow::On;
        }
        self.value.clear();
        push_value(&mut self.value);
        labels.set_parsed(name, &self.value);
        match hints.keeps(name, labels) {
            true => Flow::On,
            false => Flow::Refuse,
        }
    }
}

/// Key of the line in what was packed.
const ENTRY_KEY: &[u8] = b"_entry";

/// `unpack`: the line and its labels out of a flat object, as Promtail's `pack` makes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Unpack {
    found: Vec<(NameId, usize)>,
    values: Vec<u8>,
    entry: Vec<u8>,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unpacked<'a> {
    /// The line stays.
    Same,
    /// There is a new one.
    Line(&'a [u8]),
    /// It is not wanted.
    Refused,
}

impl Unpack {
    /// Unpacks a line.
    pub(super) fn run(
        &mut self,
        line: &[u8],
        hints: &Hints,
        labels: &mut EntryLabels,
    ) -> Unpacked<'_> {
        if line.is_empty() || hints.nothing_to_do(labels) {
            return Unpacked::Same;
        }
        if line[0] != b'{' {
            let details = "expecting json object(6), but it is not";
            hints.fail(ERROR_KIND, Some(details), labels);
            return Unpacked::Same;
        }
        let Unpack {
            found,
            values,
            entry,
        } = self;
        found.clear();
        values.clear();
        let (mut is_packed, mut is_bad) = (false, false);
        let outcome = members(line, &mut Vec::new(), |key, value| {
            let JsonValue::String(text) = value else {
                return Flow::On;
            };
            if key == ENTRY_KEY {
                entry.clear();
                is_bad |= !unescape(text, entry);
                is_packed = true;
                return if is_bad { Flow::Stop } else { Flow::On };
            }
            // Until it is set the label is called as its key is.
            let mut name = labels.names.id(&text_of(key));
            if labels.clashes(name) {
                name = labels.names.extracted(name);
            }
            if hints.needs(name, labels) {
                push_string(text, values);
                found.push((labels.names.sanitized(name), values.len()));
            }
            Flow::On
        });
        let error = match outcome {
            Err(error) => Some(error),
            Ok(_) if is_bad => Some(JsonError::Escape),
            Ok(_) => None,
        };
        if let Some(error) = error {
            hints.fail(ERROR_KIND, Some(&error.to_string()), labels);
            return Unpacked::Same;
        }
        if !is_packed {
            return Unpacked::Same;
        }
        let mut start = 0;
        for (name, end) in found.iter() {
            labels.set_parsed(*name, &values[start..*end]);
            start = *end;
            if !hints.keeps(*name, labels) {
                return Unpacked::Refused;
            }
        }
        Unpacked::Line(entry)
    }
}
