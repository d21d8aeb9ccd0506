//! How to reach a foreign HTTP server: Prometheus' HTTP client block, validated.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::assertion::AssertionOptions;
use super::proxy::ProxyOptions;
use super::secret::{Secret, SecretSource};

/// Options of an HTTP client, as one `scrape_configs` entry gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// How requests prove who asks.
    pub auth: Option<Auth>,
    /// Certificates and names for `https`.
    pub tls: TlsOptions,
    /// Whether answers with a `Location` are followed, up to ten times.
    pub follow_redirects: bool,
    /// Whether HTTP/2 is offered in the TLS handshake.
    pub http2: bool,
    /// Who stands between.
    pub proxy: ProxyOptions,
    /// Headers added to every request, in order of name.
    pub headers: Vec<ExtraHeader>,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            auth: None,
            tls: TlsOptions::default(),
            follow_redirects: true,
            http2: true,
            proxy: ProxyOptions::default(),
            headers: Vec::new(),
        }
    }
}

/// The `Authorization` header of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// `basic_auth`: user name and password.
    Basic {
        /// The user's name; a file may hold it.
        username: Option<SecretSource>,
        /// The password.
        password: Option<SecretSource>,
    },
    /// `authorization`: a scheme such as `Bearer`, and what follows it.
    Scheme {
        /// The first word of the header.
        scheme: String,
        /// The rest of the header.
        credentials: Option<SecretSource>,
    },
    /// `oauth2`: a token that another server gives out.
    OAuth2(Box<OAuth2Options>),
}

/// Where a token comes from: by the grant of client credentials (RFC 6749, 4.4), or for a
/// signed assertion (RFC 7523, 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OAuth2Options {
    /// Who asks.
    pub client_id: String,
    /// The secret that proves it; read anew for every request where it is in a file.
    pub client_secret: Option<SecretSource>,
    /// How assertions are made; `None` asks with the secret.
    pub assertion: Option<AssertionOptions>,
    /// What the token is to allow.
    pub scopes: Vec<String>,
    /// Who gives tokens.
    pub token_url: String,
    /// More parameters of the request for a token.
    pub endpoint_params: BTreeMap<String, String>,
    /// Certificates and names for the server that gives tokens.
    pub tls: TlsOptions,
    /// Who stands between.
    pub proxy: ProxyOptions,
}

/// Options of TLS, as `tls_config` gives them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// Authorities to trust in place of the system's.
    pub ca: Option<PemSource>,
    /// The client's certificate chain.
    pub cert: Option<PemSource>,
    /// The key of the client's certificate.
    pub key: Option<SecretSource>,
    /// The name to ask for and to find in the certificate, in place of the host's.
    pub server_name: Option<String>,
    /// Whether any certificate is taken; the connection is then not authenticated.
    pub insecure_skip_verify: bool,
    /// The oldest version to speak.
    pub min_version: Option<TlsVersion>,
    /// The newest version to speak.
    pub max_version: Option<TlsVersion>,
}

/// Certificates in PEM form, in the configuration or in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PemSource {
    /// Written in the configuration.
    Inline(String),
    /// The file that holds them.
    File(PathBuf),
}

/// A TLS version. This client speaks the newer two; the others can be a lower bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.0.
    Tls10,
    /// TLS 1.1.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    /// Returns the name Prometheus' configuration uses.
    pub fn name(self) -> &'static str {
        match self {
            TlsVersion::Tls10 => "TLS10",
            TlsVersion::Tls11 => "TLS11",
            TlsVersion::Tls12 => "TLS12",
            TlsVersion::Tls13 => "TLS13",
        }
    }
}

/// One entry of `http_headers`: a name with values from three kinds of places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHeader {
    /// The header's name, as written.
    pub name: String,
    /// Values shown in the configuration.
    pub values: Vec<String>,
    /// Values that are never shown.
    pub secrets: Vec<Secret>,
    /// Files that hold one value each, read at every request.
    pub files: Vec<PathBuf>,
}
