//! Receiving remote write 1.0.
//!
//! A request is one transaction. Its bytes are walked once: the encoded labels of a
//! series are hashed as they are, and only a series that has not come in these very
//! bytes before has its labels looked at. Order and duplicates are checked against
//! committed samples; the first sample that is not acceptable undoes the request, as
//! it does in Prometheus, but a request that is malformed anywhere is told that first.
//!
//! One thing differs: a series that comes twice in one request under different bytes
//! (labels in another order) may have its samples put in order where Prometheus drops
//! the earlier one.

use std::sync::atomic::{AtomicU64, Ordering};

use kymo_storage::AppendError;
use kymo_storage::metrics::{Appender, MetricStore, RawSample, SeriesRef};
use kymo_storage::model::METRIC_NAME;
use parking_lot::Mutex;

use super::reply::{WriteError, check_content_type, check_encoding};
use crate::MAX_AHEAD_MS;
use crate::wire::write_request::{LabelBytes, Part, Scanned, TimeSeries, WriteRequest};
use crate::wire::{WireError, schema};

/// Samples handed to the store at a time: enough to hide the latency of its tables,
/// few enough to stay in cache.
const BATCH: usize = 256;

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

/// What became of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Samples stored or known already.
    pub samples: u64,
    /// Series left out because their labels cannot name a series.
    pub series_invalid: u64,
    /// Exemplars, which are accepted and not kept.
    pub exemplars: u64,
    /// Metadata entries, which are accepted and not kept.
    pub metadata: u64,
    /// Native histogram samples, which are not supported.
    pub histograms_refused: u64,
    /// Samples of series that would have gone over the store's limit.
    pub samples_over_limit: u64,
    /// That limit, where it was met.
    pub series_limit: Option<usize>,
}

impl Receipt {
    fn is_whole(&self) -> bool {
        self.histograms_refused == 0 && self.samples_over_limit == 0
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
    /// Native histogram samples refused.
    pub histograms_refused: u64,
}

/// Receives requests, keeping buffers from one to the next. Shared by all connections.
#[derive(Debug, Default)]
pub struct Receiver {
    limits: Limits,
    buffers: Mutex<Vec<Buffers>>,
    requests: AtomicU64,
    failed: AtomicU64,
    samples: AtomicU64,
    series_invalid: AtomicU64,
    histograms_refused: AtomicU64,
}

/// Memory that one request needs.
#[derive(Debug, Default)]
struct Buffers {
    /// Grows to the largest request seen; how much of it is one is told apart.
    decoded: Vec<u8>,
    samples: Vec<(i64, f64)>,
    batch: Vec<RawSample>,
    misses: Vec<usize>,
    rejected: Vec<(usize, AppendError)>,
}

impl Receiver {
    /// Returns a receiver with these limits.
    pub fn new(limits: Limits) -> Receiver {
        Receiver {
            limits,
            ..Receiver::default()
        }
    }

    /// Returns the limits, for whoever reads bodies off the network.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Stores a request. `content_type` and `content_encoding` are its headers, `body`
    /// the bytes as sent; `now_ms` is the time of the clock.
    ///
    /// # Errors
    ///
    /// [`WriteError`], which has status and text of the answer.
    pub fn receive(
        &self,
        store: &MetricStore,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
        body: &[u8],
        now_ms: i64,
    ) -> Result<Receipt, WriteError> {
        let mut buffers = self.buffers.lock().pop().unwrap_or_default();
        let outcome = check_encoding(content_encoding).and_then(|()| {
            let len = decode(body, self.limits, &mut buffers.decoded)?;
            check_content_type(content_type)?;
            store_request(store, &mut buffers, len, now_ms)
        });
        self.count(&outcome);
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
            histograms_refused: self.histograms_refused.load(Ordering::Relaxed),
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
        add(&self.histograms_refused, receipt.histograms_refused);
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

/// Stores one request as [`Receiver::receive`] does, without headers and with buffers
/// of its own.
///
/// # Errors
///
/// [`WriteError`], which has status and text of the answer.
pub fn receive(
    store: &MetricStore,
    body: &[u8],
    limits: Limits,
    now_ms: i64,
) -> Result<Receipt, WriteError> {
    let mut buffers = Buffers::default();
    let len = decode(body, limits, &mut buffers.decoded)?;
    store_request(store, &mut buffers, len, now_ms)
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

fn store_request(
    store: &MetricStore,
    buffers: &mut Buffers,
    len: usize,
    now_ms: i64,
) -> Result<Receipt, WriteError> {
    let request = buffers.decoded.get(..len).unwrap_or_default();
    let mut write = Write {
        store,
        appender: store.appender(),
        latest_ms: now_ms.saturating_add(MAX_AHEAD_MS),
        receipt: Receipt::default(),
        labels: Vec::with_capacity(BATCH),
        pairs: Vec::new(),
        texts: Vec::new(),
        samples: &mut buffers.samples,
        batch: &mut buffers.batch,
        misses: &mut buffers.misses,
        rejected: &mut buffers.rejected,
    };
    write.batch.clear();
    match write.request(request) {
        Ok(()) => {}
        Err(error) => {
            write.appender.rollback();
            schema::check(request, &schema::WRITE_REQUEST)?;
            return Err(error);
        }
    }
    write.appender.commit()?;
    if write.receipt.is_whole() {
        Ok(write.receipt)
    } else {
        Err(WriteError::Partial(Box::new(write.receipt)))
    }
}

/// One request on its way into the store.
struct Write<'s, 'b, 'd> {
    store: &'s MetricStore,
    appender: Appender<'s>,
    latest_ms: i64,
    receipt: Receipt,
    /// The encoded labels of each sample of the batch.
    labels: Vec<&'d [u8]>,
    pairs: Vec<(&'d [u8], &'d [u8])>,
    /// Labels as the store takes them.
    texts: Vec<(&'d str, &'d str)>,
    /// Time and value of the samples of one series.
    samples: &'b mut Vec<(i64, f64)>,
    batch: &'b mut Vec<RawSample>,
    misses: &'b mut Vec<usize>,
    rejected: &'b mut Vec<(usize, AppendError)>,
}

impl<'d> Write<'_, '_, 'd> {
    fn request(&mut self, decoded: &'d [u8]) -> Result<(), WriteError> {
        let mut request = WriteRequest::new(decoded);
        while let Some(part) = request.next_part()? {
            match part {
                Part::Series(series) => self.series(series)?,
                Part::Metadata => self.receipt.metadata += 1,
            }
        }
        self.flush()
    }

    #[inline]
    fn series(&mut self, series: TimeSeries<'d>) -> Result<(), WriteError> {
        let mut newest_ms = i64::MIN;
        self.samples.clear();
        let samples = &mut *self.samples;
        let scanned = series.scan(|t_ms, value| {
            newest_ms = newest_ms.max(t_ms);
            samples.push((t_ms, value));
        })?;
        let LabelBytes::Run(bytes) = scanned.labels else {
            return self.unusual_series(scanned);
        };
        let has_more = scanned.n_exemplars + scanned.n_histograms > 0;
        if has_more || newest_ms > self.latest_ms || samples.is_empty() || bytes.is_empty() {
            return self.unusual_series(scanned);
        }
        let key = self.store.raw_key(bytes);
        for &(t_ms, value) in samples.iter() {
            self.batch.push(RawSample { key, t_ms, value });
            self.labels.push(bytes);
        }
        if self.batch.len() >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    /// Stores a series by itself: one with a sample too far ahead, with exemplars or
    /// histograms, without samples, without labels or with its labels scattered.
    fn unusual_series(&mut self, scanned: Scanned<'d>) -> Result<(), WriteError> {
        self.flush()?;
        if !self.read_labels(scanned.labels)? {
            self.receipt.series_invalid += 1;
            return Ok(());
        }
        if !self.samples.is_empty()
            && let Some(series) = self.find_series(self.samples.len())?
        {
            for at in 0..self.samples.len() {
                let (t_ms, value) = self.samples[at];
                self.append(series, t_ms, value)?;
            }
        }
        self.receipt.exemplars += scanned.n_exemplars as u64;
        self.receipt.histograms_refused += scanned.n_histograms as u64;
        Ok(())
    }

    /// Hands the batch to the store. The first sample that is not acceptable is the
    /// error, whichever way it was found.
    fn flush(&mut self) -> Result<(), WriteError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.misses.clear();
        self.rejected.clear();
        self.appender
            .append_raw(self.batch, self.misses, self.rejected);
        let known = self.batch.len() - self.misses.len() - self.rejected.len();
        self.receipt.samples += known as u64;

        let first_rejected = self
            .rejected
            .first()
            .map_or(usize::MAX, |(index, _)| *index);
        let misses = std::mem::take(self.misses);
        for &index in misses.iter().filter(|&&index| index < first_rejected) {
            self.miss(index)?;
        }
        *self.misses = misses;
        if !self.rejected.is_empty() {
            return Err(self.rejected.swap_remove(0).1.into());
        }
        self.batch.clear();
        self.labels.clear();
        Ok(())
    }

    /// Stores a sample whose label bytes are new.
    fn miss(&mut self, index: usize) -> Result<(), WriteError> {
        let (sample, bytes) = (self.batch[index], self.labels[index]);
        // An earlier sample of the batch may have had the same bytes. The series may also
        // have been removed a moment ago; its labels then name a new one.
        if let Some(series) = self.appender.raw_series(sample.key) {
            match self.append(series, sample.t_ms, sample.value) {
                Err(WriteError::Append(AppendError::UnknownSeries)) => {}
                outcome => return outcome,
            }
        }
        if !self.read_labels(LabelBytes::Run(bytes))? {
            // Samples of one series stand together; it is counted once.
            if index == 0 || self.labels[index - 1] != bytes {
                self.receipt.series_invalid += 1;
            }
            return Ok(());
        }
        let Some(series) = self.find_series(1)? else {
            return Ok(());
        };
        self.appender.alias(sample.key, series);
        self.append(series, sample.t_ms, sample.value)
    }

    fn append(&mut self, series: SeriesRef, t_ms: i64, value: f64) -> Result<(), WriteError> {
        if t_ms > self.latest_ms {
            return Err(WriteError::TooFarInFuture);
        }
        self.appender.append(series, t_ms, value)?;
        self.receipt.samples += 1;
        Ok(())
    }

    /// Finds or creates the series whose labels were read; `None` where the store takes
    /// no more, with its samples counted.
    fn find_series(&mut self, n_samples: usize) -> Result<Option<SeriesRef>, WriteError> {
        match self.appender.series_of(self.texts.iter().copied()) {
            Ok(series) => Ok(Some(series)),
            Err(AppendError::SeriesLimit { limit }) => {
                self.receipt.series_limit = Some(limit);
                self.receipt.samples_over_limit += n_samples as u64;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Decodes labels into `texts`; tells whether they can name a series.
    fn read_labels(&mut self, bytes: LabelBytes<'d>) -> Result<bool, WireError> {
        self.pairs.clear();
        bytes.read(&mut self.pairs)?;
        Ok(valid_labels(&mut self.pairs, &mut self.texts))
    }
}

/// Puts a label set in order. Names and values have to be UTF-8, names not empty and
/// different from each other, and there has to be a metric name; empty values are left
/// out. Returns whether it is so.
fn valid_labels<'d>(
    pairs: &mut [(&'d [u8], &'d [u8])],
    texts: &mut Vec<(&'d str, &'d str)>,
) -> bool {
    texts.clear();
    if !pairs.is_sorted_by_key(|&(name, _)| name) {
        pairs.sort_unstable_by_key(|&(name, _)| name);
    }
    let mut has_metric_name = false;
    let mut last = "";
    for &mut (name, value) in pairs {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return false;
        };
        // Sorted, so that a name that is empty or comes twice equals the last one.
        if name == last {
            return false;
        }
        last = name;
        has_metric_name |= name == METRIC_NAME && !value.is_empty();
        if !value.is_empty() {
            texts.push((name, value));
        }
    }
    has_metric_name
}
