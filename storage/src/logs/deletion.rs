//! Deleting: entries of some streams in a range, all of them or those that a filter finds.
//!
//! A deletion hides what was there when it was asked for, at once and for good; what is
//! pushed later stays. It is *applied* to the entries of memory when they are flushed, and
//! to a part when that is rewritten. When nothing is left that it has to be applied to, it
//! is *processed*: it hides nothing any more, and is only remembered.
//!
//! The store does not know what a filter means. It keeps the text of the request, and asks
//! whoever opens it to make a filter of it again ([`FilterCompiler`]).

use std::fmt;
use std::sync::Arc;

use super::manifest::DeletionEntry;
use super::selection::StoredEntry;
use super::table::Block;
use crate::model::{Labels, Matcher, NanoRange};
use crate::wal::{EntryRow, metadata_pairs};

/// Tells of an entry of a stream whether it is to be deleted.
pub type EntryFilter = Arc<dyn Fn(&Labels, StoredEntry<'_>) -> bool + Send + Sync>;

/// Makes a filter of the text of a request that had one when it came, or says why it
/// cannot.
#[derive(Clone)]
pub struct FilterCompiler(Arc<Compile>);

type Compile = dyn Fn(&str) -> Result<EntryFilter, String> + Send + Sync;

impl FilterCompiler {
    /// Wraps a function.
    pub fn new(
        compile: impl Fn(&str) -> Result<EntryFilter, String> + Send + Sync + 'static,
    ) -> FilterCompiler {
        FilterCompiler(Arc::new(compile))
    }

    pub(super) fn compile(&self, query: &str) -> Result<EntryFilter, String> {
        (self.0)(query)
    }
}

impl fmt::Debug for FilterCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FilterCompiler")
    }
}

/// What is to be deleted.
pub struct DeleteRequest {
    /// The streams.
    pub matchers: Vec<Matcher>,
    /// The times.
    pub range: NanoRange,
    /// The request in the words of whoever asks; also what a filter is made of again
    /// after a restart.
    pub query: String,
    /// Finds the entries among those of the streams and times. `None` is all of them.
    pub filter: Option<EntryFilter>,
    /// When it is asked for, in nanoseconds since the epoch. Only remembered.
    pub created_ns: i64,
}

impl fmt::Debug for DeleteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeleteRequest")
            .field("query", &self.query)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// How far a deletion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteProgress {
    /// It hides, and was applied to nothing yet.
    Received,
    /// It was applied to so many per cent of the pieces that it concerns.
    Percent(u8),
    /// What it deleted is gone from the disk.
    Processed,
    /// Its filter could not be made again after a restart: it hides nothing.
    Failed,
}

/// A deletion that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteStatus {
    /// Its number, by which it is cancelled.
    pub number: u64,
    /// The request in the words of whoever asked.
    pub query: String,
    /// The times.
    pub range: NanoRange,
    /// When it was asked for, in nanoseconds since the epoch.
    pub created_ns: i64,
    /// How far it is.
    pub progress: DeleteProgress,
}

/// What became of a request to cancel a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// It is gone. What it was not applied to is visible again.
    Done,
    /// There is none of this number.
    Unknown,
    /// It was applied in part, and is to be cancelled by force if at all.
    Begun,
    /// It is processed: there is nothing to cancel.
    Processed,
}

/// What a deletion finds among the entries of its streams and times.
pub(super) enum Finds {
    All,
    Filtered(EntryFilter),
    /// Nothing, because the filter could not be made again.
    Unknown,
}

/// A deletion and its filter.
#[derive(Debug)]
pub(super) struct Deletion {
    pub(super) entry: DeletionEntry,
    pub(super) finds: Finds,
}

impl fmt::Debug for Finds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Finds::All => "All",
            Finds::Filtered(_) => "Filtered",
            Finds::Unknown => "Unknown",
        })
    }
}

impl Deletion {
    /// Makes a deletion of what the manifest says.
    pub(super) fn restore(
        entry: DeletionEntry,
        compiler: Option<&FilterCompiler>,
    ) -> (Deletion, Option<String>) {
        if !entry.has_filter || entry.is_processed {
            let finds = Finds::All;
            return (Deletion { entry, finds }, None);
        }
        let compiled = match compiler {
            Some(compiler) => compiler.compile(&entry.query),
            None => Err("nobody can read it".to_owned()),
        };
        let (finds, failure) = match compiled {
            Ok(filter) => (Finds::Filtered(filter), None),
            Err(reason) => (
                Finds::Unknown,
                Some(format!(
                    "deletion {} of {:?} hides nothing any more: {reason}; ask for it again",
                    entry.number, entry.query
                )),
            ),
        };
        (Deletion { entry, finds }, failure)
    }

    /// Tells whether it hides anything of what came with or before the deletion `born`,
    /// with times from `first_ns` to `last_ns`.
    pub(super) fn concerns(&self, born: u64, first_ns: i64, last_ns: i64) -> bool {
        self.hides() && self.entry.number > born && self.entry.range.overlaps(first_ns, last_ns)
    }

    /// Tells whether it hides anything at all.
    pub(super) fn hides(&self) -> bool {
        !self.entry.is_processed && !matches!(self.finds, Finds::Unknown)
    }

    /// Tells whether it concerns a stream.
    pub(super) fn is_of(&self, labels: &Labels) -> bool {
        let value = |name: &str| labels.get(name).unwrap_or("");
        let matchers = &self.entry.matchers;
        matchers.iter().all(|m| m.matches(value(m.name())))
    }

    /// Tells whether it hides an entry of a stream that it concerns.
    pub(super) fn finds(&self, labels: &Labels, entry: StoredEntry<'_>) -> bool {
        self.entry.range.contains(entry.t_ns)
            && match &self.finds {
                Finds::All => true,
                Finds::Filtered(filter) => filter(labels, entry),
                Finds::Unknown => false,
            }
    }
}

/// All deletions of a store, by number.
pub(super) type Deletions = Vec<Arc<Deletion>>;

/// Deletions that concern a piece of data, and of which of its streams.
#[derive(Debug, Default, Clone)]
pub(super) struct Hiding {
    /// The streams are those of a list that the piece has.
    deletions: Vec<(Arc<Deletion>, Arc<Vec<bool>>)>,
}

impl Hiding {
    /// Adds a deletion, with what it concerns of the streams.
    pub(super) fn add(&mut self, deletion: &Arc<Deletion>, streams: Arc<Vec<bool>>) {
        if streams.contains(&true) {
            self.deletions.push((Arc::clone(deletion), streams));
        }
    }

    /// Tells whether nothing is hidden.
    pub(super) fn is_empty(&self) -> bool {
        self.deletions.is_empty()
    }

    /// Tells whether an entry of stream `at` is hidden; `labels` are those of the stream.
    pub(super) fn hides(&self, at: usize, labels: &Labels, entry: StoredEntry<'_>) -> bool {
        self.deletions.iter().any(|(deletion, streams)| {
            streams.get(at).copied().unwrap_or(false) && deletion.finds(labels, entry)
        })
    }
}

/// Tells whether a deletion hides an entry of a block; `labels` gives those of a stream.
pub(super) fn is_hidden(
    deletions: &[Arc<Deletion>],
    block: &Block,
    row: EntryRow,
    labels: impl FnOnce(u32) -> Labels,
) -> bool {
    let concerning = |deletion: &&Arc<Deletion>| deletion.concerns(block.born, row.t_ns, row.t_ns);
    if !deletions.iter().any(|deletion| concerning(&deletion)) {
        return false;
    }
    let labels = labels(row.stream);
    let metadata: Vec<(&str, &str)> = metadata_pairs(row.metadata(block.bytes())).collect();
    let entry = StoredEntry {
        stream: row.stream,
        t_ns: row.t_ns,
        line: row.line(block.bytes()),
        metadata: &metadata,
    };
    let mut concerning = deletions.iter().filter(concerning);
    concerning.any(|deletion| deletion.is_of(&labels) && deletion.finds(&labels, entry))
}
