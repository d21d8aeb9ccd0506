//! Successful answers: JSON on one line, its end, and the headers.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, header};
use kymo_query::MemoryGrant;
use serde::Serialize;

use super::error::{LokiError, LokiResult};
use crate::http::answer::json_response;
use crate::http::json;

/// Marks a body as what it is.
pub(super) fn json_body(body: Body) -> Response {
    let mut response = json_response(body);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=UTF-8"),
    );
    response
}

/// Answers with finished JSON. Memory that was taken for it is kept until the client has it.
pub(super) fn finished(mut text: Vec<u8>, memory: Option<Arc<MemoryGrant>>) -> Response {
    text.push(b'\n');
    let held = Held {
        text,
        _memory: memory,
    };
    json_body(Body::from(Bytes::from_owner(held)))
}

struct Held {
    text: Vec<u8>,
    _memory: Option<Arc<MemoryGrant>>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// Answers with a value as it is, without an envelope.
pub(super) fn bare<T: Serialize>(value: &T) -> LokiResult {
    Ok(finished(text(value)?, None))
}

/// Answers with a value in the envelope of a success.
pub(super) fn data<T: Serialize>(value: &T) -> LokiResult {
    let mut out = Vec::new();
    push_head(&mut out, &[]);
    out.extend_from_slice(&text(value)?);
    out.push(b'}');
    Ok(finished(out, None))
}

/// Appends the envelope up to the data.
pub(super) fn push_head(out: &mut Vec<u8>, warnings: &[String]) {
    out.extend_from_slice(b"{\"status\":\"success\",");
    if !warnings.is_empty() {
        out.extend_from_slice(b"\"warnings\":");
        json::push_strings(out, warnings, json::Escape::Html);
        out.push(b',');
    }
    out.extend_from_slice(b"\"data\":");
}

fn text<T: Serialize>(value: &T) -> Result<Vec<u8>, LokiError> {
    let text = serde_json::to_vec(value).map_err(|error| LokiError::internal(error.to_string()))?;
    Ok(json::escape_html(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_escape_html_and_end_in_a_line_break() {
        let response = data(&["a<b>&c"]).unwrap();
        let content_type = &response.headers()["content-type"];
        assert_eq!(content_type, "application/json; charset=UTF-8");
        let body = axum::body::to_bytes(response.into_body(), 1000).await;
        let expected = "{\"status\":\"success\",\"data\":[\"a\\u003cb\\u003e\\u0026c\"]}\n";
        assert_eq!(body.unwrap(), expected);
        let mut head = Vec::new();
        push_head(&mut head, &["w".to_owned()]);
        let expected = r#"{"status":"success","warnings":["w"],"data":"#;
        assert_eq!(head, expected.as_bytes());
    }
}
