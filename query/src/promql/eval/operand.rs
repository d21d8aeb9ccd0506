//! The operand of an aggregation, row by row.
//!
//! Rows of a selector or a range function come as they are computed and with those
//! labels only that the aggregation looks at; nobody keeps them unless the aggregation
//! does. Rows of any other operand are evaluated before.

use kymo_storage::model::Labels;

use super::group::{Groups, Keep};
use super::range::{EqualLabels, Made, NameFate};
use super::row::{
    METADATA_LABELS, Row, has_equal_labels, is_metadata_label, same_labelset, without_metadata,
};
use super::selector::Answer;
use super::{Evaluator, Grid, total_bytes};
use crate::error::QueryError;
use crate::limits::Budget;
use crate::promql::annotations::Annotations;
use crate::promql::plan::{Aggregate, Call, NodeKind, Selector};

/// A row on its way into an aggregation.
pub(super) struct Member {
    /// The number of the series.
    pub(super) index: usize,
    /// With the labels that tell groups apart, or more.
    pub(super) row: Row,
    /// The metric's labels are gone already, though still among the row's.
    without_name: bool,
}

impl Member {
    /// Returns the number of the group that the row belongs to.
    pub(super) fn group(&self, groups: &mut Groups<'_>) -> usize {
        let skip = |name: &str| self.without_name && is_metadata_label(name);
        groups.number(&self.row.labels, skip)
    }

    /// Returns the labels of the group that the row belongs to.
    pub(super) fn group_labels(&self, groups: &Groups<'_>) -> Labels {
        match self.without_name {
            true => groups.labels(&without_metadata(&self.row.labels)),
            false => groups.labels(&self.row.labels),
        }
    }
}

/// What an aggregation does with its operand.
pub(super) trait Fold {
    /// Takes a row, and the budget for what is kept.
    fn add(&mut self, member: Member, budget: &mut Budget) -> Result<(), QueryError>;

    /// Is called when all rows have been taken; `labels_of` tells the labels of a
    /// series, and whether its metric's name goes in the end.
    fn end(&mut self, labels_of: &dyn Fn(usize) -> (Labels, bool)) {
        let _ = labels_of;
    }
}

impl Evaluator<'_> {
    /// Evaluates the operand of an aggregation and hands its rows to `fold`.
    pub(super) fn fold_operand(
        &mut self,
        aggregate: &Aggregate,
        grid: &Grid,
        fold: &mut dyn Fold,
    ) -> Result<Annotations, QueryError> {
        match streamed(aggregate) {
            Some(Streamed::Range(call, at)) => {
                let names = needed_labels(aggregate);
                let mut folding = FoldRange {
                    fold,
                    delayed: self.options.delayed_name_removal,
                    equal: EqualLabels::default(),
                    indexes: Vec::new(),
                    clash: false,
                };
                let annotations =
                    self.stream_range(call, at, names.as_deref(), grid, &mut folding)?;
                match folding.clash {
                    true => Err(same_labelset()),
                    false => Ok(annotations),
                }
            }
            Some(Streamed::Instant(selector)) => {
                let names = match keep_of(aggregate) {
                    Keep::Only(names) => Some(names),
                    Keep::AllBut(_) => None,
                };
                let selector = (selector, aggregate.expr.span);
                self.stream_instant(selector, names, Answer::Value, grid, &mut FoldInstant(fold))
            }
            None => {
                let (rows, annotations) = self.eval(&aggregate.expr, grid)?;
                let labels: Vec<(Labels, bool)> = rows
                    .iter()
                    .map(|row| (row.labels.clone(), row.drop_name))
                    .collect();
                // From here on the rows are the fold's, which counts what it keeps.
                self.budget.release_bytes(total_bytes(&rows));
                for (index, row) in rows.into_iter().enumerate() {
                    let member = Member {
                        index,
                        row,
                        without_name: false,
                    };
                    fold.add(member, &mut self.budget)?;
                }
                fold.end(&|index| labels[index].clone());
                Ok(annotations)
            }
        }
    }
}

/// An operand whose rows come as they are computed.
pub(super) enum Streamed<'a> {
    Range(&'a Call, usize),
    Instant(&'a Selector),
}

pub(super) fn streamed(aggregate: &Aggregate) -> Option<Streamed<'_>> {
    match &aggregate.expr.kind {
        NodeKind::Call(call) if call.func != "absent_over_time" => {
            let at = call.args.iter().position(|arg| arg.is_matrix())?;
            Some(Streamed::Range(call, at))
        }
        NodeKind::Vector(selector) => Some(Streamed::Instant(selector)),
        _ => None,
    }
}

/// Returns the labels that tell the groups of an aggregation apart.
pub(super) fn keep_of(aggregate: &Aggregate) -> Keep<'_> {
    match aggregate.without {
        true => Keep::AllBut(&aggregate.grouping),
        false => Keep::Only(&aggregate.grouping),
    }
}

/// Returns the labels that folding looks at where those are few: the groups' and the
/// metric's.
fn needed_labels(aggregate: &Aggregate) -> Option<Vec<String>> {
    let Keep::Only(names) = keep_of(aggregate) else {
        return None;
    };
    let of_metric = METADATA_LABELS.map(str::to_owned);
    Some(names.iter().cloned().chain(of_metric).collect())
}

/// Folds the rows of a range function. Since these do not come with all their labels,
/// whether two have become equal is looked at in the end, and only if they may have.
struct FoldRange<'f> {
    fold: &'f mut dyn Fold,
    delayed: bool,
    equal: EqualLabels,
    indexes: Vec<usize>,
    clash: bool,
}

impl super::range::Sink for FoldRange<'_> {
    fn take(&mut self, made: Made, mut row: Row, budget: &mut Budget) -> Result<(), QueryError> {
        row.drop_name = made.name == NameFate::Drop;
        let without_name = row.drop_name && !self.delayed;
        if without_name {
            self.equal.note(&row.labels);
        }
        self.indexes.push(made.index);
        let member = Member {
            index: made.index,
            row,
            without_name,
        };
        self.fold.add(member, budget)
    }

    fn end(&mut self, labels_of: &dyn Fn(usize) -> (Labels, NameFate)) {
        let labels_of = |index: usize| {
            let (labels, name) = labels_of(index);
            match (name, self.delayed) {
                (NameFate::Drop, false) => (without_metadata(&labels), true),
                (name, _) => (labels, name == NameFate::Drop),
            }
        };
        if self.equal.possible() {
            let rows: Vec<Row> = self
                .indexes
                .iter()
                .map(|&index| Row::constant(labels_of(index).0, 0.0, 1))
                .collect();
            self.clash = has_equal_labels(&rows);
        }
        self.fold.end(&labels_of);
    }
}

struct FoldInstant<'f>(&'f mut dyn Fold);

impl super::selector::Sink for FoldInstant<'_> {
    fn take(&mut self, index: usize, row: Row, budget: &mut Budget) -> Result<(), QueryError> {
        let member = Member {
            index,
            row,
            without_name: false,
        };
        self.0.add(member, budget)
    }

    fn end(&mut self, labels_of: &dyn Fn(usize) -> Labels) {
        self.0.end(&|index| (labels_of(index), false));
    }
}
