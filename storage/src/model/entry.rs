//! Log entries and their times: what a log store takes and gives.
//!
//! A stream is a set of labels with its entries, as a series is one with samples. An entry
//! is a line of bytes with a time in nanoseconds, and labels of its own beside those of its
//! stream: structured metadata.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::Labels;

/// Times from `start_ns` up to, and without, `end_ns`, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NanoRange {
    /// The first time that belongs to the range.
    pub start_ns: i64,
    /// The first time behind the range.
    pub end_ns: i64,
}

impl NanoRange {
    /// All times but the last nanosecond there is.
    pub const ALL: NanoRange = NanoRange {
        start_ns: i64::MIN,
        end_ns: i64::MAX,
    };

    /// Tells whether a time belongs to the range.
    pub fn contains(self, t_ns: i64) -> bool {
        self.start_ns <= t_ns && t_ns < self.end_ns
    }

    /// Tells whether entries from `first_ns` to `last_ns`, both included, may be in the range.
    pub fn overlaps(self, first_ns: i64, last_ns: i64) -> bool {
        first_ns < self.end_ns && self.start_ns <= last_ns
    }

    /// Tells whether no time belongs to the range.
    pub fn is_empty(self) -> bool {
        self.end_ns <= self.start_ns
    }
}

/// Structured metadata of an entry: names and values in order of the names, no name twice.
pub type Metadata<'a> = SmallVec<[(Cow<'a, str>, Cow<'a, str>); 2]>;

/// One entry on its way into a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry<'a> {
    /// When it happened, in nanoseconds since the epoch.
    pub t_ns: i64,
    /// The line without its end. Any bytes; they come back as they are.
    pub line: Cow<'a, [u8]>,
    /// Labels of this entry alone.
    pub metadata: Metadata<'a>,
}

/// Entries of one stream on their way into a store, in order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamBatch<'a> {
    /// The labels that make the stream, without empty values.
    pub labels: Labels,
    /// Its new entries. Their times may be in any order.
    pub entries: Vec<LogEntry<'a>>,
}
