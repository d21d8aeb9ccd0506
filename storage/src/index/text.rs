//! Interned label names and values: texts in pages, names and pairs by dense numbers.
//!
//! A *pair* is one `name=value`; its number stands for it in the rows of the series
//! and in the postings. Numbers are given in order of first use and stay valid for
//! the life of the [`Dictionary`]; nothing is ever removed from one. A store that has
//! gathered many dead pairs builds a new dictionary, and readers of the old one keep it.

use std::cmp::Ordering;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Bytes of a page of text. A longer text gets a page of its own.
const PAGE_BYTES: usize = 1 << 20;

/// Number of an interned label name.
pub(crate) type NameId = u32;

/// Number of an interned `name=value`.
pub(crate) type PairId = u32;

/// Stands for a pair that is not interned.
pub(super) const NO_PAIR: PairId = PairId::MAX;

/// A place in the pages: page number and offset packed, and a length in bytes.
#[derive(Debug, Clone, Copy)]
struct Text {
    page: u32,
    at: u32,
    len: u32,
}

#[derive(Debug, Default, Clone)]
struct Texts {
    pages: Vec<String>,
    len_bytes: usize,
}

impl Texts {
    fn push(&mut self, text: &str) -> Text {
        let fits = self
            .pages
            .last()
            .is_some_and(|page| page.len() + text.len() <= PAGE_BYTES);
        if !fits {
            self.pages
                .push(String::with_capacity(PAGE_BYTES.max(text.len())));
        }
        let page = self.pages.len() - 1;
        let at = self.pages[page].len();
        self.pages[page].push_str(text);
        self.len_bytes += text.len();
        Text {
            page: page as u32,
            at: at as u32,
            len: text.len() as u32,
        }
    }

    fn get(&self, text: Text) -> &str {
        &self.pages[text.page as usize][text.at as usize..(text.at + text.len) as usize]
    }
}

#[derive(Debug)]
struct Name {
    text: Text,
    pairs: Vec<PairId>,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    name: NameId,
    value: Text,
}

/// All label names and values of a store.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    texts: Texts,
    names: Vec<Name>,
    pairs: Vec<Pair>,
    by_name: HashTable<NameId>,
    by_pair: HashTable<PairId>,
    hasher: RandomState,
}

impl Dictionary {
    /// Finds a name.
    pub(crate) fn name(&self, name: &str) -> Option<NameId> {
        let hash = self.hasher.hash_one(name);
        self.by_name
            .find(hash, |&id| self.name_text(id) == name)
            .copied()
    }

    /// Finds a pair.
    pub(crate) fn pair(&self, name: NameId, value: &str) -> Option<PairId> {
        let hash = self.hash_pair(name, value);
        self.by_pair
            .find(hash, |&id| {
                let pair = self.pairs[id as usize];
                pair.name == name && self.texts.get(pair.value) == value
            })
            .copied()
    }

    /// Finds the pairs of a label set, [`NO_PAIR`] for those that are not known.
    ///
    /// `recent` is a label set of this dictionary that may have much in common with it,
    /// as those of one scrape or request have: what is equal costs a comparison instead
    /// of a look into the tables.
    pub(crate) fn find_all<'a>(
        &self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        mut recent: &[PairId],
        into: &mut Vec<PairId>,
    ) {
        into.clear();
        for (name, value) in labels {
            let mut known_name = None;
            let mut known_pair = None;
            while let Some((&pair, rest)) = recent.split_first() {
                let (recent_name, recent_value) = self.pair_text(pair);
                match recent_name.cmp(name) {
                    Ordering::Less => recent = rest,
                    Ordering::Greater => break,
                    Ordering::Equal => {
                        known_name = Some(self.pair_name(pair));
                        known_pair = (recent_value == value).then_some(pair);
                        recent = rest;
                        break;
                    }
                }
            }
            let pair = known_pair.or_else(|| {
                let name = known_name.or_else(|| self.name(name))?;
                self.pair(name, value)
            });
            into.push(pair.unwrap_or(NO_PAIR));
        }
    }

    /// Finds a pair or adds it.
    pub(crate) fn intern(&mut self, name: &str, value: &str) -> PairId {
        let name = match self.name(name) {
            Some(id) => id,
            None => self.add_name(name),
        };
        match self.pair(name, value) {
            Some(pair) => pair,
            None => self.add_pair(name, value),
        }
    }

    /// Adds a pair that is not there. Its name is.
    pub(crate) fn add_pair(&mut self, name: NameId, value: &str) -> PairId {
        let id = self.pairs.len() as PairId;
        let value_text = self.texts.push(value);
        self.pairs.push(Pair {
            name,
            value: value_text,
        });
        self.names[name as usize].pairs.push(id);
        let hash = self.hash_pair(name, value);
        let (pairs, texts, hasher) = (&self.pairs, &self.texts, &self.hasher);
        self.by_pair.insert_unique(hash, id, |&id| {
            let pair = pairs[id as usize];
            hasher.hash_one((pair.name, texts.get(pair.value)))
        });
        id
    }

    /// Makes room for pairs to come.
    pub(crate) fn reserve(&mut self, n_pairs: usize) {
        self.pairs.reserve(n_pairs);
        let (pairs, texts, hasher) = (&self.pairs, &self.texts, &self.hasher);
        self.by_pair.reserve(n_pairs, |&id| {
            let pair = pairs[id as usize];
            hasher.hash_one((pair.name, texts.get(pair.value)))
        });
    }

    /// Adds a name that is not there.
    pub(crate) fn add_name(&mut self, name: &str) -> NameId {
        let id = self.names.len() as NameId;
        let text = self.texts.push(name);
        self.names.push(Name {
            text,
            pairs: Vec::new(),
        });
        let hash = self.hasher.hash_one(name);
        let (names, texts, hasher) = (&self.names, &self.texts, &self.hasher);
        self.by_name.insert_unique(hash, id, |&id| {
            hasher.hash_one(texts.get(names[id as usize].text))
        });
        id
    }

    fn hash_pair(&self, name: NameId, value: &str) -> u64 {
        self.hasher.hash_one((name, value))
    }

    /// Returns the text of a name.
    pub(crate) fn name_text(&self, name: NameId) -> &str {
        self.texts.get(self.names[name as usize].text)
    }

    /// Returns name and value of a pair.
    pub(crate) fn pair_text(&self, pair: PairId) -> (&str, &str) {
        let pair = self.pairs[pair as usize];
        (self.name_text(pair.name), self.texts.get(pair.value))
    }

    /// Returns the value of a pair.
    pub(crate) fn value_text(&self, pair: PairId) -> &str {
        self.texts.get(self.pairs[pair as usize].value)
    }

    /// Returns the name of a pair.
    pub(crate) fn pair_name(&self, pair: PairId) -> NameId {
        self.pairs[pair as usize].name
    }

    /// Returns the pairs of a name in order of first use.
    pub(crate) fn pairs_of(&self, name: NameId) -> &[PairId] {
        &self.names[name as usize].pairs
    }

    /// Counts the names.
    pub(crate) fn n_names(&self) -> usize {
        self.names.len()
    }

    /// Counts the pairs.
    pub(crate) fn n_pairs(&self) -> usize {
        self.pairs.len()
    }

    /// Returns the bytes of all texts.
    pub(crate) fn text_bytes(&self) -> usize {
        self.texts.len_bytes
    }

    /// Returns the bytes of memory held, by capacity; of the page that is being
    /// filled only what is filled, because the rest was never touched.
    pub(crate) fn memory_bytes(&self) -> usize {
        let lists: usize = self
            .names
            .iter()
            .map(|name| size_of_val(name.pairs.as_slice()))
            .sum();
        self.texts.len_bytes
            + lists
            + self.names.capacity() * size_of::<Name>()
            + self.pairs.capacity() * size_of::<Pair>()
            + self.by_name.allocation_size()
            + self.by_pair.allocation_size()
    }
}

/// The texts of a dictionary at one moment, without the tables that find them.
#[derive(Debug)]
pub(crate) struct PairTexts {
    texts: Texts,
    names: Vec<Text>,
    pairs: Vec<Pair>,
}

impl Dictionary {
    /// Copies what [`PairTexts::ranks`] needs, so that it can be done without a lock.
    pub(crate) fn copy_texts(&self) -> PairTexts {
        PairTexts {
            texts: self.texts.clone(),
            names: self.names.iter().map(|name| name.text).collect(),
            pairs: self.pairs.clone(),
        }
    }
}

impl PairTexts {
    /// Returns for every pair its place in the order of names, then values. The label
    /// order of two series is that of the ranks of their pairs.
    pub(crate) fn ranks(&self) -> Vec<u32> {
        let text = |name: NameId| self.texts.get(self.names[name as usize]);
        let mut names: Vec<NameId> = (0..self.names.len() as NameId).collect();
        names.sort_unstable_by_key(|&name| text(name));
        let mut name_ranks = vec![0u32; names.len()];
        for (rank, &name) in (0..).zip(&names) {
            name_ranks[name as usize] = rank;
        }
        let mut pairs: Vec<PairId> = (0..self.pairs.len() as PairId).collect();
        pairs.sort_unstable_by_key(|&pair| {
            let pair = self.pairs[pair as usize];
            (name_ranks[pair.name as usize], self.texts.get(pair.value))
        });
        let mut ranks = vec![0u32; pairs.len()];
        for (rank, &pair) in (0..).zip(&pairs) {
            ranks[pair as usize] = rank;
        }
        ranks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_order_of_names_then_values() {
        let mut dictionary = Dictionary::default();
        let pairs = [
            ("b", "1"),
            ("a", "z"),
            ("ab", ""),
            ("b", "0"),
            ("a", "é"),
            ("a", ""),
        ];
        for (name, value) in pairs {
            dictionary.intern(name, value);
        }
        let ranks = dictionary.copy_texts().ranks();
        let mut by_rank: Vec<usize> = (0..pairs.len()).collect();
        by_rank.sort_by_key(|&pair| ranks[pair]);
        let mut sorted = pairs;
        sorted.sort_unstable();
        assert_eq!(
            by_rank.iter().map(|&pair| pairs[pair]).collect::<Vec<_>>(),
            sorted
        );
    }

    #[test]
    fn pairs_are_found_again_and_keep_their_numbers() {
        let mut dictionary = Dictionary::default();
        let long = "x".repeat(PAGE_BYTES + 3);
        let pairs = [
            ("job", "a"),
            ("job", "b"),
            ("a", "job"),
            ("job", &long),
            ("é", "ü"),
        ];
        let ids: Vec<PairId> = pairs.iter().map(|(n, v)| dictionary.intern(n, v)).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4]);
        for (&id, (name, value)) in ids.iter().zip(pairs) {
            assert_eq!(dictionary.intern(name, value), id);
            assert_eq!(dictionary.pair_text(id), (name, value));
        }
        let job = dictionary.name("job").unwrap();
        assert_eq!(dictionary.pairs_of(job), [0, 1, 3]);
        assert_eq!(dictionary.pair(job, "job"), None);
        assert_eq!(dictionary.name("b"), None);
    }
}
