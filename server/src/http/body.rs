//! Reading request bodies: bounded in size, time and total memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;

use crate::work::memory::{BodyMemory, Memory};

/// Bytes that are taken from the budget at least.
const STEP_BYTES: usize = 16 << 10;

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// The body is over the limit.
    #[error("request body exceeds the {limit_bytes} bytes limit")]
    TooLarge {
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// The client did not send it in time.
    #[error("request body not received within {limit:?}")]
    TooSlow {
        /// The limit.
        limit: Duration,
    },
    /// All requests together hold as much as they may.
    #[error("too many request bodies at one time, try again later")]
    Busy,
    /// The connection broke.
    #[error("request body: {0}")]
    Broken(String),
}

/// Memory and time that request bodies may take.
#[derive(Debug, Clone)]
pub(crate) struct BodyLimits {
    memory: Arc<Memory>,
    timeout: Duration,
}

impl BodyLimits {
    /// Lets bodies take from `memory`, and each take `timeout`.
    pub(crate) fn new(memory: Arc<Memory>, timeout: Duration) -> BodyLimits {
        BodyLimits { memory, timeout }
    }

    /// Reads a body of at most `limit_bytes`.
    ///
    /// # Errors
    /// The body is too large, too slow or broken, or the budget is used up.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        limit_bytes: usize,
    ) -> Result<Received, BodyError> {
        let declared = headers
            .get(http::header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|declared| declared > limit_bytes) {
            return Err(BodyError::TooLarge { limit_bytes });
        }
        let reading = self.collect(body, declared, limit_bytes);
        match tokio::time::timeout(self.timeout, reading).await {
            Ok(result) => result,
            Err(_elapsed) => Err(BodyError::TooSlow {
                limit: self.timeout,
            }),
        }
    }

    async fn collect(
        &self,
        mut body: Body,
        declared: Option<usize>,
        limit_bytes: usize,
    ) -> Result<Received, BodyError> {
        let mut received = Received {
            bytes: Bytes::new(),
            memory: Vec::new(),
        };
        let mut joined: Vec<u8> = Vec::new();
        let mut held_bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let len_bytes = received.bytes.len().max(joined.len()) + data.len();
            if len_bytes > limit_bytes {
                return Err(BodyError::TooLarge { limit_bytes });
            }
            if len_bytes > held_bytes {
                // Growing in steps keeps a client from holding memory by a mere
                // announcement, and a full budget is an answer, never a wait.
                let step = len_bytes.next_power_of_two().max(STEP_BYTES) - held_bytes;
                let taken = self.memory.body(step as u64).ok_or(BodyError::Busy)?;
                received.memory.push(taken);
                held_bytes += step;
            }
            if received.bytes.is_empty() && joined.is_empty() {
                // Most bodies are one frame, which needs no copy.
                received.bytes = data;
                continue;
            }
            if joined.is_empty() {
                joined.reserve(declared.unwrap_or(0).clamp(len_bytes, held_bytes));
                joined.extend_from_slice(&received.bytes);
                received.bytes = Bytes::new();
            }
            joined.extend_from_slice(&data);
        }
        if !joined.is_empty() {
            received.bytes = Bytes::from(joined);
        }
        Ok(received)
    }
}

/// A body with its share of the budget.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Bytes,
    /// Held for as long as the bytes are.
    memory: Vec<BodyMemory>,
}

impl std::ops::Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(sizes: &[usize]) -> Body {
        Body::new(Chunks(sizes.iter().map(|size| vec![b'x'; *size]).collect()))
    }

    struct Chunks(std::collections::VecDeque<Vec<u8>>);

    impl http_body::Body for Chunks {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            let next = self.0.pop_front();
            std::task::Poll::Ready(next.map(|data| Ok(http_body::Frame::data(data.into()))))
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// Bodies have a sixteenth of the memory.
    fn limits(memory_bytes: u64, timeout: Duration) -> BodyLimits {
        BodyLimits::new(Arc::new(Memory::new(memory_bytes)), timeout)
    }

    #[tokio::test]
    async fn bodies_of_one_and_many_frames_arrive_whole() {
        let limits = limits(16 << 20, SECOND);
        for sizes in [&[][..], &[5], &[0, 3], &[100, 20_000, 1], &[16_384, 1]] {
            let body = limits
                .read(&HeaderMap::new(), chunks(sizes), 1 << 20)
                .await
                .unwrap();
            assert_eq!(body.len(), sizes.iter().sum::<usize>(), "{sizes:?}");
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_announced_or_not() {
        let limits = limits(16 << 20, SECOND);
        let too_large = BodyError::TooLarge { limit_bytes: 100 };
        let read = limits.read(&HeaderMap::new(), chunks(&[60, 60]), 100).await;
        assert_eq!(read.unwrap_err(), too_large);

        let mut headers = HeaderMap::new();
        headers.insert("content-length", "101".parse().unwrap());
        let read = limits.read(&headers, chunks(&[]), 100).await;
        assert_eq!(read.unwrap_err(), too_large);
    }

    #[tokio::test]
    async fn bodies_together_stay_within_the_budget_and_give_it_back() {
        let limits = limits(1 << 20, SECOND);
        let first = limits
            .read(&HeaderMap::new(), chunks(&[40 << 10]), 1 << 20)
            .await
            .unwrap();
        let second = limits.read(&HeaderMap::new(), chunks(&[1]), 1 << 20).await;
        assert_eq!(second.unwrap_err(), BodyError::Busy);
        drop(first);
        limits
            .read(&HeaderMap::new(), chunks(&[1]), 1 << 20)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let limit = Duration::from_millis(10);
        let limits = limits(16 << 20, limit);
        let read = limits
            .read(&HeaderMap::new(), Body::new(Stalled), 1 << 20)
            .await;
        assert_eq!(read.unwrap_err(), BodyError::TooSlow { limit });
    }

    struct Stalled;

    impl http_body::Body for Stalled {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
}
