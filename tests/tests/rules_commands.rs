//! The commands around rules, beside promtool where it is installed: check, test, what
//! would have been, and backfilling.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kymo_tests::{Kymo, WriteBody};

const PROMTOOL: &str = "promtool";

fn kymo(dir: &Path, args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_kymo-e2e");
    let mut command = Command::new(program);
    command.current_dir(dir).args(args).output().unwrap()
}

/// Runs promtool and returns its exit code; `None` where it is not installed.
fn promtool(dir: &Path, args: &[&str]) -> Option<i32> {
    match Command::new(PROMTOOL).current_dir(dir).args(args).output() {
        Ok(output) => output.status.code(),
        Err(_) => {
            println!("rules_commands: skipped, {PROMTOOL} is not installed");
            None
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/energy-platform")
}

fn names(folder: &str) -> Vec<String> {
    let dir = examples().join(folder);
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let mut names: Vec<String> = entries
        .map(|entry| format!("{folder}/{}", entry.file_name().to_str().unwrap()))
        .collect();
    names.sort();
    names
}

#[test]
fn the_rules_of_the_documentation_are_right_and_pass_their_tests() {
    let dir = examples();
    for (command, folder) in [(["check", "rules"], "rules"), (["test", "rules"], "tests")] {
        let names = names(folder);
        assert_eq!(names.len(), 5);
        let args: Vec<&str> = command
            .into_iter()
            .chain(names.iter().map(String::as_str))
            .collect();
        let output = kymo(&dir, &args);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{command:?}: {out}{err}");
        assert_eq!(out.matches("SUCCESS").count(), 5, "{out}");
        assert_eq!(
            promtool(&dir, &args).unwrap_or(0),
            0,
            "promtool {command:?}"
        );
    }
    let with_lints = [
        "check",
        "rules",
        "--lint=all",
        "--lint-fatal",
        "rules/hosts.yml",
    ];
    let output = kymo(&dir, &with_lints);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// Rule files and whether they are right.
const FILES: [(&str, bool); 22] = [
    ("groups: []", true),
    ("groups: [{name: a}]", true),
    (
        "groups: [{name: a, rules: [{record: 'a:b', expr: up}]}]",
        true,
    ),
    (
        "groups: [{name: a, interval: 1m30s, limit: 5, rules: [{alert: A, expr: up == 0, for: 1m}]}]",
        true,
    ),
    (
        "groups: [{name: a, rules: [{alert: A, expr: up, labels: {x: '{{ $value }}'}}]}]",
        true,
    ),
    (
        "groups: [{name: a, rules: [{alert: A, expr: up, keep_firing_for: 5m}]}]",
        true,
    ),
    (
        "groups: [{name: a, rules: [{record: 'a:b', expr: 1}, {record: 'a:b', expr: 2, labels: {x: y}}]}]",
        true,
    ),
    ("group: []", false),
    ("groups: [{name: ''}]", false),
    ("groups: [{name: a}, {name: a}]", false),
    ("groups: [{name: a, interval: 1x}]", false),
    ("groups: [{name: a, rules: [{expr: up}]}]", false),
    (
        "groups: [{name: a, rules: [{record: 'a:b', alert: A, expr: up}]}]",
        false,
    ),
    ("groups: [{name: a, rules: [{record: 'a:b'}]}]", false),
    (
        "groups: [{name: a, rules: [{record: 'a:b', expr: 'up{'}]}]",
        false,
    ),
    (
        "groups: [{name: a, rules: [{record: 'a:b', expr: up, for: 1m}]}]",
        false,
    ),
    (
        "groups: [{name: a, rules: [{record: 'a:b', expr: up, annotations: {a: b}}]}]",
        false,
    ),
    (
        "groups: [{name: a, rules: [{alert: A, expr: up, labels: {__name__: x}}]}]",
        false,
    ),
    (
        "groups: [{name: a, rules: [{alert: A, expr: up, annotations: {t: '{{ $value '}}]}]",
        false,
    ),
    (
        "groups: [{name: a, rules: [{alert: A, expr: up, fore: 1m}]}]",
        false,
    ),
    (
        "groups: [{name: a, rules: [{record: 'sum(x)', expr: up, labels: {'': x}}]}]",
        false,
    ),
    ("groups: [\n", false),
];

#[test]
fn verdicts_on_rule_files_are_those_of_promtool() {
    let dir = tempfile::tempdir().unwrap();
    for (number, (content, is_right)) in FILES.iter().enumerate() {
        let name = format!("{number}.yml");
        std::fs::write(dir.path().join(&name), content).unwrap();
        let args = ["check", "rules", &name];
        let output = kymo(dir.path(), &args);
        let code = i32::from(!is_right);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{content}: {out}{err}");
        assert_eq!(out.contains("SUCCESS"), *is_right, "{content}: {out}");
        if !is_right {
            assert!(
                err.contains("FAILED") && err.contains(&name),
                "{content}: {err}"
            );
        }
        assert_eq!(
            promtool(dir.path(), &args).unwrap_or(code),
            code,
            "promtool: {content}"
        );
    }
}

#[test]
fn findings_can_be_read_by_programs() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "groups:\n- name: a\n  rules:\n  - {record: 'a:b', expr: x_total}\n";
    std::fs::write(dir.path().join("r.yml"), rules).unwrap();
    let args = [
        "check",
        "rules",
        "--lint=raw-counter",
        "--lint-fatal",
        "--format=json",
        "r.yml",
    ];
    let output = kymo(dir.path(), &args);
    assert_eq!(output.status.code(), Some(3));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let finding = &json[0]["findings"][0];
    assert_eq!(finding["lint"], "raw-counter");
    assert_eq!(
        (finding["line"].as_u64(), finding["severity"].as_str()),
        (Some(4), Some("lint"))
    );
}

#[test]
fn tests_that_fail_show_what_was_expected_and_what_was_found() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "r.yml",
        "groups: [{name: a, rules: [{alert: A, expr: 'x > 1', annotations: {t: '{{ $value }}'}}]}]",
    );
    let test = |found: &str, value: &str| {
        format!(
            "rule_files: [r.yml]\ntests:\n- name: n\n  interval: 1m\n  input_series: [{{series: \
             'x{{a=\"b\"}}', values: '0 5 5'}}]\n  alert_rule_test: [{{eval_time: 1m, alertname: A, \
             exp_alerts: [{{exp_labels: {{a: b}}, exp_annotations: {{t: '{found}'}}}}]}}]\n  \
             promql_expr_test: [{{expr: 'x + 1', eval_time: 2m, exp_samples: [{{labels: \
             '{{a=\"b\"}}', value: {value}}}]}}]\n"
        )
    };
    for (found, value, code) in [("5", "6", 0), ("4", "6", 1), ("5", "7", 1)] {
        write("t.yml", &test(found, value));
        let args = ["test", "rules", "t.yml"];
        let output = kymo(dir.path(), &args);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{err}");
        assert_eq!(promtool(dir.path(), &args).unwrap_or(code), code);
        if found == "4" {
            let expected = "    name: n,\n    alertname: A, time: 1m, \n        exp:[\n            \
                0:\n              Labels:{a=\"b\", alertname=\"A\"}\n              \
                Annotations:{t=\"4\"}\n            ], \n        got:[\n            0:\n              \
                Labels:{a=\"b\", alertname=\"A\"}\n              Annotations:{t=\"5\"}\n            ]";
            assert!(err.contains(expected), "{err}");
        }
        if value == "7" {
            let expected = "    expr: \"x + 1\", time: 2m,\n        exp: {a=\"b\"} 7E+00\n        \
                            got: {a=\"b\"} 6E+00";
            assert!(err.contains(expected), "{err}");
        }
    }
    write("t.yml", "tests: [{foo: 1}]\n");
    let output = kymo(
        dir.path(),
        &["test", "rules", "t.yml", "--junit=report.xml"],
    );
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    let expected = "yaml: unmarshal errors:\n  line 1: field foo not found in type main.testGroup";
    assert!(err.contains(expected), "{err}");
    let report = std::fs::read_to_string(dir.path().join("report.xml")).unwrap();
    assert!(report.contains("errors=\"1\""), "{report}");
}

/// Stores a temperature that is too high from minute 10 to minute 20 of an hour, each
/// minute, and stops the server.
fn stored_hour(dir: &Path) -> i64 {
    let start_ms = 1_700_000_400_000;
    let server = Kymo::start_in(dir, &[]);
    let samples: Vec<(i64, f64)> = (0..60)
        .map(|minute| {
            let value = if (10..20).contains(&minute) {
                90.0
            } else {
                20.0
            };
            (start_ms + minute * 60_000, value)
        })
        .collect();
    let body = WriteBody::new().series(&[("__name__", "temperature"), ("room", "a")], &samples);
    assert_eq!(server.write(&body).status, 204);
    assert!(server.terminate().success());
    let rules = "groups:\n- name: a\n  rules:\n  - {record: 'room:temperature:max', expr: 'max by \
                 (room) (temperature)'}\n  - {alert: Hot, expr: 'room:temperature:max > 50', for: \
                 2m}\n  - {alert: Warm, expr: 'room:temperature:max > 50', for: 30m}\n";
    std::fs::write(dir.join("r.yml"), rules).unwrap();
    start_ms
}

#[test]
fn alerts_that_would_have_fired_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let start_ms = stored_hour(dir.path());
    let (from, to) = (start_ms / 1000, start_ms / 1000 + 3540);
    let (from, to) = (format!("--from={from}"), format!("--to={to}"));
    let args = ["rules", "eval", "r.yml", &from, &to];
    let output = kymo(dir.path(), &args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    // Pending from minute 10, firing from 12 on, and over at 20.
    let row = "Hot    firing  2023-11-14 22:32:00 +0000 UTC  2023-11-14 22:40:00 +0000 UTC  8m   90     {room=\"a\"}";
    assert!(out.contains(row), "{out}");
    assert!(
        out.contains("1 alerts fired, 1 were only pending (--pending shows them)"),
        "{out}"
    );
    assert!(!out.contains("Warm"), "{out}");

    let moment = format!("--at={}", start_ms / 1000 + 15 * 60);
    let output = kymo(
        dir.path(),
        &["rules", "eval", "r.yml", &moment, "--format=json"],
    );
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let alerts = json["alerts"].as_array().unwrap();
    let states: Vec<(&str, bool)> = alerts
        .iter()
        .map(|alert| {
            (
                alert["alert"].as_str().unwrap(),
                !alert["fired_ms"].is_null(),
            )
        })
        .collect();
    assert_eq!(states, [("Hot", true), ("Warm", false)]);
}

#[test]
fn what_rules_would_have_recorded_can_be_stored() {
    let dir = tempfile::tempdir().unwrap();
    let start_ms = stored_hour(dir.path());
    let start = format!("--start={}", start_ms / 1000);
    let end = format!("--end={}", start_ms / 1000 + 3540);
    let args = ["tsdb", "create-blocks-from", "rules", &start, &end, "r.yml"];
    let output = kymo(dir.path(), &args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert_eq!(out, "1 series, 60 samples\n");
    let dump = kymo(
        dir.path(),
        &["tsdb", "dump", "--match=room:temperature:max"],
    );
    let lines = text(&dump.stdout);
    assert_eq!(lines.lines().count(), 60, "{lines}");
    let line = format!(
        "{{__name__=\"room:temperature:max\", room=\"a\"}} 90 {}",
        start_ms + 600_000
    );
    assert!(lines.contains(&line), "{lines}");
}
