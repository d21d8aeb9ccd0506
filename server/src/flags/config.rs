//! The configuration file and when it is read again.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use clap::builder::ArgAction;

use super::values::parse_duration;

/// Least distance between two looks at the files.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct ConfigFlags {
    /// Configuration file (prometheus.yml); default: none, Kymo scrapes itself and this host.
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<String>,

    /// Load the configuration again when it, a file of rules or jobs that it names, or the one
    /// of Promtail changes.
    #[arg(long = "config.auto-reload", value_name = "BOOL",
          action = ArgAction::Set, hide_possible_values = true, num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true")]
    auto_reload: bool,

    /// Time between looks at the files, with --config.auto-reload.
    #[arg(
        long = "config.auto-reload-interval",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = parse_duration
    )]
    auto_reload_interval: Duration,
}

impl ConfigFlags {
    /// Returns the configuration file; an empty name is none.
    pub(super) fn file(&self) -> Option<&Path> {
        let file = self.config_file.as_deref();
        file.filter(|file| !file.is_empty()).map(Path::new)
    }

    /// Returns how often files are looked at, where they are.
    pub(crate) fn auto_reload(&self) -> Option<Duration> {
        let interval = self.auto_reload_interval.max(LEAST_INTERVAL);
        self.auto_reload.then_some(interval)
    }
}
