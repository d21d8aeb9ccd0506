//! Who may call: TLS, passwords, tokens and scopes, from the web configuration file.
//!
//! [`Access`] stands before everything else that a request meets. Without a file it lets
//! all pass, as Prometheus does. With users or tokens, whoever does not show one gets 401
//! for every path, those that do not exist included; each route then asks for a [`Scope`].
//!
//! The file is looked at for each request and handshake and read again when it has
//! changed. While it cannot be used nobody gets in: requests are answered with 500 and
//! handshakes broken off, as in Prometheus.

mod client_certs;
mod file;
mod passwords;
mod rate;
mod scope;
mod stamp;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use kymo_ingest::http::Secret;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use serde_json::json;
use tracing::{error, info};

pub(crate) use file::{WebConfig, WebConfigError};
pub(crate) use scope::{Caller, Scope};

use crate::clock;
use crate::http::error::plain;
use passwords::{Outcome, Passwords};
use rate::Bucket;
use stamp::Stamp;

/// Decides about every connection and request.
#[derive(Debug)]
pub(crate) struct Access {
    guard: Option<Guard>,
    denied: Denied,
}

/// What a file makes necessary.
#[derive(Debug)]
struct Guard {
    path: PathBuf,
    /// Whether the listener speaks TLS. That is fixed at the start.
    secure: bool,
    read: Mutex<Read>,
    handshakes: Mutex<Option<Handshakes>>,
    passwords: Passwords,
    bucket: Mutex<Bucket>,
}

/// The file as it was read last.
#[derive(Debug)]
struct Read {
    stamp: Option<Stamp>,
    config: Option<Arc<WebConfig>>,
}

/// What connections are secured with, and the files it was made from.
#[derive(Debug)]
struct Handshakes {
    from: Arc<WebConfig>,
    stamps: [Option<Stamp>; 3],
    config: Arc<ServerConfig>,
}

/// How many requests were turned away, by reason.
#[derive(Debug, Default)]
pub(crate) struct Denied {
    missing: AtomicU64,
    wrong: AtomicU64,
    scope: AtomicU64,
    rate: AtomicU64,
    busy: AtomicU64,
    config: AtomicU64,
}

impl Denied {
    /// Counts a caller who may not do what a route does.
    pub(crate) fn count_scope(&self) {
        count(&self.scope);
    }

    /// Returns the reasons with their counts.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 6] {
        [
            ("missing_credentials", &self.missing),
            ("wrong_credentials", &self.wrong),
            ("scope", &self.scope),
            ("rate_limit", &self.rate),
            ("too_many_checks", &self.busy),
            ("web_config", &self.config),
        ]
        .map(|(reason, count)| (reason, count.load(Ordering::Relaxed)))
    }
}

/// What a request that may go on is given.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Who sent it.
    pub(crate) caller: Caller,
    /// Headers for the answer, where it does not have them.
    pub(crate) headers: Headers,
}

/// Headers for answers, from the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(Option<Arc<WebConfig>>);

impl Headers {
    /// Adds those that an answer does not have.
    pub(crate) fn complete(&self, answer: &mut HeaderMap) {
        let headers = self.0.iter().flat_map(|config| &config.headers);
        for (name, value) in headers {
            let (name, value): (&HeaderName, &HeaderValue) = (name, value);
            if !answer.contains_key(name) {
                answer.insert(name.clone(), value.clone());
            }
        }
    }
}

impl Access {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// The file cannot be used; the text says why.
    pub(crate) fn new(file: Option<&Path>) -> Result<Access, String> {
        let guard = match file {
            Some(path) => Some(Guard::new(path)?),
            None => None,
        };
        Ok(Access {
            guard,
            denied: Denied::default(),
        })
    }

    /// Tells whether the listener speaks TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.secure)
    }

    /// Tells whether callers have to say who they are, as far as the file can be read.
    pub(crate) fn asks(&self) -> bool {
        let config = self.guard.as_ref().and_then(Guard::config);
        config.is_some_and(|config| config.asks())
    }

    /// Returns how many requests were turned away.
    pub(crate) fn denied(&self) -> &Denied {
        &self.denied
    }

    /// Returns what the next connection is secured with.
    ///
    /// # Errors
    /// The file or a certificate cannot be used at the moment, or TLS is gone from it.
    pub(crate) fn handshake(&self) -> Result<Arc<ServerConfig>, String> {
        match &self.guard {
            Some(guard) => guard.handshake(),
            None => Err("no web configuration file".to_owned()),
        }
    }

    /// Lets a request pass, or answers it. `path` is without the prefix of all paths.
    ///
    /// # Errors
    /// The answer for a request that may not pass.
    pub(crate) async fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Admitted, Response> {
        let Some(guard) = &self.guard else {
            return Ok(Admitted {
                caller: Caller::unnamed(),
                headers: Headers::default(),
            });
        };
        let Some(config) = guard.config() else {
            count(&self.denied.config);
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return Err(plain(status, "Internal Server Error"));
        };
        let more = Headers(Some(Arc::clone(&config)));
        let refuse = |counter: &AtomicU64, mut answer: Response| {
            count(counter);
            more.complete(answer.headers_mut());
            answer
        };
        if let Some(rate) = config.rate
            && !guard.bucket.lock().take(rate, clock::monotonic())
        {
            return Err(refuse(&self.denied.rate, too_many()));
        }
        let caller = if !config.asks() || is_open(path, &config) {
            Caller::unnamed()
        } else {
            match guard.identify(&config, headers).await {
                Ok(caller) => caller,
                Err(Refusal::Missing) => {
                    return Err(refuse(&self.denied.missing, unauthorized(&config, headers)));
                }
                Err(Refusal::Wrong) => {
                    return Err(refuse(&self.denied.wrong, unauthorized(&config, headers)));
                }
                Err(Refusal::Busy) => return Err(refuse(&self.denied.busy, too_many())),
            }
        };
        Ok(Admitted {
            caller,
            headers: more,
        })
    }
}

/// Why somebody is not known.
enum Refusal {
    /// They did not say who they are.
    Missing,
    /// What they say is not true.
    Wrong,
    /// Too many others are being checked.
    Busy,
}

impl Guard {
    fn new(path: &Path) -> Result<Guard, String> {
        // In this order, a change in between is seen by the next look.
        let stamp = Stamp::of(path);
        let config = WebConfig::load(path).map_err(|error| error.to_string())?;
        Ok(Guard {
            path: path.to_owned(),
            secure: config.tls.is_some(),
            read: Mutex::new(Read {
                stamp,
                config: Some(Arc::new(config)),
            }),
            handshakes: Mutex::new(None),
            passwords: Passwords::new()?,
            bucket: Mutex::default(),
        })
    }

    /// Returns what the file says now; `None` while it cannot be used.
    fn config(&self) -> Option<Arc<WebConfig>> {
        let stamp = Stamp::of(&self.path);
        let mut read = self.read.lock();
        if stamp.is_none() || read.stamp != stamp {
            let was_good = read.config.is_some();
            let first_look = read.stamp != stamp;
            read.config = match WebConfig::load(&self.path) {
                Ok(config) => {
                    info!(file = %self.path.display(), "web configuration file read again");
                    Some(Arc::new(config))
                }
                Err(problem) => {
                    if was_good || first_look {
                        let file = self.path.display();
                        error!(%file, %problem, "the web configuration file cannot be used");
                    }
                    None
                }
            };
            read.stamp = stamp;
        }
        read.config.clone()
    }

    fn handshake(&self) -> Result<Arc<ServerConfig>, String> {
        let config = self
            .config()
            .ok_or("the web configuration file cannot be used")?;
        let Some(tls) = &config.tls else {
            return Err("the web configuration file has no TLS any more: restart".to_owned());
        };
        let stamps = tls.stamps();
        let mut made = self.handshakes.lock();
        if let Some(made) = made.as_ref()
            && Arc::ptr_eq(&made.from, &config)
            && made.stamps == stamps
        {
            return Ok(Arc::clone(&made.config));
        }
        let built = tls.build()?;
        *made = Some(Handshakes {
            from: Arc::clone(&config),
            stamps,
            config: Arc::clone(&built),
        });
        Ok(built)
    }

    async fn identify(&self, config: &WebConfig, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(Refusal::Missing);
        };
        let (scheme, rest) = value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or(Refusal::Wrong)?;
        if scheme.eq_ignore_ascii_case("Bearer") {
            let digest = digest(&SHA256, rest.trim().as_bytes());
            let digest = <[u8; 32]>::try_from(digest.as_ref()).map_err(|_| Refusal::Wrong)?;
            // Nobody can steer the hash of a guess, so how far a comparison of hashes gets
            // tells nothing about the tokens.
            let token = config.tokens.get(&digest).ok_or(Refusal::Wrong)?;
            return Ok(Caller {
                name: Arc::from(token.name.as_str()),
                scopes: token.scopes,
            });
        }
        if !scheme.eq_ignore_ascii_case("Basic") {
            return Err(Refusal::Wrong);
        }
        let pair = STANDARD.decode(rest.trim()).map_err(|_| Refusal::Wrong)?;
        let pair = String::from_utf8(pair).map_err(|_| Refusal::Wrong)?;
        let (name, password) = pair.split_once(':').ok_or(Refusal::Wrong)?;
        if config.users.is_empty() {
            return Err(Refusal::Wrong);
        }
        let user = config.users.get(name);
        let costs = config
            .users
            .values()
            .map(|user| passwords::cost(&user.hash));
        let password = Secret::new(password);
        let outcome = self.passwords.check(
            name,
            user.map(|user| &user.hash),
            costs.max().unwrap_or_default(),
            &password,
        );
        match (outcome.await, user) {
            (Outcome::Right, Some(user)) => Ok(Caller {
                name: Arc::from(name),
                scopes: user.scopes,
            }),
            (Outcome::Busy, _) => Err(Refusal::Busy),
            _ => Err(Refusal::Wrong),
        }
    }
}

fn is_open(path: &str, config: &WebConfig) -> bool {
    match path {
        "/-/healthy" | "/-/ready" | "/ready" => config.open.health,
        "/metrics" => config.open.metrics,
        _ => false,
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Answers in Prometheus' words, and in JSON to those who ask for it: Grafana shows only
/// that to its user.
fn unauthorized(config: &WebConfig, asked: &HeaderMap) -> Response {
    let accept = asked
        .get(header::ACCEPT)
        .and_then(|text| text.to_str().ok());
    let mut answer = if accept.is_some_and(|accept| accept.contains("application/json")) {
        let text = "Unauthorized: no valid user, password or token was sent";
        let body = json!({
            "status": "error",
            "errorType": "unauthorized",
            "error": text,
            "message": text,
        });
        let json = [(header::CONTENT_TYPE, "application/json")];
        (StatusCode::UNAUTHORIZED, json, body.to_string()).into_response()
    } else {
        plain(StatusCode::UNAUTHORIZED, "Unauthorized")
    };
    let scheme = match config.users.is_empty() {
        true => HeaderValue::from_static("Bearer"),
        false => HeaderValue::from_static("Basic"),
    };
    answer
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, scheme);
    answer
}

fn too_many() -> Response {
    plain(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests")
}

#[cfg(test)]
mod tests;
