//! How many lines a second log queries read, on one thread: lines of JSON in memory, a third
//! of a kilobyte each. `cargo run --release -p kymo-query --example log_speed [LINES] [QUERY]`.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use kymo_query::logql::{
    Direction, EntryBatch, LogEngine, LogEngineOptions, LogGroup, LogQueryOptions, LogRangeQuery,
    LogSelection, LogSet, LogSource, parse,
};
use kymo_query::{Cancel, SourceError};
use kymo_storage::model::Labels;

/// Entries of a group.
const GROUP: usize = 4096;

/// Distance of the entries in nanoseconds.
const GAP_NS: i64 = 10_000_000;

/// What is asked of the lines.
const QUERIES: [&str; 8] = [
    r#"{app="shop"} |= "no such text""#,
    r#"{app="shop"} |~ "time(d )?out [0-9]+ never""#,
    r#"sum(count_over_time({app="shop"} |= "checkout" [5m]))"#,
    r#"{app="shop"} | json | status >= 900"#,
    r#"sum by (level) (count_over_time({app="shop"} | json [5m]))"#,
    r#"sum(count_over_time({app="shop"} | json | __error__="" | status >= 500 [5m]))"#,
    r#"quantile_over_time(0.9, {app="shop"} | json | unwrap took_ms [5m]) by (route)"#,
    r#"sum by (route) (rate({app="shop"} | json | line_format "{{.route}} {{.status}}" |= "GET" [1m]))"#,
];

struct Lines {
    streams: Vec<Labels>,
    batches: Vec<EntryBatch>,
}

#[derive(Clone)]
struct Shared(Arc<Lines>, Arc<[LogGroup]>);

impl Shared {
    fn new(n: usize) -> Shared {
        let stream = |pod: &str| Labels::from_pairs([("app", "shop"), ("pod", pod)]);
        let streams = vec![stream("shop-0"), stream("shop-1")];
        let (mut batches, mut groups) = (Vec::new(), Vec::new());
        let routes = [
            "GET /cart",
            "GET /item/{id}",
            "POST /checkout",
            "GET /search",
        ];
        let levels = ["info", "info", "info", "warn", "error"];
        for start in (0..n).step_by(GROUP) {
            let mut batch = EntryBatch::default();
            let end = n.min(start + GROUP);
            for i in start..end {
                let line = format!(
                    concat!(
                        r#"{{"ts":"2026-11-22T05:00:{:02}Z","level":"{}","service":"shop","route":"{}","#,
                        r#""status":{},"took_ms":{}.{},"request_id":"{:016x}","user":{{"id":{},"plan":"pro","#,
                        r#""tags":["a","b"]}},"msg":"request \"done\" after retry","upstream":"10.0.{}.{}","ok":true}}"#
                    ),
                    i % 60,
                    levels[i % levels.len()],
                    routes[i * 7 % routes.len()],
                    [200, 200, 404, 500, 302][i * 3 % 5],
                    i * 31 % 900,
                    i % 10,
                    (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                    i % 5000,
                    i % 250,
                    i * 3 % 250,
                );
                let metadata = [("detected_level", levels[i % levels.len()])];
                batch.push((i % 2) as u32, i as i64 * GAP_NS, line.as_bytes(), metadata);
            }
            groups.push(LogGroup {
                first_ns: start as i64 * GAP_NS,
                last_ns: (end - 1) as i64 * GAP_NS,
                entries: batch.len(),
                line_bytes: batch.iter().map(|entry| entry.line.len() as u64).sum(),
            });
            batches.push(batch);
        }
        Shared(Arc::new(Lines { streams, batches }), groups.into())
    }
}

impl LogSource for Shared {
    fn select(&self, _: &LogSelection<'_>) -> Result<Box<dyn LogSet>, SourceError> {
        Ok(Box::new(self.clone()))
    }
}

impl LogSet for Shared {
    fn streams(&self) -> &[Labels] {
        &self.0.streams
    }

    fn groups(&self) -> &[LogGroup] {
        &self.1
    }

    fn read(&self, index: usize, into: &mut EntryBatch) -> Result<(), SourceError> {
        into.clear();
        for entry in self.0.batches[index].iter() {
            into.push(entry.stream, entry.t_ns, entry.line, entry.metadata.iter());
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let n: usize = arguments.next().map_or(Ok(200_000), |n| n.parse())?;
    let own = arguments.next();
    let source = Shared::new(n);
    let engine = LogEngine::new(LogEngineOptions::default());
    let end_ns = n as i64 * GAP_NS;
    let query = LogRangeQuery {
        start_ns: 0,
        end_ns,
        step_ns: 15_000_000_000,
        interval_ns: 0,
        limit: 100,
        direction: Direction::Backward,
    };
    let texts = own.as_deref().map_or(QUERIES.to_vec(), |own| vec![own]);
    for text in texts {
        let expr = parse(text)?;
        let begun = Instant::now();
        let (options, cancel) = (LogQueryOptions::default(), Cancel::new());
        let result = engine.range(&source, &expr, &query, &options, &cancel)?;
        let seconds = begun.elapsed().as_secs_f64();
        let (lines, bytes) = (result.stats.lines as f64, result.stats.bytes as f64);
        println!(
            "{:8.2} M lines/s {:7.0} MB/s  {text}",
            lines / seconds / 1e6,
            bytes / seconds / 1e6,
        );
    }
    Ok(())
}
