//! Health, readiness, shutdown and our own metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use kymo_storage::StorageError;

use super::call::Call;
use crate::app::App;
use crate::http::compress::Compressible;
use crate::http::error::{plain, plain_text};
use crate::observe::build;
use crate::observe::exposition::Format;
use crate::observe::metrics;

/// `GET /-/healthy`: the process lives.
pub(crate) async fn healthy(method: Method) -> Response {
    if method == Method::HEAD {
        return StatusCode::OK.into_response();
    }
    plain_text(StatusCode::OK, "Prometheus Server is Healthy.\n")
}

/// `GET /-/ready`: the store is open and takes writes.
pub(crate) async fn ready(State(app): State<Arc<App>>, method: Method) -> Response {
    match app.core() {
        Ok(core) => {
            let poisoned = core.store.poisoned().or_else(|| core.logs.poisoned());
            readiness(poisoned, &method)
        }
        Err(not_ready) => not_ready.into_response(),
    }
}

fn readiness(poisoned: Option<String>, method: &Method) -> Response {
    match poisoned {
        Some(reason) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("Service Unavailable: {}", StorageError::Poisoned { reason }),
        ),
        None if method == Method::HEAD => StatusCode::OK.into_response(),
        None => plain_text(StatusCode::OK, "Prometheus Server is Ready.\n"),
    }
}

/// `POST /-/quit`: stops the server cleanly.
pub(crate) async fn quit(State(app): State<Arc<App>>, method: Method) -> Response {
    if let Some(refused) = refused(&app, &method) {
        return refused;
    }
    let text = if app.quit() {
        "Requesting termination... Goodbye!"
    } else {
        "Termination already in progress."
    };
    plain_text(StatusCode::OK, text)
}

/// `POST /-/reload`: reads the configuration again and waits for the outcome.
pub(crate) async fn reload(State(app): State<Arc<App>>, method: Method) -> Response {
    if let Some(refused) = refused(&app, &method) {
        return refused;
    }
    match app.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(problem) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("failed to reload config: {problem}"),
        ),
    }
}

/// Refuses a call that changes the server's life by a wrong method, or while they
/// are off.
fn refused(app: &App, method: &Method) -> Option<Response> {
    if !matches!(*method, Method::POST | Method::PUT) {
        return Some(plain_text(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only POST or PUT requests allowed",
        ));
    }
    if !app.flags.web.enable_lifecycle {
        return Some(plain_text(
            StatusCode::FORBIDDEN,
            "Lifecycle API is not enabled.",
        ));
    }
    None
}

/// `GET /metrics`: what Kymo says of itself.
pub(crate) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let format = Format::asked(&headers);
    let text = metrics::exposition(&app, format);
    let mut response = text.into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(format.content_type()),
    );
    response.extensions_mut().insert(Compressible);
    response
}

/// `GET /version`: what is running, as JSON sent as text.
pub(crate) async fn version(_ready: Call) -> Response {
    let info = serde_json::to_string(&build::info()).unwrap_or_default();
    plain_text(StatusCode::OK, info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_cannot_store_is_not_ready_and_says_why() {
        let ready = readiness(None, &Method::GET);
        assert_eq!(ready.status(), StatusCode::OK);
        let reason = "fsync wal/0000/00000001: input/output error".to_owned();
        let response = readiness(Some(reason.clone()), &Method::GET);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = axum::body::to_bytes(response.into_body(), 4096).await;
        let text = String::from_utf8(body.unwrap().to_vec()).unwrap();
        assert!(text.contains(&reason), "{text}");
        assert!(text.contains("restart"), "{text}");
    }
}
