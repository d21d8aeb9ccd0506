//! What is wrong with a query, in Loki's words.

use std::fmt;

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
