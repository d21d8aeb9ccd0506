//! The stage `logfmt`, with and without names of labels.
//!
//! Upstream source: `pkg/logql/log/parser.go` of Loki.

use super::entry_labels::EntryLabels;
use super::hints::Hints;
use super::json::{blank_invalid, has_invalid};
use super::logfmt::Pairs;
use super::names::{ERROR, NameId, Names};
use crate::logql::ast::Extraction;
use crate::logql::path::parse_logfmt_key;

/// What a line is called that has a defect.
const ERROR_KIND: &str = "LogfmtParserErr";

/// `logfmt` without names: all pairs become labels.
#[derive(Debug, Clone)]
pub(super) struct Logfmt {
    strict: bool,
    keep_empty: bool,
    buffer: Vec<u8>,
    value: Vec<u8>,
}

impl Logfmt {
    /// Returns the stage with its flags.
    pub(super) fn new(strict: bool, keep_empty: bool) -> Logfmt {
        Logfmt {
            strict,
            keep_empty,
            buffer: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Extracts labels; tells whether the line is still wanted.
    pub(super) fn run(&mut self, line: &[u8], hints: &Hints, labels: &mut EntryLabels) -> bool {
        if hints.nothing_to_do(labels) {
            return true;
        }
        let mut pairs = Pairs::new(line, &mut self.buffer);
        while !pairs.is_at_end() {
            let Some(pair) = pairs.take() else {
                match self.strict && pairs.error.is_some() {
                    true => break,
                    false => continue,
                }
            };
            let Some(mut name) = labels.names.of_key(pair.key) else {
                continue;
            };
            if labels.clashes(name) {
                name = labels.names.extracted(name);
            }
            if !hints.needs(name, labels) {
                continue;
            }
            let mut value = pairs.value(&pair);
            if !value.is_ascii() && has_invalid(value) {
                self.value.clear();
                self.value.extend_from_slice(value);
                blank_invalid(&mut self.value, 0);
                value = &self.value;
            }
            if value.is_empty() && !self.keep_empty {
                continue;
            }
            labels.set_parsed(name, value);
            if !hints.keeps(name, labels) {
                return false;
            }
            if hints.has_all(labels) {
                break;
            }
        }
        if let Some(error) = pairs.error.filter(|_| self.strict) {
            hints.fail(ERROR_KIND, Some(&error.to_string()), labels);
            return hints.keeps(ERROR, labels);
        }
        true
    }
}

/// `logfmt` with names: these labels and no others.
#[derive(Debug, Clone)]
pub(super) struct LogfmtKeys {
    strict: bool,
    labels: Vec<Wanted>,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    label: NameId,
    /// What the key is called as a label.
    key: NameId,
}

impl LogfmtKeys {
    /// Compiles the names.
    pub(super) fn new(
        strict: bool,
        extractions: &[Extraction],
        names: &mut Names,
    ) -> Result<LogfmtKeys, String> {
        let mut labels: Vec<Wanted> = Vec::new();
        for extraction in extractions {
            let text = &extraction.expression;
            let keys = parse_logfmt_key(text)
                .map_err(|error| format!("cannot parse expression [{text}]: {error}"))?;
            let label = names.fix(&extraction.label);
            let key = keys.first().map_or(label, |key| names.fix(key));
            // Of one label named twice the last counts.
            labels.retain(|known| known.label != label);
            labels.push(Wanted { label, key });
        }
        Ok(LogfmtKeys {
            strict,
            labels,
            buffer: Vec::new(),
        })
    }

    /// Extracts labels.
    pub(super) fn run(&mut self, line: &[u8], hints: &Hints, labels: &mut EntryLabels) {
        if hints.nothing_to_do(labels) {
            return;
        }
        for wanted in &self.labels {
            if !labels.clashes(wanted.label) {
                labels.set_parsed(wanted.label, b"");
            }
        }
        let mut pairs = Pairs::new(line, &mut self.buffer);
        while !pairs.is_at_end() {
            let Some(pair) = pairs.take() else {
                match self.strict && pairs.error.is_some() {
                    true => break,
                    false => continue,
                }
            };
            let Some(key) = labels.names.of_key(pair.key) else {
                continue;
            };
            let is_label = self.labels.iter().any(|wanted| wanted.label == key);
            if !is_label && !hints.needs(key, labels) {
                continue;
            }
            let mut value = pairs.value(&pair);
            if !value.is_ascii() && has_invalid(value) {
                value = b"";
            }
            let wanted = self.labels.iter().find(|wanted| wanted.key == key);
            let mut name = match wanted {
                Some(wanted) => wanted.label,
                None if is_label => key,
                None => continue,
            };
            if labels.clashes(name) {
                name = labels.names.extracted(name);
                if !hints.needs(name, labels) {
                    break;
                }
            }
            labels.set_parsed(name, value);
            if hints.has_all(labels) {
                break;
            }
        }
        if let Some(error) = pairs.error.filter(|_| self.strict) {
            hints.fail(ERROR_KIND, Some(&error.to_string()), labels);
        }
    }
}
