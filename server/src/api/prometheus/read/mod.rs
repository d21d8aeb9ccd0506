//! `/api/v1/read`: what other servers read of this one.
//!
//! A reader sends queries and says how it wants them answered: all samples in one packed
//! message, or encoded chunks in many small ones, each behind its length and a checksum.
//! The first is made whole and counted in memory, the second made while the reader
//! takes it, one piece at a time. Neither waits for a place among queries; remote readers
//! have a gate of their own.
//!
//! Upstream source: `storage/remote` of Prometheus, `read_handler.go` and `codec.go`.

mod chunks;
mod request;
mod samples;
mod series;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use kymo_storage::StorageError;

use crate::app::App;
use crate::http::body::BodyError;
use crate::http::error::{plain, with_causes};
use request::{MAX_REQUEST_BYTES, ReadRequest, RequestError, ResponseType, Wanted};

/// `/api/v1/read`
pub(crate) async fn read(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request).await.unwrap_or_else(|error| error)
}

async fn answer(app: &Arc<App>, request: Request) -> Result<Response, Response> {
    app.core().map_err(IntoResponse::into_response)?;
    let admitted = app.remote_reads.enter().await;
    let (parts, body) = request.into_parts();
    let body = app
        .bodies
        .read(&parts.headers, body, MAX_REQUEST_BYTES)
        .await
        .map_err(|error| not_read(&error))?;
    let len = request::unpacked_len(&body).map_err(|error| wrong(&error))?;
    let unpacked = app.memory.body(len as u64);
    let unpacked = unpacked.ok_or_else(|| not_read(&BodyError::Busy))?;
    let read = app
        .queries
        .lookup(move || ReadRequest::read(&request::unpack(&body)?))
        .await
        .map_err(|stopped| plain(StatusCode::INTERNAL_SERVER_ERROR, &stopped.to_string()))?
        .map_err(|error| wrong(&error))?;
    drop(unpacked);
    let kind = read.response_type().map_err(|error| wrong(&error))?;
    let external = app.config.current().global.external_labels.clone();
    let queries: Result<Vec<Wanted>, String> = read
        .queries
        .iter()
        .map(|query| query.wanted(&external))
        .collect();
    let queries = queries.map_err(|text| plain(StatusCode::INTERNAL_SERVER_ERROR, &text))?;
    let asked = Asked { queries, external };
    match kind {
        ResponseType::Samples => samples::respond(app, asked, admitted).await,
        ResponseType::Chunks => chunks::respond(app, asked, admitted).await,
    }
    .map_err(|failure| failure.into_response())
}

/// What a request asks for.
#[derive(Debug)]
struct Asked {
    queries: Vec<Wanted>,
    external: kymo_storage::model::Labels,
}

/// Why a request that is right has no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("exceeded sample limit ({0})")]
    SampleLimit(usize),
    #[error("the answer needs more memory than queries may use now (--memory.limit)")]
    NoMemory,
    #[error("the reader is gone")]
    Gone,
    #[error("{0}")]
    Failed(String),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Failure {
        Failure::Failed(with_causes(&error))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self {
            Failure::SampleLimit(_) => StatusCode::BAD_REQUEST,
            Failure::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            Failure::Gone | Failure::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        plain(status, &self.to_string())
    }
}

fn wrong(error: &RequestError) -> Response {
    plain(StatusCode::BAD_REQUEST, &error.to_string())
}

fn not_read(error: &BodyError) -> Response {
    let status = match error {
        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
        BodyError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        BodyError::Broken(_) => StatusCode::BAD_REQUEST,
    };
    plain(status, &error.to_string())
}
