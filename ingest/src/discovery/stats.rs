//! What discovery counts about itself; the server turns it into `prometheus_sd_*`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::kubernetes::KubernetesRole;
use crate::scrape::{Summary, Window};

/// Upper bounds of the buckets of refresh durations, in seconds.
const BOUNDS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];

/// What happens to objects of a cluster, as metrics name it.
const EVENTS: [&str; 3] = ["add", "update", "delete"];

/// Counters that all sources of a process share.
#[derive(Debug, Default)]
pub struct SourceStats {
    pub(super) file_read_errors: AtomicU64,
    pub(super) file_watch_errors: AtomicU64,
    pub(super) dns_lookups: AtomicU64,
    pub(super) dns_failures: AtomicU64,
    pub(super) http_failures: AtomicU64,
    pub(super) kubernetes_failures: AtomicU64,
    /// By role, then whether objects came, changed or went.
    kubernetes_events: [[AtomicU64; EVENTS.len()]; KubernetesRole::ALL.len()],
    file_scans: Mutex<Window>,
    refreshes: Mutex<Refreshes>,
}

#[derive(Debug, Default)]
struct Refreshes {
    /// By kind of source and set.
    by_set: BTreeMap<(&'static str, String), Refresh>,
    by_mechanism: BTreeMap<&'static str, Durations>,
}

#[derive(Debug, Default)]
struct Refresh {
    failures: u64,
    durations: Window,
}

#[derive(Debug, Clone, Copy, Default)]
struct Durations {
    counts: [u64; BOUNDS.len() + 1],
    sum_seconds: f64,
}

impl SourceStats {
    /// Adds one. The order among counters does not matter to anybody.
    pub(super) fn bump(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that something happened to an object of a cluster; the numbers are places in
    /// the table of events.
    pub(super) fn kubernetes_event(&self, role: usize, event: usize) {
        let counter = self
            .kubernetes_events
            .get(role)
            .and_then(|row| row.get(event));
        if let Some(counter) = counter {
            SourceStats::bump(counter);
        }
    }

    /// Notes that files were looked for and read.
    pub(super) fn scanned(&self, took: Duration) {
        self.file_scans.lock().observe(took.as_secs_f64());
    }

    /// Makes a set that is refreshed known, so that its zeros are shown.
    pub(super) fn begin(&self, mechanism: &'static str, set: &str) {
        let mut refreshes = self.refreshes.lock();
        let key = (mechanism, set.to_owned());
        refreshes.by_set.entry(key).or_default();
        refreshes.by_mechanism.entry(mechanism).or_default();
    }

    /// Forgets a set that is no more.
    pub(super) fn end(&self, mechanism: &'static str, set: &str) {
        let mut refreshes = self.refreshes.lock();
        refreshes.by_set.remove(&(mechanism, set.to_owned()));
    }

    /// Notes a refresh.
    pub(super) fn refreshed(
        &self,
        mechanism: &'static str,
        set: &str,
        took: Duration,
        failed: bool,
    ) {
        let seconds = took.as_secs_f64();
        let mut refreshes = self.refreshes.lock();
        // A refresh of a set that was removed meanwhile counts no more.
        if let Some(refresh) = refreshes.by_set.get_mut(&(mechanism, set.to_owned())) {
            refresh.failures += u64::from(failed);
            refresh.durations.observe(seconds);
        }
        let durations = refreshes.by_mechanism.entry(mechanism).or_default();
        durations.counts[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
        durations.sum_seconds += seconds;
    }

    fn kubernetes_events(&self) -> Vec<(&'static str, &'static str, u64)> {
        let rows = KubernetesRole::ALL.iter().zip(&self.kubernetes_events);
        rows.flat_map(|(role, row)| {
            let counters = EVENTS.iter().zip(row);
            counters.map(|(event, n)| (role.name(), *event, n.load(Ordering::Relaxed)))
        })
        .collect()
    }

    /// Returns the counts so far.
    pub fn snapshot(&self) -> SourcesStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refreshes = self.refreshes.lock();
        let by_set = refreshes.by_set.iter();
        let by_mechanism = refreshes.by_mechanism.iter();
        SourcesStats {
            file_read_errors: get(&self.file_read_errors),
            file_watch_errors: get(&self.file_watch_errors),
            dns_lookups: get(&self.dns_lookups),
            dns_failures: get(&self.dns_failures),
            http_failures: get(&self.http_failures),
            kubernetes_failures: get(&self.kubernetes_failures),
            kubernetes_events: self.kubernetes_events(),
            file_scans: self.file_scans.lock().summary(),
            refreshes: by_set
                .map(|((mechanism, set), refresh)| RefreshStats {
                    mechanism,
                    set: set.clone(),
                    failures: refresh.failures,
                    durations: refresh.durations.summary(),
                })
                .collect(),
            refresh_durations: by_mechanism
                .map(|(mechanism, durations)| {
                    let mut total = 0;
                    let buckets = durations.counts.iter().enumerate().map(|(i, count)| {
                        total += count;
                        (BOUNDS.get(i).copied().unwrap_or(f64::INFINITY), total)
                    });
                    RefreshDurations {
                        mechanism,
                        buckets: buckets.collect(),
                        sum_seconds: durations.sum_seconds,
                    }
                })
                .collect(),
        }
    }
}

/// Counts of all sources since the start.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SourcesStats {
    /// Files of targets that could not be read.
    pub file_read_errors: u64,
    /// Times that watching for changes of files could not be set up.
    pub file_watch_errors: u64,
    /// Names that were asked for.
    pub dns_lookups: u64,
    /// Names that no server answered.
    pub dns_failures: u64,
    /// Requests without a usable answer.
    pub http_failures: u64,
    /// Lists and watches of clusters that failed.
    pub kubernetes_failures: u64,
    /// What happened to objects of clusters: role, event, and how often.
    pub kubernetes_events: Vec<(&'static str, &'static str, u64)>,
    /// How long finding and reading files took.
    pub file_scans: Summary,
    /// Sources that are asked again and again, by kind and set.
    pub refreshes: Vec<RefreshStats>,
    /// How long refreshes took, by kind.
    pub refresh_durations: Vec<RefreshDurations>,
}

/// How long refreshes of a kind took.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RefreshDurations {
    /// The kind of source.
    pub mechanism: &'static str,
    /// Upper bounds in seconds, with how many took no longer.
    pub buckets: Vec<(f64, u64)>,
    /// The sum of all.
    pub sum_seconds: f64,
}

/// How the refreshes of a set went.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RefreshStats {
    /// The kind of source.
    pub mechanism: &'static str,
    /// The set, such as a job.
    pub set: String,
    /// Refreshes that brought nothing.
    pub failures: u64,
    /// How long they took.
    pub durations: Summary,
}

/// Counts of one [`Discovery`](super::Discovery).
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct DiscoveryStats {
    /// Sources of the configuration in force that could not be set up.
    pub failed_configs: u64,
    /// Times that a source found something.
    pub received: u64,
    /// Bundles of changes that had to wait for their turn.
    pub delayed: u64,
    /// Bundles of changes handed out.
    pub sent: u64,
    /// The sets, in order of name.
    pub sets: Vec<SetStats>,
    /// Files that were read, with the times of their last changes in seconds since the
    /// epoch.
    pub files: BTreeMap<String, i64>,
}

/// Counts of one set.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SetStats {
    /// Its name.
    pub name: String,
    /// Targets, those of the configuration included.
    pub targets: u64,
    /// When its targets were last handed out, milliseconds since the epoch.
    pub updated_ms: Option<i64>,
}
