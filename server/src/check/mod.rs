//! `kymo check`: whether files are right, before a server reads them.
//!
//! Output and exit codes are those of `promtool check`: what succeeded goes to standard
//! output, what failed to standard error; 0 where all is right, 1 where a file is wrong,
//! 3 where `--lint-fatal` is given and something is only suspicious.

mod lint;
mod rules;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{Call, PromqlFlags};
use crate::flags::Exit;

/// The command line behind `kymo check`.
#[derive(Debug, Parser)]
#[command(about = "Check files before a server reads them", max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    promql: PromqlFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check rule files; without FILE, standard input.
    #[command(after_help = "EXAMPLE:\n    \
        kymo check rules rules/*.yml\n    \
        kymo check rules --lint=all --format=json rules/*.yml\n\n\
        Lints: duplicate-rules (two rules with one name and equal labels), raw-counter (a \
        counter compared or alerted on without rate or increase), unused-label (a template \
        reads a label that the expression takes away), no-for (an alert fires on one bad \
        sample). Exit code 1: a file is wrong; 3: a lint found something, with --lint-fatal.")]
    Rules(rules::RulesArgs),
}

/// Runs a command.
///
/// # Errors
/// Help was asked for, or the command line is wrong.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let CommandLine { command, promql } = call.read()?;
    match command {
        Command::Rules(args) => Ok(rules::check(&args, &promql)),
    }
}
