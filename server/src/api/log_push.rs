//! Logs that are pushed: Loki's push in its two places, OpenTelemetry's, and JSON lines.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use kymo_ingest::loki::{Encoding, Format, LineFields, PushError, backfill_shard};
use kymo_ingest::wire::writer::put_bytes;
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
    let outcome = match Format::from_content_type(text(request.headers(), header::CONTENT_TYPE)) {
        Ok(format) => receive(&app, format, request).await,
        Err(wrong) => Err(wrong.into()),
    };
    respond(outcome)
}

/// `/otlp/v1/logs` and `/v1/logs`. Errors are a message of protobuf, and a sender repeats
/// what is answered with 503.
pub(crate) async fn otlp(State(app): State<Arc<App>>, request: Request) -> Response {
    let outcome = match otlp_format(request.headers()) {
        Ok(format) => receive(&app, format, request).await,
        Err(text) => Err(Refusal::new(StatusCode::BAD_REQUEST, text)),
    };
    let Err(refusal) = outcome else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let mut body = Vec::new();
    put_bytes(&mut body, 2, refusal.text.as_bytes());
    let status = match refusal.status {
        StatusCode::INTERNAL_SERVER_ERROR => StatusCode::SERVICE_UNAVAILABLE,
        status => status,
    };
    let octets = [(header::CONTENT_TYPE, "application/octet-stream")];
    with_retry(status, (status, octets, body).into_response())
}

fn otlp_format(headers: &HeaderMap) -> Result<Format<'static>, String> {
    match encoding_text(headers).unwrap_or("") {
        "" | "identity" | "gzip" | "zstd" | "lz4" => {}
        other => {
            return Err(format!(
                "unsupported content encoding {other}: only gzip, lz4 and zstd are supported"
            ));
        }
    }
    let content_type = text(headers, header::CONTENT_TYPE).unwrap_or("");
    match content_type.split(';').next().unwrap_or("").trim() {
        "application/x-protobuf" => Ok(Format::OtlpProtobuf),
        "application/json" => Ok(Format::OtlpJson),
        _ => Err(format!("content type: {content_type} is not supported")),
    }
}

/// `/insert/jsonline`.
pub(crate) async fn json_lines(State(app): State<Arc<App>>, request: Request) -> Response {
    match line_fields(&request) {
        Ok(fields) => respond(receive(&app, Format::JsonLines(&fields), request).await),
        Err(text) => plain(StatusCode::BAD_REQUEST, &text),
    }
}

/// `/flush`: what is in memory goes to parts on disk.
pub(crate) async fn flush(State(app): State<Arc<App>>) -> Response {
    let core = match app.core() {
        Ok(core) => Arc::clone(core),
        Err(not_ready) => return not_ready.into_response(),
    };
    let flushed = tokio::task::spawn_blocking(move || {
        core.logs.flush(&mut || std::ops::ControlFlow::Continue(()))
    });
    match flushed.await {
        Ok(Ok(_entries)) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => respond(Err(logs::PushError::from(error).into())),
        Err(panic) => plain(StatusCode::INTERNAL_SERVER_ERROR, &panic.to_string()),
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

/// Names a shard of what is pushed late.
const BACKFILL_SHARD: HeaderName = HeaderName::from_static("x-loki-backfill-shard");

/// Headers that say what the parameters of JSON lines say, in their order.
const HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("vl-stream-fields"),
    HeaderName::from_static("vl-msg-field"),
    HeaderName::from_static("vl-time-field"),
    HeaderName::from_static("vl-ignore-fields"),
];

/// Why a push was not stored, or not all of it.
struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, text: impl ToString) -> Refusal {
        Refusal {
            status,
            text: text.to_string(),
        }
    }
}

impl From<PushError> for Refusal {
    fn from(error: PushError) -> Refusal {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Refusal::new(status, error)
    }
}

/// A full disk empties and a failed one is replaced: the sender shall keep its data and try
/// again.
impl From<logs::PushError> for Refusal {
    fn from(error: logs::PushError) -> Refusal {
        let status = match &error {
            logs::PushError::Storage(
                StorageError::DiskFull { .. } | StorageError::Poisoned { .. },
            ) => StatusCode::SERVICE_UNAVAILABLE,
            logs::PushError::Storage(StorageError::TooLarge { .. }) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        match std::error::Error::source(&error) {
            Some(source) => Refusal::new(status, format!("{error}: {source}")),
            None => Refusal::new(status, error),
        }
    }
}

fn respond(outcome: Result<(), Refusal>) -> Response {
    match outcome {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(Refusal { status, text }) => with_retry(status, plain(status, &text)),
    }
}

fn with_retry(status: StatusCode, response: Response) -> Response {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => try_later(response),
        _ => response,
    }
}

async fn receive(app: &Arc<App>, format: Format<'_>, request: Request) -> Result<(), Refusal> {
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    let core = app
        .core()
        .map_err(|_not_ready| Refusal::new(busy, "Service Unavailable"))?;
    let admitted = app.memory.admit(Refused::Write);
    admitted.map_err(|full| Refusal::new(busy, full))?;
    let (parts, body) = request.into_parts();
    let shard = parts.headers.get(BACKFILL_SHARD);
    let shard = backfill_shard(shard.map_or(&[], HeaderValue::as_bytes))?;
    let encoding = Encoding::from_content_encoding(encoding_text(&parts.headers))?;
    let limit = app.logs.receiver.body_limits().body_bytes;
    let body = app.bodies.read(&parts.headers, body, limit).await;
    let body = body.map_err(|error| unread(app, &parts.headers, &error))?;
    let short = body.len() <= SHORT_BYTES && app.flags.storage.wal_sync != WalSync::Always;
    let store = || store(app, core, (format, encoding, shard), &body);
    match short {
        true => store(),
        false => tokio::task::block_in_place(store),
    }
}
/// Stores a body as it was sent.
fn store(
    app: &App,
    core: &Core,
    (format, encoding, shard): (Format<'_>, Encoding, Option<&str>),
    body: &[u8],
) -> Result<(), Refusal> {
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
    let mut buffers = receiver.buffers();
    let form = (format, encoding);
    let now_ns = clock::now_ns();
    let admitted = receiver.admit_backfill(form, shard, body, &mut buffers, &mut reserve, now_ns);
    if app.memory.received(taken_bytes) {
        app.memory.measured(core.store_bytes());
    }
    let mut admitted = admitted?;
    if !admitted.batches.is_empty() {
        let pushed = core.logs.push(&admitted.batches)?;
        app.live.offer(&admitted.batches);
        receiver.stored(&mut admitted, &pushed);
    }
    let rules = receiver.rules();
    let outcome = admitted.outcome(rules.limits());
    drop(admitted);
    receiver.keep(buffers);
    Ok(outcome?)
}

fn encoding_text(headers: &HeaderMap) -> Option<&str> {
    text(headers, header::CONTENT_ENCODING)
}

/// Says why the body was not read.
fn unread(app: &App, headers: &HeaderMap, error: &BodyError) -> Refusal {
    let status = match *error {
        BodyError::TooLarge { limit_bytes } => {
            let announced = text(headers, header::CONTENT_LENGTH);
            let announced = announced.and_then(|length| length.parse().ok());
            let found = announced.unwrap_or(limit_bytes + 1);
            app.logs.receiver.too_large(found);
            return PushError::TooLarge {
                what: "message",
                found,
                limit: limit_bytes,
            }
            .into();
        }
        BodyError::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
        BodyError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        BodyError::Broken(_) => StatusCode::BAD_REQUEST,
    };
    Refusal::new(status, error)
}
