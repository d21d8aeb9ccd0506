//! Alerting rules: the state of each alert from one evaluation to the next.
//!
//! ```text
//!            found                    found for long enough
//! (nothing) -------> pending ---------------------------------> firing
//!     ^                 |                                          |
//!     |                 | gone                                     | gone, and
//!     +-----------------+                                          | keep_firing_for is over
//!     |                                                            v
//!     +-------------------------------------------------------- inactive
//!            15 minutes later                 found again: a new alert
//! ```
//!
//! This is the machine of Prometheus' `rules/alerting.go`. An alert is its label set;
//! alerts are visited in the order of their labels, so that results do not depend on
//! chance.

use std::collections::BTreeMap;
use std::sync::Arc;

use kymo_storage::model::{Labels, LabelsBuilder, METRIC_NAME};

use super::alert::{Alert, AlertState};
use super::definition::{AlertSettings, Pairs};
use super::error::RuleError;
use crate::promql::{PointValue, VectorSample};

/// Name of the series that say which alerts are active.
pub(super) const ALERTS: &str = "ALERTS";
/// Name of the series that say since when.
pub(super) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// Label with the name of the alert.
pub(super) const ALERT_NAME: &str = "alertname";
/// Label of [`ALERTS`] with the state.
const ALERT_STATE: &str = "alertstate";

const NS_PER_MS: i64 = 1_000_000;
const NS_PER_S: i64 = 1_000_000_000;

/// How long an alert is remembered after its end: its end can then be sent again, for a
/// receiver that was away.
const RESOLVED_RETENTION_NS: i64 = 15 * 60 * NS_PER_S;

/// An alert as an evaluation has found it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) labels: Labels,
    pub(super) annotations: Pairs,
    pub(super) value: f64,
}

/// When and how an evaluation of a rule takes place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Time of the evaluation.
    pub(super) at_ns: i64,
    /// Time of the query and of the results.
    pub(super) t_ms: i64,
    /// Most alerts; 0 and below: no limit.
    pub(super) limit: i64,
    /// Whether series are made: not before the state of an earlier run is restored.
    pub(super) writes: bool,
}

/// The alerts of one rule.
#[derive(Debug, Default, Clone)]
pub(super) struct Alerts {
    active: BTreeMap<Labels, Tracked>,
}

/// An alert with the series that tell of it.
#[derive(Debug, Clone)]
struct Tracked {
    alert: Alert,
    /// For which state `state_series` is.
    series_of: AlertState,
    state_series: Labels,
    since_series: Labels,
}

impl Alerts {
    /// Goes on to the next evaluation: takes over what was found, changes states, and
    /// returns the samples that tell of the active alerts.
    ///
    /// # Errors
    /// There are more alerts than the limit. All of them are forgotten then.
    pub(super) fn advance(
        &mut self,
        name: &str,
        labels: &Pairs,
        settings: &AlertSettings,
        found: BTreeMap<Labels, Found>,
        turn: Turn,
    ) -> Result<Vec<VectorSample>, RuleError> {
        let for_ns = settings.for_ms.saturating_mul(NS_PER_MS);
        let keep_ns = settings.keep_firing_for_ms.saturating_mul(NS_PER_MS);
        let at_ns = turn.at_ns;
        let is_found: Vec<Labels> = found.keys().cloned().collect();
        for (labels_found, found) in found {
            match self.active.get_mut(&labels_found) {
                Some(known) if known.alert.state != AlertState::Inactive => {
                    known.alert.value = found.value;
                    if *known.alert.annotations != found.annotations {
                        known.alert.annotations = Arc::new(found.annotations);
                    }
                }
                _ => {
                    let tracked = Tracked::new(name, labels, found, at_ns);
                    self.active.insert(labels_found, tracked);
                }
            }
        }
        let mut samples = Vec::new();
        let mut n_active = 0;
        let mut is_found = is_found.iter().peekable();
        self.active.retain(|key, tracked| {
            // Both are in the same order.
            let alert = &mut tracked.alert;
            if is_found.next_if(|found| *found == key).is_some() {
                alert.keep_firing_since_ns = None;
            } else if !keeps_firing(alert, at_ns, keep_ns) {
                return lives_on_after_its_end(alert, at_ns);
            }
            n_active += 1;
            let age_ns = at_ns - alert.active_at_ns;
            if alert.state == AlertState::Pending && age_ns >= for_ns {
                alert.state = AlertState::Firing;
                alert.fired_at_ns = Some(at_ns);
            }
            if alert.state == AlertState::Firing && age_ns < for_ns {
                // The rule now asks for more patience than it did.
                alert.state = AlertState::Pending;
                alert.fired_at_ns = None;
                alert.last_sent_at_ns = None;
                alert.keep_firing_since_ns = None;
            }
            if turn.writes {
                tracked.push_samples(name, labels, turn.t_ms, &mut samples);
            }
            true
        });
        if turn.limit > 0 && n_active as u64 > turn.limit.unsigned_abs() {
            self.active.clear();
            return Err(RuleError::TooManyAlerts {
                limit: turn.limit,
                found: n_active,
            });
        }
        Ok(samples)
    }

    /// Returns the alerts that are to be sent now and notes that they are.
    pub(super) fn take_due(
        &mut self,
        at_ns: i64,
        resend_delay_ms: i64,
        interval_ms: i64,
    ) -> Vec<Alert> {
        let resend_ns = resend_delay_ms.saturating_mul(NS_PER_MS);
        // The receiver believes in the alert although two sendings may fail.
        let believed_ms = interval_ms.max(resend_delay_ms).saturating_mul(4);
        let valid_until_ns = at_ns.saturating_add(believed_ms.saturating_mul(NS_PER_MS));
        let alerts = self.active.values_mut().map(|tracked| &mut tracked.alert);
        alerts
            .filter(|alert| alert.needs_sending(at_ns, resend_ns))
            .map(|alert| {
                alert.last_sent_at_ns = Some(at_ns);
                alert.valid_until_ns = Some(valid_until_ns);
                alert.clone()
            })
            .collect()
    }

    /// Returns the alerts that are pending or firing.
    pub(super) fn active(&self) -> Vec<Alert> {
        self.all()
            .filter(|alert| alert.resolved_at_ns.is_none())
            .cloned()
            .collect()
    }

    /// Iterates over all alerts that are remembered.
    pub(super) fn all(&self) -> impl Iterator<Item = &Alert> {
        self.active.values().map(|tracked| &tracked.alert)
    }

    /// Iterates over all alerts that are remembered, to change them.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Alert> {
        self.active.values_mut().map(|tracked| &mut tracked.alert)
    }

    /// Takes over the alerts of an earlier version of the rule.
    pub(super) fn copy_from(&mut self, from: &Alerts) {
        for (labels, tracked) in &from.active {
            self.active.insert(labels.clone(), tracked.clone());
        }
    }
}

impl Tracked {
    fn new(name: &str, labels: &Pairs, found: Found, at_ns: i64) -> Tracked {
        let alert = Alert {
            labels: found.labels,
            annotations: Arc::new(found.annotations),
            state: AlertState::Pending,
            value: found.value,
            active_at_ns: at_ns,
            fired_at_ns: None,
            resolved_at_ns: None,
            last_sent_at_ns: None,
            valid_until_ns: None,
            keep_firing_since_ns: None,
        };
        let mut builder = series_labels(name, labels, &alert.labels);
        builder.set(METRIC_NAME, ALERTS_FOR_STATE);
        let since_series = builder.labels();
        Tracked {
            alert,
            // No alert that has series is inactive, so they are made when first needed.
            series_of: AlertState::Inactive,
            state_series: Labels::empty(),
            since_series,
        }
    }

    fn push_samples(
        &mut self,
        name: &str,
        labels: &Pairs,
        t_ms: i64,
        samples: &mut Vec<VectorSample>,
    ) {
        let alert = &self.alert;
        if self.series_of != alert.state {
            let mut builder = series_labels(name, labels, &alert.labels);
            builder.set(METRIC_NAME, ALERTS);
            builder.set(ALERT_STATE, alert.state.as_str());
            self.state_series = builder.labels();
            self.series_of = alert.state;
        }
        let since_s = alert.active_at_ns.div_euclid(NS_PER_S) as f64;
        for (labels, value) in [(&self.state_series, 1.0), (&self.since_series, since_s)] {
            samples.push(VectorSample {
                labels: labels.clone(),
                t_ms,
                value: PointValue::Float(value),
            });
        }
    }
}

/// Returns the labels of an alert's series but for name and state. As in Prometheus
/// they begin with the labels of the rule as written; a label whose template comes out
/// empty is not among the alert's, so that the template itself stays.
fn series_labels(name: &str, rule: &Pairs, alert: &Labels) -> LabelsBuilder {
    let mut builder = LabelsBuilder::new();
    for (name, value) in rule {
        builder.set(name, value);
    }
    for (name, value) in alert {
        builder.set(name, value);
    }
    builder.set(ALERT_NAME, name);
    builder
}

/// Tells whether an alert that was not found goes on firing.
fn keeps_firing(alert: &mut Alert, at_ns: i64, keep_ns: i64) -> bool {
    if alert.state != AlertState::Firing || keep_ns <= 0 {
        return false;
    }
    let since_ns = *alert.keep_firing_since_ns.get_or_insert(at_ns);
    at_ns - since_ns < keep_ns
}

/// Ends an alert that was not found, and tells whether it is still remembered.
fn lives_on_after_its_end(alert: &mut Alert, at_ns: i64) -> bool {
    let is_forgotten = alert.state == AlertState::Pending
        || alert
            .resolved_at_ns
            .is_some_and(|resolved_ns| at_ns - resolved_ns > RESOLVED_RETENTION_NS);
    if alert.state != AlertState::Inactive {
        alert.state = AlertState::Inactive;
        alert.resolved_at_ns = Some(at_ns);
    }
    !is_forgotten
}
