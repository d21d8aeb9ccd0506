//! `kymo check rules`.

use std::io::{self, Read};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::lint::{self, Lint};
use crate::commands::PromqlFlags;
use crate::config::Problem;
use crate::rules::file::{self, Accepted, RuleFile, RuleFileError};
use crate::terminal::{complain, say};

/// Exit code of files that are wrong.
const FAILED: u8 = 1;
/// Exit code of files that are suspicious, where that counts.
const SUSPICIOUS: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    /// Rule files; default: standard input.
    #[arg(value_name = "FILE")]
    files: Vec<String>,

    /// What to look for in files that are right: duplicate-rules, raw-counter,
    /// unused-label, no-for, all or none; separated by commas.
    #[arg(
        long,
        value_name = "LINTS",
        value_delimiter = ',',
        default_value = "duplicate-rules"
    )]
    lint: Vec<String>,

    /// End with code 3 where a lint found something.
    #[arg(long)]
    lint_fatal: bool,

    /// How to print: as promtool does, or as JSON with the place of each finding.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// One thing that is wrong or suspicious.
#[derive(Debug, Serialize)]
struct Finding {
    /// `error` or `lint`.
    severity: &'static str,
    /// The lint; empty for errors.
    lint: &'static str,
    line: usize,
    column: usize,
    message: String,
}

/// What was found in one file.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    rules: usize,
    findings: Vec<Finding>,
}

/// Checks the files and returns the exit code.
pub(super) fn check(args: &RulesArgs, promql: &PromqlFlags) -> ExitCode {
    let lints = lint::parse(&args.lint);
    for unknown in &lints.unknown {
        say(&format!("WARNING: unknown lint option: {unknown:?}\n"));
    }
    let accepted = Accepted {
        promql: promql.features(),
        ..Accepted::default()
    };
    let mut reports = Vec::new();
    if args.files.is_empty() {
        reports.push(one(
            "standard input",
            args,
            &lints.chosen,
            read_stdin(&accepted),
        ));
    }
    for name in &args.files {
        reports.push(one(name, args, &lints.chosen, file::load(name, &accepted)));
    }
    if args.format == Format::Json {
        match serde_json::to_string_pretty(&reports) {
            Ok(text) => say(&format!("{text}\n")),
            Err(error) => complain(&format!("kymo check: {error}\n")),
        }
    }
    let has = |severity| {
        let mut findings = reports.iter().flat_map(|report| &report.findings);
        findings.any(|finding| finding.severity == severity)
    };
    match () {
        () if has("error") => ExitCode::from(FAILED),
        () if has("lint") && args.lint_fatal => ExitCode::from(SUSPICIOUS),
        () => ExitCode::SUCCESS,
    }
}

fn read_stdin(accepted: &Accepted) -> Result<RuleFile, RuleFileError> {
    let mut text = String::new();
    let limit = file::MAX_FILE_BYTES;
    let outcome = io::stdin().lock().take(limit + 1).read_to_string(&mut text);
    match outcome {
        Ok(len) if len as u64 > limit => {
            let text = format!("there are more than {limit} bytes; split the rules into files");
            Err(RuleFileError::unreadable("<stdin>", text))
        }
        Ok(_) => file::parse("<stdin>", &text, accepted),
        Err(error) => Err(RuleFileError::unreadable("<stdin>", error.to_string())),
    }
}

/// Prints what became of a file, in the text form.
fn one(
    name: &str,
    args: &RulesArgs,
    lints: &[Lint],
    read: Result<RuleFile, RuleFileError>,
) -> Report {
    let text = args.format == Format::Text;
    let tell = |line: &str| {
        if text {
            say(line);
        }
    };
    let warn = |line: &str| {
        if text {
            complain(line);
        }
    };
    tell(&format!("Checking {name}\n"));
    let mut report = Report {
        file: name.to_owned(),
        rules: 0,
        findings: Vec::new(),
    };
    let read = match read {
        Ok(read) => read,
        Err(error) => {
            warn("  FAILED:\n");
            for line in error.texts() {
                warn(&format!("{line}\n"));
            }
            report
                .findings
                .extend(error.problems.into_iter().map(error_finding));
            return report;
        }
    };
    report.rules = read.groups.iter().map(|group| group.rules.len()).sum();
    for warning in &read.warnings {
        warn(&format!("  WARNING: {warning}\n"));
    }
    let mut has_failed = false;
    for lint in lints {
        let found = lint.run(&read);
        if found.is_empty() {
            continue;
        }
        if !has_failed {
            warn("  FAILED:\n");
            has_failed = true;
        }
        warn(&lint.text(name, &found));
        report
            .findings
            .extend(found.into_iter().map(|found| Finding {
                severity: "lint",
                lint: lint.name(),
                line: found.at.line,
                column: found.at.column,
                message: found.message,
            }));
    }
    if !has_failed {
        tell(&format!("  SUCCESS: {} rules found\n", report.rules));
    }
    tell("\n");
    report
}

fn error_finding(problem: Problem) -> Finding {
    Finding {
        severity: "error",
        lint: "",
        line: problem.at.line,
        column: problem.at.column,
        message: problem.message,
    }
}
