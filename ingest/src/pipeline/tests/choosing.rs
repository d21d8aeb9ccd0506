//! Entries that go on, and those that do not.

use super::*;

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
