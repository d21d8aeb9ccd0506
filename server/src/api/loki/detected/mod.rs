//! What there is in logs: labels of streams, fields of entries.

mod fields;
mod kind;
mod labels;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use kymo_query::MemoryGrant;
use kymo_query::logql::ast::{Expr, Stage};
use kymo_query::logql::{
    Direction, LogLine, LogQlError, LogRangeQuery, LogValue, MetadataRef, Pipeline, parse_log,
};
use serde::Serialize;
use serde_json::json;

use self::fields::{Fields, Parser, json_paths};
use super::answer::bare;
use super::error::{LokiError, LokiResult};
use super::labels::selector;
use super::limits::{check_entries, check_span};
use super::params::{Bounds, DEFAULT_LIMIT, count, ordered_bounds, step};
use super::query::{Asked, run};
use super::{logs, lookup};
use crate::api::call::Call;
use crate::clock;
use crate::http::error::plain;

/// Fields, or values of a field, where nothing is said.
const DEFAULT_FIELDS: u32 = 1000;

/// A label that says something about streams.
#[derive(Serialize)]
struct Label {
    label: String,
    cardinality: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Labels {
    detected_labels: Vec<Label>,
}

#[derive(Serialize)]
struct Detected {
    fields: Vec<fields::Field>,
    limit: u32,
}

/// `/loki/api/v1/detected_labels`
pub(crate) async fn detected_labels(call: Call) -> LokiResult {
    let bounds = ordered_bounds(&call.params, clock::now_ns())?;
    let matchers = selector(&call)?;
    let store = logs(&call)?;
    let streams = lookup(&call, move || store.streams(&matchers, bounds.into())).await?;
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, value) in streams.iter().flatten() {
        let values = match found.get_mut(name) {
            Some(values) => values,
            None => found.entry(name.to_owned()).or_default(),
        };
        if !values.contains(value) {
            values.insert(value.to_owned());
        }
    }
    let shown = found.into_iter().filter_map(|(label, values)| {
        let values: Vec<String> = values.into_iter().collect();
        labels::is_shown(&label, &values).then_some(Label {
            label,
            cardinality: values.len(),
        })
    });
    bare(&Labels {
        detected_labels: shown.collect(),
    })
}

/// `/loki/api/v1/detected_fields`: what the newest lines have in them.
pub(crate) async fn detected_fields(call: Call) -> LokiResult {
    let newest = newest_lines(&call).await?;
    let most = newest.most;
    let found = lookup(&call, move || {
        let mut fields = Fields::new(most as usize);
        let outcome = each_value(&newest.lines, |name, value, from| {
            fields.add(name, value, from.parser, from.path);
            true
        });
        Ok(outcome.map(|()| fields.finish()))
    });
    let fields = found.await?.map_err(LokiError::from)?;
    bare(&Detected {
        fields,
        limit: most,
    })
}

/// `/loki/api/v1/detected_field/{name}/values`: what a field is in the newest lines.
pub(crate) async fn detected_values(Path(name): Path<String>, call: Call) -> Response {
    if name.contains('/') {
        return plain(StatusCode::NOT_FOUND, "404 page not found");
    }
    values(name, &call).await.into_response()
}

async fn values(field: String, call: &Call) -> LokiResult {
    let newest = newest_lines(call).await?;
    let most = newest.most;
    let found = lookup(call, move || {
        let mut values: BTreeSet<String> = BTreeSet::new();
        let outcome = each_value(&newest.lines, |name, value, from| {
            if name == field {
                values.insert(match from.of_line {
                    true => kind::shown(value),
                    false => value.to_owned(),
                });
            }
            values.len() < most as usize
        });
        Ok(outcome.map(|()| values))
    });
    let values = found.await?.map_err(LokiError::from)?;
    bare(&json!({"values": values, "limit": most}))
}

fn most(call: &Call) -> Result<u32, LokiError> {
    let old_name = call.params.get("limit").is_empty();
    let name = if old_name { "field_limit" } else { "limit" };
    count(&call.params, name, DEFAULT_FIELDS)
}

/// Lines, and the memory that they are in.
struct Newest {
    /// How many fields, or values, are asked for.
    most: u32,
    lines: Vec<LogLine>,
    _memory: Arc<MemoryGrant>,
}

/// Returns the newest lines that a query finds, as many as `line_limit` says.
async fn newest_lines(call: &Call) -> Result<Newest, LokiError> {
    let (params, flags) = (&call.params, &call.app.flags.log_queries);
    let now_ns = clock::now_ns();
    let bounds = ordered_bounds(params, now_ns)?;
    let limit = count(params, "line_limit", DEFAULT_LIMIT)?;
    let most = most(call)?;
    step(params, bounds)?;
    let text = params.get("query");
    let log = parse_log(text)?;
    check_entries(flags, limit)?;
    let Bounds { start_ns, end_ns } = check_span(flags, bounds, now_ns)?;
    let query = LogRangeQuery {
        start_ns,
        end_ns,
        step_ns: 1,
        interval_ns: 0,
        limit: limit as usize,
        direction: Direction::Backward,
    };
    let asked = Asked::entries(text, Expr::Log(log), query, true);
    let (result, _cost) = run(call, asked).await?;
    let streams = match result.value {
        LogValue::Streams(streams) => streams,
        _ => Vec::new(),
    };
    let lines = streams.into_iter().flat_map(|stream| stream.entries);
    Ok(Newest {
        most,
        lines: lines.collect(),
        _memory: result.memory,
    })
}

/// Where a value was found.
struct From<'a> {
    parser: Option<Parser>,
    path: Option<&'a [String]>,
    /// In the line, or made by the query; not in structured metadata.
    of_line: bool,
}

/// Calls `found` with all fields of lines, until it is false.
fn each_value(
    lines: &[LogLine],
    mut found: impl FnMut(&str, &str, From<'_>) -> bool,
) -> Result<(), LogQlError> {
    let mut json = Pipeline::from_stages(&[Stage::Json(Vec::new())])?;
    let mut logfmt = Pipeline::from_stages(&[Stage::Logfmt {
        strict: false,
        keep_empty: false,
        extractions: Vec::new(),
    }])?;
    for line in lines {
        for (name, value) in line.labels.metadata.iter() {
            let from = From {
                parser: None,
                path: None,
                of_line: false,
            };
            if !found(name, value, from) {
                return Ok(());
            }
        }
        let stream = line.labels.stream.to_labels();
        let parse = |pipeline: &mut Pipeline| {
            let parsed = pipeline.process(&stream, line.t_ns, &line.line, MetadataRef::NONE);
            let parsed = parsed.map(|entry| entry.labels.parsed);
            parsed.filter(|labels| labels.get("__error__").is_none())
        };
        let (parser, parsed, paths) = match parse(&mut json) {
            Some(parsed) => (Parser::Json, Some(parsed), json_paths(&line.line)),
            None => (Parser::Logfmt, parse(&mut logfmt), BTreeMap::new()),
        };
        let of_query = line.labels.parsed.iter();
        for (name, value) in of_query.chain(parsed.iter().flat_map(|labels| labels.iter())) {
            if name.starts_with("__error") || name == "__preserve_error__" {
                continue;
            }
            let bare = name.strip_suffix("_extracted").unwrap_or(name);
            let from = From {
                parser: parsed.is_some().then_some(parser),
                path: paths
                    .get(name)
                    .or_else(|| paths.get(bare))
                    .map(Vec::as_slice),
                of_line: true,
            };
            if !found(name, value, from) {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kymo_query::logql::{LabelSet, LineLabels};

    use super::*;

    #[test]
    fn lines_are_read_as_what_they_are() {
        let line = |line: &str, metadata: &[(&str, &str)], parsed: &[(&str, &str)]| LogLine {
            t_ns: 1,
            line: line.into(),
            labels: Arc::new(LineLabels {
                stream: LabelSet::from_pairs([("app", "a")]),
                metadata: LabelSet::from_pairs(metadata.iter().copied()),
                parsed: LabelSet::from_pairs(parsed.iter().copied()),
            }),
        };
        let lines = [
            line(r#"{"app":"x","n":{"m":5}}"#, &[("trace_id", "t")], &[]),
            line("level=info n_m=7 flag", &[], &[("mine", "1")]),
            line("no fields here", &[], &[("__error__", "JSONParserErr")]),
        ];
        let mut seen: Vec<String> = Vec::new();
        let outcome = each_value(&lines, |name, value, from| {
            let parser = from.parser.map_or("none".to_owned(), |p| format!("{p:?}"));
            let path = from.path.map_or(String::new(), |path| path.join("/"));
            seen.push(format!("{name}={value} {parser} {path}"));
            true
        });
        outcome.unwrap();
        let expected = [
            "trace_id=t none ",
            "app_extracted=x Json app",
            "n_m=5 Json n/m",
            "mine=1 Logfmt ",
            "level=info Logfmt ",
            "n_m=7 Logfmt ",
        ];
        assert_eq!(seen, expected);
    }
}
