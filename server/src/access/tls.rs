//! TLS of the listener: the `tls_server_config` section and what it becomes.
//!
//! Files are looked at for every new connection and read again when they changed, so
//! rotated certificates work without a restart or a reload, as in Prometheus.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kymo_ingest::http::Secret;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::client_certs::{AllowedNames, AnyCertificate};
use super::stamp::Stamp;
use crate::config::fields::{self, Fields, Problems};
use crate::config::os_text;
use crate::config::yaml::Node;

/// Suites of TLS 1.2 that can be chosen. Those of TLS 1.3 are always on, as in Go.
const SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Suites that HTTP/2 cannot do without one of.
const HTTP2_SUITES: [&str; 2] = [
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
];

/// Suites that Go knows and considers safe enough to configure, and Kymo does not have.
const OTHER_SUITES: [&str; 4] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

const TLS13_SUITES: [&str; 3] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// A text that is written in the file or stands in another.
#[derive(Debug, Clone)]
enum Pem {
    Inline(Secret),
    File(PathBuf),
}

impl Pem {
    fn read(&self, what: &str) -> Result<Vec<u8>, String> {
        match self {
            Pem::Inline(text) => Ok(text.expose().as_bytes().to_vec()),
            Pem::File(path) => std::fs::read(path).map_err(|error| {
                let (path, reason) = (path.display(), os_text(&error));
                format!("failed to read {what} ({path}): open {path}: {reason}")
            }),
        }
    }

    fn file(&self) -> Option<&Path> {
        match self {
            Pem::Inline(_) => None,
            Pem::File(path) => Some(path),
        }
    }
}

/// Which clients have to show a certificate, and who must have signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientAuth {
    No,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

/// The validated section.
#[derive(Debug, Clone)]
pub(crate) struct TlsSection {
    cert: Pem,
    key: Pem,
    client_ca: Option<Pem>,
    client_auth: ClientAuth,
    client_sans: Option<Vec<String>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    suites: Vec<String>,
    curves: Vec<rustls::NamedGroup>,
    server_order: bool,
    http2: bool,
}

/// Reads the section and tries what it says. `None` where it says nothing or is wrong.
pub(super) fn read(
    node: &Node,
    dir: &Path,
    http2: bool,
    problems: &mut Problems,
) -> Option<TlsSection> {
    let before = problems.len();
    let mut fields = Fields::open(node, "web.TLSConfig", problems);
    let cert = pem(&mut fields, "cert", "cert_file", dir, problems);
    let key = pem(&mut fields, "key", "key_file", dir, problems);
    let client_ca = pem(&mut fields, "client_ca", "client_ca_file", dir, problems);
    let auth = fields.string("client_auth_type", problems);
    let client_sans = fields
        .take("client_allowed_sans")
        .map(|node| fields::strings(node, problems));
    let min = version(&mut fields, "min_version", problems);
    let max = version(&mut fields, "max_version", problems);
    let suites = fields
        .take("cipher_suites")
        .map(|node| suites(node, http2, problems))
        .unwrap_or_default();
    let curves = fields
        .take("curve_preferences")
        .map(|node| curves(node, problems))
        .unwrap_or_default();
    let server_order = fields.bool_or("prefer_server_cipher_suites", true, problems);
    let enabled = cert.is_some() || key.is_some() || client_ca.is_some() || !auth.is_empty();
    let auth_at = fields.position_of("client_auth_type");
    let ca_at = fields.position_of("client_ca_file");
    let cert_at = fields.position_of("cert_file");
    let max_at = fields.position_of("max_version");
    fields.finish(problems);
    if !enabled {
        return None;
    }
    let client_auth = match auth.as_str() {
        "" | "NoClientCert" => ClientAuth::No,
        "RequestClientCert" => ClientAuth::Request,
        "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
        "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
        "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
        other => {
            problems.value(auth_at, format!("invalid ClientAuth: {other}"));
            ClientAuth::No
        }
    };
    if cert.is_none() {
        problems.value(node.at, "missing one of cert or cert_file");
    }
    if key.is_none() {
        problems.value(node.at, "missing one of key or key_file");
    }
    if client_ca.is_some() && client_auth == ClientAuth::No && problems.len() == before {
        let message = "client CA's have been configured without a Client Auth Policy";
        problems.value(ca_at, message);
    }
    let versions = versions(min, max);
    if versions.is_empty() {
        let message = "no supported versions satisfy MinVersion and MaxVersion";
        problems.value(max_at, format!("tls: {message}"));
    }
    if problems.len() > before {
        return None;
    }
    let section = TlsSection {
        cert: cert?,
        key: key?,
        client_ca,
        client_auth,
        client_sans,
        versions,
        suites,
        curves,
        server_order,
        http2,
    };
    if let Err(message) = section.build() {
        problems.value(cert_at, message);
        return None;
    }
    Some(section)
}

fn pem(
    fields: &mut Fields<'_>,
    inline: &'static str,
    file: &'static str,
    dir: &Path,
    problems: &mut Problems,
) -> Option<Pem> {
    let text = fields.string(inline, problems);
    let path = fields.string(file, problems);
    // The file counts where both are given, as in Prometheus.
    if !path.is_empty() {
        Some(Pem::File(dir.join(path)))
    } else if !text.is_empty() {
        Some(Pem::Inline(Secret::new(text)))
    } else {
        None
    }
}

/// A version of TLS; the order is that of age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Version {
    Tls12,
    Tls13,
}

fn version(
    fields: &mut Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<Version> {
    fields.parsed(name, problems, |text| match text {
        "TLS12" => Ok(Version::Tls12),
        "TLS13" => Ok(Version::Tls13),
        "TLS10" | "TLS11" => Err(format!(
            "{name} {text} is not supported by Kymo, which speaks TLS12 and TLS13: use TLS12"
        )),
        other => Err(format!("unknown TLS version: {other}")),
    })
}

fn versions(min: Option<Version>, max: Option<Version>) -> Vec<&'static SupportedProtocolVersion> {
    let allowed = |version: Version| {
        min.is_none_or(|min| min <= version) && max.is_none_or(|max| version <= max)
    };
    let mut versions = Vec::new();
    if allowed(Version::Tls13) {
        versions.push(&rustls::version::TLS13);
    }
    if allowed(Version::Tls12) {
        versions.push(&rustls::version::TLS12);
    }
    versions
}

fn suites(node: &Node, http2: bool, problems: &mut Problems) -> Vec<String> {
    let mut chosen = Vec::new();
    for item in fields::list(node, "[]web.Cipher", problems) {
        let Some(name) = fields::string(item, problems) else {
            continue;
        };
        if SUITES.contains(&name.as_str()) || TLS13_SUITES.contains(&name.as_str()) {
            chosen.push(name);
        } else if OTHER_SUITES.contains(&name.as_str()) {
            let message = format!(
                "cipher {name} is not supported by Kymo, which has no CBC suites: use one with GCM or CHACHA20"
            );
            problems.value(item.at, message);
        } else {
            problems.value(item.at, format!("unknown cipher: {name}"));
        }
    }
    let has_http2 = |name: &String| HTTP2_SUITES.contains(&name.as_str());
    if http2 && !chosen.is_empty() && !chosen.iter().any(has_http2) {
        let message = format!(
            "http2: TLSConfig.CipherSuites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher (need at least one of {} or {})",
            HTTP2_SUITES[0], HTTP2_SUITES[1]
        );
        problems.value(node.at, message);
    }
    chosen
}

fn curves(node: &Node, problems: &mut Problems) -> Vec<rustls::NamedGroup> {
    let mut chosen = Vec::new();
    for item in fields::list(node, "[]web.Curve", problems) {
        let Some(name) = fields::string(item, problems) else {
            continue;
        };
        match name.as_str() {
            "CurveP256" => chosen.push(rustls::NamedGroup::secp256r1),
            "CurveP384" => chosen.push(rustls::NamedGroup::secp384r1),
            "X25519" => chosen.push(rustls::NamedGroup::X25519),
            "CurveP521" => {
                let message =
                    "curve CurveP521 is not supported by Kymo: use X25519, CurveP256 or CurveP384";
                problems.value(item.at, message);
            }
            other => problems.value(item.at, format!("unknown curve: {other}")),
        }
    }
    chosen
}

impl TlsSection {
    /// Returns what tells whether a file that the section names has changed.
    pub(super) fn stamps(&self) -> [Option<Stamp>; 3] {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()]
            .map(|pem| pem.and_then(Pem::file).and_then(Stamp::of))
    }

    /// Reads the files and makes what connections are secured with.
    ///
    /// # Errors
    /// A file cannot be read or used, in Prometheus' words where it has some.
    pub(super) fn build(&self) -> Result<Arc<ServerConfig>, String> {
        let provider = Arc::new(self.provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .map_err(|error| format!("tls: {error}"))?;
        let builder = match self.verifier(&provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let pair = |reason: String| format!("failed to load X509KeyPair: {reason}");
        let chain = certificates(&self.cert.read("cert_file")?)
            .map_err(|error| pair(format!("tls: {error}")))?;
        if chain.is_empty() {
            let text = "tls: failed to find any PEM data in certificate input";
            return Err(pair(text.to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key.read("key_file")?)
            .map_err(|_| pair("tls: failed to find an unencrypted PEM key in key input".into()))?;
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| pair(format!("tls: {error}")))?;
        config.ignore_client_order = self.server_order;
        config.alpn_protocols = match self.http2 {
            true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            false => vec![b"http/1.1".to_vec()],
        };
        Ok(Arc::new(config))
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if !self.suites.is_empty() {
            provider.cipher_suites.retain(|suite| {
                let name = format!("{:?}", suite.suite());
                name.starts_with("TLS13_") || self.suites.contains(&name)
            });
        }
        if !self.curves.is_empty() {
            let rank = |group| self.curves.iter().position(|curve| *curve == group);
            provider
                .kx_groups
                .retain(|group| rank(group.name()).is_some());
            provider.kx_groups.sort_by_key(|group| rank(group.name()));
        }
        provider
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
        let any = |mandatory| -> Arc<dyn ClientCertVerifier> {
            Arc::new(AnyCertificate::new(Arc::clone(provider), mandatory))
        };
        let verifier = match self.client_auth {
            ClientAuth::No => return Ok(None),
            ClientAuth::Request => any(false),
            ClientAuth::RequireAny => any(true),
            ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => {
                let builder = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(self.client_roots()?),
                    Arc::clone(provider),
                );
                let builder = match self.client_auth {
                    ClientAuth::VerifyIfGiven => builder.allow_unauthenticated(),
                    _ => builder,
                };
                let built = builder.build();
                built.map_err(|error| format!("client_ca_file: {error}"))?
            }
        };
        Ok(Some(match &self.client_sans {
            Some(names) => Arc::new(AllowedNames::new(verifier, names.clone())),
            None => verifier,
        }))
    }

    /// The system's authorities count where none is named, as in Go.
    fn client_roots(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        match &self.client_ca {
            Some(ca) => {
                let found = certificates(&ca.read("client_ca_file")?)
                    .map_err(|error| format!("client_ca_file: {error}"))?;
                store.add_parsable_certificates(found);
            }
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        Ok(store)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())
}
