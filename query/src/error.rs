//! Why a query gave no answer.

use crate::promql::ParseErrors;
use crate::source::SourceError;

/// A query was refused or its evaluation ended early.
///
/// The texts are Prometheus' own; clients match on them.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is not PromQL. The API calls it `bad_data`.
    #[error("{0}")]
    Parse(#[from] ParseErrors),
    /// The query is well formed but cannot be run as asked, for instance a range
    /// vector as a range query. The API calls it `bad_data`.
    #[error("{0}")]
    Invalid(String),
    /// The evaluation met something that has no answer. The API calls it `execution`.
    #[error("{0}")]
    Execution(String),
    /// The query needs something that is not there yet. The API calls it `execution`.
    #[error("{0} not supported yet")]
    Unsupported(String),
    /// The query would hold more samples than [`EngineOptions::max_samples`]. The API
    /// calls it `execution`.
    ///
    /// [`EngineOptions::max_samples`]: crate::EngineOptions::max_samples
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// The query would hold more memory than
    /// [`EngineOptions::max_memory_bytes`](crate::EngineOptions::max_memory_bytes). The
    /// API calls it `execution`.
    #[error(
        "query would hold more than its share of {limit_bytes} bytes of memory; \
         select fewer series, a shorter time or a longer step"
    )]
    TooMuchMemory {
        /// The share in bytes.
        limit_bytes: u64,
    },
    /// All queries together hold as much memory as they may. The API calls it
    /// `unavailable`.
    #[error("no memory is left for queries at this time, try again later")]
    NoMemory,
    /// The time allowed for the query has passed. The API calls it `timeout`.
    #[error("query timed out in {0}")]
    Timeout(&'static str),
    /// Nobody wants the answer any more. The API calls it `canceled`.
    #[error("query was canceled in {0}")]
    Canceled(&'static str),
    /// The data could not be read. The API calls it `internal`.
    #[error("expanding series: {0}")]
    Storage(#[from] SourceError),
}
