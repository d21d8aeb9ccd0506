//! Templates of alerts, expanded as rules do. HTML, which only consoles had, is
//! counted apart.

use kymo_query::template::Sample;
use kymo_query::template::alert::{AlertData, Expander, Prefix, SampleValue};
use kymo_storage::compat::float;
use kymo_storage::model::Labels;
use kymo_storage::model::histogram::{Buckets, FloatHistogram, Span};
use serde_json::Value;

use crate::corpus::{self, Score, field};

#[test]
fn alert_templates() {
    let Some(documents) = corpus::documents("template") else {
        return;
    };
    let mut score = Score::new("template");
    let mut errors = Score::new("template/errors");
    let mut html = Score::new("template/html");
    for (_, document) in &documents {
        for case in document["cases"].as_array().into_iter().flatten() {
            let name = format!("{} {}", case["mode"], case["template"]);
            let outcome = judge(document, case);
            if field(case, "mode") == "html" {
                html.count(name, outcome);
                continue;
            }
            if case.get("error").is_some() {
                errors.count(&name, outcome.clone());
            }
            score.count(name, outcome);
        }
    }
    score.finish();
    errors.finish();
    html.finish();
}

fn judge(document: &Value, case: &Value) -> Result<(), String> {
    let mode = field(case, "mode");
    let context = &document["contexts"][field(case, "context")];
    let value = field(case, "value");
    let value = match value {
        "histogram" => sample_value(&document["queries"]["hist"]["result"][0])?,
        number => float::parse(number)
            .map_err(|error| error.to_string())?
            .into(),
    };
    let external_url = field(context, "external_url");
    let data = AlertData::from_pairs(
        pairs(&context["labels"]),
        pairs(&context["external_labels"]),
        external_url,
        value,
    );
    let path = external_url.split_once("//").map_or("", |(_, rest)| rest);
    let path = path.find('/').map_or("", |at| &path[at..]);
    let path = path
        .split(['?', '#'])
        .next()
        .unwrap_or("")
        .replace("%20", " ");
    let text = corpus::text(&case["template"]).ok_or("the template is not UTF-8")?;
    let expander = Expander {
        name: field(&document["names"], mode),
        text: &text,
        data: &data,
        now_ms: document["timestamp_ms"].as_i64().unwrap_or(0),
        external_url,
        path_prefix: &path,
        query: &|query, _| answer(&document["queries"], query),
        prefix: match mode {
            "alert" => Prefix::Alert,
            _ => Prefix::None,
        },
    };
    let got = expander.expand_bytes().map_err(|error| error.to_string());
    let want = match case.get("error") {
        Some(error) => Err(error.as_str().unwrap_or("").to_owned()),
        None => Ok(corpus::bytes(&case["output"]).ok_or("no output")?),
    };
    if got == want {
        return Ok(());
    }
    let shown = |result: &Result<Vec<u8>, String>| match result {
        Ok(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Err(error) => format!("error {error}"),
    };
    Err(format!("\nwant {}\ngot  {}", shown(&want), shown(&got)))
}

fn pairs(labels: &Value) -> impl Iterator<Item = (&str, &str)> {
    let labels = labels.as_object().into_iter().flatten();
    labels.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or("")))
}

fn answer(queries: &Value, query: &str) -> Result<Vec<Sample>, String> {
    let Some(answer) = queries.get(query) else {
        return Err(format!("no such query: {query}"));
    };
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        return Err(error.to_owned());
    }
    let samples = answer["result"].as_array().into_iter().flatten();
    samples
        .map(|sample| {
            Ok(Sample {
                labels: Labels::from_pairs(pairs(&sample["labels"])),
                value: sample_value(sample)?,
            })
        })
        .collect()
}

fn sample_value(sample: &Value) -> Result<SampleValue, String> {
    if sample.get("histogram").is_some() {
        return Ok((&histogram(field(sample, "histogram"))?).into());
    }
    let value = float::parse(field(sample, "value")).map_err(|error| error.to_string())?;
    Ok(value.into())
}

/// Reads `float histogram: schema 0, count 5, ..., positive buckets 1 2 1`.
fn histogram(text: &str) -> Result<FloatHistogram, String> {
    let mut histogram = FloatHistogram::default();
    let (mut spans, mut counts) = (Vec::new(), Vec::new());
    let text = text.strip_prefix("float histogram: ").unwrap_or(text);
    for part in text.split(", ") {
        let words: Vec<&str> = part.split(' ').collect();
        let number = |word: &str| word.parse::<f64>().map_err(|_| format!("number {word}"));
        match words.as_slice() {
            ["schema", schema] => histogram.schema = number(schema)? as i32,
            ["count", count] => histogram.count = number(count)?,
            ["sum", sum] => histogram.sum = number(sum)?,
            ["zero", "threshold", threshold] => histogram.zero_threshold = number(threshold)?,
            ["zero", "count", count] => histogram.zero_count = number(count)?,
            ["positive", "span", "offset", offset, "length", length] => spans.push(Span {
                offset: number(offset)? as i32,
                length: number(length)? as u32,
            }),
            ["positive", "buckets", rest @ ..] => {
                for word in rest {
                    counts.push(number(word)?);
                }
            }
            _ => return Err(format!("what is {part} of a histogram")),
        }
    }
    histogram.positive = Buckets::from_spans(&spans, counts).map_err(|error| error.to_string())?;
    Ok(histogram)
}
