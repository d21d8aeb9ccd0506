//! The info that a rate is asked of something that may be no counter.

use kymo_storage::model::{Labels, METRIC_NAME};

use crate::promql::annotations::{Annotations, quoted};
use crate::promql::ast::Span;

/// Judges metrics by their labels, each name once where the name is all that counts.
pub(super) struct CounterNotes {
    /// Judge by the label `__type__`.
    by_type: bool,
    span: Span,
    /// The name looked at before.
    noted: Option<String>,
}

impl CounterNotes {
    pub(super) fn new(by_type: bool, span: Span) -> CounterNotes {
        CounterNotes {
            by_type,
            span,
            noted: None,
        }
    }

    /// Notes that a metric may be no counter.
    pub(super) fn note(&mut self, labels: &Labels, annotations: &mut Annotations) {
        let Some(name) = labels.get(METRIC_NAME) else {
            return;
        };
        if !self.by_type && self.noted.as_deref() == Some(name) {
            return;
        }
        self.noted = Some(name.to_owned());
        if self.by_type {
            let kind = labels.get("__type__").unwrap_or("");
            if kind != "counter" && kind != "histogram" {
                let text = format!(
                    "metric might not be a counter, __type__ label is not set to \"counter\" \
                     or \"histogram\", got {}: {}",
                    quoted(kind),
                    quoted(name)
                );
                annotations.info(text, self.span);
            }
        } else if !["_total", "_sum", "_count", "_bucket"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            let text = format!(
                "metric might not be a counter, name does not end in \
                 _total/_sum/_count/_bucket: {}",
                quoted(name)
            );
            annotations.info(text, self.span);
        }
    }
}
