//! The answer with all samples: one message, packed with snappy.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use kymo_ingest::wire::encode::put_histogram;
use kymo_ingest::wire::writer::{put_double, put_int, put_message};
use kymo_query::Cancel;
use kymo_storage::metrics::MetricStore;

use super::request::Wanted;
use super::series::{Growing, SeriesSamples, put_labels};
use super::{Asked, Failure};
use crate::app::App;
use crate::work::remote_reads::Admitted;

/// Answers a request.
pub(super) async fn respond(
    app: &Arc<App>,
    asked: Asked,
    admitted: Admitted,
) -> Result<Response, Failure> {
    let core = Arc::clone(app.core().map_err(|_stopping| stopping())?);
    let growing = Growing::new(&app.memory);
    let limit = app.flags.remote_read.sample_limit;
    let cancel = CancelOnDrop(Arc::new(Cancel::new()));
    let switch = Arc::clone(&cancel.0);
    let job = move || {
        let mut answer = Samples {
            store: &core.store,
            asked: &asked,
            limit,
            growing,
            cancel: &switch,
        };
        answer.packed()
    };
    let packed = app.queries.lookup(job).await;
    let packed = packed.map_err(|stopped| Failure::Failed(stopped.to_string()))??;
    drop(admitted);
    let mut response = Body::from(packed).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/x-protobuf"),
        (header::CONTENT_ENCODING, "snappy"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

fn stopping() -> Failure {
    Failure::Failed("TSDB not ready".to_owned())
}

struct CancelOnDrop(Arc<Cancel>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

struct Samples<'a> {
    store: &'a MetricStore,
    asked: &'a Asked,
    limit: usize,
    growing: Growing,
    cancel: &'a Cancel,
}

impl Samples<'_> {
    fn packed(&mut self) -> Result<Vec<u8>, Failure> {
        let mut message = Vec::new();
        let mut series = Vec::new();
        for query in &self.asked.queries {
            series.clear();
            self.query(query, &mut series, message.len())?;
            put_message(&mut message, 1, |out| out.extend_from_slice(&series));
        }
        drop(series);
        // What is packed is held beside the message for a moment.
        let packed_bytes = snap::raw::max_compress_len(message.len());
        self.growing.grow_to(message.len() + packed_bytes)?;
        let mut encoder = snap::raw::Encoder::new();
        encoder
            .compress_vec(&message)
            .map_err(|error| Failure::Failed(error.to_string()))
    }

    /// Appends the series of one query; `held` bytes are held beside them.
    fn query(&mut self, query: &Wanted, out: &mut Vec<u8>, held: usize) -> Result<(), Failure> {
        if query.matchers.is_empty() {
            return Ok(());
        }
        let selection = self.store.select(&query.matchers, query.range)?;
        let held = held + selection.memory_bytes();
        let mut samples = SeriesSamples::default();
        let mut n_samples = 0;
        for index in 0..selection.len() {
            if self.cancel.check("a remote read").is_err() {
                return Err(Failure::Gone);
            }
            if !query.labels_only {
                samples.read(&selection, index)?;
                if samples.len() == 0 {
                    continue;
                }
            }
            n_samples += samples.len();
            if self.limit > 0 && n_samples > self.limit {
                return Err(Failure::SampleLimit(self.limit));
            }
            let labels = selection.labels(index);
            put_message(out, 1, |out| {
                put_labels(out, &labels, &self.asked.external);
                for (&t_ms, &value) in samples.timestamps.iter().zip(&samples.values) {
                    put_message(out, 2, |out| {
                        put_double(out, 1, value);
                        put_int(out, 2, t_ms);
                    });
                }
                for point in &samples.histograms {
                    put_message(out, 4, |out| {
                        put_histogram(out, point.t_ms, &point.histogram);
                    });
                }
            });
            self.growing.grow_to(held + out.len())?;
        }
        Ok(())
    }
}
