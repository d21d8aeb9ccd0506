//! One job: its targets, each scraped by a task of its own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kymo_storage::model::Labels;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::config::ScrapeConfig;
use super::failure_log::{FailureLog, FailureLogs};
use super::negotiate;
use super::rhythm::{self, Ended};
use super::round::{Board, Memory, Shared, Source, Subject};
use super::stats::{Counters, PoolStats, Window};
use super::target::{self, Target};
use super::{Job, LocalSource};
use crate::discovery::Group;
use crate::http::{ClientError, HttpClient};

/// The running targets of a job.
pub(super) struct Pool {
    shared: Arc<Shared>,
    job: Job,
    config: Arc<ScrapeConfig>,
    source: Source,
    /// What discovery found for the job.
    found: Vec<Arc<Group>>,
    loops: HashMap<(Labels, String), Loop>,
    /// Ends everything of the pool, markers still to be written included.
    halt: CancellationToken,
    failure_log: Option<Arc<FailureLog>>,
    view: Arc<PoolView>,
    counters: Arc<PoolCounters>,
}

struct Loop {
    subject: Arc<Subject>,
    stop: CancellationToken,
    handle: JoinHandle<Ended>,
}

/// What is shown of a pool; made anew whenever its targets change.
#[derive(Debug)]
pub(super) struct PoolView {
    pub(super) job: String,
    pub(super) targets: Vec<(Target, Arc<Board>)>,
    pub(super) dropped: Vec<Labels>,
    pub(super) dropped_count: usize,
    pub(super) target_limit: u64,
    pub(super) counters: Arc<PoolCounters>,
}

/// What a pool counts about itself.
#[derive(Debug, Default)]
pub(super) struct PoolCounters {
    syncs: AtomicU64,
    sync_failures: AtomicU64,
    sync_lengths: Mutex<Window>,
}

impl Pool {
    /// Starts a job that asks `source`.
    pub(super) fn start(shared: &Arc<Shared>, job: Job, source: Source, seed: u64) -> Pool {
        let config = Arc::new(job.config.clone());
        let counters = Arc::new(PoolCounters::default());
        let mut pool = Pool {
            shared: Arc::clone(shared),
            source,
            found: Vec::new(),
            view: Arc::new(PoolView::empty(&config, &counters)),
            config,
            job,
            loops: HashMap::new(),
            failure_log: None,
            halt: CancellationToken::new(),
            counters,
        };
        pool.sync(HashMap::new(), seed);
        pool
    }

    /// Takes the log for scrapes that fail, opened anew.
    pub(super) fn log_failures(&mut self, logs: &FailureLogs) {
        self.failure_log = logs.get(&self.config.failure_log_file).cloned();
        for running in self.loops.values() {
            let mut log = running.subject.failure_log.lock();
            log.clone_from(&self.failure_log);
        }
    }

    /// Returns what is shown of the pool.
    pub(super) fn view(&self) -> Arc<PoolView> {
        Arc::clone(&self.view)
    }

    /// Tells whether the pool already does what `job` says.
    pub(super) fn does(&self, job: &Job) -> bool {
        self.job.config == job.config && same_source(&self.job, job)
    }

    /// Takes a new configuration. Targets that it does not change go on undisturbed;
    /// where it changes how a target is scraped but not what its lines mean, the
    /// target keeps what it remembers. Targets that do change ask `source` from now on.
    /// Returns when scrapes under way that had to end are through.
    pub(super) async fn reload(&mut self, job: Job, source: Source, seed: u64) {
        let undisturbed = same_source(&self.job, &job)
            && scraping_part(&self.job.config) == scraping_part(&job.config);
        let keeps_memory = same_source(&self.job, &job)
            && memory_part(&self.job.config) == memory_part(&job.config);
        if !undisturbed {
            self.source = source;
        }
        self.config = Arc::new(job.config.clone());
        self.job = job;
        let mut memories = HashMap::new();
        if !undisturbed {
            let stopped: Vec<_> = self.loops.drain().collect();
            for (_, running) in &stopped {
                running.stop.cancel();
            }
            for (identity, running) in stopped {
                let Ok(ended) = running.handle.await else {
                    continue;
                };
                if keeps_memory {
                    memories.insert(identity, (running.subject, ended));
                } else {
                    self.end_later(running.subject, ended);
                }
            }
        }
        self.sync(memories, seed);
    }

    /// Takes what discovery found for the job; targets that are the same go on.
    pub(super) fn discovered(&mut self, found: Vec<Arc<Group>>, seed: u64) {
        if self.found != found {
            self.found = found;
            self.sync(HashMap::new(), seed);
        }
    }

    /// Ends the job without markers: its series only age out of queries.
    pub(super) async fn stop(self) {
        self.halt.cancel();
        for running in self.loops.values() {
            running.stop.cancel();
        }
        for (_, running) in self.loops {
            if let Err(error) = running.handle.await {
                tracing::error!(target = running.subject.target.url, %error, "scraping broke off");
            }
        }
    }

    /// Works out the targets, starts those that are not running and stops those that
    /// are no more. `memories` holds what stopped ones remembered.
    fn sync(&mut self, mut memories: HashMap<(Labels, String), (Arc<Subject>, Ended)>, seed: u64) {
        let started_ns = (self.shared.clock)();
        let resolved = target::resolve(&self.config, &self.found);
        for failure in &resolved.failures {
            tracing::error!(
                job = self.config.job_name,
                error = failure,
                "creating target failed"
            );
        }
        let failures = resolved.failures.len() as u64;
        Counters::add(&self.counters.sync_failures, failures);
        let mut old = std::mem::take(&mut self.loops);
        let mut targets = Vec::with_capacity(resolved.active.len());
        for target in resolved.active {
            let identity = target.identity();
            let running = match old.remove(&identity) {
                Some(running) => running,
                None => self.begin(&target, memories.remove(&identity), seed),
            };
            targets.push((target, Arc::clone(&running.subject.board)));
            self.loops.insert(identity, running);
        }
        for (_, running) in old {
            running.stop.cancel();
            self.end_when_stopped(running);
        }
        for (_, (subject, ended)) in memories {
            self.end_later(subject, ended);
        }
        self.force_target_limit();
        Counters::bump(&self.counters.syncs);
        let took_ns = (self.shared.clock)() - started_ns;
        self.counters
            .sync_lengths
            .lock()
            .observe(took_ns as f64 / 1e9);
        self.view = Arc::new(PoolView {
            job: self.config.job_name.clone(),
            targets,
            dropped: resolved.dropped,
            dropped_count: resolved.dropped_count,
            target_limit: self.config.limits.targets,
            counters: Arc::clone(&self.counters),
        });
    }

    fn begin(&self, target: &Target, before: Option<(Arc<Subject>, Ended)>, seed: u64) -> Loop {
        let (board, memory) = match before {
            Some((subject, ended)) => {
                let mut memory = ended.memory;
                memory.reporter = Memory::new(&self.config, target).reporter;
                (Arc::clone(&subject.board), memory)
            }
            None => (Arc::default(), Memory::new(&self.config, target)),
        };
        let subject = Arc::new(Subject {
            shared: Arc::clone(&self.shared),
            config: Arc::clone(&self.config),
            target: target.clone(),
            source: self.source_for(target),
            headers: negotiate::headers(&self.config, target.timeout),
            board,
            forced_error: Mutex::new(None),
            failure_log: Mutex::new(self.failure_log.clone()),
        });
        let first_delay: Duration = target.first_delay((self.shared.clock)(), seed);
        let stop = CancellationToken::new();
        let handle = tokio::spawn(rhythm::run(
            Arc::clone(&subject),
            memory,
            first_delay,
            stop.clone(),
            self.halt.clone(),
        ));
        Loop {
            subject,
            stop,
            handle,
        }
    }

    /// A socket has a client of its own: connections are kept by the address in the URL,
    /// which does not tell sockets apart.
    fn source_for(&self, target: &Target) -> Source {
        match (&self.source, target.socket()) {
            (Source::Http(client), Some(path)) => Source::Http(client.over_socket(path)),
            (source, _) => source.clone(),
        }
    }

    fn end_when_stopped(&self, running: Loop) {
        let halt = self.halt.clone();
        tokio::spawn(async move {
            if let Ok(ended) = running.handle.await {
                rhythm::end_later(running.subject, ended, halt).await;
            }
        });
    }

    fn end_later(&self, subject: Arc<Subject>, ended: Ended) {
        tokio::spawn(rhythm::end_later(subject, ended, self.halt.clone()));
    }

    fn force_target_limit(&self) {
        let (count, limit) = (self.loops.len() as u64, self.config.limits.targets);
        let error = (limit > 0 && count > limit).then(|| {
            Counters::bump(&self.shared.counters.exceeded_target_limit);
            format!("target_limit exceeded (number of targets: {count}, limit: {limit})")
        });
        for running in self.loops.values() {
            running.subject.forced_error.lock().clone_from(&error);
        }
    }
}

impl PoolView {
    fn empty(config: &ScrapeConfig, counters: &Arc<PoolCounters>) -> PoolView {
        PoolView {
            job: config.job_name.clone(),
            targets: Vec::new(),
            dropped: Vec::new(),
            dropped_count: 0,
            target_limit: config.limits.targets,
            counters: Arc::clone(counters),
        }
    }

    /// Returns what the pool counted.
    pub(super) fn stats(&self) -> PoolStats {
        let sizes = self
            .targets
            .iter()
            .map(|(_, board)| board.metadata.lock().size());
        let (entries, bytes) = sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
        PoolStats {
            job: self.job.clone(),
            targets: self.targets.len() as u64,
            target_limit: self.target_limit,
            syncs: self.counters.syncs.load(Ordering::Relaxed),
            sync_failures: self.counters.sync_failures.load(Ordering::Relaxed),
            sync_lengths: self.counters.sync_lengths.lock().summary(),
            metadata_entries: entries as u64,
            metadata_bytes: bytes as u64,
        }
    }
}

/// Returns what a job asks.
///
/// # Errors
/// The options of its HTTP client cannot be used.
pub(super) fn source_of(job: &Job) -> Result<Source, ClientError> {
    match &job.local {
        Some(local) => Ok(Source::Local(Arc::clone(local))),
        None => Ok(Source::Http(HttpClient::new(&job.config.client)?)),
    }
}

fn same_source(a: &Job, b: &Job) -> bool {
    let address = |job: &Job| {
        job.local
            .as_ref()
            .map(Arc::as_ptr)
            .map(<*const dyn LocalSource>::cast::<()>)
    };
    address(a) == address(b)
}

/// Returns a configuration without what only decides which targets there are.
fn scraping_part(config: &ScrapeConfig) -> ScrapeConfig {
    let mut part = config.clone();
    part.static_configs = Vec::new();
    part.discovery = Vec::new();
    part.relabel = Vec::new();
    part.limits.targets = 0;
    part.limits.dropped_targets = 0;
    part.failure_log_file = PathBuf::new();
    part
}

/// Returns a configuration without what has no bearing on how a line becomes a series.
fn memory_part(config: &ScrapeConfig) -> ScrapeConfig {
    let mut part = scraping_part(config);
    part.interval = Duration::ZERO;
    part.timeout = Duration::ZERO;
    part.limits.samples = 0;
    part.limits.body_size_bytes = 0;
    part.client = crate::http::ClientOptions::default();
    part.extra_metrics = false;
    part
}
