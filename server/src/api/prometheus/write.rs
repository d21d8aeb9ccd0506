//! `/api/v1/write`: remote write from other servers.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use kymo_ingest::remote_write::{Reply, WriteError, unpacked_bytes};

use crate::app::App;
use crate::clock;
use crate::flags::WalSync;
use crate::http::body::BodyError;
use crate::http::error::plain;
use crate::work::memory::Refused;

/// Bytes of a body up to which a request is stored at once; larger ones, and those
/// that wait for the disk, let the runtime move its other work away from this thread
/// first. What Prometheus sends, two thousand samples, takes about a millisecond and is
/// below: each move costs a change of threads, and memory that every thread that ever
/// stored something holds on to.
const SHORT_BYTES: usize = 1 << 20;

/// Seconds until a sender is to try again: memory and disks are not free at once.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Stores a request where it was received, without handing it to another thread.
pub(crate) async fn write(State(app): State<Arc<App>>, request: Request) -> Response {
    if !app.flags.web.enable_remote_write {
        return plain(
            StatusCode::NOT_FOUND,
            "remote write receiver needs to be enabled with --web.enable-remote-write-receiver",
        );
    }
    let core = match app.core() {
        Ok(core) => core,
        Err(not_ready) => return not_ready.into_response(),
    };
    if let Err(full) = app.memory.admit(Refused::Write) {
        return try_later(plain(StatusCode::SERVICE_UNAVAILABLE, &full.to_string()));
    }
    let (parts, body) = request.into_parts();
    let limits = app.receiver.limits();
    let body = match app
        .bodies
        .read(&parts.headers, body, limits.body_bytes)
        .await
    {
        Ok(body) => body,
        Err(error) => return refused(&error),
    };
    let unpacked_bytes = unpacked_bytes(&body, limits);
    let Some(_unpacked) = app.memory.body(unpacked_bytes as u64) else {
        return refused(&BodyError::Busy);
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
    let short = body.len() <= SHORT_BYTES && app.flags.storage.wal_sync != WalSync::Always;
    let outcome = if short {
        store()
    } else {
        tokio::task::block_in_place(store)
    };
    if app.memory.received(unpacked_bytes) {
        app.memory.measured(core.store_bytes());
    }
    respond(outcome.reply())
}

pub(crate) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(super) fn refused(error: &BodyError) -> Response {
    match *error {
        BodyError::TooLarge { limit_bytes } => {
            respond(WriteError::BodyTooLarge { limit_bytes }.reply())
        }
        BodyError::TooSlow { .. } => plain(StatusCode::REQUEST_TIMEOUT, &error.to_string()),
        BodyError::Busy => try_later(plain(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())),
        BodyError::Broken(_) => plain(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn respond(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if reply.body.is_empty() {
        status.into_response()
    } else {
        (status, reply.body).into_response()
    };
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    match status {
        StatusCode::SERVICE_UNAVAILABLE => try_later(response),
        _ => response,
    }
}

/// Tells a sender when to come back. Prometheus repeats what is answered with 5xx, but
/// 429 only where it was told to.
pub(crate) fn try_later(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}
