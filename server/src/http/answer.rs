//! Successful answers of `/api/v1`: the envelope around data, warnings and infos.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use kymo_query::MemoryGrant;
use serde::Serialize;

use super::compress::Compressible;
use super::error::ApiError;
use super::json::{self, Escape};

/// What a handler of `/api/v1` returns.
pub(crate) type ApiResult = Result<Answer, ApiError>;

/// Data with the notes about it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Answer {
    data: Option<Vec<u8>>,
    warnings: Vec<String>,
    memory: Option<Arc<MemoryGrant>>,
}

impl Answer {
    /// Answers with finished JSON.
    pub(crate) fn json(data: Vec<u8>) -> Answer {
        Answer {
            data: Some(data),
            ..Answer::default()
        }
    }

    /// Answers with a value, its strings escaped for HTML.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub(crate) fn value<T: Serialize>(value: &T) -> ApiResult {
        let text = serde_json::to_vec(value)
            .map_err(|error| ApiError::internal(format!("error marshaling response: {error}")))?;
        Ok(Answer::json(json::escape_html(&text)))
    }

    /// Answers that there is nothing to say: status 204.
    pub(crate) fn nothing() -> Answer {
        Answer::default()
    }

    /// Keeps memory that was taken for the data until the client has it.
    pub(crate) fn holding(mut self, memory: Arc<MemoryGrant>) -> Answer {
        self.memory = Some(memory);
        self
    }

    /// Adds a warning.
    pub(crate) fn warn(mut self, warning: impl Into<String>) -> Answer {
        self.warnings.push(warning.into());
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let Some(data) = self.data else {
            return StatusCode::NO_CONTENT.into_response();
        };
        let mut body = Vec::with_capacity(data.len() + 64);
        push_head(&mut body);
        body.extend_from_slice(&data);
        push_tail(&mut body, &self.warnings, &[]);
        let held = Held {
            body,
            _memory: self.memory,
        };
        json_response(axum::body::Body::from(Bytes::from_owner(held)))
    }
}

/// A finished body with the memory that was taken for it.
struct Held {
    body: Vec<u8>,
    _memory: Option<Arc<MemoryGrant>>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// Appends the envelope up to the data.
pub(crate) fn push_head(body: &mut Vec<u8>) {
    body.extend_from_slice(b"{\"status\":\"success\",\"data\":");
}

/// Appends the envelope behind the data.
pub(crate) fn push_tail(body: &mut Vec<u8>, warnings: &[String], infos: &[String]) {
    for (name, notes) in [("warnings", warnings), ("infos", infos)] {
        if !notes.is_empty() {
            body.push(b',');
            json::push_string(body, name, Escape::Html);
            body.push(b':');
            json::push_strings(body, notes, Escape::Html);
        }
    }
    body.push(b'}');
}

/// Wraps a body that holds JSON.
pub(crate) fn json_response(body: axum::body::Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response.extensions_mut().insert(Compressible);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(answer: Answer) -> (u16, String) {
        let response = answer.into_response();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 4096)
            .await
            .unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn the_envelope_names_warnings_only_where_there_are_some() {
        let answer = Answer::value(&["a<b"]).unwrap();
        assert_eq!(
            text(answer.clone()).await,
            (
                200,
                r#"{"status":"success","data":["a\u003cb"]}"#.to_owned()
            )
        );
        assert_eq!(
            text(answer.warn("results truncated due to limit")).await.1,
            r#"{"status":"success","data":["a\u003cb"],"warnings":["results truncated due to limit"]}"#
        );
        assert_eq!(text(Answer::nothing()).await, (204, String::new()));
    }
}
