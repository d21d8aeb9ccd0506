//! The histograms of one series in the head.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::merge::settle;
use super::run::{Point, Run, continues, union};
use crate::codec::flat::{Flat, Shape};
use crate::codec::open::Malformed;
use crate::codec::varint;
use crate::model::TimeRange;
use crate::model::histogram::CounterResetHint;

/// Histograms of a series: those that came in order, in runs, and those that came late.
#[derive(Debug, Clone, Default)]
pub(in crate::metrics) struct HistogramSeries {
    /// Oldest first.
    finished: Vec<Arc<Run>>,
    open: Run,
    /// The layout of the last run, and its parts.
    layout: Option<Arc<Shape>>,
    n_parts: usize,
    /// The newest one that came in order.
    newest: Option<Newest>,
    /// The next one begins a run, whatever it is.
    is_broken: bool,
    late: BTreeMap<i64, Late>,
    finished_bytes: usize,
    late_bytes: usize,
}

/// A run goes on in another part as long as its layout has at most so many times the
/// buckets that its histograms have, or of this number.
const GOOD_GROWTH: usize = 4;
const GOOD_BUCKETS: usize = 40;

/// Most parts of a run, which all get to know a new layout.
const MAX_PARTS: usize = 64;

/// Most buckets of the layout of a run that a snapshot may have.
const MAX_LAYOUT: usize = 1 << 18;

/// Of an entry in a tree, about.
const LATE_BYTES: usize = 40;

#[derive(Debug, Clone)]
struct Newest {
    t_ms: i64,
    /// Its hint is gauge or unknown.
    flat: Flat,
}

/// A histogram that came late.
#[derive(Debug, Clone)]
struct Late {
    epoch: u32,
    flat: Arc<Flat>,
}

/// A series as a reader took it.
#[derive(Debug, Clone)]
pub(in crate::metrics) struct TakenHistograms {
    series: Arc<HistogramSeries>,
    /// Histograms in order that are newer belong to transactions that are not seen.
    seen_until_ms: i64,
    /// Late histograms of this epoch are not seen.
    epoch: Option<u32>,
}

impl HistogramSeries {
    /// Returns the time of the newest histogram that came in order.
    pub(in crate::metrics) fn newest_ms(&self) -> Option<i64> {
        self.newest.as_ref().map(|newest| newest.t_ms)
    }

    /// Tells whether the newest histogram that came in order is this one.
    pub(in crate::metrics) fn is_newest(&self, flat: &Flat) -> bool {
        let newest = self.newest.as_ref();
        newest.is_some_and(|newest| newest.flat.is_same_data(flat))
    }

    /// Tells whether the newest histogram that came in order is a stale marker.
    pub(in crate::metrics) fn is_stale(&self) -> bool {
        let newest = self.newest.as_ref();
        newest.is_some_and(|newest| newest.flat.is_stale_marker())
    }

    /// Returns a stale marker of the kind of the newest histogram.
    pub(in crate::metrics) fn stale_marker(&self) -> Flat {
        let newest = self.newest.as_ref();
        Flat::stale_marker(newest.is_some_and(|newest| newest.flat.shape.is_integer))
    }

    /// Makes the next histogram begin a run, because a float came between.
    pub(in crate::metrics) fn end_run(&mut self) {
        self.is_broken = true;
    }

    /// Adds a histogram that is newer than all others that came in order.
    pub(in crate::metrics) fn push(&mut self, t_ms: i64, mut flat: Flat) {
        let newest = self.newest.take();
        let fits = newest.as_ref();
        let fits = fits.is_some_and(|newest| continues(&newest.flat, &flat));
        if self.is_broken || !fits {
            self.begin(false);
        } else if self.open.is_full() {
            // What grew out of all proportion is not worth its empty buckets.
            let n_buckets = self.layout.as_ref().map_or(0, |shape| shape.n_buckets());
            let is_good = n_buckets <= GOOD_GROWTH * flat.shape.n_buckets().max(GOOD_BUCKETS);
            self.begin(is_good && self.n_parts < MAX_PARTS);
        }
        forget_hint(&mut flat);
        let before = newest.as_ref().map(|newest| &newest.flat);
        if let Some(before) = before.filter(|before| *before.shape == *flat.shape) {
            flat.shape = Arc::clone(&before.shape);
        }
        self.open.push(t_ms, &flat, before);
        self.see(&flat);
        self.newest = Some(Newest { t_ms, flat });
    }

    /// Begins a part, of the run that there is or of another one.
    fn begin(&mut self, goes_on: bool) {
        if self.open.len() > 0 {
            let open = std::mem::take(&mut self.open).finish();
            self.finished_bytes += size_of::<Run>() + open.memory_bytes();
            self.finished.push(open);
        }
        self.is_broken = false;
        self.open.goes_on = goes_on;
        self.n_parts += 1;
        if goes_on {
            self.open.layout = self.finished.last().and_then(|last| last.layout.clone());
        } else {
            self.layout = None;
            self.n_parts = 1;
        }
    }

    /// Widens the layout of the last run so that it has the buckets of a histogram.
    fn see(&mut self, flat: &Flat) {
        if flat.is_stale_marker() {
            return;
        }
        let common = match &self.layout {
            None => {
                self.layout = Some(Arc::clone(&flat.shape));
                return;
            }
            Some(known) if known.has_layout_of(&flat.shape) => return,
            Some(known) => union(known, &flat.shape),
        };
        let widened = self.layout.clone();
        let widened = widened.filter(|known| known.has_layout_of(&common));
        let common = widened.unwrap_or_else(|| Arc::new(common));
        self.layout = Some(Arc::clone(&common));
        let is_known = |run: &Run| {
            let layout = run.layout.as_ref();
            layout.is_some_and(|layout| Arc::ptr_eq(layout, &common))
        };
        if is_known(&self.open) {
            return;
        }
        self.open.layout = Some(Arc::clone(&common));
        let mut goes_on = self.open.goes_on;
        for part in self.finished.iter_mut().rev() {
            if !goes_on {
                break;
            }
            goes_on = part.goes_on;
            Arc::make_mut(part).layout = Some(Arc::clone(&common));
        }
    }

    /// Adds a histogram that came late, unless there is a late one at its time.
    pub(in crate::metrics) fn push_late(&mut self, t_ms: i64, flat: Flat, epoch: u32) -> bool {
        if self.has_late(t_ms) {
            return false;
        }
        self.late_bytes += LATE_BYTES + flat.memory_bytes();
        let flat = Arc::new(flat);
        self.late.insert(t_ms, Late { epoch, flat });
        true
    }

    /// Tells whether a histogram that came in order has this time.
    pub(in crate::metrics) fn has_in_order(&self, t_ms: i64) -> bool {
        // What this module wrote it can read.
        self.runs().any(|run| run.contains(t_ms).unwrap_or(false))
    }

    /// Tells whether a histogram that came late has this time.
    pub(in crate::metrics) fn has_late(&self, t_ms: i64) -> bool {
        self.late.contains_key(&t_ms)
    }

    fn runs(&self) -> impl Iterator<Item = &Run> {
        self.finished.iter().map(|run| &**run).chain([&self.open])
    }

    /// Tells whether there are no histograms.
    pub(in crate::metrics) fn is_empty(&self) -> bool {
        self.newest.is_none() && self.late.is_empty()
    }

    /// Counts the late histograms.
    pub(in crate::metrics) fn n_late(&self) -> u64 {
        self.late.len() as u64
    }

    /// Counts the runs.
    pub(in crate::metrics) fn n_runs(&self) -> u64 {
        self.finished.len() as u64 + u64::from(self.open.len() > 0)
    }

    /// Returns the times of the oldest and the newest histogram that came in order.
    pub(in crate::metrics) fn in_order_range(&self) -> Option<TimeRange> {
        let first = self.runs().find_map(Run::range)?;
        Some(TimeRange::new(first.start_ms, self.newest_ms()?))
    }

    /// Returns the times of the oldest and the newest histogram that came late.
    pub(in crate::metrics) fn late_range(&self) -> Option<TimeRange> {
        let (first, _) = self.late.first_key_value()?;
        let (last, _) = self.late.last_key_value()?;
        Some(TimeRange::new(*first, *last))
    }

    /// Drops runs that end before `t_ms`.
    pub(in crate::metrics) fn forget_before(&mut self, t_ms: i64) {
        if self.newest_ms().is_some_and(|newest_ms| newest_ms < t_ms) {
            self.forget_in_order();
        }
        let is_kept = |run: &Arc<Run>| run.range().is_some_and(|range| range.end_ms >= t_ms);
        self.finished.retain(is_kept);
        let bytes = |run: &Arc<Run>| size_of::<Run>() + run.memory_bytes();
        self.finished_bytes = self.finished.iter().map(bytes).sum();
    }

    /// Drops the histograms that came in order.
    pub(in crate::metrics) fn forget_in_order(&mut self) {
        self.finished.clear();
        self.finished_bytes = 0;
        self.open = Run::default();
        self.layout = None;
        self.newest = None;
        self.is_broken = false;
    }

    /// Drops late histograms in `range` that `keep` does not want.
    pub(in crate::metrics) fn retain_late(
        &mut self,
        range: TimeRange,
        mut keep: impl FnMut(i64) -> bool,
    ) {
        self.late
            .retain(|&t_ms, _| !range.contains(t_ms) || keep(t_ms));
        let late = self.late.values();
        let bytes = late.map(|late| LATE_BYTES + late.flat.memory_bytes());
        self.late_bytes = bytes.sum();
    }

    /// Takes the late histograms.
    pub(in crate::metrics) fn take_late(&mut self) -> Vec<(i64, Arc<Flat>)> {
        self.late_bytes = 0;
        let late = std::mem::take(&mut self.late).into_iter();
        late.map(|(t_ms, late)| (t_ms, late.flat)).collect()
    }

    /// Returns the bytes of memory held.
    pub(in crate::metrics) fn memory_bytes(&self) -> usize {
        let newest = self.newest.as_ref();
        size_of::<HistogramSeries>()
            + self.finished.capacity() * size_of::<Arc<Run>>()
            + self.finished_bytes
            + self.open.memory_bytes()
            + self
                .open
                .layout
                .as_ref()
                .map_or(0, |layout| layout.memory_bytes())
            + newest.map_or(0, |newest| newest.flat.memory_bytes())
            + self.late_bytes
    }

    /// Appends the histograms as a snapshot has them.
    ///
    /// ```text
    /// series = broken u8 | n parts varint
    ///        | per part: (2 n + 1 if it goes on with the run before) varint, length varint, bytes
    ///        | n late varint | per late one: time zigzag varint, record
    /// ```
    pub(in crate::metrics) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_broken));
        varint::write_u64(out, self.n_runs());
        for run in self.runs().filter(|run| run.len() > 0) {
            let (n, bytes) = run.stored();
            varint::write_u64(out, u64::from(n) << 1 | u64::from(run.goes_on));
            varint::write_u64(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        varint::write_u64(out, self.late.len() as u64);
        for (t_ms, late) in &self.late {
            varint::write_i64(out, *t_ms);
            late.flat.encode(None, out);
        }
    }

    /// Takes a series from the front of `bytes`, as [`HistogramSeries::encode`] wrote it.
    pub(in crate::metrics) fn decode(bytes: &mut &[u8]) -> Result<HistogramSeries, Malformed> {
        let number = |bytes: &mut &[u8]| varint::read_u64(bytes).map_err(|_| Malformed);
        let is_broken = *bytes.split_off_first().ok_or(Malformed)? != 0;
        let mut series = HistogramSeries::default();
        for _ in 0..number(bytes)? {
            let head = number(bytes)?;
            let n = u16::try_from(head >> 1).map_err(|_| Malformed)?;
            let len = usize::try_from(number(bytes)?).map_err(|_| Malformed)?;
            let part = bytes.split_off(..len).ok_or(Malformed)?;
            series.begin(head & 1 != 0 && series.open.len() > 0);
            let mut last = None;
            let open = Run::from_stored(n, part, |flat| {
                series.see(flat);
                last = Some(flat.clone());
            });
            let (open, flat) = open.zip(last).ok_or(Malformed)?;
            let range = open.range().ok_or(Malformed)?;
            let newest_ms = series.newest_ms();
            if newest_ms.is_some_and(|last_ms| last_ms >= range.start_ms)
                || series.n_parts > MAX_PARTS
                || series
                    .layout
                    .as_ref()
                    .is_some_and(|shape| shape.n_buckets() > MAX_LAYOUT)
            {
                return Err(Malformed);
            }
            series.open = open.in_place_of(&series.open);
            let t_ms = range.end_ms;
            series.newest = Some(Newest { t_ms, flat });
        }
        for _ in 0..number(bytes)? {
            let t_ms = varint::read_i64(bytes).map_err(|_| Malformed)?;
            let flat = Flat::decode(bytes, None).map_err(|_| Malformed)?;
            series.push_late(t_ms, flat, 0);
        }
        series.is_broken = is_broken;
        Ok(series)
    }
}

/// Leaves of a hint what belongs to the series: that it is no counter.
fn forget_hint(flat: &mut Flat) {
    use CounterResetHint::{Gauge, Unknown};
    if !matches!(flat.shape.hint, Gauge | Unknown) {
        flat.shape = Arc::new(Shape {
            hint: Unknown,
            ..Shape::clone(&flat.shape)
        });
    }
}

impl TakenHistograms {
    /// Takes a series as it was before `epoch`: histograms in order up to `seen_until_ms`,
    /// and late ones of other epochs.
    pub(in crate::metrics) fn new(
        series: &Arc<HistogramSeries>,
        seen_until_ms: i64,
        epoch: Option<u32>,
    ) -> TakenHistograms {
        TakenHistograms {
            series: Arc::clone(series),
            seen_until_ms,
            epoch,
        }
    }

    fn seen(&self, in_order: TimeRange) -> TimeRange {
        TimeRange::new(in_order.start_ms, in_order.end_ms.min(self.seen_until_ms))
    }

    fn late(&self, range: TimeRange) -> impl Iterator<Item = (i64, &Flat)> {
        let range = (range.start_ms <= range.end_ms).then_some(range.start_ms..=range.end_ms);
        let late = range.map(|range| self.series.late.range(range));
        let late = late.into_iter().flatten();
        let seen = late.filter(|(_, late)| self.epoch != Some(late.epoch));
        seen.map(|(t_ms, late)| (*t_ms, &*late.flat))
    }

    /// Returns the times of the late histograms in `range`.
    pub(in crate::metrics) fn late_times(&self, range: TimeRange) -> impl Iterator<Item = i64> {
        self.late(range).map(|(t_ms, _)| t_ms)
    }

    /// Tells whether there may be a histogram in order in `in_order`, or a late one in
    /// `range`, outside the times that `hidden` covers.
    pub(in crate::metrics) fn any_in(
        &self,
        in_order: Option<TimeRange>,
        range: TimeRange,
        hidden: impl Fn(TimeRange) -> bool,
    ) -> bool {
        let in_order = in_order.is_some_and(|in_order| {
            let seen = self.seen(in_order);
            let ranges = self.series.runs().filter_map(Run::range);
            ranges.filter(|of_run| of_run.overlaps(seen)).any(|of_run| {
                let start_ms = of_run.start_ms.max(seen.start_ms);
                !hidden(TimeRange::new(start_ms, of_run.end_ms.min(seen.end_ms)))
            })
        });
        let mut late = self.late(range);
        in_order || late.any(|(t_ms, _)| !hidden(TimeRange::new(t_ms, t_ms)))
    }

    /// Appends the histograms in order in `in_order` and the late ones in `range`, all in
    /// order of time. Of two at one time that which came in order stays.
    pub(in crate::metrics) fn read(
        &self,
        in_order: Option<TimeRange>,
        range: TimeRange,
        into: &mut Vec<Point>,
    ) -> Result<(), Malformed> {
        let begin = into.len();
        if let Some(in_order) = in_order {
            let seen = self.seen(in_order);
            for run in self.series.runs() {
                run.read(seen, into)?;
            }
        }
        // Late ones form runs, too.
        let mut late = HistogramSeries::default();
        for (t_ms, flat) in self.late(range) {
            late.push(t_ms, flat.clone());
        }
        let end = into.len();
        for run in late.runs() {
            run.read(TimeRange::ALL, into)?;
        }
        let mut own = into.split_off(begin);
        settle(&mut own, end - begin);
        into.append(&mut own);
        Ok(())
    }
}
