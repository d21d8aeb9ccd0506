//! What a query answers.

use std::sync::Arc;

use super::label_set::LabelSet;
use super::pipeline::LineLabels;
use super::source::EntryRef;
use crate::limits::MemoryGrant;

/// The answer to a query.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogResult {
    /// The value.
    pub value: LogValue,
    /// What the query has cost.
    pub stats: LogStats,
    /// What the user should know about the answer.
    pub warnings: Vec<String>,
    /// The memory taken for the value; keep it as long as that. Clones share it.
    pub memory: Arc<MemoryGrant>,
}

/// The value of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum LogValue {
    /// Entries, by labels; in order of the text of the labels.
    Streams(Vec<LogStream>),
    /// Series, in order of their labels.
    Matrix(Vec<LogSeries>),
    /// One sample for each series, in order of the labels unless the query sorts.
    Vector(Vec<LogSample>),
    /// A number.
    Scalar {
        /// Time in milliseconds since the epoch.
        t_ms: i64,
        /// The number.
        value: f64,
    },
}

impl LogValue {
    /// Returns about how many bytes of memory the value holds.
    pub fn memory_bytes(&self) -> u64 {
        let bytes: usize = match self {
            LogValue::Streams(streams) => streams
                .iter()
                .map(|stream| {
                    let lines = stream.entries.iter();
                    let lines = lines.map(|line| line.line.len() + size_of::<LogLine>());
                    lines.sum::<usize>() + stream.labels.memory_bytes()
                })
                .sum(),
            LogValue::Matrix(series) => series
                .iter()
                .map(|series| {
                    series.points.len() * size_of::<(i64, f64)>() + series.labels.memory_bytes()
                })
                .sum(),
            LogValue::Vector(samples) => samples
                .iter()
                .map(|sample| size_of::<LogSample>() + sample.labels.memory_bytes())
                .sum(),
            LogValue::Scalar { .. } => 0,
        };
        bytes as u64
    }
}

/// Entries with the same labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStream {
    /// All labels of the entries; those of the stream alone where categories are asked for.
    pub labels: LabelSet,
    /// The entries, in the order that was asked for.
    pub entries: Vec<LogLine>,
}

/// An entry of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it happened, in nanoseconds since the epoch.
    pub t_ns: i64,
    /// The line as the stages of the query have left it.
    pub line: Vec<u8>,
    /// Its labels, by where they come from.
    pub labels: Arc<LineLabels>,
}

/// A series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSeries {
    /// Its labels.
    pub labels: LabelSet,
    /// Times in milliseconds since the epoch, and values.
    pub points: Vec<(i64, f64)>,
}

/// A sample of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSample {
    /// The labels of its series.
    pub labels: LabelSet,
    /// Time in milliseconds since the epoch.
    pub t_ms: i64,
    /// The value.
    pub value: f64,
}

/// What a query has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Entries that were looked at.
    pub lines: u64,
    /// Bytes of their lines and of their structured metadata.
    pub bytes: u64,
    /// Bytes of their structured metadata alone.
    pub metadata_bytes: u64,
    /// Entries that were left by the stages.
    pub post_filter_lines: u64,
    /// Entries in the answer; for numbers, entries that count in it.
    pub entries: u64,
}

impl LogStats {
    /// Adds what another part of the query has cost.
    pub(crate) fn add(&mut self, other: &LogStats) {
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.metadata_bytes += other.metadata_bytes;
        self.post_filter_lines += other.post_filter_lines;
        self.entries += other.entries;
    }

    /// Counts an entry that is looked at.
    pub(crate) fn count(&mut self, entry: &EntryRef<'_>) {
        let metadata = entry.metadata.len_bytes() as u64;
        self.lines += 1;
        self.bytes += entry.line.len() as u64 + metadata;
        self.metadata_bytes += metadata;
    }
}
