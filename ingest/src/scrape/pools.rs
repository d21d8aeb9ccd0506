//! All jobs: give them a configuration, look at their targets, stop them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kymo_storage::compat::duration::format_go;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::Labels;
use tokio::sync::{Mutex, Semaphore};

use super::config::ScrapeConfig;
use super::failure_log::{FailureLog, FailureLogs};
use super::metadata::Metadata;
use super::pool::{Pool, PoolView, source_of};
use super::round::{Shared, Source};
use super::stats::{Counters, ScrapeStats};
use super::{Clock, Gate, LocalSource, ScrapeFeatures};
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
        let texts = jobs.map(|(job, reason)| format!("job {job}: {reason}"));
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

/// Jobs that are ready to run.
#[derive(Default)]
pub struct Prepared {
    /// With what is to be asked; `None` for jobs that run just so already.
    jobs: Vec<(Job, Option<Source>)>,
    logs: FailureLogs,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jobs = self.jobs.iter().map(|(job, _)| &job.config.job_name);
        f.debug_list().entries(jobs).finish()
    }
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
    pub fn new(
        store: Arc<MetricStore>,
        clock: Clock,
        gate: Gate,
        features: ScrapeFeatures,
    ) -> ScrapePools {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        ScrapePools {
            shared: Arc::new(Shared {
                store,
                clock,
                gate,
                features,
                counters: Counters::default(),
                compute: Semaphore::new(cores),
            }),
            pools: Mutex::default(),
            views: ArcSwap::from_pointee(Vec::new()),
        }
    }

    /// Makes everything that [`commit`](Self::commit) needs to run exactly these jobs, and
    /// changes nothing. Jobs that cannot be set up are left out and told of.
    pub async fn prepare(
        &self,
        jobs: impl IntoIterator<Item = Job>,
    ) -> (Prepared, Result<(), ApplyError>) {
        let counters = &self.shared.counters;
        let running = self.pools.lock().await;
        let mut prepared = Prepared::default();
        let mut failed = Vec::new();
        for job in jobs {
            let before = running.pools.get(&job.config.job_name);
            let log = &job.config.failure_log_file;
            let is_open = log.as_os_str().is_empty() || prepared.logs.contains_key(log);
            let opened = match is_open {
                true => Ok(()),
                false => FailureLog::open(log).map(|opened| {
                    prepared.logs.insert(log.clone(), Arc::new(opened));
                }),
            };
            let source = match before.is_some_and(|pool| pool.does(&job)) {
                true => Ok(None),
                false => source_of(&job)
                    .map(Some)
                    .map_err(|error| format!("error creating HTTP client: {error}")),
            };
            match opened.and(source) {
                Ok(source) => prepared.jobs.push((job, source)),
                Err(reason) => {
                    Counters::bump(match before {
                        Some(_) => &counters.reloads_failed,
                        None => &counters.pools_failed,
                    });
                    failed.push((job.config.job_name, reason));
                }
            }
        }
        match failed.is_empty() {
            true => (prepared, Ok(())),
            false => (prepared, Err(ApplyError { jobs: failed })),
        }
    }

    /// Runs exactly these jobs from now on. Jobs that are running unchanged go on,
    /// and in changed ones the targets that are the same. `seed` spreads the scrapes
    /// of new targets over time, see [`offset_seed`](super::offset_seed). Returns
    /// when scrapes of jobs that had to stop are through.
    pub async fn commit(&self, prepared: Prepared, seed: u64) {
        let counters = &self.shared.counters;
        let mut running = self.pools.lock().await;
        running.seed = seed;
        let pools = &mut running.pools;
        let mut old = std::mem::take(pools);
        for (job, source) in prepared.jobs {
            let name = job.config.job_name.clone();
            let mut pool = match (old.remove(&name), source) {
                (Some(pool), None) => pool,
                (Some(mut pool), Some(source)) => {
                    Counters::bump(&counters.reloads);
                    let interval = job.config.interval;
                    let began_ns = (self.shared.clock)();
                    pool.reload(job, source, seed).await;
                    let took_ns = (self.shared.clock)() - began_ns;
                    let interval_ns = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX);
                    let label = format_go(interval_ns);
                    counters
                        .reload_lengths
                        .observe(&label, took_ns as f64 / 1e9);
                    pool
                }
                (None, Some(source)) => {
                    Counters::bump(&counters.pools_created);
                    Pool::start(&self.shared, job, source, seed)
                }
                // Somebody stopped the job since it was found unchanged.
                (None, None) => continue,
            };
            pool.log_failures(&prepared.logs);
            pools.insert(name, pool);
        }
        for (_, pool) in old {
            pool.stop().await;
        }
        self.publish(pools);
    }

    /// Prepares and commits in one: jobs that cannot be set up do not run, all others do.
    ///
    /// # Errors
    /// The jobs that could not be set up.
    pub async fn apply(
        &self,
        jobs: impl IntoIterator<Item = Job>,
        seed: u64,
    ) -> Result<(), ApplyError> {
        let (prepared, outcome) = self.prepare(jobs).await;
        self.commit(prepared, seed).await;
        outcome
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
