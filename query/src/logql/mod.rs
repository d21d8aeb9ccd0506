//! LogQL over any source of log streams.
//!
//! [`ast`] is the tree of a query; [`LogSource`] is what a store, or an embedder, implements.

pub mod ast;
mod patterns;
mod source;
mod store;

pub use patterns::{HOLE, Pattern, PatternMiner};
pub use source::{
    EntryBatch, EntryRef, LineNeedles, LogGroup, LogSelection, LogSet, LogSource, MemoryLogSource,
    MetadataRef,
};
