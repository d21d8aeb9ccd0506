//! The HTTP API as clients such as Grafana use it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::Read;
use std::time::Duration;

use kymo_tests::{Kymo, WriteBody, wait_until};

const BASE_MS: i64 = 1_700_000_000_000;

fn with_series(count: usize, samples: i64) -> Kymo {
    let kymo = Kymo::start(&[]);
    let points: Vec<_> = (0..samples)
        .map(|j| (BASE_MS + j * 1000, j as f64 + 0.5))
        .collect();
    let mut body = WriteBody::new();
    for i in 0..count {
        let instance = format!("host-{i:05}");
        let labels = [
            ("__name__", "m"),
            ("instance", instance.as_str()),
            ("job", "<a&b>"),
        ];
        body.push_series(&labels, &points);
    }
    assert_eq!(kymo.write(&body).status, 204);
    kymo
}

#[test]
fn a_large_result_is_streamed_whole_plain_and_compressed() {
    let kymo = with_series(300, 300);
    let target = "/api/v1/query_range?query=m&start=1700000000&end=1700000299&step=1";
    let plain = kymo.get(target);
    assert_eq!(plain.header("transfer-encoding"), Some("chunked"));
    let json = plain.json();
    let result = json["data"]["result"].as_array().unwrap();
    assert_eq!(result.len(), 300);
    for series in result {
        let values = series["values"].as_array().unwrap();
        assert_eq!(values.len(), 300);
        assert_eq!(values[299], serde_json::json!([1_700_000_299, "299.5"]));
        assert_eq!(series["metric"]["job"], "<a&b>");
    }
    let packed = kymo
        .client()
        .call("GET", target, &[("Accept-Encoding", "gzip")], b"");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < plain.body.len() / 4);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, plain.body);
}

#[test]
fn small_results_have_a_length_and_exact_bytes() {
    let kymo = with_series(1, 2);
    let answer = kymo.get("/api/v1/query?query=m&time=1700000001.25&limit=1");
    assert_eq!(
        answer.text(),
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"m","instance":"host-00000","job":"<a&b>"},"value":[1700000001.250,"1.5"]}]}}"#
    );
    let expected = answer.body.len().to_string();
    assert_eq!(answer.header("content-length"), Some(expected.as_str()));
    let string = kymo.get("/api/v1/query?query=%22%3Ca%26b%3E%22&time=1");
    assert_eq!(
        string.text(),
        r#"{"status":"success","data":{"resultType":"string","result":[1,"\u003ca\u0026b\u003e"]}}"#
    );
    let scalar = kymo.get("/api/v1/query?query=1e-9&time=4");
    assert!(
        scalar.text().contains(r#""result":[4,"0.000000001"]"#),
        "{scalar:?}"
    );
    let values = kymo.get("/api/v1/label/job/values");
    assert_eq!(
        values.text(),
        r#"{"status":"success","data":["\u003ca\u0026b\u003e"]}"#
    );
}

#[test]
fn what_grafana_asks_first_is_answered() {
    let kymo = with_series(3, 1);
    let health = kymo
        .client()
        .post_form("/api/v1/query", &[("query", "1+1"), ("time", "4")]);
    assert_eq!(health.json()["data"]["result"][1], "2");
    for (target, path, expected) in [
        ("/api/v1/status/buildinfo", "/data/version", "3.14.0"),
        ("/api/v1/rules", "/data/groups", "[]"),
        ("/api/v1/alerts", "/data/alerts", "[]"),
        ("/api/v1/alertmanagers", "/data/activeAlertmanagers", "[]"),
        ("/api/v1/metadata?limit=40000", "/data", "{}"),
        (
            "/api/v1/label/__name__/values?limit=40000&start=1&end=1800000000",
            "/data/0",
            "m",
        ),
        (
            "/api/v1/query_exemplars?query=test&start=1700000000000&end=1700000000001",
            "/data",
            "[]",
        ),
        ("/api/v1/targets", "/data/activeTargets", "[]"),
        ("/api/v1/scrape_pools", "/data/scrapePools", "[]"),
    ] {
        let answer = kymo.get(target);
        assert_eq!(answer.status, 200, "{target}");
        assert!(answer.header("content-type").unwrap().contains("json"));
        let json = answer.json();
        let found = json
            .pointer(path)
            .unwrap_or_else(|| panic!("{target}: {json}"));
        let found = found.as_str().map_or(found.to_string(), str::to_owned);
        assert_eq!(found, expected, "{target}");
    }
    assert!(
        kymo.get("/api/v1/status/buildinfo").json()["data"]
            .get("features")
            .is_none()
    );
    let limited = kymo.get("/api/v1/series?match[]=m&limit=2").json();
    assert_eq!(
        limited["warnings"],
        serde_json::json!(["results truncated due to limit"])
    );
    assert_eq!(kymo.get("/api/v1/nosuch").status, 404);
}

#[test]
fn own_metrics_are_exposed_in_both_formats_and_count_requests() {
    let kymo = with_series(2, 1);
    kymo.get("/api/v1/label/job/values");
    let text = kymo.get("/metrics").text();
    for line in [
        "prometheus_tsdb_head_series 2",
        "prometheus_http_requests_total{handler=\"/api/v1/label/:name/values\",code=\"200\"} 1",
        "prometheus_http_requests_total{handler=\"/api/v1/write\",code=\"204\"} 1",
        "prometheus_tsdb_head_samples_appended_total{type=\"float\"} 2",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    let open = [("Accept", "application/openmetrics-text;version=1.0.0")];
    let answer = kymo.client().call("GET", "/metrics", &open, b"");
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(answer.text().ends_with("# EOF\n"));
}

#[test]
fn a_route_prefix_moves_every_path() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = Kymo::spawn_in(dir.path(), &["--web.external-url=http://x.test/pre/"]);
    wait_until(
        "the prefixed path is ready",
        Duration::from_secs(60),
        || kymo.get("/pre/-/ready").status == 200,
    );
    assert_eq!(kymo.get("/pre/api/v1/labels").status, 200);
    for outside in ["/api/v1/labels", "/-/healthy", "/metrics"] {
        assert_eq!(kymo.get(outside).status, 404, "{outside}");
    }
}

#[test]
fn a_query_typed_into_a_url_as_it_is_gets_its_answer() {
    let kymo = with_series(2, 1);
    let answer = kymo.get("/api/v1/query?query=m{instance=\"host-00001\"}>0<1&time=1700000000");
    assert_eq!(answer.status, 200, "{answer:?}");
    let result = &answer.json()["data"]["result"];
    assert_eq!(result.as_array().map(Vec::len), Some(1), "{answer:?}");
}
