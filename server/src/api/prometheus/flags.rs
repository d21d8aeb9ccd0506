//! The command line in force: `/api/v1/status/flags`.
//!
//! Clients look for Prometheus' flags and get all of them. One that has no meaning here
//! shows what is always in force, which is Prometheus' default; whoever gave it was told
//! so at the start. Kymo's own flags come along with `all=true`.

use std::collections::BTreeMap;

use super::bounds::parse_bool;
use crate::api::call::Call;
use crate::flags::Flags;
use crate::http::answer::{Answer, ApiResult};

/// `/api/v1/status/flags`
pub(crate) async fn flags(call: Call) -> ApiResult {
    let all = parse_bool(call.params.get("all")) == Ok(true);
    Answer::value(&table(&call.app.flags, all))
}

fn table(flags: &Flags, all: bool) -> BTreeMap<&str, &str> {
    let own: BTreeMap<&str, &str> = flags
        .table
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut table: BTreeMap<&str, &str> = PROMETHEUS.into_iter().collect();
    for (name, value) in &mut table {
        let here = RENAMED.iter().find(|(theirs, _)| theirs == name);
        let here = here.map_or(*name, |(_, ours)| *ours);
        if let Some(own) = own.get(here) {
            *value = own;
        }
    }
    if all {
        table.extend(own);
    }
    table
}

/// Flags whose name here is another, of which theirs is an alias.
const RENAMED: [(&str, &str); 3] = [
    ("storage.tsdb.path", "storage.path"),
    ("storage.tsdb.retention.size", "storage.retention.size"),
    ("storage.tsdb.retention.time", "storage.retention.time"),
];

/// Flags of Prometheus with their defaults.
const PROMETHEUS: [(&str, &str); 74] = [
    ("agent", "false"),
    ("alertmanager.drain-notification-queue-on-shutdown", "true"),
    ("alertmanager.notification-batch-size", "256"),
    ("alertmanager.notification-queue-capacity", "10000"),
    ("auto-gomaxprocs", "true"),
    ("auto-gomemlimit", "true"),
    ("auto-gomemlimit.ratio", "0.9"),
    ("auto-gomemlimit.refresh-interval", "0s"),
    ("config.auto-reload", "false"),
    ("config.auto-reload-interval", "30s"),
    ("config.file", ""),
    ("enable-feature", ""),
    ("log.format", "logfmt"),
    ("log.level", "info"),
    ("query.lookback-delta", "5m"),
    ("query.max-concurrency", "20"),
    ("query.max-samples", "50000000"),
    ("query.timeout", "2m"),
    ("rules.alert.for-grace-period", "10m"),
    ("rules.alert.for-outage-tolerance", "1h"),
    ("rules.alert.resend-delay", "1m"),
    ("rules.max-concurrent-evals", "4"),
    ("scrape.adjust-timestamps", "true"),
    ("scrape.discovery-reload-interval", "5s"),
    ("scrape.timestamp-tolerance", "2ms"),
    ("storage.agent.checkpoint-batch-size", "1000"),
    ("storage.agent.checkpoint-from-in-memory-series", "false"),
    ("storage.agent.no-lockfile", "false"),
    ("storage.agent.path", "data-agent/"),
    ("storage.agent.retention.max-time", "0s"),
    ("storage.agent.retention.min-time", "0s"),
    ("storage.agent.wal-compression", "true"),
    ("storage.agent.wal-compression-type", "snappy"),
    ("storage.agent.wal-segment-size", "0B"),
    ("storage.agent.wal-truncate-frequency", "0s"),
    ("storage.remote.flush-deadline", "1m"),
    ("storage.remote.read-concurrent-limit", "10"),
    ("storage.remote.read-max-bytes-in-frame", "1048576"),
    ("storage.remote.read-sample-limit", "50000000"),
    ("storage.tsdb.allow-overlapping-compaction", "true"),
    ("storage.tsdb.block-reload-interval", "1m"),
    ("storage.tsdb.delay-compact-file.path", ""),
    ("storage.tsdb.delayed-compaction.max-percent", "10"),
    ("storage.tsdb.head-chunks-write-queue-size", "0"),
    ("storage.tsdb.max-block-chunk-segment-size", "0B"),
    ("storage.tsdb.max-block-duration", "1d"),
    ("storage.tsdb.min-block-duration", "2h"),
    ("storage.tsdb.no-lockfile", "false"),
    ("storage.tsdb.path", "data/"),
    ("storage.tsdb.retention.size", "0B"),
    ("storage.tsdb.retention.time", "0s"),
    ("storage.tsdb.samples-per-chunk", "120"),
    ("storage.tsdb.wal-compression", "true"),
    ("storage.tsdb.wal-compression-type", "snappy"),
    ("storage.tsdb.wal-segment-size", "0B"),
    ("web.config.file", ""),
    ("web.console.libraries", "console_libraries"),
    ("web.console.templates", "consoles"),
    ("web.cors.origin", ".*"),
    ("web.enable-admin-api", "false"),
    ("web.enable-lifecycle", "false"),
    ("web.enable-otlp-receiver", "false"),
    ("web.enable-remote-write-receiver", "false"),
    ("web.external-url", ""),
    ("web.listen-address", "0.0.0.0:9090"),
    ("web.max-connections", "512"),
    ("web.max-notifications-subscribers", "16"),
    (
        "web.page-title",
        "Prometheus Time Series Collection and Processing Server",
    ),
    ("web.read-timeout", "5m"),
    (
        "web.remote-write-receiver.accepted-protobuf-messages",
        "prometheus.WriteRequest,io.prometheus.write.v2.Request",
    ),
    ("web.route-prefix", ""),
    ("web.search.max-limit", "10000"),
    ("web.user-assets", ""),
    ("write-documentation", "false"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Flags {
        let args = ["kymo"].iter().chain(args).map(Into::into);
        Flags::parse_from(args).unwrap()
    }

    #[test]
    fn values_are_those_in_force_under_prometheus_names() {
        let flags = parsed(&[
            "--storage.path=/x",
            "--web.max-connections=7",
            "--memory.limit=1GiB",
        ]);
        let known = table(&flags, false);
        assert_eq!(known.len(), PROMETHEUS.len());
        assert_eq!(known["storage.tsdb.path"], "/x");
        assert_eq!(known["web.max-connections"], "7");
        assert_eq!(known["web.enable-remote-write-receiver"], "true");
        assert!(!known.contains_key("memory.limit"));
        assert_eq!(table(&flags, true)["memory.limit"], "1GiB");
    }

    #[test]
    fn the_table_is_sorted_and_has_every_flag_once() {
        assert!(PROMETHEUS.is_sorted_by(|a, b| a.0 < b.0));
        for (theirs, _) in RENAMED {
            assert!(PROMETHEUS.iter().any(|(name, _)| *name == theirs));
        }
    }
}
