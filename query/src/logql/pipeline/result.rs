//! What a pipeline makes of an entry.

use crate::logql::label_set::LabelSet;

/// Labels of an entry behind a pipeline, by where they come from. No name is in two of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct LineLabels {
    /// Those of the stream that no stage has removed or replaced.
    pub stream: LabelSet,
    /// Structured metadata.
    pub metadata: LabelSet,
    /// What stages have made, errors included.
    pub parsed: LabelSet,
}

impl LineLabels {
    /// Returns all labels as one set.
    pub fn merged(&self) -> LabelSet {
        if self.metadata.is_empty() && self.parsed.is_empty() {
            return self.stream.clone();
        }
        let sets = [&self.stream, &self.metadata, &self.parsed];
        LabelSet::from_pairs(sets.into_iter().flat_map(LabelSet::iter))
    }

    /// Returns the bytes of memory that the labels hold.
    pub(crate) fn memory_bytes(&self) -> usize {
        let sets = [&self.stream, &self.metadata, &self.parsed];
        sets.into_iter().map(LabelSet::memory_bytes).sum()
    }
}

/// An entry behind a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessedEntry {
    /// The line as the stages have left it.
    pub line: Vec<u8>,
    /// The labels.
    pub labels: LineLabels,
}
