//! Series in memory as a source of queries: for tests, and for embedders whose data
//! is not in a store.

use std::collections::HashMap;
use std::sync::Arc;

use kymo_storage::model::histogram::FloatHistogram;
use kymo_storage::model::{Labels, Matcher, TimeRange};

use crate::histogram::HistogramRun;
use crate::source::{SampleBuf, SelectHints, SeriesSet, Source, SourceError, Times};

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
    /// The runs that the newest histograms of series form.
    runs: HashMap<usize, HistogramRun>,
}

impl MemorySource {
    /// Returns a source without series.
    pub fn new() -> MemorySource {
        MemorySource::default()
    }

    /// Adds a sample to a series, which is created where needed. A sample that is not
    /// newer than the newest of its series replaces what it is not newer than.
    pub fn push(&mut self, labels: &Labels, t_ms: i64, value: f64) {
        self.before(labels, t_ms).push(t_ms, value);
    }

    /// Adds a sample of a series that has counted since `start_ms`; as
    /// [`MemorySource::push`].
    pub fn push_started(&mut self, labels: &Labels, t_ms: i64, start_ms: i64, value: f64) {
        self.before(labels, t_ms)
            .push_started(t_ms, start_ms, value);
    }

    /// Returns the samples of a series that are before `t_ms`.
    fn before(&mut self, labels: &Labels, t_ms: i64) -> &mut SampleBuf {
        let at = self.series_at(labels);
        self.runs.remove(&at);
        let samples = Arc::make_mut(&mut self.series[at].1);
        keep_before(samples, t_ms);
        samples
    }

    /// Adds a histogram to a series, as [`MemorySource::push`] adds a float. It comes back
    /// as a stored one does, see [`HistogramRun`].
    pub fn push_histogram(&mut self, labels: &Labels, t_ms: i64, histogram: FloatHistogram) {
        let at = self.series_at(labels);
        let samples = Arc::make_mut(&mut self.series[at].1);
        keep_before(samples, t_ms);
        let run = self.runs.entry(at).or_default();
        run.add(histogram, t_ms, &mut samples.histograms);
    }

    /// Adds a histogram to a series that has counted since `start_ms`; as
    /// [`MemorySource::push_histogram`].
    pub fn push_started_histogram(
        &mut self,
        labels: &Labels,
        t_ms: i64,
        start_ms: i64,
        histogram: FloatHistogram,
    ) {
        self.push_histogram(labels, t_ms, histogram);
        let at = self.series_at(labels);
        let samples = Arc::make_mut(&mut self.series[at].1);
        if let Some(sample) = samples.histograms.last_mut() {
            sample.start_ms = start_ms;
        }
    }

    fn series_at(&mut self, labels: &Labels) -> usize {
        *self.by_labels.entry(labels.clone()).or_insert_with(|| {
            self.series.push((labels.clone(), Arc::default()));
            self.series.len() - 1
        })
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

/// Removes samples from a time on.
fn keep_before(samples: &mut SampleBuf, t_ms: i64) {
    let keep = samples.timestamps.partition_point(|&t| t < t_ms);
    samples.timestamps.truncate(keep);
    samples.values.truncate(keep);
    samples.start_times.truncate(keep);
    let keep = samples.histograms.partition_point(|s| s.t_ms < t_ms);
    samples.histograms.truncate(keep);
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
        self.read_next(index, into).map(|_| ())
    }

    fn read_next(&self, index: usize, into: &mut SampleBuf) -> Result<Times, SourceError> {
        into.histograms.clear();
        into.start_times.clear();
        let (times, values) = match self.series.get(index) {
            Some((_, samples)) => {
                let TimeRange { start_ms, end_ms } = self.range;
                let times = &samples.timestamps;
                let from = times.partition_point(|&t| t < start_ms);
                let to = times.partition_point(|&t| t <= end_ms);
                let kept = from..to.max(from);
                let histograms = &samples.histograms;
                let first = histograms.partition_point(|s| s.t_ms < start_ms);
                let inside = histograms[first..].iter().take_while(|s| s.t_ms <= end_ms);
                into.histograms.extend(inside.cloned());
                let starts = samples.start_times.get(kept.clone());
                into.start_times
                    .extend_from_slice(starts.unwrap_or_default());
                (&times[kept.clone()], &samples.values[kept])
            }
            None => (&[][..], &[][..]),
        };
        into.values.clear();
        into.values.extend_from_slice(values);
        if into.timestamps == times {
            return Ok(Times::Same);
        }
        into.timestamps.clear();
        into.timestamps.extend_from_slice(times);
        Ok(Times::New)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_are_told() {
        let mut source = MemorySource::new();
        for (name, step) in [("a", 1), ("b", 1), ("c", 2)] {
            let labels = Labels::from_pairs([("__name__", name)]);
            (0..5).for_each(|i| source.push(&labels, i * step, i as f64));
        }
        let set = source.select(&[], TimeRange::new(1, 4), &SelectHints::default());
        let set = set.unwrap();
        let mut samples = SampleBuf::default();
        let mut read = |index| {
            let times = set.read_next(index, &mut samples).unwrap();
            (times, samples.timestamps.clone(), samples.values.clone())
        };
        let (all, some) = (vec![1, 2, 3, 4], vec![2, 4]);
        assert_eq!(read(0), (Times::New, all.clone(), vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(read(1), (Times::Same, all, vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(read(2), (Times::New, some, vec![1.0, 2.0]));
        assert_eq!(read(3), (Times::New, vec![], vec![]));
    }
}
