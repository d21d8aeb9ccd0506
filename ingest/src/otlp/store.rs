//! The sink that is the store: one transaction.

use kymo_storage::metrics::{Appender, MetricStore, SeriesRef};
use kymo_storage::model::histogram::Histogram;
use kymo_storage::model::{MetricType, is_stale_marker};
use kymo_storage::{AppendError, StorageError};

use super::error::PointError;
use super::sink::{Family, Sample, SampleValue, Sink};
use crate::MAX_AHEAD_MS;

/// What was stored and what was not, of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StoreCounts {
    pub(super) samples: u64,
    pub(super) without_metadata: u64,
    pub(super) exemplars_out_of_order: u64,
}

/// A request on its way into the store.
pub(super) struct StoreSink<'s> {
    store: &'s MetricStore,
    appender: Appender<'s>,
    latest_ms: i64,
    /// A series that counts since a known time is stored with a zero at that time.
    stores_start_zeros: bool,
    has_metadata: bool,
    pub(super) counts: StoreCounts,
}

impl<'s> StoreSink<'s> {
    pub(super) fn new(
        store: &'s MetricStore,
        now_ms: i64,
        stores_start_zeros: bool,
    ) -> StoreSink<'s> {
        StoreSink {
            store,
            appender: store.appender(),
            latest_ms: now_ms.saturating_add(MAX_AHEAD_MS),
            stores_start_zeros,
            has_metadata: false,
            counts: StoreCounts::default(),
        }
    }

    pub(super) fn commit(self) -> Result<StoreCounts, StorageError> {
        self.appender.commit()?;
        Ok(self.counts)
    }

    pub(super) fn rollback(self) {
        self.appender.rollback();
    }
}

impl Sink for StoreSink<'_> {
    type Series = SeriesRef;

    fn digest(&self, bytes: &[u8]) -> [u8; 16] {
        self.store.raw_key(bytes).to_bytes()
    }

    fn known(&mut self, key: &[u8]) -> Option<SeriesRef> {
        self.appender.raw_series(self.store.raw_key(key))
    }

    fn series(
        &mut self,
        key: Option<&[u8]>,
        labels: &[(&str, &str)],
    ) -> Result<SeriesRef, PointError> {
        if let Some(twice) = labels.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(PointError::Untranslatable(format!(
                "label name {:?} is not unique: invalid sample",
                twice[0].0
            )));
        }
        if labels.iter().any(|(name, _)| name.is_empty()) {
            return Err(PointError::Untranslatable("label name is empty".to_owned()));
        }
        let series = self.appender.series_of(labels.iter().copied())?;
        if let Some(key) = key {
            self.appender.alias(self.store.raw_key(key), series);
        }
        Ok(series)
    }

    fn family(&mut self, family: &Family) {
        let metadata = &family.metadata;
        self.has_metadata = metadata.kind != MetricType::Unknown
            || !metadata.unit.is_empty()
            || !metadata.help.is_empty();
        if self.has_metadata {
            self.appender.set_metadata(&family.name, metadata);
        }
    }

    fn append(&mut self, series: SeriesRef, sample: Sample<'_>) -> Result<(), PointError> {
        let t_ms = sample.t_ms;
        if t_ms > self.latest_ms {
            return Err(PointError::TooFarInFuture);
        }
        let is_stale = match sample.value {
            SampleValue::Float(value) => {
                if self.stores_start_zeros && sample.start_ms != 0 {
                    self.appender.append_start(series, sample.start_ms, t_ms);
                }
                self.appender.append(series, t_ms, value)?;
                is_stale_marker(value)
            }
            SampleValue::Histogram(histogram) => {
                let histogram = Histogram::Integer(histogram.clone());
                if self.stores_start_zeros && sample.start_ms != 0 {
                    let start_ms = sample.start_ms;
                    self.appender
                        .append_start_histogram(series, start_ms, t_ms, &histogram);
                }
                self.appender.append_histogram(series, t_ms, &histogram)?;
                histogram.is_stale_marker()
            }
        };
        self.counts.samples += 1;
        self.counts.without_metadata += u64::from(!self.has_metadata);
        if is_stale {
            return Ok(());
        }
        for exemplar in sample.exemplars {
            match self.appender.append_exemplar(series, exemplar) {
                Ok(()) => {}
                Err(AppendError::OutOfOrderExemplar) => self.counts.exemplars_out_of_order += 1,
                Err(error) => tracing::debug!(?exemplar, %error, "an exemplar was left out"),
            }
        }
        Ok(())
    }
}
