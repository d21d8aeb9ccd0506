//! The table of routes, and the answers for paths and methods that are not in it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter};
use http::{HeaderValue, Method, StatusCode, header};

use super::federate::federate;
use super::{operate, pages, prometheus};
use crate::app::App;
use crate::clock;
use crate::http::edge::{found, moved};
use crate::http::error::plain;

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const POST_PUT: &[Method] = &[Method::POST, Method::PUT];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const GET_HEAD: &[Method] = &[Method::GET, Method::HEAD];

/// Builds the router of all APIs.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut table = Table {
        router: Router::new(),
        prefix: app.urls.prefix.clone(),
    };
    table.operate();
    table.pages();
    table.prometheus();
    let Table { router, prefix } = table;
    router
        .route_layer(from_fn_with_state(Arc::clone(&app), count))
        .fallback(move |request: Request| {
            let answer = not_found(&request, &prefix);
            async move { answer }
        })
        .with_state(app)
}

struct Table {
    router: Router<Arc<App>>,
    prefix: String,
}

impl Table {
    fn operate(&mut self) {
        self.add("/-/healthy", GET_HEAD, operate::healthy);
        self.add("/-/ready", GET_HEAD, operate::ready);
        self.any("/-/reload", operate::reload);
        self.any("/-/quit", operate::quit);
        self.add("/metrics", GET_HEAD, operate::metrics);
        self.add("/version", GET, operate::version);
        self.add("/federate", GET, federate);
    }

    /// Adds the paths of Prometheus' web pages that links lead to.
    fn pages(&mut self) {
        if self.prefix.is_empty() {
            self.add("/", GET, pages::home);
        } else {
            let prefix = self.prefix.clone();
            let to_prefix = move |request: Request| {
                let answer = found(request.method(), &prefix);
                async move { answer }
            };
            self.add_full("/", GET, to_prefix);
            let with_slash = format!("{}/", self.prefix);
            let to_slash = move |request: Request| {
                let answer = moved(request.method(), &with_slash);
                async move { answer }
            };
            self.add("", GET, to_slash);
            self.add("/", GET, pages::home);
        }
        self.add("/graph", GET, pages::graph);
        self.add("/query", GET, pages::query);
    }

    fn prometheus(&mut self) {
        use prometheus::{
            admin, alertmanagers::alertmanagers, config, exemplars, explain, features::features,
            flags::flags, labels, notices, parse, query, read::read, relabel_steps::relabel_steps,
            rules, self_metrics::self_metrics, status, targets, write,
        };
        self.api("/query", GET_POST, query::instant);
        self.api("/query_range", GET_POST, query::range);
        self.api("/format_query", GET_POST, parse::format_query);
        self.api("/parse_query", GET_POST, parse::parse_query);
        self.api("/query_exemplars", GET_POST, exemplars::query_exemplars);
        self.api("/explain", GET_POST, explain::explain);
        self.api("/labels", GET_POST, labels::names);
        self.api("/label/{name}/values", GET, labels::values);
        self.api("/series", GET_POST, labels::series);
        self.api("/metadata", GET, targets::metadata);
        self.api("/targets", GET, targets::targets);
        self.api("/targets/metadata", GET, targets::target_metadata);
        self.api("/targets/relabel_steps", GET, relabel_steps);
        self.api("/scrape_pools", GET, targets::scrape_pools);
        self.api("/scrape_pools/config", GET, config::scrape_pool);
        self.api("/rules", GET, rules::rules);
        self.api("/alerts", GET, rules::alerts);
        self.api("/alertmanagers", GET, alertmanagers);
        self.api("/read", POST, read);
        self.api("/write", POST, write::write);
        self.api("/status/buildinfo", GET, status::buildinfo);
        self.api("/status/config", GET, config::config);
        self.api("/status/flags", GET, flags);
        self.api("/status/runtimeinfo", GET, status::runtimeinfo);
        self.api("/status/tsdb", GET, status::tsdb);
        self.api("/status/tsdb/blocks", GET, status::blocks);
        self.api("/status/walreplay", GET, status::walreplay);
        self.api("/status/self_metrics", GET, self_metrics);
        self.api("/features", GET, features);
        self.api("/notifications", GET, notices::notifications);
        self.api("/notifications/live", GET, notices::live);
        self.api("/admin/tsdb/delete_series", POST_PUT, admin::delete_series);
        self.api(
            "/admin/tsdb/clean_tombstones",
            POST_PUT,
            admin::clean_tombstones,
        );
        self.api("/admin/tsdb/snapshot", POST_PUT, admin::snapshot);
    }

    /// Adds a path of `/api/v1`, with and without the slash at its end.
    fn api<H, T>(&mut self, path: &str, methods: &'static [Method], handler: H)
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.add(&format!("/api/v1{path}"), methods, handler);
        // Prometheus' router forgets its own prefix when it drops the slash.
        let with_slash = format!("{}/api/v1{path}/", self.prefix);
        let redirect = |request: Request| async move {
            let full = request.uri().path();
            let from = full.find("/api/v1").map_or(0, |at| at + "/api/v1".len());
            moved(request.method(), full[from..].trim_end_matches('/'))
        };
        let router = std::mem::take(&mut self.router);
        self.router = router.route(&with_slash, axum::routing::any(redirect));
    }

    /// Adds a path that answers some methods and refuses the others.
    fn add<H, T>(&mut self, path: &str, methods: &'static [Method], handler: H)
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let path = format!("{}{path}", self.prefix);
        self.add_full(&path, methods, handler);
    }

    /// The same for a path that has its prefix already.
    fn add_full<H, T>(&mut self, path: &str, methods: &'static [Method], handler: H)
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let refuse = move || async move { method_not_allowed(methods) };
        let mut route = MethodRouter::new();
        for method in methods {
            if let Ok(filter) = MethodFilter::try_from(method.clone()) {
                route = route.on(filter, handler.clone());
            }
        }
        if !methods.contains(&Method::HEAD) {
            route = route.on(MethodFilter::HEAD, refuse);
        }
        let router = std::mem::take(&mut self.router);
        self.router = router.route(path, route.fallback(refuse));
    }

    /// Adds a path whose handler looks at the method itself.
    fn any<H, T>(&mut self, path: &str, handler: H)
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let path = format!("{}{path}", self.prefix);
        let router = std::mem::take(&mut self.router);
        self.router = router.route(&path, axum::routing::any(handler));
    }
}

fn method_not_allowed(methods: &[Method]) -> Response {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    names.push("OPTIONS");
    names.sort_unstable();
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    if let Ok(allow) = HeaderValue::from_str(&names.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn not_found(request: &Request, prefix: &str) -> Response {
    let path = request.uri().path();
    match path.strip_prefix(prefix) {
        Some("/api/v1") => moved(request.method(), &format!("{path}/")),
        _ => plain(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// Counts a request under its route's name.
async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = clock::monotonic();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    if let Some(path) = path {
        let path = path.as_str();
        let path = path.strip_prefix(&app.urls.prefix).unwrap_or(path);
        let size = http_body::Body::size_hint(response.body()).exact();
        app.metrics
            .http
            .observe(path, response.status(), began.elapsed(), size);
    }
    response
}
