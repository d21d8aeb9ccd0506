//! Parsing of PromQL: the tree, its prints, and what is said of wrong texts.

use kymo_query::promql::{
    Features, ParseErrors, SeriesValue, expr_json, matcher_text, parse_expr, parse_metric,
    parse_selector, parse_series, pretty,
};
use kymo_storage::compat::float;
use kymo_storage::model::is_stale_marker;
use serde_json::{Value, json};

use crate::corpus::{self, Score, field};

#[test]
fn promql_parse() {
    let Some(cases) = corpus::cases("promql_parse") else {
        return;
    };
    let mut score = Score::new("promql_parse");
    for case in &cases {
        let name = format!("{} {}", field(case, "kind"), case["input"]);
        score.count(name, judge(case));
    }
    score.finish();
}

fn judge(case: &Value) -> Result<(), String> {
    let input = corpus::bytes(&case["input"]).ok_or("no input")?;
    let features = features(case);
    match field(case, "kind") {
        "expr" => {
            let expr = match parse_expr(&input, &features) {
                Ok(expr) => expr,
                Err(errors) => return wrong(case, &errors),
            };
            good(case)?;
            let printed = expr.to_string();
            same(case, "string", json!(printed))?;
            same(case, "type", json!(expr.value_type().as_str()))?;
            same(
                case,
                "documented_type",
                json!(expr.value_type().documented()),
            )?;
            let tree = serde_json::from_str(&expr_json(&expr)).map_err(|e| e.to_string())?;
            same(case, "ast", names_only(tree))?;
            same(case, "pretty", json!(pretty(&expr)))?;
            same(case, "range", json!([expr.span.start, expr.span.end]))?;
            let again = match parse_expr(&printed, &features) {
                Ok(again) if again.to_string() == printed => "same",
                Ok(_) => "other",
                Err(_) => "error",
            };
            same(case, "reparse", json!(again))
        }
        "selector" => match parse_selector(&input, &features) {
            Ok(matchers) => {
                good(case)?;
                let matchers: Vec<_> = matchers
                    .iter()
                    .map(|m| {
                        json!({
                            "name": m.name(),
                            "string": matcher_text(m),
                            "type": m.op().as_str(),
                            "value": m.value(),
                        })
                    })
                    .collect();
                same(case, "matchers", json!(matchers))
            }
            Err(errors) => wrong(case, &errors),
        },
        "metric" => match parse_metric(&input) {
            Ok(labels) => {
                good(case)?;
                same(case, "string", json!(labels.to_string()))?;
                same(case, "labels", labels_json(&labels))
            }
            Err(errors) => wrong(case, &errors),
        },
        "series" => match parse_series(&input) {
            Ok((labels, values)) => {
                good(case)?;
                same(case, "labels", labels_json(&labels))?;
                let values: Vec<String> = values.iter().map(series_value).collect();
                same_values(case, &values)
            }
            Err(errors) => wrong(case, &errors),
        },
        other => Err(format!("unknown kind {other:?}")),
    }
}

fn features(case: &Value) -> Features {
    let flags = case["flags"].as_array().cloned().unwrap_or_default();
    let on = |name: &str| flags.iter().any(|flag| flag == name);
    Features {
        experimental_functions: on("experimental-functions"),
        duration_expr: on("duration-expr"),
        extended_range_selectors: on("extended-range-selectors"),
        binop_fill_modifiers: on("binop-fill-modifiers"),
    }
}

fn good(case: &Value) -> Result<(), String> {
    match case.get("error") {
        None => Ok(()),
        Some(error) => Err(format!("accepted, want {error}")),
    }
}

/// Compares the error that users see, then all of them with their places.
fn wrong(case: &Value, errors: &ParseErrors) -> Result<(), String> {
    if case.get("error").is_none() {
        return Err(format!("refused: {errors}"));
    }
    same(case, "error", json!(errors.to_string()))?;
    let all: Vec<_> = errors
        .iter()
        .map(|e| json!({ "start": e.span.start, "end": e.span.end, "msg": e.message }))
        .collect();
    same(case, "errors", json!(all))
}

fn same(case: &Value, name: &str, got: Value) -> Result<(), String> {
    match &case[name] {
        want if *want == got => Ok(()),
        want => Err(format!("{name}:\n  want {want}\n  got  {got}")),
    }
}

/// Puts the names of functions in place of their descriptions, as the table has them.
fn names_only(mut tree: Value) -> Value {
    match &mut tree {
        Value::Object(fields) => {
            if let Some(Value::Object(func)) = fields.get("func") {
                let name = func["name"].clone();
                fields.insert("func".to_owned(), name);
            }
            for value in fields.values_mut() {
                *value = names_only(value.take());
            }
        }
        Value::Array(values) => {
            for value in values {
                *value = names_only(value.take());
            }
        }
        _ => {}
    }
    tree
}

fn labels_json(labels: &kymo_storage::model::Labels) -> Value {
    let pairs = labels.iter().map(|(n, v)| (n.to_owned(), json!(v)));
    Value::Object(pairs.collect())
}

/// Writes a value as the table does, a histogram up to its notation.
fn series_value(value: &SeriesValue) -> String {
    match value {
        SeriesValue::Gap => "_".to_owned(),
        SeriesValue::Float(value) if is_stale_marker(*value) => "stale".to_owned(),
        SeriesValue::Float(value) => float::f(*value),
        SeriesValue::Histogram(value) => {
            let notation = value.histogram.to_test_notation();
            let hint = if value.hint_set { " (hint set)" } else { "" };
            format!("hist {notation} | {}{hint}", value.histogram)
        }
    }
}

/// Compares values.
fn same_values(case: &Value, got: &[String]) -> Result<(), String> {
    let want: Vec<&str> = case["values"]
        .as_array()
        .ok_or("no values")?
        .iter()
        .map(|value| value.as_str().unwrap_or_default())
        .collect();
    if want == got {
        return Ok(());
    }
    Err(format!("values:\n  want {want:?}\n  got  {got:?}"))
}
