//! Taking late samples out of the head, into blocks.
//!
//! It goes in two steps: what is taken stays readable until the block is, and what comes
//! in between stays in the head.

use std::ops::Range;

use super::extras::Extra;
use super::samples::Samples;
use super::shard::Window;
use super::store::MetricStore;
use crate::error::StorageError;
use crate::index::Row;
use crate::model::{Labels, TimeRange};

/// The late samples of one series in a range, as they were when they were taken.
#[derive(Debug)]
pub struct LateSeries {
    labels: Labels,
    shard: usize,
    slot: u32,
    born: u32,
    range: TimeRange,
    extra: Extra,
}

impl LateSeries {
    /// Returns the labels of the series.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Replaces the content of `samples` by the samples, in order of time, without deleted
    /// ones; there may be none.
    ///
    /// # Errors
    /// The samples could not be decoded.
    pub(super) fn read(&self, samples: &mut Samples) -> Result<(), StorageError> {
        samples.clear();
        let (timestamps, values) = (&mut samples.timestamps, &mut samples.values);
        let floats = self
            .extra
            .apply(self.range, &mut Vec::new(), timestamps, values);
        let window = Window {
            range: self.range,
            in_order: None,
        };
        let mut points = Vec::new();
        let read = floats.and_then(|()| self.extra.read_histograms(window, &mut points));
        read.map_err(|_| StorageError::Chunk {
            series: format!("{:?}", self.labels),
        })?;
        samples.set_histograms(points);
        Ok(())
    }
}

impl MetricStore {
    /// Returns the times of the oldest and the newest late sample in memory.
    pub fn late_times(&self) -> Option<TimeRange> {
        let shards = self.shards.iter();
        let times = shards.filter_map(|shard| shard.lock().late_times());
        times.reduce(|one, other| {
            let start_ms = one.start_ms.min(other.start_ms);
            TimeRange::new(start_ms, one.end_ms.max(other.end_ms))
        })
    }

    /// Takes the late samples from `range.start` to before `range.end`, by series in
    /// order of labels. They stay in memory until [`MetricStore::forget_late`] is called
    /// with them. What is deleted later is not deleted in what was taken.
    pub fn drain_late(&self, range: Range<i64>) -> Vec<LateSeries> {
        let Some(end_ms) = range.end.checked_sub(1).filter(|&end| range.start <= end) else {
            return Vec::new();
        };
        let range = TimeRange::new(range.start, end_ms);
        // While it is open no series goes, and its labels with it.
        let open = self.appender();
        let mut taken = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            shard.lock().take_late(range, |slot, born, extra| {
                taken.push(LateSeries {
                    labels: Labels::empty(),
                    shard: number,
                    slot,
                    born,
                    range,
                    extra,
                });
            });
        }
        let index = self.index.read();
        let dictionary = index.dictionary();
        let dictionary = dictionary.read();
        for series in &mut taken {
            let row = index.row(self.layout.id(series.shard, series.slot));
            let pairs = row.into_iter().flat_map(Row::pairs);
            series.labels = Labels::from_sorted(pairs.map(|pair| dictionary.pair_text(pair)));
        }
        drop(open);
        taken.retain(|series| !series.labels.is_empty());
        taken.sort_unstable_by(|one, other| one.labels.cmp(&other.labels));
        taken
    }

    /// Drops the samples that [`MetricStore::drain_late`] returned and nothing else: a
    /// block has them now, or they are deleted. The logs still do, so that a restart may
    /// find them once more.
    ///
    /// # Errors
    /// Some samples could not be decoded; those of other series are dropped.
    pub fn forget_late(&self, taken: &[LateSeries]) -> Result<(), StorageError> {
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        let mut outcome = Ok(());
        for series in taken {
            let times = series
                .extra
                .late_times(series.range, &mut floats, &mut histograms);
            if times.is_err() {
                outcome = Err(StorageError::Chunk {
                    series: format!("{:?}", series.labels),
                });
                continue;
            }
            // A reader that is copying may not look at the block yet.
            let _capture = self.capture.lock();
            let mut shard = self.shards[series.shard].lock();
            let times = (&*floats, &*histograms);
            shard.forget_late(series.slot, series.born, series.range, times);
        }
        outcome
    }
}
