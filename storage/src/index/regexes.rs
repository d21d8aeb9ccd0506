//! Which values of a name match a pattern: remembered between queries.
//!
//! Pairs of a name are only ever added, so an answer stays right for the pairs it has
//! seen and needs no more than a look at the new ones.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::text::{NameId, PairId};
use crate::model::Matcher;

/// Patterns and ids that are remembered; past either everything is forgotten.
const MAX_PATTERNS: usize = 512;
const MAX_IDS: usize = 1 << 20;

/// Remembered answers of one dictionary, or of one block.
#[derive(Debug)]
pub(crate) struct Regexes {
    known: Mutex<Known>,
    max_ids: usize,
}

impl Default for Regexes {
    fn default() -> Regexes {
        Regexes::with_limit(MAX_IDS)
    }
}

#[derive(Debug, Default)]
struct Known {
    answers: HashMap<(NameId, String), Answer>,
    n_ids: usize,
}

#[derive(Debug, Clone)]
struct Answer {
    /// Pairs of the name that were looked at.
    seen: usize,
    /// Those of them whose value matches the pattern.
    matched: Arc<Vec<PairId>>,
}

impl Regexes {
    /// Returns a memory for so many ids in all.
    pub(crate) fn with_limit(max_ids: usize) -> Regexes {
        Regexes {
            known: Mutex::default(),
            max_ids,
        }
    }

    /// Returns the pairs of `name` whose value matches the pattern of a `=~` or `!~`
    /// matcher, ascending. The operator's negation is not applied.
    ///
    /// `look(seen, matched)` appends what matches of the `n_pairs` pairs of the name from
    /// number `seen` on.
    pub(crate) fn matched<E>(
        &self,
        name: NameId,
        matcher: &Matcher,
        n_pairs: usize,
        look: impl FnOnce(usize, &mut Vec<PairId>) -> Result<(), E>,
    ) -> Result<Arc<Vec<PairId>>, E> {
        let key = (name, matcher.value().to_owned());
        let known = self.known.lock().answers.get(&key).cloned();
        let (mut matched, seen) = match known {
            Some(answer) if answer.seen == n_pairs => return Ok(answer.matched),
            Some(answer) => (answer.matched.as_ref().clone(), answer.seen),
            None => (Vec::new(), 0),
        };
        look(seen, &mut matched)?;
        let matched = Arc::new(matched);
        let mut known = self.known.lock();
        if known.answers.len() >= MAX_PATTERNS || known.n_ids + matched.len() > self.max_ids {
            known.answers.clear();
            known.n_ids = 0;
        }
        known.n_ids += matched.len();
        let answer = Answer {
            seen: n_pairs,
            matched: Arc::clone(&matched),
        };
        if let Some(before) = known.answers.insert(key, answer) {
            known.n_ids = known.n_ids.saturating_sub(before.matched.len());
        }
        Ok(matched)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self.known.get_mut() = Known::default();
    }
}
