//! Logs in the server: what receives them, and the opening of their store.

pub(crate) mod filter;
mod maintenance;
mod metrics;
mod open;

use kymo_ingest::loki::{BodyLimits, Limits, Receiver};

pub(crate) use maintenance::LogMaintenance;
pub(crate) use metrics::write as write_metrics;
pub(crate) use open::open;

/// What is there of logs before their store is open.
#[derive(Debug)]
pub(crate) struct Logs {
    /// What receives pushes.
    pub(crate) receiver: Receiver,
}

impl Logs {
    /// Returns what a server with these limits has.
    pub(crate) fn new(limits: Limits) -> Logs {
        Logs {
            receiver: Receiver::new(limits, BodyLimits::default()),
        }
    }
}
