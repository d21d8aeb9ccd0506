//! What Kymo says of itself: log lines and metrics.

pub(crate) mod build;
pub(crate) mod exposition;
pub(crate) mod families;
pub(crate) mod log_queries;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod summary;

mod discovery;
mod process;
mod rules;
mod scrape;
mod store;
