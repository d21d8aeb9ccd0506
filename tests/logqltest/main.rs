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

use std::path::Path;
use std::{env, fs};

use kymo_query::logql::script::{Report, Script, run};
use kymo_query::logql::{LogEngine, LogEngineOptions};

/// How many failures of a script are shown.
const SHOWN: usize = 5;

fn run_file(path: &Path) -> (String, Report) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    let script = Script::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let report = run(&script, &LogEngine::new(LogEngineOptions::default()));
    let (n_passed, n) = (report.n_passed(), report.evals.len());
    println!("{name}: passed {n_passed} of {n} evals");
    let shown = match env::var_os("KYMO_CORPUS_ALL") {
        Some(_) => usize::MAX,
        None => SHOWN,
    };
    let failed = report.evals.iter().filter_map(|eval| {
        let why = eval.difference.as_ref()?;
        Some(format!("  {name}:{} {why}", eval.line))
    });
    failed.take(shown).for_each(|failure| println!("{failure}"));
    (name, report)
}

#[test]
fn our_own_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("logqltest");
    let mut n_scripts = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "logqltest") {
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
    let Some(files) = corpus::files("logqltest", &[".logqltest"]) else {
        return;
    };
    let (mut n_passed, mut n_evals) = (0, 0);
    let mut below = Vec::new();
    for file in &files {
        let (name, report) = run_file(file);
        let (passed, evals) = (report.n_passed(), report.evals.len());
        n_passed += passed;
        n_evals += evals;
        let floor = corpus::floor_per_mille(&format!("logqltest/{name}"));
        if passed * 1000 < floor * evals {
            below.push(format!(
                "{name}: {passed} of {evals}, the floor is {floor} per mille"
            ));
        }
    }
    println!("logqltest: passed {n_passed} of {n_evals} evals");
    assert!(below.is_empty(), "{below:#?}");
}
