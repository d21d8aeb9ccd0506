//! TLS for connections: rustls with the ring provider, always named
//! explicitly so that no other provider in the build can make the choice ambiguous.
//!
//! Certificate files are looked at for every new connection and read again when
//! they changed, so rotated certificates work without a reload. The same options make the
//! other end, for what listens by itself ([`TlsListener`]).

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

use super::options::{PemSource, TlsOptions, TlsVersion};
use super::secret::{SecretSource, unreadable};

/// Makes the TLS configuration of connections from options, and keeps it until a
/// file it was made from changes.
#[derive(Debug)]
pub(super) struct TlsSetup {
    options: TlsOptions,
    http2: bool,
    made: Kept<ClientConfig>,
}

/// Makes the TLS configuration of connections that are accepted: `cert` and `key` are what
/// is shown, and clients need a certificate that `ca` signed where there is one.
#[derive(Debug)]
pub struct TlsListener {
    options: TlsOptions,
    made: Kept<ServerConfig>,
}

/// What was made, with the state of the files that it was made from.
#[derive(Debug)]
struct Kept<C>(Mutex<Option<(Stamps, Arc<C>)>>);

type Stamps = Vec<Option<(SystemTime, u64)>>;

impl<C> Kept<C> {
    fn new() -> Kept<C> {
        Kept(Mutex::new(None))
    }

    /// Returns what was made, and makes it where it is not there or the files have changed.
    fn get(
        &self,
        options: &TlsOptions,
        make: impl FnOnce() -> Result<C, String>,
    ) -> Result<Arc<C>, String> {
        let stamps = stamps(options);
        if let Some((known, made)) = self.0.lock().as_ref()
            && *known == stamps
        {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(make()?);
        *self.0.lock() = Some((stamps, Arc::clone(&made)));
        Ok(made)
    }
}

impl TlsSetup {
    /// Takes the options; nothing is read yet.
    pub(super) fn new(options: TlsOptions, http2: bool) -> TlsSetup {
        TlsSetup {
            options,
            http2,
            made: Kept::new(),
        }
    }

    /// Returns the setup for an `https` proxy: the same options, as in Go a name to
    /// verify among them, and HTTP/1.1, which `CONNECT` is written in.
    pub(super) fn for_proxy(&self) -> TlsSetup {
        TlsSetup::new(self.options.clone(), false)
    }

    /// Returns the name to verify, where it is not the host's.
    pub(super) fn server_name(&self) -> Option<&str> {
        self.options.server_name.as_deref()
    }

    /// Returns the configuration for the next connection.
    ///
    /// # Errors
    /// A file or certificate that cannot be used, in Prometheus' words.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        self.made
            .get(&self.options, || build(&self.options, self.http2))
    }
}

impl TlsListener {
    /// Takes the options; nothing is read yet.
    pub fn new(options: TlsOptions) -> TlsListener {
        TlsListener {
            options,
            made: Kept::new(),
        }
    }

    /// Returns the configuration for the next connection.
    ///
    /// # Errors
    /// A file or certificate that cannot be used.
    pub fn config(&self) -> Result<Arc<ServerConfig>, String> {
        self.made.get(&self.options, || accepting(&self.options))
    }
}

fn stamps(options: &TlsOptions) -> Stamps {
    let pem = |source: &Option<PemSource>| match source {
        Some(PemSource::File(path)) => stamp(path),
        _ => None,
    };
    let key = options.key.as_ref().and_then(SecretSource::file);
    vec![pem(&options.ca), pem(&options.cert), key.and_then(stamp)]
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn build(options: &TlsOptions, http2: bool) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(options)?)
        .map_err(|error| format!("tls: {error}"))?;
    let builder = if options.insecure_skip_verify {
        let verifier = Arc::new(AnyCertificate { provider });
        builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
    } else {
        builder.with_root_certificates(roots(options.ca.as_ref())?)
    };
    let mut config = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert, "specified client cert")?;
            builder
                .with_client_auth_cert(chain, private_key(key, "client key")?)
                .map_err(|error| format!("unable to use specified client cert: {error}"))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(config)
}

fn accepting(options: &TlsOptions) -> Result<ServerConfig, String> {
    let (Some(cert), Some(key)) = (&options.cert, &options.key) else {
        return Err("certificate and key files are required".to_owned());
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(options)?)
        .map_err(|error| format!("tls: {error}"))?;
    let builder = match &options.ca {
        Some(ca) => {
            let roots = roots(Some(ca))?;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            let verifier = verifier.map_err(|error| {
                format!("unable to use specified CA cert {}: {error}", place(ca))
            })?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let chain = certificates(cert, "specified server cert")?;
    builder
        .with_single_cert(chain, private_key(key, "server key")?)
        .map_err(|error| format!("unable to use specified server cert: {error}"))
}

fn versions(
    options: &TlsOptions,
) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, String> {
    let ends = options.min_version.zip(options.max_version);
    if ends.is_some_and(|(min, max)| max < min) {
        let text = "tls_config.max_version must be greater than or equal to \
                    tls_config.min_version if both are specified";
        return Err(text.to_owned());
    }
    let allowed = |version: TlsVersion| {
        options.min_version.is_none_or(|min| min <= version)
            && options.max_version.is_none_or(|max| version <= max)
    };
    let mut versions = Vec::new();
    if allowed(TlsVersion::Tls13) {
        versions.push(&rustls::version::TLS13);
    }
    if allowed(TlsVersion::Tls12) {
        versions.push(&rustls::version::TLS12);
    }
    Ok(versions)
}

fn roots(ca: Option<&PemSource>) -> Result<Arc<RootCertStore>, String> {
    let Some(ca) = ca else {
        return Ok(system_roots());
    };
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates(ca, "CA cert")?);
    if added == 0 {
        let place = place(ca);
        return Err(format!("unable to use specified CA cert {place}"));
    }
    Ok(Arc::new(store))
}

/// The system's store is read once: it is large, and a change of it is rare.
fn system_roots() -> Arc<RootCertStore> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let store = SYSTEM.get_or_init(|| {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "part of the system's certificate store cannot be read");
        }
        store.add_parsable_certificates(found.certs);
        Arc::new(store)
    });
    Arc::clone(store)
}

/// Names a source as Prometheus does.
fn place(source: &PemSource) -> String {
    match source {
        PemSource::Inline(_) => "inline".to_owned(),
        PemSource::File(path) => format!("file {}", path.display()),
    }
}

fn certificates(source: &PemSource, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = match source {
        PemSource::Inline(text) => text.clone().into_bytes(),
        PemSource::File(path) => std::fs::read(path)
            .map_err(|error| format!("unable to read {what}: {}", unreadable(path, &error)))?,
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let what = what.trim_start_matches("specified ");
    read.map_err(|error| format!("unable to use specified {what} {}: {error}", place(source)))
}

fn private_key(source: &SecretSource, what: &str) -> Result<PrivateKeyDer<'static>, String> {
    let text = source.fetch();
    let text = text.map_err(|error| format!("unable to read specified {what}: {error}"))?;
    PrivateKeyDer::from_pem_slice(text.expose().as_bytes())
        .map_err(|_| format!("unable to use specified {what}: no unencrypted PEM key in it"))
}

/// Takes any certificate, as `insecure_skip_verify` asks. The handshake's signature
/// is still checked, so the peer does hold the key of what it shows.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
