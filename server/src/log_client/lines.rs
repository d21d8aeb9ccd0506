//! How entries are printed: times, labels and lines.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kymo_storage::compat::quote::quote;

use super::answer::Entry;
use crate::terminal::Color;

type LabelMap = BTreeMap<String, String>;

/// Flags of commands that print entries.
#[derive(Debug, Clone, Args)]
pub(super) struct LineFlags {
    /// How to print entries: with time and labels, the line alone, or as JSON, one a line.
    #[arg(long, value_name = "FORM", default_value = "default")]
    output: Form,

    /// Zone of the times that are printed.
    #[arg(long, value_name = "ZONE", default_value = "Local", value_parser = read_zone)]
    timezone: TimeZone,

    /// Print times with nanoseconds.
    #[arg(long)]
    nanoseconds: bool,

    /// Print no labels.
    #[arg(long)]
    no_labels: bool,

    /// Print only these labels; may be given several times.
    #[arg(long = "include-label", value_name = "NAME", value_delimiter = ',')]
    include: Vec<String>,

    /// Do not print these labels; may be given several times.
    #[arg(long = "exclude-label", value_name = "NAME", value_delimiter = ',')]
    exclude: Vec<String>,

    /// Print labels that all entries share with each entry, too.
    #[arg(long)]
    include_common_labels: bool,

    /// Least width of the labels.
    #[arg(long, value_name = "WIDTH", default_value_t = 0)]
    labels_length: usize,

    /// Colours by the level of the entry.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,

    /// Print entries and nothing else.
    #[arg(short, long)]
    pub(super) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Default,
    Raw,
    Jsonl,
}

/// Writes entries.
pub(super) struct Lines<'a> {
    flags: &'a LineFlags,
    colors: bool,
    /// Whether somebody looks at what is written, so that no line may take over the screen.
    is_terminal: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(flags: &'a LineFlags) -> Lines<'a> {
        let is_terminal = io::stdout().is_terminal();
        Lines {
            flags,
            colors: flags.color.is_on(),
            is_terminal,
        }
    }

    /// Returns the labels that all entries share and that are therefore told once.
    pub(super) fn common(&self, entries: &[Entry]) -> LabelMap {
        let shows_labels = self.flags.output == Form::Default && !self.flags.no_labels;
        let Some((first, rest)) = entries.split_first().filter(|_| shows_labels) else {
            return LabelMap::new();
        };
        if self.flags.include_common_labels {
            return LabelMap::new();
        }
        let mut common = first.labels.clone();
        for entry in rest {
            common.retain(|name, value| entry.labels.get(name) == Some(value));
        }
        common
    }

    /// Returns an entry as a line, with its end. `common` is not repeated.
    pub(super) fn line(&self, entry: &Entry, common: &LabelMap) -> String {
        match self.flags.output {
            Form::Raw => format!("{}\n", entry.line.strip_suffix('\n').unwrap_or(&entry.line)),
            Form::Jsonl => self.json(entry),
            Form::Default => self.readable(entry, common),
        }
    }

    fn json(&self, entry: &Entry) -> String {
        let mut object = serde_json::Map::new();
        if !self.flags.no_labels {
            let labels = self.shown(&entry.labels, &LabelMap::new());
            object.insert("labels".to_owned(), serde_json::json!(labels));
        }
        object.insert("line".to_owned(), entry.line.clone().into());
        let time = self.time(entry.t_ns, true);
        object.insert("timestamp".to_owned(), time.into());
        format!("{}\n", serde_json::Value::Object(object))
    }

    fn readable(&self, entry: &Entry, common: &LabelMap) -> String {
        let time = self.time(entry.t_ns, self.flags.nanoseconds);
        let time = self.painted(&time, level_color(entry));
        let line = entry.line.trim();
        let line = match self.is_terminal {
            true => harmless(line),
            false => line.to_owned(),
        };
        if self.flags.no_labels {
            return format!("{time} {line}\n");
        }
        let labels = selector(&self.shown(&entry.labels, common));
        let width = self.flags.labels_length;
        let labels = self.painted(&format!("{labels:width$}"), DIM);
        format!("{time} {labels} {line}\n")
    }

    /// Returns the labels that are printed with an entry.
    fn shown(&self, labels: &LabelMap, common: &LabelMap) -> LabelMap {
        let (include, exclude) = (&self.flags.include, &self.flags.exclude);
        let is_shown = |name: &String| {
            (include.is_empty() || include.contains(name))
                && !exclude.contains(name)
                && !common.contains_key(name)
        };
        let shown = labels.iter().filter(|(name, _)| is_shown(name));
        shown.map(|(n, v)| (n.clone(), v.clone())).collect()
    }

    fn time(&self, t_ns: i64, with_fraction: bool) -> String {
        let zone = &self.flags.timezone;
        let Ok(time) = Timestamp::from_nanosecond(i128::from(t_ns)) else {
            return t_ns.to_string();
        };
        let form = match (with_fraction, *zone == TimeZone::UTC) {
            (false, false) => "%Y-%m-%dT%H:%M:%S%:z",
            (false, true) => "%Y-%m-%dT%H:%M:%SZ",
            (true, false) => "%Y-%m-%dT%H:%M:%S%.f%:z",
            (true, true) => "%Y-%m-%dT%H:%M:%S%.fZ",
        };
        time.to_zoned(zone.clone()).strftime(form).to_string()
    }

    fn painted(&self, text: &str, color: &str) -> String {
        match self.colors && !color.is_empty() {
            true => format!("\x1b[{color}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

const DIM: &str = "2";

/// Returns the colour of an entry's level, empty where it has none.
fn level_color(entry: &Entry) -> &'static str {
    let level = ["detected_level", "level", "severity", "lvl"]
        .iter()
        .find_map(|name| entry.labels.get(*name));
    match level.map(|level| level.to_lowercase()).as_deref() {
        Some("critical" | "fatal" | "emerg" | "alert" | "crit" | "panic") => "35",
        Some("error" | "err") => "31",
        Some("warn" | "warning") => "33",
        Some("info" | "information" | "notice") => "32",
        Some("debug" | "dbug") => "36",
        Some("trace") => "90",
        _ => "34",
    }
}

/// Writes labels as a selector.
pub(super) fn selector(labels: &LabelMap) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={}", quote(value)))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Writes what would move the cursor or change the terminal as text. Colours stay.
fn harmless(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let colour = (c == '\x1b').then(|| colour_len(rest)).flatten();
        let len = colour.unwrap_or(c.len_utf8());
        match c {
            _ if colour.is_some() => out.push_str(&rest[..len]),
            '\t' | '\n' => out.push(c),
            _ if c.is_control() => out.extend(c.escape_default()),
            _ => out.push(c),
        }
        rest = &rest[len..];
    }
    out
}

/// Returns the length of the colour sequence that a text begins with.
fn colour_len(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("\x1b[")?;
    let len = inner.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    inner[len..].starts_with('m').then_some(2 + len + 1)
}

fn read_zone(text: &str) -> Result<TimeZone, String> {
    match text {
        "Local" => Ok(TimeZone::system()),
        "UTC" => Ok(TimeZone::UTC),
        name => TimeZone::get(name).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: LineFlags,
    }

    fn entry() -> Entry {
        let pairs = [("app", "shop"), ("level", "error"), ("pod", "a\"1")];
        Entry {
            t_ns: 1_700_000_000_120_000_000,
            labels: pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            line: " out of \x1b[31mtea\x1b[0m\x1b[2J\n".to_owned(),
        }
    }

    fn printed(args: &[&str]) -> String {
        let mut line = Line::parse_from(["x", "--timezone=UTC"].iter().chain(args));
        if line.flags.color == Color::Auto {
            line.flags.color = Color::Never;
        }
        let lines = Lines {
            is_terminal: true,
            ..Lines::new(&line.flags)
        };
        let common = lines.common(&[entry(), entry()]);
        lines.line(&entry(), &common)
    }

    #[test]
    fn entries_are_printed_for_people_and_for_programs() {
        let text = "out of \x1b[31mtea\x1b[0m\\u{1b}[2J\n";
        assert_eq!(printed(&[]), format!("2023-11-14T22:13:20Z {{}} {text}"));
        assert_eq!(
            printed(&[
                "--include-common-labels",
                "--exclude-label=level",
                "--nanoseconds"
            ]),
            format!("2023-11-14T22:13:20.12Z {{app=\"shop\", pod=\"a\\\"1\"}} {text}")
        );
        assert_eq!(
            printed(&[
                "--include-common-labels",
                "--include-label=app",
                "--labels-length=16"
            ]),
            format!("2023-11-14T22:13:20Z {{app=\"shop\"}}     {text}")
        );
        assert_eq!(
            printed(&["--no-labels", "--color=always"]),
            format!("\x1b[31m2023-11-14T22:13:20Z\x1b[0m {text}")
        );
        assert_eq!(
            printed(&["--output=raw"]),
            " out of \x1b[31mtea\x1b[0m\x1b[2J\n"
        );
        let json: serde_json::Value = serde_json::from_str(&printed(&["--output=jsonl"])).unwrap();
        assert_eq!(json["line"], entry().line);
        assert_eq!(json["labels"]["pod"], "a\"1");
        assert_eq!(json["timestamp"], "2023-11-14T22:13:20.12Z");
    }

    #[test]
    fn zones_have_names() {
        assert_eq!(read_zone("UTC").unwrap(), TimeZone::UTC);
        assert!(read_zone("Mars/Base").is_err());
    }
}
