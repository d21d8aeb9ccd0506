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

mod labels;
mod unusual;

use hashbrown::HashSet;
use kymo_storage::AppendError;
use kymo_storage::metrics::{Appender, MetricStore, RawSample, SeriesRef};
use kymo_storage::model::{Labels, METRIC_NAME, MetricMetadata, MetricType};

use self::labels::{family, labels_cause, labels_text, refs_text, valid_labels};
use super::receiver::{BATCH, Buffers, Extras, Receipt};
use super::reply::{WriteError, append_status};
use crate::MAX_AHEAD_MS;
use crate::wire::schema;
use crate::wire::write_request_v2::{MetadataV2, RequestV2, read_series};

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

/// A series that is created only when there is something to store.
struct Wanted {
    /// How many samples there are of it, until it was looked for.
    n_samples: Option<usize>,
    found: Option<SeriesRef>,
}

impl Wanted {
    fn new(n_samples: usize) -> Wanted {
        Wanted {
            n_samples: Some(n_samples),
            found: None,
        }
    }
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
        let mut series = Wanted::new(indexes.len());
        for &index in indexes {
            let RawSample { key, t_ms, value } = self.batch[index];
            if !self.is_acceptable(held.number, &labels, t_ms)? {
                continue;
            }
            let Some(series) = self.wanted(held.number, &labels, &mut series)? else {
                return Ok(());
            };
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
