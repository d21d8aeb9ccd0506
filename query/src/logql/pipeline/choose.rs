//! The stages `drop` and `keep`.
//!
//! Upstream source: `pkg/logql/log/drop_labels.go` and `keep_labels.go` of Loki.

use kymo_storage::model::Matcher;

use super::entry_labels::EntryLabels;
use super::names::{ERROR, ERROR_DETAILS, NameId, Names, PRESERVE_ERROR};
use crate::logql::ast::LabelChoice;

/// Labels that are chosen, each where its value satisfies the condition if there is one.
#[derive(Debug, Clone)]
pub(super) struct Choices(Vec<(NameId, Option<Matcher>)>);

impl Choices {
    /// Compiles choices.
    pub(super) fn new(choices: &[LabelChoice], names: &mut Names) -> Choices {
        let compiled = choices.iter().map(|choice| match choice {
            LabelChoice::Name(name) => (names.fix(name), None),
            LabelChoice::Matcher(matcher) => (names.fix(matcher.name()), Some(matcher.clone())),
        });
        Choices(compiled.collect())
    }

    /// Removes what is chosen.
    pub(super) fn drop(&self, labels: &mut EntryLabels) {
        for (name, condition) in &self.0 {
            let value = match *name {
                ERROR => Some(labels.error().as_bytes()),
                ERROR_DETAILS => Some(labels.details().as_bytes()),
                name => labels.get(name),
            };
            let chosen = match condition {
                None => value.is_some(),
                Some(condition) => condition.matches_bytes(value.unwrap_or_default()),
            };
            match (*name, chosen) {
                (_, false) => {}
                (ERROR, _) => labels.clear_error(),
                (ERROR_DETAILS, _) => labels.clear_details(),
                (name, _) => labels.delete(name),
            }
        }
    }

    /// Removes what is not chosen, errors excepted.
    pub(super) fn keep(&self, labels: &mut EntryLabels) {
        let is_kept = |name: NameId, value: &[u8]| {
            let error = matches!(name, ERROR | ERROR_DETAILS | PRESERVE_ERROR);
            error
                || self.0.iter().any(|(chosen, condition)| {
                    let fits = |condition: &Matcher| condition.matches_bytes(value);
                    *chosen == name && condition.as_ref().is_none_or(fits)
                })
        };
        let others = labels
            .iter()
            .filter(|(name, _, value)| !is_kept(*name, value));
        let others: Vec<NameId> = others.map(|(name, ..)| name).collect();
        for name in others {
            labels.delete(name);
        }
    }
}
