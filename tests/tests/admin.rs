//! What administrators ask for: deleting, cleaning, copies of the store.
#![allow(
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use kymo_tests::{Answer, Kymo, WriteBody};
use serde_json::{Value, json};

const ADMIN: &str = "--web.enable-admin-api";
const T_MS: i64 = 1_700_000_000_000;

/// Two series with a sample every 15 s for an hour.
fn hour() -> WriteBody {
    let samples: Vec<(i64, f64)> = (0..240).map(|k| (T_MS + k * 15_000, k as f64)).collect();
    WriteBody::new()
        .series(&[("__name__", "a")], &samples)
        .series(&[("__name__", "b")], &samples)
}

fn post(kymo: &Kymo, call: &str) -> Answer {
    let target = format!("/api/v1/admin/tsdb/{call}");
    kymo.client().call("POST", &target, &[], b"")
}

/// The number of samples of each series.
fn counts(kymo: &Kymo) -> Value {
    let time_s = (T_MS / 1000 + 3600) as f64;
    let of = |name: &str| {
        let one = kymo.instant(&format!("count_over_time({name}[2h])"), time_s);
        one["data"]["result"][0]["value"][1].clone()
    };
    json!([of("a"), of("b")])
}

#[test]
fn calls_for_administrators_are_off_unless_enabled() {
    let kymo = Kymo::start(&[]);
    for call in ["delete_series?match[]=a", "clean_tombstones", "snapshot"] {
        let answer = post(&kymo, call);
        assert_eq!(answer.status, 500, "{call}");
        assert_eq!(answer.json()["errorType"], "unavailable");
        assert_eq!(answer.json()["error"], "admin APIs disabled");
    }
}

#[test]
fn deleted_samples_stay_deleted_and_a_copy_has_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let kymo = Kymo::start_in(dir.path(), &[ADMIN]);
    assert_eq!(kymo.write(&hour()).status, 204);
    assert_eq!(counts(&kymo), json!(["240", "240"]));

    let before = post(&kymo, "snapshot");
    assert_eq!(before.status, 200, "{before:?}");
    let name = before.json()["data"]["name"].as_str().unwrap().to_owned();
    let (time, chance) = name.split_once('-').unwrap();
    assert_eq!((time.len(), chance.len()), (16, 16), "{name}");

    let half_s = T_MS / 1000 + 1800;
    let deleted = post(&kymo, &format!("delete_series?match[]=a&start={half_s}"));
    assert_eq!((deleted.status, deleted.text().as_str()), (204, ""));
    let expected = json!(["120", "240"]);
    assert_eq!(counts(&kymo), expected);
    assert_eq!(post(&kymo, "clean_tombstones").status, 204);
    assert_eq!(counts(&kymo), expected);
    let empty = post(&kymo, "snapshot?skip_head=true");
    let empty = empty.json()["data"]["name"].as_str().unwrap().to_owned();
    drop(kymo);

    // Dropped is killed.
    let kymo = Kymo::start_in(dir.path(), &[ADMIN]);
    assert_eq!(counts(&kymo), expected);
    drop(kymo);

    let snapshots = dir.path().join("data/snapshots");
    let copy = |name: &str| {
        let place = tempfile::tempdir().unwrap();
        std::fs::rename(snapshots.join(name), place.path().join("data")).unwrap();
        place
    };
    let place = copy(&name);
    let kymo = Kymo::start_in(place.path(), &[]);
    assert_eq!(counts(&kymo), json!(["240", "240"]));
    drop(kymo);
    let place = copy(&empty);
    let kymo = Kymo::start_in(place.path(), &[]);
    assert_eq!(counts(&kymo), json!([null, null]));
}

#[test]
fn wrong_calls_change_nothing() {
    let kymo = Kymo::start(&[ADMIN]);
    assert_eq!(kymo.write(&hour()).status, 204);
    for (call, error) in [
        ("delete_series", "no match[] parameter provided"),
        (
            "delete_series?match[]=a&match[]=%7Bbad",
            "invalid parameter \"match[]\": 1:5: parse error: unexpected end of input inside braces",
        ),
        (
            "delete_series?match[]=a&start=x",
            "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp",
        ),
        (
            "snapshot?skip_head=maybe",
            "invalid parameter \"skip_head\": unable to parse boolean: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
    ] {
        let answer = post(&kymo, call);
        assert_eq!(answer.status, 400, "{call}");
        assert_eq!(answer.json()["error"], error);
    }
    assert_eq!(counts(&kymo), json!(["240", "240"]));
    assert!(!kymo.data().join("snapshots").exists());
}
