//! What is kept beside samples: exemplars and metadata, and the limits on series.
#![allow(
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::path::Path;

use kymo_tests::{Exemplar, Kymo, WriteBody};
use serde_json::{Value, json};

const EXEMPLARS: &str = "--enable-feature=exemplar-storage";
const T_MS: i64 = 1_700_000_000_000;

/// A request with series `m`, and an exemplar of it at every second up to `n`.
fn with_exemplars(n: i64) -> WriteBody {
    let exemplar = |at: i64| Exemplar {
        t_ms: T_MS + at * 1000,
        value: at as f64 + 0.5,
        labels: vec![(
            "trace_id".to_owned(),
            ["a", "b", "c"][at as usize % 3].to_owned(),
        )],
    };
    let exemplars: Vec<_> = (0..n).map(exemplar).collect();
    let mut body = WriteBody::new();
    body.push_exemplars(&[("__name__", "m")], Some((T_MS, 1.0)), &exemplars);
    body
}

fn exemplars(kymo: &Kymo) -> Value {
    let answer = kymo.get("/api/v1/query_exemplars?query=rate(m[5m])");
    assert_eq!(answer.status, 200);
    let mut json = answer.json();
    json["data"].take()
}

fn write_config(dir: &Path, max_exemplars: u64) {
    let text = format!("storage:\n  exemplars:\n    max_exemplars: {max_exemplars}\n");
    std::fs::write(dir.join("kymo.yml"), text).unwrap();
}

#[test]
fn exemplars_are_answered_after_a_restart_and_their_number_follows_the_file() {
    let dir = tempfile::tempdir().unwrap();
    write_config(dir.path(), 4);
    let args = [EXEMPLARS, "--config.file=kymo.yml"];
    let kymo = Kymo::start_in(dir.path(), &args);
    assert_eq!(exemplars(&kymo), json!([]));
    assert_eq!(kymo.write(&with_exemplars(6)).status, 204);
    let expected = json!([{
        "seriesLabels": {"__name__": "m"},
        "exemplars": [
            {"labels": {"trace_id": "c"}, "value": "2.5", "timestamp": 1_700_000_002},
            {"labels": {"trace_id": "a"}, "value": "3.5", "timestamp": 1_700_000_003},
            {"labels": {"trace_id": "b"}, "value": "4.5", "timestamp": 1_700_000_004},
            {"labels": {"trace_id": "c"}, "value": "5.5", "timestamp": 1_700_000_005},
        ],
    }]);
    assert_eq!(exemplars(&kymo), expected);
    let metrics = kymo.get("/metrics");
    for line in [
        "prometheus_tsdb_exemplar_exemplars_appended_total 6\n",
        "prometheus_tsdb_exemplar_exemplars_in_storage 4\n",
        "prometheus_tsdb_exemplar_series_with_exemplars_in_storage 1\n",
        "prometheus_tsdb_exemplar_max_exemplars 4\n",
        "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds 1.700000002e+09\n",
    ] {
        assert!(metrics.text().contains(line), "{line}");
    }
    drop(kymo);

    // Dropped is killed.
    let kymo = Kymo::start_in(dir.path(), &args);
    assert_eq!(exemplars(&kymo), expected);
    write_config(dir.path(), 1);
    kymo.signal("HUP");
    kymo_tests::wait_until(
        "the ring is shorter",
        std::time::Duration::from_secs(60),
        || exemplars(&kymo)[0]["exemplars"].as_array().unwrap().len() == 1,
    );
    drop(kymo);

    let kymo = Kymo::start_in(dir.path(), &["--config.file=kymo.yml"]);
    assert_eq!(exemplars(&kymo), json!([]));
}

#[test]
fn metadata_of_senders_is_answered_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = Kymo::start_in(dir.path(), &[]);
    let mut body = WriteBody::new();
    body.push_metadata("m", 1, "What <m> is.", "seconds");
    body.push_metadata("n", 3, "", "");
    assert_eq!(kymo.write(&body).status, 204);
    let expected = json!({
        "m": [{"type": "counter", "unit": "seconds", "help": "What <m> is."}],
        "n": [{"type": "histogram", "unit": "", "help": ""}],
    });
    let all = |kymo: &Kymo, params: &str| {
        let mut json = kymo
            .get(&format!("/api/v1/metadata?all=true{params}"))
            .json();
        json["data"].take()
    };
    assert_eq!(all(&kymo, ""), expected);
    drop(kymo);
    let kymo = Kymo::start_in(dir.path(), &[]);
    assert_eq!(all(&kymo, ""), expected);
    assert_eq!(all(&kymo, "&metric=n"), json!({"n": expected["n"].clone()}));
    assert_eq!(all(&kymo, "&metric=o"), json!({}));
    // Without being asked for all it tells what targets say, and there are none.
    assert_eq!(kymo.get("/api/v1/metadata").json()["data"], json!({}));
    assert_eq!(all(&kymo, "&limit=1"), json!({"m": expected["m"].clone()}));
}

#[test]
fn limits_on_series_are_named_and_counted() {
    let kymo = Kymo::start(&[
        "--storage.max-series-per-metric=2",
        "--storage.max-series-per-target=3",
    ]);
    let mut body = WriteBody::new();
    for (name, instance, n) in [
        ("a", "x", "1"),
        ("a", "x", "2"),
        ("a", "y", "3"),
        ("b", "x", "4"),
        ("c", "x", "5"),
    ] {
        let labels = [
            ("__name__", name),
            ("instance", instance),
            ("job", "j"),
            ("n", n),
        ];
        body.push_series(&labels, &[(T_MS, 1.0)]);
    }
    let answer = kymo.write(&body);
    assert_eq!(answer.status, 400);
    let start = "2 samples refused: metric a has reached the limit of 2 series per metric; raise \
                 --storage.max-series-per-metric";
    assert!(answer.text().starts_with(start), "{answer:?}");
    assert_eq!(
        kymo.series(&["a", "b", "c"])["data"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let metrics = kymo.get("/metrics");
    for line in [
        "kymo_storage_series_limit_total{kind=\"total\"} 0\n",
        "kymo_storage_series_limit_total{kind=\"metric\"} 1\n",
        "kymo_storage_series_limit_total{kind=\"target\"} 1\n",
        "kymo_storage_series_limit{kind=\"target\"} 3\n",
    ] {
        assert!(metrics.text().contains(line), "{line}");
    }
}
