//! Targets that are containers: `docker_sd_configs`.
//!
//! The daemon is asked over its HTTP API, on a Unix socket or over TCP, in the version
//! it says it speaks. `config` is what can be configured, `targets` reads the answers.
//! Behaviour and names of labels are those of Prometheus' `discovery/moby`.

mod config;
mod targets;

use std::collections::BTreeMap;

use http::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use config::{DockerConfig, DockerFilter};
use targets::{Container, Network};

use super::group::Group;
use super::source::Refresh;
use crate::http::{Answer, HttpClient, Part, push_escaped};

/// Largest answer, unpacked: a hundred thousand containers stay below it.
const MAX_BYTES: u64 = 256 << 20;

/// Asks a daemon for its containers.
#[derive(Debug)]
pub(super) struct DockerTargets {
    config: DockerConfig,
    client: HttpClient,
    base: String,
    /// What stands before the paths of the version, once that is known.
    version: Option<String>,
}

/// Tells whether the source can be made.
///
/// # Errors
/// The host, or the options of its HTTP client, cannot be used.
pub(super) fn check(config: &DockerConfig) -> Result<(), String> {
    DockerTargets::new(config).map(drop)
}

impl DockerTargets {
    /// Makes the source.
    ///
    /// # Errors
    /// The host, or the options of its HTTP client, cannot be used.
    pub(super) fn new(config: &DockerConfig) -> Result<DockerTargets, String> {
        let daemon = config.daemon()?;
        let client = HttpClient::new(&daemon.client).map_err(|error| error.to_string())?;
        let client = match &daemon.socket {
            Some(path) => client.over_socket(path),
            None => client,
        };
        Ok(DockerTargets {
            config: config.clone(),
            client,
            base: daemon.base,
            version: None,
        })
    }

    async fn get(&self, path: &str) -> Result<Answer, String> {
        let url = format!("{}{path}", self.base);
        let timeout = self.config.refresh_interval;
        let headers = HeaderMap::new();
        let asked = self.client.get(&url, &headers, timeout, MAX_BYTES).await;
        asked.map_err(|error| error.to_string())
    }

    /// Asks for the version once. Every daemon knows its own, and the few fields that
    /// are read here stand in all of them.
    async fn version(&mut self) -> Result<String, String> {
        if let Some(version) = &self.version {
            return Ok(version.clone());
        }
        let answer = self.get("/_ping").await?;
        let version = answer.headers.get("api-version");
        let version = version.and_then(|value| value.to_str().ok());
        let is_plain =
            |v: &&str| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let prefix = match version.filter(is_plain) {
            Some(version) => format!("/v{version}"),
            None => String::new(),
        };
        if answer.status == 200 {
            self.version = Some(prefix.clone());
        }
        Ok(prefix)
    }

    async fn list<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
    ) -> Result<Vec<T>, String> {
        let answer = self.get(path).await?;
        let reading = tokio::task::spawn_blocking(move || {
            let (status, status_text) = (answer.status, answer.status_text.clone());
            let body = answer.into_body().map_err(|error| error.to_string())?;
            if status != 200 {
                return Err(refusal(&status_text, &body));
            }
            let items: Option<Vec<T>> =
                serde_json::from_slice(&body).map_err(|error| error.to_string())?;
            Ok(items.unwrap_or_default())
        });
        reading.await.map_err(|error| error.to_string())?
    }
}

impl Refresh for DockerTargets {
    const MECHANISM: &'static str = "docker";

    async fn refresh(&mut self) -> Result<Vec<Group>, String> {
        let containers = |error| format!("error while listing containers: {error}");
        let version = self.version().await.map_err(containers)?;
        let path = format!("{version}/containers/json{}", query(&self.config));
        let listed: Result<Vec<Container>, String> = self.list(&path).await;
        let found = listed.inspect_err(|_| self.version = None);
        let found = found.map_err(containers)?;
        let listed: Result<Vec<Network>, String> = self.list(&format!("{version}/networks")).await;
        let networks =
            listed.map_err(|error| format!("error while computing network labels: {error}"))?;
        let group = targets::group(&self.config, &found, &networks).map_err(containers)?;
        Ok(vec![group])
    }
}

/// Writes the filters as the API wants them; empty where there are none.
fn query(config: &DockerConfig) -> String {
    let mut filters: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for filter in &config.filters {
        for value in &filter.values {
            filters.entry(&filter.name).or_default().insert(value, true);
        }
    }
    if filters.is_empty() {
        return String::new();
    }
    let mut out = "?filters=".to_owned();
    let text = serde_json::json!(filters).to_string();
    push_escaped(&mut out, &text, Part::Query);
    out
}

/// Says why a daemon refused, in its own words where it has some.
fn refusal(status: &str, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => format!("Error response from daemon: {}", refusal.message.trim()),
        Err(_) => format!("request returned {status}; is the host a Docker daemon?"),
    }
}
