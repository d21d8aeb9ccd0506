//! Metrics of rules, under Prometheus' names.

use super::exposition::{Kind, TextWriter};
use crate::rules::{Evaluator, GroupFigures};

/// Name, type and help of what is said of each group, and how it is read.
type Family = (&'static str, Kind, &'static str, fn(&GroupFigures) -> f64);

const FAMILIES: [Family; 9] = [
    (
        "prometheus_rule_evaluations_total",
        Kind::Counter,
        "The total number of rule evaluations.",
        |group| group.evaluations as f64,
    ),
    (
        "prometheus_rule_evaluation_failures_total",
        Kind::Counter,
        "The total number of rule evaluation failures.",
        |group| group.failures as f64,
    ),
    (
        "prometheus_rule_group_iterations_total",
        Kind::Counter,
        "The total number of scheduled rule group evaluations, whether executed or missed.",
        |group| group.iterations as f64,
    ),
    (
        "prometheus_rule_group_iterations_missed_total",
        Kind::Counter,
        "The total number of rule group evaluations missed due to slow rule group evaluation.",
        |group| group.missed as f64,
    ),
    (
        "prometheus_rule_group_last_evaluation_timestamp_seconds",
        Kind::Gauge,
        "The timestamp of the last rule group evaluation in seconds.",
        |group| group.evaluated_at_ns.unwrap_or(0) as f64 / 1e9,
    ),
    (
        "prometheus_rule_group_last_duration_seconds",
        Kind::Gauge,
        "The duration of the last rule group evaluation.",
        |group| group.took_s,
    ),
    (
        "prometheus_rule_group_last_rule_duration_sum_seconds",
        Kind::Gauge,
        "The sum of time in seconds it took to evaluate each rule in the group regardless of concurrency. This should be higher than the group duration if rules are evaluated concurrently.",
        |group| group.rules_took_s,
    ),
    (
        "prometheus_rule_group_last_restore_duration_seconds",
        Kind::Gauge,
        "The duration of the last alert rules alerts restoration using the `ALERTS_FOR_STATE` series.",
        |group| group.restore_took_s,
    ),
    (
        "prometheus_rule_group_last_evaluation_samples",
        Kind::Gauge,
        "The number of samples returned during the last rule group evaluation.",
        |group| group.samples as f64,
    ),
];

/// Writes what is counted of rules.
pub(super) fn write(writer: &mut TextWriter, rules: &Evaluator) {
    let durations = rules.durations();
    let help = "The duration for a rule to execute.";
    let name = "prometheus_rule_evaluation_duration_seconds";
    writer.family(name, Kind::Summary, help);
    durations.rules.write_plain(writer, name, &[0.5, 0.9, 0.99]);
    let name = "prometheus_rule_evaluation_duration_histogram_seconds";
    writer.family(name, Kind::Histogram, help);
    durations.rule_buckets.lock().write(writer, name, &[]);
    let help = "The duration of rule group evaluations.";
    let name = "prometheus_rule_group_duration_seconds";
    writer.family(name, Kind::Summary, help);
    let quantiles = [0.01, 0.05, 0.5, 0.9, 0.99];
    durations.groups.write_plain(writer, name, &quantiles);
    let name = "prometheus_rule_group_duration_histogram_seconds";
    writer.family(name, Kind::Histogram, help);
    durations.group_buckets.lock().write(writer, name, &[]);

    let groups = rules.groups();
    let named: Vec<(String, GroupFigures)> = groups
        .iter()
        .map(|running| {
            let group = running.group();
            (
                format!("{};{}", group.file(), group.name()),
                running.figures(),
            )
        })
        .collect();
    for (name, kind, help, value) in FAMILIES {
        writer.family(name, kind, help);
        for (group, figures) in &named {
            writer.sample(name, &[("rule_group", group)], value(figures));
        }
    }
    for (name, help, of_rules) in [
        (
            "prometheus_rule_group_interval_seconds",
            "The interval of a rule group.",
            false,
        ),
        ("prometheus_rule_group_rules", "The number of rules.", true),
    ] {
        writer.family(name, Kind::Gauge, help);
        for (running, (label, _)) in groups.iter().zip(&named) {
            let group = running.group();
            let value = match of_rules {
                true => group.rules().len() as f64,
                false => group.settings().interval_ms as f64 / 1e3,
            };
            writer.sample(name, &[("rule_group", label)], value);
        }
    }
}
