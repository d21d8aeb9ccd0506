//! The template language against what Go made of it: texts with the output or the
//! error of `text/template`, recorded once and kept beside this file.
//!
//! Each line is a JSON list: what a missing key gives, the text, the output, the error.
#![allow(
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::sync::Arc;

use kymo_query::template::{
    ANY_LIST, ANY_MAP, Functions, Limits, List, Map, MissingKey, NoHost, STRING_LIST, STRING_MAP,
    Template, Text, Type, Value,
};

const RECORDED: &str = include_str!("recorded.jsonl");

fn list(kind: &'static kymo_query::template::NamedType, items: Vec<Value>) -> Value {
    Value::List(Arc::new(List::new(kind, items).unwrap()))
}

fn map(kind: &'static kymo_query::template::NamedType, entries: &[(&str, Value)]) -> Value {
    let entries = entries
        .iter()
        .map(|(name, value)| (Text::from(*name), value.clone()))
        .collect();
    Value::Map(Arc::new(Map::new(kind, entries).unwrap()))
}

fn data() -> Value {
    let nothing = Value::Nil(Type::Any);
    let items = vec![
        Value::int(1),
        Value::from("two"),
        Value::Float(3.0),
        nothing.clone(),
    ];
    let inner = map(&ANY_MAP, &[("y", Value::int(1))]);
    let labels = [("job", Value::from("node")), ("inst", Value::from("a<b>"))];
    map(
        &ANY_MAP,
        &[
            ("s", Value::from("hello")),
            ("n", Value::int(42)),
            ("f", Value::Float(1.5)),
            ("b", Value::Bool(true)),
            ("nil", nothing),
            ("empty", Value::from("")),
            ("list", list(&ANY_LIST, items)),
            (
                "words",
                list(&STRING_LIST, vec![Value::from("a"), Value::from("b")]),
            ),
            ("m", map(&ANY_MAP, &[("k", Value::from("v")), ("x", inner)])),
            ("labels", map(&STRING_MAP, &labels)),
        ],
    )
}

fn run(missing_key: &str, text: &str) -> Result<String, String> {
    let missing_key = match missing_key {
        "zero" => MissingKey::Zero,
        "error" => MissingKey::Error,
        _ => MissingKey::Invalid,
    };
    let template = Template::parse("t", text, Functions::BUILTIN).map_err(|e| e.to_string())?;
    let out = template
        .execute(data(), &NoHost, missing_key, Limits::default())
        .map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn templates_do_what_they_do_in_go() {
    let mut differences = Vec::new();
    let mut count = 0;
    for line in RECORDED.lines() {
        let [missing_key, text, output, error]: [String; 4] = serde_json::from_str(line).unwrap();
        count += 1;
        let want = if error.is_empty() {
            Ok(output)
        } else {
            Err(error)
        };
        let got = run(&missing_key, &text);
        if got != want {
            differences.push(format!(
                "{missing_key} {text:?}\n  want {want:?}\n  got  {got:?}"
            ));
        }
    }
    assert!(count > 1000, "only {count} templates are recorded");
    assert!(
        differences.is_empty(),
        "{} of {count} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// Layouts and texts of times, each with a zone: how the time that Go read prints, and
/// how it prints in its layout and in one with every element.
const TIMES: &str = include_str!("times.jsonl");

const EVERY_ELEMENT: &str = "Monday Mon January Jan 2 _2 02 002 __2 1 01 15 3 03 4 04 5 05 06 2006 \
                             PM pm MST Z0700 Z07:00 Z07 -0700 -07:00 -07 .000 .999 ,00 .999999999";

#[test]
fn times_are_read_and_written_as_in_go() {
    let text = format!(
        "{{{{$t := toDateInZone .layout .zone .text}}}}{{{{$t}}}}\n\
         {{{{$t.Format .layout}}}}|{{{{$t.Format \"{EVERY_ELEMENT}\"}}}}|"
    );
    let template = Template::parse("t", &text, Functions::LOGS).unwrap();
    let host = kymo_query::template::logs::Line {
        line: b"",
        timestamp_ns: 0,
        now_ns: 0,
    };
    let mut differences = Vec::new();
    for line in TIMES.lines() {
        let [layout, zone, text, printed, formatted]: [String; 5] =
            serde_json::from_str(line).unwrap();
        let data = kymo_query::template::logs::labels([
            ("layout", layout.as_str()),
            ("zone", zone.as_str()),
            ("text", text.as_str()),
        ]);
        let out = template
            .execute(data, &host, MissingKey::Zero, Limits::default())
            .unwrap();
        let out = String::from_utf8(out).unwrap();
        let (got_printed, got_formatted) = out.split_once('\n').unwrap();
        // Where Go could not read the text, only the zero time was recorded.
        if got_printed != printed || !(formatted.is_empty() || got_formatted == formatted) {
            differences.push(format!(
                "{layout:?} {zone} {text:?}\n  want {printed} {formatted}\n  got  {got_printed} {got_formatted}"
            ));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
