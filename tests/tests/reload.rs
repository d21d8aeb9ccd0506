//! A configuration is replaced whole or not at all: a mistake in any file that belongs to
//! it changes nothing and is told, and targets that stay keep their rhythm and state.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::path::Path;
use std::time::Duration;

use kymo_tests::{FakeHttp, Kymo, wait_until};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// A main file that takes jobs and rules from files beside it.
fn write_main(dir: &Path, target: &str, more: &str) {
    let text = format!(
        "global: {{scrape_interval: 1s}}\nrule_files: [rules.yml]\n\
         scrape_config_files: ['jobs/*.yml']\nscrape_configs:\n- job_name: plant\n  \
         scrape_failure_log_file: failed.log\n  static_configs: [{{targets: ['{target}']}}]\n{more}"
    );
    std::fs::write(dir.join("main.yml"), text).unwrap();
}

fn reload(kymo: &Kymo) -> Result<(), String> {
    let answer = kymo.client().call("POST", "/-/reload", &[], b"");
    match answer.status {
        200 => Ok(()),
        _ => Err(answer.text()),
    }
}

/// Returns the names of the jobs that have targets.
fn jobs(kymo: &Kymo) -> Vec<String> {
    let targets = kymo.get("/api/v1/targets").json();
    let targets = targets["data"]["activeTargets"].as_array().unwrap().clone();
    let pool = |target: &Value| target["scrapePool"].as_str().unwrap().to_owned();
    let mut jobs: Vec<_> = targets.iter().map(pool).collect();
    jobs.sort();
    jobs
}

/// Returns the times of all samples of a series, in milliseconds.
fn times(kymo: &Kymo, series: &str) -> Vec<i64> {
    let query = format!("{series}[5m]");
    let answer = kymo
        .client()
        .post_form("/api/v1/query", &[("query", &query)]);
    let values = answer.json()["data"]["result"][0]["values"].clone();
    let times = values.as_array().cloned().unwrap_or_default();
    let time = |value: &Value| (value[0].as_f64().unwrap() * 1e3).round() as i64;
    times.iter().map(time).collect()
}

const GOOD_RULES: &str = "groups: [{name: g, rules: [{record: r, expr: vector(1)}]}]\n";

#[test]
fn a_mistake_anywhere_changes_nothing_and_is_told() {
    let target = FakeHttp::start(|_| (200, "text/plain", "a 1\nb 2\n".to_owned()));
    let address = target.address().to_string();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    std::fs::create_dir(dir.path().join("jobs")).unwrap();
    write("rules.yml", GOOD_RULES);
    write("jobs/a.yml", "scrape_configs: [{job_name: a}]\n");
    write_main(dir.path(), &address, "");
    let flags = ["--config.file=main.yml", "--web.enable-lifecycle"];
    let kymo = Kymo::start_in(dir.path(), &flags);
    let series = "a{job=\"plant\"}";
    wait_until("some scrapes", LIMIT, || times(&kymo, series).len() >= 3);

    let good_job =
        "scrape_configs:\n- job_name: new\n  static_configs: [{targets: ['127.0.0.1:1']}]\n";
    let bad: [(&str, &str, &str); 5] = [
        (
            "rules.yml",
            "groups: [{name: g, rules: [{record: r, expr: sum(}]}]\n",
            "error loading rules, previous rule set restored",
        ),
        (
            "jobs/b.yml",
            "scrape_configs: [{job_name: plant}]\n",
            "found multiple scrape configs with job name \"plant\", first found in main config file",
        ),
        (
            "jobs/b.yml",
            "scrape_configs: [{job_name: b, tls_config: {ca_file: no.pem}}]\n",
            "job b: error creating HTTP client: unable to read CA cert: unable to read file",
        ),
        (
            "jobs/b.yml",
            "scrape_configs: [{job_name: b, http_sd_configs: [{url: 'http://x', tls_config: {ca_file: no.pem}}]}]\n",
            "job b: http_sd_configs: unable to read CA cert",
        ),
        (
            "jobs/b.yml",
            "scrape_configs: [{job_name: b, scrape_failure_log_file: no/such/log}]\n",
            "can't create json log file: open ",
        ),
    ];
    write("jobs/new.yml", good_job);
    for (file, text, expected) in bad {
        write(file, text);
        let told = reload(&kymo).unwrap_err();
        assert!(told.contains(expected), "{told}");
        // What is good of it is not in force either.
        assert_eq!(jobs(&kymo), ["plant"], "{text}");
        write(file, if file == "rules.yml" { GOOD_RULES } else { "" });
    }
    let shown = kymo.get("/api/v1/status/config").text();
    assert!(!shown.contains("new"), "{shown}");
    write_main(
        dir.path(),
        &address,
        "alerting: {alertmanagers: [{tls_config: {cert_file: no.pem, key_file: no.key}}]}\n",
    );
    let told = reload(&kymo).unwrap_err();
    assert!(
        told.contains("unable to read specified client cert"),
        "{told}"
    );
    assert_eq!(jobs(&kymo), ["plant"]);

    // All good at last: the new job fails, and its failures are written down.
    write_main(dir.path(), &address, "  sample_limit: 7\n");
    write(
        "jobs/new.yml",
        &good_job.replace("new\n", "new\n  scrape_failure_log_file: failed.log\n"),
    );
    assert_eq!(reload(&kymo), Ok(()));
    assert_eq!(jobs(&kymo), ["new", "plant"]);
    let log = dir.path().join("jobs/failed.log");
    wait_until("a line about a failure", LIMIT, || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.ends_with('\n'))
    });
    let log = std::fs::read_to_string(&log).unwrap();
    let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["job_name"], "new");
    assert_eq!(line["target"], "http://127.0.0.1:1/metrics");
    let message =
        "Get \"http://127.0.0.1:1/metrics\": dial tcp 127.0.0.1:1: connect: connection refused";
    assert_eq!(line["msg"], message);
    // The target of the job that did change was neither ended nor begun anew.
    let before = times(&kymo, series).len();
    wait_until("more scrapes", LIMIT, || {
        times(&kymo, series).len() >= before + 2
    });
    let times = times(&kymo, series);
    let is_steady = times.windows(2).all(|pair| pair[1] - pair[0] <= 3_000);
    assert!(is_steady, "{times:?}");
    let added = "sum_over_time(scrape_series_added{job=\"plant\"}[5m])";
    let params = [("query", added)];
    let sum = kymo.client().post_form("/api/v1/query", &params).json();
    assert_eq!(sum["data"]["result"][0]["value"][1], "2");
}
