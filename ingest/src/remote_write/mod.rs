//! Remote write: samples that other servers push.
//!
//! Versions 1.0 and 2.0 are received ([`receiver`]).
//! Statuses and texts are Prometheus' own ([`reply`]): senders drop or keep their data
//! by the status, and their operators read the text.
//!
//! Where Kymo cannot keep a part of a request that Prometheus would keep, it stores
//! the rest and says 400 with what is missing: a retry could not help, and samples
//! that can be kept are not lost for the ones that cannot.

pub mod receiver;
pub mod reply;
mod v1;
mod v2;

pub use receiver::{Extras, Limits, Receipt, Receiver, ReceiverStats, receive, unpacked_bytes};
pub use reply::{Accepts, Outcome, Reply, Version, WriteError};
pub(crate) use reply::{storage_status, storage_text};

#[cfg(test)]
mod tests;
