//! What clients change of logs beside pushing: deleting entries, and rules over logs.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Answer, Kymo, wait_until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const DELETE: &str = "/loki/api/v1/delete";

fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() as i64
}

fn push(kymo: &Kymo, t_s: i64, lines: &[&str]) {
    let values: Vec<Value> = lines
        .iter()
        .map(|line| json!([format!("{t_s}000000000"), line]))
        .collect();
    let body = json!({"streams": [{"stream": {"app": "shop"}, "values": values}]}).to_string();
    let headers = [("Content-Type", "application/json")];
    let client = kymo.client();
    let answer = client.call("POST", "/loki/api/v1/push", &headers, body.as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn lines(kymo: &Kymo) -> Vec<String> {
    let target = "/loki/api/v1/query_range?query=%7Bapp%3D%22shop%22%7D&direction=forward";
    let answer = kymo.get(target).json();
    let streams = answer["data"]["result"].as_array().unwrap().clone();
    let mut lines: Vec<String> = Vec::new();
    for stream in &streams {
        let values = stream["values"].as_array().unwrap().iter();
        lines.extend(values.map(|value| value[1].as_str().unwrap().to_owned()));
    }
    lines.sort();
    lines
}

fn call(kymo: &Kymo, method: &str, target: &str, body: &str) -> Answer {
    let headers = [("Content-Type", "application/yaml")];
    kymo.client()
        .call(method, target, &headers, body.as_bytes())
}

/// A request to delete the lines with `bob` from an hour ago on.
fn bob(now_s: i64) -> String {
    let query = "%7Bapp%3D%22shop%22%7D+%7C%3D+%22bob%22";
    format!("{DELETE}?query={query}&start={}", now_s - 3600)
}

#[test]
fn deleted_entries_are_out_of_sight_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--web.enable-admin-api"];
    let kymo = Kymo::start_in(dir.path(), &args);
    let now_s = now_s();
    push(&kymo, now_s - 60, &["ann came", "bob came"]);
    assert_eq!(call(&kymo, "POST", DELETE, "").text(), "query not set\n");
    let answer = call(&kymo, "PUT", &bob(now_s), "");
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let id = answer.header("x-delete-request-id").unwrap().to_owned();
    assert_eq!(lines(&kymo), ["ann came"]);
    let list = kymo.get(DELETE).json();
    assert_eq!(list[0]["request_id"], id.as_str());
    assert_eq!(list[0]["query"], "{app=\"shop\"} |= \"bob\"");
    let start_s = list[0]["start_time"].as_f64();
    assert_eq!(start_s, Some((now_s - 3600) as f64));
    // What comes later stays, and a restart knows what was deleted.
    push(&kymo, now_s - 50, &["bob is back"]);
    kymo.kill();
    let kymo = Kymo::start_in(dir.path(), &args);
    assert_eq!(lines(&kymo), ["ann came", "bob is back"]);
    let nobody = call(&kymo, "DELETE", &format!("{DELETE}?request_id=none"), "");
    assert_eq!(nobody.status, 404);
    assert_eq!(
        nobody.text(),
        "could not find delete request with given id\n"
    );
    // What was not applied yet can be taken back.
    let cancelled = call(
        &kymo,
        "DELETE",
        &format!("{DELETE}?request_id={id}&force=true"),
        "",
    );
    assert!(
        matches!(cancelled.status, 204 | 400),
        "{}",
        cancelled.text()
    );
}

#[test]
fn deleting_is_off_unless_it_is_switched_on() {
    let kymo = Kymo::start(&[]);
    let now_s = now_s();
    push(&kymo, now_s - 60, &["bob came"]);
    let refused = call(&kymo, "POST", &bob(now_s), "");
    assert_eq!(refused.status, 404);
    assert!(refused.text().contains("--web.enable-admin-api"));
    assert_eq!(lines(&kymo), ["bob came"]);
}

const RULES: &str = "/loki/api/v1/rules";
const GROUP: &str = "\
name: shop
interval: 1s
rules:
  - record: shop:lines:count1h
    expr: sum(count_over_time({app=\"shop\"}[1h]))
  - alert: BobCame
    expr: sum(count_over_time({app=\"shop\"} |= \"bob\" [1h])) > 0
    labels: {severity: page}
    annotations: {summary: it was bob}
";

#[test]
fn rules_are_put_evaluated_and_deleted() {
    let kymo = Kymo::start(&[]);
    let none = kymo.get(RULES);
    assert_eq!(
        (none.status, none.text().as_str()),
        (404, "no rule groups found\n")
    );
    push(&kymo, now_s() - 60, &["ann came", "bob came"]);
    let put = call(&kymo, "POST", &format!("{RULES}/mine"), GROUP);
    assert_eq!(put.status, 202, "{}", put.text());
    assert_eq!(put.json()["status"], "success");
    for (path, begins) in [
        ("", "mine:\n"),
        ("/mine", "mine:\n"),
        ("/mine/shop", "name: shop\n"),
    ] {
        let answer = kymo.get(&format!("{RULES}{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.header("content-type").unwrap().contains("yaml"));
        assert!(
            answer.text().starts_with(begins),
            "{path}: {}",
            answer.text()
        );
        assert!(answer.text().contains("shop:lines:count1h"));
    }
    // What a rule records is a metric like any other.
    wait_until("the metric of a rule", LIMIT, || {
        let answer = kymo.get("/api/v1/query?query=shop:lines:count1h").json();
        answer["data"]["result"][0]["value"][1] == "2"
    });
    wait_until("an alert of a rule", LIMIT, || {
        let answer = kymo.get("/prometheus/api/v1/alerts").json();
        answer["data"]["alerts"][0]["labels"]["alertname"] == "BobCame"
    });
    let rules = kymo.get("/prometheus/api/v1/rules?type=alert").json();
    assert_eq!(
        (&rules["errorType"], &rules["error"]),
        (&json!(""), &json!(""))
    );
    let group = &rules["data"]["groups"][0];
    assert_eq!(
        (&group["name"], &group["file"]),
        (&json!("shop"), &json!("mine"))
    );
    assert_eq!(group["rules"].as_array().unwrap().len(), 1);
    assert_eq!(group["rules"][0]["name"], "BobCame");
    let wrong = kymo.get("/prometheus/api/v1/rules?type=zz");
    assert_eq!(wrong.status, 400);
    assert_eq!(wrong.json()["error"], "not supported value \"zz\"");
    // Rules over metrics are others.
    let metrics = kymo.get("/api/v1/rules").json();
    assert_eq!(metrics["data"]["groups"], json!([]));
    let broken = call(
        &kymo,
        "POST",
        &format!("{RULES}/mine"),
        "name: x\nrules: [{alert: A, expr: '{'}]\n",
    );
    assert_eq!(broken.status, 400);
    assert!(broken.text().contains("parse error"), "{}", broken.text());
    assert_eq!(
        call(&kymo, "DELETE", &format!("{RULES}/mine/no"), "").status,
        202
    );
    assert_eq!(
        call(&kymo, "DELETE", &format!("{RULES}/mine/shop"), "").status,
        202
    );
    assert_eq!(kymo.get(&format!("{RULES}/mine/shop")).status, 404);
}
