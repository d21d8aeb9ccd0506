//! Queries that are meant to hurt: they end within bounds of time and memory, in an answer
//! or an error that says why, and the server answers others meanwhile.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kymo_tests::{Answer, Kymo, WriteBody};

const T_S: i64 = 1_700_000_000;
const SERIES: usize = 500;

/// How long one hostile query may take, on a machine that is busy and in a build without
/// optimisation. Most take milliseconds.
const LONG: Duration = Duration::from_secs(40);

/// How long a small query may take while hostile ones run: less than they may.
const SHORT: Duration = Duration::from_secs(15);

/// How much memory the server may have at any time, in bytes.
const MAX_RESIDENT: u64 = 1 << 30;

fn start() -> Kymo {
    let kymo = Kymo::start(&["--memory.limit=512MiB", "--query.timeout=20s"]);
    let mut body = WriteBody::new();
    for n in 0..SERIES {
        let id = n.to_string();
        let samples: Vec<(i64, f64)> = (0..20)
            .map(|at| ((T_S + at * 15) * 1_000, (n as f64) + at as f64 / 8.0))
            .collect();
        body.push_series(&[("__name__", "a"), ("id", &id), ("x", "y")], &samples);
    }
    assert_eq!(kymo.write(&body).status, 204);
    kymo
}

fn nested(open: &str, inner: &str, close: &str, n: usize) -> String {
    format!("{}{inner}{}", open.repeat(n), close.repeat(n))
}

fn ask(kymo: &Kymo, call: &str, query: &str) -> Answer {
    let time = T_S + 200;
    let (start, end) = (time.to_string(), (time + 60).to_string());
    let params = [
        ("query", query),
        ("time", &start),
        ("start", &start),
        ("end", &end),
        ("step", "15"),
    ];
    let began = Instant::now();
    let answer = kymo.client().post_form(&format!("/api/v1/{call}"), &params);
    let took = began.elapsed();
    let shown: String = query.chars().take(60).collect();
    assert!(took < LONG, "{call} {shown}: {took:?}");
    answer
}

/// Returns the memory that a process has had at most, in bytes.
fn peak_resident(kymo: &Kymo) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", kymo.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn value(answer: &Answer) -> serde_json::Value {
    assert_eq!(answer.status, 200, "{}", head(answer));
    answer.json()["data"]["result"].clone()
}

fn head(answer: &Answer) -> String {
    answer.text().chars().take(500).collect()
}

fn error(answer: &Answer) -> String {
    assert!((400..600).contains(&answer.status), "{}", head(answer));
    let text = answer.json()["error"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        !text.is_empty() && text.len() < 5_000,
        "{} bytes",
        text.len()
    );
    text
}

#[test]
fn ten_thousand_levels_are_answered() {
    let kymo = start();
    let levels = 10_000;
    let parens = nested("(", "sum(a{id=\"1\"})", ")", levels);
    for query in [
        &parens,
        &nested("", "sum(a{id=\"1\"})", " or vector(2)", levels / 10),
        &nested("-(-", "sum(a{id=\"1\"})", ")", levels / 10),
    ] {
        let instant = value(&ask(&kymo, "query", query));
        assert_eq!(instant[0]["value"][1], "2.625");
        let range = value(&ask(&kymo, "query_range", query));
        assert_eq!(range[0]["values"][0][1], "2.625");
    }
    let sum = nested("", "1", " + 1", levels);
    assert_eq!(value(&ask(&kymo, "query", &sum))[1], "10001");

    // The tree is deeper than most readers of JSON like.
    let tree = ask(&kymo, "parse_query", &parens);
    assert_eq!(tree.status, 200, "{}", head(&tree));
    assert_eq!(tree.text().matches("\"parenExpr\"").count(), levels);

    // Each level is on lines of its own, indented by all those around it.
    let formatted = ask(&kymo, "format_query", &nested("(", "a", ")", 500));
    let text = formatted.json()["data"].as_str().unwrap().to_owned();
    let lines: Vec<&str> = text.lines().collect();
    // Of the innermost 49 levels a hundred bytes fit a line.
    assert_eq!(lines.len(), 2 * (500 - 49) + 1);
    assert!(lines[400].starts_with(&" ".repeat(800)));
    let refused = error(&ask(&kymo, "format_query", &nested("(", "a", ")", 20_000)));
    assert!(
        refused.contains("nested too deeply to be formatted"),
        "{refused}"
    );

    let refused = error(&ask(&kymo, "query", &nested("(", "a", ")", 200_000)));
    assert_eq!(
        refused,
        "invalid parameter \"query\": 1:300001: parse error: query is nested too deeply, \
         at most 100000 levels are allowed"
    );
    assert!(
        peak_resident(&kymo) < MAX_RESIDENT,
        "{}",
        peak_resident(&kymo)
    );
}

#[test]
fn regular_expressions_of_any_size_end() {
    let kymo = start();
    let words: Vec<String> = (0..50_000).map(|n| format!("w{n}")).collect();
    let huge = words.join("|");
    for (pattern, answers) in [
        (huge.as_str(), true),
        ("(x+x+)+y", true),
        ("(.*)*(.*)*(.*)*z", true),
        (&nested("(", "1", ")*", 400), true),
        (&nested("(", "x", ")", 2_000), false),
        ("(x{1000}){1000}", false),
        ("((a{100}){100}){100}", false),
        ("x{1001}", false),
    ] {
        let shown = &pattern[..pattern.len().min(30)];
        for query in [
            format!("count(a{{id=~`{pattern}`}})"),
            format!("count(label_replace(a, `b`, `$1`, `id`, `{pattern}`))"),
        ] {
            let answer = ask(&kymo, "query", &query);
            if answers {
                assert_eq!(answer.status, 200, "{shown}: {}", head(&answer));
            } else {
                assert!(!error(&answer).is_empty(), "{shown}");
            }
        }
    }
    assert!(
        peak_resident(&kymo) < MAX_RESIDENT,
        "{}",
        peak_resident(&kymo)
    );
}

/// What an error says where a query would hold too much: samples, its own bytes, or those
/// of all queries, whichever is reached first.
const TOO_MUCH: &str = "too many samples into memory|its share of 134217728 bytes of memory\
                        |no memory is left for queries";

/// Queries that would need more than there is, and what their error says: one of the
/// texts between bars. Without a text an answer is fine, too.
fn bombs() -> Vec<(&'static str, String, &'static str)> {
    let doubled = |of: &str, n: usize| {
        let close = ", \"x\", \"$1$1\", \"x\", \"(.*)\")";
        nested("label_replace(", of, close, n)
    };
    vec![
        (
            "query",
            "a * on (x) a".to_owned(),
            "found duplicate series for the match group",
        ),
        (
            "query",
            "a * on () group_left () a".to_owned(),
            "found duplicate series",
        ),
        (
            "query_range",
            "a + on (x) group_right () a".to_owned(),
            "found duplicate series",
        ),
        ("query", "max_over_time(a[1y:1ms])".to_owned(), TOO_MUCH),
        (
            "query",
            nested("max_over_time(", "a", "[30d:1s])", 20),
            TOO_MUCH,
        ),
        (
            "query",
            "sum_over_time(vector(1)[100y:1ms])".to_owned(),
            TOO_MUCH,
        ),
        (
            "query",
            doubled("a{id=\"1\"}", 60),
            "would make a label value of more than",
        ),
        // Below the limit for one value, but there are many.
        ("query", doubled("a", 19), TOO_MUCH),
        (
            "query",
            format!("label_join(a, \"x\", \"-\"{})", ", \"id\"".repeat(20_000)),
            "",
        ),
        (
            "query_range",
            nested("count_values(\"v\", ", "a", ") ", 3_000),
            "",
        ),
        ("query", nested("abs(", "a", ")", 90_000), "memory"),
    ]
}

#[test]
fn bombs_are_refused_and_others_are_answered_meanwhile() {
    let kymo = start();
    let small = |text: &str| {
        let began = Instant::now();
        let found = value(&ask(&kymo, "query", text));
        (began.elapsed(), found)
    };
    let done = AtomicBool::new(false);
    let mut slowest = Duration::ZERO;
    std::thread::scope(|scope| {
        let bombs = scope.spawn(|| {
            for (call, query, wanted) in bombs() {
                let began = Instant::now();
                let answer = ask(&kymo, call, &query);
                let shown: String = query.chars().take(60).collect();
                println!("{:?}: {shown}", began.elapsed());
                if wanted.is_empty() {
                    assert!(answer.status < 600, "{shown}");
                } else {
                    let text = error(&answer);
                    let said = wanted.split('|').any(|wanted| text.contains(wanted));
                    assert!(said, "{shown}: {text}");
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) && !bombs.is_finished() {
            let (took, found) = small("sum(a{id=\"1\"})");
            assert_eq!(found[0]["value"][1], "2.625");
            slowest = slowest.max(took);
        }
        bombs.join().unwrap();
    });
    println!("slowest small query: {slowest:?}");
    assert!(slowest < SHORT, "{slowest:?}");
    assert!(
        peak_resident(&kymo) < MAX_RESIDENT,
        "{}",
        peak_resident(&kymo)
    );
}

#[test]
fn a_range_of_a_million_steps_is_refused() {
    let kymo = start();
    let params = |step: &str| {
        let params = [
            ("query", "a"),
            ("start", "0"),
            ("end", "1000000"),
            ("step", step),
        ];
        error(&kymo.client().post_form("/api/v1/query_range", &params))
    };
    let text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the \
                query resolution (?step=XX)";
    assert_eq!(params("1"), text);
    assert_eq!(params("0.001"), text);
    // As many steps as are allowed, of a query that makes far more of each.
    let heavy = [
        ("query", "sum_over_time((a + a)[10h:1s])"),
        ("start", "1699990000"),
        ("end", "1700001000"),
        ("step", "1"),
    ];
    let began = Instant::now();
    let answer = kymo.client().post_form("/api/v1/query_range", &heavy);
    if answer.status != 200 {
        assert!(!error(&answer).is_empty());
    }
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    assert!(
        peak_resident(&kymo) < MAX_RESIDENT,
        "{}",
        peak_resident(&kymo)
    );
}
