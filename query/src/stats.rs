//! What a query has cost, in samples. Times are measured by whoever runs it.

/// Counts of one query, under the names of Prometheus' `stats=all`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryStats {
    /// Samples looked at, once per step that looks at them (`totalQueryableSamples`).
    pub total_samples: u64,
    /// Samples read, each counted once however many windows hold it (`samplesRead`).
    pub samples_read: u64,
    /// The largest number of samples held at one time (`peakSamples`).
    pub peak_samples: u64,
}
