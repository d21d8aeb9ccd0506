//! The accept loop: a cap on connections, limits on slow clients, and a drain
//! that lets running requests finish.
//!
//! It knows nothing of routes: it is given one service and serves it on every
//! connection, HTTP/1.1 and HTTP/2, with TLS where it is told how to secure them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use super::request_line::RequestLine;
use super::stall::StallGuard;

/// Bytes of headers, and of one read, that a connection may hold.
const MAX_HEADER_BYTES: usize = 128 << 10;
/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;
/// How long requests may run on after the listener was told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// Pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client may take to agree on keys.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Answer to a client that does not know that the listener speaks TLS, as Go gives it.
const NOT_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Limits of the listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections open at one time over all addresses; further ones wait.
    pub(crate) max_connections: usize,
    /// How long a client may take to send its headers or stand still while it is
    /// sent an answer.
    pub(crate) read_timeout: Duration,
}

/// Extension of a request: the address that it came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Returns what the next connection is secured with, or why none can be.
pub(crate) type Handshake = Arc<dyn Fn() -> Result<Arc<ServerConfig>, String> + Send + Sync>;

/// Addresses that are bound and not served yet.
#[derive(Debug)]
pub(crate) struct Listener {
    sockets: Vec<(SocketAddr, TcpListener)>,
    limits: Limits,
}

impl Listener {
    /// Binds all addresses.
    ///
    /// # Errors
    /// An address cannot be resolved or bound; the text names it.
    pub(crate) async fn bind(addresses: &[String], limits: Limits) -> io::Result<Listener> {
        let mut sockets = Vec::with_capacity(addresses.len());
        for address in addresses {
            // Go listens on all interfaces when the host is left out.
            let full = match address.strip_prefix(':') {
                Some(port) => format!("0.0.0.0:{port}"),
                None => address.clone(),
            };
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("listen tcp {address}: {error}"))
            };
            let socket = TcpListener::bind(&full).await.map_err(named)?;
            sockets.push((socket.local_addr().map_err(named)?, socket));
        }
        Ok(Listener { sockets, limits })
    }

    /// Returns the addresses as bound, with the ports the system chose.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address)
    }

    /// Serves until `stop` becomes true, then waits for running requests. With `tls`
    /// every connection is secured.
    pub(crate) async fn serve<F, Fut>(
        self,
        handler: F,
        tls: Option<Handshake>,
        stop: watch::Receiver<bool>,
    ) where
        F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(self.limits.max_connections));
        let drain = Arc::new(GracefulShutdown::new());
        let mut loops = Vec::new();
        for (_, socket) in self.sockets {
            loops.push(tokio::spawn(accept(
                socket,
                handler.clone(),
                tls.clone(),
                Arc::clone(&slots),
                Arc::clone(&drain),
                self.limits,
                stop.clone(),
            )));
        }
        for accepting in loops {
            if accepting.await.is_err() {
                warn!("an accept loop ended in a panic");
            }
        }
        let open = drain.count();
        // The loops are over, so this is the last handle.
        if let Ok(drain) = Arc::try_unwrap(drain)
            && tokio::time::timeout(DRAIN_LIMIT, drain.shutdown())
                .await
                .is_err()
        {
            warn!(open, limit = ?DRAIN_LIMIT, "connections cut off after the drain limit");
        }
    }
}

async fn accept<F, Fut>(
    socket: TcpListener,
    handler: F,
    tls: Option<Handshake>,
    slots: Arc<Semaphore>,
    drain: Arc<GracefulShutdown>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    let builder = Arc::new(connection_builder(limits));
    loop {
        let accepted = tokio::select! {
            accepted = accept_one(&socket, &slots) => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Some((stream, peer, slot)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let handler = handler.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            let answer = handler(request);
            async move { Ok::<_, std::convert::Infallible>(answer.await) }
        });
        let (builder, watcher) = (Arc::clone(&builder), drain.watcher());
        let (tls, stop) = (tls.clone(), stop.clone());
        tokio::spawn(async move {
            let served = match tls {
                None => {
                    let stream = StallGuard::new(stream, limits.read_timeout);
                    let connection = builder.serve_connection_with_upgrades(io(stream), service);
                    watcher.watch(connection.into_owned()).await
                }
                Some(tls) => {
                    let Some(stream) = secured(stream, &tls, limits, stop).await else {
                        return;
                    };
                    let connection = builder.serve_connection_with_upgrades(io(stream), service);
                    watcher.watch(connection.into_owned()).await
                }
            };
            if let Err(error) = served {
                debug!(%error, "connection ended");
            }
            drop(slot);
        });
    }
}

fn io<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> TokioIo<RequestLine<S>> {
    TokioIo::new(RequestLine::new(stream))
}

/// Agrees on keys with a client; `None` where that fails, or the server stops.
async fn secured(
    mut stream: TcpStream,
    tls: &Handshake,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) -> Option<TlsStream<StallGuard<TcpStream>>> {
    let agree = async {
        let mut first = [0];
        // The first byte of a handshake is 22; of a request it is a letter.
        if stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase() {
            stream.write_all(NOT_TLS).await?;
            return Err(io::Error::other("a request without TLS"));
        }
        let config = tls().map_err(io::Error::other)?;
        let stream = StallGuard::new(stream, limits.read_timeout);
        TlsAcceptor::from(config).accept(stream).await
    };
    let limit = HANDSHAKE_LIMIT.min(limits.read_timeout);
    let agreed = tokio::select! {
        agreed = tokio::time::timeout(limit, agree) => agreed,
        _ = stop.wait_for(|stop| *stop) => return None,
    };
    match agreed {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            debug!(%error, "a connection could not be secured");
            None
        }
        Err(_late) => {
            debug!(?limit, "a handshake took too long");
            None
        }
    }
}

/// Waits for a free slot, then for a client. `None` asks for a pause.
async fn accept_one(
    socket: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match socket.accept().await {
        Ok((stream, peer)) => {
            // Answers are written whole; waiting to fill a packet only delays them.
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%error, "TCP_NODELAY not set");
            }
            Some((stream, peer, slot))
        }
        Err(error) => {
            warn!(%error, "a connection could not be accepted");
            None
        }
    }
}

fn connection_builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.read_timeout)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.read_timeout)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
    builder
}
