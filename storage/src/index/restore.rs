//! Filling the index with the series that were found in logs.
//!
//! Series come in ascending order of id and are all there before anyone asks, so the
//! table is made in its final size, and the postings are appended to in the end, each
//! thread those of its own pairs.

use std::sync::Arc;

use parking_lot::RwLock;
use roaring::RoaringBitmap;

use super::postings::Postings;
use super::{Dictionary, Index, Row, rows};
use crate::sync::thread;

/// Each thread reads all rows to find its pairs, so more do not help for long.
const MAX_THREADS: usize = 8;

/// An index that is being filled. It knows rows, and not yet postings.
#[derive(Debug)]
pub(crate) struct Restoring {
    index: Index,
}

impl Index {
    /// Begins to fill an index that has pairs and no series.
    pub(crate) fn restore(mut self, n_series: usize) -> Restoring {
        let (rows, hasher) = (&self.rows, &self.hasher);
        self.canonical
            .reserve(n_series, |&id| rows::hash(rows.get(id), hasher));
        Restoring { index: self }
    }
}

impl Restoring {
    /// Gives a series the id `id`, which is higher than all before, or in the place of
    /// one that was removed.
    ///
    /// # Errors
    /// The id of the series that has the same labels, or `id` itself when there is no
    /// room; nothing is changed.
    pub(crate) fn add(&mut self, id: u32, row: Row<'_>) -> Result<(), u32> {
        let index = &mut self.index;
        index.next = index.next.max(id.saturating_add(1));
        let hash = rows::hash(Some(row), &index.hasher);
        match index.find_row(hash, row.bytes()) {
            Some(other) => Err(other),
            None if index.place_row(id, hash, row.bytes()) => Ok(()),
            None => Err(id),
        }
    }

    /// Takes a series back.
    pub(crate) fn remove(&mut self, id: u32) {
        self.index.remove_row(id);
    }

    /// Returns the texts of rows.
    pub(crate) fn dictionary(&self) -> Arc<RwLock<Dictionary>> {
        self.index.dictionary()
    }

    /// Counts the series.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Makes new ids begin at `end` at the earliest, and fills the postings with up to
    /// `n_threads` threads.
    pub(crate) fn finish(mut self, end: u32, n_threads: usize) -> Index {
        let n_threads = n_threads.clamp(1, MAX_THREADS);
        let index = &mut self.index;
        index.next = index.next.max(end);
        let rows = &index.rows;
        let n_pairs = index.postings.len();
        let in_use = (0..rows.end_id()).filter(|&id| rows.get(id).is_some());
        index.live =
            RoaringBitmap::from_sorted_iter(in_use).expect("invariant: a range of ids ascends");
        let parts: Vec<Vec<Postings>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..n_threads)
                .map(|part| scope.spawn(move || postings_of(rows, n_pairs, part, n_threads)))
                .collect();
            let parts = threads.into_iter().map(thread::ScopedJoinHandle::join);
            parts
                .map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        for (part, postings) in parts.into_iter().enumerate() {
            for (at, postings) in postings.into_iter().enumerate() {
                index.postings[at * n_threads + part] = postings;
            }
        }
        self.index
    }
}

/// Returns the postings of every pair whose number leaves `part` when it is divided by
/// `n_parts`.
fn postings_of(rows: &rows::Rows, n_pairs: usize, part: usize, n_parts: usize) -> Vec<Postings> {
    let n = n_pairs.saturating_sub(part).div_ceil(n_parts);
    let mut postings = Vec::new();
    postings.resize_with(n, Appending::default);
    for id in 0..rows.end_id() {
        for pair in rows.get(id).into_iter().flat_map(Row::pairs) {
            let pair = pair as usize;
            if pair % n_parts == part {
                postings[pair / n_parts].push(id);
            }
        }
    }
    postings.into_iter().map(Appending::finish).collect()
}

/// Ids that go to a bitmap together: one by one each would look for its container.
const BATCH: usize = 256;

/// Postings that ascending ids are appended to.
#[derive(Debug, Default)]
struct Appending {
    last: Vec<u32>,
    newest: Option<u32>,
    before: Option<Box<RoaringBitmap>>,
}

impl Appending {
    #[inline]
    fn push(&mut self, id: u32) {
        // Labels are each once in a row that we wrote.
        if self.newest == Some(id) {
            return;
        }
        self.newest = Some(id);
        if self.last.len() == BATCH {
            self.flush();
        }
        self.last.push(id);
    }

    #[cold]
    fn flush(&mut self) {
        let before = self.before.get_or_insert_default();
        // Ids ascend, so there is nothing that can be refused.
        let appended = before.append(self.last.drain(..));
        debug_assert!(appended.is_ok(), "ids do not ascend");
    }

    fn finish(mut self) -> Postings {
        if self.before.is_some() {
            self.flush();
        }
        match self.before {
            Some(bitmap) => Postings::Many(bitmap),
            None => Postings::from_ascending(&self.last),
        }
    }
}
