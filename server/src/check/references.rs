//! The files that a configuration names: whether they are there and right.
//!
//! What keeps promtool from accepting a configuration is a mistake, in its words; what it
//! does not look at is a warning.

use std::path::Path;
use std::sync::Arc;

use kymo_ingest::discovery::{Group, GroupId, LabelMap, SourceConfig, TargetGroup, glob};
use kymo_ingest::http::{Auth, ClientOptions, PemSource};
use kymo_ingest::scrape::preview;
use kymo_storage::compat::quote::quote;

use crate::config::{Config, os_text, parse_target_groups};
use crate::notify::refused_addresses;
use crate::rules::file::read_bounded;

/// What was found out about the files of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The rule files, in order of patterns and names.
    pub(crate) rule_files: Vec<String>,
    /// The same of those over logs.
    pub(crate) log_rule_files: Vec<String>,
    /// What a server would stumble over.
    pub(crate) mistakes: Vec<String>,
    /// What may be meant so.
    pub(crate) warnings: Vec<String>,
}

/// Looks at the files that a configuration names, and at the targets they list.
pub(crate) fn check(config: &Config) -> Found {
    let mut found = Found::default();
    for pattern in &config.rule_files {
        let names = found.rules(pattern);
        found.rule_files.extend(names);
    }
    for pattern in &config.log_rule_files {
        let names = found.rules(pattern);
        found.log_rule_files.extend(names);
    }
    for job in config.jobs() {
        let name = quote(&job.job_name);
        found.client(&job.client);
        let groups = found.sources(&job.discovery, &format!("scrape job {name}"));
        let failures = preview(job, &groups)
            .into_iter()
            .filter_map(|preview| preview.outcome.err());
        found.mistakes.extend(failures);
    }
    for section in &config.alerting.alertmanagers {
        found.client(&section.client);
        let groups = found.sources(&section.discovery, "alertmanager config");
        found.mistakes.extend(refused_addresses(section, &groups));
    }
    found
}

impl Found {
    /// Returns the rule files of a pattern.
    fn rules(&mut self, pattern: &str) -> Vec<String> {
        let paths = match glob(pattern) {
            Ok(paths) => paths,
            Err(error) => {
                self.mistakes.push(error.to_string());
                return Vec::new();
            }
        };
        if paths.is_empty() && !pattern.contains('*') {
            let quoted = quote(pattern);
            let text = format!("{quoted} does not point to an existing file");
            self.mistakes.push(text);
        }
        let names = paths.iter().map(|path| path.display().to_string());
        names.collect()
    }

    /// Looks at certificates, keys and credentials of an HTTP client.
    fn client(&mut self, client: &ClientOptions) {
        if let Some(Auth::Scheme { credentials, .. }) = &client.auth {
            let file = credentials.as_ref().and_then(|secret| secret.file());
            self.must_exist("authorization credentials or bearer token file", file);
        }
        let cert = client.tls.cert.as_ref().and_then(pem_file);
        self.must_exist("client cert file", cert);
        let key = client.tls.key.as_ref().and_then(|secret| secret.file());
        self.must_exist("client key file", key);
        self.should_exist("ca file", client.tls.ca.as_ref().and_then(pem_file));
        if let Some(Auth::Basic { username, password }) = &client.auth {
            for (what, secret) in [("username file", username), ("password file", password)] {
                self.should_exist(what, secret.as_ref().and_then(|secret| secret.file()));
            }
        }
        for header in &client.headers {
            for file in &header.files {
                self.should_exist("header file", Some(file));
            }
        }
    }

    fn must_exist(&mut self, what: &str, file: Option<&Path>) {
        if let Some((file, reason)) = missing(file) {
            let quoted = quote(&file);
            let text = format!("error checking {what} {quoted}: stat {file}: {reason}");
            self.mistakes.push(text);
        }
    }

    fn should_exist(&mut self, what: &str, file: Option<&Path>) {
        if let Some((file, reason)) = missing(file) {
            self.warnings
                .push(format!("{what} {}: {reason}", quote(&file)));
        }
    }

    /// Reads the files of targets, and looks at those that lead to a cluster.
    fn sources(&mut self, sources: &[SourceConfig], place: &str) -> Vec<Arc<Group>> {
        let mut groups = Vec::new();
        for source in sources {
            let config = match source {
                SourceConfig::File(config) => config,
                SourceConfig::Kubernetes(config) => {
                    self.client(&config.client);
                    continue;
                }
                _ => continue,
            };
            for pattern in &config.files {
                match glob(pattern) {
                    Ok(paths) if paths.is_empty() => {
                        let quoted = quote(pattern);
                        let text = format!("file {quoted} for file_sd in {place} does not exist");
                        self.warnings.push(text);
                    }
                    Ok(paths) => {
                        for path in paths {
                            match target_file(&path) {
                                Ok(read) => groups.extend(read),
                                Err(error) => {
                                    let pattern = quote(pattern);
                                    let text = format!("checking SD file {pattern}: {error}");
                                    self.mistakes.push(text);
                                }
                            }
                        }
                    }
                    Err(error) => self.mistakes.push(error.to_string()),
                }
            }
        }
        groups
    }
}

fn pem_file(source: &PemSource) -> Option<&Path> {
    match source {
        PemSource::Inline(_) => None,
        PemSource::File(path) => Some(path),
    }
}

/// Returns a file that is named and not there, with the reason.
fn missing(file: Option<&Path>) -> Option<(String, String)> {
    let file = file.filter(|file| !file.as_os_str().is_empty())?;
    let error = std::fs::metadata(file).err()?;
    Some((file.display().to_string(), os_text(&error)))
}

/// Reads a file of targets.
fn target_file(path: &Path) -> Result<Vec<Arc<Group>>, String> {
    let name = path.display().to_string();
    let bytes = read_bounded(path)?;
    let ending = path.extension().and_then(|ending| ending.to_str());
    let ending = ending.map(str::to_ascii_lowercase);
    let written = match ending.as_deref() {
        Some("json") => TargetGroup::read_json(&bytes)?,
        Some("yml" | "yaml") => {
            let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
            parse_target_groups(&text)?
        }
        other => {
            let ending = other.map_or_else(String::new, |ending| format!(".{ending}"));
            return Err(format!("invalid file extension: {}", quote(&ending)));
        }
    };
    let group = |(index, written): (usize, TargetGroup)| {
        let target = |address| LabelMap::from([("__address__".to_owned(), address)]);
        let mut labels = written.labels;
        labels.insert("__meta_filepath".to_owned(), name.clone());
        Arc::new(Group {
            id: GroupId {
                origin: name.clone(),
                index: Some(index),
            },
            targets: written.targets.into_iter().map(target).collect(),
            labels,
        })
    };
    Ok(written.into_iter().enumerate().map(group).collect())
}
