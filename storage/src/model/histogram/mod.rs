//! Native histograms: the data type, its buckets and their bounds, what makes one valid,
//! and its written forms.
//!
//! A native histogram counts observations in buckets whose bounds follow from a number,
//! the schema: with schemas -4 to 8 each power of two is divided into `2^schema` buckets
//! and values near zero have a bucket of their own; with schema -53 the bounds are
//! listed ("custom buckets", positive only, the last one open above).
//!
//! [`FloatHistogram`] is what queries compute with, and holds any histogram: counts that
//! arrive as integers ([`IntegerHistogram`]) are far below the size at which floats lose
//! them. Only what belongs to one histogram is here; sums, quantiles and the like are
//! PromQL and live in `kymo-query`.
//!
//! **Invariant:** the buckets of one side have ascending indexes, each with one count.
//! Everything else about a histogram may be nonsense until [`FloatHistogram::validate`]
//! has been asked, and nothing here panics on it.

mod bounds;
mod bounds_table;
mod buckets;
mod coarser;
mod integer;
mod iter;
mod point;
mod sample;
#[cfg(test)]
mod tests;
mod text;
mod validate;

use std::sync::Arc;

pub use bounds::exponential_bound;
pub use buckets::{Buckets, Span};
pub(crate) use buckets::{indexes_of, spans_of};
pub use coarser::compact_spans;
pub use integer::IntegerHistogram;
pub use iter::{AllBuckets, Bucket};
pub use point::HistogramPoint;
pub use sample::{Histogram, HistogramSample};
pub use validate::HistogramError;

use super::sample::is_stale_marker;

/// The schema of histograms whose bounds are listed.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// The exponential schemas that can be stored and queried.
pub const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// What a histogram says of a counter reset before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum CounterResetHint {
    /// Nothing; whoever needs to know compares the counts.
    #[default]
    Unknown,
    /// The counter began anew with this histogram.
    Reset,
    /// It did not.
    NotReset,
    /// The histogram is no counter.
    Gauge,
}

/// A native histogram with counts that need not be whole.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FloatHistogram {
    /// What is known of a reset before it.
    pub counter_reset_hint: CounterResetHint,
    /// Resolution, see the module.
    pub schema: i32,
    /// Half the width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Their sum. The stale marker stands here.
    pub sum: f64,
    /// Buckets above the zero bucket, and custom ones.
    pub positive: Buckets,
    /// Buckets below the zero bucket, counted from it downwards.
    pub negative: Buckets,
    /// Upper bounds of custom buckets without the last, which is +Inf.
    pub custom_bounds: Arc<[f64]>,
}

impl FloatHistogram {
    /// Tells whether the bounds are listed.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Tells whether this is no histogram but the mark that its series ended.
    pub fn is_stale_marker(&self) -> bool {
        is_stale_marker(self.sum)
    }

    /// Tells whether both are the same data, bit by bit, whatever their hints say.
    /// Buckets without observations count as well.
    pub fn is_same_data(&self, other: &FloatHistogram) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        self.schema == other.schema
            && same(self.count, other.count)
            && same(self.sum, other.sum)
            && (!self.uses_custom_buckets() || self.custom_bounds == other.custom_bounds)
            && self.zero_threshold == other.zero_threshold
            && same(self.zero_count, other.zero_count)
            && self.negative.is_same_data(&other.negative)
            && self.positive.is_same_data(&other.positive)
    }

    /// Removes buckets without observations, except runs of at most `max_empty` of them
    /// between others, which are written out.
    pub fn compact(&mut self, max_empty: u32) {
        self.positive.compact(max_empty);
        self.negative.compact(max_empty);
    }

    /// Returns how many bytes the histogram takes, itself included. A layout or bounds
    /// shared with other histograms count in full.
    pub fn memory_bytes(&self) -> usize {
        size_of::<FloatHistogram>()
            + self.positive.memory_bytes()
            + self.negative.memory_bytes()
            + self.custom_bounds.len() * 8
    }
}
