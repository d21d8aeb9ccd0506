//! The one place where errors become HTTP.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use kymo_query::QueryError;
use kymo_storage::StorageError;

use super::compress::Compressible;
use super::json::{self, Escape};

/// What kind of failure the API reports, with its name and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// A parameter or an expression is wrong.
    BadData,
    /// The evaluation failed.
    Execution,
    /// The client went away or the server is stopping.
    Canceled,
    /// The evaluation took longer than it may.
    Timeout,
    /// The store or the program failed.
    Internal,
    /// The function is switched off or not there yet.
    Unavailable,
}

impl ErrorKind {
    fn name(self) -> &'static str {
        match self {
            ErrorKind::BadData => "bad_data",
            ErrorKind::Execution => "execution",
            ErrorKind::Canceled => "canceled",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Internal => "internal",
            ErrorKind::Unavailable => "unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            ErrorKind::BadData => StatusCode::BAD_REQUEST,
            ErrorKind::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Canceled => StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
            ErrorKind::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Internal | ErrorKind::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A failed call of `/api/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    kind: ErrorKind,
    message: String,
    status: Option<StatusCode>,
}

impl ApiError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> ApiError {
        ApiError {
            kind,
            message: message.into(),
            status: None,
        }
    }

    /// A wrong request, in the words given.
    pub(crate) fn bad_data(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorKind::BadData, message)
    }

    /// A wrong parameter: `invalid parameter "NAME": CAUSE`.
    pub(crate) fn parameter(name: &str, cause: impl std::fmt::Display) -> ApiError {
        ApiError::bad_data(format!("invalid parameter \"{name}\": {cause}"))
    }

    /// The store or the program failed.
    pub(crate) fn internal(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorKind::Internal, message)
    }

    /// There is no memory left to make the answer in.
    pub(crate) fn no_memory() -> ApiError {
        let text = format!("{} (--memory.limit)", QueryError::NoMemory);
        ApiError::new(ErrorKind::Unavailable, text).with_status(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Returns the status that it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| self.kind.status())
    }

    /// Returns what is wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Answers with another status than the kind's own.
    pub(crate) fn with_status(mut self, status: StatusCode) -> ApiError {
        self.status = Some(status);
        self
    }
}

impl From<&StorageError> for ApiError {
    fn from(error: &StorageError) -> ApiError {
        ApiError::internal(with_causes(error))
    }
}

/// Returns the text of an error with its causes, each after a colon.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(64 + self.message.len());
        body.extend_from_slice(b"{\"status\":\"error\",\"errorType\":\"");
        body.extend_from_slice(self.kind.name().as_bytes());
        body.extend_from_slice(b"\",\"error\":");
        json::push_string(&mut body, &self.message, Escape::Html);
        body.push(b'}');
        let mut response = (self.status(), body).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        response.extensions_mut().insert(Compressible);
        response
    }
}

/// Answers in plain text, ending in a line break, as Go's `http.Error` does.
pub(crate) fn plain(status: StatusCode, message: &str) -> Response {
    let mut response = plain_text(status, format!("{message}\n"));
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Answers in plain text, exactly as given.
pub(crate) fn plain_text(status: StatusCode, text: impl Into<String>) -> Response {
    let mut response = (status, text.into()).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_have_their_status_type_and_escaped_text() {
        for (error, status, body) in [
            (
                ApiError::parameter("step", "cannot parse \"x\" to a valid duration"),
                400,
                r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": cannot parse \"x\" to a valid duration"}"#,
            ),
            (
                ApiError::new(ErrorKind::Execution, "a < b"),
                422,
                r#"{"status":"error","errorType":"execution","error":"a \u003c b"}"#,
            ),
            (
                ApiError::new(ErrorKind::Canceled, "query was canceled"),
                499,
                r#"{"status":"error","errorType":"canceled","error":"query was canceled"}"#,
            ),
            (
                ApiError::bad_data("too large").with_status(StatusCode::PAYLOAD_TOO_LARGE),
                413,
                r#"{"status":"error","errorType":"bad_data","error":"too large"}"#,
            ),
        ] {
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()["content-type"], "application/json");
            let bytes = axum::body::to_bytes(response.into_body(), 4096)
                .await
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&bytes), body);
        }
    }
}
