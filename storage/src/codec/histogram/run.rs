//! Cuts histograms of a series into runs of one layout.
//!
//! The rules are those by which Prometheus goes on with a chunk (`appendable` in
//! `tsdb/chunkenc`): a run ends where the kind of counts, the schema, the zero threshold
//! or the custom bounds change, where a counter was reset or a used bucket is gone, where
//! counters become gauges, and behind stale markers, to which only others are added. New
//! buckets, and unused ones that are missing, widen the layout of the whole run.

use std::sync::Arc;

use super::super::CodecError;
use super::{MAX_CELLS, merged};
use crate::model::histogram::HistogramPoint;
use crate::model::histogram::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, IntegerHistogram, Span,
    indexes_of,
};
use crate::model::is_stale_marker;

/// What the histograms of a run have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// Whether counts are doubles.
    pub is_float: bool,
    /// What is known of a reset between the run before and the first of this one.
    pub before: CounterResetHint,
    /// Their schema.
    pub schema: i32,
    /// Their zero threshold.
    pub zero_threshold: f64,
    /// Bounds of custom buckets.
    pub custom_bounds: Arc<[f64]>,
    /// Indexes of the positive buckets that any of them has.
    pub positive: Arc<[i32]>,
    /// The same of negative ones.
    pub negative: Arc<[i32]>,
}

/// A run as it was cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What its histograms have in common.
    pub layout: Layout,
    /// How many there are.
    pub len: usize,
}

/// Cuts histograms, which are in order of time, into runs of at most `most` each.
///
/// # Errors
/// A histogram has spans that do not fit its buckets, or too many of them.
pub fn cut(points: &[HistogramPoint], most: usize) -> Result<Vec<Run>, CodecError> {
    let mut runs = Vec::new();
    let mut cutter = Cutter::new(most);
    for point in points {
        runs.extend(cutter.add(&point.histogram)?);
    }
    runs.extend(cutter.finish());
    Ok(runs)
}

/// Cuts histograms as they come.
#[derive(Debug)]
pub struct Cutter {
    most: usize,
    open: Open,
    /// The last layouts that came as spans, and their indexes.
    spans: [(Vec<Span>, Vec<i32>); 2],
    whole: [Vec<i64>; 2],
}

#[derive(Debug)]
enum Open {
    None,
    Whole(Growing<i64>),
    Real(Growing<f64>),
}

impl Cutter {
    /// Returns one that makes runs of at most `most` histograms.
    pub fn new(most: usize) -> Cutter {
        Cutter {
            most: most.max(1),
            open: Open::None,
            spans: Default::default(),
            whole: Default::default(),
        }
    }

    /// Adds the next histogram, and returns the run before if it does not fit that one.
    ///
    /// # Errors
    /// Its spans do not fit its buckets, or are too many; it is not added then.
    pub fn add(&mut self, histogram: &Histogram) -> Result<Option<Run>, CodecError> {
        match histogram {
            Histogram::Integer(histogram) => self.add_whole(histogram),
            Histogram::Float(histogram) => self.add_real(histogram),
        }
    }

    fn add_whole(&mut self, histogram: &IntegerHistogram) -> Result<Option<Run>, CodecError> {
        let sides = [
            (&histogram.positive_spans, &histogram.positive_deltas),
            (&histogram.negative_spans, &histogram.negative_deltas),
        ];
        for (at, (spans, deltas)) in sides.into_iter().enumerate() {
            let (known, indexes) = &mut self.spans[at];
            check_len(deltas.len())?;
            if known != spans || indexes.len() != deltas.len() {
                *indexes = indexes_of(spans, deltas.len()).map_err(|_| SPANS)?;
                known.clone_from(spans);
            }
            let counts = &mut self.whole[at];
            counts.clear();
            counts.extend(absolute(deltas));
        }
        let [positive, negative] = &self.spans;
        let [whole_positive, whole_negative] = &self.whole;
        let next = Next {
            hint: histogram.counter_reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            custom_bounds: &histogram.custom_bounds,
            sum: histogram.sum,
            count: Count::Whole(histogram.count),
            zero_count: Count::Whole(histogram.zero_count),
            sides: [(&positive.1, whole_positive), (&negative.1, whole_negative)],
        };
        check_len(positive.1.len() + negative.1.len() + histogram.custom_bounds.len())?;
        let ended = match &mut self.open {
            Open::Whole(open) => match open.add(&next, self.most) {
                None => return Ok(None),
                Some(before) => {
                    let ended = open.run(false);
                    self.open = Open::Whole(Growing::new(&next, before));
                    return Ok(Some(ended));
                }
            },
            Open::Real(open) => Some(open.run(true)),
            Open::None => None,
        };
        self.open = Open::Whole(Growing::new(&next, CounterResetHint::Unknown));
        Ok(ended)
    }

    fn add_real(&mut self, histogram: &FloatHistogram) -> Result<Option<Run>, CodecError> {
        let (positive, negative) = (&histogram.positive, &histogram.negative);
        check_len(positive.len() + negative.len() + histogram.custom_bounds.len())?;
        let next = Next {
            hint: histogram.counter_reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            custom_bounds: &histogram.custom_bounds,
            sum: histogram.sum,
            count: Count::Real(histogram.count),
            zero_count: Count::Real(histogram.zero_count),
            sides: [
                (positive.layout(), positive.counts()),
                (negative.layout(), negative.counts()),
            ],
        };
        let ended = match &mut self.open {
            Open::Real(open) => match open.add(&next, self.most) {
                None => return Ok(None),
                Some(before) => {
                    let ended = open.run(true);
                    self.open = Open::Real(Growing::new(&next, before));
                    return Ok(Some(ended));
                }
            },
            Open::Whole(open) => Some(open.run(false)),
            Open::None => None,
        };
        self.open = Open::Real(Growing::new(&next, CounterResetHint::Unknown));
        Ok(ended)
    }

    /// Makes the next histogram begin a run, even if it fits.
    pub fn end_run(&mut self) {
        match &mut self.open {
            Open::None => {}
            Open::Whole(open) => open.is_full = true,
            Open::Real(open) => open.is_full = true,
        }
    }

    /// Returns the last run.
    pub fn finish(&mut self) -> Option<Run> {
        match std::mem::replace(&mut self.open, Open::None) {
            Open::None => None,
            Open::Whole(mut open) => Some(open.run(false)),
            Open::Real(mut open) => Some(open.run(true)),
        }
    }
}

const SPANS: CodecError = CodecError::Invalid("spans of a histogram");

fn check_len(found: usize) -> Result<(), CodecError> {
    if found <= MAX_CELLS {
        return Ok(());
    }
    Err(CodecError::TooMany {
        found: found as u64,
        limit: MAX_CELLS as u64,
    })
}

/// Returns the counts of buckets that are written as differences.
pub(super) fn absolute(deltas: &[i64]) -> impl Iterator<Item = i64> + '_ {
    let mut count = 0i64;
    deltas.iter().map(move |delta| {
        count = count.wrapping_add(*delta);
        count
    })
}

/// A number of observations.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Count {
    Whole(u64),
    Real(f64),
}

/// A histogram that is to be added.
struct Next<'a, T> {
    hint: CounterResetHint,
    schema: i32,
    zero_threshold: f64,
    custom_bounds: &'a Arc<[f64]>,
    sum: f64,
    count: Count,
    zero_count: Count,
    /// Positive and negative buckets: indexes and counts.
    sides: [(&'a [i32], &'a [T]); 2],
}

/// One side of the buckets of a run.
#[derive(Debug)]
struct Side<T> {
    indexes: Vec<i32>,
    /// Counts of the last histogram.
    last: Vec<T>,
}

impl<T: Copy + PartialOrd + Default> Side<T> {
    /// Tells whether no count goes down and no bucket that was used is missing.
    fn goes_on(&self, indexes: &[i32], counts: &[T]) -> bool {
        if self.indexes == indexes {
            return !self.last.iter().zip(counts).any(|(last, next)| last > next);
        }
        let mut next = indexes.iter().zip(counts).peekable();
        self.indexes.iter().zip(&self.last).all(|(index, last)| {
            while next.next_if(|(other, _)| *other < index).is_some() {}
            match next.next_if(|(other, _)| *other == index) {
                Some((_, next)) => last <= next || last.partial_cmp(next).is_none(),
                None => *last == T::default(),
            }
        })
    }

    fn set(&mut self, indexes: &[i32], counts: &[T]) {
        if self.indexes != indexes {
            self.indexes = merged(&self.indexes, indexes);
        }
        spread(indexes, counts, &self.indexes, &mut self.last);
    }
}

/// Replaces `out` by counts for all buckets of a layout, 0 where there are none.
pub(super) fn spread<T: Copy + Default>(
    indexes: &[i32],
    counts: &[T],
    layout: &[i32],
    out: &mut Vec<T>,
) {
    out.clear();
    if indexes == layout {
        out.extend_from_slice(counts);
        return;
    }
    let mut own = indexes.iter().zip(counts).peekable();
    out.extend(layout.iter().map(|index| {
        let found = own.next_if(|(other, _)| *other == index);
        found.map(|(_, count)| *count).unwrap_or_default()
    }));
}

/// A run that may grow.
#[derive(Debug)]
struct Growing<T> {
    before: CounterResetHint,
    schema: i32,
    zero_threshold: f64,
    custom_bounds: Arc<[f64]>,
    sum: f64,
    count: Count,
    zero_count: Count,
    sides: [Side<T>; 2],
    len: usize,
    is_full: bool,
}

impl<T: Copy + PartialOrd + Default> Growing<T> {
    fn new(next: &Next<'_, T>, before: CounterResetHint) -> Growing<T> {
        let before = match next.hint {
            hint @ (CounterResetHint::Gauge | CounterResetHint::Reset) => hint,
            _ => before,
        };
        let is_stale = is_stale_marker(next.sum);
        let side = |(indexes, counts): (&[i32], &[T])| Side {
            indexes: indexes.to_vec(),
            last: counts.to_vec(),
        };
        let sides = if is_stale {
            [side((&[], &[])), side((&[], &[]))]
        } else {
            next.sides.map(side)
        };
        let no_bounds = || Arc::from(&[][..]);
        Growing {
            before,
            schema: if is_stale { 0 } else { next.schema },
            zero_threshold: if is_stale { 0.0 } else { next.zero_threshold },
            custom_bounds: match is_stale {
                true => no_bounds(),
                false => Arc::clone(next.custom_bounds),
            },
            sum: next.sum,
            count: next.count,
            zero_count: next.zero_count,
            sides,
            len: 1,
            is_full: false,
        }
    }

    /// Adds a histogram; where it does not fit, returns what is known of a reset before
    /// it.
    fn add(&mut self, next: &Next<'_, T>, most: usize) -> Option<CounterResetHint> {
        if let Some(before) = self.refuses(next) {
            return Some(before);
        }
        let is_stale = is_stale_marker(next.sum);
        if !is_stale {
            let wider = self.sides.iter().zip(next.sides);
            let n_cells = wider.map(|(side, (indexes, _))| match side.indexes == indexes {
                true => indexes.len(),
                false => side.indexes.len() + indexes.len(),
            });
            let n_cells = n_cells.sum::<usize>().saturating_mul(self.len + 1);
            if n_cells > MAX_CELLS {
                return Some(CounterResetHint::NotReset);
            }
        }
        if self.is_full || self.len >= most {
            return Some(CounterResetHint::NotReset);
        }
        self.len += 1;
        self.sum = next.sum;
        if !is_stale {
            self.count = next.count;
            self.zero_count = next.zero_count;
            for (side, (indexes, counts)) in self.sides.iter_mut().zip(next.sides) {
                side.set(indexes, counts);
            }
        }
        None
    }

    /// Returns what is known of a reset before a histogram that does not fit.
    fn refuses(&self, next: &Next<'_, T>) -> Option<CounterResetHint> {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        let is_float = matches!(next.count, Count::Real(_));
        let is_gauge = next.hint == Gauge;
        if is_gauge != (self.before == Gauge) {
            return Some(if is_float { Unknown } else { NotReset });
        }
        if next.hint == Reset {
            return Some(Reset);
        }
        if is_stale_marker(next.sum) {
            return None;
        }
        if is_stale_marker(self.sum) {
            return Some(Unknown);
        }
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        if !is_gauge && next.count < self.count {
            return Some(Reset);
        }
        if next.schema != self.schema || !same(next.zero_threshold, self.zero_threshold) {
            return Some(Unknown);
        }
        let bounds = next.custom_bounds.iter().zip(&*self.custom_bounds);
        if next.custom_bounds.len() != self.custom_bounds.len()
            || bounds.clone().any(|(a, b)| !same(*a, *b))
        {
            return Some(if self.schema == CUSTOM_BUCKETS_SCHEMA {
                Reset
            } else {
                Unknown
            });
        }
        if is_gauge {
            return None;
        }
        let goes_on = next.zero_count.partial_cmp(&self.zero_count) != Some(LESS)
            && self
                .sides
                .iter()
                .zip(next.sides)
                .all(|(side, (indexes, counts))| side.goes_on(indexes, counts));
        (!goes_on).then_some(Reset)
    }

    fn run(&mut self, is_float: bool) -> Run {
        let [positive, negative] = &mut self.sides;
        let layout = Layout {
            is_float,
            before: self.before,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            custom_bounds: Arc::clone(&self.custom_bounds),
            positive: std::mem::take(&mut positive.indexes).into(),
            negative: std::mem::take(&mut negative.indexes).into(),
        };
        Run {
            layout,
            len: self.len,
        }
    }
}

const LESS: std::cmp::Ordering = std::cmp::Ordering::Less;
