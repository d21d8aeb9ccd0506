//! Why a push is not stored, or not all of it. The texts are Loki's where it has one.

use crate::otlp;
use crate::wire::WireError;

/// Why a push is not stored, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The body is packed in a way that is not understood.
    #[error("Content-Encoding {} not supported", kymo_storage::compat::quote::quote(.0))]
    Encoding(String),
    /// The body is not what its encoding says.
    #[error("{0}")]
    Packed(String),
    /// The body is larger than is read, as sent or unpacked.
    #[error("request body too large: {what} size too large than max ({found} vs {limit})")]
    TooLarge {
        /// `message`, or `decompressed message`.
        what: &'static str,
        /// Its bytes, as far as they were read.
        found: usize,
        /// How many are read.
        limit: usize,
    },
    /// There is no memory for it now.
    #[error("too many request bodies at one time, try again later")]
    Busy,
    /// The body is not the protobuf it should be.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// The body is not the JSON it should be.
    #[error(
        "{told}, error found in #{offset} byte of ...|{near}|..., \
         bigger context ...|{around}|..."
    )]
    Json {
        /// What was read, and what is wrong.
        told: String,
        /// The byte of `near` it is at.
        offset: usize,
        /// What stands there.
        near: String,
        /// And around it.
        around: String,
    },
    /// A line of JSON lines is not what it should be; those before it are not stored.
    #[error("line {line}: {text}")]
    Line {
        /// Which, counted from one.
        line: usize,
        /// What is wrong.
        text: String,
    },
    /// The labels of a stream cannot be read.
    #[error("couldn't parse labels: {0}")]
    Labels(String),
    /// A parameter or header of the request is wrong.
    #[error("{0}")]
    Parameter(String),
    /// Nothing was pushed.
    #[error("error at least one valid stream is required for ingestion")]
    NoStreams,
    /// Entries were refused; all others are stored.
    #[error("{0}")]
    Refused(String),
    /// Nothing is accepted now.
    #[error("{text}")]
    Blocked {
        /// The status that is configured.
        status: u16,
        /// What the sender is told.
        text: String,
    },
    /// More was pushed in a second than may be.
    #[error("{0}")]
    RateLimited(String),
    /// It is no request of OTLP logs.
    #[error("{0}")]
    Otlp(#[from] otlp::DecodeError),
}

impl PushError {
    /// Returns the HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            PushError::TooLarge { .. } | PushError::Otlp(otlp::DecodeError::TooLarge { .. }) => 413,
            PushError::Busy => 503,
            PushError::NoStreams => 422,
            PushError::Blocked { status, .. } => *status,
            PushError::RateLimited(_) => 429,
            _ => 400,
        }
    }
}
