//! The log store: streams with their labels, and their entries.
//!
//! [`LogStore::push`] writes the entries of a request to the log in one commit and then
//! puts them into a table in memory; only then does it return. [`LogStore::select`] takes
//! a snapshot that sees whole pushes, as groups of entries that are read one at a time.
//! Nothing here knows LogQL, text or wire formats, and no clock is read.
//!
//! The shape is that of the metrics store, and so are the layers below: the segments of
//! `wal`, the label index of `index`, the directories of `fs`.
//!
//! - `table`: entries in memory, in blocks that readers share.
//! - `spare`: memory that flushes use again.
//! - `flush`, [`part`], `parts`, `manifest`: files of entries, and which of them count.
//! - `merging`, `retention`, `deletion`, `maintenance`: what becomes of parts later.
//! - `store`, `push`, `selection`, `streams`: the store, writing it and reading it.
//! - `recovery`: what a restart finds.

mod deletion;
mod flush;
mod maintenance;
mod manifest;
mod merging;
mod options;
pub mod part;
mod parts;
mod push;
mod recovery;
mod retention;
mod selection;
mod spare;
mod stats;
mod store;
mod streams;
mod table;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;
#[cfg(test)]
mod tests;

pub use deletion::{
    Cancelled, DeleteProgress, DeleteRequest, DeleteStatus, EntryFilter, FilterCompiler,
};
pub use maintenance::Maintained;
pub use options::LogStoreOptions;
pub use push::{PushError, Pushed, Rejected, Rejection};
pub use retention::{LogRetention, StreamRetention};
pub use selection::{EntryGroup, EntryHead, PartGroup, SelectOptions, Selection, StoredEntry};
pub use stats::{LogRecovery, LogStats};
pub use store::LogStore;
pub use streams::StreamVolume;
