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

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use kymo_query::promql::Features;
use kymo_query::promql::script::{Outcome, Report, Script, run};
use kymo_query::{Engine, EngineOptions, MemorySource};

/// How many failures of a script are shown.
const SHOWN: usize = 5;

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

fn run_file(path: &Path) -> (String, Report) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    let script = Script::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let report = run(&script, &engine(), &mut MemorySource::new());
    print(&name, &report);
    (name, report)
}

/// Prints the count and the first failures, all of them with `KYMO_CORPUS_ALL`.
fn print(name: &str, report: &Report) {
    let (n_passed, n) = (report.n_passed(), report.evals.len());
    println!("{name}: passed {n_passed} of {n} evals");
    let shown = if env::var_os("KYMO_CORPUS_ALL").is_some() {
        usize::MAX
    } else {
        SHOWN
    };
    let mut unsupported: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for eval in &report.evals {
        match &eval.outcome {
            Outcome::Passed => {}
            Outcome::Unsupported(what) => *unsupported.entry(what).or_default() += 1,
            Outcome::Failed(why) => failed.push(format!("{name}:{} {why}", eval.line)),
        }
    }
    for (what, n) in unsupported {
        println!("  {n} unsupported: {what}");
    }
    for failure in failed.iter().take(shown) {
        println!("  {failure}");
    }
    if failed.len() > shown {
        println!("  and {} more failures", failed.len() - shown);
    }
}

#[test]
fn our_own_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("promqltest");
    let mut n_scripts = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "test") {
            continue;
        }
        n_scripts += 1;
        let (name, report) = run_file(&path);
        assert!(!report.evals.is_empty(), "{name} has no queries");
        assert_eq!(report.n_passed(), report.evals.len(), "{name}");
    }
    assert!(n_scripts > 0);
}

#[test]
fn corpus_scripts_reach_their_floors() {
    let Some(files) = corpus::files("promqltest", &[".test"]) else {
        return;
    };
    let (mut n_passed, mut n_evals) = (0, 0);
    let mut below = Vec::new();
    for file in &files {
        let (name, report) = run_file(file);
        let (passed, evals) = (report.n_passed(), report.evals.len());
        n_passed += passed;
        n_evals += evals;
        let floor = corpus::floor_per_mille(&format!("promqltest/{name}"));
        if passed * 1000 < floor * evals {
            below.push(format!(
                "{name}: {passed} of {evals}, the floor is {floor} per mille"
            ));
        }
    }
    println!("promqltest: passed {n_passed} of {n_evals} evals");
    assert!(below.is_empty(), "{below:#?}");
}
