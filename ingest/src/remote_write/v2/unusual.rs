//! Series that are stored one by one: those with more than plain samples, or with
//! something that is wrong.

use kymo_storage::AppendError;
use kymo_storage::metrics::SeriesRef;
use kymo_storage::model::{Exemplar, Labels};

use super::labels::{labels_cause, valid_labels};
use super::{Wanted, Write};
use crate::remote_write::reply::WriteError;
use crate::wire::WireError;
use crate::wire::histogram::read_histogram;
use crate::wire::write_request_v2::{SeriesV2, histograms, read_exemplars, read_starts};

impl<'d> Write<'_, '_, 'd> {
    /// Stores a series by itself: one with a sample too far ahead, with exemplars or
    /// histograms, without samples, or with wrong references.
    pub(super) fn unusual_series(
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
        let mut series = Wanted::new(n_samples + more.n_histograms);
        let mut starts = Vec::new();
        if self.extras.start_zeros && more.has_starts {
            read_starts(bytes, &mut starts)?;
        }
        for at in 0..n_samples {
            let (t_ms, value) = self.samples[at];
            if !self.is_acceptable(number, &labels, t_ms)? {
                continue;
            }
            let Some(series) = self.wanted(number, &labels, &mut series)? else {
                continue;
            };
            let start_ms = starts.get(at).copied().unwrap_or(0);
            if start_ms != 0 && t_ms != 0 {
                self.appender.append_start(series, start_ms, t_ms);
            }
            self.append(number, series, &labels, t_ms, value)?;
        }
        if more.n_histograms > 0 {
            self.histograms(number, &mut series, &labels, bytes)?;
        }
        let series = series.found;
        if more.n_exemplars > 0 {
            self.exemplars(number, series, &labels, bytes)?;
        }
        Ok(())
    }

    /// Stores the native histograms of a series.
    fn histograms(
        &mut self,
        number: usize,
        series: &mut Wanted,
        labels: &Labels,
        bytes: &'d [u8],
    ) -> Result<(), WriteError> {
        for bytes in histograms(bytes) {
            let sent = read_histogram(bytes?)?;
            let t_ms = sent.t_ms;
            if t_ms > self.latest_ms {
                self.refuse_ahead(number, labels);
                continue;
            }
            let stored = sent.histogram.into_stored().and_then(|histogram| {
                if !histogram.is_stale_marker() {
                    histogram.validate()?;
                }
                Ok(histogram)
            });
            let histogram = match stored {
                Ok(histogram) => histogram,
                Err(error) => {
                    self.reject(number, &labels.to_string(), error.into())?;
                    continue;
                }
            };
            if !self.is_acceptable(number, labels, t_ms)? {
                continue;
            }
            let Some(series) = self.wanted(number, labels, series)? else {
                continue;
            };
            if self.extras.start_zeros && sent.start_ms != 0 && t_ms != 0 {
                let start_ms = sent.start_ms;
                self.appender
                    .append_start_histogram(series, start_ms, t_ms, &histogram);
            }
            match self.appender.append_histogram(series, t_ms, &histogram) {
                Ok(()) => self.receipt.histograms += 1,
                Err(error) => self.reject(number, &labels.to_string(), error)?,
            }
        }
        Ok(())
    }

    /// Refuses a sample for its time alone, before a series is made for it.
    pub(super) fn is_acceptable(
        &mut self,
        number: usize,
        labels: &Labels,
        t_ms: i64,
    ) -> Result<bool, WriteError> {
        if t_ms > self.latest_ms {
            self.refuse_ahead(number, labels);
            return Ok(false);
        }
        match self.appender.check_time(t_ms) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.reject(number, &labels.to_string(), error)?;
                Ok(false)
            }
        }
    }

    fn refuse_ahead(&mut self, number: usize, labels: &Labels) {
        let text = format!("{} for series {labels}", WriteError::TooFarInFuture);
        self.refuse(number, text);
    }

    /// Finds or creates the series when a sample of it is first to be stored; `None` where
    /// the store takes no more.
    pub(super) fn wanted(
        &mut self,
        number: usize,
        labels: &Labels,
        series: &mut Wanted,
    ) -> Result<Option<SeriesRef>, WriteError> {
        if let Some(n_samples) = series.n_samples.take() {
            series.found = self.find_series(number, labels, n_samples)?;
        }
        Ok(series.found)
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
}
