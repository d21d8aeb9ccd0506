//! Printing a query in its usual form.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::answer::{bare, data};
use super::error::LokiResult;
use crate::api::call::Call;

/// `/loki/api/v1/format_query`
pub(crate) async fn format_query(call: Call) -> LokiResult {
    match kymo_query::logql::format_query(call.params.get("query")) {
        Ok(text) => data(&text),
        Err(error) => {
            // Here alone what is wrong is told in JSON.
            let body = json!({"status": "invalid-query", "error": error.to_string()});
            let mut response: Response = bare(&body)?.into_response();
            *response.status_mut() = StatusCode::BAD_REQUEST;
            Ok(response)
        }
    }
}
