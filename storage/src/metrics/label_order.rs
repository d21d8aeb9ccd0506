//! Series of several parts of the store as one list in label order.
//!
//! Labels of different parts are compared as numbers: the first time a label of a part
//! comes up its text is looked for in the parts before, and from then on it costs a look
//! into a table. Blocks number their series in label order, so their lists are merged as
//! they are. The head numbers series in order of creation; nearly all of its series are
//! in some block, too, so they are found there by a hash of their numbers, and only the
//! rest is sorted.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::RwLockReadGuard;

use super::blocks::Served;
use super::head_selection::HeadSelection;
use crate::block::{BlockError, BlockTexts};
use crate::index::{Dictionary, PairId};

/// No series of the head.
const NONE: u32 = u32::MAX;

/// Series of the head that are looked at between two chances for writers.
const BATCH: usize = 256;

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

/// The labels of a part.
#[derive(Debug)]
enum Texts<'a> {
    Block(BlockTexts<'a>),
    Head(RwLockReadGuard<'a, Dictionary>),
}

impl Texts<'_> {
    fn n_pairs(&self) -> usize {
        match self {
            Texts::Block(texts) => texts.n_pairs() as usize,
            Texts::Head(dictionary) => dictionary.n_pairs(),
        }
    }

    #[inline]
    fn text(&self, pair: PairId) -> (&str, &str) {
        match self {
            Texts::Block(texts) => texts.text(pair),
            Texts::Head(dictionary) => dictionary.pair_text(pair),
        }
    }

    fn find(&self, (name, value): (&str, &str)) -> Result<Option<PairId>, BlockError> {
        match self {
            Texts::Block(texts) => texts.find(name, value),
            Texts::Head(dictionary) => {
                let name = dictionary.name(name);
                Ok(name.and_then(|name| dictionary.pair(name, value)))
            }
        }
    }
}

/// A table of all pairs of a part is made where they are not more than so many, or not
/// many more than the series: clearing it would take longer than the work.
const SMALL_TABLE: usize = 4096;
const PAIRS_PER_SERIES: usize = 8;

/// The numbers of the pairs of a part, 0 where one did not come up yet.
#[derive(Debug)]
enum Known {
    Table(Vec<u32>),
    Few(HashMap<PairId, u32, RandomState>),
}

impl Known {
    fn new(n_pairs: usize, n_series: usize) -> Known {
        if n_pairs <= SMALL_TABLE.max(n_series.saturating_mul(PAIRS_PER_SERIES)) {
            Known::Table(vec![0; n_pairs])
        } else {
            Known::Few(HashMap::default())
        }
    }

    #[inline]
    fn get(&self, pair: PairId) -> u32 {
        let known = match self {
            Known::Table(table) => table.get(pair as usize),
            Known::Few(few) => few.get(&pair),
        };
        known.copied().unwrap_or(0)
    }

    fn set(&mut self, pair: PairId, number: u32) {
        match self {
            Known::Table(table) => {
                if let Some(known) = table.get_mut(pair as usize) {
                    *known = number;
                }
            }
            Known::Few(few) => {
                few.insert(pair, number);
            }
        }
    }
}

/// Numbers for the labels of all parts: equal numbers are equal labels.
///
/// Invariant: a number belongs to the label in the first part that has it.
#[derive(Debug)]
struct Numbers<'a> {
    texts: Vec<Texts<'a>>,
    /// By part.
    known: Vec<Known>,
    /// Where the text of each number is; 0 is none.
    places: Vec<(u32, PairId)>,
}

impl<'a> Numbers<'a> {
    /// Begins with blocks, and behind them the head.
    fn new(
        parts: &'a [BlockPart],
        head: Option<&'a HeadSelection>,
    ) -> Result<Numbers<'a>, Unreadable> {
        let mut texts = Vec::with_capacity(parts.len() + 1);
        for (part, BlockPart { block, .. }) in parts.iter().enumerate() {
            let found = block.texts();
            texts.push(Texts::Block(
                found.map_err(|error| Unreadable { part, error })?,
            ));
        }
        texts.extend(head.map(|head| Texts::Head(head.dictionary())));
        let n_series = parts.iter().map(|part| part.ids.len());
        let n_series = n_series.chain(head.map(HeadSelection::len));
        let known = texts.iter().zip(n_series);
        Ok(Numbers {
            known: known
                .map(|(texts, n_series)| Known::new(texts.n_pairs(), n_series))
                .collect(),
            texts,
            places: vec![(0, 0)],
        })
    }

    #[inline]
    fn text(&self, number: u32) -> (&str, &str) {
        let (part, pair) = self.places[number as usize];
        self.texts[part as usize].text(pair)
    }

    /// Returns the number of a label. `expected` is the number it probably has.
    #[inline]
    fn number(
        &mut self,
        part: usize,
        pair: PairId,
        expected: Option<u32>,
    ) -> Result<u32, Unreadable> {
        match self.known[part].get(pair) {
            0 => self.look(part, pair, expected),
            number => Ok(number),
        }
    }

    #[cold]
    fn look(
        &mut self,
        part: usize,
        pair: PairId,
        expected: Option<u32>,
    ) -> Result<u32, Unreadable> {
        if pair as usize >= self.texts[part].n_pairs() {
            // Only damage makes up such a pair.
            return Ok(0);
        }
        let text = self.texts[part].text(pair);
        let mut found = (part, pair);
        match expected.filter(|&number| self.text(number) == text) {
            Some(number) => found = self.place(number),
            None => {
                for (other, texts) in self.texts[..part].iter().enumerate() {
                    let place = texts.find(text);
                    let place = place.map_err(|error| Unreadable { part: other, error })?;
                    if let Some(pair) = place {
                        found = (other, pair);
                        break;
                    }
                }
            }
        }
        let number = match self.known[found.0].get(found.1) {
            0 => {
                self.places.push((found.0 as u32, found.1));
                self.places.len() as u32 - 1
            }
            number => number,
        };
        self.known[found.0].set(found.1, number);
        self.known[part].set(pair, number);
        Ok(number)
    }

    fn place(&self, number: u32) -> (usize, PairId) {
        let (part, pair) = self.places[number as usize];
        (part as usize, pair)
    }

    /// Replaces `row` by the numbers of the labels of a part. `expected` is the row it
    /// probably is.
    #[inline]
    fn read(
        &mut self,
        part: usize,
        pairs: impl Iterator<Item = PairId>,
        expected: &[u32],
        row: &mut Vec<u32>,
    ) -> Result<(), Unreadable> {
        row.clear();
        for pair in pairs {
            let expected = expected.get(row.len()).copied();
            row.push(self.number(part, pair, expected)?);
        }
        Ok(())
    }

    /// Compares two label sets.
    #[inline]
    fn compare(&self, one: &[u32], other: &[u32]) -> Ordering {
        let differs = one.iter().zip(other).find(|(one, other)| one != other);
        match differs {
            Some((&one, &other)) => self.text(one).cmp(&self.text(other)),
            None => one.len().cmp(&other.len()),
        }
    }

    /// Lets whoever wants to add labels to the head.
    fn yield_head(&mut self) {
        if let Some(Texts::Head(dictionary)) = self.texts.last_mut() {
            RwLockReadGuard::bump(dictionary);
        }
    }
}

/// A walk over the series of blocks in label order.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    parts: &'a [BlockPart],
    numbers: Numbers<'a>,
    /// Labels of the next series of each part; empty behind the last one.
    rows: Vec<Vec<u32>>,
    at: Vec<usize>,
    members: Vec<Member>,
    /// Labels of the series of `members`.
    row: Vec<u32>,
    begun: bool,
}

impl<'a> Walk<'a> {
    /// Stands before the first series.
    ///
    /// # Errors
    /// The labels of a block cannot be read.
    pub(super) fn new(parts: &'a [BlockPart]) -> Result<Walk<'a>, Unreadable> {
        Ok(Walk::with(parts, Numbers::new(parts, None)?))
    }

    fn with(parts: &'a [BlockPart], numbers: Numbers<'a>) -> Walk<'a> {
        Walk {
            parts,
            numbers,
            rows: vec![Vec::new(); parts.len()],
            at: vec![0; parts.len()],
            members: Vec::new(),
            row: Vec::new(),
            begun: false,
        }
    }

    /// Reads the labels of the next series of a part. `like` is the part whose next
    /// series is probably the same.
    fn load(&mut self, part: usize, like: Option<usize>) -> Result<(), Unreadable> {
        let BlockPart { block, ids } = &self.parts[part];
        let mut row = std::mem::take(&mut self.rows[part]);
        row.clear();
        if let Some(&series) = ids.get(self.at[part]) {
            let unreadable = |error| Unreadable { part, error };
            let pairs = block.pairs(series).map_err(unreadable)?;
            let expected = like.map_or(&[][..], |like| &self.rows[like]);
            self.numbers.read(part, pairs, expected, &mut row)?;
        }
        self.rows[part] = row;
        Ok(())
    }

    /// Returns where the next series is, in the order of the parts; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<&[Member]>, Unreadable> {
        if !self.begun {
            self.begun = true;
            for part in 0..self.parts.len() {
                self.load(part, part.checked_sub(1))?;
            }
        }
        self.members.clear();
        let mut least: Option<&[u32]> = None;
        for (part, row) in self.rows.iter().enumerate() {
            let Some(&series) = self.parts[part].ids.get(self.at[part]) else {
                continue;
            };
            match least.map(|least| self.numbers.compare(row, least)) {
                Some(Ordering::Greater) => continue,
                Some(Ordering::Equal) => {}
                Some(Ordering::Less) | None => {
                    least = Some(row);
                    self.members.clear();
                }
            }
            let part = part as u32;
            self.members.push(Member { part, series });
        }
        let Some(first) = self.members.first() else {
            return Ok(None);
        };
        std::mem::swap(&mut self.row, &mut self.rows[first.part as usize]);
        let mut like = None;
        for at in 0..self.members.len() {
            let part = self.members[at].part as usize;
            self.at[part] += 1;
            self.load(part, like)?;
            like = Some(part);
        }
        Ok(Some(&self.members))
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

/// Label sets as numbers, one after the other.
#[derive(Debug, Default)]
struct Sets {
    numbers: Vec<u32>,
    ends: Vec<usize>,
}

impl Sets {
    fn push(&mut self, set: &[u32]) {
        self.numbers.extend_from_slice(set);
        self.ends.push(self.numbers.len());
    }

    #[inline]
    fn get(&self, at: usize) -> &[u32] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.numbers[start..self.ends[at]]
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

impl Merged {
    /// Merges the series of blocks, which stay in the order of `parts`, and those of the
    /// head.
    pub(super) fn new(parts: &[BlockPart], head: &HeadSelection) -> Result<Merged, Unreadable> {
        let most = parts.iter().map(|part| part.ids.len()).max().unwrap_or(0);
        let mut merged = Merged {
            rows: Vec::with_capacity(most),
            members: Vec::with_capacity(parts.iter().map(|part| part.ids.len()).sum()),
        };
        let head = (head.len() > 0).then_some(head);
        let mut walk = Walk::with(parts, Numbers::new(parts, head)?);
        let mut sets = Sets::default();
        while let Some(members) = walk.next()? {
            merged.rows.push(Row {
                first: merged.members.len() as u32,
                n: members.len() as u32,
                head: NONE,
            });
            merged.members.extend_from_slice(members);
            if head.is_some() {
                sets.push(&walk.row);
                if sets.len().is_multiple_of(BATCH) {
                    walk.numbers.yield_head();
                }
            }
        }
        if let Some(head) = head {
            merged.join(walk.numbers, &sets, parts.len(), head)?;
        }
        Ok(merged)
    }

    /// Adds the series of the head, which is part number `part`, to rows with these labels.
    fn join(
        &mut self,
        mut numbers: Numbers<'_>,
        sets: &Sets,
        part: usize,
        head: &HeadSelection,
    ) -> Result<(), Unreadable> {
        let hasher = RandomState::default();
        let mut by_labels: HashTable<u32> = HashTable::with_capacity(sets.len());
        for at in 0..sets.len() {
            let hash = hasher.hash_one(sets.get(at));
            // Nothing grows, so nothing is hashed again.
            by_labels.insert_unique(hash, at as u32, |_| hash);
        }
        let (mut rest, mut rest_sets) = (Vec::new(), Sets::default());
        let mut row = Vec::new();
        for series in 0..head.len() {
            numbers.read(part, head.row(series).pairs(), &[], &mut row)?;
            let same = |&at: &u32| sets.get(at as usize) == row;
            match by_labels.find(hasher.hash_one(row.as_slice()), same) {
                Some(&at) => self.rows[at as usize].head = series as u32,
                None => {
                    rest.push(series as u32);
                    rest_sets.push(&row);
                }
            }
            if series % BATCH == 0 {
                numbers.yield_head();
            }
        }
        if !rest.is_empty() {
            let order = in_label_order(&numbers, &rest_sets);
            self.insert(&numbers, sets, &rest_sets, &order, &rest);
        }
        Ok(())
    }

    /// Adds series that only the head has, in the order given.
    fn insert(
        &mut self,
        numbers: &Numbers<'_>,
        sets: &Sets,
        rest_sets: &Sets,
        order: &[u32],
        rest: &[u32],
    ) {
        let mut rows = Vec::with_capacity(self.rows.len() + rest.len());
        let mut at = 0;
        for &place in order {
            let set = rest_sets.get(place as usize);
            let is_before = |at: usize| numbers.compare(sets.get(at), set) == Ordering::Less;
            let next = first_not(at..sets.len(), is_before);
            rows.extend_from_slice(&self.rows[at..next]);
            rows.push(Row {
                first: 0,
                n: 0,
                head: rest[place as usize],
            });
            at = next;
        }
        rows.extend_from_slice(&self.rows[at..]);
        self.rows = rows;
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
    #[inline]
    pub(super) fn members(&self, index: usize) -> &[Member] {
        let Row { first, n, .. } = self.rows[index];
        &self.members[first as usize..(first + n) as usize]
    }

    /// Returns the number of series `index` in the list of the head.
    #[inline]
    pub(super) fn head(&self, index: usize) -> Option<usize> {
        let head = self.rows[index].head;
        (head != NONE).then_some(head as usize)
    }
}

/// Sorts label sets: returns their places in label order. Their labels, which are fewer,
/// are sorted as texts; the sets are then a matter of numbers.
fn in_label_order(numbers: &Numbers<'_>, sets: &Sets) -> Vec<u32> {
    let mut labels = sets.numbers.clone();
    labels.sort_unstable();
    labels.dedup();
    labels.sort_unstable_by(|&one, &other| numbers.text(one).cmp(&numbers.text(other)));
    let mut ranks = vec![0u32; numbers.places.len()];
    for (rank, &label) in (0..).zip(&labels) {
        ranks[label as usize] = rank;
    }
    let ranked = Sets {
        numbers: sets.numbers.iter().map(|&n| ranks[n as usize]).collect(),
        ends: sets.ends.clone(),
    };
    let mut order: Vec<u32> = (0..sets.len() as u32).collect();
    order.sort_unstable_by(|&one, &other| ranked.get(one as usize).cmp(ranked.get(other as usize)));
    order
}

/// Returns the first position in `range` that is not `before`, or its end. Positions
/// before are followed by others only; steps widen, for it is mostly near.
fn first_not(range: Range<usize>, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut step) = (range.start, 1);
    while low < range.end && before((low + step - 1).min(range.end - 1)) {
        low = (low + step).min(range.end);
        step *= 2;
    }
    let mut high = (low + step - 1).min(range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
