//! Writing: a request becomes frames, one commit of the log, and rows of the table.
//!
//! Frames are made before any lock is taken. Under the lock of the state it is found out
//! which streams are new and which entries are left out, the frames are written, and their
//! bytes are copied into the table. Only where entries are left out frames are made again.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::deletion;
use super::store::{LogStore, State, labels_of};
use super::table::Block;
use crate::error::StorageError;
use crate::model::{Metadata, StreamBatch};
use crate::options::SyncPolicy;
use crate::wal::{EntriesFrame, EntryRow};

/// Buffers of ended pushes that are kept for the next ones.
const KEPT_SCRATCHES: usize = 8;
/// Frames of one push that are kept with their memory.
const KEPT_FRAMES: usize = 4;
/// Longest line, and most metadata of one entry, in bytes: a frame of the log takes no
/// more.
const MAX_ENTRY_BYTES: usize = 15 << 20;
/// Most names of metadata of one entry: a row group of a part takes not many more.
const MAX_NAMES: usize = 512;

/// What a push did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pushed {
    /// Entries that are stored now.
    pub entries: u64,
    /// Bytes of their lines and metadata.
    pub bytes: u64,
    /// Entries that were left out because an equal one is there.
    pub duplicates: u64,
    /// Entries that were refused, in order; the others are stored.
    pub rejected: Vec<Rejected>,
}

/// An entry that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// Index of the batch in the push.
    pub batch: usize,
    /// Index of the entry in the batch.
    pub entry: usize,
    /// Why.
    pub reason: Rejection,
}

/// Why an entry is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// It is further behind the newest entry of its stream than the options allow.
    TooFarBehind {
        /// The oldest time that is accepted, in nanoseconds.
        oldest_ns: i64,
    },
    /// Its stream would be one more than the options allow.
    StreamLimit {
        /// The limit.
        limit: usize,
    },
    /// Its line or its metadata is longer than the log takes.
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// It has more names of metadata than a part takes.
    TooManyNames {
        /// The limit.
        limit: usize,
    },
}

/// A push failed, and nothing of it is stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The store could not write it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Buffers of a push.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    frames: Vec<EntriesFrame>,
    used: usize,
    /// Ids by batch.
    ids: Vec<Option<u32>>,
    /// Entries that are left out: batch and index.
    left_out: Vec<(u32, u32)>,
}

impl Scratch {
    /// Puts the entries of the batches into frames, but for those left out.
    fn encode(&mut self, batches: &[StreamBatch<'_>]) {
        for frame in &mut self.frames[..self.used] {
            frame.clear();
        }
        self.used = 0;
        let mut left_out = self.left_out.iter().peekable();
        for (batch, of) in batches.iter().enumerate() {
            for (at, entry) in of.entries.iter().enumerate() {
                let place = (batch as u32, at as u32);
                if left_out.next_if_eq(&&place).is_some() {
                    continue;
                }
                if self.used == 0 || self.frames[self.used - 1].is_full() {
                    if self.used == self.frames.len() {
                        self.frames.push(EntriesFrame::default());
                    }
                    self.used += 1;
                }
                let frame = &mut self.frames[self.used - 1];
                let metadata = in_order(&entry.metadata);
                let metadata = metadata.iter();
                let metadata = metadata.map(|(name, value)| (name.as_ref(), value.as_ref()));
                frame.push(batch as u32, entry.t_ns, &entry.line, metadata);
            }
        }
    }

    fn frames(&self) -> &[EntriesFrame] {
        &self.frames[..self.used]
    }

    fn id(&self, batch: u32) -> Option<u32> {
        self.ids.get(batch as usize).copied().flatten()
    }

    fn give_back(&mut self) {
        for frame in &mut self.frames {
            frame.clear();
        }
        self.frames.truncate(KEPT_FRAMES);
        self.used = 0;
        self.left_out = Vec::new();
        self.ids.clear();
    }
}

impl LogStore {
    /// Stores entries: all of them are in the log, and visible, when it returns, or none.
    /// An entry that is equal to one of its stream that is still in memory, in time, line
    /// and metadata, is left out; entries whose reasons are in [`Pushed::rejected`], too.
    /// Times may be in any order.
    ///
    /// # Errors
    /// The disk refused ([`StorageError::DiskFull`] where it is full), or the push is
    /// larger than a commit of the log. Nothing of it is stored.
    pub fn push(&self, batches: &[StreamBatch<'_>]) -> Result<Pushed, PushError> {
        let mut scratch = self.scratches.lock().pop().unwrap_or_default();
        let outcome = self.push_with(batches, &mut scratch);
        scratch.give_back();
        let mut scratches = self.scratches.lock();
        if scratches.len() < KEPT_SCRATCHES {
            scratches.push(scratch);
        }
        drop(scratches);
        Ok(outcome?)
    }

    fn push_with(
        &self,
        batches: &[StreamBatch<'_>],
        scratch: &mut Scratch,
    ) -> Result<Pushed, StorageError> {
        self.check_poison()?;
        let mut pushed = Pushed::default();
        reject_long(batches, &mut pushed);
        let places = pushed.rejected.iter();
        scratch.left_out = places.map(|r| (r.batch as u32, r.entry as u32)).collect();
        scratch.encode(batches);
        let mut state = self.state_with_room()?;
        self.choose(&mut state, batches, scratch, &mut pushed);
        if scratch.frames().is_empty() {
            return Ok(pushed);
        }
        self.write(&mut state, batches, scratch)?;
        self.apply(&mut state, scratch, &mut pushed);
        drop(state);
        let counters = &self.counters;
        counters
            .entries
            .fetch_add(pushed.entries, Ordering::Relaxed);
        counters.bytes.fetch_add(pushed.bytes, Ordering::Relaxed);
        if self.options.wal_sync == SyncPolicy::Always {
            self.sync()?;
        }
        Ok(pushed)
    }

    /// Locks the state when there is room in memory. Where nobody flushes in time whoever
    /// pushes does, so that pushes come no faster than parts are written.
    fn state_with_room(&self) -> Result<MutexGuard<'_, State>, StorageError> {
        let limit = self.options.flush_bytes.saturating_mul(2);
        loop {
            let state = self.state.lock();
            if state.table_bytes() < limit {
                return Ok(state);
            }
            drop(state);
            let _alone = self.flushing.lock();
            if self.state.lock().table_bytes() >= limit {
                self.flush_alone(&mut || ControlFlow::Continue(()))?;
            }
        }
    }

    /// Gives the batches ids and finds the entries that are left out; where there are any,
    /// the frames are made again.
    fn choose(
        &self,
        state: &mut State,
        batches: &[StreamBatch<'_>],
        scratch: &mut Scratch,
        pushed: &mut Pushed,
    ) {
        scratch.ids.clear();
        for batch in batches {
            let id = match batch.entries.is_empty() {
                true => None,
                false => self.stream(&mut state.search, &batch.labels),
            };
            scratch.ids.push(id);
        }
        let known = pushed.rejected.len();
        let mut left_out = Vec::new();
        let mut place: (u32, u32) = (0, 0);
        let mut skipped = scratch.left_out.iter().peekable();
        for frame in scratch.frames() {
            for row in frame.rows() {
                if place.0 != row.stream {
                    place = (row.stream, 0);
                }
                while skipped.next_if_eq(&&place).is_some() {
                    place.1 += 1;
                }
                let at = place;
                place.1 += 1;
                let mut reject = |reason| {
                    left_out.push(at);
                    pushed.rejected.push(Rejected {
                        batch: at.0 as usize,
                        entry: at.1 as usize,
                        reason,
                    });
                };
                let Some(id) = scratch.id(row.stream) else {
                    let limit = self.options.max_streams;
                    reject(Rejection::StreamLimit { limit });
                    continue;
                };
                let newest_ns = state.note(id).newest_ns;
                if row.t_ns > newest_ns {
                    if self.options.behind_limit_ns > 0 {
                        state.note(id).newest_ns = row.t_ns;
                    }
                    continue;
                }
                let oldest_ns = newest_ns.saturating_sub(self.options.behind_limit_ns);
                if self.options.behind_limit_ns > 0 && row.t_ns < oldest_ns {
                    reject(Rejection::TooFarBehind { oldest_ns });
                    continue;
                }
                let content = row.content(frame.payload());
                if self.has(state, id, row.t_ns, content) {
                    left_out.push(at);
                    pushed.duplicates += 1;
                }
            }
        }
        let refused = (pushed.rejected.len() - known) as u64;
        self.counters.rejected.fetch_add(refused, Ordering::Relaxed);
        if !left_out.is_empty() {
            scratch.left_out.extend(left_out);
            scratch.left_out.sort_unstable();
            pushed.rejected.sort_unstable_by_key(|r| (r.batch, r.entry));
            scratch.encode(batches);
        }
    }

    /// Tells whether an equal entry is in memory, and visible.
    fn has(&self, state: &State, id: u32, t_ns: i64, content: &[u8]) -> bool {
        let flushing = state.flushing.iter().map(|flushing| &*flushing.table);
        let mut tables = flushing.chain([&state.table]);
        tables.any(|table| {
            let found = table.find(id, t_ns, content);
            found.is_some_and(|(block, row)| !self.is_hidden(state, block, row))
        })
    }

    fn is_hidden(&self, state: &State, block: &Block, row: EntryRow) -> bool {
        deletion::is_hidden(&state.deletions, block, row, |id| {
            labels_of(&self.index.read(), id)
        })
    }

    /// Writes the frames with one commit.
    fn write(
        &self,
        state: &mut State,
        batches: &[StreamBatch<'_>],
        scratch: &Scratch,
    ) -> Result<(), StorageError> {
        state.roll_if_full(self.options.wal_segment_bytes);
        let era = state.era;
        let mut last = None;
        for row in scratch.frames().iter().flat_map(|frame| frame.rows()) {
            if last == Some(row.stream) {
                continue;
            }
            last = Some(row.stream);
            let Some(id) = scratch.id(row.stream) else {
                continue;
            };
            if std::mem::replace(&mut state.note(id).defined_in, era) != era {
                let labels = &batches[row.stream as usize].labels;
                state.wal.series(id, labels.iter());
            }
        }
        for frame in scratch.frames() {
            state
                .wal
                .entries(frame, |batch| scratch.id(batch).unwrap_or(u32::MAX));
        }
        let written = state.wal.commit();
        written.map_err(|error| {
            // The definitions are lost with the commit.
            state.era += 1;
            self.counters.wal_failures.fetch_add(1, Ordering::Relaxed);
            self.log_failed(error)
        })
    }

    /// Puts what was written into the table.
    fn apply(&self, state: &mut State, scratch: &Scratch, pushed: &mut Pushed) {
        for frame in scratch.frames() {
            let (rows, payload) = (frame.rows(), frame.payload());
            let deletions = Arc::clone(&state.deletions);
            let is_hidden = |block: &Block, row| {
                deletion::is_hidden(&deletions, block, row, |id| {
                    labels_of(&self.index.read(), id)
                })
            };
            let id = |batch| scratch.id(batch);
            let appended = state.table.append(rows, payload, id, is_hidden);
            pushed.entries += appended.entries;
            pushed.bytes += appended.bytes;
            pushed.duplicates += appended.duplicates;
            for row in rows {
                if let Some(id) = scratch.id(row.stream) {
                    let note = state.note(id);
                    note.newest_ns = note.newest_ns.max(row.t_ns);
                }
            }
        }
        let duplicates = &self.counters.duplicates;
        duplicates.fetch_add(pushed.duplicates, Ordering::Relaxed);
    }
}

/// Returns metadata in order of the names, no name twice: of several the first one.
fn in_order<'m, 'a>(metadata: &'m Metadata<'a>) -> Cow<'m, [(Cow<'a, str>, Cow<'a, str>)]> {
    if metadata.is_sorted_by(|one, next| one.0 < next.0) {
        return Cow::Borrowed(metadata);
    }
    let mut sorted = metadata.to_vec();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    sorted.dedup_by(|next, kept| next.0 == kept.0);
    Cow::Owned(sorted)
}

/// Finds the entries that no frame, or no part, could hold.
fn reject_long(batches: &[StreamBatch<'_>], pushed: &mut Pushed) {
    let limit = MAX_ENTRY_BYTES;
    for (batch, of) in batches.iter().enumerate() {
        for (at, entry) in of.entries.iter().enumerate() {
            let metadata = entry.metadata.iter();
            let len: usize = metadata.map(|(n, v)| n.len() + v.len() + 20).sum();
            let reason = if entry.line.len().saturating_add(len) > limit {
                Rejection::TooLong { limit }
            } else if entry.metadata.len() > MAX_NAMES {
                Rejection::TooManyNames { limit: MAX_NAMES }
            } else {
                continue;
            };
            pushed.rejected.push(Rejected {
                batch,
                entry: at,
                reason,
            });
        }
    }
}
