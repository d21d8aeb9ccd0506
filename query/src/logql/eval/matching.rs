//! How the series of two sides find each other.

use hashbrown::HashMap;

use super::Row;
use crate::logql::ast::{MatchGroup, Matching};
use crate::logql::label_set::LabelSet;

/// Numbers that series of both sides share where they match.
pub(super) struct Signatures {
    pub(super) left: Vec<usize>,
    pub(super) right: Vec<usize>,
    /// How many there are.
    pub(super) n: usize,
}

impl Signatures {
    /// Compares the labels that count.
    pub(super) fn new(matching: Option<&Matching>, left: &[Row], right: &[Row]) -> Signatures {
        let mut known: HashMap<LabelSet, usize> = HashMap::new();
        let mut signature = |row: &Row| {
            let labels = row.labels.filter(|name, value| {
                let counts = matching.is_none_or(|matching| {
                    let is_named = matching.labels.iter().any(|label| label == name);
                    is_named == matching.on
                });
                counts && !value.is_empty()
            });
            let next = known.len();
            *known.entry(labels).or_insert(next)
        };
        let left = left.iter().map(&mut signature).collect();
        let right = right.iter().map(&mut signature).collect();
        Signatures {
            left,
            right,
            n: known.len(),
        }
    }
}

/// Returns the labels of what two series make; `many` is the side that may have several.
pub(super) fn joined_labels(
    matching: Option<&Matching>,
    many: &LabelSet,
    one: &LabelSet,
) -> LabelSet {
    let Some(matching) = matching else {
        return many.filter(|_, value| !value.is_empty());
    };
    let is_named = |name: &str| matching.labels.iter().any(|label| label == name);
    let mut labels = many.filter(|name, value| {
        let stays = matching.group != MatchGroup::OneToOne || is_named(name) == matching.on;
        stays && !value.is_empty()
    });
    for name in &matching.include {
        labels = labels.with(name, one.get(name).unwrap_or_default());
    }
    labels
}
