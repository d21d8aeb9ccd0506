//! Series of several parts of the store as one list in label order.
//!
//! Blocks number their series in label order, so their lists are merged as they are.
//! The head numbers series in order of creation; nearly all of its series are in some
//! block, too, so they are found there by a hash of their labels, and only the rest is
//! sorted.

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::blocks::Served;
use crate::block::{BlockError, SeriesLabels};

/// No series of the head.
const NONE: u32 = u32::MAX;

/// The selected series of a block, ascending.
#[derive(Debug)]
pub(super) struct BlockPart {
    pub(super) block: Arc<Served>,
    pub(super) ids: Vec<u32>,
}

/// A series of a block: number of the part and of the series in the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) part: u32,
    pub(super) series: u32,
}

/// A block whose labels could not be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// Number of the part.
    pub(super) part: usize,
    pub(super) error: BlockError,
}

/// A walk over the series of blocks in label order.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    parts: &'a [BlockPart],
    /// Labels of the next series of each part.
    heads: Vec<Option<SeriesLabels<'a>>>,
    at: Vec<usize>,
    members: Vec<Member>,
    begun: bool,
}

impl<'a> Walk<'a> {
    /// Stands before the first series.
    pub(super) fn new(parts: &'a [BlockPart]) -> Walk<'a> {
        Walk {
            parts,
            heads: vec![None; parts.len()],
            at: vec![0; parts.len()],
            members: Vec::new(),
            begun: false,
        }
    }

    fn load(&mut self, part: usize) -> Result<(), Unreadable> {
        let BlockPart { block, ids } = &self.parts[part];
        let labels = ids.get(self.at[part]).map(|&series| block.labels(series));
        self.heads[part] = labels
            .transpose()
            .map_err(|error| Unreadable { part, error })?;
        Ok(())
    }

    /// Returns where the next series is, in the order of the parts; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<&[Member]>, Unreadable> {
        if !self.begun {
            self.begun = true;
            (0..self.parts.len()).try_for_each(|part| self.load(part))?;
        }
        self.members.clear();
        let mut least: Option<&SeriesLabels<'_>> = None;
        for (part, labels) in self.heads.iter().enumerate() {
            let Some(labels) = labels else { continue };
            let order = match least {
                None => Ordering::Less,
                Some(least) => labels.clone().cmp(least.clone()),
            };
            match order {
                Ordering::Greater => continue,
                Ordering::Equal => {}
                Ordering::Less => {
                    least = Some(labels);
                    self.members.clear();
                }
            }
            let series = self.parts[part].ids[self.at[part]];
            let part = part as u32;
            self.members.push(Member { part, series });
        }
        for at in 0..self.members.len() {
            let part = self.members[at].part as usize;
            self.at[part] += 1;
            self.load(part)?;
        }
        Ok((!self.members.is_empty()).then_some(&self.members))
    }
}

/// Series in label order, each with its places in blocks and in the head.
#[derive(Debug, Default)]
pub(super) struct Merged {
    rows: Vec<Row>,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    first: u32,
    n: u32,
    head: u32,
}

impl Merged {
    /// Merges the series of blocks, which stay in the order of `parts`.
    pub(super) fn of_blocks(parts: &[BlockPart]) -> Result<Merged, Unreadable> {
        let most = parts.iter().map(|part| part.ids.len()).max().unwrap_or(0);
        let mut merged = Merged {
            rows: Vec::with_capacity(most),
            members: Vec::with_capacity(parts.iter().map(|part| part.ids.len()).sum()),
        };
        let mut walk = Walk::new(parts);
        while let Some(members) = walk.next()? {
            merged.rows.push(Row {
                first: merged.members.len() as u32,
                n: members.len() as u32,
                head: NONE,
            });
            merged.members.extend_from_slice(members);
        }
        Ok(merged)
    }

    /// Adds `n` series of the head, whose labels `labels_of` gives by their number in
    /// the list of the head.
    #[expect(clippy::map_identity, reason = "lets the texts live shorter")]
    pub(super) fn join_head<'a, L>(
        &mut self,
        parts: &[BlockPart],
        n: u32,
        labels_of: impl Fn(u32) -> L,
    ) where
        L: Iterator<Item = (&'a str, &'a str)>,
    {
        let hasher = RandomState::default();
        let mut by_labels: HashTable<u32> = HashTable::with_capacity(self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            let hash = hash(&hasher, self.labels(parts, row));
            // Nothing grows, so nothing is hashed again.
            by_labels.insert_unique(hash, at as u32, |_| hash);
        }
        let mut rest = Vec::new();
        for series in 0..n {
            let hash = hash(&hasher, labels_of(series));
            let same = |&at: &u32| {
                let row = &self.rows[at as usize];
                let labels = labels_of(series).map(|(name, value)| (name, value));
                self.labels(parts, row).eq(labels)
            };
            match by_labels.find(hash, same) {
                Some(&at) => self.rows[at as usize].head = series,
                None => rest.push(series),
            }
        }
        if rest.is_empty() {
            return;
        }
        rest.sort_by(|&one, &other| labels_of(one).cmp(labels_of(other)));
        let mut rows = Vec::with_capacity(self.rows.len() + rest.len());
        let mut rest = rest.into_iter().peekable();
        let only_head = |head| Row {
            first: 0,
            n: 0,
            head,
        };
        for row in &self.rows {
            while let Some(head) = rest.next_if(|&head| {
                let labels = labels_of(head).map(|(name, value)| (name, value));
                labels.lt(self.labels(parts, row))
            }) {
                rows.push(only_head(head));
            }
            rows.push(*row);
        }
        rows.extend(rest.map(only_head));
        self.rows = rows;
    }

    fn labels<'p>(
        &self,
        parts: &'p [BlockPart],
        row: &Row,
    ) -> impl Iterator<Item = (&'p str, &'p str)> + use<'p> {
        let Member { part, series } = self.members[row.first as usize];
        // They could be read when the blocks were merged.
        let labels = parts[part as usize].block.labels(series).ok();
        labels.into_iter().flatten()
    }

    /// Returns the bytes of memory held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.members.capacity() * size_of::<Member>()
    }

    /// Counts the series.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns where the series `index` is in blocks, in the order of the parts.
    pub(super) fn members(&self, index: usize) -> &[Member] {
        let Row { first, n, .. } = self.rows[index];
        &self.members[first as usize..(first + n) as usize]
    }

    /// Returns the number of series `index` in the list of the head.
    pub(super) fn head(&self, index: usize) -> Option<usize> {
        let head = self.rows[index].head;
        (head != NONE).then_some(head as usize)
    }
}

fn hash<'a>(hasher: &RandomState, labels: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut state = hasher.build_hasher();
    for (name, value) in labels {
        for text in [name, value] {
            state.write(text.as_bytes());
            // No text holds this byte, so two texts never look like two others.
            state.write_u8(0xff);
        }
    }
    state.finish()
}
