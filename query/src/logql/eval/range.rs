//! Functions over the entries of windows.
//!
//! Upstream source: `pkg/logql/range_vector.go` of Loki.

use kymo_storage::model::{Labels, MatchOp, Matcher, NanoRange};

use super::cell::{Cell, Count, Counter, Ends, Extremes, Moments, Sum, push, slide};
use super::grid::Windows;
use super::{Evaluator, Row, absent, is_present, quantile};
use crate::logql::LogQlError;
use crate::logql::ast::{Grouping, RangeExpr, RangeOp};
use crate::logql::columnar::{ColumnGroup, Counted, Plan};
use crate::logql::label_set::LabelSet;
use crate::logql::pipeline::{ERROR_NAME, Extractor, PRESERVE_ERROR_NAME, SeriesId, needed};
use crate::logql::source::{EntryBatch, EntryRef, LogSelection, MetadataRef};

impl Evaluator<'_> {
    /// Evaluates a function. A grouping from outside stands in for its own.
    pub(super) fn range(
        &mut self,
        range: &RangeExpr,
        outer: Option<&Grouping>,
    ) -> Result<Vec<Row>, LogQlError> {
        let windows = Windows::new(&self.steps, range.range_ns, range.offset_ns)?;
        let seconds = windows.range_seconds();
        let mut extractor = Extractor::new(range, outer, self.query.now_ns)?;
        let reader = &mut extractor;
        let rows = match range.op {
            RangeOp::Count => self.cells(range, reader, &windows, |c: Count, _| c.0 as f64)?,
            RangeOp::Rate if range.unwrap.is_none() => {
                self.cells(range, reader, &windows, |c: Count, _| c.0 as f64 / seconds)?
            }
            RangeOp::Rate | RangeOp::BytesRate => {
                self.cells(range, reader, &windows, |c: Sum, _| c.0 / seconds)?
            }
            RangeOp::Bytes | RangeOp::Sum => {
                self.cells(range, reader, &windows, |c: Sum, _| c.0)?
            }
            RangeOp::Avg => self.cells(range, reader, &windows, |c: Moments, _| c.mean)?,
            RangeOp::Stdvar => self.cells(range, reader, &windows, |c: Moments, _| c.variance())?,
            RangeOp::Stddev => {
                self.cells(range, reader, &windows, |c: Moments, _| c.variance().sqrt())?
            }
            RangeOp::Min => self.cells(range, reader, &windows, |c: Extremes, _| c.min)?,
            RangeOp::Max => self.cells(range, reader, &windows, |c: Extremes, _| c.max)?,
            RangeOp::First => self.cells(range, reader, &windows, |c: Ends, _| c.first.1)?,
            RangeOp::Last => self.cells(range, reader, &windows, |c: Ends, _| c.last.1)?,
            RangeOp::RateCounter => self.counters(range, reader, &windows)?,
            RangeOp::Quantile => self.quantiles(range, reader, &windows)?,
            RangeOp::Absent => {
                let rows = self.cells(range, reader, &windows, |_: Count, _| 1.0)?;
                refuse_errors(&rows)?;
                return Ok(where_absent(&range.log.matchers, &rows, windows.len()));
            }
        };
        refuse_errors(&rows)?;
        Ok(rows)
    }

    /// Reads the samples of a function.
    fn read(
        &mut self,
        range: &RangeExpr,
        extractor: &mut Extractor,
        windows: &Windows,
        mut take: impl FnMut(SeriesId, u32, i64, f64, u64) -> usize,
    ) -> Result<(), LogQlError> {
        let (start_ns, end_ns) = windows.bounds();
        let needles = extractor.needles();
        let selection = LogSelection {
            matchers: &range.log.matchers,
            range: NanoRange { start_ns, end_ns },
            needles: &needles,
            lines: extractor.reads_lines(),
            metadata: extractor.reads_metadata(),
        };
        let set = self
            .source
            .select(&selection)
            .map_err(crate::QueryError::from)?;
        let set_bytes = set.memory_bytes();
        self.budget.hold_bytes(set_bytes)?;
        let streams: &[Labels] = set.streams();
        let stages = needed(&range.log.stages, range.op);
        let plan = Plan::of_samples(&stages, range.op, extractor);
        let mut batch = EntryBatch::default();
        let mut samples: Vec<(SeriesId, u32, i64, f64)> = Vec::new();
        for index in 0..set.groups().len() {
            self.cancel.check("query execution")?;
            if let Some(columns) = set.columns(index)
                && self.counts(&plan, &columns, streams, extractor, windows, &mut take)?
            {
                continue;
            }
            let mut from_columns = plan.read_columns(&*set, index, &mut batch);
            loop {
                if !from_columns {
                    set.read(index, &mut batch)
                        .map_err(crate::QueryError::from)?;
                }
                self.budget.touch_bytes(batch.memory_bytes())?;
                samples.clear();
                let mut has_error = false;
                for entry in batch.iter() {
                    let (Some(segment), Some(stream)) = (
                        windows.segment(entry.t_ns),
                        streams.get(entry.stream as usize),
                    ) else {
                        continue;
                    };
                    if let Some((series, value)) = extractor.sample(stream, &entry) {
                        has_error |= extractor.has_error();
                        samples.push((series, segment, entry.t_ns, value));
                    }
                }
                // With an error all labels are in the answer, also those left out here.
                if from_columns && has_error {
                    from_columns = false;
                    continue;
                }
                break;
            }
            batch.iter().for_each(|entry| self.stats.count(&entry));
            self.stats.post_filter_lines += samples.len() as u64;
            let mut grown = 0;
            for &(series, segment, t_ns, value) in &samples {
                grown += take(series, segment, t_ns, value, 1);
            }
            self.budget.hold_bytes(grown)?;
        }
        self.budget.release_bytes(set_bytes);
        Ok(())
    }

    /// Takes the samples of a group from counts of its entries, where that is possible.
    fn counts(
        &mut self,
        plan: &Plan,
        columns: &ColumnGroup<'_>,
        streams: &[Labels],
        extractor: &mut Extractor,
        windows: &Windows,
        take: &mut impl FnMut(SeriesId, u32, i64, f64, u64) -> usize,
    ) -> Result<bool, LogQlError> {
        let Some(counted) = plan.counted() else {
            return Ok(false);
        };
        let is_one = |first_ns, last_ns| {
            let segment = windows.segment(first_ns);
            segment.is_some() && segment == windows.segment(last_ns)
        };
        // Damage is told by the one who reads the entries.
        let Ok(Some(buckets)) = plan.counts(columns, is_one) else {
            return Ok(false);
        };
        let mut grown = 0;
        for bucket in buckets {
            let (Some(segment), Some(stream)) = (
                windows.segment(bucket.first_ns),
                streams.get(bucket.stream as usize),
            ) else {
                continue;
            };
            // Of one entry of the stream the series is that of all of them.
            let entry = EntryRef {
                stream: bucket.stream,
                t_ns: bucket.first_ns,
                line: &[],
                metadata: MetadataRef::NONE,
            };
            let Some((series, _)) = extractor.sample(stream, &entry) else {
                continue;
            };
            self.stats.lines += bucket.entries;
            self.stats.bytes += bucket.bytes;
            self.stats.post_filter_lines += bucket.entries;
            grown += match counted {
                Counted::Entries => take(series, segment, bucket.first_ns, 1.0, bucket.entries),
                Counted::Bytes => take(series, segment, bucket.first_ns, bucket.bytes as f64, 1),
            };
        }
        self.budget.hold_bytes(grown)?;
        Ok(true)
    }

    /// Evaluates a function whose windows are joins of cells.
    fn cells<C: Cell>(
        &mut self,
        range: &RangeExpr,
        extractor: &mut Extractor,
        windows: &Windows,
        value: impl Fn(C, usize) -> f64,
    ) -> Result<Vec<Row>, LogQlError> {
        let mut series: Vec<Vec<(u32, C)>> = Vec::new();
        self.read(range, extractor, windows, |id, segment, t_ns, value, n| {
            let (cells, mut grown) = series_at(&mut series, id);
            let before = cells.capacity();
            for _ in 0..n {
                push(cells, segment, t_ns, value);
            }
            grown += (cells.capacity() - before) * size_of::<(u32, C)>();
            grown
        })?;
        self.make_rows(extractor, windows, series, |cells, row| {
            slide(cells, windows, |window, cell| {
                row[window] = value(cell, window)
            });
        })
    }

    /// Evaluates `rate_counter`: its samples are put in order first.
    fn counters(
        &mut self,
        range: &RangeExpr,
        extractor: &mut Extractor,
        windows: &Windows,
    ) -> Result<Vec<Row>, LogQlError> {
        let mut series: Vec<Vec<(u32, (i64, f64))>> = Vec::new();
        self.read(range, extractor, windows, |id, segment, t_ns, value, _| {
            let (samples, grown) = series_at(&mut series, id);
            samples.push((segment, (t_ns, value)));
            grown + size_of::<(u32, (i64, f64))>()
        })?;
        self.make_rows(extractor, windows, series, |samples, row| {
            samples.sort_by_key(|(_, (t_ns, _))| *t_ns);
            let mut cells: Vec<(u32, Counter)> = Vec::new();
            for (segment, (t_ns, value)) in samples.iter() {
                push(&mut cells, *segment, *t_ns, *value);
            }
            slide(&cells, windows, |window, cell: Counter| {
                row[window] = cell.rate(windows, window);
            });
        })
    }

    /// Evaluates `quantile_over_time`: it needs all values of a window.
    fn quantiles(
        &mut self,
        range: &RangeExpr,
        extractor: &mut Extractor,
        windows: &Windows,
    ) -> Result<Vec<Row>, LogQlError> {
        let parameter = range.parameter.unwrap_or(f64::NAN);
        let mut series: Vec<Vec<(u32, f64)>> = Vec::new();
        self.read(range, extractor, windows, |id, segment, _, value, _| {
            let (samples, grown) = series_at(&mut series, id);
            samples.push((segment, value));
            grown + size_of::<(u32, f64)>()
        })?;
        self.make_rows(extractor, windows, series, |samples, row| {
            quantile::slide(samples, windows, parameter, |window, value| {
                row[window] = value
            });
        })
    }

    /// Turns what was kept of each series into its row.
    fn make_rows<T>(
        &mut self,
        extractor: &Extractor,
        windows: &Windows,
        series: Vec<Vec<T>>,
        fill: impl Fn(&mut Vec<T>, &mut [f64]),
    ) -> Result<Vec<Row>, LogQlError> {
        let mut rows = Vec::with_capacity(series.len());
        for (labels, mut kept) in extractor.series().iter().zip(series) {
            self.cancel.check("query execution")?;
            self.budget
                .hold_bytes(windows.len() * size_of::<f64>() + labels.memory_bytes())?;
            let mut values = vec![absent(); windows.len()];
            fill(&mut kept, &mut values);
            rows.push(Row {
                labels: labels.clone(),
                values,
            });
        }
        rows.retain(Row::has_values);
        rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(rows)
    }
}

/// Returns what is kept of a series, and how many bytes it is that were not there before.
fn series_at<T>(series: &mut Vec<Vec<T>>, id: SeriesId) -> (&mut Vec<T>, usize) {
    let at = id as usize;
    let mut grown = 0;
    while series.len() <= at {
        series.push(Vec::new());
        grown += size_of::<Vec<T>>() + 64;
    }
    (&mut series[at], grown)
}

/// Refuses series with errors that the query did not ask for.
fn refuse_errors(rows: &[Row]) -> Result<(), LogQlError> {
    let is_bad = |row: &&Row| {
        row.labels.get(ERROR_NAME).is_some() && row.labels.get(PRESERVE_ERROR_NAME) != Some("true")
    };
    let first_step = |row: &&Row| row.values.iter().position(|value| is_present(*value));
    match rows.iter().filter(is_bad).min_by_key(first_step) {
        None => Ok(()),
        Some(row) => Err(LogQlError::Pipeline {
            kind: row.labels.get(ERROR_NAME).unwrap_or_default().to_owned(),
            series: row.labels.to_string(),
        }),
    }
}

/// Returns the row of `absent_over_time`: one where no series has a value.
fn where_absent(matchers: &[Matcher], rows: &[Row], steps: usize) -> Vec<Row> {
    let is_there = |step: usize| rows.iter().any(|row| is_present(row.values[step]));
    let values: Vec<f64> = (0..steps)
        .map(|step| if is_there(step) { absent() } else { 1.0 })
        .collect();
    let row = Row {
        labels: absent_labels(matchers),
        values,
    };
    Vec::from_iter(row.has_values().then_some(row))
}

/// Returns the labels that matchers fix: those with one condition, on one value.
fn absent_labels(matchers: &[Matcher]) -> LabelSet {
    let fixed = matchers.iter().enumerate().filter(|(at, matcher)| {
        let others = matchers.iter().enumerate().filter(|(other, _)| other != at);
        let is_only = others
            .into_iter()
            .all(|(_, other)| other.name() != matcher.name());
        matcher.op() == MatchOp::Equal && is_only && !matcher.value().is_empty()
    });
    LabelSet::from_pairs(fixed.map(|(_, matcher)| (matcher.name(), matcher.value())))
}
