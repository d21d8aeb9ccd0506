//! Where a script puts its samples.

use kymo_storage::model::Labels;
use kymo_storage::model::histogram::FloatHistogram;

use crate::memory::MemorySource;
use crate::promql::series::SeriesValue;
use crate::source::Source;

/// A sample that a script loads.
#[derive(Debug, Clone, PartialEq)]
pub struct TestSample<'a> {
    /// Its time in milliseconds.
    pub t_ms: i64,
    /// Since when its series has counted, in milliseconds, where the script says so.
    pub start_ms: Option<i64>,
    /// What it is worth; never a gap.
    pub value: &'a SeriesValue,
}

/// A sample was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The store has no place for such samples. What else the script loads is loaded,
    /// and queries over the series are reported by this name and not as failures.
    #[error("{0} not supported yet")]
    Unsupported(&'static str),
    /// The store failed.
    #[error("{0}")]
    Failed(String),
}

/// A store that a script can fill and query.
pub trait TestStore {
    /// Forgets everything.
    fn clear(&mut self);

    /// Adds a sample to a series. Samples of a series come in order of time.
    ///
    /// # Errors
    /// See [`LoadError`].
    fn add(&mut self, labels: &Labels, sample: &TestSample<'_>) -> Result<(), LoadError>;

    /// Returns what has been added, for queries.
    fn source(&self) -> &dyn Source;
}

impl TestStore for MemorySource {
    fn clear(&mut self) {
        *self = MemorySource::new();
    }

    fn add(&mut self, labels: &Labels, sample: &TestSample<'_>) -> Result<(), LoadError> {
        match sample.value {
            SeriesValue::Gap => {}
            SeriesValue::Float(value) => match sample.start_ms {
                Some(start_ms) => self.push_started(labels, sample.t_ms, start_ms, *value),
                None => self.push(labels, sample.t_ms, *value),
            },
            SeriesValue::Histogram(value) => {
                let histogram = FloatHistogram::clone(&value.histogram);
                let start_ms = sample.start_ms.unwrap_or(0);
                self.push_started_histogram(labels, sample.t_ms, start_ms, histogram);
            }
        }
        Ok(())
    }

    fn source(&self) -> &dyn Source {
        self
    }
}
