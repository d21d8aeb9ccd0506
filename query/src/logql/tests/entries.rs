//! Queries for entries: order, limits, and how much is read.

use std::sync::atomic::{AtomicUsize, Ordering};

use kymo_storage::model::{Labels, NanoRange};
use proptest::prelude::*;

use crate::logql::{
    Direction, EntryBatch, LogEngine, LogEngineOptions, LogGroup, LogQlError, LogQueryOptions,
    LogRangeQuery, LogResult, LogSelection, LogSet, LogSource, LogValue, MemoryLogSource, parse,
};
use crate::{Cancel, SourceError};

fn query(limit: usize, direction: Direction) -> LogRangeQuery {
    LogRangeQuery {
        start_ns: 0,
        end_ns: 1_000_000,
        step_ns: 1,
        interval_ns: 0,
        limit,
        direction,
    }
}

fn run(source: &dyn LogSource, text: &str, query: &LogRangeQuery) -> LogResult {
    let engine = LogEngine::new(LogEngineOptions::default());
    let options = LogQueryOptions::default();
    let expr = parse(text).unwrap();
    engine
        .range(source, &expr, query, &options, &Cancel::new())
        .unwrap()
}

/// Returns times and lines of an answer, stream by stream.
fn lines(result: &LogResult) -> Vec<(i64, String)> {
    let LogValue::Streams(streams) = &result.value else {
        return Vec::new();
    };
    let entries = streams.iter().flat_map(|stream| &stream.entries);
    let line = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    entries
        .map(|entry| (entry.t_ns, line(&entry.line)))
        .collect()
}

fn stream(app: &str) -> Labels {
    Labels::from_pairs([("app", app)])
}

#[test]
fn newest_come_first_and_equal_times_are_reversed() {
    let mut source = MemoryLogSource::new();
    for (t_ns, line) in [(1, "a"), (2, "b"), (2, "c"), (3, "d")] {
        source.push(&stream("x"), t_ns, line.as_bytes(), []);
    }
    let all = |direction, limit| {
        let result = run(&source, r#"{app="x"}"#, &query(limit, direction));
        lines(&result)
            .into_iter()
            .map(|(_, line)| line)
            .collect::<String>()
    };
    assert_eq!(all(Direction::Backward, 10), "dcba");
    assert_eq!(all(Direction::Forward, 10), "abcd");
    assert_eq!(all(Direction::Backward, 2), "dc");
    assert_eq!(all(Direction::Forward, 2), "ab");
}

#[test]
fn entries_are_thinned_over_all_streams() {
    let mut source = MemoryLogSource::new();
    for t_ns in 0..9 {
        source.push(
            &stream(if t_ns % 2 == 0 { "x" } else { "y" }),
            t_ns,
            b"-",
            [],
        );
    }
    let times = |direction, limit| {
        let query = LogRangeQuery {
            interval_ns: 3,
            ..query(limit, direction)
        };
        let mut times: Vec<i64> = lines(&run(&source, r#"{app=~".+"}"#, &query))
            .iter()
            .map(|(t, _)| *t)
            .collect();
        times.sort();
        times
    };
    assert_eq!(times(Direction::Forward, 10), [0, 3, 6]);
    assert_eq!(times(Direction::Backward, 10), [2, 5, 8]);
    assert_eq!(times(Direction::Backward, 2), [5, 8]);
}

#[test]
fn labels_of_entries_make_streams_unless_categories_are_asked_for() {
    let mut source = MemoryLogSource::new();
    source.push(&stream("x"), 1, b"n=1", [("level", "info")]);
    source.push(&stream("x"), 2, b"n=2", [("level", "warn")]);
    let text = r#"{app="x"} | logfmt"#;
    let range = query(10, Direction::Forward);
    let result = run(&source, text, &range);
    let LogValue::Streams(streams) = &result.value else {
        panic!("{result:?}");
    };
    let labels: Vec<String> = streams.iter().map(|s| s.labels.to_string()).collect();
    assert_eq!(
        labels,
        [
            r#"{app="x", level="info", n="1"}"#,
            r#"{app="x", level="warn", n="2"}"#
        ]
    );
    let options = LogQueryOptions {
        categorize_labels: true,
        ..LogQueryOptions::default()
    };
    let engine = LogEngine::new(LogEngineOptions::default());
    let expr = parse(text).unwrap();
    let result = engine
        .range(&source, &expr, &range, &options, &Cancel::new())
        .unwrap();
    let LogValue::Streams(streams) = &result.value else {
        panic!("{result:?}");
    };
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0].labels.to_string(), r#"{app="x"}"#);
    let entry = &streams[0].entries[1];
    assert_eq!(entry.labels.metadata.get("level"), Some("warn"));
    assert_eq!(entry.labels.parsed.get("n"), Some("2"));
    assert_eq!((result.stats.lines, result.stats.entries), (2, 2));
}

/// Counts how many groups are read.
struct Counting {
    source: MemoryLogSource,
    reads: std::sync::Arc<AtomicUsize>,
}

struct CountingSet(Box<dyn LogSet>, std::sync::Arc<AtomicUsize>);

impl LogSource for Counting {
    fn select(&self, selection: &LogSelection<'_>) -> Result<Box<dyn LogSet>, SourceError> {
        let set = self.source.select(selection)?;
        Ok(Box::new(CountingSet(set, self.reads.clone())))
    }
}

impl LogSet for CountingSet {
    fn streams(&self) -> &[Labels] {
        self.0.streams()
    }

    fn groups(&self) -> &[LogGroup] {
        self.0.groups()
    }

    fn read(&self, index: usize, into: &mut EntryBatch) -> Result<(), SourceError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(index, into)
    }
}

#[test]
fn reading_stops_when_the_answer_is_certain() {
    let mut memory = MemoryLogSource::new();
    for t_ns in 0..20_000 {
        memory.push(&stream("x"), t_ns, b"line", []);
    }
    let groups = memory
        .select(&LogSelection::new(&[], NanoRange::ALL))
        .unwrap()
        .groups()
        .len();
    assert!(groups > 3);
    for direction in [Direction::Backward, Direction::Forward] {
        let reads = std::sync::Arc::new(AtomicUsize::new(0));
        let source = Counting {
            source: memory.clone(),
            reads: reads.clone(),
        };
        let result = run(&source, r#"{app="x"}"#, &query(10, direction));
        assert_eq!(lines(&result).len(), 10);
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        // Entries that cannot be in the answer are not looked at either.
        assert_eq!(result.stats.lines, 10);
    }
}

#[test]
fn what_is_over_a_limit_is_refused() {
    let mut source = MemoryLogSource::new();
    for t_ns in 0..600 {
        source.push(&stream("x"), t_ns, format!("n={t_ns}").as_bytes(), []);
    }
    let engine = LogEngine::new(LogEngineOptions {
        max_memory_bytes: 1 << 20,
        ..LogEngineOptions::default()
    });
    let at = |text: &str, options: &LogQueryOptions| {
        engine.instant(&source, &parse(text).unwrap(), 600, options, &Cancel::new())
    };
    let options = LogQueryOptions::default();
    let many = r#"count_over_time({app="x"} | logfmt [1m])"#;
    let refused = at(many, &options).unwrap_err();
    assert_eq!(refused, LogQlError::TooManySeries { limit: 500 });
    let inner = format!("topk(3, sum by (n) ({many}))");
    assert!(matches!(
        at(&inner, &options),
        Err(LogQlError::TooManySeries { .. })
    ));
    // Of what is condensed at once only the result counts.
    assert!(at(&format!("max({many})"), &options).is_ok());
    let partial = LogQueryOptions {
        partial_series: true,
        max_series: 7,
        ..options
    };
    let result = at(many, &partial).unwrap();
    assert!(matches!(&result.value, LogValue::Vector(samples) if samples.len() == 7));
    assert_eq!(result.warnings.len(), 1);
    let entries = parse(r#"{app="x"}"#).unwrap();
    let instant = engine.instant(&source, &entries, 1, &options, &Cancel::new());
    assert_eq!(instant.unwrap_err(), LogQlError::InstantEntries);
    let cancel = Cancel::new();
    cancel.cancel();
    let canceled = engine.range(
        &source,
        &entries,
        &query(1, Direction::Forward),
        &options,
        &cancel,
    );
    assert!(matches!(canceled, Err(LogQlError::Canceled(_))));
    let mut long = MemoryLogSource::new();
    long.push(&stream("x"), 1, &vec![b'x'; 2 << 20], []);
    let result = engine.range(
        &long,
        &entries,
        &query(1, Direction::Forward),
        &options,
        &Cancel::new(),
    );
    assert!(matches!(result, Err(LogQlError::TooMuchMemory { .. })));
}

proptest! {
    /// Whatever lines hold, every stage gets through them.
    #[test]
    fn any_line_gets_through_any_stages(
        line in prop::collection::vec(any::<u8>(), 0..80),
        json in r#"[\{\}"a:,\[\]1 \\u]{0,30}"#,
        stages in prop::collection::vec(prop::sample::select(vec![
            "| json", "| json a=\"a[0].b\"", "| logfmt", "| logfmt --strict --keep-empty",
            "| logfmt a=\"b\"", "| regexp \"(?P<a>.)(?P<b>.*)\"", "| pattern \"<a> <b>\"",
            "| unpack", "| decolorize", "| line_format \"{{.a}}{{__line__}}\"",
            "| label_format b=a, c=\"{{.b}}\"", "| a > 1", "| a > 1s", "| a > 1KB or b=\"x\"",
            "| a = ip(\"10.0.0.0/8\")", "| drop a, b=\"\"", "| keep a, c", "|= ip(\"::/0\")",
            "|~ \"a.*[^b]\"", "|> \"<_>a<_>\"", "!= \"zz\"",
        ]), 0..5),
    ) {
        let mut source = MemoryLogSource::new();
        source.push(&stream("x"), 1, &line, [("a", "1")]);
        source.push(&stream("x"), 2, json.as_bytes(), []);
        let text = format!(r#"{{app="x"}} {}"#, stages.join(" "));
        let _ = run(&source, &text, &query(10, Direction::Backward));
        for function in ["count_over_time(", "bytes_over_time(", "sum by (a) (count_over_time("] {
            let close = if function.contains("sum") { "))" } else { ")" };
            let text = format!("{function}{text} [1m]{close}");
            let engine = LogEngine::new(LogEngineOptions::default());
            let expr = parse(&text).unwrap();
            let _ = engine.instant(&source, &expr, 5, &LogQueryOptions::default(), &Cancel::new());
        }
    }
}
