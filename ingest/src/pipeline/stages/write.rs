//! Stages that write: lines, extracted values, labels and structured metadata.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use kymo_storage::compat::json::push_string;
use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::regex::Regex;

use super::super::config::{Mapping, TenantSource};
use super::super::languages::TextTemplate;
use super::super::value::Value;
use super::super::{Entry, Stage, Step, TENANT_LABEL};
use super::extract::named_groups;
use super::{Pairs, compile, label_mapping, source_of};

/// The colour codes that a terminal understands.
const COLOUR: &str = "[\u{1b}\u{9b}][\\[\\]()#;?]*(?:(?:(?:[a-zA-Z\\d]*(?:;[a-zA-Z\\d]*)*)?\u{7})|(?:(?:\\d{1,4}(?:;\\d{0,4})*)?[\\dA-PRZcf-ntqry=><~]))";

/// A text after a replacement, and what named groups have become.
type Replaced = (String, Vec<(Arc<str>, Value)>);

/// Returns the extracted values that have a text.
fn texts(entry: &Entry) -> Vec<(&str, Cow<'_, str>)> {
    let values = entry.extracted.iter();
    values
        .filter_map(|(name, value)| Some((&**name, value.text()?)))
        .collect()
}

/// Replaces what groups of an expression hold.
#[derive(Clone)]
pub(super) struct Replace {
    regex: Arc<Regex>,
    groups: Arc<[(usize, Arc<str>)]>,
    source: Option<Arc<str>>,
    template: Arc<dyn TextTemplate>,
}

impl Replace {
    pub(super) fn new(
        expression: &str,
        source: Option<&str>,
        template: Box<dyn TextTemplate>,
    ) -> Result<Replace, String> {
        if source == Some("") {
            return Err("empty source in replace stage".to_owned());
        }
        let regex = compile(expression)?;
        Ok(Replace {
            groups: named_groups(&regex),
            regex,
            source: source_of(source)?,
            template: template.into(),
        })
    }

    /// Returns the new text, and what named groups become. `None` where nothing matches, or
    /// a template fails.
    fn replaced(&self, input: &str, entry: &Entry) -> Option<Replaced> {
        let matches = self.regex.captures_all(input);
        let first = matches.first()?;
        let known = texts(entry);
        let mut data: Vec<(&str, &str)> = known.iter().map(|(n, v)| (*n, v.as_ref())).collect();
        let mut out = String::with_capacity(input.len());
        let mut copied_to = 0;
        // By the text of a group: equal texts of different groups share the last result.
        let mut results: BTreeMap<&str, String> = BTreeMap::new();
        for captures in &matches {
            for group in 1..captures.group_count() {
                let Some(range) = captures.range(group) else {
                    continue;
                };
                let text = &input[range.clone()];
                data.push(("Value", text));
                let made = self.template.expand(&data, entry.read_ns);
                data.pop();
                let made = made.ok()?;
                // A group within another one is replaced with it.
                if copied_to <= range.start {
                    out.push_str(&input[copied_to..range.start]);
                    out.push_str(&made);
                    copied_to = range.end;
                }
                results.insert(text, made);
            }
        }
        out.push_str(&input[copied_to..]);
        let named = self.groups.iter().filter_map(|(group, name)| {
            let text = first.get(*group).unwrap_or("");
            let made = results.get(text)?;
            Some((Arc::clone(name), Value::Text(made.clone())))
        });
        Some((out, named.collect()))
    }
}

impl Stage for Replace {
    fn process(&mut self, mut entry: Entry) -> Step {
        let input = entry.input(self.source.as_deref());
        let Some((text, named)) = input.and_then(|input| self.replaced(&input, &entry)) else {
            return Step::On(entry);
        };
        match &self.source {
            Some(name) => {
                entry.extracted.insert(Arc::clone(name), Value::Text(text));
            }
            None => entry.line = text.into_bytes(),
        }
        entry.extracted.extend(named);
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Makes a value by a template.
#[derive(Clone)]
pub(super) struct Template {
    source: Arc<str>,
    template: Arc<dyn TextTemplate>,
}

impl Template {
    pub(super) fn new(source: &str, template: Box<dyn TextTemplate>) -> Result<Template, String> {
        if source.is_empty() {
            return Err("template source value is required".to_owned());
        }
        Ok(Template {
            source: source.into(),
            template: template.into(),
        })
    }
}

impl Stage for Template {
    fn process(&mut self, mut entry: Entry) -> Step {
        let known = texts(&entry);
        let line = String::from_utf8_lossy(&entry.line);
        let mut data: Vec<(&str, &str)> = known.iter().map(|(n, v)| (*n, v.as_ref())).collect();
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == &*self.source) {
            data.push(("Value", value));
        }
        data.push(("Entry", &line));
        let made = self.template.expand(&data, entry.read_ns);
        match made {
            Ok(text) if text.is_empty() => {
                entry.extracted.remove(&self.source);
            }
            Ok(text) => {
                let name = Arc::clone(&self.source);
                entry.extracted.insert(name, Value::Text(text));
            }
            Err(_) => {}
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Makes the line of a value.
#[derive(Debug, Clone)]
pub(super) struct Output {
    source: Arc<str>,
}

impl Output {
    pub(super) fn new(source: &str) -> Result<Output, String> {
        if source.is_empty() {
            return Err("output source value is required if output is specified".to_owned());
        }
        Ok(Output {
            source: source.into(),
        })
    }
}

impl Stage for Output {
    fn process(&mut self, mut entry: Entry) -> Step {
        let text = entry.extracted.get(&self.source).and_then(Value::text);
        if let Some(text) = text {
            entry.line = text.into_owned().into_bytes();
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Makes labels of values.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    pairs: Pairs,
}

impl Labels {
    pub(super) fn new(mapping: &Mapping) -> Result<Labels, String> {
        Ok(Labels {
            pairs: label_mapping(mapping, "label stage config cannot be empty")?,
        })
    }
}

impl Stage for Labels {
    fn process(&mut self, mut entry: Entry) -> Step {
        for (name, source) in self.pairs.iter() {
            if let Some(value) = entry.extracted.get(source).and_then(Value::text) {
                entry.labels.set(Arc::clone(name), value.into());
            }
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Sets labels to constants.
#[derive(Debug, Clone)]
pub(super) struct StaticLabels {
    pairs: Pairs,
}

impl StaticLabels {
    pub(super) fn new(labels: &Mapping) -> Result<StaticLabels, String> {
        if labels.is_empty() {
            return Err("static_labels stage config cannot be empty".to_owned());
        }
        for (name, _) in labels {
            if !NameValidation::Utf8.is_label_name(name) {
                return Err(format!("invalid label name: {name}"));
            }
        }
        // A label without a value is not set.
        let set = labels.iter().filter(|(_, value)| !value.is_empty());
        let pairs = set.map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        Ok(StaticLabels {
            pairs: pairs.collect(),
        })
    }
}

impl Stage for StaticLabels {
    fn process(&mut self, mut entry: Entry) -> Step {
        for (name, value) in self.pairs.iter() {
            entry.labels.set(Arc::clone(name), Arc::clone(value));
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Removes labels.
#[derive(Debug, Clone)]
pub(super) struct LabelDrop {
    names: Arc<[String]>,
}

impl LabelDrop {
    pub(super) fn new(names: &[String]) -> Result<LabelDrop, String> {
        if names.is_empty() {
            return Err("labeldrop stage config cannot be empty".to_owned());
        }
        Ok(LabelDrop {
            names: names.into(),
        })
    }
}

impl Stage for LabelDrop {
    fn process(&mut self, mut entry: Entry) -> Step {
        for name in self.names.iter() {
            entry.labels.remove(name);
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Removes labels that are not listed.
#[derive(Debug, Clone)]
pub(super) struct LabelAllow {
    names: Arc<BTreeSet<String>>,
}

impl LabelAllow {
    pub(super) fn new(names: &[String]) -> Result<LabelAllow, String> {
        if names.is_empty() {
            return Err("labelallow stage config cannot be empty".to_owned());
        }
        Ok(LabelAllow {
            names: Arc::new(names.iter().cloned().collect()),
        })
    }
}

impl Stage for LabelAllow {
    fn process(&mut self, mut entry: Entry) -> Step {
        entry.labels.retain(|name| self.names.contains(name));
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Makes structured metadata of values, or of labels, which then are none any more.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    pairs: Pairs,
}

impl Metadata {
    pub(super) fn new(mapping: &Mapping) -> Result<Metadata, String> {
        Ok(Metadata {
            pairs: label_mapping(mapping, "label stage config cannot be empty")?,
        })
    }
}

impl Stage for Metadata {
    fn process(&mut self, mut entry: Entry) -> Step {
        // What was taken, by where it came from.
        let mut taken: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for (name, source) in self.pairs.iter() {
            let extracted = entry.extracted.get(source).and_then(Value::text);
            let value = match extracted {
                Some(value) => Arc::from(value),
                None => match entry.labels.get(source) {
                    Some(value) => Arc::clone(value),
                    None => continue,
                },
            };
            entry.metadata.push((Arc::clone(name), Arc::clone(&value)));
            taken.push((Arc::clone(source), value));
        }
        for (source, value) in taken {
            if entry.labels.get(&source) == Some(&value) {
                entry.labels.remove(&source);
            }
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Removes structured metadata.
#[derive(Debug, Clone)]
pub(super) struct MetadataDrop {
    names: Arc<[String]>,
}

impl MetadataDrop {
    pub(super) fn new(names: &[String]) -> Result<MetadataDrop, String> {
        if names.is_empty() {
            return Err("structured_metadata_drop stage config cannot be empty".to_owned());
        }
        Ok(MetadataDrop {
            names: names.into(),
        })
    }
}

impl Stage for MetadataDrop {
    fn process(&mut self, mut entry: Entry) -> Step {
        let dropped = |name: &str| self.names.iter().any(|known| known == name);
        entry.metadata.retain(|(name, _)| !dropped(name));
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Puts values and the line into one JSON object.
#[derive(Debug, Clone)]
pub(super) struct Pack {
    names: Arc<BTreeSet<String>>,
    ingest_timestamp: bool,
}

impl Pack {
    pub(super) fn new(labels: &[String], ingest_timestamp: bool) -> Pack {
        Pack {
            names: Arc::new(labels.iter().cloned().collect()),
            ingest_timestamp,
        }
    }
}

impl Stage for Pack {
    fn process(&mut self, mut entry: Entry) -> Step {
        let mut out = String::with_capacity(entry.line.len() + 64);
        out.push('{');
        // The labels are among what was extracted.
        for name in self.names.iter() {
            let Some(value) = entry.extracted.get(name.as_str()).and_then(Value::text) else {
                continue;
            };
            push_string(&mut out, name);
            out.push(':');
            push_string(&mut out, &value);
            out.push(',');
            entry.labels.remove(name);
        }
        out.push_str("\"_entry\":");
        push_string(&mut out, &String::from_utf8_lossy(&entry.line));
        out.push('}');
        entry.line = out.into_bytes();
        if self.ingest_timestamp {
            entry.t_ns = entry.read_ns;
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Sets the tenant.
#[derive(Debug, Clone)]
pub(super) struct Tenant {
    source: TenantSource,
}

impl Tenant {
    pub(super) fn new(source: &TenantSource) -> Tenant {
        Tenant {
            source: source.clone(),
        }
    }
}

impl Stage for Tenant {
    fn process(&mut self, mut entry: Entry) -> Step {
        let tenant: Option<Arc<str>> = match &self.source {
            TenantSource::Value(tenant) => Some(tenant.as_str().into()),
            TenantSource::Label(label) => entry.labels.get(label).cloned(),
            TenantSource::Extracted(name) => {
                let value = entry.extracted.get(name.as_str());
                value.and_then(Value::text).map(Arc::from)
            }
        };
        if let Some(tenant) = tenant.filter(|tenant| !tenant.is_empty()) {
            entry.labels.set(TENANT_LABEL.into(), tenant);
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Takes codes of colour out of the line.
#[derive(Debug, Clone)]
pub(super) struct Decolorize {
    regex: Arc<Regex>,
}

impl Decolorize {
    pub(super) fn new() -> Result<Decolorize, String> {
        Ok(Decolorize {
            regex: compile(COLOUR)?,
        })
    }
}

impl Stage for Decolorize {
    fn process(&mut self, mut entry: Entry) -> Step {
        // Both introducers of a code: the escape, and the one of eight bits in UTF-8.
        let coloured = memchr::memchr2(0x1b, 0xc2, &entry.line).is_some();
        if coloured && let Ok(line) = std::str::from_utf8(&entry.line) {
            entry.line = self.regex.replace_all(line, "").into_bytes();
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
