//! `kymo test rules`: unit tests of rules, in the format of `promtool test rules`.
//!
//! ```text
//! file --read--> tests --run--> failures --print--> FAILED / SUCCESS, JUnit
//! ```
//!
//! A test names rule files and input series, and what alerts fire and what expressions
//! give at certain times. Rules are evaluated as a server evaluates them, over series in
//! memory and at times of the test.

mod file;
mod junit;
mod print;
mod run;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use kymo_storage::compat::regex::Regex;

use crate::flags::{DELAYED_NAME_REMOVAL, Exit, exit, has_feature, promql_features};
use crate::terminal::{complain, say};

/// The command line behind `kymo test`.
#[derive(Debug, Parser)]
#[command(
    name = "kymo test",
    bin_name = "kymo test",
    about = "Run unit tests",
    max_term_width = 100
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run unit tests of rules.
    #[command(after_help = "EXAMPLE:\n    \
        kymo test rules tests/*.yml\n    \
        kymo test rules --run='latency' --junit=report.xml tests/*.yml\n\n\
        The format is that of promtool test rules. Exit code 1: a test failed.")]
    Rules(RulesArgs),
}

#[derive(Debug, Args)]
struct RulesArgs {
    /// Files with tests.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,

    /// Run only tests whose name matches one of these regular expressions.
    #[arg(long, value_name = "REGEX")]
    run: Vec<String>,

    /// Show only what differs, expected with - and found with +.
    #[arg(long)]
    diff: bool,

    /// Print all series at the end of each test.
    #[arg(long)]
    debug: bool,

    /// Write a report for CI systems.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Optional parts of PromQL to accept, as for the server.
    #[arg(long = "enable-feature", value_name = "FEATURE", value_delimiter = ',')]
    features: Vec<String>,
}

/// Runs a command; `args` are what stands behind `kymo test`.
///
/// # Errors
/// Help was asked for, or the command line is wrong.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> Result<ExitCode, Exit> {
    let args = std::iter::once(OsString::from("kymo test")).chain(args);
    let CommandLine { command } =
        CommandLine::try_parse_from(args).map_err(|error| exit(&error))?;
    let Command::Rules(args) = command;
    test_rules(&args)
}

fn test_rules(args: &RulesArgs) -> Result<ExitCode, Exit> {
    let names = match args.run.is_empty() {
        true => None,
        false => Some(Regex::new(&args.run.join("|")).map_err(|error| Exit {
            code: 1,
            message: format!("kymo test rules: --run: {error}\n"),
        })?),
    };
    let options = run::Options {
        features: promql_features(&args.features),
        delayed_name_removal: has_feature(&args.features, DELAYED_NAME_REMOVAL),
        show: match args.diff {
            true => print::Show::Difference,
            false => print::Show::Both,
        },
        debug: args.debug,
    };
    let mut suites = Vec::new();
    for name in &args.files {
        say(&format!("Unit Testing:  {name}\n"));
        let suite = run::file(name, names.as_ref(), &options);
        let failures: Vec<&String> = suite.failures().collect();
        if failures.is_empty() {
            say("  SUCCESS\n");
        } else {
            complain("  FAILED:\n");
            for failure in failures {
                complain(&format!("{failure}\n"));
                say("\n");
            }
        }
        say("\n");
        suites.push(suite);
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, junit::report(&suites)).map_err(|error| Exit {
            code: 1,
            message: format!("kymo test rules: write {}: {error}\n", path.display()),
        })?;
    }
    let has_failed = suites.iter().any(|suite| suite.failures().next().is_some());
    Ok(match has_failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}
