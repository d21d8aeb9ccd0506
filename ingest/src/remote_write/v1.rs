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

use kymo_storage::AppendError;
use kymo_storage::metrics::{Appender, MetricStore, RawSample, SeriesRef};
use kymo_storage::model::{Exemplar, Labels, METRIC_NAME, MetricMetadata, MetricType};

use super::receiver::{BATCH, Buffers, Receipt};
use super::reply::WriteError;
use crate::MAX_AHEAD_MS;
use crate::wire::histogram::read_histogram;
use crate::wire::write_request::{LabelBytes, Metadata, Part, Scanned, TimeSeries, WriteRequest};
use crate::wire::{WireError, schema};

/// Stores a request: the first `len` bytes of the unpacked buffer.
pub(super) fn store_request(
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
                Part::Metadata(metadata) => self.metadata(metadata),
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
        // Exemplars alone do not make a series.
        let series = match self.samples.len() {
            0 => self.appender.find_series(self.texts.iter().copied()),
            n_samples => {
                self.check_time(self.samples[0].0)?;
                self.find_series(n_samples)?
            }
        };
        if let Some(series) = series {
            for at in 0..self.samples.len() {
                let (t_ms, value) = self.samples[at];
                self.append(series, t_ms, value)?;
            }
            if scanned.n_exemplars > 0 && self.store.keeps_exemplars() {
                self.exemplars(series, scanned.series)?;
            }
        }
        self.receipt.exemplars += scanned.n_exemplars as u64;
        match scanned.n_histograms {
            0 => Ok(()),
            n_histograms => self.histograms(series, scanned.series, n_histograms),
        }
    }

    /// Stores the native histograms of a series, which may not be there yet.
    fn histograms(
        &mut self,
        mut series: Option<SeriesRef>,
        of: TimeSeries<'d>,
        n_histograms: usize,
    ) -> Result<(), WriteError> {
        let mut is_wanted = series.is_none();
        for bytes in of.histograms() {
            let sent = read_histogram(bytes?)?;
            let histogram = sent.histogram.into_stored()?;
            if !histogram.is_stale_marker() {
                histogram.validate()?;
            }
            self.check_time(sent.t_ms)?;
            if std::mem::take(&mut is_wanted) {
                series = self.find_series(n_histograms)?;
            }
            if let Some(series) = series {
                let appender = &mut self.appender;
                appender.append_histogram(series, sent.t_ms, &histogram)?;
                self.receipt.histograms += 1;
            }
        }
        Ok(())
    }

    /// Refuses a sample for its time alone, before a series is made for it.
    fn check_time(&mut self, t_ms: i64) -> Result<(), WriteError> {
        if t_ms > self.latest_ms {
            return Err(WriteError::TooFarInFuture);
        }
        Ok(self.appender.check_time(t_ms)?)
    }

    /// Stores the exemplars of a series. What is not accepted does not fail the request.
    fn exemplars(&mut self, series: SeriesRef, of: TimeSeries<'d>) -> Result<(), WireError> {
        let (appender, receipt) = (&mut self.appender, &mut self.receipt);
        of.exemplars(&mut self.pairs, |labels, t_ms, value| {
            let text = String::from_utf8_lossy;
            let labels = labels
                .iter()
                .map(|&(name, value)| (text(name), text(value)));
            let exemplar = Exemplar {
                labels: Labels::from_pairs(labels),
                value,
                t_ms,
                timed: t_ms != 0,
            };
            match appender.append_exemplar(series, &exemplar) {
                Ok(()) => {}
                Err(AppendError::OutOfOrderExemplar) => receipt.exemplars_out_of_order += 1,
                Err(error) => tracing::debug!(?exemplar, %error, "an exemplar was left out"),
            }
        })
    }

    fn metadata(&mut self, metadata: Metadata<'d>) {
        self.receipt.metadata += 1;
        let text = String::from_utf8_lossy;
        let kind = MetricType::from_number(metadata.kind).unwrap_or_default();
        let told = MetricMetadata {
            kind,
            help: text(metadata.help).into_owned(),
            unit: text(metadata.unit).into_owned(),
        };
        self.appender.set_metadata(&text(metadata.family), &told);
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
        self.check_time(sample.t_ms)?;
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
            Err(refused) if refused.is_series_limit() => {
                self.receipt.series_limit.get_or_insert(refused);
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
