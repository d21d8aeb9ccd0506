//! How Loki's routes say that something is wrong: plain text, and the status.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use kymo_storage::StorageError;

use crate::http::error::{ApiError, plain_text, with_causes};
use crate::work::queries::Stopped;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LokiError {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

/// What a handler returns.
pub(crate) type LokiResult = Result<Response, LokiError>;

impl LokiError {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> LokiError {
        LokiError {
            status,
            text: text.into(),
        }
    }

    /// A wrong request.
    pub(super) fn bad(text: impl Into<String>) -> LokiError {
        LokiError::new(StatusCode::BAD_REQUEST, text)
    }

    /// The same with an end of line, which the calls have that change something.
    pub(super) fn with_line_end(mut self) -> LokiError {
        self.text.push('\n');
        self
    }

    /// The store or the program failed.
    pub(super) fn internal(text: impl Into<String>) -> LokiError {
        LokiError::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// There is no memory left to make the answer in.
    pub(super) fn no_memory() -> LokiError {
        let text = format!("{} (--memory.limit)", kymo_query::QueryError::NoMemory);
        LokiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    /// The query took longer than it may.
    pub(super) fn timeout() -> LokiError {
        LokiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            "request timed out, decrease the duration of the request or add more label matchers \
             (prefer exact match over regex match) to reduce the amount of data processed, or \
             raise --query.timeout",
        )
    }

    /// The client went away, or the server stops.
    pub(super) fn canceled(text: impl Into<String>) -> LokiError {
        let status = StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT);
        LokiError::new(status, text)
    }
}

impl From<&StorageError> for LokiError {
    fn from(error: &StorageError) -> LokiError {
        LokiError::internal(with_causes(error))
    }
}

impl From<ApiError> for LokiError {
    fn from(error: ApiError) -> LokiError {
        LokiError::new(error.status(), error.message())
    }
}

impl From<Stopped> for LokiError {
    fn from(stopped: Stopped) -> LokiError {
        match stopped {
            Stopped::QueueTimeout => LokiError::timeout(),
            Stopped::ShuttingDown => LokiError::canceled(stopped.to_string()),
            Stopped::Panicked => LokiError::internal(stopped.to_string()),
        }
    }
}

impl IntoResponse for LokiError {
    fn into_response(self) -> Response {
        let mut response = plain_text(self.status, self.text);
        response.headers_mut().insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_are_plain_text_that_nobody_guesses_at() {
        let response = LokiError::bad("limit must be a positive value").into_response();
        assert_eq!(response.status(), 400);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let body = axum::body::to_bytes(response.into_body(), 100).await;
        assert_eq!(body.unwrap(), "limit must be a positive value");
        let ended = LokiError::bad("query not set").with_line_end();
        let body = axum::body::to_bytes(ended.into_response().into_body(), 100).await;
        assert_eq!(body.unwrap(), "query not set\n");
    }
}
