//! Effects of stages as text for people, and as JSON for programs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use kymo_ingest::pipeline::{Entry, PipelineCounts};
use kymo_storage::compat::quote::quote;
use serde_json::{Map, Value, json};

use super::effects::{self, Effect, Pairs};

/// Width of the column of names of stages.
const WIDTH: usize = 12;

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BOLD: &str = "1";
const DIM: &str = "2";

/// What became of one line.
pub(super) struct Fate<'a> {
    /// Its number, from 1; `None` for what is given at the end.
    pub(super) number: Option<u64>,
    /// The line as it was read; `None` for one that was too long.
    pub(super) text: Option<&'a [u8]>,
    pub(super) effects: &'a [Effect],
    /// What left the pipeline.
    pub(super) entries: &'a [Entry],
}

/// What is counted over all lines.
pub(super) struct Totals {
    pub(super) lines: u64,
    pub(super) entries: u64,
    pub(super) counts: PipelineCounts,
    /// Metrics that stages made, in the text format.
    pub(super) metrics: String,
}

/// Writes for people.
pub(super) struct Text {
    pub(super) colors: bool,
    /// Whether only some stages are shown, so that what leaves the pipeline is not.
    pub(super) partial: bool,
}

impl Text {
    pub(super) fn fate(&self, fate: &Fate<'_>) -> String {
        let mut out = String::new();
        let head = match fate.number {
            Some(number) => format!("line {number}"),
            None => "at the end".to_owned(),
        };
        out += &self.painted(&head, BOLD);
        match (fate.text, fate.number) {
            (Some(text), _) => out += &format!("  {}", printable(text)),
            (None, Some(_)) => out += "  longer than max_line_size, and left out",
            (None, None) => {}
        }
        out.push('\n');
        for effect in fate.effects {
            self.effect(effect, fate.number, 1, &mut out);
        }
        if !self.partial {
            for entry in fate.entries {
                let entry = self.painted(&entry_text(entry), BOLD);
                let _ok = writeln!(out, "  = {entry}");
            }
        }
        out
    }

    fn effect(&self, effect: &Effect, number: Option<u64>, depth: usize, out: &mut String) {
        let mut rows = Vec::new();
        let changes = effect.changes();
        self.pairs("value", &changes.values, &mut rows);
        self.pairs("label", &changes.labels, &mut rows);
        self.pairs("metadata", &changes.metadata, &mut rows);
        if let Some((_, time)) = changes.time {
            rows.push(self.painted(&format!("+ time {}", time_text(time)), GREEN));
        }
        if let Some((before, after)) = &changes.line {
            rows.push(self.painted(&format!("- {}", printable(before)), RED));
            rows.push(self.painted(&format!("+ {}", printable(after)), GREEN));
        }
        // A stage that runs others does nothing besides.
        if effect.within.is_empty() {
            let given = effect.given.iter();
            rows.extend(given.map(|entry| format!("gives {}", printable(&entry.line))));
            if effect.held {
                rows.push(self.painted("held back", YELLOW));
            }
            if effect.is_drop() {
                rows.push(self.painted("dropped", YELLOW));
            }
            if rows.is_empty() {
                rows.push(self.painted("no change", DIM));
            }
        }
        // What was held back is another line than the one that is shown.
        let of = effect.before.as_ref().map(|entry| entry.from);
        let mut name = effect.stage.to_owned();
        if let Some(of) = of.filter(|of| Some(*of) != number) {
            let _ok = write!(name, " of line {of}");
        }
        let indent = "  ".repeat(depth);
        let width = WIDTH.max(name.len());
        if rows.is_empty() {
            let _ok = writeln!(out, "{indent}{name}");
        }
        for (at, row) in rows.iter().enumerate() {
            let shown = if at == 0 { name.as_str() } else { "" };
            let _ok = writeln!(out, "{indent}{shown:width$} {row}");
        }
        for inner in &effect.within {
            self.effect(inner, number, depth + 1, out);
        }
    }

    fn pairs(&self, what: &str, pairs: &Pairs, rows: &mut Vec<String>) {
        for (name, before, after) in pairs {
            let pair = |value: &str| format!("{what} {name}={}", quote(value));
            if let Some(before) = before {
                rows.push(self.painted(&format!("- {}", pair(before)), RED));
            }
            if let Some(after) = after {
                rows.push(self.painted(&format!("+ {}", pair(after)), GREEN));
            }
        }
    }

    pub(super) fn totals(&self, totals: &Totals) -> String {
        let mut out = format!("lines: {}, entries: {}", totals.lines, totals.entries);
        for (reason, count) in &totals.counts.dropped {
            let _ok = write!(out, ", dropped: {count} ({reason})");
        }
        out.push('\n');
        for (kind, count) in totals.counts.scrubbed.iter().filter(|(_, n)| *n > 0) {
            let _ok = writeln!(out, "scrubbed: {} {count}", kind.name());
        }
        self.painted(out.trim_end(), BOLD) + "\n" + &totals.metrics
    }

    fn painted(&self, text: &str, color: &str) -> String {
        match self.colors {
            true => format!("\x1b[{color}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// Returns a line as it may be printed: one line, and nothing that changes the terminal.
fn printable(line: &[u8]) -> String {
    let mut out = String::with_capacity(line.len());
    for c in String::from_utf8_lossy(line).chars() {
        match c.is_control() && c != '\t' {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

fn entry_text(entry: &Entry) -> String {
    let selector = |pairs: &BTreeMap<String, String>| {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", quote(value)))
            .collect();
        format!("{{{}}}", pairs.join(", "))
    };
    let (labels, metadata) = (stored_labels(entry), effects::metadata(entry));
    let mut out = format!("{} {}", selector(&labels), printable(&entry.line));
    if !metadata.is_empty() {
        let _ok = write!(out, "  metadata {}", selector(&metadata));
    }
    if entry.t_ns != entry.read_ns {
        let _ok = write!(out, "  time {}", time_text(entry.t_ns));
    }
    out
}

/// Returns the labels that the store gets: those of the pipeline alone stay behind.
fn stored_labels(entry: &Entry) -> BTreeMap<String, String> {
    let mut labels = effects::labels(entry);
    labels.retain(|name, value| !name.starts_with("__") && !value.is_empty());
    labels
}

fn time_text(t_ns: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(t_ns)) {
        Ok(time) => time.to_string(),
        Err(_) => t_ns.to_string(),
    }
}

/// Returns what became of a line as JSON.
pub(super) fn fate(fate: &Fate<'_>) -> Value {
    let effects: Vec<Value> = fate.effects.iter().map(effect).collect();
    let entries: Vec<Value> = fate.entries.iter().map(entry).collect();
    json!({
        "line": fate.number,
        "text": fate.text.map(String::from_utf8_lossy),
        "stages": effects,
        "entries": entries,
    })
}

fn effect(effect: &Effect) -> Value {
    let changes = effect.changes();
    let outcome = match () {
        () if effect.is_drop() => "dropped",
        () if effect.held => "held",
        () if effect.before.is_none() || effect.on.is_none() => "given",
        () => "on",
    };
    let mut out = Map::new();
    out.insert("stage".to_owned(), effect.stage.into());
    out.insert("outcome".to_owned(), outcome.into());
    let mut add = |name: &str, value: Value| {
        out.insert(name.to_owned(), value);
    };
    for (name, pairs) in [
        ("values", &changes.values),
        ("labels", &changes.labels),
        ("structuredMetadata", &changes.metadata),
    ] {
        if !pairs.is_empty() {
            let pairs = pairs.iter();
            let pairs = pairs.map(|(name, before, after)| (name.clone(), json!([before, after])));
            add(name, Value::Object(pairs.collect()));
        }
    }
    if let Some((before, after)) = changes.time {
        add("timestamp", json!([time_text(before), time_text(after)]));
    }
    if let Some((before, after)) = &changes.line {
        let text = |line| -> Cow<'_, str> { String::from_utf8_lossy(line) };
        add("text", json!([text(before), text(after)]));
    }
    if !effect.given.is_empty() {
        add("gives", effect.given.iter().map(entry).collect());
    }
    if !effect.within.is_empty() {
        add("stages", effect.within.iter().map(self::effect).collect());
    }
    Value::Object(out)
}

fn entry(entry: &Entry) -> Value {
    json!({
        "labels": stored_labels(entry),
        "structuredMetadata": effects::metadata(entry),
        "timestamp": time_text(entry.t_ns),
        "text": String::from_utf8_lossy(&entry.line),
    })
}

/// Returns what was counted as JSON.
pub(super) fn totals(totals: &Totals) -> Value {
    let found = totals.counts.scrubbed.iter().filter(|(_, n)| *n > 0);
    let scrubbed: BTreeMap<&str, u64> = found.map(|(kind, n)| (kind.name(), *n)).collect();
    let metrics = totals.metrics.lines().filter(|line| !line.starts_with('#'));
    let metrics: Vec<&str> = metrics.collect();
    json!({"totals": {
        "lines": totals.lines,
        "entries": totals.entries,
        "dropped": totals.counts.dropped,
        "scrubbed": scrubbed,
        "metrics": metrics,
    }})
}
