//! The receiver: one request in, one answer out, whichever version it is.

use std::sync::atomic::{AtomicU64, Ordering};

use kymo_storage::AppendError;
use kymo_storage::metrics::{MetricStore, RawSample};
use parking_lot::Mutex;

use super::reply::{Accepts, Outcome, Version, WriteError, check_content_type, check_encoding};
use super::{v1, v2};

/// Samples handed to the store at a time: enough to hide the latency of its tables,
/// few enough to stay in cache.
pub(super) const BATCH: usize = 256;

/// Buffers kept for the next requests, at most this many and none larger than this.
const KEPT_BUFFERS: usize = 8;
const KEPT_BYTES: usize = 4 << 20;

/// How large a request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of the body as sent, bytes.
    pub body_bytes: usize,
    /// Of the body unpacked, bytes.
    pub decoded_bytes: usize,
}

impl Default for Limits {
    /// Returns Prometheus' limits: 32 MiB for both.
    fn default() -> Limits {
        Limits {
            body_bytes: 32 << 20,
            decoded_bytes: 32 << 20,
        }
    }
}

/// What is made of a request besides its samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// A sample of 2.0 that tells since when it counts is stored with a zero at that time.
    pub start_zeros: bool,
    /// Type and unit of a metric, of 2.0, become labels of its series.
    pub type_and_unit_labels: bool,
}

/// What became of a request.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Receipt {
    /// Samples stored or known already.
    pub samples: u64,
    /// Series left out because their labels cannot name a series.
    pub series_invalid: u64,
    /// Exemplars. Of version 1.0 all of them: those that the store does not accept are
    /// left out in silence, as it is in Prometheus. Of 2.0 those that were accepted.
    pub exemplars: u64,
    /// Of these, the ones that were older than others of their series.
    pub exemplars_out_of_order: u64,
    /// Metadata entries.
    pub metadata: u64,
    /// Native histogram samples stored or known already.
    pub histograms: u64,
    /// Samples of series that would have gone over a limit of the store.
    pub samples_over_limit: u64,
    /// The limit that was met first.
    pub series_limit: Option<AppendError>,
    /// Of version 2.0: why parts were left out, a line for each.
    pub refused: Vec<String>,
}

impl Receipt {
    pub(super) fn is_whole(&self) -> bool {
        self.samples_over_limit == 0
    }
}

/// Totals of a [`Receiver`], for the server's own metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverStats {
    /// Requests, refused ones included.
    pub requests: u64,
    /// Requests answered with an error.
    pub failed: u64,
    /// Samples accepted.
    pub samples: u64,
    /// Series left out for their labels
    /// (`prometheus_api_remote_write_invalid_labels_samples_total`).
    pub series_invalid: u64,
    /// Native histogram samples accepted.
    pub histograms: u64,
}

/// Receives requests, keeping buffers from one to the next. Shared by all connections.
#[derive(Debug, Default)]
pub struct Receiver {
    limits: Limits,
    accepts: Accepts,
    extras: Extras,
    buffers: Mutex<Vec<Buffers>>,
    requests: AtomicU64,
    failed: AtomicU64,
    samples: AtomicU64,
    series_invalid: AtomicU64,
    histograms: AtomicU64,
}

/// Memory that one request needs.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Grows to the largest request seen; how much of it is one is told apart.
    pub(super) decoded: Vec<u8>,
    pub(super) samples: Vec<(i64, f64)>,
    pub(super) batch: Vec<RawSample>,
    pub(super) misses: Vec<usize>,
    pub(super) rejected: Vec<(usize, AppendError)>,
}

impl Receiver {
    /// Returns a receiver with these limits, which takes these versions.
    pub fn new(limits: Limits, accepts: Accepts, extras: Extras) -> Receiver {
        Receiver {
            limits,
            accepts,
            extras,
            ..Receiver::default()
        }
    }

    /// Returns the limits, for whoever reads bodies off the network.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Stores a request. `content_type` and `content_encoding` are its headers, `body`
    /// the bytes as sent; `now_ms` is the time of the clock.
    pub fn receive(
        &self,
        store: &MetricStore,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
        body: &[u8],
        now_ms: i64,
    ) -> Outcome {
        let mut buffers = self.buffers.lock().pop().unwrap_or_default();
        let opened = check_encoding(content_encoding).and_then(|()| {
            let len = decode(body, self.limits, &mut buffers.decoded)?;
            Ok((len, check_content_type(content_type, self.accepts)?))
        });
        let outcome = match opened {
            Ok((len, version)) => Outcome {
                version: Some(version),
                result: match version {
                    Version::V1 => v1::store_request(store, &mut buffers, len, now_ms),
                    Version::V2 => v2::store_request(store, &mut buffers, len, self.extras, now_ms),
                },
            },
            Err(error) => Outcome {
                version: None,
                result: Err(error),
            },
        };
        self.count(&outcome.result);
        self.keep(buffers);
        outcome
    }

    /// Returns the totals so far.
    pub fn stats(&self) -> ReceiverStats {
        ReceiverStats {
            requests: self.requests.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            samples: self.samples.load(Ordering::Relaxed),
            series_invalid: self.series_invalid.load(Ordering::Relaxed),
            histograms: self.histograms.load(Ordering::Relaxed),
        }
    }

    fn count(&self, outcome: &Result<Receipt, WriteError>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let receipt = match outcome {
            Ok(receipt) => receipt,
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                match error {
                    WriteError::Partial(receipt) => receipt,
                    _ => return,
                }
            }
        };
        let add = |counter: &AtomicU64, n| counter.fetch_add(n, Ordering::Relaxed);
        add(&self.samples, receipt.samples);
        add(&self.series_invalid, receipt.series_invalid);
        add(&self.histograms, receipt.histograms);
    }

    fn keep(&self, mut buffers: Buffers) {
        if buffers.decoded.capacity() > KEPT_BYTES {
            buffers.decoded = Vec::new();
        }
        let mut kept = self.buffers.lock();
        if kept.len() < KEPT_BUFFERS {
            kept.push(buffers);
        }
    }
}

/// Stores one request of a version as [`Receiver::receive`] does, without headers and
/// with buffers of its own.
///
/// # Errors
///
/// [`WriteError`], which has status and text of the answer.
pub fn receive(
    store: &MetricStore,
    version: Version,
    body: &[u8],
    limits: Limits,
    now_ms: i64,
) -> Result<Receipt, WriteError> {
    let mut buffers = Buffers::default();
    let len = decode(body, limits, &mut buffers.decoded)?;
    match version {
        Version::V1 => v1::store_request(store, &mut buffers, len, now_ms),
        Version::V2 => v2::store_request(store, &mut buffers, len, Extras::default(), now_ms),
    }
}

/// Returns the bytes that a body unpacks to, where it says so and they are not refused
/// anyway: what whoever counts memory has to set aside for it.
pub fn unpacked_bytes(body: &[u8], limits: Limits) -> usize {
    let len = snap::raw::decompress_len(body).unwrap_or(0);
    if len <= limits.decoded_bytes { len } else { 0 }
}

/// Unpacks a snappy block to the front of `decoded` and returns its length. The size it
/// declares is checked before memory is taken.
fn decode(body: &[u8], limits: Limits, decoded: &mut Vec<u8>) -> Result<usize, WriteError> {
    if body.len() > limits.body_bytes {
        return Err(WriteError::BodyTooLarge {
            limit_bytes: limits.body_bytes,
        });
    }
    if body.is_empty() {
        return Err(WriteError::Snappy);
    }
    let len = snap::raw::decompress_len(body).map_err(|_| WriteError::Snappy)?;
    if len > limits.decoded_bytes {
        return Err(WriteError::DecodedTooLarge {
            limit_bytes: limits.decoded_bytes,
        });
    }
    // Not shrunk for a smaller request, so that only growth has to be zeroed.
    if decoded.len() < len {
        decoded.resize(len, 0);
    }
    snap::raw::Decoder::new()
        .decompress(body, decoded)
        .map_err(|_| WriteError::Snappy)
}
