//! Series in memory as both ends of rules: what they read and where they write.

use kymo_storage::metrics::SeriesRef;
use kymo_storage::model::{Labels, Matcher, TimeRange, stale_marker};
use parking_lot::RwLock;

use super::rule::Rule;
use super::sink::{RuleSink, RuleWriter};
use crate::memory::MemorySource;
use crate::promql::PointValue;
use crate::source::{SelectHints, SeriesSet, Source, SourceError};

/// A [`MemorySource`] that rules read and write.
#[derive(Debug, Default)]
pub struct MemoryRules {
    /// The series.
    pub series: RwLock<MemorySource>,
}

impl Source for MemoryRules {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints<'_>,
    ) -> Result<Box<dyn SeriesSet>, SourceError> {
        self.series.read().select(matchers, range, hints)
    }
}

impl RuleSink for MemoryRules {
    fn begin<'s>(&'s self, _rule: Option<&'s Rule>) -> Box<dyn RuleWriter + 's> {
        Box::new(Writer {
            to: self,
            samples: Vec::new(),
        })
    }
}

struct Writer<'a> {
    to: &'a MemoryRules,
    samples: Vec<(Labels, i64, PointValue)>,
}

impl RuleWriter for Writer<'_> {
    fn append(
        &mut self,
        _series: &mut Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: &PointValue,
    ) -> Result<(), String> {
        self.samples.push((labels.clone(), t_ms, value.clone()));
        Ok(())
    }

    fn end(&mut self, labels: &Labels, t_ms: i64) {
        let end = PointValue::Float(stale_marker());
        self.samples.push((labels.clone(), t_ms, end));
    }

    fn commit(self: Box<Self>) -> Result<(), String> {
        let mut series = self.to.series.write();
        for (labels, t_ms, value) in self.samples {
            match value {
                PointValue::Float(value) => series.push(&labels, t_ms, value),
                PointValue::Histogram(histogram) => {
                    series.push_histogram(&labels, t_ms, histogram.as_ref().clone());
                }
            }
        }
        Ok(())
    }
}
