//! Functions of native histograms, one by one.

use kymo_storage::model::histogram::FloatHistogram;
use kymo_storage::model::{Labels, METRIC_NAME};

use super::histogram::{Histogram, StepNotes};
use super::row::{Bits, Grid, Row, RowBuilder};
use super::{Evaluator, Outcome};
use crate::histogram::{average, standard_deviation, variance};
use crate::promql::ast::Span;
use crate::promql::plan::Node;

/// A row of native histograms.
pub(super) struct Native<'r> {
    pub(super) row: &'r Row,
    /// Steps at which there is a classic histogram of the same labels.
    hidden: Option<Bits>,
}

impl Native<'_> {
    /// Calls `each` with the histogram of every step.
    pub(super) fn each(&self, mut each: impl FnMut(usize, &FloatHistogram)) {
        self.row.for_each_histogram(|step, histogram| {
            if !self.hidden.as_ref().is_some_and(|hidden| hidden.get(step)) {
                each(step, histogram);
            }
        });
    }
}

impl Evaluator<'_> {
    /// Collects the rows of native histograms. Where a classic one has the same labels,
    /// both are hidden.
    pub(super) fn natives<'r>(
        &self,
        rows: &'r [Row],
        classic: &mut [Histogram<'_>],
        span: Span,
        grid: &Grid,
        steps: &mut StepNotes,
    ) -> Vec<Native<'r>> {
        let mut natives = Vec::new();
        for row in rows.iter().filter(|row| row.histograms.is_some()) {
            let mut native = Native { row, hidden: None };
            let same = classic.iter_mut().find(|known| known.labels == row.labels);
            if let Some(classic) = same {
                let mut present = Bits::new(grid.steps);
                for (_, row) in &classic.buckets {
                    row.for_each(|step, _| present.set(step));
                }
                let about = self.about(&row.labels, span);
                let mut hidden = Bits::new(grid.steps);
                row.for_each_histogram(|step, _| {
                    if present.get(step) {
                        hidden.set(step);
                        about.classic_and_native(steps.at(step));
                    }
                });
                classic.hidden = Some(hidden.clone());
                native.hidden = Some(hidden);
            }
            natives.push(native);
        }
        natives
    }

    /// Evaluates `histogram_count` and the like, which know native histograms only.
    pub(super) fn native_function(&mut self, func: &str, arg: &Node, grid: &Grid) -> Outcome {
        let before = self.budget.held();
        let (rows, annotations) = self.eval(arg, grid)?;
        let value = |histogram: &FloatHistogram| match func {
            "histogram_count" => histogram.count,
            "histogram_sum" => histogram.sum,
            "histogram_avg" => average(histogram),
            "histogram_stddev" => standard_deviation(histogram),
            _ => variance(histogram),
        };
        let mut builder = RowBuilder::new(grid.steps);
        let mut made = Vec::new();
        for row in &rows {
            row.for_each_histogram(|step, histogram| builder.set(step, value(histogram)));
            // Type and unit stay, as in Prometheus.
            let labels = || match self.options.delayed_name_removal {
                true => row.labels.clone(),
                false => {
                    let named = row.labels.iter();
                    Labels::from_sorted(named.filter(|(name, _)| *name != METRIC_NAME))
                }
            };
            if let Some(mut row) = builder.take(labels) {
                row.drop_name = true;
                made.push(row);
            }
        }
        let made = self.settle(before, &[&rows], made, grid)?;
        Ok((made, annotations))
    }
}
