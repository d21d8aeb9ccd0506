//! All jobs: give them a configuration, look at their targets, stop them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::Labels;
use tokio::sync::{Mutex, Semaphore};

use super::config::ScrapeConfig;
use super::metadata::Metadata;
use super::pool::{Pool, PoolView};
use super::round::Shared;
use super::stats::{Counters, ScrapeStats};
use super::{Clock, Gate, LocalSource};
use crate::discovery::Snapshot;

/// A job to run: its configuration, and where its text comes from.
#[derive(Clone)]
pub struct Job {
    /// How to scrape.
    pub config: ScrapeConfig,
    /// Makes the text of the job's targets in this process; `None` asks over HTTP.
    pub local: Option<Arc<dyn LocalSource>>,
}

impl From<ScrapeConfig> for Job {
    fn from(config: ScrapeConfig) -> Job {
        Job {
            config,
            local: None,
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("config", &self.config)
            .field("local", &self.local.is_some())
            .finish()
    }
}

/// Jobs that could not take their configuration; the others did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to apply the new configuration to scrape jobs: {}", self.list())]
pub struct ApplyError {
    /// Names of the jobs with the reasons.
    pub jobs: Vec<(String, String)>,
}

impl ApplyError {
    fn list(&self) -> String {
        let jobs = self.jobs.iter();
        let texts =
            jobs.map(|(job, reason)| format!("job {job}: error creating HTTP client: {reason}"));
        texts.collect::<Vec<_>>().join("; ")
    }
}

/// Whether a target's last scrape worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetHealth {
    /// Not scraped yet.
    Unknown,
    /// It worked.
    Up,
    /// It failed.
    Down,
}

impl TargetHealth {
    /// Returns the word the HTTP API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetHealth::Unknown => "unknown",
            TargetHealth::Up => "up",
            TargetHealth::Down => "down",
        }
    }
}

/// What is known of a target.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TargetStatus {
    /// The labels its series get.
    pub labels: Labels,
    /// Its labels before relabelling.
    pub discovered_labels: Labels,
    /// What is asked.
    pub url: String,
    /// Whether the last scrape worked.
    pub health: TargetHealth,
    /// Why the last scrape failed, empty where it did not.
    pub last_error: String,
    /// When the last scrape began, nanoseconds since the epoch.
    pub last_scrape_ns: Option<i64>,
    /// How long it took.
    pub last_scrape_duration: Duration,
    /// Time between scrapes, as configured or relabelled.
    pub interval: String,
    /// Longest scrape, as configured or relabelled.
    pub timeout: String,
}

/// The targets of a job.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// The job.
    pub job: String,
    /// Targets that are scraped: in the order of the configuration, then those found.
    pub active: Vec<TargetStatus>,
    /// Discovered labels of dropped targets, at most `keep_dropped_targets`.
    pub dropped: Vec<Labels>,
    /// How many targets were dropped.
    pub dropped_count: usize,
}

/// What a target said about its metrics.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TargetMetadata {
    /// The labels the target's series get.
    pub labels: Labels,
    /// Its families, sorted by name.
    pub families: Vec<Metadata>,
}

#[derive(Default)]
struct Running {
    pools: BTreeMap<String, Pool>,
    /// Spreads the scrapes of new targets over time.
    seed: u64,
}

/// The jobs that run. All methods may be called from anywhere; changes wait for each
/// other.
pub struct ScrapePools {
    shared: Arc<Shared>,
    pools: Mutex<Running>,
    views: ArcSwap<Vec<Arc<PoolView>>>,
}

impl ScrapePools {
    /// Returns pools without jobs that write into `store`, take the time from `clock`
    /// and ask `gate` before each scrape. Must be called, as everything here, inside a
    /// tokio runtime.
    pub fn new(store: Arc<MetricStore>, clock: Clock, gate: Gate) -> ScrapePools {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        ScrapePools {
            shared: Arc::new(Shared {
                store,
                clock,
                gate,
                counters: Counters::default(),
                compute: Semaphore::new(cores),
            }),
            pools: Mutex::default(),
            views: ArcSwap::from_pointee(Vec::new()),
        }
    }

    /// Runs exactly these jobs from now on. Jobs that are running unchanged go on,
    /// and in changed ones the targets that are the same. `seed` spreads the scrapes
    /// of new targets over time, see [`offset_seed`](super::offset_seed). Returns
    /// when scrapes of jobs that had to stop are through.
    ///
    /// # Errors
    /// Some jobs could not be set up; all others are running.
    pub async fn apply(
        &self,
        jobs: impl IntoIterator<Item = Job>,
        seed: u64,
    ) -> Result<(), ApplyError> {
        let counters = &self.shared.counters;
        let mut failed = Vec::new();
        let mut running = self.pools.lock().await;
        running.seed = seed;
        let pools = &mut running.pools;
        let mut old = std::mem::take(pools);
        for job in jobs {
            let name = job.config.job_name.clone();
            let result = match old.remove(&name) {
                Some(pool) if pool.does(&job) => {
                    pools.insert(name, pool);
                    continue;
                }
                Some(mut pool) => {
                    Counters::bump(&counters.reloads);
                    let result = pool.reload(job, seed).await;
                    pools.insert(name.clone(), pool);
                    if result.is_err() {
                        Counters::bump(&counters.reloads_failed);
                    }
                    result
                }
                None => {
                    Counters::bump(&counters.pools_created);
                    match Pool::start(&self.shared, job, seed) {
                        Ok(pool) => {
                            pools.insert(name.clone(), pool);
                            Ok(())
                        }
                        Err(error) => {
                            Counters::bump(&counters.pools_failed);
                            Err(error)
                        }
                    }
                }
            };
            if let Err(error) = result {
                failed.push((name, error.to_string()));
            }
        }
        for (_, pool) in old {
            pool.stop().await;
        }
        self.publish(pools);
        if failed.is_empty() {
            Ok(())
        } else {
            Err(ApplyError { jobs: failed })
        }
    }

    /// Gives each job what discovery found for it; one that is not in `found` has
    /// nothing but the targets of its configuration.
    pub async fn discovered(&self, found: &Snapshot) {
        let mut running = self.pools.lock().await;
        let seed = running.seed;
        for (job, pool) in &mut running.pools {
            pool.discovered(found.get(job).cloned().unwrap_or_default(), seed);
        }
        self.publish(&running.pools);
    }

    /// Stops all jobs; scrapes that are being stored are finished, others given up.
    pub async fn shutdown(&self) {
        let mut running = self.pools.lock().await;
        for (_, pool) in std::mem::take(&mut running.pools) {
            pool.stop().await;
        }
        self.publish(&running.pools);
    }

    /// Returns all jobs with their targets, in order of name.
    pub fn targets(&self) -> Vec<PoolStatus> {
        let views = self.views.load();
        views.iter().map(|view| status(view)).collect()
    }

    /// Returns what each target said about its metrics.
    pub fn metadata(&self) -> Vec<TargetMetadata> {
        let views = self.views.load();
        let targets = views.iter().flat_map(|view| &view.targets);
        targets
            .map(|(target, board)| TargetMetadata {
                labels: target.public_labels.clone(),
                families: board.metadata.lock().list(),
            })
            .collect()
    }

    /// Returns what scraping counted.
    pub fn stats(&self) -> ScrapeStats {
        let mut stats = self.shared.counters.snapshot();
        stats.pools = self.views.load().iter().map(|view| view.stats()).collect();
        stats
    }

    fn publish(&self, pools: &BTreeMap<String, Pool>) {
        let views = pools.values().map(Pool::view).collect();
        self.views.store(Arc::new(views));
    }
}

impl fmt::Debug for ScrapePools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScrapePools").finish_non_exhaustive()
    }
}

fn status(view: &PoolView) -> PoolStatus {
    let active = view.targets.iter().map(|(target, board)| {
        let health = board.health.lock().clone();
        TargetStatus {
            labels: target.public_labels.clone(),
            discovered_labels: target.discovered_labels.clone(),
            url: target.url.clone(),
            health: match (&health.last_scrape_ns, &health.error) {
                (None, _) => TargetHealth::Unknown,
                (Some(_), None) => TargetHealth::Up,
                (Some(_), Some(_)) => TargetHealth::Down,
            },
            last_error: health.error.unwrap_or_default(),
            last_scrape_ns: health.last_scrape_ns,
            last_scrape_duration: health.duration,
            interval: target.interval_text.clone(),
            timeout: target.timeout_text.clone(),
        }
    });
    PoolStatus {
        job: view.job.clone(),
        active: active.collect(),
        dropped: view.dropped.clone(),
        dropped_count: view.dropped_count,
    }
}
