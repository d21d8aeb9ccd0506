//! Functions over ranges of series that have histograms, perhaps besides floats.
//!
//! The kernels have computed a row of the floats alone. Where a window holds no
//! histogram that is the answer; in the others it depends on the function what comes of
//! both kinds.

use std::sync::Arc;

use kymo_storage::model::histogram::{CounterResetHint, FloatHistogram};

use crate::error::QueryError;
use crate::histogram::{
    HistogramMean, HistogramSum, IncompatibleSchemas, Reconciled, detect_reset, sample_size,
};
use crate::limits::Cancel;
use crate::promql::annotations::Annotations;
use crate::promql::eval::histogram_column::Element;
use crate::promql::eval::histogram_notes::{About, Operation, bounds_differ, resets_conflict};
use crate::promql::eval::rate::RateKind;
use crate::promql::eval::rate_histogram::{self, Bounds};
use crate::promql::eval::row::{Grid, Row, RowBuilder};
use crate::promql::eval::start_times::Times;
use crate::promql::eval::window::{Counts, RangeSpec, Windows};
use crate::promql::plan::Edges;
use crate::source::{HistogramSample, SampleBuf};

/// A function at work on a series with histograms.
pub(super) struct OfBoth<'a> {
    pub(super) func: &'static str,
    pub(super) edges: Edges,
    pub(super) spec: &'a RangeSpec,
    pub(super) grid: &'a Grid,
    pub(super) about: About<'a>,
    pub(super) cancel: &'a Cancel,
}

/// The samples of one window.
struct Both<'a> {
    timestamps: &'a [i64],
    values: &'a [f64],
    /// Of the floats; empty where not known.
    starts: &'a [i64],
    histograms: &'a [HistogramSample],
    bounds: Bounds,
}

impl OfBoth<'_> {
    /// Computes the row of a series. `floats` is what the function makes of the floats
    /// alone, and `windows` are theirs.
    pub(super) fn run(
        &self,
        samples: &SampleBuf,
        windows: &Windows,
        floats: Option<&Row>,
        out: &mut RowBuilder,
        notes: &mut Annotations,
    ) -> Result<(), QueryError> {
        let (mut from, mut to) = (0, 0);
        for (step, &(first, last)) in windows.pairs().iter().enumerate() {
            (from, to) = self.window(&samples.histograms, step, (from, to));
            let value = floats.and_then(|row| row.get(step));
            if from == to {
                if let Some(value) = value {
                    out.set(step, value);
                }
                continue;
            }
            self.cancel.check("expression evaluation")?;
            let range = first as usize..last.max(first) as usize;
            let end_ms = self.spec.end(self.grid, step);
            let both = Both {
                timestamps: &samples.timestamps[range.clone()],
                values: &samples.values[range.clone()],
                starts: samples.start_times.get(range).unwrap_or_default(),
                histograms: &samples.histograms[from..to],
                bounds: Bounds {
                    start_ms: end_ms - self.spec.range_ms,
                    end_ms,
                },
            };
            if let Some(element) = self.element(&both, value, notes) {
                element.set(out, step);
            }
        }
        Ok(())
    }

    /// Returns what the windows of the histograms cost, beside those of the floats.
    pub(super) fn counts(&self, samples: &SampleBuf, mut counts: Counts) -> Counts {
        let sizes = samples.histograms.iter();
        let sizes: Vec<usize> = sizes.map(|s| sample_size(&s.histogram)).collect();
        let (mut from, mut to, mut read_to) = (0, 0, 0);
        for step in 0..self.grid.steps {
            (from, to) = self.window(&samples.histograms, step, (from, to));
            let size: usize = sizes[from..to].iter().sum();
            counts.looked += size as u64;
            counts.largest = counts.largest.max(size);
            counts.read += sizes[from.max(read_to).min(to)..to].iter().sum::<usize>() as u64;
            read_to = read_to.max(to);
        }
        counts
    }

    /// Returns which histograms are in the window of a step, from those of the step
    /// before on.
    fn window(
        &self,
        histograms: &[HistogramSample],
        step: usize,
        (mut from, mut to): (usize, usize),
    ) -> (usize, usize) {
        let end_ms = self.spec.end(self.grid, step);
        let low = end_ms - self.spec.range_ms - self.spec.before_ms;
        let high = end_ms + self.spec.after_ms;
        while histograms.get(to).is_some_and(|s| s.t_ms <= high) {
            to += 1;
        }
        while from < to && histograms[from].t_ms <= low {
            from += 1;
        }
        (from, to)
    }

    /// Returns what the function makes of a window that holds histograms.
    fn element(
        &self,
        both: &Both<'_>,
        value: Option<f64>,
        notes: &mut Annotations,
    ) -> Option<Element> {
        let kept = value.map(Element::Float);
        let count = both.values.len();
        match self.func {
            "rate" => self.rate(RateKind::Rate, both, notes),
            "increase" => self.rate(RateKind::Increase, both, notes),
            "delta" => self.rate(RateKind::Delta, both, notes),
            "irate" => self.last_two(true, both, kept, notes),
            "idelta" => self.last_two(false, both, kept, notes),
            "changes" => self.count_neighbours(both, |a, b, _| differ(a, b)),
            "resets" => self.count_neighbours(both, |a, b, [earlier, later]| {
                later.is_reset(earlier) || is_reset(a, b)
            }),
            "sum_over_time" | "avg_over_time" if count > 0 => {
                self.about.mixed_kinds(notes);
                None
            }
            "sum_over_time" | "avg_over_time" => self.folded(both.histograms, notes),
            "count_over_time" => Some(Element::Float((count + both.histograms.len()) as f64)),
            "present_over_time" | "absent_over_time" => Some(Element::Float(1.0)),
            "first_over_time" => both.merged().next().map(|(_, element)| element),
            "last_over_time" => both.merged().last().map(|(_, element)| element),
            "ts_of_first_over_time" => both.merged().next().map(|(t, _)| in_seconds(t)),
            "ts_of_last_over_time" => both.merged().last().map(|(t, _)| in_seconds(t)),
            // All others look at floats alone.
            _ => {
                if count > 0 {
                    self.about.ignored_in_range(notes);
                }
                kept
            }
        }
    }

    fn rate(&self, kind: RateKind, both: &Both<'_>, notes: &mut Annotations) -> Option<Element> {
        if !both.values.is_empty() {
            self.about.mixed_kinds(notes);
            return None;
        }
        let (window, bounds, about) = (both.histograms, both.bounds, &self.about);
        let rate = match self.edges {
            Edges::Plain => rate_histogram::extrapolated(kind, window, bounds, about, notes),
            edges => {
                let smoothed = edges == Edges::Smoothed;
                rate_histogram::extended(kind, window, bounds, smoothed, about, notes)
            }
        };
        rate.map(histogram)
    }

    fn last_two(
        &self,
        per_second: bool,
        both: &Both<'_>,
        of_floats: Option<Element>,
        notes: &mut Annotations,
    ) -> Option<Element> {
        let floats = both.timestamps.iter().rev().take(2).map(|&t| (t, None));
        let histograms = both.histograms.iter().rev().take(2);
        let mut newest: Vec<(i64, Option<&HistogramSample>)> = floats
            .chain(histograms.map(|s| (s.t_ms, Some(s))))
            .collect();
        newest.sort_by_key(|(t_ms, _)| *t_ms);
        let [.., (_, a), (_, b)] = newest[..] else {
            return None;
        };
        match (a, b) {
            (None, None) => of_floats,
            (Some(a), Some(b)) => {
                rate_histogram::last_two(a, b, per_second, &self.about, notes).map(histogram)
            }
            _ => {
                self.about.mixed_kinds(notes);
                None
            }
        }
    }

    fn count_neighbours(
        &self,
        both: &Both<'_>,
        counts: impl Fn(&Element, &Element, [Times; 2]) -> bool,
    ) -> Option<Element> {
        let times = both.merged_times();
        let samples: Vec<(i64, Element)> = both.merged().collect();
        let mut first = 0;
        if self.edges == Edges::Anchored {
            // The last sample at or before the start stands for the start.
            let behind = samples.partition_point(|(t, _)| *t <= both.bounds.start_ms);
            if behind == samples.len() {
                return None;
            }
            first = behind.saturating_sub(1);
        }
        let pairs = samples[first..].windows(2).zip(times[first..].windows(2));
        let counted = pairs.filter(|(pair, times)| {
            let times = [times[0], times[1]];
            counts(&pair[0].1, &pair[1].1, times)
        });
        let n = counted.count();
        Some(Element::Float(n as f64))
    }

    fn folded(&self, window: &[HistogramSample], notes: &mut Annotations) -> Option<Element> {
        let (first, rest) = window.split_first()?;
        let mut hints = SeenHints::default();
        hints.see(&first.histogram);
        let first = FloatHistogram::clone(&first.histogram);
        let mut bounds_differed = false;
        let mut folding = match self.func {
            "sum_over_time" => Folding::Sum(HistogramSum::new(first)),
            _ => Folding::Mean(Box::new(HistogramMean::new(first))),
        };
        for sample in rest {
            hints.see(&sample.histogram);
            match folding.add(&sample.histogram) {
                Ok(how) => bounds_differed |= how.bounds_differ,
                Err(_) => {
                    self.about.mixed_schemas(notes);
                    return None;
                }
            }
        }
        if hints.conflict() {
            resets_conflict(Operation::Aggregation, self.about.span, notes);
        }
        if bounds_differed {
            bounds_differ(Operation::Aggregation, self.about.span, notes);
        }
        Some(histogram(folding.finish()))
    }
}

/// A sum or mean of histograms while they come in.
#[derive(Debug)]
pub(in crate::promql::eval) enum Folding {
    Sum(HistogramSum),
    Mean(Box<HistogramMean>),
}

impl Folding {
    pub(in crate::promql::eval) fn add(
        &mut self,
        added: &FloatHistogram,
    ) -> Result<Reconciled, IncompatibleSchemas> {
        match self {
            Folding::Sum(sum) => sum.add(added),
            Folding::Mean(mean) => mean.add(added),
        }
    }

    pub(in crate::promql::eval) fn finish(self) -> FloatHistogram {
        match self {
            Folding::Sum(sum) => sum.total(),
            Folding::Mean(mean) => mean.mean(),
        }
    }
}

/// What the histograms of a sum say of resets.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::promql::eval) struct SeenHints {
    reset: bool,
    no_reset: bool,
}

impl SeenHints {
    pub(in crate::promql::eval) fn see(&mut self, histogram: &FloatHistogram) {
        self.reset |= histogram.counter_reset_hint == CounterResetHint::Reset;
        self.no_reset |= histogram.counter_reset_hint == CounterResetHint::NotReset;
    }

    pub(in crate::promql::eval) fn conflict(self) -> bool {
        self.reset && self.no_reset
    }
}

impl Both<'_> {
    /// Returns when the samples were taken and their series began, as `merged` walks.
    fn merged_times(&self) -> Vec<Times> {
        let floats = self.timestamps.iter().enumerate().map(|(at, &t_ms)| Times {
            t_ms,
            start_ms: self.starts.get(at).copied().unwrap_or(0),
        });
        let histograms = self.histograms.iter().map(|sample| Times {
            t_ms: sample.t_ms,
            start_ms: sample.start_ms,
        });
        let mut times: Vec<Times> = histograms.chain(floats).collect();
        times.sort_by_key(|times| times.t_ms);
        times
    }

    /// Walks floats and histograms in order of time.
    fn merged(&self) -> impl Iterator<Item = (i64, Element)> + '_ {
        let floats = self.timestamps.iter().copied();
        let floats = floats.zip(self.values.iter().map(|value| Element::Float(*value)));
        let histograms = self
            .histograms
            .iter()
            .map(|s| (s.t_ms, Element::Histogram(Arc::clone(&s.histogram))));
        let (mut floats, mut histograms) = (floats.peekable(), histograms.peekable());
        std::iter::from_fn(move || match (floats.peek(), histograms.peek()) {
            (Some(float), Some(histogram)) if float.0 < histogram.0 => floats.next(),
            (_, Some(_)) => histograms.next(),
            (_, None) => floats.next(),
        })
    }
}

fn histogram(histogram: FloatHistogram) -> Element {
    Element::Histogram(Arc::new(histogram))
}

fn in_seconds(t_ms: i64) -> Element {
    Element::Float(t_ms as f64 / 1000.0)
}

/// Tells whether neighbours differ. NaN does not differ from NaN.
fn differ(a: &Element, b: &Element) -> bool {
    match (a, b) {
        (Element::Float(a), Element::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Element::Histogram(a), Element::Histogram(b)) => !b.is_same_data(a),
        _ => true,
    }
}

/// Tells whether a counter began anew between neighbours, as one that changes its kind
/// does.
fn is_reset(a: &Element, b: &Element) -> bool {
    match (a, b) {
        (Element::Float(a), Element::Float(b)) => b < a,
        (Element::Histogram(a), Element::Histogram(b)) => detect_reset(b, a),
        _ => true,
    }
}
