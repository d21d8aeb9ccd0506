//! Samples of a series while they are collected from its chunks.

/// Times and values side by side.
#[derive(Debug, Default, Clone)]
pub(super) struct Columns {
    pub(super) timestamps: Vec<i64>,
    pub(super) values: Vec<f64>,
}

impl Columns {
    pub(super) fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.timestamps.len()
    }

    #[inline]
    pub(super) fn push(&mut self, t_ms: i64, value: f64) {
        self.timestamps.push(t_ms);
        self.values.push(value);
    }

    /// Puts samples of overlapping chunks in order and leaves one for each time: the
    /// one that was pushed last. Returns how many are gone.
    pub(super) fn settle(&mut self) -> u64 {
        if self.timestamps.is_sorted_by(|a, b| a < b) {
            return 0;
        }
        let mut samples: Vec<(i64, f64)> = self
            .timestamps
            .drain(..)
            .zip(self.values.drain(..))
            .collect();
        // Stable: among equal times the order is still that of the chunks.
        samples.sort_by_key(|sample| sample.0);
        let n_all = samples.len();
        for (i, &(t_ms, value)) in samples.iter().enumerate() {
            if samples.get(i + 1).is_none_or(|next| next.0 != t_ms) {
                self.push(t_ms, value);
            }
        }
        (n_all - self.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_sample_of_a_time_stays(samples: Vec<(i8, u8)>) {
            let mut columns = Columns::default();
            let mut expected = BTreeMap::new();
            for &(t, value) in &samples {
                columns.push(t.into(), value.into());
                expected.insert(i64::from(t), f64::from(value));
            }
            let gone = columns.settle();
            prop_assert_eq!(gone as usize, samples.len() - expected.len());
            prop_assert_eq!(&columns.timestamps, &expected.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(&columns.values, &expected.values().copied().collect::<Vec<_>>());
        }
    }
}
