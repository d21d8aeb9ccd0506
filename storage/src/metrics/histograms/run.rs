//! A run of histograms of one series, as bytes.
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
//! of the others. They are kept in their own.

use std::sync::Arc;

use crate::codec::flat::{Flat, Shape, same_layout};
use crate::codec::open::Malformed;
use crate::codec::varint;
use crate::model::TimeRange;
use crate::model::histogram::{CounterResetHint, HistogramPoint};

/// A run ends at this number of histograms. As in Prometheus it is their bytes that end it
/// as a rule: histograms that hardly change share a layout for long.
const MAX_LEN: u16 = 480;
/// It also ends when it has so many bytes, and this number of histograms at least.
const GOOD_BYTES: usize = 4 << 10;
const MIN_LEN: u16 = 10;

/// A run; shared with readers when it is finished.
#[derive(Debug, Clone, Default)]
pub(in crate::metrics) struct Run {
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
    /// Puts together what was stored; `None` where it is no run, or a longer one than a
    /// reader should have to widen.
    pub(super) fn from_stored(n: u16, bytes: &[u8]) -> Option<(Run, Flat)> {
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
        }
        let is_whole = decoder.rest.is_empty() && n > 0;
        let last = decoder.last.filter(|_| is_whole)?;
        let run = Run {
            n,
            range,
            step_ms: decoder.step_ms,
            bytes: bytes.to_vec(),
        };
        Some((run, last))
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

    /// Tells whether the next histogram is to begin another run.
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
        let Some(of_run) = self.range.filter(|of_run| of_run.overlaps(range)) else {
            return Ok(());
        };
        let (mut decoder, mut layouts) = (Decoder::new(&self.bytes), Layouts::default());
        let begin = into.len();
        for at in 0..self.n {
            let t_ms = decoder.next()?;
            let Some(flat) = &decoder.last else {
                return Err(Malformed);
            };
            layouts.see(flat);
            if range.contains(t_ms) {
                into.push(Point {
                    t_ms,
                    hint: match (flat.shape.hint, at) {
                        (CounterResetHint::Gauge, _) => CounterResetHint::Gauge,
                        (_, 0) => CounterResetHint::Unknown,
                        _ => CounterResetHint::NotReset,
                    },
                    flat: flat.clone(),
                });
            }
        }
        debug_assert!(of_run.start_ms <= of_run.end_ms);
        layouts.widen(&mut into[begin..]);
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

/// The layouts of a run.
#[derive(Default)]
struct Layouts {
    /// The first, and whether all others are the same.
    first: Option<Arc<Shape>>,
    others: Vec<Arc<Shape>>,
}

impl Layouts {
    fn see(&mut self, flat: &Flat) {
        if flat.is_stale_marker() {
            return;
        }
        let last = self.others.last().or(self.first.as_ref());
        match last {
            None => self.first = Some(Arc::clone(&flat.shape)),
            Some(last) if Arc::ptr_eq(last, &flat.shape) || last.has_layout_of(&flat.shape) => {}
            Some(_) => self.others.push(Arc::clone(&flat.shape)),
        }
    }

    /// Gives histograms the buckets of all that were seen.
    fn widen(&self, points: &mut [Point]) {
        let Some(first) = self.first.as_ref().filter(|_| !self.others.is_empty()) else {
            return;
        };
        let all = || std::iter::once(first).chain(&self.others);
        let union = |side: fn(&Shape) -> &Arc<[i32]>| -> Arc<[i32]> {
            let mut indexes: Vec<i32> = all().flat_map(|s| side(s).iter().copied()).collect();
            indexes.sort_unstable();
            indexes.dedup();
            indexes.into()
        };
        let shape = Arc::new(Shape {
            positive: union(|shape| &shape.positive),
            negative: union(|shape| &shape.negative),
            ..Shape::clone(first)
        });
        for point in points.iter_mut().filter(|p| !p.flat.is_stale_marker()) {
            if !point.flat.shape.has_layout_of(&shape) {
                let (positive, negative) = point.flat.sides();
                let mut counts = Vec::with_capacity(shape.n_buckets());
                spread(
                    &point.flat.shape.positive,
                    positive,
                    &shape.positive,
                    &mut counts,
                );
                spread(
                    &point.flat.shape.negative,
                    negative,
                    &shape.negative,
                    &mut counts,
                );
                point.flat.counts = counts;
            }
            point.flat.shape = Arc::clone(&shape);
        }
    }
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
