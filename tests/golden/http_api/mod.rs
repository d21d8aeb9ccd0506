//! `http-api`: calls of the HTTP API against a real server, section by section as the
//! corpus tells. What a message says is counted apart, as `http-api/wording`.

mod compare;
mod sections;

use flate2::read::GzDecoder;
use kymo_tests::{Answer, Client};
use serde_json::Value;
use std::io::Read;

use crate::corpus::{self, Score};
use compare::{Outcome, Rules};

#[test]
fn http_api() {
    let Some(folder) = corpus::folder("http-api") else {
        return;
    };
    let mut shape = Score::new("http-api");
    let mut wording = Score::new("http-api/wording");
    for (_, document) in corpus::documents("http-api").unwrap_or_default() {
        let cases = document["cases"].as_array().unwrap();
        let mut names: Vec<&str> = cases
            .iter()
            .map(|case| corpus::field(case, "section"))
            .collect();
        names.dedup();
        for name in names {
            let section = sections::start(name, &folder, &document);
            for case in cases.iter().filter(|case| case["section"] == *name) {
                let outcome = ask(section.client(), case);
                let id = format!("{} {}", corpus::field(case, "id"), call_of(case));
                for (said, expected) in outcome.messages {
                    let same = said == expected;
                    let difference = || format!("said {said:?}\nexpected {expected:?}");
                    wording.count(&id, if same { Ok(()) } else { Err(difference()) });
                }
                match outcome.difference {
                    None => shape.count(&id, Ok::<(), String>(())),
                    Some(difference) => shape.count(&id, Err(difference)),
                }
            }
        }
    }
    wording.finish();
    shape.finish();
}

fn call_of(case: &Value) -> String {
    let (method, target) = (corpus::field(case, "method"), target(case));
    let note = corpus::field(case, "note");
    let note = if note.is_empty() {
        String::new()
    } else {
        format!(" ({note})")
    };
    format!("{method} {target}{note}")
}

fn target(case: &Value) -> String {
    let (path, query) = (corpus::field(case, "path"), corpus::field(case, "query"));
    match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

fn ask(client: Client, case: &Value) -> Outcome {
    let body = match case.get("bodyBase64") {
        Some(code) => corpus::bytes(&serde_json::json!({ "base64": code })).unwrap(),
        None => corpus::field(case, "body").as_bytes().to_vec(),
    };
    let headers: Vec<(&str, &str)> = case
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let method = corpus::field(case, "method");
    let answer = match client.try_call(method, &target(case), &headers, &body) {
        Ok(answer) => answer,
        Err(error) => return Outcome::failed(format!("no answer: {error}")),
    };
    judge(&unpacked(answer), case)
}

fn unpacked(mut answer: Answer) -> Answer {
    if answer.header("content-encoding") == Some("gzip") {
        let mut plain = Vec::new();
        GzDecoder::new(&answer.body[..])
            .read_to_end(&mut plain)
            .unwrap();
        answer.body = plain;
    }
    answer
}

fn judge(answer: &Answer, case: &Value) -> Outcome {
    let expected = &case["answer"];
    if expected["status"] != answer.status {
        let difference = format!(
            "status {} instead of {}: {}",
            answer.status,
            expected["status"],
            shortened(&answer.text())
        );
        return Outcome::failed(difference);
    }
    let plain = |text: &str| text.to_lowercase().replace(' ', "");
    let content_type = plain(answer.header("content-type").unwrap_or(""));
    let expected_type = plain(corpus::field(expected, "contentType"));
    if content_type != expected_type {
        return Outcome::failed(format!(
            "content type {content_type} instead of {expected_type}"
        ));
    }
    let headers = expected.get("headers").and_then(Value::as_object);
    for (name, value) in headers.into_iter().flatten() {
        let found = answer.header(&name.to_lowercase());
        if found != value.as_str() {
            return Outcome::failed(format!("header {name} is {found:?} instead of {value}"));
        }
    }
    if expected.get("bodyNotKept").is_some() {
        return Outcome::default();
    }
    let rules = Rules::of(case);
    match expected.get("json") {
        Some(expected) => match serde_json::from_slice(&answer.body) {
            Ok(json) => rules.compare_json(&json, expected),
            Err(error) => Outcome::failed(format!("no JSON: {error}")),
        },
        None => rules.compare_text(
            &answer.text(),
            corpus::field(expected, "text"),
            answer.status,
        ),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
