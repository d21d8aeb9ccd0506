//! What an import took and what it did not.

use std::collections::BTreeMap;

use crate::model::TimeRange;

/// Why samples of a block were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SkippedKind {
    /// Native histograms of a schema that is not stored, such as one of more than 8.
    Schema(i32),
    /// Chunks of an encoding that is not known, such as Thanos' downsampled ones.
    Unknown(u8),
    /// The start times of samples. The samples themselves were taken.
    StartTimes,
}

impl SkippedKind {
    /// Returns the kind in words, for a line of a report.
    pub fn describe(self) -> String {
        match self {
            SkippedKind::Schema(schema) => format!("native histograms of schema {schema}"),
            SkippedKind::Unknown(encoding) => format!("chunks of unknown encoding {encoding}"),
            SkippedKind::StartTimes => "start times of samples".to_owned(),
        }
    }
}

/// How much was not taken, of a series or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// Chunks.
    pub chunks: u64,
    /// Samples in them, deleted ones included; 0 where the encoding is not known.
    pub samples: u64,
    /// From the start of the first chunk to the end of the last.
    pub range: TimeRange,
}

impl Skipped {
    fn add(&mut self, other: Skipped) {
        self.chunks += other.chunks;
        self.samples += other.samples;
        self.range.start_ms = self.range.start_ms.min(other.range.start_ms);
        self.range.end_ms = self.range.end_ms.max(other.range.end_ms);
    }
}

/// Counts over all passes through a block. Passes whose ranges do not overlap count
/// nothing twice: a chunk that is not taken counts in the range where it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Samples that were handed out.
    pub samples: u64,
    /// Samples that are deleted by tombstones.
    pub deleted: u64,
    /// Samples that another chunk of the series has, too, with the same time.
    pub replaced: u64,
    skipped: BTreeMap<(u32, SkippedKind), Skipped>,
}

impl ImportReport {
    pub(super) fn skip(&mut self, series: u32, kind: SkippedKind, skipped: Skipped) {
        self.skipped
            .entry((series, kind))
            .and_modify(|known| known.add(skipped))
            .or_insert(skipped);
    }

    /// Iterates over what was not taken, by series;
    /// [`Reader::labels`](super::Reader::labels) names one.
    pub fn skipped(&self) -> impl Iterator<Item = (u32, SkippedKind, Skipped)> + '_ {
        self.skipped
            .iter()
            .map(|(&(series, kind), &skipped)| (series, kind, skipped))
    }

    /// Sums up what was not taken, with the number of series.
    pub fn skipped_by_kind(&self) -> BTreeMap<SkippedKind, (u64, Skipped)> {
        let mut kinds = BTreeMap::new();
        for (_, kind, skipped) in self.skipped() {
            kinds
                .entry(kind)
                .and_modify(|(series, sum): &mut (u64, Skipped)| {
                    *series += 1;
                    sum.add(skipped);
                })
                .or_insert((1, skipped));
        }
        kinds
    }
}
