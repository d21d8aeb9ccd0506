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

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use kymo_storage::compat::regex::Regex;

use crate::commands::{Call, PromqlFlags};
use crate::flags::{DELAYED_NAME_REMOVAL, Exit};
use crate::terminal::{complain, say};

/// The command line behind `kymo test`.
#[derive(Debug, Parser)]
#[command(about = "Run unit tests", max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,

    /// Write a report for CI systems.
    #[arg(long, value_name = "FILE", global = true)]
    junit: Option<PathBuf>,

    #[command(flatten)]
    promql: PromqlFlags,
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

    /// Pass over keys of groups and rules in rule files that are not known.
    #[arg(long)]
    ignore_unknown_fields: bool,

    /// Print all series at the end of each test.
    #[arg(long)]
    debug: bool,
}

/// Runs a command.
///
/// # Errors
/// Help was asked for, or the command line is wrong.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let line: CommandLine = call.read()?;
    let Command::Rules(args) = &line.command;
    test_rules(args, line.junit.as_deref(), &line.promql)
}

fn test_rules(
    args: &RulesArgs,
    junit: Option<&Path>,
    promql: &PromqlFlags,
) -> Result<ExitCode, Exit> {
    let names = match args.run.is_empty() {
        true => None,
        false => Some(Regex::new(&args.run.join("|")).map_err(|error| Exit {
            code: 1,
            message: format!("kymo test rules: --run: {error}\n"),
        })?),
    };
    let options = run::Options {
        features: promql.features(),
        unknown_keys: args.ignore_unknown_fields,
        delayed_name_removal: promql.has(DELAYED_NAME_REMOVAL),
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
    if let Some(path) = junit {
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
