//! Any bytes as a line for the stages of a log query: nothing panics, and stages that only
//! read leave the line as it is.
#![no_main]

use kymo_query::logql::{MetadataRef, Pipeline, parse_log};
use kymo_storage::model::Labels;
use libfuzzer_sys::fuzz_target;

/// What is read from the line, the last of them writing another one.
const STAGES: [&str; 10] = [
    "| json",
    r#"| json a, b="a.b[0]", c="[\"a\"][1].c""#,
    r#"| json | a > 5 | b="x""#,
    "| logfmt",
    "| logfmt --strict --keep-empty",
    r#"| logfmt a, b="c""#,
    r#"| regexp "(?P<a>\\S+) (?P<b>.*)""#,
    r#"| pattern "<a> <_>=<b>""#,
    r#"|~ "(?i)a.*b" or "c|d" |= ip("10.0.0.0/8")"#,
    r#"| unpack | decolorize | line_format "{{.a}}{{__line__}}" | logfmt"#,
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, line)) = data.split_first() else {
        return;
    };
    let stages = STAGES[usize::from(*choice) % STAGES.len()];
    let query = parse_log(&format!(r#"{{app="a"}} {stages}"#)).expect("a query");
    let mut pipeline = Pipeline::new(&query).expect("stages");
    let stream = Labels::from_pairs([("app", "a"), ("b", "stream")]);
    let first = pipeline.process(&stream, 1, line, MetadataRef::NONE);
    if let Some(entry) = &first
        && !stages.contains("unpack")
    {
        assert_eq!(entry.line, line);
    }
    // What an entry leaves behind does not reach the next.
    assert_eq!(pipeline.process(&stream, 1, line, MetadataRef::NONE), first);
});
