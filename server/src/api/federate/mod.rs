//! `/federate`: the newest samples of selected series, as a target exposes them, for
//! another server to scrape.
//!
//! Upstream source: `web/federate.go` of Prometheus and `expfmt` of its common library.

mod accept;
mod family;
mod protobuf;
mod text;

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kymo_query::promql::parse_selector;
use kymo_query::{SampleBuf, SelectHints, Source, SourceError};
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{Matcher, TimeRange, is_stale_marker};

use super::call::Call;
use crate::clock;
use crate::http::compress::Compressible;
use crate::http::error::{ApiError, plain};
use accept::{Accepted, Format};
use family::{Family, Newest, NewestSample, families};

/// `/federate`
pub(crate) async fn federate(headers: HeaderMap, call: Call) -> Response {
    let sets = match selectors(&call) {
        Ok(sets) => sets,
        Err(text) => return plain(StatusCode::BAD_REQUEST, &text),
    };
    match answer(&headers, &call, sets).await {
        Ok(response) => response,
        Err(response) => {
            call.app.metrics.federation.failed();
            response
        }
    }
}

/// Reads the selectors. Any will do, those that every series satisfies, too.
fn selectors(call: &Call) -> Result<Vec<Vec<Matcher>>, String> {
    if let Some(defect) = call.params.defect() {
        return Err(format!("error parsing form values: {defect}"));
    }
    let features = call.app.flags.promql_features();
    let texts = call.params.all("match[]");
    texts
        .map(|text| parse_selector(text, &features).map_err(|error| error.to_string()))
        .collect()
}

async fn answer(
    headers: &HeaderMap,
    call: &Call,
    sets: Vec<Vec<Matcher>>,
) -> Result<Response, Response> {
    let accepted = Accepted::of(headers);
    let core = call.core().map_err(IntoResponse::into_response)?;
    let store = Arc::clone(&core.store);
    let external = call.app.config.current().global.external_labels.clone();
    let now_ms = clock::now_ms();
    let lookback = call.app.flags.query.lookback_delta.as_millis();
    let lookback_ms = i64::try_from(lookback).unwrap_or(i64::MAX);
    let range = TimeRange::new(now_ms.saturating_sub(lookback_ms), now_ms);
    let memory = Arc::clone(&call.app.memory);
    let job = move || {
        let newest = newest(&store, &sets, range)?;
        let labels = newest.iter().map(|sample| sample.labels.memory_bytes());
        // The text of a sample has its labels, and a time and a value.
        let bytes = labels.sum::<usize>() + newest.len() * 64;
        let Some(memory) = memory.for_answer(bytes) else {
            return Ok(None);
        };
        let out = written(&families(newest, &external, accepted.format), accepted);
        Ok::<_, SourceError>(Some((out, memory)))
    };
    let failed = |text: &str| plain(StatusCode::INTERNAL_SERVER_ERROR, text);
    let made = call.app.queries.lookup(job).await;
    let made = made.map_err(|stopped| failed(&stopped.to_string()))?;
    let made = made.map_err(|error| failed(&error.to_string()))?;
    let (out, memory) = made.ok_or_else(|| ApiError::no_memory().into_response())?;
    let body = Bytes::from_owner(Held {
        out,
        _memory: memory,
    });
    let mut response = Body::from(body).into_response();
    if let Ok(content_type) = HeaderValue::from_str(&accepted.content_type()) {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
    }
    response.extensions_mut().insert(Compressible);
    Ok(response)
}

/// An answer with the memory that was taken for it.
struct Held {
    out: Vec<u8>,
    _memory: Arc<kymo_query::MemoryGrant>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.out
    }
}

/// Returns the newest sample in the range of each series that satisfies a selector, once,
/// without those of series that have ended.
fn newest(
    store: &MetricStore,
    sets: &[Vec<Matcher>],
    range: TimeRange,
) -> Result<Vec<Newest>, SourceError> {
    let hints = SelectHints {
        newest_only: true,
        ..SelectHints::default()
    };
    let mut found: Vec<Newest> = Vec::new();
    let mut buf = SampleBuf::default();
    for matchers in sets {
        let set = Source::select(store, matchers, range, &hints)?;
        for index in 0..set.len() {
            set.read(index, &mut buf)?;
            if let Some((t_ms, sample)) = newest_of(&buf) {
                found.push(Newest {
                    labels: set.labels(index),
                    t_ms,
                    sample,
                });
            }
        }
    }
    found.sort_by(|a, b| (a.name(), &a.labels).cmp(&(b.name(), &b.labels)));
    found.dedup_by(|a, b| a.labels == b.labels);
    Ok(found)
}

fn newest_of(buf: &SampleBuf) -> Option<(i64, NewestSample)> {
    let float = buf.timestamps.last().zip(buf.values.last());
    let float = float.map(|(&t_ms, &value)| (t_ms, NewestSample::Float(value)));
    let histogram = buf.histograms.last().map(|sample| {
        let histogram = Arc::clone(&sample.histogram);
        (sample.t_ms, NewestSample::Histogram(histogram))
    });
    let newest = match (float, histogram) {
        (Some(float), Some(histogram)) if float.0 >= histogram.0 => float,
        (float, histogram) => histogram.or(float)?,
    };
    let is_stale = match &newest.1 {
        NewestSample::Float(value) => is_stale_marker(*value),
        NewestSample::Histogram(histogram) => histogram.is_stale_marker(),
    };
    (!is_stale).then_some(newest)
}

fn written(families: &[Family], accepted: Accepted) -> Vec<u8> {
    match accepted.format {
        Format::Text => text::written(families, accepted.escaping),
        Format::Protobuf => protobuf::written(families, accepted.escaping),
    }
}
