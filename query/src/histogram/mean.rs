//! Means of many histograms.

use kymo_storage::model::histogram::FloatHistogram;

use super::add::{IncompatibleSchemas, Reconciled};
use super::scale;
use super::sum::HistogramSum;

/// A running mean: of the sum while that is finite, else built up histogram by
/// histogram.
#[derive(Debug, Clone)]
pub struct HistogramMean {
    sum: HistogramSum,
    count: f64,
    is_incremental: bool,
}

impl HistogramMean {
    /// Begins with one histogram.
    pub fn new(first: FloatHistogram) -> HistogramMean {
        HistogramMean {
            sum: HistogramSum::new(first),
            count: 1.0,
            is_incremental: false,
        }
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// It has no buckets in common with the mean, which is of no use then.
    pub fn add(&mut self, added: &FloatHistogram) -> Result<Reconciled, IncompatibleSchemas> {
        self.count += 1.0;
        let mut before = Reconciled::default();
        if !self.is_incremental {
            let mut sum = self.sum.clone();
            before = sum.add(added)?;
            if !sum.is_overflown() {
                self.sum = sum;
                return Ok(before);
            }
            self.is_incremental = true;
            self.sum.divide(self.count - 1.0);
        }
        self.sum.multiply((self.count - 1.0) / self.count);
        let mut share = added.clone();
        scale::divide(&mut share, self.count);
        let reconciled = self.sum.add(&share)?;
        Ok(Reconciled {
            resets_conflict: before.resets_conflict || reconciled.resets_conflict,
            bounds_differ: before.bounds_differ || reconciled.bounds_differ,
        })
    }

    /// Returns the mean.
    pub fn mean(self) -> FloatHistogram {
        let mut sum = self.sum;
        if !self.is_incremental {
            sum.divide(self.count);
        }
        sum.total()
    }
}
