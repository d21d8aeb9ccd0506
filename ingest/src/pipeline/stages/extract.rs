//! Stages that take values out of a line: `logfmt` and `regex`.

use std::sync::Arc;

use kymo_storage::compat::regex::Regex;

use super::super::config::Mapping;
use super::super::value::Value;
use super::super::{Entry, Stage, Step};
use super::{compile, logfmt, source_of};

/// Takes values by their keys.
#[derive(Debug, Clone)]
pub(super) struct Logfmt {
    /// Keys with the names they are extracted under.
    keys: Arc<[(String, Arc<str>)]>,
    source: Option<Arc<str>>,
}

impl Logfmt {
    pub(super) fn new(mapping: &Mapping, source: Option<&str>) -> Result<Logfmt, String> {
        if mapping.is_empty() {
            return Err("logfmt mapping is required".to_owned());
        }
        let keys = mapping.iter().map(|(name, key)| {
            let key = if key.is_empty() { name } else { key };
            (key.clone(), Arc::from(name.as_str()))
        });
        Ok(Logfmt {
            keys: keys.collect(),
            source: source_of(source)?,
        })
    }
}

impl Stage for Logfmt {
    fn process(&mut self, mut entry: Entry) -> Step {
        let mut found = Vec::new();
        if let Some(input) = entry.input(self.source.as_deref()) {
            logfmt::walk(&input, |key, value| {
                // Of two names for one key the last one counts, as in a map by key.
                let name = self.keys.iter().rfind(|(known, _)| known == key);
                if let Some((_, name)) = name {
                    found.push((Arc::clone(name), Value::Text(value.into_owned())));
                }
            });
        }
        entry.extracted.extend(found);
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Takes the named groups of the first match.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    regex: Arc<Regex>,
    /// The groups that have a name.
    groups: Arc<[(usize, Arc<str>)]>,
    source: Option<Arc<str>>,
}

impl Expression {
    pub(super) fn new(expression: &str, source: Option<&str>) -> Result<Expression, String> {
        let regex = compile(expression)?;
        let groups = named_groups(&regex);
        Ok(Expression {
            regex,
            groups,
            source: source_of(source)?,
        })
    }
}

/// Returns the groups of an expression that have a name, with their numbers.
pub(super) fn named_groups(regex: &Regex) -> Arc<[(usize, Arc<str>)]> {
    let names = regex.group_names().iter().enumerate();
    names
        .filter(|(index, name)| *index > 0 && !name.is_empty())
        .map(|(index, name)| (index, Arc::from(name.as_str())))
        .collect()
}

impl Stage for Expression {
    fn process(&mut self, mut entry: Entry) -> Step {
        let mut found = Vec::new();
        if let Some(input) = entry.input(self.source.as_deref())
            && let Some(captures) = self.regex.captures(&input)
        {
            for (index, name) in self.groups.iter() {
                // A group that took no part is an empty text.
                let text = captures.get(*index).unwrap_or("");
                found.push((Arc::clone(name), Value::Text(text.to_owned())));
            }
        }
        entry.extracted.extend(found);
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
