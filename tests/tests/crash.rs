//! Nothing acknowledged is lost when the process is killed.
//!
//! Two writers load the server by remote write and keep a ledger of what was
//! answered with 2xx. The server is killed at random moments; after each restart
//! every sample of the ledger must be there with its bits. Their times go by so fast
//! that hours leave memory for blocks meanwhile, and blocks are merged.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Client, Kymo, WriteBody, wait_until};

const KILLS: usize = 20;
const WRITERS: usize = 2;
const SERIES: usize = 40;
/// Between two samples of a series, in milliseconds.
const STEP_MS: i64 = 5_000;

/// Acknowledged samples of one writer: `ledger[series]` in order of time.
type Ledger = Vec<Vec<(i64, f64)>>;

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// A spread of values: decimals, integers, full doubles, special ones.
fn value(seed: u64) -> f64 {
    let z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (seed >> 7);
    match z % 7 {
        0 => (z >> 40) as f64 / 100.0,
        1 => (z >> 50) as f64,
        2 => f64::from_bits(z & 0x7fdf_ffff_ffff_ffff),
        3 => -0.0,
        4 => f64::INFINITY,
        _ => (z >> 44) as f64 / 1000.0 - 500.0,
    }
}

fn labels(writer: usize, series: usize) -> [(&'static str, String); 3] {
    [
        ("__name__", "ledger".into()),
        ("series", series.to_string()),
        ("writer", writer.to_string()),
    ]
}

/// Writes until the server is gone and adds what it acknowledged to the ledger. All
/// writers take their times from `next_ms`, so that none falls far behind the others.
fn write_until_killed(
    client: Client,
    writer: usize,
    ledger: &mut Ledger,
    next_ms: &AtomicI64,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let mut body = WriteBody::new();
        let mut sent = Vec::new();
        let t_ms = next_ms.fetch_add(STEP_MS, Ordering::Relaxed);
        for series in 0..SERIES {
            let value = value(t_ms as u64 * SERIES as u64 + series as u64);
            body.push_series(&labels(writer, series), &[(t_ms, value)]);
            sent.push((t_ms, value));
        }
        let headers = [
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
        ];
        let answer = client.try_call("POST", "/api/v1/write", &headers, &body.encode());
        match answer {
            Ok(answer) if answer.status == 204 => {
                for (series, sample) in ledger.iter_mut().zip(sent) {
                    series.push(sample);
                }
            }
            Ok(answer) => panic!("a good write was refused: {answer:?}"),
            Err(_) => return,
        }
    }
}

/// Reads every stored sample of the ledger's series, with full time range.
fn stored(kymo: &Kymo, from_ms: i64, to_ms: i64) -> HashMap<(usize, usize), Vec<(i64, f64)>> {
    let range_ms = to_ms - from_ms + 1;
    let answer = kymo.instant(&format!("ledger[{range_ms}ms]"), to_ms as f64 / 1000.0);
    assert_eq!(answer["status"], "success", "{answer}");
    let mut found = HashMap::new();
    for series in answer["data"]["result"].as_array().unwrap() {
        let number =
            |label: &str| -> usize { series["metric"][label].as_str().unwrap().parse().unwrap() };
        let samples = series["values"].as_array().unwrap().iter().map(|pair| {
            let t_ms = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
            let text = pair[1].as_str().unwrap();
            (t_ms, text.parse::<f64>().unwrap())
        });
        found.insert((number("writer"), number("series")), samples.collect());
    }
    found
}

/// Panics if a sample of the ledger is missing or has other bits.
fn check(kymo: &Kymo, ledgers: &[Ledger], from_ms: i64, to_ms: i64, when: &str) -> usize {
    let stored = stored(kymo, from_ms, to_ms);
    let mut checked = 0;
    for (writer, ledger) in ledgers.iter().enumerate() {
        for (series, acknowledged) in ledger.iter().enumerate() {
            let empty = Vec::new();
            let found: HashMap<i64, u64> = stored
                .get(&(writer, series))
                .unwrap_or(&empty)
                .iter()
                .map(|(t, v)| (*t, v.to_bits()))
                .collect();
            for (t_ms, value) in acknowledged {
                let bits = found.get(t_ms);
                assert_eq!(
                    bits,
                    Some(&value.to_bits()),
                    "{when}: writer {writer}, series {series}, time {t_ms}, value {value:?}"
                );
                checked += 1;
            }
        }
    }
    checked
}

#[test]
fn no_acknowledged_sample_is_missing_after_twenty_kills() {
    let dir = tempfile::tempdir().unwrap();
    let from_ms = now_ms() - 100 * 3_600_000;
    let mut ledgers: Vec<Ledger> = vec![vec![Vec::new(); SERIES]; WRITERS];
    let next_ms = AtomicI64::new(from_ms);
    let mut checked = 0;
    for kill in 0..KILLS {
        let kymo = Kymo::start_in(dir.path(), &[]);
        let to_ms = next_ms.load(Ordering::Relaxed);
        check(
            &kymo,
            &ledgers,
            from_ms,
            to_ms,
            &format!("after kill {kill}"),
        );
        let stop = AtomicBool::new(false);
        let client = kymo.client();
        std::thread::scope(|scope| {
            for (writer, ledger) in ledgers.iter_mut().enumerate() {
                let (next_ms, stop) = (&next_ms, &stop);
                scope.spawn(move || write_until_killed(client, writer, ledger, next_ms, stop));
            }
            // A moment that differs from run to run: between the first write and a third
            // of a second later.
            let nanos = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .subsec_nanos();
            std::thread::sleep(Duration::from_millis(u64::from(nanos % 330) + 5));
            kymo.kill();
            stop.store(true, Ordering::Relaxed);
        });
    }
    let kymo = Kymo::start_in(dir.path(), &[]);
    let to_ms = next_ms.load(Ordering::Relaxed);
    checked += check(&kymo, &ledgers, from_ms, to_ms, "at the end");
    assert!(
        checked > KILLS * SERIES,
        "only {checked} samples were written: no load"
    );
    let blocks = fs::read_dir(dir.path().join("data/blocks")).unwrap();
    let blocks = blocks
        .filter(|entry| entry.as_ref().unwrap().path().join("meta.json").is_file())
        .count();
    println!(
        "{checked} acknowledged samples found again after {KILLS} kills, in {blocks} blocks and in memory"
    );
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(segments(&path));
        } else if path.extension().is_some_and(|extension| extension == "wal") {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_torn_tail_is_reported_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let from_ms = now_ms() - 60_000;
    let mut ledgers = vec![vec![Vec::new(); SERIES]];
    let kymo = Kymo::start_in(dir.path(), &[]);
    let mut write = |kymo: &Kymo, t_ms: i64| {
        let mut body = WriteBody::new();
        for (series, acknowledged) in ledgers[0].iter_mut().enumerate() {
            let value = value(t_ms as u64 + series as u64);
            body.push_series(&labels(0, series), &[(t_ms, value)]);
            acknowledged.push((t_ms, value));
        }
        assert_eq!(kymo.write(&body).status, 204);
    };
    for step in 1..=10 {
        write(&kymo, from_ms + step);
    }
    kymo.kill();

    // A frame that was begun and never finished, as a power cut leaves it.
    let torn = segments(&dir.path().join("data"));
    assert!(!torn.is_empty(), "no segment of the log found");
    for segment in &torn {
        let mut file = fs::OpenOptions::new().append(true).open(segment).unwrap();
        file.write_all(&[0x40, 0, 0, 0, 1, 2, 3, 4, 3, 0, 1, 0, 9, 9, 9])
            .unwrap();
    }

    let kymo = Kymo::start_in(dir.path(), &[]);
    // What the server has said reaches the test a moment later.
    wait_until(
        "every torn segment is named",
        Duration::from_secs(60),
        || {
            let log = kymo.log();
            torn.iter().all(|segment| {
                let file = segment.to_str().unwrap();
                log.lines()
                    .any(|line| line.contains(file) && line.contains("unfinished"))
            })
        },
    );
    for step in 11..=20 {
        write(&kymo, from_ms + step);
    }
    kymo.kill();
    let kymo = Kymo::start_in(dir.path(), &[]);
    check(
        &kymo,
        &ledgers,
        from_ms,
        from_ms + 20,
        "behind the torn tail",
    );
    wait_until("the store is open", Duration::from_secs(60), || {
        kymo.log().contains("store is open")
    });
    let log = kymo.log();
    assert!(!log.contains("unfinished"), "the tail was not cut: {log}");
}
