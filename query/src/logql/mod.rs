//! LogQL over any source of log streams.
//!
//! Text becomes tokens (`lex`), tokens a tree (`grammar` has the rules, `build` what they
//! mean), and its stages are checked (`check`) before anybody sees it: see [`parse`].
//! `print` and `pretty` write it down again.
//! `pipeline` runs its stages over entries, `eval` computes numbers from what they leave,
//! `entries` and `candidates` find those that come first, and the [`LogEngine`] puts it
//! together; `columnar` spares it rows and parts of lines. [`ast`] is the tree of a query;
//! [`LogSource`] is what a store, or an embedder, implements.

pub mod ast;
pub mod script;

mod address;
mod build;
mod candidates;
mod check;
mod columnar;
mod engine;
mod entries;
mod error;
mod eval;
mod fold;
mod grammar;
mod label_set;
mod lex;
mod parse;
mod path;
mod pattern;
mod patterns;
mod pipeline;
mod pretty;
mod print;
mod rounded;
mod size;
mod source;
mod store;
mod text;
mod value;

#[cfg(test)]
mod tests;

pub use columnar::ColumnGroup;
pub use engine::{Direction, LogEngine, LogEngineOptions, LogQueryOptions, LogRangeQuery};
pub use error::{LogQlError, ParseError};
pub use label_set::LabelSet;
pub use parse::{
    MAX_QUERY_BYTES, format_query, parse, parse_any_log, parse_any_matchers, parse_instant,
    parse_log, parse_matchers, require_selection,
};
pub use patterns::{HOLE, Pattern, PatternMiner};
pub use pipeline::{LineLabels, Pipeline, ProcessedEntry};
pub use source::{
    EntryBatch, EntryRef, LineNeedle, LineNeedles, LogGroup, LogSelection, LogSet, LogSource,
    MemoryLogSource, MetadataRef,
};
pub use text::text_of;
pub use value::{LogLine, LogResult, LogSample, LogSeries, LogStats, LogStream, LogValue};
