//! Which values of a name match a pattern: remembered between queries.
//!
//! Pairs of a name are only ever added, so an answer stays right for the pairs it has
//! seen and needs no more than a look at the new ones.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::text::{Dictionary, NameId, PairId};
use crate::model::Matcher;

/// Patterns and ids that are remembered; past either everything is forgotten.
const MAX_PATTERNS: usize = 512;
const MAX_IDS: usize = 1 << 20;

/// Remembered answers of one dictionary.
#[derive(Debug, Default)]
pub(super) struct Regexes {
    known: Mutex<Known>,
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
    /// Returns the pairs of `name` whose value matches the pattern of a `=~` or `!~`
    /// matcher, in order of first use. The operator's negation is not applied.
    pub(super) fn matched(
        &self,
        dictionary: &Dictionary,
        name: NameId,
        matcher: &Matcher,
    ) -> Arc<Vec<PairId>> {
        let key = (name, matcher.value().to_owned());
        let pairs = dictionary.pairs_of(name);
        let known = self.known.lock().answers.get(&key).cloned();
        let (mut matched, seen) = match known {
            Some(answer) if answer.seen == pairs.len() => return answer.matched,
            Some(answer) => (answer.matched.as_ref().clone(), answer.seen),
            None => (Vec::new(), 0),
        };
        let wanted = !matcher.is_negative();
        matched.extend(
            pairs[seen..]
                .iter()
                .filter(|&&pair| matcher.matches(dictionary.value_text(pair)) == wanted),
        );
        let matched = Arc::new(matched);
        let mut known = self.known.lock();
        if known.answers.len() >= MAX_PATTERNS || known.n_ids + matched.len() > MAX_IDS {
            known.answers.clear();
            known.n_ids = 0;
        }
        known.n_ids += matched.len();
        let answer = Answer {
            seen: pairs.len(),
            matched: Arc::clone(&matched),
        };
        if let Some(before) = known.answers.insert(key, answer) {
            known.n_ids = known.n_ids.saturating_sub(before.matched.len());
        }
        matched
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self.known.get_mut() = Known::default();
    }
}
