//! `/api/v1/otlp/v1/metrics` and `/v1/metrics`: metrics that OpenTelemetry pushes.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use kymo_ingest::otlp::{Encoding, Format, PushError, Settings};

use super::write::{refused, text, try_later};
use crate::app::App;
use crate::clock;
use crate::flags::WalSync;
use crate::http::error::plain;
use crate::work::memory::Refused;

/// Bytes of a body up to which a request is stored at once, as in
/// [`write`](super::write): JSON and packed bodies take longer.
const SHORT_BYTES: usize = 128 << 10;

/// Stores a request where it was received.
pub(crate) async fn metrics(State(app): State<Arc<App>>, request: Request) -> Response {
    if !app.flags.web.enable_otlp {
        return plain(
            StatusCode::NOT_FOUND,
            "otlp write receiver needs to be enabled with --web.enable-otlp-receiver",
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
    let headers = &parts.headers;
    let format = Format::from_content_type(text(headers, header::CONTENT_TYPE));
    let encoding = Encoding::from_content_encoding(text(headers, header::CONTENT_ENCODING));
    let form = match format.and_then(|format| Ok((format, encoding?))) {
        Ok(form) => form,
        Err(error) => return answer(&error),
    };
    let limits = app.otlp.limits();
    let body = match app.bodies.read(headers, body, limits.body_bytes).await {
        Ok(body) => body,
        Err(error) => return refused(&error),
    };
    let settings = settings(&app);
    let mut held = Vec::new();
    let mut unpacked_bytes = body.len();
    let mut reserve = |bytes: usize| match app.memory.body(bytes as u64) {
        Some(memory) => {
            held.push(memory);
            unpacked_bytes += bytes;
            true
        }
        None => false,
    };
    let mut store = || {
        let now_ms = clock::now_ms();
        app.otlp
            .receive(&core.store, &settings, form, &body, &mut reserve, now_ms)
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
    match outcome {
        Ok(_receipt) => StatusCode::OK.into_response(),
        Err(error) => answer(&error),
    }
}

/// Returns what the configuration and the features say of the translation.
fn settings(app: &App) -> Settings {
    let mut settings = app.config.current().otlp.clone();
    settings.allow_delta = app.flags.stores_deltas();
    settings.type_and_unit_labels = app.flags.push_extras().type_and_unit_labels;
    settings.lookback_ms = app.flags.engine_options().lookback_delta_ms;
    settings
}

fn answer(error: &PushError) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let response = plain(status, &error.to_string());
    match status {
        StatusCode::SERVICE_UNAVAILABLE => try_later(response),
        _ => response,
    }
}
