//! Samples of a series while they are collected from its chunks.

use crate::model::histogram::HistogramPoint;

/// Times and values side by side.
#[derive(Debug, Default, Clone)]
pub(super) struct Columns {
    pub(super) timestamps: Vec<i64>,
    pub(super) values: Vec<f64>,
    pub(super) histograms: Vec<HistogramPoint>,
}

impl Columns {
    pub(super) fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.timestamps.len() + self.histograms.len()
    }

    #[inline]
    pub(super) fn push(&mut self, t_ms: i64, value: f64) {
        self.timestamps.push(t_ms);
        self.values.push(value);
    }

    /// Puts samples of overlapping chunks in order and leaves one for each time: the
    /// one that was pushed last, and of a float and a histogram the histogram. Returns how
    /// many are gone.
    pub(super) fn settle(&mut self) -> u64 {
        let n_all = self.len();
        if !self.timestamps.is_sorted_by(|a, b| a < b) {
            self.settle_floats();
        }
        let points = &mut self.histograms;
        if !points.is_sorted_by(|a, b| a.t_ms < b.t_ms) {
            // Stable: among equal times the order is still that of the chunks.
            points.sort_by_key(|point| point.t_ms);
            points.reverse();
            points.dedup_by_key(|point| point.t_ms);
            points.reverse();
        }
        if !points.is_empty() && !self.timestamps.is_empty() {
            let mut others = points.iter().map(|point| point.t_ms).peekable();
            let mut is_kept = |t_ms: i64| {
                while others.next_if(|other| *other < t_ms).is_some() {}
                others.peek() != Some(&t_ms)
            };
            let kept: Vec<bool> = self.timestamps.iter().map(|t| is_kept(*t)).collect();
            let mut keep = kept.iter();
            self.values.retain(|_| keep.next() == Some(&true));
            let mut keep = kept.iter();
            self.timestamps.retain(|_| keep.next() == Some(&true));
        }
        (n_all - self.len()) as u64
    }

    fn settle_floats(&mut self) {
        let mut samples: Vec<(i64, f64)> = self
            .timestamps
            .drain(..)
            .zip(self.values.drain(..))
            .collect();
        samples.sort_by_key(|sample| sample.0);
        for (i, &(t_ms, value)) in samples.iter().enumerate() {
            if samples.get(i + 1).is_none_or(|next| next.0 != t_ms) {
                self.push(t_ms, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::histogram::{FloatHistogram, Histogram};

    proptest! {
        #[test]
        fn the_last_sample_of_a_time_stays(samples: Vec<(i8, u8)>, histograms: Vec<(i8, u8)>) {
            let mut columns = Columns::default();
            let mut expected = BTreeMap::new();
            let mut expected_histograms = BTreeMap::new();
            for &(t, value) in &samples {
                columns.push(t.into(), value.into());
                expected.insert(i64::from(t), f64::from(value));
            }
            for &(t, sum) in &histograms {
                let histogram = Histogram::Float(FloatHistogram {
                    sum: sum.into(),
                    ..FloatHistogram::default()
                });
                columns.histograms.push(HistogramPoint { t_ms: t.into(), histogram });
                expected.remove(&i64::from(t));
                expected_histograms.insert(i64::from(t), f64::from(sum));
            }
            let gone = columns.settle();
            let n_kept = expected.len() + expected_histograms.len();
            prop_assert_eq!(gone as usize, samples.len() + histograms.len() - n_kept);
            let found = columns.histograms.iter().map(|p| (p.t_ms, p.histogram.sum()));
            prop_assert!(found.eq(expected_histograms));
            prop_assert_eq!(&columns.timestamps, &expected.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(&columns.values, &expected.values().copied().collect::<Vec<_>>());
        }
    }
}
