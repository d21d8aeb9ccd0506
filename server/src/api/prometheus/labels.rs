//! Names, values and sets of labels.

use std::sync::Arc;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use kymo_storage::StorageError;
use kymo_storage::compat::name::EscapingScheme;

use super::bounds::{TRUNCATED, cut, limit, match_sets, one_more, time_range};
use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::{ApiError, plain};
use crate::http::json::{Escape, push_labels, push_strings};

/// `/api/v1/labels`: names of labels.
pub(crate) async fn names(call: Call) -> ApiResult {
    let limit = limit(&call.params)?;
    let range = time_range(&call.params)?;
    let sets = match_sets(&call).map_err(ApiError::bad_data)?;
    let store = Arc::clone(&call.core()?.store);
    let found = call
        .lookup(move || store.label_names(&sets, range, one_more(limit)))
        .await?;
    strings(&call, found, limit)
}

/// `/api/v1/label/{name}/values`: values of one label.
pub(crate) async fn values(Path(raw): Path<String>, call: Call) -> Response {
    if raw.contains('/') {
        // A slash, even an encoded one, ends the element of the path.
        return plain(StatusCode::NOT_FOUND, "404 page not found");
    }
    label_values(&raw, call).await.into_response()
}

async fn label_values(raw: &str, call: Call) -> ApiResult {
    let name = EscapingScheme::Values.unescape(raw);
    if name.is_empty() {
        let quoted = kymo_storage::compat::quote::quote(&name);
        return Err(ApiError::bad_data(format!("invalid label name: {quoted}")));
    }
    let limit = limit(&call.params)?;
    let range = time_range(&call.params)?;
    let sets = match_sets(&call).map_err(ApiError::bad_data)?;
    let store = Arc::clone(&call.core()?.store);
    let found = call
        .lookup(move || store.label_values(&name, &sets, range, one_more(limit)))
        .await?;
    strings(&call, found, limit)
}

/// `/api/v1/series`: the label sets that satisfy selectors.
pub(crate) async fn series(call: Call) -> ApiResult {
    if let Some(defect) = call.params.defect() {
        return Err(ApiError::bad_data(format!(
            "error parsing form values: {defect}"
        )));
    }
    if call.params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = limit(&call.params)?;
    let range = time_range(&call.params)?;
    let sets = match_sets(&call).map_err(|cause| ApiError::parameter("match[]", cause))?;
    let store = Arc::clone(&call.core()?.store);
    let memory = Arc::clone(&call.app.memory);
    let (json, over, memory) = call
        .lookup(move || {
            let mut found = store.series(&sets, range, one_more(limit))?;
            let over = cut(&mut found, limit);
            let bytes: usize = found.iter().map(|labels| labels.memory_bytes()).sum();
            let Some(memory) = memory.for_answer(bytes) else {
                return Ok((Vec::new(), over, None));
            };
            let mut json = vec![b'['];
            for (i, labels) in found.iter().enumerate() {
                if i > 0 {
                    json.push(b',');
                }
                push_labels(&mut json, labels);
            }
            json.push(b']');
            Ok::<_, StorageError>((json, over, Some(memory)))
        })
        .await?;
    let memory = memory.ok_or_else(ApiError::no_memory)?;
    Ok(warn_if(over, Answer::json(json).holding(memory)))
}

fn strings(call: &Call, mut found: Vec<String>, limit: usize) -> ApiResult {
    let over = cut(&mut found, limit);
    let bytes = found.iter().map(String::len).sum();
    let memory = call.app.memory.for_answer(bytes);
    let memory = memory.ok_or_else(ApiError::no_memory)?;
    let mut json = Vec::new();
    push_strings(&mut json, &found, Escape::Html);
    Ok(warn_if(over, Answer::json(json).holding(memory)))
}

fn warn_if(over: bool, answer: Answer) -> Answer {
    if over { answer.warn(TRUNCATED) } else { answer }
}
