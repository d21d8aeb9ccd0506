//! `pipeline_stages`: what is done with log entries, in the form that Promtail reads.
//!
//! A stage is read into its values and then made for a try, so that a template, an
//! expression or a selector that is wrong is told with its place.

use std::sync::Arc;
use std::time::Duration;

use kymo_ingest::pipeline::{
    CriConfig, DropCondition, DropConfig, Excess, LimitConfig, Mapping, MatchAction, MatchConfig,
    MultilineConfig, Pipeline, StageConfig, TenantSource, TimestampConfig, TimestampFailure, Tools,
    parse_byte_size,
};

use super::super::fields::{self, Fields, Problems};
use super::super::yaml::{Node, Value};
use super::{go_duration, metrics_stage, scrub_stage};
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
        "metrics" => StageConfig::Metrics(metrics_stage::read(node, problems)),
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
        "scrub" => StageConfig::Scrub(scrub_stage::read(node, problems)?),
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
pub(super) fn optional(
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
