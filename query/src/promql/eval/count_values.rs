//! `count_values`: how many series have which value.

use hashbrown::HashMap;
use kymo_storage::compat::float;
use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::{Labels, LabelsBuilder};

use super::group::{Groups, Keep};
use super::row::{Grid, RowBuilder};
use super::{Evaluator, Outcome};
use crate::error::QueryError;
use crate::promql::plan::Aggregate;

impl Evaluator<'_> {
    /// Evaluates `count_values`.
    pub(super) fn count_values(&mut self, aggregate: &Aggregate, grid: &Grid) -> Outcome {
        let label = aggregate
            .param
            .as_ref()
            .and_then(|param| param.string())
            .unwrap_or("");
        if !NameValidation::Utf8.is_label_name(label) {
            let text = format!("invalid label name {}", quote(label));
            return Err(QueryError::Execution(text));
        }
        let mut grouping = aggregate.grouping.clone();
        if !aggregate.without {
            grouping.push(label.to_owned());
            grouping.sort();
        }
        let keep = match aggregate.without {
            true => Keep::AllBut(&grouping),
            false => Keep::Only(&grouping),
        };
        let before = self.budget.held();
        let (rows, annotations) = self.eval(&aggregate.expr, grid)?;
        let mut groups = Groups::new(keep);
        let mut counts: Vec<(Labels, HashMap<usize, f64>)> = Vec::new();
        for row in &rows {
            self.check()?;
            let mut builder = LabelsBuilder::from_labels(&row.labels);
            // A series often keeps its value; the label set is built when it changes.
            let mut last: Option<(u64, usize)> = None;
            row.for_each(|step, value| {
                let number = match last {
                    Some((bits, number)) if bits == value.to_bits() => number,
                    _ => {
                        builder.set(label, &float::f(value));
                        let labels = builder.labels();
                        let number = groups.number(&labels, |_| false);
                        if number == counts.len() {
                            counts.push((groups.labels(&labels), HashMap::new()));
                        }
                        last = Some((value.to_bits(), number));
                        number
                    }
                };
                *counts[number].1.entry(step).or_insert(0.0) += 1.0;
            });
        }
        let mut builder = RowBuilder::new(grid.steps);
        let mut result = Vec::with_capacity(counts.len());
        for (labels, by_step) in counts {
            let mut by_step: Vec<(usize, f64)> = by_step.into_iter().collect();
            by_step.sort_by_key(|&(step, _)| step);
            for (step, count) in by_step {
                builder.set(step, count);
            }
            result.extend(builder.take(|| labels));
        }
        let result = self.settle(before, &[&rows], result, grid)?;
        Ok((result, annotations))
    }
}
