//! The bytes of one connection: as they come, or out of TLS (RFC 5425).

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection};

/// A connection that brings messages.
pub(super) struct Wire {
    stream: TcpStream,
    session: Option<Box<ServerConnection>>,
}

/// What one look at a connection brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// So many bytes.
    Bytes(usize),
    /// No bytes of messages, but perhaps some of the handshake.
    Nothing,
    /// It is over.
    End,
}

impl Wire {
    /// Takes a connection; no look waits longer than `step`.
    ///
    /// # Errors
    /// The connection cannot be used.
    pub(super) fn new(
        stream: TcpStream,
        tls: Option<Arc<ServerConfig>>,
        step: Duration,
    ) -> io::Result<Wire> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(step))?;
        // What is written is of the handshake, and little.
        stream.set_write_timeout(Some(step))?;
        let session = match tls {
            Some(config) => Some(Box::new(
                ServerConnection::new(config).map_err(io::Error::other)?,
            )),
            None => None,
        };
        Ok(Wire { stream, session })
    }

    /// Tells whether it is not known yet who is at the other end.
    pub(super) fn is_handshaking(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.is_handshaking())
    }

    /// Waits a moment for bytes.
    ///
    /// # Errors
    /// The connection is broken, or the handshake failed.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Look> {
        let Some(session) = &mut self.session else {
            return match self.stream.read(buffer) {
                Ok(0) => Ok(Look::End),
                Ok(len) => Ok(Look::Bytes(len)),
                Err(error) if is_timeout(&error) => Ok(Look::Nothing),
                Err(error) => Err(error),
            };
        };
        if let Some(look) = plain(session, buffer)? {
            return Ok(look);
        }
        match session.read_tls(&mut self.stream) {
            Ok(_) => {}
            Err(error) if is_timeout(&error) => return Ok(Look::Nothing),
            Err(error) => return Err(error),
        }
        let processed = session.process_new_packets();
        // A mistake of the other end is told to it.
        while session.wants_write() {
            if session.write_tls(&mut self.stream).is_err() {
                break;
            }
        }
        processed.map_err(io::Error::other)?;
        Ok(plain(session, buffer)?.unwrap_or(Look::Nothing))
    }
}

/// Takes what is decrypted; `None` where nothing is.
fn plain(session: &mut ServerConnection, buffer: &mut [u8]) -> io::Result<Option<Look>> {
    match session.reader().read(buffer) {
        Ok(0) => Ok(Some(Look::End)),
        Ok(len) => Ok(Some(Look::Bytes(len))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        // Gone without a word, as many senders go.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(Look::End)),
        Err(error) => Err(error),
    }
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
