use kymo_query::rules::RuleKind;
use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<RuleFile, Vec<String>> {
    parse("f.yml", text, &Accepted::default()).map_err(|error| error.texts())
}

/// Puts a rule, given as lines, into a group.
fn with_rule(lines: &[&str]) -> String {
    let rule = lines.join("\n        ");
    format!("groups:\n  - name: g\n    rules:\n      - {rule}\n")
}

fn mistakes(lines: &[&str]) -> Vec<String> {
    let texts = read(&with_rule(lines)).unwrap_err();
    texts
        .iter()
        .map(|text| text.strip_prefix("f.yml: ").unwrap_or(text).to_owned())
        .collect()
}

#[test]
fn every_key_is_read() {
    let text = "\
groups:
  - name: first
    interval: 1m30s
    query_offset: 10s
    limit: 7
    labels: {team: a, empty: ''}
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
        labels: {team: b}
      - alert: Down
        expr: up == 0
        for: 5m
        keep_firing_for: 1h
        labels: {severity: page, n: 5}
        annotations: {text: '{{ $value }}', nothing: ~}
  - name: second
    interval: 0s
    rules: ~
";
    let read = read(text).unwrap();
    assert_eq!(read.groups.len(), 2);
    let group = &read.groups[0];
    assert_eq!(
        (group.interval_ms, group.query_offset_ms),
        (Some(90_000), Some(10_000))
    );
    assert_eq!(group.limit, 7);
    let pairs = |pairs: &Pairs| {
        let texts: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
        texts.join(" ")
    };
    assert_eq!(pairs(&group.labels), "empty= team=a");
    let [record, alert] = &group.rules[..] else {
        panic!("two rules expected");
    };
    assert_eq!(record.name, "job:up:sum");
    assert_eq!(record.kind, RuleKind::Recording);
    assert_eq!(pairs(&group.labels_of(record)), "empty= team=b");
    assert_eq!(
        pairs(&group.labels_of(alert)),
        "empty= n=5 severity=page team=a"
    );
    let RuleKind::Alerting(settings) = &alert.kind else {
        panic!("an alerting rule expected");
    };
    assert_eq!(
        (settings.for_ms, settings.keep_firing_for_ms),
        (300_000, 3_600_000)
    );
    assert_eq!(pairs(&settings.annotations), "nothing= text={{ $value }}");
    assert_eq!(alert.expr.to_string(), "up == 0");
    assert_eq!(
        read.places[0].rules[1],
        Position {
            line: 11,
            column: 9
        }
    );
    assert_eq!(read.groups[1].interval_ms, None);
    assert!(read.groups[1].rules.is_empty() && read.warnings.is_empty());
}

#[test]
fn a_file_may_be_empty_and_has_one_document() {
    for text in ["", "# nothing\n", "groups:\n", "groups: []\n", "{}\n"] {
        assert_eq!(read(text).unwrap(), RuleFile::default(), "{text:?}");
    }
    let two = read("groups:\n  - name: a\n---\nx: [\n").unwrap();
    assert_eq!((two.groups.len(), two.warnings.len()), (1, 1));
}

#[test]
fn mistakes_in_rules_are_named_in_the_words_of_prometheus() {
    let cases: [(&[&str], &str); 19] = [
        (
            &["alert: T", "expr: up", "labels: {l: '{{ $value'}"],
            "6:18: group \"g\", rule 1, \"T\": label \"l\": template: __alert_T:1: unclosed action",
        ),
        (
            &["alert: A", "expr: up", "annotations: {a: '{{ x }}'}"],
            "6:23: group \"g\", rule 1, \"A\": annotation \"a\": template: __alert_A:1: function \
             \"x\" not defined",
        ),
        (
            &["record: a", "alert: b", "expr: up"],
            "4:17: 5:16: group \"g\", rule 1, \"b\": only one of 'record' and 'alert' must be set",
        ),
        (
            &["expr: up"],
            "4:9: group \"g\", rule 1, \"\": one of 'record' or 'alert' must be set",
        ),
        (
            &["record: a"],
            "4:9: group \"g\", rule 1, \"a\": field 'expr' must be set in rule",
        ),
        (
            &["record: a", "expr: sum("],
            "5:15: group \"g\", rule 1, \"a\": could not parse expression: 1:5: parse error: \
             unclosed left parenthesis",
        ),
        (
            &["record: a", "expr: up", "annotations: {a: b}"],
            "4:17: group \"g\", rule 1, \"a\": invalid field 'annotations' in recording rule",
        ),
        (
            &["record: a", "expr: up", "for: 1m"],
            "4:17: group \"g\", rule 1, \"a\": invalid field 'for' in recording rule",
        ),
        (
            &["record: a", "expr: up", "keep_firing_for: 1m"],
            "4:17: group \"g\", rule 1, \"a\": invalid field 'keep_firing_for' in recording rule",
        ),
        (
            &["record: 'a{b=\"c\"}'", "expr: up"],
            "4:17: group \"g\", rule 1, \"a{b=\\\"c\\\"}\": braces present in the recording rule \
             name; should it be in expr?: a{b=\"c\"}",
        ),
        (
            &["record: a", "expr: up", "labels: {__name__: b}"],
            "6:18: group \"g\", rule 1, \"a\": invalid label name: __name__",
        ),
        (
            &["alert: a", "expr: up", "labels: {'': b}"],
            "6:18: group \"g\", rule 1, \"a\": invalid label name: ",
        ),
        (
            &["alert: a", "expr: up", "annotations: {'': b}"],
            "6:23: group \"g\", rule 1, \"a\": invalid annotation name: ",
        ),
        (
            &["alert: a", "expr: up", "for: 1x"],
            "6:14: unknown unit \"x\" in duration \"1x\"",
        ),
        (
            &["alert: a", "expr: up", "foo: 1"],
            "yaml: unmarshal errors:\n  line 6: field foo not found in type rulefmt.Rule: did \
             you mean \"for\"?",
        ),
        (
            &["alert: a", "expr: up", "expr: down"],
            "yaml: unmarshal errors:\n  line 6: mapping key \"expr\" already defined at line 5",
        ),
        (
            &["alert: a", "expr: up", "labels: {a: b, a: c}"],
            "yaml: unmarshal errors:\n  line 6: mapping key \"a\" already defined at line 6",
        ),
        (
            &["alert: [a]", "expr: up"],
            "yaml: unmarshal errors:\n  line 4: cannot unmarshal !!seq into string",
        ),
        (
            &["alert: a", "expr: up", "labels: [a]"],
            "yaml: unmarshal errors:\n  line 6: cannot unmarshal !!seq into map[string]string",
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(mistakes(lines), [expected], "{lines:?}");
    }
}

#[test]
fn names_that_are_only_utf8_are_allowed_unless_the_old_alphabet_is_asked_for() {
    let text = with_rule(&[
        "alert: a b",
        "expr: up",
        "labels: {a-b: c, alertname: d}",
        "annotations: {a b: c}",
    ]);
    assert!(read(&text).is_ok());
    let legacy = Accepted {
        names: NameValidation::Legacy,
        ..Accepted::default()
    };
    let error = parse("f.yml", &text, &legacy).unwrap_err();
    assert_eq!(
        error.texts(),
        [
            "f.yml: 6:18: group \"g\", rule 1, \"a b\": invalid label name: a-b",
            "f.yml: 7:23: group \"g\", rule 1, \"a b\": invalid annotation name: a b",
        ]
    );
}

#[test]
fn all_mistakes_of_a_file_come_at_once() {
    let text = "\
groups:
  - name: a
    rules:
      - record: x
        expr: sum(
      - alert: y
        expr: up ==
  - rules: []
  - name: a
    limit: many
";
    let texts = read(text).unwrap_err();
    let starts = [
        "f.yml: yaml: unmarshal errors:\n  line 10: cannot unmarshal !!str `many` into int",
        "f.yml: 5:15: group \"a\", rule 1, \"x\": could not parse expression: 1:5: parse error",
        "f.yml: 7:15: group \"a\", rule 2, \"y\": could not parse expression: 1:6: parse error",
        "f.yml: 8:5: Groupname must not be empty",
        "f.yml: 9:5: groupname: \"a\" is repeated in the same file",
    ];
    assert_eq!(texts.len(), starts.len(), "{texts:#?}");
    for (text, start) in texts.iter().zip(starts) {
        assert!(text.starts_with(start), "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load("/nowhere/rules.yml", &Accepted::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nowhere/rules.yml: open /nowhere/rules.yml: no such file or directory"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.yml");
    std::fs::write(&path, b"groups:\n  - name: \xff\n").unwrap();
    let error = load(path.to_str().unwrap(), &Accepted::default()).unwrap_err();
    assert!(
        error.to_string().ends_with("yaml: line 2: invalid UTF-8"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_text_gives_groups_or_mistakes(text in "[ -~\n]{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn any_scalars_give_groups_or_mistakes(words in prop::collection::vec("[ -~]{0,12}", 10)) {
        let keys = [
            "record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations",
        ];
        let mut text = format!("groups:\n  - name: '{}'\n    limit: {}\n    rules:\n      - x:\n",
            words[0].replace('\'', "''"), words[1]);
        for (key, word) in keys.iter().zip(&words[2..]) {
            text.push_str(&format!("        {key}: {word}\n"));
        }
        let _ = read(&text);
    }
}

#[test]
fn rules_over_logs_have_expressions_of_their_own() {
    let over_logs = Accepted {
        language: Language::LogQl,
        ..Accepted::default()
    };
    let text = "\
groups:
- name: g
  rules:
  - alert: Many
    expr: rate({app=\"a\"} |= `error` [5m]) > 1
    annotations: {line: '{{ $line }} {{ .Line | len }}'}
  - record: lines
    expr: sum(count_over_time({app=\"a\"}[5m]))
";
    let read = parse("logs.yml", text, &over_logs).unwrap();
    let group = &read.groups[0];
    assert_eq!(group.language, Language::LogQl);
    let printed = "(rate({app=\"a\"} |= \"error\"[5m]) > 1)";
    assert_eq!(group.rules[0].expr.to_string(), printed);
    // Rules over metrics have no line, and no such expressions.
    let texts = parse("r.yml", text, &Accepted::default())
        .unwrap_err()
        .texts();
    assert_eq!(texts.len(), 2, "{texts:?}");

    let wrong = "\
groups:
- name: g
  rules:
  - {alert: A, expr: 'rate({app=\"a\"}[5m]'}
  - {record: r, expr: '{app=\"a\"} | json'}
  - {alert: B, expr: 'vector(1)', annotations: {x: '{{ $lines }}'}}
";
    let texts = parse("l.yml", wrong, &over_logs).unwrap_err().texts();
    assert_eq!(
        texts,
        [
            "l.yml: 4:22: could not parse expression for alert 'A' in group 'g': parse error at \
             line 1, col 19: syntax error: unexpected $end, expecting )",
            "l.yml: 5:23: could not parse expression for record 'r' in group 'g': only sample \
             expression supported; count the entries, as in count_over_time({...}[5m])",
            "l.yml: 6:49: group \"g\", rule 3, \"B\": annotation \"x\": template: __alert_B:1: \
             undefined variable \"$lines\"",
        ]
    );
}

#[test]
fn a_group_can_stand_alone() {
    let over_logs = Accepted {
        language: Language::LogQl,
        ..Accepted::default()
    };
    let text = "name: g\nrules:\n- {record: r, expr: vector(1)}\n";
    assert_eq!(
        parse_group("group", text, &over_logs).unwrap().rules.len(),
        1
    );
    for (text, want) in [
        (
            "rules: []",
            "group: 1:1: group 0: Groupname must not be empty",
        ),
        (
            "name: g\nrule: []",
            "group: yaml: unmarshal errors:\n  line 2: field rule not found",
        ),
        ("[", "group: yaml: line 1: "),
    ] {
        let error = parse_group("group", text, &over_logs)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(want), "{error}");
    }
}
