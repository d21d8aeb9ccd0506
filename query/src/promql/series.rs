//! The values of the series lines of unit tests.

use std::fmt;
use std::sync::Arc;

use kymo_storage::compat::float;

/// Most values that one series line may stand for.
pub(crate) const MAX_SERIES_VALUES: usize = 1_000_000;

/// One value of a series line.
#[derive(Debug, Clone, PartialEq)]
pub enum SeriesValue {
    /// `_`: no sample at this step.
    Gap,
    /// A number, or the stale marker for `stale`.
    Float(f64),
    /// A native histogram.
    Histogram(HistogramStep),
}

/// One histogram of a run such as `{{sum:1}}+{{sum:2}}x3`: the first one, and how
/// often the change was added or taken away. The sums are left to whoever computes
/// with histograms.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramStep {
    /// The histogram that the run begins with.
    pub start: Arc<HistogramDescriptor>,
    /// What is added at each step, if anything.
    pub change: Option<Arc<HistogramDescriptor>>,
    /// Whether the change is taken away instead.
    pub falling: bool,
    /// How many times the change applies.
    pub n_changes: u64,
    /// Whether a `counter_reset_hint` was written, so that an expectation means it.
    pub hint_set: bool,
}

/// A native histogram as written: `{{schema:1 sum:2 count:3 buckets:[1 2]}}`. What is
/// not written is zero or empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistogramDescriptor {
    /// Resolution; -53 stands for custom buckets.
    pub schema: i32,
    /// Sum of observations.
    pub sum: f64,
    /// Number of observations.
    pub count: f64,
    /// Number of observations in the zero bucket.
    pub zero_count: f64,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Upper bounds of custom buckets.
    pub custom_values: Vec<f64>,
    /// Index of the first positive bucket.
    pub positive_offset: i32,
    /// Positive buckets, from that index without a gap.
    pub positive_buckets: Vec<f64>,
    /// Index of the first negative bucket.
    pub negative_offset: i32,
    /// Negative buckets, from that index without a gap.
    pub negative_buckets: Vec<f64>,
    /// What is said of counter resets, if anything.
    pub counter_reset_hint: Option<CounterResetHint>,
}

/// What a histogram says of a counter reset before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterResetHint {
    /// `unknown`
    Unknown,
    /// `reset`
    Reset,
    /// `not_reset`
    NotReset,
    /// `gauge`
    Gauge,
}

/// Writes the histogram in the notation of unit tests, without what is zero.
impl fmt::Display for HistogramDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.schema != 0 {
            parts.push(format!("schema:{}", self.schema));
        }
        let numbers = [
            ("count", self.count),
            ("sum", self.sum),
            ("z_bucket", self.zero_count),
            ("z_bucket_w", self.zero_threshold),
        ];
        for (key, number) in numbers {
            if number != 0.0 {
                parts.push(format!("{key}:{}", float::g(number)));
            }
        }
        if !self.custom_values.is_empty() {
            parts.push(format!("custom_values:{}", list(&self.custom_values)));
        }
        match self.counter_reset_hint {
            None | Some(CounterResetHint::Unknown) => {}
            Some(CounterResetHint::Reset) => parts.push("counter_reset_hint:reset".to_owned()),
            Some(CounterResetHint::NotReset) => {
                parts.push("counter_reset_hint:not_reset".to_owned());
            }
            Some(CounterResetHint::Gauge) => parts.push("counter_reset_hint:gauge".to_owned()),
        }
        let sides = [
            (
                "offset",
                "buckets",
                self.positive_offset,
                &self.positive_buckets,
            ),
            (
                "n_offset",
                "n_buckets",
                self.negative_offset,
                &self.negative_buckets,
            ),
        ];
        for (offset_key, buckets_key, offset, buckets) in sides {
            let empty_below = buckets.iter().take_while(|b| **b == 0.0).count();
            let buckets = &buckets[empty_below..];
            let empty_above = buckets.iter().rev().take_while(|b| **b == 0.0).count();
            let buckets = &buckets[..buckets.len() - empty_above];
            if buckets.is_empty() {
                continue;
            }
            let offset = i64::from(offset) + empty_below as i64;
            if offset != 0 {
                parts.push(format!("{offset_key}:{offset}"));
            }
            parts.push(format!("{buckets_key}:{}", list(buckets)));
        }
        write!(f, "{{{{{}}}}}", parts.join(" "))
    }
}

fn list(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(|n| float::g(*n)).collect();
    format!("[{}]", numbers.join(" "))
}
