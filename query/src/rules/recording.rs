//! Recording rules: the series of a result under a new name.

use hashbrown::HashSet;
use kymo_storage::model::{Labels, LabelsBuilder, METRIC_NAME};

use super::definition::Pairs;
use super::error::RuleError;
use crate::promql::VectorSample;

/// Gives results their new labels. It remembers the label sets of the last result,
/// because the next one mostly has the same in the same order.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// Labels of the result and what became of them.
    known: Vec<(Labels, Labels)>,
    builder: LabelsBuilder,
}

impl Recorder {
    /// Gives each sample the name and the labels of the rule; an empty label takes one
    /// away.
    ///
    /// # Errors
    /// Two samples have the same labels then, or there are more than the limit.
    pub(super) fn relabel(
        &mut self,
        name: &str,
        labels: &Pairs,
        limit: i64,
        samples: &mut [VectorSample],
    ) -> Result<(), RuleError> {
        let is_same = self.known.len() == samples.len()
            && self
                .known
                .iter()
                .zip(samples.iter())
                .all(|((from, _), sample)| *from == sample.labels);
        if !is_same {
            // Known results stay known only if all of them are good.
            let known = std::mem::take(&mut self.known);
            let mut relabelled = Vec::with_capacity(samples.len());
            for (i, sample) in samples.iter().enumerate() {
                let to = match known.get(i) {
                    Some((from, to)) if *from == sample.labels => to.clone(),
                    _ => self.labels(name, labels, &sample.labels),
                };
                relabelled.push((sample.labels.clone(), to));
            }
            if has_duplicates(&relabelled) {
                return Err(RuleError::DuplicateSeries);
            }
            self.known = relabelled;
        }
        if limit > 0 && samples.len() as u64 > limit.unsigned_abs() {
            return Err(RuleError::TooManySeries {
                limit,
                found: samples.len(),
            });
        }
        for (sample, (_, to)) in samples.iter_mut().zip(&self.known) {
            sample.labels = to.clone();
        }
        Ok(())
    }

    fn labels(&mut self, name: &str, labels: &Pairs, from: &Labels) -> Labels {
        self.builder.reset(from);
        self.builder.set(METRIC_NAME, name);
        for (name, value) in labels {
            self.builder.set(name, value);
        }
        self.builder.labels()
    }
}

fn has_duplicates(relabelled: &[(Labels, Labels)]) -> bool {
    let mut seen = HashSet::with_capacity(relabelled.len());
    !relabelled.iter().all(|(_, to)| seen.insert(to))
}
