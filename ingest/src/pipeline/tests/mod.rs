use std::collections::BTreeMap;

use super::metrics::{CounterAction, FamilyKind, GaugeAction, MetricConfig, MetricKind};
use super::*;

mod choosing;
mod joining;
mod mistakes;
mod values;
mod watching;

/// Languages that are as small as the tests need: templates know `{{.Name}}`, selectors are
/// `name=value` or `name=value|needle`, layouts read seconds behind the layout's text.
struct Small;

struct SmallTemplate(String);
struct SmallSelector(String, String, String);
struct SmallLayout(String);

impl Languages for Small {
    fn template(&self, text: &str) -> Result<Box<dyn TextTemplate>, String> {
        match text.matches("{{").count() == text.matches("}}").count() {
            true => Ok(Box::new(SmallTemplate(text.to_owned()))),
            false => Err("unclosed action".to_owned()),
        }
    }

    fn selector(&self, text: &str) -> Result<Box<dyn Selector>, String> {
        let (matcher, needle) = text.split_once('|').unwrap_or((text, ""));
        let (name, value) = matcher.split_once('=').ok_or("no matcher")?;
        let owned = |text: &str| text.to_owned();
        Ok(Box::new(SmallSelector(
            owned(name),
            owned(value),
            owned(needle),
        )))
    }

    fn layout(&self, layout: &str, _location: Option<&str>) -> Result<Box<dyn TimeLayout>, String> {
        Ok(Box::new(SmallLayout(layout.to_owned())))
    }
}

impl TextTemplate for SmallTemplate {
    fn expand(&self, data: &[(&str, &str)], _: i64) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = self.0.as_str();
        while let Some((before, behind)) = rest.split_once("{{.") {
            let (name, behind) = behind.split_once("}}").ok_or("open")?;
            let value = data.iter().rfind(|(known, _)| *known == name);
            out.push_str(before);
            out.push_str(value.map_or("<no value>", |(_, value)| value));
            rest = behind;
        }
        Ok(out + rest)
    }
}

impl Selector for SmallSelector {
    fn takes(&self, label: &dyn Fn(&str) -> Option<Arc<str>>, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        label(&self.0).as_deref().unwrap_or("") == self.1 && line.contains(&self.2)
    }
}

impl TimeLayout for SmallLayout {
    fn read(&self, text: &str, _now_ns: i64) -> Option<i64> {
        let layout = self.0.strip_suffix("2006-01-02T15:04:05.999999999Z07:00");
        let prefix = layout.unwrap_or(&self.0);
        let seconds: i64 = text.strip_prefix(prefix)?.parse().ok()?;
        Some(seconds * 1_000_000_000)
    }
}

fn tools() -> Tools {
    Tools::new(Arc::new(Small), Arc::new(|| 0))
}

fn entry(line: &str) -> Entry {
    Entry::new(
        5,
        line.as_bytes().to_vec(),
        LabelSet::from_pairs([("job", "j")]),
    )
}

fn pairs(pairs: &[(&str, &str)]) -> Mapping {
    let pairs = pairs.iter();
    pairs
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn json(fields: &[(&str, &str)]) -> StageConfig {
    StageConfig::Json {
        expressions: pairs(fields),
        source: None,
        drop_malformed: false,
    }
}

fn run(stages: &[StageConfig], lines: &[&str]) -> Vec<Entry> {
    let mut pipeline = Pipeline::new(stages, &tools()).unwrap();
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let mut entry = entry(line);
        entry.from = at as u64;
        entry.to = at as u64 + 1;
        pipeline.process(entry, &mut out);
    }
    pipeline.flush(&mut out);
    out
}

fn show(entry: &Entry) -> String {
    let labels: Vec<String> = entry
        .labels
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    let metadata: Vec<String> = entry
        .metadata
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    let line = String::from_utf8_lossy(&entry.line);
    format!(
        "{line} [{}] [{}] {}",
        labels.join(","),
        metadata.join(","),
        entry.t_ns
    )
}

fn shown(stages: &[StageConfig], line: &str) -> String {
    let out = run(stages, &[line]);
    out.iter().map(show).collect::<Vec<_>>().join("; ")
}
