//! What stages do to the labels of an entry.

use kymo_storage::model::Labels;

use crate::logql::{EntryBatch, Pipeline, ProcessedEntry, parse_log};

/// Runs one entry through the stages behind a selector.
fn run(stages: &str, line: &[u8], metadata: &[(&str, &str)]) -> Option<ProcessedEntry> {
    let query = parse_log(&format!(r#"{{app="a"}} {stages}"#)).unwrap();
    let mut pipeline = Pipeline::new(&query).unwrap();
    let stream = Labels::from_pairs([("app", "a"), ("level", "stream")]);
    let mut batch = EntryBatch::default();
    batch.push(0, 1, line, metadata.iter().copied());
    let entry = batch.entry(0);
    pipeline.process(&stream, entry.t_ns, entry.line, entry.metadata)
}

/// Returns all labels that are not those of the stream, as text.
fn labels(stages: &str, line: &str, metadata: &[(&str, &str)]) -> String {
    let entry = run(stages, line.as_bytes(), metadata).unwrap();
    let merged = entry.labels.merged();
    merged.filter(|name, _| name != "app").to_string()
}

#[test]
fn names_that_are_taken_are_moved() {
    let line = r#"{"level":"p","md":"p","tri":"p","x":"p"}"#;
    let metadata = [("level", "m"), ("md", "m")];
    assert_eq!(
        labels("| json", line, &metadata),
        r#"{level="stream", level_extracted="p", md="m", md_extracted="p", tri="p", x="p"}"#
    );
    // What a condition on the bare name sees is the label of the stream.
    assert!(run(r#"| json | level="p""#, line.as_bytes(), &[]).is_none());
    assert!(run(r#"| json | level_extracted="p""#, line.as_bytes(), &[]).is_some());
    assert_eq!(
        labels("| label_format level=md", "", &metadata),
        r#"{level="m", level_extracted="m"}"#
    );
}

#[test]
fn filters_of_lines_run_first_and_search_what_was_sent() {
    assert!(
        run(
            r#"| decolorize |= "red blue""#,
            b"\x1b[31mred\x1b[0m blue",
            &[]
        )
        .is_none()
    );
    assert!(run(r#"| json |= "x""#, b"no json", &[]).is_none());
    let entry = run(r#"| line_format "{{.app}}" |= "a""#, b"x", &[]).unwrap();
    assert_eq!(entry.line, b"a");
    // A label filter keeps what is behind it where it is.
    let entry = run(r#"| json | app="a" |= "no""#, b"no json", &[]).unwrap();
    assert_eq!(entry.labels.parsed.get("__error__"), Some("JSONParserErr"));
}

#[test]
fn conditions_are_tested_where_a_label_is_parsed() {
    let line = br#"{"msg":"y"}"#;
    assert!(run(r#"| json | label_format msg="x" | msg="x""#, line, &[]).is_none());
    assert!(
        run(
            r#"| json | label_format msg="x" | msg="x" or msg="z""#,
            line,
            &[]
        )
        .is_some()
    );
}

#[test]
fn errors_stay_with_the_line() {
    let shown = labels("| json", "plain", &[]);
    assert!(
        shown.starts_with(r#"{__error__="JSONParserErr", __error_details__="Value looks like"#)
    );
    let broken = labels("| json", r#"{"a":"1","b":"#, &[]);
    assert!(
        broken.contains(r#"a="1""#) && broken.contains("JSONParserErr"),
        "{broken}"
    );
    assert!(run(r#"| json | __error__="""#, b"plain", &[]).is_none());
    assert_eq!(
        labels(
            "| json | drop __error__, __error_details__",
            "plain",
            &[("k", "v")]
        ),
        r#"{k="v", level="stream"}"#
    );
    assert_eq!(
        labels("| logfmt | n > 5", "n=x", &[]),
        r#"{__error__="LabelFilterErr", __error_details__="strconv.ParseFloat: parsing \"x\": invalid syntax", level="stream", n="x"}"#
    );
    assert!(run("| logfmt | n != 5", b"m=5", &[]).is_none());
    assert!(run(r#"| json | n=ip("10.0.0.1")"#, b"plain", &[]).is_some());
    let entry = run(r#"| line_format "{{div 1 0}}""#, b"same", &[]).unwrap();
    assert_eq!(entry.line, b"same");
    assert_eq!(
        entry.labels.parsed.get("__error__"),
        Some("TemplateFormatErr")
    );
}

#[test]
fn paths_that_lead_nowhere_make_empty_labels() {
    let line = r#"{"a":{"b":[1,{"c":"x\ty"}]},"n":null,"o":{"k":1},"odd key!":2}"#;
    assert_eq!(
        labels(
            r#"| json c="a.b[1].c", first="a.b[0]", n, o, gone="a.x", odd="[\"odd key!\"]""#,
            line,
            &[]
        ),
        r#"{c="x\ty", first="1", gone="", level="stream", n="", o="{\"k\":1}", odd="2"}"#
    );
    assert_eq!(
        labels(r#"| json x="a""#, "plain", &[]),
        r#"{__error__="JSONParserErr", level="stream"}"#
    );
}

#[test]
fn logfmt_takes_what_it_is_told() {
    let line = r#"a=1 a=2 b= flag c="x y" bad="un"#;
    assert_eq!(
        labels("| logfmt", line, &[]),
        r#"{a="1", c="x y", level="stream"}"#
    );
    assert_eq!(
        labels("| logfmt --keep-empty", line, &[]),
        r#"{a="1", b="", c="x y", flag="", level="stream"}"#
    );
    assert_eq!(
        labels(r#"| logfmt first="a", gone"#, line, &[]),
        r#"{first="2", gone="", level="stream"}"#
    );
    let strict = labels("| logfmt --strict", line, &[]);
    assert!(
        strict.contains("logfmt syntax error at pos 32 : unterminated quoted value"),
        "{strict}"
    );
}

#[test]
fn packed_lines_are_unpacked() {
    let line = br#"{"lvl":"info","n":5,"_entry":"real \"line\""}"#;
    let entry = run("| unpack", line, &[]).unwrap();
    assert_eq!(entry.line, b"real \"line\"");
    assert_eq!(entry.labels.parsed.to_string(), r#"{lvl="info"}"#);
    let entry = run("| unpack", br#"{"lvl":"info"}"#, &[]).unwrap();
    assert!(entry.labels.parsed.is_empty());
    assert_eq!(
        labels("| unpack", "plain", &[]),
        r#"{__error__="JSONParserErr", __error_details__="expecting json object(6), but it is not", level="stream"}"#
    );
}

#[test]
fn labels_are_kept_and_dropped_whatever_they_are() {
    let line = r#"{"a":"1","b":"2"}"#;
    let metadata = [("md", "m")];
    assert_eq!(
        labels("| json | keep a, md", line, &metadata),
        r#"{a="1", md="m"}"#
    );
    assert_eq!(
        labels(r#"| json | keep a="2", b=~"2|3""#, line, &metadata),
        r#"{b="2"}"#
    );
    assert_eq!(
        labels(r#"| json | drop level, a="1", b="1""#, line, &metadata),
        r#"{b="2", md="m"}"#
    );
    let kept = labels("| json | keep x", "plain", &[]);
    assert!(
        kept.contains("__error__") && !kept.contains("level"),
        "{kept}"
    );
}

#[test]
fn captures_take_what_is_between_texts() {
    let stage = r#"| pattern "<ip> - <_> [<ts>] <rest>""#;
    assert_eq!(
        labels(stage, "10.0.0.1 - bob [now] GET /", &[]),
        r#"{ip="10.0.0.1", level="stream", rest="GET /", ts="now"}"#
    );
    assert_eq!(
        labels(stage, "nothing here", &[]),
        r#"{ip="nothing here", level="stream"}"#
    );
    assert_eq!(
        labels(r#"| regexp "(?P<a>\\d+)(?P<b>x)?""#, "n 12", &[]),
        r#"{a="12", b="", level="stream"}"#
    );
    assert_eq!(
        labels(r#"| regexp "(?P<a>z+)""#, "n 12", &[]),
        r#"{level="stream"}"#
    );
}

#[test]
fn needles_are_what_lines_must_have() {
    let needles = |stages: &str| {
        let query = parse_log(&format!(r#"{{app="a"}} {stages}"#)).unwrap();
        let needles = Pipeline::new(&query).unwrap().needles();
        let texts = needles.into_iter().map(|needle| {
            let texts = needle
                .any_of
                .iter()
                .map(|needle| String::from_utf8_lossy(&needle.text).into_owned());
            texts.collect::<Vec<_>>().join("|")
        });
        texts.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        needles(r#"|= "x" or "y" != "z" |~ "err.r" | json |= "w""#),
        "w x|y err"
    );
    assert_eq!(needles(r#"|= "x" | line_format "{{.a}}" |= "w""#), "x");
    assert_eq!(needles(r#"|~ "(?i)XYZ" |= """#), "xyz");
    assert_eq!(needles(r#"|> "<_>long text<_>""#), "long text");
}

#[test]
fn blank_keys_and_taken_names_of_inner_objects() {
    assert_eq!(
        labels("| json", r#"{"":"x"," ":{"a":"1"}}"#, &[]),
        r#"{a="1", level="stream"}"#
    );
    assert_eq!(
        labels("| json", r#"{"":{"":"x"}}"#, &[]),
        r#"{="x", level="stream"}"#
    );
    assert_eq!(
        labels("| json", r#"{"level":{"":"x"}}"#, &[]),
        r#"{level="stream", level__extracted="x"}"#
    );
    assert_eq!(
        labels("| json", r#"{"m":{"d ":"x"}}"#, &[("m_d", "m")]),
        r#"{level="stream", m_d="m", m_d__extracted="x"}"#
    );
}

#[test]
fn what_was_packed_is_compared_by_its_keys() {
    let line = r#"{"_entry":"e","":"x","m.d":"1","level":"2","9":"3"}"#;
    assert_eq!(
        labels("| unpack", line, &[("m_d", "m")]),
        r#"{="x", _9="3", level="stream", level_extracted="2", m_d="1"}"#
    );
}

#[test]
fn lines_are_read_where_a_stage_looks_at_them() {
    let reads = |stages: &str| {
        let query = parse_log(&format!(r#"{{app="a"}} {stages}"#)).unwrap();
        Pipeline::new(&query).unwrap().reads_lines()
    };
    assert!(reads(r#"| label_format x=`{{__line__ | len}}`"#));
    assert!(reads(
        r#"| label_format y=z, x=`{{(fromJson __line__).a}}`"#
    ));
    assert!(reads("| json"));
    assert!(!reads(
        r#"| label_format x=`{{__timestamp__}}`, y=z | drop a | keep b | c="d""#
    ));
}
