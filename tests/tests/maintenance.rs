//! What the server does with its store by itself: blocks, retention, damage, and the
//! settings of the configuration that it follows.
#![allow(
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::path::PathBuf;
use std::time::Duration;

use kymo_tests::{Kymo, WriteBody, wait_until};
use serde_json::Value;

const HOUR_MS: i64 = 3_600_000;
/// On a border of blocks of eight hours.
const T_MS: i64 = 1_700_006_400_000;
const LIMIT: Duration = Duration::from_secs(60);

/// One hour of twenty series, one sample a minute.
fn hour(number: i64) -> WriteBody {
    let mut body = WriteBody::new();
    for n in 0..20 {
        let samples: Vec<(i64, f64)> = (0..60)
            .map(|minute| {
                (
                    T_MS + number * HOUR_MS + minute * 60_000,
                    (n * minute) as f64 * 0.1,
                )
            })
            .collect();
        body.push_series(&[("__name__", "m"), ("n", &n.to_string())], &samples);
    }
    body
}

fn write_hours(kymo: &Kymo, hours: std::ops::Range<i64>) {
    for number in hours {
        assert_eq!(kymo.write(&hour(number)).status, 204);
    }
}

/// All samples, with their times.
fn everything(kymo: &Kymo) -> Value {
    let time_s = (T_MS + 20 * HOUR_MS) as f64 / 1000.0;
    let mut all = kymo.instant("m[1d]", time_s);
    let mut series = std::mem::take(all["data"]["result"].as_array_mut().unwrap());
    assert_eq!(series.len(), 20);
    series.sort_by_key(|series| series["metric"].to_string());
    Value::Array(series)
}

fn blocks(kymo: &Kymo) -> Vec<Value> {
    let json = kymo.get("/api/v1/status/tsdb/blocks").json();
    json["data"]["blocks"].as_array().unwrap().clone()
}

fn metric(kymo: &Kymo, line: &str) -> bool {
    kymo.get("/metrics").text().lines().any(|l| l == line)
}

/// A server that has moved the first eight of ten hours to blocks.
fn with_blocks(dir: &std::path::Path, args: &[&str]) -> Kymo {
    let kymo = Kymo::start_in(dir, args);
    write_hours(&kymo, 0..10);
    let before = everything(&kymo);
    assert!(kymo.terminate().success());
    // The first look at what is due comes right after the start.
    let kymo = Kymo::start_in(dir, args);
    wait_until("blocks", LIMIT, || {
        let blocks = blocks(&kymo);
        let last = blocks
            .iter()
            .map(|block| block["maxTime"].as_i64().unwrap());
        last.max() == Some(T_MS + 8 * HOUR_MS)
    });
    assert_eq!(everything(&kymo), before);
    kymo
}

#[test]
fn old_hours_move_to_blocks_that_are_merged_and_outlive_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = with_blocks(dir.path(), &[]);
    let before = everything(&kymo);
    // Four blocks of two hours become one of eight.
    wait_until("a merge", LIMIT, || blocks(&kymo).len() == 1);
    let block = &blocks(&kymo)[0];
    assert_eq!(block["minTime"], T_MS);
    assert_eq!(block["stats"]["numSamples"], 20 * 8 * 60);
    assert_eq!(block["stats"]["numSeries"], 20);
    assert_eq!(block["compaction"]["level"], 2);
    assert_eq!(block["compaction"]["sources"].as_array().unwrap().len(), 4);
    assert!(metric(&kymo, "prometheus_tsdb_blocks_loaded 1"));
    // A block is seen a moment before it is counted.
    wait_until("five counts", LIMIT, || {
        metric(&kymo, "prometheus_tsdb_compactions_total 5")
    });
    assert!(metric(&kymo, "prometheus_tsdb_compactions_failed_total 0"));
    assert!(metric(
        &kymo,
        "prometheus_tsdb_lowest_timestamp_seconds 1.7000064e+09"
    ));
    assert_eq!(everything(&kymo), before);
    write_hours(&kymo, 10..11);
    let longer = everything(&kymo);
    drop(kymo);
    let kymo = Kymo::start_in(dir.path(), &[]);
    assert_eq!(everything(&kymo), longer);
}

#[test]
fn blocks_over_the_size_go_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = with_blocks(dir.path(), &[]);
    assert!(kymo.terminate().success());
    let kymo = Kymo::start_in(dir.path(), &["--storage.tsdb.retention.size=1KB"]);
    wait_until("retention", LIMIT, || blocks(&kymo).is_empty());
    wait_until("a count", LIMIT, || {
        !metric(&kymo, "prometheus_tsdb_size_retentions_total 0")
    });
    assert!(metric(&kymo, "prometheus_tsdb_retention_limit_bytes 1024"));
    let info = kymo.get("/api/v1/status/runtimeinfo").json();
    assert_eq!(info["data"]["storageRetention"], "1KiB");
    // The head stays.
    let time_s = (T_MS + 20 * HOUR_MS) as f64 / 1000.0;
    let count = kymo.instant("sum(count_over_time(m[1d]))", time_s);
    assert_eq!(count["data"]["result"][0]["value"][1], "2400", "{count}");
}

#[test]
fn a_damaged_block_is_set_aside_by_name_and_the_rest_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = with_blocks(dir.path(), &[]);
    wait_until("a merge", LIMIT, || blocks(&kymo).len() == 1);
    let ulid = blocks(&kymo)[0]["ulid"].as_str().unwrap().to_owned();
    assert!(kymo.terminate().success());

    let block: PathBuf = dir.path().join("data/blocks").join(&ulid);
    let index = block.join("index");
    let mut bytes = std::fs::read(&index).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&index, bytes).unwrap();

    let kymo = Kymo::start_in(dir.path(), &[]);
    let time_s = (T_MS + 20 * HOUR_MS) as f64 / 1000.0;
    wait_until("the block is set aside", LIMIT, || {
        // Damage is found where it is read.
        kymo.instant("sum(count_over_time(m[1d]))", time_s);
        dir.path()
            .join("data/blocks")
            .join(format!("{ulid}.damaged"))
            .is_dir()
    });
    wait_until("a count", LIMIT, || {
        metric(&kymo, "kymo_storage_blocks_set_aside_total 1")
            && metric(&kymo, "prometheus_tsdb_blocks_loaded 0")
    });
    wait_until("a log line", LIMIT, || {
        kymo.log().contains("stored bytes are damaged")
    });
    let log = kymo.log();
    assert!(
        log.contains(&format!("set aside as {ulid}.damaged")),
        "{log}"
    );
    let count = kymo.instant("sum(count_over_time(m[1d]))", time_s);
    // The head has its two hours, and what of earlier ones it has not let go of.
    let count = count["data"]["result"][0]["value"][1].as_str().unwrap();
    assert!((2400..=12_000).contains(&count.parse().unwrap()), "{count}");
    assert_eq!(kymo.get("/-/ready").status, 200);
}

#[test]
fn the_out_of_order_window_follows_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kymo.yml");
    let window = |text: &str| {
        let text = format!("storage:\n  tsdb:\n    out_of_order_time_window: {text}\n");
        std::fs::write(&file, text).unwrap();
    };
    window("0s");
    let args = ["--config.file=kymo.yml", "--web.enable-lifecycle"];
    let kymo = Kymo::start_in(dir.path(), &args);
    let sample = |minute: i64, value: f64| {
        let labels = [("__name__", "late")];
        WriteBody::new().series(&labels, &[(T_MS + minute * 60_000, value)])
    };
    assert_eq!(kymo.write(&sample(30, 30.0)).status, 204);
    let refused = kymo.write(&sample(10, 10.0));
    assert_eq!(refused.status, 400);
    assert_eq!(refused.text(), "out of order sample\n");

    window("30m");
    let reloaded = kymo.client().call("POST", "/-/reload", &[], b"");
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    assert_eq!(kymo.write(&sample(10, 10.0)).status, 204);
    let older = kymo.write(&sample(-10, 0.0));
    assert_eq!(
        (older.status, older.text().as_str()),
        (400, "too old sample\n")
    );
    let time_s = (T_MS + HOUR_MS) as f64 / 1000.0;
    let values =
        |kymo: &Kymo| kymo.instant("late[2h]", time_s)["data"]["result"][0]["values"].clone();
    let expected = serde_json::json!([[T_MS / 1000 + 600, "10"], [T_MS / 1000 + 1800, "30"],]);
    assert_eq!(values(&kymo), expected);
    let name = "prometheus_tsdb_head_out_of_order_samples_appended_total{type=\"float\"} 1";
    assert!(metric(&kymo, name));
    let shown = kymo.get("/api/v1/status/config").json();
    let yaml = shown["data"]["yaml"].as_str().unwrap();
    assert!(yaml.contains("outofordertimewindow: 1800000\n"), "{yaml}");
    drop(kymo);
    let kymo = Kymo::start_in(dir.path(), &args);
    assert_eq!(values(&kymo), expected);
}
