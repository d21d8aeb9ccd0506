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
//! - `store`, `push`, `selection`, `streams`: the store, writing it and reading it.
//! - [`part`]: the files that entries end in.
//! - `recovery`: what a restart finds.

mod options;
pub mod part;
mod push;
mod recovery;
mod selection;
mod stats;
mod store;
mod streams;
mod table;

#[cfg(test)]
mod tests;

pub use options::LogStoreOptions;
pub use push::{PushError, Pushed, Rejected, Rejection};
pub use selection::{EntryGroup, Selection, StoredEntry};
pub use stats::{LogRecovery, LogStats};
pub use store::LogStore;
pub use streams::StreamVolume;
