//! One alert: a label set that an alerting rule has found, and how far it is.

use std::sync::Arc;

use kymo_storage::model::Labels;

use super::definition::Pairs;

/// How far an alert is. The order is that of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// Over; kept so that the end can be sent again.
    Inactive,
    /// Found, but not for long enough.
    Pending,
    /// To be sent.
    Firing,
}

impl AlertState {
    /// Returns the word of the API and of the label `alertstate`.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// One alert. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Its labels with `alertname`; they are what makes it this alert.
    pub labels: Labels,
    /// Texts for people, expanded, sorted by name; a text may be empty.
    pub annotations: Arc<Pairs>,
    /// How far it is.
    pub state: AlertState,
    /// The value found last; 0 where that is a histogram.
    pub value: f64,
    /// Since when it is active.
    pub active_at_ns: i64,
    /// Since when it fires.
    pub fired_at_ns: Option<i64>,
    /// When it was over.
    pub resolved_at_ns: Option<i64>,
    /// When it was sent last.
    pub last_sent_at_ns: Option<i64>,
    /// Until when a receiver is to believe it, as of the last sending.
    pub valid_until_ns: Option<i64>,
    /// Since when it fires only because of `keep_firing_for`.
    pub keep_firing_since_ns: Option<i64>,
}

impl Alert {
    /// Returns when the alert ends as far as is known when it is sent.
    pub fn ends_at_ns(&self) -> Option<i64> {
        self.resolved_at_ns.or(self.valid_until_ns)
    }

    /// Tells whether the alert is to be sent at a time: a firing one at once and then
    /// after each delay, a resolved one at once and then likewise.
    pub(super) fn needs_sending(&self, at_ns: i64, resend_delay_ns: i64) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        if self.resolved_at_ns > self.last_sent_at_ns {
            return true;
        }
        match self.last_sent_at_ns {
            None => true,
            Some(sent_ns) => sent_ns.saturating_add(resend_delay_ns) < at_ns,
        }
    }
}
