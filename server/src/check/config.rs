//! `kymo check config`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kymo_query::rules::Language;
use kymo_storage::compat::duration::format_prometheus;

use super::lint;
use super::references;
use super::report::{self, Finding, Format, Report};
use super::rules::RuleCheck;
use crate::commands::{Program, PromqlFlags};
use crate::config::yaml::Position;
use crate::config::{self, Config, ConfigError};
use crate::flags::Exit;
use crate::rules::file::{self, Accepted};
use crate::terminal::say;

/// The lint that looks at scrape intervals.
const TOO_LONG: &str = "too-long-scrape-interval";

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Configuration files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,

    /// Check only the file itself, not the files that it names.
    #[arg(long)]
    syntax_only: bool,

    /// What to look for in files that are right: too-long-scrape-interval, the lints of
    /// check rules, all or none; separated by commas.
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

    /// Pass over keys of groups and rules in rule files that are not known.
    #[arg(long)]
    ignore_unknown_fields: bool,

    /// Check for agent mode, which does not exist here.
    #[arg(long, hide = true)]
    agent: bool,

    /// How to print: as promtool does, or as JSON with the place of each finding.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Checks the files and returns the exit code.
///
/// # Errors
/// Agent mode was asked for.
pub(super) fn check(
    args: &ConfigArgs,
    lookback: Duration,
    program: Program,
    promql: &PromqlFlags,
) -> Result<ExitCode, Exit> {
    if args.agent {
        return Err(Exit {
            code: 1,
            message: "check config: --agent: there is no agent mode; a server with remote_write \
                      does its work, and its configuration is checked without the flag\n"
                .to_owned(),
        });
    }
    let is_none = args.lint.iter().any(|name| name == "none");
    let (own, of_rules): (Vec<String>, Vec<String>) =
        args.lint.iter().cloned().partition(|name| name == TOO_LONG);
    let lints = match is_none {
        true => lint::Lints::default(),
        false => lint::parse(&of_rules, program),
    };
    for unknown in &lints.unknown {
        say(&format!("WARNING: unknown lint option: {unknown:?}\n"));
    }
    let looks_at_intervals = !own.is_empty() || args.lint.iter().any(|name| name == "all");
    let mut rules = RuleCheck {
        accepted: Accepted {
            promql: promql.features(),
            unknown_keys: args.ignore_unknown_fields,
            ..Accepted::default()
        },
        lints: lints.chosen,
        format: args.format,
    };
    let mut reports = Vec::new();
    for name in &args.files {
        args.format.tell(&format!("Checking {name}\n"));
        let mut report = Report::new(name);
        let loaded = config::load(Path::new(name));
        let mut rule_files = Vec::new();
        match loaded {
            Err(error) => refuse(args.format, name, &error, &mut report),
            Ok(config) => {
                rule_files = accept(args, name, &config, &mut report);
                if looks_at_intervals && !is_none && !args.syntax_only {
                    lint_intervals(args.format, &config, lookback, &mut report);
                }
            }
        }
        reports.push(report);
        for (language, name) in rule_files {
            rules.accepted.language = language;
            reports.push(rules.file(&name));
        }
    }
    Ok(report::finish(args.format, &reports, args.lint_fatal))
}

/// Tells what is wrong with a file, and shows the places.
fn refuse(format: Format, name: &str, error: &ConfigError, report: &mut Report) {
    format.warn(&format!("  FAILED: {}\n", error.of_file()));
    let file = error.place().unwrap_or(Path::new(name));
    let bytes = file::read_bounded(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let shown = file.display().to_string();
    report::show_places(format, &shown, &text, error.problems());
    report
        .findings
        .extend(error.problems().iter().map(Finding::from));
    if error.problems().is_empty() {
        report.findings.push(Finding::error(error.of_file()));
    }
    format.tell("\n");
}

/// Checks the files that a right one names, and returns the rule files.
fn accept(
    args: &ConfigArgs,
    name: &str,
    config: &Config,
    report: &mut Report,
) -> Vec<(Language, String)> {
    let format = args.format;
    let found = match args.syntax_only {
        true => references::Found::default(),
        false => references::check(config),
    };
    for warning in config.warnings.iter().chain(&found.warnings) {
        format.tell(&format!("  WARNING: {warning}\n"));
        report.findings.push(Finding::warning(warning.clone()));
    }
    for mistake in &found.mistakes {
        format.warn(&format!("  FAILED: {mistake}\n"));
        report.findings.push(Finding::error(mistake.clone()));
    }
    let n_rule_files = found.rule_files.len() + found.log_rule_files.len();
    report.rule_files = Some(n_rule_files);
    if found.mistakes.is_empty() {
        if n_rule_files > 0 {
            format.tell(&format!("  SUCCESS: {n_rule_files} rule files found\n"));
        }
        format.tell(&format!(
            " SUCCESS: {name} is valid prometheus config file syntax\n"
        ));
    }
    format.tell("\n");
    if !found.mistakes.is_empty() {
        return Vec::new();
    }
    let of = |language, names: Vec<String>| names.into_iter().map(move |name| (language, name));
    of(Language::PromQl, found.rule_files)
        .chain(of(Language::LogQl, found.log_rule_files))
        .collect()
}

/// Looks for jobs whose samples are stale before the next ones come.
fn lint_intervals(format: Format, config: &Config, lookback: Duration, report: &mut Report) {
    for job in config.jobs() {
        if job.interval < lookback {
            continue;
        }
        let interval = i64::try_from(job.interval.as_nanos()).unwrap_or(i64::MAX);
        let text = format!(
            "too long scrape interval found, data point will be marked as stale - job: {}, \
             interval: {}",
            job.job_name,
            format_prometheus(interval)
        );
        format.warn(&format!("  FAILED: {text}\n"));
        let finding = Finding::lint(TOO_LONG, Position::default(), text);
        report.findings.push(finding);
    }
}
