//! Flags of a Prometheus, and what each means here.

use std::ffi::OsString;

use super::report::{Item, Report, Verdict};
use crate::flags::{Exit, Fate, Flags, closest_feature, command, fate, ignored_reason};

/// A flag as it was given, without its dashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

/// What is so here where a flag is not given, and what to do about it.
#[rustfmt::skip]
const NOT_GIVEN: [(&str, &str, &str); 5] = [
    ("config.file", "without it Kymo reads no prometheus.yml, it scrapes itself and this host", "give --config.file"),
    ("storage.tsdb.path", "the default is ./data, as data/ there", "give --storage.tsdb.path"),
    ("storage.tsdb.retention.time", "the default is 200h, not 15d", "give --storage.tsdb.retention.time=15d"),
    ("web.listen-address", "the default is 127.0.0.1:9090, not all interfaces", "give --web.listen-address=0.0.0.0:9090"),
    ("web.enable-remote-write-receiver", "remote write is received without the flag", "refuse it with --no-web.enable-remote-write-receiver"),
];

/// Flags that mean something else here.
const GIVEN: [(&str, &str); 1] = [(
    "query.max-samples",
    "samples are counted as there; memory of queries is bounded by --memory.limit, too",
)];

/// Flags of older versions, and what became of them.
#[rustfmt::skip]
const PAST: [(&str, &str); 5] = [
    ("storage.tsdb.retention", "Prometheus 3 has no such flag: give --storage.tsdb.retention.time"),
    ("storage.local.path", "Prometheus 2 has no such flag: give --storage.tsdb.path"),
    ("storage.local.retention", "Prometheus 2 has no such flag: give --storage.tsdb.retention.time"),
    ("alertmanager.url", "Prometheus 2 has no such flag: list Alertmanagers in the configuration"),
    ("query.staleness-delta", "Prometheus 2 has no such flag: give --query.lookback-delta"),
];

/// Splits a command line into flags.
pub(super) fn split(args: &[OsString]) -> Vec<Given> {
    let mut given = Vec::new();
    let mut args = args.iter().map(|arg| arg.to_string_lossy()).peekable();
    while let Some(arg) = args.next() {
        let Some(flag) = arg.strip_prefix("--") else {
            given.push(Given {
                name: String::new(),
                value: Some(arg.into_owned()),
            });
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let value = match value {
            None if takes_value(name) => args
                .next_if(|next| !next.starts_with("--"))
                .map(|value| value.into_owned()),
            value => value,
        };
        given.push(Given {
            name: name.to_owned(),
            value,
        });
    }
    given
}

/// Tells whether the word behind a flag belongs to it.
fn takes_value(name: &str) -> bool {
    let command = command();
    let found = argument(&command, name);
    found.is_some_and(|arg| !arg.is_require_equals_set())
}

/// Finds the argument of a flag, by a name of Prometheus, too.
fn argument<'a>(command: &'a clap::Command, name: &str) -> Option<&'a clap::Arg> {
    command.get_arguments().find(|arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        arg.get_long() == Some(name) || aliases.contains(&name)
    })
}

/// Checks the flags: each for itself, then their values as the server reads them.
pub(super) fn check(given: &[Given], args: &[OsString], report: &mut Report) {
    let command = command();
    for flag in given {
        report.add(one(flag, &command, report.items.len()));
    }
    for flag in given.iter().filter(|flag| flag.name == "enable-feature") {
        let names = flag.value.as_deref().unwrap_or_default().split(',');
        for name in names.filter(|name| !name.is_empty()) {
            report.add(feature(name));
        }
    }
    for (name, text, remedy) in NOT_GIVEN {
        let is_given = given
            .iter()
            .any(|flag| flag.name.trim_start_matches("no-") == name);
        if !is_given {
            let item = Item::new(Verdict::Differs, format!("--{name} (not given)"));
            report.add(item.text(text).remedy(remedy));
        }
    }
    let is_known = report
        .items
        .iter()
        .all(|item| item.verdict != Verdict::Missing);
    if !is_known {
        return;
    }
    let program = std::iter::once(OsString::from("kymo"));
    if let Err(Exit { message, .. }) = Flags::parse_from(program.chain(args.iter().cloned())) {
        let text = message.lines().next().unwrap_or_default();
        let text = text.strip_prefix("error: ").unwrap_or(text);
        report.add(Item::new(Verdict::Missing, "flags").text(text));
    }
}

fn one(flag: &Given, command: &clap::Command, position: usize) -> Item {
    if flag.name.is_empty() {
        let word = flag.value.as_deref().unwrap_or_default();
        return Item::new(Verdict::Missing, word)
            .text("no flag; Prometheus takes no other arguments, either")
            .remedy(format!("remove argument {}", position + 1));
    }
    let shown = format!("--{}", flag.name);
    let name = match argument(command, &flag.name) {
        Some(_) => flag.name.as_str(),
        None => flag.name.strip_prefix("no-").unwrap_or(&flag.name),
    };
    if let Some(reason) = ignored_reason(name) {
        return Item::new(Verdict::Differs, shown).text(format!("no effect: {reason}"));
    }
    if name == "agent" || name.starts_with("storage.agent.") {
        return Item::new(Verdict::Missing, shown)
            .text("there is no agent mode")
            .remedy(
                "run a server with remote_write in its configuration; \
                 --storage.retention.time=2h keeps it small",
            );
    }
    if let Some((_, text)) = PAST.iter().find(|(past, _)| *past == name) {
        return Item::new(Verdict::Missing, shown).text(*text);
    }
    match argument(command, name) {
        Some(_) => match GIVEN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Item::new(Verdict::Differs, shown).text(*text),
            None => Item::new(Verdict::Works, shown),
        },
        None => Item::new(Verdict::Missing, shown)
            .text("Kymo has no such flag")
            .remedy("remove it, or see kymo --help for one like it"),
    }
}

fn feature(name: &str) -> Item {
    let item = |verdict| Item::new(verdict, format!("feature {name}"));
    match fate(name) {
        Some(Fate::Works | Fate::Always) => item(Verdict::Works),
        Some(Fate::Nothing(reason)) => item(Verdict::Differs).text(format!("no effect: {reason}")),
        Some(Fate::Absent(reason)) => item(Verdict::Missing).text(reason),
        None => {
            let item = item(Verdict::Missing).text("nobody knows it");
            match closest_feature(name) {
                Some(closest) => item.remedy(format!("did you mean {closest}?")),
                None => item,
            }
        }
    }
}
