//! The web configuration file: TLS, headers, users, tokens.
//!
//! The format is exporter-toolkit's, which Prometheus reads with `--web.config.file`, in
//! its words where something is wrong. The section `access` is Kymo's own: scopes of
//! users, bearer tokens, and what is open to everybody.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use kymo_ingest::http::Secret;
use kymo_storage::compat::duration::parse_go;
use kymo_storage::compat::quote::quote;

use super::scope::{Scope, Scopes};
use super::tls::{self, TlsSection};
use crate::config::fields::{self, Fields, Problems};
use crate::config::yaml::{self, Node};
use crate::config::{ConfigError, os_text};

/// Shortest hash that Go's bcrypt package reads.
const MIN_BCRYPT_BYTES: usize = 59;

/// Headers that may be set, with the values that each may have where they are few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// A validated web configuration file.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebConfig {
    /// How connections are secured; `None` without TLS.
    pub(super) tls: Option<TlsSection>,
    /// Headers of every answer that does not have them.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// How fast requests may come, all callers together.
    pub(super) rate: Option<Rate>,
    /// Users by name.
    pub(super) users: BTreeMap<String, User>,
    /// Bearer tokens by SHA-256.
    pub(super) tokens: BTreeMap<[u8; 32], Token>,
    /// What needs no credentials.
    pub(super) open: Open,
}

/// Requests that may come at once, and how long one more takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) burst: u64,
    pub(super) interval: Duration,
}

/// Somebody with a password.
#[derive(Debug, Clone)]
pub(super) struct User {
    /// The password's bcrypt hash.
    pub(super) hash: Secret,
    pub(super) scopes: Scopes,
}

/// A secret that a program sends.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) name: String,
    pub(super) scopes: Scopes,
}

/// Paths that need no credentials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Open {
    /// `/-/healthy`, `/-/ready` and `/ready`.
    pub(super) health: bool,
    /// `/metrics`.
    pub(super) metrics: bool,
}

/// A web configuration file that cannot be used.
#[derive(Debug, Clone)]
pub(crate) enum WebConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file, as it was named.
        path: PathBuf,
        /// Why, in the operating system's words.
        reason: String,
    },
    /// Something in it is wrong.
    Invalid(ConfigError),
}

impl fmt::Display for WebConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WebConfigError::Unreadable { path, reason } => {
                write!(f, "open {}: {reason}", path.display())
            }
            WebConfigError::Invalid(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WebConfigError {}

impl WebConfig {
    /// Reads and checks a file, the certificates that it names included. Relative paths
    /// start from its directory.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub(crate) fn load(path: &Path) -> Result<WebConfig, WebConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| WebConfigError::Unreadable {
            path: path.to_owned(),
            reason: os_text(&error),
        })?;
        let dir = path.parent().unwrap_or(Path::new(""));
        WebConfig::parse(&text, dir).map_err(WebConfigError::Invalid)
    }

    /// As [`WebConfig::load`], of a text whose relative paths start from `dir`.
    pub(super) fn parse(text: &str, dir: &Path) -> Result<WebConfig, ConfigError> {
        let document = yaml::parse(text)?;
        let mut problems = Problems::default();
        let config = read(&document.root, dir, &mut problems);
        problems.settle(config)
    }

    /// Tells whether callers have to say who they are.
    pub(super) fn asks(&self) -> bool {
        !self.users.is_empty() || !self.tokens.is_empty()
    }
}

fn read(root: &Node, dir: &Path, problems: &mut Problems) -> WebConfig {
    let mut config = WebConfig::default();
    let mut fields = Fields::open(root, "web.Config", problems);
    let http2 = match fields.take("http_server_config") {
        Some(node) => {
            let mut http = Fields::open(node, "web.HTTPConfig", problems);
            let http2 = http.bool_or("http2", true, problems);
            if let Some(node) = http.take("headers") {
                config.headers = headers(node, problems);
            }
            http.finish(problems);
            http2
        }
        None => true,
    };
    if let Some(node) = fields.take("tls_server_config") {
        config.tls = tls::read(node, dir, http2, problems);
    }
    config.rate = fields
        .take("rate_limit")
        .and_then(|node| rate(node, problems));
    if let Some(node) = fields.take("basic_auth_users") {
        for (_, name, node) in fields::pairs(node, "map[string]config.Secret", problems) {
            config.users.extend(user(name, node, problems));
        }
    }
    if let Some(node) = fields.take("access") {
        access(node, &mut config, problems);
    }
    fields.finish(problems);
    config
}

fn headers(node: &Node, problems: &mut Problems) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (at, name, node) in fields::pairs(node, "map[string]string", problems) {
        let Some(value) = fields::string(node, problems) else {
            continue;
        };
        let Some((_, allowed)) = HEADERS.iter().find(|(known, _)| *known == name) else {
            problems.value(
                at,
                format!("HTTP header {} can not be configured", quote(&name)),
            );
            continue;
        };
        if !allowed.is_empty() && !allowed.contains(&value.as_str()) {
            let allowed: Vec<String> = allowed.iter().map(|value| quote(value)).collect();
            let message = format!(
                "invalid value for {name}. Expected one of: [{}], but got: {}",
                allowed.join(" "),
                quote(&value)
            );
            problems.value(node.at, message);
            continue;
        }
        match (name.parse(), HeaderValue::from_str(&value)) {
            (Ok(name), Ok(value)) => headers.push((name, value)),
            _ => problems.value(node.at, format!("the value of {name} cannot be sent")),
        }
    }
    headers
}

fn rate(node: &Node, problems: &mut Problems) -> Option<Rate> {
    let mut fields = Fields::open(node, "web.RateLimiterConfig", problems);
    let burst = fields.uint("burst", problems);
    let interval = fields.parsed("interval", problems, |text| {
        let ns = parse_go(text).map_err(|error| error.to_string())?;
        u64::try_from(ns).map_err(|_| format!("interval {text} is negative: write it without -"))
    });
    fields.finish(problems);
    let interval = Duration::from_nanos(interval?);
    (!interval.is_zero()).then_some(Rate { burst, interval })
}

fn user(name: String, node: &Node, problems: &mut Problems) -> Option<(String, User)> {
    let hash = fields::string(node, problems)?;
    if let Err(message) = check_bcrypt(&hash) {
        problems.value(node.at, message);
        return None;
    }
    let user = User {
        hash: Secret::new(hash),
        scopes: Scopes::ALL,
    };
    Some((name, user))
}

/// Checks the form of a bcrypt hash, in the words of Go's package.
fn check_bcrypt(hash: &str) -> Result<(), String> {
    let wrong = |text: String| Err(format!("crypto/bcrypt: {text}"));
    if hash.len() < MIN_BCRYPT_BYTES {
        return wrong("hashedSecret too short to be a bcrypted password".to_owned());
    }
    let mut chars = hash.chars();
    match (chars.next(), chars.next()) {
        (Some('$'), Some('2')) => {}
        (Some('$'), Some(version)) if version > '2' => {
            return wrong(format!(
                "bcrypt algorithm version '{version}' requested is newer than current version '2'"
            ));
        }
        (Some('$'), _) => return wrong("the algorithm is not bcrypt".to_owned()),
        (first, _) => {
            let first = first.unwrap_or_default();
            return wrong(format!(
                "bcrypt hashes must start with '$', but hashedSecret started with '{first}'"
            ));
        }
    }
    let cost = hash.split('$').nth(2).unwrap_or_default();
    match cost.parse::<u32>() {
        Ok(4..=31) => {}
        Ok(cost) => {
            return wrong(format!(
                "cost {cost} is outside allowed inclusive range 4..31"
            ));
        }
        Err(_) => return wrong(format!("the cost {} is not a number", quote(cost))),
    }
    // What follows is salt and hash; a form that is wrong here would refuse everybody.
    hash.parse::<bcrypt::HashParts>()
        .map(|_| ())
        .map_err(|error| format!("crypto/bcrypt: {error}"))
}

fn access(node: &Node, config: &mut WebConfig, problems: &mut Problems) {
    let mut fields = Fields::open(node, "access", problems);
    for node in fields.list("open", "list of path groups", problems) {
        match fields::string(node, problems).as_deref() {
            Some("health") => config.open.health = true,
            Some("metrics") => config.open.metrics = true,
            Some(other) => {
                let message = format!(
                    "{} cannot be open to everybody: only \"health\" and \"metrics\" can",
                    quote(other)
                );
                problems.value(node.at, message);
            }
            None => {}
        }
    }
    if let Some(node) = fields.take("users") {
        for (at, name, node) in fields::pairs(node, "map of users to scopes", problems) {
            let scopes = scopes(node, problems);
            match config.users.get_mut(&name) {
                Some(user) => user.scopes = scopes,
                None => {
                    let message = format!("{} is not in basic_auth_users", quote(&name));
                    problems.value(at, message);
                }
            }
        }
    }
    for node in fields.list("bearer_tokens", "list of tokens", problems) {
        token(node, config, problems);
    }
    fields.finish(problems);
}

fn token(node: &Node, config: &mut WebConfig, problems: &mut Problems) {
    let mut fields = Fields::open(node, "access.bearer_tokens", problems);
    let name = fields.string("name", problems);
    if name.is_empty() {
        problems.value(node.at, "a bearer token needs a name, for the logs");
    }
    let digest = fields.parsed("sha256", problems, |text| {
        let text = text.to_ascii_lowercase();
        parse_digest(&text).ok_or(
            "sha256 must be 64 hexadecimal digits: printf %s \"$TOKEN\" | sha256sum makes them",
        )
    });
    if fields.take("sha256").is_none() {
        problems.value(node.at, "a bearer token needs its sha256");
    }
    let scopes = match fields.take("scopes") {
        Some(node) => scopes(node, problems),
        None => {
            let message = "a bearer token needs scopes: any of read, write and admin";
            problems.value(node.at, message);
            Scopes::default()
        }
    };
    fields.finish(problems);
    let Some(digest) = digest else { return };
    let token = Token { name, scopes };
    if let Some(twin) = config.tokens.insert(digest, token) {
        let message = format!("the token is that of {}: make another", quote(&twin.name));
        problems.value(node.at, message);
    }
}

fn scopes(node: &Node, problems: &mut Problems) -> Scopes {
    let mut scopes = Scopes::default();
    let names = fields::list(node, "list of scopes", problems);
    for node in names {
        let Some(name) = fields::string(node, problems) else {
            continue;
        };
        match Scope::parse(&name) {
            Some(scope) => scopes.add(scope),
            None => {
                let message = format!(
                    "there is no scope {}: use read, write or admin",
                    quote(&name)
                );
                problems.value(node.at, message);
            }
        }
    }
    if names.is_empty() {
        problems.value(node.at, "no scope is given: use read, write or admin");
    }
    scopes
}

fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}
