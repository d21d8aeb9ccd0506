//! The table of routes, and the answers for paths and methods that are not in it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};

use super::federate::federate;
use super::{log_push, loki, openapi, operate, pages, prometheus};
use crate::access::{Caller, Scope};
use crate::app::App;
use crate::clock;
use crate::http::edge::{found, moved};
use crate::http::error::plain;

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const POST_PUT: &[Method] = &[Method::POST, Method::PUT];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const GET_POST_PUT_DELETE: &[Method] = &[Method::GET, Method::POST, Method::PUT, Method::DELETE];
const GET_HEAD: &[Method] = &[Method::GET, Method::HEAD];

/// Builds the router of all APIs.
pub(crate) fn router(app: Arc<App>) -> Router {
    let table = Table::filled(&app.urls.prefix);
    let Table { router, prefix, .. } = table;
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
    /// What the routes that are added next ask of their callers.
    scope: Scope,
    /// Whether wrong methods of them are refused without a word, as Loki does.
    is_terse: bool,
    /// The paths with what they ask.
    #[cfg(test)]
    listed: Vec<(String, Scope)>,
}

impl Table {
    /// Returns the table of all routes of a server whose paths begin with `prefix`.
    fn filled(prefix: &str) -> Table {
        let mut table = Table::empty(prefix);
        table.operate();
        table.pages();
        table.prometheus();
        table.is_terse = true;
        table.loki();
        table.log_push();
        table
    }

    fn empty(prefix: &str) -> Table {
        Table {
            router: Router::new(),
            prefix: prefix.to_owned(),
            scope: Scope::Admin,
            is_terse: false,
            #[cfg(test)]
            listed: Vec::new(),
        }
    }

    fn operate(&mut self) {
        self.scope = Scope::Any;
        self.add("/-/healthy", GET_HEAD, operate::healthy);
        self.add("/-/ready", GET_HEAD, operate::ready);
        self.add("/ready", GET, loki::status::ready);
        self.scope = Scope::Admin;
        self.any("/-/reload", operate::reload);
        self.any("/-/quit", operate::quit);
        self.scope = Scope::Read;
        self.add("/metrics", GET_HEAD, operate::metrics);
        self.add("/version", GET, operate::version);
        self.add("/federate", GET, federate);
    }

    /// Adds the web page, and the paths of Prometheus' pages that links lead to.
    fn pages(&mut self) {
        self.scope = Scope::Read;
        if !self.prefix.is_empty() {
            let prefix = self.prefix.clone();
            let to_prefix = move |request: Request| {
                let answer = found(request.method(), &prefix);
                async move { answer }
            };
            self.put_full("/".to_owned(), self.answering(GET, to_prefix));
            let with_slash = format!("{}/", self.prefix);
            let to_slash = move |request: Request| {
                let answer = moved(request.method(), &with_slash);
                async move { answer }
            };
            self.put_full(self.prefix.clone(), self.answering(GET, to_slash));
        }
        self.add("/", GET, pages::home);
        for view in pages::VIEWS {
            self.add(view, GET_HEAD, pages::view);
        }
        for (old, view) in pages::MOVED {
            let to_view = move |State(app): State<Arc<App>>, request: Request| async move {
                pages::moved(&app, &request, view)
            };
            self.add(old, GET, to_view);
        }
        self.add("/assets/{*name}", GET_HEAD, pages::asset);
        self.add("/favicon.svg", GET_HEAD, pages::icon);
    }

    fn prometheus(&mut self) {
        use prometheus::{
            admin, alertmanagers::alertmanagers, config, exemplars, explain, features::features,
            flags::flags, labels, log_targets::log_targets, notices, otlp, parse, query,
            read::read, relabel_steps::relabel_steps, rules, search, self_metrics::self_metrics,
            status, targets, write,
        };
        self.scope = Scope::Read;
        self.api("/query", GET_POST, query::instant);
        self.api("/query_range", GET_POST, query::range);
        self.api("/format_query", GET_POST, parse::format_query);
        self.api("/parse_query", GET_POST, parse::parse_query);
        self.api("/query_exemplars", GET_POST, exemplars::query_exemplars);
        self.api("/explain", GET_POST, explain::explain);
        self.api("/labels", GET_POST, labels::names);
        self.api("/label/{name}/values", GET, labels::values);
        self.api("/series", GET_POST, labels::series);
        self.api("/search/metric_names", GET_POST, search::metric_names);
        self.api("/search/label_names", GET_POST, search::label_names);
        self.api("/search/label_values", GET_POST, search::label_values);
        self.api("/metadata", GET, targets::metadata);
        self.api("/targets", GET, targets::targets);
        self.api("/targets/metadata", GET, targets::target_metadata);
        self.api("/targets/relabel_steps", GET, relabel_steps);
        self.api("/scrape_pools", GET, targets::scrape_pools);
        self.api("/scrape_pools/config", GET, config::scrape_pool);
        self.api("/rules", GET, rules::rules);
        self.api("/alerts", GET, rules::alerts);
        self.api("/log_targets", GET, log_targets);
        self.api("/alertmanagers", GET, alertmanagers);
        self.api("/read", POST, read);
        self.api("/status/buildinfo", GET, status::buildinfo);
        self.api("/status/config", GET, config::config);
        self.api("/status/flags", GET, flags);
        self.api("/status/runtimeinfo", GET, status::runtimeinfo);
        self.api("/status/tsdb", GET, status::tsdb);
        self.api("/status/tsdb/blocks", GET, status::blocks);
        self.api("/status/walreplay", GET, status::walreplay);
        self.api("/status/self_metrics", GET, self_metrics);
        self.api("/features", GET, features);
        self.api("/openapi.yaml", GET, openapi::document);
        self.api("/notifications", GET, notices::notifications);
        self.api("/notifications/live", GET, notices::live);
        self.scope = Scope::Write;
        self.api("/write", POST, write::write);
        self.api("/otlp/v1/metrics", POST, otlp::metrics);
        // Where OpenTelemetry itself puts it.
        self.add("/v1/metrics", POST, otlp::metrics);
        self.scope = Scope::Admin;
        self.api("/admin/tsdb/delete_series", POST_PUT, admin::delete_series);
        self.api(
            "/admin/tsdb/clean_tombstones",
            POST_PUT,
            admin::clean_tombstones,
        );
        self.api("/admin/tsdb/snapshot", POST_PUT, admin::snapshot);
    }

    /// Adds the paths that logs are pushed to.
    fn log_push(&mut self) {
        self.scope = Scope::Write;
        self.add("/loki/api/v1/push", POST, log_push::push);
        self.add("/api/prom/push", POST, log_push::push);
        self.add("/otlp/v1/logs", POST, log_push::otlp);
        // Where OpenTelemetry itself puts it.
        self.add("/v1/logs", POST, log_push::otlp);
        self.add("/insert/jsonline", POST, log_push::json_lines);
        self.scope = Scope::Admin;
        self.add("/flush", POST, log_push::flush);
    }

    fn loki(&mut self) {
        use loki::{
            delete, detected, format, index, labels, legacy, patterns, query, rules, status, tail,
        };
        self.scope = Scope::Read;
        let v1 = |path: &str| format!("/loki/api/v1{path}");
        self.add(&v1("/query"), GET_POST, query::instant);
        self.add(&v1("/query_range"), GET_POST, query::range);
        self.add(&v1("/labels"), GET_POST, labels::names);
        self.add(&v1("/label"), GET_POST, labels::names);
        self.add(&v1("/label/{name}/values"), GET_POST, labels::values);
        self.add(&v1("/series"), GET_POST, labels::series);
        self.add(&v1("/index/stats"), GET_POST, index::stats);
        self.add(&v1("/index/shards"), GET_POST, index::shards);
        self.add(&v1("/index/volume"), GET_POST, index::volume);
        self.add(&v1("/index/volume_range"), GET_POST, index::volume_range);
        self.add(&v1("/patterns"), GET_POST, patterns::patterns);
        self.add(&v1("/detected_labels"), GET_POST, detected::detected_labels);
        self.add(&v1("/detected_fields"), GET_POST, detected::detected_fields);
        self.add(
            &v1("/detected_field/{name}/values"),
            GET_POST,
            detected::detected_values,
        );
        self.add(&v1("/tail"), GET, tail::tail);
        self.add(&v1("/format_query"), GET_POST, format::format_query);
        self.add(&v1("/status/buildinfo"), GET, status::buildinfo);
        self.add(&v1("/drilldown-limits"), GET, status::drilldown_limits);
        self.add("/config/tenant/v1/limits", GET, status::tenant_limits);
        // As these calls were before there was a version.
        self.add("/api/prom/query", GET_POST, legacy::query);
        self.add("/api/prom/label", GET_POST, labels::names);
        self.add("/api/prom/label/{name}/values", GET_POST, labels::values);
        self.add("/api/prom/series", GET_POST, labels::series);
        self.add("/api/prom/tail", GET, tail::legacy);
        for root in ["/loki/api/v1/rules", "/api/prom/rules"] {
            self.add(root, GET, rules::all);
            // Whoever changes rules has to be an admin, which the handlers look at.
            let one = self
                .answering(GET, rules::namespace)
                .on(MethodFilter::POST, rules::put)
                .on(MethodFilter::DELETE, rules::delete_namespace);
            self.put(&format!("{root}/{{name}}"), one);
            let group = self
                .answering(GET, rules::group)
                .on(MethodFilter::DELETE, rules::delete_group);
            self.put(&format!("{root}/{{name}}/{{group}}"), group);
        }
        self.add(
            "/prometheus/api/v1/rules",
            GET,
            prometheus::rules::log_rules,
        );
        self.add(
            "/prometheus/api/v1/alerts",
            GET,
            prometheus::rules::log_alerts,
        );
        self.scope = Scope::Admin;
        self.add("/loki/api/v1/delete", GET_POST_PUT_DELETE, delete::delete);
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
        self.put(path, self.answering(methods, handler));
    }

    /// Returns the route of a handler that answers some methods; the others are refused.
    fn answering<H, T>(&self, methods: &'static [Method], handler: H) -> MethodRouter<Arc<App>>
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let is_terse = self.is_terse;
        let refuse = move || async move { method_not_allowed(methods, is_terse) };
        let mut route = MethodRouter::new();
        for method in methods {
            if let Ok(filter) = MethodFilter::try_from(method.clone()) {
                route = route.on(filter, handler.clone());
            }
        }
        if !methods.contains(&Method::HEAD) {
            route = route.on(MethodFilter::HEAD, refuse);
        }
        route.fallback(refuse)
    }

    /// Adds a path whose handler looks at the method itself.
    fn any<H, T>(&mut self, path: &str, handler: H)
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.put(path, axum::routing::any(handler));
    }

    /// Adds a path whose callers must have the scope that is in force.
    fn put(&mut self, path: &str, route: MethodRouter<Arc<App>>) {
        #[cfg(test)]
        self.listed.push((path.to_owned(), self.scope));
        self.put_full(format!("{}{path}", self.prefix), route);
    }

    /// The same for a path that has its prefix already.
    fn put_full(&mut self, path: String, route: MethodRouter<Arc<App>>) {
        let scope = self.scope;
        let route = route.layer(axum::middleware::from_fn(move |request, next| {
            checked(scope, request, next)
        }));
        let router = std::mem::take(&mut self.router);
        self.router = router.route(&path, route);
    }
}

/// Lets those pass who have a scope. A request without a caller has not passed the edge,
/// which cannot be; it has none.
async fn checked(scope: Scope, request: Request, next: Next) -> Response {
    match has_scope(request.extensions(), scope) {
        true => next.run(request).await,
        false => forbidden(scope),
    }
}

fn has_scope(extensions: &http::Extensions, scope: Scope) -> bool {
    let caller = extensions.get::<Caller>();
    caller.is_some_and(|caller| caller.scopes.allow(scope))
}

fn forbidden(scope: Scope) -> Response {
    let text = format!("Forbidden: this call needs the scope \"{scope}\"");
    let mut response = plain(StatusCode::FORBIDDEN, &text);
    response.extensions_mut().insert(OutOfScope);
    response
}

/// Lets those pass who may do everything, where the route asks for less.
#[derive(Debug)]
pub(crate) struct Admin;

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Admin, Response> {
        match has_scope(&parts.extensions, Scope::Admin) {
            true => Ok(Admin),
            false => Err(forbidden(Scope::Admin)),
        }
    }
}

/// Extension of an answer that was refused for want of a scope, to be counted.
#[derive(Debug, Clone, Copy)]
struct OutOfScope;

fn method_not_allowed(methods: &[Method], is_terse: bool) -> Response {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    names.push("OPTIONS");
    names.sort_unstable();
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut response = match is_terse {
        true => status.into_response(),
        false => plain(status, "Method Not Allowed"),
    };
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
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    if response.extensions().get::<OutOfScope>().is_some() {
        app.access.denied().count_scope();
    }
    if let Some(path) = path {
        let path = path.as_str();
        let path = path.strip_prefix(&app.urls.prefix).unwrap_or(path);
        let size = http_body::Body::size_hint(response.body()).exact();
        let (status, took) = (response.status(), began.elapsed());
        app.metrics.http.observe(path, status, took, size);
        let of_logs = &app.metrics.log_queries;
        of_logs.answered(&method, path, status, took);
    }
    response
}

/// Returns the paths of the APIs: those of Prometheus' without what they begin with, and
/// those about logs.
#[cfg(test)]
pub(crate) fn api_paths() -> Vec<String> {
    let all = Table::filled("").listed;
    let paths = all.iter();
    let below = |(path, _): &(String, Scope)| path.strip_prefix("/api/v1").map(str::to_owned);
    let mut listed: Vec<String> = paths.filter_map(below).collect();
    let mut of_logs = Table::empty("");
    of_logs.loki();
    of_logs.log_push();
    listed.extend(of_logs.listed.into_iter().map(|(path, _)| path));
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_every_route_with_its_scope() {
        let manual = include_str!("../../../docs/security.md");
        let begin = "<!-- routes -->\n";
        let (_, listed) = manual.split_once(begin).unwrap();
        let (listed, _) = listed.split_once("<!-- end of routes -->").unwrap();
        let line = |(path, scope): &(String, Scope)| format!("| `{path}` | {scope} |\n");
        let table: String = Table::filled("").listed.iter().map(line).collect();
        let expected = format!("| path | scope |\n|---|---|\n{table}");
        assert!(listed == expected, "docs/security.md must say\n{expected}");
    }
}
