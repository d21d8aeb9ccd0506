//! The commands of the program, and which of them a command line asks for.
//!
//! ```text
//! kymo [serve] FLAGS     the server (flags, app)
//! kymo NAME ...          one of COMMANDS
//! kymo promtool NAME ... those that promtool has, with its flags and exit codes;
//! promtool NAME ...      the same: the program under that name is promtool
//! ```
//!
//! Each command has its command line and its code in a folder of its own. All lines
//! together are one tree, which help, completions and manual pages are made of.

mod promtool;
mod shell;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser};
use kymo_query::promql::Features;

use crate::flags::{self, Exit, promql_features};
use crate::observe::build;
use crate::terminal::say;
use crate::{
    check, debug, grafana, log_client, migrate, promql, push, query, rules, tsdb, unit_test,
};

/// A name that the program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Kymo,
    Promtool,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Program::Kymo => "kymo",
            Program::Promtool => "promtool",
        }
    }
}

/// What stands behind the name of a command.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) program: Program,
    command: &'static str,
    args: Vec<OsString>,
}

impl Call {
    /// Reads the command line.
    ///
    /// # Errors
    /// Help was asked for, or the command line is wrong.
    pub(crate) fn read<Line: Parser>(self) -> Result<Line, Exit> {
        let name = format!("{} {}", self.program.name(), self.command);
        let command = Line::command().name(name.clone()).bin_name(name.clone());
        let switches = switches(&command);
        // Go's command lines have a --no-x for every switch --x; all are off by default.
        let is_off = |arg: &OsString| {
            let name = arg.to_str().and_then(|arg| arg.strip_prefix("--no-"));
            name.is_some_and(|name| switches.iter().any(|switch| switch == name))
        };
        let args = self.args.into_iter().filter(|arg| !is_off(arg));
        command
            .try_get_matches_from(std::iter::once(OsString::from(name)).chain(args))
            .and_then(|matches| Line::from_arg_matches(&matches))
            .map_err(|error| usage(&error))
    }
}

/// Returns the names of all switches of a command and of those below it.
fn switches(command: &clap::Command) -> Vec<String> {
    let own = command
        .get_arguments()
        .filter(|arg| matches!(arg.get_action(), clap::ArgAction::SetTrue))
        .filter_map(|arg| arg.get_long().map(str::to_owned));
    own.chain(command.get_subcommands().flat_map(switches))
        .collect()
}

/// Returns what becomes of a command line that a command cannot read: code 1 as with
/// promtool, and 0 where help was asked for.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    let code = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        _ => 1,
    };
    Exit {
        code,
        message: error.render().to_string(),
    }
}

/// Flags that every command of promtool has.
#[derive(Debug, Clone, Args)]
pub(crate) struct PromqlFlags {
    /// Optional parts of PromQL to accept, as for the server.
    #[arg(
        long = "enable-feature",
        value_name = "FEATURE",
        value_delimiter = ',',
        global = true
    )]
    names: Vec<String>,

    /// Allow promtool's experimental commands.
    #[arg(long, global = true, hide = true)]
    pub(crate) experimental: bool,
}

impl PromqlFlags {
    /// Returns the parts of PromQL that are switched on, and warns of unknown ones.
    pub(crate) fn features(&self) -> Features {
        let is_unknown = |name: &&String| !name.is_empty() && !flags::is_feature(name);
        for name in self.names.iter().filter(is_unknown) {
            say(&format!(
                "  WARNING: Unknown feature passed to --enable-feature: {name}\n"
            ));
        }
        promql_features(&self.names)
    }

    /// Tells whether a feature was switched on.
    pub(crate) fn has(&self, name: &str) -> bool {
        flags::has_feature(&self.names, name)
    }
}

/// A command of the program.
struct Entry {
    name: &'static str,
    /// Whether promtool has it.
    of_promtool: bool,
    line: fn() -> clap::Command,
    run: fn(Call) -> Result<ExitCode, Exit>,
}

/// All commands, in the order of help.
const COMMANDS: [Entry; 13] = [
    Entry {
        name: "check",
        of_promtool: true,
        line: check::CommandLine::command,
        run: check::run,
    },
    Entry {
        name: "test",
        of_promtool: true,
        line: unit_test::CommandLine::command,
        run: unit_test::run,
    },
    Entry {
        name: "query",
        of_promtool: true,
        line: query::CommandLine::command,
        run: query::run,
    },
    Entry {
        name: "push",
        of_promtool: true,
        line: push::CommandLine::command,
        run: push::run,
    },
    Entry {
        name: "debug",
        of_promtool: true,
        line: debug::CommandLine::command,
        run: debug::run,
    },
    Entry {
        name: "promql",
        of_promtool: true,
        line: promql::CommandLine::command,
        run: promql::run,
    },
    Entry {
        name: "tsdb",
        of_promtool: true,
        line: tsdb::CommandLine::command,
        run: tsdb::run,
    },
    Entry {
        name: "logs",
        of_promtool: false,
        line: log_client::CommandLine::command,
        run: log_client::run,
    },
    Entry {
        name: "rules",
        of_promtool: false,
        line: rules::command::CommandLine::command,
        run: rules::command::run,
    },
    Entry {
        name: "migrate-check",
        of_promtool: false,
        line: migrate::CommandLine::command,
        run: migrate::run,
    },
    Entry {
        name: "grafana",
        of_promtool: false,
        line: grafana::CommandLine::command,
        run: grafana::run,
    },
    Entry {
        name: "completions",
        of_promtool: false,
        line: shell::CompletionsLine::command,
        run: shell::completions,
    },
    Entry {
        name: "man",
        of_promtool: false,
        line: shell::ManLine::command,
        run: shell::man,
    },
];

/// What is behind the flags in help.
const AFTER_HELP: &str = "\
EXAMPLES:
    kymo
        scrape this process and this host, and answer on http://127.0.0.1:9090
    kymo --config.file=prometheus.yml --storage.path=/var/lib/kymo
        take the place of a Prometheus
    kymo check config prometheus.yml
        look for mistakes before a server does
    kymo COMMAND --help
        what a command does, with examples

A switch --x is turned off by --no-x or --x=false. Sizes have units (512MB, 4GiB), durations,
too (90s, 1h30m). Flags of Prometheus that mean nothing here are taken with a warning.";

/// Runs what a command line asks for; `serve` is handed that of the server.
///
/// # Errors
/// Help was asked for, or the command line is wrong.
pub(crate) fn run(
    args: Vec<OsString>,
    serve: fn(Vec<OsString>) -> Result<ExitCode, Exit>,
) -> Result<ExitCode, Exit> {
    let program = args.first().map(Path::new).and_then(Path::file_stem);
    if program.is_some_and(|name| name == "promtool") {
        return promtool::run(args.into_iter().skip(1).collect());
    }
    let word = args.get(1).and_then(|word| word.to_str());
    match word {
        Some("promtool") => promtool::run(args.into_iter().skip(2).collect()),
        Some("help") => help(Program::Kymo, &args[2..]),
        Some(word) if word != "serve" && !word.starts_with('-') => {
            dispatch(Program::Kymo, args.into_iter().skip(1).collect())
        }
        _ if asks_for(&args, ["-h", "--help"]) => help(Program::Kymo, &[]),
        _ if asks_for(&args, ["-V", "--version"]) => Err(printed(build::text("kymo"))),
        _ => serve(args),
    }
}

/// Runs the command that `words` begin with.
fn dispatch(program: Program, words: Vec<OsString>) -> Result<ExitCode, Exit> {
    let mut words = words.into_iter();
    let word = words.next().unwrap_or_default();
    let found = COMMANDS
        .iter()
        .filter(|entry| entry.of_promtool || program == Program::Kymo)
        .find(|entry| word == *entry.name);
    match found {
        Some(entry) => (entry.run)(Call {
            program,
            command: entry.name,
            args: words.collect(),
        }),
        None => Err(unknown(program, word)),
    }
}

/// Returns the error for a word that is no command, with what it may have meant.
fn unknown(program: Program, word: OsString) -> Exit {
    let name = OsString::from(program.name());
    match tree(program).try_get_matches_from([name, word.clone()]) {
        Err(error) => usage(&error),
        Ok(_) => Exit {
            code: 1,
            message: format!("error: unrecognized command {}\n", word.display()),
        },
    }
}

/// Returns all command lines of a program as one.
fn tree(program: Program) -> clap::Command {
    let line = match program {
        Program::Kymo => flags::command().after_help(AFTER_HELP),
        Program::Promtool => promtool::line(),
    };
    COMMANDS
        .iter()
        .filter(|entry| entry.of_promtool || program == Program::Kymo)
        .fold(line, |line, entry| {
            line.subcommand((entry.line)().name(entry.name))
        })
}

/// Prints help on the program, or on the command that `words` name.
fn help(program: Program, words: &[OsString]) -> Result<ExitCode, Exit> {
    match words.is_empty() {
        true => Err(printed(tree(program).render_help().to_string())),
        false => {
            let words = words.iter().cloned();
            dispatch(program, words.chain([OsString::from("--help")]).collect())
        }
    }
}

fn printed(message: String) -> Exit {
    Exit { code: 0, message }
}

/// Tells whether one of the flags stands on a command line, in front of a `--`.
fn asks_for(args: &[OsString], flags: [&str; 2]) -> bool {
    args.iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| flags.iter().any(|flag| arg == flag))
}

#[cfg(test)]
mod tests;
