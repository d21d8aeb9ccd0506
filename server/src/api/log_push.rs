//! Logs that are pushed: Loki's push in its two places, and JSON lines.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode, header};
use kymo_ingest::loki::{Buffers, Encoding, Format, LineFields, PushError};
use kymo_storage::StorageError;
use kymo_storage::logs;

use super::prometheus::write::{text, try_later};
use crate::app::{App, Core};
use crate::clock;
use crate::flags::WalSync;
use crate::http::body::BodyError;
use crate::http::error::plain;
use crate::http::params::Params;
use crate::work::memory::Refused;

/// Bytes of a body up to which a push is stored at once; larger ones let the runtime move
/// its other work away from this thread first.
const SHORT_BYTES: usize = 128 << 10;

/// `/loki/api/v1/push` and `/api/prom/push`.
pub(crate) async fn push(State(app): State<Arc<App>>, request: Request) -> Response {
    let format = Format::from_content_type(text(request.headers(), header::CONTENT_TYPE));
    receive(&app, format, request).await
}

/// `/insert/jsonline`.
pub(crate) async fn json_lines(State(app): State<Arc<App>>, request: Request) -> Response {
    match line_fields(&request) {
        Ok(fields) => receive(&app, Format::JsonLines(&fields), request).await,
        Err(text) => plain(StatusCode::BAD_REQUEST, &text),
    }
}

/// Returns what the parameters, or headers in their place, say of the fields of lines.
fn line_fields(request: &Request) -> Result<LineFields, String> {
    let params = Params::decode(request.uri().query(), None);
    if let Some(defect) = params.defect() {
        return Err(defect.to_owned());
    }
    let mut fields = LineFields::default();
    for (parameter, name) in LineFields::PARAMETERS.into_iter().zip(HEADERS) {
        let by_header = text(request.headers(), name).unwrap_or("");
        let names = match params.get(parameter) {
            "" => by_header,
            names => names,
        };
        if !names.is_empty() {
            fields.set(parameter, names);
        }
    }
    Ok(fields)
}

/// Headers that say what the parameters of JSON lines say, in their order.
const HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("vl-stream-fields"),
    HeaderName::from_static("vl-msg-field"),
    HeaderName::from_static("vl-time-field"),
    HeaderName::from_static("vl-ignore-fields"),
];

async fn receive(app: &Arc<App>, format: Format<'_>, request: Request) -> Response {
    let core = match app.core() {
        Ok(core) => core,
        Err(not_ready) => return not_ready.into_response(),
    };
    if let Err(full) = app.memory.admit(Refused::Write) {
        return try_later(plain(StatusCode::SERVICE_UNAVAILABLE, &full.to_string()));
    }
    let (parts, body) = request.into_parts();
    let encoding = match Encoding::from_content_encoding(encoding_text(&parts.headers)) {
        Ok(encoding) => encoding,
        Err(error) => return refused(&error),
    };
    let limit = app.logs.receiver.body_limits().body_bytes;
    let body = match app.bodies.read(&parts.headers, body, limit).await {
        Ok(body) => body,
        Err(error) => return unread(app, &parts.headers, &error),
    };
    let short = body.len() <= SHORT_BYTES && app.flags.storage.wal_sync != WalSync::Always;
    let store = || store(app, core, (format, encoding), &body);
    let outcome = match short {
        true => store(),
        false => tokio::task::block_in_place(store),
    };
    match outcome {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(Failure::Push(error)) => refused(&error),
        Err(Failure::Store(error)) => not_stored(&error),
    }
}

enum Failure {
    Push(PushError),
    Store(logs::PushError),
}

/// Stores a body as it was sent.
fn store(app: &App, core: &Core, form: (Format<'_>, Encoding), body: &[u8]) -> Result<(), Failure> {
    let mut held = Vec::new();
    let mut taken_bytes = body.len();
    let mut reserve = |bytes: usize| match app.memory.body(bytes as u64) {
        Some(memory) => {
            held.push(memory);
            taken_bytes += bytes;
            true
        }
        None => false,
    };
    let receiver = &app.logs.receiver;
    let mut buffers = Buffers::default();
    let admitted = receiver.admit(form, body, &mut buffers, &mut reserve, clock::now_ns());
    if app.memory.received(taken_bytes) {
        app.memory.measured(core.store_bytes());
    }
    let mut admitted = admitted.map_err(Failure::Push)?;
    if !admitted.batches.is_empty() {
        let pushed = core.logs.push(&admitted.batches).map_err(Failure::Store)?;
        app.live.offer(&admitted.batches);
        receiver.stored(&mut admitted, &pushed);
    }
    let rules = receiver.rules();
    admitted.outcome(rules.limits()).map_err(Failure::Push)
}

fn encoding_text(headers: &HeaderMap) -> Option<&str> {
    text(headers, header::CONTENT_ENCODING)
}

/// Answers where the body was not read.
fn unread(app: &App, headers: &HeaderMap, error: &BodyError) -> Response {
    match *error {
        BodyError::TooLarge { limit_bytes } => {
            let announced = text(headers, header::CONTENT_LENGTH);
            let announced = announced.and_then(|length| length.parse().ok());
            let found = announced.unwrap_or(limit_bytes + 1);
            app.logs.receiver.too_large(found);
            refused(&PushError::TooLarge {
                what: "message",
                found,
                limit: limit_bytes,
            })
        }
        BodyError::TooSlow { .. } => plain(StatusCode::REQUEST_TIMEOUT, &error.to_string()),
        BodyError::Busy => try_later(plain(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())),
        BodyError::Broken(_) => plain(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn refused(error: &PushError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let response = plain(status, &error.to_string());
    match status {
        StatusCode::SERVICE_UNAVAILABLE => try_later(response),
        _ => response,
    }
}

/// Answers where the store took nothing. A full disk empties and a failed one is replaced:
/// the sender shall keep its data and try again.
fn not_stored(error: &logs::PushError) -> Response {
    let status = match error {
        logs::PushError::Storage(StorageError::DiskFull { .. } | StorageError::Poisoned { .. }) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        logs::PushError::Storage(StorageError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let text = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let response = plain(status, &text);
    match status {
        StatusCode::SERVICE_UNAVAILABLE => try_later(response),
        _ => response,
    }
}
