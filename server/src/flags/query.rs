//! What queries may cost.

use std::time::Duration;

use clap::Args;

use super::values::{parse_duration, parse_size};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Queries")]
pub(crate) struct QueryFlags {
    /// How long a query may take, waiting included, such as 30s.
    #[arg(
        long = "query.timeout",
        value_name = "DURATION",
        default_value = "2m",
        value_parser = parse_duration
    )]
    pub(crate) timeout: Duration,

    /// Most samples a query may hold in memory at one time.
    #[arg(
        long = "query.max-samples",
        value_name = "N",
        default_value_t = 50_000_000
    )]
    pub(crate) max_samples: usize,

    /// Most queries evaluated at one time; further ones wait.
    #[arg(long = "query.max-concurrency", value_name = "N", default_value_t = 20)]
    pub(crate) max_concurrency: usize,

    /// Memory for answers of range queries that are kept for the next ones, a size such as
    /// 64MiB; at most an eighth of what queries may hold. 0 keeps none.
    #[arg(
        long = "query.cache.size",
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = parse_size
    )]
    pub(crate) cache_size: u64,

    /// How far a query looks back for the newest sample of a series, such as 90s.
    #[arg(
        long = "query.lookback-delta",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = parse_duration
    )]
    pub(crate) lookback_delta: Duration,
}
