//! What can be wrong with an exposition, in Prometheus' words.

use kymo_storage::compat::quote::quote_bytes;

pub use super::classic::ClassicError;
use crate::wire::WireError;
pub use crate::wire::metric_histogram::LayoutMismatch;

/// Why a body cannot be read. Its text is the one Prometheus gives.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
    /// A body of protobuf ends inside a family.
    #[error(
        "clientpb: insufficient length of buffer, expected at least {expected} bytes, got {got} \
         bytes"
    )]
    Truncated {
        /// Bytes the family takes, with its length.
        expected: u64,
        /// Bytes there are.
        got: usize,
    },
    /// The length of a family in a body of protobuf is none.
    #[error("clientpb: invalid varint encountered")]
    InvalidLength,
    /// A message of a body of protobuf is malformed.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A native histogram does not fit its own layout.
    #[error("histogram {}: {mismatch}", quote_bytes(.name.as_bytes()))]
    Layout {
        /// Name of the family.
        name: String,
        /// What does not fit.
        mismatch: LayoutMismatch,
    },
    /// A classic histogram cannot become a native one.
    #[error(transparent)]
    Classic(#[from] ClassicError),
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
