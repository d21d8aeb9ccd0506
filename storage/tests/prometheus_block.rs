//! Blocks against the tools of a real Prometheus: what we write it lists, analyses,
//! dumps and serves as the same samples, and what it writes we read. Skipped, with a
//! line, where `promtool` or `prometheus` is not installed.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kymo_storage::compat::float;
use kymo_storage::model::histogram::{Histogram, HistogramPoint, IntegerHistogram, Span};
use kymo_storage::model::{Labels, TimeRange, stale_marker};
use kymo_storage::prometheus_block::{ImportReport, Reader, Writer, WriterOptions, block_names};

const ULID: &str = "01HF5A3Q00ABCDEFGHJKMNPQRS";
const START_MS: i64 = 1_700_006_400_000;
const END_MS: i64 = START_MS + 7_200_000;
const START_LIMIT: Duration = Duration::from_secs(60);

type Content = BTreeMap<Labels, Vec<(i64, f64)>>;

/// Returns the output of a command, or `None`, with a line, where it is not installed.
fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = match Command::new(program).args(args).output() {
        Ok(output) => output,
        Err(_) => {
            println!("prometheus_block: skipped, {program} is not installed");
            return None;
        }
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {args:?}: {text}{errors}"
    );
    Some(text)
}

/// Two hours of some metrics: plain and odd values, many and few samples.
fn example() -> Content {
    let mut content = Content::new();
    for n in 0..300i64 {
        let labels = Labels::from_pairs([
            ("__name__", format!("metric_{}", n % 7)),
            ("instance", format!("host-{:02}.example:9100", n % 23)),
            ("n", n.to_string()),
            ("text", "quote \" back \\ line \n é €".to_owned()),
        ]);
        let n_samples = [480, 1, 120, 121, 37][n as usize % 5];
        let mut value = 0.0;
        let samples = (0..n_samples).map(|i| {
            let jitter = (i * 7919 + n) % 13;
            value = match n % 4 {
                0 => value + (i % 5) as f64,
                1 => (i as f64 * 0.37).sin() * 1e9,
                2 => 42.0,
                _ => [f64::INFINITY, -0.0, 5e-324, f64::MIN, 0.1][i as usize % 5],
            };
            (START_MS + i * 15_000 + jitter, value)
        });
        content.insert(labels, samples.collect());
    }
    let gone = vec![(START_MS, 1.0), (START_MS + 15_000, stale_marker())];
    content.insert(Labels::from_pairs([("__name__", "gone")]), gone);
    content
}

fn export(dir: &Path, content: &Content) {
    let options = WriterOptions::new(ULID, START_MS, END_MS);
    let mut writer = Writer::create(dir, options).unwrap();
    for (labels, samples) in content {
        let (times, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        writer.series(labels.iter(), &times, &values).unwrap();
    }
    let meta = writer.finish().unwrap().unwrap();
    assert_eq!(meta.n_series, content.len() as u64);
}

/// Returns the lines of `promtool tsdb dump` for samples, sorted.
fn dump_lines(content: &Content) -> Vec<String> {
    let mut lines = Vec::new();
    for (labels, samples) in content {
        let mut named = String::from("{");
        for (name, value) in labels.iter() {
            let separator = if named.len() > 1 { ", " } else { "" };
            // Go quotes as Rust does here: only quotes, backslashes and newlines.
            write!(named, "{separator}{name}={value:?}").unwrap();
        }
        named.push('}');
        for &(t_ms, value) in samples {
            lines.push(format!("{named} {} {t_ms}", float::g(value)));
        }
    }
    lines.sort();
    lines
}

fn sorted_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn promtool_finds_the_samples_that_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let content = example();
    export(dir.path(), &content);
    let Some(list) = run("promtool", &["tsdb", "list", path]) else {
        return;
    };
    let row: Vec<&str> = list.lines().last().unwrap().split_whitespace().collect();
    let n_samples: usize = content.values().map(Vec::len).sum();
    let n_chunks: usize = content.values().map(|s| s.len().div_ceil(120)).sum();
    let expected = [
        ULID.to_owned(),
        START_MS.to_string(),
        END_MS.to_string(),
        "2h0m0s".to_owned(),
        n_samples.to_string(),
        n_chunks.to_string(),
        content.len().to_string(),
    ];
    assert_eq!(row[..7], expected);

    // It dumps only what looks like the directory of a server.
    std::fs::create_dir(dir.path().join("wal")).unwrap();
    let dump = run("promtool", &["tsdb", "dump", path]).unwrap();
    assert_eq!(sorted_lines(&dump), dump_lines(&content));
    // One label pair by its own postings, and one name by those of its values.
    let one = run("promtool", &["tsdb", "dump", "--match={n=\"217\"}", path]).unwrap();
    let mut expected = content.clone();
    expected.retain(|labels, _| labels.get("n") == Some("217"));
    assert_eq!(sorted_lines(&one), dump_lines(&expected));
    let some = run(
        "promtool",
        &[
            "tsdb",
            "dump",
            "--match={__name__=~\"metric_[25]\",instance!~\".*2.*\"}",
            path,
        ],
    );
    let mut expected = content.clone();
    expected.retain(|labels, _| {
        ["metric_2", "metric_5"].contains(&labels.metric_name())
            && !labels.get("instance").unwrap().contains('2')
    });
    assert_eq!(sorted_lines(&some.unwrap()), dump_lines(&expected));

    let analysis = run("promtool", &["tsdb", "analyze", "--extended", path, ULID]).unwrap();
    let analysis = analysis.to_lowercase();
    assert!(analysis.contains("series: 301"), "{analysis}");
    assert!(analysis.contains("label names: 4"), "{analysis}");
    assert!(analysis.contains("23 instance"), "{analysis}");
}

/// A process that ends with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a Prometheus on the directory `data` in `dir`, or returns `None` where it is
/// not installed.
fn start(dir: &Path, args: &[&str]) -> Option<(Peer, SocketAddr)> {
    let config = dir.join("prometheus.yml");
    std::fs::write(&config, "global: {}\n").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let child = Command::new("prometheus")
        .arg(format!("--web.listen-address={address}"))
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.join("data").display()
        ))
        // The blocks are older than what is kept otherwise.
        .arg("--storage.tsdb.retention.time=100y")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        println!("prometheus_block: skipped, prometheus is not installed");
        return None;
    };
    let mut peer = Peer(child);
    let started = Instant::now();
    while ask(address, "GET", "/-/ready", &[]).is_none_or(|(status, _)| status != 200) {
        assert_eq!(peer.0.try_wait().unwrap(), None, "prometheus ended");
        assert!(started.elapsed() < START_LIMIT, "prometheus is not ready");
        std::thread::sleep(Duration::from_millis(100));
    }
    Some((peer, address))
}

/// Returns the answer to a request, or `None` when there is none.
fn ask(address: SocketAddr, method: &str, target: &str, body: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(START_LIMIT)).unwrap();
    // Version 1.0 keeps the answer in one piece.
    let head = format!(
        "{method} {target} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02X}").unwrap();
        out
    })
}

#[test]
fn a_running_prometheus_answers_from_an_exported_block() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let content = example();
    export(&data, &content);
    let Some((_peer, address)) = start(dir.path(), &[]) else {
        return;
    };
    let query = |text: &str| {
        let at = END_MS / 1000 - 1;
        let target = format!("/api/v1/query?query={}&time={at}", escaped(text));
        let (status, body) = ask(address, "GET", &target, &[]).unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()
    };
    let numbered = content
        .iter()
        .filter(|(labels, _)| labels.get("n").is_some());
    let n_samples: usize = numbered.map(|(_, samples)| samples.len()).sum();
    let answer = query("sum(count_over_time({n!=\"\"}[2h]))");
    let value = &answer["data"]["result"][0]["value"][1];
    assert_eq!(value, &n_samples.to_string());
    let answer = query("{n=\"3\"}[2h]");
    let values = answer["data"]["result"][0]["values"].as_array().unwrap();
    let found: Vec<(i64, f64)> = values
        .iter()
        .map(|pair| {
            let t_s = pair[0].as_f64().unwrap();
            (
                (t_s * 1000.0).round() as i64,
                pair[1].as_str().unwrap().parse().unwrap(),
            )
        })
        .collect();
    let (_, samples) = content
        .iter()
        .find(|(labels, _)| labels.get("n") == Some("3"))
        .unwrap();
    assert_eq!(&found, samples);
    // The series ended within five minutes of the time of the query.
    let answer = query(&format!("gone @ {}", START_MS / 1000 + 10));
    assert_eq!(answer["data"]["result"][0]["value"][1], "1");
    let answer = query(&format!("gone @ {}", START_MS / 1000 + 20));
    assert_eq!(answer["data"]["result"], serde_json::json!([]));
    let (_, body) = ask(address, "GET", "/api/v1/label/instance/values", &[]).unwrap();
    assert_eq!(body.matches("host-").count(), 23, "{body}");
}

/// Makes blocks of samples with `promtool`; `None` where it is not installed.
fn make_blocks(dir: &Path, content: &Content) -> Option<()> {
    let mut lines = String::from("# TYPE m gauge\n");
    for (labels, samples) in content {
        let n = labels.get("n").unwrap();
        for (t_ms, value) in samples {
            // Seconds with their milliseconds.
            let (s, ms) = (t_ms / 1000, t_ms % 1000);
            writeln!(lines, "m{{n=\"{n}\"}} {value} {s}.{ms:03}").unwrap();
        }
    }
    lines.push_str("# EOF\n");
    let text = dir.join("metrics.txt");
    std::fs::write(&text, lines).unwrap();
    let data = dir.join("data");
    let args = [
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        text.to_str().unwrap(),
        data.to_str().unwrap(),
    ];
    run("promtool", &args).map(drop)
}

/// Gauges, `n_samples` for each of 50 series.
fn gauges(n_samples: i64) -> Content {
    let series = (0..50i64).map(|n| {
        let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("n", n.to_string())]);
        let samples = (0..n_samples).map(|i| {
            let jitter = (i * 7919 + n) % 13;
            let value = ((i / 3 * n) as f64).sqrt();
            (START_MS + i * 20_000 + jitter, value)
        });
        (labels, samples.collect())
    });
    series.collect()
}

/// Reads all blocks of a data directory; samples by labels.
fn read_blocks(data: &Path, report: &mut ImportReport) -> Content {
    let mut content = Content::new();
    for name in block_names(data).unwrap() {
        let reader = Reader::open(&data.join(&name)).unwrap();
        let meta = reader.meta();
        assert_eq!(meta.ulid, name);
        assert_eq!(meta.n_series, reader.n_series());
        assert_eq!(meta.n_chunks, reader.n_chunks());
        let mut cursor = reader.read(TimeRange::ALL, report);
        while let Some(series) = cursor.next_series().unwrap() {
            if series.timestamps.is_empty() {
                continue;
            }
            let samples = series.timestamps.iter().copied();
            let labels = Labels::from_pairs(series.labels.iter().copied());
            let of_series = content.entry(labels).or_default();
            of_series.extend(samples.zip(series.values.iter().copied()));
        }
    }
    content
}

#[test]
fn what_prometheus_writes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let content = gauges(500);
    if make_blocks(dir.path(), &content).is_none() {
        return;
    }
    let mut report = ImportReport::default();
    let read = read_blocks(&dir.path().join("data"), &mut report);
    assert_eq!(read, content);
    assert_eq!(report.samples, 50 * 500);
    assert_eq!(report.skipped().count(), 0);
}

#[test]
fn chunks_are_those_of_prometheus_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let content = gauges(100);
    if make_blocks(dir.path(), &content).is_none() {
        return;
    }
    let data = dir.path().join("data");
    let names = block_names(&data).unwrap();
    assert_eq!(names.len(), 1);
    let ours = dir.path().join("ours");
    export(&ours, &content);
    for file in ["chunks/000001", "tombstones"] {
        let read = |block: &Path| std::fs::read(block.join(file)).unwrap();
        assert_eq!(read(&data.join(&names[0])), read(&ours.join(ULID)));
    }
}

/// Writes protobuf.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: u64) -> Message {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn double(mut self, field: u64, value: f64) -> Message {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Message {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }
}

/// A remote-write request: a series of floats, and one of each kind of histogram.
fn write_request(n: u64, t_ms: i64) -> Vec<u8> {
    let named = |name: &str| {
        let label = Message::default()
            .bytes(1, b"__name__")
            .bytes(2, name.as_bytes());
        Message::default().bytes(1, &label.0)
    };
    let span = Message::default().number(1, 0).number(2, 2);
    let histogram = |message: Message| {
        message
            .double(3, 1.5 * n as f64)
            .number(4, 0)
            .double(5, 0.001)
            .bytes(11, &span.0)
            .number(15, t_ms as u64)
    };
    // Two buckets with n each, as the first count and the difference to the next.
    let mut deltas = Message::default();
    deltas.varint(2 * n);
    deltas.varint(0);
    let integers = histogram(Message::default().number(1, 2 * n)).bytes(12, &deltas.0);
    let counts = (n as f64).to_le_bytes().repeat(2);
    let floats = histogram(Message::default().double(2, 2.0 * n as f64)).bytes(13, &counts);
    let sample = Message::default()
        .double(1, n as f64)
        .number(2, t_ms as u64);
    let request = Message::default()
        .bytes(1, &named("f").bytes(2, &sample.0).0)
        .bytes(1, &named("h").bytes(4, &integers.0).0)
        .bytes(1, &named("hf").bytes(4, &floats.0).0);
    // Snappy without compression: the length, and one literal with a length of two bytes.
    let mut packed = Message::default();
    packed.varint(request.0.len() as u64);
    packed.0.push(61 << 2);
    packed.0.extend((request.0.len() as u16 - 1).to_le_bytes());
    packed.0.extend(request.0);
    packed.0
}

#[test]
fn a_snapshot_with_histograms_and_deletions_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut content = example();
    export(&data, &content);
    let args = [
        "--web.enable-admin-api",
        "--web.enable-remote-write-receiver",
        "--enable-feature=native-histograms",
    ];
    let Some((_peer, address)) = start(dir.path(), &args) else {
        return;
    };
    let post = |target: &str, body: &[u8]| ask(address, "POST", target, body).unwrap();
    let f = Labels::from_pairs([("__name__", "f")]);
    for n in 1..=200 {
        let t_ms = END_MS + 15_000 * n as i64;
        let (status, body) = post("/api/v1/write", &write_request(n, t_ms));
        assert_eq!(status, 204, "{body}");
        let of_f = content.entry(f.clone()).or_default();
        of_f.push((t_ms, n as f64));
    }
    let delete = |selector: &str, start_ms: i64, end_ms: i64| {
        let seconds = |t_ms: i64| format!("{}.{:03}", t_ms / 1000, t_ms % 1000);
        let target = format!(
            "/api/v1/admin/tsdb/delete_series?match[]={}&start={}&end={}",
            escaped(selector),
            seconds(start_ms),
            seconds(end_ms)
        );
        let (status, body) = post(&target, &[]);
        assert_eq!(status, 204, "{body}");
    };
    delete("metric_3", START_MS + 60_000, START_MS + 600_000);
    delete("metric_3", START_MS + 500_000, START_MS + 900_001);
    delete("{n=\"12\"}", START_MS, END_MS);
    let mut n_deleted = 0;
    for (labels, samples) in &mut content {
        let before = samples.len();
        samples.retain(|&(t_ms, _)| {
            let of_metric = labels.metric_name() == "metric_3"
                && (START_MS + 60_000..=START_MS + 900_001).contains(&t_ms);
            !of_metric && labels.get("n") != Some("12")
        });
        n_deleted += before - samples.len();
    }
    assert!(n_deleted > 1000, "{n_deleted}");
    content.retain(|_, samples| !samples.is_empty());
    let (status, body) = post("/api/v1/admin/tsdb/snapshot", &[]);
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let name = answer["data"]["name"].as_str().unwrap();
    let snapshot = data.join("snapshots").join(name);

    assert_eq!(block_names(&snapshot).unwrap().len(), 2);
    let mut report = ImportReport::default();
    let mut read = read_blocks(&snapshot, &mut report);
    // The stale marker equals nothing.
    let gone = Labels::from_pairs([("__name__", "gone")]);
    content.remove(&gone);
    let of_gone = read.remove(&gone).unwrap();
    assert_eq!(of_gone[1].1.to_bits(), stale_marker().to_bits());
    assert_eq!(read, content);
    assert_eq!(report.deleted, n_deleted as u64);
    assert_eq!(report.skipped().count(), 0);
    for (name, histograms) in read_histograms(&snapshot) {
        assert_eq!(histograms.len(), 200, "{name}");
        for (point, n) in histograms.iter().zip(1u64..) {
            assert_eq!(point.t_ms, END_MS + 15_000 * n as i64);
            let is_float = matches!(point.histogram, Histogram::Float(_));
            assert_eq!(is_float, name == "hf");
            let found = point.histogram.to_float().unwrap();
            let bucket = n as f64;
            assert_eq!((found.count, found.sum), (2.0 * bucket, 1.5 * bucket));
            assert_eq!(found.positive.counts(), [bucket, bucket]);
            assert_eq!((found.schema, found.zero_threshold), (0, 0.001));
        }
    }
}

/// Returns the histograms of the series `h` and `hf` of a data directory, in this order.
fn read_histograms(data: &Path) -> Vec<(String, Vec<HistogramPoint>)> {
    let mut found: BTreeMap<String, Vec<HistogramPoint>> = BTreeMap::new();
    for name in block_names(data).unwrap() {
        let reader = Reader::open(&data.join(&name)).unwrap();
        let mut report = ImportReport::default();
        let mut cursor = reader.read(TimeRange::ALL, &mut report);
        while let Some(series) = cursor.next_series().unwrap() {
            if !series.histograms.is_empty() {
                let of_series = found.entry(series.labels[0].1.to_owned()).or_default();
                of_series.extend_from_slice(series.histograms);
            }
        }
    }
    let names: Vec<&String> = found.keys().collect();
    assert_eq!(names, ["h", "hf"]);
    found.into_iter().collect()
}

#[test]
fn a_running_prometheus_answers_with_exported_histograms() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut writer = Writer::create(&data, WriterOptions::new(ULID, START_MS, END_MS)).unwrap();
    // A counter that is reset once, whose buckets become more, and ends.
    let histogram = |at: i64| {
        let length = if at % 150 < 20 { 3 } else { 5 };
        let count = at % 150 + 1;
        match at {
            479 => IntegerHistogram {
                sum: stale_marker(),
                ..IntegerHistogram::default()
            },
            _ => IntegerHistogram {
                schema: 1,
                zero_threshold: 2f64.powi(-128),
                zero_count: 2,
                count: (2 + count * i64::from(length) + count) as u64,
                sum: count as f64 * 1.25,
                positive_spans: vec![Span { offset: -1, length }],
                positive_deltas: [count, 0, 0, 0, 0][..length as usize].to_vec(),
                negative_spans: vec![Span {
                    offset: 3,
                    length: 1,
                }],
                negative_deltas: vec![count],
                ..IntegerHistogram::default()
            },
        }
    };
    for is_float in [false, true] {
        let name = if is_float { "hf" } else { "h" };
        let point = |at: i64| HistogramPoint {
            t_ms: START_MS + at * 15_000,
            histogram: match is_float {
                true => Histogram::Float(histogram(at).to_float().unwrap()),
                false => Histogram::Integer(histogram(at)),
            },
        };
        let points: Vec<HistogramPoint> = (0..480).map(point).collect();
        let labels = [("__name__", name)];
        writer
            .series_with(labels.into_iter(), &[], &[], &points)
            .unwrap();
    }
    writer.finish().unwrap().unwrap();
    let args = ["--enable-feature=native-histograms"];
    let Some((_peer, address)) = start(dir.path(), &args) else {
        return;
    };
    let query = |text: &str, at: i64| {
        let at = START_MS / 1000 + at * 15;
        let target = format!("/api/v1/query?query={}&time={at}", escaped(text));
        let (status, body) = ask(address, "GET", &target, &[]).unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["data"]["result"].clone()
    };
    for name in ["h", "hf"] {
        for at in [0, 19, 20, 149, 150, 151, 299, 300, 478] {
            let expected = histogram(at);
            let number = |text: String| {
                let result = query(&text, at);
                let value = result[0]["value"][1]
                    .as_str()
                    .unwrap_or_else(|| panic!("{result}"));
                value.parse::<f64>().unwrap()
            };
            assert_eq!(
                number(format!("histogram_count({name})")),
                expected.count as f64
            );
            assert_eq!(number(format!("histogram_sum({name})")), expected.sum);
            let buckets = &query(name, at)[0]["histogram"][1]["buckets"];
            let counts: Vec<f64> = buckets
                .as_array()
                .unwrap()
                .iter()
                .map(|bucket| bucket[3].as_str().unwrap().parse().unwrap())
                .collect();
            let count = expected.negative_deltas[0] as f64;
            let positive = vec![count; expected.positive_deltas.len()];
            let expected = [vec![count, 2.0], positive].concat();
            assert_eq!(counts, expected, "{name} at {at}");
        }
        assert_eq!(query(name, 479), serde_json::json!([]), "it ended");
        let whole = query(&format!("{name}[2h]"), 480);
        assert_eq!(whole[0]["histograms"].as_array().unwrap().len(), 479);
        let result = query(&format!("histogram_count(increase({name}[1h]))"), 478);
        let increase = result[0]["value"][1].as_str().unwrap();
        assert!(
            increase.parse::<f64>().unwrap() > 1000.0,
            "resets are counted: {increase}"
        );
    }
}
