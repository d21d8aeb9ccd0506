//! Following logs in the server: the jobs of the configuration, with the store of logs as
//! their sink.

mod languages;
mod metrics;
mod receiving;
mod sink;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kymo_ingest::discovery::{Discovery, SetConfig, SourceConfig, Surroundings};
use kymo_ingest::tail::{JobStatus, LogSourceConfig, PreparedJobs, TailSetup, Tailer};
use kymo_storage::logs::LogStore;

use crate::app::{App, Core, hostname};
use crate::clock;
use crate::config::Config;

pub(crate) use languages::OwnLanguages;
pub(crate) use metrics::{write as write_metrics, write_stage_metrics};
use receiving::Listeners;
use sink::StoreSink;

/// Directory of positions, below that of the data.
const DIR: &str = "tail";
/// How long a job keeps its targets after a reload while new sources have not tried yet.
const HOLD: Duration = Duration::from_secs(5);

/// Everything that follows logs.
#[derive(Debug)]
pub(crate) struct Tailing {
    tailer: Arc<Tailer>,
    /// What finds files for jobs.
    discovery: Discovery,
    /// What listens for pushes to jobs.
    listeners: Listeners,
}

/// Jobs that are ready to run.
#[derive(Debug)]
pub(crate) struct Ready {
    jobs: PreparedJobs,
    sets: BTreeMap<String, SetConfig>,
}

impl Tailing {
    /// Returns one without any job.
    pub(crate) fn new(app: &App, logs: Arc<LogStore>, surroundings: Surroundings) -> Tailing {
        raise_open_files();
        let setup = TailSetup {
            dir: Path::new(&app.flags.storage.path).join(DIR),
            sink: Arc::new(StoreSink {
                logs,
                app: app.handle(),
            }),
            languages: Arc::new(OwnLanguages),
            clock: Arc::new(clock::now_ns),
            host: hostname(),
            journalctl: PathBuf::from("journalctl"),
        };
        Tailing {
            tailer: Arc::new(Tailer::new(setup)),
            discovery: Discovery::new(surroundings, HOLD),
            listeners: Listeners::new(app.handle()),
        }
    }

    /// Makes the jobs of a configuration, and changes nothing.
    ///
    /// # Errors
    /// A job that cannot be made.
    pub(crate) fn prepare(&self, config: &Config) -> Result<Ready, String> {
        let mut sets = BTreeMap::new();
        for job in &config.log_configs {
            if let LogSourceConfig::Files(files) = &job.source
                && !files.discovery.is_empty()
            {
                let mistake = files.discovery.iter().map(SourceConfig::check);
                if let Some(mistake) = mistake.filter_map(Result::err).next() {
                    return Err(format!("log job {}: {mistake}", job.job_name));
                }
                let set = SetConfig {
                    static_configs: Vec::new(),
                    sources: files.discovery.clone(),
                };
                sets.insert(job.job_name.clone(), set);
            }
        }
        let jobs = self
            .tailer
            .prepare(&config.log_configs, &config.log_options)?;
        Ok(Ready { jobs, sets })
    }

    /// Runs exactly these jobs from now on.
    ///
    /// # Errors
    /// A job cannot be started; others run.
    pub(crate) async fn commit(&self, ready: Ready) -> Result<(), String> {
        let tailer = Arc::clone(&self.tailer);
        // A job that is replaced ends only once the store has what it read.
        let committed = tokio::task::spawn_blocking(move || tailer.commit(ready.jobs)).await;
        self.discovery.apply(ready.sets);
        let committed = committed.map_err(|error| error.to_string());
        let listening = self.listeners.apply(&self.tailer).await;
        committed?.and(listening)
    }

    /// Stops all jobs.
    pub(crate) async fn stop(&self) {
        self.discovery.stop();
        self.listeners.stop().await;
        let tailer = Arc::clone(&self.tailer);
        if let Err(error) = tokio::task::spawn_blocking(move || tailer.stop()).await {
            tracing::error!(%error, "following logs ended in a panic");
        }
    }

    /// Returns what all jobs do.
    pub(crate) fn status(&self) -> Vec<JobStatus> {
        self.tailer.status()
    }
}

/// Lets the process open as many files as the system allows it: each followed file is one.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "the number of open files stays as it is");
        }
    }
}

/// Gives jobs what discovery finds for them, for ever.
pub(crate) async fn discover(core: Arc<Core>, longest_pace: Duration) {
    let mut changes = core.tailing.discovery.changes(longest_pace);
    loop {
        changes.wait().await;
        let mut found = BTreeMap::new();
        for (job, groups) in changes.take() {
            let mut targets = Vec::new();
            for group in groups {
                for target in &group.targets {
                    let mut labels: BTreeMap<String, String> = group
                        .labels
                        .iter()
                        .map(|(name, value)| (name.to_string(), value.to_string()))
                        .collect();
                    let own = target.iter();
                    labels.extend(own.map(|(n, v)| (n.to_string(), v.to_string())));
                    targets.push(labels.into_iter().collect());
                }
            }
            found.insert(job, targets);
        }
        let tailer = Arc::clone(&core.tailing.tailer);
        // The jobs may be held by a reload that waits.
        let given = tokio::task::spawn_blocking(move || tailer.discovered(&found)).await;
        if let Err(error) = given {
            tracing::error!(%error, "targets of log jobs cannot be given");
        }
    }
}
