//! `pipeline_stages`: what is done with log entries, in the form that Promtail reads.
//!
//! A stage is read into its values and then made for a try, so that a template, an
//! expression or a selector that is wrong is told with its place.

use std::sync::Arc;
use std::time::Duration;

use kymo_ingest::pipeline::metrics::{
    CounterAction, DEFAULT_BUCKETS, DEFAULT_PREFIX, GaugeAction, MetricConfig, MetricKind,
};
use kymo_ingest::pipeline::scrub::{HashKey, Kind, ScrubConfig};
use kymo_ingest::pipeline::{
    CriConfig, DropCondition, DropConfig, Excess, LimitConfig, Mapping, MatchAction, MatchConfig,
    MultilineConfig, Pipeline, StageConfig, TenantSource, TimestampConfig, TimestampFailure, Tools,
    parse_byte_size,
};
use kymo_storage::compat::duration;

use super::super::fields::{self, Fields, Problems};
use super::super::yaml::{Node, Value};
use crate::tailing::OwnLanguages;

/// Stages that Promtail has and this version does not, and what to do instead.
const REFUSED: [(&str, &str); 2] = [
    (
        "eventlogmessage",
        "it reads messages of Windows, whose event log is not read here; remove the stage",
    ),
    (
        "geoip",
        "it needs a database of places that is not part of Kymo; remove the stage",
    ),
];

/// Deepest pipeline within a pipeline.
const MAX_DEPTH: usize = 16;

/// Reads a list of stages.
pub(super) fn read(node: &Node, problems: &mut Problems) -> Vec<StageConfig> {
    read_at(node, 0, problems)
}

fn read_at(node: &Node, depth: usize, problems: &mut Problems) -> Vec<StageConfig> {
    if depth > MAX_DEPTH {
        problems.value(node.at, "pipelines nest too deeply");
        return Vec::new();
    }
    let mut stages = Vec::new();
    for item in fields::list(node, "stages.PipelineStages", problems) {
        if let Some(stage) = read_stage(item, depth, problems) {
            stages.push(stage);
        }
    }
    stages
}

fn read_stage(item: &Node, depth: usize, problems: &mut Problems) -> Option<StageConfig> {
    let Value::Map(pairs) = &item.value else {
        let text = "invalid YAML config, make sure each stage of your pipeline is a YAML object \
                    (must end with a `:`)";
        problems.value(item.at, text);
        return None;
    };
    let [(key, node)] = pairs.as_slice() else {
        problems.value(item.at, "pipeline stage must contain only one key");
        return None;
    };
    let name = key.text().unwrap_or_default();
    if let Some((_, remedy)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        problems.unsupported(key.at, &format!("stage {name}"), remedy);
        return None;
    }
    let mut found = Problems::default();
    let stage = stage(name, key, node, depth, &mut found);
    if let Some(stage) = stage.as_ref().filter(|_| found.is_empty())
        && let Err(error) = Pipeline::new(std::slice::from_ref(stage), &for_a_try())
    {
        found.value(key.at, error.to_string());
    }
    problems.append(found);
    stage
}

/// Returns tools that make stages for a try.
fn for_a_try() -> Tools {
    Tools::new(Arc::new(OwnLanguages), Arc::new(|| 0))
}

fn stage(
    name: &str,
    key: &Node,
    node: &Node,
    depth: usize,
    problems: &mut Problems,
) -> Option<StageConfig> {
    Some(match name {
        "json" => {
            let mut fields = Fields::open(node, "stages.JSONConfig", problems);
            let stage = StageConfig::Json {
                expressions: mapping(&mut fields, "expressions", problems),
                source: optional(&mut fields, "source", problems),
                drop_malformed: fields.bool_or("drop_malformed", false, problems),
            };
            fields.finish(problems);
            stage
        }
        "logfmt" => {
            let mut fields = Fields::open(node, "stages.LogfmtConfig", problems);
            let stage = StageConfig::Logfmt {
                mapping: mapping(&mut fields, "mapping", problems),
                source: optional(&mut fields, "source", problems),
            };
            fields.finish(problems);
            stage
        }
        "regex" => {
            let mut fields = Fields::open(node, "stages.RegexConfig", problems);
            let stage = StageConfig::Regex {
                expression: fields.string("expression", problems),
                source: optional(&mut fields, "source", problems),
            };
            fields.finish(problems);
            stage
        }
        "replace" => {
            let mut fields = Fields::open(node, "stages.ReplaceConfig", problems);
            let stage = StageConfig::Replace {
                expression: fields.string("expression", problems),
                source: optional(&mut fields, "source", problems),
                replace: fields.string("replace", problems),
            };
            fields.finish(problems);
            stage
        }
        "template" => {
            let mut fields = Fields::open(node, "stages.TemplateConfig", problems);
            let stage = StageConfig::Template {
                source: fields.string("source", problems),
                template: fields.string("template", problems),
            };
            fields.finish(problems);
            stage
        }
        "labels" => StageConfig::Labels(pairs(node, "stages.LabelsConfig", problems)),
        "static_labels" => {
            StageConfig::StaticLabels(pairs(node, "stages.StaticLabelConfig", problems))
        }
        "labeldrop" => StageConfig::LabelDrop(fields::strings(node, problems)),
        "labelallow" => StageConfig::LabelAllow(fields::strings(node, problems)),
        "structured_metadata" | "non_indexed_labels" => {
            StageConfig::StructuredMetadata(pairs(node, "stages.LabelsConfig", problems))
        }
        "structured_metadata_drop" => {
            StageConfig::StructuredMetadataDrop(fields::strings(node, problems))
        }
        "timestamp" => StageConfig::Timestamp(timestamp(node, problems)),
        "output" => {
            let mut fields = Fields::open(node, "stages.OutputConfig", problems);
            let source = fields.string("source", problems);
            fields.finish(problems);
            StageConfig::Output { source }
        }
        "match" => StageConfig::Match(match_stage(node, depth, problems)?),
        "drop" => StageConfig::Drop(drop_stage(node, problems)),
        "limit" => StageConfig::Limit(limit(node, problems)),
        "multiline" => StageConfig::Multiline(multiline(node, problems)),
        "metrics" => StageConfig::Metrics(metrics(node, problems)),
        "pack" => {
            let mut fields = Fields::open(node, "stages.PackConfig", problems);
            let labels = fields.take("labels");
            let stage = StageConfig::Pack {
                labels: labels.map_or_else(Vec::new, |node| fields::strings(node, problems)),
                ingest_timestamp: fields.bool_or("ingest_timestamp", true, problems),
            };
            fields.finish(problems);
            stage
        }
        "tenant" => StageConfig::Tenant(tenant(node, problems)?),
        "decolorize" => StageConfig::Decolorize,
        "sampling" => {
            let mut fields = Fields::open(node, "stages.SamplingConfig", problems);
            let stage = StageConfig::Sampling {
                rate: number(&mut fields, "rate", problems).unwrap_or(0.0),
                drop_reason: reason(&mut fields, "sampling_stage", problems),
            };
            fields.finish(problems);
            stage
        }
        "cri" => StageConfig::Cri(cri(node, problems)),
        "docker" => StageConfig::Docker,
        "scrub" => StageConfig::Scrub(scrub(node, problems)?),
        "pipeline" => StageConfig::Pipeline(read_at(node, depth + 1, problems)),
        _ => {
            problems.value(key.at, format!("Unknown stage type: {name}"));
            return None;
        }
    })
}

/// Takes pairs of names and sources; a source that is not given is empty.
fn mapping(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Mapping {
    let node = fields.take(name);
    node.map_or_else(Vec::new, |node| pairs(node, "map[string]string", problems))
}

fn pairs(node: &Node, go_type: &str, problems: &mut Problems) -> Mapping {
    let mut mapping = Vec::new();
    for (_, name, value) in fields::pairs(node, go_type, problems) {
        if let Some(value) = fields::string(value, problems) {
            mapping.push((name, value));
        }
    }
    mapping
}

/// Takes a text that may be missing.
fn optional(
    fields: &mut Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<String> {
    let node = fields.take(name)?;
    fields::string(node, problems)
}

/// Takes a number that may be written as a text.
fn number(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Option<f64> {
    fields.parsed(name, problems, |text| {
        let number = text.trim().parse::<f64>();
        number.map_err(|_| format!("\"{text}\" is no number"))
    })
}

/// Takes a duration as Go writes it.
fn go_duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<Duration> {
    let ns = fields.parsed(name, problems, duration::parse_go)?;
    Some(Duration::from_nanos(ns.max(0).unsigned_abs()))
}

fn reason(fields: &mut Fields<'_>, default: &str, problems: &mut Problems) -> String {
    let reason = fields.string("drop_counter_reason", problems);
    match reason.is_empty() {
        true => default.to_owned(),
        false => reason,
    }
}

fn timestamp(node: &Node, problems: &mut Problems) -> TimestampConfig {
    let mut fields = Fields::open(node, "stages.TimestampConfig", problems);
    let fallback = fields.take("fallback_formats");
    let on_failure = fields.parsed("action_on_failure", problems, |text| match text {
        "fudge" => Ok(TimestampFailure::Fudge),
        "skip" => Ok(TimestampFailure::Skip),
        _ => Err("invalid action on failure (supported values are [skip fudge])"),
    });
    let config = TimestampConfig {
        source: fields.string("source", problems),
        format: fields.string("format", problems),
        fallback_formats: fallback.map_or_else(Vec::new, |node| fields::strings(node, problems)),
        location: optional(&mut fields, "location", problems),
        on_failure: on_failure.unwrap_or_default(),
    };
    fields.finish(problems);
    config
}

fn match_stage(node: &Node, depth: usize, problems: &mut Problems) -> Option<MatchConfig> {
    let mut fields = Fields::open(node, "stages.MatcherConfig", problems);
    // It names metrics of Promtail alone.
    fields.string("pipeline_name", problems);
    let selector = fields.string("selector", problems);
    let action = fields.string("action", problems);
    let reason = reason(&mut fields, "match_stage", problems);
    let stages = fields.take("stages");
    let action = match (action.as_str(), stages) {
        ("" | "keep", stages) => {
            let stages = stages.map(|node| read_at(node, depth + 1, problems));
            Some(MatchAction::Keep(stages.unwrap_or_default()))
        }
        ("drop", Some(stages)) if !stages.is_empty() => {
            let text = "match stage configured to drop entries cannot contains stages";
            problems.value(stages.at, text);
            None
        }
        ("drop", _) => Some(MatchAction::Drop(reason)),
        _ => {
            let at = fields.position_of("action");
            problems.value(at, "match stage action should be 'keep' or 'drop'");
            None
        }
    };
    fields.finish(problems);
    Some(MatchConfig {
        selector,
        action: action?,
    })
}

fn drop_stage(node: &Node, problems: &mut Problems) -> DropConfig {
    let mut fields = Fields::open(node, "stages.DropConfig", problems);
    let source = fields.take("source").and_then(|node| match &node.value {
        Value::List(_) => Some(fields::strings(node, problems)),
        Value::Scalar { text, .. } => Some(vec![text.clone()]),
        _ => {
            let text = "drop stage source invalid type should be string or list of strings";
            problems.value(node.at, text);
            None
        }
    });
    let value = optional(&mut fields, "value", problems);
    let expression = optional(&mut fields, "expression", problems);
    if value.is_some() && expression.is_some() {
        let text = "drop stage config error, `value` and `expression` cannot both be defined at \
                    the same time.";
        problems.value(node.at, text);
    }
    let config = DropConfig {
        source,
        separator: optional(&mut fields, "separator", problems),
        condition: match (expression, value) {
            (Some(expression), _) => Some(DropCondition::Expression(expression)),
            (None, Some(value)) => Some(DropCondition::Value(value)),
            (None, None) => None,
        },
        older_than: go_duration(&mut fields, "older_than", problems),
        longer_than: fields.parsed("longer_than", problems, parse_byte_size),
        reason: reason(&mut fields, "drop_stage", problems),
    };
    fields.finish(problems);
    config
}

fn limit(node: &Node, problems: &mut Problems) -> LimitConfig {
    let mut fields = Fields::open(node, "stages.LimitConfig", problems);
    let rate = number(&mut fields, "rate", problems).unwrap_or(0.0);
    let burst = number(&mut fields, "burst", problems).unwrap_or(0.0);
    let drop = fields.bool_or("drop", false, problems);
    let label = fields.string("by_label_name", problems);
    let most = number(&mut fields, "max_distinct_labels", problems).unwrap_or(0.0);
    if !label.is_empty() && !drop {
        let text = "When ratelimiting by label, drop must be true";
        problems.value(fields.position_of("by_label_name"), text);
    }
    fields.finish(problems);
    LimitConfig {
        rate,
        burst: burst.max(0.0) as u64,
        excess: match (label.is_empty(), drop) {
            (false, _) => Excess::DropBy {
                label,
                max_distinct: (most as usize).max(10_000),
            },
            (true, true) => Excess::Drop,
            (true, false) => Excess::Wait,
        },
    }
}

fn multiline(node: &Node, problems: &mut Problems) -> MultilineConfig {
    let mut fields = Fields::open(node, "stages.MultilineConfig", problems);
    let max_lines = number(&mut fields, "max_lines", problems);
    let config = MultilineConfig {
        firstline: fields.string("firstline", problems),
        max_wait: go_duration(&mut fields, "max_wait_time", problems)
            .unwrap_or(Duration::from_secs(3)),
        max_lines: max_lines.map_or(128, |lines| lines.max(0.0) as u64),
    };
    fields.finish(problems);
    config
}

fn metrics(node: &Node, problems: &mut Problems) -> Vec<MetricConfig> {
    let mut metrics = Vec::new();
    for (_, name, node) in fields::pairs(node, "stages.MetricsConfig", problems) {
        let mut fields = Fields::open(node, "stages.MetricConfig", problems);
        let kind = fields.string("type", problems).to_lowercase();
        let prefix = fields.string("prefix", problems);
        let prefix = match prefix.is_empty() {
            true => DEFAULT_PREFIX,
            false => &prefix,
        };
        let idle = go_duration(&mut fields, "max_idle_duration", problems);
        if idle.is_some_and(|idle| idle < Duration::from_secs(1)) {
            let at = fields.position_of("max_idle_duration");
            problems.value(at, "max_idle_duration less than 1s not allowed");
        }
        let source = optional(&mut fields, "source", problems);
        let description = fields.string("description", problems);
        let config = fields.take("config").unwrap_or(node);
        let mut inner = Fields::open(config, "stages.MetricActionConfig", problems);
        let value = optional(&mut inner, "value", problems);
        let kind = match kind.as_str() {
            "counter" => counter(&mut inner, value.is_some(), problems),
            "gauge" => gauge(&mut inner, problems),
            "histogram" => {
                let buckets = inner
                    .take("buckets")
                    .map_or(&[][..], |node| fields::list(node, "[]float64", problems));
                let bounds = buckets.iter();
                let bounds: Vec<f64> = bounds
                    .filter_map(|node| fields::float(node, problems))
                    .collect();
                Some(MetricKind::Histogram(match bounds.is_empty() {
                    true => DEFAULT_BUCKETS.to_vec(),
                    false => bounds,
                }))
            }
            other => {
                let text = format!(
                    "invalid metric type '{other}', metric type must be one of 'counter', 'gauge', or 'histogram'"
                );
                problems.value(fields.position_of("type"), text);
                None
            }
        };
        // Without `config` the metric itself stands in for it, whose keys are others.
        if fields_has(node, "config") {
            inner.finish(problems);
        }
        fields.finish(problems);
        if let Some(kind) = kind {
            metrics.push(MetricConfig {
                source: source.unwrap_or_else(|| name.clone()),
                name: format!("{prefix}{name}"),
                description,
                max_idle_seconds: idle.map_or(300, |idle| idle.as_secs()),
                value,
                kind,
            });
        }
    }
    metrics
}

fn fields_has(node: &Node, name: &str) -> bool {
    node.get(name).is_some_and(|node| !node.is_null())
}

fn counter(
    fields: &mut Fields<'_>,
    has_value: bool,
    problems: &mut Problems,
) -> Option<MetricKind> {
    let match_all = fields.bool_or("match_all", false, problems);
    let bytes = fields.bool_or("count_entry_bytes", false, problems);
    let action = fields.string("action", problems).to_lowercase();
    let at = fields.position_of("action");
    let action = match (action.as_str(), bytes) {
        ("inc", false) => CounterAction::Inc,
        ("add", false) => CounterAction::Add,
        ("add", true) => CounterAction::AddBytes,
        ("inc", true) => {
            problems.value(
                at,
                "`count_entry_bytes: true` can only be used with `action: add`",
            );
            return None;
        }
        ("", _) => {
            problems.value(
                at,
                "counter action must be defined as either `inc` or `add`",
            );
            return None;
        }
        (other, _) => {
            let text = format!("action {other} is not valid, action must be either `inc` or `add`");
            problems.value(at, text);
            return None;
        }
    };
    if match_all && has_value {
        let text = "`match_all: true` cannot be combined with `value`, please remove `match_all` \
                    or `value`";
        problems.value(fields.position_of("match_all"), text);
    }
    if bytes && !match_all {
        let text = "`count_entry_bytes: true` can only be set with `match_all: true`";
        problems.value(fields.position_of("count_entry_bytes"), text);
    }
    Some(MetricKind::Counter { action, match_all })
}

fn gauge(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<MetricKind> {
    let action = fields.string("action", problems).to_lowercase();
    let action = match action.as_str() {
        "set" => GaugeAction::Set,
        "inc" => GaugeAction::Inc,
        "dec" => GaugeAction::Dec,
        "add" => GaugeAction::Add,
        "sub" => GaugeAction::Sub,
        other => {
            let text = match other {
                "" => "gauge action must be defined as `set`, `inc`, `dec`, `add`, or `sub`"
                    .to_owned(),
                other => format!(
                    "action {other} is not valid, action must be `set`, `inc`, `dec`, `add`, or `sub`"
                ),
            };
            problems.value(fields.position_of("action"), text);
            return None;
        }
    };
    Some(MetricKind::Gauge(action))
}

fn tenant(node: &Node, problems: &mut Problems) -> Option<TenantSource> {
    let mut fields = Fields::open(node, "stages.TenantConfig", problems);
    let label = fields.string("label", problems);
    let source = fields.string("source", problems);
    let value = fields.string("value", problems);
    fields.finish(problems);
    match (label.is_empty(), source.is_empty(), value.is_empty()) {
        (false, true, true) => Some(TenantSource::Label(label)),
        (true, false, true) => Some(TenantSource::Extracted(source)),
        (true, true, false) => Some(TenantSource::Value(value)),
        (true, true, true) => {
            problems.value(node.at, "label, source or value config are required");
            None
        }
        _ => {
            let text = "label, source and value are mutually exclusive: you should set source, \
                        value or label but not all";
            problems.value(node.at, text);
            None
        }
    }
}

fn cri(node: &Node, problems: &mut Problems) -> CriConfig {
    let mut fields = Fields::open(node, "stages.CriConfig", problems);
    let lines = number(&mut fields, "max_partial_lines", problems).unwrap_or(0.0);
    let size = fields.parsed("max_partial_line_size", problems, parse_byte_size);
    let truncate = fields.bool_or("max_partial_line_size_truncate", false, problems);
    fields.finish(problems);
    CriConfig {
        max_partial_lines: match lines as usize {
            0 => CriConfig::DEFAULT_PARTIAL_LINES,
            lines => lines,
        },
        truncate_at: truncate.then(|| size.unwrap_or(0)),
    }
}

fn scrub(node: &Node, problems: &mut Problems) -> Option<ScrubConfig> {
    let mut fields = Fields::open(node, "stages.ScrubConfig", problems);
    let mut kinds = Vec::new();
    match fields.take("kinds") {
        None => kinds.extend(Kind::ALL.into_iter().filter(|kind| *kind != Kind::JsonKey)),
        Some(node) => {
            for item in fields::list(node, "[]string", problems) {
                let name = fields::string(item, problems).unwrap_or_default();
                match Kind::by_name(&name) {
                    Some(kind) => kinds.push(kind),
                    None => problems.value(
                        item.at,
                        format!("\"{name}\" is no kind of the scrub stage; there are email, ipv4, ipv6, card and token"),
                    ),
                }
            }
        }
    }
    let keys = fields.take("json_keys");
    let json_keys = keys.map_or_else(Vec::new, |node| fields::strings(node, problems));
    let source = optional(&mut fields, "source", problems);
    let mode = fields.string_or("mode", "mask", problems);
    let key = fields.take("hash_key");
    let file = fields.take("hash_key_file");
    let key = key.and_then(|node| fields::string(node, problems));
    let key = match file {
        None => key.map(String::into_bytes),
        Some(node) => {
            let path = fields::string(node, problems).unwrap_or_default();
            match std::fs::read(&path) {
                Ok(bytes) => Some(bytes.trim_ascii().to_vec()),
                Err(error) => {
                    let error = super::super::os_text(&error);
                    problems.value(node.at, format!("open {path}: {error}"));
                    None
                }
            }
        }
    };
    let hash_key = match (mode.as_str(), key) {
        ("mask", None) => None,
        ("hash", Some(key)) => Some(HashKey(key)),
        ("mask", Some(_)) => {
            let text = "a hash_key has no effect without `mode: hash`";
            problems.value(fields.position_of("mode"), text);
            None
        }
        ("hash", None) => {
            let text = "`mode: hash` needs a hash_key or a hash_key_file";
            problems.value(fields.position_of("mode"), text);
            None
        }
        (other, _) => {
            let text =
                format!("\"{other}\" is no mode of the scrub stage; there are mask and hash");
            problems.value(fields.position_of("mode"), text);
            None
        }
    };
    let dry_run = fields.bool_or("dry_run", false, problems);
    fields.finish(problems);
    Some(ScrubConfig {
        kinds,
        json_keys,
        source,
        hash_key,
        dry_run,
    })
}
