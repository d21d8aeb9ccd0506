//! Printing a query in its usual form.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::answer::{bare, data};
use super::error::LokiResult;
use crate::api::call::Call;

/// What is wrong with a query, which here alone is told in JSON.
#[derive(Debug, Serialize)]
struct Invalid {
    status: &'static str,
    error: String,
}

/// `/loki/api/v1/format_query`
pub(crate) async fn format_query(call: Call) -> LokiResult {
    let formatted = kymo_query::logql::format_query(call.params.get("query"));
    let mut response: Response = match formatted {
        Ok(text) => data(&text)?,
        Err(error) => {
            let mut response = bare(&Invalid {
                status: "invalid-query",
                error: error.to_string(),
            })?;
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    };
    // The case of the letters is that of this call.
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
