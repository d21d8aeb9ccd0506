//! Kymo's own web page: its views, its files, and where Prometheus' old paths lead.
//!
//! Every view is the same document; the program in it looks at the path. Paths that are
//! no view stay 404, because clients find out by them what a server is. All views are
//! right below the root, so that the document finds its files and the API with relative
//! paths, behind whatever prefix or proxy.
//!
//! The policy sent along allows nothing from elsewhere and nothing written into the
//! document, but for style sheets that carry the nonce of this one answer: the editor
//! makes some. So the document is made anew for each request and has no `ETag`.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use ring::rand::{SecureRandom, SystemRandom};

use crate::app::App;
use crate::http::compress::Compressible;
use crate::http::edge::found;
use crate::http::error::plain;

/// Paths of the views.
pub(crate) const VIEWS: [&str; 14] = [
    "/query",
    "/overview",
    "/logs",
    "/explore",
    "/alerts",
    "/rules",
    "/targets",
    "/log-targets",
    "/service-discovery",
    "/cardinality",
    "/storage",
    "/status",
    "/config",
    "/flags",
];

/// Paths of Prometheus' pages, old and new, that have another name here.
pub(crate) const MOVED: [(&str, &str); 4] = [
    ("/graph", "/query"),
    ("/tsdb-status", "/cardinality"),
    ("/alertmanager-discovery", "/status"),
    ("/features", "/status"),
];

/// Where the document has the nonce.
const NONCE: &str = "__KYMO_NONCE__";
/// What files with a hash in their name are: the same for ever.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// What others are: to be asked for again.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A view.
pub(crate) async fn view() -> Response {
    let mut random = [0; 16];
    if SystemRandom::new().fill(&mut random).is_err() {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "no random numbers");
    }
    let nonce = STANDARD_NO_PAD.encode(random);
    let text = kymo_assets::file("index.html").map(|file| String::from_utf8_lossy(file.raw));
    let text = match (text, kymo_assets::missing()) {
        (Some(text), _) => text.replace(NONCE, &nonce),
        (None, reason) => without_page(reason.unwrap_or_default(), &nonce),
    };
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; \
         img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; \
         manifest-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'self'"
    );
    let Ok(policy) = HeaderValue::from_str(&policy) else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "no policy");
    };
    let mut response = text.into_response();
    response.extensions_mut().insert(Compressible);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, ASK_AGAIN);
    no_guessing(headers);
    response
}

/// What is shown where the page is not part of this program.
fn without_page(reason: &str, nonce: &str) -> String {
    let reason = reason
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Kymo</title>\n<style nonce=\"{nonce}\">\n\
         :root {{ color-scheme: light dark }}\n\
         body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; \
         margin: 4rem auto; padding: 0 1rem }}\n</style>\n</head>\n<body>\n<main>\n\
         <h1>Kymo runs, without its web page</h1>\n\
         <p>The page is not part of this program. {reason}</p>\n\
         <p>All else works: queries are answered at <a href=\"./api/v1/query?query=up\">\
         api/v1/query</a>, and Grafana takes Kymo for a Prometheus data source.</p>\n\
         </main>\n</body>\n</html>\n"
    )
}

/// `/`: leads to the view of metrics, as in Prometheus.
pub(crate) async fn home(State(app): State<Arc<App>>, request: Request) -> Response {
    let location = format!("{}/query", app.urls.external_path());
    found(request.method(), &location)
}

/// Leads from an old path to a view, with what was asked, as links in alerts have it. The
/// question mark is there in any case, as in Prometheus.
pub(crate) fn moved(app: &App, request: &Request, view: &str) -> Response {
    let asked = request.uri().query().unwrap_or_default();
    let location = format!("{}{view}?{asked}", app.urls.external_path());
    found(request.method(), &location)
}

/// A file of the page whose name has a hash.
pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    send(&format!("assets/{name}"), &headers)
}

/// The sign of the page.
pub(crate) async fn icon(State(_app): State<Arc<App>>, headers: HeaderMap) -> Response {
    send("favicon.svg", &headers)
}

fn send(path: &str, asked: &HeaderMap) -> Response {
    let Some(file) = kymo_assets::file(path) else {
        return plain(StatusCode::NOT_FOUND, "404 page not found");
    };
    let packed = file.gzip.filter(|_| takes_gzip(asked));
    let known = has_etag(asked, file.etag);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        packed.unwrap_or(file.raw).into_response()
    };
    let headers = response.headers_mut();
    if known {
        headers.remove(header::CONTENT_TYPE);
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.mime));
        if packed.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    headers.insert(header::ETAG, HeaderValue::from_static(file.etag));
    let cache = if file.hashed { FOR_EVER } else { ASK_AGAIN };
    headers.insert(header::CACHE_CONTROL, cache);
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    no_guessing(headers);
    response
}

fn no_guessing(headers: &mut HeaderMap) {
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        HeaderName::from_static("referrer-policy"),
        HeaderValue::from_static("same-origin"),
    );
}

/// Tells whether a client takes gzip.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut accepted = elements(headers, &header::ACCEPT_ENCODING);
    accepted.any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// Tells whether a client has what an ETag stands for.
fn has_etag(headers: &HeaderMap, etag: &str) -> bool {
    elements(headers, &header::IF_NONE_MATCH)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}

fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (value, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("br", false),
            ("", false),
        ] {
            let asked = headers(header::ACCEPT_ENCODING, value);
            assert_eq!(takes_gzip(&asked), takes, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        for (value, has) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            let asked = headers(header::IF_NONE_MATCH, value);
            assert_eq!(has_etag(&asked, "\"a\""), has, "{value}");
        }
    }

    #[tokio::test]
    async fn every_document_has_a_nonce_of_its_own() {
        let policy = |response: &Response| {
            let policy = &response.headers()[header::CONTENT_SECURITY_POLICY];
            policy.to_str().unwrap().to_owned()
        };
        let (one, other) = (view().await, view().await);
        assert_eq!(one.status(), 200);
        assert_ne!(policy(&one), policy(&other));
        let nonce = policy(&one);
        let nonce = nonce.split("'nonce-").nth(1).unwrap();
        let nonce = nonce.split('\'').next().unwrap();
        let body = axum::body::to_bytes(one.into_body(), 1 << 20)
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.contains(&format!("nonce=\"{nonce}\"")), "{text}");
        assert!(!text.contains(NONCE));
    }

    #[test]
    fn the_page_that_is_missing_says_why() {
        let text = without_page("no <Node> & no npm", "abc");
        assert!(text.contains("no &lt;Node&gt; &amp; no npm"));
    }
}
