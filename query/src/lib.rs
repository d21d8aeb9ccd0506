//! PromQL over any source of series.
//!
//! The crate evaluates queries and nothing else: no files, sockets, clocks or
//! async. A caller implements [`Source`] over its data, or uses the one for
//! `kymo_storage`, and runs queries through the engine.

pub mod promql;
mod source;
mod syntax;

pub use source::{SampleBuf, SelectHints, SeriesSet, Source, SourceError};
