//! What is wrong with a query, in Loki's words.

use std::fmt;

use crate::error::QueryError;

/// Why a LogQL query is refused or fails.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LogQlError {
    /// The text is no query.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A whole query stands where only a selector can.
    #[error("only label matchers are supported")]
    OnlyMatchers,
    /// A metric query stands where only a query for entries can.
    #[error("only log selector is supported")]
    OnlyEntries,
    /// A query for entries stands where only one for numbers can. The API calls it
    /// `bad_data`.
    #[error(
        "log queries are not supported as an instant query type, please change your query to a \
         range query type"
    )]
    InstantEntries,
    /// The query cannot be run as asked, for instance with a step of zero. The API calls it
    /// `bad_data`.
    #[error("{0}")]
    Invalid(String),
    /// A series of a query for numbers has an error that the query did not ask for. The API
    /// calls it `bad_data`.
    #[error(
        "pipeline error: '{kind}' for series: '{series}'.\n\
         Use a label filter to intentionally skip this error. (e.g | __error__!=\"{kind}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n"
    )]
    Pipeline {
        /// What went wrong with an entry.
        kind: String,
        /// The series.
        series: String,
    },
    /// The query has more series than an answer may have. The API calls it `bad_data`.
    #[error(
        "maximum number of series ({limit}) reached for a single query; consider reducing query \
         cardinality by adding more specific stream selectors, reducing the time range, or \
         aggregating results with functions like sum(), count() or topk()"
    )]
    TooManySeries {
        /// How many it may have.
        limit: usize,
    },
    /// An expression cannot be evaluated where it stands. The API calls it `internal`.
    #[error("{0}")]
    Unevaluable(&'static str),
    /// Series of two sides do not find each other one by one. The API calls it `internal`.
    #[error("{0}")]
    Matching(String),
    /// The query would hold more memory than it may.
    #[error(
        "query would hold more than its share of {limit_bytes} bytes of memory; \
         select fewer streams, a shorter time or a longer step"
    )]
    TooMuchMemory {
        /// The share in bytes.
        limit_bytes: u64,
    },
    /// All queries together hold as much memory as they may. The API calls it
    /// `unavailable`.
    #[error("no memory is left for queries at this time, try again later")]
    NoMemory,
    /// The time allowed for the query has passed.
    #[error("query timed out in {0}")]
    Timeout(&'static str),
    /// Nobody wants the answer any more.
    #[error("query was canceled in {0}")]
    Canceled(&'static str),
    /// The data could not be read.
    #[error("{0}")]
    Storage(String),
}

impl From<QueryError> for LogQlError {
    fn from(error: QueryError) -> LogQlError {
        match error {
            QueryError::TooMuchMemory { limit_bytes } => LogQlError::TooMuchMemory { limit_bytes },
            QueryError::NoMemory => LogQlError::NoMemory,
            QueryError::Timeout(place) => LogQlError::Timeout(place),
            QueryError::Canceled(place) => LogQlError::Canceled(place),
            other => LogQlError::Storage(other.to_string()),
        }
    }
}

/// What is wrong with the text of a query, and where.
///
/// The place is the one that Loki shows: columns count characters from 1, and tokens of
/// more than one character that are no words, such as `|=`, stand on line 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Line and column; both 0 for what is wrong with the query as a whole.
    pub place: (usize, usize),
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    /// Builds an error about the query as a whole.
    pub(crate) fn new(message: impl Into<String>) -> ParseError {
        ParseError {
            place: (0, 0),
            message: message.into(),
        }
    }

    /// Builds an error about a stage that cannot be built.
    pub(crate) fn stage(stage: &str, reason: impl fmt::Display) -> ParseError {
        ParseError::new(format!("stage '{stage}' : {reason}"))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            (0, 0) => write!(f, "parse error : {}", self.message),
            (line, column) => write!(
                f,
                "parse error at line {line}, col {column}: {}",
                self.message
            ),
        }
    }
}

impl std::error::Error for ParseError {}
