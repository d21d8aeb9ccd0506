//! Names, values and sets of labels of streams.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use kymo_query::logql::{parse_any_matchers, parse_matchers, require_selection};
use kymo_storage::model::{Labels, Matcher, NanoRange};

use super::answer::{finished, push_head};
use super::error::{LokiError, LokiResult};
use super::json::push_labels;
use super::params::{Bounds, bounds};
use super::{logs, lookup};
use crate::api::call::Call;
use crate::clock;
use crate::http::error::plain;
use crate::http::json::{Escape, push_strings};

/// Labels that Loki gives streams for its own ends, and that nobody asks for.
const INTERNAL: [&str; 3] = ["__aggregated_metric__", "__pattern__", "__stream_shard__"];

/// `/loki/api/v1/labels`: names of labels.
pub(crate) async fn names(call: Call) -> LokiResult {
    strings(&call, &found_names(&call).await?)
}

/// Returns the names of labels that are asked for.
pub(super) async fn found_names(call: &Call) -> Result<Vec<String>, LokiError> {
    let (range, matchers) = (range(call)?, selector(call)?);
    let store = logs(call)?;
    let mut found = lookup(call, move || store.label_names(&matchers, range)).await?;
    found.retain(|name| !INTERNAL.contains(&name.as_str()));
    Ok(found)
}

/// `/loki/api/v1/label/{name}/values`: values of one label.
pub(crate) async fn values(Path(name): Path<String>, call: Call) -> Response {
    if name.contains('/') {
        // A slash, even an encoded one, ends the element of the path.
        return plain(StatusCode::NOT_FOUND, "404 page not found");
    }
    let found = found_values(name, &call).await;
    found
        .and_then(|values| strings(&call, &values))
        .into_response()
}

/// Returns the values of a label that are asked for.
pub(super) async fn found_values(name: String, call: &Call) -> Result<Vec<String>, LokiError> {
    let (range, matchers) = (range(call)?, selector(call)?);
    let store = logs(call)?;
    if INTERNAL.contains(&name.as_str()) {
        return Ok(Vec::new());
    }
    lookup(call, move || store.label_values(&name, &matchers, range)).await
}

/// `/loki/api/v1/series`: the label sets of streams.
pub(crate) async fn series(call: Call) -> LokiResult {
    let bounds = bounds(&call.params, clock::now_ns())?;
    let given = call.params.all("match[]").chain(call.params.all("match"));
    let sets = selections(given)?;
    let range = ordered(bounds)?;
    let store = logs(&call)?;
    let found = lookup(&call, move || {
        let mut found: BTreeSet<Labels> = BTreeSet::new();
        for matchers in &sets {
            found.extend(store.streams(matchers, range)?);
        }
        Ok(found)
    })
    .await?;
    let bytes = found.iter().map(Labels::memory_bytes).sum();
    let memory = call.app.memory.for_answer(bytes);
    let memory = memory.ok_or_else(LokiError::no_memory)?;
    let mut out = Vec::new();
    push_head(&mut out, &[]);
    out.push(b'[');
    for (i, labels) in found.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_labels(&mut out, labels);
    }
    out.extend_from_slice(b"]}");
    Ok(finished(out, Some(memory)))
}

/// Reads the selectors of which streams have to satisfy one. None, or the one that selects
/// all, select all.
fn selections<'a>(given: impl Iterator<Item = &'a str>) -> Result<Vec<Vec<Matcher>>, LokiError> {
    let given: BTreeSet<&str> = given.collect();
    if given.is_empty() || given.len() == 1 && given.iter().all(|text| selects_all(text)) {
        return Ok(vec![Vec::new()]);
    }
    let mut sets = Vec::with_capacity(given.len());
    for text in given {
        if selects_all(text) {
            return Err(LokiError::bad(format!("0 matchers in group: {text}")));
        }
        let matchers = parse_any_matchers(text)?;
        require_selection(&matchers)?;
        sets.push(matchers);
    }
    Ok(sets)
}

fn strings(call: &Call, found: &[String]) -> LokiResult {
    let bytes = found.iter().map(String::len).sum();
    let memory = call.app.memory.for_answer(bytes);
    let memory: Arc<_> = memory.ok_or_else(LokiError::no_memory)?;
    let mut out = Vec::new();
    push_head(&mut out, &[]);
    push_strings(&mut out, found, Escape::Html);
    out.push(b'}');
    Ok(finished(out, Some(memory)))
}

/// Tells whether a selector is the one that selects all.
pub(super) fn selects_all(text: &str) -> bool {
    let inner = text.trim().strip_prefix('{');
    let inner = inner.and_then(|text| text.strip_suffix('}'));
    inner.is_some_and(|inner| inner.trim().is_empty())
}

/// Reads an optional selector.
pub(super) fn selector(call: &Call) -> Result<Vec<Matcher>, LokiError> {
    match call.params.get("query") {
        "" => Ok(Vec::new()),
        text => Ok(parse_matchers(text)?),
    }
}

fn range(call: &Call) -> Result<NanoRange, LokiError> {
    ordered(bounds(&call.params, clock::now_ns())?)
}

/// Refuses a range whose end is before its start. Loki says that its data are kept no longer.
fn ordered(bounds: Bounds) -> Result<NanoRange, LokiError> {
    if bounds.end_ns < bounds.start_ns {
        return Err(LokiError::bad(
            "this data is no longer available, it is past now - max_query_lookback (0s)",
        ));
    }
    Ok(bounds.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_satisfy_one_of_the_selectors() {
        let read = |given: &[&str]| selections(given.iter().copied());
        for given in [&[][..], &["{}"], &[" { } "], &["{}", "{}"]] {
            assert_eq!(read(given).unwrap(), [Vec::new()], "{given:?}");
        }
        let two = read(&[r#"{b="c"}"#, r#"{a="b"}"#, r#"{a="b"}"#]).unwrap();
        assert_eq!(two.len(), 2);
        let error = |given: &[&str]| read(given).unwrap_err().text;
        assert_eq!(error(&["{}", r#"{a="b"}"#]), "0 matchers in group: {}");
        let empty = "parse error : syntax error: unexpected $end";
        assert_eq!(error(&[""]), empty);
        assert_eq!(error(&["", r#"{a="b"}"#]), empty);
        assert!(read(&["{"]).is_err());
    }

    #[test]
    fn an_empty_selector_selects_all() {
        for text in ["{}", " { } "] {
            assert!(selects_all(text), "{text}");
        }
        for text in ["", " ", "{a=\"b\"}", "{", "}", "{}}"] {
            assert!(!selects_all(text), "{text}");
        }
    }
}
