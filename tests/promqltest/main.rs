//! Scripts of the PromQL test language: our own beside this file, and those of
//! `KYMO_CORPUS`. `cargo test -p kymo-tests --test promqltest -- --nocapture` prints
//! for each script how many of its queries answered as it expects.
//!
//! Our own must pass whole. Of the others each must reach its floor, kept beside the
//! golden floors as `promqltest/FILE`.
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

use std::collections::BTreeMap;

use kymo_query::promql::Features;
use kymo_query::promql::script::{Outcome, Script, run};
use kymo_query::{Engine, EngineOptions, MemorySource};
use scripts::{Ran, Scripts};

const SCRIPTS: Scripts = Scripts {
    folder: "promqltest",
    ending: ".test",
    run: run_text,
};

/// The engine that the scripts are written for.
fn engine() -> Engine {
    Engine::new(EngineOptions {
        lookback_delta_ms: 300_000,
        max_samples: 10_000,
        default_step_ms: 60_000,
        enable: Features::ALL,
        delayed_name_removal: true,
        use_start_timestamps: true,
        ..EngineOptions::default()
    })
}

fn run_text(text: &str) -> Result<Ran, String> {
    let script = Script::parse(text).map_err(|error| error.to_string())?;
    let report = run(&script, &engine(), &mut MemorySource::new());
    let mut unsupported: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    for eval in &report.evals {
        match &eval.outcome {
            Outcome::Passed => {}
            Outcome::Unsupported(what) => *unsupported.entry(what).or_default() += 1,
            Outcome::Failed(why) => failures.push((eval.line, why.to_string())),
        }
    }
    let notes = unsupported.iter();
    Ok(Ran {
        passed: report.n_passed(),
        evals: report.evals.len(),
        notes: notes
            .map(|(what, n)| format!("{n} unsupported: {what}"))
            .collect(),
        failures,
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
