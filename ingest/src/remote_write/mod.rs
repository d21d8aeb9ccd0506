//! Remote write: samples that other servers push.
//!
//! Version 1.0 is received ([`v1`]); a request of version 2.0 is answered with 415, as
//! Prometheus answers a message type that is not enabled, and a sender can fall back.
//! Statuses and texts are Prometheus' own ([`reply`]): senders drop or keep their data
//! by the status, and their operators read the text.
//!
//! Where Kymo cannot keep a part of a request that Prometheus would keep, it stores
//! the rest and says 400 with what is missing: a retry could not help, and samples
//! that can be kept are not lost for the ones that cannot.

pub mod reply;
pub mod v1;

pub use reply::{Reply, WriteError};
pub use v1::{Limits, Receipt, Receiver, ReceiverStats, receive, unpacked_bytes};

#[cfg(test)]
mod tests;
