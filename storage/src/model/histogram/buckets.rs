//! The buckets of one side of a histogram.
//!
//! Elsewhere buckets come as spans: runs of neighbours, each with the gap before it.
//! Here every bucket has its index beside its count, so that two histograms are added
//! or compared by walking two sorted lists. The indexes are shared between histograms of
//! one layout, which is the usual case within a series.

use std::sync::Arc;

use super::validate::HistogramError;

/// A run of neighbouring buckets, as histograms are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Index of the first bucket for the first span, else the gap to the span before.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// Buckets with ascending indexes, some of them perhaps without observations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Buckets {
    indexes: Arc<[i32]>,
    counts: Vec<f64>,
}

impl Buckets {
    /// Takes buckets as they are exchanged.
    ///
    /// # Errors
    /// The spans do not fit the counts, go backwards, or end beyond the last index.
    pub fn from_spans(spans: &[Span], counts: Vec<f64>) -> Result<Buckets, HistogramError> {
        let indexes = indexes_of(spans, counts.len())?;
        Ok(Buckets {
            indexes: indexes.into(),
            counts,
        })
    }

    /// Makes buckets of a layout. `None` unless the indexes ascend and there is a count
    /// for each.
    pub fn from_layout(indexes: Arc<[i32]>, counts: Vec<f64>) -> Option<Buckets> {
        let fits = indexes.len() == counts.len() && indexes.is_sorted_by(|a, b| a < b);
        fits.then_some(Buckets { indexes, counts })
    }

    /// Returns the indexes, to be shared with other buckets of the same layout.
    pub fn layout(&self) -> &Arc<[i32]> {
        &self.indexes
    }

    /// Returns the counts in order of the indexes.
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// Returns the counts in order of the indexes, to be changed.
    pub fn counts_mut(&mut self) -> &mut [f64] {
        &mut self.counts
    }

    /// Returns how many buckets there are, those without observations included.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Tells whether there are no buckets.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Walks indexes and counts upwards.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, f64)> + Clone + '_ {
        let indexes = self.indexes.iter().copied();
        indexes.zip(self.counts.iter().copied())
    }

    /// Tells whether both have the same indexes.
    pub fn has_layout_of(&self, other: &Buckets) -> bool {
        Arc::ptr_eq(&self.indexes, &other.indexes) || self.indexes == other.indexes
    }

    /// Returns the layout in the form in which it is exchanged.
    pub fn spans(&self) -> Vec<Span> {
        spans_of(&self.indexes)
    }

    /// Returns how many spans the layout has.
    pub fn n_spans(&self) -> usize {
        let gaps = self.indexes.windows(2).filter(|pair| match pair {
            [a, b] => a.wrapping_add(1) != *b,
            _ => false,
        });
        usize::from(!self.is_empty()) + gaps.count()
    }

    /// Removes buckets without observations, except runs of at most `max_empty` of them
    /// between others, which are written out.
    pub fn compact(&mut self, max_empty: u32) {
        if max_empty == 0 && !self.counts.contains(&0.0) {
            return;
        }
        let (mut indexes, mut counts) = (Vec::new(), Vec::new());
        for (index, count) in self.iter().filter(|(_, count)| *count != 0.0) {
            if let Some(&last) = indexes.last() {
                let last: i32 = last;
                if index.abs_diff(last) - 1 <= max_empty {
                    indexes.extend(last + 1..index);
                    counts.resize(indexes.len(), 0.0);
                }
            }
            indexes.push(index);
            counts.push(count);
        }
        self.indexes = indexes.into();
        self.counts = counts;
    }

    pub(super) fn is_same_data(&self, other: &Buckets) -> bool {
        let bits = self.counts.iter().map(|count| count.to_bits());
        self.has_layout_of(other) && bits.eq(other.counts.iter().map(|count| count.to_bits()))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.indexes.len() * 4 + self.counts.capacity() * 8
    }
}

/// Returns ascending indexes in the form in which they are exchanged.
pub(crate) fn spans_of(indexes: &[i32]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut end = 0i32;
    for &index in indexes {
        match spans.last_mut() {
            Some(span) if index == end => span.length += 1,
            _ => spans.push(Span {
                offset: index.wrapping_sub(end),
                length: 1,
            }),
        }
        end = index.wrapping_add(1);
    }
    spans
}

/// Returns the index of each of `n_counts` buckets.
pub(crate) fn indexes_of(spans: &[Span], n_counts: usize) -> Result<Vec<i32>, HistogramError> {
    let mut n_spanned = 0u64;
    for (at, span) in spans.iter().enumerate() {
        if at > 0 && span.offset < 0 {
            return Err(HistogramError::NegativeOffset {
                span: at + 1,
                offset: span.offset,
            });
        }
        n_spanned += u64::from(span.length);
    }
    if n_spanned != n_counts as u64 {
        return Err(HistogramError::SpansAndBuckets {
            spanned: n_spanned,
            buckets: n_counts,
        });
    }
    let mut indexes = Vec::with_capacity(n_counts);
    let mut next = 0i64;
    for span in spans {
        next += i64::from(span.offset);
        for _ in 0..span.length {
            indexes.push(i32::try_from(next).map_err(|_| HistogramError::IndexTooLarge)?);
            next += 1;
        }
    }
    Ok(indexes)
}
