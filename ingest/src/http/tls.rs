//! TLS for outgoing connections: rustls with the ring provider, always named
//! explicitly so that no other provider in the build can make the choice ambiguous.
//!
//! Certificate files are looked at for every new connection and read again when
//! they changed, so rotated certificates work without a reload.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::options::{PemSource, TlsOptions, TlsVersion};
use super::secret::{SecretSource, unreadable};

/// Makes the TLS configuration of connections from options, and keeps it until a
/// file it was made from changes.
#[derive(Debug)]
pub(super) struct TlsSetup {
    options: TlsOptions,
    http2: bool,
    made: Mutex<Option<Made>>,
}

#[derive(Debug)]
struct Made {
    stamps: Vec<Option<(SystemTime, u64)>>,
    config: Arc<ClientConfig>,
}

impl TlsSetup {
    /// Takes the options; nothing is read yet.
    pub(super) fn new(options: TlsOptions, http2: bool) -> TlsSetup {
        TlsSetup {
            options,
            http2,
            made: Mutex::new(None),
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
        let stamps = self.stamps();
        if let Some(made) = self.made.lock().as_ref()
            && made.stamps == stamps
        {
            return Ok(Arc::clone(&made.config));
        }
        let config = Arc::new(build(&self.options, self.http2)?);
        *self.made.lock() = Some(Made {
            stamps,
            config: Arc::clone(&config),
        });
        Ok(config)
    }

    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let pem = |source: &Option<PemSource>| match source {
            Some(PemSource::File(path)) => stamp(path),
            _ => None,
        };
        let key = self.options.key.as_ref().and_then(SecretSource::file);
        vec![
            pem(&self.options.ca),
            pem(&self.options.cert),
            key.and_then(stamp),
        ]
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn build(options: &TlsOptions, http2: bool) -> Result<ClientConfig, String> {
    let ends = options.min_version.zip(options.max_version);
    if ends.is_some_and(|(min, max)| max < min) {
        let text = "tls_config.max_version must be greater than or equal to \
                    tls_config.min_version if both are specified";
        return Err(text.to_owned());
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(options))
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
                .with_client_auth_cert(chain, private_key(key)?)
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

fn versions(options: &TlsOptions) -> Vec<&'static rustls::SupportedProtocolVersion> {
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
    versions
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

fn private_key(source: &SecretSource) -> Result<PrivateKeyDer<'static>, String> {
    let text = source
        .fetch()
        .map_err(|error| format!("unable to read specified client key: {error}"))?;
    PrivateKeyDer::from_pem_slice(text.expose().as_bytes())
        .map_err(|_| "unable to use specified client key: no unencrypted PEM key in it".to_owned())
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
