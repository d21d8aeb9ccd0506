//! `/api/v1/write`: remote write from other servers.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use kymo_ingest::remote_write::{Reply, WriteError};

use crate::app::App;
use crate::clock;
use crate::flags::WalSync;
use crate::http::body::BodyError;
use crate::http::error::plain;

/// Bytes of a body up to which a request is stored at once; larger ones, and those
/// that wait for the disk, let the runtime move its other work away from this thread
/// first. What Prometheus sends, two thousand samples, takes about a millisecond and is
/// below: each move costs a change of threads, and memory that every thread that ever
/// stored something holds on to.
const SHORT_BYTES: usize = 1 << 20;

/// Stores a request where it was received, without handing it to another thread.
pub(crate) async fn write(State(app): State<Arc<App>>, request: Request) -> Response {
    if !app.flags.enable_remote_write {
        return plain(
            StatusCode::NOT_FOUND,
            "remote write receiver needs to be enabled with --web.enable-remote-write-receiver",
        );
    }
    let core = match app.core() {
        Ok(core) => core,
        Err(not_ready) => return not_ready.into_response(),
    };
    let (parts, body) = request.into_parts();
    let limit_bytes = app.receiver.limits().body_bytes;
    let body = match app.bodies.read(&parts.headers, body, limit_bytes).await {
        Ok(body) => body,
        Err(error) => return refused(&error),
    };
    let store = || {
        app.receiver.receive(
            &core.store,
            text(&parts.headers, header::CONTENT_TYPE),
            text(&parts.headers, header::CONTENT_ENCODING),
            &body,
            clock::now_ms(),
        )
    };
    let short = body.len() <= SHORT_BYTES && app.flags.wal_sync != WalSync::Always;
    let outcome = if short {
        store()
    } else {
        tokio::task::block_in_place(store)
    };
    match outcome {
        Ok(receipt) => respond(&receipt.reply()),
        Err(error) => respond(&error.reply()),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn refused(error: &BodyError) -> Response {
    match *error {
        BodyError::TooLarge { limit_bytes } => {
            respond(&WriteError::BodyTooLarge { limit_bytes }.reply())
        }
        BodyError::TooSlow { .. } => plain(StatusCode::REQUEST_TIMEOUT, &error.to_string()),
        BodyError::Busy => plain(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        BodyError::Broken(_) => plain(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn respond(reply: &Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if reply.body.is_empty() {
        status.into_response()
    } else {
        (status, reply.body.clone()).into_response()
    };
    for (name, value) in reply.headers {
        if let Ok(name) = HeaderName::try_from(*name) {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
