//! From matchers to the series of a block: what the planner needs to know.

use std::borrow::Cow;
use std::sync::Arc;

use fst::{IntoStreamer, Streamer};
use roaring::RoaringBitmap;

use super::index::{Index, Name};
use super::{BlockError, lists};
use crate::index::{Lists, NameId, PairId, Postings, Regexes};
use crate::model::Matcher;

/// With fewer values to look at, making an automaton takes longer than it saves.
const MIN_AUTOMATON: u32 = 4096;

/// The labels of a block, looked up.
#[derive(Debug)]
pub(super) struct BlockLists<'a> {
    pub(super) index: &'a Index,
    pub(super) regexes: &'a Regexes,
}

impl BlockLists<'_> {
    fn name_of(&self, name: NameId) -> &Name {
        &self.index.names[name as usize]
    }

    /// Appends the pairs of a name whose value fits a pattern, ascending.
    fn look(
        &self,
        name: NameId,
        matcher: &Matcher,
        matched: &mut Vec<PairId>,
    ) -> Result<(), BlockError> {
        let name = self.name_of(name);
        let dictionary = self.index.dictionary()?;
        let mut pairs = name.base..name.base + name.n_values;
        if let Some(prefix) = matcher.prefix() {
            pairs = dictionary.with_prefix(pairs, prefix);
        }
        if pairs.len() >= MIN_AUTOMATON as usize
            && let Some(transducer) = self.index.transducer(name)?
            && let Some(automaton) = matcher.automaton()
        {
            let mut found = transducer.search(&automaton).into_stream();
            while let Some((_, number)) = found.next() {
                let number = u32::try_from(number).ok();
                let number = number.filter(|&number| number < name.n_values);
                matched.extend(number.map(|number| name.base + number));
            }
            return Ok(());
        }
        let wanted = !matcher.is_negative();
        matched.extend(pairs.filter(|&pair| matcher.matches(dictionary.text(pair)) == wanted));
        Ok(())
    }

    fn corrupt(&self, list: &[u8], pair: PairId, error: crate::codec::CodecError) -> BlockError {
        let detail = format!("{} bytes for value {pair}: {error}", list.len());
        self.index.file.corrupt(0, detail)
    }
}

impl Lists for BlockLists<'_> {
    type Error = BlockError;

    fn n_series(&self) -> u64 {
        u64::from(self.index.n_series)
    }

    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..self.index.n_series);
        all
    }

    fn n_pairs(&self) -> usize {
        self.index.n_pairs() as usize
    }

    fn name(&self, name: &str) -> Option<NameId> {
        self.index.name(name)
    }

    fn pair(&self, name: NameId, value: &str) -> Result<Option<PairId>, BlockError> {
        let name = self.name_of(name);
        if let Some(transducer) = self.index.transducer(name)? {
            let number = transducer.get(value);
            let number = number.and_then(|number| u32::try_from(number).ok());
            let number = number.filter(|&number| number < name.n_values);
            return Ok(number.map(|number| name.base + number));
        }
        let dictionary = self.index.dictionary()?;
        let end = name.base + name.n_values;
        let at = dictionary.position(name.base..end, value.as_bytes());
        Ok((at < end && dictionary.text(at) == value).then_some(at))
    }

    fn pairs_of(&self, name: NameId) -> Cow<'_, [PairId]> {
        let name = self.name_of(name);
        Cow::Owned((name.base..name.base + name.n_values).collect())
    }

    fn matched(&self, name: NameId, matcher: &Matcher) -> Result<Arc<Vec<PairId>>, BlockError> {
        let n_values = self.name_of(name).n_values as usize;
        let look = |_, matched: &mut Vec<PairId>| self.look(name, matcher, matched);
        self.regexes.matched(name, matcher, n_values, look)
    }

    fn len_of(&self, pair: PairId) -> Result<u64, BlockError> {
        let list = self.index.list(pair)?;
        lists::len(list, self.index.n_series).map_err(|e| self.corrupt(list, pair, e))
    }

    fn list(&self, pair: PairId) -> Result<Cow<'_, Postings>, BlockError> {
        let list = self.index.list(pair)?;
        let postings = lists::decode(list, self.index.n_series);
        postings
            .map(Cow::Owned)
            .map_err(|e| self.corrupt(list, pair, e))
    }

    fn row_has(&self, id: u32, test: impl Fn(PairId) -> bool) -> Result<bool, BlockError> {
        Ok(self.index.pairs(id)?.any(|(_, pair)| test(pair)))
    }
}
