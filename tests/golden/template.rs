//! Templates of alerts, expanded as rules do. HTML, which only consoles had, is
//! counted apart.

use kymo_query::template::Sample;
use kymo_query::template::alert::{AlertData, Expander, Prefix, SampleValue};
use kymo_storage::compat::float;
use kymo_storage::model::Labels;
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
        return Err("histograms are no values yet".to_owned());
    }
    let value = float::parse(field(sample, "value")).map_err(|error| error.to_string())?;
    Ok(value.into())
}
