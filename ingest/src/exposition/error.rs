//! What can be wrong with an exposition, in Prometheus' words.

use kymo_storage::compat::quote::quote_bytes;

/// Why a body cannot be read. Its text is the one Prometheus gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpositionError {
    /// Another token was due. The text quotes the token with one byte more, and
    /// the entry up to there.
    #[error("{expected}, got {got} ({token}) while parsing: {entry}")]
    Unexpected {
        /// What was due.
        expected: String,
        /// The token found, quoted.
        got: String,
        /// The name of the kind of token found, quoted.
        token: String,
        /// The entry so far, quoted.
        entry: String,
    },
    /// A part of the entry has the right form and a wrong content.
    #[error("{reason} while parsing: {entry}")]
    Invalid {
        /// What is wrong.
        reason: String,
        /// The entry so far, quoted.
        entry: String,
    },
    /// A part of the entry has a wrong content; the entry is not quoted.
    #[error("{0}")]
    Content(String),
    /// An OpenMetrics body stops before its closing line.
    #[error("data does not end with # EOF")]
    NoEof,
    /// An OpenMetrics body goes on after its closing line.
    #[error("unexpected data after # EOF")]
    DataAfterEof,
    /// The format is known and not read yet.
    #[error("the {0} exposition format is not supported yet; offer text or OpenMetrics")]
    Unsupported(&'static str),
}

/// Why the labels of a sample cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// A name stands twice.
    #[error("label name {} is not unique: invalid sample", quote_bytes(.0.as_bytes()))]
    Duplicate(String),
    /// A quoted name is not UTF-8.
    #[error("invalid metric name or label names: {}", quote_bytes(.0))]
    NotUtf8(Vec<u8>),
}
