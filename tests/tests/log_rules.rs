//! Rules over logs in the real server, and the commands that read logs from it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Kymo, program, wait_until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

const RULES: &str = "\
groups:
  - name: shop
    interval: 1s
    rules:
      - record: app:errors:count10m
        expr: sum by (app) (count_over_time({app=~\".+\"} |= `error` [10m]))
      - alert: Errors
        expr: sum by (app) (count_over_time({app=~\".+\"} |= `error` [10m])) > 1
        annotations:
          line: '{{ $line }}'
";

fn now_ns() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos()
}

fn start(dir: &std::path::Path) -> Kymo {
    std::fs::write(dir.join("kymo.yml"), "log_rule_files: [logs.yml]\n").unwrap();
    std::fs::write(dir.join("logs.yml"), RULES).unwrap();
    Kymo::start_in(dir, &["--config.file=kymo.yml"])
}

fn push(kymo: &Kymo, app: &str, lines: &[&str]) {
    let first_ns = now_ns();
    let values: Vec<Value> = (0u128..)
        .zip(lines)
        .map(|(i, line)| json!([(first_ns + i).to_string(), line]))
        .collect();
    let body = json!({"streams": [{"stream": {"app": app}, "values": values}]});
    let headers = [("Content-Type", "application/json")];
    let (path, body) = ("/loki/api/v1/push", body.to_string());
    let answer = kymo.client().call("POST", path, &headers, body.as_bytes());
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[test]
fn rules_over_logs_make_metrics_and_alerts() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = start(dir.path());
    push(
        &kymo,
        "shop",
        &["error: out of tea", "open", "error: out of milk"],
    );
    let value = |query: &str| {
        let answer = kymo
            .client()
            .post_form("/api/v1/query", &[("query", query)]);
        answer.json()["data"]["result"][0]["value"][1].clone()
    };
    wait_until("the rule has recorded", LIMIT, || {
        value("app:errors:count10m{app=\"shop\"}") == "2"
    });
    wait_until("the alert fires", LIMIT, || {
        value("ALERTS{alertname=\"Errors\", alertstate=\"firing\", app=\"shop\"}") == "1"
    });
    // The rules of the other language are not listed with those over metrics.
    assert_eq!(
        kymo.get("/api/v1/rules").json()["data"]["groups"],
        json!([])
    );
}

#[test]
fn commands_ask_for_logs_and_follow_them() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = start(dir.path());
    push(&kymo, "shop", &["one", "two", "three"]);
    let server = format!("http://{}", kymo.address());
    let run = |args: &[&str]| {
        let output = Command::new(program()).args(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    // The end is left out, and the last entry may be of this moment.
    let to = format!("--to={}", now_ns() / 1_000_000_000 + 60);
    let with = |more: &[&'static str]| {
        let mut args: Vec<&str> = vec!["query", "logs", &to];
        args.extend(more);
        args.extend([server.as_str(), "{app=\"shop\"}"]);
        run(&args)
    };
    let raw = ["--output=raw", "--quiet", "--limit=0", "--batch=2"];
    let (done, out, err) = with(&raw);
    assert!(done, "{err}");
    assert_eq!(out, "three\ntwo\none\n");
    let (_, out, _) = with(&[&raw[..], &["--forward"]].concat());
    assert_eq!(out, "one\ntwo\nthree\n");
    let (_, out, _) = with(&["--output=jsonl", "--limit=1"]);
    let entry: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&entry["line"], &entry["labels"]["app"]),
        (&json!("three"), &json!("shop"))
    );
    let count = "sum(count_over_time({app=\"shop\"}[10m]))";
    let (_, out, err) = run(&["query", "logs", "--instant", &server, count]);
    let numbers: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out} {err}"));
    assert_eq!(numbers[0]["value"][1], "3");
    let (done, _, err) = run(&["query", "logs", &server, "{app="]);
    assert!(
        !done && err.contains("parse error at line 1, col 6"),
        "{err}"
    );

    let mut tail = Command::new(program())
        .args([
            "logs",
            "tail",
            "--output=raw",
            "--limit=1",
            &server,
            "{app=\"shop\"}",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "three");
    push(&kymo, "shop", &["four"]);
    assert_eq!(lines.next().unwrap().unwrap(), "four");
    tail.kill().unwrap();
    tail.wait().unwrap();
}
