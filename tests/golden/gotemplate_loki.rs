//! Templates over log lines. The cases are whole log queries; run are those that do
//! nothing but format lines and labels, the others wait for log queries.

use std::collections::BTreeMap;

use kymo_query::template::logs::{self, Line};
use kymo_query::template::{Functions, Limits, MissingKey, Template};
use kymo_storage::compat::name::is_legacy_label_name;
use kymo_storage::compat::quote;
use serde_json::Value;

use crate::corpus::{self, Score, field};

#[test]
fn log_templates() {
    let Some(documents) = corpus::documents("gotemplate_loki") else {
        return;
    };
    let mut score = Score::new("gotemplate_loki");
    let mut waiting = 0;
    for (_, document) in &documents {
        for case in document["cases"].as_array().into_iter().flatten() {
            let query = field(case, "query");
            match stages(query) {
                Some(stages) => score.count(query, judge(document, case, &stages)),
                None => waiting += 1,
            }
        }
    }
    score.finish();
    println!("gotemplate_loki: {waiting} cases wait for log queries");
}

/// A stage that formats.
enum Stage {
    Line(String),
    Labels(Vec<(String, Format)>),
}

enum Format {
    Rename(String),
    Template(String),
}

/// Reads the stages behind the selector; `None` where another one is among them.
fn stages(query: &str) -> Option<Vec<Stage>> {
    let mut rest = query.strip_prefix(r#"{app=~".+"}"#)?.trim_start();
    let mut stages = Vec::new();
    while !rest.is_empty() {
        rest = rest.strip_prefix('|')?.trim_start();
        if let Some(behind) = rest.strip_prefix("line_format") {
            let (text, behind) = literal(behind.trim_start())?;
            stages.push(Stage::Line(text));
            rest = behind.trim_start();
            continue;
        }
        rest = rest.strip_prefix("label_format")?.trim_start();
        let mut formats = Vec::new();
        loop {
            let (name, behind) = rest.split_once('=')?;
            let (format, behind) = match literal(behind) {
                Some((text, behind)) => (Format::Template(text), behind),
                None => {
                    let end = behind.find([',', ' ']).unwrap_or(behind.len());
                    (Format::Rename(behind[..end].to_owned()), &behind[end..])
                }
            };
            // What is wrong with the stage itself is a matter of log queries.
            let name = name.trim();
            let known = name == "__error__" || formats.iter().any(|(other, _)| other == name);
            let names_wrong = match &format {
                Format::Rename(from) => !is_legacy_label_name(from),
                Format::Template(_) => false,
            };
            if known || names_wrong || !is_legacy_label_name(name) {
                return None;
            }
            formats.push((name.to_owned(), format));
            rest = behind.trim_start();
            match rest.strip_prefix(',') {
                Some(behind) => rest = behind.trim_start(),
                None => break,
            }
        }
        stages.push(Stage::Labels(formats));
    }
    Some(stages)
}

/// Reads a string literal and returns what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let mark = text.chars().next().filter(|c| matches!(c, '"' | '`'))?;
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == mark && !escaped;
        escaped = c == '\\' && mark == '"' && !escaped;
        ends
    })?;
    let value = quote::unquote(&text[..=end.0]).ok()?;
    Some((String::from_utf8(value).ok()?, &text[end.0 + 1..]))
}

struct Entry {
    line: Vec<u8>,
    labels: BTreeMap<String, Vec<u8>>,
}

impl Entry {
    fn run(&mut self, stage: &Stage, timestamp_ns: i64) -> Result<(), String> {
        match stage {
            Stage::Line(text) => {
                let template = Template::parse("line", text, Functions::LOGS)
                    .map_err(|error| format!("invalid line template: {error}"))?;
                let data = self.data();
                match self.execute(&template, data, timestamp_ns) {
                    Ok(line) => self.line = line,
                    Err(error) => self.fail(error),
                }
            }
            Stage::Labels(formats) => {
                let mut data = None;
                for (name, format) in formats {
                    let text = match format {
                        Format::Rename(from) => {
                            if let Some(value) = self.labels.remove(from) {
                                self.labels.insert(name.clone(), value);
                            }
                            continue;
                        }
                        Format::Template(text) => text,
                    };
                    let template = Template::parse("label", text, Functions::LOGS)
                        .map_err(|error| format!("invalid template for label '{name}': {error}"))?;
                    // All templates of a stage see the labels of when the first ran.
                    let data = data.get_or_insert_with(|| self.data()).clone();
                    match self.execute(&template, data, timestamp_ns) {
                        Ok(value) => {
                            self.labels.insert(name.clone(), value);
                        }
                        Err(error) => self.fail(error),
                    }
                }
            }
        }
        Ok(())
    }

    fn data(&self) -> kymo_query::template::Value {
        let texts: Vec<(&str, String)> = self
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        logs::labels(texts.iter().map(|(name, value)| (*name, value.as_str())))
    }

    fn execute(
        &self,
        template: &Template,
        data: kymo_query::template::Value,
        timestamp_ns: i64,
    ) -> Result<Vec<u8>, String> {
        let host = Line {
            line: &self.line,
            timestamp_ns,
            now_ns: 0,
        };
        template
            .execute(data, &host, MissingKey::Zero, Limits::default())
            .map_err(|error| error.to_string())
    }

    fn fail(&mut self, error: String) {
        let kind = b"TemplateFormatErr".to_vec();
        self.labels.insert("__error__".to_owned(), kind);
        self.labels
            .insert("__error_details__".to_owned(), error.into_bytes());
    }
}

fn judge(document: &Value, case: &Value, stages: &[Stage]) -> Result<(), String> {
    let context = &document["contexts"][field(case, "context")];
    let mut before = BTreeMap::new();
    for part in ["labels", "structured_metadata"] {
        for (name, value) in context[part].as_object().into_iter().flatten() {
            before.insert(name.clone(), corpus::bytes(value).ok_or("a label's value")?);
        }
    }
    let mut entry = Entry {
        line: corpus::bytes(&context["line"]).ok_or("the line")?,
        labels: before.clone(),
    };
    let timestamp_ns = field(context, "timestamp_ns").parse().unwrap_or(0);
    let mut outcome = Ok(());
    for stage in stages {
        outcome = outcome.and_then(|()| entry.run(stage, timestamp_ns));
    }
    if let Some(want) = case.get("parse_error").and_then(Value::as_str) {
        return match outcome {
            Err(got) if want.ends_with(&got) => Ok(()),
            other => Err(format!("\nwant parse error {want}\ngot  {other:?}")),
        };
    }
    outcome?;
    let changed: BTreeMap<String, Vec<u8>> = entry
        .labels
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut want = BTreeMap::new();
    for (name, value) in case["labels_changed"].as_object().into_iter().flatten() {
        want.insert(name.clone(), corpus::bytes(value).ok_or("a label's value")?);
    }
    let removed = case["labels_removed"].as_array().map_or(0, Vec::len);
    let gone = before
        .keys()
        .filter(|name| !entry.labels.contains_key(*name))
        .count();
    let line = corpus::bytes(&case["line"]).ok_or("the line wanted")?;
    if (&entry.line, &changed, gone) == (&line, &want, removed) {
        return Ok(());
    }
    let shown = |line: &[u8], labels: &BTreeMap<String, Vec<u8>>, gone: usize| {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}={:?}", String::from_utf8_lossy(value)))
            .collect();
        format!(
            "{:?} {} -{gone}",
            String::from_utf8_lossy(line),
            labels.join(" ")
        )
    };
    Err(format!(
        "\nwant {}\ngot  {}",
        shown(&line, &want, removed),
        shown(&entry.line, &changed, gone)
    ))
}
