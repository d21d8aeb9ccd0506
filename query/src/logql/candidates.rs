//! What of a group of entries may be in an answer, found on whichever thread is free.
//!
//! Of a group no more entries are looked at than the answer can have: those that come first
//! in it are taken first. The thread of the query puts together what the groups have, so that
//! answers do not depend on who has helped.

use std::sync::Arc;

use kymo_storage::logs::part::PartError;

use super::columnar::{Plan, Rows};
use super::pipeline::{LineLabels, Pipeline};
use super::source::{EntryBatch, EntryRef, LogSet};
use super::value::LogStats;
use crate::error::QueryError;
use crate::limits::Cancel;
use crate::promql::eval::batches::PerSeries;
use crate::source::SourceError;

/// Time of an entry, and stream and arrival, negated where the newest come first.
pub(super) type Place = (i64, (u32, u64));

/// Entries of a group that are put in order at once, at least.
const PIECE: usize = 1024;

/// An entry that may be in the answer.
pub(super) struct Candidate {
    pub(super) place: Place,
    pub(super) t_ns: i64,
    pub(super) line: Vec<u8>,
    pub(super) labels: LineLabels,
}

/// What a group has.
#[derive(Default)]
pub(super) struct Candidates {
    /// In the order of the answer.
    pub(super) found: Vec<Candidate>,
    pub(super) stats: LogStats,
    /// What the entries took while they were read.
    pub(super) bytes: usize,
}

/// The groups of a selection, to be read.
pub(super) struct EntryGroups {
    pub(super) set: Arc<dyn LogSet>,
    pub(super) plan: Plan,
    pub(super) pipeline: Pipeline,
    /// The groups from the wanted end of time.
    pub(super) order: Vec<usize>,
    /// The place of each stream among all.
    pub(super) ranks: Vec<u32>,
    /// Most entries of the answer.
    pub(super) limit: usize,
    pub(super) is_backward: bool,
    pub(super) cancel: Cancel,
}

/// What a thread needs to read groups.
pub(super) type Buffers = (Pipeline, EntryBatch);

/// All of the groups but some at the beginning.
pub(super) struct Rest {
    pub(super) groups: Arc<EntryGroups>,
    pub(super) from: usize,
}

impl PerSeries for Rest {
    type Buffers = Buffers;
    type Made = (usize, Candidates);

    fn buffers(&self) -> Buffers {
        self.groups.buffers()
    }

    fn make(
        &self,
        index: usize,
        buffers: &mut Buffers,
    ) -> Result<Option<(usize, Candidates)>, QueryError> {
        let index = self.from + index;
        Ok(Some((index, self.groups.make(index, buffers)?)))
    }
}

impl EntryGroups {
    pub(super) fn buffers(&self) -> Buffers {
        (self.pipeline.clone(), EntryBatch::default())
    }

    /// Finds what the group has that is at `index` of the order.
    pub(super) fn make(
        &self,
        index: usize,
        (pipeline, batch): &mut Buffers,
    ) -> Result<Candidates, QueryError> {
        self.cancel.check("query execution")?;
        let Some(&group) = self.order.get(index) else {
            return Ok(Candidates::default());
        };
        if let Some(columns) = self.set.columns(group) {
            let streams = self.set.streams();
            let found = self
                .plan
                .rows(&columns, streams, |rows| self.scan(group, rows, pipeline));
            // Damage is told by the one who reads whole entries.
            if let Ok(found) = found {
                return Ok(found);
            }
        }
        self.set.read(group, batch)?;
        let bytes = batch.memory_bytes();
        let found = self.scan(group, &mut &*batch, pipeline);
        let mut found = found.map_err(|error| SourceError {
            message: error.to_string(),
        })?;
        found.bytes += bytes;
        Ok(found)
    }

    /// Runs the entries of a group through the stages, those that come first in the answer
    /// first.
    fn scan(
        &self,
        group: usize,
        entries: &mut dyn Entries,
        pipeline: &mut Pipeline,
    ) -> Result<Candidates, PartError> {
        let mut places: Vec<(Place, usize)> = Vec::with_capacity(entries.len());
        for index in 0..entries.len() {
            let (stream, t_ns) = entries.head(index);
            let rank = self.ranks.get(stream as usize);
            let arrival = ((group as u64) << 32) | index as u64;
            let rank = rank.copied().unwrap_or(u32::MAX);
            places.push((self.place(t_ns, rank, arrival), index));
        }
        let mut candidates = Candidates {
            bytes: places.capacity() * size_of::<(Place, usize)>(),
            ..Candidates::default()
        };
        let is_sorted = places.is_sorted();
        let (mut start, mut n) = (0, self.limit.saturating_mul(2).max(PIECE));
        while start < places.len() {
            let left = &mut places[start..];
            let len = n.min(left.len());
            if !is_sorted {
                // No more is put in order than is asked for.
                if len < left.len() {
                    left.select_nth_unstable(len - 1);
                }
                left[..len].sort_unstable();
            }
            for &(place, index) in &left[..len] {
                let found = &mut candidates.found;
                let is_full = found.len() >= self.limit;
                if is_full && found.last().is_none_or(|last| last.place.0 < place.0) {
                    return Ok(candidates);
                }
                let entry = entries.entry(index)?;
                candidates.stats.count(&entry);
                let stream = entry.stream as usize;
                let Some(labels) = self.set.streams().get(stream) else {
                    continue;
                };
                let t_ns = entry.t_ns;
                let line = pipeline.run(stream, labels, t_ns, entry.line, entry.metadata);
                let Some(line) = line.map(<[u8]>::to_vec) else {
                    continue;
                };
                candidates.stats.post_filter_lines += 1;
                let labels = pipeline.line_labels();
                candidates.bytes += line.len() + labels.memory_bytes();
                found.push(Candidate {
                    place,
                    t_ns,
                    line,
                    labels,
                });
            }
            start += len;
            n = n.saturating_mul(4);
        }
        Ok(candidates)
    }

    /// Returns time, stream and arrival of an entry as they count in its place.
    fn place(&self, t_ns: i64, rank: u32, arrival: u64) -> Place {
        match self.is_backward {
            true => (!t_ns, (!rank, !arrival)),
            false => (t_ns, (rank, arrival)),
        }
    }
}

/// The entries of a group, in the order of the group.
trait Entries {
    fn len(&self) -> usize;

    /// Returns stream and time of an entry.
    fn head(&self, index: usize) -> (u32, i64);

    fn entry(&mut self, index: usize) -> Result<EntryRef<'_>, PartError>;
}

impl Entries for &EntryBatch {
    fn len(&self) -> usize {
        EntryBatch::len(self)
    }

    fn head(&self, index: usize) -> (u32, i64) {
        let entry = EntryBatch::entry(self, index);
        (entry.stream, entry.t_ns)
    }

    fn entry(&mut self, index: usize) -> Result<EntryRef<'_>, PartError> {
        Ok(EntryBatch::entry(self, index))
    }
}

impl Entries for Rows<'_, '_> {
    fn len(&self) -> usize {
        Rows::len(self)
    }

    fn head(&self, index: usize) -> (u32, i64) {
        Rows::head(self, index)
    }

    fn entry(&mut self, index: usize) -> Result<EntryRef<'_>, PartError> {
        Rows::entry(self, index)
    }
}
