//! The samples of one series on their way into a block: floats, and histograms with the
//! counts that they came with.

use super::columns;
use super::histograms::{Point, drop_beside, settle};
use crate::block::{Block, BlockError, ReadScratch};
use crate::model::TimeRange;
use crate::model::histogram::HistogramPoint;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// In order of time.
    pub(super) timestamps: Vec<i64>,
    /// At the same index.
    pub(super) values: Vec<f64>,
    /// In order of time, none at the time of a float.
    pub(super) histograms: Vec<HistogramPoint>,
    more_timestamps: Vec<i64>,
    more_values: Vec<f64>,
    scratch: ReadScratch,
}

impl Samples {
    /// Removes all samples and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
    }

    /// Counts the samples.
    pub(super) fn len(&self) -> usize {
        self.timestamps.len() + self.histograms.len()
    }

    /// Adds histograms of the head where there are none yet.
    pub(super) fn set_histograms(&mut self, points: Vec<Point>) {
        self.histograms.extend(points.iter().map(Point::stored));
        drop_beside(&mut self.histograms, 0, &self.timestamps);
    }

    /// Adds what a block has of a series. Of two samples at one time that which was there
    /// stays.
    pub(super) fn add_block(&mut self, block: &Block, series: u32) -> Result<(), BlockError> {
        let (n_floats, n_histograms) = (self.timestamps.len(), self.histograms.len());
        let (timestamps, values) = (&mut self.timestamps, &mut self.values);
        let range = TimeRange::ALL;
        block.read(series, range, &mut self.scratch, timestamps, values)?;
        block.read_points(series, range, &mut self.scratch, &mut self.histograms)?;
        let more = (&mut self.more_timestamps, &mut self.more_values);
        columns::settle(timestamps, values, n_floats, more);
        settle(&mut self.histograms, n_histograms);
        drop_beside(&mut self.histograms, 0, &self.timestamps);
        Ok(())
    }
}
