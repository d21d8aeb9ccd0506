//! Where an engine gets its series from: one small trait to implement.

use kymo_storage::model::{Labels, Matcher, TimeRange};

/// Data that a query can read.
pub trait Source: Send + Sync {
    /// Selects the series that satisfy all matchers and may have samples in `range`.
    ///
    /// The order of the set is the order in which an instant query without
    /// sorting answers; it must not change between calls on unchanged data.
    ///
    /// # Errors
    /// The data could not be read.
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints<'_>,
    ) -> Result<Box<dyn SeriesSet>, SourceError>;
}

/// What the engine will do with the selected series. A source may ignore it all.
#[derive(Debug, Clone, Copy, Default)]
pub struct SelectHints<'a> {
    /// Name of the function or aggregation around the selector, empty if none.
    pub function: &'a str,
    /// Distance of the evaluated steps in milliseconds; 0 for an instant query.
    pub step_ms: i64,
    /// Length of the range selector's window in milliseconds; 0 for an instant selector.
    pub range_ms: i64,
    /// Of each series only the newest sample in the range is looked at: older ones may
    /// be left out.
    pub newest_only: bool,
}

/// Selected series, read one by one in any order and from several threads.
pub trait SeriesSet: Send + Sync {
    /// Returns how many series were selected.
    fn len(&self) -> usize;

    /// Tells whether nothing was selected.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the labels of series `index` (below [`SeriesSet::len`]).
    fn labels(&self, index: usize) -> Labels;

    /// Returns those labels of series `index` that have one of `names`.
    fn labels_named(&self, index: usize, names: &[String]) -> Labels {
        let labels = self.labels(index);
        Labels::from_sorted(
            labels
                .iter()
                .filter(|(name, _)| names.iter().any(|n| n == name)),
        )
    }

    /// Returns how much memory the set holds beside what its source holds anyway, in
    /// bytes. It counts as memory of the query.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// Replaces the content of `into` by the samples of series `index` within the
    /// selected range, in order of time, stale markers included.
    ///
    /// # Errors
    /// The samples could not be read.
    fn read(&self, index: usize, into: &mut SampleBuf) -> Result<(), SourceError>;
}

/// Samples of one series in columns of equal length, reused between series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SampleBuf {
    /// Milliseconds since the epoch, strictly ascending.
    pub timestamps: Vec<i64>,
    /// The value at the timestamp of the same index.
    pub values: Vec<f64>,
    /// Since when the series had counted at the sample of the same index, in milliseconds
    /// since the epoch; 0 where that is not known. Empty where it is known of none.
    pub start_times: Vec<i64>,
}

impl SampleBuf {
    /// Removes all samples and keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.start_times.clear();
    }

    /// Returns the bytes of memory that the columns hold.
    pub(crate) fn memory_bytes(&self) -> usize {
        let times = self.timestamps.capacity() + self.start_times.capacity();
        times * size_of::<i64>() + self.values.capacity() * size_of::<f64>()
    }

    /// Appends one sample.
    pub fn push(&mut self, t_ms: i64, value: f64) {
        self.timestamps.push(t_ms);
        self.values.push(value);
        if !self.start_times.is_empty() {
            self.start_times.push(0);
        }
    }

    /// Appends one sample of a series that has counted since `start_ms`.
    pub fn push_started(&mut self, t_ms: i64, start_ms: i64, value: f64) {
        self.start_times.resize(self.timestamps.len(), 0);
        self.timestamps.push(t_ms);
        self.values.push(value);
        self.start_times.push(start_ms);
    }
}

/// A source could not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What went wrong and where.
    pub message: String,
}
