//! Targets that misbehave, scraped by Kymo and by Debian's Prometheus (2.42) at the same
//! time: what both have stored agrees, sample by sample, in each of three phases of the
//! targets' life, and so do the reasons they give. What the older release does otherwise
//! than the one that Kymo follows is listed in [`KNOWN`].
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kymo_tests::{Client, Kymo, Peer, wait_until};
use serde_json::Value;

const START_LIMIT: Duration = Duration::from_secs(60);

/// How long a phase has lasted at least when it is looked at: some scrapes, one of which
/// took all of its timeout.
const PHASE: Duration = Duration::from_millis(3_500);

/// How long the two may take to agree on a machine that is busy.
const AGREE_LIMIT: Duration = Duration::from_secs(90);

/// A job: its path on the target, which is its name, too, and what else its entry says.
const JOBS: [(&str, &str); 28] = [
    ("good", ""),
    ("slow", ""),
    ("slow_body", ""),
    ("huge", "body_size_limit: 100KB"),
    ("huge_gzip", "body_size_limit: 100KB"),
    ("malformed", ""),
    ("no_newline", ""),
    ("no_eof", ""),
    ("twice", ""),
    ("vanishing", ""),
    ("dying", ""),
    ("timed", ""),
    ("timed_vanishing", ""),
    ("timed_ignored", "honor_timestamps: false"),
    ("backwards", ""),
    ("future", ""),
    ("labels", "label_limit: 4"),
    ("label_name", "label_name_length_limit: 12"),
    ("label_value", "label_value_length_limit: 30"),
    ("samples", "sample_limit: 2"),
    (
        "samples_dropped",
        "sample_limit: 2\n  metric_relabel_configs: [{source_labels: [__name__], regex: c, action: drop}]",
    ),
    ("honored", "honor_labels: true"),
    ("exported", ""),
    ("redirect", ""),
    ("redirect_refused", "follow_redirects: false"),
    ("cut_gzip", ""),
    ("closed", ""),
    ("error", ""),
];

/// What differs between the releases: the job, our reason, the reason of 2.42, and why.
const KNOWN: [(&str, &str, &str, &str); 2] = [
    (
        "typed",
        "received unsupported Content-Type \"application/json\" and no fallback_scrape_protocol specified for target",
        "",
        "a content type that is not known is read as text by 2.42, and fails the scrape since 3.0",
    ),
    (
        "nameless",
        "metric name not set while parsing: \"{x=\\\"y\\\"} 2\"",
        "\"INVALID\" is not a valid start token",
        "a line may begin with a brace since 3.0, as a name may stand inside",
    ),
];

/// All that is stored, but for how long scrapes took.
const STORED: &str = "{instance=~\".*\",__name__=~\".+\",__name__!=\"scrape_duration_seconds\"}";

/// The three phases of a target's life.
const PHASES: [&str; 3] = ["at first", "when some is gone", "when it is back"];

/// The target: answers as the path says, and as it is now.
struct Target {
    address: SocketAddr,
    phase: Arc<AtomicUsize>,
}

impl Target {
    fn start() -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let phase = Arc::new(AtomicUsize::new(0));
        let now = Arc::clone(&phase);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let phase = now.load(Ordering::SeqCst);
                std::thread::spawn(move || serve(stream, phase));
            }
        });
        Target { address, phase }
    }
}

fn serve(mut stream: TcpStream, phase: usize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    // Whoever asked may have gone.
    let _ = answer(&mut stream, path.trim_start_matches('/'), phase);
}

const TEXT: &str = "Content-Type: text/plain; version=0.0.4\r\n";

fn answer(stream: &mut TcpStream, path: &str, phase: usize) -> std::io::Result<()> {
    let long = "v".repeat(31);
    let body = match path {
        "slow" => {
            std::thread::sleep(Duration::from_secs(3));
            "a 1\n".to_owned()
        }
        "slow_body" => {
            let head = format!("HTTP/1.1 200 OK\r\n{TEXT}Content-Length: 8\r\n\r\na 1\n");
            stream.write_all(head.as_bytes())?;
            std::thread::sleep(Duration::from_secs(3));
            return Ok(());
        }
        "huge" => many(),
        "huge_gzip" => {
            return send(
                stream,
                200,
                &format!("{TEXT}Content-Encoding: gzip\r\n"),
                &gzip(&many()),
            );
        }
        "malformed" => "a 1\nb 2\nc{x=\"y} 3\nd 4\n".to_owned(),
        "no_newline" => "a 1\nb 2".to_owned(),
        "no_eof" => {
            let kind = "Content-Type: application/openmetrics-text; version=1.0.0\r\n";
            return send(stream, 200, kind, b"a 1\nb 2\n");
        }
        "twice" => "a 1\nb 2\na 3\n".to_owned(),
        "vanishing" if phase == 1 => "a 1\n".to_owned(),
        "vanishing" => format!("a 1\nb {phase}\n"),
        "dying" if phase == 1 => return send(stream, 500, TEXT, b"a 9\n"),
        "timed" => format!("a 1 {}\nb {phase}\n", now_ms() - 400),
        "timed_vanishing" if phase == 1 => "b 2\n".to_owned(),
        "timed_vanishing" => format!("a 1 {}\nb 2\n", now_ms() - 400),
        "timed_ignored" if phase == 1 => "b 2\n".to_owned(),
        "timed_ignored" => "a 1 1000\nb 2\n".to_owned(),
        // The second phase sends what is older than what the first one sent.
        "backwards" => format!("a {phase} {}\n", now_ms() - [400, 20_000, 400][phase]),
        "future" => format!("a 1 {}\nb 2\n", now_ms() + 3_600_000),
        "labels" => "a{x=\"1\"} 1\nb{x=\"1\",y=\"2\"} 2\n".to_owned(),
        "label_name" => "a 1\nb{abcdefghijklm=\"1\"} 2\n".to_owned(),
        "label_value" => format!("a 1\nb{{x=\"{long}\"}} 2\n"),
        "samples" | "samples_dropped" => "a 1\nb 2\nc 3\n".to_owned(),
        "honored" | "exported" => {
            "a{job=\"own\",instance=\"\"} 1\nb{exported_job=\"x\",job=\"y\"} 2\n".to_owned()
        }
        "redirect" | "redirect_refused" => {
            return send(stream, 302, "Location: /good\r\n", b"");
        }
        "cut_gzip" => {
            let packed = gzip(&many());
            let packed = &packed[..packed.len() / 2];
            return send(
                stream,
                200,
                &format!("{TEXT}Content-Encoding: gzip\r\n"),
                packed,
            );
        }
        "closed" => return Ok(()),
        "error" => return send(stream, 503, TEXT, b"a 1\n"),
        "typed" => return send(stream, 200, "Content-Type: application/json\r\n", b"a 1\n"),
        "nameless" => "a 1\n{x=\"y\"} 2\n".to_owned(),
        _ => "a 1\nb{le=\"0.5\"} 2.5\nc NaN\nd +Inf\n".to_owned(),
    };
    send(stream, 200, TEXT, body.as_bytes())
}

fn send(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let words = match status {
        200 => "OK",
        302 => "Found",
        500 => "Internal Server Error",
        _ => "Service Unavailable",
    };
    let len = body.len();
    let head = format!(
        "HTTP/1.1 {status} {words}\r\n{headers}Content-Length: {len}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn many() -> String {
    let lines = (0..10_000).map(|n| format!("many{{n=\"{n}\"}} {n}\n"));
    lines.collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

fn configuration(target: SocketAddr) -> String {
    let mut text =
        "global: {scrape_interval: 1s, scrape_timeout: 900ms}\nscrape_configs:\n".to_owned();
    let known = KNOWN.iter().map(|known| (known.0, ""));
    for (job, more) in JOBS.into_iter().chain(known) {
        text += &format!(
            "- job_name: {job}\n  metrics_path: /{job}\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        if !more.is_empty() {
            text += &format!("  {more}\n");
        }
    }
    // Both targets of this one fail, because there are too many.
    text += &format!(
        "- job_name: targets\n  target_limit: 1\n  metrics_path: /good\n  static_configs: [{{targets: ['{target}', 'localhost:{}']}}]\n",
        target.port()
    );
    text
}

/// Evaluates a query that gives a vector: value by labels.
fn vector(client: Client, query: &str, time_s: f64) -> BTreeMap<String, String> {
    let params = [("query", query), ("time", &time_s.to_string())];
    let answer = client.post_form("/api/v1/query", &params).json();
    let Some(result) = answer["data"]["result"].as_array() else {
        panic!("{query}: {answer}");
    };
    let value = |sample: &Value| sample["value"][1].as_str().unwrap().to_owned();
    result
        .iter()
        .map(|sample| (sample["metric"].to_string(), value(sample)))
        .collect()
}

/// Returns the reasons for failures by job.
fn reasons(client: Client) -> BTreeMap<String, String> {
    let answer = client.get("/api/v1/targets").json();
    let targets = answer["data"]["activeTargets"].as_array().unwrap().clone();
    let text = |target: &Value, name: &str| target[name].as_str().unwrap().to_owned();
    targets
        .iter()
        .map(|t| (text(t, "scrapePool"), text(t, "lastError")))
        .collect()
}

fn is_known(text: &str) -> bool {
    let job = |known: &str| text.contains(&format!("\"{known}\""));
    KNOWN.iter().any(|known| job(known.0))
}

/// Returns what two answers do not agree on.
fn differences(
    what: &str,
    ours: &BTreeMap<String, String>,
    theirs: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut found = Vec::new();
    for key in ours.keys().chain(theirs.keys()) {
        let (our, their) = (ours.get(key), theirs.get(key));
        if our != their {
            found.push(format!("{what} {key}: {our:?}, not {their:?}"));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Error texts of parsers differ between the releases; that there is one does not.
fn comparable(mut reasons: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for job in ["malformed", "no_newline", "no_eof"] {
        if let Some(reason) = reasons.get_mut(job).filter(|reason| !reason.is_empty()) {
            "some".clone_into(reason);
        }
    }
    reasons.retain(|job, _| !KNOWN.iter().any(|known| known.0 == job));
    reasons
}

/// Compares everything that was stored at a time, and why scrapes failed.
fn all_differences(time_s: f64, ours: Client, theirs: Client) -> Vec<String> {
    let stored = |client: Client| {
        let mut stored = vector(client, STORED, time_s);
        stored.retain(|labels, _| !is_known(labels) && !labels.contains("scrape_series_added"));
        stored
    };
    let mut found = differences("sample", &stored(ours), &stored(theirs));
    let (our_reasons, their_reasons) = (comparable(reasons(ours)), comparable(reasons(theirs)));
    found.extend(differences("reason", &our_reasons, &their_reasons));
    found
}

#[test]
fn what_is_stored_of_targets_that_misbehave_is_what_prometheus_stores() {
    let target = Target::start();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("prometheus.yml");
    std::fs::write(&config, configuration(target.address)).unwrap();
    let config = format!("--config.file={}", config.display());
    let data = format!(
        "--storage.tsdb.path={}",
        dir.path().join("theirs").display()
    );
    let Some(prometheus) = Peer::start("prometheus", dir.path(), &[&config, &data]) else {
        return;
    };
    prometheus.wait_ready();
    let kymo = Kymo::start_in(Path::new(dir.path()), &[&config]);
    let (ours, theirs) = (kymo.client(), prometheus.client());
    let scraped = |client| vector(client, "up", now_ms() as f64 / 1e3).len();
    wait_until("the first scrapes", START_LIMIT, || {
        scraped(ours) == scraped(theirs) && scraped(ours) > JOBS.len()
    });
    for (phase, name) in PHASES.into_iter().enumerate() {
        target.phase.store(phase, Ordering::SeqCst);
        let began = Instant::now();
        std::thread::sleep(PHASE);
        loop {
            // What is being scraped just now is not looked at.
            let time_s = now_ms() as f64 / 1e3 - 0.1;
            let found = all_differences(time_s, ours, theirs);
            if found.is_empty() {
                break;
            }
            assert!(
                began.elapsed() < AGREE_LIMIT,
                "{name}:\n{}",
                found.join("\n")
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let (our_reasons, their_reasons) = (reasons(ours), reasons(theirs));
    for (job, our, their, why) in KNOWN {
        let found = (our_reasons[job].as_str(), their_reasons[job].as_str());
        assert_eq!(found, (our, their), "{job}: {why}");
    }
    // Over the whole life of a target both have seen the same series come.
    let added = "sum by (job) (sum_over_time(scrape_series_added[5m])) > 0";
    let time_s = now_ms() as f64 / 1e3;
    // Where a busy machine made one of them miss a scrape, the series have come once more.
    let turns = "sum by (job) (changes(up[5m]))";
    let (our_turns, their_turns) = (vector(ours, turns, time_s), vector(theirs, turns, time_s));
    let count = |client| {
        let mut counts = vector(client, added, time_s);
        counts.retain(|job, _| !is_known(job) && our_turns.get(job) == their_turns.get(job));
        counts
    };
    let (our_counts, their_counts) = (count(ours), count(theirs));
    let found = differences("series added", &our_counts, &their_counts);
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(their_counts.len() > 5, "{their_counts:?}");
    assert!(kymo.terminate().success());
}
