//! Pushes that limits refuse, cut or slow down.

use serde_json::{Value, json};

use crate::compare::{Case, Report};
use crate::push::{JSON, PUSH, stream};
use crate::{NS_PER_S, Pair};

/// Pushes that small limits refuse, whole or in part.
fn limited(t: i64) -> Vec<Case> {
    let at = |t: i64| t.to_string();
    let push = |name: &str, labels: Value, values: Value| {
        Case::send(
            &format!("limited: {name}"),
            PUSH,
            JSON,
            &stream(labels, values),
        )
    };
    const HOUR: i64 = 3600 * NS_PER_S;
    vec![
        push("in all of them", json!({"env": "x"}), json!([[at(t), "x"]])),
        push(
            "no enforced label",
            json!({"app": "x"}),
            json!([[at(t), "x"]]),
        ),
        push(
            "names",
            json!({"env": "x", "a": "1", "b": "2", "c": "3"}),
            json!([[at(t), "x"]]),
        ),
        push(
            "a name",
            json!({"env": "x", "abcdefghijk": "1"}),
            json!([[at(t), "x"]]),
        ),
        push(
            "a value",
            json!({"env": "abcdefghijklmnopq"}),
            json!([[at(t), "x"], [at(t), "y"]]),
        ),
        push(
            "a line",
            json!({"env": "x"}),
            json!([[at(t), "x".repeat(201)], [at(t), "kept"]]),
        ),
        push(
            "age",
            json!({"env": "x"}),
            json!([[at(t - 2 * HOUR), "x"], [at(t), "kept"]]),
        ),
        push("future", json!({"env": "x"}), json!([[at(t + HOUR), "x"]])),
        push(
            "metadata",
            json!({"env": "x"}),
            json!([[at(t), "x", {"a": "1", "b": "2", "c": "3"}]]),
        ),
        push(
            "bytes of metadata",
            json!({"env": "x"}),
            json!([[at(t), "x", {"a": "v".repeat(60)}]]),
        ),
        push(
            "all of it",
            json!({"env": "x"}),
            json!([
                [at(t - 2 * HOUR), "x"], [at(t + HOUR), "x"], [at(t), "x".repeat(201)], [at(t), "x", {"a": "v".repeat(60)}],
            ]),
        ),
        // The bytes of a second, all at once.
        push(
            "rate",
            json!({"env": "x"}),
            json!(
                (0..100)
                    .map(|i| json!([at(t + i), "x".repeat(150)]))
                    .collect::<Vec<_>>()
            ),
        ),
    ]
}

#[test]
fn small_limits_are_told_as_by_loki() {
    let limits = [
        ("max_line_size", "200B"),
        ("max_label_names_per_series", "3"),
        ("max_label_name_length", "10"),
        ("max_label_value_length", "15"),
        ("reject_old_samples_max_age", "1h"),
        ("creation_grace_period", "1m"),
        ("max_structured_metadata_size", "50B"),
        ("max_structured_metadata_entries_count", "2"),
        ("enforced_labels", "[env]"),
        ("ingestion_rate_mb", "0.01"),
        ("ingestion_burst_size_mb", "0.01"),
    ];
    let Some(pair) = Pair::start(&limits) else {
        return;
    };
    let mut report = Report::default();
    let t = (pair.now_s - 60) * NS_PER_S;
    report.ask(pair.loki.client(), pair.kymo.client(), &limited(t));
    report.check(&[]);
}

#[test]
fn cut_lines_and_slow_streams_are_as_in_loki() {
    let limits = [
        ("max_line_size", "100B"),
        ("max_line_size_truncate", "true"),
        ("per_stream_rate_limit", "200B"),
        ("per_stream_rate_limit_burst", "400B"),
    ];
    let Some(pair) = Pair::start(&limits) else {
        return;
    };
    let mut report = Report::default();
    let t = (pair.now_s - 60) * NS_PER_S;
    let push = |name: &str, app: &str, values: Value| {
        let body = stream(json!({"app": app}), values);
        Case::send(&format!("limited: {name}"), PUSH, JSON, &body)
    };
    let line = |len: usize, i: i64| json!([(t + i).to_string(), "é".repeat(len / 2)]);
    let cases = [
        push("cut", "cut", json!([line(150, 0), line(99, 1)])),
        push(
            "slow",
            "slow",
            json!([
                line(90, 0),
                line(90, 1),
                line(90, 2),
                line(90, 3),
                line(90, 4),
                line(90, 5)
            ]),
        ),
    ];
    report.ask(pair.loki.client(), pair.kymo.client(), &cases);
    let (start, end) = (pair.ns(-600), pair.ns(60));
    let params = [
        ("query", "{app=\"cut\"}"),
        ("start", start.as_str()),
        ("end", end.as_str()),
    ];
    let stored = Case::get("/loki/api/v1/query_range", &params).unordered();
    report.ask(pair.loki.client(), pair.kymo.client(), &[stored]);
    report.check(&[]);
}
