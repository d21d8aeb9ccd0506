//! From labels to series and back, for the series in memory.
//!
//! One index serves all shards. Series have dense ids, given in order of creation;
//! an id whose series is gone is given again when its owner releases it. The index knows labels and ids, no
//! samples and no times. Creating a series is the only frequent change and takes
//! about a microsecond, so one lock around the index (held by the store) is enough:
//! samples of known series never come here.
//!
//! Invariant: an id is in `live`, has a row, is in the canonical table, and is in the
//! postings of exactly its row's pairs; or it is in none of them.

mod planner;
mod postings;
mod regexes;
mod renumber;
mod restore;
mod rows;
mod text;

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::RwLock;
use roaring::RoaringBitmap;
use smallvec::SmallVec;

use text::NO_PAIR;

pub(crate) use planner::{Lists, resolve};
pub(crate) use postings::Postings;
pub(crate) use regexes::Regexes;
pub(crate) use restore::Restoring;
pub(crate) use rows::{Row, Rows, encode as encode_row};
pub(crate) use text::{Dictionary, NameId, PairId};

/// Label sets of the series in memory; see the module's text.
#[derive(Debug, Default)]
pub(crate) struct Index {
    dictionary: Arc<RwLock<Dictionary>>,
    rows: Rows,
    /// By pair id.
    postings: Vec<Postings>,
    /// Finds an id by its row: equal label sets have equal rows.
    canonical: HashTable<u32>,
    live: RoaringBitmap,
    /// Ids that can be given again.
    free: Vec<u32>,
    /// Ids from here on were never given.
    next: u32,
    hasher: RandomState,
    regexes: Regexes,
    /// Counts how often pairs were numbered anew.
    generation: u64,
}

/// A label set that is being looked for; keep it for the next one, which is found
/// faster the more it is alike.
#[derive(Debug, Default)]
pub(crate) struct Search {
    generation: u64,
    pairs: Vec<PairId>,
    /// The pairs of the search before.
    recent: Vec<PairId>,
    /// Row of the pairs and its hash, where all pairs are known.
    row: Vec<u8>,
    hash: u64,
}

/// Pairs of a label set; most sets fit without an allocation.
type Pairs = SmallVec<[PairId; 32]>;

impl Index {
    /// Returns an index that has the pairs of a dictionary and no series.
    pub(crate) fn with_pairs(dictionary: Dictionary) -> Index {
        let mut index = Index::default();
        index.postings.resize(dictionary.n_pairs(), Postings::Empty);
        index.dictionary = Arc::new(RwLock::new(dictionary));
        index
    }

    /// Returns the texts that pair ids of now stand for. It stays right for rows
    /// copied until now, whatever happens to the index later.
    pub(crate) fn dictionary(&self) -> Arc<RwLock<Dictionary>> {
        Arc::clone(&self.dictionary)
    }

    /// Returns the ids of all series.
    pub(crate) fn ids(&self) -> &RoaringBitmap {
        &self.live
    }

    /// Counts the series.
    pub(crate) fn len(&self) -> usize {
        self.canonical.len()
    }

    /// Returns one more than the highest id that was ever given.
    pub(crate) fn end_id(&self) -> u32 {
        self.rows.end_id()
    }

    /// Returns the pairs of a series.
    pub(crate) fn row(&self, id: u32) -> Option<Row<'_>> {
        self.rows.get(id)
    }

    /// Looks for the series with these labels and leaves in `search` what
    /// [`Index::create`] needs where there is none. Labels are sorted, each name once.
    pub(crate) fn search<'a>(
        &self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        search: &mut Search,
    ) -> Option<u32> {
        let dictionary = self.dictionary.read();
        if search.generation == self.generation && !search.pairs.contains(&NO_PAIR) {
            std::mem::swap(&mut search.pairs, &mut search.recent);
        } else {
            search.recent.clear();
        }
        search.generation = self.generation;
        dictionary.find_all(labels, &search.recent, &mut search.pairs);
        drop(dictionary);
        if search.pairs.contains(&NO_PAIR) {
            return None;
        }
        rows::encode(&search.pairs, &mut search.row);
        search.hash = self.hasher.hash_one(search.row.as_slice());
        self.find_row(search.hash, &search.row)
    }

    /// Finds the series that has these very pairs.
    fn find_row(&self, hash: u64, row: &[u8]) -> Option<u32> {
        let is_same = |&id: &u32| self.rows.get(id).is_some_and(|found| found.bytes() == row);
        self.canonical.find(hash, is_same).copied()
    }

    /// Creates the series that was not found: nothing has changed since the search for
    /// these labels. `None` when ids below `end` or room for rows have run out.
    pub(crate) fn create<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        search: &mut Search,
        end: u32,
    ) -> Option<u32> {
        let id = match self.free.pop() {
            Some(id) => id,
            None if self.next < end => {
                self.next += 1;
                self.next - 1
            }
            None => return None,
        };
        if search.pairs.contains(&NO_PAIR) {
            let mut dictionary = self.dictionary.write();
            for (pair, (name, value)) in search.pairs.iter_mut().zip(labels) {
                if *pair == NO_PAIR {
                    *pair = dictionary.intern(name, value);
                }
            }
            self.postings
                .resize(dictionary.n_pairs(), Postings::default());
            rows::encode(&search.pairs, &mut search.row);
            search.hash = self.hasher.hash_one(search.row.as_slice());
        }
        if !self.place_row(id, search.hash, &search.row) {
            self.free.push(id);
            return None;
        }
        for &pair in &search.pairs {
            self.postings[pair as usize].insert(id);
        }
        self.live.insert(id);
        Some(id)
    }

    /// Returns the ids of the pairs, new ones added.
    pub(crate) fn intern<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> SmallVec<[PairId; 32]> {
        let mut dictionary = self.dictionary.write();
        let pairs = labels
            .map(|(name, value)| dictionary.intern(name, value))
            .collect();
        let n_pairs = dictionary.n_pairs();
        drop(dictionary);
        self.postings.resize(n_pairs, Postings::Empty);
        pairs
    }

    /// Gives a row the id `id`, which is not in use. Postings are the caller's.
    fn place_row(&mut self, id: u32, hash: u64, row: &[u8]) -> bool {
        if !self.rows.set(id, row) {
            return false;
        }
        let (rows, hasher) = (&self.rows, &self.hasher);
        let hash_of = |&id: &u32| rows::hash(rows.get(id), hasher);
        self.canonical.insert_unique(hash, id, hash_of);
        true
    }

    /// Undoes [`Index::place_row`].
    fn remove_row(&mut self, id: u32) {
        let hash = rows::hash(self.rows.get(id), &self.hasher);
        if let Ok(entry) = self.canonical.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        self.rows.remove(id);
    }

    /// Makes ids that were removed, and that no log names any more, free to be given.
    pub(crate) fn release(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.free.extend(ids);
    }

    /// Removes series. Their ids are not given again before [`Index::release`].
    pub(crate) fn remove(&mut self, dead: &RoaringBitmap) {
        let mut touched: Vec<PairId> = Vec::new();
        for id in dead {
            let Some(row) = self.rows.get(id) else {
                continue;
            };
            touched.extend(row.pairs());
            self.remove_row(id);
        }
        touched.sort_unstable();
        touched.dedup();
        for pair in touched {
            self.postings[pair as usize].remove_all(dead);
        }
        self.live -= dead;
    }

    /// Calls `each(name, value, n_series)` for every pair with series, in no
    /// particular order.
    pub(crate) fn for_each_pair(&self, mut each: impl FnMut(&str, &str, u64)) {
        let dictionary = self.dictionary.read();
        for (pair, postings) in self.postings.iter().enumerate() {
            if !postings.is_empty() {
                let (name, value) = dictionary.pair_text(pair as PairId);
                each(name, value, postings.len());
            }
        }
    }

    /// Calls `each` with the labels of every series, in order of id.
    pub(crate) fn for_each_labels(
        &self,
        mut each: impl for<'a> FnMut(&mut dyn Iterator<Item = (&'a str, &'a str)>),
    ) {
        let dictionary = self.dictionary.read();
        for row in self.live.iter().filter_map(|id| self.rows.get(id)) {
            each(&mut row.pairs().map(|pair| dictionary.pair_text(pair)));
        }
    }

    /// Counts the series that have this label.
    pub(crate) fn n_series_of(&self, name: &str, value: &str) -> u64 {
        let dictionary = self.dictionary.read();
        let pair = dictionary.name(name);
        let pair = pair.and_then(|name| dictionary.pair(name, value));
        let postings = pair.and_then(|pair| self.postings.get(pair as usize));
        postings.map_or(0, Postings::len)
    }

    /// Returns the names that some series has, in no particular order.
    pub(crate) fn names(&self) -> Vec<String> {
        let dictionary = self.dictionary.read();
        (0..dictionary.n_names() as u32)
            .filter(|&name| {
                let pairs = dictionary.pairs_of(name);
                pairs.iter().any(|&p| !self.postings[p as usize].is_empty())
            })
            .map(|name| dictionary.name_text(name).to_owned())
            .collect()
    }

    /// Returns the values of a name that some series has, in no particular order.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let dictionary = self.dictionary.read();
        let Some(name) = dictionary.name(name) else {
            return Vec::new();
        };
        dictionary
            .pairs_of(name)
            .iter()
            .filter(|&&pair| !self.postings[pair as usize].is_empty())
            .map(|&pair| dictionary.value_text(pair).to_owned())
            .collect()
    }

    /// Counts the pairs with series.
    pub(crate) fn n_pairs(&self) -> usize {
        self.postings.iter().filter(|p| !p.is_empty()).count()
    }

    /// Bytes of interned texts.
    pub(crate) fn text_bytes(&self) -> usize {
        self.dictionary.read().text_bytes()
    }

    /// Bytes of memory of the dictionary.
    pub(crate) fn dictionary_bytes(&self) -> usize {
        self.dictionary.read().memory_bytes()
    }

    /// Bytes of memory of the label rows and the table that finds them.
    pub(crate) fn label_bytes(&self) -> usize {
        self.rows.memory_bytes()
            + self.canonical.allocation_size()
            + self.free.capacity() * size_of::<u32>()
    }

    /// Bytes of memory of the postings, estimated without looking at them: a list takes
    /// two to four bytes for each of its series, a row about three for each of its pairs.
    pub(crate) fn postings_estimate_bytes(&self) -> usize {
        self.postings.capacity() * size_of::<Postings>() + self.rows.memory_bytes()
    }

    /// Bytes of memory of the postings. Looks at every pair.
    pub(crate) fn postings_bytes(&self) -> usize {
        self.postings.capacity() * size_of::<Postings>()
            + self
                .postings
                .iter()
                .map(Postings::memory_bytes)
                .sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
