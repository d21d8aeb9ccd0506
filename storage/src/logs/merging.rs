//! Keeping the parts few, and rid of what is deleted or too old.
//!
//! Parts of a day whose numbers follow each other are merged when there are several of a
//! like size: each entry is written a few times, whatever their number. A part is written
//! anew alone where a deletion hides entries of it, or where streams whose time is over are
//! a good share of it.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::deletion::{Deletion, Hiding};
use super::flush::DAY_NS;
use super::manifest::{PartEntry, PartId};
use super::part::{Effort, PartReader, PartWriter, RowRef, merge};
use super::parts::Served;
use super::retention::LogRetention;
use super::selection::StoredEntry;
use super::store::LogStore;
use crate::error::StorageError;
use crate::index::Search;
use crate::metrics::Pace;

/// Most parts that are merged at once: a row group of each may be in memory.
const MAX_PARTS: usize = 8;
/// Parts are not merged to more than this, in bytes of the file.
const MAX_BYTES: u64 = 1 << 30;
/// Parts of the newest day are merged when there are more than this: rarely, because most
/// of the work of pushing is to write entries again, and few parts cost a reader nothing.
const MANY_PARTS: usize = 40;
/// Parts are merged when together they are so many times the largest of them: those of the
/// newest day, and those of days that are over.
const GAIN: f64 = 2.0;
const GAIN_OF_OLD: f64 = 1.5;
/// A part is written anew when this share of its entries is over its time.
const EXPIRED_SHARE: u64 = 4;

/// What the choice of parts to merge is made of.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    day: i64,
    /// Numbers of the flushes, first and last.
    flushes: (u64, u64),
    len_bytes: u64,
}

/// Finds neighbours that are worth merging, of parts of one day each, in order of day and
/// number. No flush of `many_days` comes between what is merged: its part has times of all
/// these days, and its entries would not be in order any more.
fn next(parts: &[Candidate], many_days: &[u64]) -> Option<Range<usize>> {
    let newest = parts.iter().map(|part| part.day).max()?;
    let of_newest = parts.iter().filter(|part| part.day == newest);
    let many = of_newest.count() > MANY_PARTS;
    let mut best: Option<(f64, Range<usize>)> = None;
    for start in 0..parts.len() {
        let day = parts[start].day;
        let least = match day == newest {
            true if many => GAIN,
            true => continue,
            false => GAIN_OF_OLD,
        };
        let (mut sum, mut largest) = (0u64, 1u64);
        for (n, part) in parts[start..].iter().take(MAX_PARTS).enumerate() {
            sum = sum.saturating_add(part.len_bytes);
            largest = largest.max(part.len_bytes);
            let between = parts[start].flushes.1..=part.flushes.0;
            let apart = n > 0 && many_days.iter().any(|flush| between.contains(flush));
            if part.day != day || sum > MAX_BYTES || apart {
                break;
            }
            let gain = sum as f64 / largest as f64;
            let is_best = best.as_ref().is_none_or(|(best, _)| gain > *best);
            if n > 0 && gain >= least && is_best {
                best = Some((gain, start..start + n + 1));
            }
        }
    }
    best.map(|(_, range)| range)
}

impl LogStore {
    /// Merges the parts that are most worth it; tells whether there were any.
    pub(super) fn merge_next(
        &self,
        now_ns: i64,
        retention: &LogRetention,
        pace: &mut Pace<'_>,
    ) -> Result<bool, StorageError> {
        go_on(pace)?;
        let parts = self.state.lock().snapshot().parts;
        let sound = parts.iter().filter(|part| !part.is_damaged()).cloned();
        let (parts, many_days): (Vec<Arc<Served>>, Vec<_>) =
            sound.partition(|part| part.meta().last_ns.div_euclid(DAY_NS) == part.id().day);
        let many_days: Vec<u64> = many_days.iter().map(|part| part.id().first).collect();
        let candidates = parts.iter().map(|part| Candidate {
            day: part.id().day,
            flushes: (part.id().first, part.id().last),
            len_bytes: part.meta().file_bytes,
        });
        let candidates: Vec<Candidate> = candidates.collect();
        let Some(range) = next(&candidates, &many_days) else {
            return Ok(false);
        };
        // What is of the newest day is merged once more when the day is over.
        let newest = candidates.last().map(|part| part.day);
        let effort = match newest == Some(candidates[range.start].day) {
            true => Effort::Flush,
            false => Effort::Merge,
        };
        self.rewrite(&parts[range], effort, now_ns, retention, pace)?;
        Ok(true)
    }

    /// Writes the next part anew of which deletions or retention take entries; tells
    /// whether there was any.
    pub(super) fn clean_next(
        &self,
        now_ns: i64,
        retention: &LogRetention,
        pace: &mut Pace<'_>,
    ) -> Result<bool, StorageError> {
        go_on(pace)?;
        let snapshot = self.state.lock().snapshot();
        let mut parts = snapshot.parts.iter().filter(|part| !part.is_damaged());
        let part = parts.find(|part| {
            let mut deletions = snapshot.deletions.iter();
            deletions.any(|deletion| part.is_concerned_by(deletion))
                || is_worth_cleaning(part, &retention.kept_from(part, now_ns))
        });
        let Some(part) = part else { return Ok(false) };
        let part = std::slice::from_ref(part);
        self.rewrite(part, Effort::Merge, now_ns, retention, pace)?;
        Ok(true)
    }

    /// Writes parts as one, without what is deleted or over its time.
    fn rewrite(
        &self,
        old: &[Arc<Served>],
        effort: Effort,
        now_ns: i64,
        retention: &LogRetention,
        pace: &mut Pace<'_>,
    ) -> Result<(), StorageError> {
        let (Some(first), Some(last)) = (old.first(), old.last()) else {
            return Ok(());
        };
        let id = PartId {
            day: first.id().day,
            first: first.id().first,
            last: last.id().last,
            turn: old.iter().map(|part| part.id().turn + 1).max().unwrap_or(0),
        };
        let deletions = self.state.lock().snapshot().deletions;
        let takers: Vec<Taker> = old
            .iter()
            .map(|part| Taker::new(part, &deletions, retention.kept_from(part, now_ns)))
            .collect();
        let newest = deletions.last().map_or(0, |deletion| deletion.entry.number);
        let applied = old
            .iter()
            .map(|part| part.entry.applied)
            .fold(newest, u64::max);
        self.remove_leftover(id)?;
        let spare = Arc::clone(self.state.lock().table.spare());
        let (dir, name) = (&self.parts_dir, id.file_name());
        let mut writer = PartWriter::create_with(dir, &name, effort, spare.take_writer())?;
        let readers: Vec<&PartReader> = old.iter().map(|part| part.reader()).collect();
        let keep = |reader: &PartReader, row: RowRef<'_>| {
            let number = readers
                .iter()
                .position(|other| std::ptr::eq(*other, reader));
            let taker = number.and_then(|number| takers.get(number));
            taker.is_none_or(|taker| !taker.takes(reader, row))
        };
        let merged = merge(&readers, &mut writer, keep, pace);
        let merged = merged.and_then(|()| writer.finish_with());
        for part in old {
            part.reader().release();
        }
        let (merged, memory) = merged.map_err(|error| self.damages.failed_of(old, error))?;
        spare.give_writer(memory);
        let mut new = Vec::new();
        if merged.is_some() {
            let entry = PartEntry { id, applied };
            let mut index = self.index.write();
            let mut search = Search::default();
            let served = Served::open(&self.parts_dir, entry, &mut index, &mut search)?;
            new.push(Arc::new(served));
        }
        let old: Vec<PartId> = old.iter().map(|part| part.id()).collect();
        self.publish(new, &old, |_| {}, |_| {})
    }
}

/// Tells whether enough of a part is over its time to write it anew.
fn is_worth_cleaning(part: &Served, kept_from: &[i64]) -> bool {
    let least = part.meta().first_ns;
    if kept_from.iter().all(|&kept_from_ns| kept_from_ns <= least) {
        return false;
    }
    let mut expired = 0;
    for group in part.groups() {
        // Entries are taken to be spread evenly over the streams of a group.
        let streams = group.streams.iter();
        let over = streams.filter(|&&stream| {
            let kept_from_ns = kept_from.get(stream as usize);
            kept_from_ns.is_some_and(|&kept_from_ns| group.last_ns < kept_from_ns)
        });
        expired += (group.rows * over.count() / group.streams.len().max(1)) as u64;
    }
    expired > 0 && expired >= part.meta().rows / EXPIRED_SHARE
}

/// Tells which entries of a part are taken from it.
struct Taker {
    hiding: Hiding,
    kept_from: Vec<i64>,
}

impl Taker {
    fn new(part: &Served, deletions: &[Arc<Deletion>], kept_from: Vec<i64>) -> Taker {
        let mut hiding = Hiding::default();
        let meta = part.meta();
        for deletion in deletions {
            if deletion.concerns(part.entry.applied, meta.first_ns, meta.last_ns) {
                let streams = part.reader().streams().iter();
                let streams = streams.map(|labels| deletion.is_of(labels)).collect();
                hiding.add(deletion, Arc::new(streams));
            }
        }
        Taker { hiding, kept_from }
    }

    fn takes(&self, reader: &PartReader, row: RowRef<'_>) -> bool {
        let at = row.stream as usize;
        let kept_from_ns = self.kept_from.get(at).copied().unwrap_or(i64::MIN);
        if row.t_ns < kept_from_ns {
            return true;
        }
        if self.hiding.is_empty() {
            return false;
        }
        let entry = StoredEntry {
            stream: row.stream,
            t_ns: row.t_ns,
            line: row.line,
            metadata: row.metadata,
        };
        let labels = reader.streams().get(at);
        labels.is_some_and(|labels| self.hiding.hides(at, labels, entry))
    }
}

/// Asks whether to go on.
pub(super) fn go_on(pace: &mut Pace<'_>) -> Result<(), StorageError> {
    match pace() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(StorageError::Stopped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sizes: &[(i64, u64)]) -> Vec<Candidate> {
        let candidate = |(n, &(day, len_bytes)): (usize, &(i64, u64))| Candidate {
            day,
            flushes: (n as u64, n as u64),
            len_bytes,
        };
        sizes.iter().enumerate().map(candidate).collect()
    }

    #[test]
    fn parts_of_like_size_are_merged_and_others_left_alone() {
        assert_eq!(next(&parts(&[]), &[]), None);
        assert_eq!(next(&parts(&[(1, 10); MANY_PARTS]), &[]), None);
        let mut many = [(1, 10); MANY_PARTS + 1];
        assert_eq!(next(&parts(&many), &[]), Some(0..8));
        many[0] = (1, 1000);
        assert_eq!(next(&parts(&many), &[]), Some(1..9));
        // A day that is over is brought to the end.
        assert_eq!(next(&parts(&[(1, 10), (1, 10), (2, 1)]), &[]), Some(0..2));
        assert_eq!(next(&parts(&[(1, 1000), (1, 10), (2, 1)]), &[]), None);
        let over = [(1, 10), (1, 10), (1, 10), (1, 10), (2, 1)];
        assert_eq!(next(&parts(&over), &[1]), Some(2..4));
        assert_eq!(next(&parts(&over[2..]), &[1]), None);
        // Days stay apart.
        assert_eq!(
            next(&parts(&[(1, 10), (2, 10), (3, 10), (4, 10)]), &[]),
            None
        );
        assert_eq!(
            next(&parts(&[(1, MAX_BYTES), (1, MAX_BYTES), (2, 1)]), &[]),
            None
        );
    }

    #[test]
    fn many_flushes_end_in_few_parts_and_little_is_written() {
        let (mut sizes, mut written) = (Vec::new(), 0);
        for _ in 0..1000 {
            sizes.push((1, 10u64));
            while let Some(range) = next(&parts(&sizes), &[]) {
                let sum = sizes[range.clone()].iter().map(|(_, len)| len).sum();
                written += sum;
                sizes.splice(range, [(1, sum)]);
            }
        }
        assert!(sizes.len() <= MANY_PARTS, "{} parts", sizes.len());
        assert!(written < 10_000 * 4, "{written} of 10000 bytes");
    }
}
