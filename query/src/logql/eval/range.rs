//! Functions over the entries of windows.
//!
//! Upstream source: `pkg/logql/range_vector.go` of Loki.

use std::marker::PhantomData;
use std::sync::Arc;

use hashbrown::HashMap;
use kymo_storage::model::{MatchOp, Matcher, NanoRange};

use super::cell::{Cell, Count, Counter, Ends, Extremes, Moments, Sum, push, slide};
use super::grid::Windows;
use super::groups::{Cells, Groups, Kept, Samples, Values};
use super::{Evaluator, Row, absent, is_present, quantile};
use crate::error::QueryError;
use crate::logql::LogQlError;
use crate::logql::ast::{Grouping, RangeExpr, RangeOp};
use crate::logql::columnar::Plan;
use crate::logql::label_set::LabelSet;
use crate::logql::pipeline::{ERROR_NAME, Extractor, PRESERVE_ERROR_NAME, needed};
use crate::logql::source::{LogSelection, LogSet};
use crate::promql::eval::batches::for_each_group;

/// What a series takes beside its labels and what is kept of it.
const SERIES_BYTES: usize = 96;

impl Evaluator<'_> {
    /// Evaluates a function. A grouping from outside stands in for its own.
    pub(super) fn range(
        &mut self,
        range: &RangeExpr,
        outer: Option<&Grouping>,
    ) -> Result<Vec<Row>, LogQlError> {
        let windows = Windows::new(&self.steps, range.range_ns, range.offset_ns)?;
        let seconds = windows.range_seconds();
        let reader = Extractor::new(range, outer, self.query.now_ns)?;
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

    /// Evaluates a function whose windows are joins of cells.
    fn cells<C: Cell>(
        &mut self,
        range: &RangeExpr,
        extractor: Extractor,
        windows: &Windows,
        value: impl Fn(C, usize) -> f64,
    ) -> Result<Vec<Row>, LogQlError> {
        let series: Vec<(LabelSet, Cells<C>)> = self.read(range, extractor, windows)?;
        self.make_rows(windows, series, |Cells(cells), row| {
            slide(&cells, windows, |window, cell| {
                row[window] = value(cell, window);
            });
        })
    }

    /// Evaluates `rate_counter`: its samples are put in order first.
    fn counters(
        &mut self,
        range: &RangeExpr,
        extractor: Extractor,
        windows: &Windows,
    ) -> Result<Vec<Row>, LogQlError> {
        let series: Vec<(LabelSet, Samples)> = self.read(range, extractor, windows)?;
        self.make_rows(windows, series, |Samples(mut samples), row| {
            samples.sort_by_key(|(_, t_ns, _)| *t_ns);
            let mut cells: Vec<(u32, Counter)> = Vec::new();
            for (segment, t_ns, value) in samples {
                push(&mut cells, segment, t_ns, value);
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
        extractor: Extractor,
        windows: &Windows,
    ) -> Result<Vec<Row>, LogQlError> {
        let parameter = range.parameter.unwrap_or(f64::NAN);
        let series: Vec<(LabelSet, Values)> = self.read(range, extractor, windows)?;
        self.make_rows(windows, series, |Values(mut values), row| {
            quantile::slide(&mut values, windows, parameter, |window, value| {
                row[window] = value;
            });
        })
    }

    /// Reads the samples of a function, with whoever may help.
    fn read<K: Kept>(
        &mut self,
        range: &RangeExpr,
        extractor: Extractor,
        windows: &Windows,
    ) -> Result<Vec<(LabelSet, K)>, LogQlError> {
        let (start_ns, end_ns) = windows.bounds();
        let needles = extractor.needles();
        let selection = LogSelection {
            matchers: &range.log.matchers,
            range: NanoRange { start_ns, end_ns },
            needles: &needles,
            lines: extractor.reads_lines(),
            // An error may be there, whatever else is looked at.
            metadata: true,
        };
        let set = self.source.select(&selection).map_err(QueryError::from)?;
        let set: Arc<dyn LogSet> = set.into();
        let set_bytes = set.memory_bytes();
        self.budget.hold_bytes(set_bytes)?;
        let groups = set.groups().len();
        let stages = needed(&range.log.stages, range.op);
        let work = Arc::new(Groups {
            plan: Plan::of_samples(&stages, range, &extractor),
            set,
            extractor,
            windows: *windows,
            cancel: self.cancel.clone(),
            kept: PhantomData,
        });
        let mut series: Vec<(LabelSet, K)> = Vec::new();
        let mut by_labels: HashMap<LabelSet, usize> = HashMap::new();
        let workers = self.options.workers.as_ref();
        let (budget, stats) = (&mut self.budget, &mut self.stats);
        for_each_group(work, groups, workers, |made| {
            budget.touch_bytes(made.batch_bytes)?;
            stats.add(&made.stats);
            let mut grown = 0;
            for (labels, kept) in made.series {
                match by_labels.get(&labels) {
                    Some(known) => {
                        let known = &mut series[*known].1;
                        let before = known.bytes();
                        known.append(kept);
                        grown += known.bytes().saturating_sub(before);
                    }
                    None => {
                        grown += kept.bytes() + labels.memory_bytes() + SERIES_BYTES;
                        by_labels.insert(labels.clone(), series.len());
                        series.push((labels, kept));
                    }
                }
            }
            budget.hold_bytes(grown)
        })?;
        self.budget.release_bytes(set_bytes);
        Ok(series)
    }

    /// Turns what was kept of each series into its row.
    fn make_rows<K>(
        &mut self,
        windows: &Windows,
        series: Vec<(LabelSet, K)>,
        fill: impl Fn(K, &mut [f64]),
    ) -> Result<Vec<Row>, LogQlError> {
        let mut rows = Vec::with_capacity(series.len());
        for (labels, kept) in series {
            self.cancel.check("query execution")?;
            self.budget
                .hold_bytes(windows.len() * size_of::<f64>() + labels.memory_bytes())?;
            let mut values = vec![absent(); windows.len()];
            fill(kept, &mut values);
            rows.push(Row { labels, values });
        }
        rows.retain(Row::has_values);
        rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(rows)
    }
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
