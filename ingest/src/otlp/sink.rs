//! What a translation makes, and where it goes.

use kymo_storage::model::histogram::IntegerHistogram;
use kymo_storage::model::{Exemplar, MetricMetadata};

use super::error::PointError;

/// What is known of all series that one metric is made into.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// Type, unit and help.
    pub metadata: MetricMetadata,
}

/// What a series counts at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SampleValue<'p> {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(&'p IntegerHistogram),
}

/// A sample of a series.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'p> {
    /// Milliseconds since the epoch.
    pub t_ms: i64,
    /// Since when it counts, milliseconds since the epoch; 0 where that is not known.
    pub start_ms: i64,
    /// The value.
    pub value: SampleValue<'p>,
    /// Examples of what was counted.
    pub exemplars: &'p [Exemplar],
}

/// Takes what a request is translated to.
///
/// A series is asked for by a key first, so that labels are made only for those that have
/// not come before. A sink that knows no keys sees the labels of every series.
pub trait Sink {
    /// Names a series of the sink.
    type Series: Copy;

    /// Returns a hash of bytes that nobody can foresee, to be part of keys.
    fn digest(&self, bytes: &[u8]) -> [u8; 16];

    /// Returns the series that was remembered for a key.
    fn known(&mut self, key: &[u8]) -> Option<Self::Series>;

    /// Finds or creates a series, and remembers it for the key if there is one. Labels
    /// are sorted by name; where attributes had one name twice, so have they.
    ///
    /// # Errors
    /// The labels cannot name a series, or there is no room for one.
    fn series(
        &mut self,
        key: Option<&[u8]>,
        labels: &[(&str, &str)],
    ) -> Result<Self::Series, PointError>;

    /// Is told of a metric before samples of its series come.
    fn family(&mut self, family: &Family);

    /// Adds a sample of the metric that was told last.
    ///
    /// # Errors
    /// The sample is not acceptable.
    fn append(&mut self, series: Self::Series, sample: Sample<'_>) -> Result<(), PointError>;
}
