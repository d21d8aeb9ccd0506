//! Calls of the HTTP API, and how their errors read.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use super::{Reply, Server, form};

/// Longest time to wait for an answer, as with promtool.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a call of the API answers.
#[derive(Debug)]
pub(crate) struct ApiReply {
    pub(crate) data: Value,
    pub(crate) warnings: Vec<String>,
}

/// Why a call failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    message: String,
    detail: String,
}

impl ApiError {
    pub(crate) fn new(message: impl Into<String>) -> ApiError {
        ApiError {
            message: message.into(),
            detail: String::new(),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.detail.trim() {
            "" => Ok(()),
            detail => write!(f, " (detail: {detail})"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    status: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

impl Server {
    /// Calls the API with parameters in a form, and in the URL where the server takes no
    /// form there.
    ///
    /// # Errors
    /// There is no answer, or it is an error.
    pub(crate) fn call(&self, path: &str, params: &[(&str, String)]) -> Result<ApiReply, ApiError> {
        let form = form(params);
        let kind = [(CONTENT_TYPE, "application/x-www-form-urlencoded")];
        let body = Bytes::from(form.clone());
        let reply = self
            .post(path, &kind, body, TIMEOUT)
            .map_err(ApiError::new)?;
        match reply.status {
            405 | 501 => self.call_by_url(path, &form),
            _ => understand(&reply),
        }
    }

    /// Calls the API with parameters in the URL.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) fn call_by_url(&self, path: &str, form: &str) -> Result<ApiReply, ApiError> {
        let path = match form.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{form}"),
        };
        let reply = self.get(&path, TIMEOUT).map_err(ApiError::new)?;
        understand(&reply)
    }
}

fn understand(reply: &Reply) -> Result<ApiReply, ApiError> {
    let status = reply.status;
    // The statuses of errors in the API's own words.
    let is_api_error = matches!(status, 400 | 422);
    if status / 100 != 2 && !is_api_error {
        let message = match status / 100 {
            4 => format!("client_error: client error: {status}"),
            5 => format!("server_error: server error: {status}"),
            _ => format!("bad_response: bad response code {status}"),
        };
        return Err(ApiError {
            message,
            detail: String::from_utf8_lossy(&reply.body).into_owned(),
        });
    }
    let envelope: Envelope = serde_json::from_slice(&reply.body)
        .map_err(|error| ApiError::new(format!("bad_response: {error}")))?;
    match (is_api_error, envelope.status == "error") {
        (true, true) => Err(ApiError::new(format!(
            "{}: {}",
            envelope.error_type, envelope.error
        ))),
        (false, false) => Ok(ApiReply {
            data: envelope.data,
            warnings: envelope.warnings,
        }),
        _ => Err(ApiError::new(
            "bad_response: inconsistent body for response code",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, body: &'static str) -> Result<Value, String> {
        let reply = Reply {
            status,
            status_text: String::new(),
            body: Bytes::from_static(body.as_bytes()),
        };
        match understand(&reply) {
            Ok(reply) => Ok(reply.data),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn errors_read_as_those_of_the_client_for_go() {
        let data = outcome(200, r#"{"status":"success","data":[1]}"#);
        assert_eq!(data.unwrap(), serde_json::json!([1]));
        for (status, body, text) in [
            (
                400,
                r#"{"status":"error","errorType":"bad_data","error":"no"}"#,
                "bad_data: no",
            ),
            (
                404,
                "404 page not found\n",
                "client_error: client error: 404 (detail: 404 page not found)",
            ),
            (503, "", "server_error: server error: 503"),
            (302, "", "bad_response: bad response code 302"),
            (
                400,
                r#"{"status":"success"}"#,
                "bad_response: inconsistent body for response code",
            ),
        ] {
            assert_eq!(outcome(status, body).unwrap_err(), text);
        }
        assert!(
            outcome(200, "<html>")
                .unwrap_err()
                .starts_with("bad_response: ")
        );
    }
}
