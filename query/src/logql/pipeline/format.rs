//! The stages that write lines and labels: `line_format`, `label_format`, `decolorize`.
//!
//! Upstream source: `pkg/logql/log/fmt.go` of Loki.

use std::borrow::Cow;
use std::sync::Arc;

use kymo_storage::compat::regex::Regex;

use super::entry_labels::EntryLabels;
use super::names::{ERROR, ERROR_DETAILS, NameId, Names};
use crate::logql::ast;
use crate::template::{Functions, Limits, MissingKey, PlainPart, Template, logs};

/// What an entry is called whose template failed.
const ERROR_KIND: &str = "TemplateFormatErr";

/// Times that templates ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) entry_ns: i64,
    pub(super) now_ns: i64,
}

/// `line_format`
#[derive(Debug, Clone)]
pub(super) struct LineFormat {
    template: Arc<Template>,
    /// Texts and labels that are the new line, where the template computes nothing.
    plain: Option<Vec<Part>>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Label(NameId),
}

impl LineFormat {
    /// Compiles a template.
    pub(super) fn new(text: &str, names: &mut Names) -> Result<LineFormat, String> {
        let template = Template::parse("line", text, Functions::LOGS)
            .map_err(|error| format!("invalid line template: {error}"))?;
        let parts = template.plain_parts().unwrap_or_default();
        let is_one = parts.len() == 1;
        let plain: Option<Vec<Part>> = parts
            .into_iter()
            .map(|part| match part {
                PlainPart::Text(text) => Some(Part::Text(text.to_owned())),
                PlainPart::Field(field) => match names.fix(field) {
                    // Errors are fields of templates, and no labels. A single one is empty.
                    ERROR | ERROR_DETAILS if !is_one => None,
                    name => Some(Part::Label(name)),
                },
            })
            .collect();
        Ok(LineFormat {
            plain: plain.filter(|parts| !parts.is_empty()),
            template: Arc::new(template),
        })
    }

    /// Appends the labels that the template reads.
    pub(super) fn push_labels(&self, names: &mut Names, out: &mut Vec<NameId>) {
        out.extend(
            self.template
                .fields()
                .into_iter()
                .map(|name| names.fix(name)),
        );
    }

    /// Returns the new line, `None` where the old one stays.
    pub(super) fn run(
        &self,
        line: &[u8],
        times: Times,
        labels: &mut EntryLabels,
    ) -> Option<Vec<u8>> {
        if let Some(parts) = &self.plain {
            let mut line = Vec::new();
            for part in parts {
                line.extend_from_slice(match part {
                    Part::Text(text) => text.as_bytes(),
                    Part::Label(name) => labels.get(*name).unwrap_or_default(),
                });
            }
            // What is longer fails, and the template says how.
            if line.len() <= Limits::default().output_bytes {
                return Some(line);
            }
        }
        let data = data(labels);
        match execute(&self.template, data, line, times) {
            Ok(line) => Some(line),
            Err(details) => {
                labels.set_error(ERROR_KIND, Some(&details));
                None
            }
        }
    }
}

/// Returns the labels as templates see them.
fn data(labels: &EntryLabels) -> crate::template::Value {
    let all = labels.iter().map(|(name, _, value)| (name, value));
    let all = all.chain(labels.errors());
    logs::labels(all.map(|(name, value)| (labels.names.text(name), value)))
}

fn execute(
    template: &Template,
    data: crate::template::Value,
    line: &[u8],
    times: Times,
) -> Result<Vec<u8>, String> {
    let host = logs::Line {
        line,
        timestamp_ns: times.entry_ns,
        now_ns: times.now_ns,
    };
    template
        .execute(data, &host, MissingKey::Zero, Limits::default())
        .map_err(|error| error.to_string())
}

/// The function of templates that gives the line.
const LINE_FUNCTION: &str = "__line__";

/// `label_format`
#[derive(Debug, Clone)]
pub(super) struct LabelFormat {
    formats: Vec<Format>,
    reads_line: bool,
}

#[derive(Debug, Clone)]
enum Format {
    Rename { to: NameId, from: NameId },
    Template { to: NameId, template: Arc<Template> },
}

impl LabelFormat {
    /// Compiles assignments.
    pub(super) fn new(
        formats: &[ast::LabelFormat],
        names: &mut Names,
    ) -> Result<LabelFormat, String> {
        let mut compiled = Vec::with_capacity(formats.len());
        let mut reads_line = false;
        for format in formats {
            compiled.push(match format {
                ast::LabelFormat::Rename { to, from } => Format::Rename {
                    to: names.fix(to),
                    from: names.fix(from),
                },
                ast::LabelFormat::Template { to, template } => {
                    let parsed = Template::parse("label", template, Functions::LOGS)
                        .map_err(|error| format!("invalid template for label '{to}': {error}"))?;
                    // No template calls it without its name.
                    reads_line |= template.contains(LINE_FUNCTION);
                    Format::Template {
                        to: names.fix(to),
                        template: Arc::new(parsed),
                    }
                }
            });
        }
        Ok(LabelFormat {
            formats: compiled,
            reads_line,
        })
    }

    /// Tells whether a template looks at the line.
    pub(super) fn reads_line(&self) -> bool {
        self.reads_line
    }

    /// Appends the labels that are read.
    pub(super) fn push_labels(&self, names: &mut Names, out: &mut Vec<NameId>) {
        for format in &self.formats {
            match format {
                Format::Rename { from, .. } => out.push(*from),
                Format::Template { template, .. } => {
                    out.extend(template.fields().into_iter().map(|name| names.fix(name)));
                }
            }
        }
    }

    /// Sets the labels.
    pub(super) fn run(&self, line: &[u8], times: Times, labels: &mut EntryLabels) {
        // All templates see the labels that the first of them sees.
        let mut seen = None;
        for format in &self.formats {
            match format {
                Format::Rename { to, from } => {
                    let Some(value) = labels.get(*from).map(<[u8]>::to_vec) else {
                        continue;
                    };
                    labels.set_parsed(*to, &value);
                    labels.delete(*from);
                }
                Format::Template { to, template } => {
                    let data = seen.get_or_insert_with(|| data(labels)).clone();
                    match execute(template, data, line, times) {
                        Ok(value) => labels.set_parsed(*to, &value),
                        Err(details) => labels.set_error(ERROR_KIND, Some(&details)),
                    }
                }
            }
        }
    }
}

/// Control sequences of terminals, as `stripansi` has them.
const CONTROL: &str = "[\u{1b}\u{9b}][\\[\\]()#;?]*(?:(?:(?:[a-zA-Z\\d]*(?:;[a-zA-Z\\d]*)*)?\u{7})|(?:(?:\\d{1,4}(?:;\\d{0,4})*)?[\\dA-PRZcf-ntqry=><~]))";

/// `decolorize`
#[derive(Debug, Clone)]
pub(super) struct Decolorize {
    control: Regex,
}

impl Decolorize {
    /// Compiles the stage.
    pub(super) fn new() -> Result<Decolorize, String> {
        let control = Regex::new(CONTROL).map_err(|error| error.to_string())?;
        Ok(Decolorize { control })
    }

    /// Returns the line without control sequences, `None` where it has none.
    pub(super) fn run(&self, line: &[u8]) -> Option<Vec<u8>> {
        // U+009B starts with the byte 0xC2.
        memchr::memchr2(0x1b, 0xc2, line)?;
        let mut out = Vec::with_capacity(line.len());
        for chunk in line.utf8_chunks() {
            let text: Cow<'_, str> = match self.control.find(chunk.valid()) {
                None => chunk.valid().into(),
                Some(_) => self.control.replace_all(chunk.valid(), "").into(),
            };
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(chunk.invalid());
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go() {
        let stage = Decolorize::new().unwrap();
        let line = b"\x1b[31mred\x1b[0m \xff\x1b[1;32mgreen\x1b[m";
        assert_eq!(stage.run(line).as_deref(), Some(&b"red \xffgreen"[..]));
        assert_eq!(stage.run(b"plain"), None);
    }
}
