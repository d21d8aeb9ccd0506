//! Why a request is not stored, and what its sender is told.

use kymo_storage::{AppendError, StorageError};

use crate::wire::WireError;

/// Bytes are not a request of OTLP metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They are no protobuf, or another message.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// A text is not UTF-8.
    #[error("proto: field {field} contains invalid UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
    /// An id has not as many bytes as ids have.
    #[error("invalid length for {field}")]
    IdLength {
        /// The field.
        field: &'static str,
    },
    /// Values lie in each other deeper than is followed.
    #[error("values of attributes are nested deeper than is read; send flatter attributes")]
    TooDeep,
    /// There is more of something in one place than a series or a histogram can have.
    #[error("more than {limit} {what} in one place; send fewer")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
    /// They are not the JSON of a request.
    #[error("{0}")]
    Json(String),
    /// Unpacked or transcoded, the request is larger than is read.
    #[error("request body exceeds the {limit_bytes} bytes limit")]
    TooLarge {
        /// The limit, bytes.
        limit_bytes: usize,
    },
}

/// A data point or series that could not be stored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PointError {
    /// The store does not accept it.
    #[error("{0}")]
    Append(#[from] AppendError),
    /// It is more than ten minutes ahead of the clock.
    #[error("out of bounds: timestamp is too far in the future")]
    TooFarInFuture,
    /// It cannot be translated.
    #[error("{0}")]
    Untranslatable(String),
}

impl PointError {
    /// Tells whether the time of the sample is what is wrong: sending it again cannot
    /// help.
    pub fn is_of_time(&self) -> bool {
        match self {
            PointError::TooFarInFuture => true,
            PointError::Append(error) => {
                error.is_duplicate()
                    || matches!(
                        error,
                        AppendError::OutOfOrder | AppendError::OutOfBounds | AppendError::TooOld
                    )
            }
            PointError::Untranslatable(_) => false,
        }
    }
}

/// Why a request was not stored, or not whole. The text is what the sender is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The Content-Type is neither of the two.
    #[error("unsupported content type: {0}, supported: [application/json, application/x-protobuf]")]
    ContentType(String),
    /// The Content-Encoding is neither absent nor gzip.
    #[error("unsupported compression: {0}. Only \"gzip\" or no compression supported")]
    Encoding(String),
    /// The body is not gzip.
    #[error("gzip: {0}")]
    Gzip(String),
    /// Nothing more can be unpacked now.
    #[error("too many request bodies at one time, try again later")]
    Busy,
    /// The body is not the message it should be.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    /// Points were not accepted or could not be translated; nothing was stored.
    #[error("{}", lines(.errors, *.n_more))]
    Points {
        /// Why, by metrics in the order of the request.
        errors: Vec<PointError>,
        /// How many more metrics there are of which nothing is said.
        n_more: usize,
    },
    /// Series would have gone over a limit of the store; everything else was stored.
    #[error(
        "{refused} samples refused: {limit}; the other {stored} samples of the request are stored"
    )]
    SeriesLimit {
        /// The limit that was met first.
        limit: AppendError,
        /// Samples left out.
        refused: u64,
        /// Samples stored.
        stored: u64,
    },
    /// The store failed; nothing was stored.
    #[error("{}", storage_text(.0))]
    Storage(#[from] StorageError),
}

impl PushError {
    /// Returns the HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            PushError::ContentType(_)
            | PushError::Encoding(_)
            | PushError::Gzip(_)
            | PushError::SeriesLimit { .. } => 400,
            PushError::Malformed(DecodeError::TooLarge { .. }) => 413,
            PushError::Malformed(_) => 400,
            PushError::Busy => 503,
            PushError::Points { errors, .. } => match errors.iter().any(PointError::is_of_time) {
                true => 400,
                false => 500,
            },
            PushError::Storage(error) => crate::remote_write::storage_status(error),
        }
    }
}

fn lines(errors: &[PointError], n_more: usize) -> String {
    let mut lines: Vec<String> = errors.iter().map(PointError::to_string).collect();
    if n_more > 0 {
        lines.push(format!("and {n_more} more"));
    }
    lines.join("\n")
}

fn storage_text(error: &StorageError) -> String {
    crate::remote_write::storage_text(error)
}
