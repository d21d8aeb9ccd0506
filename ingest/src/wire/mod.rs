//! Protobuf read in place, where nothing is copied and nothing allocated, and written
//! ([`encode`], [`writer`]).
//!
//! [`Reader`] takes fields off a byte slice, with every length checked before use.
//! Messages that arrive by the thousand have hand-written views
//! ([`write_request`], [`write_request_v2`], [`metric_family`]); the rest of a request is only checked, against tables
//! ([`schema`]). Error texts are those of the decoder that Prometheus has generated
//! for the same messages, because senders log them.

pub mod encode;
pub mod histogram;
pub mod metric_family;
pub mod metric_histogram;
mod reader;
pub mod schema;
pub mod write_request;
pub mod write_request_v2;
pub mod writer;

pub(crate) use reader::{BYTES, FIXED32, FIXED64, VARINT};
pub use reader::{Reader, Tag, WireError};

#[cfg(test)]
mod tests;
