//! One body into the store: parse, find or make the series, append, end what is gone.

use kymo_storage::AppendError;
use kymo_storage::metrics::{Appender, MetricStore, SeriesRef};
use kymo_storage::model::histogram::{Histogram, HistogramError};
use kymo_storage::model::{Labels, LabelsBuilder, stale_marker};
use parking_lot::Mutex;

use super::ScrapeFeatures;
use super::cache::{Fate, ScrapeCache};
use super::config::ScrapeConfig;
use super::exemplars::{self, Untimed};
use super::fitting::{Fitting, Unfit};
use super::labels;
use super::metadata::MetadataCache;
use super::stats::Counters;
use super::target::HistogramSwitches;
use crate::MAX_AHEAD_MS;
use crate::exposition::{self, Entry, Exemplar, ExpositionError, Parser, ParserOptions, Series};
use crate::wire::histogram::SentHistogram;

/// What a body brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Samples in the body.
    pub(super) scraped: u64,
    /// Samples that relabelling left.
    pub(super) kept: u64,
    /// Series seen for the first time.
    pub(super) added: u64,
}

/// Why a body is refused as a whole.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    /// The format is not known.
    #[error(transparent)]
    Format(#[from] exposition::UnknownFormat),
    /// A line cannot be read.
    #[error(transparent)]
    Line(#[from] ExpositionError),
    /// Labels cannot be read, are not valid or exceed a limit.
    #[error("{0}")]
    Labels(String),
    /// More samples than allowed.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// A native histogram with more buckets than allowed, however coarse they are made.
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
    /// A native histogram is none.
    #[error(transparent)]
    Histogram(#[from] HistogramError),
    /// The store refused, and not for the sample's time.
    #[error(transparent)]
    Store(#[from] AppendError),
}

/// What one scrape appends to and with.
pub(super) struct Intake<'a> {
    pub(super) store: &'a MetricStore,
    pub(super) config: &'a ScrapeConfig,
    pub(super) histograms: HistogramSwitches,
    /// What the job allows native histograms.
    pub(super) fitting: Fitting,
    pub(super) features: ScrapeFeatures,
    /// Public labels of the target.
    pub(super) target: &'a Labels,
    pub(super) cache: &'a mut ScrapeCache,
    pub(super) metadata: &'a Mutex<MetadataCache>,
    pub(super) counters: &'a Counters,
    /// Time of samples that bring none, in milliseconds.
    pub(super) t_ms: i64,
    /// The time now, in milliseconds.
    pub(super) now_ms: i64,
}

/// Counts of samples that were left out without failing the scrape.
#[derive(Debug, Default)]
struct LeftOut {
    out_of_order: u64,
    duplicates: u64,
    out_of_bounds: u64,
    /// Exemplars older than those of the same series.
    old_exemplars: u64,
}

impl LeftOut {
    /// Counts a sample that the store refused for its time.
    ///
    /// # Errors
    /// It was refused for something else.
    fn add(&mut self, refused: AppendError) -> Result<(), AppendError> {
        match refused {
            AppendError::OutOfOrder => self.out_of_order += 1,
            error if error.is_duplicate() => self.duplicates += 1,
            AppendError::OutOfBounds | AppendError::TooOld => self.out_of_bounds += 1,
            other => return Err(other),
        }
        Ok(())
    }
}

impl Intake<'_> {
    /// Appends a body and tells what it brought, also where it is refused: then the
    /// caller rolls back and calls [`end_series`](Self::end_series).
    pub(super) fn append(
        &mut self,
        appender: &mut Appender<'_>,
        content_type: &str,
        body: &[u8],
    ) -> (Tally, Result<(), Refusal>) {
        let mut progress = Progress {
            exemplars: self.store.keeps_exemplars(),
            ..Progress::default()
        };
        let mut result = self.append_lines(appender, content_type, body, &mut progress);
        self.count(&progress.left_out);
        if progress.limited {
            Counters::bump(&self.counters.exceeded_sample_limit);
            result = result.and(Err(Refusal::SampleLimit));
        }
        if progress.too_many_buckets {
            Counters::bump(&self.counters.exceeded_bucket_limit);
            result = result.and(Err(Refusal::BucketLimit));
        }
        let result = result.and_then(|()| {
            self.mark_ended(appender)?;
            self.cache.finish();
            let mut metadata = self.metadata.lock();
            metadata.forget(self.cache.scrape());
            metadata.store(appender);
            Ok(())
        });
        (progress.tally, result)
    }

    /// Ends the series of the last scrape, because this one brought nothing.
    ///
    /// # Errors
    /// The store takes no sample at all.
    pub(super) fn end_series(&mut self, appender: &mut Appender<'_>) -> Result<(), AppendError> {
        let marked = self.mark_ended(appender);
        if self.cache.finish_failed() {
            Counters::bump(&self.counters.cache_flush_forced);
        }
        marked
    }

    fn append_lines(
        &mut self,
        appender: &mut Appender<'_>,
        content_type: &str,
        body: &[u8],
        progress: &mut Progress,
    ) -> Result<(), Refusal> {
        // An empty body is a good scrape of no samples, whatever it says it is.
        if body.is_empty() {
            return Ok(());
        }
        let fallback = super::negotiate::fallback(self.config);
        let detected = exposition::detect(content_type, fallback)?;
        if let Some(warning) = &detected.warning {
            tracing::debug!(warning, "scraped format taken from the configuration");
        }
        let options = ParserOptions {
            native_histograms: self.histograms.native,
            convert_classic_histograms: self.histograms.convert_classic,
            keep_classic_histograms: self.histograms.always_classic,
            skip_created_series: self.features.start_zero_samples,
            type_and_unit_labels: self.features.type_and_unit_labels,
        };
        let mut parser = Parser::new(detected.format, body, options);
        while let Some(entry) = parser.next() {
            match entry? {
                Entry::Sample(sample) => {
                    let incoming = Incoming {
                        series: &sample.series,
                        timestamp_ms: sample.timestamp_ms,
                        value: Measured::Float(sample.value),
                        exemplars: sample.exemplar.as_slice(),
                    };
                    self.take(appender, incoming, &mut parser, progress)?;
                }
                Entry::Histogram(sample) => {
                    let incoming = Incoming {
                        series: &sample.series,
                        timestamp_ms: sample.timestamp_ms,
                        value: Measured::Histogram(Box::new(sample.histogram)),
                        exemplars: &sample.exemplars,
                    };
                    self.take(appender, incoming, &mut parser, progress)?;
                }
                other => self.note(&other),
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        appender: &mut Appender<'_>,
        incoming: Incoming<'_, '_>,
        parser: &mut Parser<'_>,
        progress: &mut Progress,
    ) -> Result<(), Refusal> {
        progress.tally.scraped += 1;
        let own_time = incoming
            .timestamp_ms
            .filter(|_| self.config.honor_timestamps);
        let t_ms = own_time.unwrap_or(self.t_ms);
        let series = incoming.series;
        let key = self.store.raw_key(series.identity(&mut progress.identity));
        let known = match self.cache.find(key) {
            Some((_, Fate::Dropped, _)) => return Ok(()),
            Some((id, Fate::Stored(series), again)) => Some((id, series, again)),
            None => None,
        };
        let labels = match known {
            Some(_) => None,
            None => match self.labels_of(series, &mut progress.scratch)? {
                Some(labels) => Some(labels),
                None => {
                    self.cache.add(key, Fate::Dropped);
                    return Ok(());
                }
            },
        };
        progress.tally.kept += 1;
        if known.is_some_and(|(_, _, again)| again && own_time.is_none()) {
            progress.left_out.duplicates += 1;
            return Ok(());
        }
        let value = match incoming.value {
            Measured::Float(value) => Fitted::Float(value),
            Measured::Histogram(sent) => match self.fitting.fit(*sent) {
                Ok(histogram) => Fitted::Histogram(histogram),
                Err(Unfit::Invalid(error)) => return Err(error.into()),
                Err(Unfit::TooManyBuckets) => {
                    progress.too_many_buckets = true;
                    return Ok(());
                }
            },
        };
        progress.appended += 1;
        let limit = self.config.limits.samples;
        if limit > 0 && progress.appended > limit {
            progress.limited = true;
            return Ok(());
        }
        if t_ms > self.now_ms.saturating_add(MAX_AHEAD_MS) {
            progress.left_out.out_of_bounds += 1;
            return Ok(());
        }
        let start_ms = match self.features.start_zero_samples {
            true => parser.start_timestamp_ms(),
            false => None,
        };
        let sample = Dated {
            start_ms,
            t_ms,
            value: &value,
        };
        let appended = match (known, labels) {
            (Some((id, known, _)), _) => {
                let appended =
                    self.append_known(appender, series, &sample, known, &mut progress.scratch);
                appended.map(|series| (id, series, Newness::Known))
            }
            (None, Some(labels)) => append_new(appender, &labels, &sample).map(|series| {
                let id = self.cache.add(key, Fate::Stored(series));
                (id, series, Newness::New)
            }),
            (None, None) => return Ok(()),
        };
        let mut exemplars = |series| {
            if !incoming.exemplars.is_empty() && progress.exemplars {
                let rule = match value {
                    Fitted::Float(_) => Untimed::AtSample,
                    Fitted::Histogram(_) => Untimed::LeftOut,
                };
                let found = incoming.exemplars;
                progress.left_out.old_exemplars +=
                    exemplars::append(appender, series, found, t_ms, rule);
            }
        };
        let (id, series, newness) = match appended {
            Ok(appended) => appended,
            Err(error) => {
                // An exemplar may be new where the sample is not.
                if let Some((_, series, _)) = known
                    && is_about_time(&error)
                {
                    exemplars(series);
                }
                progress.left_out.add(error)?;
                return Ok(());
            }
        };
        exemplars(series);
        self.cache.set_series(id, series);
        if own_time.is_none() || self.config.track_timestamps_staleness {
            self.cache.watch(id);
        }
        if newness == Newness::New && !progress.limited && !progress.too_many_buckets {
            progress.tally.added += 1;
        }
        Ok(())
    }

    /// Appends to a series of an earlier scrape; the store may have forgotten it.
    fn append_known(
        &mut self,
        appender: &mut Appender<'_>,
        series: &Series<'_>,
        sample: &Dated<'_>,
        known: SeriesRef,
        scratch: &mut LabelsBuilder,
    ) -> Result<SeriesRef, AppendError> {
        match sample.append(appender, known) {
            Ok(()) => Ok(known),
            Err(AppendError::UnknownSeries) => match self.labels_of(series, scratch) {
                Ok(Some(labels)) => append_new(appender, &labels, sample),
                _ => Err(AppendError::UnknownSeries),
            },
            Err(error) => Err(error),
        }
    }

    /// Returns the labels a sample is stored under; `None` where it is dropped.
    fn labels_of(
        &self,
        series: &Series<'_>,
        scratch: &mut LabelsBuilder,
    ) -> Result<Option<Labels>, Refusal> {
        scratch.retain(|_, _| false);
        series
            .decode_labels(scratch)
            .map_err(|error| Refusal::Labels(error.to_string()))?;
        let emptied = match self.config.honor_labels {
            true => emptied(series),
            false => Vec::new(),
        };
        let labels = labels::of_sample(self.config, self.target, scratch, &emptied);
        let Some(labels) = labels else {
            return Ok(None);
        };
        labels::check_names(&labels, self.config.name_validation).map_err(Refusal::Labels)?;
        labels::check_limits(&labels, &self.config.limits).map_err(|text| {
            Counters::bump(&self.counters.exceeded_label_limits);
            Refusal::Labels(text)
        })?;
        Ok(Some(labels))
    }

    fn mark_ended(&mut self, appender: &mut Appender<'_>) -> Result<(), AppendError> {
        let ended = self.cache.ended();
        if !ended.is_empty() {
            // The end of a series that has newer samples from elsewhere is none.
            appender.discard_late();
        }
        for series in ended {
            match appender.append(series, self.t_ms, stale_marker()) {
                // A series may have gone on by other ways, or be gone altogether.
                Ok(()) | Err(AppendError::OutOfOrder | AppendError::UnknownSeries) => {}
                Err(error) if error.is_duplicate() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note(&self, entry: &Entry<'_>) {
        let scrape = self.cache.scrape();
        match entry {
            Entry::Type { name, kind } => self.metadata.lock().set_kind(name, *kind, scrape),
            Entry::Help { name, help } => {
                let text = help.unescape();
                self.metadata.lock().set_help(name, &text, scrape);
            }
            Entry::Unit { name, unit } => self.metadata.lock().set_unit(name, unit, scrape),
            _ => {}
        }
    }

    fn count(&self, left_out: &LeftOut) {
        let counters = self.counters;
        if left_out.old_exemplars > 0 {
            Counters::add(&counters.exemplar_out_of_order, left_out.old_exemplars);
        }
        for (counter, count, what) in [
            (
                &counters.out_of_order,
                left_out.out_of_order,
                "out-of-order samples",
            ),
            (
                &counters.duplicate_timestamp,
                left_out.duplicates,
                "samples with different value but same timestamp",
            ),
            (
                &counters.out_of_bounds,
                left_out.out_of_bounds,
                "samples that are too old or are too far into the future",
            ),
        ] {
            if count > 0 {
                Counters::add(counter, count);
                tracing::warn!(job = self.config.job_name, count, "scrape brought {what}");
            }
        }
    }
}

/// How far the lines of a body have come.
#[derive(Debug, Default)]
struct Progress {
    tally: Tally,
    left_out: LeftOut,
    /// Samples given to the store, for the limit.
    appended: u64,
    /// Whether there were more than the limit.
    limited: bool,
    /// Whether a histogram had more buckets than the limit.
    too_many_buckets: bool,
    /// Whether the store keeps exemplars.
    exemplars: bool,
    scratch: LabelsBuilder,
    identity: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newness {
    Known,
    New,
}

/// A sample as it stands in a body.
struct Incoming<'b, 'a> {
    series: &'b Series<'a>,
    timestamp_ms: Option<i64>,
    value: Measured,
    exemplars: &'b [Exemplar<'a>],
}

enum Measured {
    Float(f64),
    Histogram(Box<SentHistogram>),
}

/// A value within the job's bounds.
enum Fitted {
    Float(f64),
    Histogram(Histogram),
}

/// A value with its times.
struct Dated<'v> {
    start_ms: Option<i64>,
    t_ms: i64,
    value: &'v Fitted,
}

impl Dated<'_> {
    fn append(&self, appender: &mut Appender<'_>, series: SeriesRef) -> Result<(), AppendError> {
        if let Some(start_ms) = self.start_ms {
            match self.value {
                Fitted::Float(_) => appender.append_start(series, start_ms, self.t_ms),
                Fitted::Histogram(histogram) => {
                    appender.append_start_histogram(series, start_ms, self.t_ms, histogram);
                }
            }
        }
        match self.value {
            Fitted::Float(value) => appender.append(series, self.t_ms, *value),
            Fitted::Histogram(histogram) => appender.append_histogram(series, self.t_ms, histogram),
        }
    }
}

/// Returns the names of labels that a sample has with an empty value.
fn emptied(series: &Series<'_>) -> Vec<String> {
    let empty = series.labels().filter(|(_, value)| value.is_empty());
    empty
        .map(|(name, _)| String::from_utf8_lossy(&name).into_owned())
        .collect()
}

/// Tells whether a sample was refused for its time, which does not fail the scrape.
fn is_about_time(error: &AppendError) -> bool {
    let by_order = matches!(
        error,
        AppendError::OutOfOrder | AppendError::OutOfBounds | AppendError::TooOld
    );
    by_order || error.is_duplicate()
}

fn append_new(
    appender: &mut Appender<'_>,
    labels: &Labels,
    sample: &Dated<'_>,
) -> Result<SeriesRef, AppendError> {
    let series = appender.series(labels)?;
    sample.append(appender, series)?;
    Ok(series)
}
