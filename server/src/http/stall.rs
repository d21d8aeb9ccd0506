//! A connection that gives up on a peer that stands still.
//!
//! Two things are watched that the HTTP library does not: how long the first byte
//! takes to arrive, and how long a write makes no progress because the peer does
//! not read. Slow headers are hyper's business, slow bodies the reader's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream with a limit on standing still.
pub(crate) struct StallGuard<S> {
    stream: S,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: Waiting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Nothing was received yet; the timer runs.
    FirstByte,
    /// The peer takes or sends data; the timer does not count.
    Nothing,
    /// A write found the peer's window closed; the timer runs.
    Writable,
}

impl<S> StallGuard<S> {
    /// Watches a stream; `limit` bounds each time of standing still.
    pub(crate) fn new(stream: S, limit: Duration) -> StallGuard<S> {
        StallGuard {
            stream,
            limit,
            timer: Box::pin(sleep(limit)),
            waiting: Waiting::FirstByte,
        }
    }

    /// Turns a wait into an error once it is over the limit.
    fn check(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.timer.as_mut().poll(cx).map(|()| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "the client stood still for too long",
            )
        })
    }

    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            if self.waiting == Waiting::Writable {
                self.waiting = Waiting::Nothing;
            }
            return result;
        }
        if self.waiting != Waiting::Writable {
            self.waiting = Waiting::Writable;
            self.timer.as_mut().reset(Instant::now() + self.limit);
        }
        self.check(cx).map(Err)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if this.waiting != Waiting::FirstByte {
            return result;
        }
        if result.is_ready() {
            this.waiting = Waiting::Nothing;
            return result;
        }
        this.check(cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, data);
        this.wrote(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, pieces);
        this.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_flush(cx);
        this.wrote(cx, result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.wrote(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_silent_peer_is_dropped_before_its_first_byte() {
        let (_peer, stream) = duplex(16);
        let mut guarded = StallGuard::new(stream, LIMIT);
        let error = guarded.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_dropped() {
        let (mut peer, stream) = duplex(16);
        let mut guarded = StallGuard::new(stream, LIMIT);
        peer.write_all(b"x").await.unwrap();
        assert_eq!(guarded.read_u8().await.unwrap(), b'x');
        let error = guarded.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_that_reads_slowly_but_steadily_is_kept() {
        let (mut peer, stream) = duplex(16);
        let mut guarded = StallGuard::new(stream, LIMIT * 500);
        let reader = tokio::spawn(async move {
            let mut received = 0;
            while peer.read_u8().await.is_ok() {
                received += 1;
                tokio::task::yield_now().await;
            }
            received
        });
        guarded.write_all(&[0; 500]).await.unwrap();
        drop(guarded);
        assert_eq!(reader.await.unwrap(), 500);
    }
}
