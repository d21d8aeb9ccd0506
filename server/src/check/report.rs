//! What checks found, as text for people and as JSON for machines.

use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::excerpt::excerpt;
use super::expression;
use crate::config::Problem;
use crate::config::yaml::Position;
use crate::terminal::{complain, say};

/// Exit code of files that are wrong.
const FAILED: u8 = 1;
/// Exit code of files that are suspicious, where that counts.
pub(super) const SUSPICIOUS: u8 = 3;

/// How checks print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// As promtool does.
    Text,
    /// All findings with their places, at the end.
    Json,
}

impl Format {
    /// Prints to standard output, in the text form.
    pub(super) fn tell(self, text: &str) {
        if self == Format::Text {
            say(text);
        }
    }

    /// Prints to standard error, in the text form.
    pub(super) fn warn(self, text: &str) {
        if self == Format::Text {
            complain(text);
        }
    }
}

/// One thing that is wrong or suspicious.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// `error`, `lint` or `warning`.
    pub(super) severity: &'static str,
    /// The lint; empty for others.
    pub(super) lint: &'static str,
    /// Where it stands; 0 where it is about the whole file.
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
    /// What to do about it, where that is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    /// Returns a mistake that has no place.
    pub(super) fn error(message: String) -> Finding {
        Finding::of("error", "", Position::default(), message)
    }

    /// Returns something suspicious.
    pub(super) fn lint(lint: &'static str, at: Position, message: String) -> Finding {
        Finding::of("lint", lint, at, message)
    }

    /// Returns something that is right and worth a word.
    pub(super) fn warning(message: String) -> Finding {
        Finding::of("warning", "", Position::default(), message)
    }

    fn of(severity: &'static str, lint: &'static str, at: Position, message: String) -> Finding {
        Finding {
            severity,
            lint,
            line: at.line,
            column: at.column,
            message,
            remedy: None,
        }
    }
}

impl From<&Problem> for Finding {
    fn from(problem: &Problem) -> Finding {
        let mut finding = Finding::of("error", "", problem.at, problem.message.clone());
        finding.remedy = problem.remedy.clone();
        finding
    }
}

/// What was found in one file.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) file: String,
    /// Rules in a rule file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rules: Option<usize>,
    /// Rule files that a configuration names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule_files: Option<usize>,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(file: &str) -> Report {
        Report {
            file: file.to_owned(),
            ..Report::default()
        }
    }
}

/// Shows the places of mistakes in the text of a file.
pub(super) fn show_places(format: Format, file: &str, text: &str, problems: &[Problem]) {
    format.warn(&places(file, text, problems));
}

/// Returns the places of mistakes in the text of a file.
pub(super) fn places(file: &str, text: &str, problems: &[Problem]) -> String {
    let shown = problems.iter().map(|problem| {
        let at = expression::place(text, problem);
        excerpt(file, text, at, problem.remedy.as_deref())
    });
    shown.collect()
}

/// Prints the reports where that was asked for, and returns the exit code.
pub(super) fn finish(format: Format, reports: &[Report], lint_fatal: bool) -> ExitCode {
    if format == Format::Json {
        match serde_json::to_string_pretty(reports) {
            Ok(text) => say(&format!("{text}\n")),
            Err(error) => complain(&format!("check: {error}\n")),
        }
    }
    let has = |severity| {
        let mut findings = reports.iter().flat_map(|report| &report.findings);
        findings.any(|finding| finding.severity == severity)
    };
    match () {
        () if has("error") => ExitCode::from(FAILED),
        () if has("lint") && lint_fatal => ExitCode::from(SUSPICIOUS),
        () => ExitCode::SUCCESS,
    }
}
