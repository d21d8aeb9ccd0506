//! Tokens by OAuth 2: asked for with the client's credentials, kept until shortly before
//! they end, asked for again when the secret changes.
//!
//! Servers differ in where they want the credentials. As Go's library does, the first
//! request has them in its header, and where that fails they go into the body; what worked
//! is what is done from then on. A signed assertion needs no credentials beside it.

use std::pin::Pin;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::answer::Answer;
use super::assertion;
use super::client::{HttpClient, sensitive};
use super::error::{ClientError, DEADLINE};
use super::options::{ClientOptions, OAuth2Options};
use super::secret::{Secret, SecretSource};
use super::url::{Part, push_escaped};

/// The grant for an assertion.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A token is not used in its last seconds, as it may end on its way.
const EARLY: Duration = Duration::from_secs(10);

/// Largest answer of a server that gives tokens.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// Longest life of a token that is believed.
const MAX_LIFE_S: i64 = i32::MAX as i64;

/// The tokens of one client.
#[derive(Debug)]
pub(super) struct Tokens {
    options: OAuth2Options,
    client: HttpClient,
    /// Held while one is asked for, so that many requests wait for one token.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<Token>,
    /// The secret that the token was got with.
    secret: Secret,
    place: Option<Place>,
}

#[derive(Debug)]
struct Token {
    header: HeaderValue,
    /// `None` for a token that does not end.
    until: Option<Instant>,
}

/// Where the credentials stand in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Body,
    /// An assertion stands for them.
    Nowhere,
}

impl Tokens {
    /// Takes the options; nobody is asked yet.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub(super) fn new(options: &OAuth2Options) -> Result<Tokens, ClientError> {
        let client = HttpClient::new(&ClientOptions {
            tls: options.tls.clone(),
            proxy: options.proxy.clone(),
            http2: false,
            ..ClientOptions::default()
        })?;
        Ok(Tokens {
            options: options.clone(),
            client,
            held: Mutex::default(),
        })
    }

    /// Returns the header of a request that has to be through by `deadline`.
    ///
    /// # Errors
    /// There is no token, in Go's words.
    pub(super) fn authorization(
        &self,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<HeaderValue, String>> + Send + '_>> {
        // The request for a token is a request, too: without a box it would hold itself.
        Box::pin(self.current(deadline))
    }

    async fn current(&self, deadline: Instant) -> Result<HeaderValue, String> {
        let source = match &self.options.assertion {
            Some(assertion) => &assertion.key,
            None => &self.options.client_secret,
        };
        let secret = match source {
            None => Secret::default(),
            Some(source) => SecretSource::fetch(source)
                .map_err(|error| format!("unable to read oauth2 client secret: {error}"))?,
        };
        let held = tokio::time::timeout_at(deadline, self.held.lock()).await;
        let mut held = held.map_err(|_| DEADLINE.to_owned())?;
        if let Some(token) = &held.token
            && held.secret == secret
            && token.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(token.header.clone());
        }
        held.token = None;
        let token = self.ask(&mut held.place, &secret, deadline).await?;
        let header = token.header.clone();
        held.token = Some(token);
        held.secret = secret;
        Ok(header)
    }

    async fn ask(
        &self,
        known: &mut Option<Place>,
        secret: &Secret,
        deadline: Instant,
    ) -> Result<Token, String> {
        if self.options.assertion.is_some() {
            return self.ask_once(Place::Nowhere, secret, deadline).await;
        }
        if let Some(place) = *known {
            return self.ask_once(place, secret, deadline).await;
        }
        let first = self.ask_once(Place::Header, secret, deadline).await;
        let (place, token) = match first {
            Ok(token) => (Place::Header, token),
            Err(_) => (
                Place::Body,
                self.ask_once(Place::Body, secret, deadline).await?,
            ),
        };
        *known = Some(place);
        Ok(token)
    }

    async fn ask_once(
        &self,
        place: Place,
        secret: &Secret,
        deadline: Instant,
    ) -> Result<Token, String> {
        let body = self.body(place, secret)?;
        let mut headers = HeaderMap::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        if place == Place::Header {
            let (id, secret) = (escaped(&self.options.client_id), escaped(secret.expose()));
            let pair = STANDARD.encode(format!("{id}:{secret}"));
            headers.insert(AUTHORIZATION, sensitive(&format!("Basic {pair}"))?);
        }
        let timeout = deadline.saturating_duration_since(Instant::now());
        let url = &self.options.token_url;
        let posted = self
            .client
            .post(url, &headers, body.into(), timeout, MAX_ANSWER_BYTES);
        let answer = posted.await.map_err(|error| error.to_string())?;
        read(answer)
    }

    fn body(&self, place: Place, secret: &Secret) -> Result<String, String> {
        let options = &self.options;
        let scope = options.scopes.join(" ");
        let assertion = match &options.assertion {
            Some(how) => assertion::signed(options, how, secret)?,
            None => String::new(),
        };
        let mut pairs = match &options.assertion {
            Some(_) => vec![("grant_type", JWT_BEARER), ("assertion", &assertion)],
            None => vec![("grant_type", "client_credentials")],
        };
        if !scope.is_empty() {
            pairs.push(("scope", &scope));
        }
        for (name, value) in &options.endpoint_params {
            if name == "grant_type" {
                // Some servers give the grant another name.
                pairs.retain(|(name, _)| *name != "grant_type");
            } else if pairs.iter().any(|(taken, _)| taken == name) {
                return Err(format!("oauth2: cannot overwrite parameter {name:?}"));
            }
            pairs.push((name, value));
        }
        if place == Place::Body {
            let own = [
                ("client_id", options.client_id.as_str()),
                ("client_secret", secret.expose()),
            ];
            for (name, value) in own.into_iter().filter(|(_, value)| !value.is_empty()) {
                pairs.retain(|(taken, _)| *taken != name);
                pairs.push((name, value));
            }
        }
        pairs.sort_by_key(|(name, _)| *name);
        let pairs = pairs
            .into_iter()
            .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
        Ok(pairs.collect::<Vec<_>>().join("&"))
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    push_escaped(&mut out, text, Part::Query);
    out
}

/// What an answer says, whichever form it has.
#[derive(Debug, Default)]
struct Said {
    access_token: String,
    token_type: String,
    expires_in_s: i64,
    error: [String; 3],
}

const ERROR_FIELDS: [&str; 3] = ["error", "error_description", "error_uri"];

fn read(answer: Answer) -> Result<Token, String> {
    let (status, status_text) = (answer.status, answer.status_text.clone());
    let is_good = (200..300).contains(&status);
    let kind = answer.content_type.split(';').next().unwrap_or_default();
    let is_form = matches!(
        kind.trim().to_ascii_lowercase().as_str(),
        "application/x-www-form-urlencoded" | "text/plain"
    );
    let body = answer
        .into_body()
        .map_err(|error| format!("oauth2: cannot fetch token: {error}"))?;
    let failed = || {
        let body = String::from_utf8_lossy(&body);
        format!("oauth2: cannot fetch token: {status_text}\nResponse: {body}")
    };
    let said = match is_form {
        true => read_form(&body),
        false => match serde_json::from_slice(&body) {
            Ok(value) => read_json(&value),
            Err(_) if !is_good => return Err(failed()),
            Err(error) => return Err(format!("oauth2: cannot parse json: {error}")),
        },
    };
    if !said.error[0].is_empty() {
        let parts = said.error.iter().filter(|part| !part.is_empty());
        let parts: Vec<String> = parts.map(|part| format!("{part:?}")).collect();
        return Err(format!("oauth2: {}", parts.join(" ")));
    }
    if !is_good {
        return Err(failed());
    }
    if said.access_token.is_empty() {
        return Err("oauth2: server response missing access_token".to_owned());
    }
    let life = said.expires_in_s.min(MAX_LIFE_S).unsigned_abs();
    let life = (life != 0).then(|| Duration::from_secs(life).saturating_sub(EARLY));
    Ok(Token {
        header: sensitive(&format!(
            "{} {}",
            scheme(&said.token_type),
            said.access_token
        ))?,
        until: life.map(|life| Instant::now() + life),
    })
}

fn read_json(value: &Value) -> Said {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    // Some servers write the number as a text.
    let life = match &value["expires_in"] {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    Said {
        access_token: text("access_token"),
        token_type: text("token_type"),
        expires_in_s: life.unwrap_or(0).max(0),
        error: ERROR_FIELDS.map(text),
    }
}

fn read_form(body: &[u8]) -> Said {
    let pairs: Vec<_> = ::url::form_urlencoded::parse(body).collect();
    let text = |name: &str| {
        let found = pairs.iter().find(|(key, _)| key == name);
        found.map_or_else(String::new, |(_, value)| value.clone().into_owned())
    };
    let life: Option<i64> = text("expires_in").parse().ok();
    Said {
        access_token: text("access_token"),
        token_type: text("token_type"),
        expires_in_s: life.unwrap_or(0).max(0),
        error: ERROR_FIELDS.map(text),
    }
}

/// Schemes are written as in the standards, whatever the server's letters.
fn scheme(token_type: &str) -> &str {
    match token_type.to_ascii_lowercase().as_str() {
        "" | "bearer" => "Bearer",
        "mac" => "MAC",
        "basic" => "Basic",
        _ => token_type,
    }
}
