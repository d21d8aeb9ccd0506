//! `logql/http`: the same cases through a real server: pushed, asked, and read as JSON.
//!
//! A server takes nothing that is a week old, so everything is moved by whole days to
//! yesterday, and what is answered is moved back.

use std::time::{SystemTime, UNIX_EPOCH};

use kymo_tests::{Answer, Kymo};
use serde_json::{Value, json};

use crate::corpus::{self, Score, field};

const DAY_S: i64 = 86_400;
const NS: i64 = 1_000_000_000;

#[test]
fn logql_http() {
    let Some(documents) = corpus::documents("logql") else {
        return;
    };
    let mut score = Score::new("logql/http");
    for (_, document) in &documents {
        let kymo = Kymo::start(&[]);
        let shift_s = shift_s(&document["streams"]);
        push(&kymo, &document["streams"], shift_s);
        for case in document["cases"].as_array().into_iter().flatten() {
            let params = &case["params"];
            let name = format!("{} {}", field(params, "query"), field(params, "direction"));
            let answer = ask(&kymo, case, shift_s);
            score.count(&name, judge(&answer, case, shift_s));
        }
    }
    score.finish();
}

/// Returns the whole days, in seconds, by which the newest entry comes to lie more than one
/// day and less than three days back.
fn shift_s(streams: &Value) -> i64 {
    let streams = streams.as_array().unwrap().iter();
    let times = streams.flat_map(|stream| stream["values"].as_array().unwrap());
    let times = times.map(|entry| entry[0].as_str().unwrap().parse::<i64>().unwrap());
    let newest_s = times.max().unwrap() / NS;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_s = now.as_secs() as i64;
    ((now_s - newest_s).div_euclid(DAY_S) - 1) * DAY_S
}

fn push(kymo: &Kymo, streams: &Value, shift_s: i64) {
    let mut body = json!({ "streams": streams });
    for stream in body["streams"].as_array_mut().unwrap() {
        for entry in stream["values"].as_array_mut().unwrap() {
            entry[0] = json!(moved(entry[0].as_str().unwrap(), shift_s * NS));
        }
    }
    let headers = [("Content-Type", "application/json")];
    let (path, body) = ("/loki/api/v1/push", body.to_string());
    let answer = kymo.client().call("POST", path, &headers, body.as_bytes());
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn moved(text: &str, by: i64) -> String {
    (text.parse::<i64>().unwrap() + by).to_string()
}

fn ask(kymo: &Kymo, case: &Value, shift_s: i64) -> Answer {
    let params = case["params"].as_object().unwrap().iter();
    let params: Vec<(&str, String)> = params
        .map(|(name, value)| {
            let text = value.as_str().map_or(value.to_string(), str::to_owned);
            match name.as_str() {
                "start" | "end" | "time" => (name.as_str(), moved(&text, shift_s * NS)),
                name => (name, text),
            }
        })
        .collect();
    let params: Vec<(&str, &str)> = params
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    kymo.client().post_form(field(case, "path"), &params)
}

fn judge(answer: &Answer, case: &Value, shift_s: i64) -> Result<(), String> {
    let status = case["status"].as_u64().unwrap();
    if u64::from(answer.status) != status {
        let text = answer.text();
        return Err(format!(
            "status {} instead of {status}: {text}",
            answer.status
        ));
    }
    if status != 200 {
        let (said, wanted) = (answer.text(), field(case, "error").trim_end());
        return match said.trim_end() == wanted {
            true => Ok(()),
            false => Err(format!("said {said:?} instead of {wanted:?}")),
        };
    }
    let mut data = answer.json()["data"].take();
    let wanted = &case["data"];
    if data["resultType"] != wanted["resultType"] {
        return Err(format!(
            "a {} instead of a {}",
            data["resultType"], wanted["resultType"]
        ));
    }
    move_back(&mut data, shift_s);
    let sorted = |data: &Value| {
        let mut items = data["result"].as_array().cloned().unwrap();
        // Vectors are in the order that the query asks for.
        if data["resultType"] != "vector" && data["resultType"] != "scalar" {
            items.sort_by_key(|item| labels_of(item).to_string());
        }
        items
    };
    let (got, wanted) = (sorted(&data), sorted(wanted));
    let pairs = got.iter().zip(&wanted);
    match pairs.into_iter().find(|(got, wanted)| !same(got, wanted)) {
        None if got.len() == wanted.len() => Ok(()),
        None => Err(format!("{} items instead of {}", got.len(), wanted.len())),
        Some((got, wanted)) => Err(difference(got, wanted)),
    }
}

/// Says where two items part: in their labels, or from which value on.
fn difference(got: &Value, wanted: &Value) -> String {
    if labels_of(got) != labels_of(wanted) {
        return format!("{}\ninstead of {}", labels_of(got), labels_of(wanted));
    }
    let values = |item: &Value| item["values"].as_array().cloned().unwrap_or_default();
    let (got, wanted) = (values(got), values(wanted));
    let at = got
        .iter()
        .zip(&wanted)
        .position(|(got, wanted)| !same(got, wanted));
    let at = at.unwrap_or(got.len().min(wanted.len()));
    let shown = |values: &[Value]| {
        values
            .get(at)
            .map_or("nothing".to_owned(), Value::to_string)
    };
    format!("at {at}: {}\ninstead of {}", shown(&got), shown(&wanted))
}

fn labels_of(item: &Value) -> &Value {
    item.get("stream").unwrap_or(&item["metric"])
}

/// Moves the times of an answer back to those of the case.
fn move_back(data: &mut Value, shift_s: i64) {
    let kind = data["resultType"].as_str().unwrap().to_owned();
    let Some(items) = data["result"].as_array_mut() else {
        return;
    };
    if kind == "scalar" {
        items[0] = json!(items[0].as_i64().unwrap() - shift_s * 1000);
        return;
    }
    for item in items {
        let points: Vec<&mut Value> = match item.get("value").is_some() {
            true => vec![&mut item["value"]],
            false => item["values"].as_array_mut().unwrap().iter_mut().collect(),
        };
        for point in points {
            point[0] = match &point[0] {
                Value::String(ns) => json!(moved(ns, -shift_s * NS)),
                seconds => json!(seconds.as_f64().unwrap() - shift_s as f64),
            };
        }
    }
}

/// Tells whether two answers are the same: numbers to a billionth, all else to the letter.
fn same(got: &Value, wanted: &Value) -> bool {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => {
            let mut pairs = got.iter().zip(wanted);
            got.len() == wanted.len() && pairs.all(|(g, w)| g.0 == w.0 && same(g.1, w.1))
        }
        (Value::Array(got), Value::Array(wanted)) => {
            let mut pairs = got.iter().zip(wanted);
            got.len() == wanted.len() && pairs.all(|(got, wanted)| same(got, wanted))
        }
        (Value::Number(got), Value::Number(wanted)) => {
            near(got.as_f64().unwrap(), wanted.as_f64().unwrap())
        }
        (Value::String(got), Value::String(wanted)) => {
            got == wanted
                || match (got.parse::<f64>(), wanted.parse::<f64>()) {
                    // Times are digits alone, and exact.
                    (Ok(g), Ok(w)) => got.len() < 19 && near(g, w),
                    _ => false,
                }
        }
        _ => got == wanted,
    }
}

fn near(got: f64, wanted: f64) -> bool {
    got == wanted || (got - wanted).abs() <= 1e-9 * wanted.abs() || got.is_nan() && wanted.is_nan()
}
