//! Scripts of the LogQL test language: our own beside this file, and those of
//! `KYMO_CORPUS`. `cargo test -p kymo-tests --test logqltest -- --nocapture` prints for each
//! script how many of its queries answered as it expects.
//!
//! Our own must pass whole. Of the others each must reach its floor, kept beside the golden
//! floors as `logqltest/FILE`.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

#[allow(dead_code, reason = "each target uses its part of it")]
#[path = "../golden/corpus.rs"]
mod corpus;
#[path = "../golden/scripts.rs"]
mod scripts;

use kymo_query::logql::script::{Script, run};
use kymo_query::logql::{LogEngine, LogEngineOptions};
use scripts::{Ran, Scripts};

const SCRIPTS: Scripts = Scripts {
    folder: "logqltest",
    ending: ".logqltest",
    run: run_text,
};

fn run_text(text: &str) -> Result<Ran, String> {
    let script = Script::parse(text).map_err(|error| error.to_string())?;
    let report = run(&script, &LogEngine::new(LogEngineOptions::default()));
    let failures = report.evals.iter().filter_map(|eval| {
        let why = eval.difference.as_ref()?;
        Some((eval.line, why.to_string()))
    });
    Ok(Ran {
        passed: report.n_passed(),
        evals: report.evals.len(),
        notes: Vec::new(),
        failures: failures.collect(),
    })
}

#[test]
fn our_own_scripts_pass() {
    SCRIPTS.pass();
}

#[test]
fn corpus_scripts_reach_their_floors() {
    SCRIPTS.reach_their_floors();
}
