//! The forwarder against receivers in this process that take, refuse and keep silent.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request as Incoming;
use axum::response::Response;
use kymo_ingest::wire::encode::unpack;
use kymo_ingest::wire::write_request::{Part, WriteRequest};
use kymo_ingest::wire::write_request_v2::{self, RequestV2};
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::histogram::{Histogram, IntegerHistogram};
use kymo_storage::model::{Exemplar, Labels, MetricMetadata, MetricType};
use kymo_storage::{StoreOptions, SyncPolicy};
use parking_lot::Mutex;

use super::{BacklogLimits, Forwarder, write_metrics};
use crate::config::{self, Config};
use crate::observe::exposition::{Format, TextWriter};

const LIMIT: Duration = Duration::from_secs(30);

/// In place of a status: no answer before there is another status.
const SILENCE: u16 = 0;

/// Labels, time, bits of the value.
type Sample = (String, i64, u64);

/// A request as a receiver understood it.
#[derive(Debug, Default, Clone)]
struct Got {
    status: u16,
    headers: BTreeMap<String, String>,
    samples: Vec<Sample>,
    n_histograms: usize,
    n_exemplars: usize,
    metadata: Vec<String>,
}

/// A receiver.
struct Receiver {
    address: String,
    status: Arc<AtomicU16>,
    requests: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    async fn start() -> Receiver {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Receiver {
            address: listener.local_addr().unwrap().to_string(),
            status: Arc::new(AtomicU16::new(204)),
            requests: Arc::default(),
        };
        let (status, requests) = (Arc::clone(&receiver.status), Arc::clone(&receiver.requests));
        let router = Router::new().fallback(move |request: Incoming| async move {
            let headers = request.headers().iter();
            let headers = headers.map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned()));
            let headers: BTreeMap<_, _> = headers.collect();
            let body = to_bytes(request.into_body(), 1 << 24).await.unwrap();
            let mut got = read(&headers["content-type"], &body);
            got.headers = headers;
            while status.load(Ordering::SeqCst) == SILENCE {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let status = status.load(Ordering::SeqCst);
            got.status = status;
            let written = |n: usize| if status / 100 == 2 { n } else { 0 };
            let answer = Response::builder()
                .status(status)
                .header(
                    "X-Prometheus-Remote-Write-Samples-Written",
                    written(got.samples.len()),
                )
                .header(
                    "X-Prometheus-Remote-Write-Histograms-Written",
                    written(got.n_histograms),
                )
                .header(
                    "X-Prometheus-Remote-Write-Exemplars-Written",
                    written(got.n_exemplars),
                );
            requests.lock().push(got);
            answer.body(Body::from("reason")).unwrap()
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn requests(&self) -> Vec<Got> {
        self.requests.lock().clone()
    }

    /// Returns the samples of the requests that were taken, in order.
    fn taken(&self) -> Vec<Sample> {
        let requests = self.requests();
        let taken = requests.into_iter().filter(|got| got.status / 100 == 2);
        taken.flat_map(|got| got.samples).collect()
    }

    async fn wait_for(&self, n: usize) {
        until(&format!("{n} samples"), || self.taken().len() >= n).await;
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn read(content_type: &str, body: &[u8]) -> Got {
    let body = unpack(body, 1 << 28).unwrap();
    let mut got = Got::default();
    if content_type == "application/x-protobuf" {
        let mut request = WriteRequest::new(&body);
        while let Some(part) = request.next_part().unwrap() {
            match part {
                Part::Series(series) => {
                    let mut samples = Vec::new();
                    let scanned = series.scan(|t_ms, value| samples.push((t_ms, value)));
                    let scanned = scanned.unwrap();
                    let mut labels = Vec::new();
                    scanned.labels.read(&mut labels).unwrap();
                    let labels = labels
                        .iter()
                        .map(|(n, v)| format!("{}={}", text(n), text(v)));
                    let labels = labels.collect::<Vec<_>>().join(",");
                    got.n_histograms += scanned.n_histograms;
                    got.n_exemplars += scanned.n_exemplars;
                    let samples = samples.into_iter();
                    let samples = samples.map(|(t, v)| (labels.clone(), t, v.to_bits()));
                    got.samples.extend(samples);
                }
                Part::Metadata(found) => got.metadata.push(format!(
                    "{} {} {}",
                    text(found.family),
                    found.kind,
                    text(found.help)
                )),
            }
        }
        return got;
    }
    assert_eq!(
        content_type,
        "application/x-protobuf;proto=io.prometheus.write.v2.Request"
    );
    let mut symbols = Vec::new();
    let mut request = RequestV2::new(&body, &mut symbols).unwrap();
    while let Some(series) = request.next_series().unwrap() {
        let (mut refs, mut samples) = (Vec::new(), Vec::new());
        let found = write_request_v2::read_series(series, &mut refs, &mut samples).unwrap();
        let symbol = |at: u32| text(symbols[at as usize]);
        let labels = refs.as_chunks::<2>().0.iter();
        let labels = labels.map(|&[n, v]| format!("{}={}", symbol(n), symbol(v)));
        let labels = labels.collect::<Vec<_>>().join(",");
        got.n_histograms += found.n_histograms;
        got.n_exemplars += found.n_exemplars;
        if let Some(found) = found.metadata {
            let help = symbol(found.help_ref);
            got.metadata.push(format!("{labels} {} {help}", found.kind));
        }
        let samples = samples.into_iter();
        got.samples
            .extend(samples.map(|(t, v)| (labels.clone(), t, v.to_bits())));
    }
    got
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A store in a directory, and what hands it on.
struct Sending {
    dir: tempfile::TempDir,
    store: Arc<MetricStore>,
    forwarder: Forwarder,
    limits: Arc<Mutex<BacklogLimits>>,
}

fn open(dir: &Path) -> Arc<MetricStore> {
    let mut options = StoreOptions::new(dir);
    options.shards = 4;
    options.wal_sync = SyncPolicy::Never;
    options.wal_segment_bytes = 2048;
    options.max_exemplars = 10;
    Arc::new(MetricStore::open(&options).unwrap().0)
}

impl Sending {
    async fn start(config: &Config) -> Sending {
        let dir = tempfile::tempdir().unwrap();
        Sending::start_in(dir, config).await
    }

    async fn start_in(dir: tempfile::TempDir, config: &Config) -> Sending {
        let store = open(dir.path());
        let limits: Arc<Mutex<BacklogLimits>> = Arc::default();
        let asked = Arc::clone(&limits);
        let forwarder = Forwarder::new(Arc::clone(&store), move || *asked.lock());
        let sending = Sending {
            dir,
            store,
            forwarder,
            limits,
        };
        sending.apply(config).await;
        sending
    }

    /// Lets go of everything but the directory.
    fn close(self) -> tempfile::TempDir {
        let Sending {
            dir,
            store,
            forwarder,
            ..
        } = self;
        drop((store, forwarder));
        dir
    }

    async fn apply(&self, config: &Config) {
        let clients = self.forwarder.prepare(config).unwrap();
        self.forwarder.commit(config, clients).await;
    }

    /// Stores a sample of each of `n` series; returns them as they should be sent.
    fn write(&self, n: u64, t_ms: i64) -> Vec<Sample> {
        let mut appender = self.store.appender();
        let mut written = Vec::new();
        for n in 0..n {
            let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("n", n.to_string())]);
            let series = appender.series(&labels).unwrap();
            let value = (n * 1000) as f64 + t_ms as f64 / 8.0;
            appender.append(series, t_ms, value).unwrap();
            written.push((format!("__name__=m,n={n}"), t_ms, value.to_bits()));
        }
        appender.commit().unwrap();
        written
    }

    fn metrics(&self) -> String {
        let mut writer = TextWriter::new(Format::Text);
        write_metrics(&mut writer, &self.forwarder, self.store.newest_time_ms());
        writer.finish()
    }

    /// Returns a metric that has one queue only.
    fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics();
        let mut lines = metrics.lines();
        let line = lines.find(|line| line.starts_with(&format!("{name}{{")));
        let value = line.unwrap_or_else(|| panic!("no {name} in\n{metrics}"));
        value.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn dropped(&self, reason: &str) -> f64 {
        let name = "prometheus_remote_storage_samples_dropped_total";
        let metrics = self.metrics();
        let mut lines = metrics.lines().filter(|line| line.starts_with(name));
        let line = lines.find(|line| line.contains(&format!("reason=\"{reason}\"")));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn config(receiver: &Receiver, more: &str) -> Config {
    let text = format!(
        "remote_write:\n- url: http://{}/push\n  name: far\n{more}",
        receiver.address
    );
    config::parse(&text, Path::new("")).unwrap()
}

const QUICK: &str = "  queue_config: {batch_send_deadline: 20ms, min_backoff: 5ms, max_backoff: 20ms, max_samples_per_send: 7, capacity: 40}\n";

fn sorted(mut samples: Vec<Sample>) -> Vec<Sample> {
    samples.sort();
    samples
}

/// Panics unless the samples of each series are in order of time.
fn assert_order(samples: &[Sample]) {
    let mut newest: HashMap<&str, i64> = HashMap::new();
    for (labels, t_ms, _) in samples {
        let before = newest.insert(labels, *t_ms);
        assert!(before.is_none_or(|before| before < *t_ms), "{labels}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_sent_once_and_in_order() {
    for version in ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] {
        let receiver = Receiver::start().await;
        let more = format!("{QUICK}  protobuf_message: {version}\n  headers: {{X-Tenant: a}}\n");
        let sending = Sending::start(&config(&receiver, &more)).await;
        let mut stored = Vec::new();
        for step in 1..=30 {
            stored.extend(sending.write(20, step * 1000));
            if step % 10 == 0 {
                receiver.wait_for(stored.len()).await;
            }
        }
        let taken = receiver.taken();
        assert_order(&taken);
        assert_eq!(sorted(taken), sorted(stored.clone()), "{version}");
        for got in receiver.requests() {
            assert!((1..=7).contains(&got.samples.len()));
            assert_eq!(got.headers["content-encoding"], "snappy");
            assert_eq!(got.headers["x-tenant"], "a");
            assert!(got.headers["user-agent"].starts_with("Kymo/"));
            let is_v1 = version == "prometheus.WriteRequest";
            let number = if is_v1 { "0.1.0" } else { "2.0.0" };
            assert_eq!(got.headers["x-prometheus-remote-write-version"], number);
            assert!(!got.headers.contains_key("retry-attempt"));
        }
        let total = stored.len() as f64;
        until("counted", || {
            sending.metric("prometheus_remote_storage_samples_pending") == 0.0
        })
        .await;
        for (name, value) in [
            ("samples_total", total),
            ("samples_failed_total", 0.0),
            ("samples_retried_total", 0.0),
            ("shards", 1.0),
            ("shards_max", 50.0),
            ("shard_capacity", 40.0),
            ("max_samples_per_send", 7.0),
            ("queue_highest_sent_timestamp_seconds", 30.0),
            ("queue_highest_timestamp_seconds", 30.0),
        ] {
            let name = format!("prometheus_remote_storage_{name}");
            assert_eq!(sending.metric(&name), value, "{name}");
        }
        sending.forwarder.stop(LIMIT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_sent_again_until_it_is_taken() {
    let receiver = Receiver::start().await;
    receiver.answers(503);
    let sending = Sending::start(&config(&receiver, QUICK)).await;
    let stored = sending.write(5, 1000);
    until("three attempts", || receiver.requests().len() >= 3).await;
    receiver.answers(204);
    receiver.wait_for(5).await;
    let requests = receiver.requests();
    for (attempt, got) in requests.iter().enumerate() {
        let number = got.headers.get("retry-attempt").map(String::as_str);
        let attempt = attempt.to_string();
        assert_eq!(number, (attempt != "0").then_some(attempt.as_str()));
        assert_eq!(sorted(got.samples.clone()), sorted(stored.clone()));
    }
    until("counted", || {
        let retried = sending.metric("prometheus_remote_storage_samples_retried_total");
        retried == 5.0 * (requests.len() - 1) as f64
    })
    .await;
    assert_eq!(
        sending.metric("prometheus_remote_storage_samples_failed_total"),
        0.0
    );
    sending.forwarder.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_is_lost_and_counted() {
    let receiver = Receiver::start().await;
    let sending = Sending::start(&config(&receiver, QUICK)).await;
    for status in [400, 404, 429] {
        receiver.answers(status);
        let before = receiver.requests().len();
        sending.write(3, 1000 * i64::from(status));
        until("refused", || receiver.requests().len() > before).await;
    }
    until("counted", || {
        sending.metric("prometheus_remote_storage_samples_failed_total") == 9.0
    })
    .await;
    receiver.answers(204);
    let stored = sending.write(3, 500_000);
    receiver.wait_for(3).await;
    assert_eq!(sorted(receiver.taken()), sorted(stored));
    assert_eq!(receiver.requests().len(), 4);
    sending.forwarder.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_tried_again_where_the_section_says_so() {
    let receiver = Receiver::start().await;
    receiver.answers(429);
    let more = QUICK.replace("capacity", "retry_on_http_429: true, capacity");
    let sending = Sending::start(&config(&receiver, &more)).await;
    sending.write(3, 1000);
    until("two attempts", || receiver.requests().len() >= 2).await;
    receiver.answers(204);
    receiver.wait_for(3).await;
    sending.forwarder.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_in_the_log_and_not_in_memory() {
    let receiver = Receiver::start().await;
    receiver.answers(SILENCE);
    let sending = Sending::start(&config(&receiver, QUICK)).await;
    let mut stored = Vec::new();
    for step in 1..=60 {
        stored.extend(sending.write(20, step * 1000));
        if step % 20 == 0 {
            sending.store.snapshot_head().unwrap();
        }
    }
    // Two pieces, of two requests each, wait at most.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pending = sending.metric("prometheus_remote_storage_samples_pending");
    assert!((1.0..=100.0).contains(&pending), "{pending}");
    until("the backlog is seen", || {
        sending.metric("kymo_remote_storage_backlog_bytes") > 1000.0
    })
    .await;
    receiver.answers(204);
    receiver.wait_for(stored.len()).await;
    assert_order(&receiver.taken());
    assert_eq!(sorted(receiver.taken()), sorted(stored));
    sending.forwarder.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_sends_what_is_left_and_a_start_goes_on_where_it_ended() {
    let receiver = Receiver::start().await;
    // Without a stop these would wait for an hour.
    let slow = QUICK.replace("20ms, min", "1h, min");
    let config = config(&receiver, &slow);
    let sending = Sending::start(&config).await;
    let mut stored = sending.write(3, 1000);
    sending.forwarder.stop(LIMIT).await;
    assert_eq!(sorted(receiver.taken()), sorted(stored.clone()));
    // The receiver is out: what is left stays in the log, and nobody waits for it.
    receiver.answers(503);
    let dir = sending.close();
    let sending = Sending::start_in(dir, &config).await;
    stored.extend(sending.write(20, 2000));
    until("tried", || {
        receiver.requests().iter().any(|got| got.status == 503)
    })
    .await;
    let began = Instant::now();
    sending.forwarder.stop(LIMIT).await;
    assert!(began.elapsed() < LIMIT / 2);
    receiver.answers(204);
    let dir = sending.close();
    let sending = Sending::start_in(dir, &config).await;
    stored.extend(sending.write(2, 3000));
    sending.forwarder.stop(LIMIT).await;
    assert_eq!(sorted(receiver.taken()), sorted(stored), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_very_same_requests_come_again() {
    let receiver = Receiver::start().await;
    let config = config(&receiver, QUICK);
    let sending = Sending::start(&config).await;
    let stored = sending.write(30, 1000);
    receiver.wait_for(stored.len()).await;
    until("settled", || {
        sending.metric("prometheus_remote_storage_samples_pending") == 0.0
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1300)).await;
    let first = receiver.requests().len();
    receiver.answers(SILENCE);
    let mut stored = Vec::new();
    for step in 2..=9 {
        stored.extend(sending.write(30, step * 1000));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    // A copy of the directory is what a kill at this moment leaves.
    let copy = tempfile::tempdir().unwrap();
    copy_dir(sending.dir.path(), copy.path());
    receiver.answers(204);
    receiver.wait_for(30 + stored.len()).await;
    let once = receiver.requests()[first..].to_vec();
    let again = Sending::start_in(copy, &config).await;
    let after = first + once.len();
    again.write(1, 20_000);
    until("sent again", || {
        let requests = receiver.requests();
        requests[after..]
            .iter()
            .map(|got| got.samples.len())
            .sum::<usize>()
            > stored.len()
    })
    .await;
    let twice = receiver.requests()[after..].to_vec();
    // The two pieces that were under way; what comes behind is cut anew.
    for at in 0..2 {
        assert_eq!(twice[at].samples, once[at].samples, "request {at}");
    }
    let all: Vec<Sample> = twice.iter().flat_map(|got| got.samples.clone()).collect();
    assert_order(&all);
    stored.push(("__name__=m,n=0".to_owned(), 20_000, 2500f64.to_bits()));
    assert_eq!(
        sorted(all),
        sorted(stored),
        "nothing is lost, nothing done comes again"
    );
    sending.forwarder.stop(LIMIT).await;
    again.forwarder.stop(LIMIT).await;
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy_dir(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_that_changes_goes_on_where_it_was() {
    let receiver = Receiver::start().await;
    let sending = Sending::start(&config(&receiver, QUICK)).await;
    let mut stored = sending.write(5, 1000);
    receiver.wait_for(5).await;
    receiver.answers(503);
    stored.extend(sending.write(5, 2000));
    until("tried", || receiver.requests().len() > 1).await;
    let rules = format!(
        "{QUICK}  write_relabel_configs: [{{source_labels: [n], regex: '0', action: drop}}]\n"
    );
    sending.apply(&config(&receiver, &rules)).await;
    receiver.answers(204);
    stored.extend(sending.write(5, 3000));
    stored.retain(|(labels, t_ms, _)| *t_ms == 1000 || labels != "__name__=m,n=0");
    receiver.wait_for(stored.len()).await;
    assert_eq!(sorted(receiver.taken()), sorted(stored));
    until("counted", || sending.dropped("dropped_series") >= 2.0).await;
    // The same again changes nothing.
    let before = receiver.requests().len();
    sending.apply(&config(&receiver, &rules)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.requests().len(), before);
    sending.apply(&Config::default()).await;
    assert_eq!(sending.metrics(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn exemplars_histograms_and_metadata_go_where_they_are_wanted() {
    let receiver = Receiver::start().await;
    let write = |sending: &Sending| {
        let mut appender = sending.store.appender();
        let labels = Labels::from_pairs([("__name__", "requests_total")]);
        let series = appender.series(&labels).unwrap();
        appender.append(series, 1000, 1.0).unwrap();
        let exemplar = Exemplar {
            labels: Labels::from_pairs([("trace_id", "x")]),
            value: 1.0,
            t_ms: 1000,
            timed: true,
        };
        appender.append_exemplar(series, &exemplar).unwrap();
        let metadata = MetricMetadata {
            kind: MetricType::Counter,
            help: "Requests.".to_owned(),
            unit: String::new(),
        };
        appender.set_metadata("requests_total", &metadata);
        let labels = Labels::from_pairs([("__name__", "latency")]);
        let series = appender.series(&labels).unwrap();
        let histogram = Histogram::Integer(IntegerHistogram {
            count: 3,
            zero_count: 3,
            ..IntegerHistogram::default()
        });
        appender.append_histogram(series, 1000, &histogram).unwrap();
        appender.commit().unwrap();
    };
    let sending = Sending::start(&config(&receiver, QUICK)).await;
    write(&sending);
    receiver.wait_for(1).await;
    let got = receiver.requests().pop().unwrap();
    assert_eq!((got.n_exemplars, got.n_histograms), (0, 0));
    sending.forwarder.stop(LIMIT).await;

    let both = "  send_exemplars: true\n  send_native_histograms: true\n  protobuf_message: io.prometheus.write.v2.Request\n";
    let sending = Sending::start(&config(&receiver, &format!("{QUICK}{both}"))).await;
    write(&sending);
    until("a second request", || receiver.requests().len() == 2).await;
    let got = receiver.requests().pop().unwrap();
    assert_eq!((got.n_exemplars, got.n_histograms), (1, 1));
    assert_eq!(got.metadata, ["__name__=requests_total 1 Requests."]);
    until("counted", || {
        sending.metric("prometheus_remote_storage_histograms_total") == 1.0
            && sending.metric("prometheus_remote_storage_exemplars_total") == 1.0
    })
    .await;
    sending.forwarder.stop(LIMIT).await;

    // In 1.0 metadata has requests of its own.
    let told = "  metadata_config: {send_interval: 50ms}\n";
    let sending = Sending::start(&config(&receiver, &format!("{QUICK}{told}"))).await;
    write(&sending);
    until("metadata", || {
        let requests = receiver.requests();
        requests
            .iter()
            .any(|got| got.metadata == ["requests_total 1 Requests."])
    })
    .await;
    sending.forwarder.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_too_long_is_given_up_and_counted() {
    let receiver = Receiver::start().await;
    receiver.answers(503);
    let sending = Sending::start(&config(&receiver, QUICK)).await;
    let mut last = Vec::new();
    for step in 1..=100 {
        last = sending.write(20, step * 1000);
    }
    until("tried", || !receiver.requests().is_empty()).await;
    sending.limits.lock().time_ms = Some(50_000);
    until("given up", || sending.dropped("out_of_retention") > 0.0).await;
    receiver.answers(204);
    until("the newest arrive", || {
        let taken = receiver.taken();
        last.iter().all(|sample| taken.contains(sample))
    })
    .await;
    let dropped = sending.dropped("out_of_retention");
    let taken = receiver.taken();
    assert_order(&taken);
    assert_eq!(
        dropped as usize + taken.len(),
        2000,
        "each is one or the other"
    );
    let old = taken.iter().filter(|(_, t_ms, _)| *t_ms < 50_000).count();
    // Those that were in memory already.
    assert!(old <= 120, "{old}");
    sending.forwarder.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_samples_are_not_sent_where_there_is_a_limit() {
    let receiver = Receiver::start().await;
    receiver.answers(503);
    let more = QUICK.replace("capacity", "sample_age_limit: 2s, capacity");
    let sending = Sending::start(&config(&receiver, &more)).await;
    let now_ms = crate::clock::now_ms();
    sending.write(3, now_ms - 60_000);
    let in_time = sending.write(3, now_ms);
    until("tried", || {
        receiver.requests().iter().any(|got| got.samples.len() == 3)
    })
    .await;
    assert_eq!(sending.dropped("too_old"), 3.0);
    assert!(
        receiver
            .requests()
            .iter()
            .all(|got| sorted(got.samples.clone()) == sorted(in_time.clone()))
    );
    // They become too old while they wait.
    until("given up", || sending.dropped("too_old") == 6.0).await;
    receiver.answers(204);
    let in_time = sending.write(3, crate::clock::now_ms());
    receiver.wait_for(3).await;
    assert_eq!(sorted(receiver.taken()), sorted(in_time));
    sending.forwarder.stop(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_share_the_series() {
    let receiver = Receiver::start().await;
    let more = QUICK.replace("capacity", "min_shards: 4, capacity");
    let sending = Sending::start(&config(&receiver, &more)).await;
    let mut stored = Vec::new();
    for step in 1..=20 {
        stored.extend(sending.write(40, step * 1000));
    }
    receiver.wait_for(stored.len()).await;
    assert_order(&receiver.taken());
    assert_eq!(sorted(receiver.taken()), sorted(stored));
    assert_eq!(sending.metric("prometheus_remote_storage_shards"), 4.0);
    sending.forwarder.stop(LIMIT).await;
}
