//! `kymo check rules`.

use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use kymo_query::rules::Language;

use super::lint::{self, Lint};
use super::report::{self, Finding, Format, Report};
use crate::commands::{Program, PromqlFlags};
use crate::rules::file::{self, Accepted, RuleFile, RuleFileError};
use crate::terminal::say;

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

    /// Pass over keys of groups and rules that are not known.
    #[arg(long)]
    ignore_unknown_fields: bool,

    /// The files have rules over logs, with expressions in LogQL.
    #[arg(long)]
    logql: bool,

    /// How to print: as promtool does, or as JSON with the place of each finding.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// What rule files are checked for.
#[derive(Debug)]
pub(super) struct RuleCheck {
    pub(super) accepted: Accepted,
    pub(super) lints: Vec<Lint>,
    pub(super) format: Format,
}

/// Checks the files and returns the exit code.
pub(super) fn check(args: &RulesArgs, program: Program, promql: &PromqlFlags) -> ExitCode {
    let lints = lint::parse(&args.lint, program);
    for unknown in &lints.unknown {
        say(&format!("WARNING: unknown lint option: {unknown:?}\n"));
    }
    let check = RuleCheck {
        accepted: Accepted {
            language: match args.logql {
                true => Language::LogQl,
                false => Language::PromQl,
            },
            promql: promql.features(),
            unknown_keys: args.ignore_unknown_fields,
            ..Accepted::default()
        },
        lints: lints.chosen,
        format: args.format,
    };
    let reports = match args.files.is_empty() {
        true => vec![check.stdin()],
        false => args.files.iter().map(|name| check.file(name)).collect(),
    };
    report::finish(args.format, &reports, args.lint_fatal)
}

impl RuleCheck {
    /// Checks a file and tells what became of it.
    pub(super) fn file(&self, name: &str) -> Report {
        self.format.tell(&format!("Checking {name}\n"));
        let text = || {
            let bytes = file::read_bounded(Path::new(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        self.outcome(name, file::load(name, &self.accepted), text)
    }

    fn stdin(&self) -> Report {
        self.format.tell("Checking standard input\n");
        let mut text = String::new();
        let limit = file::MAX_FILE_BYTES;
        let outcome = io::stdin().lock().take(limit + 1).read_to_string(&mut text);
        let read = match outcome {
            Ok(len) if len as u64 > limit => {
                let text = format!("there are more than {limit} bytes; split the rules into files");
                Err(RuleFileError::unreadable("<stdin>", text))
            }
            Ok(_) => file::parse("<stdin>", &text, &self.accepted),
            Err(error) => Err(RuleFileError::unreadable("<stdin>", error.to_string())),
        };
        self.outcome("standard input", read, || text)
    }

    fn outcome(
        &self,
        name: &str,
        read: Result<RuleFile, RuleFileError>,
        text: impl FnOnce() -> String,
    ) -> Report {
        let format = self.format;
        let mut report = Report::new(name);
        report.rules = Some(0);
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                format.warn("  FAILED:\n");
                for line in error.texts() {
                    format.warn(&format!("{line}\n"));
                }
                report::show_places(format, &error.file, &text(), &error.problems);
                report
                    .findings
                    .extend(error.problems.iter().map(Finding::from));
                return report;
            }
        };
        let n_rules = read.groups.iter().map(|group| group.rules.len()).sum();
        report.rules = Some(n_rules);
        for warning in &read.warnings {
            format.warn(&format!("  WARNING: {warning}\n"));
        }
        let mut has_failed = false;
        for lint in &self.lints {
            let found = lint.run(&read);
            if found.is_empty() {
                continue;
            }
            if !has_failed {
                format.warn("  FAILED:\n");
                has_failed = true;
            }
            format.warn(&lint.text(name, &found));
            let findings = found.into_iter();
            let findings =
                findings.map(|found| Finding::lint(lint.name(), found.at, found.message));
            report.findings.extend(findings);
        }
        if !has_failed {
            format.tell(&format!("  SUCCESS: {n_rules} rules found\n"));
        }
        format.tell("\n");
        report
    }
}
