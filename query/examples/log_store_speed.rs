//! How long queries over a store of logs take, on one thread and on two: two hours of JSON in
//! thirty streams, in parts as they are after flushes and merges.
//! `cargo run --release -p kymo-query --example log_store_speed [LINES] [QUERY]`.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use kymo_query::logql::{
    Direction, LogEngine, LogEngineOptions, LogQueryOptions, LogRangeQuery, LogValue, parse,
};
use kymo_query::{Cancel, Workers};
use kymo_storage::logs::{LogRetention, LogStore, LogStoreOptions};
use kymo_storage::model::{Labels, LogEntry, StreamBatch};

/// A minute that begins an hour.
const START_NS: i64 = 1_785_578_400_000_000_000;

/// How long all of the lines take.
const SPAN_NS: i64 = 7_200_000_000_000;

/// Lines of a push.
const PUSH: u64 = 2_000;

/// How often a query is asked; the median counts.
const ASKED: usize = 9;

/// What is asked, and how far its steps are from whole minutes.
const QUERIES: [(&str, i64); 18] = [
    (r#"sum(count_over_time({env="prod"}[1m]))"#, 0),
    (r#"sum(count_over_time({env="prod"}[1m]))"#, 17_123_456_789),
    (r#"sum by (app)(bytes_rate({env="prod"}[5m]))"#, 0),
    (
        r#"sum by (app)(bytes_rate({env="prod"}[5m]))"#,
        17_123_456_789,
    ),
    (
        r#"sum by (level, detected_level)(count_over_time({env="prod"}[1m]))"#,
        0,
    ),
    (
        r#"sum by (level, detected_level)(count_over_time({env="prod"}[1m]))"#,
        17_123_456_789,
    ),
    (r#"absent_over_time({env="prod"}[1m])"#, 17_123_456_789),
    (
        r#"quantile_over_time(0.95, {app="billing"} | json | unwrap duration_ms [1m]) by (app)"#,
        0,
    ),
    (
        r#"sum by (app)(count_over_time({env="prod"} |= "ERROR" [1m]))"#,
        0,
    ),
    (
        r#"sum by (tenant)(count_over_time({env="prod"} | json [1m]))"#,
        0,
    ),
    (
        r#"sum by (tenant)(count_over_time({env="prod"} | json | __error__="" [1m]))"#,
        0,
    ),
    (
        r#"sum(count_over_time({env="prod"} | json | status >= 500 [1m]))"#,
        0,
    ),
    (
        r#"sum by (tenant)(sum_over_time({env="prod"} | json | unwrap bytes [1m]))"#,
        0,
    ),
    (
        r#"sum by (level, detected_level)(count_over_time({env="prod"} | json | level="ERROR" | drop __error__ [1m]))"#,
        0,
    ),
    (r#"{env="prod"}"#, 0),
    (r#"{env="prod"} |= "TRACE""#, 0),
    (r#"{env="prod"} |= "no-such-needle-4711""#, 0),
    (
        r#"{app="analytics"} | json | status >= 500 | duration_ms > 800"#,
        0,
    ),
];

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

fn trace(number: u64) -> String {
    let mut random = Random(number.wrapping_mul(0x5851_f42d_4c95_7f2d));
    format!("{:016x}{:016x}", random.next(), random.next())
}

const APPS: [&str; 10] = [
    "analytics",
    "api",
    "auth",
    "billing",
    "gateway",
    "ingest",
    "notifier",
    "rules",
    "timer",
    "twin",
];

/// Returns number of the stream, time, level and line.
fn line(number: u64, lines: u64) -> (u64, i64, &'static str, String) {
    let mut random = Random(number ^ 0x1234_5678);
    let stream = random.below(30);
    let step_ns = SPAN_NS / lines as i64;
    let t_ns = START_NS + number as i64 * step_ns + random.below(step_ns as u64) as i64;
    let level = match random.below(100) {
        0..3 => "error",
        3..10 => "warn",
        10..20 => "debug",
        _ => "info",
    };
    let status = match level {
        "error" => 500 + random.below(4),
        "warn" => 400 + random.below(4),
        _ => 200 + random.below(3),
    };
    let tail = 1 + 1_000_000 / (1 + random.below(100_000));
    let micros = 800 + random.below(40_000) + tail;
    let (device, bytes) = (random.below(20_000), 200 + random.below(4_000));
    let message = random.pick(&[
        "telemetry batch accepted",
        "request completed",
        "cache refreshed for tenant",
        "device state synchronised with twin",
        "rule evaluated",
        "invoice line written",
    ]);
    let caller = random.pick(&[
        "ingest/handler.go:214",
        "http/server.go:98",
        "store/batch.go:441",
    ]);
    let method = random.pick(&["GET", "POST", "PUT", "DELETE"]);
    let tenant = random.pick(&[
        "acme",
        "nordwind",
        "helios",
        "stadtwerke",
        "gridline",
        "aquanet",
    ]);
    let region = random.pick(&["eu-central-1", "eu-west-1", "us-east-1"]);
    let of_day = (t_ns - START_NS) / 1000 + 36_000_000_000;
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (trace, request, upper) = (trace(number), random.next() >> 16, level.to_uppercase());
    let mut line = String::new();
    let _ = write!(
        line,
        concat!(
            r#"{{"ts":"2026-08-01T{:02}:{:02}:{:02}.{:06}Z","level":"{}","caller":"{}","msg":"{}","trace_id":"{}","#,
            r#""request_id":"req-{:012x}","tenant":"{}","region":"{}","device_id":"dev-{:05}","method":"{}","#,
            r#""path":"/api/v1/devices/{}/telemetry","status":{},"duration_ms":{}.{:03},"bytes":{}}}"#
        ),
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        fraction,
        upper,
        caller,
        message,
        trace,
        request,
        tenant,
        region,
        device,
        method,
        device,
        status,
        micros / 1000,
        micros % 1000,
        bytes
    );
    (stream, t_ns, level, line)
}

fn fill(store: &LogStore, lines: u64) -> Result<(), Box<dyn Error>> {
    let labels: Vec<Labels> = (0..30)
        .map(|stream| {
            let app = APPS[stream / 3];
            let instance = format!("{app}-{}", stream % 3);
            Labels::from_pairs([
                ("app", app),
                ("env", "prod"),
                ("instance", &instance),
                ("service_name", app),
            ])
        })
        .collect();
    for start in (0..lines).step_by(PUSH as usize) {
        let mut batches: Vec<StreamBatch<'_>> = labels
            .iter()
            .map(|labels| StreamBatch {
                labels: labels.clone(),
                entries: Vec::new(),
            })
            .collect();
        for number in start..lines.min(start + PUSH) {
            let (stream, t_ns, level, line) = line(number, lines);
            let level = ("detected_level".into(), level.into());
            batches[stream as usize].entries.push(LogEntry {
                t_ns,
                line: line.into_bytes().into(),
                metadata: [level].into_iter().collect(),
            });
        }
        batches.retain(|batch| !batch.entries.is_empty());
        store.push(&batches)?;
        if start % (PUSH * 16) == 0 {
            maintain(store)?;
        }
    }
    store.flush(&mut || ControlFlow::Continue(()))?;
    maintain(store)
}

fn maintain(store: &LogStore) -> Result<(), Box<dyn Error>> {
    store.maintain(START_NS, &LogRetention::default(), &mut || {
        ControlFlow::Continue(())
    })?;
    Ok(())
}

/// As many threads as there are processors but one help.
#[derive(Debug)]
struct Threads;

impl Workers for Threads {
    fn idle(&self) -> usize {
        1
    }

    fn start(&self, help: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(help);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let lines: u64 = arguments
        .next()
        .map_or(Ok(2_000_000), |lines| lines.parse())?;
    let own = arguments.next();
    let dir = std::env::temp_dir().join(format!("kymo-log-store-speed-{lines}"));
    let is_there = Path::new(&dir).exists();
    let (store, _) = LogStore::open(&LogStoreOptions::new(&dir))?;
    if !is_there {
        let begun = Instant::now();
        fill(&store, lines)?;
        println!("filled in {:.1?}", begun.elapsed());
    }
    println!(
        "{} parts, {} bytes",
        store.stats().parts,
        store.stats().parts_bytes
    );
    let engines = [None, Some(Arc::new(Threads) as Arc<dyn Workers>)].map(|workers| {
        LogEngine::new(LogEngineOptions {
            workers,
            max_series: 0,
            ..LogEngineOptions::default()
        })
    });
    let texts: Vec<(String, i64)> = match own {
        Some(own) => vec![(own, 0)],
        None => QUERIES
            .iter()
            .map(|(text, shift)| (text.replace("TRACE", &trace(lines / 3)), *shift))
            .collect(),
    };
    for (text, shift_ns) in texts {
        let expr = parse(&text)?;
        let query = LogRangeQuery {
            start_ns: START_NS + shift_ns,
            end_ns: START_NS + SPAN_NS + shift_ns,
            step_ns: 60_000_000_000,
            interval_ns: 0,
            limit: 1000,
            direction: Direction::Backward,
        };
        let mut medians = Vec::new();
        let mut answer = 0;
        for engine in &engines {
            let mut times = Vec::new();
            for _ in 0..ASKED {
                let begun = Instant::now();
                let (options, cancel) = (LogQueryOptions::default(), Cancel::new());
                let result = engine.range(&store, &expr, &query, &options, &cancel)?;
                times.push(begun.elapsed().as_secs_f64() * 1e3);
                answer = match result.value {
                    LogValue::Streams(streams) => streams.iter().map(|s| s.entries.len()).sum(),
                    LogValue::Matrix(series) => series.iter().map(|s| s.points.len()).sum(),
                    LogValue::Vector(samples) => samples.len(),
                    LogValue::Scalar { .. } => 1,
                };
            }
            times.sort_by(f64::total_cmp);
            medians.push((times[0], times[ASKED / 2]));
        }
        let [(least, one), (least_of_two, two)] = medians[..] else {
            continue;
        };
        println!(
            "{one:8.2} ms ({least:7.2})  on two {two:8.2} ({least_of_two:7.2})  {answer:6}  {text}{}",
            if shift_ns == 0 {
                ""
            } else {
                "  not on minutes"
            }
        );
    }
    Ok(())
}
