//! Answers with and without columns, for random queries over random entries.
//!
//! Each data set is in parts and in memory at once. `KYMO_RANDOM_QUERIES` says how many
//! queries are tried in place of a few hundred.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;

use kymo_storage::logs::part::{Effort, Needle, PartError, PartReader, PartWriter, RowFilter};
use kymo_storage::logs::{LogStore, LogStoreOptions};
use kymo_storage::model::{Labels, LogEntry, NanoRange, StreamBatch};

use super::ColumnGroup;
use crate::logql::{
    Direction, EntryBatch, LogEngine, LogEngineOptions, LogGroup, LogQueryOptions, LogRangeQuery,
    LogSelection, LogSeries, LogSet, LogSource, LogValue, MemoryLogSource, parse,
};
use crate::source::SourceError;
use crate::{Cancel, Workers};

const SECOND: i64 = 1_000_000_000;

/// A minute that begins a day.
const START_NS: i64 = 1_785_542_400 * SECOND;

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Parts, with or without a way to their columns.
struct Parts {
    parts: Vec<PartReader>,
}

/// A part, the number of a group in it, and the streams.
type Place<'p> = (&'p PartReader, usize, Vec<(u32, u32)>);

struct PartSet<'p> {
    groups: Vec<LogGroup>,
    places: Vec<Place<'p>>,
    streams: Vec<Labels>,
    range: NanoRange,
    needles: Vec<Vec<Needle>>,
}

impl LogSource for &'static Parts {
    fn select(&self, selection: &LogSelection<'_>) -> Result<Box<dyn LogSet>, SourceError> {
        let mut set = PartSet {
            groups: Vec::new(),
            places: Vec::new(),
            streams: Vec::new(),
            range: selection.range,
            needles: Vec::new(),
        };
        for any in selection.needles {
            set.needles.push(any.searches());
        }
        for part in &self.parts {
            let mut streams = Vec::new();
            for (number, labels) in part.streams().iter().enumerate() {
                let value = |name: &str| labels.get(name).unwrap_or("");
                if selection
                    .matchers
                    .iter()
                    .all(|m| m.matches(value(m.name())))
                {
                    let known = set.streams.iter().position(|known| known == labels);
                    let at = known.unwrap_or_else(|| {
                        set.streams.push(labels.clone());
                        set.streams.len() - 1
                    });
                    streams.push((number as u32, at as u32));
                }
            }
            for (group, info) in part.groups().iter().enumerate() {
                if selection.range.overlaps(info.first_ns, info.last_ns) {
                    set.groups.push(LogGroup {
                        first_ns: info.first_ns,
                        last_ns: info.last_ns,
                        entries: info.rows,
                        line_bytes: info.line_bytes,
                    });
                    set.places.push((part, group, streams.clone()));
                }
            }
        }
        Ok(Box::new(set))
    }
}

impl LogSet for PartSet<'static> {
    fn streams(&self) -> &[Labels] {
        &self.streams
    }

    fn groups(&self) -> &[LogGroup] {
        &self.groups
    }

    fn read(&self, index: usize, into: &mut EntryBatch) -> Result<(), SourceError> {
        into.clear();
        let (part, group, streams) = &self.places[index];
        let numbers: Vec<u32> = streams.iter().map(|(number, _)| *number).collect();
        let filter = RowFilter {
            streams: Some(&numbers),
            range: self.range,
            needles: &self.needles,
            ..RowFilter::all()
        };
        let read = part.group(*group).unwrap().read(&filter, |row| {
            let at = numbers.binary_search(&row.stream).unwrap();
            into.push(
                streams[at].1,
                row.t_ns,
                row.line,
                row.metadata.iter().copied(),
            );
            Ok::<(), PartError>(())
        });
        read.unwrap();
        Ok(())
    }

    fn columns(&self, index: usize) -> Option<ColumnGroup<'_>> {
        let (part, group, streams) = &self.places[index];
        Some(ColumnGroup {
            part,
            group: *group,
            streams,
            range: self.range,
        })
    }
}

fn value(random: &mut Random) -> String {
    match random.below(12) {
        0 => random.below(5).to_string(),
        1 => format!("{}.{}", random.below(900), random.below(100)),
        2 => format!("{}", 200 + random.below(4) * 101),
        3 => format!("{}ms", random.below(2000)),
        4 => format!("{}KB", random.below(20)),
        5 => random
            .one(&["info", "warn", "error", "ERROR", ""])
            .to_owned(),
        6 => format!("{:08x}{:08x}", random.below(1 << 32), random.below(1 << 32)),
        7 => format!("dev-{:03}", random.below(50)),
        8 => random
            .one(&["a b", "x=y", "grün", "10.0.0.7", "1e3", "-0", "0x1F", "NaN"])
            .to_owned(),
        9 => format!("1.5{}", random.one(&["s", "h", "MiB", ""])),
        10 => random.below(100_000).to_string(),
        _ => random.one(&["true", "false", "null"]).to_owned(),
    }
}

const KEYS: [&str; 12] = [
    "status",
    "took",
    "level",
    "msg",
    "app",
    "trace",
    "n",
    "x-y",
    "size",
    "2nd",
    "detected_level",
    "status_extracted",
];

/// How lines of one place in a program look: values differ, the rest does not.
fn template(random: &mut Random) -> String {
    let mut text = String::new();
    let n = 1 + random.below(5);
    match random.below(10) {
        0..5 => {
            text.push('{');
            for i in 0..n {
                let key = random.one(&KEYS);
                let space = if random.chance(10) { " " } else { "" };
                let comma = if i == 0 { "" } else { "," };
                let _ = match random.below(12) {
                    0 => write!(text, "{comma}\"{key}\":{space}null"),
                    1 => write!(text, "{comma}\"{key}\":[1,\"%\"]"),
                    2 => write!(text, "{comma}\"{key}\":{{\"status\":\"%\",\"b\":#}}"),
                    3 => write!(text, "{comma}\"{key}\":\"\\u00e9%\\n\""),
                    4..8 => write!(text, "{comma}\"{key}\":{space}#"),
                    _ => write!(text, "{comma}\"{key}\":\"%\""),
                };
            }
            text.push_str(random.one(&["}", "}", "}", "}", "} ", "", "}x"]));
        }
        5..8 => {
            for i in 0..n {
                let key = random.one(&KEYS);
                let space = if i == 0 { "" } else { " " };
                let _ = match random.below(8) {
                    0 => write!(text, "{space}{key}=\"% \\\" b\""),
                    1 => write!(text, "{space}{key}"),
                    2 => write!(text, "{space}{key}=\"%\""),
                    _ => write!(text, "{space}{key}=%"),
                };
            }
        }
        _ => {
            let _ = write!(
                text,
                "{} % from % took #",
                random.one(&["ERROR", "got", "status"])
            );
        }
    }
    text
}

fn line(template: &str, random: &mut Random) -> String {
    let mut line = String::new();
    for c in template.chars() {
        match c {
            '%' => line.push_str(&value(random)),
            '#' => {
                let number = match random.below(4) {
                    0 => format!("{}", random.below(600)),
                    1 => format!("-{}.5", random.below(90)),
                    2 => format!("{}e2", random.below(9)),
                    _ => format!("{}.{:02}", random.below(999), random.below(100)),
                };
                line.push_str(&number);
            }
            c => line.push(c),
        }
    }
    line
}

/// The same entries in memory, in parts, and in a store that has both.
struct Data {
    memory: MemoryLogSource,
    parts: &'static Parts,
    store: LogStore,
}

fn data(random: &mut Random) -> Data {
    let mut memory = MemoryLogSource::new();
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = LogStore::open(&LogStoreOptions::new(dir.path())).unwrap();
    // A store takes an entry once.
    let mut known = HashSet::new();
    let streams = [("a", "prod"), ("b", "prod"), ("c", "test")];
    let streams = streams.map(|(app, env)| Labels::from_pairs([("app", app), ("env", env)]));
    let templates: Vec<String> = (0..1 + random.below(5)).map(|_| template(random)).collect();
    let names: Vec<&str> = ["detected_level", "trace", "took", "app", "__error__"]
        .into_iter()
        .filter(|name| random.chance(if *name == "__error__" { 5 } else { 40 }))
        .collect();
    let mut parts = Vec::new();
    let n_levels = 1 + random.below(4);
    let odd_levels = random.chance(50);
    let mut t_ns = START_NS;
    for part in 0..1 + random.below(2) {
        let path = dir.path().join(format!("{part}"));
        let mut writer = PartWriter::create_path(&path, Effort::Flush).unwrap();
        for _ in 0..50 + random.below(250) {
            t_ns += [0, 1, SECOND, 7 * SECOND][random.below(4)];
            let labels = &streams[random.below(3)];
            let line = line(&templates[random.below(templates.len())], random);
            let mut metadata: Vec<(&str, String)> = Vec::new();
            for name in &names {
                if random.chance(70) {
                    let level = ["info", "warn", "error", "debug"];
                    let value =
                        match *name == "detected_level" && !(odd_levels && random.chance(10)) {
                            true => random.one(&level[..n_levels]).to_owned(),
                            false => value(random),
                        };
                    metadata.push((name, value));
                }
            }
            metadata.retain(|(_, value)| !value.is_empty() || random.chance(10));
            metadata.sort();
            if !known.insert((labels.clone(), t_ns, line.clone(), metadata.clone())) {
                continue;
            }
            let pairs = || metadata.iter().map(|(name, value)| (*name, value.as_str()));
            memory.push(labels, t_ns, line.as_bytes(), pairs());
            let stream = writer.stream(labels);
            writer.push(stream, t_ns, line.as_bytes(), pairs()).unwrap();
            let of_entry = pairs().map(|(name, value)| (name.into(), value.into()));
            let entry = LogEntry {
                t_ns,
                line: line.as_bytes().into(),
                metadata: of_entry.collect(),
            };
            let batch = StreamBatch {
                labels: labels.clone(),
                entries: vec![entry],
            };
            assert_eq!(store.push(&[batch]).unwrap().entries, 1);
            if random.chance(1) {
                store.flush(&mut || ControlFlow::Continue(())).unwrap();
            }
        }
        writer.finish().unwrap();
        parts.push(PartReader::open_path(&path).unwrap());
    }
    Data {
        memory,
        // A set of a source lives as long as it likes.
        parts: Box::leak(Box::new(Parts { parts })),
        store,
    }
}

fn name(random: &mut Random) -> &'static str {
    random.one(&[
        "status",
        "took",
        "level",
        "msg",
        "app",
        "trace",
        "n",
        "x_y",
        "size",
        "_2nd",
        "b",
        "detected_level",
        "status_extracted",
        "took_extracted",
        "app_extracted",
        "msg_status",
        "__error__",
        "env",
        "absent",
    ])
}

fn atom(random: &mut Random) -> String {
    let name = name(random);
    match random.below(7) {
        0 | 1 => {
            let op = random.one(&[">", ">=", "<", "<=", "==", "!="]);
            format!(
                "{name} {op} {}",
                random.one(&["200", "301", "0", "1.5", "50", "-3"])
            )
        }
        2 => format!(
            "{name} {} {}",
            random.one(&[">", "<="]),
            random.one(&["1s", "500ms"])
        ),
        3 => format!(
            "{name} {} {}",
            random.one(&[">", "!="]),
            random.one(&["5KB", "1MiB"])
        ),
        4 => {
            let regex = random.one(&["2.*", "info|warn", ".*", ".+", "dev-0.*", ""]);
            format!("{name} {} \"{regex}\"", random.one(&["=~", "!~"]))
        }
        5 => format!("{name} = ip(\"10.0.0.0/8\")"),
        _ => {
            let value = random.one(&["info", "ERROR", "200", "", "true", "dev-007", "a b"]);
            format!("{name} {} \"{value}\"", random.one(&["=", "!="]))
        }
    }
}

fn stage(random: &mut Random) -> String {
    match random.below(24) {
        0..6 => "| json".to_owned(),
        6..9 => "| logfmt".to_owned(),
        9 => random
            .one(&["| logfmt --strict", "| logfmt --keep-empty"])
            .to_owned(),
        10..16 => format!("| {}", atom(random)),
        16 => {
            let (a, b) = (atom(random), atom(random));
            format!("| {a} {} {b}", random.one(&["or", "and", ","]))
        }
        17 | 18 => {
            let op = random.one(&["|=", "|=", "|=", "!=", "|~"]);
            let text = random.one(&["ERROR", "status", "0", "dev", ":2", "took=", "a", "", "00"]);
            format!("{op} `{text}`")
        }
        19 => match random.below(4) {
            0 => "| drop __error__".to_owned(),
            1 => format!("| drop {}=\"{}\"", name(random), value(random)),
            _ => format!("| drop {}", name(random)),
        },
        20 => format!("| keep {}, {}", name(random), name(random)),
        21 => format!(
            "| label_format {}=\"{{{{.status}}}}\"",
            random.one(&["n", "app", "z"])
        ),
        22 => "| line_format \"{{.msg}} {{.status}}\"".to_owned(),
        _ => format!(
            "| json {}=\"{}\"",
            random.one(&["n", "z"]),
            random.one(&["status", "app"])
        ),
    }
}

fn query(random: &mut Random) -> String {
    let selector = random.one(&[
        "{env=\"prod\"}",
        "{env=\"prod\"}",
        "{app=\"a\"}",
        "{app=~\"b|c\"}",
        "{app=\"none\"}",
    ]);
    let mut log = selector.to_owned();
    for _ in 0..random.below(5).saturating_sub(1) {
        let _ = write!(log, " {}", stage(random));
    }
    if random.chance(35) {
        return log;
    }
    let range = random.one(&["30s", "1m", "2m", "90s", "5m"]);
    let offset = random.one(&["", "", " offset 17s", " offset 2m", " offset -1ms"]);
    let by = |random: &mut Random| {
        let (a, b) = (name(random), name(random));
        match random.below(7) {
            5 => "by (level, detected_level)".to_owned(),
            6 => "by (detected_level, app)".to_owned(),
            0 | 1 => String::new(),
            2 => format!("by ({a})"),
            3 => format!("by (app, {b})"),
            _ => format!("without ({a})"),
        }
    };
    let inner = match random.below(5) {
        0..3 => {
            let op = random.one(&[
                "count_over_time",
                "rate",
                "bytes_over_time",
                "bytes_rate",
                "absent_over_time",
            ]);
            format!("{op}({log} [{range}]{offset})")
        }
        _ => {
            let label = name(random);
            let unwrap = match random.below(4) {
                0 => format!("duration({label})"),
                1 => format!("bytes({label})"),
                _ => label.to_owned(),
            };
            let after = match random.chance(30) {
                true => format!(" | {}", atom(random)),
                false => String::new(),
            };
            let log = format!("{log} | unwrap {unwrap}{after} [{range}]{offset}");
            match random.below(4) {
                0 => format!("quantile_over_time(0.9, {log}) {}", by(random)),
                1 => format!("max_over_time({log}) {}", by(random)),
                2 => format!("avg_over_time({log}) {}", by(random)),
                _ => format!("sum_over_time({log})"),
            }
        }
    };
    match random.chance(60) {
        true => format!("sum {} ({inner})", by(random)),
        false => inner,
    }
}

/// One thread that helps.
#[derive(Debug)]
struct Helper;

impl Workers for Helper {
    fn idle(&self) -> usize {
        1
    }

    fn start(&self, help: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(help);
    }
}

/// Asks all sources the same; returns whether the answer is one with something in it.
fn compare(text: &str, random: &mut Random, data: &Data) -> bool {
    let Ok(expr) = parse(text) else {
        return false;
    };
    let from = START_NS + [0, -17 * SECOND, 60 * SECOND, 3][random.below(4)];
    let from = from + [0, 0, 1, 17_123_456_789][random.below(4)];
    let span = [1, 120 * SECOND, 600 * SECOND, 3600 * SECOND][random.below(4)];
    let range = LogRangeQuery {
        start_ns: from,
        end_ns: from + span,
        step_ns: [60, 30, 45, 300][random.below(4)] * SECOND,
        interval_ns: 0,
        limit: [5, 100, 100_000][random.below(3)],
        direction: [Direction::Forward, Direction::Backward][random.below(2)],
    };
    // The store is read by two threads.
    let engine = |workers: Option<Arc<dyn Workers>>| {
        LogEngine::new(LogEngineOptions {
            max_series: 0,
            workers,
            ..LogEngineOptions::default()
        })
    };
    let engines = [engine(None), engine(None), engine(Some(Arc::new(Helper)))];
    let (options, cancel) = (LogQueryOptions::default(), Cancel::new());
    let sources: [&dyn LogSource; 3] = [&data.memory, &data.parts, &data.store];
    let answer = |at: usize| {
        let engine = &engines[at];
        match engine.range(sources[at], &expr, &range, &options, &cancel) {
            Ok(result) => Ok(result.value),
            Err(error) => Err(error.to_string()),
        }
    };
    let [expected, of_parts, of_store] = [0, 1, 2].map(answer);
    for (place, found) in [("parts", of_parts), ("store", of_store)] {
        assert!(
            is_alike(&found, &expected),
            "{place}: {text}\n{range:?}\n{found:?}\n{expected:?}"
        );
    }
    format!("{expected:?}").len() > 24
}

/// Tells whether two answers are the same, but for the last digits of numbers: series are
/// added up in the order in which they were met.
fn is_alike(found: &Result<LogValue, String>, expected: &Result<LogValue, String>) -> bool {
    let (Ok(LogValue::Matrix(found)), Ok(LogValue::Matrix(expected))) = (found, expected) else {
        return format!("{found:?}") == format!("{expected:?}");
    };
    let is_near = |a: f64, b: f64| {
        a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
    };
    let is_same = |(a, b): (&LogSeries, &LogSeries)| {
        let mut points = a.points.iter().zip(&b.points);
        let is_as_long = a.points.len() == b.points.len();
        a.labels == b.labels && is_as_long && points.all(|(a, b)| a.0 == b.0 && is_near(a.1, b.1))
    };
    found.len() == expected.len() && found.iter().zip(expected).all(is_same)
}

#[test]
fn columns_change_no_answer() {
    let queries = std::env::var("KYMO_RANDOM_QUERIES").ok();
    let queries = queries.and_then(|n| n.parse().ok()).unwrap_or(300);
    let seed = std::env::var("KYMO_RANDOM_SEED").ok();
    let mut random = Random(seed.and_then(|n| n.parse().ok()).unwrap_or(1));
    let (mut asked, mut full) = (0, 0);
    while asked < queries {
        let data = data(&mut random);
        for _ in 0..60 {
            let text = query(&mut random);
            full += usize::from(compare(&text, &mut random, &data));
            asked += 1;
        }
    }
    assert!(full * 3 > asked, "{full} of {asked} queries had an answer");
}
