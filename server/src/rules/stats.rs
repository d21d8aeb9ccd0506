//! What is counted of rules, under the names of Prometheus' metrics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::observe::summary::{Histogram, Summary};

/// Upper bounds of the buckets of durations in seconds.
const BOUNDS: &[f64] = &[0.01, 0.1, 1.0, 10.0];

/// Durations of all rules and groups.
#[derive(Debug)]
pub(crate) struct RuleDurations {
    pub(crate) rules: Summary,
    pub(crate) rule_buckets: Mutex<Histogram>,
    pub(crate) groups: Summary,
    pub(crate) group_buckets: Mutex<Histogram>,
}

impl Default for RuleDurations {
    fn default() -> RuleDurations {
        RuleDurations {
            rules: Summary::default(),
            rule_buckets: Mutex::new(Histogram::new(BOUNDS)),
            groups: Summary::default(),
            group_buckets: Mutex::new(Histogram::new(BOUNDS)),
        }
    }
}

impl RuleDurations {
    /// Counts the evaluation of a rule.
    pub(super) fn rule(&self, took: Duration) {
        self.rules.observe(took);
        self.rule_buckets.lock().observe(took.as_secs_f64());
    }

    /// Counts the evaluation of a group.
    pub(super) fn group(&self, took: Duration) {
        self.groups.observe(took);
        self.group_buckets.lock().observe(took.as_secs_f64());
    }
}

/// What is counted of one group, over all its versions.
#[derive(Debug, Default)]
pub(super) struct GroupStats {
    pub(super) iterations: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) evaluations: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) samples: AtomicU64,
    pub(super) took_ns: AtomicU64,
    pub(super) rules_took_ns: AtomicU64,
    pub(super) restore_took_ns: AtomicU64,
    /// 0 before the first evaluation.
    pub(super) evaluated_at_ns: AtomicI64,
}

/// What [`GroupStats`] says at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct GroupFigures {
    /// Evaluations that were due, missed ones included.
    pub(crate) iterations: u64,
    /// Evaluations that did not take place because the one before took too long.
    pub(crate) missed: u64,
    /// Evaluations of rules.
    pub(crate) evaluations: u64,
    /// Evaluations of rules that have failed.
    pub(crate) failures: u64,
    /// Samples of the last evaluation.
    pub(crate) samples: u64,
    /// How long the last evaluation took, in seconds.
    pub(crate) took_s: f64,
    /// How long its rules took together.
    pub(crate) rules_took_s: f64,
    /// How long it took to restore the state of alerts.
    pub(crate) restore_took_s: f64,
    /// When the last evaluation began, in nanoseconds since the epoch.
    pub(crate) evaluated_at_ns: Option<i64>,
}

impl GroupStats {
    pub(super) fn figures(&self) -> GroupFigures {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let seconds = |counter: &AtomicU64| count(counter) as f64 / 1e9;
        let evaluated_at_ns = self.evaluated_at_ns.load(Ordering::Relaxed);
        GroupFigures {
            iterations: count(&self.iterations),
            missed: count(&self.missed),
            evaluations: count(&self.evaluations),
            failures: count(&self.failures),
            samples: count(&self.samples),
            took_s: seconds(&self.took_ns),
            rules_took_s: seconds(&self.rules_took_ns),
            restore_took_s: seconds(&self.restore_took_ns),
            evaluated_at_ns: (evaluated_at_ns != 0).then_some(evaluated_at_ns),
        }
    }
}

/// Returns a duration in nanoseconds.
pub(super) fn nanos(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}
