//! Asking a server for logs and following them, with the flags of Loki's `logcli`.
//!
//! `kymo query logs` is in `query`, `kymo logs tail` in `tail`; `answer` reads what the
//! server sends, `lines` prints it.

mod answer;
mod lines;
mod query;
mod tail;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kymo_storage::compat::duration::parse_prometheus;

use crate::client::HttpFlags;
use crate::commands::Call;
use crate::flags::Exit;

pub(crate) use query::{LogsArgs, run as query};

/// The command line behind `kymo logs`.
#[derive(Debug, Parser)]
#[command(about = "Follow logs", max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    http: HttpFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print entries as they come, the last ones first.
    #[command(after_help = "EXAMPLES:\n    \
        kymo logs tail http://localhost:9090 '{app=\"shop\"} |= \"error\"'\n    \
        kymo logs tail --output=jsonl --limit=0 localhost:9090 '{job=~\".+\"}'\n\n\
        Entries that were stored are asked for with kymo query logs.")]
    Tail(tail::TailArgs),
}

/// Runs a command.
///
/// # Errors
/// Help was asked for, the command line is wrong, or the server cannot be asked.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let line: CommandLine = call.read()?;
    let done = match &line.command {
        Command::Tail(args) => tail::run(args, &line.http),
    };
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(message) => Err(Exit {
            code: 1,
            message: format!("{message}\n"),
        }),
    }
}

/// Reads a duration in nanoseconds, Prometheus' form or Go's.
fn parse_ns(text: &str) -> Result<i64, String> {
    let go = || kymo_storage::compat::duration::parse_go(text);
    parse_prometheus(text)
        .or_else(|_| go())
        .map_err(|error| error.to_string())
}
