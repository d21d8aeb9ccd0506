//! Calls of the API beside queries: search, notices, features, where views are.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Kymo, WriteBody, wait_until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn lines(kymo: &Kymo, target: &str) -> Vec<Value> {
    let answer = kymo.get(target);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-ndjson; charset=utf-8")
    );
    let text = answer.text();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn names_and_values_are_searched_where_that_is_switched_on() {
    let kymo = Kymo::start(&["--enable-feature=search-api", "--web.search.max-limit=50"]);
    let t_ms = now_ms();
    let mut body = WriteBody::new();
    for name in [
        "http_requests_total",
        "http_errors_total",
        "disk_reads_total",
    ] {
        for host in ["alpha", "beta"] {
            body.push_series(&[("__name__", name), ("host", host)], &[(t_ms, 1.0)]);
        }
    }
    assert_eq!(kymo.write(&body).status, 204);
    let names = |found: &[&str]| -> Value {
        let found: Vec<Value> = found.iter().map(|name| json!({ "name": name })).collect();
        json!({ "results": found })
    };
    let end = |has_more: bool| json!({"status": "success", "has_more": has_more});
    assert_eq!(
        lines(
            &kymo,
            "/api/v1/search/metric_names?search[]=http&batch_size=1"
        ),
        [
            names(&["http_errors_total"]),
            names(&["http_requests_total"]),
            end(false)
        ]
    );
    assert_eq!(
        lines(
            &kymo,
            "/api/v1/search/metric_names?sort_by=alpha&sort_dir=dsc&limit=2"
        ),
        [
            names(&["http_requests_total", "http_errors_total"]),
            end(true)
        ]
    );
    assert_eq!(
        lines(&kymo, "/api/v1/search/metric_names?search[]=nosuchthing"),
        [json!({"results": []}), end(false)]
    );
    assert_eq!(
        lines(&kymo, "/api/v1/search/label_names?match[]=disk_reads_total"),
        [names(&["__name__", "host"]), end(false)]
    );
    let scored = "/api/v1/search/label_values?label=host&search[]=BET&case_sensitive=false\
                  &include_score=true&sort_by=score";
    assert_eq!(
        lines(&kymo, scored),
        [
            json!({"results": [{"value": "beta", "score": 1.0}]}),
            end(false)
        ]
    );
    for (target, text) in [
        ("label_values", "missing required parameter \"label\""),
        (
            "label_names?limit=51",
            "limit 51 exceeds the configured maximum (50, see --web.search.max-limit)",
        ),
        (
            "label_names?limit=0",
            "invalid limit \"0\": must be a positive integer",
        ),
        (
            "label_names?fuzz_threshold=101",
            "invalid fuzz_threshold \"101\": must be 0-100",
        ),
        (
            "label_names?fuzz_alg=x",
            "unsupported fuzz_alg \"x\": must be one of [subsequence jarowinkler]",
        ),
        (
            "label_names?sort_dir=asc",
            "sort_dir is only valid when sort_by is set",
        ),
        (
            "label_names?sort_by=size",
            "invalid sort_by \"size\" for label_names: must be \"alpha\" or \"score\"",
        ),
        (
            "label_names?sort_by=score",
            "sort_by=score requires search[] to be set",
        ),
        (
            "label_names?start=5&end=4",
            "end timestamp must not be before start timestamp",
        ),
        (
            "label_names?start=x",
            "invalid time value for 'start': cannot parse \"x\" to a valid timestamp",
        ),
    ] {
        let answer = kymo.get(&format!("/api/v1/search/{target}"));
        let expected = json!({"status": "error", "errorType": "bad_data", "error": text});
        assert_eq!((answer.status, answer.json()), (400, expected), "{target}");
    }
}

/// Reads a stream of events until it holds a text, or ends.
fn until(stream: &mut TcpStream, wanted: &str, heard: &mut String) {
    let mut bytes = [0; 4096];
    while !heard.contains(wanted) {
        let n = stream.read(&mut bytes).unwrap();
        assert_ne!(n, 0, "the stream ended: {heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..n]));
    }
}

#[test]
fn listeners_hear_of_a_reload_that_failed_and_of_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kymo.yml");
    std::fs::write(&file, "").unwrap();
    let kymo = Kymo::start_in(
        dir.path(),
        &[
            "--config.file=kymo.yml",
            "--web.enable-lifecycle",
            "--web.max-notifications-subscribers=1",
        ],
    );
    let listing = || kymo.get("/api/v1/notifications").json()["data"].clone();
    assert_eq!(listing(), json!([]));
    let mut stream = TcpStream::connect(kymo.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
        .write_all(b"GET /api/v1/notifications/live HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut heard = String::new();
    until(&mut stream, "\r\n\r\n", &mut heard);
    assert!(heard.contains("content-type: text/event-stream"), "{heard}");
    // One listener is as many as there may be.
    assert_eq!(kymo.get("/api/v1/notifications/live").status, 204);
    let reload = || kymo.client().call("POST", "/-/reload", &[], b"");
    std::fs::write(&file, "nosuch: true\n").unwrap();
    assert_eq!(reload().status, 500);
    let failed = "Configuration reload has failed.";
    until(&mut stream, "\"active\":true}\n\n", &mut heard);
    assert!(
        heard.contains(&format!("data: {{\"text\":\"{failed}\",\"date\":")),
        "{heard}"
    );
    assert_eq!(listing()[0]["text"], failed);
    std::fs::write(&file, "").unwrap();
    assert_eq!(reload().status, 200);
    until(&mut stream, "\"active\":false}\n\n", &mut heard);
    assert_eq!(listing(), json!([]));
    let metrics = kymo.get("/metrics").text();
    assert!(metrics.contains("\nprometheus_api_notification_active_subscribers 1\n"));
    kymo.client().call("POST", "/-/quit", &[], b"");
    until(&mut stream, "shutting down", &mut heard);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
}

#[test]
fn views_are_where_prometheus_has_its_pages_also_behind_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = Kymo::spawn_in(dir.path(), &["--web.external-url=http://kymo.test/pre"]);
    wait_until("the server is ready", LIMIT, || {
        kymo.get("/pre/-/ready").status == 200
    });
    for (path, status, location) in [
        ("/", 302, Some("/pre")),
        ("/pre", 301, Some("/pre/")),
        ("/pre/", 302, Some("/pre/query")),
        ("/pre/overview", 200, None),
        ("/pre/graph?g0.expr=up", 302, Some("/pre/query?g0.expr=up")),
        ("/pre/tsdb-status", 302, Some("/pre/cardinality?")),
        ("/pre/query", 200, None),
        ("/pre/targets", 200, None),
        ("/pre/query/more", 404, None),
        ("/pre/assets/no-such.js", 404, None),
        ("/query", 404, None),
        ("/pre/consoles/x.html", 404, None),
        ("/pre/debug/pprof/heap", 404, None),
        ("/pre/api/v1/nosuch", 404, None),
    ] {
        let answer = kymo.get(path);
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, location),
            "{path}"
        );
    }
    let head = kymo.client().call("HEAD", "/pre/federate", &[], b"");
    assert_eq!(
        (head.status, head.header("allow")),
        (405, Some("GET, OPTIONS"))
    );
}

#[test]
fn the_server_tells_what_it_can_do_and_how_it_is() {
    let kymo = Kymo::start(&[
        "--web.enable-admin-api",
        "--enable-feature=exemplar-storage",
    ]);
    let features = kymo.get("/api/v1/features").json()["data"].take();
    assert_eq!(features["api"]["admin"], true);
    assert_eq!(features["api"]["lifecycle"], false);
    assert_eq!(features["tsdb"]["exemplar_storage"], true);
    assert_eq!(features["promql_functions"]["rate"], true);
    assert_eq!(features["promql_functions"]["mad_over_time"], false);
    assert_eq!(features["promql_operators"]["</"], true);
    let metrics = |pattern: &str| {
        let target = format!("/api/v1/status/self_metrics?metric_name_pattern={pattern}");
        kymo.get(&target).json()["data"].take()
    };
    let ready = json!([{
        "name": "prometheus_ready",
        "help": "Whether Prometheus startup was fully completed and the server is ready for \
                 normal operation.",
        "type": "GAUGE",
        "metric": [{"gauge": {"value": 1}}],
    }]);
    assert_eq!(metrics("prometheus_ready"), ready);
    assert_eq!(metrics("nosuch"), json!([]));
    wait_until("a call is counted", LIMIT, || {
        let counted = metrics("prometheus_http_requests_total");
        let listed = counted[0]["metric"].as_array().unwrap();
        listed
            .iter()
            .any(|m| m["label"][0]["value"] == "/api/v1/features")
    });
    let document = kymo.get("/api/v1/openapi.yaml?openapi_version=3.2");
    assert_eq!(
        document.header("content-type"),
        Some("application/yaml; charset=utf-8")
    );
    assert!(document.text().starts_with("openapi: \"3.2.0\"\n"));
    assert!(document.text().contains("/notifications/live"));
}
