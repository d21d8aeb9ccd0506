//! What Grafana asks of a Loki data source, check by check, against the real server.
//!
//! The ids are those of the written contract: L for Loki. Checks about following logs (L-55
//! to L-59) stand in `log_tail.rs`.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::time::{SystemTime, UNIX_EPOCH};

use kymo_tests::{Answer, Kymo};
use serde_json::{Value, json};

const NS: i64 = 1_000_000_000;
const CATEGORIZE: (&str, &str) = ("X-Loki-Response-Encoding-Flags", "categorize-labels");

/// A server with an hour of logs, which ends at a whole minute.
struct Recorded {
    kymo: Kymo,
    end_s: i64,
}

impl Recorded {
    fn new() -> Recorded {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let end_s = now.as_secs() as i64 / 60 * 60;
        let kymo = Kymo::start(&[]);
        let at = |i: i64| ((end_s - 3600 + i * 60) * NS).to_string();
        let shop = |i: i64| {
            let (status, level) = if i % 10 == 0 {
                (500, "error")
            } else {
                (200, "info")
            };
            let line = json!({
                "level": level, "msg": format!("order {i} <done>"), "status": status,
                "took": format!("{i}ms"), "size": "2KB", "user": {"id": i % 4, "vip": true},
            });
            json!([at(i), line.to_string(), {"trace_id": format!("trace-{i}")}])
        };
        let gate = |i: i64| json!([at(i), format!("level=warn path=/x/{i} duration={i}ms")]);
        let disk = |i: i64| json!([at(i), format!("ERROR disk {i} is full again")]);
        let streams = json!({"streams": [
            {"stream": {"app": "shop", "env": "prod", "pod": "shop-0"},
             "values": (0..60).map(shop).collect::<Vec<_>>()},
            {"stream": {"container": "gate", "env": "prod", "shard": "7"},
             "values": (0..60).map(gate).collect::<Vec<_>>()},
            {"stream": {"env": "dev"}, "values": (0..60).map(disk).collect::<Vec<_>>()},
        ]});
        let headers = [("Content-Type", "application/json")];
        let body = streams.to_string();
        let client = kymo.client();
        let answer = client.call("POST", "/loki/api/v1/push", &headers, body.as_bytes());
        assert_eq!(answer.status, 204, "{}", answer.text());
        Recorded { kymo, end_s }
    }

    fn ask(&self, path: &str, params: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let target = format!("/loki/api/v1/{path}?{}", encoded(params));
        self.kymo.client().call("GET", &target, headers, b"")
    }

    fn json(&self, path: &str, params: &[(&str, &str)]) -> Value {
        let answer = self.ask(path, params, &[]);
        assert_eq!(answer.status, 200, "{path} {params:?}: {}", answer.text());
        let content_type = answer.header("content-type").unwrap();
        assert!(content_type.contains("json"), "{content_type}");
        answer.json()
    }

    /// Asks about the whole hour, with times in nanoseconds.
    fn hour(&self, path: &str, params: &[(&str, &str)]) -> Value {
        let (start, end) = self.times();
        let mut all = vec![("start", start.as_str()), ("end", end.as_str())];
        all.extend_from_slice(params);
        self.json(path, &all)
    }

    /// Start and end of the hour in nanoseconds.
    fn times(&self) -> (String, String) {
        let start_s = self.end_s - 3600;
        ((start_s * NS).to_string(), (self.end_s * NS).to_string())
    }

    /// The entries of a log query over the hour, as Explore asks.
    fn entries(&self, query: &str) -> Vec<Value> {
        let params = [("query", query), ("step", "14000ms"), ("limit", "1000")];
        let answer = self.hour("query_range", &params);
        let streams = answer["data"]["result"].as_array().unwrap().clone();
        let values = |stream: &Value| stream["values"].as_array().unwrap().clone();
        streams.iter().flat_map(values).collect()
    }

    /// The result of a metric query over the hour.
    fn matrix(&self, query: &str) -> Vec<Value> {
        let answer = self.hour("query_range", &[("query", query), ("step", "60000ms")]);
        assert_eq!(answer["data"]["resultType"], "matrix", "{query}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    fn error(&self, path: &str, params: &[(&str, &str)]) -> String {
        let answer = self.ask(path, params, &[]);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        let content_type = answer.header("content-type");
        assert_eq!(content_type, Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        answer.text()
    }
}

fn encoded(params: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let pair = |(name, value): &(&str, &str)| format!("{}={}", escape(name), escape(value));
    let pairs: Vec<String> = params.iter().map(pair).collect();
    pairs.join("&")
}

#[test]
fn health_l01_to_l03() {
    let kymo = Kymo::start(&[]);
    let target =
        "/loki/api/v1/query?direction=backward&query=vector(1)%2Bvector(1)&time=4000000000";
    let answer = kymo.get(target);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let data = &answer.json()["data"];
    assert_eq!(data["resultType"], "vector");
    assert_eq!(data["result"].as_array().unwrap().len(), 1);
    assert_eq!(data["result"][0]["value"][1], "2");
    // L-03: an empty store has no labels, and says so.
    for (path, expected) in [
        ("labels", json!({"status": "success", "data": []})),
        ("label", json!({"status": "success", "data": []})),
        ("label/app/values", json!({"status": "success", "data": []})),
        ("series", json!({"status": "success", "data": []})),
        ("detected_labels", json!({"detectedLabels": []})),
    ] {
        let answer = kymo.get(&format!("/loki/api/v1/{path}"));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), expected, "{path}");
    }
}

#[test]
fn queries_l10_to_l15_and_l19_to_l21() {
    let logs = Recorded::new();
    let (start, end) = logs.times();
    // L-10, L-12, L-14: as Explore asks.
    let params = [
        ("query", r#"{app="shop"}"#),
        ("start", &start),
        ("end", &end),
        ("step", "14000ms"),
        ("direction", "backward"),
        ("limit", "10"),
    ];
    let answer = logs.ask("query_range", &params, &[]);
    let text = answer.text();
    let head = r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{"#;
    assert!(text.starts_with(head), "{text}");
    assert!(
        text.ends_with("}}\n") && text.contains("\\u003cdone\\u003e"),
        "{text}"
    );
    let streams = answer.json()["data"]["result"].as_array().unwrap().clone();
    // Entries with other structured metadata are those of other streams.
    assert_eq!(streams.len(), 10);
    for stream in &streams {
        for value in stream["values"].as_array().unwrap() {
            // L-13: a pair of strings, the first of nanoseconds.
            assert_eq!(value.as_array().unwrap().len(), 2);
            assert_eq!(value[0].as_str().unwrap().len(), 19);
            assert!(value[1].is_string());
        }
        assert!(stream["stream"]["trace_id"].is_string(), "L-30");
    }
    // L-19: the newest of all, or the oldest.
    let newest = logs.hour(
        "query_range",
        &[("query", r#"{env="dev"}"#), ("limit", "2")],
    );
    let values = &newest["data"]["result"][0]["values"];
    assert!(
        values[0][1].as_str().unwrap().contains("disk 59"),
        "{values}"
    );
    assert!(
        values[1][1].as_str().unwrap().contains("disk 58"),
        "{values}"
    );
    let oldest = [
        ("query", r#"{env="dev"}"#),
        ("limit", "2"),
        ("direction", "FORWARD"),
    ];
    let values = &logs.hour("query_range", &oldest)["data"]["result"][0]["values"];
    assert!(
        values[0][1].as_str().unwrap().contains("disk 0 "),
        "{values}"
    );
    // L-20: chunks that share a border share no line.
    let border = ((logs.end_s - 1800) * NS).to_string();
    let part = |start: &str, end: &str| {
        let query = ("query", r#"{env="dev"}"#);
        let params = [query, ("start", start), ("end", end), ("limit", "1000")];
        let answer = logs.json("query_range", &params);
        answer["data"]["result"][0]["values"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(part(&start, &border) + part(&border, &end), 60);
    // L-11: numbers at one time, in the URL or a form.
    let query = r#"sum(count_over_time({env="prod"}[10m]))"#;
    let params = [
        ("query", query),
        ("time", end.as_str()),
        ("direction", "backward"),
    ];
    let in_url = logs.json("query", &params)["data"].take();
    let answer = logs.kymo.client().post_form("/loki/api/v1/query", &params);
    assert_eq!(answer.json()["data"]["result"], in_url["result"]);
    // L-15: seconds as a number, the value as a text.
    assert_eq!(in_url["resultType"], "vector");
    assert_eq!(in_url["result"][0]["value"], json!([logs.end_s, "18"]));
    // L-21: points sit on multiples of the step where the range does.
    for series in logs.matrix(query) {
        for point in series["values"].as_array().unwrap() {
            assert_eq!(point[0].as_i64().unwrap() % 60, 0);
            assert!(point[1].is_string());
        }
    }
    let wrong = logs.error("query", &[("query", r#"{app="shop"}"#)]);
    assert!(wrong.starts_with("log queries are not supported as an instant query type"));
}

#[test]
fn categories_l16_and_stats_l18() {
    let logs = Recorded::new();
    let (start, end) = logs.times();
    let params = [
        ("query", r#"{app="shop"} | json status"#),
        ("start", &start),
        ("end", &end),
    ];
    let answer = logs.ask("query_range", &params, &[CATEGORIZE]);
    let text = answer.text();
    let head = concat!(
        r#"{"status":"success","data":{"resultType":"streams","#,
        r#""encodingFlags":["categorize-labels"],"result":[{"stream":{"app":"shop","#,
        r#""env":"prod","pod":"shop-0","service_name":"shop"},"values":[["#,
    );
    assert!(text.starts_with(head), "{text}");
    let data = &answer.json()["data"];
    let streams = data["result"].as_array().unwrap();
    assert_eq!(streams.len(), 1);
    let values = streams[0]["values"].as_array().unwrap();
    assert_eq!(values.len(), 60);
    let own = &values[0][2];
    assert_eq!(own["structuredMetadata"]["trace_id"], "trace-59");
    assert_eq!(own["structuredMetadata"]["detected_level"], "info");
    assert_eq!(own["parsed"], json!({"status": "200"}));
    assert!(text.find("\"stats\"").unwrap() > text.find("\"result\"").unwrap());
    let stats = &data["stats"];
    let summary = &stats["summary"];
    assert_eq!(summary["totalLinesProcessed"], 60);
    assert_eq!(summary["totalEntriesReturned"], 60);
    for name in [
        "bytesProcessedPerSecond",
        "linesProcessedPerSecond",
        "execTime",
    ] {
        assert!(summary[name].as_f64().unwrap() > 0.0, "{name}: {summary}");
    }
    assert!(summary["totalBytesProcessed"].as_u64().unwrap() > 6000);
    for name in ["querier", "ingester", "cache", "index"] {
        assert!(stats[name].is_object(), "{name}");
    }
    // The third member is there for a line that has nothing of its own, too.
    let bare = [
        ("query", r#"{env="dev"} | keep env"#),
        ("start", &start),
        ("end", &end),
    ];
    let answer = logs.ask("query_range", &bare, &[CATEGORIZE]);
    assert_eq!(
        answer.json()["data"]["result"][0]["values"][0][2],
        json!({})
    );
}

#[test]
fn errors_l17_say_what_is_wrong() {
    let logs = Recorded::new();
    let shop = ("query", r#"{app="shop"}"#);
    for (params, expected) in [
        (
            vec![("query", "{app=")],
            "parse error at line 1, col 6: syntax error",
        ),
        (
            vec![("query", "{}")],
            "parse error : queries require at least one regexp",
        ),
        (vec![shop, ("limit", "0")], "limit must be a positive value"),
        (
            vec![shop, ("limit", "6000")],
            "max entries limit per query exceeded, limit > \
            max_entries_limit_per_query (6000 > 5000)",
        ),
        (vec![shop, ("direction", "up")], "invalid direction 'up'"),
        (
            vec![shop, ("start", "x")],
            "could not parse 'start' parameter: strconv.ParseInt",
        ),
        (
            vec![shop, ("start", "5"), ("end", "4")],
            "end timestamp must not be before",
        ),
        (
            vec![shop, ("step", "0")],
            "zero or negative query resolution step widths",
        ),
        (
            vec![shop, ("start", "1"), ("end", "1700000000")],
            "the query time range exceeds",
        ),
        (
            vec![shop, ("step", "10ms")],
            "exceeded maximum resolution of 11,000 points",
        ),
    ] {
        let text = logs.error("query_range", &params);
        assert!(text.starts_with(expected), "{params:?}: {text}");
    }
    let unwrapped = [(
        "query",
        r#"sum_over_time({app="shop"} | json | unwrap msg [1m])"#,
    )];
    let text = logs.error("query_range", &unwrapped);
    assert!(
        text.starts_with("pipeline error: 'SampleExtractionErr' for series: '{"),
        "{text}"
    );
    let only = "only label matchers are supported";
    assert!(
        logs.error("labels", &[("query", "{a=\"b\"} |= \"x\"")])
            .starts_with(only)
    );
    let only = "only log selector is supported";
    let metric = [("query", "count_over_time({a=\"b\"}[1m])")];
    assert!(logs.error("detected_fields", &metric).starts_with(only));
    let wrong = [("query", "{env=\"prod\"}"), ("aggregateBy", "x")];
    assert!(
        logs.error("index/volume", &wrong)
            .starts_with("invalid aggregation option")
    );
    // L-70: what is not there is not there, and nothing else.
    let nowhere = logs.ask("nowhere", &[], &[]);
    assert_eq!(
        (nowhere.status, nowhere.text().as_str()),
        (404, "404 page not found\n")
    );
}

#[test]
fn queries_that_explore_adds_l25_to_l31() {
    let logs = Recorded::new();
    // L-25, L-29: volume by level; what has no level label is in a series without one.
    let query =
        r#"sum by (level, detected_level) (count_over_time({env=~".+"} | drop __error__[1m]))"#;
    let levels: Vec<Value> = logs
        .matrix(query)
        .iter()
        .map(|series| series["metric"].clone())
        .collect();
    let expected = ["error", "info", "warn"].map(|level| json!({"detected_level": level}));
    assert_eq!(levels, expected);
    let unnamed = logs.matrix(r#"sum by (level) (count_over_time({env=~".+"}[1m]))"#);
    assert_eq!(unnamed.len(), 1);
    assert_eq!(unnamed[0]["metric"], json!({}));
    // L-26, L-27: samples.
    for limit in ["10", "100"] {
        let params = [("query", r#"{env=~".+"}"#), ("limit", limit)];
        let answer = logs.hour("query_range", &params);
        let streams = answer["data"]["result"].as_array().unwrap().clone();
        let count: usize = streams
            .iter()
            .map(|stream| stream["values"].as_array().unwrap().len())
            .sum();
        assert_eq!(count.to_string(), limit);
    }
    // L-28: the lines around one.
    let row_ns = (logs.end_s - 1800) * NS;
    let (before, after) = (
        (row_ns - 7200 * NS).to_string(),
        (row_ns + 7200 * NS).to_string(),
    );
    let row = row_ns.to_string();
    let selector = r#"{env="dev", service_name="unknown_service"} | logfmt"#;
    let around = |direction: &str, start: &str, end: &str| {
        let params = [
            ("query", selector),
            ("direction", direction),
            ("start", start),
            ("end", end),
            ("limit", "3"),
        ];
        let answer = logs.json("query_range", &params);
        let values = answer["data"]["result"][0]["values"]
            .as_array()
            .unwrap()
            .clone();
        values
            .iter()
            .map(|value| value[1].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let line = |i: i64| format!("ERROR disk {i} is full again");
    assert_eq!(
        around("forward", &row, &after),
        [line(30), line(31), line(32)]
    );
    assert_eq!(
        around("backward", &before, &row),
        [line(29), line(28), line(27)]
    );
}

#[test]
fn metadata_l35_to_l40() {
    let logs = Recorded::new();
    let data = |path: &str, params: &[(&str, &str)]| logs.hour(path, params)["data"].take();
    let names = json!(["app", "container", "env", "pod", "service_name", "shard"]);
    assert_eq!(data("labels", &[]), names);
    let gate = [("query", r#"{container="gate"}"#)];
    assert_eq!(
        data("labels", &gate),
        json!(["container", "env", "service_name", "shard"])
    );
    assert_eq!(data("label/env/values", &[]), json!(["dev", "prod"]));
    assert_eq!(data("label/%65nv/values", &gate), json!(["prod"]));
    // L-49, and names that nobody has; structured metadata has no values here.
    for name in ["__stream_shard__", "nobody", "trace_id"] {
        assert_eq!(data(&format!("label/{name}/values"), &[]), json!([]));
    }
    let shop = json!({"app": "shop", "env": "prod", "pod": "shop-0", "service_name": "shop"});
    assert_eq!(
        data("series", &[("match[]", r#"{app="shop"}"#)]),
        json!([shop])
    );
    assert_eq!(
        data("series", &[("match", "{}")]).as_array().unwrap().len(),
        3
    );
    // L-38: bare, and of all that is stored.
    let stats = logs.hour("index/stats", &[("query", r#"{env="prod"}"#)]);
    assert_eq!(
        (&stats["streams"], &stats["entries"]),
        (&json!(2), &json!(120))
    );
    assert!(stats["bytes"].as_u64().unwrap() > 6000 && stats["chunks"].as_u64().unwrap() > 0);
    // L-39: bytes by the labels of the selector, or others; the greatest first.
    let volume = data(
        "index/volume",
        &[("query", r#"{service_name=~".+"}"#), ("limit", "5000")],
    );
    assert_eq!(volume["resultType"], "vector");
    let result = volume["result"].as_array().unwrap();
    let services: Vec<&str> = result
        .iter()
        .map(|sample| sample["metric"]["service_name"].as_str().unwrap())
        .collect();
    assert_eq!(services, ["shop", "gate", "unknown_service"], "L-65");
    assert!(
        result[0]["value"][1]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 6000
    );
    let by = [("query", r#"{env="prod"}"#), ("targetLabels", "pod")];
    assert_eq!(
        data("index/volume", &by)["result"][0]["metric"],
        json!({"pod": "shop-0"})
    );
    let by = [("query", r#"{env="dev"}"#), ("aggregateBy", "labels")];
    let names: Vec<Value> = data("index/volume", &by)["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sample| sample["metric"].clone())
        .collect();
    assert_eq!(names, [json!({"env": ""}), json!({"service_name": ""})]);
    // L-40: the same by steps.
    let steps = [("query", r#"{env="dev"}"#), ("step", "600")];
    let matrix = data("index/volume_range", &steps);
    assert_eq!(matrix["resultType"], "matrix");
    assert!(matrix["result"][0]["values"].as_array().unwrap().len() >= 6);
    let shards = logs.hour("index/shards", &[("query", r#"{env="dev"}"#)]);
    assert_eq!(shards["shards"].as_array().unwrap().len(), 1);
    assert_eq!(shards["shards"][0]["stats"]["entries"], 60);
}

#[test]
fn discovery_l41_to_l48() {
    let logs = Recorded::new();
    let shop = ("query", r#"{app="shop"}"#);
    let fields = logs.hour("detected_fields", &[shop, ("limit", "1000")]);
    assert_eq!(fields["limit"], 1000);
    let found: Vec<String> = fields["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| {
            let path = field
                .get("jsonPath")
                .map_or(String::new(), Value::to_string);
            let text = |name: &str| field[name].to_string().replace('"', "");
            format!(
                "{} {} {} {path}",
                text("label"),
                text("type"),
                text("parsers")
            )
        })
        .collect();
    let expected = [
        "detected_level string null ",
        "level string [json] [\"level\"]",
        "msg string [json] [\"msg\"]",
        "size bytes [json] [\"size\"]",
        "status int [json] [\"status\"]",
        "took duration [json] [\"took\"]",
        "trace_id string null ",
        "user_id int [json] [\"user\",\"id\"]",
        "user_vip boolean [json] [\"user\",\"vip\"]",
    ];
    assert_eq!(found, expected);
    let gate = [("query", r#"{container="gate"}"#)];
    let fields = logs.hour("detected_fields", &gate);
    let path = fields["fields"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["label"] == "path");
    assert_eq!(path.unwrap()["parsers"], json!(["logfmt"]));
    assert_eq!(path.unwrap()["cardinality"], 60);
    // L-42
    let values = |name: &str| logs.hour(&format!("detected_field/{name}/values"), &[shop]);
    assert_eq!(
        values("status"),
        json!({"values": ["200", "500"], "limit": 1000})
    );
    assert_eq!(values("size")["values"], json!(["2.0kB"]));
    assert_eq!(values("detected_level")["values"], json!(["error", "info"]));
    assert_eq!(values("nobody")["values"], json!([]));
    // L-43: the shard is but a number.
    let labels = logs.hour("detected_labels", &[("query", "")]);
    let expected = json!({"detectedLabels": [
        {"label": "app", "cardinality": 1}, {"label": "container", "cardinality": 1},
        {"label": "env", "cardinality": 2}, {"label": "pod", "cardinality": 1},
        {"label": "service_name", "cardinality": 3},
    ]});
    assert_eq!(labels, expected);
    // L-44: a pattern finds its lines.
    let patterns = logs.hour("patterns", &[("query", r#"{env="dev"}"#), ("step", "60")]);
    let pattern = &patterns["data"][0];
    assert_eq!(pattern["pattern"], "ERROR disk <_> is full again");
    assert_eq!(pattern["level"], "error");
    assert_eq!(pattern["samples"].as_array().unwrap().len(), 60);
    let again = logs.entries(r#"{env="dev"} |> "ERROR disk <_> is full again""#);
    assert_eq!(again.len(), 60);
    // L-45
    let limits = logs.json("drilldown-limits", &[]);
    assert_eq!(limits["pattern_ingester_enabled"], true);
    assert!(limits["version"].as_str().unwrap().split('.').count() == 3);
    for name in [
        "discover_service_name",
        "log_level_fields",
        "max_entries_limit_per_query",
        "max_query_length",
        "metric_aggregation_enabled",
        "pattern_persistence_enabled",
        "retention_period",
        "volume_enabled",
    ] {
        assert!(limits["limits"].get(name).is_some(), "{name}");
    }
    let yaml = logs.kymo.get("/config/tenant/v1/limits").text();
    assert!(yaml.contains("max_query_length: \"30d1h\"\n"), "{yaml}");
    // L-46, L-47
    let build = logs.json("status/buildinfo", &[]);
    for name in [
        "version",
        "revision",
        "branch",
        "buildUser",
        "buildDate",
        "goVersion",
    ] {
        assert!(build[name].is_string(), "{name}");
    }
    let query = ("query", r#"sum by(app)(rate({app="a"}|="x"[5m]))"#);
    let formatted = logs.json("format_query", &[query]);
    assert_eq!(formatted["status"], "success");
    assert!(
        formatted["data"].as_str().unwrap().contains(r#"|= "x""#),
        "{formatted}"
    );
    let broken = logs.ask("format_query", &[("query", "{")], &[]);
    assert_eq!(broken.status, 400);
    assert_eq!(broken.json()["status"], "invalid-query");
    // L-48: times may be dates.
    let dates = ["1970-01-01T00:00:00Z", "2100-01-01T00:00:00.5+01:00"];
    let params = [("start", dates[0]), ("end", dates[1])];
    assert_eq!(
        logs.json("label/env/values", &params)["data"],
        json!(["dev", "prod"])
    );
}

#[test]
fn drilldown_l65_to_l69() {
    let logs = Recorded::new();
    // L-66
    let query =
        r#"sum by (detected_level) (count_over_time({service_name="shop"} | drop __error__ [1m]))"#;
    assert_eq!(logs.matrix(query).len(), 2);
    // L-67: every stage, on lines that are none of its own, too.
    let stages = concat!(
        r#"{env=~".+"} | detected_level="error" | trace_id="" |> "<_>disk<_>" |~ "(?i)FULL" "#,
        r#"| json lvl="level", n="user.id" | logfmt | drop __error__, __error_details__ "#,
        r#"| lvl="" | line_format "{{.env}}""#,
    );
    let entries = logs.entries(stages);
    assert_eq!(entries.len(), 60);
    assert_eq!(entries[0][1], "dev");
    let chained = r#"{env="prod"} | json | logfmt | drop __error__, __error_details__"#;
    assert_eq!(logs.entries(chained).len(), 120);
    // L-68
    let patterns = r#"{env="dev"} |> "<_>disk <_>" !> "<_>disk 5<_>" !> "<_>disk 4<_>""#;
    assert_eq!(logs.entries(patterns).len(), 38);
    // L-69
    let by_user = concat!(
        r#"sum by (user_id) (count_over_time({app="shop"} | json | logfmt "#,
        r#"| drop __error__, __error_details__ | user_id!="" [1m]))"#,
    );
    assert_eq!(logs.matrix(by_user).len(), 4);
    let average =
        r#"avg_over_time({app="shop"} | json | unwrap duration(took) | __error__="" [1h]) by ()"#;
    let series = logs.matrix(average);
    assert_eq!(series.len(), 1);
    assert_eq!(series[0]["metric"], json!({}));
    let quantile = r#"quantile_over_time(0.9, {app="shop"} | json | unwrap status [5m]) by (app)"#;
    assert_eq!(logs.matrix(quantile).len(), 1);
    // L-65: its first call has a tag.
    let params = [("query", r#"{service_name=~".+"}"#), ("limit", "5000")];
    let tag = ("X-Query-Tags", "Source=grafana-lokiexplore-app");
    assert_eq!(logs.ask("index/volume", &params, &[tag]).status, 200);
}

#[test]
fn what_all_data_sources_do() {
    let logs = Recorded::new();
    let (start, end) = logs.times();
    // Compressed on demand, whatever tenant is named, with parameters nobody knows.
    let params = [
        ("query", r#"{env="dev"}"#),
        ("start", &start),
        ("end", &end),
        ("x", "y"),
    ];
    let headers = [("Accept-Encoding", "gzip"), ("X-Scope-OrgID", "somebody")];
    let answer = logs.ask("query_range", &params, &headers);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    // The calls as they were in 2018.
    let target = format!(
        "/api/prom/query?{}",
        encoded(&[params[0], params[1], params[2]])
    );
    let legacy = logs.kymo.get(&target).json();
    let stream = &legacy["streams"][0];
    let labels = r#"{detected_level="error", env="dev", service_name="unknown_service"}"#;
    assert_eq!(stream["labels"], labels);
    let first = &stream["entries"][0];
    assert!(first["ts"].as_str().unwrap().ends_with('Z') && first["line"].is_string());
    let with_regexp = format!("{target}&regexp=disk+5%24%7Cdisk+5+");
    let legacy = logs.kymo.get(&with_regexp).json();
    assert_eq!(legacy["streams"][0]["entries"].as_array().unwrap().len(), 1);
    let values = logs.kymo.get("/api/prom/label/env/values").json();
    assert_eq!(values["data"], json!(["dev", "prod"]));
    // One of them is metered under its route.
    let metrics = logs.kymo.get("/metrics").text();
    let count =
        "loki_request_duration_seconds_count{method=\"GET\",route=\"loki_api_v1_query_range\"";
    assert!(metrics.contains(count), "{metrics}");
    assert!(
        metrics.contains("kymo_log_query_entries_total "),
        "{metrics}"
    );
}
