//! Lets request targets through that people type and Go's server takes.
//!
//! `curl -g 'localhost:9090/api/v1/query?query=up{job="a"}>0'` sends `"` and `>` as
//! they are. The HTTP library refuses such a target before any handler sees it, so
//! the three characters that it lacks in a query are percent-encoded on their way in.
//!
//! Only the first line of a request of HTTP/1 is looked at. A line can begin where the
//! connection begins and where an answer was written; whatever does not look like
//! `METHOD /path` there, such as the frames of HTTP/2 or what is left of a body, passes
//! untouched.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes taken from the stream at once while a request line is looked for.
const READ_BYTES: usize = 4096;
/// No method of HTTP is longer.
const MAX_METHOD_BYTES: usize = 16;

/// A stream whose request lines are made acceptable.
pub(crate) struct RequestLine<S> {
    stream: S,
    place: Place,
    /// Bytes that were looked at and not yet handed on, from `handed` on.
    looked_at: Vec<u8>,
    handed: usize,
}

/// Where in a request the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the method, behind this many bytes of it.
    Method(usize),
    /// Behind the space that ends the method.
    TargetStart,
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// Behind the target.
    Rest,
}

impl<S> RequestLine<S> {
    /// Wraps a connection on which nothing was read yet.
    pub(crate) fn new(stream: S) -> RequestLine<S> {
        RequestLine {
            stream,
            place: Place::Method(0),
            looked_at: Vec::new(),
            handed: 0,
        }
    }

    /// Copies received bytes to `looked_at`, encoding what a query may not hold.
    fn look_at(&mut self, received: &[u8]) {
        self.looked_at.clear();
        self.handed = 0;
        for (at, &byte) in received.iter().enumerate() {
            if self.place == Place::Rest {
                self.looked_at.extend_from_slice(&received[at..]);
                return;
            }
            match (self.place, byte) {
                (Place::Query, b'"') => self.looked_at.extend_from_slice(b"%22"),
                (Place::Query, b'<') => self.looked_at.extend_from_slice(b"%3C"),
                (Place::Query, b'>') => self.looked_at.extend_from_slice(b"%3E"),
                _ => self.looked_at.push(byte),
            }
            self.place = self.place.after(byte);
        }
    }

    /// Notes that an answer goes out: what comes in next may be a request.
    fn wrote(&mut self, data: &[u8]) {
        let interim = data.starts_with(b"HTTP/1.1 100");
        if self.place == Place::Rest && !interim {
            self.place = Place::Method(0);
        }
    }
}

impl Place {
    fn after(self, byte: u8) -> Place {
        match (self, byte) {
            // Go and the HTTP library both skip empty lines before a request.
            (Place::Method(0), b'\r' | b'\n') => Place::Method(0),
            (Place::Method(len), b'A'..=b'Z') if len < MAX_METHOD_BYTES => Place::Method(len + 1),
            (Place::Method(1..), b' ') => Place::TargetStart,
            (Place::TargetStart, b'/') => Place::Path,
            (Place::Path, b'?') => Place::Query,
            (Place::Path | Place::Query, b' ' | b'\r' | b'\n') => Place::Rest,
            (Place::Path | Place::Query, _) => self,
            _ => Place::Rest,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RequestLine<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.handed == this.looked_at.len() {
            if this.place == Place::Rest {
                return Pin::new(&mut this.stream).poll_read(cx, buffer);
            }
            let mut received = [0; READ_BYTES];
            let mut received = ReadBuf::new(&mut received);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut received))?;
            this.look_at(received.filled());
        }
        let waiting = &this.looked_at[this.handed..];
        let len = waiting.len().min(buffer.remaining());
        buffer.put_slice(&waiting[..len]);
        this.handed += len;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RequestLine<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.wrote(data);
        Pin::new(&mut this.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.wrote(pieces.first().map_or(&[], |piece| piece));
        Pin::new(&mut this.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Sends `sent` in pieces of `piece` bytes and returns what arrives behind the wrapper.
    async fn arrives(sent: &[u8], piece: usize) -> String {
        let (mut peer, stream) = duplex(64);
        let sent = sent.to_vec();
        let sender = tokio::spawn(async move {
            for piece in sent.chunks(piece) {
                peer.write_all(piece).await.unwrap();
            }
        });
        let mut received = Vec::new();
        RequestLine::new(stream)
            .read_to_end(&mut received)
            .await
            .unwrap();
        sender.await.unwrap();
        String::from_utf8(received).unwrap()
    }

    #[tokio::test]
    async fn a_query_is_encoded_and_all_else_is_left() {
        let cases = [
            (
                "GET /q?a={b=\"c\"}>1<2 HTTP/1.1\r\nX: \"<>\"\r\n\r\n\"",
                "GET /q?a={b=%22c%22}%3E1%3C2 HTTP/1.1\r\nX: \"<>\"\r\n\r\n\"",
            ),
            (
                "\r\nPOST /\"p\" HTTP/1.1\r\n\r\n?\"",
                "\r\nPOST /\"p\" HTTP/1.1\r\n\r\n?\"",
            ),
            ("PRI * HTTP/2.0\r\n\r\nSM?\"", "PRI * HTTP/2.0\r\n\r\nSM?\""),
            ("get /?\" HTTP/1.1", "get /?\" HTTP/1.1"),
            ("", ""),
        ];
        for (sent, want) in cases {
            for piece in [1, 3, 1000] {
                assert_eq!(arrives(sent.as_bytes(), piece).await, want, "by {piece}");
            }
        }
    }

    #[tokio::test]
    async fn the_request_behind_an_answer_is_encoded_too() {
        let (mut peer, stream) = duplex(4096);
        let mut server = RequestLine::new(stream);
        let mut buffer = [0; 256];
        for _ in 0..2 {
            peer.write_all(b"GET /?\" HTTP/1.1\r\n\r\n").await.unwrap();
            let len = server.read(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..len], b"GET /?%22 HTTP/1.1\r\n\r\n");
            server
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await
                .unwrap();
            peer.write_all(b"PUT /?\"").await.unwrap();
            let len = server.read(&mut buffer).await.unwrap();
            assert_eq!(
                &buffer[..len],
                b"PUT /?\"",
                "a body that looks like a request"
            );
            server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        }
    }
}
