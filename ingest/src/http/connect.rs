//! Making a connection: name to addresses, TCP, then TLS for `https`.
//!
//! This is the client library's connector with errors of our own, because only
//! here is it known which address refused.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{ConnectError, errno_text, handshake_text};
use super::tls::TlsSetup;

/// Opens connections for one client.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) tls: Arc<TlsSetup>,
}

/// An open connection.
pub(super) enum Link {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl tower::Service<Uri> for Connector {
    type Response = Link;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Link, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = Arc::clone(&self.tls);
        Box::pin(async move { connect(uri, tls).await.map_err(ConnectError) })
    }
}

async fn connect(uri: Uri, tls: Arc<TlsSetup>) -> Result<Link, String> {
    let host = uri.host().unwrap_or_default();
    // An IPv6 address stands in brackets in a URL and without them elsewhere.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = dial(host, port).await?;
    if !secure {
        return Ok(Link::Plain(TokioIo::new(stream)));
    }
    let config = tls.config()?;
    let wanted = tls.server_name().unwrap_or(host);
    let name = ServerName::try_from(wanted.to_owned())
        .map_err(|_| format!("tls: {wanted:?} is not a valid server name"))?;
    let handshake = TlsConnector::from(config).connect(name, stream).await;
    let stream = handshake.map_err(|error| handshake_text(&error, wanted))?;
    Ok(Link::Tls(Box::new(TokioIo::new(stream))))
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect::<Vec<SocketAddr>>(),
        Err(error) => {
            let reason = lookup_text(&error);
            return Err(format!("dial tcp: lookup {host}: {reason}"));
        }
    };
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
        let connected = Connected::new();
        match self {
            Link::Tls(stream) if stream.inner().get_ref().1.alpn_protocol() == Some(b"h2") => {
                connected.negotiated_h2()
            }
            _ => connected,
        }
    }
}

impl Read for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Link::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl Write for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Link::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Link::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Link::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Link::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
