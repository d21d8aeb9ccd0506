//! The HTTP server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::ArgAction;
use kymo_ingest::remote_write::{Accepts, Version};

use super::values::{parse_count, parse_duration};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Web")]
pub(crate) struct WebFlags {
    /// Address to listen on, HOST:PORT; may be given several times.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9090"
    )]
    pub(crate) listen_addresses: Vec<String>,

    /// File with TLS, users, tokens and headers (docs/security.md); default: none.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub(crate) web_config_file: Option<PathBuf>,

    /// URL of Kymo as seen from outside, for links to it; default: host name and port.
    #[arg(long = "web.external-url", value_name = "URL")]
    pub(crate) external_url: Option<String>,

    /// Prefix of all paths; default: the path of --web.external-url.
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    pub(crate) route_prefix: Option<String>,

    /// Allow reload and shutdown by HTTP request (/-/reload, /-/quit).
    #[arg(long = "web.enable-lifecycle", value_name = "BOOL",
          action = ArgAction::Set, hide_possible_values = true, num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub(crate) enable_lifecycle: bool,

    /// Enable the calls for administrators (/api/v1/admin).
    #[arg(long = "web.enable-admin-api", value_name = "BOOL",
          action = ArgAction::Set, hide_possible_values = true, num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub(crate) enable_admin_api: bool,

    /// Accept remote write (/api/v1/write); --no-web.enable-remote-write-receiver refuses it.
    #[arg(long = "web.enable-remote-write-receiver", value_name = "BOOL",
          action = ArgAction::Set, hide_possible_values = true, num_args = 0..=1,
          require_equals = true, default_value_t = true, default_missing_value = "true")]
    pub(crate) enable_remote_write: bool,

    /// Accept OTLP metrics (/api/v1/otlp/v1/metrics and /v1/metrics).
    #[arg(long = "web.enable-otlp-receiver", value_name = "BOOL",
          action = ArgAction::Set, hide_possible_values = true, num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub(crate) enable_otlp: bool,

    /// Protobuf messages of remote write to accept, prometheus.WriteRequest (1.0) and
    /// io.prometheus.write.v2.Request (2.0); the flag once for each.
    #[arg(long = "web.remote-write-receiver.accepted-protobuf-messages", value_name = "MESSAGE",
          value_parser = parse_version,
          default_values = ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"])]
    pub(crate) remote_write_versions: Vec<Version>,

    /// Regular expression for the origins that browsers may call from; it is anchored.
    #[arg(long = "web.cors.origin", value_name = "REGEX", default_value = ".*")]
    pub(crate) cors_origin: String,

    /// Most connections at one time; further ones wait.
    #[arg(
        long = "web.max-connections",
        value_name = "N",
        default_value = "512",
        value_parser = parse_count
    )]
    pub(crate) max_connections: usize,

    /// Most listeners for notifications at one time; further ones are sent away.
    #[arg(
        long = "web.max-notifications-subscribers",
        value_name = "N",
        default_value_t = 16
    )]
    pub(crate) max_notification_listeners: usize,

    /// Most results that a search may ask for (--enable-feature=search-api); 0: no limit.
    #[arg(
        long = "web.search.max-limit",
        value_name = "N",
        default_value_t = 10_000
    )]
    pub(crate) search_max_limit: usize,

    /// How long reading a request may take, and an idle connection stays open, such as 30s;
    /// 0: no limit.
    #[arg(
        long = "web.read-timeout",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = parse_duration
    )]
    read_timeout: Duration,
}

impl WebFlags {
    /// Returns which versions of remote write are received.
    pub(crate) fn remote_write_accepts(&self) -> Accepts {
        let has = |version| self.remote_write_versions.contains(&version);
        Accepts {
            v1: has(Version::V1),
            v2: has(Version::V2),
        }
    }

    /// Returns how long a client may keep a connection waiting; without a limit, longer
    /// than any machine runs.
    pub(crate) fn read_timeout(&self) -> Duration {
        match self.read_timeout {
            Duration::ZERO => Duration::from_secs(10 * 365 * 24 * 3600),
            limit => limit,
        }
    }
}

fn parse_version(text: &str) -> Result<Version, String> {
    Version::from_message(text).ok_or_else(|| {
        let known = Version::ALL.map(Version::message).join(", ");
        format!("unknown remote write protobuf message {text}, supported: {known}")
    })
}
