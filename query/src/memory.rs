//! Series in memory as a source of queries: for tests, and for embedders whose data
//! is not in a store.

use std::collections::HashMap;
use std::sync::Arc;

use kymo_storage::model::{Labels, Matcher, TimeRange};

use crate::source::{SampleBuf, SelectHints, SeriesSet, Source, SourceError};

/// Series held in plain vectors, in the order in which they were first pushed.
///
/// ```
/// use kymo_query::{Cancel, Engine, EngineOptions, MemorySource, QueryOptions, Value};
/// use kymo_storage::model::Labels;
///
/// let mut source = MemorySource::new();
/// for (instance, value) in [("a", 3.0), ("b", 4.0)] {
///     let labels = Labels::from_pairs([("__name__", "up"), ("instance", instance)]);
///     source.push(&labels, 1_000, value);
/// }
/// let engine = Engine::new(EngineOptions::default());
/// let result = engine.instant(
///     &source,
///     "scalar(sum(up))",
///     2_000,
///     &QueryOptions::default(),
///     &Cancel::new(),
/// )?;
/// assert_eq!(result.value, Value::Scalar { t_ms: 2_000, value: 7.0 });
/// # Ok::<(), kymo_query::QueryError>(())
/// ```
#[derive(Debug, Default)]
pub struct MemorySource {
    series: Vec<(Labels, Arc<SampleBuf>)>,
    by_labels: HashMap<Labels, usize>,
}

impl MemorySource {
    /// Returns a source without series.
    pub fn new() -> MemorySource {
        MemorySource::default()
    }

    /// Adds a sample to a series, which is created where needed. A sample that is not
    /// newer than the newest of its series replaces what it is not newer than.
    pub fn push(&mut self, labels: &Labels, t_ms: i64, value: f64) {
        self.cut(labels, t_ms).push(t_ms, value);
    }

    /// Adds a sample of a series that has counted since `start_ms`; as
    /// [`MemorySource::push`].
    pub fn push_started(&mut self, labels: &Labels, t_ms: i64, start_ms: i64, value: f64) {
        self.cut(labels, t_ms).push_started(t_ms, start_ms, value);
    }

    /// Returns the samples of a series that are before `t_ms`.
    fn cut(&mut self, labels: &Labels, t_ms: i64) -> &mut SampleBuf {
        let at = *self.by_labels.entry(labels.clone()).or_insert_with(|| {
            self.series.push((labels.clone(), Arc::default()));
            self.series.len() - 1
        });
        let samples = Arc::make_mut(&mut self.series[at].1);
        let keep = samples.timestamps.partition_point(|&t| t < t_ms);
        samples.timestamps.truncate(keep);
        samples.values.truncate(keep);
        samples.start_times.truncate(keep);
        samples
    }

    /// Returns how many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Tells whether there are no series.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

impl Source for MemorySource {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        _hints: &SelectHints<'_>,
    ) -> Result<Box<dyn SeriesSet>, SourceError> {
        let matching = self.series.iter().filter(|(labels, _)| {
            matchers
                .iter()
                .all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
        });
        Ok(Box::new(Selected {
            series: matching.cloned().collect(),
            range,
        }))
    }
}

/// Series of a [`MemorySource`], shared with it until it changes.
struct Selected {
    series: Vec<(Labels, Arc<SampleBuf>)>,
    range: TimeRange,
}

impl SeriesSet for Selected {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.series
            .get(index)
            .map_or_else(Labels::empty, |(labels, _)| labels.clone())
    }

    fn read(&self, index: usize, into: &mut SampleBuf) -> Result<(), SourceError> {
        into.clear();
        let Some((_, samples)) = self.series.get(index) else {
            return Ok(());
        };
        let times = &samples.timestamps;
        let from = times.partition_point(|&t| t < self.range.start_ms);
        let to = times.partition_point(|&t| t <= self.range.end_ms);
        if from < to {
            into.timestamps.extend_from_slice(&times[from..to]);
            into.values.extend_from_slice(&samples.values[from..to]);
            if let Some(starts) = samples.start_times.get(from..to) {
                into.start_times.extend_from_slice(starts);
            }
        }
        Ok(())
    }
}
