//! What a sender is told, and which requests are not even read.

use kymo_storage::model::histogram::HistogramError;
use kymo_storage::{AppendError, StorageError};

use super::receiver::Receipt;
use crate::wire::WireError;

/// The versions of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 1.0, `prometheus.WriteRequest`.
    V1,
    /// 2.0, `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// Every version.
    pub const ALL: [Version; 2] = [Version::V1, Version::V2];

    /// Returns the full name of its protobuf message.
    pub fn message(self) -> &'static str {
        match self {
            Version::V1 => "prometheus.WriteRequest",
            Version::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// Returns the version with this message.
    pub fn from_message(name: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|one| one.message() == name)
    }
}

/// Which versions are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepts {
    /// 1.0.
    pub v1: bool,
    /// 2.0.
    pub v2: bool,
}

impl Default for Accepts {
    /// Returns both.
    fn default() -> Accepts {
        Accepts { v1: true, v2: true }
    }
}

impl Accepts {
    /// Tells whether a version is among them.
    pub fn has(self, version: Version) -> bool {
        match version {
            Version::V1 => self.v1,
            Version::V2 => self.v2,
        }
    }
}

/// An answer to a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers, without lengths and dates.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// What became of a request, whatever its version.
#[derive(Debug)]
pub struct Outcome {
    /// The version; `None` where it was not looked at.
    pub version: Option<Version>,
    /// What was stored, or why not all was.
    pub result: Result<Receipt, WriteError>,
}

impl Outcome {
    /// Returns the answer.
    pub fn reply(&self) -> Reply {
        let mut reply = match &self.result {
            Ok(_) => Reply {
                status: 204,
                headers: Vec::new(),
                body: String::new(),
            },
            Err(error) => error.reply(),
        };
        if self.version == Some(Version::V2) {
            // How a 2.0 sender learns what was written, and that the receiver is one.
            let counts = |receipt: &Receipt| {
                let Receipt {
                    samples,
                    histograms,
                    exemplars,
                    ..
                } = *receipt;
                [samples, histograms, exemplars]
            };
            let written = match &self.result {
                Ok(receipt) => counts(receipt),
                Err(WriteError::Partial(receipt)) => counts(receipt),
                Err(_) => [0; 3],
            };
            for (name, count) in WRITTEN.into_iter().zip(written) {
                reply.headers.push((name, count.to_string()));
            }
        }
        reply
    }
}

/// Headers that count what was written: samples, native histograms, exemplars.
const WRITTEN: [&str; 3] = [
    "X-Prometheus-Remote-Write-Samples-Written",
    "X-Prometheus-Remote-Write-Histograms-Written",
    "X-Prometheus-Remote-Write-Exemplars-Written",
];

/// Headers of a reply with an error text.
const TEXT_HEADERS: [(&str, &str); 2] = [
    ("Content-Type", "text/plain; charset=utf-8"),
    ("X-Content-Type-Options", "nosniff"),
];

/// Why a request was not stored, or not whole. The text is what the sender is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The Content-Encoding is not snappy.
    #[error("{0} encoding (compression) is not accepted by this server; only snappy is acceptable")]
    Encoding(String),
    /// The Content-Type is not that of a message received here.
    #[error("{0}")]
    ContentType(String),
    /// The compressed body is too large.
    #[error("request body exceeds the {limit_bytes} bytes limit")]
    BodyTooLarge {
        /// The limit, bytes.
        limit_bytes: usize,
    },
    /// The body says it unpacks to too much.
    #[error("decoded size exceeds the {limit_bytes} bytes limit")]
    DecodedTooLarge {
        /// The limit, bytes.
        limit_bytes: usize,
    },
    /// The body is not snappy.
    #[error("s2: corrupt input")]
    Snappy,
    /// The body is not the message it should be.
    #[error("{0}")]
    Malformed(#[from] WireError),
    /// A sample was not accepted; nothing was stored.
    #[error("{0}")]
    Append(#[from] AppendError),
    /// A sample is more than ten minutes ahead; nothing was stored.
    #[error("out of bounds: timestamp is too far in the future")]
    TooFarInFuture,
    /// A native histogram is none; nothing was stored.
    #[error("{0}")]
    Histogram(#[from] HistogramError),
    /// Everything was stored but what cannot be.
    #[error("{}", partial_text(.0))]
    Partial(Box<Receipt>),
    /// The store failed; nothing was stored.
    #[error("{}", storage_text(.0))]
    Storage(#[from] StorageError),
}

impl WriteError {
    /// Returns the HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            WriteError::Encoding(_) | WriteError::ContentType(_) => 415,
            WriteError::BodyTooLarge { .. } => 413,
            WriteError::DecodedTooLarge { .. }
            | WriteError::Snappy
            | WriteError::Malformed(_)
            | WriteError::TooFarInFuture
            | WriteError::Histogram(_)
            | WriteError::Partial(_) => 400,
            WriteError::Append(error) => append_status(error),
            WriteError::Storage(error) => storage_status(error),
        }
    }

    /// Returns the answer.
    pub fn reply(&self) -> Reply {
        Reply {
            status: self.status(),
            headers: TEXT_HEADERS
                .map(|(name, value)| (name, value.to_owned()))
                .to_vec(),
            body: format!("{self}\n"),
        }
    }
}

/// What is wrong with a sample itself is the sender's to know.
pub(super) fn append_status(error: &AppendError) -> u16 {
    match error {
        AppendError::OutOfOrder
        | AppendError::OutOfBounds
        | AppendError::TooOld
        | AppendError::Histogram(_)
        | AppendError::TooManyBuckets { .. } => 400,
        error if error.is_duplicate() => 400,
        _ => 500,
    }
}

/// A full disk empties and a failed one is replaced: the sender shall keep its data and
/// try again. What the log cannot take in one piece it will not take later either.
pub(crate) fn storage_status(error: &StorageError) -> u16 {
    match error {
        StorageError::DiskFull { .. } | StorageError::Poisoned { .. } => 503,
        StorageError::TooLarge { .. } => 413,
        _ => 500,
    }
}

/// The cause is not part of a storage error's own text, and is what a sender needs.
pub(crate) fn storage_text(error: &StorageError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn partial_text(receipt: &Receipt) -> String {
    if !receipt.refused.is_empty() {
        return receipt.refused.join("\n");
    }
    let refused = match &receipt.series_limit {
        Some(limit) => format!("{} samples refused: {limit}", receipt.samples_over_limit),
        None => String::new(),
    };
    format!(
        "{refused}; the other {} samples of the request are stored",
        receipt.samples + receipt.histograms
    )
}

const MEDIA_TYPE: &str = "application/x-protobuf";

/// Checks the Content-Encoding. Without one the body is taken as snappy too.
///
/// # Errors
///
/// [`WriteError::Encoding`].
pub fn check_encoding(content_encoding: Option<&str>) -> Result<(), WriteError> {
    match content_encoding {
        None | Some("" | "snappy") => Ok(()),
        Some(other) => Err(WriteError::Encoding(other.to_owned())),
    }
}

/// Checks the Content-Type and returns the version that it names; one that says nothing
/// is 1.0.
///
/// The header is not read as MIME asks: a blank in front of `proto` makes another
/// parameter of it, which is not looked at.
///
/// # Errors
///
/// [`WriteError::ContentType`].
pub fn check_content_type(
    content_type: Option<&str>,
    accepts: Accepts,
) -> Result<Version, WriteError> {
    let header = match content_type {
        None | Some("") => MEDIA_TYPE,
        Some(header) => header.trim(),
    };
    let refuse = |text: String| Err(WriteError::ContentType(text));
    let mut parts = header.split(';');
    if parts.next() != Some(MEDIA_TYPE) {
        return refuse(format!(
            "expected {MEDIA_TYPE} as the first (media) part, got {header} content-type"
        ));
    }
    let mut version = Version::V1;
    for part in parts {
        let message = match part.split_once('=') {
            Some((name, value)) if !value.contains('=') => match name {
                "proto" => value,
                _ => continue,
            },
            _ => {
                return refuse(format!(
                    "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters \
                     to be key-values, got {part} in {header} content-type"
                ));
            }
        };
        match Version::from_message(message) {
            Some(named) => version = named,
            None => {
                return refuse(format!(
                    "got {header} content type; unknown type for remote write protobuf message \
                     {message}, supported: {}",
                    messages(Accepts::default())
                ));
            }
        }
        break;
    }
    if !accepts.has(version) {
        return refuse(format!(
            "{} protobuf message is not accepted by this server; only accepts {}",
            version.message(),
            messages(accepts)
        ));
    }
    Ok(version)
}

/// Lists the messages of versions.
fn messages(versions: Accepts) -> String {
    let accepted = Version::ALL.into_iter().filter(|one| versions.has(*one));
    accepted
        .map(Version::message)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_other_than_snappy_are_refused() {
        for good in [None, Some(""), Some("snappy")] {
            assert!(check_encoding(good).is_ok());
        }
        let error = check_encoding(Some("gzip")).unwrap_err();
        assert_eq!(error.status(), 415);
        assert_eq!(
            error.to_string(),
            "gzip encoding (compression) is not accepted by this server; only snappy is acceptable"
        );
        assert!(check_encoding(Some("Snappy")).is_err());
    }

    #[test]
    fn content_types_are_judged_as_upstream_judges_them() {
        let both = Accepts::default();
        let first = Accepts {
            v1: true,
            v2: false,
        };
        let good = [
            "",
            "application/x-protobuf",
            "application/x-protobuf;proto=prometheus.WriteRequest",
            // The blank makes it another parameter.
            "application/x-protobuf; proto=io.prometheus.write.v2.Request",
            "application/x-protobuf;charset=utf-8",
        ];
        for header in good {
            let version = check_content_type(Some(header), both).unwrap();
            assert_eq!(version, Version::V1, "{header}");
        }
        let bad = [
            (
                "text/plain",
                "expected application/x-protobuf as the first (media) part, got text/plain \
                 content-type",
            ),
            (
                "application/x-protobuf;proto=foo.Bar",
                "got application/x-protobuf;proto=foo.Bar content type; unknown type for remote \
                 write protobuf message foo.Bar, supported: prometheus.WriteRequest, \
                 io.prometheus.write.v2.Request",
            ),
            (
                "application/x-protobuf;foo",
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to \
                 be key-values, got foo in application/x-protobuf;foo content-type",
            ),
            (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                "io.prometheus.write.v2.Request protobuf message is not accepted by this server; \
                 only accepts prometheus.WriteRequest",
            ),
        ];
        for (header, text) in bad {
            let error = check_content_type(Some(header), first).unwrap_err();
            assert_eq!(error.status(), 415);
            assert_eq!(error.to_string(), text);
        }
        let second = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        assert_eq!(check_content_type(Some(second), both).unwrap(), Version::V2);
        let only_second = Accepts {
            v1: false,
            v2: true,
        };
        assert_eq!(
            check_content_type(None, only_second).unwrap_err().status(),
            415
        );
    }
}
