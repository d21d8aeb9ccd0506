//! `count_values`: how many series have which value.

use hashbrown::HashMap;
use kymo_storage::compat::float;
use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::{Labels, LabelsBuilder};

use super::group::{Groups, Keep};
use super::operand::keep_of;
use super::row::{Grid, RowBuilder};
use super::{Evaluator, Outcome, total_count};
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
        self.budget
            .touch_bytes(total_count(&rows) * size_of::<usize>())?;
        let mut groups = Groups::new(keep);
        let mut counts: Vec<Occurrences> = Vec::new();
        // What a value adds to the labels of a group is made up once.
        let mut bases = Groups::new(keep_of(aggregate));
        let mut numbers: HashMap<(usize, u64), usize> = HashMap::new();
        for row in &rows {
            self.check()?;
            let base = bases.number(&row.labels, |name| name == label);
            let mut number_of = |text: &str| {
                let mut builder = LabelsBuilder::from_labels(&row.labels);
                builder.set(label, text);
                let labels = builder.labels();
                let number = groups.number(&labels, |_| false);
                if number == counts.len() {
                    counts.push(Occurrences {
                        labels: groups.labels(&labels),
                        steps: Vec::new(),
                    });
                }
                number
            };
            let mut met = Vec::new();
            row.for_each_histogram(|step, histogram| {
                met.push((number_of(&histogram.to_string()), step));
            });
            let mut last: Option<(u64, usize)> = None;
            row.for_each(|step, value| {
                let bits = value.to_bits();
                let number = match last {
                    Some((before, number)) if before == bits => number,
                    _ => *numbers
                        .entry((base, bits))
                        .or_insert_with(|| number_of(&float::f(value))),
                };
                last = Some((bits, number));
                met.push((number, step));
            });
            for (number, step) in met {
                counts[number].steps.push(step);
            }
        }
        let mut builder = RowBuilder::new(grid.steps);
        let mut result = Vec::with_capacity(counts.len());
        for Occurrences { labels, mut steps } in counts {
            steps.sort_unstable();
            for same in steps.chunk_by(|a, b| a == b) {
                builder.set(same[0], same.len() as f64);
            }
            result.extend(builder.take(|| labels));
        }
        let result = self.settle(before, &[&rows], result, grid)?;
        Ok((result, annotations))
    }
}

/// The steps at which there is a value, each as often as it is there.
struct Occurrences {
    labels: Labels,
    steps: Vec<usize>,
}
