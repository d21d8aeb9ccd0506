//! The `limits_config` section, under Loki's names: what of logs is accepted, and how long
//! it is kept.

use std::time::Duration;

use kymo_ingest::loki::Limits;
use kymo_ingest::otlp::{AttributeAction, AttributeRule, LogAttributes};
use kymo_query::logql;
use kymo_storage::compat::regex::Regex;

use super::fields::{self, Fields, Problems};
use super::units;
use super::yaml::Node;

/// The validated `limits_config` section.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogsConfig {
    /// What is accepted.
    pub limits: Limits,
    /// `retention_period`: how long entries are kept, as far as the file says something; a
    /// zero is for ever.
    pub retention: Option<Duration>,
    /// `retention_stream`, those of the highest priority first.
    pub retention_streams: Vec<RetentionStream>,
}

/// How long some streams are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionStream {
    /// Which ones, as a selector.
    pub selector: String,
    /// Of several that fit a stream the one with the highest holds.
    pub priority: i64,
    /// How long; a zero is for ever.
    pub period: Duration,
}

/// Keys of Loki that mean nothing here or are set elsewhere.
const WITHOUT_EFFECT: [&str; 24] = [
    "ingestion_rate_strategy",
    "max_global_streams_per_user_strategy",
    "split_queries_by_interval",
    "split_metadata_queries_by_interval",
    "split_recent_metadata_queries_by_interval",
    "split_instant_metric_queries_by_interval",
    "max_query_parallelism",
    "tsdb_max_query_parallelism",
    "tsdb_max_bytes_per_shard",
    "max_cache_freshness_per_query",
    "max_chunks_per_query",
    "max_query_length",
    "max_query_lookback",
    "max_query_range",
    "max_query_series",
    "max_entries_limit_per_query",
    "max_concurrent_tail_requests",
    "query_timeout",
    "volume_enabled",
    "volume_max_series",
    "shard_streams",
    "unordered_writes",
    "cardinality_limit",
    "deletion_mode",
];

/// Reads the section.
pub(super) fn read(node: &Node, problems: &mut Problems, warnings: &mut Vec<String>) -> LogsConfig {
    let mut fields = Fields::open(node, "limits_config", problems);
    let mut limits = Limits::default();
    read_entry_limits(&mut fields, &mut limits, problems);
    read_stream_limits(&mut fields, &mut limits, problems);
    read_rates(&mut fields, &mut limits, problems);
    if let Some(node) = fields.take("otlp_config") {
        limits.otlp = read_otlp(node, problems);
    }
    let retention = fields.parsed("retention_period", problems, units::parse_duration);
    let nodes = fields.list("retention_stream", "[]retention_stream", problems);
    let mut retention_streams: Vec<RetentionStream> = nodes
        .iter()
        .filter_map(|node| read_retention(node, problems))
        .collect();
    retention_streams.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
    for key in WITHOUT_EFFECT {
        if fields.take(key).is_some() {
            let line = fields.position_of(key).line;
            warnings.push(format!(
                "line {line}: limits_config.{key} has no effect; limits of queries are flags (--logs.query.*)"
            ));
        }
    }
    fields.finish(problems);
    LogsConfig {
        limits,
        retention,
        retention_streams,
    }
}

fn read_entry_limits(fields: &mut Fields<'_>, limits: &mut Limits, problems: &mut Problems) {
    limits.reject_old_samples =
        fields.bool_or("reject_old_samples", limits.reject_old_samples, problems);
    let mut ns = |name, into: &mut i64| {
        if let Some(duration) = fields.parsed(name, problems, units::parse_duration) {
            *into = nanos(duration);
        }
    };
    ns(
        "reject_old_samples_max_age",
        &mut limits.reject_old_samples_max_age_ns,
    );
    ns(
        "creation_grace_period",
        &mut limits.creation_grace_period_ns,
    );
    // Not a key of Loki, where it follows from the age of chunks.
    ns("max_behind_newest", &mut limits.max_behind_newest_ns);
    let mut size = |name, into: &mut usize| {
        if let Some(bytes) = fields.parsed(name, problems, parse_bytes) {
            *into = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
    };
    size("max_line_size", &mut limits.max_line_size);
    size(
        "max_structured_metadata_size",
        &mut limits.max_structured_metadata_size,
    );
    let mut switch = |name, into: &mut bool| *into = fields.bool_or(name, *into, problems);
    switch("max_line_size_truncate", &mut limits.max_line_size_truncate);
    switch(
        "allow_structured_metadata",
        &mut limits.allow_structured_metadata,
    );
    switch("discover_log_levels", &mut limits.discover_log_levels);
    switch(
        "increment_duplicate_timestamp",
        &mut limits.increment_duplicate_timestamp,
    );
    let mark = "max_line_size_truncate_identifier";
    limits.max_line_size_truncate_identifier = fields.string(mark, problems);
    count(
        fields,
        "max_structured_metadata_entries_count",
        &mut limits.max_structured_metadata_entries_count,
        problems,
    );
    count(
        fields,
        "log_level_from_json_max_depth",
        &mut limits.log_level_from_json_max_depth,
        problems,
    );
    names(
        fields,
        "log_level_fields",
        &mut limits.log_level_fields,
        problems,
    );
}

fn read_stream_limits(fields: &mut Fields<'_>, limits: &mut Limits, problems: &mut Problems) {
    for (name, into) in [
        (
            "max_label_names_per_series",
            &mut limits.max_label_names_per_series,
        ),
        ("max_label_name_length", &mut limits.max_label_name_length),
        ("max_label_value_length", &mut limits.max_label_value_length),
        ("max_global_streams_per_user", &mut limits.max_streams),
    ] {
        count(fields, name, into, problems);
    }
    count(
        fields,
        "max_streams_per_user",
        &mut limits.max_streams,
        problems,
    );
    names(
        fields,
        "discover_service_name",
        &mut limits.discover_service_name,
        problems,
    );
    names(
        fields,
        "enforced_labels",
        &mut limits.enforced_labels,
        problems,
    );
    let until = fields.parsed("block_ingestion_until", problems, parse_time);
    limits.block_ingestion_until_ns = until.filter(|until| *until > 0);
    if let Some(node) = fields.take("block_ingestion_status_code") {
        let status = fields::uint(node, problems).and_then(|status| u16::try_from(status).ok());
        match status.filter(|status| (200..600).contains(status)) {
            Some(status) => limits.block_ingestion_status_code = status,
            None => problems.value(node.at, "must be a status of HTTP, from 200 to 599"),
        }
    }
}

fn read_rates(fields: &mut Fields<'_>, limits: &mut Limits, problems: &mut Problems) {
    for (name, into) in [
        ("ingestion_rate_mb", &mut limits.ingestion_rate_bytes),
        ("ingestion_burst_size_mb", &mut limits.ingestion_burst_bytes),
    ] {
        let Some(node) = fields.take(name) else {
            continue;
        };
        let number = fields::float(node, problems).unwrap_or(0.0);
        match number >= 0.0 && number.is_finite() {
            true => *into = (number * f64::from(1 << 20)) as u64,
            false => problems.value(node.at, "must not be negative"),
        }
    }
    for (name, into) in [
        ("per_stream_rate_limit", &mut limits.per_stream_rate_limit),
        (
            "per_stream_rate_limit_burst",
            &mut limits.per_stream_rate_limit_burst,
        ),
    ] {
        if let Some(bytes) = fields.parsed(name, problems, parse_bytes) {
            *into = bytes;
        }
    }
}

fn read_retention(node: &Node, problems: &mut Problems) -> Option<RetentionStream> {
    let mut fields = Fields::open(node, "retention_stream", problems);
    let period = fields.parsed("period", problems, units::parse_duration);
    let selector = fields.string("selector", problems);
    let at = fields.position_of("selector");
    if let Err(error) = logql::parse_matchers(&selector) {
        problems.value(at, format!("invalid selector: {error}"));
    }
    let priority = fields.take("priority");
    let priority = priority.and_then(|node| fields::int(node, problems));
    fields.finish(problems);
    Some(RetentionStream {
        selector,
        priority: priority.unwrap_or(0),
        period: period?,
    })
}

fn read_otlp(node: &Node, problems: &mut Problems) -> LogAttributes {
    let mut attributes = LogAttributes::default();
    let mut fields = Fields::open(node, "otlp_config", problems);
    if let Some(node) = fields.take("resource_attributes") {
        let mut resource = Fields::open(node, "resource_attributes", problems);
        if resource.bool_or("ignore_defaults", false, problems) {
            attributes.resource.clear();
        }
        let nodes = resource.list("attributes_config", "[]attributes_config", problems);
        attributes.resource.extend(read_rules(nodes, problems));
        resource.finish(problems);
    }
    for (name, rules) in [
        ("scope_attributes", &mut attributes.scope),
        ("log_attributes", &mut attributes.log),
    ] {
        let nodes = fields.list(name, "[]attributes_config", problems);
        *rules = read_rules(nodes, problems);
    }
    attributes.severity_text_as_label = fields.bool_or("severity_text_as_label", false, problems);
    fields.finish(problems);
    attributes
}

fn read_rules(nodes: &[Node], problems: &mut Problems) -> Vec<AttributeRule> {
    let mut rules = Vec::with_capacity(nodes.len());
    for node in nodes {
        let mut fields = Fields::open(node, "attributes_config", problems);
        let action = fields.parsed("action", problems, parse_action);
        let mut names = Vec::new();
        self::names(&mut fields, "attributes", &mut names, problems);
        let pattern = fields.parsed("regex", problems, |text| {
            Regex::new_anchored(text).map_err(|error| format!("invalid regex: {}", error.text))
        });
        if names.is_empty() == pattern.is_none() {
            problems.value(node.at, "one of attributes and regex must be set");
        }
        fields.finish(problems);
        rules.push(AttributeRule {
            action: action.unwrap_or_default(),
            names,
            pattern,
        });
    }
    rules
}

fn parse_action(text: &str) -> Result<AttributeAction, String> {
    let mut actions = AttributeAction::ALL.into_iter();
    let unknown = "unsupported action, it must be one of: drop, index_label, structured_metadata";
    actions
        .find(|action| action.as_str() == text)
        .ok_or_else(|| unknown.to_owned())
}

fn count(fields: &mut Fields<'_>, name: &'static str, into: &mut usize, problems: &mut Problems) {
    if let Some(node) = fields.take(name)
        && let Some(number) = fields::uint(node, problems)
    {
        *into = usize::try_from(number).unwrap_or(usize::MAX);
    }
}

fn names(
    fields: &mut Fields<'_>,
    name: &'static str,
    into: &mut Vec<String>,
    problems: &mut Problems,
) {
    if let Some(node) = fields.take(name) {
        *into = fields::strings(node, problems);
    }
}

/// Reads a size with a unit, or a number of bytes.
fn parse_bytes(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(bytes) => Ok(bytes),
        Err(_) => units::parse_size(text),
    }
}

fn parse_time(text: &str) -> Result<i64, String> {
    let time: Result<jiff::Timestamp, _> = text.parse();
    let time = time.map_err(|_| format!("{text} is no time of RFC 3339"))?;
    Ok(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX))
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl LogsConfig {
    /// Returns how long entries are kept where the file says nothing of their stream and
    /// flags say `by_flag`, as the store takes it.
    pub(crate) fn retention_ns(&self, by_flag: Duration) -> Option<i64> {
        match self.retention.unwrap_or(by_flag) {
            Duration::ZERO => None,
            time => Some(nanos(time)),
        }
    }
}

impl RetentionStream {
    /// Returns the period as the store takes it.
    pub(crate) fn period_ns(&self) -> Option<i64> {
        (!self.period.is_zero()).then(|| nanos(self.period))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn read(section: &str) -> Result<config::Config, String> {
        config::parse(section, Path::new("")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_section_changes_the_defaults() {
        assert_eq!(read("global: {}").unwrap().logs, LogsConfig::default());
        let config = read(
            "limits_config:\n  reject_old_samples: false\n  reject_old_samples_max_age: 1w\n  \
             max_line_size: 1MB\n  max_label_names_per_series: 30\n  ingestion_rate_mb: 0.5\n  \
             per_stream_rate_limit: 3MB\n  discover_service_name: []\n  retention_period: 30d\n  \
             block_ingestion_until: 2026-01-01T00:00:00Z\n  max_query_length: 5d\n  \
             otlp_config:\n    resource_attributes:\n      ignore_defaults: true\n      \
             attributes_config:\n        - {action: drop, regex: host.*}\n  \
             retention_stream:\n    - {selector: '{a=\"b\"}', priority: 1, period: 1d}\n    \
             - {selector: '{c=\"d\"}', priority: 5, period: 0s}\n",
        )
        .unwrap();
        let LogsConfig {
            limits,
            retention,
            retention_streams,
        } = config.logs;
        assert!(!limits.reject_old_samples && limits.discover_service_name.is_empty());
        assert_eq!(
            (limits.max_line_size, limits.max_label_names_per_series),
            (1 << 20, 30)
        );
        assert_eq!(
            (limits.ingestion_rate_bytes, limits.per_stream_rate_limit),
            (1 << 19, 3 << 20)
        );
        assert_eq!(
            limits.block_ingestion_until_ns,
            Some(1_767_225_600_000_000_000)
        );
        assert_eq!(limits.otlp.resource.len(), 1);
        assert_eq!(retention, Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(retention_streams[0].selector, "{c=\"d\"}");
        assert_eq!(retention_streams[0].period_ns(), None);
        assert_eq!(retention_streams[1].period_ns(), Some(86_400_000_000_000));
        let warned = &config.warnings[0];
        assert!(
            warned.contains("line 11: limits_config.max_query_length has no effect"),
            "{warned}"
        );
    }

    #[test]
    fn what_is_shown_is_read_again_as_itself() {
        let shown = |config: &config::Config| config.yaml(&config::Retention::default());
        let nothing = read("limits_config: {max_line_size: 262144}").unwrap();
        assert!(!shown(&nothing).contains("limits_config"));
        for section in [
            "limits_config: {max_line_size: 0, max_line_size_truncate_identifier: '[...]'}",
            "limits_config: {reject_old_samples: false, enforced_labels: [a, b], retention_period: 0s}",
            "limits_config: {discover_service_name: [], log_level_fields: ['null'], creation_grace_period: 0s}",
            "limits_config: {ingestion_rate_mb: 0.3, per_stream_rate_limit: 3MB, max_streams_per_user: 7}",
            "limits_config: {block_ingestion_until: 2026-01-01T00:00:00.5Z, block_ingestion_status_code: 429}",
            "limits_config: {retention_period: 30d, retention_stream: [\
             {selector: '{a=\"b\"}', priority: -1, period: 1d}, {selector: '{c=\"d\"}', period: 0s}]}",
            "limits_config: {otlp_config: {severity_text_as_label: true, resource_attributes: \
             {attributes_config: [{action: drop, regex: 'host.*'}]}, log_attributes: \
             [{action: index_label, attributes: [x, y]}], scope_attributes: [{action: structured_metadata, regex: '.+'}]}}",
            "limits_config: {otlp_config: {resource_attributes: {ignore_defaults: true}}}",
        ] {
            let config = read(section).unwrap();
            let shown = shown(&config);
            let at = shown.find("limits_config:\n").unwrap();
            assert_eq!(read(&shown[at..]).unwrap().logs, config.logs, "{shown}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (section, text) in [
            ("limits_config: {max_line_sise: 1}", "max_line_sise"),
            ("limits_config: {max_line_size: much}", "much"),
            (
                "limits_config: {ingestion_rate_mb: -1}",
                "must not be negative",
            ),
            (
                "limits_config: {block_ingestion_status_code: 42}",
                "status of HTTP",
            ),
            (
                "limits_config: {block_ingestion_until: soon}",
                "no time of RFC 3339",
            ),
            (
                "limits_config: {retention_stream: [{selector: 'a', period: 1d}]}",
                "invalid selector",
            ),
            (
                "limits_config: {otlp_config: {log_attributes: [{action: keep, attributes: [a]}]}}",
                "unsupported action",
            ),
            (
                "limits_config: {otlp_config: {log_attributes: [{action: drop}]}}",
                "one of attributes and regex must be set",
            ),
        ] {
            let error = read(section).unwrap_err();
            assert!(error.contains(text), "{section}: {error}");
        }
    }
}
