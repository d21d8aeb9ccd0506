//! What end-to-end tests are made of: a real server process, an HTTP client, bodies of
//! remote write, and servers that stand for others.
//!
//! ```no_run
//! use kymo_tests::{Kymo, WriteBody};
//!
//! let kymo = Kymo::start(&[]);
//! let body = WriteBody::new().series(&[("__name__", "up")], &[(1_000, 1.0)]);
//! assert_eq!(kymo.write(&body).status, 204);
//! assert_eq!(kymo.instant("up", 1.0)["data"]["result"][0]["value"][1], "1");
//! ```
//!
//! Everything here panics when something is wrong, because a test is to fail then.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests"
)]

mod alertmanager;
pub mod differ;
mod fake;
mod http;
mod loki;
mod peer;
mod relay;
mod server;
mod tls;
mod write;

pub use alertmanager::Alertmanager;
pub use fake::{FakeDns, FakeHttp, Reply, Request};
pub use http::{Answer, Client, encode};
pub use loki::Loki;
pub use peer::Peer;
pub use relay::Relay;
pub use server::{Kymo, program, wait_until};
pub use tls::{Authority, Identity, TlsClient};
pub use write::{Exemplar, WriteBody};
