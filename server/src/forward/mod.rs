//! Handing on what is stored: the sections `remote_write`, protocols 1.0 and 2.0.
//!
//! Every commit is in the log before it is acknowledged, whoever wrote it: a scrape, a
//! receiver, a rule. A queue reads the log (`storage::metrics::LogTail`) from a place that
//! survives restarts, and the log is kept until it has. So nothing is lost while a
//! receiver is out, or this process is, and what waits costs disk and not memory.
//!
//! **At least once.** A request is sent until it is taken or refused for good. After a
//! kill the pieces of the log that were under way are sent again, in the very same
//! requests: a receiver that takes or refuses requests as a whole has all of such a
//! request or nothing, and nothing new is refused with it. After a clean stop nothing is
//! sent twice.
//!
//! **Bounds.** Two pieces of a queue are in memory at one time. The log is kept for a
//! receiver as long as samples are kept at all, and takes at most a quarter of what the
//! store may take on disk; what is given up is counted (`out_of_retention`).
//!
//! Order of a series, numbers of shards, pauses, metrics and texts are Prometheus'.
//!
//! Reading order: `series` (labels on their way out), `piece` (from the log to requests),
//! `pace` (shards and pauses), `send` (one request), `queue` (one receiver), `metadata`,
//! `forwarder` (all of them), `metrics`.

mod forwarder;
mod metadata;
mod metrics;
mod pace;
mod piece;
mod queue;
mod send;
mod series;

pub(crate) use forwarder::{Clients, Forwarder};
pub(crate) use metrics::write as write_metrics;
pub(crate) use queue::BacklogLimits;

#[cfg(test)]
mod tests;
