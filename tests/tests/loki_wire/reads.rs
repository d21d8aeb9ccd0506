//! Asking: every parameter of every call that reads, and everything that may be wrong
//! with them.

use serde_json::{Value, json};

use crate::Pair;
use crate::compare::{Case, Report};

pub const V1: &str = "/loki/api/v1";
/// Where the answers differ on purpose.
const KEPT_RANGES: &[(&str, &str)] = &[
    ("accept application/vnd.google.protobuf", "answers are JSON"),
    (
        "accept application/vnd.apache.parquet",
        "there is no flag that switches it on",
    ),
];

/// Pushes the same to both, and has Loki write it down.
pub fn fill(pair: &Pair) {
    let at = |seconds: i64| pair.ns(seconds);
    let mut streams: Vec<Value> = Vec::new();
    let mut add = |labels: Value, values: Vec<Value>| {
        streams.push(json!({"stream": labels, "values": values}));
    };
    let values = |n: i64, line: &dyn Fn(i64) -> String| -> Vec<Value> {
        (0..n)
            .map(|i| json!([at(-600 + i * 10), line(i), {"trace_id": format!("t{}", i % 3)}]))
            .collect()
    };
    add(
        json!({"app": "web", "env": "prod", "pod": "web-1", "id": "17"}),
        values(40, &|i| {
            format!(
                "{{\"level\":\"info\",\"status\":{},\"user\":{{\"id\":\"u{}\"}},\"took\":\"{}ms\",\"size\":\"{}KB\",\"ok\":true}}",
                200 + i % 4,
                i % 5,
                i * 7,
                i + 1
            )
        }),
    );
    add(
        json!({"app": "web", "env": "dev", "pod": "web-2", "id": "18"}),
        values(20, &|i| {
            format!("level=warn msg=\"slow <request>\" n={i} took={}.5s", i)
        }),
    );
    add(
        json!({"app": "db", "env": "prod", "id": "19", "switch": "1"}),
        values(30, &|i| {
            format!("connection {i} from 10.0.0.{} closed", i % 7)
        }),
    );
    add(
        json!({"job": "cron", "uuid": "f47ac10b-58cc-4372-a567-0e02b2c3d479"}),
        (0..5)
            .map(|i| json!([at(-650 + i), format!("ERROR run {i}")]))
            .collect(),
    );
    let body = json!({"streams": streams}).to_string();
    let headers = [("Content-Type", "application/json")];
    for client in [pair.loki.client(), pair.kymo.client()] {
        let answer = client.call("POST", "/loki/api/v1/push", &headers, body.as_bytes());
        assert_eq!(answer.status, 204, "{answer:?}");
    }
}

/// Values that are no time.
pub const WRONG_TIMES: [&str; 18] = [
    "x",
    "1e9",
    "now",
    "now-1h",
    "2026-11-27",
    "2026-11-27 00:00:00",
    "99999999999999999999",
    "1.5.5",
    "NaN",
    "Inf",
    " 5",
    "5 ",
    "0x10",
    "1_000",
    "2026-11-27T25:00:00Z",
    "2026-11-27T00:00:00",
    "--5",
    ".",
];

/// Values that may be given for a time.
fn times(pair: &Pair) -> Vec<String> {
    let s = pair.now_s;
    let mut times: Vec<String> = vec![
        (s - 400).to_string(),
        pair.ns(-400),
        format!("{}.5", s - 400),
        format!("{}.123456", s - 400),
        (s - 400).to_string() + "000",
        (s - 400).to_string() + "000000",
    ];
    times.extend(WRONG_TIMES.map(str::to_owned));
    times.extend(
        [
            "0",
            "-5",
            "2026-11-27T00:00:00Z",
            "12345678901",
            ".5",
            "5.",
            "+5",
            "-1.5",
            "1e3.5",
        ]
        .map(str::to_owned),
    );
    times
}

pub const SELECT: &str = "{app=\"web\"}";
/// A stream alone: of several, Loki takes equal times in any order.
const ONE: &str = "{app=\"db\"}";

fn ranges(pair: &Pair) -> Vec<Case> {
    let mut cases = Vec::new();
    let range = format!("{V1}/query_range");
    let (start, end) = (pair.ns(-700), pair.ns(-100));
    for time in times(pair) {
        let given = [
            ("query", SELECT),
            ("start", time.as_str()),
            ("end", end.as_str()),
        ];
        cases.push(Case::get(&range, &given).unordered());
        let given = [
            ("query", SELECT),
            ("start", start.as_str()),
            ("end", time.as_str()),
        ];
        cases.push(Case::get(&range, &given).unordered());
        cases.push(Case::get(
            &format!("{V1}/query"),
            &[
                ("query", "sum(count_over_time({app=\"web\"}[5m]))"),
                ("time", &time),
            ],
        ));
    }
    let counted = "sum by (env) (count_over_time({app=\"web\"}[1m]))";
    let both = [("start", start.as_str()), ("end", end.as_str())];
    let mut ask = |query: &str, extra: &[(&str, &str)]| {
        let mut params = vec![("query", query)];
        params.extend(both);
        params.extend(extra);
        cases.push(Case::get(&range, &params).unordered());
        cases.push(Case::form(&range, &params).unordered());
    };
    for step in [
        "60", "1m", "1.5", "90s", "0", "-1", "x", "1h", "0.001", "1ms", "1d", "1w", "1M", "60s60s",
        "1m30s", "NaN", "Inf", "1e1", " 60", "", "1e100", "5us", "5µs",
    ] {
        ask(counted, &[("step", step)]);
        ask(SELECT, &[("step", step)]);
    }
    // Loki thins out the entries of every hour by themselves.
    for interval in ["0", "-1", "x", "-5s", ""] {
        ask(ONE, &[("interval", interval)]);
        ask(ONE, &[("interval", interval), ("direction", "forward")]);
    }
    for limit in [
        "1",
        "3",
        "0",
        "-1",
        "x",
        "1.5",
        "5000",
        "5001",
        "4294967295",
        "4294967296",
        "99999999999999999999",
        "",
        "+3",
        " 3",
        "0x3",
    ] {
        ask(SELECT, &[("limit", limit)]);
        ask(counted, &[("limit", limit)]);
    }
    for direction in [
        "forward", "FORWARD", "backward", "Backward", "up", "", "0", "1", " forward",
    ] {
        ask(ONE, &[("direction", direction), ("limit", "5")]);
    }
    for since in [
        "1h", "10m", "5", "x", "-1h", "1d", "1h30m", "1.5h", "0", "", "100y",
    ] {
        let params = [("query", SELECT), ("since", since)];
        cases.push(Case::get(&range, &params).unordered());
        let params = [("query", SELECT), ("since", since), ("end", &end)];
        cases.push(Case::get(&range, &params).unordered());
    }
    for query in [
        "",
        "{",
        "{}",
        "{app=}",
        "{app=\"web\"",
        "{app=~\"(\"}",
        "{app=~\".*\"}",
        "{app!=\"x\"}",
        "sum(",
        "1+",
        "1",
        "vector(1)",
        "rate({app=\"web\"})",
        "{app=\"web\"} | json | x",
        "{app=\"web\"} | unwrap x",
        "sum(rate({app=\"web\"}[5m])) by",
        "count_over_time({app=\"web\"}[0s])",
        "{app=\"web\"} |~ \"(\"",
        "{app=\"web\"} | line_format \"{{\"",
        "topk(0, rate({app=\"web\"}[1m]))",
        "{app=\"none\"}",
        "é",
        "{app=\"web\"}[5m]",
        "sum(count_over_time({app=\"none\"}[5m]))",
        "{app=\"web\"} | regexp \"x\"",
        "{app=\"web\"} | pattern \"x\"",
        "{a=\"b\",}",
        "'x'",
    ] {
        for path in ["query_range", "query"] {
            let params = [
                ("query", query),
                ("start", start.as_str()),
                ("end", end.as_str()),
                ("time", end.as_str()),
                ("step", "60"),
            ];
            cases.push(Case::get(&format!("{V1}/{path}"), &params).unordered());
        }
    }
    let (day, years) = (pair.ns(-800 * 3600), pair.ns(-3 * 365 * 86_400));
    for (start, end) in [
        (&end, &start),
        (&end, &end),
        (&day, &end),
        (&years, &end),
        (&start, &years),
    ] {
        for query in [SELECT, counted] {
            let params = [
                ("query", query),
                ("start", start.as_str()),
                ("end", end.as_str()),
            ];
            cases.push(Case::get(&range, &params).unordered().named("odd range"));
        }
    }
    for flags in [
        "categorize-labels",
        "categorize-labels,x",
        "x",
        "",
        "CATEGORIZE-LABELS",
        " categorize-labels",
        "x, categorize-labels",
    ] {
        let params = [
            ("query", SELECT),
            ("start", start.as_str()),
            ("end", end.as_str()),
            ("limit", "4"),
        ];
        for query in [
            SELECT,
            "{app=\"web\"} | json",
            "{app=\"web\"} | logfmt",
            counted,
        ] {
            let mut params = params;
            params[0] = ("query", query);
            let case = Case::get(&range, &params)
                .unordered()
                .named(&format!("flags {flags}"));
            cases.push(case.header("X-Loki-Response-Encoding-Flags", flags));
        }
    }
    for accept in [
        "application/json",
        "*/*",
        "text/html",
        "application/vnd.apache.parquet",
        "application/vnd.google.protobuf",
        "text/plain",
    ] {
        let params = [
            ("query", SELECT),
            ("start", start.as_str()),
            ("end", end.as_str()),
            ("limit", "4"),
        ];
        let case = Case::get(&range, &params)
            .unordered()
            .named(&format!("accept {accept}"));
        cases.push(case.header("Accept", accept));
    }
    cases.push(Case::get(
        &format!("{V1}/query"),
        &[("query", "vector(1)+vector(1)"), ("time", "4000000000")],
    ));
    cases.push(Case::get(&format!("{V1}/query"), &[("query", SELECT)]));
    cases.push(Case::get(
        &format!("{V1}/query"),
        &[("query", "vector(1)"), ("limit", "0")],
    ));
    cases.push(Case::get(
        &format!("{V1}/query"),
        &[("query", "vector(1)"), ("limit", "x")],
    ));
    cases.push(Case::get(
        &format!("{V1}/query"),
        &[("query", "vector(1)"), ("direction", "up")],
    ));
    cases.push(Case::form(
        &format!("{V1}/query"),
        &[("query", "vector(1)"), ("time", "4000000000")],
    ));
    // Parameters in the address and in the form, and several times.
    let mut mixed = Case::form(
        &format!("{range}?query=%7Bapp%3D%22db%22%7D"),
        &[
            ("query", SELECT),
            ("start", &start),
            ("end", &end),
            ("limit", "2"),
        ],
    );
    cases.push(mixed.clone().unordered());
    mixed.headers.clear();
    cases.push(mixed.named("no form"));
    let twice = [
        ("query", SELECT),
        ("query", "{app=\"db\"}"),
        ("start", start.as_str()),
        ("end", end.as_str()),
        ("limit", "2"),
        ("limit", "3"),
    ];
    cases.push(Case::get(&range, &twice).unordered().named("twice"));
    cases.push(Case::new("GET", &format!("{range}?query=%zz&start=1")).named("bad escape"));
    cases.push(Case::new("GET", &format!("{range}?query=a;b")).named("semicolon"));
    cases.push(Case::send(
        "json body",
        &range,
        "application/json",
        b"{\"query\":\"{app=\\\"web\\\"}\"}",
    ));
    cases
}

fn labels(pair: &Pair) -> Vec<Case> {
    let mut cases = Vec::new();
    let (start, end) = (pair.ns(-8000), pair.ns(100));
    let both = [("start", start.as_str()), ("end", end.as_str())];
    let paths = [
        "labels",
        "label",
        "label/app/values",
        "label/none/values",
        "label/pod/values",
    ];
    for path in paths {
        let path = format!("{V1}/{path}");
        cases.push(Case::get(&path, &[]));
        cases.push(Case::get(&path, &both));
        cases.push(Case::form(&path, &both));
        for query in [
            SELECT,
            "{app=~\"w.*\"}",
            "{app=\"none\"}",
            "{}",
            "{",
            "x",
            "{app=\"web\"} |= \"x\"",
            "{app=\"web\"} | json",
            "sum(rate({app=\"web\"}[1m]))",
            "{app=~\".*\"}",
            "{app=\"\"}",
            "{app!=\"web\"}",
            "{env=\"prod\",app=\"web\"}",
            " {app=\"web\"} ",
            "\"\"",
            "1",
        ] {
            cases.push(Case::get(&path, &[("query", query), both[0], both[1]]).unordered());
        }
        for time in WRONG_TIMES {
            cases.push(Case::get(&path, &[("start", time)]));
            cases.push(Case::get(&path, &[both[0], ("end", time)]));
        }
        for since in ["3h", "x", "1d", "-1h"] {
            cases.push(Case::get(&path, &[("since", since)]));
            cases.push(Case::get(&path, &[("since", since), both[1]]));
        }
    }
    for name in [
        "a%2Fb",
        "a%20b",
        "%7B",
        "é",
        "a.b",
        "1",
        "__name__",
        "service_name",
        "detected_level",
        "trace_id",
    ] {
        cases.push(Case::get(&format!("{V1}/label/{name}/values"), &both));
    }
    for path in [
        "label/app",
        "label/app/value",
        "labels/",
        "labels/app/values",
        "label/app/values/",
    ] {
        cases.push(Case::get(&format!("{V1}/{path}"), &both));
    }
    let series = format!("{V1}/series");
    for matchers in [
        vec![],
        vec!["{}"],
        vec![SELECT],
        vec![SELECT, "{app=\"db\"}"],
        vec!["{app=\"web\",env=\"prod\"}", SELECT],
        vec!["{"],
        vec![SELECT, "{"],
        vec![""],
        vec!["", SELECT],
        vec!["{app=~\".*\"}"],
        vec!["{app=\"\"}"],
        vec!["{app=\"web\"} |= \"x\""],
        vec!["rate({app=\"web\"}[1m])"],
        vec!["x"],
        vec!["{app=\"none\"}"],
        vec!["{app!=\"web\"}"],
        vec!["{}", SELECT],
        vec!["web"],
    ] {
        for name in ["match[]", "match"] {
            let mut params = both.to_vec();
            params.extend(matchers.iter().map(|text| (name, *text)));
            cases.push(Case::get(&series, &params).unordered());
            cases.push(Case::form(&series, &params).unordered());
        }
    }
    for time in WRONG_TIMES {
        cases.push(Case::get(&series, &[("match[]", SELECT), ("start", time)]).unordered());
        cases.push(Case::get(&series, &[("match[]", SELECT), both[0], ("end", time)]).unordered());
    }
    cases.push(Case::get(&series, &[("match[]", SELECT), ("since", "3h")]).unordered());
    cases.push(
        Case::get(
            &series,
            &[
                ("match[]", SELECT),
                ("query", "{app=\"db\"}"),
                both[0],
                both[1],
            ],
        )
        .unordered(),
    );
    cases.push(
        Case::get(
            &series,
            &[("match[]", SELECT), ("limit", "1"), both[0], both[1]],
        )
        .unordered(),
    );
    cases
}

pub fn check(part: impl Fn(&Pair) -> Vec<Case>, kept: &[(&str, &str)]) {
    let Some(pair) = Pair::start(&[]) else {
        return;
    };
    fill(&pair);
    pair.loki.flush();
    let mut report = Report::default();
    report.ask(pair.loki.client(), pair.kymo.client(), &part(&pair));
    report.check(kept);
}

#[test]
fn ranges_are_asked_for_as_of_loki() {
    check(ranges, KEPT_RANGES);
}

#[test]
fn labels_and_series_are_those_of_loki() {
    check(labels, &[]);
}
