//! An answer that comes bit by bit, such as a list of changes that never ends.

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::error::{DEADLINE, FetchError, body_text};

/// An answer whose body is still to come.
#[derive(Debug)]
pub(crate) struct AnswerStream {
    /// The status.
    pub(crate) status: u16,
    body: Incoming,
    deadline: Instant,
}

impl AnswerStream {
    pub(super) fn new(response: Response<Incoming>, deadline: Instant) -> AnswerStream {
        AnswerStream {
            status: response.status().as_u16(),
            body: response.into_body(),
            deadline,
        }
    }

    /// Returns what comes next; `None` at the end.
    ///
    /// # Errors
    /// The answer broke off, or lasts longer than its deadline.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let frame = tokio::time::timeout_at(self.deadline, self.body.frame()).await;
            let frame = frame.map_err(|_| FetchError::Body(DEADLINE.to_owned()))?;
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| FetchError::Body(body_text(&error)))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }
}
