use proptest::prelude::*;

use super::*;

fn refused(pattern: &str) -> String {
    Regex::new(pattern).unwrap_err().to_string()
}

fn matched(pattern: &str, text: &str) -> Option<String> {
    let found = Regex::new(pattern).unwrap().find(text)?;
    Some(text[found].to_owned())
}

#[test]
fn go_syntax_that_the_regex_crate_refuses_or_reads_otherwise() {
    for (pattern, text) in [
        ("{", "{"),
        ("^a{,5}$", "a{,5}"),
        ("a{2", "a{2"),
        (r"^\Qa.b\E$", "a.b"),
        (r"^\Qa.b", "a.b"),
        ("^[[]$", "["),
        ("^[a&&b]$", "&"),
        ("^[a~~b]$", "~"),
        (r"\<", "<"),
        (r"^\101$", "A"),
        (r"^\p{^Lu}$", "a"),
        (r"^\p{lowercase letter}$", "a"),
        ("^[]a]$", "]"),
        ("^[a-]$", "-"),
        (r"^\x{1F600}$", "😀"),
        ("(?P<n>a)(?P<n>b)", "ab"),
        (r"^\_$", "_"),
    ] {
        assert!(matched(pattern, text).is_some(), "{pattern} on {text}");
    }
    for (pattern, text) in [
        (r"^\d$", "٣"),
        (r"^\w$", "é"),
        (r"^\s$", "\u{b}"),
        (r"^\x{d800}$", "\u{fffd}"),
        ("^.$", "\n"),
    ] {
        assert!(matched(pattern, text).is_none(), "{pattern} on {text}");
    }
}

#[test]
fn errors_are_worded_as_go_words_them() {
    for (pattern, message) in [
        ("x**", "invalid nested repetition operator: `**`"),
        ("x{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("x*??", "invalid nested repetition operator: `*??`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a|+?b", "missing argument to repetition operator: `+?`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("(a{100}){11}", "invalid repeat count: `{11}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("[a", "missing closing ]: `[a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Foo}", r"invalid character class range: `\p{Foo}`"),
        (r"\pé", r"invalid character class range: `\pé`"),
        (r"\u0041", r"invalid escape sequence: `\u`"),
        (r"\é", r"invalid escape sequence: `\é`"),
        (r"\x4", r"invalid escape sequence: `\x4`"),
        (r"\x{}", r"invalid escape sequence: `\x{}`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?P<a b>c)", "invalid named capture: `(?P<a b>`"),
        ("(?P=a)", "invalid or unsupported Perl syntax: `(?P`"),
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
    ] {
        assert_eq!(refused(pattern), format!("error parsing regexp: {message}"));
    }
    let deep = "(".repeat(1001) + &")".repeat(1001);
    assert!(refused(&deep).contains("nests too deeply"));
    let fits = "(".repeat(999) + &")".repeat(999);
    assert!(Regex::new(&fits).is_ok());
    let wide = "(?:".repeat(100_000) + &")".repeat(100_000);
    assert!(
        Regex::new(&wide).is_ok(),
        "groups that capture nothing leave no level"
    );
}

#[test]
fn flags_hold_to_the_end_of_their_group() {
    assert_eq!(matched("(?i)a(?-i)b", "Ab"), Some("Ab".into()));
    assert_eq!(matched("(?i)a(?-i)b", "AB"), None);
    assert_eq!(matched("(?i:a)b", "AB"), None);
    assert_eq!(matched("((?i)a)b", "Ab"), Some("Ab".into()));
    assert_eq!(matched("(?U)a+", "aaa"), Some("a".into()));
    assert_eq!(matched("(?U)a+?", "aaa"), Some("aaa".into()));
    assert_eq!(matched("(?m)^b$", "a\nb\nc"), Some("b".into()));
    assert_eq!(matched("(?s)a.b", "a\nb"), Some("a\nb".into()));
    assert_eq!(matched("a(?i)*", "aaa"), Some("aaa".into()));
}

#[test]
fn templates_expand_as_in_go() {
    let regex = Regex::new_anchored("(?P<host>[a-z]+)-(?P<n>\\d+)(x)?").unwrap();
    let captures = regex.captures("web-42").unwrap();
    let expand = |template: &str| {
        let mut out = String::new();
        captures.expand(template, &mut out);
        out
    };
    assert_eq!(expand("$1/${2}/$host/${n}/$0"), "web/42/web/42/web-42");
    assert_eq!(expand("$1x|${1}x|$3|$9|$01|$nope|"), "|webx|||||");
    assert_eq!(expand("$$1 $ ${ ${1 $-"), "$1 $ ${ ${1 $-");
}

#[test]
fn empty_matches_behind_a_match_are_not_replaced() {
    let replace = |pattern: &str, text: &str| Regex::new(pattern).unwrap().replace_all(text, "-");
    assert_eq!(replace("a*", "baac"), "-b-c-");
    assert_eq!(replace("", "é"), "-é-");
    assert_eq!(replace("(.*)", "abc"), "-");
}

#[test]
fn bytes_that_are_not_utf8_count_as_one_character_each() {
    let matches =
        |pattern: &str, text: &[u8]| Regex::new_anchored(pattern).unwrap().is_match_bytes(text);
    assert!(matches("a..b", b"a\xff\xc3b"));
    assert!(!matches("a.b", b"a\xff\xc3b"));
    assert!(matches("é", "é".as_bytes()));
    assert!(!matches("..", "é".as_bytes()));
}

proptest! {
    #[test]
    fn parsing_never_panics(pattern in any::<String>()) {
        let _ = Regex::new(&pattern);
    }

    #[test]
    fn parsing_syntax_like_text_never_panics(
        pattern in r"([a-c]|\\[a-zA-Z0-9{}]|[\[\](){}|*+?^$.\\:<>P-]|\{[0-9]{1,4},?|\(\?[imsU:-]){0,20}"
    ) {
        let _ = Regex::new(&pattern);
    }

    #[test]
    fn a_simple_subset_agrees_with_the_regex_crate(
        pattern in r"((a|b|\.|\[ab\]|\[\^a\]|\(a\|b\)|\^|\$)[*+?]?){0,6}(\|(a|b)[*+?]?){0,2}",
        text in "[ab\n]{0,8}",
    ) {
        let theirs = regex_automata::meta::Regex::new(&pattern).unwrap();
        let ours = Regex::new(&pattern).unwrap();
        prop_assert_eq!(ours.find(&text), theirs.find(&text).map(|found| found.range()));
    }
}

#[test]
fn what_would_take_too_much_memory_is_refused() {
    assert!(refused(r"\pL{1000}\pL{1000}").contains("expression too large"));
    assert!(Regex::new(".{1000}").is_ok());
}
