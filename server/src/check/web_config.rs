//! `kymo check web-config`.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::report::{self, Finding, Format, Report};
use crate::access::{WebConfig, WebConfigError};
use crate::rules::file::read_bounded;

#[derive(Debug, Args)]
pub(super) struct WebConfigArgs {
    /// Web configuration files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,

    /// How to print: as promtool does, or as JSON with the place of each finding.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Checks the files and returns the exit code.
pub(super) fn check(args: &WebConfigArgs) -> ExitCode {
    let format = args.format;
    let mut reports = Vec::new();
    for name in &args.files {
        let mut report = Report::new(name);
        match WebConfig::load(Path::new(name)) {
            Ok(_) => format.warn(&format!("{name} SUCCESS\n")),
            Err(error) => {
                format.warn(&format!("{name} FAILED: {error}\n"));
                match &error {
                    WebConfigError::Invalid(cause) => {
                        let problems = cause.problems();
                        let bytes = read_bounded(Path::new(name)).unwrap_or_default();
                        let text = String::from_utf8_lossy(&bytes);
                        report::show_places(format, name, &text, problems);
                        report.findings.extend(problems.iter().map(Finding::from));
                    }
                    WebConfigError::Unreadable { .. } => {
                        report.findings.push(Finding::error(error.to_string()));
                    }
                }
            }
        }
        reports.push(report);
    }
    report::finish(format, &reports, false)
}
