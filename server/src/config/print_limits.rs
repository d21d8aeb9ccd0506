//! The section `limits_config` as text.

use std::time::Duration;

use kymo_ingest::otlp::{AttributeRule, LogAttributes};
use kymo_storage::compat::float;
use kymo_storage::compat::time::Instant;

use super::LogsConfig;
use super::emit::{MapWriter, Yaml};
use super::print::{put_duration, text, texts};

/// Returns the section with all that is in force.
pub(super) fn limits_config(config: &LogsConfig) -> MapWriter {
    let limits = &config.limits;
    let mut map = MapWriter::default();
    for (key, on) in [
        ("reject_old_samples", limits.reject_old_samples),
        ("max_line_size_truncate", limits.max_line_size_truncate),
        (
            "allow_structured_metadata",
            limits.allow_structured_metadata,
        ),
        ("discover_log_levels", limits.discover_log_levels),
        (
            "increment_duplicate_timestamp",
            limits.increment_duplicate_timestamp,
        ),
    ] {
        map.flag(key, on);
    }
    for (key, ns) in [
        (
            "reject_old_samples_max_age",
            limits.reject_old_samples_max_age_ns,
        ),
        ("creation_grace_period", limits.creation_grace_period_ns),
        ("max_behind_newest", limits.max_behind_newest_ns),
    ] {
        put_duration(&mut map, key, Duration::from_nanos(ns.unsigned_abs()));
    }
    for (key, number) in [
        ("max_line_size", limits.max_line_size),
        (
            "max_label_names_per_series",
            limits.max_label_names_per_series,
        ),
        ("max_label_name_length", limits.max_label_name_length),
        ("max_label_value_length", limits.max_label_value_length),
        (
            "max_structured_metadata_size",
            limits.max_structured_metadata_size,
        ),
        (
            "max_structured_metadata_entries_count",
            limits.max_structured_metadata_entries_count,
        ),
        (
            "log_level_from_json_max_depth",
            limits.log_level_from_json_max_depth,
        ),
        ("max_global_streams_per_user", limits.max_streams),
    ] {
        map.put(key, Yaml::Plain(number.to_string()));
    }
    map.text(
        "max_line_size_truncate_identifier",
        &limits.max_line_size_truncate_identifier,
    );
    for (key, names) in [
        ("discover_service_name", &limits.discover_service_name),
        ("log_level_fields", &limits.log_level_fields),
        ("enforced_labels", &limits.enforced_labels),
    ] {
        map.put(key, texts(names));
    }
    if let Some(until_ns) = limits.block_ingestion_until_ns {
        let until = Instant {
            unix_s: until_ns.div_euclid(1_000_000_000),
            nanos: until_ns.rem_euclid(1_000_000_000) as u32,
        };
        map.put("block_ingestion_until", Yaml::Plain(until.rfc3339_nano()));
    }
    let status = u64::from(limits.block_ingestion_status_code);
    map.number("block_ingestion_status_code", status);
    for (key, bytes) in [
        ("ingestion_rate_mb", limits.ingestion_rate_bytes),
        ("ingestion_burst_size_mb", limits.ingestion_burst_bytes),
    ] {
        let mebibytes = bytes as f64 / f64::from(1 << 20);
        map.put(key, Yaml::Plain(float::g(mebibytes)));
    }
    for (key, bytes) in [
        ("per_stream_rate_limit", limits.per_stream_rate_limit),
        (
            "per_stream_rate_limit_burst",
            limits.per_stream_rate_limit_burst,
        ),
    ] {
        map.put(key, Yaml::Plain(bytes.to_string()));
    }
    map.map("otlp_config", print_otlp(&limits.otlp));
    if let Some(retention) = config.retention {
        put_duration(&mut map, "retention_period", retention);
    }
    let streams = config.retention_streams.iter().map(|stream| {
        let mut map = MapWriter::default();
        map.put("selector", text(&stream.selector));
        map.put("priority", Yaml::Plain(stream.priority.to_string()));
        put_duration(&mut map, "period", stream.period);
        map.done()
    });
    map.list("retention_stream", streams.collect());
    map
}

fn print_otlp(attributes: &LogAttributes) -> MapWriter {
    let rules = |rules: &[AttributeRule]| {
        let rules = rules.iter().map(|rule| {
            let mut map = MapWriter::default();
            map.put("action", text(rule.action.as_str()));
            map.list(
                "attributes",
                rule.names.iter().map(|name| text(name)).collect(),
            );
            if let Some(pattern) = &rule.pattern {
                // It was anchored when it was read.
                let anchored = pattern.as_str();
                let written = anchored.strip_prefix("^(?s:");
                let written = written.and_then(|rest| rest.strip_suffix(")$"));
                map.put("regex", text(written.unwrap_or(anchored)));
            }
            map.done()
        });
        rules.collect::<Vec<_>>()
    };
    let mut resource = MapWriter::default();
    // The default rules are among those that follow.
    resource.flag("ignore_defaults", true);
    resource.list("attributes_config", rules(&attributes.resource));
    let mut map = MapWriter::default();
    map.map("resource_attributes", resource);
    map.list("scope_attributes", rules(&attributes.scope));
    map.list("log_attributes", rules(&attributes.log));
    map.flag("severity_text_as_label", attributes.severity_text_as_label);
    map
}
