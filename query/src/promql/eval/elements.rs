//! Binary operators between elements of which one is a histogram.
//!
//! Prometheus notes what does not go together step by step, and keeps the last note of
//! each step; so do these.

use std::collections::BTreeMap;
use std::sync::Arc;

use kymo_storage::model::histogram::{CounterResetHint, FloatHistogram};

use super::binary::{compare, is_comparison, is_trim, scalar_result};
use super::histogram_column::Element;
use super::histogram_notes::{Operation, bounds_differ, resets_conflict};
use crate::histogram::{self, Keep, Reconciled, divide, multiply, trim};
use crate::promql::annotations::Annotations;
use crate::promql::ast::{BinaryOp, Span};
use crate::promql::plan::Binary;

/// What an operator makes of two elements.
pub(super) enum Combined {
    /// The element of the vector stays, or of two vectors the left one.
    Keep,
    /// A new one.
    Made(Element),
}

/// What is to be said of elements that met.
#[derive(Debug, Clone, Copy)]
enum Note {
    /// Kinds for which the operator has no meaning.
    Kinds(&'static str, &'static str),
    /// Exponential and custom buckets.
    Layouts,
    ResetsConflict(Operation),
    BoundsDiffer(Operation),
}

/// Elements that meet, with the last note of each step.
#[derive(Debug, Default)]
pub(super) struct Met {
    notes: BTreeMap<usize, Note>,
}

impl Met {
    /// Adds what was noted to the annotations of an operator.
    pub(super) fn tell(self, op: BinaryOp, span: Span, annotations: &mut Annotations) {
        let op = op.as_str();
        for note in self.notes.into_values() {
            match note {
                Note::Kinds(l, r) => annotations.info(
                    format!(
                        "incompatible sample types encountered for binary operator \"{op}\": \
                         {l} {op} {r}"
                    ),
                    span,
                ),
                Note::Layouts => annotations.warn(
                    format!("incompatible bucket layout encountered for binary operator {op}"),
                    span,
                ),
                Note::ResetsConflict(during) => resets_conflict(during, span, annotations),
                Note::BoundsDiffer(during) => bounds_differ(during, span, annotations),
            }
        }
    }

    /// Combines two elements; `None` where nothing comes of them. A comparison with
    /// `bool` that does not hold makes zero.
    pub(super) fn element(
        &mut self,
        binary: &Binary,
        l: &Element,
        r: &Element,
        step: usize,
    ) -> Option<Combined> {
        let op = binary.op;
        let holds = match (l, r) {
            (Element::Float(l), Element::Float(r)) if is_comparison(op) => compare(op, *l, *r),
            (Element::Float(l), Element::Float(r)) if !is_trim(op) => {
                return Some(Combined::Made(Element::Float(scalar_result(op, *l, *r))));
            }
            (Element::Histogram(l), Element::Histogram(r)) if op == BinaryOp::Eq => {
                l.is_same_data(r)
            }
            (Element::Histogram(l), Element::Histogram(r)) if op == BinaryOp::Ne => {
                !l.is_same_data(r)
            }
            _ => {
                let made = self.histogram(op, l, r, step)?;
                return Some(Combined::Made(Element::Histogram(Arc::new(made))));
            }
        };
        match (holds, binary.return_bool) {
            (true, _) => Some(Combined::Keep),
            (false, true) => Some(Combined::Made(Element::Float(0.0))),
            (false, false) => None,
        }
    }

    fn histogram(
        &mut self,
        op: BinaryOp,
        l: &Element,
        r: &Element,
        step: usize,
    ) -> Option<FloatHistogram> {
        match (op, l, r) {
            (BinaryOp::Add, Element::Histogram(l), Element::Histogram(r)) => {
                let mut sum = FloatHistogram::clone(l);
                let how = histogram::add(&mut sum, r).ok();
                self.reconciled(how, Operation::Addition, step)?;
                sum.compact(0);
                Some(sum)
            }
            (BinaryOp::Sub, Element::Histogram(l), Element::Histogram(r)) => {
                let mut difference = FloatHistogram::clone(l);
                let how = histogram::subtract(&mut difference, r).ok();
                self.reconciled(how, Operation::Subtraction, step)?;
                difference.counter_reset_hint = CounterResetHint::Gauge;
                difference.compact(0);
                Some(difference)
            }
            (BinaryOp::Mul, Element::Histogram(histogram), Element::Float(by))
            | (BinaryOp::Mul, Element::Float(by), Element::Histogram(histogram)) => {
                Some(changed(histogram, |histogram| multiply(histogram, *by)))
            }
            (BinaryOp::Div, Element::Histogram(histogram), Element::Float(by)) => {
                Some(changed(histogram, |histogram| divide(histogram, *by)))
            }
            (_, Element::Histogram(histogram), Element::Float(at)) if is_trim(op) => {
                let keep = match op {
                    BinaryOp::TrimUpper => Keep::Below,
                    _ => Keep::Above,
                };
                let mut trimmed = FloatHistogram::clone(histogram);
                trim(&mut trimmed, *at, keep);
                Some(trimmed)
            }
            _ => {
                self.notes.insert(step, Note::Kinds(l.kind(), r.kind()));
                None
            }
        }
    }

    /// Notes how histograms were brought together. `None` where they could not be, and
    /// also where they contradict each other.
    fn reconciled(
        &mut self,
        how: Option<Reconciled>,
        during: Operation,
        step: usize,
    ) -> Option<()> {
        let Some(how) = how else {
            self.notes.insert(step, Note::Layouts);
            return None;
        };
        if how.resets_conflict {
            self.notes.insert(step, Note::ResetsConflict(during));
            return None;
        }
        if how.bounds_differ {
            self.notes.insert(step, Note::BoundsDiffer(during));
        }
        Some(())
    }
}

fn changed(histogram: &FloatHistogram, change: impl FnOnce(&mut FloatHistogram)) -> FloatHistogram {
    let mut changed = histogram.clone();
    change(&mut changed);
    changed.compact(0);
    changed
}
