//! What operators should know: the list, and a stream of what changes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::Frame;
use tokio::sync::mpsc::Receiver;

use crate::app::App;
use crate::http::answer::{Answer, ApiResult};
use crate::notices::Notice;

/// `/api/v1/notifications`, which is answered while the server starts, too.
pub(crate) async fn notifications(State(app): State<Arc<App>>) -> ApiResult {
    Answer::value(&app.notices.standing())
}

/// `/api/v1/notifications/live`: server-sent events until the client or the server ends.
pub(crate) async fn live(State(app): State<Arc<App>>) -> Response {
    let mut response = match app.notices.listen() {
        Some(heard) => Body::new(Events { heard }).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Notices as they come, each an event.
struct Events {
    heard: Receiver<Notice>,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let notice = std::task::ready!(self.heard.poll_recv(cx));
        Poll::Ready(notice.map(|notice| Ok(Frame::data(event(&notice)))))
    }
}

fn event(notice: &Notice) -> Bytes {
    let json = serde_json::to_string(notice).unwrap_or_default();
    Bytes::from(format!("data: {json}\n\n"))
}
