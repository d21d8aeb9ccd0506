//! What surrounds queries in the real server: kept answers, the query log, the file of
//! running queries, clients that go away, explanations.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use kymo_tests::{Kymo, WriteBody, wait_until};
use serde_json::{Value, json};

const BASE_MS: i64 = 1_700_000_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A query that no machine answers soon.
const ENDLESS: &str = "sum_over_time(quantile_over_time(0.5,m[1h:1s])[30d:1s])";

fn fill(kymo: &Kymo, samples: i64) {
    let points: Vec<_> = (0..samples)
        .map(|j| (BASE_MS + j * 15_000, j as f64 + 0.5))
        .collect();
    let mut body = WriteBody::new();
    for instance in ["a", "b", "c"] {
        body.push_series(&[("__name__", "m"), ("instance", instance)], &points);
    }
    assert_eq!(kymo.write(&body).status, 204);
}

fn metric(kymo: &Kymo, name: &str) -> f64 {
    let metrics = kymo.get("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("{name} is not among the metrics"));
    line.trim().parse().unwrap()
}

fn hits(kymo: &Kymo) -> f64 {
    metric(kymo, "kymo_query_cache_requests_total{result=\"hit\"}")
}

/// Asks something that takes long and does not wait for the answer.
fn begin(kymo: &Kymo, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(kymo.address()).unwrap();
    let target = format!("/api/v1/query?time=1700003600&query={query}");
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn a_range_that_was_asked_before_is_kept_until_its_samples_change() {
    let kymo = Kymo::start(&["--web.enable-admin-api"]);
    fill(&kymo, 240);
    let ask = || {
        kymo.range(
            "sum(m) by (instance)",
            1_700_000_000.0,
            1_700_003_300.0,
            60.0,
        )
    };
    let first = ask();
    assert_eq!(hits(&kymo), 0.0);
    assert_eq!(ask(), first);
    assert_eq!(hits(&kymo), 1.0);
    assert!(metric(&kymo, "kymo_query_cache_bytes ") > 500.0);
    // What is asked for everything is evaluated.
    let target =
        "/api/v1/query_range?query=sum(m)+by+(instance)&start=1700000000&end=1700003300&step=60";
    assert_eq!(kymo.get(&format!("{target}&nocache=1")).json(), first);
    let with_stats = kymo.get(&format!("{target}&stats=all")).json();
    assert_eq!(
        with_stats["data"]["stats"]["samples"]["totalQueryableSamples"],
        3 * 56
    );
    assert_eq!(hits(&kymo), 1.0);

    let target = "/api/v1/admin/tsdb/delete_series?match[]=m{instance=\"b\"}&start=1700000600&end=1700001200";
    assert_eq!(kymo.client().call("POST", target, &[], b"").status, 204);
    let after = ask();
    let b = &after["data"]["result"][1];
    assert_eq!(b["metric"]["instance"], "b");
    assert!(b["values"].as_array().unwrap().len() < 56);
    assert_eq!(ask(), after);
    assert_eq!(hits(&kymo), 3.0);
}

#[test]
fn without_room_nothing_is_kept() {
    let kymo = Kymo::start(&["--query.cache.size=0"]);
    fill(&kymo, 240);
    for _ in 0..3 {
        kymo.range("m", 1_700_000_000.0, 1_700_003_000.0, 60.0);
    }
    assert_eq!(hits(&kymo), 0.0);
    assert_eq!(metric(&kymo, "kymo_query_cache_entries "), 0.0);
}

#[test]
fn queries_are_logged_where_the_configuration_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (config, log) = (dir.path().join("kymo.yml"), dir.path().join("queries.log"));
    let with_log = "global:\n  query_log_file: queries.log\n";
    std::fs::write(&config, with_log).unwrap();
    let flag = format!("--config.file={}", config.display());
    let kymo = Kymo::start_in(dir.path(), &[&flag, "--web.enable-lifecycle"]);
    assert_eq!(metric(&kymo, "prometheus_engine_query_log_enabled "), 1.0);
    fill(&kymo, 10);
    kymo.range("sum(m)", 1_700_000_000.0, 1_700_000_060.05, 15.5);
    kymo.instant("m * on (x) m", 1_700_000_000.0);
    kymo.instant("not a query", 1_700_000_000.0);

    let logged = lines(&log);
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert_eq!(logged[0]["msg"], "promql query logged");
    let params = json!({
        "query": "sum(m)",
        "start": "2023-11-14T22:13:20.000Z",
        "end": "2023-11-14T22:14:20.050Z",
        "step": 15,
    });
    assert_eq!(logged[0]["params"], params);
    assert_eq!(logged[0]["stats"]["samples"]["totalQueryableSamples"], 12);
    assert!(
        logged[0]["stats"]["timings"]["execTotalTime"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    let request = json!({
        "clientIP": "127.0.0.1",
        "method": "POST",
        "path": "/api/v1/query_range",
    });
    assert_eq!(logged[0]["httpRequest"], request);
    assert!(logged[0].get("error").is_none());
    assert_eq!(logged[1]["params"]["step"], 0);
    let error = logged[1]["error"].as_str().unwrap();
    assert!(
        error.contains("many-to-many matching not allowed"),
        "{error}"
    );

    // The file may be moved away; a reload begins a new one.
    let reload = || kymo.client().call("POST", "/-/reload", &[], b"");
    std::fs::rename(&log, dir.path().join("queries.log.1")).unwrap();
    assert_eq!(reload().status, 200);
    kymo.instant("m", 1_700_000_000.0);
    assert_eq!(lines(&log).len(), 1);
    // One that cannot be opened is an error, and the old one stays.
    std::fs::write(&config, "global:\n  query_log_file: no/such/queries.log\n").unwrap();
    let failed = reload();
    assert_eq!(failed.status, 500);
    assert!(failed.text().contains("no/such/queries.log"), "{failed:?}");
    kymo.instant("m", 1_700_000_000.0);
    assert_eq!(lines(&log).len(), 2);
    // Queries of logs stand there, too, and are told apart.
    assert_eq!(kymo.get("/loki/api/v1/query?query=vector(1)").status, 200);
    let logged = lines(&log);
    assert_eq!(logged.len(), 3, "{logged:?}");
    assert_eq!(logged[2]["msg"], "logql query logged");
    assert_eq!(logged[2]["params"]["query"], "vector(1)");
    std::fs::write(&config, "").unwrap();
    assert_eq!(reload().status, 200);
    kymo.instant("m", 1_700_000_000.0);
    assert_eq!(lines(&log).len(), 3);
    assert_eq!(metric(&kymo, "prometheus_engine_query_log_enabled "), 0.0);
}

#[test]
fn a_query_that_ran_when_the_process_died_is_told_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = Kymo::start_in(dir.path(), &[]);
    fill(&kymo, 240);
    kymo.instant("count(m)", 1_700_000_000.0);
    let file = dir.path().join("data/queries.active");
    let running = || String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
    assert!(!running().contains("count"), "a query that is over");
    let client = begin(&kymo, ENDLESS);
    wait_until("the query runs", PATIENCE, || running().contains(ENDLESS));
    kymo.kill();
    drop(client);
    let kymo = Kymo::start_in(dir.path(), &[]);
    let log = kymo.log();
    assert!(log.contains("did not finish in the last run"), "{log}");
    assert!(log.contains("sum_over_time(quantile_over_time"), "{log}");
    assert!(!running().contains("sum_over_time"));
}

#[test]
fn a_query_whose_client_goes_away_is_stopped() {
    let kymo = Kymo::start(&[]);
    fill(&kymo, 240);
    let queries = || metric(&kymo, "prometheus_engine_queries ");
    let client = begin(&kymo, ENDLESS);
    wait_until("the query runs", PATIENCE, || queries() == 1.0);
    drop(client);
    wait_until("the query is stopped", PATIENCE, || queries() == 0.0);
    // One that takes too long ends as well, and says so.
    let target = format!("/api/v1/query?time=1700003600&timeout=50ms&query={ENDLESS}");
    let late = kymo.get(&target);
    assert_eq!(late.status, 503);
    assert_eq!(late.json()["errorType"], "timeout");
}

#[test]
fn queries_wait_for_their_turn_and_give_up() {
    let kymo = Kymo::start(&["--query.max-concurrency=1"]);
    fill(&kymo, 240);
    let client = begin(&kymo, ENDLESS);
    let active = || metric(&kymo, "prometheus_engine_queries ");
    wait_until("the query runs", PATIENCE, || active() == 1.0);
    let second = kymo.get("/api/v1/query?query=1&timeout=100ms");
    assert_eq!(second.status, 503);
    let json = second.json();
    assert_eq!(json["errorType"], "timeout");
    assert_eq!(json["error"], "query timed out in query queue");
    drop(client);
    wait_until("the first is gone", PATIENCE, || {
        kymo.get("/api/v1/query?query=1&timeout=1s").status == 200
    });
}

#[test]
fn steps_are_counted_one_by_one_where_that_is_enabled() {
    let target =
        "/api/v1/query_range?query=rate(m[1m])&start=1700000060&end=1700000120&step=30&stats=all";
    let kymo = Kymo::start(&["--enable-feature=promql-per-step-stats"]);
    fill(&kymo, 40);
    let samples = &kymo.get(target).json()["data"]["stats"]["samples"];
    let total = json!([
        [1_700_000_060, 12],
        [1_700_000_090, 12],
        [1_700_000_120, 12]
    ]);
    assert_eq!(samples["totalQueryableSamplesPerStep"], total);
    assert_eq!(samples["totalQueryableSamples"], 36);
    let read = json!([[1_700_000_060, 12], [1_700_000_090, 6], [1_700_000_120, 6]]);
    assert_eq!(samples["samplesReadPerStep"], read);
    assert_eq!(samples["samplesRead"], 24);
    let target = target.replace("stats=all", "stats=true");
    let samples = &kymo.get(&target).json()["data"]["stats"]["samples"];
    assert!(samples.get("samplesReadPerStep").is_none());
}

#[test]
fn a_query_is_explained_without_being_run() {
    let kymo = Kymo::start(&[]);
    let target = "/api/v1/explain?query=sum(rate(m[5m]))&start=1700000000&end=1700000600&step=60";
    let answer = kymo.get(target).json();
    let data = &answer["data"];
    assert_eq!(data["steps"], 11);
    assert_eq!(
        data["cache"],
        json!({
            "kept": true, "looksBack": 300, "looksAhead": 0, "dependsOnOrder": true,
        })
    );
    assert_eq!(data["plan"]["does"], "sum");
    assert_eq!(data["plan"]["inputs"][0]["inputs"][0]["range"], 300);
    let text = data["text"].as_str().unwrap();
    assert!(text.contains("\n  rate "), "{text}");
    let instant = kymo.get("/api/v1/explain?query=m&time=1700000000").json();
    assert_eq!(instant["data"]["steps"], 1);
    let wrong = kymo.get("/api/v1/explain?query=m(");
    assert_eq!(wrong.status, 400);
    assert_eq!(wrong.json()["errorType"], "bad_data");
}

#[test]
fn queries_of_rules_are_logged_with_their_group() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write(
        "kymo.yml",
        "global: {query_log_file: queries.log, evaluation_interval: 1s}\nrule_files: [r.yml]\n",
    );
    write(
        "r.yml",
        "groups: [{name: g, rules: [{record: 'a:b', expr: 'vector( 1 )'}]}]\n",
    );
    let config = dir.path().join("kymo.yml");
    let flag = format!("--config.file={}", config.display());
    let _kymo = Kymo::start_in(dir.path(), &[&flag]);
    let log = dir.path().join("queries.log");
    wait_until("a query is logged", PATIENCE, || !lines(&log).is_empty());
    let line = &lines(&log)[0];
    assert_eq!(line["params"]["query"], "vector(1)");
    assert_eq!(line["ruleGroup"]["name"], "g");
    assert!(
        line["ruleGroup"]["file"]
            .as_str()
            .unwrap()
            .ends_with("r.yml")
    );
    let peak = line["stats"]["samples"]["peakSamples"].as_u64();
    assert!(peak.is_some_and(|peak| peak > 0), "{line}");
}
