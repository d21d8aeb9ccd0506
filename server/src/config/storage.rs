//! The `storage` section: how long samples are kept, how late they may come, and how
//! many exemplars there are.

use std::time::Duration;

use kymo_storage::compat::float;

use super::fields::{self, Fields, Problems};
use super::yaml::Node;
use super::{global, units};

/// Exemplars that are kept unless the file says otherwise.
const MAX_EXEMPLARS: u64 = 100_000;

/// The validated `storage` section.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageConfig {
    /// `tsdb.out_of_order_time_window`: how far a sample may be behind the newest one of
    /// the store.
    pub out_of_order_window: Duration,
    /// `tsdb.retention`, as far as the file says something.
    pub retention: Retention,
    /// `exemplars.max_exemplars`: the size of the ring of exemplars; 0 keeps none.
    pub max_exemplars: u64,
}

/// When samples are dropped; a zero is no limit, and in the file none of its own.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Retention {
    /// Age from which they are.
    pub time: Duration,
    /// Bytes on disk from which the oldest are.
    pub size_bytes: u64,
    /// Hundredths of the disk from which the oldest are.
    pub percentage: f64,
}

impl Default for StorageConfig {
    fn default() -> StorageConfig {
        StorageConfig {
            out_of_order_window: Duration::ZERO,
            retention: Retention::default(),
            max_exemplars: MAX_EXEMPLARS,
        }
    }
}

/// Reads the section.
pub(super) fn read(node: &Node, problems: &mut Problems) -> StorageConfig {
    let mut config = StorageConfig::default();
    let mut fields = Fields::open(node, "config.StorageConfig", problems);
    if let Some(node) = fields.take("tsdb") {
        let mut tsdb = Fields::open(node, "config.plain", problems);
        config.out_of_order_window =
            global::duration(&mut tsdb, "out_of_order_time_window", problems);
        if let Some(node) = tsdb.take("retention") {
            config.retention = read_retention(node, problems);
        }
        tsdb.unsupported(
            &["chunk_encoding", "stale_series_compaction_threshold"],
            "remove the key",
            problems,
        );
        tsdb.finish(problems);
    }
    if let Some(node) = fields.take("exemplars") {
        let mut exemplars = Fields::open(node, "config.ExemplarsConfig", problems);
        if let Some(node) = exemplars.take("max_exemplars") {
            let max = fields::uint(node, problems);
            config.max_exemplars = max.unwrap_or(MAX_EXEMPLARS);
        }
        exemplars.finish(problems);
    }
    fields.finish(problems);
    config
}

fn read_retention(node: &Node, problems: &mut Problems) -> Retention {
    let mut fields = Fields::open(node, "config.TSDBRetentionConfig", problems);
    let retention = Retention {
        time: global::duration(&mut fields, "time", problems),
        size_bytes: fields
            .parsed("size", problems, units::parse_size)
            .unwrap_or(0),
        percentage: percentage(&mut fields, problems),
    };
    fields.finish(problems);
    retention
}

fn percentage(fields: &mut Fields<'_>, problems: &mut Problems) -> f64 {
    let Some(node) = fields.take("percentage") else {
        return 0.0;
    };
    let number = fields::float(node, problems).unwrap_or(0.0);
    if !(0.0..=100.0).contains(&number) {
        let got = float::g(number);
        let text =
            format!("'storage.tsdb.retention.percentage' must be in the range [0, 100], got {got}");
        problems.value(node.at, text);
    }
    number
}

impl StorageConfig {
    /// Returns the out-of-order window in milliseconds.
    pub(crate) fn out_of_order_window_ms(&self) -> i64 {
        i64::try_from(self.out_of_order_window.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Retention {
    /// Returns the limits with those of `above` in the place of what they set.
    pub(crate) fn with(self, above: Retention) -> Retention {
        Retention {
            time: match above.time {
                Duration::ZERO => self.time,
                time => time,
            },
            size_bytes: match above.size_bytes {
                0 => self.size_bytes,
                bytes => bytes,
            },
            percentage: match above.percentage {
                0.0 => self.percentage,
                percentage => percentage,
            },
        }
    }

    /// Returns the limits as Prometheus shows them: `15d or 512MiB`.
    pub(crate) fn text(&self) -> String {
        let mut parts = Vec::new();
        if !self.time.is_zero() {
            parts.push(units::print_duration(self.time));
        }
        if self.size_bytes > 0 {
            parts.push(units::print_size(self.size_bytes));
        }
        if self.percentage > 0.0 {
            parts.push(format!("{}%", float::g(self.percentage)));
        }
        parts.join(" or ")
    }
}
