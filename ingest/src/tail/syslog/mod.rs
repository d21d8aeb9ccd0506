//! Receiving syslog: over connections, with TLS or without, or in datagrams.
//!
//! A connection has a thread, so that one that is slow or silent holds up nobody; their
//! number is bounded, and so is the length of a message. A message that cannot be read is
//! counted; over a connection the next one is looked for behind it.

mod frames;
mod message;
mod wire;

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use super::arrivals::Arrival;
use super::config::{SyslogConfig, SyslogFormat, SyslogProtocol};
use super::outlet::Signal;
use crate::http::TlsListener;
use crate::pipeline::PipelineStats;
use frames::Frames;
use message::Message;
use wire::{Look, Wire, is_timeout};

/// Most connections at one time.
const MAX_CONNECTIONS: usize = 512;
/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(200);
/// Longest handshake of TLS.
const HANDSHAKE_NS: i64 = 30_000_000_000;
/// Reason that messages are counted under that are no syslog.
const BAD_REASON: &str = "syslog_parsing_error";

/// A socket that is open.
pub(super) enum Socket {
    Tcp(TcpListener, Option<Arc<TlsListener>>),
    Udp(UdpSocket),
}

/// What receives messages.
#[derive(Clone)]
pub(super) struct Receiving {
    pub(super) config: Arc<SyslogConfig>,
    pub(super) queue: SyncSender<Arrival>,
    pub(super) signal: Arc<Signal>,
    pub(super) dropped: Arc<PipelineStats>,
    pub(super) clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// Opens the socket of a configuration.
///
/// # Errors
/// The address or a certificate cannot be used.
pub(super) fn bind(config: &SyslogConfig) -> Result<Socket, String> {
    let address = &config.listen_address;
    let failed = |error: std::io::Error| format!("syslog cannot listen on {address}: {error}");
    match config.protocol {
        SyslogProtocol::Tcp => {
            let tls = config.tls.clone().map(TlsListener::new).map(Arc::new);
            if let Some(tls) = &tls {
                let made = tls.config();
                made.map_err(|error| format!("syslog cannot listen on {address}: {error}"))?;
            }
            let listener = TcpListener::bind(address).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            Ok(Socket::Tcp(listener, tls))
        }
        SyslogProtocol::Udp => {
            let socket = UdpSocket::bind(address).map_err(failed)?;
            socket.set_read_timeout(Some(LOOK)).map_err(failed)?;
            Ok(Socket::Udp(socket))
        }
    }
}

impl Socket {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Socket::Tcp(listener, _) => listener.local_addr().ok(),
            Socket::Udp(socket) => socket.local_addr().ok(),
        }
    }
}

impl Receiving {
    /// Receives until it is stopped.
    pub(super) fn run(self, socket: Socket) {
        match socket {
            Socket::Tcp(listener, tls) => self.accept(&listener, tls.as_ref()),
            Socket::Udp(socket) => self.datagrams(&socket),
        }
    }

    fn accept(self, listener: &TcpListener, tls: Option<&Arc<TlsListener>>) {
        let open = Arc::new(AtomicUsize::new(0));
        let mut told = None;
        while !self.signal.is_stopped() {
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.failed(&error, &mut told);
                    self.signal.sleep(LOOK / 4);
                    continue;
                }
            };
            told = None;
            if open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
                tracing::warn!(%peer, "a connection of syslog is one too many");
                continue;
            }
            open.fetch_add(1, Ordering::Relaxed);
            let (receiving, count) = (self.clone(), Arc::clone(&open));
            let tls = tls.map(Arc::clone);
            let thread = std::thread::Builder::new().name("kymo-syslog".to_owned());
            let thread = thread.spawn(move || {
                if let Err(error) = receiving.connection(stream, tls.as_deref(), peer.ip()) {
                    tracing::warn!(%peer, error, "a connection of syslog failed");
                }
                count.fetch_sub(1, Ordering::Relaxed);
            });
            if let Err(error) = thread {
                tracing::warn!(%peer, %error, "a connection of syslog cannot be served");
                open.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        tls: Option<&TlsListener>,
        peer: IpAddr,
    ) -> Result<(), String> {
        let tls = tls.map(TlsListener::config).transpose()?;
        let step = LOOK.min(self.config.idle_timeout);
        let wire = Wire::new(stream, tls, step);
        let mut wire = wire.map_err(|error| error.to_string())?;
        let mut frames = Frames::new(self.config.max_message_bytes);
        let mut buffer = vec![0; 16 << 10];
        let since_ns = (self.clock)();
        let mut heard_ns = since_ns;
        let idle_ns = i64::try_from(self.config.idle_timeout.as_nanos()).unwrap_or(i64::MAX);
        while !self.signal.is_stopped() {
            let now_ns = (self.clock)();
            if wire.is_handshaking() && now_ns.saturating_sub(since_ns) > HANDSHAKE_NS {
                return Err("the handshake of TLS took too long".to_owned());
            }
            if now_ns.saturating_sub(heard_ns) >= idle_ns {
                break;
            }
            match wire.read(&mut buffer) {
                Ok(Look::End) => break,
                Ok(Look::Bytes(len)) => {
                    heard_ns = (self.clock)();
                    frames.push(&buffer[..len]);
                }
                Ok(Look::Nothing) => {}
                // What came whole is taken, whatever became of the connection.
                Err(_) if !wire.is_handshaking() => break,
                Err(error) => return Err(error.to_string()),
            }
            while let Some(frame) = frames.next() {
                if !self.message(frame.ok(), peer) {
                    return Ok(());
                }
            }
            if frames.is_broken() {
                return Ok(());
            }
        }
        if let Some(rest) = frames.finish() {
            self.message(Some(rest), peer);
        }
        Ok(())
    }

    fn datagrams(&self, socket: &UdpSocket) {
        let mut buffer = vec![0; 64 << 10];
        let mut told = None;
        while !self.signal.is_stopped() {
            match socket.recv_from(&mut buffer) {
                Ok((len, peer)) => {
                    let mut text = &buffer[..len];
                    while let [head @ .., b'\n' | b'\0' | b'\r'] = text {
                        text = head;
                    }
                    let fits = text.len() <= self.config.max_message_bytes;
                    if !self.message(fits.then(|| text.to_vec()), peer.ip()) {
                        return;
                    }
                }
                Err(error) if is_timeout(&error) => told = None,
                Err(error) => {
                    self.failed(&error, &mut told);
                    self.signal.sleep(LOOK);
                }
            }
        }
    }

    /// Tells once of an error that nothing can be received for.
    fn failed(&self, error: &std::io::Error, told: &mut Option<std::io::ErrorKind>) {
        if !is_timeout(error) && told.replace(error.kind()) != Some(error.kind()) {
            let address = &self.config.listen_address;
            tracing::warn!(%address, %error, "syslog cannot be received");
        }
    }

    /// Hands a message on; false where nobody takes any. `None` is one that cannot be read.
    fn message(&self, frame: Option<Vec<u8>>, peer: IpAddr) -> bool {
        let now_ns = (self.clock)();
        let read = frame.as_ref().and_then(|frame| match self.config.format {
            SyslogFormat::Rfc5424 => Message::rfc5424(frame),
            SyslogFormat::Rfc3164 => Message::rfc3164(frame, now_ns),
        });
        let (Some(frame), Some(message)) = (frame, read) else {
            self.dropped.dropped(BAD_REASON);
            return true;
        };
        let arrival = Arrival {
            t_ns: message.t_ns.filter(|_| self.config.use_incoming_timestamp),
            labels: Arc::new(self.labels(&message, peer)),
            line: match self.config.use_rfc5424_message {
                true => frame,
                false => message.text,
            },
            ..Arrival::default()
        };
        self.queue.send(arrival).is_ok()
    }

    fn labels(&self, message: &Message, peer: IpAddr) -> Vec<(String, String)> {
        let mut labels = self.config.labels.clone();
        let mut add = |name: &str, value: Option<&str>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                labels.push((format!("__syslog_{name}"), value.to_owned()));
            }
        };
        add("connection_ip_address", Some(&peer.to_string()));
        add("message_severity", message.severity());
        add("message_facility", message.facility());
        add("message_hostname", message.hostname.as_deref());
        add("message_app_name", message.app_name.as_deref());
        add("message_proc_id", message.proc_id.as_deref());
        add("message_msg_id", message.msg_id.as_deref());
        if self.config.label_structured_data {
            for (id, name, value) in &message.data {
                let name = format!("message_sd_{}_{}", label_part(id), label_part(name));
                add(&name, Some(value));
            }
        }
        labels
    }
}

/// Makes a part of a label's name of a text.
fn label_part(text: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    text.chars().map(word).collect()
}
