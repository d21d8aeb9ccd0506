//! The `remote_write` section: where samples are handed on.

use std::path::Path;
use std::time::Duration;

use kymo_ingest::http::ClientOptions;
use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::RelabelRule;
use url::Url;

use super::emit::{MapWriter, Yaml};
use super::fields::{self, Fields, Problems};
use super::http_client::{self, RESERVED_HEADERS};
use super::print::{put_duration, rule};
use super::print_client::put_client;
use super::yaml::{Node, Position};
use super::{relabel, units};

/// Name that complaints about keys of an entry give it, as Go does.
const GO_TYPE: &str = "config.plain";

/// One entry of the section.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteWrite {
    /// Where requests are posted to.
    pub url: String,
    /// What metrics and logs call the receiver; empty where it has no name.
    pub name: String,
    /// Longest request.
    pub timeout: Duration,
    /// Headers of every request, in order of name.
    pub headers: Vec<(String, String)>,
    /// Rules for the labels of series on their way out.
    pub relabel: Vec<RelabelRule>,
    /// Whether exemplars are sent.
    pub exemplars: bool,
    /// Whether native histograms are sent.
    pub native_histograms: bool,
    /// Whether each connection goes to another of the receiver's addresses.
    pub round_robin_dns: bool,
    /// The kind of message.
    pub message: WriteMessage,
    /// Whether refused requests are logged in detail.
    pub failed_request_logging: bool,
    /// How the receiver is reached.
    pub client: ClientOptions,
    /// How samples are put together and sent again.
    pub queue: QueueConfig,
    /// How metadata is sent.
    pub metadata: MetadataConfig,
}

/// The message of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteMessage {
    /// `prometheus.WriteRequest`, remote write 1.0.
    #[default]
    V1,
    /// `io.prometheus.write.v2.Request`, remote write 2.0.
    V2,
}

impl WriteMessage {
    /// Returns the name of the message.
    pub fn name(self) -> &'static str {
        match self {
            WriteMessage::V1 => "prometheus.WriteRequest",
            WriteMessage::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// `queue_config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueConfig {
    /// Samples that wait in each shard at most.
    pub capacity: usize,
    /// Requests that are under way at one time, at most.
    pub max_shards: usize,
    /// The same, at least.
    pub min_shards: usize,
    /// Samples of a request at most.
    pub max_samples_per_send: usize,
    /// How long samples wait for others of their request.
    pub batch_send_deadline: Duration,
    /// Pause after a first failure.
    pub min_backoff: Duration,
    /// Longest pause after failures.
    pub max_backoff: Duration,
    /// Whether requests are sent again after an answer 429.
    pub retry_on_rate_limit: bool,
    /// Older samples are not sent; zero is no limit.
    pub sample_age_limit: Duration,
}

impl Default for QueueConfig {
    fn default() -> QueueConfig {
        QueueConfig {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2_000,
            batch_send_deadline: Duration::from_secs(5),
            min_backoff: Duration::from_millis(30),
            max_backoff: Duration::from_secs(5),
            retry_on_rate_limit: false,
            sample_age_limit: Duration::ZERO,
        }
    }
}

/// `metadata_config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataConfig {
    /// Whether metadata is sent.
    pub send: bool,
    /// How often, in messages of 1.0; in 2.0 it stands beside the samples.
    pub send_interval: Duration,
    /// Metrics of a request at most.
    pub max_samples_per_send: usize,
}

impl Default for MetadataConfig {
    fn default() -> MetadataConfig {
        MetadataConfig {
            send: true,
            send_interval: Duration::from_secs(60),
            max_samples_per_send: 2_000,
        }
    }
}

/// Reads the section. Paths in it are relative to `dir`.
pub(super) fn read(
    nodes: &[Node],
    names: NameValidation,
    dir: &Path,
    problems: &mut Problems,
) -> Vec<RemoteWrite> {
    let mut entries: Vec<RemoteWrite> = Vec::with_capacity(nodes.len());
    for node in nodes {
        if node.is_null() {
            problems.value(node.at, "empty or null remote write config section");
            continue;
        }
        let entry = entry(node, names, dir, problems);
        if !entry.name.is_empty() && entries.iter().any(|other| other.name == entry.name) {
            let name = quote(&entry.name);
            let text = format!("found multiple remote write configs with job name {name}");
            problems.value(node.at, text);
        }
        if entries.contains(&entry) {
            let url = &entry.url;
            let text = format!(
                "duplicate remote write configs are not allowed, found duplicate for URL: {url}"
            );
            problems.value(node.at, text);
        }
        entries.push(entry);
    }
    entries
}

fn entry(node: &Node, names: NameValidation, dir: &Path, problems: &mut Problems) -> RemoteWrite {
    let mut fields = Fields::open(node, GO_TYPE, problems);
    let url = url(&mut fields, node.at, problems);
    let name = fields.string("name", problems);
    let timeout = duration(
        &mut fields,
        "remote_timeout",
        Duration::from_secs(30),
        problems,
    );
    let headers = fields
        .take("headers")
        .map_or_else(Vec::new, |node| headers(node, problems));
    let relabel = fields
        .take("write_relabel_configs")
        .map_or_else(Vec::new, |node| {
            let what = "relabeling rule in remote write config";
            relabel::read(node, what, names, problems)
        });
    let exemplars = fields.bool_or("send_exemplars", false, problems);
    let native_histograms = fields.bool_or("send_native_histograms", false, problems);
    let round_robin_dns = fields.bool_or("round_robin_dns", false, problems);
    let message = fields.parsed("protobuf_message", problems, message);
    let failed_request_logging = fields.bool_or("failed_request_logging", false, problems);
    let has_http2 = fields.take_with_null("enable_http2").is_some();
    let mut client = http_client::take(&mut fields, dir, problems);
    client.http2 &= has_http2;
    let queue = fields.take("queue_config");
    let metadata = fields.take("metadata_config");
    let entry = RemoteWrite {
        url,
        name,
        timeout,
        headers,
        relabel,
        exemplars,
        native_histograms,
        round_robin_dns,
        message: message.unwrap_or_default(),
        failed_request_logging,
        client,
        queue: queue.map_or_else(QueueConfig::default, |node| queue_config(node, problems)),
        metadata: metadata.map_or_else(MetadataConfig::default, |node| {
            metadata_config(node, problems)
        }),
    };
    let remedy = "use basic_auth or authorization";
    fields.unsupported(&["sigv4", "azuread", "google_iam"], remedy, problems);
    fields.finish(problems);
    entry
}

/// Takes the URL. As in Prometheus an empty one passes, and fails when it is used.
fn url(fields: &mut Fields<'_>, at: Position, problems: &mut Problems) -> String {
    let Some(node) = fields.take("url") else {
        problems.value(at, "url for remote_write is empty");
        return String::new();
    };
    let url = fields::string(node, problems).unwrap_or_default();
    if let Err(error) = Url::parse(&url)
        && !matches!(error, url::ParseError::RelativeUrlWithoutBase)
    {
        problems.value(node.at, format!("parse {}: {error}", quote(&url)));
    }
    url
}

fn message(name: &str) -> Result<WriteMessage, String> {
    let both = [WriteMessage::V1, WriteMessage::V2];
    let found = both.into_iter().find(|message| message.name() == name);
    found.ok_or_else(|| {
        format!(
            "invalid protobuf_message value: unknown type for remote write protobuf message \
             {name}, supported: {}, {}",
            WriteMessage::V1.name(),
            WriteMessage::V2.name()
        )
    })
}

fn headers(node: &Node, problems: &mut Problems) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for (at, name, value) in fields::pairs(node, "map[string]string", problems) {
        let lower = name.to_ascii_lowercase();
        let value = fields::string(value, problems).unwrap_or_default();
        if lower == "authorization" {
            let text = "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter";
            problems.value(at, text);
        } else if RESERVED_HEADERS.contains(&lower.as_str()) {
            problems.value(
                at,
                format!("{name} is a reserved header. It must not be changed"),
            );
        } else if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.value(at, format!("{} is not a valid header name", quote(&name)));
        } else if http::HeaderValue::from_str(&value).is_err() {
            problems.value(at, format!("the value of header {name} cannot be sent"));
        }
        headers.push((name, value));
    }
    headers.sort();
    headers
}

fn queue_config(node: &Node, problems: &mut Problems) -> QueueConfig {
    let default = QueueConfig::default();
    let mut fields = Fields::open(node, "config.QueueConfig", problems);
    let capacity = number(&mut fields, "capacity", default.capacity, problems);
    let max_shards = number(&mut fields, "max_shards", default.max_shards, problems);
    let min_shards = number(&mut fields, "min_shards", default.min_shards, problems);
    let name = "max_samples_per_send";
    let max_samples = number(&mut fields, name, default.max_samples_per_send, problems);
    let mut time = |name, default| duration(&mut fields, name, default, problems);
    let queue = QueueConfig {
        batch_send_deadline: time("batch_send_deadline", default.batch_send_deadline),
        min_backoff: time("min_backoff", default.min_backoff),
        max_backoff: time("max_backoff", default.max_backoff),
        sample_age_limit: time("sample_age_limit", default.sample_age_limit),
        retry_on_rate_limit: fields.bool_or("retry_on_http_429", false, problems),
        capacity: usize::try_from(capacity).unwrap_or(0),
        max_shards: usize::try_from(max_shards).unwrap_or(0),
        min_shards: usize::try_from(min_shards).unwrap_or(0),
        max_samples_per_send: usize::try_from(max_samples).unwrap_or(0),
    };
    fields.finish(problems);
    let wrong = if max_shards <= 0 {
        "max_shards must be positive"
    } else if min_shards <= 0 {
        "min_shards must be positive"
    } else if min_shards > max_shards {
        "min_shards must not be greater than max_shards"
    } else if max_samples <= 0 {
        "max_samples_per_send must be positive"
    } else if capacity <= 0 {
        "capacity must be positive"
    } else if queue.max_backoff < queue.min_backoff {
        "max_backoff must not be less than min_backoff"
    } else {
        return queue;
    };
    problems.value(node.at, format!("remote write queue {wrong}"));
    default
}

fn metadata_config(node: &Node, problems: &mut Problems) -> MetadataConfig {
    let default = MetadataConfig::default();
    let mut fields = Fields::open(node, "config.MetadataConfig", problems);
    let name = "max_samples_per_send";
    let max_samples = number(&mut fields, name, default.max_samples_per_send, problems);
    let interval = duration(
        &mut fields,
        "send_interval",
        default.send_interval,
        problems,
    );
    let metadata = MetadataConfig {
        send: fields.bool_or("send", default.send, problems),
        send_interval: interval,
        max_samples_per_send: usize::try_from(max_samples).unwrap_or(0),
    };
    fields.finish(problems);
    metadata
}

/// Takes a whole number; `default` where it is missing or null.
fn number(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: usize,
    problems: &mut Problems,
) -> i64 {
    let node = fields.take(name);
    let found = node.and_then(|node| fields::int(node, problems));
    found.unwrap_or(i64::try_from(default).unwrap_or(i64::MAX))
}

/// Takes a duration; `default` where it is missing, zero where it is null.
fn duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Duration,
    problems: &mut Problems,
) -> Duration {
    match fields.take_with_null(name) {
        None => default,
        Some(node) if node.is_null() => Duration::ZERO,
        Some(_) => fields
            .parsed(name, problems, units::parse_duration)
            .unwrap_or(default),
    }
}

impl RemoteWrite {
    /// Returns the URL without its password, as it may be shown.
    pub fn shown_url(&self) -> String {
        match Url::parse(&self.url) {
            Ok(mut url) if url.password().is_some() => {
                // A URL with a password can have another one.
                let _ = url.set_password(Some("xxxxx"));
                url.to_string()
            }
            _ => self.url.clone(),
        }
    }
}

/// Returns an entry as canonical YAML.
pub(super) fn print(entry: &RemoteWrite) -> Yaml {
    let mut map = MapWriter::default();
    map.put("url", Yaml::Text(entry.shown_url()));
    put_duration(&mut map, "remote_timeout", entry.timeout);
    let mut headers = MapWriter::default();
    for (name, value) in &entry.headers {
        headers.put(name, Yaml::Text(value.clone()));
    }
    map.map("headers", headers).list(
        "write_relabel_configs",
        entry.relabel.iter().map(rule).collect(),
    );
    map.text("name", &entry.name);
    for (name, on) in [
        ("send_exemplars", entry.exemplars),
        ("send_native_histograms", entry.native_histograms),
        ("round_robin_dns", entry.round_robin_dns),
    ] {
        if on {
            map.flag(name, true);
        }
    }
    map.text("protobuf_message", entry.message.name());
    if entry.failed_request_logging {
        map.flag("failed_request_logging", true);
    }
    put_client(&mut map, &entry.client);
    map.map("queue_config", print_queue(&entry.queue));
    let mut metadata = MapWriter::default();
    metadata.flag("send", entry.metadata.send);
    put_duration(&mut metadata, "send_interval", entry.metadata.send_interval);
    metadata.number(
        "max_samples_per_send",
        entry.metadata.max_samples_per_send as u64,
    );
    map.map("metadata_config", metadata);
    map.done()
}

fn print_queue(queue: &QueueConfig) -> MapWriter {
    let mut map = MapWriter::default();
    map.number("capacity", queue.capacity as u64)
        .number("max_shards", queue.max_shards as u64)
        .number("min_shards", queue.min_shards as u64)
        .number("max_samples_per_send", queue.max_samples_per_send as u64);
    for (name, time) in [
        ("batch_send_deadline", queue.batch_send_deadline),
        ("min_backoff", queue.min_backoff),
        ("max_backoff", queue.max_backoff),
    ] {
        if !time.is_zero() {
            put_duration(&mut map, name, time);
        }
    }
    if queue.retry_on_rate_limit {
        map.flag("retry_on_http_429", true);
    }
    if !queue.sample_age_limit.is_zero() {
        put_duration(&mut map, "sample_age_limit", queue.sample_age_limit);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn read(section: &str) -> RemoteWrite {
        let text = format!("remote_write:\n{section}");
        let config = parse(&text, Path::new("/etc/kymo")).unwrap_or_else(|e| panic!("{e}"));
        config.remote_write[0].clone()
    }

    fn refusal(section: &str) -> String {
        let text = format!("remote_write:\n{section}");
        parse(&text, Path::new("")).unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_those_of_prometheus() {
        let entry = read("- url: http://far:9090/api/v1/write\n");
        assert_eq!(entry.timeout, Duration::from_secs(30));
        assert_eq!(entry.queue, QueueConfig::default());
        assert_eq!(entry.metadata, MetadataConfig::default());
        assert_eq!(entry.message, WriteMessage::V1);
        assert!(!entry.client.http2 && entry.client.follow_redirects);
        assert!(!entry.exemplars && !entry.native_histograms && !entry.round_robin_dns);
        assert!(read("- {url: http://x, enable_http2: true}\n").client.http2);
    }

    #[test]
    fn every_key_is_read_and_shown_again() {
        let section = "- url: https://u:secret@far/push
  remote_timeout: 7s
  headers:
    X-Scope-OrgID: tenant
  write_relabel_configs:
  - source_labels: [__name__]
    separator: ;
    regex: go_.*
    replacement: $1
    action: drop
  name: far
  send_exemplars: true
  send_native_histograms: true
  round_robin_dns: true
  protobuf_message: io.prometheus.write.v2.Request
  follow_redirects: true
  enable_http2: false
  queue_config:
    capacity: 5
    max_shards: 4
    min_shards: 2
    max_samples_per_send: 3
    batch_send_deadline: 1s
    min_backoff: 10ms
    max_backoff: 20ms
    retry_on_http_429: true
    sample_age_limit: 1h
  metadata_config:
    send: false
    send_interval: 2m
    max_samples_per_send: 9
";
        let entry = read(section);
        assert_eq!(
            entry.headers,
            [("X-Scope-OrgID".to_owned(), "tenant".to_owned())]
        );
        assert_eq!((entry.queue.capacity, entry.queue.min_shards), (5, 2));
        assert_eq!(entry.metadata.max_samples_per_send, 9);
        let printed = Yaml::List(vec![print(&entry)]).document();
        assert_eq!(printed, section.replace(":secret@", ":xxxxx@"));
    }

    #[test]
    fn mistakes_have_the_texts_of_prometheus() {
        for (section, text) in [
            ("- name: a\n", "url for remote_write is empty"),
            ("-\n", "empty or null remote write config section"),
            (
                "- {url: http://x, name: a}\n- {url: http://y, name: a}\n",
                "found multiple remote write configs with job name \"a\"",
            ),
            (
                "- url: http://x\n- url: http://x\n",
                "duplicate remote write configs are not allowed, found duplicate for URL: http://x",
            ),
            (
                "- {url: http://x, headers: {Authorization: x}}\n",
                "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter",
            ),
            (
                "- {url: http://x, headers: {Content-type: x}}\n",
                "Content-type is a reserved header. It must not be changed",
            ),
            (
                "- {url: http://x, protobuf_message: foo}\n",
                "invalid protobuf_message value: unknown type for remote write protobuf message foo, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request",
            ),
            (
                "- {url: http://x, write_relabel_configs: [null]}\n",
                "empty or null relabeling rule in remote write config",
            ),
            (
                "- {url: http://x, queue_config: {max_shards: 0}}\n",
                "remote write queue max_shards must be positive",
            ),
            (
                "- {url: http://x, queue_config: {min_shards: -1}}\n",
                "remote write queue min_shards must be positive",
            ),
            (
                "- {url: http://x, queue_config: {min_shards: 51}}\n",
                "remote write queue min_shards must not be greater than max_shards",
            ),
            (
                "- {url: http://x, queue_config: {max_samples_per_send: 0}}\n",
                "remote write queue max_samples_per_send must be positive",
            ),
            (
                "- {url: http://x, queue_config: {capacity: 0}}\n",
                "remote write queue capacity must be positive",
            ),
            (
                "- {url: http://x, queue_config: {max_backoff: 1ms}}\n",
                "remote write queue max_backoff must not be less than min_backoff",
            ),
            (
                "- {url: http://x, shards: 1}\n",
                "field shards not found in type config.plain",
            ),
            ("- {url: http://x, sigv4: {region: x}}\n", "sigv4"),
            ("- {url: http://x, azuread: {cloud: x}}\n", "azuread"),
            ("- {url: http://x, google_iam: {x: y}}\n", "google_iam"),
        ] {
            let refusal = refusal(section);
            assert!(refusal.contains(text), "{section}\n{refusal}");
        }
    }
}
