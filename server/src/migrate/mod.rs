//! `kymo migrate-check`: what a Prometheus' flags and files come to here.
//!
//! It starts nothing and changes nothing. What it knows of flags, features and keys of the
//! configuration is what the server itself knows, so that both agree.

mod files;
mod flags;
mod report;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::commands::Call;
use crate::flags::Exit;
use crate::terminal::say;
use report::Report;

/// The command line behind `kymo migrate-check`.
#[derive(Debug, Parser)]
#[command(
    about = "Tell what of a Prometheus works here, what differs, and what will not work",
    max_term_width = 100,
    override_usage = "kymo migrate-check [--format=FORMAT] [--PROMETHEUS-FLAG=VALUE ...]",
    after_help = "EXAMPLES:\n    \
        kymo migrate-check --config.file=/etc/prometheus/prometheus.yml\n    \
        kymo migrate-check --config.file=prometheus.yml --storage.tsdb.retention.time=30d \
        --web.enable-lifecycle --enable-feature=exemplar-storage\n\n\
        Give the flags of your Prometheus as they are. Exit code 1: something will not work."
)]
pub(crate) struct CommandLine {
    /// How to print.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Flags of Prometheus.
    #[arg(
        value_name = "PROMETHEUS-FLAGS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    flags: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the command.
///
/// # Errors
/// Help was asked for, or the command line is wrong.
pub(crate) fn run(call: Call) -> Result<ExitCode, Exit> {
    let mut line: CommandLine = call.read()?;
    // Behind the first flag of Prometheus all is taken as one.
    if let Some(format) = take_format(&mut line.flags)? {
        line.format = format;
    }
    let given = flags::split(&line.flags);
    let mut report = Report::default();
    flags::check(&given, &line.flags, &mut report);
    files::check(&given, &mut report);
    say(&match line.format {
        Format::Text => report.text(),
        Format::Json => report.json(),
    });
    Ok(match report.has_missing() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn take_format(flags: &mut Vec<OsString>) -> Result<Option<Format>, Exit> {
    let is_format = |flag: &OsString| {
        let text = flag.to_str();
        text.is_some_and(|text| text.starts_with("--format="))
    };
    let Some(at) = flags.iter().position(is_format) else {
        return Ok(None);
    };
    let flag = flags.remove(at);
    let value = flag
        .to_str()
        .and_then(|flag| flag.strip_prefix("--format="));
    let format = Format::from_str(value.unwrap_or_default(), false);
    format.map(Some).map_err(|_| Exit {
        code: 1,
        message: "migrate-check: --format is text or json\n".to_owned(),
    })
}

#[cfg(test)]
mod tests;
