//! The values of the series lines of unit tests.

use std::sync::Arc;

use kymo_storage::model::histogram::FloatHistogram;

/// Most values that one series line may stand for.
pub(crate) const MAX_SERIES_VALUES: usize = 1_000_000;

/// Most histograms that one run of changes such as `{{}}+{{sum:1}}x3` may stand for:
/// each takes memory of its own.
pub(crate) const MAX_CHANGED_HISTOGRAMS: u64 = 100_000;

/// One value of a series line.
#[derive(Debug, Clone, PartialEq)]
pub enum SeriesValue {
    /// `_`: no sample at this step.
    Gap,
    /// A number, or the stale marker for `stale`.
    Float(f64),
    /// A native histogram.
    Histogram(SeriesHistogram),
}

/// A native histogram as written, `{{schema:1 sum:2 count:3 buckets:[1 2]}}`, or as it
/// follows from changes.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesHistogram {
    /// The histogram.
    pub histogram: Arc<FloatHistogram>,
    /// Whether a `counter_reset_hint` was written, so that an expectation means it.
    pub hint_set: bool,
}
