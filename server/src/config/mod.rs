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
mod auth;
mod client_file;
mod discovery;
pub(crate) mod emit;
mod error;
mod expand;
pub(crate) mod fields;
mod global;
mod http_client;
mod kubeconfig;
mod kubernetes;
mod limits_config;
mod logs;
mod otlp;
mod print;
mod print_client;
mod print_limits;
mod proxy;
mod relabel;
mod remote_write;
mod scrape;
mod scrape_files;
mod storage;
pub(crate) mod units;
pub mod yaml;

use std::path::Path;

use kymo_ingest::otlp::Settings as OtlpSettings;
use kymo_ingest::scrape::ScrapeConfig;
use kymo_ingest::tail::{LogJob, TailOptions};
use kymo_storage::compat::quote::quote;

use fields::{Fields, Problems};
use yaml::Position;

pub(crate) use client_file::load as load_http_client;

pub use alerting::{Alerting, Alertmanager};
pub(crate) use discovery::KINDS as DISCOVERY_KINDS;
pub use discovery::parse_groups as parse_target_groups;
pub use error::{ConfigError, Problem, ProblemKind};
pub use global::Global;
pub use kubeconfig::parse_kubeconfig;
pub use limits_config::{LogsConfig, RetentionStream};
pub use relabel::parse_rules as parse_relabel_rules;
pub use remote_write::{MetadataConfig, QueueConfig, RemoteWrite, WriteMessage};
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
    /// Patterns of the files that rules over logs are read from.
    pub log_rule_files: Vec<String>,
    /// The jobs of the file itself, in its order.
    pub scrape_configs: Vec<ScrapeConfig>,
    /// Patterns of the files that more jobs are read from.
    pub scrape_config_files: Vec<String>,
    /// The jobs of those files, by pattern and name of the file.
    pub file_jobs: Vec<ScrapeConfig>,
    /// How OTLP metrics are translated.
    pub otlp: OtlpSettings,
    /// Where samples are handed on, in the order of the file; names are unique.
    pub remote_write: Vec<RemoteWrite>,
    /// How long samples are kept, and what else the store is told.
    pub storage: StorageConfig,
    /// What of logs is accepted, and how long it is kept.
    pub logs: LogsConfig,
    /// Logs that are followed, those of a file of Promtail last; names are unique.
    pub log_configs: Vec<LogJob>,
    /// What all followed logs share.
    pub log_options: TailOptions,
    /// The section `log_configs` as it was written, secrets hidden.
    log_configs_shown: Option<emit::Yaml>,
    /// What is allowed but worth a line in the log.
    pub warnings: Vec<String>,
}

impl Config {
    /// Returns all jobs, those of the file itself first; names are unique.
    pub fn jobs(&self) -> impl Iterator<Item = &ScrapeConfig> {
        self.scrape_configs.iter().chain(&self.file_jobs)
    }
}

/// Reads and checks a file, and the files of jobs that it names. Relative paths start from
/// the directory of the file they are in.
///
/// # Errors
/// A file cannot be read, or something in it is wrong.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        path: path.to_owned(),
        reason: os_text(&error),
    })?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let config = parse(&text, dir).map_err(|error| match error {
        ConfigError::Invalid { problems, .. } => ConfigError::Invalid {
            path: Some(path.to_owned()),
            problems,
        },
        other => other,
    });
    let mut config = config?;
    scrape_files::read(&mut config).map_err(|(file, cause)| ConfigError::InFile {
        path: path.to_owned(),
        file,
        cause: Box::new(cause),
    })?;
    Ok(config)
}

/// Adds what a file of Promtail follows to a configuration. Where `expand` is set,
/// variables of the environment stand in it.
///
/// # Errors
/// The file cannot be read, something in it is wrong, or a job has the name of another.
pub(crate) fn add_promtail(
    config: &mut Config,
    path: &Path,
    expand: bool,
) -> Result<(), ConfigError> {
    let promtail = logs::load_promtail(path, expand)?;
    for job in promtail.jobs {
        let known = config.log_configs.iter();
        if known.clone().any(|known| known.job_name == job.job_name) {
            let name = quote(&job.job_name);
            let mut problems = Problems::default();
            let text = format!("found multiple log configs with job name {name}");
            problems.value(Position { line: 1, column: 1 }, text);
            return Err(ConfigError::Invalid {
                path: Some(path.to_owned()),
                problems: problems.into_sorted(),
            });
        }
        config.log_configs.push(job);
    }
    config.log_options = promtail.options;
    config.warnings.extend(promtail.warnings);
    Ok(())
}

/// Checks a configuration given as text, without the files that it names. Relative paths
/// in it start from `dir`.
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
    if let Some(node) = fields.take("limits_config") {
        config.logs = limits_config::read(node, problems, &mut config.warnings);
    }
    if let Some(node) = fields.take("alerting") {
        config.alerting = alerting::read(node, config.global.name_validation, dir, problems);
    }
    config.rule_files = patterns(&mut fields, "rule_files", "rule", dir, problems);
    config.log_rule_files = patterns(&mut fields, "log_rule_files", "rule", dir, problems);
    let what = "scrape config";
    config.scrape_config_files = patterns(&mut fields, "scrape_config_files", what, dir, problems);
    for (job, at) in read_jobs(&mut fields, dir, &config.global, problems) {
        let name = &job.job_name;
        if config.scrape_configs.iter().any(|c| c.job_name == *name) {
            let name = quote(name);
            let text = format!("found multiple scrape configs with job name {name}");
            problems.value(at, text);
        }
        config.scrape_configs.push(job);
    }
    let nodes = fields.list("remote_write", "[]*config.RemoteWriteConfig", problems);
    config.remote_write = remote_write::read(nodes, config.global.name_validation, dir, problems);
    if let Some(node) = root.get("log_configs").filter(|node| !node.is_empty()) {
        config.log_configs_shown = Some(logs::shown(node));
    }
    config.log_configs = logs::take_jobs(&mut fields, "log_configs", dir, problems);
    let remedy = "remove the section, or leave it empty";
    fields.unsupported(&["remote_read", "tracing"], remedy, problems);
    fields.finish(problems);
    config
}

/// Takes `scrape_configs`: the jobs, and where the name of each stands.
fn read_jobs(
    fields: &mut Fields<'_>,
    dir: &Path,
    global: &Global,
    problems: &mut Problems,
) -> Vec<(ScrapeConfig, Position)> {
    let nodes = fields.list("scrape_configs", "[]*config.ScrapeConfig", problems);
    // Each is read before any is resolved, so that mistakes come in two rounds as they do
    // in Prometheus.
    let drafts: Vec<_> = nodes
        .iter()
        .filter_map(|node| scrape::read(node, dir, problems))
        .collect();
    let mut jobs = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let at = draft.job_position();
        jobs.push((draft.resolve(global, problems), at));
    }
    jobs
}

/// Takes patterns of files of `what`. A star may stand in their last part only.
fn patterns(
    fields: &mut Fields<'_>,
    name: &'static str,
    what: &str,
    dir: &Path,
    problems: &mut Problems,
) -> Vec<String> {
    let mut patterns = Vec::new();
    for node in fields.list(name, "[]string", problems) {
        let Some(pattern) = fields::string(node, problems) else {
            continue;
        };
        let after_star = pattern.split_once('*').map_or("", |(_, after)| after);
        if after_star.contains('/') {
            let quoted = quote(&pattern);
            problems.value(node.at, format!("invalid {what} file path {quoted}"));
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
#[cfg(test)]
mod tests_of_discovery;
#[cfg(test)]
mod tests_of_jobs;
