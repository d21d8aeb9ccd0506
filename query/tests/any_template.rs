//! Any text as a template, and any template that means something: nothing panics, and
//! everything ends soon and small.

use std::time::{Duration, Instant};

use kymo_query::template::alert::{AlertData, Expander, Prefix};
use kymo_query::template::logs::{self, Line};
use kymo_query::template::{Functions, Limits, MissingKey, Template};
use kymo_storage::model::Labels;
use proptest::prelude::*;

/// Far more than any of it takes, far less than what never ends.
const SOON: Duration = Duration::from_secs(10);

fn expand_alert(text: &str) -> Result<String, String> {
    let labels = Labels::from_pairs([("instance", "a:80"), ("job", "node"), ("n", "1.5")]);
    let data = AlertData::new(&labels, &labels, "http://a/b", 1234.5);
    let expander = Expander {
        name: "__alert_A",
        text,
        data: &data,
        now_ms: 1_700_000_000_000,
        external_url: "http://a/b",
        path_prefix: "/b",
        query: &|query, _| match query {
            "none" => Ok(Vec::new()),
            "fail" => Err("no answer".to_owned()),
            _ => Ok(vec![
                (labels.clone(), 1.0).into(),
                (Labels::empty(), 2.0).into(),
            ]),
        },
        prefix: Prefix::Alert,
    };
    expander.expand().map_err(|error| error.to_string())
}

fn format_line(text: &str) -> Result<Vec<u8>, String> {
    let template = Template::parse("line", text, Functions::LOGS).map_err(|e| e.to_string())?;
    let host = Line {
        line: b"a line \xff of bytes",
        timestamp_ns: 1_700_000_000_123_456_789,
        now_ns: 0,
    };
    let data = logs::labels([
        ("app", "x"),
        ("n", "-7"),
        ("json", "{\"a\":[1,{\"b\":null}]}"),
    ]);
    template
        .execute(data, &host, MissingKey::Zero, Limits::default())
        .map_err(|e| e.to_string())
}

fn bounded(text: &str) {
    let start = Instant::now();
    if let Ok(out) = expand_alert(text) {
        assert!(out.len() <= 3 * Limits::default().output_bytes);
    }
    if let Ok(out) = format_line(text) {
        assert!(out.len() <= Limits::default().output_bytes);
    }
    assert!(
        start.elapsed() < SOON,
        "{text:?} took {:?}",
        start.elapsed()
    );
}

#[test]
fn what_asks_for_too_much_is_refused() {
    for text in [
        "{{range 9223372036854775807}}{{end}}",
        "{{range 1000000000}}x{{end}}",
        "{{define \"t\"}}{{template \"t\" .}}{{end}}{{template \"t\"}}",
        "{{define \"t\"}}{{template \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}",
        "{{$x := printf \"%999999d\" 1}}{{range 99}}{{$x = print $x $x}}{{end}}",
        "{{$x := args 1}}{{range 100000}}{{$x = args $x}}{{end}}{{$x}}",
        "{{$x := args 1}}{{range 100}}{{$x = args $x $x $x}}{{end}}{{$x}}",
        "{{range 100000}}{{printf \"%1000000s\" \"\"}}{{end}}",
        "{{repeat 9223372036854775807 \"ab\"}}",
        "{{repeat 100000000 \"ab\"}}",
        "{{indent 100000000 \"ab\"}}",
        "{{$x := repeat 1000000 \"a\"}}{{range 1000000}}{{$y := upper $x}}{{end}}",
        "{{$x := repeat 1000000 \"a\"}}{{range 1000000}}{{$y := count \"(a|b)*c\" $x}}{{end}}",
        "{{$x := repeat 1000000 \"a\"}}{{replace \"\" $x $x}}",
        "{{alignLeft 1000000000 \"a\"}}",
    ] {
        let start = Instant::now();
        let alert = expand_alert(text);
        let line = format_line(text);
        assert!(alert.is_err() && line.is_err(), "{text}");
        assert!(start.elapsed() < SOON, "{text} took {:?}", start.elapsed());
    }
}

#[test]
fn nesting_is_bounded() {
    for (open, inside, close) in [
        ("{{", "(", ")}}"),
        ("", "{{if true}}", "{{end}}"),
        ("", "{{if false}}{{else if true}}", ""),
        ("{{if true}}", "{{else if true}}", "{{end}}"),
        ("{{with 1}}", "{{else with 1}}", "{{end}}"),
        ("", "{{range 1}}", "{{end}}"),
        ("", "{{block \"a\" .}}", "{{end}}"),
        ("{{", "(index ", "}}"),
        ("{{", "1|print ", "}}"),
        ("{{1", "|print ", "}}"),
        ("{{.", "a.", "a}}"),
    ] {
        for depth in [50, 1_000, 20_000] {
            bounded(&format!("{open}{}{close}", inside.repeat(depth)));
            if !inside.starts_with('{') {
                continue;
            }
            bounded(&format!(
                "{open}{}{}",
                inside.repeat(depth),
                close.repeat(depth)
            ));
        }
    }
}

/// Pieces that make a template likely to be one.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "{{",
        "}}",
        "{{- ",
        " -}}",
        "(",
        ")",
        "|",
        " ",
        "\n",
        ",",
        ":=",
        "=",
        ".",
        "$",
        "$x",
        "$labels",
        ".Labels",
        ".Value",
        ".app",
        ".n",
        ".json",
        "nil",
        "true",
        "0",
        "1",
        "-2",
        "1.5",
        "9223372036854775807",
        "'x'",
        "1i",
        "\"a\"",
        "\"%d%s\"",
        "`r`",
        "if",
        "else",
        "end",
        "range",
        "with",
        "define",
        "template",
        "block",
        "break",
        "continue",
        "print",
        "printf",
        "println",
        "len",
        "index",
        "slice",
        "eq",
        "lt",
        "and",
        "or",
        "not",
        "html",
        "js",
        "urlquery",
        "call",
        "query",
        "first",
        "value",
        "label",
        "humanize",
        "toTime",
        "toDuration",
        "args",
        "title",
        "match",
        "reReplaceAll",
        "sortByLabel",
        "__line__",
        "fromJson",
        "add",
        "divf",
        "round",
        "repeat",
        "trunc",
        "substr",
        "date",
        "toDate",
        "unixToTime",
        "now",
        "b64dec",
        "bytes",
    ];
    prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,3}",
    ]
}

/// An operand, for templates that parse.
fn operand() -> impl Strategy<Value = String> {
    let words = [
        ".",
        "$",
        "nil",
        "true",
        "0",
        "3",
        "-1",
        "2.5",
        "1e300",
        "'é'",
        "2i",
        "\"\"",
        "\"a:1\"",
        "\"%v|%5.1f\"",
        "\"2006-01-02\"",
        ".app",
        ".n",
        ".json",
        ".missing",
        ".missing.x",
        "\"(a\"",
        "\"1h\"",
        "\"{}\"",
    ];
    let leaf = prop::sample::select(words.to_vec()).prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let functions = [
            "print",
            "printf",
            "println",
            "len",
            "index",
            "slice",
            "eq",
            "ne",
            "lt",
            "ge",
            "and",
            "or",
            "not",
            "html",
            "js",
            "urlquery",
            "trunc",
            "substr",
            "repeat",
            "add",
            "sub",
            "mul",
            "div",
            "mod",
            "addf",
            "divf",
            "mulf",
            "round",
            "max",
            "minf",
            "int",
            "float64",
            "fromJson",
            "date",
            "toDate",
            "default",
            "alignLeft",
            "alignRight",
            "indent",
            "replace",
            "count",
            "regexReplaceAll",
            "title",
            "bytes",
            "duration",
            "unixToTime",
            "b64enc",
            "b64dec",
            "urldecode",
            "__timestamp__",
            "unixEpoch",
            "toDateInZone",
            "contains",
            "trimAll",
            "Replace",
            "ceil",
        ];
        let function = prop::sample::select(functions.to_vec());
        (function, prop::collection::vec(inner, 0..4))
            .prop_map(|(function, arguments)| format!("({function} {})", arguments.join(" ")))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        bounded(&text);
        bounded(&format!("{{{{{text}}}}}"));
    }

    #[test]
    fn any_pieces_are_answered(pieces in prop::collection::vec(piece(), 0..24)) {
        bounded(&pieces.concat());
        bounded(&format!("{{{{{}}}}}", pieces.join(" ")));
    }

    #[test]
    fn any_calls_are_answered(operand in operand(), other in operand()) {
        bounded(&format!("{{{{{operand} | print {other}}}}}"));
        bounded(&format!("{{{{range $i, $x := {operand}}}}}{{{{$x}}}}{{{{end}}}}"));
        bounded(&format!("{{{{$x := {operand}}}}}{{{{with {other}}}}}{{{{$x}}}}{{{{.}}}}{{{{end}}}}"));
    }
}
