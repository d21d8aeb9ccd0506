use proptest::prelude::*;

use super::*;
use crate::compat::regex::Regex;

fn regex(pattern: &str) -> Matcher {
    Matcher::new(MatchOp::Regex, "x", pattern).unwrap()
}

fn set(pattern: &str) -> Option<Vec<String>> {
    regex(pattern).set_matches().map(<[String]>::to_vec)
}

#[test]
fn choices_become_sets() {
    for (pattern, values) in [
        ("foo", vec!["foo"]),
        ("^foo$", vec!["foo"]),
        ("(?m)^foo$", vec!["foo"]),
        ("", vec![""]),
        ("b|a|", vec!["", "a", "b"]),
        (
            "(prod|stag)-(a|b)",
            vec!["prod-a", "prod-b", "stag-a", "stag-b"],
        ),
        ("fo{0,2}", vec!["f", "fo", "foo"]),
        ("[a-c]x?", vec!["a", "ax", "b", "bx", "c", "cx"]),
        ("(?i)1k", vec!["1K", "1k", "1\u{212a}"]),
        (r"foo\.bar", vec!["foo.bar"]),
    ] {
        let values: Vec<String> = values.into_iter().map(str::to_owned).collect();
        assert_eq!(set(pattern), Some(values), "{pattern}");
    }
    assert_eq!(set("a$b"), None, "a position inside is left to the engine");
    assert_eq!(set("[a-z]{2}"), None, "676 values are too many");
    assert_eq!(set("x{1000}").map(|set| set[0].len()), Some(1000));
    assert_eq!(set("(((x{9}){9}){9}|y)*"), None);
}

#[test]
fn alternatives_that_are_written_out_may_be_many() {
    let values: Vec<String> = (0..2000).map(|i| format!("host-{i:04}")).collect();
    assert_eq!(set(&values.join("|")), Some(values.clone()));
    let prefixed = format!("a-({})", values.join("|"));
    assert_eq!(set(&prefixed).map(|set| set.len()), Some(2000));
    let mixed = regex(&format!("b.*|{}", values.join("|")));
    assert_eq!(mixed.set_matches(), None);
    assert!(mixed.matches("host-1999") && mixed.matches("bc") && !mixed.matches("host"));
}

#[test]
fn a_planner_learns_what_it_needs() {
    assert_eq!(regex("foo.*bar").prefix(), Some("foo"));
    assert_eq!(regex(r"foo\d+").prefix(), Some("foo"));
    assert_eq!(regex("(?i)foo.*").prefix(), None);
    assert_eq!(regex(".*foo").prefix(), None);
    assert!(regex(".*").matches_all() && regex("(.*)|x").matches_all());
    assert!(regex(".+").matches_nonempty());
    assert!(!regex("(?-s).*").matches_all(), "a line feed is left out");
    let not = |op, value| Matcher::new(op, "x", value).unwrap();
    assert!(not(MatchOp::NotEqual, "").matches_nonempty());
    assert!(not(MatchOp::NotRegex, "").matches_nonempty());
    assert!(not(MatchOp::NotRegex, ".*").matches_none());
    assert_eq!(
        not(MatchOp::NotEqual, "a").set_matches(),
        Some(&["a".to_owned()][..])
    );
}

#[test]
fn pieces_do_not_overlap() {
    assert!(regex("aba.*aba").matches("abaaba"));
    assert!(!regex("aba.*aba").matches("ababa"));
    assert!(regex(".*a.*b.*").matches("xaxbx"));
    assert!(!regex(".*a.*b.*").matches("xbxax"));
    assert!(!regex("a.*aa").matches("aa"));
}

#[test]
fn matchers_print_as_in_a_selector() {
    let matcher = Matcher::new(MatchOp::NotRegex, "a.b", "c\"\n").unwrap();
    assert_eq!(matcher.to_string(), r#""a.b"!~"c\"\n""#);
    assert_eq!(regex("a").to_string(), r#"x=~"a""#);
}

#[test]
fn other_bytes_fit_a_dot_and_no_text() {
    assert!(regex(".").matches_bytes(b"\xff"));
    assert!(!regex("a").matches_bytes(b"\xff"));
    let not_equal = Matcher::new(MatchOp::NotEqual, "x", "\u{fffd}").unwrap();
    assert!(not_equal.matches_bytes(b"\xff"));
}

proptest! {
    /// Whatever a pattern was turned into says what the engine says.
    #[test]
    fn tests_of_text_agree_with_the_engine(
        pattern in r"(\(\?[ism]\))?((a|b|B|é|\\n|\.\*|\.\+|\.|\[ab\]|\[\^a\]|\(a\|b\.\*\)|\(\?i:[bks]\)|\(a\?\)\{0,2\}|\^|\$|\(ab\))[?]?){0,6}(\|(a|b|\.\*|a\+|\(\?m\)\^a\$)){0,2}",
        values in prop::collection::vec("[abBKsé\n]{0,6}|[\u{212a}\u{17f}]", 12),
    ) {
        let matcher = regex(&pattern);
        let engine = Regex::new_anchored(&pattern).unwrap();
        for value in &values {
            prop_assert_eq!(matcher.matches(value), engine.is_match(value), "{} on {:?}", pattern, value);
            if matcher.matches(value) {
                prop_assert!(value.starts_with(matcher.prefix().unwrap_or("")));
            }
        }
        for value in matcher.set_matches().unwrap_or_default() {
            prop_assert!(engine.is_match(value), "{} of {}", value, pattern);
        }
    }
}
