//! `/api/v1/targets/relabel_steps`: what a job's rules do to labels, one by one.

use std::collections::BTreeMap;

use kymo_storage::compat::quote::quote;
use kymo_storage::model::{LabelsBuilder, RelabelConfig, Verdict, relabel};
use serde::Serialize;
use serde_json::Value;

use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::ApiError;

/// The expression of a rule that names none.
const DEFAULT_REGEX: &str = "(.*)";

#[derive(Serialize)]
struct Steps {
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    rule: Rule,
    output: BTreeMap<String, String>,
    keep: bool,
}

#[derive(Serialize)]
struct Rule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_labels: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    separator: String,
    regex: String,
    #[serde(skip_serializing_if = "is_zero")]
    modulus: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    target_label: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    replacement: String,
    action: &'static str,
}

/// Answers with the labels after each rule; none are left where one drops them.
pub(crate) async fn relabel_steps(call: Call) -> ApiResult {
    let job = match call.params.get("scrapePool") {
        "" => return Err(ApiError::bad_data("no scrapePool parameter provided")),
        job => job,
    };
    let labels = match call.params.get("labels") {
        "" => return Err(ApiError::bad_data("no labels parameter provided")),
        text => read_labels(text)
            .map_err(|cause| ApiError::bad_data(format!("error parsing labels: {cause}")))?,
    };
    let config = call.app.config.current();
    let Some(config) = config.jobs().find(|c| c.job_name == job) else {
        let quoted = quote(job);
        return Err(ApiError::bad_data(format!(
            "error retrieving scrape config: scrape pool {quoted} not found"
        )));
    };
    let steps = (1..=config.relabel.len()).map(|n| {
        let mut output = labels.clone();
        let keep = relabel(&config.relabel[..n], &mut output) == Verdict::Keep;
        let output = output.iter().filter(|_| keep);
        Step {
            rule: Rule::of(config.relabel[n - 1].config()),
            output: output.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            keep,
        }
    });
    Answer::value(&Steps {
        steps: steps.collect(),
    })
}

impl Rule {
    fn of(config: &RelabelConfig) -> Rule {
        let regex = config.regex.as_deref().unwrap_or(DEFAULT_REGEX);
        Rule {
            source_labels: config.source_labels.clone().unwrap_or_default(),
            separator: config.separator.clone(),
            regex: regex.to_owned(),
            modulus: config.modulus,
            target_label: config.target_label.clone(),
            replacement: config.replacement.clone(),
            action: config.action.as_str(),
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Reads an object of strings; complaints are Go's.
fn read_labels(text: &str) -> Result<LabelsBuilder, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Value::Object(pairs) = value else {
        let kind = kind(&value);
        return Err(format!(
            "json: cannot unmarshal {kind} into Go value of type map[string]string"
        ));
    };
    let mut labels = LabelsBuilder::new();
    for (name, value) in &pairs {
        let Value::String(value) = value else {
            let kind = kind(value);
            return Err(format!(
                "json: cannot unmarshal {kind} into Go value of type string"
            ));
        };
        labels.set(name, value);
    }
    // To rules these are there from the start, not set one after the other.
    labels.rebase();
    Ok(labels)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use kymo_storage::compat::name::NameValidation;

    use super::*;
    use crate::config::parse_relabel_rules;

    #[test]
    fn labels_are_an_object_of_strings() {
        let labels = read_labels(r#"{"b":"2","a":"1"}"#).unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        for (text, complaint) in [
            (
                "[1]",
                "json: cannot unmarshal array into Go value of type map[string]string",
            ),
            (
                r#"{"a":1}"#,
                "json: cannot unmarshal number into Go value of type string",
            ),
        ] {
            assert_eq!(read_labels(text).unwrap_err(), complaint);
        }
        assert!(read_labels("{").is_err());
    }

    #[test]
    fn a_label_that_a_rule_sets_is_mapped_behind_the_others() {
        let rules = "- {target_label: a, replacement: set}\n\
                     - {action: labelmap, regex: '[ab]', replacement: to}\n";
        let rules = parse_relabel_rules(rules, NameValidation::Utf8).unwrap();
        let mut labels = read_labels(r#"{"a":"1","b":"2"}"#).unwrap();
        assert_eq!(relabel(&rules, &mut labels), Verdict::Keep);
        assert_eq!(labels.get("to"), Some("set"));
    }
}
