//! The stage `metrics`: what is counted and measured of log entries.

use std::time::Duration;

use kymo_ingest::pipeline::metrics::{
    CounterAction, DEFAULT_BUCKETS, DEFAULT_PREFIX, GaugeAction, MetricConfig, MetricKind,
};

use super::super::fields::{self, Fields, Problems};
use super::super::yaml::Node;
use super::go_duration;
use super::stages::optional;

pub(super) fn read(node: &Node, problems: &mut Problems) -> Vec<MetricConfig> {
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
