//! Sums and means of the histograms of a group.

use std::collections::BTreeMap;
use std::sync::Arc;

use kymo_storage::model::METRIC_NAME;
use kymo_storage::model::histogram::FloatHistogram;

use super::histogram_notes::{
    About, Operation, bounds_differ, mixed_in_aggregation, resets_conflict,
};
use super::range::{Folding, SeenHints};
use super::row::{Bits, Row};
use crate::histogram::{HistogramMean, HistogramSum};
use crate::promql::annotations::Annotations;
use crate::promql::ast::{AggregateOp, Span};

/// The histograms of a group, by step.
pub(super) struct HistogramFolding {
    op: AggregateOp,
    steps: BTreeMap<usize, AtStep>,
}

/// What came together at a step.
enum AtStep {
    /// A sum or mean, and what its histograms say of resets.
    Folding(Box<Folding>, SeenHints),
    /// Exponential and custom buckets, of which nothing comes.
    Incompatible,
    /// Histograms behind floats, of which nothing comes.
    BehindFloats,
}

/// What came of the histograms of a step.
pub(super) enum Met {
    Histogram(Arc<FloatHistogram>),
    /// Nothing, also of the floats there.
    Nothing,
}

impl HistogramFolding {
    pub(super) fn new(op: AggregateOp) -> HistogramFolding {
        HistogramFolding {
            op,
            steps: BTreeMap::new(),
        }
    }

    /// Adds the histograms of a row. `with_floats` are the steps at which the group has
    /// floats of rows before it. Returns how many bytes of memory the sums of new steps
    /// take.
    pub(super) fn add(
        &mut self,
        row: &Row,
        with_floats: &Bits,
        span: Span,
        notes: &mut Annotations,
    ) -> usize {
        let op = self.op;
        let mut grown = 0;
        row.for_each_histogram(|step, histogram| {
            let Some(at) = self.steps.get_mut(&step) else {
                let first = match with_floats.get(step) {
                    true => AtStep::BehindFloats,
                    false => AtStep::new(op, histogram),
                };
                self.steps.insert(step, first);
                // The counts of a sum, and what rounding has lost of them.
                grown += size_of::<AtStep>() + size_of::<Folding>() + 2 * histogram.memory_bytes();
                return;
            };
            let AtStep::Folding(folding, hints) = at else {
                return;
            };
            hints.see(histogram);
            match folding.add(histogram) {
                Ok(how) if how.bounds_differ => {
                    bounds_differ(Operation::Aggregation, span, notes);
                }
                Ok(_) => {}
                Err(_) => {
                    let name = row.labels.get(METRIC_NAME).unwrap_or("");
                    About { name, span }.mixed_schemas(notes);
                    *at = AtStep::Incompatible;
                }
            }
        });
        grown
    }

    /// Ends the folding. `with_floats` are the steps at which the group has floats.
    pub(super) fn finish(
        self,
        with_floats: &Bits,
        span: Span,
        notes: &mut Annotations,
    ) -> Vec<(usize, Met)> {
        let ended = self.steps.into_iter().map(|(step, at)| {
            if with_floats.get(step) {
                mixed_in_aggregation(span, notes);
                return (step, Met::Nothing);
            }
            let AtStep::Folding(folding, hints) = at else {
                return (step, Met::Nothing);
            };
            if hints.conflict() {
                resets_conflict(Operation::Aggregation, span, notes);
            }
            let mut histogram = folding.finish();
            histogram.compact(0);
            (step, Met::Histogram(Arc::new(histogram)))
        });
        ended.collect()
    }
}

impl AtStep {
    fn new(op: AggregateOp, histogram: &FloatHistogram) -> AtStep {
        let mut hints = SeenHints::default();
        hints.see(histogram);
        let first = histogram.clone();
        let folding = match op {
            AggregateOp::Sum => Folding::Sum(HistogramSum::new(first)),
            _ => Folding::Mean(Box::new(HistogramMean::new(first))),
        };
        AtStep::Folding(Box::new(folding), hints)
    }
}
