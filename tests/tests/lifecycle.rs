//! Starting, stopping and restarting the real server.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::process::Command;
use std::time::Duration;

use kymo_tests::{Kymo, WriteBody, wait_until};

#[test]
fn a_server_that_opens_its_store_is_healthy_and_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    // Whoever opens a pipe waits until the other end is open, too.
    let version = data.join("VERSION");
    let made = Command::new("mkfifo").arg(&version).status().unwrap();
    assert!(made.success());
    let mut kymo = Kymo::spawn_in(dir.path(), &[]);
    let healthy = kymo.get("/-/healthy");
    assert_eq!(healthy.status, 200);
    for target in ["/-/ready", "/api/v1/query?query=1", "/api/v1/status/tsdb"] {
        let answer = kymo.get(target);
        assert_eq!(answer.status, 503, "{target}: {answer:?}");
        assert_eq!(answer.text(), "Service Unavailable\n", "{target}");
    }
    assert_eq!(kymo.write_bytes(b"x").status, 503);
    let replay = kymo.get("/api/v1/status/walreplay");
    assert_eq!(replay.status, 200);
    assert!(replay.json()["data"]["current"].is_u64(), "{replay:?}");
    let metrics = kymo.get("/metrics").text();
    assert!(metrics.contains("\nprometheus_ready 0\n"), "{metrics}");

    std::fs::write(&version, "kymo-store 1\nshards 2\n").unwrap();
    kymo.wait_ready();
    assert_eq!(kymo.get("/api/v1/query?query=1").status, 200);
    assert_eq!(kymo.get("/-/healthy").status, 200);
}

#[test]
fn a_server_starts_answers_and_stops_cleanly() {
    let kymo = Kymo::start(&[]);
    assert_eq!(
        kymo.get("/-/healthy").text(),
        "Prometheus Server is Healthy.\n"
    );
    assert_eq!(kymo.get("/api/v1/labels").json()["status"], "success");
    let metrics = kymo.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("\nprometheus_tsdb_head_series 0\n"));
    assert!(kymo.terminate().success());
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let first = Kymo::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let address = first.address().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_kymo-e2e"))
        .current_dir(dir.path())
        .arg(format!("--web.listen-address={address}"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains(&address) && log.contains("in use"), "{log}");
}

#[test]
fn a_wrong_configuration_ends_the_start_and_names_the_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("p.yml"),
        "global:\n  scrape_intervall: 5s\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_kymo-e2e"))
        .current_dir(dir.path())
        .args(["--config.file=p.yml", "--web.listen-address=127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(
        log.contains("p.yml") && log.contains("scrape_intervall") && log.contains("line 2"),
        "{log}"
    );
}

#[test]
fn a_broken_configuration_is_not_loaded_and_the_old_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("p.yml");
    std::fs::write(&config, "global:\n  scrape_interval: 7s\n").unwrap();
    let kymo = Kymo::start_in(
        dir.path(),
        &["--config.file=p.yml", "--web.enable-lifecycle"],
    );
    let gauge = |kymo: &Kymo| {
        let name = "prometheus_config_last_reload_successful ";
        let text = kymo.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    };
    assert_eq!(gauge(&kymo), "1");
    assert_eq!(
        kymo.client().call("POST", "/-/reload", &[], b"").status,
        200
    );

    std::fs::write(&config, "global:\n  scrape_interval: [\n").unwrap();
    let answer = kymo.client().call("POST", "/-/reload", &[], b"");
    assert_eq!(answer.status, 500);
    assert!(
        answer.text().starts_with(
            "failed to reload config: couldn't load configuration (--config.file=\"p.yml\"): "
        ),
        "{answer:?}"
    );
    assert_eq!(gauge(&kymo), "0");

    std::fs::write(&config, "global:\n  scrape_interval: 9s\n").unwrap();
    kymo.signal("HUP");
    wait_until("the reload succeeds", Duration::from_secs(60), || {
        gauge(&kymo) == "1"
    });
    assert_eq!(kymo.get("/-/reload").status, 405);
}

#[test]
fn lifecycle_calls_are_refused_unless_enabled_and_quit_ends_the_server() {
    let kymo = Kymo::start(&[]);
    for path in ["/-/reload", "/-/quit"] {
        let answer = kymo.client().call("POST", path, &[], b"");
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (403, "Lifecycle API is not enabled.")
        );
    }
    drop(kymo);
    let mut kymo = Kymo::start(&["--web.enable-lifecycle"]);
    let answer = kymo.client().call("PUT", "/-/quit", &[], b"");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "Requesting termination... Goodbye!")
    );
    assert!(kymo.wait().success());
}

#[test]
fn data_survives_a_clean_stop_and_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let sample = |i: i64| {
        let samples = [(1_700_000_000_000 + i * 1000, i as f64)];
        WriteBody::new().series(&[("__name__", "kept")], &samples)
    };
    let count = |kymo: &Kymo| {
        let answer = kymo.instant("count_over_time(kept[1h])", 1_700_000_100.0);
        answer["data"]["result"][0]["value"][1]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    };
    let kymo = Kymo::start_in(dir.path(), &[]);
    assert_eq!(kymo.write(&sample(1)).status, 204);
    assert!(kymo.terminate().success());
    let kymo = Kymo::start_in(dir.path(), &[]);
    assert_eq!(count(&kymo), "1");
    assert_eq!(kymo.write(&sample(2)).status, 204);
    kymo.kill();
    let kymo = Kymo::start_in(dir.path(), &[]);
    assert_eq!(count(&kymo), "2");
}

#[test]
fn writes_are_forced_to_the_disk_by_a_timer_or_before_the_answer() {
    let syncs = |kymo: &Kymo| -> f64 {
        let text = kymo.get("/metrics").text();
        let name = "kymo_storage_wal_syncs_total ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse().unwrap()
    };
    let body = WriteBody::new().series(&[("__name__", "m")], &[(1_700_000_000_000, 1.0)]);
    let kymo = Kymo::start(&["--storage.wal.sync=always"]);
    let before = syncs(&kymo);
    assert_eq!(kymo.write(&body).status, 204);
    assert!(syncs(&kymo) > before);

    let kymo = Kymo::start(&[]);
    let before = syncs(&kymo);
    assert_eq!(kymo.write(&body).status, 204);
    wait_until("the timer syncs", Duration::from_secs(60), || {
        syncs(&kymo) > before
    });
}

#[test]
fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Kymo::start_in(dir.path(), &[]);
    let output = Command::new(env!("CARGO_BIN_EXE_kymo-e2e"))
        .current_dir(dir.path())
        .args(["--storage.path=data", "--web.listen-address=127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("in use by another process"), "{log}");
}

#[test]
fn without_a_configuration_it_scrapes_itself_and_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = Kymo::start_in(dir.path(), &["--config.file="]);
    let pools = kymo.get("/api/v1/scrape_pools").json();
    assert_eq!(
        pools["data"]["scrapePools"],
        serde_json::json!(["kymo", "node"])
    );
    wait_until("both targets were scraped", Duration::from_secs(60), || {
        let json = kymo.get("/api/v1/query?query=sum(up)").json();
        json["data"]["result"][0]["value"][1] == "2"
    });
    let cpu = kymo
        .get("/api/v1/query?query=node_cpu_seconds_total")
        .json();
    assert!(!cpu["data"]["result"].as_array().unwrap().is_empty());
}
