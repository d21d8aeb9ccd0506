//! The metric store as a source of queries.

use kymo_storage::metrics::{MetricStore, Selection};
use kymo_storage::model::{Labels, Matcher, TimeRange};

use crate::source::{SampleBuf, SelectHints, SeriesSet, Source, SourceError, Times};

impl Source for MetricStore {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints<'_>,
    ) -> Result<Box<dyn SeriesSet>, SourceError> {
        let selected = match hints.newest_only {
            true => self.select_newest(matchers, range),
            false => MetricStore::select(self, matchers, range),
        };
        match selected {
            Ok(selection) => Ok(Box::new(selection)),
            Err(error) => Err(source_error(&error)),
        }
    }
}

impl SeriesSet for Selection {
    fn len(&self) -> usize {
        Selection::len(self)
    }

    fn labels(&self, index: usize) -> Labels {
        Selection::labels(self, index)
    }

    fn labels_named(&self, index: usize, names: &[String]) -> Labels {
        Selection::labels_named(self, index, names)
    }

    fn memory_bytes(&self) -> usize {
        Selection::memory_bytes(self)
    }

    fn read(&self, index: usize, into: &mut SampleBuf) -> Result<(), SourceError> {
        self.read_next(index, into).map(|_| ())
    }

    fn read_next(&self, index: usize, into: &mut SampleBuf) -> Result<Times, SourceError> {
        into.histograms.clear();
        Selection::read(self, index, &mut into.timestamps, &mut into.values)
            .map_err(|error| source_error(&error))
    }
}

fn source_error(error: &dyn std::error::Error) -> SourceError {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    SourceError { message }
}
