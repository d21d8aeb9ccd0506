use std::collections::BTreeMap;

use super::metrics::{CounterAction, FamilyKind, GaugeAction, MetricConfig, MetricKind};
use super::*;

/// Languages that are as small as the tests need: templates know `{{.Name}}`, selectors are
/// `name=value` or `name=value|needle`, layouts read seconds behind the layout's text.
struct Small;

struct SmallTemplate(String);
struct SmallSelector(String, String, String);
struct SmallLayout(String);

impl Languages for Small {
    fn template(&self, text: &str) -> Result<Box<dyn TextTemplate>, String> {
        match text.matches("{{").count() == text.matches("}}").count() {
            true => Ok(Box::new(SmallTemplate(text.to_owned()))),
            false => Err("unclosed action".to_owned()),
        }
    }

    fn selector(&self, text: &str) -> Result<Box<dyn Selector>, String> {
        let (matcher, needle) = text.split_once('|').unwrap_or((text, ""));
        let (name, value) = matcher.split_once('=').ok_or("no matcher")?;
        let owned = |text: &str| text.to_owned();
        Ok(Box::new(SmallSelector(
            owned(name),
            owned(value),
            owned(needle),
        )))
    }

    fn layout(&self, layout: &str, _location: Option<&str>) -> Result<Box<dyn TimeLayout>, String> {
        Ok(Box::new(SmallLayout(layout.to_owned())))
    }
}

impl TextTemplate for SmallTemplate {
    fn expand(&self, data: &[(&str, &str)], _: i64) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = self.0.as_str();
        while let Some((before, behind)) = rest.split_once("{{.") {
            let (name, behind) = behind.split_once("}}").ok_or("open")?;
            let value = data.iter().rfind(|(known, _)| *known == name);
            out.push_str(before);
            out.push_str(value.map_or("<no value>", |(_, value)| value));
            rest = behind;
        }
        Ok(out + rest)
    }
}

impl Selector for SmallSelector {
    fn takes(&self, label: &dyn Fn(&str) -> Option<Arc<str>>, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        label(&self.0).as_deref().unwrap_or("") == self.1 && line.contains(&self.2)
    }
}

impl TimeLayout for SmallLayout {
    fn read(&self, text: &str, _now_ns: i64) -> Option<i64> {
        let layout = self.0.strip_suffix("2006-01-02T15:04:05.999999999Z07:00");
        let prefix = layout.unwrap_or(&self.0);
        let seconds: i64 = text.strip_prefix(prefix)?.parse().ok()?;
        Some(seconds * 1_000_000_000)
    }
}

fn tools() -> Tools {
    Tools {
        languages: Arc::new(Small),
        stats: Arc::default(),
        metrics: Arc::default(),
        clock: Arc::new(|| 0),
        wait: Arc::new(|_| {}),
    }
}

fn entry(line: &str) -> Entry {
    Entry::new(
        5,
        line.as_bytes().to_vec(),
        LabelSet::from_pairs([("job", "j")]),
    )
}

fn pairs(pairs: &[(&str, &str)]) -> Mapping {
    let pairs = pairs.iter();
    pairs
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn json(fields: &[(&str, &str)]) -> StageConfig {
    StageConfig::Json {
        expressions: pairs(fields),
        source: None,
        drop_malformed: false,
    }
}

fn run(stages: &[StageConfig], lines: &[&str]) -> Vec<Entry> {
    let mut pipeline = Pipeline::new(stages, &tools()).unwrap();
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let mut entry = entry(line);
        entry.from = at as u64;
        entry.to = at as u64 + 1;
        pipeline.process(entry, &mut out);
    }
    pipeline.flush(&mut out);
    out
}

fn show(entry: &Entry) -> String {
    let labels: Vec<String> = entry
        .labels
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    let metadata: Vec<String> = entry
        .metadata
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    let line = String::from_utf8_lossy(&entry.line);
    format!(
        "{line} [{}] [{}] {}",
        labels.join(","),
        metadata.join(","),
        entry.t_ns
    )
}

fn shown(stages: &[StageConfig], line: &str) -> String {
    let out = run(stages, &[line]);
    out.iter().map(show).collect::<Vec<_>>().join("; ")
}

#[test]
fn values_of_a_json_line_become_labels_metadata_time_and_line() {
    let stages = [
        json(&[
            ("lvl", "level"),
            ("id", "trace.id"),
            ("ts", ""),
            ("msg", ""),
            ("none", "x.y"),
        ]),
        StageConfig::Labels(pairs(&[("level", "lvl"), ("none", "")])),
        StageConfig::StructuredMetadata(pairs(&[("trace_id", "id"), ("job", "")])),
        StageConfig::Timestamp(TimestampConfig {
            source: text("ts"),
            format: text("Unix"),
            ..TimestampConfig::default()
        }),
        StageConfig::Output {
            source: text("msg"),
        },
    ];
    let line = r#"{"level":"warn","trace":{"id":17},"ts":2.5,"msg":"hi \"you\""}"#;
    assert_eq!(
        shown(&stages, line),
        "hi \"you\" [level=warn] [trace_id=17,job=j] 2500000000"
    );
    assert_eq!(shown(&stages, "no json"), "no json [] [job=j] 5");
}

#[test]
fn malformed_json_is_dropped_on_demand() {
    let stages = |drop_malformed| {
        [StageConfig::Json {
            expressions: pairs(&[("a", "")]),
            source: None,
            drop_malformed,
        }]
    };
    for line in ["x", "[1]", "{\"a\":1} x"] {
        assert_eq!(run(&stages(true), &[line]).len(), 0);
        assert_eq!(run(&stages(false), &[line]).len(), 1);
    }
}

#[test]
fn a_source_that_is_not_there_changes_nothing() {
    let stages = [
        StageConfig::Logfmt {
            mapping: pairs(&[("inner", "")]),
            source: None,
        },
        StageConfig::Regex {
            expression: text("(?P<first>.)(?P<rest>.*)(?P<no>x)?"),
            source: Some(text("inner")),
        },
        StageConfig::Labels(pairs(&[("first", ""), ("rest", ""), ("no", "")])),
    ];
    assert_eq!(
        shown(&stages, "inner=abc"),
        "inner=abc [first=a,job=j,no=,rest=bc] [] 5"
    );
    assert_eq!(shown(&stages, "outer=abc"), "outer=abc [job=j] [] 5");
}

#[test]
fn groups_are_replaced_and_nothing_else() {
    let replace = |expression: &str, replace: &str| {
        [
            StageConfig::Replace {
                expression: text(expression),
                source: None,
                replace: text(replace),
            },
            StageConfig::Labels(pairs(&[("ip", "")])),
        ]
    };
    for (expression, template, line, expected) in [
        (
            r"(\d+)\.(\d+)",
            "<{{.Value}}>",
            "1.2 and 3.4",
            "<1>.<2> and <3>.<4> [job=j] [] 5",
        ),
        (r"\d+", "x", "1.2", "1.2 [job=j] [] 5"),
        (
            r"(?P<ip>\d+\.\d+)",
            "{{.job}}",
            "at 1.2",
            "at j [ip=j,job=j] [] 5",
        ),
        (r"((a)b)", "{{.Value}}!", "xab", "xab! [job=j] [] 5"),
        (r"x(a)?", "{{.none}}", "xa x", "x<no value> x [job=j] [] 5"),
    ] {
        assert_eq!(
            shown(&replace(expression, template), line),
            expected,
            "{expression}"
        );
    }
}

#[test]
fn templates_make_values_and_an_empty_one_removes_its_value() {
    let stages = |template: &str| {
        [
            json(&[("a", ""), ("n", "")]),
            StageConfig::Template {
                source: text("a"),
                template: text(template),
            },
            StageConfig::Labels(pairs(&[("a", "")])),
        ]
    };
    let line = r#"{"a":"x","n":null}"#;
    for (template, expected) in [
        ("{{.Value}}-{{.job}}", "x-j"),
        ("{{.n}}{{.none}}", "<no value><no value>"),
        ("{{.Entry}}", line),
    ] {
        let expected = format!("{line} [a={expected},job=j] [] 5");
        assert_eq!(shown(&stages(template), line), expected, "{template}");
    }
    assert_eq!(shown(&stages(""), line), format!("{line} [job=j] [] 5"));
}

#[test]
fn labels_are_set_dropped_and_allowed() {
    let stages = [
        StageConfig::StaticLabels(pairs(&[("a", "1"), ("b", "2"), ("empty", "")])),
        StageConfig::LabelDrop(vec![text("a")]),
        StageConfig::Tenant(TenantSource::Label(text("b"))),
    ];
    assert_eq!(shown(&stages, "x"), "x [__tenant_id__=2,b=2,job=j] [] 5");
    let allow = StageConfig::LabelAllow(vec![text("b")]);
    let mut stages = stages.to_vec();
    stages.push(allow);
    assert_eq!(shown(&stages, "x"), "x [b=2] [] 5");
    stages.push(StageConfig::StructuredMetadata(pairs(&[
        ("b", ""),
        ("c", "job"),
    ])));
    stages.push(StageConfig::StructuredMetadataDrop(vec![text("c")]));
    assert_eq!(shown(&stages, "x"), "x [] [b=2] 5");
}

#[test]
fn a_time_that_cannot_be_read_follows_the_last_one() {
    let stages = |on_failure| {
        [
            StageConfig::Logfmt {
                mapping: pairs(&[("t", "")]),
                source: None,
            },
            StageConfig::Timestamp(TimestampConfig {
                source: text("t"),
                format: text("first"),
                fallback_formats: vec![text("UnixMs")],
                location: None,
                on_failure,
            }),
        ]
    };
    let lines = ["t=x", "t=first7", "t=x", "other", "t=8000", "none"];
    let times = |on_failure| {
        let out = run(&stages(on_failure), &lines);
        out.iter().map(|entry| entry.t_ns).collect::<Vec<_>>()
    };
    let second = 1_000_000_000;
    assert_eq!(
        times(TimestampFailure::Fudge),
        [
            5,
            7 * second,
            7 * second + 1,
            7 * second + 2,
            8 * second,
            8 * second + 1
        ]
    );
    assert_eq!(
        times(TimestampFailure::Skip),
        [5, 7 * second, 5, 5, 8 * second, 5]
    );
}

#[test]
fn drops_ask_for_all_their_conditions() {
    let drop = |config: DropConfig| [json(&[("a", ""), ("b", "")]), StageConfig::Drop(config)];
    let base = DropConfig {
        reason: text("r"),
        ..DropConfig::default()
    };
    let expression = |e: &str| Some(DropCondition::Expression(text(e)));
    let line = r#"{"a":"x","b":1}"#;
    for (config, dropped) in [
        (
            DropConfig {
                condition: expression("\"x\""),
                ..base.clone()
            },
            true,
        ),
        (
            DropConfig {
                condition: expression("y"),
                ..base.clone()
            },
            false,
        ),
        (
            DropConfig {
                source: Some(vec![text("a")]),
                ..base.clone()
            },
            true,
        ),
        (
            DropConfig {
                source: Some(vec![text("a"), text("c")]),
                ..base.clone()
            },
            false,
        ),
        (
            DropConfig {
                source: Some(vec![text("a"), text("b"), text("c")]),
                condition: expression("^x;1$"),
                ..base.clone()
            },
            true,
        ),
        (
            DropConfig {
                source: Some(vec![text("a")]),
                condition: Some(DropCondition::Value(text("x"))),
                ..base.clone()
            },
            true,
        ),
        (
            DropConfig {
                source: Some(vec![text("a")]),
                condition: Some(DropCondition::Value(text("."))),
                ..base.clone()
            },
            false,
        ),
        (
            DropConfig {
                longer_than: Some(15),
                ..base.clone()
            },
            false,
        ),
        (
            DropConfig {
                longer_than: Some(14),
                ..base.clone()
            },
            true,
        ),
        (
            DropConfig {
                longer_than: Some(14),
                condition: expression("y"),
                ..base.clone()
            },
            false,
        ),
        (
            DropConfig {
                older_than: Some(Duration::from_nanos(1)),
                ..base.clone()
            },
            false,
        ),
    ] {
        assert_eq!(
            run(&drop(config.clone()), &[line]).is_empty(),
            dropped,
            "{config:?}"
        );
    }
    let tools = tools();
    let old = DropConfig {
        older_than: Some(Duration::from_nanos(1)),
        ..base
    };
    let mut pipeline = Pipeline::new(&[StageConfig::Drop(old)], &tools).unwrap();
    let mut out = Vec::new();
    let mut late = entry("x");
    late.t_ns = 3;
    pipeline.process(late, &mut out);
    assert_eq!((out.len(), tools.stats.counts().dropped["r"]), (0, 1));
}

#[test]
fn a_match_runs_its_stages_or_drops() {
    let keep = StageConfig::Match(MatchConfig {
        selector: text("job=j|a"),
        action: MatchAction::Keep(vec![StageConfig::StaticLabels(pairs(&[("m", "1")]))]),
    });
    let drop = StageConfig::Match(MatchConfig {
        selector: text("m="),
        action: MatchAction::Drop(text("match_stage")),
    });
    let out = run(&[keep.clone(), drop.clone()], &["a", "b", "ca"]);
    assert_eq!(
        out.iter().map(show).collect::<Vec<_>>(),
        ["a [job=j,m=1] [] 5", "ca [job=j,m=1] [] 5"]
    );
}

#[test]
fn limits_drop_what_is_too_much_by_label_too() {
    let limit = |excess| {
        StageConfig::Limit(LimitConfig {
            rate: 1.0,
            burst: 2,
            excess,
        })
    };
    assert_eq!(run(&[limit(Excess::Drop)], &["a", "b", "c"]).len(), 2);
    let by = Excess::DropBy {
        label: text("k"),
        max_distinct: 10,
    };
    let stages = [
        StageConfig::Logfmt {
            mapping: pairs(&[("k", "")]),
            source: None,
        },
        StageConfig::Labels(pairs(&[("k", "")])),
        limit(by),
    ];
    let out = run(
        &stages,
        &["k=1", "k=1", "k=2", "k=1", "none", "none", "none"],
    );
    assert_eq!(out.len(), 6);
    let waited = Arc::new(parking_lot::Mutex::new(Duration::ZERO));
    let sum = Arc::clone(&waited);
    let tools = Tools {
        wait: Arc::new(move |time| *sum.lock() += time),
        ..tools()
    };
    let mut pipeline = Pipeline::new(&[limit(Excess::Wait)], &tools).unwrap();
    let mut out = Vec::new();
    for line in ["a", "b", "c"] {
        pipeline.fresh().process(entry(line), &mut out);
    }
    pipeline.process(entry("d"), &mut out);
    assert_eq!(
        (out.len(), *waited.lock()),
        (4, Duration::from_secs(3)),
        "copies share the limit"
    );
}

#[test]
fn sampling_keeps_a_share_and_chooses_the_same_again() {
    let stages = |rate| {
        [StageConfig::Sampling {
            rate,
            drop_reason: text("sampling_stage"),
        }]
    };
    let lines: Vec<String> = (0..2000).map(|n| format!("line {n}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let kept = run(&stages(0.25), &lines);
    assert!((300..700).contains(&kept.len()), "{}", kept.len());
    assert_eq!(run(&stages(0.25), &lines), kept);
    assert_eq!(
        (
            run(&stages(0.0), &lines).len(),
            run(&stages(1.0), &lines).len()
        ),
        (0, 2000)
    );
}

#[test]
fn lines_of_a_block_are_joined() {
    let stages = |max_lines| {
        [StageConfig::Multiline(MultilineConfig {
            firstline: text("^A"),
            max_wait: Duration::from_secs(3),
            max_lines,
        })]
    };
    let lines = ["pass", "A1", "x", "A2", "y", "z"];
    let shown = |max_lines| {
        let out = run(&stages(max_lines), &lines);
        out.iter()
            .map(|e| {
                format!(
                    "{} {}-{}",
                    String::from_utf8_lossy(&e.line).replace('\n', "/"),
                    e.from,
                    e.to
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(128), ["pass 0-1", "A1/x 1-3", "A2/y/z 3-6"]);
    assert_eq!(shown(2), ["pass 0-1", "A1/x 1-3", "A2/y 3-5", "z 5-6"]);
    let mut pipeline = Pipeline::new(&stages(128), &tools()).unwrap();
    let mut out = Vec::new();
    let mut first = entry("A1");
    (first.from, first.to) = (7, 9);
    pipeline.process(first, &mut out);
    assert_eq!((out.len(), pipeline.held_from()), (0, Some(7)));
    pipeline.tick(3_000_000_004, &mut out);
    assert_eq!(out.len(), 0);
    pipeline.tick(3_000_000_005, &mut out);
    assert_eq!((out.len(), pipeline.held_from()), (1, None));
}

#[test]
fn parts_of_container_lines_are_joined() {
    let stages = |config| [StageConfig::Cri(config)];
    let lines = [
        "7 stdout P one ",
        "7 stderr F err",
        "8 stdout P two ",
        "9 stdout F three",
        "no container line",
    ];
    let shown = |config| {
        run(&stages(config), &lines)
            .iter()
            .map(show)
            .collect::<Vec<_>>()
    };
    let second = 1_000_000_000i64;
    assert_eq!(
        shown(CriConfig::default()),
        [
            format!("err [job=j,stream=stderr] [] {}", 7 * second),
            format!("one two three [job=j,stream=stdout] [] {}", 9 * second),
            "no container line [job=j] [] 5".to_owned(),
        ]
    );
    let cut = CriConfig {
        truncate_at: Some(6),
        ..CriConfig::default()
    };
    assert!(shown(cut)[1].starts_with("one tw "));
    let mut pipeline = Pipeline::new(&stages(CriConfig::default()), &tools()).unwrap();
    let mut out = Vec::new();
    let mut part = entry("7 stdout P one");
    part.from = 3;
    pipeline.process(part, &mut out);
    assert_eq!((out.len(), pipeline.held_from()), (0, Some(3)));
}

#[test]
fn docker_lines_are_unwrapped() {
    let line = r#"{"log":"hello","stream":"stderr","time":"7"}"#;
    assert_eq!(
        shown(&[StageConfig::Docker], line),
        "hello [job=j,stream=stderr] [] 7000000000"
    );
}

#[test]
fn packing_and_unpainting() {
    let pack = StageConfig::Pack {
        labels: vec![text("job"), text("none")],
        ingest_timestamp: true,
    };
    assert_eq!(
        shown(&[pack], "a\"<b"),
        r#"{"job":"j","_entry":"a\"\u003cb"} [] [] 5"#
    );
    assert_eq!(
        shown(&[StageConfig::Decolorize], "\u{1b}[31mred\u{1b}[0m plain é"),
        "red plain é [job=j] [] 5"
    );
}

#[test]
fn metrics_count_and_measure_by_labels() {
    let metric = |name: &str, source: &str, kind| MetricConfig {
        name: format!("m_{name}"),
        description: text("d"),
        source: text(source),
        max_idle_seconds: 300,
        value: None,
        kind,
    };
    let counter = |action, match_all| MetricKind::Counter { action, match_all };
    let stages = [
        json(&[("n", ""), ("d", "")]),
        StageConfig::Metrics(vec![
            metric("lines", "lines", counter(CounterAction::Inc, true)),
            metric("bytes", "bytes", counter(CounterAction::AddBytes, true)),
            metric("sum", "n", counter(CounterAction::Add, false)),
            MetricConfig {
                value: Some(text("2")),
                ..metric("twos", "n", counter(CounterAction::Inc, false))
            },
            metric("last", "n", MetricKind::Gauge(GaugeAction::Set)),
            metric("took", "d", MetricKind::Histogram(vec![0.5, 2.0])),
        ]),
    ];
    let tools = tools();
    let mut pipeline = Pipeline::new(&stages, &tools).unwrap();
    let mut out = Vec::new();
    for line in [r#"{"n":2,"d":"100ms"}"#, r#"{"n":3,"d":"1s"}"#, "x"] {
        pipeline.process(entry(line), &mut out);
    }
    let snapshot = tools.metrics.snapshot(0);
    let values: BTreeMap<&str, f64> = snapshot
        .iter()
        .map(|f| (f.name.as_str(), f.series[0].value))
        .collect();
    assert_eq!(values["m_lines"], 3.0);
    assert_eq!(values["m_bytes"], 36.0);
    assert_eq!(
        (values["m_sum"], values["m_twos"], values["m_last"]),
        (5.0, 1.0, 3.0)
    );
    let took = snapshot.iter().find(|f| f.name == "m_took").unwrap();
    assert_eq!(took.kind, FamilyKind::Histogram(vec![0.5, 2.0]));
    assert_eq!(took.series[0].buckets, [1, 1, 0]);
    assert_eq!(took.series[0].labels, LabelSet::from_pairs([("job", "j")]));
    let later = tools.metrics.snapshot(301_000_000_000);
    assert!(
        later.iter().all(|family| family.series.is_empty()),
        "idle series go"
    );
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    for (config, text) in [
        (
            json(&[]),
            "invalid json stage config: JMES expression is required",
        ),
        (
            json(&[("a", "a[")]),
            "invalid json stage config: could not compile JMES expression",
        ),
        (
            StageConfig::Regex {
                expression: text("("),
                source: None,
            },
            "invalid regex stage config: could not compile regular expression: error parsing regexp",
        ),
        (
            StageConfig::Regex {
                expression: text("a"),
                source: Some(String::new()),
            },
            "invalid regex stage config: empty source",
        ),
        (
            StageConfig::Labels(pairs(&[("a-b", "")])),
            "invalid labels stage config: invalid label name: a-b",
        ),
        (
            StageConfig::Template {
                source: text("a"),
                template: text("{{"),
            },
            "invalid template stage config: unclosed action",
        ),
        (
            StageConfig::Drop(DropConfig::default()),
            "invalid drop stage config: drop stage config must contain",
        ),
        (
            StageConfig::Limit(LimitConfig {
                rate: 0.0,
                burst: 1,
                excess: Excess::Drop,
            }),
            "invalid limit stage config: limit stage failed",
        ),
        (
            StageConfig::Match(MatchConfig {
                selector: text("x"),
                action: MatchAction::Drop(text("r")),
            }),
            "invalid match stage config: invalid selector syntax for match stage: no matcher",
        ),
        (
            StageConfig::Sampling {
                rate: 1.5,
                drop_reason: text("r"),
            },
            "invalid sampling stage config: sampling stage failed",
        ),
        (
            StageConfig::Output {
                source: String::new(),
            },
            "invalid output stage config: output source",
        ),
    ] {
        let error = Pipeline::new(&[config], &tools()).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
}

#[test]
fn sizes_are_of_1024() {
    for (text, bytes) in [
        ("8KB", 8192),
        ("10", 10),
        ("1 mib", 1 << 20),
        ("3b", 3),
        ("1G", 1 << 30),
    ] {
        assert_eq!(parse_byte_size(text), Ok(bytes), "{text}");
    }
    for text in [
        "",
        "x",
        "1.5KB",
        "1PB",
        "99999999999999999999",
        "99999999TB",
    ] {
        assert!(parse_byte_size(text).is_err(), "{text}");
    }
}
