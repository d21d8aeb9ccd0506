//! A server near its memory limit refuses what would make it larger, says so, and goes
//! on reading.
#![allow(
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kymo_tests::{Kymo, WriteBody, wait_until};

const SERIES: usize = 2_000;

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// A request of series that nobody has seen before.
fn new_series(round: usize, t_ms: i64) -> WriteBody {
    let mut body = WriteBody::new();
    for n in 0..SERIES {
        let id = format!("{round}-{n}-with-a-value-that-takes-some-memory");
        let labels = [("__name__", "filling"), ("id", &id)];
        body.push_series(&labels, &[(t_ms, 1.0)]);
    }
    body
}

fn own(kymo: &Kymo, sample: &str) -> f64 {
    let text = kymo.get("/metrics").text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic_without(sample, &text))
        .parse()
        .unwrap()
}

#[allow(clippy::panic, reason = "part of a test")]
fn panic_without(sample: &str, text: &str) -> ! {
    panic!("{sample} is not in {text}")
}

/// Serves one metric to whoever connects, until the test ends.
fn target() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\
                  Connection: close\r\n\r\nscraped 1",
            );
        }
    });
    address
}

#[test]
fn over_the_limit_nothing_is_stored_and_everything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("prometheus.yml");
    let text = format!(
        "scrape_configs:\n- job_name: t\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  \
         static_configs: [{{targets: ['{}']}}]\n",
        target()
    );
    std::fs::write(&config, text).unwrap();
    let config = format!("--config.file={}", config.display());
    let kymo = Kymo::start_in(dir.path(), &["--memory.limit=16MiB", &config]);
    assert_eq!(own(&kymo, "kymo_memory_limit_bytes"), f64::from(16 << 20));
    wait_until("a scrape", Duration::from_secs(60), || {
        let up = kymo.instant("scraped", now_ms() as f64 / 1000.0);
        !up["data"]["result"].as_array().unwrap().is_empty()
    });

    let t_ms = now_ms();
    let mut stored = 0;
    let refused = loop {
        let answer = kymo.write(&new_series(stored, t_ms));
        if answer.status != 204 {
            break answer;
        }
        stored += 1;
        assert!(stored < 1_000, "two million series in 16 MiB");
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert!(
        refused
            .text()
            .contains("memory limit reached: the store holds")
    );
    assert!(refused.text().contains("--memory.limit"));
    // The limit was neither far away nor passed by.
    let used = own(&kymo, "kymo_memory_used_bytes{purpose=\"store\"}");
    let limit = f64::from(16 << 20);
    assert!(used > limit * 0.8 && used < limit * 1.1, "{used}");
    assert_eq!(own(&kymo, "kymo_memory_full"), 1.0);
    assert!(own(&kymo, "kymo_memory_refusals_total{refused=\"write\"}") >= 1.0);

    // Scrapes fail with the reason, and say that the target is down.
    wait_until("a refused scrape", Duration::from_secs(60), || {
        let targets = kymo.get("/api/v1/targets").json();
        let error = &targets["data"]["activeTargets"][0]["lastError"];
        error.as_str().unwrap().contains("memory limit reached")
    });

    // Everything acknowledged is there, nothing of the refused request is.
    let time_s = t_ms as f64 / 1000.0;
    for round in 0..stored {
        let count = kymo.instant(&format!("count(filling{{id=~\"{round}-.*\"}})"), time_s);
        let value = &count["data"]["result"][0]["value"][1];
        assert_eq!(*value, SERIES.to_string(), "{round}: {count}");
    }
    let none = kymo.instant(&format!("filling{{id=~\"{stored}-.*\"}}"), time_s);
    assert_eq!(none["data"]["result"], serde_json::json!([]), "{none}");
    assert_eq!(kymo.get("/-/ready").status, 200);
}

#[test]
fn a_query_over_its_share_of_memory_is_refused_by_name() {
    let kymo = Kymo::start(&["--memory.limit=64MiB"]);
    let t_ms = now_ms() - 60_000;
    for round in 0..5 {
        assert_eq!(kymo.write(&new_series(round, t_ms)).status, 204);
    }
    let time_s = t_ms as f64 / 1000.0;
    // 10,000 series at 120 steps are 19 MB of points; the share is 16 MiB.
    let large = kymo.range("filling", time_s, time_s + 119.0, 1.0);
    assert_eq!(large["errorType"], "execution", "{large}");
    let text = large["error"].as_str().unwrap();
    assert!(
        text.contains("its share of 16777216 bytes of memory"),
        "{text}"
    );
    assert!(text.contains("--memory.limit"), "{text}");
    let small = kymo.range("sum(filling)", time_s, time_s + 119.0, 1.0);
    assert_eq!(small["status"], "success", "{small}");
    let used = || own(&kymo, "kymo_memory_used_bytes{purpose=\"queries\"}");
    wait_until("memory given back", Duration::from_secs(60), || {
        used() == 0.0
    });

    // Lists of series take memory, too.
    let listed = kymo.series(&["filling"]);
    assert_eq!(listed["data"].as_array().unwrap().len(), 10_000);

    // An answer holds its memory until it is taken, or nobody is left to take it.
    let mut slow = TcpStream::connect(kymo.address()).unwrap();
    let (start, end) = (time_s, time_s + 59.0);
    let target = format!("/api/v1/query_range?query=filling&start={start}&end={end}&step=1");
    write!(slow, "GET {target} HTTP/1.1\r\nHost: kymo\r\n\r\n").unwrap();
    slow.read_exact(&mut [0; 1000]).unwrap();
    assert!(used() > 9_600_000.0, "{}", used());
    drop(slow);
    wait_until("memory given back", Duration::from_secs(60), || {
        used() == 0.0
    });
}

#[test]
fn memory_is_free_again_once_what_is_old_is_in_blocks() {
    let kymo = Kymo::start(&["--memory.limit=16MiB"]);
    // Older than what the head keeps when memory is short.
    let t_ms = now_ms() - 20 * 60_000;
    let mut stored = 0;
    while kymo.write(&new_series(stored, t_ms)).status == 204 {
        stored += 1;
        assert!(stored < 1_000, "two million series in 16 MiB");
    }
    wait_until("storing again", Duration::from_secs(60), || {
        kymo.write(&new_series(stored, now_ms())).status == 204
    });
    let time_s = t_ms as f64 / 1000.0;
    for round in 0..stored {
        let count = kymo.instant(&format!("count(filling{{id=~\"{round}-.*\"}})"), time_s);
        let value = &count["data"]["result"][0]["value"][1];
        assert_eq!(*value, SERIES.to_string(), "{round}: {count}");
    }
}
