//! Scraping: ask each target in its rhythm, parse what it answers, append it.
//!
//! [`ScrapePools`] runs jobs; each has a pool of targets, each target a task. A
//! scrape is one transaction: it is stored whole, with the synthetic series that
//! tell how it went, or not at all. Series that a target stops exposing are ended
//! by stale markers at once.
//!
//! Reading order: `config` and `target` (who is asked), `rhythm` (when), `round`
//! (one scrape), `append` with `cache`, `labels`, `fitting` and `exemplars` (what becomes of
//! a line),
//! `report` (the synthetic series), `pool` and `pools` (changes of configuration).
//!
//! Time is not taken from here: the server gives its [`Clock`].

mod append;
mod cache;
mod config;
mod exemplars;
mod failure_log;
mod fitting;
mod labels;
mod metadata;
mod negotiate;
mod pool;
mod pools;
mod preview;
#[cfg(any(test, feature = "internals"))]
mod rehearsal;
mod report;
mod rhythm;
mod round;
mod stats;
mod target;

use std::sync::Arc;

pub use crate::discovery::TargetGroup;
pub use config::{ScrapeConfig, ScrapeLimits, ScrapeProtocol};
pub use metadata::Metadata;
pub use pools::{
    ApplyError, Job, PoolStatus, Prepared, ScrapePools, TargetHealth, TargetMetadata, TargetStatus,
};
pub use preview::{Preview, preview};
#[cfg(any(test, feature = "internals"))]
pub use rehearsal::Rehearsal;
pub(crate) use stats::Window;
pub use stats::{PoolStats, ScrapeStats, Summary};
pub use target::offset_seed;

/// Tells the time in nanoseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Says why nothing may be fetched and stored now, where that is so: the error of a
/// scrape that is then not made. Targets in this process are asked all the same; what
/// they say is bounded, and wanted most when something is short.
pub type Gate = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What the program does differently where it is asked to, for all jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrapeFeatures {
    /// Series of counters, summaries and histograms begin with a zero at the time since
    /// when the target says that they count.
    pub start_zero_samples: bool,
    /// Type and unit of a metric become labels of its series.
    pub type_and_unit_labels: bool,
}

/// A target in this process: scraped like any other, without a connection.
pub trait LocalSource: Send + Sync {
    /// Appends the metrics of now to `out`, in text format 0.0.4. May compute and
    /// block; it is called on a thread for that.
    fn collect(&self, out: &mut String);
}

#[cfg(test)]
mod tests;
