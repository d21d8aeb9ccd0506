//! Answers as text, as Go's client of the API prints them, and as JSON.

use std::cmp::Ordering;
use std::fmt::Write as _;

use clap::ValueEnum;
use kymo_storage::compat::float::{f, g};
use kymo_storage::compat::quote::quote;
use serde::Serialize;
use serde_json::Value;

use super::data::{Data, Histogram, Series};
use crate::client::LabelMap;

const NAME: &str = "__name__";

/// Forms of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Lines that people read.
    Promql,
    /// The result as the API has it.
    Json,
}

impl Format {
    /// Prints the value of an expression.
    pub(super) fn value(self, data: &Data) -> String {
        match (self, data) {
            (Format::Json, Data::Scalar(point)) => line(point),
            (Format::Json, Data::Vector(series) | Data::Matrix(series)) => line(series),
            (Format::Promql, Data::Scalar(point)) => {
                format!("scalar: {} @[{}]\n", point.1, f(point.seconds()))
            }
            (Format::Promql, Data::Vector(series)) => {
                let lines: Vec<String> = series.iter().flat_map(vector_lines).collect();
                format!("{}\n", lines.join("\n"))
            }
            (Format::Promql, Data::Matrix(series)) => {
                let mut series: Vec<&Series> = series.iter().collect();
                series.sort_by(|a, b| before(&a.metric, &b.metric));
                let blocks: Vec<String> = series.into_iter().map(matrix_block).collect();
                format!("{}\n", blocks.join("\n"))
            }
        }
    }

    /// Prints the labels of series.
    ///
    /// # Errors
    /// The answer holds something else.
    pub(super) fn series(self, data: Value) -> Result<String, String> {
        if self == Format::Json {
            return Ok(line(&data));
        }
        let series: Vec<LabelMap> = read(data)?;
        let lines = series
            .iter()
            .map(|labels| format!("{{{}}}\n", pairs(labels.iter())));
        Ok(lines.collect())
    }

    /// Prints the values of a label.
    ///
    /// # Errors
    /// The answer holds something else.
    pub(super) fn values(self, data: Value) -> Result<String, String> {
        if self == Format::Json {
            return Ok(line(&data));
        }
        let values: Vec<String> = read(data)?;
        Ok(values.iter().map(|value| format!("{value}\n")).collect())
    }
}

fn read<T: serde::de::DeserializeOwned>(data: Value) -> Result<T, String> {
    serde_json::from_value(data).map_err(|error| format!("query error: {error}"))
}

fn line(value: &impl Serialize) -> String {
    // Texts and numbers cannot fail to be written.
    let text = serde_json::to_string(value).unwrap_or_default();
    format!("{text}\n")
}

fn vector_lines(series: &Series) -> Vec<String> {
    let metric = metric(&series.metric);
    let floats = series
        .floats()
        .map(|point| format!("{metric} => {} @[{}]", point.1, f(point.seconds())));
    let histograms = series.histograms().map(|point| {
        format!(
            "{metric} => {} @[{}]",
            histogram(&point.1),
            f(point.seconds())
        )
    });
    floats.chain(histograms).collect()
}

fn matrix_block(series: &Series) -> String {
    let mut block = format!("{} =>", metric(&series.metric));
    for point in series.floats() {
        let _ = write!(block, "\n{} @[{}]", point.1, f(point.seconds()));
    }
    for point in series.histograms() {
        let _ = write!(block, "\n{} @[{}]", histogram(&point.1), f(point.seconds()));
    }
    block
}

/// Prints a name with its labels.
pub(super) fn metric(labels: &LabelMap) -> String {
    let name = labels.get(NAME).map_or("", String::as_str);
    let others = labels.iter().filter(|(label, _)| *label != NAME);
    let others = pairs(others);
    match (name, others.is_empty()) {
        ("", true) => "{}".to_owned(),
        (name, true) => name.to_owned(),
        (name, false) => format!("{name}{{{others}}}"),
    }
}

/// Prints labels between braces.
pub(super) fn pairs<'a>(labels: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let texts: Vec<String> = labels
        .map(|(name, value)| format!("{name}={}", quote(value)))
        .collect();
    texts.join(", ")
}

fn histogram(histogram: &Histogram) -> String {
    let fixed = |text: &str| match text.parse::<f64>() {
        Ok(value) if value.is_finite() => format!("{value:.6}"),
        _ => text.to_owned(),
    };
    let buckets = histogram.buckets.iter().map(|bucket| {
        let (open, close) = match bucket.0 {
            0 => ('(', ']'),
            1 => ('[', ')'),
            2 => ('(', ')'),
            _ => ('[', ']'),
        };
        let end = |text: &str| text.parse().map_or_else(|_| text.to_owned(), g);
        let (low, high) = (end(&bucket.1), end(&bucket.2));
        format!("{open}{low},{high}{close}:{}", bucket.3)
    });
    let buckets: Vec<String> = buckets.collect();
    format!(
        "Count: {}, Sum: {}, Buckets: [{}]",
        fixed(&histogram.count),
        fixed(&histogram.sum),
        buckets.join(" ")
    )
}

/// Orders label sets as Go's client does: fewer labels first, then by the labels.
fn before(a: &LabelMap, b: &LabelMap) -> Ordering {
    let by_pairs = || {
        for (left, right) in a.iter().zip(b) {
            let by_name = left.0.cmp(right.0);
            // A name that only one of them has is found where the names first differ.
            match by_name.then_with(|| left.1.cmp(right.1)) {
                Ordering::Equal => {}
                different if by_name == Ordering::Equal => return different,
                different => return different.reverse(),
            }
        }
        Ordering::Equal
    };
    a.len().cmp(&b.len()).then_with(by_pairs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(data: Value) -> String {
        Format::Promql.value(&Data::read(data).unwrap())
    }

    #[test]
    fn values_print_as_those_of_the_client_for_go() {
        let vector = json!({"resultType": "vector", "result": [
            {"metric": {"__name__": "up", "job": "a", "x": "y\"z"}, "value": [1_795_332_282.032, "1"]},
            {"metric": {}, "value": [1, "1e+21"]},
            {"metric": {"__name__": "h"}, "histogram": [1.5, {"count": "2", "sum": "1",
                "buckets": [[0, "0.99", "1", "1"], [3, "-0.001", "0.001", "1"]]}]},
        ]});
        assert_eq!(
            shown(vector),
            "up{job=\"a\", x=\"y\\\"z\"} => 1 @[1795332282.032]\n\
             {} => 1000000000000000000000 @[1]\n\
             h => Count: 2.000000, Sum: 1.000000, Buckets: [(0.99,1]:1 [-0.001,0.001]:1] @[1.5]\n"
        );
        let scalar = json!({"resultType": "scalar", "result": [1, "NaN"]});
        assert_eq!(shown(scalar), "scalar: NaN @[1]\n");
        let matrix = json!({"resultType": "matrix", "result": [
            {"metric": {"__name__": "b", "a": "1"}, "values": [[1, "2"], [2, "3"]]},
            {"metric": {"__name__": "c"}, "values": [[1, "2"]]},
        ]});
        assert_eq!(
            shown(matrix),
            "c =>\n2 @[1]\nb{a=\"1\"} =>\n2 @[1]\n3 @[2]\n"
        );
        let text = json!({"resultType": "string", "result": [1, "x"]});
        assert_eq!(
            Data::read(text).unwrap_err(),
            "query error: unexpected value type \"string\""
        );
        let nothing = json!({"resultType": "vector", "result": []});
        assert_eq!(shown(nothing), "\n");
    }

    #[test]
    fn json_is_the_result_alone() {
        let vector = json!({"resultType": "vector", "result": [
            {"metric": {"a": "b"}, "value": [1_600_000_000, "1e+21"]},
        ]});
        let data = Data::read(vector).unwrap();
        assert_eq!(
            Format::Json.value(&data),
            "[{\"metric\":{\"a\":\"b\"},\"value\":[1600000000,\"1000000000000000000000\"]}]\n"
        );
        let series = json!([{"__name__": "up", "a": "b"}]);
        assert_eq!(
            Format::Promql.series(series).unwrap(),
            "{__name__=\"up\", a=\"b\"}\n"
        );
        assert_eq!(Format::Promql.values(json!(["a", "b"])).unwrap(), "a\nb\n");
        assert!(Format::Promql.values(json!([1])).is_err());
    }
}
