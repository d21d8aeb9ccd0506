//! Rules in the real server: alerts through their states, a reload, restarts and kills
//! in each of them, and a real Prometheus beside it with the same rules and data.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Client, Kymo, Peer, WriteBody, wait_until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

/// A grace period that lets alerts of a second be restored.
const FLAGS: [&str; 3] = [
    "--config.file=kymo.yml",
    "--rules.alert.for-grace-period=1s",
    "--rules.alert.resend-delay=1s",
];

fn configure(dir: &Path, rules: &str) {
    let config = "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n";
    std::fs::write(dir.join("kymo.yml"), config).unwrap();
    std::fs::write(dir.join("rules.yml"), rules).unwrap();
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Writes the switch that rules look at.
fn switch(kymo: &Kymo, value: f64) {
    let body = WriteBody::new().series(
        &[("__name__", "switch"), ("site", "roof")],
        &[(now_ms(), value)],
    );
    let answer = kymo.write(&body);
    assert_eq!(answer.status, 204, "{answer:?}");
}

fn alerts(kymo: &Kymo) -> Vec<Value> {
    let answer = kymo.get("/api/v1/alerts").json();
    answer["data"]["alerts"].as_array().unwrap().clone()
}

/// Returns the state of the only alert, `none` where there is none.
fn state(kymo: &Kymo) -> String {
    let alerts = alerts(kymo);
    assert!(alerts.len() <= 1, "{alerts:?}");
    match alerts.first() {
        Some(alert) => alert["state"].as_str().unwrap().to_owned(),
        None => "none".to_owned(),
    }
}

fn wait_for(kymo: &Kymo, wanted: &str) {
    wait_until(&format!("the alert is {wanted}"), LIMIT, || {
        state(kymo) == wanted
    });
}

/// Returns when the only alert became active, as the API shows it.
fn active_at(kymo: &Kymo) -> String {
    alerts(kymo)[0]["activeAt"].as_str().unwrap().to_owned()
}

fn rule(kymo: &Kymo, name: &str) -> Value {
    let answer = kymo
        .get(&format!("/api/v1/rules?rule_name[]={name}"))
        .json();
    answer["data"]["groups"][0]["rules"][0].clone()
}

/// Samples of a series, oldest first; stale markers are not answered.
fn samples(client: Client, selector: &str) -> BTreeMap<String, Vec<(f64, String)>> {
    let query = format!("{selector}[10m]");
    let answer = client
        .post_form("/api/v1/query", &[("query", query.as_str())])
        .json();
    assert_eq!(answer["status"], "success", "{answer}");
    let series = answer["data"]["result"].as_array().unwrap().iter();
    series
        .map(|series| {
            let values = series["values"].as_array().unwrap().iter();
            let values = values.map(|pair| {
                (
                    pair[0].as_f64().unwrap(),
                    pair[1].as_str().unwrap().to_owned(),
                )
            });
            (series["metric"].to_string(), values.collect())
        })
        .collect()
}

const SITE: &str = "\
groups:
  - name: site
    interval: 1s
    labels: {team: energy}
    rules:
      - record: site:switch:double
        expr: sum by (site) (switch) * 2
      - alert: SiteDark
        expr: site:switch:double > 1
        for: 3s
        labels: {severity: page}
        annotations:
          text: '{{ $labels.site }} is at {{ $value }}'
";

#[test]
fn an_alert_is_pending_then_fires_and_resolves() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path(), SITE);
    let kymo = Kymo::start_in(dir.path(), &FLAGS);
    switch(&kymo, 1.0);
    wait_for(&kymo, "pending");
    let since = active_at(&kymo);
    wait_for(&kymo, "firing");
    assert_eq!(active_at(&kymo), since);
    assert_eq!(
        alerts(&kymo),
        [json!({
            "labels": {"alertname": "SiteDark", "severity": "page", "site": "roof", "team": "energy"},
            "annotations": {"text": "roof is at 2"},
            "state": "firing",
            "activeAt": since,
            "value": "2e+00",
        })]
    );
    let rule = rule(&kymo, "SiteDark");
    assert_eq!(
        (&rule["health"], &rule["state"]),
        (&json!("ok"), &json!("firing"))
    );
    assert_eq!(rule["query"], "site:switch:double > 1");
    // The series of both states: they do not overlap, and the end of one is known.
    // They are stored when the group is through, a moment after the state is told.
    wait_until("the firing alert is stored", LIMIT, || {
        let found = samples(kymo.client(), "ALERTS");
        found.keys().any(|labels| labels.contains("firing"))
    });
    let found = samples(kymo.client(), "ALERTS");
    let of = |state: &str| {
        let found = found.iter().find(|(labels, _)| labels.contains(state));
        found.unwrap().1.clone()
    };
    let (pending, firing) = (of("pending"), of("firing"));
    assert!(pending.last().unwrap().0 < firing[0].0);
    let live = kymo
        .client()
        .post_form("/api/v1/query", &[("query", "count(ALERTS)")])
        .json();
    assert_eq!(live["data"]["result"][0]["value"][1], "1");

    switch(&kymo, 0.0);
    wait_for(&kymo, "none");
    wait_until("the series of the alert end", LIMIT, || {
        let params = [("query", "{__name__=~\"ALERTS.*\"}")];
        let live = kymo.client().post_form("/api/v1/query", &params).json();
        live["data"]["result"].as_array().unwrap().is_empty()
    });
    let metrics = kymo.get("/metrics").text();
    for name in [
        "prometheus_rule_evaluations_total{rule_group=\"rules.yml;site\"} ",
        "prometheus_rule_evaluation_failures_total{rule_group=\"rules.yml;site\"} 0\n",
        "prometheus_rule_group_interval_seconds{rule_group=\"rules.yml;site\"} 1\n",
        "prometheus_rule_group_rules{rule_group=\"rules.yml;site\"} 2\n",
        "prometheus_rule_group_iterations_missed_total{rule_group=\"rules.yml;site\"} ",
        "prometheus_rule_evaluation_duration_seconds_count ",
    ] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
}

#[test]
fn a_reload_keeps_alerts_and_ends_the_series_of_rules_that_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path(), SITE);
    let kymo = Kymo::start_in(
        dir.path(),
        &[
            &FLAGS[..],
            &[
                "--web.enable-lifecycle",
                "--enable-feature=concurrent-rule-eval",
            ],
        ]
        .concat(),
    );
    switch(&kymo, 1.0);
    wait_for(&kymo, "firing");
    let since = active_at(&kymo);

    // The same again changes nothing.
    assert_eq!(
        kymo.client().call("POST", "/-/reload", &[], b"").status,
        200
    );
    assert_eq!(
        (state(&kymo), active_at(&kymo)),
        ("firing".to_owned(), since.clone())
    );

    // A mistake changes nothing either, and is told.
    configure(
        dir.path(),
        "groups:\n  - name: site\n    rules: [{alert: A, expr: sum(}]\n",
    );
    let refused = kymo.client().call("POST", "/-/reload", &[], b"");
    assert_eq!(refused.status, 500);
    assert!(
        refused
            .text()
            .contains("error loading rules, previous rule set restored"),
        "{refused:?}"
    );
    let mistake =
        "rules.yml: 3:30: group \\\"site\\\", rule 1, \\\"A\\\": could not parse expression";
    wait_until("the mistake is logged", LIMIT, || {
        kymo.log().contains(mistake)
    });
    assert_eq!(
        (state(&kymo), active_at(&kymo)),
        ("firing".to_owned(), since.clone())
    );

    // A changed group keeps the alerts of its rules; the recorded series ends.
    let changed = SITE
        .replace("site:switch:double > 1", "switch > 0")
        .replace("site:switch:double", "site:switch:twice");
    configure(dir.path(), &changed);
    assert_eq!(
        kymo.client().call("POST", "/-/reload", &[], b"").status,
        200
    );
    assert_eq!(rule(&kymo, "SiteDark")["query"], "switch > 0");
    wait_until("the changed group is evaluated", LIMIT, || {
        rule(&kymo, "SiteDark")["health"] == "ok"
    });
    assert_eq!(
        (state(&kymo), active_at(&kymo)),
        ("firing".to_owned(), since)
    );
    wait_until("the old series ends and the new one begins", LIMIT, || {
        let params = [("query", "count by (__name__) ({__name__=~\"site:.*\"})")];
        let live = kymo.client().post_form("/api/v1/query", &params).json();
        let live = live["data"]["result"].as_array().unwrap().clone();
        live.len() == 1 && live[0]["metric"]["__name__"] == "site:switch:twice"
    });

    // Without its group the alert is gone, and its series end.
    configure(dir.path(), "");
    assert_eq!(
        kymo.client().call("POST", "/-/reload", &[], b"").status,
        200
    );
    assert_eq!(state(&kymo), "none");
    wait_until("all series of rules end", LIMIT, || {
        let params = [("query", "{__name__=~\"ALERTS.*|site:.*\"}")];
        let live = kymo.client().post_form("/api/v1/query", &params).json();
        live["data"]["result"].as_array().unwrap().is_empty()
    });
}

#[test]
fn rule_files_with_mistakes_keep_the_server_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    configure(dir.path(), "groups:\n  - name: a\n    rulez: []\n");
    let output = Command::new(env!("CARGO_BIN_EXE_kymo-e2e"))
        .current_dir(dir.path())
        .args(["--config.file=kymo.yml", "--web.listen-address=127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let log = String::from_utf8(output.stderr).unwrap();
    let mistake = "rules.yml: yaml: unmarshal errors:\\n  line 3: field rulez not found in type \
                   rulefmt.RuleGroup: did you mean \\\"rules\\\"?";
    assert!(log.contains(mistake), "{log}");
}

/// How a server ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Terminated,
    Killed,
}

fn restart(dir: &Path, kymo: Kymo, end: End) -> Kymo {
    match end {
        End::Terminated => assert!(kymo.terminate().success()),
        End::Killed => kymo.kill(),
    }
    Kymo::start_in(dir, &FLAGS)
}

#[test]
fn alerts_go_on_after_a_restart_and_a_kill_in_each_state() {
    let rules = SITE.replace("for: 3s", "for: 6s");
    for end in [End::Terminated, End::Killed] {
        let dir = tempfile::tempdir().unwrap();
        configure(dir.path(), &rules);
        let mut kymo = Kymo::start_in(dir.path(), &FLAGS);
        switch(&kymo, 1.0);

        // Pending: after the restart the alert goes on waiting, and the outage does
        // not count, so that it is active for longer than the rule asks for.
        let since = |kymo: &Kymo| -> f64 {
            let found = samples(kymo.client(), "ALERTS_FOR_STATE");
            let values = found
                .values()
                .next()
                .map(|samples| samples.last().unwrap().1.clone());
            values.map_or(0.0, |value| value.parse().unwrap())
        };
        wait_until("the alert is stored as pending", LIMIT, || {
            since(&kymo) > 0.0
        });
        let began_s = since(&kymo);
        kymo = restart(dir.path(), kymo, end);
        wait_for(&kymo, "firing");
        let fired_s = now_ms() as f64 / 1e3;
        assert!(
            fired_s - began_s >= 6.0,
            "{end:?}: it fired {} s after it began",
            fired_s - began_s
        );

        // Firing: it fires again since the same time, without waiting once more.
        wait_until("the alert is stored as firing", LIMIT, || {
            samples(kymo.client(), "ALERTS{alertstate=\"firing\"}").len() == 1
        });
        let before_s = since(&kymo);
        kymo = restart(dir.path(), kymo, end);
        let up_ms = now_ms();
        wait_for(&kymo, "firing");
        wait_until("the state is stored again", LIMIT, || {
            samples(kymo.client(), "ALERTS_FOR_STATE")
                .values()
                .flatten()
                .any(|(t_s, _)| *t_s * 1e3 > up_ms as f64)
        });
        assert_eq!(since(&kymo), before_s, "{end:?}: it began anew");

        // Resolved: nothing comes back.
        switch(&kymo, 0.0);
        wait_for(&kymo, "none");
        wait_until("the end is stored", LIMIT, || {
            let live = kymo
                .client()
                .post_form("/api/v1/query", &[("query", "ALERTS")])
                .json();
            live["data"]["result"].as_array().unwrap().is_empty()
        });
        kymo = restart(dir.path(), kymo, end);
        wait_until("the rules are evaluated", LIMIT, || {
            rule(&kymo, "SiteDark")["health"] == "ok"
        });
        assert_eq!(state(&kymo), "none");
        switch(&kymo, 1.0);
        wait_for(&kymo, "pending");
    }
}

/// Answers scrapes with a text that tests change.
struct Exposition {
    address: SocketAddr,
    text: Arc<Mutex<String>>,
}

impl Exposition {
    fn serve() -> Exposition {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let text = Arc::new(Mutex::new(String::new()));
        let served = Arc::clone(&text);
        // It ends with the process.
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            for mut stream in listener.incoming().flatten() {
                let _request = stream.read(&mut [0; 4096]);
                let body = served.lock().unwrap().clone();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _gone = stream.write_all((head + &body).as_bytes());
            }
        });
        Exposition { address, text }
    }

    fn set(&self, text: &str) {
        text.clone_into(&mut self.text.lock().unwrap());
    }
}

const COMPARED: &str = "\
groups:
  - name: compared
    interval: 1s
    rules:
      - record: zone:load:sum
        expr: sum by (zone) (load)
        labels: {kind: sum}
      - record: zone:load:avg5
        expr: avg_over_time(zone:load:sum[5s])
      - alert: Busy
        expr: load > 10
        labels: {severity: '{{ if gt $value 50.0 }}page{{ else }}info{{ end }}'}
      - alert: BusyForLong
        expr: zone:load:sum > 10
        for: 4s
      - alert: Gone
        expr: absent(load{zone=\"b\"})
        for: 2s
";

/// What the exporter says over time, in seconds. Each lasts for long enough that a
/// second's difference between the two servers matters to nobody.
const STEPS: [(&str, u64); 6] = [
    ("load{zone=\"a\"} 1\nload{zone=\"b\"} 2\n", 6),
    ("load{zone=\"a\"} 20\nload{zone=\"b\"} 2\n", 12),
    ("load{zone=\"a\"} 60\n", 10),
    ("load{zone=\"a\"} 1\nload{zone=\"b\"} 30\n", 8),
    ("load{zone=\"a\"} 1\nload{zone=\"b\"} 2\n", 6),
    ("", 6),
];

/// Returns, for each series, its values in order without repeats: what differs by a
/// second of timing is the same here. A pause of more than a few evaluations is `gap`.
fn sequences(client: Client, selector: &str, from_s: f64) -> BTreeMap<String, Vec<String>> {
    let found = samples(client, selector);
    found
        .into_iter()
        .map(|(labels, mut samples)| {
            samples.retain(|(t_s, _)| *t_s > from_s);
            (labels, samples)
        })
        .filter(|(_, samples)| !samples.is_empty())
        .map(|(labels, samples)| {
            let mut sequence: Vec<String> = Vec::new();
            let mut last_s = samples[0].0;
            for (t_s, value) in samples {
                if t_s - last_s > 7.5 {
                    sequence.push("gap".to_owned());
                }
                last_s = t_s;
                if sequence.last() != Some(&value) {
                    sequence.push(value);
                }
            }
            (labels, sequence)
        })
        .collect()
}

#[test]
fn the_same_rules_over_the_same_data_agree_with_a_real_prometheus() {
    // On a busy machine one of them may miss a scrape; a mistake of ours stays.
    let mut different = String::new();
    for _ in 0..3 {
        match compared() {
            Ok(()) => return,
            Err(difference) => different = difference,
        }
    }
    panic!("{different}");
}

/// Lets both see the same for a while; the error says what they do not agree on.
fn compared() -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let exposition = Exposition::serve();
    exposition.set(STEPS[0].0);
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: [rules.yml]\n\
         scrape_configs:\n- job_name: load\n  static_configs: [{{targets: ['{}']}}]\n  \
         metric_relabel_configs: [{{regex: instance, action: labeldrop}}]\n",
        exposition.address
    );
    std::fs::write(dir.path().join("kymo.yml"), config).unwrap();
    std::fs::write(dir.path().join("rules.yml"), COMPARED).unwrap();
    let args = ["--config.file=kymo.yml", "--storage.tsdb.path=prometheus"];
    let Some(prometheus) = Peer::start("prometheus", dir.path(), &args) else {
        return Ok(());
    };
    let kymo = Kymo::start_in(dir.path(), &["--config.file=kymo.yml"]);
    // Before its first scrape each has seen an alert for what was absent.
    wait_until("both evaluate rules, and all is well", LIMIT, || {
        [prometheus.client(), kymo.client()].iter().all(|client| {
            let query = "count(zone:load:sum) unless on () ALERTS";
            let params = [("query", query)];
            let answer = client.try_call("GET", "/-/ready", &[], b"");
            answer.is_ok_and(|answer| answer.status == 200)
                && client.post_form("/api/v1/query", &params).json()["data"]["result"][0]["value"]
                    [1]
                    == "2"
        })
    });
    let from_s = now_ms() as f64 / 1e3;
    for (text, seconds) in STEPS {
        exposition.set(text);
        std::thread::sleep(Duration::from_secs(seconds));
    }
    // Which alerts were pending and firing, how often, and what was recorded.
    for selector in ["ALERTS", "zone:load:sum"] {
        let want = sequences(prometheus.client(), selector, from_s);
        let got = sequences(kymo.client(), selector, from_s);
        if got != want || want.len() < 2 {
            return Err(format!("{selector}: {got:#?}, not {want:#?}"));
        }
    }
    let states = sequences(kymo.client(), "ALERTS", from_s);
    let of = |alert: &str| {
        states
            .keys()
            .filter(|key| key.contains(&format!("\"{alert}\"")))
            .count()
    };
    // Busy fires at once: for zone a as info, then as page, and for zone b as info.
    // The others are pending before.
    match (of("Busy"), of("BusyForLong"), of("Gone")) {
        (3, 4, 2) => Ok(()),
        other => Err(format!("{other:?}: {states:#?}")),
    }
}
