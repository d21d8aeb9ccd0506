//! What queries of logs may ask for.

use std::time::Duration;

use clap::Args;

use super::values::parse_duration;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Queries of logs")]
pub(crate) struct LogQueryFlags {
    /// Most entries that one query of logs may ask for; 0: no limit.
    #[arg(
        long = "logs.query.max-entries",
        value_name = "N",
        default_value_t = 5000
    )]
    pub(crate) max_entries: u32,

    /// Most series in the answer to a query that gives numbers; 0: no limit.
    #[arg(
        long = "logs.query.max-series",
        value_name = "N",
        default_value_t = 5000
    )]
    pub(crate) max_log_series: usize,

    /// Longest time that one query of logs may span, such as 721h; 0s: no limit.
    #[arg(
        long = "logs.query.max-length",
        value_name = "DURATION",
        default_value = "721h",
        value_parser = parse_duration
    )]
    pub(crate) max_length: Duration,

    /// How far back queries of logs may look; 0s: as far as there is something.
    #[arg(
        long = "logs.query.max-lookback",
        value_name = "DURATION",
        default_value = "0s",
        value_parser = parse_duration
    )]
    pub(crate) max_lookback: Duration,

    /// Longest window, as [5m], in a query of logs; 0s: no limit.
    #[arg(
        long = "logs.query.max-window",
        value_name = "DURATION",
        default_value = "0s",
        value_parser = parse_duration
    )]
    pub(crate) max_window: Duration,

    /// Most clients that follow logs at one time.
    #[arg(long = "logs.tail.max-clients", value_name = "N", default_value_t = 10)]
    pub(crate) max_tails: usize,

    /// Most label sets in an answer about volume.
    #[arg(
        long = "logs.volume.max-series",
        value_name = "N",
        default_value_t = 1000
    )]
    pub(crate) max_volume_series: u32,
}
