//! Following files with the real server: they are rotated while they are written, and the
//! server is killed again and again; every line is stored, and once.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kymo_storage::logs::{LogStore, LogStoreOptions};
use kymo_storage::model::NanoRange;
use kymo_tests::{Kymo, wait_until};

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
