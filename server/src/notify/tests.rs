//! The notifier against receivers in this process that take, refuse and keep silent.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use http::StatusCode;
use kymo_ingest::discovery::{DnsServers, SourceStats, Surroundings};
use kymo_storage::model::Labels;
use parking_lot::Mutex;
use serde_json::Value;

use super::{AlertSink, Notifier, NotifyOptions, OutgoingAlert, write_metrics};
use crate::config::{self, Config};
use crate::observe::exposition::{Format, TextWriter};

const LIMIT: Duration = Duration::from_secs(20);

/// In place of a status: no answer before there is another status.
const SILENCE: u16 = 0;

/// A receiver of alerts.
struct Receiver {
    address: String,
    status: Arc<AtomicU16>,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Receiver {
    async fn start() -> Receiver {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Receiver {
            address: listener.local_addr().unwrap().to_string(),
            status: Arc::new(AtomicU16::new(200)),
            requests: Arc::default(),
        };
        let (status, requests) = (Arc::clone(&receiver.status), Arc::clone(&receiver.requests));
        let router = Router::new().fallback(move |request: Request| async move {
            let head = format!(
                "{} {} {}",
                request.method(),
                request.uri().path(),
                request.headers()["content-type"].to_str().unwrap()
            );
            let body = to_bytes(request.into_body(), 1 << 24).await.unwrap();
            let body = serde_json::from_slice(&body).unwrap();
            requests.lock().push((head, body));
            while status.load(Ordering::SeqCst) == SILENCE {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap()
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn url(&self) -> String {
        format!("http://{}/api/v2/alerts", self.address)
    }

    /// Returns the names of the alerts of each request.
    fn names(&self) -> Vec<Vec<String>> {
        let requests = self.requests.lock();
        let names = requests.iter().map(|(_, body)| {
            let alerts = body.as_array().unwrap().iter();
            let name = |alert: &Value| alert["labels"]["alertname"].as_str().unwrap().to_owned();
            alerts.map(name).collect()
        });
        names.collect()
    }

    async fn wait_for(&self, expected: &[&[&str]]) {
        until(&format!("{expected:?}"), || self.names() == expected).await;
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const OPTIONS: NotifyOptions = NotifyOptions {
    capacity: 10,
    batch_size: 4,
    drain: true,
};

fn notifier(options: NotifyOptions) -> Arc<Notifier> {
    let surroundings = Surroundings {
        read_yaml: config::parse_target_groups,
        read_kubeconfig: config::parse_kubeconfig,
        dns: DnsServers::default(),
        clock: Arc::new(crate::clock::now_ns),
        stats: Arc::new(SourceStats::default()),
    };
    Arc::new(Notifier::new(options, surroundings))
}

fn apply(notifier: &Notifier, config: &Config) -> Result<(), String> {
    let sections = notifier.prepare(config)?;
    notifier.commit(config, sections);
    Ok(())
}

fn parse(text: &str) -> Config {
    config::parse(text, Path::new("")).unwrap()
}

/// A configuration with one section for each list of addresses.
fn sections(sections: &[&[&str]]) -> Config {
    sections_within("1m", sections)
}

fn sections_within(timeout: &str, sections: &[&[&str]]) -> Config {
    let mut text = "alerting:\n  alertmanagers:\n".to_owned();
    for addresses in sections {
        let addresses = addresses.join(", ");
        text +=
            &format!("  - timeout: {timeout}\n    static_configs: [{{targets: [{addresses}]}}]\n");
    }
    parse(&text)
}

fn alerts<const N: usize>(names: [&str; N]) -> Vec<OutgoingAlert> {
    let alert = |name: &str| OutgoingAlert {
        labels: Labels::from_pairs([("alertname", name)]),
        annotations: Labels::empty(),
        starts_at_ms: 0,
        ends_at_ms: 1,
        generator_url: String::new(),
    };
    names.map(alert).into()
}

/// Returns a figure of an Alertmanager; `None` where it is not shown.
fn figure(notifier: &Notifier, name: &str, url: &str) -> Option<f64> {
    let mut writer = TextWriter::new(Format::Text);
    write_metrics(&mut writer, notifier);
    let text = writer.finish();
    let start = format!("prometheus_notifications_{name}{{alertmanager=\"{url}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start))?;
    Some(line.parse().unwrap())
}

#[tokio::test]
async fn alerts_are_posted_in_batches_and_in_order() {
    let receiver = Receiver::start().await;
    let notifier = notifier(OPTIONS);
    apply(&notifier, &sections(&[&[&receiver.address]])).unwrap();
    notifier.send(alerts(["a", "b", "c", "d", "e", "f"]));
    receiver
        .wait_for(&[&["a", "b", "c", "d"], &["e", "f"]])
        .await;
    let head = receiver.requests.lock()[0].0.clone();
    assert_eq!(head, "POST /api/v2/alerts application/json");
    let url = receiver.url();
    until("both counted", || {
        figure(&notifier, "sent_total", &url) == Some(6.0)
    })
    .await;
    for (name, value) in [
        ("errors_total", 0.0),
        ("dropped_total", 0.0),
        ("queue_length", 0.0),
        ("latency_seconds_count", 2.0),
        ("latency_histogram_seconds_count", 2.0),
    ] {
        assert_eq!(figure(&notifier, name, &url), Some(value), "{name}");
    }
    notifier.send(Vec::new());
    notifier.stop().await;
    notifier.send(alerts(["late"]));
    assert_eq!(receiver.names().len(), 2);
}

#[tokio::test]
async fn a_refused_batch_is_lost_and_the_next_one_is_sent() {
    let receiver = Receiver::start().await;
    let notifier = notifier(OPTIONS);
    apply(&notifier, &sections(&[&[&receiver.address]])).unwrap();
    let url = receiver.url();
    receiver.answers(503);
    notifier.send(alerts(["a", "b"]));
    until("the refusal", || {
        figure(&notifier, "errors_total", &url) == Some(2.0)
    })
    .await;
    assert_eq!(figure(&notifier, "dropped_total", &url), Some(2.0));
    receiver.answers(202);
    notifier.send(alerts(["c"]));
    receiver.wait_for(&[&["a", "b"], &["c"]]).await;
    until("the delivery", || {
        figure(&notifier, "sent_total", &url) == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn a_silent_receiver_holds_up_nobody_and_loses_the_oldest() {
    let (silent, other) = (Receiver::start().await, Receiver::start().await);
    silent.answers(SILENCE);
    let notifier = notifier(OPTIONS);
    let config = sections(&[&[&silent.address, &other.address]]);
    apply(&notifier, &config).unwrap();
    notifier.send(alerts(["a"]));
    silent.wait_for(&[&["a"]]).await;
    for (i, name) in ["b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"]
        .into_iter()
        .enumerate()
    {
        notifier.send(alerts([name]));
        until("the other", || other.names().concat().len() == i + 2).await;
    }
    assert_eq!(other.names().concat().last().unwrap(), "m");
    let url = silent.url();
    assert_eq!(figure(&notifier, "dropped_total", &url), Some(2.0));
    assert_eq!(figure(&notifier, "queue_length", &url), Some(10.0));
    silent.answers(200);
    let batches: &[&[&str]] = &[
        &["a"],
        &["d", "e", "f", "g"],
        &["h", "i", "j", "k"],
        &["l", "m"],
    ];
    silent.wait_for(batches).await;
    assert_eq!(figure(&notifier, "dropped_total", &url), Some(2.0));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let receiver = Receiver::start().await;
    receiver.answers(SILENCE);
    let notifier = notifier(OPTIONS);
    let config = sections_within("100ms", &[&[&receiver.address]]);
    apply(&notifier, &config).unwrap();
    notifier.send(alerts(["a"]));
    until("the timeout", || {
        figure(&notifier, "errors_total", &receiver.url()) == Some(1.0)
    })
    .await;
    assert_eq!(receiver.names(), [["a"]]);
    let latency = figure(&notifier, "latency_seconds_count", &receiver.url());
    assert_eq!(latency, None);
}

#[tokio::test]
async fn more_alerts_than_a_queue_holds_lose_their_first() {
    let receiver = Receiver::start().await;
    let notifier = notifier(NotifyOptions {
        capacity: 2,
        ..OPTIONS
    });
    apply(&notifier, &sections(&[&[&receiver.address]])).unwrap();
    notifier.send(alerts(["a", "b", "c"]));
    receiver.wait_for(&[&["b", "c"]]).await;
    let dropped = figure(&notifier, "dropped_total", &receiver.url());
    assert_eq!(dropped, Some(1.0));
}

#[tokio::test]
async fn what_waits_is_sent_before_the_end_unless_told_otherwise() {
    for drain in [true, false] {
        let receiver = Receiver::start().await;
        receiver.answers(SILENCE);
        let notifier = notifier(NotifyOptions { drain, ..OPTIONS });
        apply(&notifier, &sections(&[&[&receiver.address]])).unwrap();
        notifier.send(alerts(["a"]));
        receiver.wait_for(&[&["a"]]).await;
        notifier.send(alerts(["b", "c", "d", "e", "f"]));
        if drain {
            receiver.answers(200);
        }
        notifier.stop().await;
        let requests: &[&[&str]] = match drain {
            true => &[&["a"], &["b", "c", "d", "e"], &["f"]],
            false => &[&["a"]],
        };
        assert_eq!(receiver.names(), requests);
        let lost = if drain { 0.0 } else { 6.0 };
        let dropped = figure(&notifier, "dropped_total", &receiver.url());
        assert_eq!(dropped, Some(lost));
    }
}

#[tokio::test]
async fn a_reload_keeps_queues_and_ends_those_of_receivers_that_go() {
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    first.answers(SILENCE);
    let notifier = notifier(OPTIONS);
    apply(&notifier, &sections(&[&[&first.address]])).unwrap();
    notifier.send(alerts(["a"]));
    first.wait_for(&[&["a"]]).await;
    notifier.send(alerts(["b"]));
    // Another section before it does not disturb it.
    let both = sections(&[&[&second.address], &[&first.address]]);
    apply(&notifier, &both).unwrap();
    let listed = notifier.alertmanagers();
    assert_eq!(listed.active, [second.url(), first.url()]);
    notifier.send(alerts(["c"]));
    second.wait_for(&[&["c"]]).await;
    first.answers(200);
    first.wait_for(&[&["a"], &["b", "c"]]).await;
    until("the deliveries counted", || {
        figure(&notifier, "sent_total", &first.url()) == Some(3.0)
    })
    .await;
    // What waits for one that goes is sent all the same.
    first.answers(SILENCE);
    notifier.send(alerts(["d"]));
    first.wait_for(&[&["a"], &["b", "c"], &["d"]]).await;
    notifier.send(alerts(["e"]));
    apply(&notifier, &sections(&[&[&second.address]])).unwrap();
    notifier.send(alerts(["f"]));
    first.answers(200);
    first.wait_for(&[&["a"], &["b", "c"], &["d"], &["e"]]).await;
    until("the figures gone", || {
        figure(&notifier, "sent_total", &first.url()).is_none()
    })
    .await;
    assert_eq!(notifier.alertmanagers().active, [second.url()]);
}

#[tokio::test]
async fn each_section_has_its_rules_behind_those_of_all() {
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let notifier = notifier(OPTIONS);
    let text = format!(
        "global: {{external_labels: {{site: x, replica: '1'}}}}
alerting:
  alert_relabel_configs: [{{regex: replica, action: labeldrop}}]
  alertmanagers:
  - alert_relabel_configs: [{{source_labels: [alertname], regex: b, action: drop}}]
    static_configs: [{{targets: ['{}']}}]
  - path_prefix: am
    static_configs: [{{targets: ['{}']}}]
",
        first.address, second.address
    );
    apply(&notifier, &parse(&text)).unwrap();
    notifier.send(alerts(["a", "b"]));
    first.wait_for(&[&["a"]]).await;
    second.wait_for(&[&["a", "b"]]).await;
    let requests = second.requests.lock();
    assert!(requests[0].0.starts_with("POST /am/api/v2/alerts "));
    let labels = &requests[0].1[0]["labels"];
    assert_eq!(*labels, serde_json::json!({"alertname": "a", "site": "x"}));
}

#[tokio::test]
async fn found_receivers_come_and_go() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("am.yml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write("- targets: [gone:1]\n");
    let notifier = notifier(OPTIONS);
    let text = format!(
        "alerting:
  alertmanagers:
  - file_sd_configs: [{{files: ['{}']}}]
    relabel_configs: [{{source_labels: [__address__], regex: 'gone.*', action: drop}}]
",
        path.display()
    );
    apply(&notifier, &parse(&text)).unwrap();
    let finding = tokio::spawn(Arc::clone(&notifier).discover());
    until("the dropped one", || {
        notifier.alertmanagers().dropped == ["http://gone:1/api/v2/alerts"]
    })
    .await;
    write(&format!("- targets: [gone:1, '{}']\n", receiver.address));
    until("the other one", || {
        notifier.alertmanagers().active == [receiver.url()]
    })
    .await;
    notifier.send(alerts(["a"]));
    receiver.wait_for(&[&["a"]]).await;
    // A file that cannot be read changes nothing.
    write("- target: x\n");
    until("the complaint", || notifier.discovery_stats().received >= 3).await;
    assert_eq!(notifier.alertmanagers().active, [receiver.url()]);
    write("[]");
    until("nobody", || notifier.alertmanagers().active.is_empty()).await;
    finding.abort();
    notifier.stop().await;
}

#[tokio::test]
async fn options_that_cannot_be_used_change_nothing() {
    let notifier = notifier(OPTIONS);
    apply(&notifier, &sections(&[&["a:1"]])).unwrap();
    let broken = "alerting:\n  alertmanagers:\n  - tls_config: {ca_file: /nonexistent/ca.pem}\n";
    let error = apply(&notifier, &parse(broken)).unwrap_err();
    let start = "error creating HTTP client: unable to read CA cert: unable to read file /nonexistent/ca.pem";
    assert!(error.starts_with(start), "{error}");
    let listed = notifier.alertmanagers().active;
    assert_eq!(listed, ["http://a:1/api/v2/alerts"]);
}
