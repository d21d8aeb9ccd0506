//! Conditions on the labels of an entry.
//!
//! Upstream source: `pkg/logql/log/label_filter.go` of Loki.

use kymo_storage::compat::regex::LineSearch;
use kymo_storage::compat::{duration, float};
use kymo_storage::model::MatchOp;

use super::entry_labels::EntryLabels;
use super::ip;
use super::names::{NameId, Names};
use crate::logql::address::Addresses;
use crate::logql::ast::{CompareOp, LabelFilter as Tree};
use crate::template::logs::parse_size;

/// What a label that is no number is called.
const ERROR_KIND: &str = "LabelFilterErr";

/// A condition, ready to be tested.
#[derive(Debug, Clone)]
pub(super) enum LabelFilter {
    And(Box<LabelFilter>, Box<LabelFilter>),
    Or(Box<LabelFilter>, Box<LabelFilter>),
    /// The text is that, or is not.
    Equal(NameId, Vec<u8>, bool),
    /// The text matches, or does not.
    Regex(NameId, Box<LineSearch>, bool),
    Number(NameId, CompareOp, f64),
    Duration(NameId, CompareOp, i64),
    Bytes(NameId, CompareOp, u64),
    /// The addresses are there, or are not. Those that cannot be read fit nothing.
    Ip(NameId, Option<Addresses>, bool),
}

impl LabelFilter {
    /// Compiles a condition.
    pub(super) fn new(tree: &Tree, names: &mut Names) -> Result<LabelFilter, String> {
        let mut both = |a: &Tree, b: &Tree| -> Result<_, String> {
            Ok((
                Box::new(LabelFilter::new(a, names)?),
                Box::new(LabelFilter::new(b, names)?),
            ))
        };
        Ok(match tree {
            Tree::And(a, b) => {
                let (a, b) = both(a, b)?;
                LabelFilter::And(a, b)
            }
            Tree::Or(a, b) => {
                let (a, b) = both(a, b)?;
                LabelFilter::Or(a, b)
            }
            Tree::Text(matcher) => {
                let name = names.fix(matcher.name());
                let positive = !matcher.is_negative();
                match matcher.op() {
                    MatchOp::Equal | MatchOp::NotEqual => {
                        LabelFilter::Equal(name, matcher.value().into(), positive)
                    }
                    MatchOp::Regex | MatchOp::NotRegex => {
                        let search = LineSearch::of_label(matcher.value());
                        let search = search.map_err(|error| error.to_string())?;
                        LabelFilter::Regex(name, Box::new(search), positive)
                    }
                }
            }
            Tree::Number(name, op, operand) => LabelFilter::Number(names.fix(name), *op, *operand),
            Tree::Duration(name, op, operand) => {
                LabelFilter::Duration(names.fix(name), *op, *operand)
            }
            Tree::Bytes(name, op, operand) => LabelFilter::Bytes(names.fix(name), *op, *operand),
            Tree::Ip {
                name,
                pattern,
                equal,
            } => LabelFilter::Ip(names.fix(name), Addresses::parse(pattern), *equal),
        })
    }

    /// Tells whether the condition holds for every entry.
    pub(super) fn is_always_true(&self) -> bool {
        matches!(self, LabelFilter::Regex(_, search, true) if search.matches_all())
    }

    /// Returns the one label that is looked at; `None` for a condition of two conditions.
    pub(super) fn only_label(&self) -> Option<NameId> {
        match self {
            LabelFilter::And(..) | LabelFilter::Or(..) => None,
            LabelFilter::Equal(name, ..)
            | LabelFilter::Regex(name, ..)
            | LabelFilter::Number(name, ..)
            | LabelFilter::Duration(name, ..)
            | LabelFilter::Bytes(name, ..)
            | LabelFilter::Ip(name, ..) => Some(*name),
        }
    }

    /// Appends the labels that are looked at.
    pub(super) fn push_labels(&self, out: &mut Vec<NameId>) {
        match self {
            LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
                a.push_labels(out);
                b.push_labels(out);
            }
            one => {
                // What is true of every entry looks at nothing.
                if !one.is_always_true() {
                    out.extend(one.only_label());
                }
            }
        }
    }

    /// Tells whether the entry satisfies the condition. A label that cannot be read as a
    /// number leaves an error, and the entry.
    pub(super) fn keeps(&self, labels: &mut EntryLabels) -> bool {
        match self {
            LabelFilter::And(a, b) => {
                // Both are looked at: each may leave its error.
                let left = a.keeps(labels);
                b.keeps(labels) && left
            }
            LabelFilter::Or(a, b) => a.keeps(labels) || b.keeps(labels),
            LabelFilter::Equal(name, text, positive) => {
                (labels.condition_value(*name) == text.as_slice()) == *positive
            }
            LabelFilter::Regex(name, search, positive) => {
                search.is_match(labels.condition_value(*name)) == *positive
            }
            LabelFilter::Number(name, op, operand) => {
                let read = |text: &str| float::parse(text).map_err(|error| error.to_string());
                compare(labels, *name, *op, *operand, read)
            }
            LabelFilter::Duration(name, op, operand) => {
                let read = |text: &str| duration::parse_go(text).map_err(|e| e.to_string());
                compare(labels, *name, *op, *operand, read)
            }
            LabelFilter::Bytes(name, op, operand) => {
                compare(labels, *name, *op, *operand, parse_size)
            }
            LabelFilter::Ip(name, addresses, positive) => {
                // Only a condition on text can remove an entry with an error.
                if !labels.error().is_empty() {
                    return true;
                }
                match (labels.get(*name), addresses) {
                    (Some(text), Some(addresses)) => ip::holds(text, addresses) == *positive,
                    _ => false,
                }
            }
        }
    }
}

fn compare<T: PartialOrd>(
    labels: &mut EntryLabels,
    name: NameId,
    op: CompareOp,
    operand: T,
    read: impl Fn(&str) -> Result<T, String>,
) -> bool {
    let Some(text) = labels.get(name) else {
        return false;
    };
    match read(&String::from_utf8_lossy(text)) {
        Ok(value) => op.holds(&value, &operand),
        Err(details) => {
            // The first error may say more.
            if labels.error().is_empty() {
                labels.set_error(ERROR_KIND, Some(&details));
            }
            true
        }
    }
}
