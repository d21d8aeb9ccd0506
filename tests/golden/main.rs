//! Golden tests: one per folder of `KYMO_CORPUS`, each against the recorded answers
//! of the original. `cargo test -p kymo-tests --test golden -- --nocapture` prints
//! for every folder how many cases agree and the first that do not.
//!
//! A new runner is a module with a `#[test]` that asks `corpus::cases`, counts in a
//! `corpus::Score`, and is named in `RUNNERS`.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

mod corpus;
mod exposition;
mod format;
mod gotemplate_loki;
mod http_api;
mod logql;
mod logql_http;
mod matchers;
mod otlp;
mod promql;
mod promql_parse;
mod relabel;
mod template;

/// The folders that have a runner here.
const RUNNERS: &[&str] = &[
    "exposition",
    "format",
    "gotemplate_loki",
    "http-api",
    "logql",
    // In a target of its own.
    "logqltest",
    "matchers",
    "otlp",
    "promql",
    "promql_parse",
    // In a target of its own.
    "promqltest",
    "relabel",
    "template",
];

#[test]
fn folders_without_a_runner_are_named() {
    let Some(root) = corpus::root() else {
        println!("golden: skipped, KYMO_CORPUS is not set");
        return;
    };
    let mut folders: Vec<String> = std::fs::read_dir(&root)
        .unwrap_or_else(|error| panic!("read {}: {error}", root.display()))
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    assert!(!folders.is_empty(), "{} has no folders", root.display());
    for folder in folders {
        if !RUNNERS.contains(&folder.as_str()) {
            println!("{folder}: no runner yet");
        }
    }
}
