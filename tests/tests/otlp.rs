//! OTLP metrics over HTTP: answers, settings and figures of the real server.
#![allow(
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use kymo_tests::{Answer, Kymo};

const PATHS: [&str; 2] = ["/api/v1/otlp/v1/metrics", "/v1/metrics"];

fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs()
}

/// Returns a request with a gauge and an exponential histogram at this time.
fn request(t_s: u64) -> String {
    format!(
        r#"{{"resourceMetrics":[{{
            "resource":{{"attributes":[
                {{"key":"service.name","value":{{"stringValue":"cart"}}}},
                {{"key":"host.name","value":{{"stringValue":"h1"}}}}]}},
            "scopeMetrics":[{{"metrics":[
                {{"name":"queue.size","unit":"By","description":"Waiting.","gauge":{{"dataPoints":[
                    {{"timeUnixNano":"{t_s}000000000","asDouble":4.5}}]}}}},
                {{"name":"latency","unit":"s","exponentialHistogram":{{
                    "aggregationTemporality":2,"dataPoints":[
                    {{"timeUnixNano":"{t_s}000000000","count":"3","sum":6,"scale":0,
                      "positive":{{"offset":0,"bucketCounts":["1","2"]}}}}]}}}}]}}]}}]}}"#
    )
}

fn push(kymo: &Kymo, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    kymo.client().call("POST", path, headers, body)
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn otlp_is_off_by_default() {
    let kymo = Kymo::start(&[]);
    for path in PATHS {
        let answer = push(&kymo, path, &[JSON], b"{}");
        assert_eq!(answer.status, 404);
        assert_eq!(
            answer.text(),
            "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n"
        );
    }
}

#[test]
fn requests_are_stored_as_the_configuration_says() {
    let dir = tempfile::tempdir().unwrap();
    let config = "otlp:\n  promote_resource_attributes: [host.name]\n";
    std::fs::write(dir.path().join("kymo.yml"), config).unwrap();
    let args = ["--web.enable-otlp-receiver", "--config.file=kymo.yml"];
    let kymo = Kymo::start_in(dir.path(), &args);
    let t_s = now_s() - 60;
    let answer = push(&kymo, PATHS[0], &[JSON], request(t_s).as_bytes());
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(request(t_s + 1).as_bytes()).unwrap();
    let packed = [JSON, ("Content-Encoding", "gzip")];
    let answer = push(&kymo, PATHS[1], &packed, &gzip.finish().unwrap());
    assert_eq!(answer.status, 200, "{answer:?}");

    let count = |query: &str| {
        let answer = kymo.instant(query, (t_s + 2) as f64);
        answer["data"]["result"][0]["value"][1]
            .as_str()
            .map(str::to_owned)
    };
    let gauge = "count_over_time(queue_size_bytes{job=\"cart\",host_name=\"h1\"}[1m])";
    assert_eq!(count(gauge).as_deref(), Some("2"));
    let histogram = "histogram_sum(latency_seconds)";
    assert_eq!(count(histogram).as_deref(), Some("6"));
    let info = "target_info{host_name=\"h1\"}";
    assert_eq!(count(info).as_deref(), Some("1"));
    let old = push(&kymo, PATHS[0], &[JSON], request(t_s).as_bytes());
    assert_eq!(
        (old.status, old.text().lines().count()),
        (400, 3),
        "{old:?}"
    );
    let delta = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"d","sum":{
        "aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","dataPoints":[{"asInt":1}]}}]}]}]}"#;
    let answer = push(&kymo, PATHS[0], &[JSON], delta.as_bytes());
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.text(),
        "invalid temporality and type combination for metric \"d\"\n"
    );
    for (headers, text) in [
        (
            [("Content-Type", "text/plain"), ("Accept", "*/*")],
            "unsupported content type: text/plain, supported: [application/json, \
             application/x-protobuf]\n",
        ),
        (
            [JSON, ("Content-Encoding", "zstd")],
            "unsupported compression: zstd. Only \"gzip\" or no compression supported\n",
        ),
    ] {
        let answer = push(&kymo, PATHS[0], &headers, b"{}");
        assert_eq!((answer.status, answer.text().as_str()), (400, text));
    }
    let metrics = kymo.get("/metrics").text();
    for line in [
        "prometheus_api_otlp_out_of_order_exemplars_total 0",
        "prometheus_api_otlp_appended_samples_without_metadata_total 0",
        "kymo_otlp_samples_total 6",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}
