use proptest::prelude::*;

use super::*;

fn mined(lines: &[&str]) -> Vec<(String, u64)> {
    let mut miner = PatternMiner::new(10);
    for line in lines {
        miner.learn(line.as_bytes(), 7, 1);
    }
    let patterns = miner.patterns().into_iter();
    patterns
        .map(|pattern| (pattern.text, pattern.lines))
        .collect()
}

fn one(lines: &[&str]) -> String {
    let found = mined(lines);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap().0
}

#[test]
fn what_differs_is_a_hole_and_the_rest_is_the_text() {
    let lines = [
        "2026-11-22 [WARN] worker-4   idle 607 1.3",
        "2026-11-23 [WARN] worker-4   idle 12 1.7",
    ];
    assert_eq!(one(&lines), "<_> [WARN] worker-4   idle <_> <_>");
    assert_eq!(
        one(&["GET /a/1?x=5 done in 3ms", "GET /b/2?x=7 done in 9ms"]),
        "GET <_>?x=<_> done in <_>"
    );
    assert_eq!(
        one(&["Größe der Datei: 5", "Größe der Datei: 9"]),
        "Größe der Datei: <_>"
    );
}

#[test]
fn pairs_are_cut_between_key_and_value() {
    let lines = [
        "ts=2026-11-22T00:00:00Z level=info msg=\"all is well\" took=5ms flag empty=",
        "ts=2026-11-22T00:00:01Z level=info msg=\"all is well\" took=6ms flag empty=",
    ];
    assert_eq!(
        one(&lines),
        "ts=<_> level=info msg=\"all is well\" took=<_> flag empty="
    );
    // The value of a time is a hole in a single line, too.
    assert_eq!(
        one(&lines[..1]),
        "ts=<_> level=info msg=\"all is well\" took=5ms flag empty="
    );
    // Lines of other keys are of another kind, however much they share.
    let others = ["a=1 b=2 c=3 d=4", "a=1 b=2 c=3 e=4"];
    assert_eq!(mined(&others).len(), 2);
}

#[test]
fn of_an_object_the_message_is_looked_at() {
    let lines = [
        r#"{"level":"info","message":"user 5 \"logged\" in from home","n":1}"#,
        r#"{"level":"warn","message":"user 7 \"logged\" in from home","n":2}"#,
    ];
    assert_eq!(one(&lines), r#"<_>user <_> \"logged\" in from home<_>"#);
    assert_eq!(mined(&[r#"{"a":"b c d e f g"}"#, r#"{"message":5}"#]), []);
}

#[test]
fn lines_of_other_kinds_stay_apart() {
    let lines = [
        "user 4711 logged in from home",
        "cannot open file x of disk",
        "user 4712 logged in from work",
    ];
    let expected = [
        ("user <_> logged in from <_>".to_owned(), 2),
        ("cannot open file x of disk".to_owned(), 1),
    ];
    assert_eq!(mined(&lines), expected);
}

#[test]
fn what_is_no_fit_line_is_left_out() {
    let long = "word ".repeat(601);
    let many = "word ".repeat(90);
    assert_eq!(mined(&["", "a b c", &long, &many]), []);
    let mut miner = PatternMiner::new(10);
    miner.learn(b"a b c d \xff", 0, 1);
    assert_eq!(miner.patterns(), []);
}

#[test]
fn samples_are_counted_by_interval_and_weight() {
    let mut miner = PatternMiner::new(10);
    for (t_ns, weight) in [(5, 1), (9, 2), (10, 4), (-1, 1)] {
        miner.learn(b"this is the line", t_ns, weight);
    }
    let patterns = miner.patterns();
    assert_eq!(patterns[0].samples, [(-10, 1), (0, 3), (10, 4)]);
    assert_eq!(patterns[0].lines, 8);
}

#[test]
fn a_flood_of_kinds_is_bounded() {
    let mut miner = PatternMiner::new(10);
    let letters = |mut i: usize| -> String {
        let mut word = String::new();
        while i > 0 {
            word.push(char::from(b'a' + (i % 26) as u8));
            i /= 26;
        }
        word
    };
    for i in 1..3_000 {
        let (a, b, c) = (letters(i), letters(i * 7), letters(i * 31));
        miner.learn(format!("{a} {b} {c} {a}{b} {c}{a}").as_bytes(), 0, 1);
    }
    assert!(miner.clusters.len() <= MAX_CLUSTERS);
    assert!(miner.patterns().len() <= MAX_PATTERNS);
}

/// Tells whether a line has the parts of a pattern in order, from its start to its end.
fn fits(pattern: &str, line: &str) -> bool {
    let parts: Vec<&str> = pattern.split(HOLE).collect();
    let Some(mut rest) = line.strip_prefix(parts[0]) else {
        return false;
    };
    for part in &parts[1..] {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
        || parts
            .last()
            .is_some_and(|last| last.is_empty() || line.ends_with(last))
}

proptest! {
    #[test]
    fn every_line_fits_a_pattern(
        lines in prop::collection::vec("[ab1]{1,3}( [ab1=.,(]{1,3}){3,8}", 1..20),
    ) {
        let mut miner = PatternMiner::new(10);
        for line in &lines {
            miner.learn(line.as_bytes(), 0, 1);
        }
        let patterns = miner.patterns();
        for line in &lines {
            if tokenize(line).is_some() {
                let found = patterns.iter().any(|pattern| fits(&pattern.text, line));
                prop_assert!(found, "{line:?} of {patterns:?}");
            }
        }
    }

    #[test]
    fn any_text_is_learned_from_or_left_out(lines in prop::collection::vec("\\PC{0,60}", 0..10)) {
        let mut miner = PatternMiner::new(1);
        for line in &lines {
            miner.learn(line.as_bytes(), i64::MIN, 1);
            miner.learn(format!("{{\"msg\":\"{line}\"}}").as_bytes(), i64::MAX, 1);
            miner.learn(format!("a={line} b={line}").as_bytes(), 0, 1);
        }
        prop_assert!(miner.patterns().len() <= 3 * lines.len());
    }
}
