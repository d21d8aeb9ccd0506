//! Values out of lines, and into labels, metadata, times, lines and metrics.

use super::*;

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
