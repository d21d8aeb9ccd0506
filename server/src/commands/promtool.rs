//! The program under the name `promtool`: the same commands, and its way to write what
//! stands in front of them.

use std::ffi::OsString;
use std::process::ExitCode;

use super::{Program, dispatch, help, printed};
use crate::flags::Exit;
use crate::observe::build;

/// Returns the command line without the commands.
pub(super) fn line() -> clap::Command {
    clap::Command::new("promtool")
        .about("Tooling for the Prometheus monitoring system, as Kymo does it")
        .override_usage("promtool [--FLAG=VALUE ...] COMMAND [ARGUMENT ...]")
        .max_term_width(100)
        .disable_help_subcommand(true)
}

/// Runs a command; `words` are what stands behind `promtool`. Flags of the program may
/// stand in front of the command or behind it.
///
/// # Errors
/// Help was asked for, or the command line is wrong.
pub(super) fn run(mut words: Vec<OsString>) -> Result<ExitCode, Exit> {
    let mut flags = Vec::new();
    while words.first().is_some_and(is_flag) {
        let flag = words.remove(0);
        match flag.to_str() {
            Some("-h" | "--help" | "--help-long") => return help(Program::Promtool, &[]),
            Some("--version") => return Err(printed(build::text("promtool"))),
            Some("--enable-feature") if !words.is_empty() => {
                flags.extend([flag, words.remove(0)]);
            }
            _ => flags.push(flag),
        }
    }
    match words.first().and_then(|word| word.to_str()) {
        None if words.is_empty() && flags.is_empty() => help(Program::Promtool, &[]),
        None if words.is_empty() => Err(Exit {
            code: 1,
            message: "promtool: error: no command, try --help\n".to_owned(),
        }),
        Some("help") => help(Program::Promtool, &words[1..]),
        _ => {
            words.splice(1..1, flags);
            dispatch(Program::Promtool, words)
        }
    }
}

fn is_flag(word: &OsString) -> bool {
    word.to_str().is_some_and(|word| word.starts_with('-'))
}
