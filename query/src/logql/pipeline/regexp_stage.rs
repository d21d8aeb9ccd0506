//! The stage `regexp`.
//!
//! Upstream source: `pkg/logql/log/parser.go` of Loki.

use std::borrow::Cow;

use kymo_storage::compat::regex::Regex;

use super::entry_labels::EntryLabels;
use super::hints::Hints;
use super::names::{NameId, Names};
use crate::logql::text::text_of;

/// An expression whose named groups become labels.
#[derive(Debug, Clone)]
pub(super) struct Regexp {
    regex: Regex,
    /// Groups with a name.
    groups: Vec<(usize, NameId)>,
}

impl Regexp {
    /// Compiles an expression.
    pub(super) fn new(pattern: &str, names: &mut Names) -> Result<Regexp, String> {
        let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
        let mut groups = Vec::new();
        for (index, name) in regex.group_names().iter().enumerate() {
            if let Some(id) = names.of_key(name.as_bytes()) {
                let fixed = names.text(id).to_owned();
                groups.push((index, names.fix(&fixed)));
            }
        }
        match groups.is_empty() {
            true => Err("at least one named capture must be supplied".to_owned()),
            false => Ok(Regexp { regex, groups }),
        }
    }

    /// Extracts labels; tells whether the line is still wanted.
    pub(super) fn run(&self, line: &[u8], hints: &Hints, labels: &mut EntryLabels) -> bool {
        let line: Cow<'_, str> = text_of(line);
        let Some(captures) = self.regex.captures(&line) else {
            return true;
        };
        for (index, name) in &self.groups {
            let mut name = *name;
            if labels.clashes(name) {
                name = labels.names.extracted(name);
            }
            if !hints.needs(name, labels) {
                continue;
            }
            let value = captures.get(*index).unwrap_or_default();
            labels.set_parsed(name, value.as_bytes());
            if !hints.keeps(name, labels) {
                return false;
            }
        }
        true
    }
}
