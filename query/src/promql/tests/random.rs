//! Prints of random queries come back, and no text makes the parser panic.

use proptest::prelude::*;

use crate::promql::{
    Features, expr_json, parse_expr, parse_metric, parse_selector, parse_series, pretty,
};

/// Words and signs of the language, to be thrown together.
const PIECES: &[&str] = &[
    "a",
    "sum",
    "by",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "\"b\"",
    "'c",
    "`",
    "=",
    "=~",
    "!=",
    "!~",
    "==",
    "bool",
    "on",
    "ignoring",
    "group_left",
    "fill(1)",
    "offset",
    "@",
    "start",
    "end",
    "()",
    "5m",
    "1",
    "0x",
    "1e",
    ".",
    ":",
    ",",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "</",
    ">/",
    "and",
    "or",
    "unless",
    "rate",
    "topk",
    "without",
    "anchored",
    "smoothed",
    "step()",
    "range()",
    "max_of",
    "inf",
    "nan",
    "#",
    "\n",
    " ",
    "\\",
    "é",
    "\u{fffd}",
    "{{",
    "}}",
    "x",
    "_",
    "stale",
    "schema:",
    "buckets:[",
    "sum:",
    "@st",
];

fn duration() -> impl Strategy<Value = String> {
    let literal = prop_oneof![
        Just("5m".to_owned()),
        Just("1h30m".to_owned()),
        Just("90".to_owned()),
        Just("0.5".to_owned()),
        Just("step()".to_owned()),
        Just("range()".to_owned()),
    ];
    literal.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), "[-+*/%^]", inner.clone())
                .prop_map(|(l, op, r)| format!("{l} {op} {r}")),
            inner.clone().prop_map(|d| format!("({d})")),
            inner.clone().prop_map(|d| format!("-{d}")),
            (inner.clone(), inner).prop_map(|(l, r)| format!("max_of({l},{r})")),
        ]
    })
}

fn offset() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("".to_owned()),
        "[-+]?[1-9][0-9]?[smhdwy]".prop_map(|d| format!(" offset {d}")),
    ]
}

/// Prometheus reads an operator behind `offset (5m)` as part of the duration, its own
/// print included, so an offset in parentheses stands only before a parenthesis.
fn offset_before_paren() -> impl Strategy<Value = String> {
    prop_oneof![offset(), duration().prop_map(|d| format!(" offset ({d})"))]
}

fn modifiers(offset: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let at = prop_oneof![
        Just("".to_owned()),
        Just(" @ start()".to_owned()),
        (-1e9..1e9).prop_map(|t: f64| format!(" @ {t}")),
    ];
    // An expression as offset prints behind the `@`, whatever stood first.
    (at, offset, any::<bool>())
        .prop_map(|(at, offset, first)| if first { at + &offset } else { offset + &at })
}

fn selector() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[a-z_:][a-z0-9_:]{0,5}",
        "sum|by|offset|start|fill|anchored"
    ];
    let value = "[ -~é\n]{0,6}".prop_map(|text| kymo_storage::compat::quote::quote(&text));
    let label = prop_oneof![
        "[a-z_]{1,3}".boxed(),
        "[ -~é]{1,4}"
            .prop_map(|text| kymo_storage::compat::quote::quote(&text))
            .boxed(),
    ];
    let matcher = prop_oneof![
        (label.clone(), "=|!=", value.clone()).prop_map(|(n, op, v)| format!("{n}{op}{v}")),
        (label, "=~|!~", "[a-z.*|]{0,4}").prop_map(|(n, op, v)| format!("{n}{op}\"{v}\"")),
    ];
    let matchers = proptest::collection::vec(matcher, 0..3);
    (name, matchers).prop_map(|(name, matchers)| format!("{name}{{{}}}", matchers.join(",")))
}

fn grouping() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        "[a-z_]{1,3}",
        "\"[ -!#-\\[\\]-~]{1,3}\"",
        "by|on|sum|bool|offset"
    ];
    proptest::collection::vec(label, 0..3).prop_map(|labels| format!("({})", labels.join(", ")))
}

/// An expression that is an instant vector or a scalar.
fn expr() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => (selector(), modifiers(offset())).prop_map(|(s, m)| s + &m),
        1 => any::<f64>().prop_map(|n| n.to_string()),
        1 => "[1-9][0-9]{0,2}[smhdw]",
        2 => (selector(), duration(), modifiers(offset_before_paren()))
            .prop_map(|(s, d, m)| format!("rate({s}[{d}]{m})")),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        let op = "[-+*/%^]|and|or|unless|== bool|>|</|atan2|\\+ on \\(a\\)|/ ignoring \\(b\\) group_left|\\* fill_left\\(-1\\)|- on \\(\\) group_right \\(\"c d\"\\) fill\\(2\\)";
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
            inner.clone().prop_map(|e| format!("({e})")),
            inner.clone().prop_map(|e| format!("-{e}")),
            (inner.clone(), grouping()).prop_map(|(e, g)| format!("sum by {g} ({e})")),
            (inner.clone(), grouping()).prop_map(|(e, g)| format!("quantile(0.5, {e}) without {g}")),
            inner.clone().prop_map(|e| format!("clamp_max({e}, 5)")),
            (inner, duration(), modifiers(offset_before_paren()))
                .prop_map(|(e, d, m)| format!("max_over_time(({e})[{d}:]{m})")),
        ]
    })
}

proptest! {
    #[test]
    fn prints_of_random_queries_come_back(query in expr()) {
        // Types may not fit; then there is nothing to print.
        if let Ok(expr) = parse_expr(&query, &Features::ALL) {
            let printed = expr.to_string();
            for text in [&printed, &pretty(&expr)] {
                let again = parse_expr(text, &Features::ALL);
                prop_assert!(again.is_ok(), "{query}\n{text}\n{again:?}");
                let again = again.unwrap();
                prop_assert_eq!(again.to_string(), printed.clone());
                prop_assert_eq!(again.value_type(), expr.value_type());
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..24),
        bytes in proptest::collection::vec(any::<u8>(), 0..32),
    ) {
        let text = pieces.concat();
        for input in [text.as_bytes(), bytes.as_slice()] {
            if let Ok(expr) = parse_expr(input, &Features::ALL) {
                pretty(&expr);
                expr_json(&expr);
            }
            let _ = parse_selector(input, &Features::default());
            let _ = parse_metric(input);
            let _ = parse_series(input);
        }
    }
}
