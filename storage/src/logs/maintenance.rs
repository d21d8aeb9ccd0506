//! What is to be done now and then, and deletions.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use roaring::RoaringBitmap;

use super::deletion::{Cancelled, DeleteProgress, DeleteRequest, DeleteStatus, Deletion, Finds};
use super::manifest::DeletionEntry;
use super::parts;
use super::retention::LogRetention;
use super::store::{LogStore, Snapshot, StreamNote};
use crate::error::StorageError;
use crate::metrics::{Damage, Pace};

/// Processed deletions that are remembered.
const KEPT_DELETIONS: usize = 1000;

/// Row groups, the newest ones, of which readers may remember what they are.
const KEPT_GROUPS: usize = 256;

/// What a call of [`LogStore::maintain`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Maintained {
    /// Entries that went from memory to parts.
    pub flushed: u64,
    /// Merges of parts.
    pub merged: u64,
    /// Parts written anew because of deletions or retention.
    pub cleaned: u64,
    /// Parts dropped because of their age.
    pub dropped_by_time: u64,
    /// Parts dropped for want of allowed space.
    pub dropped_by_size: u64,
}

impl LogStore {
    /// Does what is due: drops parts out of retention, writes a full table to parts,
    /// applies deletions, merges parts, and forgets streams without entries. Meant to be
    /// called every few seconds; `pace` is called every few milliseconds of work and may
    /// wait.
    ///
    /// # Errors
    /// The disk refused ([`StorageError::DiskFull`] where it is full), a part is damaged,
    /// or `pace` broke off ([`StorageError::Stopped`]). What was finished stays, the rest
    /// is as before and can be tried again.
    pub fn maintain(
        &self,
        now_ns: i64,
        retention: &LogRetention,
        pace: &mut Pace<'_>,
    ) -> Result<Maintained, StorageError> {
        let _alone = self.maintaining.lock();
        let mut done = Maintained::default();
        let outcome = self.maintain_alone(now_ns, retention, pace, &mut done);
        let counters = &self.counters;
        counters.merges.fetch_add(done.merged, Ordering::Relaxed);
        counters
            .cleanings
            .fetch_add(done.cleaned, Ordering::Relaxed);
        let by_time = &counters.dropped_by_time;
        by_time.fetch_add(done.dropped_by_time, Ordering::Relaxed);
        let by_size = &counters.dropped_by_size;
        by_size.fetch_add(done.dropped_by_size, Ordering::Relaxed);
        outcome.map(|()| done)
    }

    fn maintain_alone(
        &self,
        now_ns: i64,
        retention: &LogRetention,
        pace: &mut Pace<'_>,
        done: &mut Maintained,
    ) -> Result<(), StorageError> {
        self.set_damaged_aside()?;
        // Space first: a full disk must not keep us from making room.
        let (by_time, by_size) = self.drop_old_parts(now_ns, retention)?;
        done.dropped_by_time += by_time;
        done.dropped_by_size += by_size;
        loop {
            if self.flush_is_due(now_ns) {
                done.flushed += self.flush(pace)?;
            }
            if self.clean_next(now_ns, retention, pace)? {
                done.cleaned += 1;
            } else if self.merge_next(now_ns, retention, pace)? {
                done.merged += 1;
            } else {
                break;
            }
        }
        self.settle_deletions()?;
        self.forget_streams();
        self.release_groups();
        Ok(())
    }

    /// Frees what readers of old parts remember of row groups they have read.
    fn release_groups(&self) {
        let parts = self.state.lock().snapshot().parts;
        let mut newest_first: Vec<_> = parts.iter().collect();
        newest_first.sort_by_key(|part| std::cmp::Reverse(part.meta().last_ns));
        let mut n_groups = 0;
        for part in newest_first {
            n_groups += part.groups().len();
            if n_groups > KEPT_GROUPS {
                part.reader().release();
            }
        }
    }

    /// Forgets the streams that have no entry any more.
    fn forget_streams(&self) {
        let mut state = self.state.lock();
        let mut live = RoaringBitmap::new();
        for part in state.parts.iter() {
            // A part may name streams of which nothing was kept.
            let numbers: RoaringBitmap = part.groups().iter().flat_map(|g| &g.streams).collect();
            let ids = numbers.into_iter();
            live.extend(ids.filter_map(|number| part.ids().get(number as usize)));
        }
        live.extend(state.table.spans().map(|(id, _)| id));
        if let Some(flushing) = &state.flushing {
            live.extend(flushing.table.spans().map(|(id, _)| id));
        }
        let mut index = self.index.write();
        let dead = index.ids() - &live;
        if dead.is_empty() {
            return;
        }
        self.removals.fetch_add(1, Ordering::AcqRel);
        index.remove(&dead);
        index.release(&dead);
        for id in dead {
            *state.note(id) = StreamNote::NONE;
        }
        self.removals.fetch_add(1, Ordering::AcqRel);
    }

    /// Deletes entries that are there: they are out of sight when it returns, and stay so
    /// after a restart; their space is freed by [`LogStore::maintain`]. Entries that are
    /// pushed later are not touched. Returns the number of the deletion.
    ///
    /// # Errors
    /// The disk refused; nothing is deleted.
    pub fn delete(&self, request: DeleteRequest) -> Result<u64, StorageError> {
        self.check_poison()?;
        let mut manifest = self.manifest.lock();
        let number = manifest.next_deletion;
        // The number is spent, whatever happens: the log may have the mark.
        manifest.next_deletion += 1;
        {
            let mut state = self.state.lock();
            state.roll_if_full(self.options.wal_segment_bytes);
            state.wal.deletion(number);
            let written = state.wal.commit();
            written.map_err(|error| {
                state.era += 1;
                self.log_failed(error)
            })?;
            state.table.mark(number);
        }
        let mut deletion = Deletion {
            entry: DeletionEntry {
                number,
                created_ns: request.created_ns,
                range: request.range,
                query: request.query,
                matchers: request.matchers,
                has_filter: request.filter.is_some(),
                is_processed: false,
                pieces: 0,
            },
            finds: request.filter.map_or(Finds::All, Finds::Filtered),
        };
        deletion.entry.pieces = pieces_left(&self.state.lock().snapshot(), &deletion);
        let mut next = manifest.clone();
        next.deletions.push(deletion.entry.clone());
        // The mark first: a deletion without one would hide what is pushed from now on.
        self.sync()?;
        self.write_manifest(&next)?;
        *manifest = next;
        let mut state = self.state.lock();
        let mut deletions = Vec::clone(&state.deletions);
        deletions.push(Arc::new(deletion));
        state.deletions = Arc::new(deletions);
        Ok(number)
    }

    /// Lists the deletions that were asked for, oldest first.
    pub fn deletions(&self) -> Vec<DeleteStatus> {
        let snapshot = self.state.lock().snapshot();
        let status = |deletion: &Arc<Deletion>| DeleteStatus {
            number: deletion.entry.number,
            query: deletion.entry.query.clone(),
            range: deletion.entry.range,
            created_ns: deletion.entry.created_ns,
            progress: progress(&snapshot, deletion),
        };
        snapshot.deletions.iter().map(status).collect()
    }

    /// Cancels a deletion: what it was not applied to yet is visible again. One that was
    /// applied in part is cancelled only by `force`.
    ///
    /// # Errors
    /// The disk refused; nothing is changed.
    pub fn cancel_deletion(&self, number: u64, force: bool) -> Result<Cancelled, StorageError> {
        // No part is being written meanwhile without what it hides.
        let _alone = self.maintaining.lock();
        let _no_flush = self.flushing.lock();
        let snapshot = self.state.lock().snapshot();
        let mut deletions = snapshot.deletions.iter();
        let Some(deletion) = deletions.find(|deletion| deletion.entry.number == number) else {
            return Ok(Cancelled::Unknown);
        };
        match progress(&snapshot, deletion) {
            DeleteProgress::Processed => return Ok(Cancelled::Processed),
            DeleteProgress::Percent(_) if !force => return Ok(Cancelled::Begun),
            _ => {}
        }
        self.change_deletions(|deletion| (deletion.number != number).then_some(deletion))?;
        Ok(Cancelled::Done)
    }

    /// Marks the deletions that nothing is left for.
    fn settle_deletions(&self) -> Result<(), StorageError> {
        let _no_flush = self.flushing.lock();
        let snapshot = self.state.lock().snapshot();
        let is_done =
            |deletion: &&Arc<Deletion>| deletion.hides() && pieces_left(&snapshot, deletion) == 0;
        let done = snapshot.deletions.iter().filter(is_done);
        let done: Vec<u64> = done.map(|deletion| deletion.entry.number).collect();
        let processed = snapshot.deletions.iter().filter(|d| d.entry.is_processed);
        let n_processed = processed.count() + done.len();
        if done.is_empty() {
            return Ok(());
        }
        let mut too_many = n_processed.saturating_sub(KEPT_DELETIONS);
        self.change_deletions(|mut deletion| {
            deletion.is_processed |= done.contains(&deletion.number);
            if deletion.is_processed && too_many > 0 {
                too_many -= 1;
                return None;
            }
            Some(deletion)
        })
    }

    /// Replaces the deletions by what `change` makes of them.
    fn change_deletions(
        &self,
        mut change: impl FnMut(DeletionEntry) -> Option<DeletionEntry>,
    ) -> Result<(), StorageError> {
        self.check_poison()?;
        let mut manifest = self.manifest.lock();
        let mut next = manifest.clone();
        let entries = std::mem::take(&mut next.deletions);
        next.deletions = entries.into_iter().filter_map(&mut change).collect();
        self.write_manifest(&next)?;
        *manifest = next;
        let mut state = self.state.lock();
        let kept = manifest.deletions.iter().filter_map(|entry| {
            let mut known = state.deletions.iter();
            let known = known.find(|known| known.entry.number == entry.number)?;
            let finds = match &known.finds {
                Finds::All => Finds::All,
                Finds::Filtered(filter) => Finds::Filtered(Arc::clone(filter)),
                Finds::Unknown => Finds::Unknown,
            };
            let entry = entry.clone();
            Some(Arc::new(Deletion { entry, finds }))
        });
        state.deletions = Arc::new(kept.collect());
        Ok(())
    }

    /// Moves the parts that proved damaged out of the way.
    fn set_damaged_aside(&self) -> Result<(), StorageError> {
        let parts = self.state.lock().snapshot().parts;
        let damaged = parts.iter().filter(|part| part.is_damaged());
        let damaged: Vec<_> = damaged.map(|part| part.id()).collect();
        for &id in &damaged {
            parts::set_aside(&*self.parts_dir, id)?;
        }
        match damaged.is_empty() {
            true => Ok(()),
            false => self.publish(Vec::new(), &damaged, |_| {}, |_| {}),
        }
    }

    /// Returns the damage found since the last call; what was found at the opening is in
    /// [`LogRecovery`](super::LogRecovery).
    pub fn take_damages(&self) -> Vec<Damage> {
        self.damages.take()
    }
}

/// Counts what a deletion has still to be applied to: parts, and memory as one.
fn pieces_left(snapshot: &Snapshot, deletion: &Deletion) -> u64 {
    let parts = snapshot.parts.iter();
    let parts = parts.filter(|part| !part.is_damaged() && part.is_concerned_by(deletion));
    let mut blocks = snapshot.blocks.iter();
    let memory = blocks.any(|block| deletion.concerns(block.born, block.first_ns, block.last_ns));
    parts.count() as u64 + u64::from(memory)
}

fn progress(snapshot: &Snapshot, deletion: &Deletion) -> DeleteProgress {
    if deletion.entry.is_processed {
        return DeleteProgress::Processed;
    }
    if matches!(deletion.finds, Finds::Unknown) {
        return DeleteProgress::Failed;
    }
    let pieces = deletion.entry.pieces;
    let left = pieces_left(snapshot, deletion);
    match pieces.saturating_sub(left) * 100 / pieces.max(1) {
        0 => DeleteProgress::Received,
        // Until it is noted that nothing is left.
        done => DeleteProgress::Percent(done.min(99) as u8),
    }
}
