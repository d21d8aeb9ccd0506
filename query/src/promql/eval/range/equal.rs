//! Labels that become equal when the metric's name goes.

use kymo_storage::model::{Labels, METRIC_NAME};

use crate::promql::eval::row::is_metadata_label;

/// Watches series for labels that become equal once the metric's name is gone. As
/// long as all have one name and nothing else goes, none can.
#[derive(Debug, Default)]
pub(in crate::promql::eval) struct EqualLabels {
    name: Option<String>,
    mixed: bool,
}

impl EqualLabels {
    /// Looks at the labels of a series.
    pub(in crate::promql::eval) fn note(&mut self, labels: &Labels) {
        if self.mixed {
            return;
        }
        let mut name = "";
        for (label, value) in labels {
            match label {
                METRIC_NAME => name = value,
                label => self.mixed |= is_metadata_label(label),
            }
        }
        match &self.name {
            None => self.name = Some(name.to_owned()),
            Some(known) => self.mixed |= known != name,
        }
    }

    /// Tells whether series of the labels seen so far may have become equal.
    pub(in crate::promql::eval) fn possible(&self) -> bool {
        self.mixed
    }
}
