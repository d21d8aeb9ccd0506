//! What happens to every request before it is routed and to every answer after.
//!
//! In the order in which Prometheus' server does it: the caller is checked ([`Access`]),
//! paths with doubled slashes or dots are redirected to their clean form, `OPTIONS` is answered for any path,
//! CORS headers are set, answers marked for it are compressed.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use kymo_storage::model::{MatchOp, Matcher};
use tower::ServiceExt;

use super::compress::{self, Encoding};
use crate::access::Access;

/// The outermost layer around the routes.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    router: Router,
    origins: Matcher,
    access: Arc<Access>,
    /// Prefix of all paths.
    prefix: Arc<str>,
}

impl Edge {
    /// Puts the layer around a router. `cors_origin` is a regular expression for
    /// the origins that browsers may call from; it is anchored at both ends.
    ///
    /// # Errors
    /// The expression does not compile.
    pub(crate) fn new(
        router: Router,
        cors_origin: &str,
        access: Arc<Access>,
        prefix: &str,
    ) -> Result<Edge, String> {
        let origins = Matcher::new(MatchOp::Regex, "Origin", cors_origin)
            .map_err(|error| format!("--web.cors.origin: {error}"))?;
        Ok(Edge {
            router,
            origins,
            access,
            prefix: Arc::from(prefix),
        })
    }

    /// Answers one request.
    pub(crate) async fn answer(self, mut request: Request<Incoming>) -> Response {
        let path = request.uri().path();
        let path = path.strip_prefix(&*self.prefix).unwrap_or_default();
        let admitted = match self.access.admit(path, request.headers()).await {
            Ok(admitted) => admitted,
            Err(refused) => return refused,
        };
        request.extensions_mut().insert(admitted.caller);
        let encoding = Encoding::asked(request.headers());
        let origin = request.headers().get(header::ORIGIN).cloned();
        let mut response = if let Some(redirect) = clean_redirect(&request) {
            redirect
        } else if request.method() == Method::OPTIONS {
            StatusCode::NO_CONTENT.into_response()
        } else {
            match self.router.oneshot(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        set_cors(response.headers_mut(), origin.as_ref(), &self.origins);
        admitted.headers.complete(response.headers_mut());
        compress::compress(response, encoding)
    }
}

fn set_cors(headers: &mut HeaderMap, origin: Option<&HeaderValue>, allowed: &Matcher) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else {
        return;
    };
    for (name, value) in [
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, Authorization, Content-Type, Origin",
        ),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if origin.to_str().is_ok_and(|origin| allowed.matches(origin)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

/// Redirects to the clean form of a path that is not clean, as Go's server does.
fn clean_redirect(request: &Request<Incoming>) -> Option<Response> {
    let clean = clean_path(request.uri().path())?;
    let location = match request.uri().query() {
        Some(query) => format!("{clean}?{query}"),
        None => clean,
    };
    Some(moved(request.method(), &location))
}

/// Answers that something has moved for good.
pub(crate) fn moved(method: &Method, location: &str) -> Response {
    redirect(StatusCode::MOVED_PERMANENTLY, method, location)
}

/// Answers that something is elsewhere for now.
pub(crate) fn found(method: &Method, location: &str) -> Response {
    redirect(StatusCode::FOUND, method, location)
}

fn redirect(status: StatusCode, method: &Method, location: &str) -> Response {
    let text = if *method == Method::GET {
        let escaped = location
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&#34;")
            .replace('\'', "&#39;");
        let reason = status.canonical_reason().unwrap_or("Found");
        format!("<a href=\"{escaped}\">{reason}</a>.\n\n")
    } else {
        String::new()
    };
    let Ok(target) = HeaderValue::from_str(location) else {
        return super::error::plain(StatusCode::BAD_REQUEST, "400 Bad Request");
    };
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, target);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response
}

/// Returns the path without empty, `.` and `..` elements where it had some. A
/// slash at the end stays.
fn clean_path(path: &str) -> Option<String> {
    let dirty = |element: &str| matches!(element, "" | "." | "..");
    let inner = path.strip_prefix('/').unwrap_or(path);
    let (elements, slash) = match inner.strip_suffix('/') {
        Some(elements) => (elements, "/"),
        None => (inner, ""),
    };
    if inner.is_empty() || !elements.split('/').any(dirty) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for element in elements.split('/') {
        match element {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            element => kept.push(element),
        }
    }
    let slash = if kept.is_empty() { "" } else { slash };
    Some(format!("/{}{slash}", kept.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge_for(origins: &str) -> Result<Edge, String> {
        let access = Access::new(None)?;
        Edge::new(Router::new(), origins, Arc::new(access), "")
    }

    #[test]
    fn only_unclean_paths_are_redirected() {
        for (path, expected) in [
            ("/", None),
            ("/api/v1/query", None),
            ("/api/v1/", None),
            ("/api/v1/label//values", Some("/api/v1/label/values")),
            ("//api/v1/query", Some("/api/v1/query")),
            ("/api//", Some("/api/")),
            ("/a/./b/../c", Some("/a/c")),
            ("/../..", Some("/")),
            ("//", Some("/")),
        ] {
            assert_eq!(clean_path(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn an_origin_is_echoed_only_where_the_whole_of_it_matches() {
        let allowed = |pattern: &str, origin: &'static str| {
            let edge = edge_for(pattern).unwrap();
            let mut headers = HeaderMap::new();
            let origin = HeaderValue::from_static(origin);
            set_cors(&mut headers, Some(&origin), &edge.origins);
            headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        };
        assert!(allowed(".*", "http://example.invalid"));
        assert!(allowed("https?://(a|b)[.]test", "http://a.test"));
        assert!(!allowed("a[.]test|b[.]test", "http://a.test"));
        let edge = edge_for(".*").unwrap();
        let mut headers = HeaderMap::new();
        set_cors(&mut headers, None, &edge.origins);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["vary"], "Origin");
        assert!(edge_for("(").is_err());
    }
}
