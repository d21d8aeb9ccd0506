//! Metrics of discovery, under Prometheus' names.

use kymo_ingest::discovery::{DiscoveryStats, SetStats, SourcesStats};
use kymo_ingest::scrape::Summary;

use super::exposition::{Kind, TextWriter};

/// Takes one figure of a discovery.
type Value = fn(&DiscoveryStats) -> u64;

/// Takes one figure of a set.
type SetValue = fn(&SetStats) -> Option<f64>;

/// Quantiles that Prometheus shows of these durations.
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Writes what discovery counted: that of each name, and that of all sources together.
pub(super) fn write(
    writer: &mut TextWriter,
    discoveries: &[(&str, DiscoveryStats)],
    sources: &SourcesStats,
) {
    #[rustfmt::skip]
    let counts: [(&str, Kind, &str, Value); 4] = [
        ("prometheus_sd_failed_configs", Kind::Gauge, "Current number of service discovery configurations that failed to load.", |s| s.failed_configs),
        ("prometheus_sd_received_updates_total", Kind::Counter, "Total number of update events received from the SD providers.", |s| s.received),
        ("prometheus_sd_updates_delayed_total", Kind::Counter, "Total number of update events that couldn't be sent immediately.", |s| s.delayed),
        ("prometheus_sd_updates_total", Kind::Counter, "Total number of update events sent to the SD consumers.", |s| s.sent),
    ];
    for (metric, kind, help, value) in counts {
        writer.family(metric, kind, help);
        for (name, stats) in discoveries {
            writer.sample(metric, &[("name", name)], value(stats) as f64);
        }
    }
    #[rustfmt::skip]
    let by_set: [(&str, &str, SetValue); 2] = [
        ("prometheus_sd_discovered_targets", "Current number of discovered targets.", |s| Some(s.targets as f64)),
        ("prometheus_sd_last_update_timestamp_seconds", "Timestamp of the last update sent to the SD consumers.", |s| Some(s.updated_ms? as f64 / 1e3)),
    ];
    for (metric, help, value) in by_set {
        writer.family(metric, Kind::Gauge, help);
        for (name, stats) in discoveries {
            for set in &stats.sets {
                if let Some(value) = value(set) {
                    let labels = [("config", set.name.as_str()), ("name", name)];
                    writer.sample(metric, &labels, value);
                }
            }
        }
    }
    let metric = "prometheus_sd_file_mtime_seconds";
    let help = "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time.";
    writer.family(metric, Kind::Gauge, help);
    let files = discoveries.iter().flat_map(|(_, stats)| &stats.files);
    let files: std::collections::BTreeMap<_, _> = files.collect();
    for (file, changed_s) in files {
        writer.sample(metric, &[("filename", file)], *changed_s as f64);
    }
    write_sources(writer, sources);
}

fn write_sources(writer: &mut TextWriter, sources: &SourcesStats) {
    #[rustfmt::skip]
    let counters = [
        ("prometheus_sd_dns_lookups_total", "The number of DNS-SD lookups.", sources.dns_lookups),
        ("prometheus_sd_dns_lookup_failures_total", "The number of DNS-SD lookup failures.", sources.dns_failures),
        ("prometheus_sd_file_read_errors_total", "The number of File-SD read errors.", sources.file_read_errors),
        ("prometheus_sd_file_watcher_errors_total", "The number of File-SD errors caused by filesystem watch failures.", sources.file_watch_errors),
        ("prometheus_sd_http_failures_total", "Number of HTTP service discovery refresh failures.", sources.http_failures),
        ("prometheus_sd_kubernetes_failures_total", "The number of failed WATCH/LIST requests.", sources.kubernetes_failures),
    ];
    for (name, help, value) in counters {
        writer.counter(name, help, value);
    }
    let name = "prometheus_sd_kubernetes_events_total";
    let help = "The number of Kubernetes events handled.";
    writer.family(name, Kind::Counter, help);
    for (role, event, count) in &sources.kubernetes_events {
        let labels = [("event", *event), ("role", *role)];
        writer.sample(name, &labels, *count as f64);
    }
    let name = "prometheus_sd_file_scan_duration_seconds";
    let help = "The duration of the File-SD scan in seconds.";
    writer.family(name, Kind::Summary, help);
    write_summary(writer, name, &[], &sources.file_scans);
    let name = "prometheus_sd_refresh_failures_total";
    let help = "Number of refresh failures for the given SD mechanism.";
    writer.family(name, Kind::Counter, help);
    for refresh in &sources.refreshes {
        let labels = [
            ("config", refresh.set.as_str()),
            ("mechanism", refresh.mechanism),
        ];
        writer.sample(name, &labels, refresh.failures as f64);
    }
    let name = "prometheus_sd_refresh_duration_seconds";
    let help = "The duration of a refresh in seconds for the given SD mechanism.";
    writer.family(name, Kind::Summary, help);
    for refresh in &sources.refreshes {
        let labels = [
            ("config", refresh.set.as_str()),
            ("mechanism", refresh.mechanism),
        ];
        write_summary(writer, name, &labels, &refresh.durations);
    }
    let name = "prometheus_sd_refresh_duration_histogram_seconds";
    let help = "The duration of a refresh for the given SD mechanism.";
    writer.family(name, Kind::Histogram, help);
    for durations in &sources.refresh_durations {
        let label = ("mechanism", durations.mechanism);
        for (bound, count) in &durations.buckets {
            let bound = match bound.is_infinite() {
                true => "+Inf".to_owned(),
                false => bound.to_string(),
            };
            let labels = [label, ("le", bound.as_str())];
            writer.sample(&format!("{name}_bucket"), &labels, *count as f64);
        }
        let count = durations.buckets.last().map_or(0, |(_, count)| *count);
        writer.sample(&format!("{name}_sum"), &[label], durations.sum_seconds);
        writer.sample(&format!("{name}_count"), &[label], count as f64);
    }
}

fn write_summary(writer: &mut TextWriter, name: &str, labels: &[(&str, &str)], summary: &Summary) {
    for (quantile, value) in summary.quantiles {
        if QUANTILES.contains(&quantile) {
            let quantile = quantile.to_string();
            let mut labels = labels.to_vec();
            labels.push(("quantile", &quantile));
            writer.sample(name, &labels, value);
        }
    }
    writer.sample(&format!("{name}_sum"), labels, summary.sum_seconds);
    writer.sample(&format!("{name}_count"), labels, summary.count as f64);
}
