//! Command lines, right and wrong.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::Retention;

fn parse(args: &[&str]) -> Result<Flags, Exit> {
    let args = std::iter::once("kymo").chain(args.iter().copied());
    Flags::parse_from(args.map(OsString::from))
}

#[test]
fn defaults_are_safe_and_usable() {
    let flags = parse(&[]).unwrap();
    assert_eq!(flags.web.listen_addresses, ["127.0.0.1:9090"]);
    assert_eq!(flags.storage.path, PathBuf::from("./data"));
    let retention = flags.storage.retention(Retention::default());
    assert_eq!(retention.text(), "8d8h");
    assert_eq!(flags.query.timeout, Duration::from_secs(120));
    assert!(flags.web.enable_remote_write);
    assert!(!flags.web.enable_lifecycle && !flags.web.enable_admin_api);
    assert_eq!(flags.config_file(), None);
}

#[test]
fn the_default_of_retention_counts_only_where_nothing_is_set() {
    let of = |args: &[&str], configured: Retention| {
        parse(args).unwrap().storage.retention(configured).text()
    };
    let none = Retention::default();
    let size = "--storage.tsdb.retention.size=1GB";
    assert_eq!(of(&[size], none), "1GiB");
    assert_eq!(
        of(&[size, "--storage.retention.time=200h"], none),
        "8d8h or 1GiB"
    );
    assert_eq!(of(&["--storage.retention.size=512"], none), "512B");
    let time = Retention {
        time: Duration::from_secs(3600),
        ..none
    };
    assert_eq!(of(&[size], time), "1h or 1GiB");
    assert_eq!(of(&["--storage.retention.time=2h"], time), "1h");
    let percentage = Retention {
        percentage: 12.5,
        ..none
    };
    assert_eq!(of(&[], percentage), "12.5%");
    assert_eq!(
        of(&["--storage.retention.time=2h"], percentage),
        "2h or 12.5%"
    );
}

#[test]
fn flags_that_mean_nothing_here_are_taken_and_named() {
    let flags = parse(&[
        "--storage.tsdb.no-lockfile",
        "--storage.tsdb.min-block-duration=2h",
        "--storage.tsdb.max-block-duration",
        "2h",
        "--no-storage.tsdb.wal-compression",
        "--web.console.templates=/etc/prometheus/consoles",
    ])
    .unwrap();
    let names: Vec<&str> = flags
        .ignored
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "--storage.tsdb.no-lockfile",
            "--storage.tsdb.min-block-duration",
            "--storage.tsdb.max-block-duration",
            "--storage.tsdb.wal-compression",
            "--web.console.templates",
        ]
    );
    assert!(parse(&[]).unwrap().ignored.is_empty());
    assert!(
        !flags
            .table
            .iter()
            .any(|(name, _)| name == "web.console.templates")
    );
    let help = command().render_help().to_string();
    assert!(!help.contains("no-lockfile"), "{help}");
    assert_eq!(
        parse(&["--storage.tsdb.no-lockfile=x"]).unwrap_err().code,
        2
    );
}

#[test]
fn memory_is_a_size_or_a_part_of_what_there_is() {
    let limit = |text: &str| {
        let flag = format!("--memory.limit={text}");
        parse(&[&flag]).map(|flags| flags.storage.memory_limit.bytes(Some(8 << 30)))
    };
    assert_eq!(
        parse(&[])
            .unwrap()
            .storage
            .memory_limit
            .bytes(Some(8 << 30)),
        6 << 30
    );
    assert_eq!(limit("4GiB"), Ok(4 << 30));
    assert_eq!(limit("50%"), Ok(4 << 30));
    assert_eq!(limit("12.5%"), Ok(1 << 30));
    assert_eq!(limit("33554432"), Ok(32 << 20));
    assert_eq!(limit("0.0001%"), Ok(8 << 20));
    for (wrong, text) in [
        ("0%", "above 0%"),
        ("101%", "above 0%"),
        ("x%", "above 0%"),
        ("1MiB", "8MiB or more"),
        ("0", "8MiB or more"),
        ("4Gx", "units: unknown unit Gx in 4Gx"),
    ] {
        let exit = limit(wrong).unwrap_err();
        assert_eq!(exit.code, 2);
        assert!(exit.message.contains(text), "{}", exit.message);
    }
}

#[test]
fn a_zero_lifts_the_limit_on_reading() {
    let flags = parse(&["--web.read-timeout=0"]).unwrap();
    assert!(flags.web.read_timeout() > Duration::from_secs(365 * 24 * 3600));
    let flags = parse(&["--web.read-timeout=30s"]).unwrap();
    assert_eq!(flags.web.read_timeout(), Duration::from_secs(30));
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
    assert_eq!(flags.storage.path, PathBuf::from("/tmp/x"));
    let retention = flags.storage.retention(Retention::default());
    assert_eq!(retention.text(), "15d");
    assert_eq!(flags.web.listen_addresses, ["127.0.0.1:0", "[::1]:0"]);
    assert!(flags.web.enable_lifecycle);
    assert!(!flags.web.enable_remote_write);
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

/// The flags of Prometheus 3.14's server.
const PROMETHEUS: [&str; 64] = [
    "config.file",
    "config.auto-reload",
    "config.auto-reload-interval",
    "web.listen-address",
    "auto-gomaxprocs",
    "auto-gomemlimit",
    "auto-gomemlimit.ratio",
    "auto-gomemlimit.refresh-interval",
    "web.config.file",
    "web.read-timeout",
    "web.max-connections",
    "web.max-notifications-subscribers",
    "web.external-url",
    "web.route-prefix",
    "web.user-assets",
    "web.enable-lifecycle",
    "web.enable-admin-api",
    "web.enable-remote-write-receiver",
    "web.remote-write-receiver.accepted-protobuf-messages",
    "web.enable-otlp-receiver",
    "web.console.templates",
    "web.console.libraries",
    "web.page-title",
    "web.cors.origin",
    "web.search.max-limit",
    "storage.tsdb.path",
    "storage.tsdb.min-block-duration",
    "storage.tsdb.max-block-duration",
    "storage.tsdb.max-block-chunk-segment-size",
    "storage.tsdb.wal-segment-size",
    "storage.tsdb.retention.time",
    "storage.tsdb.retention.size",
    "storage.tsdb.no-lockfile",
    "storage.tsdb.allow-overlapping-compaction",
    "storage.tsdb.wal-compression",
    "storage.tsdb.wal-compression-type",
    "storage.tsdb.head-chunks-write-queue-size",
    "storage.tsdb.samples-per-chunk",
    "storage.tsdb.delayed-compaction.max-percent",
    "storage.tsdb.delay-compact-file.path",
    "storage.tsdb.block-reload-interval",
    "storage.remote.flush-deadline",
    "storage.remote.read-sample-limit",
    "storage.remote.read-concurrent-limit",
    "storage.remote.read-max-bytes-in-frame",
    "rules.alert.for-outage-tolerance",
    "rules.alert.for-grace-period",
    "rules.alert.resend-delay",
    "rules.max-concurrent-evals",
    "scrape.adjust-timestamps",
    "scrape.timestamp-tolerance",
    "scrape.discovery-reload-interval",
    "alertmanager.notification-queue-capacity",
    "alertmanager.notification-batch-size",
    "alertmanager.drain-notification-queue-on-shutdown",
    "query.lookback-delta",
    "query.timeout",
    "query.max-concurrency",
    "query.max-samples",
    "enable-feature",
    "log.level",
    "log.format",
    "agent",
    "storage.agent.path",
];

#[test]
fn every_flag_of_prometheus_is_known() {
    let command = command();
    for name in PROMETHEUS {
        let is_known = command.get_arguments().any(|arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(name) || aliases.contains(&name)
        });
        assert!(is_known, "--{name}");
    }
    let flags = parse(&["--config.auto-reload", "--config.auto-reload-interval=0s"]).unwrap();
    assert_eq!(flags.config.auto_reload(), Some(Duration::from_secs(1)));
    assert_eq!(parse(&[]).unwrap().config.auto_reload(), None);
}

#[test]
fn flags_of_agent_mode_are_refused_by_name() {
    let exit = parse(&["--agent"]).unwrap_err();
    assert_eq!(exit.code, 3);
    assert!(exit.message.contains("--agent"), "{}", exit.message);
    let exit = parse(&["--storage.agent.path=x", "--storage.agent.no-lockfile"]).unwrap_err();
    assert_eq!(exit.code, 3);
    let names = "[\"--storage.agent.path\" \"--storage.agent.no-lockfile\"]";
    assert!(exit.message.contains(names), "{}", exit.message);
    assert!(parse(&["--no-agent"]).is_ok());
}

#[test]
fn features_are_known_by_what_becomes_of_them() {
    let flags = parse(&["--enable-feature=exemplar-storage,agent,native-histograms,nosuch"]);
    let flags = flags.unwrap();
    let fates: Vec<Option<Fate>> = flags.feature_fates().map(|(_, fate)| fate).collect();
    assert!(matches!(
        fates.as_slice(),
        [
            Some(Fate::Works),
            Some(Fate::Absent(_)),
            Some(Fate::Always),
            None
        ]
    ));
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
}
