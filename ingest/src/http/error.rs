//! Why a request failed, in the words of Go's `net/http`.
//!
//! The texts end up as `lastError` of a target, and people search for them.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// A request that brought no usable answer. The text is complete: it names the URL
/// where Go's client would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No answer came.
    #[error("{method} \"{url}\": {reason}")]
    Request {
        /// `Get` or `Post`.
        method: &'static str,
        /// What was asked for; after a redirect, the place it led to.
        url: String,
        /// Why, such as `context deadline exceeded`.
        reason: String,
    },
    /// The answer broke off or could not be unpacked.
    #[error("{0}")]
    Body(String),
    /// The answer is larger than allowed, uncompressed.
    #[error("body size limit exceeded")]
    BodyLimit,
}

/// A client that cannot be made from its options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(pub(super) String);

/// What Go says when a deadline passes.
pub(super) const DEADLINE: &str = "context deadline exceeded";

/// A connection that could not be made; found again in the chain of causes that the
/// client library builds around it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ConnectError(pub(super) String);

/// Returns the operating system's short text of an error as Go prints an errno:
/// the same words as Rust's, without the number and without the capital.
pub(super) fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// Returns Go's text for a request that failed before its answer began.
pub(super) fn request_text(error: &(dyn Error + 'static)) -> String {
    for cause in chain(error) {
        if let Some(connect) = cause.downcast_ref::<ConnectError>() {
            return connect.0.clone();
        }
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
            if hyper.is_incomplete_message() || hyper.is_canceled() {
                return "EOF".to_owned();
            }
            if hyper.is_parse() {
                return format!(
                    "net/http: HTTP/1.x transport connection broken: malformed HTTP response: {hyper}"
                );
            }
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io_text(io, "EOF");
        }
    }
    error.to_string()
}

/// Returns Go's text for an answer that broke off.
pub(super) fn body_text(error: &(dyn Error + 'static)) -> String {
    for cause in chain(error) {
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>()
            && (hyper.is_incomplete_message() || hyper.is_canceled())
        {
            return "unexpected EOF".to_owned();
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io_text(io, "unexpected EOF");
        }
    }
    error.to_string()
}

fn io_text(error: &io::Error, eof: &str) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => eof.to_owned(),
        _ => format!("read tcp: read: {}", errno_text(error)),
    }
}

/// Returns Go's text for a TLS handshake that failed. `host` is the name that was
/// asked for.
pub(super) fn handshake_text(error: &io::Error, host: &str) -> String {
    let Some(tls) = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>())
    else {
        return io_text(error, "EOF");
    };
    let unverified = "tls: failed to verify certificate: x509:";
    match tls {
        rustls::Error::InvalidMessage(_) => {
            "tls: first record does not look like a TLS handshake".to_owned()
        }
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer => {
                format!("{unverified} certificate signed by unknown authority")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("{unverified} certificate has expired or is not yet valid")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("{unverified} certificate has expired or is not yet valid")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!(
                    "{unverified} certificate is not valid for any names, but wanted to match {host}"
                )
            }
            other => format!("{unverified} {other:?}"),
        },
        rustls::Error::AlertReceived(alert) => format!("remote error: tls: {alert:?}"),
        other => format!("tls: {other}"),
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
