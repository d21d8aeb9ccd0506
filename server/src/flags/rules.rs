//! How rules are evaluated, and how their alerts are sent.

use std::time::Duration;

use clap::Args;
use clap::builder::ArgAction;
use kymo_query::rules::RestoreOptions;

use super::values::parse_duration;
use crate::config::units;
use crate::notify::NotifyOptions;

/// Alerts in one request where nothing else is said.
const DEFAULT_BATCH_SIZE: usize = 256;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rules and alerts")]
pub(crate) struct RuleFlags {
    /// How old the state of an alert may be to be taken over after a restart, such as 1h.
    #[arg(
        long = "rules.alert.for-outage-tolerance",
        value_name = "DURATION",
        default_value = "1h",
        value_parser = parse_duration
    )]
    pub(super) alert_outage_tolerance: Duration,

    /// Least time before an alert fires whose state was taken over, such as 10m; alerts
    /// with a shorter "for" begin anew.
    #[arg(
        long = "rules.alert.for-grace-period",
        value_name = "DURATION",
        default_value = "10m",
        value_parser = parse_duration
    )]
    pub(super) alert_grace_period: Duration,

    /// Least time before an alert is sent again, such as 1m.
    #[arg(
        long = "rules.alert.resend-delay",
        value_name = "DURATION",
        default_value = "1m",
        value_parser = parse_duration
    )]
    pub(super) alert_resend_delay: Duration,

    /// Most rules that are evaluated beside others of their group, in all groups
    /// together; with --enable-feature=concurrent-rule-eval.
    #[arg(
        long = "rules.max-concurrent-evals",
        value_name = "N",
        default_value_t = 4
    )]
    pub(super) max_concurrent_rules: usize,

    /// Most alerts that wait for one Alertmanager.
    #[arg(
        long = "alertmanager.notification-queue-capacity",
        value_name = "N",
        default_value_t = 10_000
    )]
    pub(super) notification_queue_capacity: usize,

    /// Most alerts in one request to an Alertmanager.
    #[arg(
        long = "alertmanager.notification-batch-size",
        value_name = "N",
        default_value_t = DEFAULT_BATCH_SIZE
    )]
    pub(super) notification_batch_size: usize,

    /// Whether alerts that wait are sent before the server stops.
    #[arg(
        long = "alertmanager.drain-notification-queue-on-shutdown",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    pub(super) drain_notification_queue: bool,
}

impl RuleFlags {
    /// Returns what of alerts is taken over after a restart.
    pub(super) fn restore_options(&self) -> RestoreOptions {
        RestoreOptions {
            outage_tolerance_ms: units::millis(self.alert_outage_tolerance),
            grace_period_ms: units::millis(self.alert_grace_period),
        }
    }

    /// Returns how long an alert rests before it is sent again.
    pub(super) fn resend_delay_ms(&self) -> i64 {
        units::millis(self.alert_resend_delay)
    }

    /// Returns how alerts are queued and sent.
    pub(crate) fn notify_options(&self) -> NotifyOptions {
        NotifyOptions {
            capacity: self.notification_queue_capacity,
            batch_size: match self.notification_batch_size {
                0 => DEFAULT_BATCH_SIZE,
                size => size,
            },
            drain: self.drain_notification_queue,
        }
    }
}
