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
