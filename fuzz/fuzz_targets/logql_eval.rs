//! Any text as a query of logs, and any bytes as lines, evaluated at odd times: an answer or
//! an error, the same each time, and no more of it than was asked for.
#![no_main]

use kymo_query::Cancel;
use kymo_query::logql::ast::Expr;
use kymo_query::logql::{
    Direction, LogEngine, LogEngineOptions, LogQueryOptions, LogRangeQuery, LogValue,
    MemoryLogSource, parse,
};
use kymo_storage::model::Labels;
use libfuzzer_sys::fuzz_target;

const SECOND_NS: i64 = 1_000_000_000;
const LIMIT: usize = 5;

/// Start, end and step.
const TIMES: [(i64, i64, i64); 6] = [
    (0, 60 * SECOND_NS, 7 * SECOND_NS),
    (SECOND_NS, SECOND_NS, SECOND_NS),
    (-SECOND_NS, 10 * SECOND_NS, 1 + SECOND_NS / 3),
    (i64::MIN, i64::MAX, i64::MAX),
    (i64::MAX - SECOND_NS, i64::MAX, SECOND_NS),
    (i64::MIN, i64::MIN + SECOND_NS, 1 + SECOND_NS / 9),
];

fuzz_target!(|data: &[u8]| {
    // A byte for the times, the query, a byte that is no text, the lines.
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let mut pieces = rest.splitn(2, |&byte| byte == 0xff);
    let (Some(query), Some(lines)) = (pieces.next(), pieces.next()) else {
        return;
    };
    let Ok(Ok(expr)) = std::str::from_utf8(query).map(parse) else {
        return;
    };
    let (start_ns, end_ns, step_ns) = TIMES[usize::from(choice >> 2) % TIMES.len()];
    let mut source = MemoryLogSource::new();
    for (i, line) in lines.split(|&byte| byte == b'\n').take(64).enumerate() {
        let stream = Labels::from_pairs([("app", "a"), ("n", ["1", "x"][i % 2])]);
        let t_ns = match choice & 1 {
            0 => start_ns.saturating_add(i as i64 * SECOND_NS),
            _ => end_ns.saturating_sub(i as i64 * SECOND_NS),
        };
        source.push(&stream, t_ns, line, [("level", "info"), ("took", "1.5s")]);
    }
    let engine = LogEngine::new(LogEngineOptions {
        max_memory_bytes: 64 << 20,
        ..LogEngineOptions::default()
    });
    let options = LogQueryOptions {
        now_ns: end_ns,
        categorize_labels: choice & 2 != 0,
        ..LogQueryOptions::default()
    };
    let range = LogRangeQuery {
        start_ns,
        end_ns,
        step_ns,
        interval_ns: 0,
        limit: LIMIT,
        direction: [Direction::Forward, Direction::Backward][usize::from(choice & 1)],
    };
    let at = |t_ns| {
        let result = engine.instant(&source, &expr, t_ns, &options, &Cancel::new());
        result.map(|result| format!("{:?}", result.value)).ok()
    };
    if !matches!(expr, Expr::Log(_)) {
        assert_eq!(at(end_ns), at(end_ns));
        at(start_ns);
    }
    let over = || engine.range(&source, &expr, &range, &options, &Cancel::new());
    let Ok(result) = over() else {
        return;
    };
    if let LogValue::Streams(streams) = &result.value {
        let entries: usize = streams.iter().map(|stream| stream.entries.len()).sum();
        assert!(entries <= LIMIT);
    }
    let again = over().map(|again| format!("{:?}", again.value)).ok();
    assert_eq!(again, Some(format!("{:?}", result.value)));
});
