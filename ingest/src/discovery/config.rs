//! Where targets are found: entries of `file_sd_configs`, `dns_sd_configs`,
//! `http_sd_configs` and their like.

use std::time::Duration;

use super::docker::{self, DockerConfig};
use super::kubernetes::{self, KubernetesConfig};
use crate::http::{ClientOptions, HttpClient};

/// A source of targets. Two that compare equal find the same.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SourceConfig {
    /// Files that list them.
    File(FileConfig),
    /// Records of names.
    Dns(DnsConfig),
    /// A server that answers with a list.
    Http(Box<HttpConfig>),
    /// Containers of a Docker daemon.
    Docker(Box<DockerConfig>),
    /// Objects of a Kubernetes cluster.
    Kubernetes(Box<KubernetesConfig>),
}

impl SourceConfig {
    /// Returns the name that metrics and logs give this kind.
    pub fn mechanism(&self) -> &'static str {
        match self {
            SourceConfig::File(_) => "file",
            SourceConfig::Dns(_) => "dns",
            SourceConfig::Http(_) => "http",
            SourceConfig::Docker(_) => "docker",
            SourceConfig::Kubernetes(_) => "kubernetes",
        }
    }

    /// Tells whether the source can be made.
    ///
    /// # Errors
    /// The options of its HTTP client, or its address, cannot be used.
    pub fn check(&self) -> Result<(), String> {
        let client = |options| match HttpClient::new(options) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        let checked = match self {
            SourceConfig::File(_) | SourceConfig::Dns(_) => Ok(()),
            SourceConfig::Http(http) => client(&http.client),
            SourceConfig::Docker(docker) => docker::check(docker),
            SourceConfig::Kubernetes(config) => kubernetes::check(config),
        };
        let mechanism = self.mechanism();
        checked.map_err(|error| format!("{mechanism}_sd_configs: {error}"))
    }
}

/// An entry of `file_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    /// Patterns of paths that end in `.json`, `.yml` or `.yaml`.
    pub files: Vec<String>,
    /// How often files are read when nothing seems to change.
    pub refresh_interval: Duration,
}

impl FileConfig {
    /// How often files are read where the configuration does not say.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);

    /// Tells whether a pattern can be used: its end says how to read the files, and a
    /// star stands in the last part only.
    pub fn is_pattern(pattern: &str) -> bool {
        let endings = ["json", "yml", "yaml", "JSON", "YML", "YAML"];
        let Some((stem, ending)) = pattern.rsplit_once('.') else {
            return false;
        };
        let starred = stem.split_once('*');
        // A line end is no part of a pattern, as in the expression Prometheus has.
        endings.contains(&ending) && starred.is_none_or(|(_, rest)| !rest.contains('/'))
    }
}

/// An entry of `dns_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsConfig {
    /// Names to ask for.
    pub names: Vec<String>,
    /// Which records make targets.
    pub record: DnsRecord,
    /// `type` as it was written.
    pub record_text: String,
    /// Port of the targets; records of type SRV have their own.
    pub port: i64,
    /// How often is asked.
    pub refresh_interval: Duration,
}

impl DnsConfig {
    /// How often is asked where the configuration does not say.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
}

/// A type of DNS records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsRecord {
    /// Services, with their ports.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail servers.
    Mx,
    /// Name servers.
    Ns,
}

impl DnsRecord {
    /// Finds a type by its name, in any case.
    pub fn by_name(name: &str) -> Option<DnsRecord> {
        match name.to_ascii_uppercase().as_str() {
            "SRV" => Some(DnsRecord::Srv),
            "A" => Some(DnsRecord::A),
            "AAAA" => Some(DnsRecord::Aaaa),
            "MX" => Some(DnsRecord::Mx),
            "NS" => Some(DnsRecord::Ns),
            _ => None,
        }
    }
}

/// An entry of `http_sd_configs`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// What is asked.
    pub url: String,
    /// How to reach it.
    pub client: ClientOptions,
    /// How often is asked; an answer may take as long.
    pub refresh_interval: Duration,
}

impl HttpConfig {
    /// How often is asked where the configuration does not say.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_a_known_ending_and_a_star_in_the_last_part() {
        for (pattern, good) in [
            ("a.json", true),
            ("/etc/targets/*.yml", true),
            ("/etc/targets/web-*.YAML", true),
            ("a/b*c*.yaml", true),
            (".json", true),
            ("a.txt", false),
            ("a.Json", false),
            ("*/a.json", false),
            ("json", false),
            ("", false),
        ] {
            assert_eq!(FileConfig::is_pattern(pattern), good, "{pattern}");
        }
    }
}
