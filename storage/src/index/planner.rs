//! From matchers to series ids, touching as little as possible.
//!
//! Every matcher becomes a union of postings: of the pairs it wants, or, where it
//! also accepts a series without the label, of the pairs it forbids. The unions of
//! one name are disjoint, because a series has one value per name, so their sizes are
//! exact. The smallest wanted union is listed first and narrowed by the others;
//! where few ids are left, their rows are looked at instead of the postings. What is
//! forbidden is subtracted at the end.
//!
//! The plan is the same for series in memory and for those of a block; what differs is
//! behind [`Lists`].

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use parking_lot::RwLockReadGuard;
use roaring::{MultiOps, RoaringBitmap};

use super::Index;
use super::postings::Postings;
use super::text::{Dictionary, NameId, PairId};
use crate::model::{MatchOp, Matcher};

/// Below this share of the next union's size rows are looked at instead.
const SCAN_SHARE: u64 = 50;

/// Below this number of ids rows are looked at whatever the union's size.
const SCAN_BELOW: usize = 64;

/// Labels and the series that have them: what a plan is made of.
pub(crate) trait Lists {
    /// Why something could not be looked up.
    type Error;

    /// Counts the series.
    fn n_series(&self) -> u64;

    /// Returns the ids of all series.
    fn all(&self) -> RoaringBitmap;

    /// Returns a number above those of all pairs.
    fn n_pairs(&self) -> usize;

    /// Finds a name.
    fn name(&self, name: &str) -> Option<NameId>;

    /// Finds a pair.
    fn pair(&self, name: NameId, value: &str) -> Result<Option<PairId>, Self::Error>;

    /// Returns the pairs of a name, ascending.
    fn pairs_of(&self, name: NameId) -> Cow<'_, [PairId]>;

    /// Returns the pairs of a name whose value fits a pattern, ascending. The negation
    /// of the operator is not applied.
    fn matched(&self, name: NameId, matcher: &Matcher) -> Result<Arc<Vec<PairId>>, Self::Error>;

    /// Counts the series of a pair.
    fn len_of(&self, pair: PairId) -> Result<u64, Self::Error>;

    /// Returns the series of a pair.
    fn list(&self, pair: PairId) -> Result<Cow<'_, Postings>, Self::Error>;

    /// Tells whether a pair of the series passes the test.
    fn row_has(&self, id: u32, test: impl Fn(PairId) -> bool) -> Result<bool, Self::Error>;
}

/// The index in memory, its dictionary held.
struct InMemory<'a> {
    index: &'a Index,
    dictionary: RwLockReadGuard<'a, Dictionary>,
}

impl Lists for InMemory<'_> {
    type Error = Infallible;

    fn n_series(&self) -> u64 {
        self.index.live.len()
    }

    fn all(&self) -> RoaringBitmap {
        self.index.live.clone()
    }

    fn n_pairs(&self) -> usize {
        self.index.postings.len()
    }

    fn name(&self, name: &str) -> Option<NameId> {
        self.dictionary.name(name)
    }

    fn pair(&self, name: NameId, value: &str) -> Result<Option<PairId>, Infallible> {
        Ok(self.dictionary.pair(name, value))
    }

    fn pairs_of(&self, name: NameId) -> Cow<'_, [PairId]> {
        Cow::Borrowed(self.dictionary.pairs_of(name))
    }

    fn matched(&self, name: NameId, matcher: &Matcher) -> Result<Arc<Vec<PairId>>, Infallible> {
        let pairs = self.dictionary.pairs_of(name);
        let wanted = !matcher.is_negative();
        let look = |seen: usize, matched: &mut Vec<PairId>| {
            let fits =
                |&&pair: &&PairId| matcher.matches(self.dictionary.value_text(pair)) == wanted;
            matched.extend(pairs[seen..].iter().filter(fits));
            Ok(())
        };
        self.index.regexes.matched(name, matcher, pairs.len(), look)
    }

    fn len_of(&self, pair: PairId) -> Result<u64, Infallible> {
        Ok(self.index.postings[pair as usize].len())
    }

    fn list(&self, pair: PairId) -> Result<Cow<'_, Postings>, Infallible> {
        Ok(Cow::Borrowed(&self.index.postings[pair as usize]))
    }

    fn row_has(&self, id: u32, test: impl Fn(PairId) -> bool) -> Result<bool, Infallible> {
        let row = self.index.rows.get(id);
        Ok(row.is_some_and(|row| row.pairs().any(test)))
    }
}

impl Index {
    /// Returns the ids of the series that satisfy all matchers, ascending.
    pub(crate) fn resolve(&self, matchers: &[Matcher]) -> Vec<u32> {
        let lists = InMemory {
            index: self,
            dictionary: self.dictionary.read(),
        };
        match resolve(&lists, matchers) {
            Ok(ids) => ids,
            Err(never) => match never {},
        }
    }
}

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

/// Returns the ids of the series that satisfy all matchers, ascending.
pub(crate) fn resolve<L: Lists>(lists: &L, matchers: &[Matcher]) -> Result<Vec<u32>, L::Error> {
    let (mut wanted, mut forbidden) = (Vec::new(), Vec::new());
    for matcher in matchers {
        match demand(lists, matcher)? {
            Demand::Nothing => {}
            Demand::Want(pairs) => wanted.push(union(lists, pairs)?),
            Demand::Forbid(pairs) => forbidden.push(union(lists, pairs)?),
            Demand::Impossible => return Ok(Vec::new()),
        }
    }
    wanted.sort_by_key(|union| union.len);
    let mut ids = match wanted.first() {
        Some(first) if first.len == 0 => return Ok(Vec::new()),
        Some(first) => list(lists, first)?,
        None => Ids::Bitmap(lists.all()),
    };
    for union in wanted.iter().skip(1) {
        if union.len < lists.n_series() {
            narrow(lists, &mut ids, union, true)?;
        }
    }
    for union in &forbidden {
        narrow(lists, &mut ids, union, false)?;
    }
    Ok(ids.into_list())
}

fn demand<L: Lists>(lists: &L, matcher: &Matcher) -> Result<Demand, L::Error> {
    if matcher.matches_all() {
        return Ok(Demand::Nothing);
    }
    let accepts_empty = matcher.matches_empty();
    if matcher.matches_none() {
        return Ok(Demand::Impossible);
    }
    let Some(name) = lists.name(matcher.name()) else {
        return Ok(if accepts_empty {
            Demand::Nothing
        } else {
            Demand::Impossible
        });
    };
    // What fits the value or pattern, the negation of the operator left out.
    let fits = match matcher.set_matches() {
        Some([value]) if !value.is_empty() => match lists.pair(name, value)? {
            Some(pair) => Chosen::One(pair),
            None => Chosen::Some(Arc::default()),
        },
        // The empty value is no pair, so it is not found.
        Some(values) => {
            let mut pairs = Vec::with_capacity(values.len());
            for value in values {
                pairs.extend(lists.pair(name, value)?);
            }
            pairs.sort_unstable();
            Chosen::Some(Arc::new(pairs))
        }
        None if matcher.op() == MatchOp::Regex && matcher.matches_nonempty() => {
            Chosen::Some(Arc::new(lists.pairs_of(name).into_owned()))
        }
        None => Chosen::Some(lists.matched(name, matcher)?),
    };
    // Wanted are the values for which the whole matcher holds, forbidden those
    // for which it does not; one of the two is the complement of what fits.
    let complement = || complement(&lists.pairs_of(name), fits.as_slice());
    Ok(match (matcher.is_negative(), accepts_empty) {
        (false, false) if fits.as_slice().is_empty() => Demand::Impossible,
        (false, false) => Demand::Want(fits),
        (true, true) => Demand::Forbid(fits),
        (false, true) => Demand::Forbid(complement()),
        (true, false) => Demand::Want(complement()),
    })
}

fn union<L: Lists>(lists: &L, pairs: Chosen) -> Result<Union, L::Error> {
    let mut len = 0;
    for &pair in pairs.as_slice() {
        len += lists.len_of(pair)?;
    }
    Ok(Union { pairs, len })
}

fn list<L: Lists>(lists: &L, union: &Union) -> Result<Ids, L::Error> {
    if union.len == lists.n_series() {
        return Ok(Ids::Bitmap(lists.all()));
    }
    let [pair] = union.pairs.as_slice() else {
        return Ok(Ids::Bitmap(bitmap(lists, union)?));
    };
    Ok(match lists.list(*pair)? {
        Cow::Borrowed(Postings::Many(bitmap)) => Ids::Bitmap(bitmap.as_ref().clone()),
        Cow::Owned(Postings::Many(bitmap)) => Ids::Bitmap(*bitmap),
        short => {
            let mut ids = Vec::new();
            short.append_to(&mut ids);
            Ids::List(ids)
        }
    })
}

fn bitmap<L: Lists>(lists: &L, union: &Union) -> Result<RoaringBitmap, L::Error> {
    let (mut many, mut short) = (Vec::new(), Vec::new());
    for &pair in union.pairs.as_slice() {
        let list = lists.list(pair)?;
        match list.as_ref() {
            Postings::Many(_) => many.push(list),
            other => other.append_to(&mut short),
        }
    }
    short.sort_unstable();
    let bitmaps = many.iter().filter_map(|list| match list.as_ref() {
        Postings::Many(bitmap) => Some(bitmap.as_ref()),
        _ => None,
    });
    let mut all = bitmaps.union();
    if all.is_empty() {
        return Ok(RoaringBitmap::from_iter(short));
    }
    all.extend(short);
    Ok(all)
}

/// Keeps (or drops) the ids that are in the union.
fn narrow<L: Lists>(lists: &L, ids: &mut Ids, union: &Union, keep: bool) -> Result<(), L::Error> {
    let len = ids.len();
    if len <= SCAN_BELOW || (len as u64) < union.len / SCAN_SHARE {
        let list = std::mem::replace(ids, Ids::List(Vec::new())).into_list();
        let test = RowTest::new(union.pairs.as_slice(), lists.n_pairs());
        let mut kept = Vec::with_capacity(list.len());
        for id in list {
            if lists.row_has(id, |pair| test.holds(pair))? == keep {
                kept.push(id);
            }
        }
        *ids = Ids::List(kept);
        return Ok(());
    }
    match (ids, union.pairs.as_slice()) {
        (Ids::List(list), [pair]) => {
            let postings = lists.list(*pair)?;
            list.retain(|&id| postings.contains(id) == keep);
        }
        (Ids::List(list), _) => {
            let bitmap = bitmap(lists, union)?;
            list.retain(|&id| bitmap.contains(id) == keep);
        }
        (Ids::Bitmap(bits), pairs) => {
            let (one, some);
            let other = match pairs {
                [pair] => {
                    one = lists.list(*pair)?;
                    match one.as_ref() {
                        Postings::Many(many) => many.as_ref(),
                        _ => {
                            some = bitmap(lists, union)?;
                            &some
                        }
                    }
                }
                _ => {
                    some = bitmap(lists, union)?;
                    &some
                }
            };
            if keep {
                *bits &= other;
            } else {
                *bits -= other;
            }
        }
    }
    Ok(())
}

/// The other values of the name; both are ascending.
fn complement(all: &[PairId], matched: &[PairId]) -> Chosen {
    let mut matched = matched.iter().peekable();
    let rest = all
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
            // A damaged row of a block may have pairs that do not exist.
            RowTest::Bits(bits) => bits
                .get(pair as usize / 64)
                .is_some_and(|word| word & 1 << (pair % 64) != 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_does_not_exist_is_none_of_many() {
        let pairs: Vec<PairId> = (0..20).step_by(2).collect();
        let test = RowTest::new(&pairs, 20);
        assert!(matches!(test, RowTest::Bits(_)));
        for pair in (0..1000).chain([u32::MAX]) {
            assert_eq!(test.holds(pair), pairs.contains(&pair), "{pair}");
        }
    }
}
