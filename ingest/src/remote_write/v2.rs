//! Receiving remote write 2.0.
//!
//! A request is one transaction, but other than in 1.0 a part that is not acceptable is
//! left out and told, and the rest is stored. A series is known by the hashes of the
//! symbols that it refers to: only one that has not come like this before has its labels
//! looked at.
//!
//! One thing differs from Prometheus, as in 1.0: a series that comes twice in one request
//! with its labels in another order may have its samples put in order where Prometheus
//! drops the earlier one.

use hashbrown::HashSet;
use kymo_storage::AppendError;
use kymo_storage::compat::name::is_legacy_label_name;
use kymo_storage::compat::quote::quote_bytes;
use kymo_storage::metrics::{Appender, MetricStore, RawSample, SeriesRef};
use kymo_storage::model::{Exemplar, Labels, METRIC_NAME, MetricMetadata, MetricType};

use super::receiver::{BATCH, Buffers, Extras, Receipt};
use super::reply::{WriteError, append_status};
use crate::MAX_AHEAD_MS;
use crate::wire::histogram::read_histogram;
use crate::wire::write_request_v2::{
    MetadataV2, RequestV2, SeriesV2, histograms, read_exemplars, read_series, read_starts,
};
use crate::wire::{WireError, schema};

/// Stores a request: the first `len` bytes of the unpacked buffer.
pub(super) fn store_request(
    store: &MetricStore,
    buffers: &mut Buffers,
    len: usize,
    extras: Extras,
    now_ms: i64,
) -> Result<Receipt, WriteError> {
    let request = buffers.decoded.get(..len).unwrap_or_default();
    let mut write = Write {
        store,
        appender: store.appender(),
        latest_ms: now_ms.saturating_add(MAX_AHEAD_MS),
        receipt: Receipt::default(),
        extras,
        refused: Vec::new(),
        n_more_refused: 0,
        symbols: Vec::new(),
        symbol_keys: Vec::new(),
        name_ref: None,
        known_metadata: HashSet::new(),
        key: Vec::new(),
        refs: Vec::new(),
        held: Vec::with_capacity(BATCH),
        n_series: 0,
        samples: &mut buffers.samples,
        batch: &mut buffers.batch,
        misses: &mut buffers.misses,
        rejected: &mut buffers.rejected,
    };
    write.batch.clear();
    if let Err(error) = write.request(request) {
        write.appender.rollback();
        schema::check(request, &schema::REQUEST_V2)?;
        return Err(error);
    }
    let Write {
        appender,
        mut receipt,
        mut refused,
        n_more_refused,
        ..
    } = write;
    appender.commit()?;
    if refused.is_empty() {
        return Ok(receipt);
    }
    // What the store refused was found batch by batch, the rest at once.
    refused.sort_by_key(|refusal| refusal.series);
    receipt.refused = refused.into_iter().map(|refusal| refusal.text).collect();
    if n_more_refused > 0 {
        receipt.refused.push(format!("and {n_more_refused} more"));
    }
    Err(WriteError::Partial(Box::new(receipt)))
}

/// Refusals that are told: a few bytes of a request can be one.
const MAX_REFUSALS: usize = 1000;

/// Name and value as they were sent.
type Pair<'d> = (&'d [u8], &'d [u8]);

/// Something that was left out: the number of its series in the request, and why.
struct Refusal {
    series: usize,
    text: String,
}

/// A series with samples in the batch.
#[derive(Clone, Copy)]
struct Held {
    /// Its number in the request.
    number: usize,
    /// Where its references stand.
    refs: (usize, usize),
    /// Type and unit where they become labels.
    metadata: Option<MetadataV2>,
    /// Its first sample in the batch.
    first_sample: usize,
}

/// One request on its way into the store.
struct Write<'s, 'b, 'd> {
    store: &'s MetricStore,
    appender: Appender<'s>,
    latest_ms: i64,
    receipt: Receipt,
    extras: Extras,
    refused: Vec<Refusal>,
    /// What was refused beyond those.
    n_more_refused: usize,
    symbols: Vec<&'d [u8]>,
    /// The hash of each symbol.
    symbol_keys: Vec<[u8; 16]>,
    /// Which symbol is `__name__`.
    name_ref: Option<u32>,
    /// Metadata of this request that was looked at, by the symbol of the metric.
    known_metadata: HashSet<(u32, MetadataV2)>,
    /// The hashes of the symbols of a series.
    key: Vec<u8>,
    /// References of the series of the batch.
    refs: Vec<u32>,
    held: Vec<Held>,
    /// Series begun so far.
    n_series: usize,
    samples: &'b mut Vec<(i64, f64)>,
    batch: &'b mut Vec<RawSample>,
    misses: &'b mut Vec<usize>,
    rejected: &'b mut Vec<(usize, AppendError)>,
}

impl<'d> Write<'_, '_, 'd> {
    fn request(&mut self, decoded: &'d [u8]) -> Result<(), WriteError> {
        let mut request = RequestV2::new(decoded, &mut self.symbols)?;
        let store = self.store;
        let keys = self.symbols.iter().map(|one| store.raw_key(one).to_bytes());
        self.symbol_keys.extend(keys);
        let name = self
            .symbols
            .iter()
            .position(|one| *one == METRIC_NAME.as_bytes());
        self.name_ref = name.and_then(|at| u32::try_from(at).ok());
        while let Some(bytes) = request.next_series()? {
            self.series(bytes)?;
        }
        self.flush()
    }

    #[inline]
    fn series(&mut self, bytes: &'d [u8]) -> Result<(), WriteError> {
        let number = self.n_series;
        self.n_series += 1;
        self.samples.clear();
        let start = self.refs.len();
        let more = read_series(bytes, &mut self.refs, self.samples)?;
        let is_usual = more.n_exemplars + more.n_histograms == 0
            && !self.samples.is_empty()
            && self.samples.iter().all(|&(t_ms, _)| t_ms <= self.latest_ms)
            && !(more.has_starts && self.extras.start_zeros)
            && self.hash(start);
        if !is_usual {
            let refs = self.refs.split_off(start);
            return self.unusual_series(number, &refs, bytes, more);
        }
        if let Some(metadata) = more.metadata
            && let Err(text) = self.metadata(start, metadata)
        {
            self.refuse(number, text);
            self.refs.truncate(start);
            return Ok(());
        }
        let labelled = more.metadata.filter(|_| self.extras.type_and_unit_labels);
        if let Some(metadata) = labelled {
            self.hash_metadata(metadata);
        }
        self.held.push(Held {
            number,
            refs: (start, self.refs.len()),
            metadata: labelled,
            first_sample: self.batch.len(),
        });
        let key = self.store.raw_key(&self.key);
        let samples = self.samples.iter();
        self.batch
            .extend(samples.map(|&(t_ms, value)| RawSample { key, t_ms, value }));
        if self.batch.len() >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    /// Puts together what names the series whose references begin at `start`; `false`
    /// where they are not pairs of symbols.
    #[inline]
    fn hash(&mut self, start: usize) -> bool {
        let refs = &self.refs[start..];
        self.key.clear();
        for &one in refs {
            match self.symbol_keys.get(one as usize) {
                Some(key) => self.key.extend_from_slice(key),
                None => return false,
            }
        }
        refs.len().is_multiple_of(2)
    }

    /// Adds type and unit, which were found to be there, to what names a series.
    fn hash_metadata(&mut self, metadata: MetadataV2) {
        if let Some(key) = self.symbol_keys.get(metadata.unit_ref as usize) {
            self.key.extend_from_slice(key);
            self.key.extend_from_slice(&metadata.kind.to_le_bytes());
        }
    }

    /// Puts type and unit of a metric among the labels of its series, in place of labels of
    /// these names.
    fn with_metadata(&self, pairs: &mut Vec<Pair<'d>>, metadata: MetadataV2) {
        let kind = MetricType::from_number(metadata.kind).unwrap_or_default();
        let unit = self.symbols.get(metadata.unit_ref as usize).copied();
        let unit = unit.unwrap_or_default();
        if kind == MetricType::Unknown && unit.is_empty() {
            return;
        }
        let (type_name, unit_name) = (b"__type__".as_slice(), b"__unit__".as_slice());
        pairs.retain(|&(name, _)| name != type_name && name != unit_name);
        if kind != MetricType::Unknown {
            pairs.push((type_name, kind.as_str().as_bytes()));
        }
        if !unit.is_empty() {
            pairs.push((unit_name, unit));
        }
        pairs.sort_by_key(|&(name, _)| name);
    }

    /// Stores a series by itself: one with a sample too far ahead, with exemplars or
    /// histograms, without samples, or with wrong references.
    fn unusual_series(
        &mut self,
        number: usize,
        refs: &[u32],
        bytes: &'d [u8],
        more: SeriesV2,
    ) -> Result<(), WriteError> {
        // Before it, what comes before it.
        self.flush()?;
        let n_samples = self.samples.len();
        let checked = self.labels(refs).and_then(|mut labels| {
            if let Some(metadata) = more.metadata {
                if self.extras.type_and_unit_labels {
                    self.with_metadata(&mut labels, metadata);
                }
                let start = self.refs.len();
                self.refs.extend_from_slice(refs);
                let outcome = self.metadata(start, metadata);
                self.refs.truncate(start);
                outcome?;
            }
            Ok(labels)
        });
        let labels = match checked.and_then(|pairs| valid_labels(&pairs)) {
            Ok(labels) => labels,
            Err(text) => {
                self.receipt.series_invalid += (n_samples + more.n_histograms) as u64;
                self.refuse(number, text);
                return Ok(());
            }
        };
        if n_samples + more.n_histograms == 0 {
            let why = "TimeSeries must contain at least one sample or histogram";
            self.refuse(number, format!("{why} for series {labels}"));
            return Ok(());
        }
        let series = self.find_series(number, &labels, n_samples + more.n_histograms)?;
        if let Some(series) = series {
            let mut starts = Vec::new();
            if self.extras.start_zeros && more.has_starts {
                read_starts(bytes, &mut starts)?;
            }
            for at in 0..n_samples {
                let (t_ms, value) = self.samples[at];
                let start_ms = starts.get(at).copied().unwrap_or(0);
                if start_ms != 0 && t_ms != 0 {
                    self.appender.append_start(series, start_ms, t_ms);
                }
                self.append(number, series, &labels, t_ms, value)?;
            }
            if more.n_histograms > 0 {
                self.histograms(number, series, &labels, bytes)?;
            }
        }
        if more.n_exemplars > 0 {
            self.exemplars(number, series, &labels, bytes)?;
        }
        Ok(())
    }

    /// Stores the native histograms of a series.
    fn histograms(
        &mut self,
        number: usize,
        series: SeriesRef,
        labels: &Labels,
        bytes: &'d [u8],
    ) -> Result<(), WriteError> {
        for bytes in histograms(bytes) {
            let sent = read_histogram(bytes?)?;
            let t_ms = sent.t_ms;
            if t_ms > self.latest_ms {
                let text = format!("{} for series {labels}", WriteError::TooFarInFuture);
                self.refuse(number, text);
                continue;
            }
            let stored = sent.histogram.into_stored().map_err(AppendError::from);
            let stored = stored.and_then(|histogram| {
                if self.extras.start_zeros && sent.start_ms != 0 && t_ms != 0 {
                    let start_ms = sent.start_ms;
                    self.appender
                        .append_start_histogram(series, start_ms, t_ms, &histogram);
                }
                self.appender.append_histogram(series, t_ms, &histogram)
            });
            match stored {
                Ok(()) => self.receipt.histograms += 1,
                Err(error) => self.reject(number, &labels.to_string(), error)?,
            }
        }
        Ok(())
    }

    /// Stores the exemplars of a series; `None` where the series is not there.
    fn exemplars(
        &mut self,
        number: usize,
        series: Option<SeriesRef>,
        labels: &Labels,
        bytes: &'d [u8],
    ) -> Result<(), WireError> {
        let keeps = self.store.keeps_exemplars();
        read_exemplars(bytes, |refs, t_ms, value| {
            let pairs = match self.labels(refs) {
                Ok(pairs) => pairs,
                Err(cause) => {
                    let cause = cause.strip_prefix(&labels_cause(refs)).unwrap_or(&cause);
                    let text = format!("parsing exemplar for series {labels}: {cause}");
                    return self.refuse(number, text);
                }
            };
            let text = String::from_utf8_lossy;
            let pairs = pairs.iter().map(|&(name, value)| (text(name), text(value)));
            let exemplar = Exemplar {
                labels: Labels::from_pairs(pairs),
                value,
                t_ms,
                timed: t_ms != 0,
            };
            if !keeps {
                self.receipt.exemplars += 1;
                return;
            }
            let Some(series) = series else { return };
            match self.appender.append_exemplar(series, &exemplar) {
                Ok(()) => self.receipt.exemplars += 1,
                Err(error @ AppendError::OutOfOrderExemplar) => {
                    self.receipt.exemplars_out_of_order += 1;
                    self.refuse(number, format!("{error} for series {labels}"));
                }
                Err(error) => tracing::debug!(?exemplar, %error, "an exemplar was left out"),
            }
        })
    }

    /// Keeps type, help and unit of the metric whose references begin at `start`.
    fn metadata(&mut self, start: usize, metadata: MetadataV2) -> Result<(), String> {
        let refs = &self.refs[start..];
        let symbol = |name: &str, at: u32| {
            self.symbols.get(at as usize).copied().ok_or_else(|| {
                let size = self.symbols.len();
                format!(
                    "parsing metadata for series {}: metadata {name} {at} outside of symbols \
                     table (size {size})",
                    refs_text(refs)
                )
            })
        };
        let help = symbol("help_ref", metadata.help_ref)?;
        let unit = symbol("unit_ref", metadata.unit_ref)?;
        let mut pairs = refs.chunks_exact(2);
        let metric = pairs
            .find(|pair| Some(pair[0]) == self.name_ref)
            .map(|pair| pair[1]);
        let kind = MetricType::from_number(metadata.kind).unwrap_or_default();
        let says_something = kind != MetricType::Unknown || !help.is_empty() || !unit.is_empty();
        let Some(metric) = metric.filter(|_| says_something) else {
            return Ok(());
        };
        if !self.known_metadata.insert((metric, metadata)) {
            return Ok(());
        }
        let name = self
            .symbols
            .get(metric as usize)
            .copied()
            .unwrap_or_default();
        self.receipt.metadata += 1;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let told = MetricMetadata {
            kind,
            help: text(help),
            unit: text(unit),
        };
        self.appender.set_metadata(family(&text(name), kind), &told);
        Ok(())
    }

    /// Hands the batch to the store.
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
        for (index, error) in std::mem::take(self.rejected) {
            let held = self.holder(index);
            let labels = self.labels_of(held).unwrap_or_default();
            self.reject(held.number, &labels_text(&labels), error)?;
        }
        let misses = std::mem::take(self.misses);
        let mut rest = misses.as_slice();
        while let Some(&first) = rest.first() {
            let held = self.holder(first);
            let of_series = rest.partition_point(|&index| self.holder(index).number == held.number);
            self.miss(held, &rest[..of_series])?;
            rest = &rest[of_series..];
        }
        *self.misses = misses;
        self.batch.clear();
        self.held.clear();
        self.refs.clear();
        Ok(())
    }

    /// Returns the series of a sample of the batch.
    fn holder(&self, index: usize) -> Held {
        let behind = self.held.partition_point(|held| held.first_sample <= index);
        self.held[behind - 1]
    }

    /// Looks up the labels of a series of the batch.
    fn labels_of(&self, held: Held) -> Result<Vec<Pair<'d>>, String> {
        let mut pairs = self.labels(&self.refs[held.refs.0..held.refs.1])?;
        if let Some(metadata) = held.metadata {
            self.with_metadata(&mut pairs, metadata);
        }
        Ok(pairs)
    }

    /// Stores samples of a series that has not come like this before.
    fn miss(&mut self, held: Held, indexes: &[usize]) -> Result<(), WriteError> {
        let labels = match self.labels_of(held).and_then(|pairs| valid_labels(&pairs)) {
            Ok(labels) => labels,
            Err(text) => {
                self.receipt.series_invalid += indexes.len() as u64;
                self.refuse(held.number, text);
                return Ok(());
            }
        };
        let Some(series) = self.find_series(held.number, &labels, indexes.len())? else {
            return Ok(());
        };
        for &index in indexes {
            let RawSample { key, t_ms, value } = self.batch[index];
            self.appender.alias(key, series);
            self.append(held.number, series, &labels, t_ms, value)?;
        }
        Ok(())
    }

    /// Finds or creates a series; `None` where the store takes no more.
    fn find_series(
        &mut self,
        number: usize,
        labels: &Labels,
        n_samples: usize,
    ) -> Result<Option<SeriesRef>, WriteError> {
        match self.appender.series(labels) {
            Ok(series) => Ok(Some(series)),
            Err(refused) if refused.is_series_limit() => {
                self.refuse(number, format!("{refused} for series {labels}"));
                self.receipt.series_limit.get_or_insert(refused);
                self.receipt.samples_over_limit += n_samples as u64;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn append(
        &mut self,
        number: usize,
        series: SeriesRef,
        labels: &Labels,
        t_ms: i64,
        value: f64,
    ) -> Result<(), WriteError> {
        if t_ms > self.latest_ms {
            self.refuse(
                number,
                format!("{} for series {labels}", WriteError::TooFarInFuture),
            );
            return Ok(());
        }
        match self.appender.append(series, t_ms, value) {
            Ok(()) => {
                self.receipt.samples += 1;
                Ok(())
            }
            Err(error) => self.reject(number, &labels.to_string(), error),
        }
    }

    /// Notes a sample that the store did not accept. What no sender can mend fails the
    /// request.
    fn reject(
        &mut self,
        number: usize,
        labels: &str,
        error: AppendError,
    ) -> Result<(), WriteError> {
        if append_status(&error) != 400 {
            return Err(error.into());
        }
        self.refuse(number, format!("{error} for series {labels}"));
        Ok(())
    }

    fn refuse(&mut self, series: usize, text: String) {
        if self.refused.len() < MAX_REFUSALS {
            self.refused.push(Refusal { series, text });
        } else {
            self.n_more_refused += 1;
        }
    }

    /// Looks up names and values, and sorts them by name.
    fn labels(&self, refs: &[u32]) -> Result<Vec<Pair<'d>>, String> {
        let cause = || labels_cause(refs);
        if !refs.len().is_multiple_of(2) {
            return Err(format!(
                "{}invalid labelRefs length {}",
                cause(),
                refs.len()
            ));
        }
        let symbol = |at: u32| self.symbols.get(at as usize).copied();
        let mut pairs = Vec::with_capacity(refs.len() / 2);
        for pair in refs.chunks_exact(2) {
            let (name, value) = (pair[0], pair[1]);
            let (Some(n), Some(v)) = (symbol(name), symbol(value)) else {
                let size = self.symbols.len();
                return Err(format!(
                    "{}labelRefs {name} (name) = {value} (value) outside of symbols table \
                     (size {size})",
                    cause()
                ));
            };
            pairs.push((n, v));
        }
        pairs.sort_by_key(|&(name, _)| name);
        Ok(pairs)
    }
}

/// Begins the text about references that are wrong.
fn labels_cause(refs: &[u32]) -> String {
    format!("parsing labels for series {}: ", refs_text(refs))
}

/// Prints references as Go prints a slice.
fn refs_text(refs: &[u32]) -> String {
    let numbers: Vec<String> = refs.iter().map(u32::to_string).collect();
    format!("[{}]", numbers.join(" "))
}

/// Makes labels of sorted pairs. There has to be a metric name, names and values have to
/// be UTF-8, and names not empty and different from each other. Empty values go.
fn valid_labels(pairs: &[(&[u8], &[u8])]) -> Result<Labels, String> {
    let utf8 = |&(name, value): &(_, _)| {
        Some((
            std::str::from_utf8(name).ok()?,
            std::str::from_utf8(value).ok()?,
        ))
    };
    let texts: Option<Vec<(&str, &str)>> = pairs.iter().map(utf8).collect();
    let texts = texts.filter(|texts| {
        let has_metric_name =
            |&(name, value): &(&str, &str)| name == METRIC_NAME && !value.is_empty();
        texts.iter().any(has_metric_name) && texts.iter().all(|(name, _)| !name.is_empty())
    });
    let Some(texts) = texts else {
        return Err(format!(
            "invalid metric name or labels, got {}",
            labels_text(pairs)
        ));
    };
    if let Some(twice) = texts.windows(2).find(|two| two[0].0 == two[1].0) {
        return Err(format!(
            "invalid labels for series, labels {}, duplicated label {}",
            labels_text(pairs),
            twice[0].0
        ));
    }
    Ok(Labels::from_sorted(
        texts.into_iter().filter(|(_, value)| !value.is_empty()),
    ))
}

/// Prints labels as they were sent, those that are no labels too.
fn labels_text(pairs: &[(&[u8], &[u8])]) -> String {
    let one = |&(name, value): &(&[u8], &[u8])| {
        let name = match std::str::from_utf8(name) {
            Ok(name) if is_legacy_label_name(name) => name.to_owned(),
            _ => quote_bytes(name),
        };
        format!("{name}={}", quote_bytes(value))
    };
    let texts: Vec<String> = pairs.iter().map(one).collect();
    format!("{{{}}}", texts.join(", "))
}

/// Returns the family of a metric: histograms and summaries have several.
fn family(metric: &str, kind: MetricType) -> &str {
    let endings: &[&str] = match kind {
        MetricType::Histogram | MetricType::GaugeHistogram => {
            &["_bucket", "_count", "_sum", "_gcount", "_gsum"]
        }
        MetricType::Summary => &["_count", "_sum"],
        _ => &[],
    };
    let stem = endings
        .iter()
        .find_map(|ending| metric.strip_suffix(ending));
    stem.filter(|stem| !stem.is_empty()).unwrap_or(metric)
}
