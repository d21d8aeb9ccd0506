//! A histogram at a time, as it is stored.

use super::Histogram;

/// A histogram and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramPoint {
    /// Milliseconds since the epoch.
    pub t_ms: i64,
    /// The histogram.
    pub histogram: Histogram,
}
