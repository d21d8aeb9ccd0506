//! What a function over range vectors computes of the windows of one series.

use std::sync::Arc;

use kymo_storage::compat::float::push_f_precision;

use crate::error::QueryError;
use crate::limits::Cancel;
use crate::promql::annotations::Annotations;
use crate::promql::ast::Span;
use crate::promql::eval::order::{SortedWindow, quantile};
use crate::promql::eval::over_time;
use crate::promql::eval::rate::{self, Extrapolation, RateKind};
use crate::promql::eval::regression;
use crate::promql::eval::row::{Grid, Row, RowBuilder};
use crate::promql::eval::start_times::Started;
use crate::promql::eval::window::{RangeSpec, Window, Windows, each_window};
use crate::promql::plan::Edges;
use crate::source::SampleBuf;

use super::lanes::{Folded, fold_windows};
use super::moving::{Extremes, PairCounts, WholeSums};

/// What is computed over the windows of a series.
#[derive(Debug, Clone)]
enum Work {
    Rate(RateKind, Extrapolation),
    ExtendedRate(RateKind),
    LastTwo { per_second: bool },
    Changes(PairCounts),
    Resets(PairCounts),
    Fold(Folded, WholeSums),
    Min(Extremes),
    Max(Extremes),
    Count,
    Present,
    First,
    Last,
    TimeOfFirst,
    TimeOfLast,
    TimeOfMin(Extremes),
    TimeOfMax(Extremes),
    Quantile(SortedWindow),
    MedianDeviation,
    Deriv,
    PredictLinear,
    Smoothing,
}

/// A function over range vectors with its scalar arguments. Each thread has a clone.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    work: Work,
    params: Arc<[Row]>,
    spec: RangeSpec,
    edges: Edges,
    span: Span,
    scratch: Vec<f64>,
    /// Windows with samples whose starts overlap, of the series that was run last.
    overlaps: u64,
}

impl Kernel {
    pub(super) fn new(
        func: &str,
        params: Vec<Row>,
        spec: RangeSpec,
        edges: Edges,
        span: Span,
    ) -> Result<Kernel, QueryError> {
        let rate = |kind| match edges {
            Edges::Plain => Work::Rate(kind, Extrapolation::default()),
            _ => Work::ExtendedRate(kind),
        };
        let fold = |what| Work::Fold(what, WholeSums::default());
        let work = match func {
            "rate" => rate(RateKind::Rate),
            "increase" => rate(RateKind::Increase),
            "delta" => rate(RateKind::Delta),
            "irate" => Work::LastTwo { per_second: true },
            "idelta" => Work::LastTwo { per_second: false },
            "changes" => Work::Changes(PairCounts::default()),
            "resets" => Work::Resets(PairCounts::default()),
            "sum_over_time" => fold(Folded::Sum),
            "avg_over_time" => fold(Folded::Avg),
            "min_over_time" => Work::Min(Extremes::default()),
            "max_over_time" => Work::Max(Extremes::default()),
            "count_over_time" => Work::Count,
            "present_over_time" | "absent_over_time" => Work::Present,
            "first_over_time" => Work::First,
            "last_over_time" => Work::Last,
            "ts_of_first_over_time" => Work::TimeOfFirst,
            "ts_of_last_over_time" => Work::TimeOfLast,
            "ts_of_min_over_time" => Work::TimeOfMin(Extremes::default()),
            "ts_of_max_over_time" => Work::TimeOfMax(Extremes::default()),
            "stddev_over_time" => fold(Folded::Deviation),
            "stdvar_over_time" => fold(Folded::Variance),
            "quantile_over_time" => Work::Quantile(SortedWindow::default()),
            "mad_over_time" => Work::MedianDeviation,
            "deriv" => Work::Deriv,
            "predict_linear" => Work::PredictLinear,
            "double_exponential_smoothing" => Work::Smoothing,
            _ => return Err(QueryError::Unsupported(format!("the function {func} is"))),
        };
        Ok(Kernel {
            work,
            params: params.into(),
            spec,
            edges,
            span,
            scratch: Vec::new(),
            overlaps: 0,
        })
    }

    /// Returns in how many windows of the last series starts of samples overlap.
    pub(super) fn overlaps(&self) -> u64 {
        self.overlaps
    }

    /// Returns scalar argument `index` at a step.
    fn param(params: &[Row], index: usize, step: usize) -> f64 {
        params
            .get(index)
            .and_then(|row| row.get(step))
            .unwrap_or(f64::NAN)
    }

    /// Computes the row of a series.
    pub(super) fn run(
        &mut self,
        samples: &SampleBuf,
        windows: &Windows,
        grid: &Grid,
        out: &mut RowBuilder,
        annotations: &mut Annotations,
        cancel: &Cancel,
    ) -> Result<(), QueryError> {
        let pairs = windows.pairs();
        let params = &*self.params;
        let scratch = &mut self.scratch;
        let spec = &self.spec;
        let edges = self.edges;
        let values = samples.values.as_slice();
        self.overlaps = 0;
        let overlaps = &mut self.overlaps;
        let has_starts = !samples.start_times.is_empty();
        match &mut self.work {
            Work::Rate(kind, _) if has_starts && kind.is_counter() => {
                each_window(samples, pairs, cancel, |w| {
                    let w = Started::new(w, samples, pairs);
                    *overlaps += u64::from(w.any_overlap());
                    let end_ms = spec.end(grid, w.window.step);
                    if let Some(value) = w.extrapolated(*kind, spec.range_ms, end_ms) {
                        out.set(w.window.step, value);
                    }
                })
            }
            Work::LastTwo { per_second: true } if has_starts => {
                each_window(samples, pairs, cancel, |w| {
                    if let Some(value) = Started::new(w, samples, pairs).last_two() {
                        out.set(w.step, value);
                    }
                })
            }
            Work::Resets(_) if has_starts && self.edges == Edges::Plain => {
                each_window(samples, pairs, cancel, |w| {
                    out.set(w.step, Started::new(w, samples, pairs).resets() as f64);
                })
            }
            Work::Rate(kind, cache) => {
                cache.prepare(*kind, samples, windows, spec, grid);
                rate::extrapolated(*kind, spec.range_ms, samples, cache, cancel, out)
            }
            Work::ExtendedRate(kind) => {
                let smoothed = self.edges == Edges::Smoothed;
                each_window(samples, pairs, cancel, |w| {
                    let end_ms = spec.end(grid, w.step);
                    if let Some(value) = rate::extended(*kind, &w, spec.range_ms, end_ms, smoothed)
                    {
                        out.set(w.step, value);
                    }
                })
            }
            Work::LastTwo { per_second } => each_window(samples, pairs, cancel, |w| {
                if let Some(value) = rate::last_two(&w, *per_second) {
                    out.set(w.step, value);
                }
            }),
            Work::Changes(counts) => {
                counts.reset(values, over_time::is_change);
                each_window(samples, pairs, cancel, |w| {
                    count_pairs(counts, &w, pairs, edges, spec, grid, out);
                })
            }
            Work::Resets(counts) => {
                counts.reset(values, over_time::is_reset);
                each_window(samples, pairs, cancel, |w| {
                    count_pairs(counts, &w, pairs, edges, spec, grid, out);
                })
            }
            Work::Fold(what, whole) => match what {
                Folded::Sum | Folded::Avg if whole.reset(values) => {
                    each_window(samples, pairs, cancel, |w| {
                        let (from, to) = pairs[w.step];
                        let sum = whole.within(from as usize, to as usize);
                        let is_sum = *what == Folded::Sum;
                        let value = if is_sum {
                            sum
                        } else {
                            sum / w.values.len() as f64
                        };
                        out.set(w.step, value);
                    })
                }
                what => fold_windows(*what, values, pairs, cancel, out),
            },
            Work::Min(extremes) => {
                extremes.reset();
                each_window(samples, pairs, cancel, |w| {
                    let at = extremes.move_to(values, pairs[w.step], |new, old| new < old);
                    out.set(w.step, values[at]);
                })
            }
            Work::Max(extremes) => {
                extremes.reset();
                each_window(samples, pairs, cancel, |w| {
                    let at = extremes.move_to(values, pairs[w.step], |new, old| new > old);
                    out.set(w.step, values[at]);
                })
            }
            Work::TimeOfMin(extremes) => {
                extremes.reset();
                each_window(samples, pairs, cancel, |w| {
                    let at = extremes.move_to(values, pairs[w.step], |new, old| new <= old);
                    out.set(w.step, samples.timestamps[at] as f64 / 1000.0);
                })
            }
            Work::TimeOfMax(extremes) => {
                extremes.reset();
                each_window(samples, pairs, cancel, |w| {
                    let at = extremes.move_to(values, pairs[w.step], |new, old| new >= old);
                    out.set(w.step, samples.timestamps[at] as f64 / 1000.0);
                })
            }
            Work::Count => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, w.values.len() as f64)
            }),
            Work::Present => each_window(samples, pairs, cancel, |w| out.set(w.step, 1.0)),
            Work::First => each_window(samples, pairs, cancel, |w| out.set(w.step, w.values[0])),
            Work::Last => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, w.values[w.values.len() - 1]);
            }),
            Work::TimeOfFirst => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, w.timestamps[0] as f64 / 1000.0);
            }),
            Work::TimeOfLast => each_window(samples, pairs, cancel, |w| {
                let t_ms = w.timestamps[w.timestamps.len() - 1];
                out.set(w.step, t_ms as f64 / 1000.0);
            }),
            Work::Quantile(sorted) => {
                let any_nan = values.iter().any(|value| value.is_nan());
                if !any_nan {
                    sorted.reset(values);
                }
                each_window(samples, pairs, cancel, |w| {
                    let q = Kernel::param(params, 0, w.step);
                    if q.is_nan() || !(0.0..=1.0).contains(&q) {
                        annotations.invalid_quantile(q, self.span);
                    }
                    let value = if any_nan {
                        scratch.clear();
                        scratch.extend_from_slice(w.values);
                        quantile(q, scratch)
                    } else {
                        let (from, to) = pairs[w.step];
                        sorted.move_to(from as usize, to as usize);
                        sorted.quantile(q)
                    };
                    out.set(w.step, value);
                })
            }
            Work::MedianDeviation => each_window(samples, pairs, cancel, |w| {
                out.set(w.step, over_time::median_deviation(w.values, scratch));
            }),
            Work::Deriv => each_window(samples, pairs, cancel, |w| {
                if w.values.len() >= 2 {
                    let line = regression::least_squares(&w, w.timestamps[0]);
                    out.set(w.step, line.slope);
                }
            }),
            Work::PredictLinear => each_window(samples, pairs, cancel, |w| {
                if w.values.len() >= 2 {
                    let line = regression::least_squares(&w, grid.time(w.step));
                    let ahead = Kernel::param(params, 0, w.step);
                    out.set(w.step, line.slope * ahead + line.intercept);
                }
            }),
            Work::Smoothing => {
                let mut failure = None;
                each_window(samples, pairs, cancel, |w| {
                    let (sf, tf) = (
                        Kernel::param(params, 0, w.step),
                        Kernel::param(params, 1, w.step),
                    );
                    for (what, s, factor) in [("smoothing", "sf", sf), ("trend", "tf", tf)] {
                        if failure.is_none() && (factor <= 0.0 || factor >= 1.0) {
                            failure = Some(format!(
                                "invalid {what} factor. Expected: 0 < {s} < 1, got: {}",
                                go_f(factor)
                            ));
                        }
                    }
                    if w.values.len() >= 2 {
                        out.set(w.step, regression::double_smoothing(w.values, sf, tf));
                    }
                })?;
                match failure {
                    Some(text) => Err(QueryError::Execution(text)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Sets how many neighbours of a window differ.
fn count_pairs(
    counts: &PairCounts,
    window: &Window<'_>,
    pairs: &[(u32, u32)],
    edges: Edges,
    spec: &RangeSpec,
    grid: &Grid,
    out: &mut RowBuilder,
) {
    let start_ms = spec.end(grid, window.step) - spec.range_ms;
    if let Some(first) = first_index(window, edges, start_ms) {
        let (from, to) = pairs[window.step];
        let count = counts.within(from as usize + first, to as usize);
        out.set(window.step, f64::from(count));
    }
}

/// Returns the first sample of a window that counts; with anchored edges the last one
/// at or before the start of the range stands for the start.
fn first_index(window: &Window<'_>, edges: Edges, start_ms: i64) -> Option<usize> {
    if edges != Edges::Anchored {
        return Some(0);
    }
    let behind = window.timestamps.partition_point(|&t| t <= start_ms);
    (behind < window.timestamps.len()).then(|| behind.saturating_sub(1))
}

/// Prints a number as Go's `%f` does.
fn go_f(value: f64) -> String {
    let mut text = String::new();
    push_f_precision(&mut text, value, 6);
    text
}
