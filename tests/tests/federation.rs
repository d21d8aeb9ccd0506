//! Federation: a real Prometheus scrapes `/federate` and stores what Kymo has.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Kymo, Peer, WriteBody, wait_until};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn server(dir: &std::path::Path, args: &[&str]) -> Kymo {
    let config = "global: {external_labels: {cluster: here, zone: other}}\n";
    fs::write(dir.join("kymo.yml"), config).unwrap();
    let mut all = vec!["--config.file=kymo.yml"];
    all.extend_from_slice(args);
    Kymo::start_in(dir, &all)
}

fn federated(kymo: &Kymo, selector: &str) -> Vec<String> {
    let encoded: String = selector
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    let answer = kymo.get(&format!("/federate?match[]={encoded}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text().lines().map(str::to_owned).collect()
}

#[test]
fn only_newest_samples_of_series_that_go_on_are_exposed() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = server(dir.path(), &["--query.lookback-delta=1m"]);
    let now_ms = now_ms();
    let stale = kymo_storage::model::stale_marker();
    let body = WriteBody::new()
        .series(
            &[("__name__", "b"), ("job", "x")],
            &[(now_ms - 20_000, 1.0), (now_ms - 10_000, 2.0)],
        )
        .series(
            &[("__name__", "b"), ("instance", "i"), ("zone", "own")],
            &[(now_ms - 5_000, 3.0)],
        )
        .series(&[("__name__", "a")], &[(now_ms - 59_000, 4.0)])
        .series(&[("__name__", "old")], &[(now_ms - 61_000, 5.0)])
        .series(
            &[("__name__", "ended")],
            &[(now_ms - 9_000, 6.0), (now_ms - 8_000, stale)],
        )
        .series(&[("__name__", "later")], &[(now_ms + 120_000, 7.0)])
        .series(&[("job", "nameless")], &[(now_ms - 1_000, 8.0)]);
    assert_eq!(kymo.write(&body).status, 204);
    let line = |text: &str, ago_ms: i64| format!("{text} {}", now_ms - ago_ms);
    assert_eq!(
        federated(&kymo, "{__name__=~\"a|b|old|ended|later\"}"),
        [
            "# TYPE a untyped".to_owned(),
            line("a{cluster=\"here\",instance=\"\",zone=\"other\"} 4", 59_000),
            "# TYPE b untyped".to_owned(),
            line("b{instance=\"i\",zone=\"own\",cluster=\"here\"} 3", 5_000),
            line(
                "b{job=\"x\",cluster=\"here\",instance=\"\",zone=\"other\"} 2",
                10_000
            ),
        ]
    );
    // A series that two selectors want comes once; one without a name never.
    let both = kymo.get("/federate?match[]=b&match[]=%7Bjob%3D~%22.%2B%22%7D");
    assert_eq!(both.text().lines().count(), 3);
    let metrics = kymo.get("/metrics").text();
    assert!(metrics.contains("\nprometheus_web_federation_errors_total 0\n"));
}

#[test]
fn a_real_prometheus_federates_from_kymo() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = server(dir.path(), &[]);
    let written_ms = now_ms();
    let mut body = WriteBody::new();
    for i in 0..20 {
        let host = format!("h{i}");
        body.push_series(
            &[
                ("__name__", "load"),
                ("host", &host),
                ("instance", "i"),
                ("job", "j"),
            ],
            &[(written_ms, f64::from(i) / 3.0)],
        );
    }
    body.push_series(&[("__name__", "sum:load")], &[(written_ms, f64::INFINITY)]);
    assert_eq!(kymo.write(&body).status, 204);
    let peer_dir = tempfile::tempdir().unwrap();
    let config = format!(
        "scrape_configs:\n- job_name: federate\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  \
         honor_labels: true\n  metrics_path: /federate\n  params: {{'match[]': \
         ['load', '{{__name__=~\"sum:.*\"}}']}}\n  static_configs: [{{targets: ['{}']}}]\n",
        kymo.address()
    );
    fs::write(peer_dir.path().join("prometheus.yml"), config).unwrap();
    let args = ["--config.file=prometheus.yml", "--storage.tsdb.path=data"];
    let Some(prometheus) = Peer::start("prometheus", peer_dir.path(), &args) else {
        return;
    };
    prometheus.wait_ready();
    let client = prometheus.client();
    let ask = |query: &str| -> Value {
        let answer = client.post_form("/api/v1/query", &[("query", query)]);
        answer.json()["data"]["result"].take()
    };
    wait_until("the federation is scraped", LIMIT, || {
        ask("count(load)")[0]["value"][1] == "20"
    });
    // Times are those of the samples, labels as Kymo says; no label of the scrape wins.
    let all = ask("{cluster=\"here\"}[5m]");
    assert_eq!(all.as_array().map(Vec::len), Some(21));
    let t = written_ms as f64 / 1000.0;
    for series in all.as_array().unwrap() {
        let metric = &series["metric"];
        assert_eq!(
            series["values"].as_array().map(Vec::len),
            Some(1),
            "{series}"
        );
        assert_eq!(series["values"][0][0], t);
        let value = series["values"][0][1].as_str().unwrap();
        match metric["host"].as_str() {
            Some(host) => {
                let i: f64 = host[1..].parse().unwrap();
                assert_eq!(value.parse(), Ok(i / 3.0));
                assert_eq!(
                    (&metric["instance"], &metric["job"]),
                    (&"i".into(), &"j".into())
                );
                assert_eq!(metric["zone"], "other");
            }
            None => {
                assert_eq!((value, metric.get("instance")), ("+Inf", None));
                assert_eq!(metric["job"], "federate");
            }
        }
    }
    assert_eq!(ask("up")[0]["value"][1], "1");
}
