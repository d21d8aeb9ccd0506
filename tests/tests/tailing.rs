//! Following logs with the real server: files that are rotated while they are written, with
//! the server killed again and again, so that every line is stored, and once; files that
//! discovery finds; what arrives by itself.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

#[path = "tailing/arriving.rs"]
mod arriving;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_storage::logs::{LogStore, LogStoreOptions};
use kymo_storage::model::NanoRange;
use kymo_tests::{FakeHttp, Kymo, wait_until};
use serde_json::{Value, json};

const KILLS: usize = 5;
const LIMIT: Duration = Duration::from_secs(60);

/// Returns how often each line is in the store of a server that was stopped, with the labels
/// of its stream.
fn stored(dir: &Path) -> BTreeMap<String, (usize, String)> {
    let (store, _) = LogStore::open(&LogStoreOptions::new(dir.join("data"))).unwrap();
    let selection = store.select(&[], NanoRange::ALL).unwrap();
    let mut lines = BTreeMap::new();
    for group in 0..selection.groups().len() {
        let mut each = |entry: kymo_storage::logs::StoredEntry<'_>| {
            let labels = selection.streams()[entry.stream as usize].to_metric_string();
            let metadata: Vec<String> = entry
                .metadata
                .iter()
                .map(|(n, v)| format!("{n}={v}"))
                .collect();
            let line = String::from_utf8_lossy(entry.line).into_owned();
            let found = lines
                .entry(line)
                .or_insert((0, format!("{labels} {}", metadata.join(","))));
            found.0 += 1;
        };
        selection.read(group, &mut each).unwrap();
    }
    lines
}

fn append(path: &Path, text: &str) {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

fn config(dir: &Path, text: &str) -> String {
    let path = dir.join("kymo.yml");
    fs::write(&path, text.replace("DIR", &dir.display().to_string())).unwrap();
    format!("--config.file={}", path.display())
}

/// Returns the positions of all followed files together, as the server tells.
fn positions(kymo: &Kymo) -> u64 {
    let answer = kymo.get("/api/v1/log_targets").json();
    let jobs = answer["data"]["jobs"].as_array().unwrap().clone();
    let files = jobs
        .iter()
        .flat_map(|job| job["files"].as_array().unwrap().clone());
    files
        .map(|file| file["positionBytes"].as_u64().unwrap())
        .sum()
}

#[test]
fn every_line_of_rotated_files_is_stored_once_whenever_the_server_is_killed() {
    let owned = tempfile::tempdir().unwrap();
    let dir = owned.path();
    fs::create_dir(dir.join("logs")).unwrap();
    let flag = config(
        dir,
        "log_configs:\n- job_name: app\n  static_configs:\n  - labels: {job: app, __path__: 'DIR/logs/app.log*'}\n",
    );
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let path = dir.join("logs/app.log");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rotations = 0;
            while !stop.load(Ordering::Relaxed) {
                let from = written.load(Ordering::Relaxed);
                let lines: String = (from..from + 50)
                    .map(|n| format!("line {n} of the application {}\n", "x".repeat(n % 300)))
                    .collect();
                append(&path, &lines);
                written.store(from + 50, Ordering::Relaxed);
                if (from / 50) % 20 == 19 {
                    rotations += 1;
                    fs::rename(&path, dir.join(format!("logs/app.log.{rotations}"))).unwrap();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        for kill in 0..KILLS {
            let kymo = Kymo::start_in(dir, &[&flag]);
            let before = positions(&kymo);
            // Some are killed at once, some in the midst of it.
            let more = [0, 20_000, 100_000, 300_000, 1][kill];
            wait_until("something is read", LIMIT, || {
                positions(&kymo) >= before + more
            });
            kymo.kill();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let kymo = Kymo::start_in(dir, &[&flag]);
    let files = || {
        fs::read_dir(dir.join("logs"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    let total = files()
        .map(|path: PathBuf| fs::metadata(path).unwrap().len())
        .sum::<u64>();
    wait_until("all is read", LIMIT, || positions(&kymo) == total);
    assert!(kymo.terminate().success());
    let stored = stored(dir);
    let written = written.load(Ordering::Relaxed);
    let wrong: Vec<_> = stored
        .iter()
        .filter(|(_, (count, _))| *count != 1)
        .take(5)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(stored.len(), written);
    for n in [0, written / 2, written - 1] {
        let line = format!("line {n} of the application {}", "x".repeat(n % 300));
        assert!(stored.contains_key(&line), "{n}");
    }
}

#[test]
fn a_file_of_promtail_is_followed_with_its_stages_and_reloaded() {
    let owned = tempfile::tempdir().unwrap();
    let dir = owned.path();
    let promtail = dir.join("promtail.yaml");
    let write = |more: &str| {
        let text = PROMTAIL.replace("DIR", &dir.display().to_string());
        fs::write(&promtail, text + more).unwrap();
    };
    write("");
    let level = |level: &str, rest: &str| format!("{{\"level\":\"{level}\",{rest}}}\n");
    append(
        &dir.join("a.log"),
        &(level("WARN", "\"msg\":\"mail to a@b.cc\",\"took\":2")
            + &level("DEBUG", "\"msg\":\"no\"")),
    );
    let mut kymo = Kymo::start_in(
        dir,
        &[
            &format!("--logs.promtail-config={}", promtail.display()),
            "--web.enable-lifecycle",
        ],
    );
    assert!(kymo.log().contains("entries go to this server's own store"));
    let text = |kymo: &Kymo| String::from_utf8(kymo.get("/metrics").body).unwrap();
    wait_until("entries are stored", LIMIT, || {
        text(&kymo).contains("promtail_sent_entries_total 1\n")
    });
    let metrics = text(&kymo);
    for line in [
        "logentry_dropped_lines_total{reason=\"debug\"} 1\n",
        "kymo_scrub_findings_total{action=\"replaced\",kind=\"email\"} 1\n",
        "promtail_custom_took_sum{",
        "promtail_targets_active_total{job=\"a\",type=\"file\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // A mistake changes nothing; a new job is followed without touching the other.
    write("  - job_name: b\n    kafka: {brokers: [x]}\n");
    assert_eq!(
        kymo.client().call("POST", "/-/reload", &[], b"").status,
        500
    );
    let more =
        "  - job_name: b\n    static_configs:\n      - labels: {job: b, __path__: 'DIR/b.log'}\n";
    write(&more.replace("DIR", &dir.display().to_string()));
    append(&dir.join("b.log"), "of b\n");
    assert_eq!(
        kymo.client().call("POST", "/-/reload", &[], b"").status,
        200
    );
    wait_until("the new job is followed", LIMIT, || {
        text(&kymo).contains("promtail_sent_entries_total 2\n")
    });
    kymo.signal("TERM");
    assert!(kymo.wait().success());
    let stored = stored(dir);
    let lines: Vec<&str> = stored.keys().map(String::as_str).collect();
    assert_eq!(lines, ["mail to <email>", "of b"]);
    let (_, labels) = &stored["mail to <email>"];
    assert!(
        labels.contains("level=\"warn\"") && labels.contains("service_name=\"a\""),
        "{labels}"
    );
    assert!(labels.ends_with(" detected_level=warn,took=2"), "{labels}");
}

const PROMTAIL: &str = r#"
clients: [{url: 'http://localhost:3100/loki/api/v1/push'}]
scrape_configs:
  - job_name: a
    static_configs:
      - targets: [localhost]
        labels: {job: a, __path__: 'DIR/a.log'}
    pipeline_stages:
      - json: {expressions: {level: , msg: , took: }}
      - template: {source: level, template: '{{ .Value | ToLower }}'}
      - labels: {level: }
      - match: {selector: '{level="debug"} |= "msg"', action: drop, drop_counter_reason: debug}
      - metrics:
          took: {type: Histogram, config: {buckets: [1, 5]}}
      - structured_metadata: {took: }
      - output: {source: msg}
      - scrub: {kinds: [email]}
"#;

/// Returns what the server says of a job.
fn job(kymo: &Kymo, name: &str) -> Value {
    let answer = kymo.get("/api/v1/log_targets").json();
    let mut jobs = answer["data"]["jobs"].as_array().unwrap().iter();
    jobs.find(|job| job["job"] == name).unwrap().clone()
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// Returns lines of the last day with the labels of their streams, sorted by line.
fn lines(kymo: &Kymo, query: &str) -> Vec<(String, Value)> {
    let query = query
        .replace('+', "%2B")
        .replace('"', "%22")
        .replace('{', "%7B")
        .replace('}', "%7D");
    let range = format!("start={}&limit=1000", now_s() - 86_400);
    let answer = kymo.get(&format!("/loki/api/v1/query_range?query={query}&{range}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let mut found = Vec::new();
    for stream in answer["data"]["result"].as_array().unwrap() {
        for value in stream["values"].as_array().unwrap() {
            let line = value[1].as_str().unwrap().to_owned();
            found.push((line, stream["stream"].clone()));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn texts(kymo: &Kymo, query: &str) -> Vec<String> {
    lines(kymo, query)
        .into_iter()
        .map(|(line, _)| line)
        .collect()
}

#[test]
fn files_that_lists_name_are_followed_as_long_as_they_do() {
    let owned = tempfile::tempdir().unwrap();
    let dir = owned.path();
    fs::create_dir(dir.join("lists")).unwrap();
    let flag = config(
        dir,
        "log_configs:\n- job_name: listed\n  file_sd_configs: [{files: ['DIR/lists/*.json']}]\n  relabel_configs:\n  - {source_labels: [app], regex: drop, action: drop}\n",
    );
    let list = |apps: &[&str]| {
        let groups: Vec<Value> = apps
            .iter()
            .map(|app| {
                let path = dir.join(format!("{app}.log")).display().to_string();
                json!({"targets": ["localhost"], "labels": {"app": app, "__path__": path}})
            })
            .collect();
        let whole = dir.join("lists/new");
        fs::write(&whole, Value::from(groups).to_string()).unwrap();
        fs::rename(whole, dir.join("lists/a.json")).unwrap();
    };
    for app in ["one", "two", "drop"] {
        append(
            &dir.join(format!("{app}.log")),
            &format!("first of {app}\n"),
        );
    }
    list(&["one", "drop"]);
    let kymo = Kymo::start_in(dir, &[&flag, "--scrape.discovery-reload-interval=1s"]);
    let all = "{app=~\".+\"}";
    wait_until("a listed file", LIMIT, || {
        texts(&kymo, all) == ["first of one"]
    });
    let dropped = job(&kymo, "listed")["droppedTargets"].clone();
    assert_eq!(dropped[0]["reason"], "dropped by relabelling");
    list(&["one", "two"]);
    wait_until("another file", LIMIT, || {
        texts(&kymo, all) == ["first of one", "first of two"]
    });
    list(&["two"]);
    let followed = || {
        let files = job(&kymo, "listed")["files"].clone();
        let files = files.as_array().unwrap().iter();
        files
            .map(|file| file["path"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let two = dir.join("two.log").display().to_string();
    wait_until("only the other", LIMIT, || followed() == [two.as_str()]);
    append(&dir.join("one.log"), "second of one\n");
    append(&dir.join("two.log"), "second of two\n");
    wait_until("what was listed last", LIMIT, || {
        texts(&kymo, all) == ["first of one", "first of two", "second of two"]
    });
    // One that is listed again goes on where it was left.
    list(&["one", "two"]);
    wait_until("what was written meanwhile", LIMIT, || {
        texts(&kymo, all)
            == [
                "first of one",
                "first of two",
                "second of one",
                "second of two",
            ]
    });
}

#[test]
fn logs_of_pods_are_found_by_their_annotations() {
    let owned = tempfile::tempdir().unwrap();
    let dir = owned.path();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let pod = |name: &str, node: &str| {
        let path = dir.join(format!("{name}.log")).display().to_string();
        json!({
            "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1",
                "annotations": {"logs/path": path}, "labels": {"app": "web"}},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "w:1"}]},
            "status": {"phase": "Running", "podIP": "10.1.0.7", "hostIP": "192.0.2.4"},
        })
    };
    let (here, gone) = (pod("here", host.trim()), Arc::new(AtomicBool::new(false)));
    let listed = json!({"metadata": {"resourceVersion": "7"},
        "items": [here.clone(), pod("elsewhere", "another-node")]});
    let seen = Arc::clone(&gone);
    let api = FakeHttp::start(move |request| {
        let json = "application/json";
        if !request.line.contains("/pods") {
            return (404, json, "{}".to_owned());
        }
        if !request.line.contains("watch=true") {
            return (200, json, listed.to_string());
        }
        wait_until("the pod ends", LIMIT * 2, || seen.load(Ordering::Relaxed));
        let mut object = here.clone();
        object["metadata"]["resourceVersion"] = "8".into();
        let event = json!({"type": "DELETED", "object": object});
        (200, json, format!("{event}\n"))
    });
    for name in ["here", "elsewhere"] {
        append(&dir.join(format!("{name}.log")), &format!("of {name}\n"));
    }
    let text = "log_configs:
- job_name: pods
  kubernetes_sd_configs: [{role: pod, api_server: 'http://API'}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_annotation_logs_path], target_label: __path__}
  - {source_labels: [__meta_kubernetes_pod_node_name], target_label: __host__}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
  - {regex: __meta_kubernetes_pod_label_(.+), action: labelmap}
";
    let flag = config(dir, &text.replace("API", &api.address().to_string()));
    let kymo = Kymo::start_in(dir, &[&flag, "--scrape.discovery-reload-interval=1s"]);
    wait_until("the pod's line", LIMIT, || {
        texts(&kymo, "{app=\"web\"}") == ["of here"]
    });
    let (_, labels) = lines(&kymo, "{pod=\"here\"}").remove(0);
    let path = dir.join("here.log").display().to_string();
    assert_eq!(labels["filename"], path.as_str());
    assert_eq!(labels["service_name"], "web");
    let dropped = job(&kymo, "pods")["droppedTargets"][0]["reason"].clone();
    let reason = dropped.as_str().unwrap();
    assert!(
        reason.starts_with("it is on the host another-node"),
        "{reason}"
    );
    gone.store(true, Ordering::Relaxed);
    wait_until("the pod is gone", LIMIT, || {
        job(&kymo, "pods")["files"].as_array().unwrap().is_empty()
    });
}
