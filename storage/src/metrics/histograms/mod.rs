//! The native histograms of a shard: a table beside the rows, because most series have
//! none. A flag of the row tells that there is something.
//!
//! Samples of both kinds of one series are in one order of time: what comes in order is
//! newer than all of them. A stale marker that follows a histogram becomes one of
//! histograms, as in Prometheus.

mod append;
mod merge;
mod run;
mod series;

use std::sync::Arc;

use hashbrown::HashMap;

pub(super) use append::{Applying, PendingHistogram};
pub(super) use merge::{Timed, drop_beside, forget_reset, settle};
pub(super) use run::Point;
pub(super) use series::{HistogramSeries, TakenHistograms};

use crate::codec::open::Malformed;
use crate::codec::varint;
use crate::model::TimeRange;

/// A section of a snapshot is about so long.
const SECTION_BYTES: usize = 1 << 20;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Histograms {
    by_slot: HashMap<u32, Arc<HistogramSeries>>,
    bytes: usize,
    n_runs: u64,
    n_late: u64,
    /// No histogram is outside; it may be too long until something is dropped.
    range: Option<TimeRange>,
}

impl Histograms {
    /// Returns the histograms of a series.
    pub(super) fn get(&self, slot: u32) -> Option<&Arc<HistogramSeries>> {
        self.by_slot.get(&slot)
    }

    /// Changes the histograms of a series, which may have none before and afterwards.
    pub(super) fn change<R>(
        &mut self,
        slot: u32,
        change: impl FnOnce(&mut HistogramSeries) -> R,
    ) -> R {
        let entry = self.by_slot.entry(slot).or_default();
        // Readers that hold the series keep it as it is.
        let series = Arc::make_mut(entry);
        let before = (series.memory_bytes(), series.n_runs(), series.n_late());
        let is_new = series.is_empty();
        let changed = change(series);
        if !is_new {
            self.bytes -= before.0;
            self.n_runs -= before.1;
            self.n_late -= before.2;
        }
        if series.is_empty() {
            self.by_slot.remove(&slot);
        } else {
            self.bytes += series.memory_bytes();
            self.n_runs += series.n_runs();
            self.n_late += series.n_late();
        }
        changed
    }

    /// Notes that there is a histogram at this time.
    pub(super) fn note(&mut self, t_ms: i64) {
        self.range = Some(self.range.map_or(TimeRange::new(t_ms, t_ms), |range| {
            TimeRange::new(range.start_ms.min(t_ms), range.end_ms.max(t_ms))
        }));
    }

    /// Returns times outside of which there is no histogram.
    pub(super) fn range(&self) -> Option<TimeRange> {
        self.range
    }

    /// Returns the times of the oldest and the newest late histogram.
    pub(super) fn late_range(&self) -> Option<TimeRange> {
        if self.n_late == 0 {
            return None;
        }
        let ranges = self
            .by_slot
            .values()
            .filter_map(|series| series.late_range());
        ranges.reduce(hull)
    }

    /// Returns the series that have histograms, in order.
    pub(super) fn slots(&self) -> Vec<u32> {
        let mut slots: Vec<u32> = self.by_slot.keys().copied().collect();
        slots.sort_unstable();
        slots
    }

    /// Returns the series with their histograms, in any order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &HistogramSeries)> {
        self.by_slot.iter().map(|(slot, series)| (*slot, &**series))
    }

    /// Drops what a call of `change` wants to drop of each series, and tells `emptied`
    /// which have nothing left.
    pub(super) fn drop_of_all(
        &mut self,
        change: impl Fn(&mut HistogramSeries),
        mut emptied: impl FnMut(u32),
    ) {
        for slot in self.slots() {
            self.change(slot, &change);
            if self.get(slot).is_none() {
                emptied(slot);
            }
        }
        let ranges = self.by_slot.values().flat_map(|series| {
            let ranges = [series.in_order_range(), series.late_range()];
            ranges.into_iter().flatten()
        });
        self.range = ranges.reduce(hull);
    }

    /// Takes the histograms of a series.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Arc<HistogramSeries>> {
        let series = self.by_slot.remove(&slot)?;
        self.bytes -= series.memory_bytes();
        self.n_runs -= series.n_runs();
        self.n_late -= series.n_late();
        Some(series)
    }

    /// Puts back a series of a snapshot.
    pub(super) fn restore(&mut self, slot: u32, restored: HistogramSeries) {
        let ranges = [restored.in_order_range(), restored.late_range()];
        for range in ranges.into_iter().flatten() {
            self.note(range.start_ms);
            self.note(range.end_ms);
        }
        self.change(slot, |series| *series = restored);
    }

    /// Counts the runs.
    pub(super) fn n_runs(&self) -> u64 {
        self.n_runs
    }

    /// Counts the late histograms.
    pub(super) fn n_late(&self) -> u64 {
        self.n_late
    }

    /// Returns the bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes + self.by_slot.capacity() * (size_of::<(u32, Arc<HistogramSeries>)>() + 1)
    }

    /// Returns all series, to be encoded while the shard goes on.
    pub(super) fn saved(&self) -> Vec<(u32, Arc<HistogramSeries>)> {
        let all = self.by_slot.iter();
        all.map(|(slot, series)| (*slot, Arc::clone(series)))
            .collect()
    }
}

/// Encodes series as sections of a snapshot.
///
/// ```text
/// section = n series varint | per series: slot varint, series
/// ```
pub(super) fn sections(mut saved: &[(u32, Arc<HistogramSeries>)]) -> Vec<Vec<u8>> {
    let mut sections = Vec::new();
    while !saved.is_empty() {
        let (mut body, mut n) = (Vec::new(), 0);
        while let Some(((slot, series), rest)) = saved.split_first()
            && body.len() < SECTION_BYTES
        {
            varint::write_u64(&mut body, u64::from(*slot));
            series.encode(&mut body);
            saved = rest;
            n += 1;
        }
        let mut section = Vec::with_capacity(varint::MAX_LEN + body.len());
        varint::write_u64(&mut section, n);
        section.extend_from_slice(&body);
        sections.push(section);
    }
    sections
}

/// Reads a section and hands its series to `each`.
pub(super) fn decode_section(
    mut bytes: &[u8],
    mut each: impl FnMut(u32, HistogramSeries),
) -> Result<(), Malformed> {
    let number = |bytes: &mut &[u8]| varint::read_u64(bytes).map_err(|_| Malformed);
    for _ in 0..number(&mut bytes)? {
        let slot = u32::try_from(number(&mut bytes)?).map_err(|_| Malformed)?;
        each(slot, HistogramSeries::decode(&mut bytes)?);
    }
    match bytes.is_empty() {
        true => Ok(()),
        false => Err(Malformed),
    }
}

fn hull(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange::new(
        one.start_ms.min(other.start_ms),
        one.end_ms.max(other.end_ms),
    )
}
