//! What few series have beside the floats that came in order: floats that came late,
//! deleted times, and histograms.
//!
//! Flags of a row tell that there is something; a series without pays nothing. All
//! follow the slot: they are dropped with the series. Deleted times hide what is in a
//! chunk, while late samples inside them go at once; those that come later are hidden
//! until the interval goes, and go with it.

use super::columns;
use super::histograms::{Point, TakenHistograms, forget_reset};
use super::late::{self, LateColumn, LateSample};
use super::sealed::{ChunkRef, SealedPages};
use super::shard::{
    Applied, Captured, DELETED, HISTOGRAMS, LATE, LIVE, SAMPLES, Shard, Wanted, Window,
};
use super::tombstones;
use crate::codec::open::{self, Malformed};
use crate::model::TimeRange;

/// No extra.
pub(super) const NO_EXTRA: u32 = u32::MAX;

/// What a reader copied of a shard.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Bytes of open chunks.
    pub(super) bytes: Vec<u8>,
    /// By number.
    pub(super) extras: Vec<Extra>,
}

impl Taken {
    /// Returns the bytes of memory held; what few series have beside their samples in
    /// order is left out.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.extras.capacity() * size_of::<Extra>()
    }
}

/// What one series has beside its floats in order.
#[derive(Debug, Default)]
pub(super) struct Extra {
    late: LateColumn,
    /// In order, apart from each other.
    deleted: Vec<TimeRange>,
    histograms: Option<TakenHistograms>,
}

impl Extra {
    /// Completes the samples that came in order in `range`.
    pub(super) fn apply(
        &self,
        range: TimeRange,
        scratch: &mut Vec<LateSample>,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), Malformed> {
        self.late.read(range, scratch)?;
        columns::merge(timestamps, values, scratch.iter().map(LateSample::parts));
        tombstones::hide(&self.deleted, timestamps, values);
        Ok(())
    }

    /// Replaces the content of both lists by the times of late floats and of late
    /// histograms in `range`, deleted ones included.
    pub(super) fn late_times(
        &self,
        range: TimeRange,
        floats: &mut Vec<i64>,
        histograms: &mut Vec<i64>,
    ) -> Result<(), Malformed> {
        let mut late = Vec::new();
        self.late.read(range, &mut late)?;
        floats.clear();
        floats.extend(late.iter().map(|sample| sample.parts().0));
        histograms.clear();
        if let Some(taken) = &self.histograms {
            histograms.extend(taken.late_times(range));
        }
        Ok(())
    }

    /// Tells whether there may be histograms.
    pub(super) fn has_histograms(&self) -> bool {
        self.histograms.is_some()
    }

    /// Appends the histograms in a window, in order of time, without deleted ones.
    pub(super) fn read_histograms(
        &self,
        window: Window,
        into: &mut Vec<Point>,
    ) -> Result<(), Malformed> {
        let Some(histograms) = &self.histograms else {
            return Ok(());
        };
        let begin = into.len();
        histograms.read(window.in_order, window.range, into)?;
        if !self.deleted.is_empty() {
            let (mut kept, mut is_behind_deleted) = (begin, false);
            for at in begin..into.len() {
                let is_deleted = tombstones::are_deleted(&self.deleted, into[at].t_ms);
                if !is_deleted {
                    if is_behind_deleted {
                        // A reset may have been among them.
                        forget_reset(&mut into[at]);
                    }
                    into.swap(kept, at);
                    kept += 1;
                }
                is_behind_deleted = is_deleted;
            }
            into.truncate(kept);
        }
        Ok(())
    }
}

impl Shard {
    /// Stores a late sample in an epoch.
    pub(super) fn apply_late(
        &mut self,
        slot: u32,
        born: u32,
        t_ms: i64,
        value: f64,
        epoch: u32,
    ) -> Applied {
        if !self.is_alive(slot, born) {
            return Applied::Lost;
        }
        let bits = value.to_bits();
        let open = self.rows[slot as usize].open;
        let is_newest = open.last_ms == t_ms && open.last_bits == bits;
        if open.flags & SAMPLES != 0 && is_newest {
            return Applied::Repeated;
        }
        if open.flags & HISTOGRAMS != 0 && self.has_histogram(slot, t_ms) {
            return Applied::Repeated;
        }
        self.rows[slot as usize].open.flags |= LATE;
        if self.late.insert(slot, t_ms, bits, epoch) {
            Applied::Stored
        } else {
            Applied::Repeated
        }
    }

    /// Adds late samples to the series in `slot`, if there is one.
    pub(super) fn add_late(&mut self, slot: u32, samples: &[LateSample]) {
        let Some(born) = self.rows.get(slot as usize).map(|row| row.born) else {
            return;
        };
        for sample in samples {
            let value = f64::from_bits(sample.bits);
            self.apply_late(slot, born, sample.t_ms, value, 0);
        }
    }

    /// As [`Shard::capture`], for a series with late samples or deleted times.
    #[cold]
    pub(super) fn capture_with_extra(
        &self,
        slot: u32,
        window: Window,
        wanted: Wanted,
        epoch: u32,
        pages: &SealedPages,
        taken: &mut Taken,
    ) -> Option<Captured> {
        let row = self.rows.get(slot as usize)?;
        let Window { range, in_order } = window;
        let intervals = self.tombstones.get(slot);
        let deleted = intervals.map_or(&[][..], |all| all.overlapping(range));
        let hidden = |range| intervals.is_some_and(|all| all.cover(range));
        let late = self.late.copy(slot, range, Some(epoch));
        let late = late.filter(|late| late.any_outside(hidden));
        let histograms = self.take_histograms(slot, in_order, range, Some(epoch), hidden);
        if late.is_none() && deleted.is_empty() && histograms.is_none() {
            let buffers = &self.buffers;
            return Shard::capture_in_order(buffers, row, in_order?, wanted, epoch, taken);
        }
        // The newest one may be deleted or a late one, so it takes all to tell.
        let (all, begin) = (Wanted::All, taken.bytes.len());
        let buffers = &self.buffers;
        let captured = in_order
            .and_then(|range| Shard::capture_in_order(buffers, row, range, all, epoch, taken));
        // As in Prometheus, a series whose chunks are deleted as a whole is not there,
        // and the open chunk never is deleted as a whole.
        let captured = captured.filter(|captured| {
            let range = in_order.unwrap_or(range);
            let seen = TimeRange::new(range.start_ms, range.end_ms.min(captured.seen_until_ms));
            captured.open_n > 0
                || deleted.is_empty()
                || pages.any_shown(captured.sealed, seen, hidden)
        });
        if captured.is_none() && late.is_none() && histograms.is_none() {
            return None;
        }
        let captured = captured.unwrap_or(Captured {
            born: row.born,
            sealed: ChunkRef::NONE,
            seen_until_ms: i64::MAX,
            open_at: begin,
            open_len: 0,
            open_n: 0,
            extra: NO_EXTRA,
        });
        let extra = taken.extras.len() as u32;
        taken.extras.push(Extra {
            late: late.unwrap_or_default(),
            deleted: deleted.to_vec(),
            histograms,
        });
        Some(Captured { extra, ..captured })
    }

    /// Returns the part of `range` in which the series in `slot` has samples, with the
    /// number of its creation.
    pub(super) fn deletable(&self, slot: u32, range: TimeRange) -> Option<(u32, TimeRange)> {
        let row = self.rows.get(slot as usize)?;
        let tokens = self.buffers.get(row.place);
        let open_ms = (row.open.n > 0).then(|| open::first_ms(tokens)).flatten();
        let first_ms = self.pages().oldest_ms(row.sealed).or(open_ms);
        let late = self.late.bounds(slot);
        let histograms = self.histograms.get(slot);
        let ranges = [
            late,
            histograms.and_then(|series| series.in_order_range()),
            histograms.and_then(|series| series.late_range()),
        ];
        let ranges = || ranges.into_iter().flatten();
        let first = ranges().map(|range| Some(range.start_ms)).chain([first_ms]);
        let last = ranges().map(|range| range.end_ms);
        let last = last.chain(self.newest_ms(slot));
        let first_ms = first.flatten().min()?;
        let last_ms = last.max()?;
        let range = TimeRange::new(range.start_ms.max(first_ms), range.end_ms.min(last_ms));
        (range.start_ms <= range.end_ms).then_some((row.born, range))
    }

    /// Hides the samples of a series in a range.
    pub(super) fn delete(&mut self, slot: u32, born: u32, range: TimeRange) {
        let row = self.rows.get_mut(slot as usize);
        let Some(row) = row.filter(|row| row.open.flags & LIVE != 0 && row.born == born) else {
            return;
        };
        row.open.flags |= DELETED;
        self.tombstones.add(slot, range);
        self.retain_late(slot, range, |_| false);
        self.retain_late_histograms(slot, range, |_| false);
    }

    /// Drops deleted times that end before `t_ms`, and late samples they still hide.
    pub(super) fn forget_tombstones_before(&mut self, t_ms: i64) {
        for (slot, range) in self.tombstones.take_before(t_ms) {
            self.retain_late(slot, range, |_| false);
            self.retain_late_histograms(slot, range, |_| false);
            if self.tombstones.get(slot).is_none() {
                self.rows[slot as usize].open.flags &= !DELETED;
            }
        }
    }

    /// Hands over the late samples in `range`, with slot and creation of their series.
    pub(super) fn take_late(&self, range: TimeRange, mut each: impl FnMut(u32, u32, Extra)) {
        let histograms = self.histograms.iter();
        let histograms = histograms.filter(|(_, series)| series.n_late() > 0);
        let mut slots: Vec<u32> = histograms.map(|(slot, _)| slot).collect();
        slots.extend(self.late.slots());
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let Some(row) = self.rows.get(slot as usize) else {
                continue;
            };
            let deleted = self.tombstones.get(slot);
            let deleted = deleted.map_or(&[][..], |all| all.overlapping(range));
            let late = self.late.copy(slot, range, None);
            let histograms = self.take_histograms(slot, None, range, None, |_| false);
            if late.is_some() || histograms.is_some() {
                let extra = Extra {
                    late: late.unwrap_or_default(),
                    deleted: deleted.to_vec(),
                    histograms,
                };
                each(slot, row.born, extra);
            }
        }
    }

    /// Drops the late samples of a series in `range` with the given times, in order; those
    /// of floats and those of histograms.
    pub(super) fn forget_late(
        &mut self,
        slot: u32,
        born: u32,
        range: TimeRange,
        (floats, histograms): (&[i64], &[i64]),
    ) {
        let row = self.rows.get(slot as usize);
        if row.is_some_and(|row| row.born == born) {
            self.retain_late(slot, range, |t_ms| floats.binary_search(&t_ms).is_err());
            self.retain_late_histograms(slot, range, |t_ms| {
                histograms.binary_search(&t_ms).is_err()
            });
        }
    }

    /// Returns the times of the oldest and the newest late sample.
    pub(super) fn late_times(&self) -> Option<TimeRange> {
        let both = [self.late.bounds_of_all(), self.histograms.late_range()];
        let both = both.into_iter().flatten();
        both.reduce(|one, other| {
            let start_ms = one.start_ms.min(other.start_ms);
            TimeRange::new(start_ms, one.end_ms.max(other.end_ms))
        })
    }

    /// Drops late samples before `t_ms`.
    pub(super) fn forget_late_before(&mut self, t_ms: i64) {
        self.forget_late_histograms_before(t_ms);
        let oldest = self.late.bounds_of_all();
        if oldest.is_none_or(|all| all.start_ms >= t_ms) {
            return;
        }
        let range = TimeRange::new(i64::MIN, t_ms.saturating_sub(1));
        for slot in self.late.slots() {
            self.retain_late(slot, range, |_| false);
        }
    }

    /// Drops the late samples of a series in `range` that `keep` does not want.
    pub(super) fn retain_late(
        &mut self,
        slot: u32,
        range: TimeRange,
        keep: impl FnMut(i64) -> bool,
    ) {
        self.late.retain(slot, range, keep);
        if !self.late.has(slot)
            && let Some(row) = self.rows.get_mut(slot as usize)
        {
            row.open.flags &= !LATE;
        }
    }

    /// Takes the late samples of a series and drops its deleted times.
    pub(super) fn forget_extras(&mut self, slot: u32) -> Vec<LateSample> {
        let Some(row) = self.rows.get_mut(slot as usize) else {
            return Vec::new();
        };
        if row.open.flags & (LATE | DELETED) == 0 {
            return Vec::new();
        }
        row.open.flags &= !(LATE | DELETED);
        let mut samples = self.late.remove(slot);
        if let Some(deleted) = self.tombstones.remove(slot) {
            let at = |t_ms| TimeRange::new(t_ms, t_ms);
            samples.retain(|sample| !deleted.cover(at(sample.t_ms)));
        }
        samples
    }

    /// Appends late samples and deleted times as the two sections of a snapshot.
    pub(super) fn encode_extras(&self, late: &mut Vec<u8>, deleted: &mut Vec<u8>) {
        self.late.encode(late);
        self.tombstones.encode(deleted);
    }

    /// Adds the late samples of a section to the series that exist. Of a damaged one it
    /// adds what stands before the damage.
    pub(super) fn restore_late(&mut self, section: &[u8]) -> Result<(), Malformed> {
        late::decode_section(section, |slot, samples| {
            self.add_late(slot, samples);
        })
    }

    /// Adds the deleted times of a section to the series that exist, as
    /// [`Shard::restore_late`], after which it is to be called.
    pub(super) fn restore_tombstones(&mut self, section: &[u8]) -> Result<(), Malformed> {
        tombstones::decode_section(section, |slot, range| {
            if let Some(row) = self.rows.get(slot as usize) {
                self.delete(slot, row.born, range);
            }
        })
    }
}
