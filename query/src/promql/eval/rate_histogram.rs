//! `rate`, `increase`, `delta` and their kin over histograms.

use std::sync::Arc;

use kymo_storage::model::histogram::{CounterResetHint, FloatHistogram};

use super::histogram_notes::{About, Operation};
use super::rate::{RateKind, seconds};
use super::start_times::Times;
use crate::histogram::{add, detect_reset, divide, multiply, subtract, with_schema};
use crate::promql::annotations::Annotations;
use crate::source::HistogramSample;

/// Adds a histogram; false where they have no buckets in common, which is noted.
fn added(
    to: &mut FloatHistogram,
    other: &FloatHistogram,
    about: &About<'_>,
    notes: &mut Annotations,
) -> bool {
    match add(to, other) {
        Ok(how) => {
            about.reconciled(how, Operation::Addition, notes);
            true
        }
        Err(_) => {
            about.mixed_schemas(notes);
            false
        }
    }
}

/// Takes a histogram away; false where they have no buckets in common, which is noted.
fn subtracted(
    from: &mut FloatHistogram,
    other: &FloatHistogram,
    about: &About<'_>,
    notes: &mut Annotations,
) -> bool {
    match subtract(from, other) {
        Ok(how) => {
            about.reconciled(how, Operation::Subtraction, notes);
            true
        }
        Err(_) => {
            about.mixed_schemas(notes);
            false
        }
    }
}

/// Returns the histogram at `t_ms` on the line between two. A counter that was reset
/// between them starts from zero.
pub(super) fn interpolate(
    a: &HistogramSample,
    b: &HistogramSample,
    t_ms: i64,
    is_counter: bool,
    about: &About<'_>,
    notes: &mut Annotations,
) -> Option<FloatHistogram> {
    if t_ms == a.t_ms {
        return Some(FloatHistogram::clone(&a.histogram));
    }
    let mut result = FloatHistogram::clone(&b.histogram);
    if t_ms == b.t_ms {
        return Some(result);
    }
    let share = (t_ms - a.t_ms) as f64 / (b.t_ms - a.t_ms) as f64;
    if is_counter && detect_reset(&b.histogram, &a.histogram) {
        multiply(&mut result, share);
        return Some(result);
    }
    if !subtracted(&mut result, &a.histogram, about, notes) {
        return None;
    }
    multiply(&mut result, share);
    added(&mut result, &a.histogram, about, notes).then_some(result)
}

fn times(sample: &HistogramSample) -> Times {
    Times {
        t_ms: sample.t_ms,
        start_ms: sample.start_ms,
    }
}

/// Where a window lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
}

/// Returns the extrapolated difference of a window of histograms.
pub(super) fn extrapolated(
    kind: RateKind,
    window: &[HistogramSample],
    bounds: Bounds,
    about: &About<'_>,
    notes: &mut Annotations,
) -> Option<FloatHistogram> {
    let (first, last) = (window.first()?, window.last()?);
    let begins_inside = kind.is_counter() && times(first).begins_behind(bounds.start_ms);
    let mut result = if window.len() > 1 {
        // Where histograms do not go together, nothing else is said of the window.
        let mut own = Annotations::default();
        let difference = difference(kind, window, about, &mut own);
        notes.merge(&own);
        let mut result = difference?;
        if begins_inside && !added(&mut result, &first.histogram, about, notes) {
            return None;
        }
        result
    } else if begins_inside {
        FloatHistogram::clone(&first.histogram)
    } else {
        return None;
    };
    let mut to_start = (first.t_ms - bounds.start_ms) as f64 / 1000.0;
    let to_end = (bounds.end_ms - last.t_ms) as f64 / 1000.0;
    let mut sampled = (last.t_ms - first.t_ms) as f64 / 1000.0;
    let average = match window.len() - 1 {
        0 => 0.0,
        n => sampled / n as f64,
    };
    let threshold = average * 1.1;
    let reach = |gap: f64| if gap >= threshold { average / 2.0 } else { gap };
    let to_end = reach(to_end);
    if begins_inside {
        // There is a histogram of nothing at the start.
        to_start = 0.0;
        sampled = (last.t_ms - first.start_ms) as f64 / 1000.0;
    } else {
        to_start = reach(to_start);
        let first_count = first.histogram.count;
        if kind.is_counter() && result.count > 0.0 && first_count >= 0.0 {
            let to_zero = sampled * (first_count / result.count);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
    }
    let mut factor = 1.0;
    if sampled != 0.0 {
        factor = (sampled + to_start + to_end) / sampled;
    }
    if kind == RateKind::Rate {
        factor /= seconds(bounds.end_ms - bounds.start_ms);
    }
    multiply(&mut result, factor);
    Some(result)
}

/// Returns the difference of the last and the first histogram, with what a counter lost
/// by resets added.
fn difference(
    kind: RateKind,
    window: &[HistogramSample],
    about: &About<'_>,
    notes: &mut Annotations,
) -> Option<FloatHistogram> {
    let [first, inner @ .., last] = window else {
        return None;
    };
    let second = inner.first().unwrap_or(last);
    let second_starts = times(second).is_reset(times(first));
    let (first, last) = (&first.histogram, &last.histogram);
    let is_counter = kind.is_counter();
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if is_counter && (is_gauge(first) || is_gauge(last)) {
        about.not_a_counter(notes);
    }
    let mut before = Arc::clone(first);
    // Before a reset the first one is not looked at, nor is its layout.
    let second = &second.histogram;
    if is_counter && (second_starts || detect_reset(second, first)) {
        before = Arc::new(FloatHistogram {
            schema: second.schema,
            custom_bounds: Arc::clone(&second.custom_bounds),
            ..FloatHistogram::default()
        });
    }
    let is_custom = before.uses_custom_buckets();
    // Of these nothing else is said.
    let mixed = |notes: &mut Annotations, about: &About<'_>| {
        *notes = Annotations::default();
        about.mixed_schemas(notes);
    };
    if last.uses_custom_buckets() != is_custom {
        about.mixed_schemas(notes);
        return None;
    }
    let mut schema = last.schema.min(before.schema);
    if is_counter {
        for sample in inner {
            if is_gauge(&sample.histogram) {
                about.not_a_counter(notes);
            }
            schema = schema.min(sample.histogram.schema);
            if sample.histogram.uses_custom_buckets() != is_custom {
                mixed(notes, about);
                return None;
            }
        }
    }
    let mut result = with_schema(last, schema);
    if !subtracted(&mut result, &before, about, notes) {
        return None;
    }
    if is_counter {
        let pairs = || window.windows(2).map(|pair| (times(&pair[0]), &pair[1]));
        if pairs().any(|(earlier, sample)| times(sample).overlaps(earlier)) {
            notes.start_time_overlap(about.name, 1, about.span);
        }
        for (earlier, sample) in pairs() {
            let starts = times(sample).is_reset(earlier);
            if (starts || detect_reset(&sample.histogram, &before))
                && !added(&mut result, &before, about, notes)
            {
                return None;
            }
            before = Arc::clone(&sample.histogram);
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        about.not_a_gauge(notes);
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    result.compact(0);
    Some(result)
}

/// Returns the difference over an anchored or smoothed range.
pub(super) fn extended(
    kind: RateKind,
    window: &[HistogramSample],
    Bounds { start_ms, end_ms }: Bounds,
    smoothed: bool,
    about: &About<'_>,
    notes: &mut Annotations,
) -> Option<FloatHistogram> {
    let mut last = window.len().checked_sub(1)?;
    let behind = window[..last].partition_point(|sample| sample.t_ms <= start_ms);
    let first = behind.saturating_sub(1);
    if smoothed {
        last = window[..last].partition_point(|sample| sample.t_ms < end_ms);
    }
    if window[last].t_ms <= start_ms || (smoothed && window[first].t_ms > end_ms) {
        return None;
    }
    let is_counter = kind.is_counter();
    let inside = window.get(first..=last)?;
    let is_custom = inside.first()?.histogram.uses_custom_buckets();
    for sample in inside {
        if sample.histogram.uses_custom_buckets() != is_custom {
            about.mixed_schemas(notes);
            return None;
        }
        if is_counter && sample.histogram.counter_reset_hint == CounterResetHint::Gauge {
            about.not_a_counter(notes);
        }
    }
    let left = match window.get(first + 1) {
        Some(next) if smoothed && window[first].t_ms < start_ms => {
            interpolate(&window[first], next, start_ms, is_counter, about, notes)?
        }
        _ => FloatHistogram::clone(&window[first].histogram),
    };
    let right = if smoothed && last > 0 && window[last].t_ms > end_ms {
        let (before, after) = (&window[last - 1], &window[last]);
        interpolate(before, after, end_ms, is_counter, about, notes)?
    } else {
        FloatHistogram::clone(&window[last].histogram)
    };
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if !is_counter && (!is_gauge(&left) || !is_gauge(&right)) {
        about.not_a_gauge(notes);
    }
    let mut result = right.clone();
    if !subtracted(&mut result, &left, about, notes) {
        return None;
    }
    if is_counter {
        let is_left_between = smoothed && window[first].t_ms < start_ms;
        let edges = Edges {
            first,
            last,
            left: &left,
            right: &right,
            is_left_between,
        };
        if let Some(lost) = edges.lost_by_resets(window, about, notes)?
            && !added(&mut result, &lost, about, notes)
        {
            return None;
        }
    }
    if kind == RateKind::Rate {
        divide(&mut result, seconds(end_ms - start_ms));
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    result.compact(0);
    Some(result)
}

/// The edges of an extended range, and the samples at or around them.
struct Edges<'a> {
    first: usize,
    last: usize,
    left: &'a FloatHistogram,
    right: &'a FloatHistogram,
    is_left_between: bool,
}

impl Edges<'_> {
    /// Returns what a counter lost by resets between the edges; outer `None` where
    /// histograms have no buckets in common.
    fn lost_by_resets(
        &self,
        window: &[HistogramSample],
        about: &About<'_>,
        notes: &mut Annotations,
    ) -> Option<Option<FloatHistogram>> {
        let mut from = self.first + 1;
        let mut before = self.left;
        // A reset on the way to the left edge is counted there.
        if self.is_left_between
            && let Some(next) = window.get(from)
            && detect_reset(&next.histogram, &window[self.first].histogram)
        {
            before = &next.histogram;
            from += 1;
        }
        if from > self.last {
            return Some(None);
        }
        let mut lost: Option<FloatHistogram> = None;
        // The last sample is the right edge, or the edge has its hint.
        let inner = window[from..self.last].iter().map(|s| &*s.histogram);
        for histogram in inner.chain([self.right]) {
            if detect_reset(histogram, before) {
                match &mut lost {
                    None => lost = Some(before.clone()),
                    Some(lost) => {
                        if !added(lost, before, about, notes) {
                            return None;
                        }
                    }
                }
            }
            before = histogram;
        }
        Some(lost)
    }
}

/// Returns the difference of two neighbours, per second if wanted.
pub(super) fn last_two(
    a: &HistogramSample,
    b: &HistogramSample,
    per_second: bool,
    about: &About<'_>,
    notes: &mut Annotations,
) -> Option<FloatHistogram> {
    let is_gauge = |s: &HistogramSample| s.histogram.counter_reset_hint == CounterResetHint::Gauge;
    let mut result = FloatHistogram::clone(&b.histogram);
    match (per_second, is_gauge(a), is_gauge(b)) {
        (true, true, _) | (true, _, true) => about.not_a_counter(notes),
        (false, false, _) | (false, _, false) => about.not_a_gauge(notes),
        _ => {}
    }
    let starts = || times(b).is_reset(times(a));
    let is_reset = per_second && (starts() || detect_reset(&b.histogram, &a.histogram));
    if !is_reset && !subtracted(&mut result, &a.histogram, about, notes) {
        return None;
    }
    result.counter_reset_hint = CounterResetHint::Gauge;
    result.compact(0);
    if per_second {
        divide(&mut result, (b.t_ms - a.t_ms) as f64 / 1000.0);
    }
    Some(result)
}
