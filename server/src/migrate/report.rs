//! What was found, in the order of how much it matters.

use std::fmt::Write as _;

use serde::Serialize;

use crate::config::yaml::Position;

/// How something fares here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It will not work, or the server will not start.
    Missing,
    /// It works, but not in the same way.
    Differs,
    /// It works as in Prometheus.
    Works,
}

/// One thing and how it fares.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    pub(super) verdict: Verdict,
    /// The flag, feature, key or file.
    pub(super) what: String,
    /// The file that it stands in; none for flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// Where it stands, where it has a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) column: Option<usize>,
    /// What is so; empty where there is nothing to say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
    /// The line of the file with a marker under the place.
    #[serde(skip)]
    pub(super) excerpt: String,
}

impl Item {
    pub(super) fn new(verdict: Verdict, what: impl Into<String>) -> Item {
        Item {
            verdict,
            what: what.into(),
            file: None,
            line: None,
            column: None,
            text: String::new(),
            remedy: None,
            excerpt: String::new(),
        }
    }

    pub(super) fn text(mut self, text: impl Into<String>) -> Item {
        self.text = text.into();
        self
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Item {
        self.remedy = Some(remedy.into());
        self
    }

    pub(super) fn in_file(mut self, file: &str, at: Position) -> Item {
        self.file = Some(file.to_owned());
        if at.line > 0 {
            (self.line, self.column) = (Some(at.line), Some(at.column));
        }
        self
    }
}

/// All that was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) items: Vec<Item>,
}

impl Report {
    pub(super) fn add(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Tells whether something will not work.
    pub(super) fn has_missing(&self) -> bool {
        self.count(Verdict::Missing) > 0
    }

    fn count(&self, verdict: Verdict) -> usize {
        let items = self.items.iter();
        items.filter(|item| item.verdict == verdict).count()
    }

    pub(super) fn json(&self) -> String {
        // Texts and numbers cannot fail to be written.
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        format!("{text}\n")
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for (verdict, title) in [
            (Verdict::Missing, "Will not work"),
            (Verdict::Differs, "Works, but differs"),
            (Verdict::Works, "Works"),
        ] {
            if self.count(verdict) == 0 {
                continue;
            }
            let _ = writeln!(out, "{title}:");
            let items = self.items.iter();
            for item in items.filter(|item| item.verdict == verdict) {
                write_item(&mut out, item);
            }
            out.push('\n');
        }
        let [missing, differs, works] =
            [Verdict::Missing, Verdict::Differs, Verdict::Works].map(|verdict| self.count(verdict));
        let _ = writeln!(
            out,
            "{missing} will not work, {differs} differ, {works} work as in Prometheus."
        );
        out
    }
}

fn write_item(out: &mut String, item: &Item) {
    let _ = write!(out, "  {}", item.what);
    if let Some(file) = &item.file {
        let _ = write!(out, " ({file}");
        if let (Some(line), Some(column)) = (item.line, item.column) {
            let _ = write!(out, ":{line}:{column}");
        }
        out.push(')');
    }
    if !item.text.is_empty() {
        let _ = write!(out, ": {}", item.text);
    }
    out.push('\n');
    for line in item.excerpt.lines() {
        let _ = writeln!(out, "  {line}");
    }
    if let Some(remedy) = &item.remedy {
        let _ = writeln!(out, "    -> {remedy}");
    }
}
