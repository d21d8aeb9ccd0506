//! Reads the histograms of a series: from its chunk entries to times and runs.

use std::ops::Range;
use std::sync::Arc;

use super::BlockError;
use super::entry::Entries;
use super::samples::{Failure, ReadScratch, SeriesChunks};
use super::tombstones::covers;
use crate::codec::CodecError;
use crate::codec::histogram;
use crate::model::TimeRange;
use crate::model::histogram::{CounterResetHint, Histogram, HistogramPoint, HistogramSample};

impl SeriesChunks<'_> {
    /// Appends the histograms in the range that are not deleted, as queries take them.
    pub(super) fn read_histograms(
        &self,
        range: TimeRange,
        deleted: &[TimeRange],
        scratch: &mut ReadScratch,
        out: &mut Vec<HistogramSample>,
    ) -> Result<(), BlockError> {
        self.runs(range, scratch, |values, kept, times, scratch| {
            let mut shown = Shown::new(times, deleted);
            values.float_histograms(kept, scratch, |mut histogram| {
                if let Some((t_ms, is_next)) = shown.next() {
                    if !is_next {
                        forget_reset(&mut histogram.counter_reset_hint);
                    }
                    out.push(HistogramSample {
                        t_ms,
                        start_ms: 0,
                        histogram: Arc::new(histogram),
                    });
                }
            })
        })
    }

    /// Appends the histograms in the range that are not deleted, with the counts that
    /// they came with.
    pub(super) fn read_points(
        &self,
        range: TimeRange,
        deleted: &[TimeRange],
        scratch: &mut ReadScratch,
        out: &mut Vec<HistogramPoint>,
    ) -> Result<(), BlockError> {
        self.runs(range, scratch, |values, kept, times, scratch| {
            let mut shown = Shown::new(times, deleted);
            values.histograms(kept, scratch, |mut histogram| {
                if let Some((t_ms, is_next)) = shown.next() {
                    if !is_next {
                        match &mut histogram {
                            Histogram::Integer(h) => forget_reset(&mut h.counter_reset_hint),
                            Histogram::Float(h) => forget_reset(&mut h.counter_reset_hint),
                        }
                    }
                    out.push(HistogramPoint { t_ms, histogram });
                }
            })
        })
    }

    /// Hands out the runs that have histograms in the range: which of the run these are,
    /// and their times.
    fn runs(
        &self,
        range: TimeRange,
        scratch: &mut ReadScratch,
        mut each: impl FnMut(
            &histogram::Values<'_>,
            Range<usize>,
            &[i64],
            &mut histogram::Scratch,
        ) -> Result<(), CodecError>,
    ) -> Result<(), BlockError> {
        let mut entries = Entries::new(self.index.file.get(self.at.clone())?);
        let mut times = Vec::new();
        let mut last = None;
        let mut next = || -> Result<bool, Failure> {
            let Some((entry, data_at)) = entries.next()? else {
                return Ok(false);
            };
            if !entry.is_histograms {
                return Ok(true);
            }
            times.clear();
            let (n, kept) = self.times(&entry, data_at, range, scratch, &mut times)?;
            let (Some(&first), false) = (times.first(), kept.is_empty()) else {
                return Ok(true);
            };
            if last.is_some_and(|last| first <= last) {
                return Err(CodecError::Invalid("order of the chunks of a series").into());
            }
            last = times.last().copied();
            let values = histogram::Values::read(self.bytes(&entry, data_at)?, n)?;
            each(&values, kept, &times, &mut scratch.runs)?;
            Ok(true)
        };
        while next().map_err(|failure| self.fail(failure))? {}
        Ok(())
    }
}

/// Walks the times of a run past those that are deleted.
struct Shown<'a> {
    times: std::slice::Iter<'a, i64>,
    deleted: &'a [TimeRange],
    is_behind_deleted: bool,
}

impl<'a> Shown<'a> {
    fn new(times: &'a [i64], deleted: &'a [TimeRange]) -> Shown<'a> {
        Shown {
            times: times.iter(),
            deleted,
            is_behind_deleted: false,
        }
    }

    /// Goes to the next time; returns it and whether the one before was shown, too, or
    /// `None` where it is deleted.
    fn next(&mut self) -> Option<(i64, bool)> {
        let &t_ms = self.times.next()?;
        let is_deleted = covers(self.deleted, t_ms);
        let is_behind_deleted = std::mem::replace(&mut self.is_behind_deleted, is_deleted);
        (!is_deleted).then_some((t_ms, !is_behind_deleted))
    }
}

/// Forgets that there was no reset: it may have been among what is deleted.
fn forget_reset(hint: &mut CounterResetHint) {
    if *hint != CounterResetHint::Gauge {
        *hint = CounterResetHint::Unknown;
    }
}
