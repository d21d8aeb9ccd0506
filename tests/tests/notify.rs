//! Alerts on their way: to real Alertmanagers, plain and behind TLS and a password, and
//! to receivers that refuse, keep silent, come and go.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kymo_tests::{Alertmanager, FakeHttp, Kymo, Peer, Request, wait_until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// A password, and what Alertmanager is told of it.
const PASSWORD: &str = "geheim";
const PASSWORD_HASH: &str = "$2b$04$abcdefghijklmnopqrstuuPWRtT5yx7FBi4dcf6ROhboeNunUrLQ.";

/// One alert that fires while the target's figure is above 1, and one that always does.
const RULES: &str = "groups:
- name: site
  interval: 1s
  rules:
  - alert: High
    expr: level > 1
    labels: {severity: page, empty: ''}
    annotations: {summary: '{{ $labels.job }} <{{ $value }}>'}
  - alert: Watchdog
    expr: vector(1)
";

/// Starts Kymo with rules, a target whose figure is high while `high` says so, and a
/// section `alerting`.
fn start(dir: &Path, high: &Arc<AtomicBool>, alerting: &str, args: &[&str]) -> Kymo {
    let high = Arc::clone(high);
    let target = FakeHttp::start(move |_| {
        let level = if high.load(Ordering::SeqCst) { 2 } else { 0 };
        (200, "text/plain", format!("level {level}\n"))
    });
    std::fs::write(dir.join("rules.yml"), RULES).unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{site: x}}}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: plant, static_configs: [{{targets: ['{}']}}]}}]
{alerting}",
        target.address()
    );
    std::fs::write(dir.join("kymo.yml"), config).unwrap();
    let mut all = vec![
        "--config.file=kymo.yml",
        "--rules.alert.resend-delay=1s",
        "--web.external-url=http://kymo.example/",
    ];
    all.extend_from_slice(args);
    Kymo::start_in(dir, &all)
}

/// Returns a figure of an Alertmanager.
fn figure(kymo: &Kymo, name: &str, url: &str) -> Option<f64> {
    let metrics = kymo.get("/metrics").text();
    let start = format!("prometheus_notifications_{name}{{alertmanager=\"{url}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&start))?;
    Some(line.parse().unwrap())
}

fn urls(kymo: &Kymo, kind: &str) -> Vec<String> {
    let answer = kymo.get("/api/v1/alertmanagers").json();
    let listed = answer["data"][kind].as_array().unwrap();
    let url = |entry: &Value| entry["url"].as_str().unwrap().to_owned();
    listed.iter().map(url).collect()
}

#[test]
fn real_alertmanagers_get_alerts_and_their_end() {
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (
        certificate.cert.pem(),
        certificate.signing_key.serialize_pem(),
    );
    let web = format!(
        "tls_server_config: {{cert_file: cert.pem, key_file: key.pem}}
basic_auth_users: {{kymo: '{PASSWORD_HASH}'}}
"
    );
    let files = [("cert.pem", cert.as_str()), ("key.pem", key.as_str())];
    let (Some(plain), Some(guarded)) = (
        Alertmanager::start(),
        Alertmanager::start_with(&web, &files),
    ) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ca.pem"), &cert).unwrap();
    let port = guarded.address().port();
    let section = |password: &str| {
        format!(
            "  - scheme: https
    tls_config: {{ca_file: ca.pem}}
    basic_auth: {{username: kymo, password: {password}}}
    static_configs: [{{targets: ['localhost:{port}']}}]
"
        )
    };
    let alerting = |password: &str| {
        format!(
            "alerting:
  alertmanagers:
  - static_configs: [{{targets: ['{}']}}]
{}",
            plain.address(),
            section(password)
        )
    };
    let high = Arc::new(AtomicBool::new(true));
    let kymo = start(dir.path(), &high, &alerting("wrong"), &[]);
    let secure_url = format!("https://localhost:{port}/api/v2/alerts");
    let plain_url = format!("http://{}/api/v2/alerts", plain.address());
    assert_eq!(
        urls(&kymo, "activeAlertmanagers"),
        [plain_url.clone(), secure_url.clone()]
    );
    wait_until("both alerts", LIMIT, || plain.alerts().len() == 2);
    let alerts = plain.alerts();
    let alert = alerts.iter().find(|a| a["labels"]["alertname"] == "High");
    let alert = alert.unwrap();
    let instance = alert["labels"]["instance"].clone();
    let labels = json!({
        "alertname": "High", "instance": instance, "job": "plant", "severity": "page", "site": "x",
    });
    assert_eq!(alert["labels"], labels);
    assert_eq!(alert["annotations"], json!({"summary": "plant <2>"}));
    let generator = "http://kymo.example/graph?g0.expr=level+%3E+1&g0.tab=1";
    assert_eq!(alert["generatorURL"], generator);

    // The other one refuses until the password is right.
    wait_until("the refusal", LIMIT, || {
        figure(&kymo, "errors_total", &secure_url).is_some_and(|count| count > 0.0)
    });
    assert!(kymo.log().contains("bad response status 401"));
    assert_eq!(figure(&kymo, "sent_total", &secure_url), Some(0.0));
    let before = figure(&kymo, "sent_total", &plain_url).unwrap();
    let config = std::fs::read_to_string(dir.path().join("kymo.yml")).unwrap();
    let repaired = config.replace("password: wrong", &format!("password: {PASSWORD}"));
    std::fs::write(dir.path().join("kymo.yml"), repaired).unwrap();
    kymo.signal("HUP");
    wait_until("the delivery", LIMIT, || {
        figure(&kymo, "sent_total", &secure_url).is_some_and(|count| count > 0.0)
    });
    // The section that stayed the same went on.
    assert!(figure(&kymo, "sent_total", &plain_url).unwrap() >= before);

    high.store(false, Ordering::SeqCst);
    wait_until("the end", LIMIT, || {
        let alerts = plain.alerts();
        alerts.len() == 1 && alerts[0]["labels"]["alertname"] == "Watchdog"
    });
    assert!(kymo.terminate().success());
}

#[test]
fn receivers_that_refuse_or_keep_silent_hold_up_nobody() {
    let taken = FakeHttp::start(|_| (200, "text/plain", String::new()));
    let refused = FakeHttp::start(|_| (500, "text/plain", "no".to_owned()));
    let silent = FakeHttp::start(|_| {
        std::thread::sleep(Duration::from_secs(600));
        (200, "text/plain", String::new())
    });
    let dir = tempfile::tempdir().unwrap();
    let alerting = format!(
        "alerting:
  alert_relabel_configs: [{{regex: instance, action: labeldrop}}]
  alertmanagers:
  - path_prefix: /am/
    timeout: 2s
    static_configs: [{{targets: ['{}', '{}', '{}', 'dropped:1']}}]
    relabel_configs: [{{source_labels: [__address__], regex: 'dropped.*', action: drop}}]
",
        taken.address(),
        refused.address(),
        silent.address()
    );
    let high = Arc::new(AtomicBool::new(true));
    let args = ["--alertmanager.notification-queue-capacity=1"];
    let kymo = start(dir.path(), &high, &alerting, &args);
    let url = |fake: &FakeHttp| format!("http://{}/am/api/v2/alerts", fake.address());
    assert_eq!(
        urls(&kymo, "droppedAlertmanagers"),
        ["http://dropped:1/am/api/v2/alerts"]
    );
    wait_until("alerts", LIMIT, || taken.requests().len() >= 6);
    let requests = taken.requests();
    let of = |name: &str| {
        let text = format!("\"alertname\":\"{name}\"");
        let mut bodies = requests.iter().map(|r| String::from_utf8_lossy(&r.body));
        bodies
            .find(|body| body.contains(&text))
            .unwrap()
            .into_owned()
    };
    let first = &requests[0];
    assert_eq!(first.line, "POST /am/api/v2/alerts");
    assert_eq!(first.headers["content-type"], "application/json");
    // The order of keys and what is escaped are Prometheus', and empty labels are gone.
    let body = of("High");
    assert!(
        body.contains("{\"annotations\":{\"summary\":\"plant \\u003c2\\u003e\"},\"endsAt\":\""),
        "{body}"
    );
    assert!(
        body.contains(
            "Z\",\"generatorURL\":\"http://kymo.example/graph?g0.expr=level+%3E+1\\u0026g0.tab=1\",\
             \"labels\":{\"alertname\":\"High\",\"job\":\"plant\",\"severity\":\"page\",\"site\":\"x\"}}"
        ),
        "{body}"
    );
    assert!(of("Watchdog").contains("\"labels\":{\"alertname\":\"Watchdog\",\"site\":\"x\"}"));

    // A request that is refused is not made again; the next one has the next alerts.
    let refusals = refused.requests();
    for pair in refusals.windows(2) {
        assert_ne!(pair[0].body, pair[1].body);
    }
    let errors = figure(&kymo, "errors_total", &url(&refused)).unwrap();
    assert!(errors > 0.0);
    assert_eq!(figure(&kymo, "sent_total", &url(&refused)), Some(0.0));
    wait_until("drops of the silent one", LIMIT, || {
        figure(&kymo, "errors_total", &url(&silent)).is_some_and(|count| count > 0.0)
            && figure(&kymo, "dropped_total", &url(&silent)).is_some_and(|count| count > 1.0)
    });
    assert_eq!(figure(&kymo, "errors_total", &url(&taken)), Some(0.0));
    let metrics = kymo.get("/metrics").text();
    for line in [
        "prometheus_notifications_alertmanagers_discovered 3",
        "prometheus_notifications_queue_capacity 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }

    // The end does not wait for ever either.
    let began = Instant::now();
    assert!(kymo.terminate().success());
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// A real Prometheus with the same rules posts the same, but for times and its name.
#[test]
fn requests_are_those_of_a_real_prometheus() {
    let receivers = [(); 2].map(|()| FakeHttp::start(|_| (200, "text/plain", String::new())));
    let dir = tempfile::tempdir().unwrap();
    let alerting = |receiver: &FakeHttp| {
        format!(
            "alerting:
  alert_relabel_configs:
  - {{source_labels: [alertname], regex: W.*, target_label: class, replacement: 'a&b'}}
  alertmanagers:
  - path_prefix: some/../x
    static_configs: [{{targets: ['{}']}}]
",
            receiver.address()
        )
    };
    let high = Arc::new(AtomicBool::new(true));
    let kymo = start(dir.path(), &high, &alerting(&receivers[0]), &[]);
    let config = std::fs::read_to_string(dir.path().join("kymo.yml")).unwrap();
    let (ours, theirs) = (receivers[0].address(), receivers[1].address());
    let config = config.replace(&ours.to_string(), &theirs.to_string());
    std::fs::write(dir.path().join("theirs.yml"), config).unwrap();
    let args = [
        "--config.file=theirs.yml",
        "--storage.tsdb.path=theirs",
        "--rules.alert.resend-delay=1s",
        "--web.external-url=http://kymo.example/",
    ];
    let Some(_prometheus) = Peer::start("prometheus", dir.path(), &args) else {
        return;
    };
    // One request for each of both rules, told apart by what they have.
    let bodies = |receiver: &FakeHttp| -> BTreeSet<String> {
        let requests = receiver.requests();
        let text = |request: &Request| {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let (length, kind) = (body.len(), &request.headers["content-type"]);
            assert_eq!(request.headers["content-length"], length.to_string());
            format!("{} {kind} {}", request.line, without_times(&body))
        };
        requests.iter().map(text).collect()
    };
    // When a round begins decides what goes together, so other requests may differ.
    wait_until("the same requests", LIMIT, || {
        let (ours, theirs) = (bodies(&receivers[0]), bodies(&receivers[1]));
        let has = |alert: &str| ours.intersection(&theirs).any(|body| body.contains(alert));
        has("Watchdog") && has("High")
    });
    assert!(kymo.terminate().success());
}

/// Replaces the digits of times, so that only their form is left. Zeros at the end of a
/// fraction are not written, so its length is chance.
fn without_times(body: &str) -> String {
    let mut out = String::new();
    let mut parts = body.split("At\":\"");
    out.push_str(parts.next().unwrap());
    for part in parts {
        let (time, rest) = part.split_once('"').unwrap();
        let digit = |c: char| if c.is_ascii_digit() { '0' } else { c };
        let form: String = time.chars().map(digit).collect();
        let form = match form.split_once('.') {
            Some((whole, _fraction)) => format!("{whole}.0Z"),
            None => form,
        };
        out += &format!("At\":\"{form}\"{rest}");
    }
    out
}

#[test]
fn receivers_are_found_while_alerts_fire() {
    let receivers = [(); 2].map(|()| FakeHttp::start(|_| (200, "text/plain", String::new())));
    let url = |i: usize| format!("http://{}/api/v2/alerts", receivers[i].address());
    let dir = tempfile::tempdir().unwrap();
    let write = |text: &str| {
        // As a whole, so that no half of it is read.
        std::fs::write(dir.path().join("new"), text).unwrap();
        std::fs::rename(dir.path().join("new"), dir.path().join("am.json")).unwrap();
    };
    write(&format!(
        r#"[{{"targets":["{}"]}}]"#,
        receivers[0].address()
    ));
    let alerting = "alerting: {alertmanagers: [{file_sd_configs: [{files: [am.json]}]}]}\n";
    let high = Arc::new(AtomicBool::new(false));
    let kymo = start(dir.path(), &high, alerting, &[]);
    wait_until("the first", LIMIT, || !receivers[0].requests().is_empty());
    assert_eq!(urls(&kymo, "activeAlertmanagers"), [url(0)]);
    assert!(receivers[1].requests().is_empty());
    write(&format!(
        r#"[{{"targets":["{}"]}},{{"targets":["{}"]}}]"#,
        receivers[0].address(),
        receivers[1].address()
    ));
    wait_until("the second", LIMIT, || !receivers[1].requests().is_empty());
    assert_eq!(urls(&kymo, "activeAlertmanagers"), [url(0), url(1)]);
    // What cannot be read changes nothing.
    write("{}");
    wait_until("the complaint", LIMIT, || {
        kymo.log().contains("error reading file")
    });
    assert_eq!(urls(&kymo, "activeAlertmanagers"), [url(0), url(1)]);
    write(&format!(
        r#"[{{"targets":["{}"]}}]"#,
        receivers[1].address()
    ));
    wait_until("the first to go", LIMIT, || {
        urls(&kymo, "activeAlertmanagers") == [url(1)]
    });
    assert_eq!(figure(&kymo, "sent_total", &url(0)), None);
    let asked = receivers[1].requests().len();
    wait_until("more for the second", LIMIT, || {
        receivers[1].requests().len() > asked
    });
    let line = "prometheus_sd_discovered_targets{config=\"config-0\",name=\"notify\"} 1";
    assert!(kymo.get("/metrics").text().contains(line));
    assert!(kymo.terminate().success());
}
