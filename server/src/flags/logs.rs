//! How long logs are kept, and how much of them.

use std::time::Duration;

use clap::Args;

use super::values::{parse_duration, parse_size};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Storage of logs")]
pub(crate) struct LogFlags {
    /// How long logs are kept, such as 36h or 15d, unless limits_config.retention_period says
    /// something; 0: for ever.
    #[arg(
        id = "logs_retention_time",
        long = "storage.logs.retention.time",
        value_name = "DURATION",
        default_value = "200h",
        value_parser = parse_duration
    )]
    pub(crate) logs_retention_time: Duration,

    /// How many bytes logs may take on disk, such as 512MB or 40GiB; the oldest go first.
    /// 0: no limit.
    #[arg(
        id = "logs_retention_size",
        long = "storage.logs.retention.size",
        value_name = "SIZE",
        default_value = "0B",
        value_parser = parse_size
    )]
    pub(crate) logs_retention_size: u64,
}
