//! All jobs that follow logs: started, replaced, stopped, looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::arrivals::{self, Arrival, Arrivals};
use super::config::{FilesConfig, LogJob, LogSourceConfig, TailOptions};
use super::follow::{FileTarget, Follow, Shown};
use super::journal::{self, Cursor, Journal};
use super::outlet::{CommonLimit, Novelty, Outlet, Signal};
use super::positions::Positions;
use super::push::Inlet;
use super::sink::{LogSink, SinkStats};
use super::stats::FileCounts;
use super::syslog::{self, Receiving};
use super::targets::{self, Dropped};
use super::watch::Hints;
use crate::pipeline::metrics::LogMetrics;
use crate::pipeline::{Languages, Pipeline, PipelineStats, Tools};

/// What all jobs need.
#[derive(Clone)]
pub struct TailSetup {
    /// Where positions are kept.
    pub dir: PathBuf,
    /// What stores entries.
    pub sink: Arc<dyn LogSink>,
    /// The languages of stages.
    pub languages: Arc<dyn Languages>,
    /// The clock, in nanoseconds since the epoch.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// The name of this host.
    pub host: String,
    /// The tool that reads the journal of systemd.
    pub journalctl: PathBuf,
}

/// Everything that follows logs.
pub struct Tailer {
    setup: TailSetup,
    pipelines: Arc<PipelineStats>,
    metrics: Arc<LogMetrics>,
    sent: Arc<SinkStats>,
    /// Held while jobs are replaced.
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    options: Option<TailOptions>,
    running: BTreeMap<String, Running>,
    /// Opened with the first job.
    positions: Option<Arc<Mutex<Positions>>>,
    limit: Option<Arc<CommonLimit>>,
}

/// A job at work.
struct Running {
    job: LogJob,
    signal: Arc<Signal>,
    threads: Vec<JoinHandle<()>>,
    /// The tool that reads the journal, where one does.
    child: Option<Arc<Mutex<Option<Child>>>>,
    /// Where syslog is received.
    address: Option<SocketAddr>,
    /// The way in for those who push.
    inlet: Option<Arc<Inlet>>,
    shown: Arc<Shown>,
    targets: Arc<Mutex<Arc<Vec<FileTarget>>>>,
    dropped: Vec<Dropped>,
}

/// Jobs that are ready to run.
#[derive(Debug)]
pub struct PreparedJobs {
    jobs: Vec<LogJob>,
    options: TailOptions,
}

/// What a job does at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JobStatus {
    /// Its name.
    pub job: String,
    /// What it is: `file`, `journal`, `syslog` or `push`.
    pub kind: &'static str,
    /// Patterns, with the labels of their entries.
    pub targets: Vec<(String, Vec<(String, String)>)>,
    /// Targets that are not followed.
    pub dropped: Vec<Dropped>,
    /// The files that are followed.
    pub files: Vec<FileCounts>,
    /// Files that are not followed any more, by path.
    pub past: Vec<FileCounts>,
    /// What went wrong last, by file.
    pub failures: BTreeMap<PathBuf, String>,
    /// Where messages or pushes are received.
    pub address: Option<SocketAddr>,
}

impl std::fmt::Debug for Tailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tailer").finish_non_exhaustive()
    }
}

impl Tailer {
    /// Returns one without any job.
    pub fn new(setup: TailSetup) -> Tailer {
        Tailer {
            setup,
            pipelines: Arc::default(),
            metrics: Arc::default(),
            sent: Arc::default(),
            jobs: Mutex::default(),
        }
    }

    /// Makes the pipelines of jobs, and changes nothing.
    ///
    /// # Errors
    /// The first job that cannot be made.
    pub fn prepare(&self, jobs: &[LogJob], options: &TailOptions) -> Result<PreparedJobs, String> {
        let mut prepared = Vec::with_capacity(jobs.len());
        for job in jobs {
            let signal = Arc::new(Signal::default());
            // For a try: metrics of stages are not to be seen before they are in force.
            let tools = Tools {
                metrics: Arc::default(),
                ..self.tools(&signal)
            };
            let tried = Pipeline::new(&job.stages, &tools);
            tried.map_err(|error| format!("log job {}: {error}", job.job_name))?;
            prepared.push(job.clone());
        }
        Ok(PreparedJobs {
            jobs: prepared,
            options: options.clone(),
        })
    }

    fn tools(&self, signal: &Arc<Signal>) -> Tools {
        let signal = Arc::clone(signal);
        Tools {
            languages: Arc::clone(&self.setup.languages),
            stats: Arc::clone(&self.pipelines),
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.setup.clock),
            wait: Arc::new(move |time| signal.sleep(time)),
            watcher: None,
        }
    }

    /// Runs exactly these jobs from now on. One that is as it was goes on undisturbed. This
    /// may wait for the store; it is no call for an asynchronous task.
    ///
    /// # Errors
    /// Positions cannot be kept, so that nothing is followed; or some jobs cannot be started.
    pub fn commit(&self, prepared: PreparedJobs) -> Result<(), String> {
        let mut jobs = self.jobs.lock();
        let PreparedJobs {
            jobs: wanted,
            options,
        } = prepared;
        let same_options = jobs.options.as_ref() == Some(&options);
        let mut kept = BTreeMap::new();
        for (name, running) in std::mem::take(&mut jobs.running) {
            let stays = same_options && wanted.contains(&running.job);
            match stays {
                true => {
                    kept.insert(name, running);
                }
                false => running.stop(),
            }
        }
        jobs.running = kept;
        if !same_options {
            jobs.limit = options.rate.map(|limit| Arc::new(CommonLimit::new(limit)));
        }
        let files = wanted
            .iter()
            .any(|job| matches!(job.source, LogSourceConfig::Files(_)));
        if jobs.positions.is_none() && files {
            let path = self.setup.dir.join("positions");
            let positions = Positions::open(&path, (self.setup.clock)());
            let positions = positions.map_err(|error| {
                format!(
                    "positions of log files in {} cannot be kept: {error}",
                    path.display()
                )
            })?;
            jobs.positions = Some(Arc::new(Mutex::new(positions)));
        }
        if let Some(positions) = &jobs.positions {
            let names = wanted.iter().map(|job| job.job_name.clone());
            positions.lock().set_jobs(names.collect());
        }
        let imported = imported(options.promtail_positions.as_deref())?;
        let mut mistakes = Vec::new();
        for job in wanted {
            if jobs.running.contains_key(&job.job_name) {
                continue;
            }
            match self.start(&jobs, job, &options, &imported) {
                Ok(running) => {
                    jobs.running.insert(running.job.job_name.clone(), running);
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        jobs.options = Some(options);
        match mistakes.is_empty() {
            true => Ok(()),
            false => Err(mistakes.join("; ")),
        }
    }

    fn start(
        &self,
        jobs: &Jobs,
        job: LogJob,
        options: &TailOptions,
        imported: &BTreeMap<PathBuf, u64>,
    ) -> Result<Running, String> {
        let signal = Arc::new(Signal::default());
        let pipeline = Pipeline::new(&job.stages, &self.tools(&signal));
        let pipeline = pipeline.map_err(|error| format!("log job {}: {error}", job.job_name))?;
        let shown = Arc::new(Shown::default());
        let outlet = Outlet {
            job: job.job_name.as_str().into(),
            sink: Arc::clone(&self.setup.sink),
            stats: Arc::clone(&self.sent),
            dropped: Arc::clone(&self.pipelines),
            limit: jobs.limit.clone(),
            signal: Arc::clone(&signal),
            clock: Arc::clone(&self.setup.clock),
        };
        let mut running = Running {
            signal,
            threads: Vec::new(),
            child: None,
            address: None,
            inlet: None,
            shown,
            targets: Arc::default(),
            dropped: Vec::new(),
            job,
        };
        match &running.job.source {
            LogSourceConfig::Files(files) => {
                let Some(positions) = &jobs.positions else {
                    return Err("positions of log files are not kept".to_owned());
                };
                let (found, dropped) = self.targets_of(&running.job, files);
                *running.targets.lock() = Arc::new(found);
                running.dropped = dropped;
                let follow = Follow {
                    job: running.job.job_name.clone(),
                    config: (**files).clone(),
                    options: options.clone(),
                    targets: Arc::clone(&running.targets),
                    pipeline,
                    positions: Arc::clone(positions),
                    hints: Arc::new(Hints::new(Arc::clone(&running.signal))),
                    outlet,
                    shown: Arc::clone(&running.shown),
                    imported: imported.clone(),
                    files: BTreeMap::new(),
                    copies: BTreeMap::new(),
                    ends: BTreeMap::new(),
                    moved: BTreeMap::new(),
                    shut: BTreeSet::new(),
                    scanned: false,
                    unsynced: false,
                    synced_ns: 0,
                    next: 0,
                };
                running.spawn(move || follow.run())?;
            }
            LogSourceConfig::Journal(config) => {
                let (sender, queue) = arrivals::queue();
                let cursor = Cursor::open(&self.setup.dir, &running.job.job_name);
                let cursor =
                    cursor.map_err(|error| format!("log job {}: {error}", running.job.job_name));
                let cursor = Arc::new(cursor?);
                let child = Arc::new(Mutex::new(None));
                let journal = Journal {
                    config: config.clone(),
                    job: running.job.job_name.clone(),
                    program: self.setup.journalctl.clone(),
                    cursor: Arc::clone(&cursor),
                    queue: sender,
                    signal: Arc::clone(&running.signal),
                    dropped: Arc::clone(&self.pipelines),
                    child: Arc::clone(&child),
                };
                running.child = Some(child);
                let arrivals = self.arrivals(&running.job, queue, pipeline, outlet);
                running.spawn(move || journal.run())?;
                running.spawn(move || {
                    arrivals.run(|mark| {
                        if let Err(error) = cursor.set(mark) {
                            tracing::warn!(%error, "the place in the journal cannot be kept");
                        }
                    });
                })?;
            }
            LogSourceConfig::Syslog(config) => {
                let (sender, queue) = arrivals::queue();
                let socket = syslog::bind(config)?;
                running.address = socket.address();
                let receiving = Receiving {
                    config: Arc::new(config.clone()),
                    queue: sender,
                    signal: Arc::clone(&running.signal),
                    dropped: Arc::clone(&self.pipelines),
                    clock: Arc::clone(&self.setup.clock),
                };
                let arrivals = self.arrivals(&running.job, queue, pipeline, outlet);
                running.spawn(move || receiving.run(socket))?;
                running.spawn(move || arrivals.run(|_| {}))?;
            }
            LogSourceConfig::Push(config) => {
                let (sender, queue) = arrivals::queue();
                running.inlet = Some(Arc::new(Inlet::new(config.clone(), sender)));
                let arrivals = self.arrivals(&running.job, queue, pipeline, outlet);
                running.spawn(move || arrivals.run(|_| {}))?;
            }
        }
        Ok(running)
    }

    fn arrivals(
        &self,
        job: &LogJob,
        queue: Receiver<Arrival>,
        pipeline: Pipeline,
        outlet: Outlet,
    ) -> Arrivals {
        Arrivals {
            queue,
            relabel: job.relabel.clone(),
            pipeline,
            outlet,
            novelty: Novelty::Again,
        }
    }

    /// Gives jobs the targets that discovery finds for them: labels of each, by job.
    pub fn discovered(&self, found: &BTreeMap<String, Vec<Vec<(String, String)>>>) {
        let mut jobs = self.jobs.lock();
        for (name, running) in &mut jobs.running {
            let LogSourceConfig::Files(files) = &running.job.source else {
                continue;
            };
            if files.discovery.is_empty() {
                continue;
            }
            let mut all = targets::listed(&files.static_configs);
            all.extend(found.get(name).into_iter().flatten().cloned());
            let (targets, dropped) = targets::targets(&all, &running.job.relabel, &self.setup.host);
            *running.targets.lock() = Arc::new(targets);
            running.dropped = dropped;
            running.signal.look();
        }
    }

    fn targets_of(&self, job: &LogJob, files: &FilesConfig) -> (Vec<FileTarget>, Vec<Dropped>) {
        let found = targets::listed(&files.static_configs);
        targets::targets(&found, &job.relabel, &self.setup.host)
    }

    /// Returns the ways into jobs that are pushed to, by job.
    pub fn inlets(&self) -> BTreeMap<String, Arc<Inlet>> {
        let jobs = self.jobs.lock();
        let inlets = jobs.running.iter().filter_map(|(name, running)| {
            let inlet = running.inlet.as_ref()?;
            Some((name.clone(), Arc::clone(inlet)))
        });
        inlets.collect()
    }

    /// Stops all jobs, when what they read is stored. It may wait for the store.
    pub fn stop(&self) {
        let mut jobs = self.jobs.lock();
        let running = std::mem::take(&mut jobs.running);
        for job in running.values() {
            job.signal.stop();
        }
        for job in running.into_values() {
            job.stop();
        }
    }

    /// Returns what pipelines count.
    pub fn pipelines(&self) -> &PipelineStats {
        &self.pipelines
    }

    /// Returns the metrics of stages.
    pub fn metrics(&self) -> &LogMetrics {
        &self.metrics
    }

    /// Returns what was sent to the sink.
    pub fn sent(&self) -> &SinkStats {
        &self.sent
    }

    /// Returns what all jobs do, in order of their names.
    pub fn status(&self) -> Vec<JobStatus> {
        let jobs = self.jobs.lock();
        jobs.running.values().map(Running::status).collect()
    }
}

impl Running {
    fn stop(mut self) {
        self.signal.stop();
        if let Some(child) = &self.child {
            journal::end(child);
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(job = self.job.job_name, "a log job ended in a panic");
            }
        }
    }

    fn spawn(&mut self, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
        let thread = std::thread::Builder::new().name("kymo-tail".to_owned());
        match thread.spawn(work) {
            Ok(thread) => {
                self.threads.push(thread);
                Ok(())
            }
            Err(error) => {
                self.signal.stop();
                let job = &self.job.job_name;
                Err(format!("log job {job} cannot be started: {error}"))
            }
        }
    }

    fn status(&self) -> JobStatus {
        let targets = Arc::clone(&self.targets.lock());
        let targets = targets.iter().map(|target| {
            let labels = target.labels.iter();
            let labels = labels.map(|(n, v)| ((**n).to_owned(), (**v).to_owned()));
            (target.include.as_str().to_owned(), labels.collect())
        });
        JobStatus {
            job: self.job.job_name.clone(),
            kind: match self.job.source {
                LogSourceConfig::Files(_) => "file",
                LogSourceConfig::Journal(_) => "journal",
                LogSourceConfig::Syslog(_) => "syslog",
                LogSourceConfig::Push(_) => "push",
            },
            targets: targets.collect(),
            dropped: self.dropped.clone(),
            files: self.shown.files.lock().iter().map(|f| f.counts()).collect(),
            past: self.shown.past.lock().values().cloned().collect(),
            failures: self.shown.failures.lock().clone(),
            address: self.address.or_else(|| self.inlet.as_ref()?.address()),
        }
    }
}

impl Drop for Tailer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads positions that Promtail kept by path: `positions:` and lines of a path and an
/// offset. There are none where it never ran.
fn imported(path: Option<&Path>) -> Result<BTreeMap<PathBuf, u64>, String> {
    let Some(path) = path else {
        return Ok(BTreeMap::new());
    };
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text.map_err(|error| {
            format!(
                "positions of Promtail in {} cannot be read: {error}; without them all files would be read from their start",
                path.display()
            )
        })?,
    };
    let unquoted = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    let mut positions = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with(' ')) {
        if let Some((path, offset)) = line.rsplit_once(':')
            && let Ok(offset) = unquoted(offset).parse()
        {
            positions.insert(PathBuf::from(unquoted(path)), offset);
        }
    }
    Ok(positions)
}
