//! Any text, and any query made of the words of the language.

use proptest::prelude::*;

use crate::logql::{format_query, parse, parse_any_matchers};

/// Reads a text in all ways. What can be read is written down and read again.
fn any_text(text: &str) {
    let _ = parse_any_matchers(text);
    let formatted = format_query(text);
    let Ok(expr) = parse(text) else {
        return;
    };
    let printed = expr.to_string();
    // What is no number has no notation.
    if ["NaN", "Inf"].iter().any(|word| printed.contains(word)) {
        return;
    }
    let again = parse(&printed).map(|expr| expr.to_string());
    assert_eq!(again.as_ref(), Ok(&printed), "{text}");
    let formatted = formatted.unwrap();
    let rounded = expr.with_rounded_sizes().to_string();
    let again = parse(&formatted).map(|expr| expr.to_string());
    assert_eq!(again.as_ref(), Ok(&rounded), "{text} as\n{formatted}");
}

/// Pieces of queries, of which most orders make no sense.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "{",
        "}",
        "a",
        "b=\"c\"",
        "{x=\"y\"}",
        "=",
        "==",
        "!=",
        "=~",
        "!~",
        "!>",
        "|=",
        "|~",
        "|>",
        "|",
        ",",
        ".",
        "(",
        ")",
        "[5m]",
        "[",
        "]",
        "5m",
        "-3h",
        "1.5h",
        "10KB",
        "1.5MiB",
        "7",
        "-",
        "+",
        "*",
        "/",
        "%",
        "^",
        "<",
        ">=",
        "or",
        "and",
        "unless",
        "\"x\"",
        "`y`",
        "'z'",
        "#",
        "\n",
        "json",
        "logfmt",
        "--strict",
        "regexp",
        "`(?P<n>.)`",
        "pattern",
        "\"<p>\"",
        "unpack",
        "unwrap",
        "bytes(",
        "duration(",
        "line_format",
        "\"{{.a}}\"",
        "label_format",
        "decolorize",
        "drop",
        "keep",
        "ip(",
        "\"10.0.0.1\"",
        "sum",
        "by",
        "without",
        "topk(",
        "rate(",
        "count_over_time(",
        "quantile_over_time(",
        "vector(",
        "label_replace(",
        "offset",
        "bool",
        "on",
        "ignoring",
        "group_left",
        "0x10",
        "1e3",
        "é",
        "\"",
    ])
    .prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "job", "rate", "ip", "_x1", "naïve", "duration"])
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z<>_.*]{0,6}", "[ -~]{0,8}"]
        .prop_map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn selector() -> impl Strategy<Value = String> {
    let matcher = (name(), prop::sample::select(vec!["=", "!="]), text());
    let matchers = prop::collection::vec(matcher, 0..3);
    matchers.prop_map(|matchers| {
        let rest: Vec<String> = matchers
            .iter()
            .map(|(n, o, t)| format!("{n}{o}{t}"))
            .collect();
        format!(
            "{{m=\"n\"{}{}}}",
            if rest.is_empty() { "" } else { ", " },
            rest.join(", ")
        )
    })
}

fn label_filter() -> impl Strategy<Value = String> {
    let operand = prop_oneof![
        Just("1.5".to_owned()),
        Just("-0".to_owned()),
        Just("+7e9".to_owned()),
        (0u64..=u64::MAX >> 12).prop_map(|bytes| format!("{bytes}B")),
        (0i64..1 << 40).prop_map(|ns| format!("{ns}ns")),
        Just("2d3h".to_owned()),
    ];
    let op = prop::sample::select(vec!["=", "==", "!=", ">", ">=", "<", "<="]);
    let leaf = prop_oneof![
        (name(), op, operand).prop_map(|(name, op, operand)| format!("{name} {op} {operand}")),
        (name(), text()).prop_map(|(name, text)| format!("{name}={text}")),
        name().prop_map(|name| format!("{name}!=ip(\"10.0.0.0/8\")")),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let joint = prop::sample::select(vec![" or ", " and ", ", ", " "]);
        (inner.clone(), joint, inner, any::<bool>()).prop_map(|(left, joint, right, closed)| {
            let both = format!("{left}{joint}{right}");
            if closed { format!("({both})") } else { both }
        })
    })
}

fn stage() -> impl Strategy<Value = String> {
    let line_op = prop::sample::select(vec!["|=", "!=", "|~", "!~"]);
    prop_oneof![
        (line_op, "[a-z.]{0,4}", "[a-z.]{0,4}", any::<bool>()).prop_map(|(op, a, b, two)| {
            format!(
                "{op} `{a}`{}",
                if two {
                    format!(" or `{b}`")
                } else {
                    String::new()
                }
            )
        }),
        label_filter().prop_map(|filter| format!("| {filter}")),
        prop::sample::select(vec![
            "| json",
            "| json a=\"b.c[0]\", d",
            "| logfmt --strict",
            "| logfmt a=\"b\"",
            "| regexp `(?P<a>.)`",
            "| pattern `<a> <_>`",
            "| unpack",
            "| decolorize",
            "| line_format `{{.a}}`",
            "| label_format a=b, c=`{{.d}}`",
            "| drop a, b=\"c\"",
            "| keep a, b=~\"c\"",
            "|> `<_>x`",
            "|= ip(\"10.0.0.1-10.0.0.9\")",
        ])
        .prop_map(str::to_owned),
    ]
}

fn metric() -> impl Strategy<Value = String> {
    let pipeline = (selector(), prop::collection::vec(stage(), 0..3));
    let grouping = prop::sample::select(vec!["", " by (a, b)", " without ()", " by ()"]);
    let range = (pipeline, grouping.clone(), 0u8..5).prop_map(|((selector, stages), by, kind)| {
        let log = format!("{selector} {}", stages.join(" "));
        match kind {
            0 => format!("rate({log} [5m])"),
            1 => format!("bytes_over_time({log} [1d] offset 90s)"),
            2 => format!("max_over_time({log} | unwrap a | b=\"c\" [1h]){by}"),
            3 => format!("quantile_over_time(0.5, {log} | unwrap bytes(a) [1h] offset -1h){by}"),
            _ => format!("absent_over_time({log} [90m])"),
        }
    });
    let leaf = prop_oneof![
        4 => range,
        1 => Just("vector(1.5)".to_owned()),
        1 => Just("-3".to_owned()),
    ];
    leaf.prop_recursive(4, 12, 2, move |inner| {
        let op = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "==",
            "> bool",
            "and",
            "or on (a)",
            "unless",
            "* ignoring (b) group_right (c)",
            "+ ignoring () group_left",
        ]);
        prop_oneof![
            (inner.clone(), grouping.clone(), 0u8..3).prop_map(|(inner, by, kind)| match kind {
                0 => format!("sum{by}({inner})"),
                1 => format!("topk(3, {inner}){by}"),
                _ => format!("label_replace({inner}, \"a\", \"$1\", \"b\", \"(.*)\")"),
            }),
            (inner.clone(), op, inner, any::<bool>()).prop_map(|(left, op, right, closed)| {
                if closed {
                    format!("({left} {op} {right})")
                } else {
                    format!("{left} {op} {right}")
                }
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_is_a_danger(text in ".{0,60}") {
        any_text(&text);
    }

    #[test]
    fn no_order_of_words_is_a_danger(words in prop::collection::vec(word(), 0..24)) {
        any_text(&words.join(" "));
        any_text(&words.concat());
    }

}

proptest! {
    // Building the stages takes its time.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn queries_are_read_again_as_they_were_written(query in metric()) {
        any_text(&query);
    }

    #[test]
    fn pipelines_are_read_again_as_they_were_written(
        selector in selector(),
        stages in prop::collection::vec(stage(), 0..6),
    ) {
        let query = format!("{selector} {}", stages.join(" "));
        prop_assert!(parse(&query).is_ok(), "{query}: {:?}", parse(&query));
        any_text(&query);
    }
}
