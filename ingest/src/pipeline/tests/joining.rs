//! Lines that become one entry.

use super::*;

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
