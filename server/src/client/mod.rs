//! Asking a server that runs: what commands that talk to one share.
//!
//! The server is a URL, which may hold a name and password; a file with Prometheus' HTTP
//! client block (`--http.config.file`) says the rest. Commands are done when one answer
//! is there, so calls block. Errors are those of Go's client of the API, because scripts
//! read them.

mod api;
mod websocket;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};
use kymo_ingest::http::{Auth, ClientOptions, HttpClient, Secret, SecretSource};
use tokio::runtime::Runtime;
use url::Url;

use crate::config;

pub(crate) use api::ApiError;

/// Largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

/// Flags of commands that ask a server.
#[derive(Debug, Clone, Args)]
pub(crate) struct HttpFlags {
    /// File with Prometheus' HTTP client configuration: TLS, credentials, headers.
    #[arg(long = "http.config.file", value_name = "FILE", global = true)]
    config_file: Option<PathBuf>,
}

/// A server and how it is reached.
#[derive(Debug)]
pub(crate) struct Server {
    url: Url,
    client: HttpClient,
    headers: HeaderMap,
    runtime: Runtime,
    /// Who asks, for what does not go through the client.
    auth: Option<Auth>,
}

/// An answer of any status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The status with its words, such as `404 Not Found`.
    pub(crate) status_text: String,
    pub(crate) body: Bytes,
}

impl Server {
    /// Sets up what is needed to ask the server at `url`, with `headers` on every request.
    ///
    /// # Errors
    /// The URL, a header or the file of `flags` is wrong.
    pub(crate) fn new(
        url: &str,
        flags: &HttpFlags,
        headers: &[(String, String)],
    ) -> Result<Server, String> {
        let mut url = read_url(url)?;
        let mut options = match &flags.config_file {
            Some(file) => read_client(file)?,
            None => ClientOptions::default(),
        };
        if !url.username().is_empty() {
            if flags.config_file.is_some() {
                return Err(
                    "cannot set base auth in the server URL and use a http.config.file at the \
                     same time"
                        .to_owned(),
                );
            }
            options.auth = Some(credentials(&url));
            let _has_host = url.set_username("").and_then(|()| url.set_password(None));
        }
        let mut extra = HeaderMap::new();
        for (name, value) in headers {
            let wrong = |reason: String| format!("header {name}: {reason}");
            extra.append(
                HeaderName::from_bytes(name.as_bytes()).map_err(|e| wrong(e.to_string()))?,
                HeaderValue::from_str(value).map_err(|e| wrong(e.to_string()))?,
            );
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("start the runtime: {error}"))?;
        // One provider for the whole process; a second call finds it in place.
        let _in_place = rustls::crypto::ring::default_provider().install_default();
        let client = HttpClient::new(&options).map_err(|error| error.to_string())?;
        Ok(Server {
            url,
            client,
            headers: extra,
            runtime,
            auth: options.auth,
        })
    }

    /// Returns the URL without credentials.
    pub(crate) fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Asks for `path`, which is below that of the server.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) fn get(&self, path: &str, timeout: Duration) -> Result<Reply, String> {
        let url = self.below(path);
        self.runtime.block_on(async {
            let asked = self
                .client
                .get(&url, &self.headers, timeout, MAX_ANSWER_BYTES);
            read(asked.await)
        })
    }

    /// Posts `body` to `path`.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) fn post(
        &self,
        path: &str,
        headers: &[(HeaderName, &'static str)],
        body: Bytes,
        timeout: Duration,
    ) -> Result<Reply, String> {
        let url = self.below(path);
        let mut all = self.headers.clone();
        for (name, value) in headers {
            all.insert(name, HeaderValue::from_static(value));
        }
        self.runtime.block_on(async {
            let asked = self
                .client
                .post(&url, &all, body, timeout, MAX_ANSWER_BYTES);
            read(asked.await)
        })
    }

    fn below(&self, path: &str) -> String {
        let mut url = self.url.clone();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let joined = format!(
            "{}/{}",
            url.path().trim_end_matches('/'),
            path.trim_start_matches('/')
        );
        url.set_path(&joined);
        url.set_query((!query.is_empty()).then_some(query));
        url.to_string()
    }
}

fn read(
    answer: Result<kymo_ingest::http::Answer, kymo_ingest::http::FetchError>,
) -> Result<Reply, String> {
    let answer = answer.map_err(|error| error.to_string())?;
    let (status, status_text) = (answer.status, answer.status_text.clone());
    let body = answer.into_body().map_err(|error| error.to_string())?;
    Ok(Reply {
        status,
        status_text,
        body,
    })
}

/// Reads the URL of a server; `http://` may be left out.
fn read_url(text: &str) -> Result<Url, String> {
    let full = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let url = Url::parse(&full).map_err(|error| format!("parse {text:?}: {error}"))?;
    match url.has_host() && matches!(url.scheme(), "http" | "https") {
        true => Ok(url),
        false => Err(format!(
            "{text:?} is no URL of a server, such as http://localhost:9090"
        )),
    }
}

fn credentials(url: &Url) -> Auth {
    let decoded = |text: &str| {
        let pair = format!("x={}", text.replace('+', "%2B"));
        let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
        pairs
            .next()
            .map_or_else(String::new, |(_, value)| value.into_owned())
    };
    let secret = |text: &str| Some(SecretSource::Inline(Secret::new(decoded(text))));
    Auth::Basic {
        username: secret(url.username()),
        password: url.password().and_then(secret),
    }
}

fn read_client(file: &Path) -> Result<ClientOptions, String> {
    config::load_http_client(file)
        .map_err(|error| format!("Failed to load HTTP config file: {}", error.of_file()))
}

/// Reads a pair as Go's command lines write it: `name=value` or `name:value`.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    let at = text.find(['=', ':']);
    match at.map(|at| (&text[..at], &text[at + 1..])) {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected KEY=VALUE got {text:?}")),
    }
}

/// Writes parameters as a form.
pub(crate) fn form(params: &[(&str, String)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in params {
        form.append_pair(name, value);
    }
    form.finish()
}

/// Labels by name, as answers have them.
pub(crate) type LabelMap = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: HttpFlags = HttpFlags { config_file: None };

    #[test]
    fn servers_are_urls_with_a_path_and_maybe_credentials() {
        let server = Server::new("http://localhost:9090/prom/", &PLAIN, &[]).unwrap();
        assert_eq!(
            server.below("/api/v1/query"),
            "http://localhost:9090/prom/api/v1/query"
        );
        assert_eq!(server.below("/x?a=b"), "http://localhost:9090/prom/x?a=b");
        let server = Server::new("localhost:9090", &PLAIN, &[]).unwrap();
        assert_eq!(server.url(), "http://localhost:9090");
        let server = Server::new("https://u:p%40ss@h", &PLAIN, &[]).unwrap();
        assert_eq!(server.url(), "https://h");
        let url = Url::parse("http://u:p%40s+s@h").unwrap();
        let Auth::Basic { password, .. } = credentials(&url) else {
            unreachable!();
        };
        assert_eq!(password.unwrap().fetch().unwrap().expose(), "p@s+s");
        for wrong in ["", "ftp://h", "http://", "http://[::1"] {
            assert!(Server::new(wrong, &PLAIN, &[]).is_err(), "{wrong}");
        }
        let header = [("a b".to_owned(), "c".to_owned())];
        assert!(Server::new("http://h", &PLAIN, &header).is_err());
    }

    #[test]
    fn pairs_have_a_name() {
        assert_eq!(
            parse_pair("a=b:c").unwrap(),
            ("a".to_owned(), "b:c".to_owned())
        );
        assert_eq!(
            parse_pair("a:b=c").unwrap(),
            ("a".to_owned(), "b=c".to_owned())
        );
        assert!(parse_pair("a").is_err() && parse_pair("=b").is_err());
    }
}
