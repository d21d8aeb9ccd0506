//! Error texts and places.

use crate::promql::{Features, parse_expr, parse_metric, parse_selector, parse_series};

fn error(query: &str) -> String {
    match parse_expr(query, &Features::ALL) {
        Ok(expr) => format!("accepted as {expr}"),
        Err(errors) => errors.to_string(),
    }
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (query, expected) in cases {
        let place_and_text = match expected.split_once(' ') {
            Some((place, text)) => format!("{place}: parse error: {text}"),
            None => (*expected).to_owned(),
        };
        assert_eq!(error(query), place_and_text, "{query:?}");
    }
}

#[test]
fn a_token_that_cannot_stand_is_named_with_what_could() {
    check(&[
        ("sum(", "1:5 unclosed left parenthesis"),
        ("a +", "1:4 unexpected end of input"),
        ("a + * b", "1:5 unexpected <op:*>"),
        ("a b", "1:3 unexpected identifier \"b\""),
        (
            "a \"a long string\"",
            "1:3 unexpected string \"\\\"a long st\"...",
        ),
        (
            "sum by a (b)",
            "1:8 unexpected identifier \"a\" in grouping opts, expected \"(\"",
        ),
        (
            "sum by (a b) (c)",
            "1:11 unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"",
        ),
        (
            "sum by (1) (c)",
            "1:9 unexpected number \"1\" in grouping opts, expected label",
        ),
        (
            "a{b}",
            "1:4 unexpected \"}\" in label matching, expected label matching operator",
        ),
        (
            "a{b=c}",
            "1:5 unexpected identifier \"c\" in label matching, expected string",
        ),
        (
            "a{b=\"c\" d}",
            "1:9 unexpected identifier \"d\" in label matching, expected \",\" or \"}\"",
        ),
        (
            "a offset b",
            "1:10 unexpected identifier \"b\" in offset, expected number, duration, step(), or range()",
        ),
        (
            "a @ b",
            "1:5 unexpected identifier \"b\" in @, expected timestamp",
        ),
        ("a[5m:1m", "1:8 unclosed left bracket"),
        (
            "a[5m 1m]",
            "1:6 unexpected duration \"1m\" in subquery or range, expected \":\" or \"]\"",
        ),
        ("\n  a\n  + )", "3:6 unexpected right parenthesis ')'"),
    ]);
}

#[test]
fn a_character_that_begins_nothing_is_shown() {
    check(&[
        ("é", "1:1 unexpected character: 'é'"),
        ("a ! b", "1:3 unexpected character after '!': ' '"),
        ("a =~ b", "1:3 unexpected character after '=': '~'"),
        ("a{b=\"c}", "1:5 unterminated quoted string"),
        ("\"\\z\"", "1:1 unknown escape sequence U+007A 'z'"),
        ("1x", "1:1 bad number or duration syntax: \"1\""),
        (
            "a[[5m]",
            "1:3 unexpected character in duration expression: '['",
        ),
        ("a[", "1:3 unexpected end of input in duration expression"),
        ("a{", "1:3 unexpected end of input inside braces"),
    ]);
}

#[test]
fn types_are_checked_once_the_text_is_right() {
    check(&[
        (
            "rate(a)",
            "1:6 expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "rate()",
            "1:1 expected 1 argument(s) in call to \"rate\", got 0",
        ),
        (
            "round(a, 1, 2)",
            "1:1 expected at most 2 argument(s) in call to \"round\", got 3",
        ),
        ("nope(a)", "1:1 unknown function with name \"nope\""),
        (
            "1 == 2",
            "1:3 comparisons between scalars must use BOOL modifier",
        ),
        (
            "1 + bool 2",
            "1:3 bool modifier can only be used on comparison operators",
        ),
        (
            "a and 1",
            "1:1 set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "a + on (b) group_left (b) c",
            "1:3 label \"b\" must not occur in ON and GROUP clause at once",
        ),
        (
            "{a=~\".*\"}",
            "1:1 vector selector must contain at least one non-empty matcher",
        ),
        (
            "a{__name__=\"b\"}",
            "1:1 metric name must not be set twice: \"a\" or \"b\"",
        ),
        ("a[5m][5m]", "1:6 ranges only allowed for vector selectors"),
        (
            "a offset 1m[5m]",
            "1:12 no offset modifiers allowed before range",
        ),
        (
            "a[5m] + 1",
            "1:1 binary expression must contain only scalar and instant vector types",
        ),
        (
            "-\"a\"",
            "1:1 unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
        (
            "a offset 1m offset 2m",
            "1:1 offset may not be set multiple times",
        ),
        (
            "a @ 1 @ 2",
            "1:1 @ <timestamp> may not be set multiple times",
        ),
        (
            "sum(a) offset 1m",
            "1:1 offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        ("a[0s]", "1:3 duration must be greater than 0"),
        ("a[5m / 0]", "1:6 division by zero"),
        ("a[300y]", "1:3 duration out of range"),
        (
            "topk(a)",
            "1:1 wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
    ]);
}

#[test]
fn what_is_not_enabled_is_refused_by_name() {
    let off = Features {
        duration_expr: false,
        ..Features::default()
    };
    let cases = [
        (
            "limitk(1, a)",
            "limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        (
            "mad_over_time(a[5m])",
            "function \"mad_over_time\" is not enabled",
        ),
        (
            "rate(a[5m] anchored)",
            "anchored modifier is experimental and not enabled",
        ),
        (
            "a smoothed",
            "smoothed modifier is experimental and not enabled",
        ),
        (
            "a + fill(0) b",
            "binop fill modifiers are experimental and not enabled",
        ),
        (
            "a[5m + 1m]",
            "experimental duration expression is not enabled",
        ),
    ];
    for (query, message) in cases {
        let errors = parse_expr(query, &off).unwrap_err();
        assert_eq!(errors.first().message, message, "{query}");
        assert!(parse_expr(query, &Features::ALL).is_ok(), "{query}");
    }
}

#[test]
fn reading_goes_on_behind_an_error() {
    let errors = parse_expr("sum(avg() + avg())", &Features::ALL).unwrap_err();
    let places: Vec<_> = errors.iter().map(|e| (e.span.start, e.span.end)).collect();
    assert_eq!(places, [(4, 9), (12, 17)]);
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    assert!(parse_expr(&nested(250), &Features::ALL).is_ok());
    let deep = [
        nested(100_000),
        format!("a{}", " + a".repeat(100_000)),
        format!("{}a", "-".repeat(100_000)),
        format!("a[{}1{}]", "(1+".repeat(100_000), ")".repeat(100_000)),
        format!("{}a{}", "abs(".repeat(100_000), ")".repeat(100_000)),
        format!("a{}", "[1m:]".repeat(100_000)),
    ];
    for query in &deep {
        let errors = parse_expr(query, &Features::ALL).unwrap_err();
        let message = &errors.first().message;
        assert!(message.contains("nested too deeply"), "{message}");
    }
    let open = "(".repeat(100_000);
    assert!(error(&open).ends_with("unclosed left parenthesis"));
}

#[test]
fn bytes_that_are_not_utf8_have_a_place() {
    let errors = parse_expr(b"foo\xff".as_slice(), &Features::ALL).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "1:4: parse error: unexpected character: '\u{fffd}'"
    );
}

#[test]
fn texts_that_are_not_utf8_are_refused_and_not_changed() {
    check(&[
        (
            r#"{a="\xff"}"#,
            r#"1:4 string "\xff" is not valid UTF-8, which is not supported"#,
        ),
        (
            r#"sum by ("\xff") (a)"#,
            r#"1:9 invalid label name for grouping: "\xff""#,
        ),
    ]);
    assert!(parse_expr(r#"{a="\xc3\xa9"}"#, &Features::ALL).is_ok());
}

#[test]
fn selectors_and_label_sets_have_no_modifiers() {
    let selector = |text: &str| parse_selector(text, &Features::ALL);
    assert_eq!(selector("a{b=\"c\"}").unwrap().len(), 2);
    assert_eq!(
        selector("a offset 5m").unwrap_err().to_string(),
        "1:3: parse error: unexpected <offset>"
    );
    let labels = parse_metric("a{b=\"c\",\"d.e\"=\"f\"}").unwrap();
    assert_eq!(labels.to_string(), r#"{__name__="a", b="c", "d.e"="f"}"#);
    assert_eq!(
        parse_metric("a{b!=\"c\"}").unwrap_err().to_string(),
        "1:4: parse error: unexpected <op:!=> in label set, expected \"=\""
    );
}

#[test]
fn endless_errors_are_not_collected() {
    let texts = [
        parse_series(&"a + ".repeat(2_000)).unwrap_err(),
        parse_expr(
            &format!("sum by ({}a) (b)", "1,".repeat(2_000)),
            &Features::ALL,
        )
        .unwrap_err(),
        parse_expr(&format!("abs({}a)", "\"b\",".repeat(2_000)), &Features::ALL).unwrap_err(),
    ];
    for errors in texts {
        assert!(errors.iter().count() <= 100);
    }
}

#[test]
fn a_series_line_of_too_many_values_is_refused() {
    for line in ["a 1x99999999999", "a _x5000000", "a 1x900000 1x900000"] {
        let message = parse_series(line).unwrap_err().to_string();
        assert!(message.contains("too many values in series"), "{message}");
    }
    let message = parse_series("a 1x99999999999999999999")
        .unwrap_err()
        .to_string();
    assert!(message.contains("value out of range"), "{message}");
}
