//! Asking foreign HTTP servers: the client that scrapes, discovery and senders share.
//!
//! It speaks HTTP/1.1 and HTTP/2 over TCP and TLS (rustls with the ring provider),
//! follows redirects, adds credentials, and reads answers up to a limit counted on
//! uncompressed bytes. It is not a general client: no cookies, no proxies. Errors read as Go's, because people search for those texts.

mod client;
mod connect;
mod error;
mod options;
mod secret;
mod tls;
mod url;

pub use client::{AGENT, Answer, HttpClient};
pub use error::{ClientError, FetchError};
pub use options::{Auth, ClientOptions, ExtraHeader, PemSource, TlsOptions, TlsVersion};
pub use secret::{HIDDEN, Secret, SecretSource};
pub use url::{Part, push_escaped, push_origin};

#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;
