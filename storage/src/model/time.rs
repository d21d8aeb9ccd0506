//! Times are `i64` milliseconds since the Unix epoch, everywhere in metrics.

/// A range of time closed at both ends, in milliseconds since the epoch.
///
/// A range whose `end_ms` is before its `start_ms` is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First millisecond that belongs to the range.
    pub start_ms: i64,
    /// Last millisecond that belongs to the range.
    pub end_ms: i64,
}

impl TimeRange {
    /// Every representable time.
    pub const ALL: TimeRange = TimeRange {
        start_ms: i64::MIN,
        end_ms: i64::MAX,
    };

    /// Returns the closed range from `start_ms` to `end_ms`.
    pub fn new(start_ms: i64, end_ms: i64) -> TimeRange {
        TimeRange { start_ms, end_ms }
    }

    /// Tells whether `t_ms` lies in the range.
    pub fn contains(&self, t_ms: i64) -> bool {
        self.start_ms <= t_ms && t_ms <= self.end_ms
    }

    /// Tells whether the two ranges share a millisecond.
    pub fn overlaps(&self, other: TimeRange) -> bool {
        self.start_ms <= other.end_ms && other.start_ms <= self.end_ms
    }
}
