//! An answer: its head, and its body up to a limit, unpacked where that may take its time.

use std::io::Read;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::ext::ReasonPhrase;
use tokio::time::Instant;

use super::error::{DEADLINE, FetchError, body_text};

/// Largest answer where no limit is set: far above any real one, so that a target
/// gone mad cannot take all memory.
const MAX_BODY_BYTES: u64 = 1 << 30;

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The status with the words the server sent for it, such as `200 OK`.
    pub status_text: String,
    /// `Content-Type`, empty where there was none.
    pub content_type: String,
    /// All headers.
    pub headers: HeaderMap,
    body: Bytes,
    is_gzip: bool,
    max_bytes: u64,
}

impl Answer {
    /// Reads an answer up to `max_bytes`, uncompressed; 0 = no limit of the caller's.
    ///
    /// # Errors
    /// It broke off, is too large or comes too slowly.
    pub(super) async fn read(
        response: Response<Incoming>,
        deadline: Instant,
        max_bytes: u64,
    ) -> Result<Answer, FetchError> {
        let status = response.status().as_u16();
        let status_text = status_text(&response);
        let is_gzip = header(&response, &CONTENT_ENCODING) == "gzip";
        let content_type = header(&response, &CONTENT_TYPE);
        let limit = match max_bytes {
            0 => MAX_BODY_BYTES,
            limit => limit,
        };
        let (head, body) = response.into_parts();
        let reading = read_body(body, limit);
        let body = match tokio::time::timeout_at(deadline, reading).await {
            Ok(body) => body?,
            Err(_) => return Err(FetchError::Body(DEADLINE.to_owned())),
        };
        Ok(Answer {
            status,
            status_text,
            content_type,
            headers: head.headers,
            body,
            is_gzip,
            max_bytes: limit,
        })
    }

    /// Unpacks the body. This computes: run it where that may take its time.
    ///
    /// # Errors
    /// The packed bytes are broken or cut, or there are too many unpacked ones.
    pub fn into_body(self) -> Result<Bytes, FetchError> {
        if !self.is_gzip {
            return Ok(self.body);
        }
        let mut reader = flate2::bufread::MultiGzDecoder::new(self.body.as_ref());
        let mut out = Vec::with_capacity(self.body.len().saturating_mul(4).min(1 << 20));
        let mut limited = (&mut reader).take(self.max_bytes);
        match limited.read_to_end(&mut out) {
            Err(error) => Err(FetchError::Body(gzip_text(&error))),
            // Prometheus counts an answer of exactly the limit as too large.
            Ok(len) if len as u64 >= self.max_bytes => Err(FetchError::BodyLimit),
            Ok(_) => Ok(Bytes::from(out)),
        }
    }
}

async fn read_body(mut body: Incoming, limit: u64) -> Result<Bytes, FetchError> {
    let announced = body.size_hint().lower().min(limit).min(1 << 20);
    let mut out = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FetchError::Body(body_text(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if (out.len() + data.len()) as u64 >= limit {
            return Err(FetchError::BodyLimit);
        }
        out.extend_from_slice(&data);
    }
    Ok(Bytes::from(out))
}

fn gzip_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        "unexpected EOF".to_owned()
    } else if text.contains("header") {
        "gzip: invalid header".to_owned()
    } else if text.contains("checksum") {
        "gzip: invalid checksum".to_owned()
    } else {
        format!("flate: corrupt input: {text}")
    }
}

fn status_text(response: &Response<Incoming>) -> String {
    let status = response.status();
    let sent = response.extensions().get::<ReasonPhrase>();
    let words = match sent {
        Some(sent) => String::from_utf8_lossy(sent.as_bytes()).into_owned(),
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    format!("{} {words}", status.as_u16())
}

/// Returns a header, empty where there is none.
pub(super) fn header(response: &Response<Incoming>, name: &HeaderName) -> String {
    let value = response.headers().get(name);
    value.map_or_else(String::new, |value| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    })
}
