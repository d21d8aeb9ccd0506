//! The configuration file: a Prometheus `prometheus.yml`, read strictly.
//!
//! [`load`] turns a file into one validated, immutable [`Config`] or into a
//! [`ConfigError`] that names every mistake with its line and what to do about it.
//! Keys that Prometheus knows and this version does not act on are refused by
//! name; nothing that would change behaviour is silently ignored. Secrets are
//! never printed.
//!
//! Reading order: [`yaml`] (text to tree), `fields` (tree to values), then one file
//! for each section.

mod alerting;
mod discovery;
mod emit;
mod error;
mod expand;
pub(crate) mod fields;
mod global;
mod http_client;
mod otlp;
mod print;
mod relabel;
mod scrape;
mod storage;
pub(crate) mod units;
pub mod yaml;

use std::path::Path;

use kymo_ingest::otlp::Settings as OtlpSettings;
use kymo_ingest::scrape::ScrapeConfig;
use kymo_storage::compat::quote::quote;

use fields::{Fields, Problems};

pub use alerting::{Alerting, Alertmanager};
pub use discovery::parse_groups as parse_target_groups;
pub use error::{ConfigError, Problem, ProblemKind};
pub use global::Global;
pub use relabel::parse_rules as parse_relabel_rules;
pub use storage::{Retention, StorageConfig};

/// A validated configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// What jobs inherit, and the server's own labels.
    pub global: Global,
    /// Where alerts are sent.
    pub alerting: Alerting,
    /// Patterns of the files that rules are read from.
    pub rule_files: Vec<String>,
    /// The jobs, in the order of the file; names are unique.
    pub scrape_configs: Vec<ScrapeConfig>,
    /// How OTLP metrics are translated.
    pub otlp: OtlpSettings,
    /// How long samples are kept, and what else the store is told.
    pub storage: StorageConfig,
    /// What is allowed but worth a line in the log.
    pub warnings: Vec<String>,
}

/// Reads and checks a file. Relative paths in it start from its directory.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        path: path.to_owned(),
        reason: os_text(&error),
    })?;
    let dir = path.parent().unwrap_or(Path::new(""));
    parse(&text, dir).map_err(|error| match error {
        ConfigError::Invalid { problems, .. } => ConfigError::Invalid {
            path: Some(path.to_owned()),
            problems,
        },
        other => other,
    })
}

/// Checks a configuration given as text. Relative paths in it start from `dir`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, dir: &Path) -> Result<Config, ConfigError> {
    let document = yaml::parse(text)?;
    let mut problems = Problems::default();
    let mut config = read(&document.root, dir, &mut problems);
    if let Some(at) = document.unread {
        config.warnings.push(format!(
            "line {}: only the first document of a file is read, what follows has no effect",
            at.line
        ));
    }
    problems.settle(config)
}

fn read(root: &yaml::Node, dir: &Path, problems: &mut Problems) -> Config {
    let mut config = Config::default();
    let mut fields = Fields::open(root, "config.plain", problems);
    if let Some(node) = fields.take("global").filter(|node| !node.is_empty()) {
        config.global = global::read(node, dir, problems, &mut config.warnings);
    }
    read_runtime(&mut fields, problems);
    if let Some(node) = fields.take("otlp") {
        config.otlp = otlp::read(node, config.global.name_validation, problems);
    }
    if let Some(node) = fields.take("storage") {
        config.storage = storage::read(node, problems);
    }
    if let Some(node) = fields.take("alerting") {
        config.alerting = alerting::read(node, config.global.name_validation, dir, problems);
    }
    config.rule_files = rule_files(&mut fields, dir, problems);
    let nodes = fields.list("scrape_configs", "[]*config.ScrapeConfig", problems);
    let mut drafts = Vec::with_capacity(nodes.len());
    for node in nodes {
        drafts.extend(scrape::read(node, dir, problems));
    }
    for draft in drafts {
        let (job, at) = draft.job();
        if config.scrape_configs.iter().any(|c| c.job_name == job) {
            let text = format!("found multiple scrape configs with job name {}", quote(job));
            problems.value(at, text);
        }
        let resolved = draft.resolve(&config.global, problems);
        config.scrape_configs.push(resolved);
    }
    let remedy = "remove the section, or leave it empty";
    fields.unsupported(
        &[
            "remote_read",
            "remote_write",
            "scrape_config_files",
            "tracing",
        ],
        remedy,
        problems,
    );
    fields.finish(problems);
    config
}

/// Takes the patterns of rule files. A star may stand in their last part only.
fn rule_files(fields: &mut Fields<'_>, dir: &Path, problems: &mut Problems) -> Vec<String> {
    let mut patterns = Vec::new();
    for node in fields.list("rule_files", "[]string", problems) {
        let Some(pattern) = fields::string(node, problems) else {
            continue;
        };
        let after_star = pattern.split_once('*').map_or("", |(_, after)| after);
        if after_star.contains('/') {
            let quoted = quote(&pattern);
            problems.value(node.at, format!("invalid rule file path {quoted}"));
        }
        patterns.push(join(dir, &pattern));
    }
    patterns
}

/// Joins a path to the directory it is relative to, without `.` and `..` where they can
/// go, as Go's `filepath.Join` does. A path that is empty or absolute stays as it is.
fn join(dir: &Path, path: &str) -> String {
    if path.is_empty() || path.starts_with('/') {
        return path.to_owned();
    }
    let joined = format!("{}/{path}", dir.display());
    let is_absolute = dir.is_absolute();
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    let clean = parts.join("/");
    match (is_absolute, clean.is_empty()) {
        (true, _) => format!("/{clean}"),
        (false, true) => ".".to_owned(),
        (false, false) => clean,
    }
}

/// `runtime.gogc` tunes Go's garbage collector; there is none here to tune.
fn read_runtime(fields: &mut Fields<'_>, problems: &mut Problems) {
    if let Some(node) = fields.take("runtime") {
        let mut runtime = Fields::open(node, "config.RuntimeConfig", problems);
        runtime.take("gogc");
        runtime.finish(problems);
    }
}

/// Returns an operating system's error as Go prints it: lower case, no number.
pub(crate) fn os_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

#[cfg(test)]
mod tests;
