//! An exporter that exposes native histograms by protobuf, scraped by Kymo and by a real
//! Prometheus: the same buckets are stored, and quantiles fall into the same buckets.
//!
//! The exporter's histograms follow from the time, in steps, and bring that time with
//! them, so that both store the same samples whenever they ask.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Client, Kymo, Peer, wait_until};
use serde_json::Value;

const PROTOBUF: &str = "application/vnd.google.protobuf; \
                        proto=io.prometheus.client.MetricFamily; encoding=delimited";
const LIMIT: Duration = Duration::from_secs(60);

/// How long the histograms stay as they are. Both ask several times meanwhile.
const STEP_S: u64 = 2;

fn now_s() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs_f64()
}

/// Appends a number of protobuf.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn signed(out: &mut Vec<u8>, field: u64, value: i64) {
    number(out, field, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn span(out: &mut Vec<u8>, field: u64, offset: i64, length: u64) {
    let mut span = Vec::new();
    signed(&mut span, 1, offset);
    number(&mut span, 2, length);
    bytes(out, field, &span);
}

/// A histogram of whole counts that grow with `n`, with buckets on both sides.
fn whole(n: u64) -> Vec<u8> {
    let positive = [2 * n, n, 0, 5 * n];
    let negative = [n, 3];
    let zero = 1;
    let mut out = Vec::new();
    let all: u64 = positive.iter().chain(&negative).sum();
    number(&mut out, 1, all + zero);
    double(&mut out, 2, n as f64 * 1.25);
    signed(&mut out, 5, 3);
    double(&mut out, 6, 0.001);
    number(&mut out, 7, zero);
    span(&mut out, 9, 2, 2);
    span(&mut out, 12, -1, 2);
    span(&mut out, 12, 3, 2);
    for (field, counts) in [(10, &negative[..]), (13, &positive)] {
        let mut last = 0;
        for count in counts {
            let count = count.cast_signed();
            signed(&mut out, field, count - last);
            last = count;
        }
    }
    out
}

/// A histogram of counts that are not whole.
fn float(n: u64) -> Vec<u8> {
    let counts = [n as f64 / 4.0, 0.5];
    let mut out = Vec::new();
    double(&mut out, 2, 0.125);
    double(&mut out, 4, counts.iter().sum());
    signed(&mut out, 5, 0);
    double(&mut out, 6, 0.5);
    span(&mut out, 12, 1, 2);
    for count in counts {
        double(&mut out, 14, count);
    }
    out
}

/// What is exposed `n` steps after the epoch.
fn body(n: u64) -> Vec<u8> {
    let grown = n % 1000;
    let mut family = Vec::new();
    bytes(&mut family, 1, b"h");
    bytes(&mut family, 2, b"Some histograms.");
    number(&mut family, 3, 4);
    for (kind, histogram) in [("whole", whole(grown)), ("float", float(grown))] {
        let (mut label, mut metric) = (Vec::new(), Vec::new());
        bytes(&mut label, 1, b"kind");
        bytes(&mut label, 2, kind.as_bytes());
        bytes(&mut metric, 1, &label);
        number(&mut metric, 6, n * STEP_S * 1000);
        bytes(&mut metric, 7, &histogram);
        bytes(&mut family, 4, &metric);
    }
    let mut body = Vec::new();
    varint(&mut body, family.len() as u64);
    body.extend_from_slice(&family);
    body
}

/// Answers whoever asks for protobuf first with histograms, and others with nothing.
fn answer(mut stream: TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let accept = head.lines().find_map(|line| line.strip_prefix("accept:"))?;
    let wants_protobuf = accept.trim().starts_with("application/vnd.google.protobuf");
    let (content_type, body) = match wants_protobuf {
        true => (PROTOBUF, body(now_s() as u64 / STEP_S)),
        false => ("text/plain; version=0.0.4", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).ok()
}

fn exporter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn configuration(exporter: SocketAddr, more: &str) -> String {
    format!(
        "global:
  scrape_interval: 250ms
  scrape_timeout: 250ms
{more}scrape_configs:
  - job_name: x
    static_configs:
      - targets: ['{exporter}']
"
    )
}

/// Evaluates a query that gives a vector, in order of labels.
fn vector(client: Client, query: &str, time_s: u64) -> Vec<Value> {
    let params = [("query", query), ("time", &time_s.to_string())];
    let answer = client.post_form("/api/v1/query", &params).json();
    let Some(result) = answer["data"]["result"].as_array() else {
        panic!("{query}: {answer}");
    };
    let mut result = result.clone();
    result.sort_by_key(|sample| sample["metric"].to_string());
    result
}

fn value(sample: &Value) -> f64 {
    sample["value"][1].as_str().unwrap().parse().unwrap()
}

#[test]
fn native_histograms_are_the_same_in_kymo_and_in_prometheus() {
    let exporter = exporter();
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = |dir: &Path, more: &str| {
        let path = dir.join("prometheus.yml");
        std::fs::write(&path, configuration(exporter, more)).unwrap();
        format!("--config.file={}", path.display())
    };
    let config = write(theirs.path(), "");
    let args = [
        &config,
        "--storage.tsdb.path=data",
        "--enable-feature=native-histograms",
    ];
    let Some(prometheus) = Peer::start("prometheus", theirs.path(), &args) else {
        return;
    };
    prometheus.wait_ready();
    let config = write(ours.path(), "  scrape_native_histograms: true\n");
    let kymo = Kymo::start_in(ours.path(), &[&config]);
    let clients = [kymo.client(), prometheus.client()];
    wait_until("the first scrapes", LIMIT, || {
        let time_s = now_s() as u64;
        let seen = |client| vector(client, "h", time_s).len() == 2;
        clients.into_iter().all(seen)
    });
    // Behind the first scrapes both have every step, also the one before these.
    let first_s = (now_s() as u64 / STEP_S + 2) * STEP_S;
    let last_s = first_s + 2 * STEP_S;
    wait_until("three steps", LIMIT, || now_s() > (last_s + STEP_S) as f64);

    for time_s in [first_s, first_s + STEP_S, last_s] {
        for query in [
            "h",
            "sum(h)",
            "histogram_count(h)",
            "histogram_sum(h)",
            "h + h offset 2s",
        ] {
            let [ours, theirs] = clients.map(|client| vector(client, query, time_s));
            assert!(
                !theirs.is_empty(),
                "{query} at {time_s}: nothing to compare with"
            );
            assert_eq!(ours, theirs, "{query} at {time_s}\n{}", kymo.log());
        }
        // Within a bucket newer releases of Prometheus interpolate otherwise.
        for (query, growth) in [
            (
                "histogram_quantile(0.9, h{kind=\"whole\"})",
                2f64.powf(0.125),
            ),
            (
                "histogram_quantile(0.1, h{kind=\"whole\"})",
                2f64.powf(0.125),
            ),
            ("histogram_quantile(0.5, h{kind=\"float\"})", 2.0),
        ] {
            let [ours, theirs] = clients.map(|client| vector(client, query, time_s));
            let (ours, theirs) = (value(&ours[0]), value(&theirs[0]));
            let ratio = ours / theirs;
            assert!(
                ratio < growth && ratio > growth.recip(),
                "{query} at {time_s}: {ours}, {theirs}"
            );
        }
    }
    // They were native all the way: no classic series came with them.
    for client in clients {
        assert_eq!(
            vector(client, "{__name__=~\"h_.*\"}", last_s),
            [Value::Null; 0]
        );
    }
    assert!(kymo.terminate().success());
}
