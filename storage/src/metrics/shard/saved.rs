//! A shard and the disk: its rows for a snapshot and back, and chunks that are finished
//! or given up for its sake.

use super::super::buffers::Place;
use super::super::sealed::ChunkRef;
use super::super::snapshot_format::{Section, kind};
use super::{EMPTY, HISTOGRAMS, LATE, LIVE, NEVER, SAMPLES, SeriesRow, Shard};
use crate::codec::open::{self, OpenChunk};
use crate::model::STALE_NAN_BITS;
use crate::wal::format::MAX_SERIES;

/// A series as a snapshot has it.
#[derive(Debug, Clone, Copy)]
pub(in crate::metrics) struct SavedRow<'a> {
    pub(in crate::metrics) slot: u32,
    pub(in crate::metrics) born: u32,
    pub(in crate::metrics) sealed: ChunkRef,
    pub(in crate::metrics) open: OpenChunk,
    /// The bytes of the open chunk.
    pub(in crate::metrics) tokens: &'a [u8],
}

impl SavedRow<'_> {
    /// Tells whether the series has a sample, in order or late, or a histogram.
    pub(in crate::metrics) fn has_samples(&self) -> bool {
        self.open.flags & (SAMPLES | LATE | HISTOGRAMS) != 0
    }
}

impl Shard {
    /// Returns one more than the highest slot that was ever in use.
    pub(in crate::metrics) fn end_slot(&self) -> u32 {
        self.rows.len() as u32
    }

    /// Returns the series in `slot` for a snapshot.
    #[inline]
    pub(in crate::metrics) fn saved(&self, slot: u32) -> Option<SavedRow<'_>> {
        let row = self.rows.get(slot as usize)?;
        (row.open.flags & LIVE != 0).then(|| SavedRow {
            slot,
            born: row.born,
            sealed: row.sealed,
            open: row.open,
            tokens: &self.buffers.get(row.place)[..usize::from(row.open.len_bytes)],
        })
    }

    /// Makes room for rows to come.
    pub(in crate::metrics) fn reserve(&mut self, n_rows: usize) {
        self.rows.reserve_exact(n_rows);
    }

    /// Puts back a series of a snapshot, under creation number 0. `false` when the
    /// slot is taken or there is no room.
    pub(in crate::metrics) fn restore(&mut self, saved: &SavedRow<'_>) -> bool {
        let (slot, mut open) = (saved.slot as usize, saved.open);
        let is_free =
            saved.slot < MAX_SERIES && self.rows.get(slot).is_none_or(|row| row.open.flags == 0);
        let has_samples = open.flags & SAMPLES != 0;
        let is_whole = open.flags & LIVE != 0 && (open.n == 0 || has_samples);
        if !is_free || !is_whole {
            return false;
        }
        open.flags &= LIVE | SAMPLES;
        let mut place = Place::NONE;
        if open.n > 0 {
            let Some(found) = self.buffers.append(Place::NONE, 0, saved.tokens) else {
                return false;
            };
            place = found;
            self.counts.open_chunks += 1;
            self.counts.open_bytes += u64::from(open.len_bytes);
            self.counts.chunks_created += 1;
            self.note_oldest(open::first_ms(saved.tokens));
        }
        if has_samples && open.last_bits == STALE_NAN_BITS {
            self.counts.stale += 1;
        }
        if self.rows.len() <= slot {
            self.rows.resize(slot + 1, EMPTY);
        }
        self.rows[slot] = SeriesRow {
            open,
            place,
            sealed: saved.sealed,
            ..EMPTY
        };
        true
    }

    /// Returns what else of the shard a snapshot must hold, but for the histograms.
    pub(in crate::metrics) fn sections(&self) -> Vec<Section> {
        let (mut late, mut deleted) = (Vec::new(), Vec::new());
        self.encode_extras(&mut late, &mut deleted);
        vec![(kind::LATE, late), (kind::TOMBSTONES, deleted)]
    }

    /// Puts back one of the [`Shard::sections`], in their order, or histograms before them,
    /// when all rows are there; `false` for one that is not known or not sound.
    pub(in crate::metrics) fn restore_section(&mut self, section: u8, bytes: &[u8]) -> bool {
        let restored = match section {
            kind::LATE => self.restore_late(bytes),
            kind::TOMBSTONES => self.restore_tombstones(bytes),
            kind::HISTOGRAMS => self.restore_histograms(bytes),
            _ => return false,
        };
        restored.is_ok()
    }

    /// Ends a restoration: all rows and pages are there.
    pub(in crate::metrics) fn finish_restore(&mut self, kept_from_ms: i64) {
        self.kept_from_ms = Some(kept_from_ms);
        self.forget_lost_pages();
        self.counts.chunks_created += self.sealed.n_chunks();
        self.note_oldest(self.sealed.min_time_ms());
    }

    pub(super) fn note_oldest(&mut self, t_ms: Option<i64>) {
        if let Some(t_ms) = t_ms {
            self.oldest_ms = Some(self.oldest_ms.map_or(t_ms, |oldest_ms| oldest_ms.min(t_ms)));
        }
    }

    /// Cuts the lists that begin in a page that is gone.
    fn forget_lost_pages(&mut self) {
        for row in &mut self.rows {
            if row.sealed != ChunkRef::NONE && !self.sealed.holds(row.sealed) {
                row.sealed = ChunkRef::NONE;
            }
        }
    }

    /// Drops a page that cannot be read: lists end before it.
    pub(in crate::metrics) fn drop_damaged(&mut self, number: usize, serial: u32) {
        self.counts.chunks_removed += self.sealed.drop_damaged(number, serial);
        self.forget_lost_pages();
    }

    /// Returns the time before which samples are gone; [`NEVER`] where none are. Those of
    /// chunks that reach beyond it are still in memory, and what was deleted of them is not
    /// known any more.
    pub(in crate::metrics) fn kept_from_ms(&self) -> i64 {
        self.kept_from_ms.unwrap_or(NEVER)
    }

    /// Seals the open chunks of series that ended before `before_ms` with a stale
    /// marker, looking at the rows from `slot` on. Stops after `n_rows` rows or after
    /// `n_seals` chunks and returns where, `None` at the end.
    pub(in crate::metrics) fn retire_ended(
        &mut self,
        slot: u32,
        before_ms: i64,
        n_rows: usize,
        mut n_seals: usize,
    ) -> Option<u32> {
        let end = self.rows.len().min(slot as usize + n_rows);
        for at in slot as usize..end {
            if n_seals == 0 {
                return Some(at as u32);
            }
            let open = &self.rows[at].open;
            let ended = open.n > 0 && open.last_bits == STALE_NAN_BITS && open.last_ms < before_ms;
            if ended {
                self.seal(at as u32);
                n_seals -= 1;
            }
        }
        (end < self.rows.len()).then_some(end as u32)
    }
}
