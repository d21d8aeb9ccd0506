//! The whole path of an alert: a rule file, pending, firing, a real Alertmanager that
//! shows it, its end; and the same when Kymo is stopped or killed on the way.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Alertmanager, FakeHttp, Kymo, wait_until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// How long the alert is pending.
const FOR_S: f64 = 6.0;

/// How far ahead a firing alert's end is: four times the delay of sending it again.
const ENDS_AHEAD_S: f64 = 8.0;

const RULES: &str = "groups:
- name: site
  interval: 1s
  rules:
  - record: plant:level:max
    expr: max by (job) (level)
  - alert: High
    expr: plant:level:max > 1
    for: 6s
    labels: {severity: '{{ if gt $value 1.0 }}page{{ end }}'}
    annotations: {summary: '{{ $labels.job }} of {{ $externalLabels.site }} at {{ $value }}'}
";

/// How Kymo ends before it is started again.
#[derive(Debug, Clone, Copy)]
enum End {
    Terminated,
    Killed,
}

/// All that the alert's path leads over.
struct Path {
    dir: tempfile::TempDir,
    high: Arc<AtomicBool>,
    alertmanager: Alertmanager,
}

impl Path {
    fn new() -> Option<Path> {
        let alertmanager = Alertmanager::start()?;
        let dir = tempfile::tempdir().unwrap();
        let high = Arc::new(AtomicBool::new(false));
        let shown = Arc::clone(&high);
        let target = FakeHttp::start(move |_| {
            let level = if shown.load(Ordering::SeqCst) {
                2.5
            } else {
                0.0
            };
            (200, "text/plain", format!("level {level}\n"))
        });
        std::fs::write(dir.path().join("rules.yml"), RULES).unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{site: x}}}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: plant, static_configs: [{{targets: ['{}']}}]}}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}
",
            target.address(),
            alertmanager.address()
        );
        std::fs::write(dir.path().join("kymo.yml"), config).unwrap();
        Some(Path {
            dir,
            high,
            alertmanager,
        })
    }

    fn start(&self) -> Kymo {
        let args = [
            "--config.file=kymo.yml",
            "--rules.alert.resend-delay=2s",
            // So that alerts of such short rules are known again after a restart.
            "--rules.alert.for-grace-period=0s",
            "--web.external-url=http://kymo.example/",
        ];
        Kymo::start_in(self.dir.path(), &args)
    }

    fn start_again(&self, kymo: Kymo, end: End) -> Kymo {
        match end {
            End::Terminated => assert!(kymo.terminate().success()),
            End::Killed => kymo.kill(),
        }
        self.start()
    }

    /// Returns the alert as the Alertmanager shows it.
    fn seen(&self) -> Option<Value> {
        let alerts = self.alertmanager.alerts();
        assert!(alerts.len() <= 1, "{alerts:?}");
        alerts.into_iter().next()
    }
}

fn now_s() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// Reads a time such as `2026-11-22T07:19:34.851Z`.
fn seconds(time: &Value) -> f64 {
    let text = time.as_str().unwrap();
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let days =
        kymo_storage::compat::time::days_from_civil(number(0..4), number(5..7), number(8..10));
    let whole = days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    let fraction: f64 = match text[19..].trim_end_matches('Z') {
        "" => 0.0,
        digits => format!("0{digits}").parse().unwrap(),
    };
    whole as f64 + fraction
}

/// Returns the alert as Kymo shows it.
fn known(kymo: &Kymo) -> Option<Value> {
    let answer = kymo.get("/api/v1/alerts").json();
    answer["data"]["alerts"]
        .as_array()
        .unwrap()
        .first()
        .cloned()
}

fn wait_for_state(kymo: &Kymo, state: &str) -> Value {
    wait_until(state, LIMIT, || {
        known(kymo).is_some_and(|alert| alert["state"] == state)
    });
    known(kymo).unwrap()
}

#[test]
fn an_alert_goes_all_the_way_and_ends() {
    let Some(path) = Path::new() else {
        return;
    };
    let kymo = path.start();
    wait_until("a scrape", LIMIT, || {
        !kymo.instant("plant:level:max", now_s())["data"]["result"]
            .as_array()
            .unwrap()
            .is_empty()
    });
    assert_eq!(known(&kymo), None);
    path.high.store(true, Ordering::SeqCst);
    let began_s = now_s();
    let alert = wait_for_state(&kymo, "pending");
    assert_eq!(path.seen(), None);
    let labels = json!({"alertname": "High", "job": "plant", "severity": "page"});
    assert_eq!(alert["labels"], labels);
    assert_eq!(alert["annotations"]["summary"], "plant of x at 2.5");
    assert_eq!(alert["value"], "2.5e+00");
    let active_s = seconds(&alert["activeAt"]);
    assert!(active_s >= began_s - 1.0 && active_s <= now_s());

    wait_for_state(&kymo, "firing");
    wait_until("the alert", LIMIT, || path.seen().is_some());
    let seen = path.seen().unwrap();
    let labels = json!({"alertname": "High", "job": "plant", "severity": "page", "site": "x"});
    assert_eq!(seen["labels"], labels);
    assert_eq!(seen["annotations"], json!({"summary": "plant of x at 2.5"}));
    assert_eq!(
        seen["generatorURL"],
        "http://kymo.example/graph?g0.expr=plant%3Alevel%3Amax+%3E+1&g0.tab=1"
    );
    let starts_s = seconds(&seen["startsAt"]);
    let spent_s = starts_s - active_s;
    assert!((FOR_S - 0.01..FOR_S + 2.0).contains(&spent_s), "{spent_s}");
    let ahead_s = seconds(&seen["endsAt"]) - seconds(&seen["updatedAt"]);
    assert!(
        (ENDS_AHEAD_S - 2.0..=ENDS_AHEAD_S).contains(&ahead_s),
        "{ahead_s}"
    );

    // It is sent again while it lasts, and stays the same alert.
    wait_until("the alert again", LIMIT, || {
        path.seen().is_some_and(|again| {
            again["startsAt"] == seen["startsAt"] && again["updatedAt"] != seen["updatedAt"]
        })
    });
    let series = kymo.instant("ALERTS", now_s());
    assert_eq!(
        series["data"]["result"][0]["metric"]["alertstate"],
        "firing"
    );

    path.high.store(false, Ordering::SeqCst);
    let ended_s = now_s();
    wait_until("the end", LIMIT, || path.seen().is_none());
    // It was told, not only no longer heard of.
    assert!(now_s() - ended_s < ENDS_AHEAD_S);
    assert_eq!(known(&kymo), None);
    assert!(kymo.terminate().success());
}

/// The path of an alert while Kymo ends and starts again in each of its phases.
fn through_ends(end: End) {
    let Some(path) = Path::new() else {
        return;
    };
    path.high.store(true, Ordering::SeqCst);
    let kymo = path.start();
    let pending = wait_for_state(&kymo, "pending");
    let active_s = seconds(&pending["activeAt"]);
    wait_until("some of the time spent", LIMIT, || now_s() > active_s + 3.0);

    // Pending: the time spent before counts.
    let down_s = now_s();
    let kymo = path.start_again(kymo, end);
    let up_s = now_s();
    wait_for_state(&kymo, "firing");
    let fired_s = now_s();
    assert!(
        fired_s >= active_s + FOR_S - 0.1,
        "{end:?}: fired too early"
    );
    let waited_s = fired_s - active_s - (up_s - down_s);
    let shown = kymo.get("/api/v1/alerts").text();
    assert!(waited_s < 2.0 * FOR_S, "{end:?}: {waited_s} {shown}");
    wait_until("the alert", LIMIT, || path.seen().is_some());
    let seen = path.seen().unwrap();

    // Firing: the Alertmanager sees one alert all the time.
    let kymo = path.start_again(kymo, end);
    wait_for_state(&kymo, "firing");
    wait_until("the alert again", LIMIT, || {
        path.seen()
            .is_some_and(|again| again["updatedAt"] != seen["updatedAt"])
    });
    let again = path.seen().unwrap();
    assert_eq!(again["fingerprint"], seen["fingerprint"]);
    assert_eq!(again["startsAt"], seen["startsAt"], "{end:?}");

    // Over while Kymo is down: nobody tells, and the Alertmanager stops believing it.
    match end {
        End::Terminated => assert!(kymo.terminate().success()),
        End::Killed => kymo.kill(),
    }
    path.high.store(false, Ordering::SeqCst);
    let kymo = path.start();
    wait_until("the end", LIMIT, || path.seen().is_none());
    wait_until("quiet", LIMIT, || known(&kymo).is_none());

    // And after all that it works as on the first day.
    path.high.store(true, Ordering::SeqCst);
    wait_for_state(&kymo, "firing");
    wait_until("a new alert", LIMIT, || path.seen().is_some());
    let fresh = path.seen().unwrap();
    assert_eq!(fresh["fingerprint"], seen["fingerprint"]);
    assert_ne!(fresh["startsAt"], seen["startsAt"]);
    assert!(kymo.terminate().success());
}

#[test]
fn a_restart_in_any_phase_loses_no_alert() {
    through_ends(End::Terminated);
}

#[test]
fn a_kill_in_any_phase_loses_no_alert() {
    through_ends(End::Killed);
}
