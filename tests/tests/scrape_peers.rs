//! A real exporter scraped by Kymo and by a real Prometheus side by side: the same
//! queries at the same time give the same label sets, rates that differ by no more
//! than the scrapes' distance explains, and the same end when the exporter dies.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Client, Kymo, wait_until};
use serde_json::Value;

const EXPORTER: &str = "prometheus-node-exporter";
const PROMETHEUS: &str = "prometheus";
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long both have to have scraped before they are compared: the window of the
/// rates, and some beats more.
const WARM_UP_S: f64 = 24.0;

/// How long the two may take to agree, on a machine that is busy.
const AGREE_LIMIT_S: f64 = 90.0;

/// Vectors that have to agree, with the difference that is allowed: relative to the
/// larger value, and absolute. Scrapes of the two fall up to a second apart, so what
/// moves in bursts is off by a part of one burst.
const QUERIES: [(&str, f64, f64); 7] = [
    ("up{job=\"node\"}", 0.0, 0.0),
    ("node_memory_MemTotal_bytes", 0.0, 0.0),
    ("node_boot_time_seconds", 0.0, 0.0),
    ("node_filesystem_size_bytes", 0.0, 0.0),
    ("rate(node_time_seconds[20s])", 0.01, 0.0),
    (
        "sum by (cpu) (rate(node_cpu_seconds_total[20s]))",
        0.05,
        0.0,
    ),
    ("rate(node_cpu_seconds_total[20s])", 0.1, 0.08),
];

/// A process that ends with the test.
struct Peer {
    child: Child,
    client: Client,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

/// Starts a program that listens; `None` where it is not installed.
fn start(program: &str, address: SocketAddr, args: &[String], ready: &str) -> Option<Peer> {
    let mut command = Command::new(program);
    command
        .arg(format!("--web.listen-address={address}"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = match command.spawn() {
        Ok(child) => child,
        Err(_) => {
            println!("scrape_peers: skipped, {program} is not installed");
            return None;
        }
    };
    let peer = Peer {
        child,
        client: Client::new(address),
    };
    wait_until(program, START_LIMIT, || {
        let answer = peer.client.try_call("GET", ready, &[], b"");
        answer.is_ok_and(|answer| answer.status == 200)
    });
    Some(peer)
}

fn configuration(exporter: SocketAddr) -> String {
    format!(
        "global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ['{exporter}']
        labels: {{zone: a}}
    relabel_configs:
      - source_labels: [__address__]
        regex: '(.*):.*'
        target_label: host
    metric_relabel_configs:
      - source_labels: [__name__]
        regex: node_scrape_collector_.*
        action: drop
"
    )
}

fn now_s() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// Evaluates a query that gives a vector: value by labels.
fn vector(client: Client, query: &str, time_s: f64) -> BTreeMap<String, f64> {
    let params = [("query", query), ("time", &time_s.to_string())];
    let answer = client.post_form("/api/v1/query", &params).json();
    let Some(result) = answer["data"]["result"].as_array() else {
        panic!("{query}: {answer}");
    };
    let value = |sample: &Value| sample["value"][1].as_str().unwrap().parse().unwrap();
    result
        .iter()
        .map(|sample| (sample["metric"].to_string(), value(sample)))
        .collect()
}

/// Returns what two vectors do not agree on.
fn differences(query: &str, time_s: f64, ours: Client, theirs: Client) -> Vec<String> {
    let (_, relative, absolute) = QUERIES.into_iter().find(|q| q.0 == query).unwrap();
    let (ours, theirs) = (vector(ours, query, time_s), vector(theirs, query, time_s));
    let mut found = Vec::new();
    if theirs.is_empty() {
        found.push(format!("{query}: nothing to compare with"));
    }
    for labels in theirs.keys().filter(|labels| !ours.contains_key(*labels)) {
        found.push(format!("{query}: missing {labels}"));
    }
    for (labels, value) in &ours {
        match theirs.get(labels) {
            None => found.push(format!("{query}: additional {labels}")),
            Some(wanted) => {
                let allowed = absolute + relative * value.abs().max(wanted.abs());
                if (value - wanted).abs() > allowed {
                    found.push(format!("{query}: {labels} is {value}, not {wanted}"));
                }
            }
        }
    }
    found
}

/// Compares everything: the queries, and every series by its labels.
fn all_differences(time_s: f64, ours: Client, theirs: Client) -> Vec<String> {
    let mut found = Vec::new();
    for (query, ..) in QUERIES {
        found.extend(differences(query, time_s, ours, theirs));
    }
    let sets = |client| vector(client, "{job=\"node\"}", time_s);
    let (our_sets, their_sets) = (sets(ours), sets(theirs));
    let missing = their_sets.keys().filter(|k| !our_sets.contains_key(*k));
    found.extend(missing.map(|labels| format!("missing {labels}")));
    let additional = our_sets.keys().filter(|k| !their_sets.contains_key(*k));
    found.extend(additional.map(|labels| format!("additional {labels}")));
    let counts = |client| vector(client, "scrape_samples_post_metric_relabeling", time_s);
    if counts(ours) != counts(theirs) {
        found.push("the counts of samples differ".to_owned());
    }
    found
}

#[test]
fn an_exporter_looks_the_same_from_kymo_and_from_prometheus() {
    let exporter_at = free_address();
    // The exporter's own metrics have summaries, whose labels newer releases of
    // Prometheus write in another form than the one that is installed.
    let quiet = ["--web.disable-exporter-metrics".to_owned()];
    let Some(exporter) = start(EXPORTER, exporter_at, &quiet, "/metrics") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("prometheus.yml"), configuration(exporter_at)).unwrap();
    let args = [
        format!("--config.file={}", path("prometheus.yml")),
        format!("--storage.tsdb.path={}", path("theirs")),
    ];
    let Some(prometheus) = start(PROMETHEUS, free_address(), &args, "/-/ready") else {
        return;
    };
    let config = args[0].as_str();
    let kymo = Kymo::start_in(Path::new(dir.path()), &[config]);
    let (ours, theirs) = (kymo.client(), prometheus.client);
    wait_until("the first scrapes", START_LIMIT, || {
        let up = |client| vector(client, "up == 1", now_s()).len() == 1;
        up(ours) && up(theirs)
    });
    // A scrape that a busy machine delays falls out of the windows again; a mistake of
    // ours stays.
    let end_s = now_s() + AGREE_LIMIT_S;
    let began_s = now_s();
    loop {
        wait_until("a full window", Duration::from_secs(60), || {
            now_s() > began_s + WARM_UP_S
        });
        let time_s = now_s() - 1.5;
        let found = all_differences(time_s, ours, theirs);
        if found.is_empty() {
            break;
        }
        let log = kymo.log();
        assert!(now_s() < end_s, "{}\n{log}", found.join("\n"));
        std::thread::sleep(Duration::from_secs(1));
    }

    drop(exporter);
    wait_until("the end of the series", START_LIMIT, || {
        let gone = |client| {
            let time_s = now_s();
            vector(client, "up{job=\"node\"} == 0", time_s).len() == 1
                && vector(client, "node_boot_time_seconds", time_s).is_empty()
        };
        gone(ours) && gone(theirs)
    });
    let last_error = |client: Client| {
        let answer = client.get("/api/v1/targets").json();
        answer["data"]["activeTargets"][0]["lastError"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(last_error(ours), last_error(theirs));
    assert!(kymo.terminate().success());
}
