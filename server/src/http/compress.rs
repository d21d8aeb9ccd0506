//! Compression of answers, by Prometheus' rules for `Accept-Encoding`.
//!
//! The first of `gzip`, `deflate` and `zstd` that the header lists is used; Prometheus
//! does not know the last. An entry with
//! a parameter, such as `gzip;q=0.5`, or `*` is not recognised, and neither is a
//! refusal. Only answers marked [`Compressible`] are touched.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Extension of a response that may be compressed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compressible;

/// The encodings that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `gzip`
    Gzip,
    /// `deflate`: a zlib stream.
    Deflate,
    /// `zstd`
    Zstd,
}

impl Encoding {
    /// Chooses the encoding a client asked for.
    pub(crate) fn asked(headers: &HeaderMap) -> Option<Encoding> {
        let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
        accepted.split(',').find_map(|entry| match entry.trim() {
            "gzip" => Some(Encoding::Gzip),
            "deflate" => Some(Encoding::Deflate),
            "zstd" => Some(Encoding::Zstd),
            _ => None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
            Encoding::Zstd => "zstd",
        }
    }
}

/// Compresses an answer that is marked for it and has a body.
pub(crate) fn compress(response: Response, encoding: Option<Encoding>) -> Response {
    if response.extensions().get::<Compressible>().is_none() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts
        .headers
        .append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let encoding = encoding.filter(|_| !body.is_end_stream());
    // A coder that cannot be had is no reason not to answer.
    let Some((encoding, encoder)) = encoding.and_then(|one| Some((one, Encoder::new(one)?))) else {
        return Response::from_parts(parts, body);
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(
        header::CONTENT_ENCODING,
        HeaderValue::from_static(encoding.name()),
    );
    Response::from_parts(parts, Body::new(CompressedBody::new(body, encoder)))
}

/// The fastest level that is not negative.
const ZSTD_LEVEL: i32 = 1;

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// Returns a coder; `None` where there is no memory for one.
    ///
    /// Level 1 costs a quarter of the default level's time and gives up a tenth of the
    /// size on JSON of samples.
    fn new(encoding: Encoding) -> Option<Encoder> {
        let level = Compression::fast();
        Some(match encoding {
            Encoding::Gzip => Encoder::Gzip(GzEncoder::new(Vec::new(), level)),
            Encoding::Deflate => Encoder::Deflate(ZlibEncoder::new(Vec::new(), level)),
            Encoding::Zstd => {
                Encoder::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL).ok()?)
            }
        })
    }

    fn write(&mut self, data: &[u8]) -> std::io::Result<()> {
        match self {
            Encoder::Gzip(encoder) => encoder.write_all(data),
            Encoder::Deflate(encoder) => encoder.write_all(data),
            Encoder::Zstd(encoder) => encoder.write_all(data),
        }
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Encoder::Gzip(encoder) => encoder.get_mut(),
            Encoder::Deflate(encoder) => encoder.get_mut(),
            Encoder::Zstd(encoder) => encoder.get_mut(),
        })
    }

    fn finish(self) -> std::io::Result<Vec<u8>> {
        match self {
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Deflate(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// A body that is compressed piece by piece as the client takes it.
struct CompressedBody {
    inner: Body,
    encoder: Option<Encoder>,
}

impl CompressedBody {
    fn new(inner: Body, encoder: Encoder) -> CompressedBody {
        CompressedBody {
            inner,
            encoder: Some(encoder),
        }
    }
}

impl HttpBody for CompressedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            let Some(encoder) = &mut this.encoder else {
                return Poll::Ready(None);
            };
            let compressed = match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => encoder.write(&data).map(|()| encoder.take()),
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => match this.encoder.take() {
                    Some(encoder) => encoder.finish(),
                    None => return Poll::Ready(None),
                },
            };
            match compressed {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Poll::Ready(Some(Ok(Frame::data(Bytes::from(piece))))),
                Err(error) => return Poll::Ready(Some(Err(axum::Error::new(error)))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn the_first_plain_entry_counts_and_parameters_hide_one() {
        for (value, expected) in [
            ("gzip", Some(Encoding::Gzip)),
            ("br, deflate , gzip", Some(Encoding::Deflate)),
            ("gzip;q=0.5", None),
            ("gzip;q=1, deflate", Some(Encoding::Deflate)),
            ("zstd, gzip", Some(Encoding::Zstd)),
            ("*", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(Encoding::asked(&headers), expected, "{value}");
        }
        assert_eq!(Encoding::asked(&HeaderMap::new()), None);
    }

    async fn compressed(text: &str, encoding: Encoding) -> (HeaderMap, Vec<u8>) {
        let mut response = text.to_owned().into_response();
        response.extensions_mut().insert(Compressible);
        let response = compress(response, Some(encoding));
        let headers = response.headers().clone();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        (headers, body.to_vec())
    }

    #[tokio::test]
    async fn bodies_unpack_to_what_they_were() {
        let text = "[1795307403,\"4\"],".repeat(10_000);
        let (headers, body) = compressed(&text, Encoding::Gzip).await;
        assert_eq!(headers["content-encoding"], "gzip");
        assert_eq!(headers["vary"], "Accept-Encoding");
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&body[..])
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);

        let (_, body) = compressed(&text, Encoding::Deflate).await;
        let mut unpacked = String::new();
        flate2::read::ZlibDecoder::new(&body[..])
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);

        let (headers, body) = compressed(&text, Encoding::Zstd).await;
        assert_eq!(headers["content-encoding"], "zstd");
        assert_eq!(
            zstd::stream::decode_all(&body[..]).unwrap(),
            text.as_bytes()
        );
    }

    #[test]
    fn unmarked_and_empty_answers_stay_as_they_are() {
        let response = compress("text".into_response(), Some(Encoding::Gzip));
        assert!(response.headers().get("content-encoding").is_none());

        let mut empty = http::StatusCode::NO_CONTENT.into_response();
        empty.extensions_mut().insert(Compressible);
        let response = compress(empty, Some(Encoding::Gzip));
        assert!(response.headers().get("content-encoding").is_none());
    }
}
