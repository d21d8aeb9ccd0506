//! The state of alerts after a restart, from the series that an earlier run has stored.
//!
//! An alert that was pending or firing and is active again goes on where it was, but for
//! the time in which nobody looked: that does not count as time pending, and at least
//! the grace period passes before it fires. Rules that wait for less than the grace
//! period begin anew. This is what Prometheus does.

use hashbrown::HashMap;
use kymo_storage::model::{
    Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, TimeRange, is_stale_marker,
};

use super::alert::Alert;
use super::alerting::{ALERT_NAME, ALERTS_FOR_STATE};
use super::definition::AlertSettings;
use super::group::Group;
use super::rule::Rule;
use crate::source::{SampleBuf, SelectHints, Source, SourceError};

const NS_PER_MS: i64 = 1_000_000;
const MS_PER_S: i64 = 1_000;
const NS_PER_S: i64 = 1_000_000_000;

/// How far the past counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Longest time without samples, in milliseconds, after which state is taken over.
    pub outage_tolerance_ms: i64,
    /// Least time in milliseconds before a restored alert fires; rules that wait for
    /// less are not restored.
    pub grace_period_ms: i64,
}

impl Group {
    /// Restores the state of alerts as of `now_ns`, which is once and after two
    /// evaluations: rules that others read from have samples then. Returns what could
    /// not be read, by rule; that state is given up.
    pub fn restore(
        &self,
        source: &dyn Source,
        now_ns: i64,
        options: &RestoreOptions,
    ) -> Vec<(usize, SourceError)> {
        let mut errors = Vec::new();
        for (index, rule) in self.rules().iter().enumerate() {
            let Some(settings) = rule.alert_settings() else {
                continue;
            };
            let earlier = if settings.for_ms < options.grace_period_ms {
                Ok(HashMap::new())
            } else {
                earlier(rule, source, now_ns, options)
            };
            let earlier = earlier.unwrap_or_else(|error| {
                errors.push((index, error));
                HashMap::new()
            });
            rule.restore(|alert| restore(alert, settings, &earlier, now_ns, options));
        }
        errors
    }
}

/// The newest sample that tells since when an alert is active.
#[derive(Debug, Clone, Copy)]
struct Earlier {
    t_ms: i64,
    value: f64,
}

/// Reads what is stored of a rule's alerts, by their labels.
fn earlier(
    rule: &Rule,
    source: &dyn Source,
    now_ns: i64,
    options: &RestoreOptions,
) -> Result<HashMap<Labels, Earlier>, SourceError> {
    let mut found = HashMap::new();
    if rule.active_alerts().is_empty() {
        return Ok(found);
    }
    let now_ms = now_ns.div_euclid(NS_PER_MS);
    let range = TimeRange {
        start_ms: now_ms.saturating_sub(options.outage_tolerance_ms),
        end_ms: now_ms,
    };
    let hints = SelectHints {
        newest_only: true,
        ..SelectHints::default()
    };
    let set = source.select(&matchers(rule)?, range, &hints)?;
    let mut samples = SampleBuf::default();
    for index in 0..set.len() {
        set.read(index, &mut samples)?;
        let (Some(&t_ms), Some(&value)) = (samples.timestamps.last(), samples.values.last()) else {
            continue;
        };
        let mut labels = LabelsBuilder::from_labels(&set.labels(index));
        labels.remove(METRIC_NAME);
        found.insert(labels.labels(), Earlier { t_ms, value });
    }
    Ok(found)
}

/// Selects the series of a rule's alerts. The values of labels with templates differ
/// from alert to alert.
fn matchers(rule: &Rule) -> Result<Vec<Matcher>, SourceError> {
    let own = rule
        .labels()
        .iter()
        .filter(|(name, value)| name != METRIC_NAME && name != ALERT_NAME && !value.contains("{{"));
    let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
    [(METRIC_NAME, ALERTS_FOR_STATE), (ALERT_NAME, rule.name())]
        .into_iter()
        .chain(own)
        .map(|(name, value)| {
            Matcher::new(MatchOp::Equal, name, value).map_err(|error| SourceError {
                message: error.to_string(),
            })
        })
        .collect()
}

fn restore(
    alert: &mut Alert,
    settings: &AlertSettings,
    earlier: &HashMap<Labels, Earlier>,
    now_ns: i64,
    options: &RestoreOptions,
) {
    let Some(earlier) = earlier.get(&alert.labels) else {
        return;
    };
    if is_stale_marker(earlier.value) {
        // It was over before the outage.
        return;
    }
    let down_s = earlier.t_ms.div_euclid(MS_PER_S);
    let down_ns = down_s.saturating_mul(NS_PER_S);
    let was_active_ns = (earlier.value as i64).saturating_mul(NS_PER_S);
    let pending_ns = down_ns.saturating_sub(was_active_ns);
    let for_ns = settings.for_ms.saturating_mul(NS_PER_MS);
    let grace_ns = options.grace_period_ms.saturating_mul(NS_PER_MS);
    let left_ns = for_ns.saturating_sub(pending_ns);
    alert.active_at_ns = if left_ns <= 0 {
        // It was firing; the next evaluation lets it fire again.
        was_active_ns
    } else if left_ns < grace_ns {
        // It fires when the grace period is over.
        now_ns.saturating_add(grace_ns).saturating_sub(for_ns)
    } else {
        // The outage does not count.
        was_active_ns.saturating_add(now_ns.saturating_sub(down_ns))
    };
}
