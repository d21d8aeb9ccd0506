//! Where and how much is stored, and the memory for it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kymo_storage::SyncPolicy;

use super::values::{parse_duration, parse_size};
use crate::config::Retention;

/// Least memory that can be set as limit; a server with a few series holds less.
const LEAST_MEMORY_BYTES: u64 = 8 << 20;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct StorageFlags {
    /// Directory for everything that is stored.
    #[arg(
        long = "storage.path",
        visible_alias = "storage.tsdb.path",
        value_name = "DIR",
        default_value = "./data"
    )]
    pub(crate) path: PathBuf,

    /// How long samples are kept, such as 36h or 15d; 0: for ever.
    #[arg(
        long = "storage.retention.time",
        visible_alias = "storage.tsdb.retention.time",
        value_name = "DURATION",
        default_value = "200h",
        value_parser = parse_duration
    )]
    pub(super) retention_time: Duration,

    /// How many bytes blocks and logs may take on disk, such as 512MB or 40GiB; the oldest
    /// blocks go first. 0: no limit. Where only this is set, age is no reason to go.
    #[arg(
        long = "storage.retention.size",
        visible_alias = "storage.tsdb.retention.size",
        value_name = "SIZE",
        default_value = "0B",
        value_parser = parse_size
    )]
    pub(super) retention_size: u64,

    /// When writes are forced to disk: before each answer, each second, or never. Matters
    /// for power losses only; a killed process loses nothing.
    #[arg(
        long = "storage.wal.sync",
        value_name = "WHEN",
        default_value = "interval"
    )]
    pub(crate) wal_sync: WalSync,

    /// Most series held at one time; 0: no limit.
    #[arg(long = "storage.max-series", value_name = "N", default_value_t = 0)]
    pub(crate) max_series: usize,

    /// Most series of one metric name at one time; 0: no limit.
    #[arg(
        long = "storage.max-series-per-metric",
        value_name = "N",
        default_value_t = 0
    )]
    pub(crate) max_series_per_metric: usize,

    /// Most series of one target (labels job and instance) at one time; 0: no limit.
    #[arg(
        long = "storage.max-series-per-target",
        value_name = "N",
        default_value_t = 0
    )]
    pub(crate) max_series_per_target: usize,

    /// How long stopping may take to send what remote_write has not sent; what is left is
    /// sent after the next start.
    #[arg(
        long = "storage.remote.flush-deadline",
        value_name = "DURATION",
        default_value = "1m",
        value_parser = parse_duration
    )]
    pub(crate) flush_deadline: Duration,

    /// Memory for series, request bodies and queries together: a size such as 4GiB, or a
    /// part of what the machine or its cgroup has. Near it nothing more is stored, and
    /// reads go on.
    #[arg(
        long = "memory.limit",
        value_name = "SIZE",
        default_value = "75%",
        value_parser = parse_memory_limit
    )]
    pub(crate) memory_limit: MemoryLimit,

    /// Whether `retention_time` was given.
    #[arg(skip)]
    pub(super) has_retention_time: bool,
}

/// Values of `--storage.wal.sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WalSync {
    Always,
    Interval,
    Never,
}

impl From<WalSync> for SyncPolicy {
    fn from(sync: WalSync) -> SyncPolicy {
        match sync {
            WalSync::Always => SyncPolicy::Always,
            WalSync::Interval => SyncPolicy::Interval,
            WalSync::Never => SyncPolicy::Never,
        }
    }
}

/// The value of `--memory.limit`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum MemoryLimit {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of what there is.
    Percent(f64),
}

impl MemoryLimit {
    /// Returns the limit in bytes where `available` bytes are there; where nobody
    /// knows, a part of 1 GiB.
    pub(crate) fn bytes(self, available: Option<u64>) -> u64 {
        let bytes = match self {
            MemoryLimit::Bytes(bytes) => bytes,
            MemoryLimit::Percent(percent) => {
                let available = available.unwrap_or(1 << 30) as f64;
                (available * percent / 100.0) as u64
            }
        };
        bytes.max(LEAST_MEMORY_BYTES)
    }
}

impl StorageFlags {
    /// Returns how long samples are kept where the configuration says `configured`. The
    /// default counts only where nothing is set anywhere, as in Prometheus.
    pub(crate) fn retention(&self, configured: Retention) -> Retention {
        let mut retention = Retention {
            time: self.retention_time,
            size_bytes: self.retention_size,
            percentage: 0.0,
        };
        let has_size = self.retention_size > 0 || configured != Retention::default();
        if has_size && !self.has_retention_time {
            retention.time = Duration::ZERO;
        }
        retention.with(configured)
    }
}

fn parse_memory_limit(text: &str) -> Result<MemoryLimit, String> {
    if let Some(percent) = text.strip_suffix('%') {
        return match percent.parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(MemoryLimit::Percent(percent)),
            _ => Err("must be above 0% and at most 100%".to_owned()),
        };
    }
    let bytes = parse_size(text)?;
    if bytes < LEAST_MEMORY_BYTES {
        return Err("must be 8MiB or more".to_owned());
    }
    Ok(MemoryLimit::Bytes(bytes))
}
