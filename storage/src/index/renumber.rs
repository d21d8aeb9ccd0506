//! Numbering the pairs anew, so that those without series go.
//!
//! The new tables are filled beside the old ones a slice at a time, while others read
//! and create series, and take their place in one step. Only whoever removes series may
//! do that, so none goes meanwhile.

use std::sync::Arc;

use hashbrown::HashTable;
use parking_lot::RwLock;
use roaring::RoaringBitmap;

use super::postings::Postings;
use super::rows::{self, Rows};
use super::{Dictionary, Index, PairId, Pairs};

/// Dead pairs are tolerated up to this number, and up to a quarter of all pairs.
const DEAD_PAIRS: usize = 1 << 14;

/// Series of one slice.
const SLICE: usize = 2048;

/// An index with fewer pairs that is being filled.
#[derive(Debug)]
pub(crate) struct Renumbering {
    dictionary: Dictionary,
    rows: Rows,
    postings: Vec<Postings>,
    canonical: HashTable<u32>,
    done: RoaringBitmap,
    /// By old pair, `PairId::MAX` where it was not met yet.
    renamed: Vec<PairId>,
    /// Ids before this were looked at.
    next: u32,
}

impl Index {
    /// Tells whether many pairs have no series any more.
    pub(crate) fn has_dead_pairs(&self) -> bool {
        let dead_pairs = self.postings.iter().filter(|p| p.is_empty()).count();
        dead_pairs > DEAD_PAIRS && dead_pairs > self.postings.len() / 4
    }

    /// Begins to number the pairs anew. No series may be removed until
    /// [`Index::adopt`].
    pub(crate) fn begin_renumbering(&self) -> Renumbering {
        Renumbering {
            dictionary: Dictionary::default(),
            rows: Rows::default(),
            postings: Vec::new(),
            canonical: HashTable::with_capacity(self.len()),
            done: RoaringBitmap::new(),
            renamed: Vec::new(),
            next: 0,
        }
    }

    /// Renumbers the next slice of series; `false` when the end is reached.
    pub(crate) fn renumber_slice(&self, new: &mut Renumbering) -> bool {
        let ids: Vec<u32> = self.live.range(new.next..).take(SLICE).collect();
        self.renumber(&ids, new);
        match ids.last() {
            Some(&last) => new.next = last.saturating_add(1),
            None => return false,
        }
        true
    }

    fn renumber(&self, ids: &[u32], new: &mut Renumbering) {
        let texts = self.dictionary.read();
        new.renamed.resize(self.postings.len(), PairId::MAX);
        let mut row = Vec::new();
        for &id in ids {
            let Some(old_row) = self.rows.get(id) else {
                continue;
            };
            let pairs: Pairs = old_row
                .pairs()
                .map(|pair| {
                    let renamed = &mut new.renamed[pair as usize];
                    if *renamed == PairId::MAX {
                        let (name, value) = texts.pair_text(pair);
                        *renamed = new.dictionary.intern(name, value);
                    }
                    *renamed
                })
                .collect();
            rows::encode(&pairs, &mut row);
            // It fits, because the old one did, and no pair has a higher number.
            new.rows.set(id, &row);
            new.postings
                .resize(new.dictionary.n_pairs(), Postings::Empty);
            for &pair in &pairs {
                new.postings[pair as usize].insert(id);
            }
            let (rows, hasher) = (&new.rows, &self.hasher);
            let hash = rows::hash(rows.get(id), hasher);
            let hash_of = |&id: &u32| rows::hash(rows.get(id), hasher);
            new.canonical.insert_unique(hash, id, hash_of);
            new.done.insert(id);
        }
    }

    /// Takes the new numbers over. Ids of series stay.
    pub(crate) fn adopt(&mut self, mut new: Renumbering) {
        // Those that came meanwhile, with new ids or with some that were free.
        let rest: Vec<u32> = (&self.live - &new.done).into_iter().collect();
        self.renumber(&rest, &mut new);
        self.dictionary = Arc::new(RwLock::new(new.dictionary));
        self.rows = new.rows;
        self.postings = new.postings;
        self.canonical = new.canonical;
        self.regexes.clear();
        self.generation += 1;
    }
}
