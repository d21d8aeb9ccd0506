//! Where entries go, and how they are put together for it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kymo_storage::model::{Labels, LogEntry, Metadata, StreamBatch};

use crate::pipeline::{Entry, LabelSet};

/// What stores entries.
pub trait LogSink: Send + Sync {
    /// Stores entries. When it returns, they survive the end of the process.
    ///
    /// # Errors
    /// Nothing, or not all, is stored for now; the same entries are pushed again later.
    fn push(&self, batches: &[StreamBatch<'_>]) -> Result<Pushed, SinkError>;

    /// Stores entries of which some or all may be stored already, by a process that was
    /// killed: those that are equal to one that is there, in stream, time, line and metadata,
    /// are not stored again. That is how nothing comes twice after a crash.
    ///
    /// # Errors
    /// As those of [`LogSink::push`].
    fn push_again(&self, batches: &[StreamBatch<'_>]) -> Result<Pushed, SinkError>;

    /// Makes all that was pushed survive a loss of power.
    ///
    /// # Errors
    /// It may not survive.
    fn sync(&self) -> Result<(), SinkError>;
}

/// What became of entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pushed {
    /// Entries that are not taken, now or later, by reason.
    pub rejected: Vec<(String, u64)>,
}

/// Entries cannot be stored for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(
    /// Why.
    pub String,
);

/// What is counted on the way to the sink.
#[derive(Debug, Default)]
pub struct SinkStats {
    /// Entries that were stored.
    pub sent_entries: AtomicU64,
    /// Bytes of their lines.
    pub sent_bytes: AtomicU64,
    /// Batches that had to be pushed again.
    pub retries: AtomicU64,
}

impl SinkStats {
    pub(super) fn sent(&self, entries: u64, bytes: u64) {
        self.sent_entries.fetch_add(entries, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Puts entries together by their streams, which stay in order of arrival. Labels of the
/// pipeline alone, and those without value, are left out.
pub(super) fn batches(entries: Vec<Entry>) -> Vec<StreamBatch<'static>> {
    let mut places: HashMap<LabelSet, usize> = HashMap::new();
    let mut batches: Vec<StreamBatch<'static>> = Vec::new();
    for entry in entries {
        let at = match places.get(&entry.labels) {
            Some(at) => *at,
            None => {
                let own = entry.labels.iter();
                let own = own.filter(|(name, value)| !name.starts_with("__") && !value.is_empty());
                batches.push(StreamBatch {
                    labels: Labels::from_pairs(own.map(|(name, value)| (&**name, &**value))),
                    entries: Vec::new(),
                });
                places.insert(entry.labels, batches.len() - 1);
                batches.len() - 1
            }
        };
        batches[at].entries.push(LogEntry {
            t_ns: entry.t_ns,
            line: Cow::Owned(entry.line),
            metadata: metadata(entry.metadata),
        });
    }
    batches
}

/// Sorts metadata; of one name the last counts.
fn metadata(mut pairs: Vec<(Arc<str>, Arc<str>)>) -> Metadata<'static> {
    pairs.reverse();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs.dedup_by(|later, first| later.0 == first.0);
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| {
            (
                Cow::Owned((*name).to_owned()),
                Cow::Owned((*value).to_owned()),
            )
        })
        .collect()
}
