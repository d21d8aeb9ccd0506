//! What clients change: rules and deletions.

use crate::Pair;
use crate::compare::{Case, Report};

const KEPT_RULES: &[(&str, &str)] = &[
    (
        "rules ns name: g
rules:
- record: a
  expr: '{a=",
        "an expression without numbers is a mistake",
    ),
    (
        "rules ns name: g
rules:
- record: 'a b'",
        "names may be any UTF-8",
    ),
    (
        "rules ns name: g
rules:
- alert: a
  expr: vector(1)
  labels: {'a b'",
        "names may be any UTF-8",
    ),
    (
        "rules ns name: g
unknown",
        "keys that are not known are mistakes",
    ),
    (
        "rules ns name: g
rules:
- record: a
  expr: vector(1)
  unknown",
        "keys that are not known are mistakes",
    ),
    ("rules ns groups:", "keys that are not known are mistakes"),
];
const KEPT_DELETIONS: &[(&str, &str)] = &[
    (
        "delete: GET /loki/api/v1/delete query={}&",
        "all is not deleted by a slip",
    ),
    (
        "delete: GET /loki/api/v1/delete query={app=~\".*\"}&",
        "all is not deleted by a slip",
    ),
    ("delete: POST", "parameters may stand in a form"),
    (
        "cancel: GET /loki/api/v1/delete request_id=",
        "a request has an id",
    ),
    (
        "GET /loki/api/v1/cache/generation_numbers",
        "there are no caches to tell",
    ),
];
const RULES: &str = "/loki/api/v1/rules";
const YAML: &str = "application/yaml";
/// A group with texts of several lines and texts that need quotes.
const LINES: &str = r##"name: g
rules:
- alert: many
  expr: |-
    sum by (app) (
      rate({app=~"a|b"} |= `error` [5m])

    ) > 0.5
  labels: {a: "1", b: "yes", c: '#x', d: "p\nq\n\n", e: "p \nq", f: "\tp", g: ' p', h: "a: b"}
  annotations:
    summary: |
      one
        two
    other: ""
    third: "p\r\nq"
    fourth: "p\tq\nr"
"##;

fn rules() -> Vec<Case> {
    let get = |path: &str| Case::new("GET", path);
    let put = |namespace: &str, body: &str| {
        Case::send(
            &format!("rules {namespace} {body}"),
            &format!("{RULES}/{namespace}"),
            YAML,
            body.as_bytes(),
        )
        .part()
    };
    let mut cases = vec![
        get(RULES),
        get(&format!("{RULES}/none")),
        get(&format!("{RULES}/none/g")),
        Case::new("DELETE", &format!("{RULES}/none")),
        Case::new("DELETE", &format!("{RULES}/none/g")),
        get("/prometheus/api/v1/rules"),
        get("/prometheus/api/v1/alerts"),
    ];
    for body in [
        "",
        "x",
        "{",
        "[]",
        "- a",
        "name:",
        "name: g",
        "name: g\nrules: []",
        "name: \"\"\nrules:\n- record: a\n  expr: '1'",
        "rules:\n- record: a\n  expr: vector(1)",
        "name: g\nrules:\n- record: a",
        "name: g\nrules:\n- expr: vector(1)",
        "name: g\nrules:\n- record: a\n  alert: b\n  expr: vector(1)",
        "name: g\nrules:\n- record: a\n  expr: '{'",
        "name: g\nrules:\n- record: a\n  expr: '{a=\"b\"}'",
        "name: g\nrules:\n- record: 'a b'\n  expr: vector(1)",
        "name: g\nrules:\n- record: a\n  expr: vector(1)\n  for: 5m",
        "name: g\nrules:\n- record: a\n  expr: vector(1)\n  annotations: {x: y}",
        "name: g\nrules:\n- alert: a\n  expr: vector(1)\n  for: x",
        "name: g\nrules:\n- alert: a\n  expr: vector(1)\n  labels: {'a b': c}",
        "name: g\nrules:\n- alert: a\n  expr: vector(1)\n  annotations: {x: '{{'}",
        "name: g\nunknown: 1\nrules:\n- record: a\n  expr: vector(1)",
        "name: g\nrules:\n- record: a\n  expr: vector(1)\n  unknown: 1",
        "name: g\ninterval: x\nrules:\n- record: a\n  expr: vector(1)",
        "name: g\ninterval: 1m\nlimit: 3\nrules:\n- alert: high\n  expr: sum(rate({app=\"web\"}[1m])) > 1000\n  for: 5m\n  keep_firing_for: 1m\n  labels: {severity: page}\n  annotations: {summary: 'too {{ $value }}'}\n- record: web:rate\n  expr: sum by (env) (rate({app=\"web\"}[1m]))\n  labels: {from: logs}",
        "name: 'g 2'\nrules:\n- record: a\n  expr: vector(1)",
        "name: g\nname: h\nrules: []",
        "groups:\n- name: g\n  rules: []",
        "name: g\nrules:\n- record: a\n  expr: 5",
        "name: g\nrules:\n- alert: a\n  expr: vector(1)\n  labels: {__name__: c}",
    ] {
        cases.push(put("ns", body));
    }
    cases.extend([
        get(RULES),
        get(&format!("{RULES}/ns")),
        get(&format!("{RULES}/ns/g")),
        get(&format!("{RULES}/ns/none")),
        get(RULES),
        get("/api/prom/rules"),
        get("/api/prom/rules/ns"),
        get("/api/prom/rules/ns/g"),
        put("ns", "name: g\nrules:\n- record: b\n  expr: vector(2)"),
        get(&format!("{RULES}/ns/g")),
        put("ns", LINES),
        get(&format!("{RULES}/ns/g")),
        get(RULES),
        Case::new("PUT", &format!("{RULES}/ns")),
        Case::new("DELETE", &format!("{RULES}/ns/none")),
        Case::new("DELETE", &format!("{RULES}/ns/g")),
        Case::new("DELETE", &format!("{RULES}/ns/g")),
        get(&format!("{RULES}/ns")),
        Case::new("DELETE", &format!("{RULES}/ns")),
        Case::new("DELETE", &format!("{RULES}/ns")),
        get(&format!("{RULES}/ns")),
        get(RULES),
        Case::get("/prometheus/api/v1/rules", &[("type", "x")]),
        Case::get("/prometheus/api/v1/rules", &[("type", "alert")]),
    ]);
    cases
}

fn deletions(pair: &Pair) -> Vec<Case> {
    const DELETE: &str = "/loki/api/v1/delete";
    let s = pair.now_s;
    let (start, end) = ((s - 3600).to_string(), (s - 60).to_string());
    let mut cases = vec![Case::new("GET", DELETE)];
    let mut ask = |params: &[(&str, &str)]| {
        let mut case = Case::get(DELETE, params);
        case.method = "POST";
        cases.push(case.named("delete"));
    };
    for query in [
        "",
        "x",
        "{",
        "{}",
        "{app=~\".*\"}",
        "{app=\"web\"} | json",
        "sum(rate({app=\"web\"}[1m]))",
        "{app=\"web\"} |= \"x\"",
        "{app=\"web\"} | json | x=\"y\"",
        "{app=\"web\"} | line_format \"x\"",
        "{app=\"web\"} | trace_id=\"t1\"",
        "{app=\"web\"} | logfmt | n > 3",
    ] {
        ask(&[("query", query), ("start", &start), ("end", &end)]);
    }
    let select = ("query", "{app=\"none\"}");
    ask(&[select]);
    for time in [
        start.clone(),
        pair.ns(-3600),
        format!("{start}.5"),
        format!("{start}000"),
        "0".to_owned(),
        "-5".to_owned(),
        "x".to_owned(),
        "1e9".to_owned(),
        "2026-11-26T00:00:00Z".to_owned(),
        "2026-11-26".to_owned(),
        "2026-11-26T00:00:00.5+01:00".to_owned(),
        (s + 3600).to_string(),
        "now".to_owned(),
        String::new(),
        "12345678901".to_owned(),
    ] {
        ask(&[select, ("start", &time), ("end", &end)]);
        ask(&[select, ("start", &start), ("end", &time)]);
    }
    for interval in ["1h", "x", "0", "-1h", "1d", "48h", "1.5h"] {
        ask(&[
            select,
            ("start", &start),
            ("end", &end),
            ("max_interval", interval),
        ]);
    }
    ask(&[select, ("start", &start), ("end", &end), ("unknown", "1")]);
    cases.push(Case::form(DELETE, &[select, ("start", &start), ("end", &end)]).named("delete"));
    for id in ["", "x", "00000000", "zz", "123456789012"] {
        let mut case = Case::get(DELETE, &[("request_id", id)]);
        case.method = "DELETE";
        cases.push(case.named("cancel"));
    }
    cases.push(Case::new("DELETE", DELETE).named("cancel"));
    cases.push(Case::new("PATCH", DELETE));
    cases.push(Case::new("GET", "/loki/api/v1/cache/generation_numbers"));
    cases
}

#[test]
fn rules_are_changed_as_those_of_loki() {
    let Some(pair) = Pair::start(&[]) else {
        return;
    };
    let mut report = Report::default();
    report.ask(pair.loki.client(), pair.kymo.client(), &rules());
    report.check(KEPT_RULES);
}

#[test]
fn deletions_are_asked_for_as_of_loki() {
    let Some(pair) = Pair::start(&[]) else {
        return;
    };
    let mut report = Report::default();
    report.ask(pair.loki.client(), pair.kymo.client(), &deletions(&pair));
    report.check(KEPT_DELETIONS);
}
