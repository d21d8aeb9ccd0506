//! A shard and its native histograms.

use std::sync::Arc;

use super::super::appender::Bounds;
use super::super::histograms::{self, HistogramSeries, TakenHistograms};
use super::{Applied, Checked, HISTOGRAMS, LIVE, NEVER, SAMPLES, Shard};
use crate::codec::flat::Flat;
use crate::codec::open::Malformed;
use crate::error::AppendError;
use crate::model::{STALE_NAN_BITS, TimeRange};

impl Shard {
    /// Returns the time of the newest sample of a series that came in order, of either
    /// kind.
    pub(in crate::metrics) fn newest_ms(&self, slot: u32) -> Option<i64> {
        let row = self.rows.get(slot as usize)?;
        let float_ms = (row.open.flags & SAMPLES != 0).then_some(row.open.last_ms);
        if row.open.flags & HISTOGRAMS == 0 {
            return float_ms;
        }
        float_ms.max(self.histograms.get(slot).and_then(|s| s.newest_ms()))
    }

    /// As [`Shard::check`], of a histogram.
    pub(in crate::metrics) fn check_histogram(
        &mut self,
        slot: u32,
        born: u32,
        t_ms: i64,
        flat: &Flat,
        bounds: &Bounds,
    ) -> Result<Checked, AppendError> {
        let found = self.touch(slot).filter(|found| *found == born);
        let found = found.ok_or(AppendError::UnknownSeries)?;
        let newest_ms = self.newest_ms(slot);
        if t_ms < bounds.valid_from_ms || newest_ms.is_some_and(|newest_ms| t_ms < newest_ms) {
            return bounds.check_late(t_ms).map(|()| Checked::Late(found));
        }
        if newest_ms != Some(t_ms) {
            return Ok(Checked::InOrder(found));
        }
        match self.is_newest(slot, t_ms, flat) {
            true => Ok(Checked::Repeated),
            false => Err(AppendError::DuplicateHistogram),
        }
    }

    /// Tells whether the newest histogram of a series is this one.
    fn is_newest(&self, slot: u32, t_ms: i64, flat: &Flat) -> bool {
        let series = self.histograms.get(slot);
        series.is_some_and(|series| series.newest_ms() == Some(t_ms) && series.is_newest(flat))
    }

    /// Tells whether the newest sample of a series that came in order is a histogram, and
    /// returns its time.
    fn newest_histogram(&self, slot: u32) -> Option<(&HistogramSeries, i64)> {
        let row = self.rows.get(slot as usize)?;
        let series = self.histograms.get(slot)?;
        let t_ms = series.newest_ms()?;
        let is_newest = row.open.flags & SAMPLES == 0 || row.open.last_ms < t_ms;
        is_newest.then_some((&**series, t_ms))
    }

    /// Checks a float of a series that has histograms, where one of these is the newest
    /// sample.
    #[cold]
    pub(super) fn check_after_histogram(
        &self,
        slot: u32,
        born: u32,
        t_ms: i64,
        value: f64,
        bounds: &Bounds,
    ) -> Option<Result<Checked, AppendError>> {
        let (series, newest_ms) = self.newest_histogram(slot)?;
        let is_stale = value.to_bits() == STALE_NAN_BITS && series.is_stale();
        Some(match t_ms.cmp(&newest_ms) {
            std::cmp::Ordering::Less => bounds.check_late(t_ms).map(|()| Checked::Late(born)),
            std::cmp::Ordering::Equal if is_stale => Ok(Checked::Repeated),
            std::cmp::Ordering::Equal => {
                Err(AppendError::DuplicateAfterHistogram { t_ms, new: value })
            }
            std::cmp::Ordering::Greater => Ok(Checked::InOrder(born)),
        })
    }

    /// Does with a float what is to be done before it is stored in a series that has
    /// histograms; `Some` where it is not stored as a float.
    #[cold]
    pub(super) fn apply_beside_histograms(
        &mut self,
        slot: u32,
        t_ms: i64,
        value: f64,
        epoch: u32,
    ) -> Option<Applied> {
        let is_marker = value.to_bits() == STALE_NAN_BITS;
        if let Some((series, newest_ms)) = self.newest_histogram(slot) {
            match t_ms.cmp(&newest_ms) {
                std::cmp::Ordering::Less => return Some(Applied::OutOfOrder),
                std::cmp::Ordering::Equal if is_marker && series.is_stale() => {
                    return Some(Applied::Repeated);
                }
                std::cmp::Ordering::Equal => return Some(Applied::Duplicate),
                std::cmp::Ordering::Greater => {}
            }
            if is_marker {
                let marker = series.stale_marker();
                let born = self.rows[slot as usize].born;
                return Some(self.apply_histogram(slot, born, t_ms, marker, epoch));
            }
        }
        let row = &self.rows[slot as usize];
        let is_stored = row.open.flags & SAMPLES == 0 || t_ms > row.open.last_ms;
        if is_stored {
            self.begin_epoch(slot, epoch);
            self.histograms.change(slot, HistogramSeries::end_run);
        }
        None
    }

    /// Notes how far a series reached before its first sample of an epoch.
    fn begin_epoch(&mut self, slot: u32, epoch: u32) {
        if self.rows[slot as usize].epoch != epoch {
            let newest_ms = self.newest_ms(slot).unwrap_or(NEVER);
            let row = &mut self.rows[slot as usize];
            row.epoch = epoch;
            row.seen_ms = newest_ms;
        }
    }

    /// Tells whether a series with this creation is in `slot`.
    pub(in crate::metrics) fn is_alive(&self, slot: u32, born: u32) -> bool {
        let row = self.rows.get(slot as usize);
        row.is_some_and(|row| row.open.flags & LIVE != 0 && row.born == born)
    }

    /// Stores a histogram in an epoch.
    pub(in crate::metrics) fn apply_histogram(
        &mut self,
        slot: u32,
        born: u32,
        t_ms: i64,
        flat: Flat,
        epoch: u32,
    ) -> Applied {
        if !self.is_alive(slot, born) {
            return Applied::Lost;
        }
        match self.newest_ms(slot) {
            Some(newest_ms) if t_ms < newest_ms => return Applied::OutOfOrder,
            Some(newest_ms) if t_ms == newest_ms => {
                return match self.is_newest(slot, t_ms, &flat) {
                    true => Applied::Repeated,
                    false => Applied::Duplicate,
                };
            }
            _ => {}
        }
        self.push_histogram(slot, t_ms, flat, epoch);
        Applied::Stored
    }

    fn push_histogram(&mut self, slot: u32, t_ms: i64, flat: Flat, epoch: u32) {
        self.begin_epoch(slot, epoch);
        let before = self.histograms.n_runs();
        self.histograms
            .change(slot, |series| series.push(t_ms, flat));
        let n_new = self.histograms.n_runs() - before;
        self.counts.chunks_created += n_new;
        if n_new > 0 {
            self.note_oldest(Some(t_ms));
        }
        self.histograms.note(t_ms);
        self.rows[slot as usize].open.flags |= HISTOGRAMS;
    }

    /// Tells whether a series has a histogram of this time. What a run still has of times
    /// that left the head does not count: nobody sees it.
    pub(in crate::metrics) fn has_histogram(&self, slot: u32, t_ms: i64) -> bool {
        let is_seen = t_ms >= self.kept_from_ms();
        let series = self.histograms.get(slot);
        series.is_some_and(|series| series.has_late(t_ms) || (is_seen && series.has_in_order(t_ms)))
    }

    /// Stores a late histogram in an epoch.
    pub(in crate::metrics) fn apply_late_histogram(
        &mut self,
        slot: u32,
        born: u32,
        t_ms: i64,
        flat: Flat,
        epoch: u32,
    ) -> Applied {
        if !self.is_alive(slot, born) {
            return Applied::Lost;
        }
        if self.has_histogram(slot, t_ms) {
            return Applied::Repeated;
        }
        let add = |series: &mut HistogramSeries| series.push_late(t_ms, flat, epoch);
        match self.histograms.change(slot, add) {
            true => {
                self.histograms.note(t_ms);
                self.rows[slot as usize].open.flags |= HISTOGRAMS;
                Applied::Stored
            }
            false => Applied::Repeated,
        }
    }

    /// Stores a histogram of the log. One that is not newer than the others came before
    /// them, or is theirs: in which order samples of both kinds were stored the log does
    /// not tell, and what a snapshot has may be newer than what follows in the log.
    pub(in crate::metrics) fn replay_histogram(
        &mut self,
        slot: u32,
        t_ms: i64,
        flat: Flat,
        epoch: u32,
    ) {
        if !self.is_alive(slot, 0) {
            return;
        }
        let newest_ms = self.histograms.get(slot).and_then(|s| s.newest_ms());
        if newest_ms.is_none_or(|newest_ms| newest_ms < t_ms) {
            self.push_histogram(slot, t_ms, flat, epoch);
        } else {
            self.apply_late_histogram(slot, 0, t_ms, flat, 0);
        }
    }

    /// Stores a float of the log; see [`Shard::replay_histogram`].
    pub(in crate::metrics) fn replay(
        &mut self,
        slot: u32,
        t_ms: i64,
        value: f64,
        epoch: u32,
    ) -> Applied {
        let row = self.rows.get(slot as usize);
        if row.is_none_or(|row| row.open.flags & HISTOGRAMS == 0) {
            return self.apply(slot, 0, t_ms, value, epoch);
        }
        match self.newest_histogram(slot) {
            Some((series, newest_ms)) if t_ms <= newest_ms => {
                if series.has_in_order(t_ms) {
                    return Applied::Repeated;
                }
                self.begin_epoch(slot, epoch);
                self.apply_float(slot, t_ms, value, epoch)
            }
            _ => self.apply(slot, 0, t_ms, value, epoch),
        }
    }

    /// Takes the histograms of a series for a reader, where it has any in the window that
    /// are not hidden.
    pub(in crate::metrics) fn take_histograms(
        &self,
        slot: u32,
        in_order: Option<TimeRange>,
        range: TimeRange,
        epoch: Option<u32>,
        hidden: impl Fn(TimeRange) -> bool,
    ) -> Option<TakenHistograms> {
        let row = self.rows.get(slot as usize)?;
        let series = self.histograms.get(slot)?;
        let seen_until_ms = match epoch == Some(row.epoch) {
            true => row.seen_ms,
            false => i64::MAX,
        };
        let taken = TakenHistograms::new(series, seen_until_ms, epoch);
        taken.any_in(in_order, range, hidden).then_some(taken)
    }

    /// Drops histograms that came in order, as far as whole runs of them end before `t_ms`.
    pub(super) fn forget_histograms_before(&mut self, t_ms: i64) {
        self.drop_histograms_before(t_ms, |series| series.forget_before(t_ms));
    }

    /// Drops late histograms before `t_ms`.
    pub(in crate::metrics) fn forget_late_histograms_before(&mut self, t_ms: i64) {
        let old = TimeRange::new(i64::MIN, t_ms.saturating_sub(1));
        if self.histograms.n_late() > 0 {
            self.drop_histograms_before(t_ms, |series| series.retain_late(old, |_| false));
        }
    }

    fn drop_histograms_before(&mut self, t_ms: i64, drop: impl Fn(&mut HistogramSeries)) {
        let oldest_ms = self.histograms.range().map(|all| all.start_ms);
        if oldest_ms.is_none_or(|oldest_ms| oldest_ms >= t_ms) {
            return;
        }
        let before = self.histograms.n_runs();
        let rows = &mut self.rows;
        self.histograms
            .drop_of_all(drop, |slot| rows[slot as usize].open.flags &= !HISTOGRAMS);
        self.counts.chunks_removed += before - self.histograms.n_runs();
    }

    /// Drops late histograms of a series in `range` that `keep` does not want.
    pub(in crate::metrics) fn retain_late_histograms(
        &mut self,
        slot: u32,
        range: TimeRange,
        keep: impl FnMut(i64) -> bool,
    ) {
        if self.histograms.get(slot).is_none() {
            return;
        }
        self.histograms
            .change(slot, |series| series.retain_late(range, keep));
        self.note_emptied(slot);
    }

    fn note_emptied(&mut self, slot: u32) {
        if self.histograms.get(slot).is_none()
            && let Some(row) = self.rows.get_mut(slot as usize)
        {
            row.open.flags &= !HISTOGRAMS;
        }
    }

    /// Drops the histograms of a series and returns the late ones.
    pub(in crate::metrics) fn forget_histograms(&mut self, slot: u32) -> Vec<(i64, Arc<Flat>)> {
        let Some(mut series) = self.histograms.remove(slot) else {
            return Vec::new();
        };
        self.counts.chunks_removed += series.n_runs();
        self.note_emptied(slot);
        Arc::make_mut(&mut series).take_late()
    }

    /// Adds late histograms to the series in `slot`, if there is one.
    pub(in crate::metrics) fn add_late_histograms(
        &mut self,
        slot: u32,
        late: Vec<(i64, Arc<Flat>)>,
    ) {
        let Some(born) = self.rows.get(slot as usize).map(|row| row.born) else {
            return;
        };
        for (t_ms, flat) in late {
            self.apply_late_histogram(slot, born, t_ms, Arc::unwrap_or_clone(flat), 0);
        }
    }

    /// Adds the histograms of a section of a snapshot to the series that exist. Of a
    /// damaged one it adds what stands before the damage.
    pub(super) fn restore_histograms(&mut self, section: &[u8]) -> Result<(), Malformed> {
        histograms::decode_section(section, |slot, series| {
            let row = self.rows.get_mut(slot as usize);
            if let Some(row) = row.filter(|row| row.open.flags & LIVE != 0)
                && !series.is_empty()
            {
                row.open.flags |= HISTOGRAMS;
                self.counts.chunks_created += series.n_runs();
                let oldest_ms = series.in_order_range().map(|range| range.start_ms);
                self.histograms.restore(slot, series);
                self.note_oldest(oldest_ms);
            }
        })
    }

    /// Counts the series whose newest sample is a stale marker.
    pub(in crate::metrics) fn n_stale(&self) -> u64 {
        let mut n_stale = self.counts.stale as i64;
        for (slot, series) in self.histograms.iter() {
            let row = self.rows.get(slot as usize);
            let Some(open) = row.map(|row| row.open) else {
                continue;
            };
            let float_ms = (open.flags & SAMPLES != 0).then_some(open.last_ms);
            if series.newest_ms() > float_ms {
                n_stale += i64::from(series.is_stale());
                n_stale -= i64::from(float_ms.is_some() && open.last_bits == STALE_NAN_BITS);
            }
        }
        u64::try_from(n_stale).unwrap_or(0)
    }
}
