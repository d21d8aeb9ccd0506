//! The command line: Prometheus' flag names, one table.
//!
//! `kymo` and `kymo serve` start the server; the other commands have command lines of
//! their own. Switches are written `--x`, `--no-x`
//! or `--x=true|false`; everything else is [`Flags`].

mod remote_read;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::ArgAction;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, ValueEnum};
use kymo_ingest::remote_write::{Accepts, Version};
use kymo_query::EngineOptions;
use kymo_query::promql::Features;
use kymo_query::rules::RestoreOptions;
use kymo_storage::SyncPolicy;

use crate::config::{Retention, units};
use crate::notify::NotifyOptions;
use crate::rules::RuleOptions;

/// Features that may be switched on; the last one always is, as in Prometheus.
const FEATURES: [&str; 8] = [
    CONCURRENT_RULES,
    EXEMPLARS,
    "promql-experimental-functions",
    "promql-extended-range-selectors",
    "promql-binop-fill-modifiers",
    "promql-delayed-name-removal",
    PER_STEP_STATS,
    "promql-duration-expr",
];

/// Counts samples by step where a client asks for all statistics.
const PER_STEP_STATS: &str = "promql-per-step-stats";

/// Evaluates independent rules of a group at the same time.
const CONCURRENT_RULES: &str = "concurrent-rule-eval";

/// Keeps exemplars.
const EXEMPLARS: &str = "exemplar-storage";

/// Alerts in one request where nothing else is said.
const DEFAULT_BATCH_SIZE: usize = 256;

/// Least memory that can be set as limit; a server with a few series holds less.
const LEAST_MEMORY_BYTES: u64 = 8 << 20;

/// Everything that can be set on the command line.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "kymo",
    version,
    about = "Metrics in one binary: scrapes, receives, stores and queries like Prometheus",
    override_usage = "kymo [serve] [--FLAG=VALUE ...]\n       kymo tsdb COMMAND [--FLAG=VALUE ...] [PATH]",
    after_help = "kymo tsdb --help has the commands that look into a data directory.",
    max_term_width = 100
)]
pub(crate) struct Flags {
    /// Configuration file (prometheus.yml); default: none, Kymo scrapes itself and this host.
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<String>,

    /// Directory for everything that is stored.
    #[arg(
        long = "storage.path",
        visible_alias = "storage.tsdb.path",
        value_name = "DIR",
        default_value = "./data"
    )]
    pub(crate) storage_path: PathBuf,

    /// How long samples are kept, such as 36h or 15d; 0: for ever.
    #[arg(
        long = "storage.retention.time",
        visible_alias = "storage.tsdb.retention.time",
        value_name = "DURATION",
        default_value = "200h",
        value_parser = parse_duration
    )]
    retention_time: Duration,

    /// How many bytes blocks and logs may take on disk, such as 512MB or 40GiB; the oldest
    /// blocks go first. 0: no limit. Where only this is set, age is no reason to go.
    #[arg(
        long = "storage.retention.size",
        visible_alias = "storage.tsdb.retention.size",
        value_name = "SIZE",
        default_value = "0B",
        value_parser = parse_size
    )]
    retention_size: u64,

    /// When writes are forced to disk: before each answer, each second, or never. Matters
    /// for power losses only; a killed process loses nothing.
    #[arg(
        long = "storage.wal.sync",
        value_name = "WHEN",
        default_value = "interval"
    )]
    pub(crate) wal_sync: WalSync,

    /// Most series held at one time; 0: no limit.
    #[arg(long = "storage.max-series", value_name = "N", default_value_t = 0)]
    pub(crate) max_series: usize,

    /// Most series of one metric name at one time; 0: no limit.
    #[arg(
        long = "storage.max-series-per-metric",
        value_name = "N",
        default_value_t = 0
    )]
    pub(crate) max_series_per_metric: usize,

    /// Most series of one target (labels job and instance) at one time; 0: no limit.
    #[arg(
        long = "storage.max-series-per-target",
        value_name = "N",
        default_value_t = 0
    )]
    pub(crate) max_series_per_target: usize,

    /// How old the state of an alert may be to be taken over after a restart, such as 1h.
    #[arg(
        long = "rules.alert.for-outage-tolerance",
        value_name = "DURATION",
        default_value = "1h",
        value_parser = parse_duration
    )]
    alert_outage_tolerance: Duration,

    /// Least time before an alert fires whose state was taken over, such as 10m; alerts
    /// with a shorter "for" begin anew.
    #[arg(
        long = "rules.alert.for-grace-period",
        value_name = "DURATION",
        default_value = "10m",
        value_parser = parse_duration
    )]
    alert_grace_period: Duration,

    /// Least time before an alert is sent again, such as 1m.
    #[arg(
        long = "rules.alert.resend-delay",
        value_name = "DURATION",
        default_value = "1m",
        value_parser = parse_duration
    )]
    alert_resend_delay: Duration,

    /// Most rules that are evaluated beside others of their group, in all groups
    /// together; with --enable-feature=concurrent-rule-eval.
    #[arg(
        long = "rules.max-concurrent-evals",
        value_name = "N",
        default_value_t = 4
    )]
    max_concurrent_rules: usize,

    /// Most alerts that wait for one Alertmanager.
    #[arg(
        long = "alertmanager.notification-queue-capacity",
        value_name = "N",
        default_value_t = 10_000
    )]
    notification_queue_capacity: usize,

    /// Most alerts in one request to an Alertmanager.
    #[arg(
        long = "alertmanager.notification-batch-size",
        value_name = "N",
        default_value_t = DEFAULT_BATCH_SIZE
    )]
    notification_batch_size: usize,

    /// Whether alerts that wait are sent before the server stops.
    #[arg(
        long = "alertmanager.drain-notification-queue-on-shutdown",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    drain_notification_queue: bool,

    /// Longest distance between changes of targets where discovery finds new ones all the
    /// time.
    #[arg(
        long = "scrape.discovery-reload-interval",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = parse_duration
    )]
    pub(crate) discovery_reload_interval: Duration,

    /// Server that dns_sd_configs ask, such as 127.0.0.1:8600; default: those of
    /// /etc/resolv.conf.
    #[arg(long = "discovery.dns-server", value_name = "ADDRESS")]
    pub(crate) dns_server: Option<SocketAddr>,

    /// Memory for series, request bodies and queries together: a size such as 4GiB, or a
    /// part of what the machine or its cgroup has. Near it nothing more is stored, and
    /// reads go on.
    #[arg(
        long = "memory.limit",
        value_name = "SIZE",
        default_value = "75%",
        value_parser = parse_memory_limit
    )]
    pub(crate) memory_limit: MemoryLimit,

    /// Address to listen on, HOST:PORT; may be given several times.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9090"
    )]
    pub(crate) listen_addresses: Vec<String>,

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

    /// How long reading a request may take, and an idle connection stays open, such as 30s;
    /// 0: no limit.
    #[arg(
        long = "web.read-timeout",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = parse_duration
    )]
    read_timeout: Duration,

    /// Most listeners for notifications at one time; further ones are sent away.
    #[arg(
        long = "web.max-notifications-subscribers",
        value_name = "N",
        default_value_t = 16
    )]
    pub(crate) max_notification_listeners: usize,

    #[command(flatten)]
    pub(crate) remote_read: remote_read::RemoteReadFlags,

    /// How long a query may take, waiting included, such as 30s.
    #[arg(
        long = "query.timeout",
        value_name = "DURATION",
        default_value = "2m",
        value_parser = parse_duration
    )]
    pub(crate) query_timeout: Duration,

    /// Most samples a query may hold in memory at one time.
    #[arg(
        long = "query.max-samples",
        value_name = "N",
        default_value_t = 50_000_000
    )]
    pub(crate) query_max_samples: usize,

    /// Most queries evaluated at one time; further ones wait.
    #[arg(long = "query.max-concurrency", value_name = "N", default_value_t = 20)]
    pub(crate) query_max_concurrency: usize,

    /// Memory for answers of range queries that are kept for the next ones, a size such as
    /// 64MiB; at most an eighth of what queries may hold. 0 keeps none.
    #[arg(
        long = "query.cache.size",
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = parse_size
    )]
    pub(crate) query_cache_size: u64,

    /// How far a query looks back for the newest sample of a series, such as 90s.
    #[arg(
        long = "query.lookback-delta",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = parse_duration
    )]
    pub(crate) query_lookback_delta: Duration,

    /// Feature to switch on, or a list with commas; default: none (names: docs/compatibility.md).
    #[arg(long = "enable-feature", value_name = "FEATURE", value_delimiter = ',')]
    pub(crate) features: Vec<String>,

    /// Least severe messages that are logged.
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: LogLevel,

    /// Form of log messages.
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt")]
    pub(crate) log_format: LogFormat,

    /// All flags with the values in force, sorted by name.
    #[arg(skip)]
    pub(crate) table: Vec<(String, String)>,

    /// Whether `retention_time` was given.
    #[arg(skip)]
    has_retention_time: bool,

    /// Flags of Prometheus that were given and change nothing, with the reason.
    #[arg(skip)]
    pub(crate) ignored: Vec<(String, &'static str)>,
}

/// Values of `--storage.wal.sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WalSync {
    Always,
    Interval,
    Never,
}

impl From<WalSync> for SyncPolicy {
    fn from(sync: WalSync) -> SyncPolicy {
        match sync {
            WalSync::Always => SyncPolicy::Always,
            WalSync::Interval => SyncPolicy::Interval,
            WalSync::Never => SyncPolicy::Never,
        }
    }
}

/// The value of `--memory.limit`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum MemoryLimit {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of what there is.
    Percent(f64),
}

impl MemoryLimit {
    /// Returns the limit in bytes where `available` bytes are there; where nobody
    /// knows, a part of 1 GiB.
    pub(crate) fn bytes(self, available: Option<u64>) -> u64 {
        let bytes = match self {
            MemoryLimit::Bytes(bytes) => bytes,
            MemoryLimit::Percent(percent) => {
                let available = available.unwrap_or(1 << 30) as f64;
                (available * percent / 100.0) as u64
            }
        };
        bytes.max(LEAST_MEMORY_BYTES)
    }
}

/// Values of `--log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

/// Values of `--log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Logfmt,
    Json,
}

/// The program is to end before it did anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Exit code: 0 help and version, 1 unknown flag, 2 wrong value.
    pub(crate) code: u8,
    /// What to print, to standard output with code 0 and standard error otherwise.
    pub(crate) message: String,
}

impl Flags {
    /// Returns which versions of remote write are received.
    pub(crate) fn remote_write_accepts(&self) -> Accepts {
        let has = |version| self.remote_write_versions.contains(&version);
        Accepts {
            v1: has(Version::V1),
            v2: has(Version::V2),
        }
    }

    /// Reads the command line, program name first.
    ///
    /// # Errors
    /// Help was asked for, or a flag is unknown or has a wrong value.
    pub(crate) fn parse_from(args: impl IntoIterator<Item = OsString>) -> Result<Flags, Exit> {
        let matches = command()
            .try_get_matches_from(normalise(args))
            .map_err(|error| exit(&error))?;
        let mut flags = Flags::from_arg_matches(&matches).map_err(|error| exit(&error))?;
        let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        flags.table = table(&matches);
        flags.has_retention_time = given("retention_time");
        flags.ignored = IGNORED
            .iter()
            .filter(|(name, ..)| given(name))
            .map(|&(name, _, reason)| (format!("--{name}"), reason))
            .collect();
        Ok(flags)
    }

    /// Returns how long samples are kept where the configuration says `configured`. The
    /// default counts only where nothing is set anywhere, as in Prometheus.
    pub(crate) fn retention(&self, configured: Retention) -> Retention {
        let mut retention = Retention {
            time: self.retention_time,
            size_bytes: self.retention_size,
            percentage: 0.0,
        };
        let has_size = self.retention_size > 0 || configured != Retention::default();
        if has_size && !self.has_retention_time {
            retention.time = Duration::ZERO;
        }
        retention.with(configured)
    }

    /// Returns how rules are evaluated.
    pub(crate) fn rule_options(&self) -> RuleOptions {
        let is_concurrent = self.features.iter().any(|name| name == CONCURRENT_RULES);
        RuleOptions {
            restore: RestoreOptions {
                outage_tolerance_ms: units::millis(self.alert_outage_tolerance),
                grace_period_ms: units::millis(self.alert_grace_period),
            },
            resend_delay_ms: units::millis(self.alert_resend_delay),
            concurrency: is_concurrent.then_some(self.max_concurrent_rules),
            query_timeout: self.query_timeout,
        }
    }

    /// Returns how alerts are queued and sent.
    pub(crate) fn notify_options(&self) -> NotifyOptions {
        NotifyOptions {
            capacity: self.notification_queue_capacity,
            batch_size: match self.notification_batch_size {
                0 => DEFAULT_BATCH_SIZE,
                size => size,
            },
            drain: self.drain_notification_queue,
        }
    }

    /// Returns the configuration file; an empty name is none.
    pub(crate) fn config_file(&self) -> Option<&Path> {
        let file = self.config_file.as_deref();
        file.filter(|file| !file.is_empty()).map(Path::new)
    }

    /// Returns how long a client may keep a connection waiting; without a limit, longer
    /// than any machine runs.
    pub(crate) fn read_timeout(&self) -> Duration {
        match self.read_timeout {
            Duration::ZERO => Duration::from_secs(10 * 365 * 24 * 3600),
            limit => limit,
        }
    }

    /// Returns how many exemplars are kept where the configuration says `configured`.
    pub(crate) fn max_exemplars(&self, configured: u64) -> usize {
        match self.features.iter().any(|feature| feature == EXEMPLARS) {
            true => usize::try_from(configured).unwrap_or(usize::MAX),
            false => 0,
        }
    }

    /// Returns the parts of PromQL that are switched on.
    pub(crate) fn promql_features(&self) -> Features {
        promql_features(&self.features)
    }

    /// Tells whether samples are counted by step for clients that want that.
    pub(crate) fn counts_per_step(&self) -> bool {
        self.features
            .iter()
            .any(|feature| feature == PER_STEP_STATS)
    }

    /// Returns how queries are evaluated.
    pub(crate) fn engine_options(&self) -> EngineOptions {
        let delayed = "promql-delayed-name-removal";
        let lookback_ms = self.query_lookback_delta.as_millis();
        EngineOptions {
            lookback_delta_ms: i64::try_from(lookback_ms).unwrap_or(i64::MAX),
            max_samples: self.query_max_samples,
            enable: self.promql_features(),
            delayed_name_removal: self.features.iter().any(|feature| feature == delayed),
            ..EngineOptions::default()
        }
    }

    /// Returns the features asked for that are not known.
    pub(crate) fn unknown_features(&self) -> impl Iterator<Item = &str> {
        let given = self.features.iter().map(String::as_str);
        given.filter(|name| !FEATURES.contains(name))
    }
}

/// Flags that set Prometheus up in ways that do not exist here. They are taken, so that
/// its command lines and container images start, and each is named in a warning.
#[rustfmt::skip]
const IGNORED: [(&str, Takes, &str); 16] = [
    ("storage.tsdb.no-lockfile", Takes::Switch, "the data directory is always locked; the lock goes with the process"),
    ("storage.tsdb.min-block-duration", Takes::Value, "blocks begin with 2h"),
    ("storage.tsdb.max-block-duration", Takes::Value, "blocks grow to 24h"),
    ("storage.tsdb.max-block-chunk-segment-size", Takes::Value, "the data of a block is one file"),
    ("storage.tsdb.allow-overlapping-blocks", Takes::Switch, "overlapping blocks are always allowed"),
    ("storage.tsdb.allow-overlapping-compaction", Takes::Switch, "overlapping blocks are always merged"),
    ("storage.tsdb.wal-compression", Takes::Switch, "the log is written in a compact form of its own"),
    ("storage.tsdb.wal-compression-type", Takes::Value, "the log is written in a compact form of its own"),
    ("storage.tsdb.wal-segment-size", Takes::Value, "segments of the log have a fixed size"),
    ("storage.tsdb.head-chunks-write-queue-size", Takes::Value, "there is no such queue"),
    ("storage.tsdb.samples-per-chunk", Takes::Value, "the length of chunks follows from the data"),
    ("storage.tsdb.block-reload-interval", Takes::Value, "blocks are known as soon as they are written"),
    ("storage.tsdb.delay-compact-file.path", Takes::Value, "nothing waits for uploads of blocks"),
    ("web.console.templates", Takes::Value, "there are no consoles"),
    ("web.console.libraries", Takes::Value, "there are no consoles"),
    ("auto-gomemlimit.ratio", Takes::Value, "memory is bounded by --memory.limit"),
];

/// What stands behind an ignored flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Nothing, or `=true` and `=false`.
    Switch,
    /// Anything.
    Value,
}

/// Returns the command line with the flags that are ignored, which help does not show.
fn command() -> clap::Command {
    IGNORED
        .iter()
        .fold(Flags::command(), |command, &(name, takes, _)| {
            let arg = Arg::new(name).long(name).hide(true).action(ArgAction::Set);
            command.arg(match takes {
                Takes::Value => arg.value_name("VALUE"),
                Takes::Switch => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .value_parser(["true", "false"])
                    .default_value("false")
                    .default_missing_value("true"),
            })
        })
}

/// Drops the word `serve` and turns `--no-x` of a switch into `--x=false`.
fn normalise(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let command = command();
    let switches: Vec<&str> = command
        .get_arguments()
        .filter(|arg| arg.get_default_values().iter().any(is_bool))
        .filter_map(clap::Arg::get_long)
        .collect();
    let mut normal = Vec::new();
    for (i, arg) in args.into_iter().enumerate() {
        if i == 1 && arg == "serve" {
            continue;
        }
        let switched_off = arg
            .to_str()
            .and_then(|arg| arg.strip_prefix("--no-"))
            .filter(|name| switches.contains(name));
        match switched_off {
            Some(name) => normal.push(OsString::from(format!("--{name}=false"))),
            None => normal.push(arg),
        }
    }
    normal
}

fn is_bool(value: &clap::builder::OsStr) -> bool {
    *value == *"true" || *value == *"false"
}

fn table(matches: &clap::ArgMatches) -> Vec<(String, String)> {
    let mut table: Vec<(String, String)> = Flags::command()
        .get_arguments()
        .filter_map(|arg| {
            let name = arg.get_long()?;
            let values: Vec<String> = matches
                .try_get_raw(arg.get_id().as_str())
                .ok()?
                .into_iter()
                .flatten()
                .map(|value| value.to_string_lossy().into_owned())
                .collect();
            Some((name.to_owned(), values.join(",")))
        })
        .collect();
    table.sort();
    table
}

pub(crate) fn exit(error: &clap::Error) -> Exit {
    let code = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => 1,
        _ => 2,
    };
    Exit {
        code,
        message: error.render().to_string(),
    }
}

fn parse_version(text: &str) -> Result<Version, String> {
    Version::from_message(text).ok_or_else(|| {
        let known = Version::ALL.map(Version::message).join(", ");
        format!("unknown remote write protobuf message {text}, supported: {known}")
    })
}

/// Returns the optional parts of PromQL among the features that were switched on.
pub(crate) fn promql_features(switched_on: &[String]) -> Features {
    let on = |name: &str| switched_on.iter().any(|feature| feature == name);
    let mut features = Features::default();
    features.experimental_functions |= on("promql-experimental-functions");
    features.extended_range_selectors |= on("promql-extended-range-selectors");
    features.binop_fill_modifiers |= on("promql-binop-fill-modifiers");
    features
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be 1 or more".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}

fn parse_memory_limit(text: &str) -> Result<MemoryLimit, String> {
    if let Some(percent) = text.strip_suffix('%') {
        return match percent.parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(MemoryLimit::Percent(percent)),
            _ => Err("must be above 0% and at most 100%".to_owned()),
        };
    }
    let bytes = parse_size(text)?;
    if bytes < LEAST_MEMORY_BYTES {
        return Err("must be 8MiB or more".to_owned());
    }
    Ok(MemoryLimit::Bytes(bytes))
}

/// Reads a size with a unit, or a number of bytes.
fn parse_size(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(bytes) => Ok(bytes),
        Err(_) => units::parse_size(text),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let ns = kymo_storage::compat::duration::parse_prometheus(text)
        .map_err(|error| error.to_string())?;
    Ok(Duration::from_nanos(ns.unsigned_abs()))
}

#[cfg(test)]
mod tests;
