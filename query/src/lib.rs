//! PromQL over any source of series.
//!
//! The crate evaluates queries and nothing else: no files, sockets, clocks or
//! async. A caller implements [`Source`] over its data, or uses the one for
//! `kymo_storage`, and runs queries through the engine.

pub mod promql;

mod error;
mod limits;
mod memory;
mod source;
mod stats;
mod store;
mod syntax;

pub use error::QueryError;
pub use limits::Cancel;
pub use memory::MemorySource;
pub use promql::{
    Engine, EngineOptions, PointValue, QueryOptions, QueryResult, Series, Value, VectorSample,
};
pub use source::{SampleBuf, SelectHints, SeriesSet, Source, SourceError};
pub use stats::QueryStats;
