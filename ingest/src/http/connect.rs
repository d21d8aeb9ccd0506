//! Making a connection: name to addresses, TCP or a Unix socket, a proxy where one is
//! configured, then TLS for `https`.
//!
//! This is the client library's connector with errors of our own, because only
//! here is it known which address refused.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::error::{ConnectError, errno_text, handshake_text};
use super::proxy::{self, Proxies, ProxyKind, ProxyUrl};
use super::tls::TlsSetup;

/// Opens connections for one client.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    /// TLS to whom is asked.
    pub(super) tls: Arc<TlsSetup>,
    /// Who stands between.
    pub(super) proxies: Arc<Proxies>,
    /// A socket that is asked whatever the address says.
    pub(super) socket: Option<Arc<Path>>,
    /// Whether each connection begins at any of the addresses of a name.
    pub(super) is_spread: bool,
}

/// What bytes go over, whatever it is made of.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

type BoxStream = Box<dyn Stream>;

/// An open connection.
pub(super) struct Link {
    stream: TokioIo<BoxStream>,
    is_http2: bool,
    /// Whether a proxy reads the requests, and wants the whole URL in them.
    is_proxied: bool,
}

impl tower::Service<Uri> for Connector {
    type Response = Link;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Link, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(uri).await.map_err(ConnectError) })
    }
}

impl Connector {
    async fn connect(&self, uri: Uri) -> Result<Link, String> {
        let host = proxy::bare(uri.host().unwrap_or_default());
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let (stream, is_proxied) = match &self.socket {
            Some(path) => (dial_socket(path).await?, false),
            None => match self.proxies.choose(secure, host, port) {
                Some(proxy) => self.dial_through(proxy, secure, host, port).await?,
                None => {
                    let stream = dial(host, port, self.is_spread).await?;
                    (Box::new(stream) as BoxStream, false)
                }
            },
        };
        let plain = |stream, is_http2| Link {
            stream: TokioIo::new(stream),
            is_http2,
            is_proxied,
        };
        if !secure {
            return Ok(plain(stream, false));
        }
        let (stream, is_http2) = shake_hands(&self.tls, host, stream).await?;
        Ok(plain(stream, is_http2))
    }

    /// Reaches a host through a proxy, and tells whether the proxy reads the requests.
    async fn dial_through(
        &self,
        proxy: &ProxyUrl,
        secure: bool,
        host: &str,
        port: u16,
    ) -> Result<(BoxStream, bool), String> {
        let unreached = |reason| format!("proxyconnect tcp: {reason}");
        let dialed = dial(proxy.host(), proxy.port(), self.is_spread).await;
        let mut stream = Box::new(dialed.map_err(unreached)?) as BoxStream;
        match proxy.kind() {
            ProxyKind::Socks => {
                let opened = proxy::open_socks(&mut stream, proxy, host, port).await;
                opened.map_err(|reason| {
                    let (by, to) = (join(proxy.host(), proxy.port()), join(host, port));
                    format!("socks connect tcp {by}->{to}: {reason}")
                })?;
                return Ok((stream, false));
            }
            ProxyKind::Https => {
                let shaken = shake_hands(&self.tls.for_proxy(), proxy.host(), stream).await;
                (stream, _) = shaken.map_err(unreached)?;
            }
            ProxyKind::Http => {}
        }
        if secure {
            let destination = join(host, port);
            proxy::open_tunnel(&mut stream, proxy, &self.proxies, &destination).await?;
        }
        Ok((stream, !secure))
    }
}

/// Speaks TLS from here on, and tells whether that agreed on HTTP/2.
async fn shake_hands(
    tls: &TlsSetup,
    host: &str,
    stream: BoxStream,
) -> Result<(BoxStream, bool), String> {
    let config = tls.config()?;
    let wanted = tls.server_name().unwrap_or(host);
    let name = ServerName::try_from(wanted.to_owned())
        .map_err(|_| format!("tls: {wanted:?} is not a valid server name"))?;
    let handshake = TlsConnector::from(config).connect(name, stream).await;
    let stream = handshake.map_err(|error| handshake_text(&error, wanted))?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Box::new(stream), is_http2))
}

fn join(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

async fn dial_socket(path: &Path) -> Result<BoxStream, String> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => {
            let reason = errno_text(&error);
            Err(format!("dial unix {}: connect: {reason}", path.display()))
        }
    }
}

/// Connects to the first of the addresses of a name that answers; `is_spread` begins
/// with any of them.
async fn dial(host: &str, port: u16, is_spread: bool) -> Result<TcpStream, String> {
    let mut addresses = match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect::<Vec<SocketAddr>>(),
        Err(error) => {
            let reason = lookup_text(&error);
            return Err(format!("dial tcp: lookup {host}: {reason}"));
        }
    };
    if is_spread {
        rotate(&mut addresses, RandomState::new().hash_one(port));
    }
    let mut refusal = format!("dial tcp: lookup {host}: no such host");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Requests are small and complete; waiting to fill a packet only delays them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%address, %error, "no delay cannot be turned off");
                }
                return Ok(stream);
            }
            Err(error) => {
                let reason = errno_text(&error);
                refusal = format!("dial tcp {address}: connect: {reason}");
            }
        }
    }
    Err(refusal)
}

/// Makes any element the first one.
fn rotate<T>(elements: &mut [T], chance: u64) {
    let n = elements.len().max(1) as u64;
    elements.rotate_left((chance % n) as usize);
}

/// The resolver's own texts differ by platform; the common case has Go's text.
fn lookup_text(error: &io::Error) -> String {
    let text = error.to_string();
    let unknown = [
        "not known",
        "No address associated",
        "nodename nor servname",
    ];
    if unknown.iter().any(|known| text.contains(known)) {
        return "no such host".to_owned();
    }
    if text.contains("Temporary failure") {
        return "server misbehaving".to_owned();
    }
    text.trim_start_matches("failed to lookup address information: ")
        .to_owned()
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.is_proxied);
        match self.is_http2 {
            true => connected.negotiated_h2(),
            false => connected,
        }
    }
}

impl Read for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl Write for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_comes_first_and_none_is_lost() {
        let mut firsts = std::collections::BTreeSet::new();
        for chance in 0..9 {
            let mut elements = [1, 2, 3];
            rotate(&mut elements, chance);
            firsts.insert(elements[0]);
            elements.sort_unstable();
            assert_eq!(elements, [1, 2, 3]);
        }
        assert_eq!(firsts.len(), 3);
        rotate::<u8>(&mut [], 7);
    }
}
