//! Answers of the HTTP API, and how two of them differ.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::grammar::Order;
use crate::http::Answer as HttpAnswer;

/// Values that differ by less, in parts of themselves, are the same but for the order in
/// which they were added up, which is open where many series become one.
const RELATIVE: f64 = 1e-12;

/// An answer of either side.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, where it is no JSON: the text of an error.
    pub text: String,
    /// Type and result, without what it cost.
    pub data: Value,
    /// Words about the answer.
    pub warnings: Value,
}

/// How many numbers were compared, and how many were equal as texts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers {
    /// Compared.
    pub compared: u64,
    /// Equal as texts.
    pub same: u64,
}

impl Answer {
    /// Takes an answer.
    pub fn of_api(answer: &HttpAnswer) -> Answer {
        let mut parsed: Value = match serde_json::from_slice(&answer.body) {
            Ok(parsed @ Value::Object(_)) if answer.status == 200 => parsed,
            _ => {
                return Answer {
                    status: answer.status,
                    text: answer.text().trim_end().to_owned(),
                    data: Value::Null,
                    warnings: Value::Null,
                };
            }
        };
        if let Some(data) = parsed["data"].as_object_mut() {
            data.remove("stats");
        }
        Answer {
            status: answer.status,
            text: String::new(),
            data: parsed["data"].take(),
            warnings: parsed["warnings"].take(),
        }
    }

    /// Puts entries with categories into the streams they were pushed to. A Loki that does
    /// not shard its queries tells categories, but leaves all labels in the streams.
    pub fn by_pushed_stream(&mut self, is_forward: bool) {
        if self.data["encodingFlags"].is_null() {
            return;
        }
        let mut streams: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
        for item in self.items() {
            for entry in item["values"].as_array().into_iter().flatten() {
                let mut stream = item["stream"].clone();
                for category in ["structuredMetadata", "parsed"] {
                    for name in entry[2][category].as_object().into_iter().flatten() {
                        stream.as_object_mut().map(|labels| labels.remove(name.0));
                    }
                }
                let of_stream = streams.entry(stream.to_string());
                let (_, entries) = of_stream.or_insert((stream, Vec::new()));
                entries.push(entry.clone());
            }
        }
        let streams = streams.into_values().map(|(stream, mut entries)| {
            entries.sort_by_key(|entry| entry[0].to_string());
            if !is_forward {
                entries.reverse();
            }
            json!({"stream": stream, "values": entries})
        });
        self.data["result"] = streams.collect();
    }

    /// Returns the answer with all labels of an entry in one category.
    pub fn without_categories(&self) -> Answer {
        let mut answer = self.clone();
        let items = answer.data["result"].as_array_mut().into_iter().flatten();
        for item in items {
            for entry in item["values"].as_array_mut().into_iter().flatten() {
                let Some(categories) = entry.get_mut(2) else {
                    continue;
                };
                let all = ["structuredMetadata", "parsed"].map(|name| categories[name].take());
                let all = all.iter().filter_map(Value::as_object).flatten();
                *categories = all
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
            }
        }
        answer
    }

    /// Returns the answer with its series in the order of their labels.
    pub fn in_order(&self) -> Answer {
        let mut answer = self.clone();
        if let Some(items) = answer.data["result"].as_array_mut() {
            items.sort_by_key(labels_of);
        }
        answer
    }

    /// Tells whether it is an error.
    pub fn is_error(&self) -> bool {
        self.status != 200
    }

    /// Tells whether nothing was found.
    pub fn is_empty(&self) -> bool {
        let result = self.data["result"].as_array();
        result.is_some_and(Vec::is_empty)
    }

    /// Tells whether two series have the same labels.
    pub fn has_equal_series(&self) -> bool {
        let mut names: Vec<String> = self.items().iter().map(labels_of).collect();
        let n = names.len();
        names.sort();
        names.dedup();
        names.len() < n
    }

    /// Tells whether an entry has an error of no kind that there is.
    pub fn has_overwritten_error(&self) -> bool {
        const KINDS: &[&str] = &[
            "JSONParserErr",
            "LogfmtParserErr",
            "SampleExtractionErr",
            "LabelFilterErr",
            "TemplateFormatErr",
        ];
        let mut items = self.items().iter();
        items.any(|item| {
            let error = item["stream"]["__error__"].as_str();
            error.is_some_and(|error| !KINDS.contains(&error))
        })
    }

    fn items(&self) -> &[Value] {
        self.data["result"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// Compares two answers. Says how they differ, if they do.
///
/// The order of series is looked at as far as there is one.
pub fn difference(
    ours: &Answer,
    theirs: &Answer,
    order: Order,
    numbers: &mut Numbers,
) -> Option<String> {
    if ours.status != theirs.status || ours.text != theirs.text {
        return Some(format!("ours   {}\ntheirs {}", brief(ours), brief(theirs)));
    }
    if ours.warnings != theirs.warnings {
        let (l, r) = (&ours.warnings, &theirs.warnings);
        return Some(format!("warnings: ours {l}\ntheirs {r}"));
    }
    let kind = |answer: &Answer| answer.data["resultType"].clone();
    if kind(ours) != kind(theirs) || ours.data["encodingFlags"] != theirs.data["encodingFlags"] {
        return Some(format!("ours   {}\ntheirs {}", brief(ours), brief(theirs)));
    }
    if kind(ours) == "scalar" {
        let (l, r) = (&ours.data["result"], &theirs.data["result"]);
        return (l != r).then(|| format!("ours {l}, theirs {r}"));
    }
    let (mut l, mut r) = (ours.items().to_vec(), theirs.items().to_vec());
    if order != Order::Labels && kind(ours) == "vector" {
        let wrong = l.iter().zip(&r).find(|(l, r)| {
            let (l, r) = (&l["value"], &r["value"]);
            order == Order::Values && !same_point(l, r, &mut Numbers::default())
        });
        if let Some((l, r)) = wrong {
            return Some(format!("order of values differs: ours {l}, theirs {r}"));
        }
        l.sort_by_key(labels_of);
        r.sort_by_key(labels_of);
    }
    let names = |items: &[Value]| -> Vec<String> { items.iter().map(labels_of).collect() };
    let (l_names, r_names) = (names(&l), names(&r));
    if l_names != r_names {
        let only = |a: &[String], b: &[String]| -> Vec<String> {
            let only = a.iter().filter(|name| !b.contains(name));
            only.take(5).cloned().collect()
        };
        let (l_only, r_only) = (only(&l_names, &r_names), only(&r_names, &l_names));
        return Some(match l_only.is_empty() && r_only.is_empty() {
            true => format!("order differs:\nours   {l_names:?}\ntheirs {r_names:?}"),
            false => format!("labels:\nours only   {l_only:#?}\ntheirs only {r_only:#?}"),
        });
    }
    let mut pairs = l.iter().zip(&r);
    pairs.find_map(|(l, r)| item_difference(l, r, numbers))
}

fn item_difference(ours: &Value, theirs: &Value, numbers: &mut Numbers) -> Option<String> {
    let labels = labels_of(ours);
    if !ours["value"].is_null() || !theirs["value"].is_null() {
        let (l, r) = (&ours["value"], &theirs["value"]);
        return (!same_point(l, r, numbers)).then(|| format!("{labels}: ours {l}, theirs {r}"));
    }
    let values = |item: &Value| item["values"].as_array().cloned().unwrap_or_default();
    let (mut l, mut r) = (values(ours), values(theirs));
    let is_log = ours["stream"].is_object();
    if !is_log {
        // Points of one time are in no order.
        sort_points(&mut l);
        sort_points(&mut r);
    }
    let mut pairs = l.iter().zip(&r);
    let wrong = pairs.find(|(l, r)| match is_log {
        true => l != r,
        false => !same_point(l, r, numbers),
    });
    match wrong {
        Some((l, r)) => Some(format!("{labels}:\nours   {l}\ntheirs {r}")),
        None if l.len() == r.len() => None,
        None => Some(format!(
            "{labels}: {} values, {} theirs: {:?} {:?}",
            l.len(),
            r.len(),
            l.last(),
            r.last()
        )),
    }
}

fn sort_points(points: &mut [Value]) {
    let key = |point: &Value| {
        let number = |text: Option<f64>| text.unwrap_or(f64::NAN);
        let value = point[1].as_str().and_then(|text| text.parse().ok());
        (number(point[0].as_f64()), number(value))
    };
    points.sort_by(|a, b| {
        let ((a_t, a), (b_t, b)) = (key(a), key(b));
        a_t.total_cmp(&b_t).then(a.total_cmp(&b))
    });
}

fn same_point(ours: &Value, theirs: &Value, numbers: &mut Numbers) -> bool {
    numbers.compared += 1;
    if ours == theirs {
        numbers.same += 1;
        return true;
    }
    let number = |point: &Value| point[1].as_str().and_then(|text| text.parse::<f64>().ok());
    let (Some(l), Some(r)) = (number(ours), number(theirs)) else {
        return false;
    };
    ours[0] == theirs[0] && (l - r).abs() <= RELATIVE * l.abs().max(r.abs())
}

fn labels_of(item: &Value) -> String {
    let labels = match item["metric"].is_null() {
        true => &item["stream"],
        false => &item["metric"],
    };
    labels.to_string()
}

fn brief(answer: &Answer) -> String {
    let text = match answer.is_error() {
        true => answer.text.clone(),
        false => answer.data.to_string(),
    };
    let text: String = text.chars().take(600).collect();
    format!("{} {text}", answer.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer::of_api(&HttpAnswer {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        })
    }

    fn vector(items: &[(&str, &str)]) -> Answer {
        let items = items
            .iter()
            .map(|(app, value)| format!(r#"{{"metric":{{"app":"{app}"}},"value":[1,"{value}"]}}"#));
        let items: Vec<String> = items.collect();
        let result = items.join(",");
        let data = format!(r#"{{"resultType":"vector","result":[{result}],"stats":{{}}}}"#);
        answer(200, &format!(r#"{{"status":"success","data":{data}}}"#))
    }

    #[test]
    fn texts_order_and_numbers_are_compared() {
        let mut numbers = Numbers::default();
        let mut differs =
            |l: &Answer, r: &Answer| difference(l, r, Order::Labels, &mut numbers).is_some();
        let two = vector(&[("a", "1"), ("b", "0.3")]);
        assert!(!differs(&two, &two));
        assert!(!differs(
            &two,
            &vector(&[("a", "1"), ("b", "0.30000000000000004")])
        ));
        assert!(differs(&two, &vector(&[("a", "1"), ("b", "0.3001")])));
        assert!(differs(&two, &vector(&[("b", "0.3"), ("a", "1")])));
        assert!(differs(&two, &vector(&[("a", "1")])));
        assert!(differs(&two, &answer(400, "no")));
        assert!(!differs(&answer(400, "no"), &answer(400, "no\n")));
        assert!(differs(&answer(400, "no"), &answer(500, "no")));
        assert_eq!((numbers.compared, numbers.same), (6, 4));
        let (tie, other) = (
            vector(&[("a", "1"), ("b", "1")]),
            vector(&[("b", "1"), ("a", "1")]),
        );
        assert!(difference(&tie, &other, Order::Values, &mut numbers).is_none());
        let other = vector(&[("b", "1"), ("a", "2")]);
        assert!(difference(&tie, &other, Order::Values, &mut numbers).is_some());
    }
}
