//! A fresh server for each section, loaded as the corpus' README says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kymo_storage::model::histogram::{
    Buckets, CounterResetHint, FloatHistogram, Histogram, IntegerHistogram, Span,
};
use kymo_tests::{Client, Exemplar, Kymo, WriteBody, wait_until};
use serde_json::Value;

use crate::corpus;

/// Where the `live` section's targets look for the exposition.
const EXPOSITION_ADDRESS: &str = "127.0.0.1:29490";
const LIMIT: Duration = Duration::from_secs(60);
/// How long a server goes on before it is asked, as the reference did.
const SETTLE: Duration = Duration::from_secs(6);
/// Length of the slices of time in which samples are loaded.
const SLICE_MS: i64 = 600_000;
/// Samples of one remote-write request.
const BATCH: usize = 20_000;

/// A running server and what it needs beside it.
pub(crate) struct Section {
    kymo: Kymo,
    _dir: tempfile::TempDir,
    _exposition: Option<Exposition>,
}

impl Section {
    pub(crate) fn client(&self) -> Client {
        self.kymo.client()
    }
}

/// Starts the server of a section and waits until it may be asked.
pub(crate) fn start(name: &str, folder: &Path, document: &Value) -> Section {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "yml") {
            let target = dir.path().join(path.file_name().unwrap());
            std::fs::copy(&path, target).unwrap();
        }
    }
    let config = format!("config-{name}.yml");
    let mut args = flags(document);
    if dir.path().join(&config).is_file() {
        args.push(format!("--config.file={config}"));
    }
    let exposition = (name == "live").then(|| Exposition::serve(folder));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let kymo = Kymo::start_in(dir.path(), &args);
    match name {
        "read" => {
            load(&kymo, folder, document);
            wait_until("a target is listed", LIMIT, || !targets(&kymo).is_empty());
        }
        "live" => {
            wait_until("every target was scraped", LIMIT, || {
                let targets = targets(&kymo);
                !targets.is_empty() && targets.iter().all(|target| target["health"] != "unknown")
            });
            wait_until("every rule was evaluated", LIMIT, || {
                let rules = rules(&kymo);
                !rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")
            });
            // Alerts begin to write their series after the second evaluation.
            std::thread::sleep(SETTLE);
        }
        _ => {}
    }
    Section {
        kymo,
        _dir: dir,
        _exposition: exposition,
    }
}

fn targets(kymo: &Kymo) -> Vec<Value> {
    let answer = kymo.get("/api/v1/targets");
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(mut json) => match json["data"]["activeTargets"].take() {
            Value::Array(targets) => targets,
            _ => Vec::new(),
        },
        Err(_) => Vec::new(),
    }
}

fn rules(kymo: &Kymo) -> Vec<Value> {
    let answer = kymo.get("/api/v1/rules");
    let json = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let groups = json["data"]["groups"].as_array().cloned();
    let rules = groups.into_iter().flatten();
    rules
        .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
        .collect()
}

/// The retention of the reference, its default; that of Kymo is another.
const RETENTION: &str = "--storage.tsdb.retention.time=15d";

/// The flags of the reference that Kymo has.
fn flags(document: &Value) -> Vec<String> {
    let has = kymo_flags();
    let flags = document["about"]["flags"].as_array().unwrap();
    let flags = flags.iter().map(|flag| flag.as_str().unwrap().to_owned());
    flags
        .filter(|flag| has.contains(flag.split('=').next().unwrap()))
        .chain([RETENTION.to_owned()])
        .collect()
}

fn kymo_flags() -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kymo-e2e"))
        .arg("--help")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A sample of the corpus.
enum Loaded {
    Float(f64),
    Histogram(Histogram),
}

/// Loads all samples by remote write, then the exemplars. Series come in the order
/// of the corpus, in which they are created; their samples come in slices of time, because
/// what is far behind the newest sample is refused.
fn load(kymo: &Kymo, folder: &Path, document: &Value) {
    let promql = folder.join("../promql/golden.json.gz");
    let promql = corpus::read_json(&promql);
    let mut by_time: BTreeMap<i64, Vec<(usize, i64, Loaded)>> = BTreeMap::new();
    let mut labels: Vec<Vec<(String, String)>> = Vec::new();
    let base = promql["series"].as_array().unwrap();
    let extra = document["extraSeries"].as_array().unwrap();
    for series in base.iter().chain(extra) {
        labels.push(pairs(&series["labels"]));
        let samples = series.get("samples").and_then(Value::as_array);
        for sample in samples.into_iter().flatten() {
            let t_ms = sample[0].as_i64().unwrap();
            let value = corpus_float(&sample[1]);
            let slice = by_time.entry(t_ms.div_euclid(SLICE_MS)).or_default();
            slice.push((labels.len() - 1, t_ms, Loaded::Float(value)));
        }
        let histograms = series.get("histograms").and_then(Value::as_array);
        for sample in histograms.into_iter().flatten() {
            let t_ms = sample["t"].as_i64().unwrap();
            let slice = by_time.entry(t_ms.div_euclid(SLICE_MS)).or_default();
            slice.push((labels.len() - 1, t_ms, Loaded::Histogram(histogram(sample))));
        }
    }
    let mut body = WriteBody::new();
    let mut held = 0;
    for samples in by_time.into_values() {
        for (series, t_ms, sample) in samples {
            match sample {
                Loaded::Float(value) => body.push_series(&labels[series], &[(t_ms, value)]),
                Loaded::Histogram(found) => body.push_histogram(&labels[series], t_ms, &found),
            }
            held += 1;
        }
        if held >= BATCH {
            send(kymo, &std::mem::take(&mut body));
            held = 0;
        }
    }
    send(kymo, &body);
    let mut body = WriteBody::new();
    for series in extra {
        let exemplars = series.get("exemplars").and_then(Value::as_array);
        let exemplars: Vec<_> = exemplars.into_iter().flatten().map(exemplar).collect();
        body.push_exemplars(&pairs(&series["labels"]), None, &exemplars);
    }
    send(kymo, &body);
}

fn histogram(sample: &Value) -> Histogram {
    let list = |name: &str| {
        sample
            .get(name)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let number = |name: &str| sample.get(name).map_or(0.0, corpus_float);
    let spans = |name: &str| -> Vec<Span> {
        let pairs = list(name).into_iter();
        let pairs = pairs.map(|span| (span[0].as_i64().unwrap(), span[1].as_u64().unwrap()));
        pairs
            .map(|(offset, length)| Span {
                offset: offset.try_into().unwrap(),
                length: length.try_into().unwrap(),
            })
            .collect()
    };
    let floats = |name: &str| -> Vec<f64> { list(name).iter().map(corpus_float).collect() };
    let hint = match sample.get("reset_hint").and_then(Value::as_i64) {
        Some(3) => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    };
    let schema = sample["schema"].as_i64().unwrap().try_into().unwrap();
    if sample["float"] == true {
        let side = |spans_of: &str, counts: &str| {
            Buckets::from_spans(&spans(spans_of), floats(counts)).unwrap()
        };
        return Histogram::Float(FloatHistogram {
            counter_reset_hint: hint,
            schema,
            zero_threshold: number("zero_threshold"),
            zero_count: number("zero_count"),
            count: number("count"),
            sum: number("sum"),
            positive: side("positive_spans", "positive_counts"),
            negative: side("negative_spans", "negative_counts"),
            custom_bounds: floats("custom_values").into(),
        });
    }
    let whole = |name: &str| sample.get(name).and_then(Value::as_u64).unwrap_or(0);
    let deltas = |name: &str| -> Vec<i64> {
        list(name)
            .iter()
            .map(|delta| delta.as_i64().unwrap())
            .collect()
    };
    Histogram::Integer(IntegerHistogram {
        counter_reset_hint: hint,
        schema,
        zero_threshold: number("zero_threshold"),
        zero_count: whole("zero_count"),
        count: whole("count"),
        sum: number("sum"),
        positive_spans: spans("positive_spans"),
        positive_deltas: deltas("positive_deltas"),
        negative_spans: spans("negative_spans"),
        negative_deltas: deltas("negative_deltas"),
        custom_bounds: floats("custom_values").into(),
    })
}

fn exemplar(exemplar: &Value) -> Exemplar {
    Exemplar {
        t_ms: exemplar["t"].as_i64().unwrap(),
        value: corpus_float(&exemplar["value"]),
        labels: pairs(&exemplar["labels"]),
    }
}

fn pairs(labels: &Value) -> Vec<(String, String)> {
    let pairs = labels.as_object().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    pairs.map(|(n, v)| (n.clone(), text(v))).collect()
}

fn send(kymo: &Kymo, body: &WriteBody) {
    let answer = kymo.write(body);
    assert_eq!(answer.status, 204, "load: {answer:?}");
}

fn corpus_float(value: &Value) -> f64 {
    match value.as_str() {
        Some("nan") => f64::NAN,
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        Some("stale") => kymo_storage::model::stale_marker(),
        Some(text) => text.parse().unwrap(),
        None => value.as_f64().unwrap(),
    }
}

/// Serves the corpus' exposition to whoever connects.
struct Exposition {
    stop: Arc<AtomicBool>,
}

impl Exposition {
    fn serve(folder: &Path) -> Exposition {
        let text = std::fs::read_to_string(folder.join("exposition.txt")).unwrap();
        let mut listener = None;
        wait_until("the address of the exposition is free", LIMIT, || {
            listener = TcpListener::bind(EXPOSITION_ADDRESS).ok();
            listener.is_some()
        });
        let listener = listener.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let mut request = [0; 4096];
                let _read = stream.read(&mut request);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n",
                    text.len()
                );
                let _sent = stream.write_all((head + &text).as_bytes());
            }
        });
        Exposition { stop }
    }
}

impl Drop for Exposition {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // One last connection lets the loop see it.
        let _woken = std::net::TcpStream::connect(EXPOSITION_ADDRESS);
    }
}
