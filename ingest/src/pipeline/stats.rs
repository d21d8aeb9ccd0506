//! What pipelines count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::scrub::Kind;

/// Counters of all pipelines together.
#[derive(Debug, Default)]
pub struct PipelineStats {
    /// Lines that a stage dropped, by reason.
    dropped: Mutex<BTreeMap<String, u64>>,
    scrubbed: [AtomicU64; Kind::ALL.len()],
    would_scrub: [AtomicU64; Kind::ALL.len()],
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PipelineCounts {
    /// Lines that a stage dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Values that were taken out, by kind.
    pub scrubbed: Vec<(Kind, u64)>,
    /// Values that a dry run found, by kind.
    pub would_scrub: Vec<(Kind, u64)>,
}

impl PipelineStats {
    /// Counts a line that was dropped.
    pub(crate) fn dropped(&self, reason: &str) {
        self.dropped_many(reason, 1);
    }

    /// Counts lines that were dropped.
    pub(crate) fn dropped_many(&self, reason: &str, by: u64) {
        let mut dropped = self.dropped.lock();
        match dropped.get_mut(reason) {
            Some(count) => *count += by,
            None => {
                dropped.insert(reason.to_owned(), by);
            }
        }
    }

    pub(super) fn scrubbed(&self, kind: Kind, dry_run: bool) {
        let counters = match dry_run {
            true => &self.would_scrub,
            false => &self.scrubbed,
        };
        counters[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counters.
    pub fn counts(&self) -> PipelineCounts {
        let by_kind = |counters: &[AtomicU64; Kind::ALL.len()]| {
            let kinds = Kind::ALL.into_iter();
            kinds
                .map(|kind| (kind, counters[kind as usize].load(Ordering::Relaxed)))
                .collect()
        };
        PipelineCounts {
            dropped: self.dropped.lock().clone(),
            scrubbed: by_kind(&self.scrubbed),
            would_scrub: by_kind(&self.would_scrub),
        }
    }
}
