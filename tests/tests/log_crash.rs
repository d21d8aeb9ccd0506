//! Nothing acknowledged of logs is lost when the process is killed, or the disk is full.
//!
//! Writers push in both of Loki's forms and keep a ledger of what was answered with 204. The
//! server is killed at random moments; each time all lines of the ledger must be in the
//! store, once, byte for byte.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_storage::logs::{LogStore, LogStoreOptions};
use kymo_storage::model::NanoRange;
use kymo_tests::{Answer, Client, Kymo};
use serde_json::json;

const KILLS: usize = 12;
const WRITERS: usize = 2;
const LINES: u64 = 50;

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_nanos()).unwrap()
}

/// A line that says which it is, of a length and kind that differ.
fn line(writer: usize, number: u64) -> String {
    let filler = "é\"\\\n x".repeat((number * 7 % 60) as usize);
    match number % 3 {
        0 => json!({"writer": writer, "n": number, "msg": filler}).to_string(),
        1 => format!("writer={writer} n={number} msg={filler:?}"),
        _ => format!("ERROR {writer} {number} {filler}"),
    }
}

fn push_until_killed(
    client: Client,
    writer: usize,
    ledger: &mut Vec<String>,
    next: &AtomicU64,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let first = next.fetch_add(LINES, Ordering::Relaxed);
        let lines: Vec<String> = (first..first + LINES).map(|n| line(writer, n)).collect();
        let values: Vec<_> = lines
            .iter()
            .map(|line| json!([now_ns().to_string(), line]))
            .collect();
        let stream = json!({"writer": writer.to_string(), "part": (first / LINES % 3).to_string()});
        let body = json!({"streams": [{"stream": stream, "values": values}]});
        let headers = [("Content-Type", "application/json")];
        let body = serde_json::to_vec(&body).unwrap();
        match client.try_call("POST", "/loki/api/v1/push", &headers, &body) {
            Ok(answer) if answer.status == 204 => ledger.extend(lines),
            Ok(answer) => panic!("a good push was refused: {answer:?}"),
            Err(_) => return,
        }
    }
}

/// Panics unless each line of the ledger is stored once; returns how many there are.
fn check(data: &Path, ledgers: &[Vec<String>], when: &str) -> usize {
    let (store, _) = LogStore::open(&LogStoreOptions::new(data)).unwrap();
    let selection = store.select(&[], NanoRange::ALL).unwrap();
    let mut stored: HashMap<Vec<u8>, usize> = HashMap::new();
    for group in 0..selection.groups().len() {
        selection
            .read(group, &mut |entry| {
                *stored.entry(entry.line.to_vec()).or_default() += 1;
            })
            .unwrap();
    }
    let lines = ledgers.iter().flatten();
    for line in lines.clone() {
        assert_eq!(stored.get(line.as_bytes()), Some(&1), "{when}: {line}");
    }
    lines.count()
}

#[test]
fn no_acknowledged_line_is_missing_after_many_kills() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut ledgers: Vec<Vec<String>> = vec![Vec::new(); WRITERS];
    let next = AtomicU64::new(0);
    let mut checked = 0;
    for kill in 0..KILLS {
        // Little memory, so that entries go to parts meanwhile.
        let kymo = Kymo::start_in(dir.path(), &["--memory.limit=32MiB"]);
        let stop = AtomicBool::new(false);
        let client = kymo.client();
        std::thread::scope(|scope| {
            for (writer, ledger) in ledgers.iter_mut().enumerate() {
                let (next, stop) = (&next, &stop);
                scope.spawn(move || push_until_killed(client, writer, ledger, next, stop));
            }
            let nanos = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .subsec_nanos();
            std::thread::sleep(Duration::from_millis(u64::from(nanos % 330) + 5));
            kymo.kill();
            stop.store(true, Ordering::Relaxed);
        });
        checked = check(&data, &ledgers, &format!("after kill {kill}"));
    }
    assert!(checked > KILLS, "only {checked} lines were pushed: no load");
    println!("{checked} acknowledged lines found again after {KILLS} kills");
}

/// A small disk of its own.
struct Disk {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Disk {
    /// Mounts one; says why where that is not allowed.
    fn of_bytes(bytes: usize) -> Result<Disk, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "kymo"]);
        match mount.arg(&path).output() {
            Ok(output) if output.status.success() => Ok(Disk { _dir: dir, path }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Takes space that can be freed.
    fn take(&self, bytes: usize) {
        std::fs::write(self.path.join("ballast"), vec![1; bytes]).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.path.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has files on it keeps it until they are closed.
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        if !std::thread::panicking() {
            assert!(unmounted.unwrap().success());
        }
    }
}

/// Pushes lines until the disk takes no more, and adds those that it took to the ledger.
/// Returns the answer that refused.
fn push_until_full(client: Client, ledger: &mut Vec<String>) -> Answer {
    for _ in 0..500 {
        let first = ledger.len();
        let lines = (first..first + 200).map(|n| {
            // Digits that no two lines share.
            let digits = (0..32).map(|i| (n as u64 * 32 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            format!(
                "line={n} {}",
                digits.map(|d| format!("{d:016x}")).collect::<String>()
            )
        });
        let lines: Vec<String> = lines.collect();
        let values = lines.iter().map(|line| json!([now_ns().to_string(), line]));
        let body =
            json!({"streams": [{"stream": {"a": "b"}, "values": values.collect::<Vec<_>>()}]});
        let headers = [("Content-Type", "application/json")];
        let body = serde_json::to_vec(&body).unwrap();
        let answer = client.call("POST", "/loki/api/v1/push", &headers, &body);
        if answer.status != 204 {
            return answer;
        }
        ledger.extend(lines);
    }
    panic!("the disk is never full");
}

#[test]
fn a_full_disk_refuses_pushes_and_loses_nothing() {
    let disk = match Disk::of_bytes(24 << 20) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: a disk cannot be mounted: {reason}");
            return;
        }
    };
    disk.take(12 << 20);
    let kymo = Kymo::start_in(&disk.path, &[]);
    let client = kymo.client();
    let metric = |name: &str| {
        let text = kymo.get("/metrics").text();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].trim().parse::<f64>().unwrap()
    };
    assert_eq!(metric("kymo_logs_wal_failures_total "), 0.0);
    let mut ledger = Vec::new();
    let refused = |answer: &Answer| {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        let text = answer.text();
        assert!(
            text.contains("the disk is full; free space below "),
            "{text}"
        );
    };
    refused(&push_until_full(client, &mut ledger));
    let full = ledger.len();
    assert!(full > 0);
    assert!(metric("kymo_logs_wal_failures_total ") >= 1.0);
    assert_eq!(metric("kymo_logs_poisoned "), 0.0);
    // What is there is read.
    let count = kymo.get("/loki/api/v1/query?query=sum(count_over_time({a=%22b%22}[1h]))");
    let found = count.json()["data"]["result"][0]["value"][1].clone();
    assert_eq!(found, json!(full.to_string()), "{count:?}");

    // Space is all that it needs.
    disk.free();
    refused(&push_until_full(client, &mut ledger));
    assert!(ledger.len() > full);
    kymo.kill();
    let data = disk.path.join("data");
    check(&data, &[ledger.clone()], "after a kill on a full disk");

    // So it is where the start finds the disk full.
    let kymo = Kymo::start_in(&disk.path, &[]);
    let count = kymo.get("/loki/api/v1/query?query=sum(count_over_time({a=%22b%22}[1h]))");
    let found = count.json()["data"]["result"][0]["value"][1].clone();
    assert_eq!(found, json!(ledger.len().to_string()), "{count:?}");
    assert!(kymo.terminate().success());
    check(&data, &[ledger], "after a stop");
}
