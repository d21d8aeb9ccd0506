//! Selected series, as they were at one moment.

use crate::error::StorageError;
use crate::model::Labels;

/// A snapshot of the series that satisfied a selection, in order of creation.
/// Samples are decoded when they are read, from as many threads as the caller likes.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    pub(super) series: Vec<(Labels, Vec<(i64, f64)>)>,
}

impl Selection {
    /// Returns how many series were selected.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Tells whether nothing was selected.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Returns the labels of series `index` (below [`Selection::len`], else empty).
    pub fn labels(&self, index: usize) -> Labels {
        self.series
            .get(index)
            .map_or_else(Labels::empty, |(labels, _)| labels.clone())
    }

    /// Replaces the content of both columns by the samples of series `index` within
    /// the selected range, in order of time, stale markers included.
    ///
    /// # Errors
    /// A chunk could not be decoded.
    pub fn read(
        &self,
        index: usize,
        timestamps: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Result<(), StorageError> {
        timestamps.clear();
        values.clear();
        if let Some((_, samples)) = self.series.get(index) {
            for &(t_ms, value) in samples {
                timestamps.push(t_ms);
                values.push(value);
            }
        }
        Ok(())
    }
}
