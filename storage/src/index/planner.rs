//! From matchers to series ids, touching as little as possible.
//!
//! Every matcher becomes a union of postings: of the pairs it wants, or, where it
//! also accepts a series without the label, of the pairs it forbids. The unions of
//! one name are disjoint, because a series has one value per name, so their sizes are
//! exact. The smallest wanted union is listed first and narrowed by the others;
//! where few ids are left, their rows are looked at instead of the postings. What is
//! forbidden is subtracted at the end.

use std::sync::Arc;

use roaring::{MultiOps, RoaringBitmap};

use super::Index;
use super::postings::Postings;
use super::text::{Dictionary, NameId, PairId};
use crate::model::{MatchOp, Matcher};

/// Below this share of the next union's size rows are looked at instead.
const SCAN_SHARE: u64 = 50;

/// Below this number of ids rows are looked at whatever the union's size.
const SCAN_BELOW: usize = 64;

/// A union of the postings of some pairs of one name.
struct Union {
    pairs: Chosen,
    len: u64,
}

enum Chosen {
    One(PairId),
    Some(Arc<Vec<PairId>>),
}

impl Chosen {
    fn as_slice(&self) -> &[PairId] {
        match self {
            Chosen::One(pair) => std::slice::from_ref(pair),
            Chosen::Some(pairs) => pairs,
        }
    }
}

/// What a matcher asks of the postings.
enum Demand {
    Nothing,
    Want(Chosen),
    Forbid(Chosen),
    Impossible,
}

impl Index {
    /// Returns the ids of the series that satisfy all matchers, ascending.
    pub(crate) fn resolve(&self, matchers: &[Matcher]) -> Vec<u32> {
        let dictionary = self.dictionary.read();
        let (mut wanted, mut forbidden) = (Vec::new(), Vec::new());
        for matcher in matchers {
            match self.demand(&dictionary, matcher) {
                Demand::Nothing => {}
                Demand::Want(pairs) => wanted.push(self.union(pairs)),
                Demand::Forbid(pairs) => forbidden.push(self.union(pairs)),
                Demand::Impossible => return Vec::new(),
            }
        }
        drop(dictionary);
        wanted.sort_by_key(|union| union.len);
        let mut ids = match wanted.first() {
            Some(first) if first.len == 0 => return Vec::new(),
            Some(first) => self.list(first),
            None => Ids::Bitmap(self.live.clone()),
        };
        for union in wanted.iter().skip(1) {
            if union.len < self.live.len() {
                self.narrow(&mut ids, union, true);
            }
        }
        for union in &forbidden {
            self.narrow(&mut ids, union, false);
        }
        match ids {
            Ids::List(ids) => ids,
            Ids::Bitmap(bitmap) => bitmap.iter().collect(),
        }
    }

    fn demand(&self, dictionary: &Dictionary, matcher: &Matcher) -> Demand {
        if matcher.matches_all() {
            return Demand::Nothing;
        }
        let accepts_empty = matcher.matches_empty();
        if matcher.matches_none() {
            return Demand::Impossible;
        }
        let Some(name) = dictionary.name(matcher.name()) else {
            return if accepts_empty {
                Demand::Nothing
            } else {
                Demand::Impossible
            };
        };
        // What fits the value or pattern, the negation of the operator left out.
        let fits = match matcher.set_matches() {
            Some([value]) if !value.is_empty() => match dictionary.pair(name, value) {
                Some(pair) => Chosen::One(pair),
                None => Chosen::Some(Arc::default()),
            },
            // The empty value is no pair, so it is not found.
            Some(values) => {
                let pairs = values.iter();
                let mut pairs: Vec<PairId> = pairs
                    .filter_map(|value| dictionary.pair(name, value))
                    .collect();
                pairs.sort_unstable();
                Chosen::Some(Arc::new(pairs))
            }
            None if matcher.op() == MatchOp::Regex && matcher.matches_nonempty() => {
                Chosen::Some(Arc::new(dictionary.pairs_of(name).to_vec()))
            }
            None => Chosen::Some(self.regexes.matched(dictionary, name, matcher)),
        };
        // Wanted are the values for which the whole matcher holds, forbidden those
        // for which it does not; one of the two is the complement of what fits.
        match (matcher.is_negative(), accepts_empty) {
            (false, false) if fits.as_slice().is_empty() => Demand::Impossible,
            (false, false) => Demand::Want(fits),
            (true, true) => Demand::Forbid(fits),
            (false, true) => Demand::Forbid(complement(dictionary, name, fits.as_slice())),
            (true, false) => Demand::Want(complement(dictionary, name, fits.as_slice())),
        }
    }

    fn union(&self, pairs: Chosen) -> Union {
        let len = pairs
            .as_slice()
            .iter()
            .map(|&pair| self.postings[pair as usize].len())
            .sum();
        Union { pairs, len }
    }

    fn list(&self, union: &Union) -> Ids {
        if union.len == self.live.len() {
            return Ids::Bitmap(self.live.clone());
        }
        match union.pairs.as_slice() {
            [pair] => match &self.postings[*pair as usize] {
                Postings::Many(bitmap) => Ids::Bitmap(bitmap.as_ref().clone()),
                short => {
                    let mut ids = Vec::new();
                    short.append_to(&mut ids);
                    Ids::List(ids)
                }
            },
            _ => Ids::Bitmap(self.bitmap(union)),
        }
    }

    fn bitmap(&self, union: &Union) -> RoaringBitmap {
        let (mut bitmaps, mut short) = (Vec::new(), Vec::new());
        for &pair in union.pairs.as_slice() {
            match &self.postings[pair as usize] {
                Postings::Many(bitmap) => bitmaps.push(bitmap.as_ref()),
                other => other.append_to(&mut short),
            }
        }
        short.sort_unstable();
        let mut all = bitmaps.union();
        if all.is_empty() {
            return RoaringBitmap::from_iter(short);
        }
        all.extend(short);
        all
    }

    /// Keeps (or drops) the ids that are in the union.
    fn narrow(&self, ids: &mut Ids, union: &Union, keep: bool) {
        let len = ids.len();
        if len <= SCAN_BELOW || (len as u64) < union.len / SCAN_SHARE {
            let mut list = std::mem::replace(ids, Ids::List(Vec::new())).into_list();
            let test = RowTest::new(union.pairs.as_slice(), self.postings.len());
            list.retain(|&id| {
                let row = self.rows.get(id);
                row.is_some_and(|row| row.pairs().any(|pair| test.holds(pair))) == keep
            });
            *ids = Ids::List(list);
            return;
        }
        match (ids, union.pairs.as_slice()) {
            (Ids::List(list), [pair]) => {
                let postings = &self.postings[*pair as usize];
                list.retain(|&id| postings.contains(id) == keep);
            }
            (Ids::List(list), _) => {
                let bitmap = self.bitmap(union);
                list.retain(|&id| bitmap.contains(id) == keep);
            }
            (Ids::Bitmap(bitmap), pairs) => {
                let other;
                let other = match pairs {
                    [pair] if let Postings::Many(many) = &self.postings[*pair as usize] => many,
                    _ => {
                        other = self.bitmap(union);
                        &other
                    }
                };
                if keep {
                    *bitmap &= other;
                } else {
                    *bitmap -= other;
                }
            }
        }
    }
}

/// The other values of the name.
fn complement(dictionary: &Dictionary, name: NameId, matched: &[PairId]) -> Chosen {
    // Both are in order of first use, which is ascending by id.
    let mut matched = matched.iter().peekable();
    let rest = dictionary
        .pairs_of(name)
        .iter()
        .filter(|pair| matched.next_if_eq(pair).is_none())
        .copied()
        .collect();
    Chosen::Some(Arc::new(rest))
}

/// Ids in ascending order.
enum Ids {
    List(Vec<u32>),
    Bitmap(RoaringBitmap),
}

impl Ids {
    fn len(&self) -> usize {
        match self {
            Ids::List(ids) => ids.len(),
            Ids::Bitmap(bitmap) => bitmap.len() as usize,
        }
    }

    fn into_list(self) -> Vec<u32> {
        match self {
            Ids::List(ids) => ids,
            Ids::Bitmap(bitmap) => bitmap.iter().collect(),
        }
    }
}

/// Tells in constant time whether a pair is one of many.
enum RowTest<'a> {
    Few(&'a [PairId]),
    Bits(Vec<u64>),
}

impl RowTest<'_> {
    fn new(pairs: &[PairId], n_pairs: usize) -> RowTest<'_> {
        if pairs.len() <= 8 {
            return RowTest::Few(pairs);
        }
        let mut bits = vec![0u64; n_pairs.div_ceil(64)];
        for &pair in pairs {
            bits[pair as usize / 64] |= 1 << (pair % 64);
        }
        RowTest::Bits(bits)
    }

    fn holds(&self, pair: PairId) -> bool {
        match self {
            RowTest::Few(pairs) => pairs.contains(&pair),
            RowTest::Bits(bits) => bits[pair as usize / 64] & 1 << (pair % 64) != 0,
        }
    }
}
