//! What parsers need not do.
//!
//! Where a query says which labels it wants, parsers extract no others and stop when they
//! have all. A condition on one label is tested as soon as a parser has extracted it, and the
//! line given up where it fails. The latter can be seen: a label that a later stage changes
//! is tested before and after. So it is upstream.
//!
//! Upstream source: `pkg/logql/log/parser_hints.go` of Loki.

use std::sync::Arc;

use super::entry_labels::EntryLabels;
use super::label_filter::LabelFilter;
use super::names::{ERROR, EXTRACTED, NameId, Names, PRESERVE_ERROR};

/// What the labels of an answer depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// All labels.
    All,
    /// None but those that stages look at.
    None,
    /// These, and those that stages look at.
    These(&'a [String]),
}

/// What parsers have to do.
#[derive(Debug, Clone)]
pub(super) struct Hints {
    /// Nothing is wanted.
    none: bool,
    /// The only labels that are wanted; all where empty.
    required: Vec<NameId>,
    /// Their texts.
    required_texts: Vec<String>,
    /// Whether errors are meant to be in the answer.
    preserve_error: bool,
    /// Conditions that are tested as soon as their label is there.
    conditions: Vec<(NameId, Arc<LabelFilter>)>,
}

impl Hints {
    /// Puts together what labels are `read` by stages and what is `wanted` in the answer.
    pub(super) fn new(
        wanted: Wanted<'_>,
        read: &[NameId],
        conditions: impl Iterator<Item = Arc<LabelFilter>>,
        names: &mut Names,
    ) -> Hints {
        let conditions = conditions
            .filter_map(|condition| Some((condition.only_label()?, condition)))
            .collect();
        let mut hints = Hints {
            none: false,
            required: Vec::new(),
            required_texts: Vec::new(),
            preserve_error: false,
            conditions,
        };
        let groups = match wanted {
            Wanted::All => return hints,
            Wanted::None => &[][..],
            Wanted::These(groups) => groups,
        };
        let mut texts: Vec<String> = read.iter().map(|id| names.text(*id).to_owned()).collect();
        texts.extend(groups.iter().cloned());
        for text in texts {
            // Parsers are asked before they know that a name is taken.
            let bare = text.strip_suffix(EXTRACTED).map(str::to_owned);
            for text in [Some(text), bare].into_iter().flatten() {
                if !text.is_empty() && !hints.required_texts.contains(&text) {
                    hints.required.push(names.fix(&text));
                    hints.required_texts.push(text);
                }
            }
        }
        hints.preserve_error = hints.required.contains(&ERROR);
        match wanted {
            Wanted::None if hints.required.is_empty() => {
                hints.none = true;
                hints.conditions.clear();
            }
            Wanted::These(_) => hints.conditions.clear(),
            _ => {}
        }
        hints
    }

    /// Returns the names of all labels that are looked at; `None` where that may be any.
    pub(super) fn wanted_names(&self) -> Option<&[String]> {
        match self.none {
            true => Some(&[]),
            false if self.required.is_empty() => None,
            false => Some(&self.required_texts),
        }
    }

    /// Tells whether a parser has nothing to do.
    #[inline]
    pub(super) fn nothing_to_do(&self, labels: &EntryLabels) -> bool {
        self.none || self.has_all(labels)
    }

    /// Tells whether all labels that are wanted have been extracted.
    #[inline]
    pub(super) fn has_all(&self, labels: &EntryLabels) -> bool {
        !self.required.is_empty() && self.required.iter().all(|name| labels.is_extracted(*name))
    }

    /// Tells whether a label is wanted.
    #[inline]
    pub(super) fn wants(&self, name: NameId) -> bool {
        self.required.is_empty() || self.required.contains(&name)
    }

    /// Tells whether a label is wanted and not yet there.
    #[inline]
    pub(super) fn needs(&self, name: NameId, labels: &EntryLabels) -> bool {
        self.wants(name) && !labels.is_extracted(name)
    }

    /// Tells whether a label is wanted whose name starts like this.
    pub(super) fn wants_prefix(&self, prefix: &[u8]) -> bool {
        let mut texts = self.required_texts.iter();
        self.required.is_empty() || texts.any(|text| text.as_bytes().starts_with(prefix))
    }

    /// Tells whether the line may go on that has just got this label.
    #[inline]
    pub(super) fn keeps(&self, name: NameId, labels: &mut EntryLabels) -> bool {
        let condition = self.conditions.iter().find(|(label, _)| *label == name);
        condition.is_none_or(|(_, condition)| condition.keeps(labels))
    }

    /// Sets the error of a parser.
    pub(super) fn fail(&self, kind: &str, details: Option<&str>, labels: &mut EntryLabels) {
        labels.set_error(kind, details);
        if self.preserve_error {
            labels.set_parsed(PRESERVE_ERROR, b"true");
        }
    }
}
