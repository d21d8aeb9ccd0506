//! Targets that files, DNS and a server list: found, scraped, shown, changed while
//! everything runs, and kept when what lists them fails.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kymo_tests::{Client, FakeDns, FakeHttp, Kymo, Peer, wait_until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

fn targets(kymo: &Kymo, state: &str) -> Vec<Value> {
    let answer = kymo.get(&format!("/api/v1/targets?state={state}")).json();
    let list = &answer["data"][format!("{state}Targets")];
    list.as_array().unwrap().clone()
}

/// Returns `instance health` of the targets of a job, in order.
fn health(kymo: &Kymo, job: &str) -> Vec<String> {
    let active = targets(kymo, "active");
    let of_job = active.iter().filter(|target| target["scrapePool"] == job);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut found: Vec<String> = of_job
        .map(|t| text(&t["labels"]["instance"]) + " " + &text(&t["health"]))
        .collect();
    found.sort();
    found
}

fn write(dir: &Path, name: &str, text: &str) {
    // As a whole, so that no half of it is read.
    std::fs::write(dir.join("new"), text).unwrap();
    std::fs::rename(dir.join("new"), dir.join(name)).unwrap();
}

#[test]
fn targets_come_and_go_as_they_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let lists = dir.path().join("lists");
    std::fs::create_dir(&lists).unwrap();
    let target = FakeHttp::start(|_| (200, "text/plain", "m 1\n".to_owned()));
    let up = target.address().to_string();
    let port = target.address().port();
    let closed = "127.0.0.1:1";

    let dns = FakeDns::start();
    dns.set("_m._tcp.test.", &[("localhost", port)]);
    let list = Arc::new(Mutex::new((200, format!(r#"[{{"targets":["{up}"]}}]"#))));
    let answer = Arc::clone(&list);
    let lister = FakeHttp::start(move |_| {
        let (status, body) = answer.lock().unwrap().clone();
        (status, "application/json", body)
    });
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: files
  file_sd_configs: [{{files: ['lists/*.json', 'lists/*.yml']}}]
  relabel_configs:
  - {{source_labels: [__address__], regex: 'drop.*', action: drop}}
  - {{source_labels: [__meta_filepath], regex: '.*/(.*)', target_label: file}}
- job_name: names
  dns_sd_configs: [{{names: [_m._tcp.test], refresh_interval: 1s}}]
- job_name: listed
  http_sd_configs: [{{url: 'http://{}/list', refresh_interval: 1s}}]
",
        lister.address()
    );
    std::fs::write(dir.path().join("kymo.yml"), config).unwrap();
    write(
        &lists,
        "a.json",
        &format!(r#"[{{"targets":["{up}","drop:1"],"labels":{{"zone":"z"}}}}]"#),
    );
    let server = format!("--discovery.dns-server={}", dns.address());
    let args = [
        "--config.file=kymo.yml",
        &server,
        "--scrape.discovery-reload-interval=1s",
    ];
    let kymo = Kymo::start_in(dir.path(), &args);

    let one_up = vec![format!("{up} up")];
    let named = vec![format!("localhost:{port} up")];
    wait_until("the first targets", LIMIT, || {
        health(&kymo, "files") == one_up
            && health(&kymo, "names") == named
            && health(&kymo, "listed") == one_up
    });
    let active = targets(&kymo, "active");
    let first = active.iter().find(|t| t["scrapePool"] == "files").unwrap();
    let labels = json!({"file": "a.json", "instance": up, "job": "files", "zone": "z"});
    assert_eq!(first["labels"], labels);
    assert_eq!(first["discoveredLabels"]["__meta_filepath"], "lists/a.json");
    let dropped = targets(&kymo, "dropped");
    assert_eq!(dropped.len(), 1);
    assert_eq!(dropped[0]["discoveredLabels"]["__address__"], "drop:1");
    let named_target = active.iter().find(|t| t["scrapePool"] == "names").unwrap();
    let meta = &named_target["discoveredLabels"];
    assert_eq!(meta["__meta_dns_name"], "_m._tcp.test");
    assert_eq!(meta["__meta_dns_srv_record_target"], "localhost.");
    assert_eq!(meta["__meta_dns_srv_record_port"], port.to_string());
    let request = &lister.requests()[0];
    assert_eq!(request.line, "GET /list");
    assert_eq!(request.headers["accept"], "application/json");
    assert_eq!(
        request.headers["x-prometheus-refresh-interval-seconds"],
        "1"
    );

    // More in another file, and in the other lists.
    write(&lists, "b.yml", &format!("- targets: ['{closed}']\n"));
    dns.set("_m._tcp.test.", &[("localhost", port), ("127.0.0.1", 1)]);
    *list.lock().unwrap() = (200, format!(r#"[{{"targets":["{closed}"]}}]"#));
    wait_until("the changes", LIMIT, || {
        health(&kymo, "files") == [format!("{closed} down"), format!("{up} up")]
            && health(&kymo, "names").len() == 2
            && health(&kymo, "listed") == [format!("{closed} down")]
    });
    let metrics = kymo.get("/metrics").text();
    for line in [
        "prometheus_sd_discovered_targets{config=\"files\",name=\"scrape\"} 3",
        "prometheus_sd_discovered_targets{config=\"names\",name=\"scrape\"} 2",
        "prometheus_sd_failed_configs{name=\"scrape\"} 0",
        "prometheus_sd_file_read_errors_total 0",
        "prometheus_sd_refresh_failures_total{config=\"listed\",mechanism=\"http\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }

    // What cannot be read changes nothing, and says why.
    write(&lists, "a.json", "[{");
    write(&lists, "b.yml", "- target: x\n");
    *list.lock().unwrap() = (500, String::new());
    wait_until("the complaints", LIMIT, || {
        let log = kymo.log();
        log.contains("field target not found in type struct")
            && log.contains("lists/a.json")
            && log.contains("server returned HTTP status 500")
    });
    assert_eq!(health(&kymo, "files").len(), 2);
    assert_eq!(health(&kymo, "listed").len(), 1);

    // A reload of the same configuration disturbs nobody.
    kymo.signal("HUP");
    wait_until("the reload", LIMIT, || {
        kymo.log().contains("configuration reloaded")
    });
    assert_eq!(health(&kymo, "files").len(), 2);

    // All gone, and the series with them.
    std::fs::remove_file(lists.join("a.json")).unwrap();
    std::fs::remove_file(lists.join("b.yml")).unwrap();
    dns.set("_m._tcp.test.", &[]);
    *list.lock().unwrap() = (200, "[]".to_owned());
    wait_until("the end", LIMIT, || targets(&kymo, "active").is_empty());
    wait_until("the end of the series", LIMIT, || {
        let answer = kymo.get("/api/v1/query?query=up").json();
        answer["data"]["result"].as_array().unwrap().is_empty()
    });
    assert!(kymo.terminate().success());
}

/// Returns what is known of all targets, without how they are.
fn identities(client: Client) -> BTreeSet<String> {
    let answer = client.get("/api/v1/targets").json();
    let identity = |target: &Value| {
        let mut labels = target["discoveredLabels"].clone();
        // Newer releases have more labels that say how to scrape, and older ones mix up
        // those that are no labels of discovery.
        let labels = labels.as_object_mut().unwrap();
        labels.retain(|name, _| {
            let newer = name.ends_with("histograms__") || name.ends_with("to_nhcb__");
            name.starts_with("__") && !newer
        });
        // Older releases do not tell the pool of a dropped target.
        let pool = match target["labels"].is_null() {
            true => &Value::Null,
            false => &target["scrapePool"],
        };
        json!([pool, labels, target["labels"], target["scrapeUrl"]]).to_string()
    };
    let lists = [
        &answer["data"]["activeTargets"],
        &answer["data"]["droppedTargets"],
    ];
    lists
        .iter()
        .flat_map(|list| list.as_array().unwrap().iter().map(identity))
        .collect()
}

/// A real Prometheus with the same configuration finds the same targets, and loses and
/// keeps the same.
#[test]
fn found_targets_are_those_of_a_real_prometheus() {
    let dir = tempfile::tempdir().unwrap();
    let lists = dir.path().join("lists");
    std::fs::create_dir(&lists).unwrap();
    let body =
        r#"[{"targets":["a:1","b:1"],"labels":{"zone":"z","__meta_own":"x"}},{"targets":["a:1"]}]"#;
    let list = Arc::new(Mutex::new(body.to_owned()));
    let answer = Arc::clone(&list);
    let lister = FakeHttp::start(move |_| {
        (
            200,
            "application/json; charset=utf-8",
            answer.lock().unwrap().clone(),
        )
    });
    let config = format!(
        "global: {{scrape_interval: 10m}}
scrape_configs:
- job_name: files
  static_configs: [{{targets: ['s:1'], labels: {{zone: s}}}}]
  file_sd_configs: [{{files: ['lists/*.json', 'lists/x.yml', 'lists/*.yml'], refresh_interval: 1s}}]
  relabel_configs:
  - {{source_labels: [__address__], regex: 'drop.*', action: drop}}
  - {{action: labelmap, regex: __meta_(.*)}}
- job_name: listed
  http_sd_configs: [{{url: 'http://{}/list', refresh_interval: 1s}}]
",
        lister.address()
    );
    std::fs::write(dir.path().join("both.yml"), config).unwrap();
    write(
        &lists,
        "a.json",
        r#"[{"targets":["a:1","drop:1"],"labels":{"zone":"z"}},{"targets":["b:1"]}]"#,
    );
    write(
        &lists,
        "x.yml",
        "- targets: ['x:1', x:2]\n  labels: {job: own, __scheme__: https}\n",
    );
    let args = ["--config.file=both.yml", "--storage.tsdb.path=theirs"];
    let Some(prometheus) = Peer::start("prometheus", dir.path(), &args) else {
        return;
    };
    prometheus.wait_ready();
    let kymo = Kymo::start_in(dir.path(), &["--config.file=both.yml"]);
    let agree = |what: &str, count: usize| {
        let end = Instant::now() + LIMIT;
        loop {
            let (ours, theirs) = (identities(kymo.client()), identities(prometheus.client()));
            if theirs.len() == count && ours == theirs {
                break;
            }
            assert!(
                Instant::now() < end,
                "{what}: ours {:#?}, theirs {:#?}",
                &ours - &theirs,
                &theirs - &ours
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    agree("the first targets", 9);
    write(&lists, "a.json", r#"[{"targets":["c:1"]}]"#);
    write(&lists, "y.yml", "- targets: ['y:1']\n");
    *list.lock().unwrap() = r#"[{"targets":["b:1"]}]"#.to_owned();
    agree("the changes", 6);
    // Broken ones keep what they had, also where another file goes.
    write(&lists, "a.json", r#"[{"target":["c:1"]}]"#);
    *list.lock().unwrap() = r#"{"targets":["b:1"]}"#.to_owned();
    std::fs::remove_file(lists.join("x.yml")).unwrap();
    agree("what is left", 4);
    assert!(kymo.terminate().success());
}
