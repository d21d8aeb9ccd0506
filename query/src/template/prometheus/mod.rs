//! The functions of Prometheus' templates.
//!
//! Upstream source: `template/template.go` of Prometheus and the `templates` helpers
//! of its common library.

mod host;
mod humanize;
mod text;

use std::sync::Arc;

use kymo_storage::compat::{duration, letter_case};
use kymo_storage::model::Labels;

use super::alert::{Query, SampleValue, string_map};
use super::exec::pointer;
use super::function::{Function, Host};
use super::time::DURATION;
use super::value::{ANY_MAP, List, Map, NamedType, STRING_MAP, Shape, Struct, Text, Type, Value};

pub(super) use humanize::to_float;

/// A series of the answer to a query, with its value.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The labels of the series.
    pub labels: Labels,
    /// Its value.
    pub value: SampleValue,
}

impl From<(Labels, f64)> for Sample {
    fn from((labels, value): (Labels, f64)) -> Sample {
        Sample {
            labels,
            value: value.into(),
        }
    }
}

/// `template.sample`
static SAMPLE: NamedType = NamedType::plain(
    "template.sample",
    Shape::Struct(&[("Labels", Type::Named(&STRING_MAP)), ("Value", Type::Any)]),
);

/// `template.queryResult`
static QUERY_RESULT: NamedType =
    NamedType::plain("template.queryResult", Shape::List(Type::Pointer(&SAMPLE)));

const RESULT: Type = Type::Named(&QUERY_RESULT);
const ONE_SAMPLE: Type = Type::Pointer(&SAMPLE);
const STRING: Type = Type::String;

/// What upstream's functions answer when they are given nil.
const NIL: &str = "runtime error: invalid memory address or nil pointer dereference";

pub(super) const FUNCTIONS: &[Function] = &[
    Function::variadic("args", &[Type::Any], args),
    Function::host("externalURL", &[]),
    Function::pure("first", &[RESULT], |arguments| {
        let first = samples(&arguments[0]).first();
        first
            .cloned()
            .ok_or_else(|| "first() called on vector with no elements".to_owned())
    }),
    Function::pure("graphLink", &[STRING], |arguments| {
        Ok(link(&arguments[0], 0))
    }),
    Function::pure("humanize", &[Type::Any], |arguments| {
        humanize::si(&arguments[0])
    }),
    Function::pure("humanize1024", &[Type::Any], |arguments| {
        humanize::binary(&arguments[0])
    }),
    Function::pure("humanizeDuration", &[Type::Any], |arguments| {
        humanize::duration(&arguments[0])
    }),
    Function::pure("humanizePercentage", &[Type::Any], |arguments| {
        humanize::percentage(&arguments[0])
    }),
    Function::pure("humanizeTimestamp", &[Type::Any], |arguments| {
        humanize::timestamp(&arguments[0])
    }),
    Function::pure("label", &[STRING, ONE_SAMPLE], |arguments| {
        label(&arguments[1], bytes(&arguments[0]))
    }),
    Function::regex("match", &[STRING, STRING], text::matches),
    Function::host("now", &[]),
    Function::pure("parseDuration", &[STRING], |arguments| {
        let text = string(&arguments[0]);
        let ns = duration::parse_prometheus_signed(&text).map_err(|error| error.to_string())?;
        Ok(Value::Float(ns as f64 / 1e9))
    }),
    Function::host("pathPrefix", &[]),
    Function::host("query", &[STRING]),
    Function::regex("reReplaceAll", &[STRING, STRING, STRING], text::replace_all),
    // Only HTML knows a difference.
    Function::pure("safeHtml", &[STRING], |arguments| Ok(arguments[0].clone())),
    Function::pure("sortByLabel", &[STRING, RESULT], |arguments| {
        sort_by_label(bytes(&arguments[0]), &arguments[1])
    }),
    Function::pure("stripDomain", &[STRING], |arguments| {
        Ok(host::strip_domain(&string(&arguments[0])).into())
    }),
    Function::pure("stripPort", &[STRING], |arguments| {
        Ok(host::strip_port(&string(&arguments[0])).into())
    }),
    Function::pure("strvalue", &[ONE_SAMPLE], |arguments| {
        label(&arguments[0], b"__value__")
    }),
    Function::pure("tableLink", &[STRING], |arguments| {
        Ok(link(&arguments[0], 1))
    }),
    Function::pure("title", &[STRING], |arguments| {
        Ok(text::title(&string(&arguments[0])).into())
    }),
    Function::pure("toDuration", &[Type::Any], |arguments| {
        let nanos = to_float(&arguments[0])? * 1e9;
        let nanos = super::number::float_to_int(nanos);
        Ok(pointer(Value::Number(nanos, &DURATION)))
    }),
    Function::pure("toLower", &[STRING], |arguments| {
        Ok(letter_case::to_lower(&string(&arguments[0])).into())
    }),
    Function::pure("toTime", &[Type::Any], |arguments| {
        let time = humanize::to_time(to_float(&arguments[0])?)?;
        let time = time.ok_or("value is NaN or Inf")?;
        Ok(pointer(Value::Time(time)))
    }),
    Function::pure("toUpper", &[STRING], |arguments| {
        Ok(letter_case::to_upper(&string(&arguments[0])).into())
    }),
    Function::pure("urlQueryEscape", &[STRING], |arguments| {
        Ok(super::builtins::query_escape(bytes(&arguments[0])).into())
    }),
    Function::pure("value", &[ONE_SAMPLE], |arguments| {
        Ok(sample_fields(&arguments[0])?[1].clone())
    }),
];

/// What the functions of an alert ask.
pub(super) struct Environment<'a> {
    pub(super) now_ms: i64,
    pub(super) external_url: &'a str,
    pub(super) path_prefix: &'a str,
    pub(super) query: &'a Query<'a>,
}

impl Host for Environment<'_> {
    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        match name {
            "now" => Ok(Value::Float(self.now_ms as f64 / 1000.0)),
            "externalURL" => Ok(self.external_url.into()),
            "pathPrefix" => Ok(self.path_prefix.into()),
            "query" => {
                let text = arguments.first().map(string).unwrap_or_default();
                let samples = (self.query)(&text, self.now_ms)?;
                query_result(samples)
            }
            _ => Err(format!("{name} is not available here")),
        }
    }
}

fn query_result(samples: Vec<Sample>) -> Result<Value, String> {
    let mut items = Vec::with_capacity(samples.len());
    for sample in samples {
        let fields = vec![string_map(&sample.labels), sample.value.0];
        let sample = Struct::new(&SAMPLE, fields, None)?;
        items.push(pointer(Value::Struct(Arc::new(sample))));
    }
    list(items)
}

fn list(items: Vec<Value>) -> Result<Value, String> {
    Ok(Value::List(Arc::new(List::new(&QUERY_RESULT, items)?)))
}

fn samples(result: &Value) -> &[Value] {
    match result {
        Value::List(list) => list.items(),
        _ => &[],
    }
}

/// Returns labels and value of a sample.
fn sample_fields(sample: &Value) -> Result<&[Value], String> {
    match sample.pointee() {
        Value::Struct(fields) => Ok(fields.values()),
        _ => Err(NIL.to_owned()),
    }
}

fn label(sample: &Value, name: &[u8]) -> Result<Value, String> {
    let labels = match &sample_fields(sample)?[0] {
        Value::Map(labels) => labels,
        _ => return Ok(Value::from("")),
    };
    Ok(labels.get(name).cloned().unwrap_or_else(|| "".into()))
}

fn sort_by_label(name: &[u8], result: &Value) -> Result<Value, String> {
    let mut keyed = Vec::new();
    for sample in samples(result) {
        let key = match label(sample, name)? {
            Value::String(key) => key,
            _ => Text::from(""),
        };
        keyed.push((key, sample.clone()));
    }
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    list(keyed.into_iter().map(|(_, sample)| sample).collect())
}

fn args(arguments: &[Value]) -> Result<Value, String> {
    let entries = arguments
        .iter()
        .enumerate()
        .map(|(index, value)| (Text::from(format!("arg{index}")), value.clone()))
        .collect();
    Ok(Value::Map(Arc::new(Map::new(&ANY_MAP, entries)?)))
}

fn link(expression: &Value, tab: u8) -> Value {
    let escaped = super::builtins::query_escape(bytes(expression));
    let escaped = String::from_utf8_lossy(&escaped);
    format!("/graph?g0.expr={escaped}&g0.tab={tab}").into()
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::String(text) => text.as_bytes(),
        _ => b"",
    }
}

fn string(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_str().into_owned(),
        _ => String::new(),
    }
}
