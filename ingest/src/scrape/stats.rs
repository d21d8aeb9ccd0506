//! What scraping counts about itself; the server turns it into `prometheus_target_*`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Observations that quantiles are taken from: the newest ones.
const WINDOW: usize = 512;

/// Counters shared by all pools.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) exceeded_sample_limit: AtomicU64,
    pub(super) exceeded_bucket_limit: AtomicU64,
    pub(super) exceeded_body_limit: AtomicU64,
    pub(super) exceeded_label_limits: AtomicU64,
    pub(super) exceeded_target_limit: AtomicU64,
    pub(super) duplicate_timestamp: AtomicU64,
    pub(super) out_of_bounds: AtomicU64,
    pub(super) out_of_order: AtomicU64,
    pub(super) exemplar_out_of_order: AtomicU64,
    pub(super) cache_flush_forced: AtomicU64,
    pub(super) pools_created: AtomicU64,
    pub(super) pools_failed: AtomicU64,
    pub(super) reloads: AtomicU64,
    pub(super) reloads_failed: AtomicU64,
    pub(super) commits_failed: AtomicU64,
    /// Time between scrapes by the interval that was asked for.
    pub(super) intervals: ByInterval,
    /// How long pools took to take a new configuration, by their interval.
    pub(super) reload_lengths: ByInterval,
    /// How long scrapes took until they were stored, of jobs with extra metrics.
    pub(super) scrape_lengths: Mutex<Window>,
}

/// Durations by an interval in Go's form.
#[derive(Debug, Default)]
pub(super) struct ByInterval(Mutex<BTreeMap<String, Window>>);

impl ByInterval {
    /// Adds an observation in seconds.
    pub(super) fn observe(&self, interval: &str, seconds: f64) {
        let mut windows = self.0.lock();
        if !windows.contains_key(interval) {
            windows.insert(interval.to_owned(), Window::default());
        }
        if let Some(window) = windows.get_mut(interval) {
            window.observe(seconds);
        }
    }

    fn summaries(&self) -> Vec<(String, Summary)> {
        let windows = self.0.lock();
        let summaries = windows
            .iter()
            .map(|(interval, window)| (interval.clone(), window.summary()));
        summaries.collect()
    }
}

impl Counters {
    /// Adds one. The order among counters does not matter to anybody.
    pub(super) fn bump(counter: &AtomicU64) {
        Counters::add(counter, 1);
    }

    /// Adds `count`.
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// The newest observations of some duration, and sum and count of all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    recent: VecDeque<f64>,
    /// How many fall into each bucket, the last being that above all bounds.
    counts: [u64; BOUNDS.len()],
    sum: f64,
    count: u64,
}

impl Window {
    /// Adds an observation in seconds.
    pub(crate) fn observe(&mut self, seconds: f64) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(seconds);
        let at = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum += seconds;
        self.count += 1;
    }

    /// Returns what a summary shows.
    pub(crate) fn summary(&self) -> Summary {
        let mut sorted: Vec<f64> = self.recent.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let quantiles = QUANTILES.map(|quantile| {
            let last = sorted.len().saturating_sub(1);
            let at = (quantile * last as f64).round() as usize;
            (quantile, sorted.get(at).copied().unwrap_or(f64::NAN))
        });
        let mut total = 0;
        let counts = self.counts.map(|count| {
            total += count;
            total
        });
        Summary {
            quantiles,
            buckets: std::array::from_fn(|i| (BOUNDS[i], counts[i])),
            sum_seconds: self.sum,
            count: self.count,
        }
    }
}

/// Upper bounds of buckets in seconds, those of Prometheus' own metrics.
const BOUNDS: [f64; 5] = [0.01, 0.1, 1.0, 10.0, f64::INFINITY];

const QUANTILES: [f64; 5] = [0.01, 0.05, 0.5, 0.9, 0.99];

/// A summary of durations in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Quantiles of the newest observations; NaN where there are none.
    pub quantiles: [(f64, f64); 5],
    /// Upper bounds, with how many of all observations are not above them.
    pub buckets: [(f64, u64); 5],
    /// Sum of all observations.
    pub sum_seconds: f64,
    /// Number of all observations.
    pub count: u64,
}

/// Counts of all scraping since the start.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScrapeStats {
    /// Scrapes refused for `sample_limit`.
    pub exceeded_sample_limit: u64,
    /// Scrapes refused for `native_histogram_bucket_limit`.
    pub exceeded_bucket_limit: u64,
    /// Scrapes refused for `body_size_limit`.
    pub exceeded_body_limit: u64,
    /// Scrapes refused for a limit on labels.
    pub exceeded_label_limits: u64,
    /// Times a pool had more targets than `target_limit`.
    pub exceeded_target_limit: u64,
    /// Samples left out: the series has another value at this time.
    pub duplicate_timestamp: u64,
    /// Samples left out: too old, or too far in the future.
    pub out_of_bounds: u64,
    /// Samples left out: the series has newer ones.
    pub out_of_order: u64,
    /// Exemplars left out: the series has a newer one.
    pub exemplar_out_of_order: u64,
    /// Times a cache was emptied because failing scrapes filled it.
    pub cache_flush_forced: u64,
    /// Pools made.
    pub pools_created: u64,
    /// Pools that could not be made.
    pub pools_failed: u64,
    /// Pools given a new configuration.
    pub reloads: u64,
    /// Pools that could not take a new configuration.
    pub reloads_failed: u64,
    /// Scrapes that the store did not take.
    pub commits_failed: u64,
    /// Time between scrapes, by the interval that was asked for in Go's form (`1m0s`).
    pub interval_lengths: Vec<(String, Summary)>,
    /// How long pools took to take a new configuration, by their interval.
    pub reload_lengths: Vec<(String, Summary)>,
    /// How long scrapes took until they were stored, of jobs with extra metrics.
    pub scrape_lengths: Summary,
    /// The pools, in order of name.
    pub pools: Vec<PoolStats>,
}

/// Counts of one pool.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PoolStats {
    /// The job.
    pub job: String,
    /// Targets scraped.
    pub targets: u64,
    /// `target_limit`; 0 = none.
    pub target_limit: u64,
    /// Times the targets were worked out.
    pub syncs: u64,
    /// Targets that could not be made, all times together.
    pub sync_failures: u64,
    /// How long working out the targets took.
    pub sync_lengths: Summary,
    /// Families with metadata, all targets together.
    pub metadata_entries: u64,
    /// Bytes of their texts.
    pub metadata_bytes: u64,
}

impl Counters {
    /// Returns the counts so far, without pools.
    pub(super) fn snapshot(&self) -> ScrapeStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ScrapeStats {
            exceeded_sample_limit: get(&self.exceeded_sample_limit),
            exceeded_bucket_limit: get(&self.exceeded_bucket_limit),
            exceeded_body_limit: get(&self.exceeded_body_limit),
            exceeded_label_limits: get(&self.exceeded_label_limits),
            exceeded_target_limit: get(&self.exceeded_target_limit),
            duplicate_timestamp: get(&self.duplicate_timestamp),
            out_of_bounds: get(&self.out_of_bounds),
            out_of_order: get(&self.out_of_order),
            exemplar_out_of_order: get(&self.exemplar_out_of_order),
            cache_flush_forced: get(&self.cache_flush_forced),
            pools_created: get(&self.pools_created),
            pools_failed: get(&self.pools_failed),
            reloads: get(&self.reloads),
            reloads_failed: get(&self.reloads_failed),
            commits_failed: get(&self.commits_failed),
            interval_lengths: self.intervals.summaries(),
            reload_lengths: self.reload_lengths.summaries(),
            scrape_lengths: self.scrape_lengths.lock().summary(),
            pools: Vec::new(),
        }
    }
}
