//! What a source is: a task that reports groups until it is ended.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::group::{Group, GroupId};
use super::stats::SourceStats;

/// Finds targets. Ended by dropping the future, at any point.
pub(super) trait Source: Send + 'static {
    /// Finds targets and reports them, for as long as it is polled.
    fn run(self, reports: Reports) -> impl Future<Output = ()> + Send;
}

/// A source that is asked again and again.
pub(super) trait Refresh: Send + 'static {
    /// The kind, as metrics name it.
    const MECHANISM: &'static str;

    /// Finds what there is now. Groups that are not among the answer stay.
    ///
    /// # Errors
    /// Nothing is known; all groups stay.
    fn refresh(&mut self) -> impl Future<Output = Result<Vec<Group>, String>> + Send;
}

/// A [`Refresh`] with its rhythm.
pub(super) struct Every<R> {
    pub(super) interval: Duration,
    pub(super) source: R,
}

impl<R: Refresh> Source for Every<R> {
    async fn run(mut self, reports: Reports) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let began = Instant::now();
            let result = self.source.refresh().await;
            let took = began.elapsed();
            let (set, stats) = (&reports.set, &reports.stats);
            stats.refreshed(R::MECHANISM, set, took, result.is_err());
            match result {
                Ok(groups) => reports.update(groups),
                Err(error) => {
                    tracing::error!(
                        discovery = R::MECHANISM,
                        config = set,
                        error,
                        "unable to refresh target groups"
                    );
                    reports.tried();
                }
            }
        }
    }
}

/// What a source found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) groups: BTreeMap<GroupId, Arc<Group>>,
    /// Whether it has come to an answer, or a failure, at least once.
    pub(super) tried: bool,
    /// Files it read, with the times of their last changes in seconds.
    pub(super) files: BTreeMap<String, i64>,
}

/// Takes what a source finds.
#[derive(Debug, Clone)]
pub(super) struct Reports {
    /// The set that the source was made for.
    pub(super) set: String,
    pub(super) stats: Arc<SourceStats>,
    pub(super) found: Arc<Mutex<Found>>,
    pub(super) received: Arc<AtomicU64>,
    pub(super) changed: watch::Sender<u64>,
}

impl Reports {
    /// Takes groups: each replaces the one of its id, or removes it where it has no
    /// targets.
    pub(super) fn update(&self, groups: Vec<Group>) {
        self.received.fetch_add(1, Ordering::Relaxed);
        let mut found = self.found.lock();
        let mut changed = !found.tried;
        found.tried = true;
        for group in groups {
            if group.targets.is_empty() {
                changed |= found.groups.remove(&group.id).is_some();
            } else if found.groups.get(&group.id).is_none_or(|old| **old != group) {
                found.groups.insert(group.id.clone(), Arc::new(group));
                changed = true;
            }
        }
        drop(found);
        if changed {
            self.changed.send_modify(|version| *version += 1);
        }
    }

    /// Notes that the source tried and found nothing out.
    pub(super) fn tried(&self) {
        let mut found = self.found.lock();
        let first = !found.tried;
        found.tried = true;
        drop(found);
        if first {
            self.changed.send_modify(|version| *version += 1);
        }
    }
}
