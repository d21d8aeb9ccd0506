//! A run of histograms of one series, as bytes, or a part of a long one.
//!
//! ```text
//! run = n x (time: the first zigzag varint, then differences, less the one before, zigzag
//!            varint | record, see `codec::flat`)
//! ```
//!
//! As in a chunk of Prometheus, no counter is reset within a run, and all its histograms
//! are of one resolution. A hint that came with a histogram decides where it stands and is
//! forgotten: what is read of a run is known not to be reset, but for the first, of which
//! nothing is said, because nobody knows whether what was before it still exists. All
//! histograms of a run are read in one layout: a bucket that any of them has is an empty one
//! of the others. They are kept in their own, and a long run in several parts, so that a
//! reader decodes no more than it needs.

use std::sync::Arc;

use crate::codec::flat::{Flat, Shape, same_layout};
use crate::codec::open::Malformed;
use crate::codec::varint;
use crate::model::TimeRange;
use crate::model::histogram::{CounterResetHint, HistogramPoint};

/// A part ends at this number of histograms.
const MAX_LEN: u16 = 480;
/// It also ends when it has so many bytes, and this number of histograms at least.
const GOOD_BYTES: usize = 4 << 10;
const MIN_LEN: u16 = 10;

/// A part of a run; shared with readers when it is finished.
#[derive(Debug, Clone, Default)]
pub(in crate::metrics) struct Run {
    /// It goes on with the run of the part before it.
    pub(super) goes_on: bool,
    /// The layout in which all of the run are read, where they have different ones.
    pub(super) layout: Option<Arc<Shape>>,
    n: u16,
    range: Option<TimeRange>,
    /// Distance between the last two times.
    step_ms: i64,
    bytes: Vec<u8>,
}

/// A histogram that was read.
#[derive(Debug, Clone)]
pub(in crate::metrics) struct Point {
    pub(in crate::metrics) t_ms: i64,
    pub(in crate::metrics) flat: Flat,
    pub(in crate::metrics) hint: CounterResetHint,
}

impl Point {
    /// Returns the histogram as it is stored.
    pub(in crate::metrics) fn stored(&self) -> HistogramPoint {
        HistogramPoint {
            t_ms: self.t_ms,
            histogram: self.flat.to_histogram(self.hint),
        }
    }
}

impl Run {
    /// Puts together what was stored, and calls `each` for every histogram; `None` where it
    /// is no part of a run.
    pub(super) fn from_stored(n: u16, bytes: &[u8], mut each: impl FnMut(&Flat)) -> Option<Run> {
        if n > MAX_LEN {
            return None;
        }
        let mut decoder = Decoder::new(bytes);
        let mut range: Option<TimeRange> = None;
        for _ in 0..n {
            let t_ms = decoder.next().ok()?;
            match &mut range {
                None => range = Some(TimeRange::new(t_ms, t_ms)),
                Some(range) if range.end_ms < t_ms => range.end_ms = t_ms,
                Some(_) => return None,
            }
            each(decoder.last.as_ref()?);
        }
        (decoder.rest.is_empty() && n > 0).then(|| Run {
            n,
            range,
            step_ms: decoder.step_ms,
            bytes: bytes.to_vec(),
            ..Run::default()
        })
    }

    /// Makes this part one of a run: it takes the place of `other`, which is empty.
    pub(super) fn in_place_of(self, other: &Run) -> Run {
        Run {
            goes_on: other.goes_on,
            layout: other.layout.clone(),
            ..self
        }
    }

    /// Returns number and bytes of the histograms.
    pub(super) fn stored(&self) -> (u16, &[u8]) {
        (self.n, &self.bytes)
    }

    /// Returns the times of the first and the last histogram, if there are any.
    pub(super) fn range(&self) -> Option<TimeRange> {
        self.range
    }

    /// Counts the histograms.
    pub(super) fn len(&self) -> u16 {
        self.n
    }

    /// Tells whether the next histogram is to begin another part.
    pub(super) fn is_full(&self) -> bool {
        self.n >= MAX_LEN || (self.n >= MIN_LEN && self.bytes.len() >= GOOD_BYTES)
    }

    /// Returns the bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives back what is not in use.
    pub(super) fn finish(mut self) -> Arc<Run> {
        self.bytes.shrink_to_fit();
        Arc::new(self)
    }

    /// Adds a histogram that is newer than the last one, `before`.
    pub(super) fn push(&mut self, t_ms: i64, flat: &Flat, before: Option<&Flat>) {
        match &mut self.range {
            None => {
                varint::write_i64(&mut self.bytes, t_ms);
                flat.encode(None, &mut self.bytes);
                self.range = Some(TimeRange::new(t_ms, t_ms));
            }
            Some(range) => {
                let step_ms = t_ms.wrapping_sub(range.end_ms);
                varint::write_i64(&mut self.bytes, step_ms.wrapping_sub(self.step_ms));
                flat.encode(before, &mut self.bytes);
                self.step_ms = step_ms;
                range.end_ms = t_ms;
            }
        }
        self.n += 1;
    }

    /// Tells whether there is a histogram at this time.
    pub(super) fn contains(&self, t_ms: i64) -> Result<bool, Malformed> {
        if self.range.is_none_or(|range| !range.contains(t_ms)) {
            return Ok(false);
        }
        let mut decoder = Decoder::new(&self.bytes);
        for _ in 0..self.n {
            let at_ms = decoder.next()?;
            if at_ms >= t_ms {
                return Ok(at_ms == t_ms);
            }
        }
        Ok(false)
    }

    /// Appends the histograms in `range`.
    pub(super) fn read(&self, range: TimeRange, into: &mut Vec<Point>) -> Result<(), Malformed> {
        if self.range.is_none_or(|of_run| !of_run.overlaps(range)) {
            return Ok(());
        }
        let mut decoder = Decoder::new(&self.bytes);
        for at in 0..self.n {
            let t_ms = decoder.next()?;
            if t_ms > range.end_ms {
                break;
            }
            if !range.contains(t_ms) {
                continue;
            }
            let mut flat = decoder.last.clone().ok_or(Malformed)?;
            if let Some(layout) = &self.layout {
                widen(&mut flat, layout);
            }
            into.push(Point {
                t_ms,
                hint: match (flat.shape.hint, at) {
                    (CounterResetHint::Gauge, _) => CounterResetHint::Gauge,
                    (_, 0) if !self.goes_on => CounterResetHint::Unknown,
                    _ => CounterResetHint::NotReset,
                },
                flat,
            });
        }
        Ok(())
    }
}

/// Walks through the bytes of a run.
struct Decoder<'a> {
    rest: &'a [u8],
    t_ms: i64,
    step_ms: i64,
    last: Option<Flat>,
}

impl Decoder<'_> {
    fn new(bytes: &[u8]) -> Decoder<'_> {
        Decoder {
            rest: bytes,
            t_ms: 0,
            step_ms: 0,
            last: None,
        }
    }

    /// Goes to the next histogram and returns its time.
    fn next(&mut self) -> Result<i64, Malformed> {
        let time = varint::read_i64(&mut self.rest).map_err(|_| Malformed)?;
        match &self.last {
            None => self.t_ms = time,
            Some(_) => {
                self.step_ms = self.step_ms.wrapping_add(time);
                self.t_ms = self.t_ms.wrapping_add(self.step_ms);
            }
        }
        let flat = Flat::decode(&mut self.rest, self.last.as_ref());
        self.last = Some(flat.map_err(|_| Malformed)?);
        Ok(self.t_ms)
    }
}

/// Returns a shape with the buckets of both, which differ in nothing else.
pub(super) fn union(one: &Shape, other: &Shape) -> Shape {
    let both = |one: &[i32], other: &[i32]| -> Arc<[i32]> {
        let mut indexes = [one, other].concat();
        indexes.sort_unstable();
        indexes.dedup();
        indexes.into()
    };
    Shape {
        positive: both(&one.positive, &other.positive),
        negative: both(&one.negative, &other.negative),
        ..one.clone()
    }
}

/// Gives a histogram the buckets of a shape that has all of its own.
fn widen(flat: &mut Flat, shape: &Arc<Shape>) {
    if flat.is_stale_marker() {
        return;
    }
    if !flat.shape.has_layout_of(shape) {
        let (positive, negative) = flat.sides();
        let mut counts = Vec::with_capacity(shape.n_buckets());
        spread(&flat.shape.positive, positive, &shape.positive, &mut counts);
        spread(&flat.shape.negative, negative, &shape.negative, &mut counts);
        flat.counts = counts;
    }
    flat.shape = Arc::clone(shape);
}

/// Appends counts in a layout that has all indexes of theirs.
fn spread(indexes: &[i32], counts: &[u64], wanted: &[i32], out: &mut Vec<u64>) {
    let mut known = indexes.iter().zip(counts).peekable();
    out.extend(wanted.iter().map(|index| {
        let count = known.next_if(|(known, _)| *known == index);
        count.map_or(0, |(_, count)| *count)
    }));
}

/// Tells whether a histogram fits the run that ends with `last`.
pub(super) fn continues(last: &Flat, next: &Flat) -> bool {
    let gauge = |flat: &Flat| flat.shape.hint == CounterResetHint::Gauge;
    if gauge(next) != gauge(last)
        || next.shape.hint == CounterResetHint::Reset
        || next.shape.is_integer != last.shape.is_integer
    {
        return false;
    }
    // Behind a stale marker only others fit.
    if next.is_stale_marker() || last.is_stale_marker() {
        return next.is_stale_marker();
    }
    next.shape.is_like(&last.shape) && (gauge(next) || !is_reset(last, next))
}

/// Tells whether a counter went down.
fn is_reset(last: &Flat, next: &Flat) -> bool {
    let is_less = |next_count: u64, last_count: u64| match next.shape.is_integer {
        true => next_count < last_count,
        false => f64::from_bits(next_count) < f64::from_bits(last_count),
    };
    if is_less(next.count, last.count) || is_less(next.zero_count, last.zero_count) {
        return true;
    }
    let (last_sides, next_sides) = (last.sides(), next.sides());
    let sides = [
        (
            &last.shape.positive,
            last_sides.0,
            &next.shape.positive,
            next_sides.0,
        ),
        (
            &last.shape.negative,
            last_sides.1,
            &next.shape.negative,
            next_sides.1,
        ),
    ];
    sides
        .into_iter()
        .any(|(layout, counts, next_layout, next_counts)| {
            if same_layout(layout, next_layout) {
                return counts
                    .iter()
                    .zip(next_counts)
                    .any(|(last, next)| is_less(*next, *last));
            }
            let mut others = next_layout.iter().zip(next_counts).peekable();
            layout.iter().zip(counts).any(|(index, count)| {
                while others.next_if(|(other, _)| *other < index).is_some() {}
                match others.next_if(|(other, _)| *other == index) {
                    Some((_, next_count)) => is_less(*next_count, *count),
                    None => last.double(*count) != 0.0,
                }
            })
        })
}
