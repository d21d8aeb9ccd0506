//! What a handler is given: the app, what exists once it is ready, the parameters.

use std::sync::Arc;

use axum::extract::{FromRequest, OriginalUri, Request};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use kymo_storage::StorageError;

use crate::app::{App, Core, NotReady};
use crate::http::body::BodyError;
use crate::http::error::{ApiError, ErrorKind, plain};
use crate::http::listener::Peer;
use crate::http::params::Params;
use crate::work::query_log::{Origin, QueryTags};

/// Bytes of a form body; Go's limit.
const MAX_FORM_BYTES: usize = 10 << 20;

/// A call to a server that is ready.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) params: Params,
    pub(crate) origin: Origin,
}

impl Call {
    /// Returns what exists once the server is ready.
    ///
    /// # Errors
    /// The server began to stop after the call was accepted.
    pub(crate) fn core(&self) -> Result<&Arc<Core>, ApiError> {
        self.app
            .core()
            .map_err(|_stopping| ApiError::new(ErrorKind::Unavailable, "TSDB not ready"))
    }
}

impl Call {
    /// Runs something that reads the store on the query pool.
    ///
    /// # Errors
    /// The store could not be read, or the job panicked.
    pub(crate) async fn lookup<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, ApiError> {
        match self.app.queries.lookup(job).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(ApiError::from(&error)),
            Err(stopped) => Err(ApiError::internal(stopped.to_string())),
        }
    }
}

impl FromRequest<Arc<App>> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Call, Response> {
        app.core().map_err(IntoResponse::into_response)?;
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<Peer>();
        let origin = Origin::Http {
            client_ip: peer.map_or_else(String::new, |Peer(ip)| ip.to_string()),
            method: parts.method.to_string(),
            // The whole path, of which a router may have cut the prefix.
            path: parts
                .extensions
                .get::<OriginalUri>()
                .map_or(&parts.uri, |OriginalUri(uri)| uri)
                .path()
                .to_owned(),
            tags: QueryTags::read(
                parts
                    .headers
                    .get("x-query-tags")
                    .map_or(b"", |v| v.as_bytes()),
            ),
        };
        let form = if has_form(&parts.method, &parts.headers) {
            let read = app.bodies.read(&parts.headers, body, MAX_FORM_BYTES).await;
            Some(read.map_err(|error| form_error(&error).into_response())?)
        } else {
            None
        };
        Ok(Call {
            app: Arc::clone(app),
            params: Params::decode(parts.uri.query(), form.as_deref()),
            origin,
        })
    }
}

/// Go reads a form from these methods and this type only; any other body counts as
/// missing parameters.
fn has_form(method: &Method, headers: &HeaderMap) -> bool {
    let method = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    method
        && content_type
            .is_some_and(|text| text.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

fn form_error(error: &BodyError) -> ApiError {
    let status = match error {
        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
        BodyError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        BodyError::Broken(_) => StatusCode::BAD_REQUEST,
    };
    ApiError::bad_data(format!("error parsing form values: {error}")).with_status(status)
}

impl IntoResponse for NotReady {
    fn into_response(self) -> Response {
        let stopping = match self {
            NotReady::Starting => "false",
            NotReady::Stopping => "true",
        };
        let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        response
            .headers_mut()
            .insert("X-Prometheus-Stopping", HeaderValue::from_static(stopping));
        response
    }
}
