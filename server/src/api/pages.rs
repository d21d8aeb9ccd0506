//! Where Prometheus' web pages are. There are none yet: the old paths lead to the newest
//! one, as they do there, and that says so.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use crate::app::App;
use crate::http::edge::found;
use crate::http::error::plain;

/// Where the page for queries is.
const QUERY: &str = "/query";

/// `/`: leads to the page for queries.
pub(crate) async fn home(State(app): State<Arc<App>>, request: Request) -> Response {
    let location = format!("{}{QUERY}", app.urls.external_path());
    found(request.method(), &location)
}

/// `/graph`: leads there with what was asked, as links in alerts have it.
pub(crate) async fn graph(State(app): State<Arc<App>>, request: Request) -> Response {
    let asked = request.uri().query().unwrap_or_default();
    let location = format!("{}{QUERY}?{asked}", app.urls.external_path());
    found(request.method(), &location)
}

/// `/query`: what there is instead of a page.
pub(crate) async fn query() -> Response {
    plain(
        StatusCode::NOT_FOUND,
        "404 page not found: Kymo has no web pages yet. Queries are answered at \
         /api/v1/query, and Grafana takes Kymo for a Prometheus data source",
    )
}
