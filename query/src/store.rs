//! The metric store as a source of queries.

use kymo_storage::StorageError;
use kymo_storage::metrics::{MetricStore, Selection, Version};
use kymo_storage::model::{Labels, Matcher, TimeRange};

use crate::source::{Changes, SampleBuf, SelectHints, SeriesSet, Source, SourceError, Times};

impl Source for MetricStore {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints<'_>,
    ) -> Result<Box<dyn SeriesSet>, SourceError> {
        let whole = hints.whole.unwrap_or(range);
        match self.select_part(matchers, range, whole, hints.newest_only) {
            Ok(selection) => Ok(Box::new(selection)),
            Err(error) => Err(source_error(&error)),
        }
    }

    fn changes(&self) -> Option<&dyn Changes> {
        Some(self)
    }
}

/// Least time for samples to arrive, in milliseconds.
const ARRIVAL_MS: i64 = 300_000;

impl Changes for MetricStore {
    fn settled_ms(&self) -> Option<i64> {
        let wait_ms = self.out_of_order_window_ms().max(ARRIVAL_MS);
        Some(self.newest_time_ms()?.saturating_sub(wait_ms))
    }

    fn watch(&self, until_ms: i64) -> u64 {
        self.versions().watch(until_ms).number()
    }

    fn changed_since(&self, number: u64, range: TimeRange) -> Option<TimeRange> {
        self.versions()
            .changed_since(Version::from_number(number), range)
    }

    fn is_in_label_order(&self, range: TimeRange) -> bool {
        MetricStore::is_in_label_order(self, range)
    }

    fn has_label(&self, name: &str, range: TimeRange) -> bool {
        MetricStore::has_label(self, name, range)
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
        let mut read = || {
            let times = Selection::read(self, index, &mut into.timestamps, &mut into.values)?;
            self.read_histograms(index, &into.timestamps, &mut into.histograms)?;
            Ok(times)
        };
        read().map_err(|error: StorageError| source_error(&error))
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
