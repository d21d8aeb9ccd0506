//! A small HTTP server for tests, in this process, on a free port of the loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(crate) type Answered = Response<Full<Bytes>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Answered + Send + Sync>;

/// Answers until it is dropped with its runtime.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
}

impl TestServer {
    /// Serves plain HTTP.
    pub(crate) async fn start(
        handler: impl Fn(Request<Incoming>) -> Answered + Send + Sync + 'static,
    ) -> TestServer {
        serve(Arc::new(handler), None).await
    }

    /// Serves plain HTTP on a Unix socket.
    pub(crate) fn start_on_socket(
        path: &std::path::Path,
        handler: impl Fn(Request<Incoming>) -> Answered + Send + Sync + 'static,
    ) {
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        let handler: Handler = Arc::new(handler);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, Arc::clone(&handler), None));
            }
        });
    }

    /// Serves HTTPS with a certificate; `client_ca` makes it ask for one, too.
    pub(crate) async fn start_tls(
        identity: &Identity,
        client_ca: Option<&Identity>,
        handler: impl Fn(Request<Incoming>) -> Answered + Send + Sync + 'static,
    ) -> TestServer {
        let config = identity.server_config(client_ca);
        serve(Arc::new(handler), Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn https(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}

async fn serve(handler: Handler, tls: Option<TlsAcceptor>) -> TestServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&handler), tls.clone()));
        }
    });
    TestServer { address }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    handler: Handler,
    tls: Option<TlsAcceptor>,
) {
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, std::convert::Infallible>(answer) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // A connection that breaks off is what some tests are about.
    let _ = match tls {
        None => server.serve_connection(TokioIo::new(stream), service).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => Ok(()),
        },
    };
}

/// Makes an answer.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answered {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(body.into())).unwrap()
}

/// Makes an answer in text format.
pub(crate) fn text(body: impl Into<Bytes>) -> Answered {
    answer(200, &[("content-type", "text/plain; version=0.0.4")], body)
}

/// A self-signed certificate with its key.
pub(crate) struct Identity {
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    cert: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    pub(crate) fn new(name: &str) -> Identity {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        Identity {
            cert_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
            cert: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
        }
    }

    fn server_config(&self, client_ca: Option<&Identity>) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(ca.cert.clone()).unwrap();
                let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    provider,
                );
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = builder
            .with_single_cert(vec![self.cert.clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}
