//! Asking foreign HTTP servers: the client that scrapes, discovery and senders share.
//!
//! It speaks HTTP/1.1 and HTTP/2 over TCP, Unix sockets and TLS (rustls with the ring
//! provider), also through proxies, follows redirects, adds credentials, and reads answers
//! up to a limit counted on uncompressed bytes. It is not a general client: no cookies.
//! Errors read as Go's, because people search for those texts.

mod answer;
mod assertion;
mod client;
mod connect;
mod error;
mod oauth2;
mod options;
mod proxy;
mod secret;
mod stream;
mod tls;
mod url;

pub use answer::Answer;
pub use assertion::AssertionOptions;
pub use client::{AGENT, HttpClient};
pub use error::{ClientError, FetchError};
pub use options::{
    Auth, ClientOptions, ExtraHeader, OAuth2Options, PemSource, TlsOptions, TlsVersion,
};
pub use proxy::{ProxyOptions, ProxyUrl};
pub use secret::{HIDDEN, Secret, SecretSource};
pub(crate) use stream::AnswerStream;
pub use tls::TlsListener;
pub use url::{Part, push_escaped, push_origin};

#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;
