//! One request after another: redirects, credentials, deadline, limits.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, LOCATION, PROXY_AUTHORIZATION, REFERER,
    USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use url::Url;

use super::answer::{Answer, header};
use super::connect::Connector;
use super::error::{ClientError, DEADLINE, FetchError, request_text};
use super::oauth2::Tokens;
use super::options::{Auth, ClientOptions};
use super::proxy::Proxies;
use super::secret::{Secret, SecretSource};
use super::stream::AnswerStream;
use super::tls::TlsSetup;

/// What every request says of its sender.
pub const AGENT: &str = concat!("Kymo/", env!("CARGO_PKG_VERSION"));

/// Redirects followed before giving up, as in Go.
const MAX_REDIRECTS: usize = 10;

/// After so long without a word a peer is asked on HTTP/2 whether it is there, as in
/// Prometheus.
const QUIET: Duration = Duration::from_secs(60);

/// Connections that nobody uses are closed after this time, as in Prometheus.
const IDLE: Duration = Duration::from_secs(300);

/// Asks servers; cheap to clone, connections are shared.
#[derive(Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Client<Connector, Full<Bytes>>,
    options: Arc<ClientOptions>,
    connector: Connector,
    /// Where tokens come from, with OAuth 2.
    tokens: Option<Arc<Tokens>>,
}

/// What is sent, again at each redirect.
struct Asked {
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    /// Follows a redirect: most of them turn a request with a body into one without, as
    /// in Go.
    fn redirected(&mut self, status: u16) {
        if !matches!(status, 307 | 308) && self.method != Method::GET {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.headers.remove(CONTENT_TYPE);
        }
    }
}

impl HttpClient {
    /// Makes a client.
    ///
    /// # Errors
    /// A certificate or key that cannot be used, or a header that cannot be sent.
    pub fn new(options: &ClientOptions) -> Result<HttpClient, ClientError> {
        let tls = TlsSetup::new(options.tls.clone(), options.http2);
        tls.config().map_err(ClientError)?;
        if options.tls.insecure_skip_verify {
            tracing::warn!("certificates of targets are not verified: insecure_skip_verify is on");
        }
        let environment = |name: &str| std::env::var(name).ok();
        let connector = Connector {
            tls: Arc::new(tls),
            proxies: Arc::new(Proxies::new(&options.proxy, environment)),
            socket: None,
            is_spread: false,
        };
        let tokens = match &options.auth {
            Some(Auth::OAuth2(oauth2)) => Some(Arc::new(Tokens::new(oauth2)?)),
            _ => None,
        };
        Ok(HttpClient::with(
            connector,
            Arc::new(options.clone()),
            tokens,
        ))
    }

    /// Returns a client with the same options that asks at a Unix socket, whatever host
    /// a URL names. It shares tokens with this one, but no connections.
    #[must_use]
    pub fn over_socket(&self, path: &Path) -> HttpClient {
        let connector = Connector {
            socket: Some(Arc::from(path)),
            ..self.shared.connector.clone()
        };
        let options = Arc::clone(&self.shared.options);
        HttpClient::with(connector, options, self.shared.tokens.clone())
    }

    /// Returns a client with the same options whose connections go to any of the
    /// addresses of a name, so that many share the load. It shares tokens with this one,
    /// but no connections.
    #[must_use]
    pub fn spread(&self) -> HttpClient {
        let connector = Connector {
            is_spread: true,
            ..self.shared.connector.clone()
        };
        let options = Arc::clone(&self.shared.options);
        HttpClient::with(connector, options, self.shared.tokens.clone())
    }

    fn with(
        connector: Connector,
        options: Arc<ClientOptions>,
        tokens: Option<Arc<Tokens>>,
    ) -> HttpClient {
        let inner = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            // Without it a connection that died unnoticed would fail all requests to come.
            .http2_keep_alive_interval(QUIET)
            .http2_keep_alive_while_idle(true)
            .build(connector.clone());
        HttpClient {
            shared: Arc::new(Shared {
                inner,
                options,
                connector,
                tokens,
            }),
        }
    }

    /// Asks for `url` with `headers`, and reads the answer up to `max_bytes`
    /// (uncompressed; 0 = no limit of the caller's). `timeout` bounds everything
    /// from connecting to the last byte.
    ///
    /// # Errors
    /// No answer, or one that broke off or is too large. A status other than 200 is
    /// not an error here.
    pub async fn get(
        &self,
        url: &str,
        headers: &HeaderMap,
        timeout: Duration,
        max_bytes: u64,
    ) -> Result<Answer, FetchError> {
        let asked = Asked {
            method: Method::GET,
            headers: headers.clone(),
            body: Bytes::new(),
        };
        self.send(url, asked, timeout, max_bytes).await
    }

    /// Asks for `url` with `headers` and returns the answer as it comes. `timeout` bounds
    /// everything up to the last byte.
    ///
    /// # Errors
    /// No answer.
    pub(crate) async fn open(
        &self,
        url: &str,
        headers: &HeaderMap,
        timeout: Duration,
    ) -> Result<AnswerStream, FetchError> {
        let deadline = Instant::now() + timeout;
        let asked = Asked {
            method: Method::GET,
            headers: headers.clone(),
            body: Bytes::new(),
        };
        let response = self.follow(url, asked, deadline).await?;
        Ok(AnswerStream::new(response, deadline))
    }

    /// Sends `body` with `headers` to `url`; all else is as for [`get`](Self::get).
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn post(
        &self,
        url: &str,
        headers: &HeaderMap,
        body: Bytes,
        timeout: Duration,
        max_bytes: u64,
    ) -> Result<Answer, FetchError> {
        let asked = Asked {
            method: Method::POST,
            headers: headers.clone(),
            body,
        };
        self.send(url, asked, timeout, max_bytes).await
    }

    async fn send(
        &self,
        url: &str,
        asked: Asked,
        timeout: Duration,
        max_bytes: u64,
    ) -> Result<Answer, FetchError> {
        let deadline = Instant::now() + timeout;
        let response = self.follow(url, asked, deadline).await?;
        Answer::read(response, deadline, max_bytes).await
    }

    async fn follow(
        &self,
        url: &str,
        mut asked: Asked,
        deadline: Instant,
    ) -> Result<Response<Incoming>, FetchError> {
        let method = match asked.method {
            Method::POST => "Post",
            _ => "Get",
        };
        let failed = |url: &str, reason: String| FetchError::Request {
            method,
            url: url.to_owned(),
            reason,
        };
        let mut shown = url.to_owned();
        let mut current = Url::parse(url).map_err(|error| match error {
            url::ParseError::RelativeUrlWithoutBase => {
                failed(url, "unsupported protocol scheme \"\"".to_owned())
            }
            error => failed(url, error.to_string()),
        })?;
        let origin = current.host_str().unwrap_or_default().to_owned();
        let mut referer = None;
        let mut trusted = true;
        for hops in 0.. {
            if !matches!(current.scheme(), "http" | "https") {
                let reason = format!("unsupported protocol scheme \"{}\"", current.scheme());
                return Err(failed(&shown, reason));
            }
            let request = self
                .request(&current, &asked, referer.take(), trusted, deadline)
                .await
                .map_err(|reason| failed(&shown, reason))?;
            let response =
                match tokio::time::timeout_at(deadline, self.shared.inner.request(request)).await {
                    Ok(Ok(response)) => response,
                    Ok(Err(error)) => return Err(failed(&shown, request_text(&error))),
                    Err(_) => return Err(failed(&shown, DEADLINE.to_owned())),
                };
            let Some(location) = self.redirect(&response) else {
                return Ok(response);
            };
            if hops + 1 >= MAX_REDIRECTS {
                let reason = format!("stopped after {MAX_REDIRECTS} redirects");
                return Err(failed(&shown, reason));
            }
            let next = current.join(&location).map_err(|error| {
                let reason = format!("failed to parse Location header \"{location}\": {error}");
                failed(&shown, reason)
            })?;
            asked.redirected(response.status().as_u16());
            referer = referer_of(&current, &next);
            // Credentials go to the host they were given for and those below it, and
            // once lost they stay lost.
            trusted = trusted && is_same_or_below(next.host_str().unwrap_or_default(), &origin);
            current = next;
            shown = current.to_string();
        }
        Err(failed(&shown, DEADLINE.to_owned()))
    }

    fn redirect(&self, response: &Response<Incoming>) -> Option<String> {
        let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        if !redirects || !self.shared.options.follow_redirects {
            return None;
        }
        let location = header(response, &LOCATION);
        (!location.is_empty()).then_some(location)
    }

    async fn request(
        &self,
        url: &Url,
        asked: &Asked,
        referer: Option<HeaderValue>,
        trusted: bool,
        deadline: Instant,
    ) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder()
            .method(asked.method.clone())
            .uri(url.as_str())
            .body(Full::new(asked.body.clone()))
            .map_err(|error| error.to_string())?;
        let out = request.headers_mut();
        out.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        out.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in &asked.headers {
            out.insert(name, value.clone());
        }
        if let Some(referer) = referer {
            out.insert(REFERER, referer);
        }
        self.add_configured(out, trusted)?;
        let connector = &self.shared.connector;
        if connector.socket.is_none()
            && let Some(value) = connector.proxies.request_authorization(url)
        {
            out.insert(PROXY_AUTHORIZATION, value);
        }
        if trusted && let Some(auth) = &self.shared.options.auth {
            let value = match &self.shared.tokens {
                Some(tokens) => tokens.authorization(deadline).await?,
                None => authorization(auth)?,
            };
            out.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    fn add_configured(&self, out: &mut HeaderMap, trusted: bool) -> Result<(), String> {
        for header in &self.shared.options.headers {
            let name = HeaderName::from_bytes(header.name.as_bytes())
                .map_err(|_| format!("net/http: invalid header field name {:?}", header.name))?;
            if !trusted && matches!(name.as_str(), "cookie" | "cookie2") {
                continue;
            }
            let mut add = |value: &str| match HeaderValue::from_str(value) {
                Ok(value) => {
                    out.append(name.clone(), value);
                    Ok(())
                }
                Err(_) => Err(format!("net/http: invalid header field value for {name:?}")),
            };
            for value in &header.values {
                add(value)?;
            }
            for secret in &header.secrets {
                add(secret.expose())?;
            }
            for file in &header.files {
                add(SecretSource::File(file.clone()).fetch()?.expose())?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

fn authorization(auth: &Auth) -> Result<HeaderValue, String> {
    let fetch = |source: &Option<SecretSource>, what: &str| match source {
        None => Ok(Secret::default()),
        Some(source) => source
            .fetch()
            .map_err(|error| format!("unable to read {what}: {error}")),
    };
    let text = match auth {
        Auth::Basic { username, password } => {
            let username = fetch(username, "basic auth username")?;
            let password = fetch(password, "basic auth password")?;
            let pair = format!("{}:{}", username.expose(), password.expose());
            format!("Basic {}", STANDARD.encode(pair))
        }
        Auth::Scheme {
            scheme,
            credentials,
        } => {
            let credentials = fetch(credentials, "authorization credentials")?;
            format!("{scheme} {}", credentials.expose())
        }
        Auth::OAuth2(_) => return Err("oauth2: there is nobody to ask for a token".to_owned()),
    };
    sensitive(&text)
}

/// Returns an `Authorization` that no log shows.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| "net/http: invalid header field value for \"Authorization\"".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// A referer is not sent from `https` to `http`, and never with credentials.
fn referer_of(from: &Url, to: &Url) -> Option<HeaderValue> {
    if from.scheme() == "https" && to.scheme() == "http" {
        return None;
    }
    let mut from = from.clone();
    from.set_fragment(None);
    // A URL without a host keeps what it has; there is none among those we ask.
    let cleared = from.set_username("").and_then(|()| from.set_password(None));
    cleared.ok()?;
    HeaderValue::from_str(from.as_str()).ok()
}

fn is_same_or_below(host: &str, parent: &str) -> bool {
    let (host, parent) = (host.to_ascii_lowercase(), parent.to_ascii_lowercase());
    if host == parent {
        return true;
    }
    // Addresses have no hosts below them.
    if parent.is_empty() || host.contains([':', '%', '[']) {
        return false;
    }
    host.strip_suffix(&parent)
        .is_some_and(|front| front.ends_with('.'))
}
