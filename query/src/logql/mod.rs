//! LogQL over any source of log streams.
//!
//! Text becomes tokens (`lex`), tokens a tree (`grammar` has the rules, `build` what they
//! mean), and its stages are checked (`check`) before anybody sees it: see [`parse`].
//! `print` and `pretty` write it down again. [`ast`] is the tree of a query; [`LogSource`]
//! is what a store, or an embedder, implements.

pub mod ast;

mod address;
mod build;
mod check;
mod error;
mod fold;
mod grammar;
mod lex;
mod parse;
mod path;
mod pattern;
mod patterns;
mod pretty;
mod print;
mod size;
mod source;
mod store;

#[cfg(test)]
mod tests;

pub use error::{LogQlError, ParseError};
pub use parse::{
    MAX_QUERY_BYTES, format_query, parse, parse_any_matchers, parse_log, parse_matchers,
    require_selection,
};
pub use patterns::{HOLE, Pattern, PatternMiner};
pub use source::{
    EntryBatch, EntryRef, LineNeedles, LogGroup, LogSelection, LogSet, LogSource, MemoryLogSource,
    MetadataRef,
};
