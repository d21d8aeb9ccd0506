//! Sending one request, again and again until it is taken or refused.
//!
//! What may get better is tried again: no answer, an answer 5xx, and 429 where the section
//! says so. Everything else is final, as in Prometheus: the request is lost and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use kymo_ingest::http::{Answer, FetchError, HttpClient};
use kymo_ingest::wire::encode::{Counts, Packer, Version, drop_old};
use parking_lot::Mutex;
use tracing::{debug, error, info, warn};

use super::metrics::{Dropped, QueueMetrics};
use super::pace::{Backoff, retry_after};
use super::piece::Request;
use crate::clock;
use crate::config::{RemoteWrite, WriteMessage};

/// Bytes of an answer that are read: those that name every wrong sample may be long.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// Bytes of an answer that are shown.
const SHOWN_BYTES: usize = 1024;
/// Largest request after unpacking, of those that are packed anew.
const MAX_REQUEST_BYTES: usize = 1 << 30;

/// How many of each kind a receiver of 2.0 says it has written.
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-exemplars-written",
    "x-prometheus-remote-write-histograms-written",
];

/// What all that send for one queue have in common.
#[derive(Debug)]
pub(super) struct Sender {
    client: HttpClient,
    config: RemoteWrite,
    name: String,
    url: String,
    metrics: Arc<QueueMetrics>,
    /// How many wait before they try again.
    waiting: AtomicUsize,
    health: Mutex<Health>,
}

/// When things went well, and when they did not.
#[derive(Debug, Clone, Copy, Default)]
struct Health {
    last_sent: Option<Instant>,
    /// Shards stay as they are until then.
    no_reshard_until: Option<Instant>,
}

/// How an attempt ended.
#[derive(Debug)]
enum Outcome {
    /// The receiver took what it says.
    Taken(Counts),
    /// It may be tried again, after the pause that the receiver asks for.
    Again(String, Option<Duration>),
    /// It need not; some of it may have been taken.
    Refused(String, Counts),
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payload {
    Series,
    Metadata,
}

impl Sender {
    /// Makes the sender of a section.
    pub(super) fn new(
        client: HttpClient,
        config: RemoteWrite,
        name: String,
        metrics: Arc<QueueMetrics>,
    ) -> Sender {
        Sender {
            client,
            url: config.shown_url(),
            config,
            name,
            metrics,
            waiting: AtomicUsize::new(0),
            health: Mutex::default(),
        }
    }

    /// Tells whether somebody waits for the receiver to get better.
    pub(super) fn is_failing(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Tells whether shards may be changed: something was sent lately, and no receiver
    /// is in trouble.
    pub(super) fn may_reshard(&self, lately: Duration) -> bool {
        let now = clock::monotonic();
        let health = *self.health.lock();
        let sent = health.last_sent;
        sent.is_some_and(|at| now.duration_since(at) <= lately)
            && health.no_reshard_until.is_none_or(|until| until <= now)
    }

    /// Sends a request of series; returns when it was taken, refused or is too old.
    pub(super) async fn send(&self, mut request: Request) {
        let began = clock::monotonic();
        let waiting = request.counts;
        let written = self.send_until_final(&mut request).await;
        let metrics = &self.metrics;
        let mut failed = request.counts;
        for (failed, written) in failed.iter_mut().zip(written) {
            *failed = failed.saturating_sub(written);
        }
        metrics.failed.add(&failed);
        metrics.pending.sub(&waiting);
        metrics.finished(request.counts.iter().sum(), began.elapsed());
        let bytes = request.body.len() as u64;
        metrics.bytes.fetch_add(bytes, Ordering::Relaxed);
        metrics.sent_until(request.newest_ms);
        self.health.lock().last_sent = Some(clock::monotonic());
    }

    /// Returns how much was written.
    async fn send_until_final(&self, request: &mut Request) -> Counts {
        let mut backoff = Backoff::new(&self.config.queue);
        let mut attempt = 0u64;
        loop {
            self.drop_old(request);
            if request.counts == Counts::default() {
                return Counts::default();
            }
            self.metrics.sent.add(&request.counts);
            self.metrics
                .metadata
                .fetch_add(request.n_metadata, Ordering::Relaxed);
            let body = request.body.clone();
            let outcome = self.attempt(body, attempt, &request.counts, Payload::Series);
            match outcome.await {
                Outcome::Taken(written) => {
                    if written != request.counts {
                        error!(
                            remote_name = self.name,
                            url = self.url,
                            sent = ?request.counts,
                            ?written,
                            "the receiver says that it has not written everything"
                        );
                    }
                    return written;
                }
                Outcome::Refused(error, written) => {
                    error!(
                        remote_name = self.name,
                        url = self.url,
                        samples = request.counts.iter().sum::<u64>(),
                        error,
                        "non-recoverable error"
                    );
                    return written;
                }
                Outcome::Again(error, asked) => {
                    self.pause(backoff.pause(asked), &error).await;
                    self.metrics.retried.add(&request.counts);
                    self.metrics
                        .metadata_retried
                        .fetch_add(request.n_metadata, Ordering::Relaxed);
                }
            }
            attempt += 1;
        }
    }

    /// Sends metadata of `n` metrics.
    pub(super) async fn send_metadata(&self, body: Bytes, n: u64) {
        let mut backoff = Backoff::new(&self.config.queue);
        let mut attempt = 0u64;
        let metrics = &self.metrics;
        loop {
            metrics.metadata.fetch_add(n, Ordering::Relaxed);
            let none = Counts::default();
            let sent = self.attempt(body.clone(), attempt, &none, Payload::Metadata);
            match sent.await {
                Outcome::Taken(_) => {
                    let bytes = body.len() as u64;
                    metrics.metadata_bytes.fetch_add(bytes, Ordering::Relaxed);
                    return;
                }
                Outcome::Refused(error, _) => {
                    metrics.metadata_failed.fetch_add(n, Ordering::Relaxed);
                    error!(
                        remote_name = self.name,
                        url = self.url,
                        count = n,
                        error,
                        "non-recoverable error while sending metadata"
                    );
                    return;
                }
                Outcome::Again(error, asked) => {
                    self.pause(backoff.pause(asked), &error).await;
                    metrics.metadata_retried.fetch_add(n, Ordering::Relaxed);
                }
            }
            attempt += 1;
        }
    }

    async fn pause(&self, pause: Duration, error: &str) {
        warn!(
            remote_name = self.name,
            url = self.url,
            error,
            ?pause,
            "failed to send batch, retrying"
        );
        {
            let until = clock::monotonic().checked_add(pause.saturating_mul(2));
            let mut health = self.health.lock();
            health.no_reshard_until = health.no_reshard_until.max(until);
        }
        let _waiting = Waiting::new(&self.waiting);
        tokio::time::sleep(pause).await;
    }

    async fn attempt(
        &self,
        body: Bytes,
        attempt: u64,
        counts: &Counts,
        payload: Payload,
    ) -> Outcome {
        let began = clock::monotonic();
        let headers = self.headers(attempt);
        let timeout = self.config.timeout;
        let url = &self.config.url;
        let posted = self
            .client
            .post(url, &headers, body, timeout, MAX_ANSWER_BYTES);
        let answer = posted.await;
        self.metrics.took(began.elapsed());
        let outcome = self.judge(answer, counts, payload);
        if self.config.failed_request_logging
            && let Outcome::Again(error, _) | Outcome::Refused(error, _) = &outcome
        {
            debug!(
                remote_name = self.name,
                url = self.url,
                attempt,
                ?counts,
                error,
                "failed to send a request"
            );
        }
        outcome
    }

    fn headers(&self, attempt: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.config.headers {
            // Both were checked when the configuration was read.
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            ) {
                headers.insert(name, value);
            }
        }
        let (content_type, version) = match self.config.message {
            WriteMessage::V1 => ("application/x-protobuf", "0.1.0"),
            WriteMessage::V2 => (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                "2.0.0",
            ),
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        let name = HeaderName::from_static("x-prometheus-remote-write-version");
        headers.insert(name, HeaderValue::from_static(version));
        if attempt > 0 {
            let name = HeaderName::from_static("retry-attempt");
            headers.insert(name, HeaderValue::from(attempt));
        }
        headers
    }

    fn judge(
        &self,
        answer: Result<Answer, FetchError>,
        counts: &Counts,
        payload: Payload,
    ) -> Outcome {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Outcome::Again(error.to_string(), None),
        };
        let status = answer.status;
        let written = WRITTEN.map(|name| written(&answer.headers, name));
        if status / 100 == 2 {
            let is_v1 = self.config.message == WriteMessage::V1;
            if is_v1 || payload == Payload::Metadata {
                return Outcome::Taken(*counts);
            }
            if written == Counts::default() && *counts != written {
                let error = format!(
                    "sent v2 request with {} samples, {} histograms and {} exemplars; got 2xx, \
                     but PRW 2.0 response header statistics indicate {} samples, {} histograms \
                     and {} exemplars were accepted; assumining failure e.g. the target only \
                     supports PRW 1.0 prometheus.WriteRequest, but does not check the \
                     Content-Type header correctly",
                    counts[0], counts[2], counts[1], written[0], written[2], written[1]
                );
                return Outcome::Refused(error, written);
            }
            return Outcome::Taken(written);
        }
        let asked = answer.headers.get(RETRY_AFTER);
        let asked = asked.and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|text| retry_after(text, clock::now_ms()));
        let status_text = answer.status_text.clone();
        let body = answer.into_body().unwrap_or_default();
        let shown = String::from_utf8_lossy(body.get(..SHOWN_BYTES).unwrap_or(&body));
        let error = format!(
            "server returned HTTP status {status_text}: {}",
            shown.trim_end()
        );
        if status / 100 == 5 || (status == 429 && self.config.queue.retry_on_rate_limit) {
            if let Some(pause) = asked {
                info!(
                    remote_name = self.name,
                    url = self.url,
                    ?pause,
                    "the receiver asks for a pause"
                );
            }
            return Outcome::Again(error, asked);
        }
        Outcome::Refused(error, written)
    }

    /// Takes out of a request what has become too old.
    fn drop_old(&self, request: &mut Request) {
        let limit = self.config.queue.sample_age_limit;
        let Some(from_ms) = oldest_sent(limit, clock::now_ms()) else {
            return;
        };
        if request.oldest_ms >= from_ms {
            return;
        }
        let version = match self.config.message {
            WriteMessage::V1 => Version::V1,
            WriteMessage::V2 => Version::V2,
        };
        match without_old(&request.body, version, from_ms) {
            Ok((body, dropped)) => {
                self.metrics.dropped_all(Dropped::TooOld, &dropped);
                for (count, dropped) in request.counts.iter_mut().zip(dropped) {
                    *count = count.saturating_sub(dropped);
                }
                request.body = body;
                request.oldest_ms = from_ms;
            }
            // It is our own; nothing is lost by sending it as it is.
            Err(error) => error!(error, "a request cannot be read again"),
        }
    }
}

/// Returns the oldest time that is sent; `None` where any is.
pub(super) fn oldest_sent(limit: Duration, now_ms: i64) -> Option<i64> {
    let limit_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
    (limit_ms > 0).then(|| now_ms.saturating_sub(limit_ms))
}

fn without_old(body: &[u8], version: Version, from_ms: i64) -> Result<(Bytes, Counts), String> {
    let unpacked = kymo_ingest::wire::encode::unpack(body, MAX_REQUEST_BYTES)?;
    let (left, dropped) =
        drop_old(&unpacked, version, from_ms).map_err(|error| error.to_string())?;
    let packed = Packer::default().pack(&left);
    let packed = packed.map_err(|error| error.to_string())?;
    Ok((Bytes::from(packed), dropped))
}

fn written(headers: &HeaderMap, name: &str) -> u64 {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Counts somebody who waits, for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Waiting<'_> {
    fn new(count: &AtomicUsize) -> Waiting<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
