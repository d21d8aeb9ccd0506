//! The synthetic series of a target: whether it is up, and how the scrape went.

use kymo_storage::AppendError;
use kymo_storage::metrics::{Appender, SeriesRef};
use kymo_storage::model::{Labels, stale_marker};

use super::labels;

/// Names of the series, in the order they are written; the last three only where
/// extra metrics are on.
const NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

const ALWAYS: usize = 5;

/// What a scrape came to, in the order of [`NAMES`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Report {
    pub(super) up: bool,
    pub(super) duration_s: f64,
    pub(super) scraped: u64,
    pub(super) kept: u64,
    pub(super) added: u64,
    pub(super) timeout_s: f64,
    pub(super) sample_limit: u64,
    /// -1 where the limit on bytes was exceeded.
    pub(super) body_bytes: i64,
}

/// The series of one target's reports.
#[derive(Debug)]
pub(super) struct Reporter {
    target: Labels,
    extra: bool,
    series: [Option<SeriesRef>; NAMES.len()],
}

impl Reporter {
    /// Makes the reporter of a target with these public labels.
    pub(super) fn new(target: Labels, extra: bool) -> Reporter {
        Reporter {
            target,
            extra,
            series: [None; NAMES.len()],
        }
    }

    /// Creates the series that there are not. Where the store refuses, writing the
    /// report will tell.
    pub(super) fn reserve(&mut self, appender: &mut Appender<'_>) {
        let count = self.count();
        for (name, series) in NAMES.iter().zip(&mut self.series).take(count) {
            if series.is_none() {
                let labels = labels::of_report(&self.target, name);
                *series = appender.series(&labels).ok();
            }
        }
    }

    /// Appends a report at `t_ms`. Samples that come too late or for the second time
    /// are left out silently, as a target may expose series of these names itself.
    ///
    /// # Errors
    /// The store takes no sample at all.
    pub(super) fn write(
        &mut self,
        appender: &mut Appender<'_>,
        t_ms: i64,
        report: &Report,
    ) -> Result<(), AppendError> {
        let values = [
            f64::from(u8::from(report.up)),
            report.duration_s,
            report.scraped as f64,
            report.kept as f64,
            report.added as f64,
            report.timeout_s,
            report.sample_limit as f64,
            report.body_bytes as f64,
        ];
        self.write_values(appender, t_ms, &values)
    }

    /// Ends all series at `t_ms`.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub(super) fn end(
        &mut self,
        appender: &mut Appender<'_>,
        t_ms: i64,
    ) -> Result<(), AppendError> {
        self.write_values(appender, t_ms, &[stale_marker(); NAMES.len()])
    }

    fn write_values(
        &mut self,
        appender: &mut Appender<'_>,
        t_ms: i64,
        values: &[f64; NAMES.len()],
    ) -> Result<(), AppendError> {
        for (index, value) in values.iter().take(self.count()).enumerate() {
            match self.append(appender, index, t_ms, *value) {
                Ok(()) | Err(AppendError::OutOfOrder) => {}
                Err(error) if error.is_duplicate() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn count(&self) -> usize {
        if self.extra { NAMES.len() } else { ALWAYS }
    }

    fn append(
        &mut self,
        appender: &mut Appender<'_>,
        index: usize,
        t_ms: i64,
        value: f64,
    ) -> Result<(), AppendError> {
        if let Some(series) = self.series[index] {
            match appender.append(series, t_ms, value) {
                // The store forgot the series since the last report.
                Err(AppendError::UnknownSeries) => {}
                result => return result,
            }
        }
        let labels = labels::of_report(&self.target, NAMES[index]);
        let series = appender.series(&labels)?;
        self.series[index] = Some(series);
        appender.append(series, t_ms, value)
    }
}
