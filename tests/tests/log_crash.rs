//! Nothing acknowledged of logs is lost when the process is killed.
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
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_storage::logs::{LogStore, LogStoreOptions};
use kymo_storage::model::NanoRange;
use kymo_tests::{Client, Kymo};
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
