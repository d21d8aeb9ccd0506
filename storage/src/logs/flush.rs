//! From memory to parts.
//!
//! The table is taken out of the way in a moment, with the log rolled, and written while
//! pushes go on into a new one: a part for each day of its entries. Then the manifest names
//! the parts and says that the log begins behind the table, in one step, and readers change
//! over. A flush that fails leaves the table where readers find it; the next one tries
//! again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::deletion::{Deletion, Deletions, Hiding};
use super::manifest::{PartEntry, PartId};
use super::part::{Effort, PartWriter};
use super::parts::Served;
use super::selection::StoredEntry;
use super::store::{LogStore, labels_of};
use super::table::{Block, Table};
use crate::error::StorageError;
use crate::metrics::Pace;
use crate::model::Labels;
use crate::wal::{EntryRow, metadata_pairs};

/// Nanoseconds of a day.
pub(super) const DAY_NS: i64 = 86_400 * 1_000_000_000;
/// Most days of a flush that have a part each. Where there are more, days that follow each
/// other share parts, each of which has at least this share of the entries: so times from
/// anywhere make no thousands of parts.
const MAX_DAYS: usize = 32;
/// Entries that are written between two calls of the pace.
const BATCH: usize = 4096;

/// A table that is being written to parts.
#[derive(Debug, Clone)]
pub(super) struct Flushing {
    pub(super) table: Arc<Table>,
    /// The first segment of the log that has none of its entries.
    wal_from: u64,
    /// The deletion that was the newest when it was taken out of the way.
    born: u64,
}

impl LogStore {
    /// Tells whether there is so much in memory, or so long, that [`LogStore::flush`]
    /// is to be called.
    pub fn flush_is_due(&self, now_ns: i64) -> bool {
        if self.flushing.try_lock().is_none() {
            // Somebody is at it.
            return false;
        }
        let mut state = self.state.lock();
        let flushes = self.counters.flushes.load(Ordering::Relaxed);
        state.table.spare().rest(flushes, now_ns);
        if state.table.is_empty() {
            return state.flushing.is_some();
        }
        let since_ns = *state.filling_since_ns.get_or_insert(now_ns);
        state.flushing.is_some()
            || state.table.memory_bytes() >= self.options.flush_bytes
            || now_ns.saturating_sub(since_ns) >= self.options.flush_age_ns
    }

    /// Writes what is in memory to parts. Returns how many entries that were.
    ///
    /// # Errors
    /// The disk refused ([`StorageError::DiskFull`] where it is full), or `pace` broke off.
    /// Nothing is lost; the next call tries again.
    pub fn flush(&self, pace: &mut Pace<'_>) -> Result<u64, StorageError> {
        let _alone = self.flushing.lock();
        self.flush_alone(pace)
    }

    /// Frees the memory that is kept for the next flush: for when others need it more.
    pub fn release_memory(&self) {
        let spare = Arc::clone(self.state.lock().table.spare());
        spare.release();
    }

    pub(super) fn flush_alone(&self, pace: &mut Pace<'_>) -> Result<u64, StorageError> {
        let Some((flushing, number, deletions)) = self.begin_flush() else {
            return Ok(0);
        };
        let outcome = self.write_table(&flushing, number, &deletions, pace);
        let outcome = outcome.and_then(|parts| self.end_flush(&flushing, number, parts));
        if outcome.is_err() {
            self.counters.flush_failures.fetch_add(1, Ordering::Relaxed);
        }
        outcome?;
        let counters = &self.counters;
        counters.flushes.fetch_add(1, Ordering::Relaxed);
        let entries = flushing.table.len() as u64;
        counters.flushed.fetch_add(entries, Ordering::Relaxed);
        Ok(entries)
    }

    /// Takes the table out of the way, or one that an earlier flush could not write.
    fn begin_flush(&self) -> Option<(Flushing, u64, Arc<Deletions>)> {
        // Deletions hold the manifest from their mark in the log until readers know them.
        let manifest = self.manifest.lock();
        let mut state = self.state.lock();
        if state.flushing.is_none() {
            if state.table.is_empty() {
                return None;
            }
            state.wal.roll();
            state.era += 1;
            let born = state.table.born();
            let spare = Arc::clone(state.table.spare());
            let table = std::mem::replace(&mut state.table, Table::new(born, spare));
            state.filling_since_ns = None;
            state.flushing = Some(Flushing {
                table: Arc::new(table),
                wal_from: state.wal.end().seq,
                born,
            });
        }
        let flushing = state.flushing.clone()?;
        Some((flushing, manifest.next_part, Arc::clone(&state.deletions)))
    }

    /// Writes a table to parts that nobody knows yet.
    fn write_table(
        &self,
        flushing: &Flushing,
        number: u64,
        deletions: &[Arc<Deletion>],
        pace: &mut Pace<'_>,
    ) -> Result<Vec<PartEntry>, StorageError> {
        let labels = self.labels(&flushing.table);
        let rows = Sorted::of(&flushing.table, &labels, deletions);
        let newest = deletions.last().map_or(0, |deletion| deletion.entry.number);
        let applied = newest.max(flushing.born);
        let mut parts = Vec::new();
        let spare = flushing.table.spare();
        let mut memory = spare.take_writer();
        for slice in rows.slices() {
            let Some(first) = slice.first() else { continue };
            let id = PartId {
                day: day_of(&first.1),
                first: number,
                last: number,
                turn: 0,
            };
            self.remove_leftover(id)?;
            let (dir, name) = (&self.parts_dir, id.file_name());
            let mut writer = PartWriter::create_with(dir, &name, Effort::Flush, memory)?;
            let mut numbers = vec![None; rows.labels.len()];
            let mut pairs: Vec<(&str, &str)> = Vec::new();
            for batch in slice.chunks(BATCH) {
                super::merging::go_on(pace)?;
                for &(block, row) in batch {
                    let Some(Some(labels)) = rows.labels.get(row.stream as usize) else {
                        continue;
                    };
                    let bytes = block.bytes();
                    pairs.clear();
                    pairs.extend(metadata_pairs(row.metadata(bytes)));
                    let stream = numbers[row.stream as usize];
                    let stream = stream.unwrap_or_else(|| writer.stream(labels));
                    numbers[row.stream as usize] = Some(stream);
                    writer.push(stream, row.t_ns, row.line(bytes), pairs.iter().copied())?;
                }
            }
            let (written, left) = writer.finish_with()?;
            memory = left;
            if written.is_some() {
                parts.push(PartEntry { id, applied });
            }
        }
        spare.give_writer(memory);
        Ok(parts)
    }

    /// Names the parts in the manifest, with the log from behind the table, and shows them
    /// to readers in its place.
    fn end_flush(
        &self,
        flushing: &Flushing,
        number: u64,
        parts: Vec<PartEntry>,
    ) -> Result<(), StorageError> {
        let mut opened = Vec::new();
        for entry in parts {
            let mut index = self.index.write();
            let mut search = crate::index::Search::default();
            let served = Served::open(&self.parts_dir, entry, &mut index, &mut search)?;
            opened.push(Arc::new(served));
        }
        self.publish(
            opened,
            &[],
            |manifest| {
                manifest.next_part = number + 1;
                manifest.wal_from = flushing.wal_from;
                manifest.wal_born = flushing.born;
            },
            |state| state.flushing = None,
        )?;
        let mut state = self.state.lock();
        let removed = state.wal.remove_before(flushing.wal_from);
        drop(state);
        // What is left is removed by the next flush, or at the next start.
        removed.map_err(StorageError::from)
    }

    /// Returns the labels of the streams of a table, by id.
    fn labels(&self, table: &Table) -> Vec<Option<Labels>> {
        let index = self.index.read();
        let mut labels = vec![None; index.end_id() as usize];
        for (id, _) in table.spans() {
            if let Some(labels) = labels.get_mut(id as usize) {
                *labels = Some(labels_of(&index, id));
            }
        }
        labels
    }

    /// Removes what an earlier try left under a name.
    pub(super) fn remove_leftover(&self, id: PartId) -> Result<(), StorageError> {
        match self.parts_dir.remove(&id.file_name()) {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The entries of a table in order of time, without those that deletions hide.
struct Sorted<'t> {
    labels: &'t [Option<Labels>],
    rows: Vec<(&'t Block, EntryRow)>,
}

impl<'t> Sorted<'t> {
    fn of(
        table: &'t Table,
        labels: &'t [Option<Labels>],
        deletions: &[Arc<Deletion>],
    ) -> Sorted<'t> {
        let mut rows: Vec<(&Block, EntryRow)> = Vec::with_capacity(table.len());
        for block in table.blocks() {
            let hiding = hiding(block, labels, deletions);
            let visible = block
                .rows()
                .iter()
                .filter(|row| !is_hidden(&hiding, block, row, labels));
            rows.extend(visible.map(|&row| (&**block, row)));
        }
        // Stable: what came first stays first.
        rows.sort_by_key(|(_, row)| row.t_ns);
        Sorted { labels, rows }
    }

    /// Returns the entries of each part.
    fn slices(&self) -> Vec<&[(&'t Block, EntryRow)]> {
        let days = self
            .rows
            .chunk_by(|(_, one), (_, next)| day_of(one) == day_of(next));
        let least = match days.take(MAX_DAYS + 1).count() > MAX_DAYS {
            true => self.rows.len() / MAX_DAYS,
            false => 0,
        };
        let mut slices = Vec::new();
        let mut rest = &self.rows[..];
        while let Some((_, first)) = rest.first() {
            let mut day = day_of(first);
            let mut end = 0;
            while end < rest.len() && (end == 0 || end < least) {
                let before = |(_, row): &(&Block, EntryRow)| day_of(row) <= day;
                end = rest.partition_point(before);
                day = rest.get(end).map_or(day, |(_, row)| day_of(row));
            }
            let (slice, later) = rest.split_at(end);
            slices.push(slice);
            rest = later;
        }
        slices
    }
}

fn day_of(row: &EntryRow) -> i64 {
    row.t_ns.div_euclid(DAY_NS)
}

/// Returns the deletions that concern a block; streams are those of `labels`.
fn hiding(block: &Block, labels: &[Option<Labels>], deletions: &[Arc<Deletion>]) -> Hiding {
    let mut hiding = Hiding::default();
    for deletion in deletions {
        if deletion.concerns(block.born, block.first_ns, block.last_ns) {
            let of = |labels: &Option<Labels>| labels.as_ref().is_some_and(|l| deletion.is_of(l));
            hiding.add(deletion, Arc::new(labels.iter().map(of).collect()));
        }
    }
    hiding
}

fn is_hidden(hiding: &Hiding, block: &Block, row: &EntryRow, labels: &[Option<Labels>]) -> bool {
    let Some(Some(of)) = labels
        .get(row.stream as usize)
        .filter(|_| !hiding.is_empty())
    else {
        return false;
    };
    let metadata: Vec<(&str, &str)> = metadata_pairs(row.metadata(block.bytes())).collect();
    let entry = StoredEntry {
        stream: row.stream,
        t_ns: row.t_ns,
        line: row.line(block.bytes()),
        metadata: &metadata,
    };
    hiding.hides(row.stream as usize, of, entry)
}
