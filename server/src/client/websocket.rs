//! Websockets of a server: connections that stay.
//!
//! They are made here and not by the HTTP client, whose connections end with an answer.
//! Of its options they take who asks; certificates are those that the system trusts.

use std::future::Future;
use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use kymo_ingest::http::Auth;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use url::Url;

use super::Server;

/// What a websocket is read from and written to.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Server {
    /// Runs something that waits.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Opens the websocket at `path`.
    ///
    /// # Errors
    /// The server cannot be reached, or answers something else: [`WsError::Http`].
    pub(crate) async fn websocket(
        &self,
        path: &str,
    ) -> Result<WebSocketStream<Box<dyn Connection>>, WsError> {
        let below = self.below(path);
        let url = Url::parse(&below).map_err(|error| invalid(error.to_string()))?;
        let is_tls = url.scheme() == "https";
        // The schemes of websockets are those of HTTP with another name.
        let mut request = below.replacen("http", "ws", 1).into_client_request()?;
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        self.authorize(headers)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        let plain = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        let connection: Box<dyn Connection> = match is_tls {
            true => Box::new(secured(plain, host.trim_matches(['[', ']']).to_owned()).await?),
            false => Box::new(plain),
        };
        let (socket, _answer) = tokio_tungstenite::client_async(request, connection).await?;
        Ok(socket)
    }

    fn authorize(&self, headers: &mut HeaderMap) -> Result<(), WsError> {
        let read = |source: &Option<kymo_ingest::http::SecretSource>| match source {
            Some(source) => source.fetch().map(|secret| secret.expose().to_owned()),
            None => Ok(String::new()),
        };
        let text = match &self.auth {
            None => return Ok(()),
            Some(Auth::Basic { username, password }) => {
                let (name, password) = (read(username), read(password));
                let pair = format!("{}:{}", name.map_err(invalid)?, password.map_err(invalid)?);
                format!("Basic {}", STANDARD.encode(pair))
            }
            Some(Auth::Scheme {
                scheme,
                credentials,
            }) => format!("{scheme} {}", read(credentials).map_err(invalid)?),
            Some(Auth::OAuth2(_)) => {
                let text = "oauth2 is not supported for following logs; use a token";
                return Err(invalid(text.to_owned()));
            }
        };
        let value = HeaderValue::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}

fn invalid(text: String) -> WsError {
    WsError::Io(io::Error::new(io::ErrorKind::InvalidInput, text))
}

async fn secured(plain: TcpStream, host: String) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    TlsConnector::from(Arc::new(config))
        .connect(name, plain)
        .await
}
