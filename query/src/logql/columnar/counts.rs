//! Entries counted by the minute, without a look at any.

use kymo_storage::logs::part::{MINUTE_NS, PartError};

use super::plan::Counted;
use super::read::metadata_matters;
use super::{ColumnGroup, Plan};

/// Entries of a stream that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::logql) struct Bucket {
    /// Index of the stream in the selection.
    pub(in crate::logql) stream: u32,
    /// No entry is older.
    pub(in crate::logql) first_ns: i64,
    /// No entry is newer.
    pub(in crate::logql) last_ns: i64,
    /// How many there are.
    pub(in crate::logql) entries: u64,
    /// How many bytes their lines have.
    pub(in crate::logql) bytes: u64,
}

impl Plan {
    /// Returns what of entries is counted, where nothing else is looked at.
    pub(in crate::logql) fn counted(&self) -> Option<Counted> {
        self.counted
    }

    /// Returns the counts of a group, where all that are not wholly in the selected range
    /// have no entry in it and `is_one` takes their times for one.
    ///
    /// # Errors
    /// The group is damaged.
    pub(in crate::logql) fn counts(
        &self,
        of: &ColumnGroup<'_>,
        is_one: impl Fn(i64, i64) -> bool,
    ) -> Result<Option<Vec<Bucket>>, PartError> {
        let info = &of.part.groups()[of.group];
        if self.counted.is_none() || metadata_matters(&of.part.group(of.group)?, self) {
            return Ok(None);
        }
        let mut buckets: Vec<Bucket> = Vec::new();
        for count in of.part.counts(of.group)?.counts {
            let Ok(at) = of
                .streams
                .binary_search_by_key(&count.stream, |(number, _)| *number)
            else {
                continue;
            };
            let start = count.minute.saturating_mul(MINUTE_NS);
            let first_ns = start.max(info.first_ns);
            let last_ns = start.saturating_add(MINUTE_NS - 1).min(info.last_ns);
            let is_in = of.range.contains(first_ns) && of.range.contains(last_ns);
            if !is_in && !of.range.overlaps(first_ns, last_ns) {
                continue;
            }
            if !is_in || !is_one(first_ns, last_ns) {
                return Ok(None);
            }
            buckets.push(Bucket {
                stream: of.streams[at].1,
                first_ns,
                last_ns,
                entries: count.rows,
                bytes: count.bytes,
            });
        }
        Ok(Some(buckets))
    }
}
