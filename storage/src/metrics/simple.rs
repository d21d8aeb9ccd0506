//! A plain store in memory behind the facade, until the sharded head replaces it.

use std::collections::{BTreeMap, HashMap};

use super::appender::{Committed, RawKey, SeriesRef};
use super::selection::Selection;
use super::stats::{Cardinality, StoreStats};
use crate::error::AppendError;
use crate::model::{Labels, METRIC_NAME, Matcher, TimeRange};

/// Samples older than the newest one by more than this are out of bounds.
const BOUNDS_MS: i64 = 3_600_000;

#[derive(Debug, Default)]
struct Series {
    labels: Labels,
    committed: bool,
    samples: Vec<(i64, f64)>,
}

#[derive(Debug, Default)]
pub(super) struct Simple {
    max_series: usize,
    pub(super) aliases: HashMap<RawKey, SeriesRef>,
    by_labels: HashMap<Labels, SeriesRef>,
    series: Vec<Series>,
    max_time_ms: Option<i64>,
    stats: StoreStats,
}

impl Simple {
    pub(super) fn new(max_series: usize) -> Simple {
        Simple {
            max_series,
            ..Simple::default()
        }
    }

    pub(super) fn series(
        &mut self,
        labels: &Labels,
        created: &mut Vec<SeriesRef>,
    ) -> Result<SeriesRef, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::InvalidLabels(
                "empty labelset: invalid sample".to_owned(),
            ));
        }
        if let Some(&series) = self.by_labels.get(labels) {
            return Ok(series);
        }
        if self.max_series > 0 && self.series.len() >= self.max_series {
            self.stats.series_limit_total += 1;
            return Err(AppendError::SeriesLimit {
                limit: self.max_series,
            });
        }
        let series = SeriesRef(self.series.len() as u64);
        self.series.push(Series {
            labels: labels.clone(),
            ..Series::default()
        });
        self.by_labels.insert(labels.clone(), series);
        created.push(series);
        self.stats.series_created_total += 1;
        Ok(series)
    }

    /// Tells whether the sample is to be stored; a repeated one is not.
    pub(super) fn accept(
        &mut self,
        series: SeriesRef,
        t_ms: i64,
        value: f64,
    ) -> Result<bool, AppendError> {
        let Some(found) = self.series.get(series.0 as usize) else {
            self.stats.series_not_found_total += 1;
            return Err(AppendError::UnknownSeries);
        };
        if self
            .max_time_ms
            .is_some_and(|max| t_ms < max.saturating_sub(BOUNDS_MS))
        {
            self.stats.out_of_bounds_total += 1;
            return Err(AppendError::OutOfBounds);
        }
        match found.samples.last() {
            Some(&(last_ms, last)) if t_ms == last_ms => {
                if last.to_bits() == value.to_bits() {
                    return Ok(false);
                }
                self.stats.duplicate_total += 1;
                Err(AppendError::DuplicateTimestamp {
                    t_ms,
                    existing: last,
                    new: value,
                })
            }
            Some(&(last_ms, _)) if t_ms < last_ms => {
                self.stats.out_of_order_total += 1;
                Err(AppendError::OutOfOrder)
            }
            _ => Ok(true),
        }
    }

    pub(super) fn commit(
        &mut self,
        samples: &[(SeriesRef, i64, f64)],
        created: &[SeriesRef],
    ) -> Committed {
        let mut committed = Committed::default();
        for series in created {
            self.series[series.0 as usize].committed = true;
            committed.series += 1;
        }
        for &(series, t_ms, value) in samples {
            let series = &mut self.series[series.0 as usize];
            match series.samples.last() {
                Some(&(last_ms, last)) if t_ms <= last_ms => {
                    if t_ms != last_ms || last.to_bits() != value.to_bits() {
                        committed.dropped += 1;
                        self.stats.out_of_order_total += 1;
                    }
                }
                _ => {
                    series.samples.push((t_ms, value));
                    series.committed = true;
                    committed.samples += 1;
                    self.max_time_ms = self.max_time_ms.max(Some(t_ms));
                }
            }
        }
        self.stats.samples_appended_total += committed.samples;
        committed
    }

    pub(super) fn select(&self, matchers: &[Matcher], range: TimeRange) -> Selection {
        let mut selection = Selection::default();
        for series in self.series.iter().filter(|series| series.committed) {
            let matched = matchers
                .iter()
                .all(|matcher| matcher.matches(series.labels.get(matcher.name()).unwrap_or("")));
            let samples: Vec<(i64, f64)> = series
                .samples
                .iter()
                .copied()
                .filter(|&(t_ms, _)| range.contains(t_ms))
                .collect();
            if matched && !samples.is_empty() {
                selection.series.push((series.labels.clone(), samples));
            }
        }
        selection
    }

    pub(super) fn truncate_before(&mut self, t_ms: i64) {
        for series in &mut self.series {
            series.samples.retain(|sample| sample.0 >= t_ms);
        }
    }

    pub(super) fn stats(&self) -> StoreStats {
        StoreStats {
            series: self.series.len() as u64,
            max_time_ms: self.max_time_ms,
            min_time_ms: self
                .series
                .iter()
                .filter_map(|series| series.samples.first().map(|sample| sample.0))
                .min(),
            ..self.stats.clone()
        }
    }

    pub(super) fn cardinality(&self, top: usize) -> Cardinality {
        let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for series in &self.series {
            for pair in &series.labels {
                *pairs.entry(pair).or_default() += 1;
            }
        }
        let mut names: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (&(name, value), &count) in &pairs {
            let entry = names.entry(name).or_default();
            entry.0 += 1;
            entry.1 += value.len() as u64 * count;
        }
        let stats = self.stats();
        Cardinality {
            series: stats.series,
            label_pairs: pairs.len() as u64,
            chunks: stats.chunks,
            min_time_ms: stats.min_time_ms,
            max_time_ms: stats.max_time_ms,
            series_by_metric_name: largest(
                top,
                pairs
                    .iter()
                    .filter(|(pair, _)| pair.0 == METRIC_NAME)
                    .map(|(pair, &count)| (pair.1.to_owned(), count)),
            ),
            values_by_label_name: largest(
                top,
                names
                    .iter()
                    .map(|(name, entry)| ((*name).to_owned(), entry.0)),
            ),
            bytes_by_label_name: largest(
                top,
                names
                    .iter()
                    .map(|(name, entry)| ((*name).to_owned(), entry.1)),
            ),
            series_by_label_pair: largest(
                top,
                pairs
                    .iter()
                    .map(|(pair, &count)| (format!("{}={}", pair.0, pair.1), count)),
            ),
        }
    }
}

fn largest(top: usize, counts: impl Iterator<Item = (String, u64)>) -> Vec<(String, u64)> {
    let mut counts: Vec<(String, u64)> = counts.collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(top);
    counts
}
