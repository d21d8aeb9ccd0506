//! Starting, stopping and restarting the real server.

use kymo_tests::Kymo;

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
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kymo-e2e"))
        .current_dir(dir.path())
        .arg(format!("--web.listen-address={address}"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains(&address) && log.contains("in use"), "{log}");
}
