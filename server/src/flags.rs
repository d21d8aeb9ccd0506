//! The command line: Prometheus' flag names, one table.
//!
//! `kymo` and `kymo serve` start the server. Switches are written `--x`, `--no-x`
//! or `--x=true|false`; everything else is [`Flags`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::ArgAction;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};
use kymo_query::EngineOptions;
use kymo_query::promql::Features;
use kymo_storage::SyncPolicy;

/// Features that may be switched on; the last one always is, as in Prometheus.
const FEATURES: [&str; 5] = [
    "promql-experimental-functions",
    "promql-extended-range-selectors",
    "promql-binop-fill-modifiers",
    "promql-delayed-name-removal",
    "promql-duration-expr",
];

/// Everything that can be set on the command line.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "kymo",
    version,
    about = "Metrics in one binary: scrapes, receives, stores and queries like Prometheus",
    override_usage = "kymo [serve] [--FLAG=VALUE ...]",
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
    pub(crate) retention: Duration,

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
    /// Reads the command line, program name first.
    ///
    /// # Errors
    /// Help was asked for, or a flag is unknown or has a wrong value.
    pub(crate) fn parse_from(args: impl IntoIterator<Item = OsString>) -> Result<Flags, Exit> {
        let matches = Flags::command()
            .try_get_matches_from(normalise(args))
            .map_err(|error| exit(&error))?;
        let mut flags = Flags::from_arg_matches(&matches).map_err(|error| exit(&error))?;
        flags.table = table(&matches);
        Ok(flags)
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

    /// Returns the parts of PromQL that are switched on.
    pub(crate) fn promql_features(&self) -> Features {
        let on = |name: &str| self.features.iter().any(|feature| feature == name);
        let mut features = Features::default();
        features.experimental_functions |= on("promql-experimental-functions");
        features.extended_range_selectors |= on("promql-extended-range-selectors");
        features.binop_fill_modifiers |= on("promql-binop-fill-modifiers");
        features
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

/// Drops the word `serve` and turns `--no-x` of a switch into `--x=false`.
fn normalise(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let command = Flags::command();
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

fn exit(error: &clap::Error) -> Exit {
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

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be 1 or more".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let ns = kymo_storage::compat::duration::parse_prometheus(text)
        .map_err(|error| error.to_string())?;
    Ok(Duration::from_nanos(ns.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Flags, Exit> {
        let args = std::iter::once("kymo").chain(args.iter().copied());
        Flags::parse_from(args.map(OsString::from))
    }

    #[test]
    fn defaults_are_safe_and_usable() {
        let flags = parse(&[]).unwrap();
        assert_eq!(flags.listen_addresses, ["127.0.0.1:9090"]);
        assert_eq!(flags.storage_path, PathBuf::from("./data"));
        assert_eq!(flags.retention, Duration::from_secs(200 * 3600));
        assert_eq!(flags.query_timeout, Duration::from_secs(120));
        assert!(flags.enable_remote_write);
        assert!(!flags.enable_lifecycle && !flags.enable_admin_api);
        assert_eq!(flags.config_file, None);
    }

    #[test]
    fn a_zero_lifts_the_limit_on_reading() {
        let flags = parse(&["--web.read-timeout=0"]).unwrap();
        assert!(flags.read_timeout() > Duration::from_secs(365 * 24 * 3600));
        let flags = parse(&["--web.read-timeout=30s"]).unwrap();
        assert_eq!(flags.read_timeout(), Duration::from_secs(30));
    }

    #[test]
    fn prometheus_spellings_are_understood() {
        let flags = parse(&[
            "serve",
            "--storage.tsdb.path=/tmp/x",
            "--storage.tsdb.retention.time=15d",
            "--web.listen-address=127.0.0.1:0",
            "--web.listen-address",
            "[::1]:0",
            "--web.enable-lifecycle",
            "--no-web.enable-remote-write-receiver",
            "--enable-feature=a,b",
            "--enable-feature=c",
        ])
        .unwrap();
        assert_eq!(flags.storage_path, PathBuf::from("/tmp/x"));
        assert_eq!(flags.retention, Duration::from_secs(15 * 24 * 3600));
        assert_eq!(flags.listen_addresses, ["127.0.0.1:0", "[::1]:0"]);
        assert!(flags.enable_lifecycle);
        assert!(!flags.enable_remote_write);
        assert_eq!(flags.features, ["a", "b", "c"]);
        let value = |name: &str| {
            let found = flags.table.iter().find(|(flag, _)| flag == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(value("storage.path"), Some("/tmp/x"));
        assert_eq!(value("web.enable-lifecycle"), Some("true"));
        assert_eq!(value("web.enable-remote-write-receiver"), Some("false"));
        assert_eq!(value("query.timeout"), Some("2m"));
        assert_eq!(value("config.file"), Some(""));
    }

    #[test]
    fn exit_codes_tell_unknown_flags_from_wrong_values() {
        let unknown = parse(&["--web.listen-adress=:1"]).unwrap_err();
        assert_eq!(unknown.code, 1);
        assert!(
            unknown.message.contains("--web.listen-address"),
            "{}",
            unknown.message
        );
        assert_eq!(parse(&["extra"]).unwrap_err().code, 1);
        let wrong = parse(&["--query.timeout=1x"]).unwrap_err();
        assert_eq!(wrong.code, 2);
        assert!(wrong.message.contains("unknown unit"), "{}", wrong.message);
        assert_eq!(parse(&["--log.level=loud"]).unwrap_err().code, 2);
        let none = parse(&["--web.max-connections=0"]).unwrap_err();
        assert!(none.message.contains("1 or more"), "{}", none.message);
        assert_eq!(parse(&["--help"]).unwrap_err().code, 0);
        assert_eq!(parse(&["--version"]).unwrap_err().code, 0);
    }
}
