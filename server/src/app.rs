//! The object graph: what exists, in which order it starts and stops.
//!
//! The listener is bound first and answers 503 while the store replays its log.
//! Stopping goes the other way round: no new connections and scrapes, alerts that wait
//! are sent, requests that run are finished, maintenance is broken off, the log is synced and a last snapshot
//! taken, the directory is released.

use std::fmt;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak, mpsc};
use std::time::Duration;

use anyhow::Context as _;
use kymo_ingest::discovery::{Discovery, SourceStats};
use kymo_ingest::otlp;
use kymo_ingest::remote_write::{self, Receiver};
use kymo_ingest::scrape::ScrapePools;
use kymo_query::logql::{LogEngine, LogEngineOptions};
use kymo_query::rules::SourceLogs;
use kymo_query::{CacheOptions, Engine, EngineOptions, MemoryPool, ResultCache};
use kymo_storage::logs::LogStore;
use kymo_storage::metrics::{self, MetricStore, OpenProgress, Recovery};
use kymo_storage::{StoreOptions, SyncPolicy};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::access::Access;
use crate::api;
use crate::clock;
use crate::config::{Config, Retention};
use crate::flags::{Fate, Flags, closest_feature};
use crate::forward::{BacklogLimits, Forwarder};
use crate::http::body::BodyLimits;
use crate::http::edge::Edge;
use crate::http::listener::{Handshake, Limits, Listener};
use crate::logs::{self, LogMaintenance, Logs};
use crate::notices::{self, Notices};
use crate::notify::{AlertSink, Notifier};
use crate::observe::metrics::Metrics;
use crate::reload::Configured;
use crate::rules::{self, Evaluator};
use crate::scraping;
use crate::tailing::{self, Tailing};
use crate::urls::Urls;
use crate::work::active_queries::ActiveQueries;
use crate::work::auto_reload::{self, Watched};
use crate::work::background::Stores;
use crate::work::live::Live;
use crate::work::maintenance::Maintenance;
use crate::work::memory::Memory;
use crate::work::queries::QueryPool;
use crate::work::query_log::QueryLog;
use crate::work::remote_reads::RemoteReads;
use crate::work::{background, machine, maintenance};

/// Threads for short blocking calls.
const BLOCKING_THREADS: usize = 16;

/// Everything that a request may need.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) flags: Flags,
    pub(crate) urls: Urls,
    pub(crate) access: Arc<Access>,
    pub(crate) metrics: Metrics,
    pub(crate) queries: QueryPool,
    pub(crate) query_log: Arc<QueryLog>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) bodies: BodyLimits,
    pub(crate) receiver: Receiver,
    pub(crate) notices: Notices,
    /// Entries of logs as they are stored.
    pub(crate) live: Live,
    /// Those who follow logs.
    pub(crate) tails: api::Tails,
    pub(crate) remote_reads: RemoteReads,
    pub(crate) otlp: otlp::Receiver,
    pub(crate) logs: Logs,
    pub(crate) config: Configured,
    /// Start of the server in milliseconds since the epoch.
    pub(crate) started_ms: i64,
    addresses: Vec<SocketAddr>,
    /// How far the opening of the store is.
    pub(crate) opening: Arc<OpenProgress>,
    core: OnceLock<Arc<Core>>,
    me: Weak<App>,
    stop: watch::Sender<bool>,
    quitting: AtomicBool,
}

/// What exists once the store is open.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) store: Arc<MetricStore>,
    pub(crate) logs: Arc<LogStore>,
    pub(crate) engine: Engine,
    pub(crate) log_engine: LogEngine,
    /// Of answers of the engine over the store.
    pub(crate) cache: ResultCache,
    pub(crate) active_queries: Arc<ActiveQueries>,
    pub(crate) scraping: ScrapePools,
    /// What finds the targets of jobs.
    pub(crate) discovery: Discovery,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) rules: Evaluator,
    /// What hands samples on.
    pub(crate) forwarder: Forwarder,
    /// What follows logs.
    pub(crate) tailing: Tailing,
    /// What all sources of targets count together.
    pub(crate) source_stats: Arc<SourceStats>,
}

impl Core {
    /// Returns the memory that both stores hold, in bytes.
    pub(crate) fn store_bytes(&self) -> u64 {
        self.store.memory_bytes() + self.logs.memory_bytes()
    }
}

/// The server is not ready to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotReady {
    Starting,
    Stopping,
}

impl App {
    /// Returns what exists once the store is open.
    ///
    /// # Errors
    /// The server is still starting, or already stopping.
    pub(crate) fn core(&self) -> Result<&Arc<Core>, NotReady> {
        if *self.stop.borrow() {
            return Err(NotReady::Stopping);
        }
        self.core.get().ok_or(NotReady::Starting)
    }

    /// Returns a handle that does not keep the app.
    pub(crate) fn handle(&self) -> Weak<App> {
        Weak::clone(&self.me)
    }

    /// Returns the first address the server listens on.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }

    /// Returns how long samples are kept: what the configuration says, else the flags.
    pub(crate) fn retention(&self) -> Retention {
        let configured = self.config.current().storage.retention;
        self.flags.storage.retention(configured)
    }

    /// Returns the same as the store takes it; a part of the disk becomes bytes.
    pub(crate) fn store_retention(&self) -> metrics::Retention {
        let Retention {
            time,
            size_bytes,
            percentage,
        } = self.retention();
        let mut limits = Vec::new();
        if size_bytes > 0 {
            limits.push(size_bytes);
        }
        if percentage > 0.0 {
            let disk_bytes = machine::disk_bytes(&self.flags.storage.path);
            limits.extend(disk_bytes.map(|bytes| (bytes as f64 * percentage / 100.0) as u64));
        }
        metrics::Retention {
            time_ms: match time {
                Duration::ZERO => None,
                time => Some(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
            },
            size_bytes: limits.into_iter().min(),
        }
    }

    /// Reads the configuration again and applies it.
    ///
    /// # Errors
    /// The new configuration has a mistake; the old one stays.
    pub(crate) async fn reload(&self) -> Result<(), String> {
        let apply = async |config: &Config| {
            // The start applies what is in force when it comes to it.
            let Ok(core) = self.core() else {
                return Ok(());
            };
            let (ready, outcome) = core.prepare(self, config).await;
            outcome?;
            core.commit(self, config, ready).await;
            Ok(())
        };
        let outcome = self.config.reload(&self.metrics.reload, apply).await;
        match &outcome {
            Ok(()) => self.notices.end(notices::RELOAD_FAILED),
            Err(_) => self.notices.begin(notices::RELOAD_FAILED, clock::now_ms()),
        }
        outcome
    }

    /// Returns what becomes true when the server is to stop.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Asks the server to stop; false where somebody did so before.
    pub(crate) fn quit(&self) -> bool {
        let first = !self.quitting.swap(true, Ordering::Relaxed);
        self.notices.begin(notices::STOPPING, clock::now_ms());
        self.notices.close();
        self.stop.send_replace(true);
        first
    }
}

/// Why the server could not run.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code that the program ends with.
    pub(crate) code: u8,
    /// What it was about.
    pub(crate) context: &'static str,
    /// What is wrong; at least one.
    pub(crate) problems: Vec<String>,
}

impl Failure {
    fn new(code: u8, context: &'static str, problem: impl ToString) -> Failure {
        Failure {
            code,
            context,
            problems: vec![problem.to_string()],
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        let other = |error| Failure::new(1, "the server cannot run", format!("{error:#}"));
        error.downcast().unwrap_or_else(other)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.context, self.problems.join("; "))
    }
}

impl std::error::Error for Failure {}

/// What the server runs in.
pub(crate) enum Surrounding {
    /// A process of its own, whose signals it heeds.
    Process,
    /// A program that wants to know when it is ready.
    Program(mpsc::Sender<Arc<App>>),
}

/// Runs the program until it is told to stop.
pub(crate) fn run(flags: Flags) -> ExitCode {
    match run_in(Surrounding::Process, flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for problem in &failure.problems {
                error!(problem, "{}", failure.context);
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// It could not run.
pub(crate) fn run_in(surrounding: Surrounding, flags: Flags) -> Result<(), Failure> {
    for (feature, fate) in flags.feature_fates() {
        match (fate, closest_feature(feature)) {
            (Some(Fate::Works | Fate::Always), _) => {}
            (Some(Fate::Nothing(reason)), _) => warn!(feature, reason, "a feature has no effect"),
            (Some(Fate::Absent(reason)), _) => warn!(feature, reason, "a feature does not exist"),
            (None, Some(closest)) => {
                warn!(feature, closest, "unknown option for --enable-feature");
            }
            (None, None) => warn!(feature, "unknown option for --enable-feature"),
        }
    }
    for (flag, reason) in &flags.ignored {
        warn!(flag, reason, "a flag has no effect");
    }
    let watched = Watched::new(&flags);
    let config = Configured::load(flags.config_file(), flags.tailing.promtail())
        .map_err(|problem| Failure::new(2, "error loading config", problem))?;
    let rules = rules::files::of_config(&config.current(), flags.promql_features());
    rules.map_err(|problems| Failure {
        code: 2,
        context: "error loading rule files",
        problems,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("kymo")
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("start the runtime")?;
    Ok(runtime.block_on(serve(flags, config, watched, surrounding))?)
}

async fn serve(
    flags: Flags,
    config: Configured,
    watched: Option<Watched>,
    surrounding: Surrounding,
) -> anyhow::Result<()> {
    let limits = Limits {
        max_connections: flags.web.max_connections,
        read_timeout: flags.web.read_timeout(),
    };
    let access = Access::new(flags.web.web_config_file.as_deref())
        .map_err(|problem| Failure::new(1, "Unable to validate web configuration file", problem))?;
    let access = Arc::new(access);
    let listener = Listener::bind(&flags.web.listen_addresses, limits).await?;
    let addresses: Vec<SocketAddr> = listener.addresses().collect();
    let port = addresses.first().map_or(0, SocketAddr::port);
    let urls = Urls::new(&flags, &hostname(), port, access.is_secure())
        .map_err(|problem| Failure::new(2, "wrong flag", problem))?;
    for address in &addresses {
        info!(%address, tls = access.is_secure(), "listening");
        if !address.ip().is_loopback() && !access.asks() {
            warn!(
                %address,
                "others on the network may call without credentials; --web.config.file sets some"
            );
        }
    }
    let (stop, stopped) = watch::channel(false);
    let queries = QueryPool::new(flags.query.max_concurrency)?;
    let memory = Arc::new(Memory::new(memory_limit(&flags)));
    let app = Arc::new_cyclic(|me| App {
        urls,
        access,
        metrics: Metrics::default(),
        queries,
        query_log: Arc::default(),
        bodies: BodyLimits::new(Arc::clone(&memory), flags.web.read_timeout()),
        receiver: Receiver::new(
            remote_write::Limits::default(),
            flags.web.remote_write_accepts(),
            flags.push_extras(),
        ),
        remote_reads: RemoteReads::new(flags.remote_read.concurrency),
        notices: Notices::new(flags.web.max_notification_listeners),
        live: Live::default(),
        tails: api::Tails::default(),
        otlp: otlp::Receiver::new(otlp::Limits::default(), flags.push_extras().start_zeros),
        logs: Logs::new(config.current().logs.limits.clone()),
        memory,
        config,
        started_ms: clock::now_ms(),
        addresses,
        opening: Arc::default(),
        core: OnceLock::new(),
        me: Weak::clone(me),
        stop,
        quitting: AtomicBool::new(false),
        flags,
    });
    app.notices.begin(notices::STARTING, app.started_ms);
    let router = api::router(Arc::clone(&app));
    let (origins, prefix) = (&app.flags.web.cors_origin, &app.urls.prefix);
    let edge = Edge::new(router, origins, Arc::clone(&app.access), prefix);
    let edge = edge.map_err(anyhow::Error::msg)?;
    let handler = move |request| edge.clone().answer(request);
    let tls = app.access.is_secure().then(|| {
        let access = Arc::clone(&app.access);
        Arc::new(move || access.handshake()) as Handshake
    });
    let serving = tokio::spawn(listener.serve(handler, tls, stopped.clone()));
    let signals = matches!(surrounding, Surrounding::Process)
        .then(|| tokio::spawn(signals(Arc::clone(&app))));
    if let Some(watched) = watched {
        tokio::spawn(auto_reload::watch(
            watched,
            Arc::clone(&app),
            stopped.clone(),
        ));
    }

    let store = open_store(&app).await?;
    let log_store = logs::open(&app).await?;
    app.notices.end(notices::STARTING);
    let stores = Stores {
        metrics: Arc::clone(&store),
        logs: Arc::clone(&log_store),
    };
    app.memory.measured(stores.memory_bytes());
    let measuring = tokio::spawn(background::measure(
        Arc::clone(&app.memory),
        stores.clone(),
        stopped.clone(),
    ));
    let policy = SyncPolicy::from(app.flags.storage.wal_sync);
    let syncing = (policy == SyncPolicy::Interval)
        .then(|| tokio::spawn(background::sync(stores.clone(), stopped.clone())));
    let maintenance = Maintenance::start(Arc::clone(&app), stores)?;
    let log_maintenance = LogMaintenance::start(Arc::clone(&app), Arc::clone(&log_store))?;
    let surroundings = scraping::surroundings(&app.flags);
    let notifier = Arc::new(Notifier::new(
        app.flags.rules.notify_options(),
        surroundings.clone(),
    ));
    let engine_options = EngineOptions {
        max_memory_bytes: app.memory.query_share(),
        memory: Some(Arc::clone(&app.memory) as Arc<dyn MemoryPool>),
        ..app.flags.engine_options()
    };
    let log_engine_options = LogEngineOptions {
        max_series: app.flags.log_queries.max_log_series,
        max_memory_bytes: app.memory.query_share(),
        memory: Some(Arc::clone(&app.memory) as Arc<dyn MemoryPool>),
        workers: None,
    };
    let rules = Evaluator::new(rules::Setup {
        store: Arc::clone(&store),
        logs: Some(Arc::new(SourceLogs::new(
            LogEngine::new(log_engine_options.clone()),
            Arc::clone(&log_store),
        ))),
        // Rules are many and small, and get no help from the threads of queries.
        engine: Engine::new(engine_options.clone()),
        memory: Arc::clone(&app.memory),
        alerts: Arc::clone(&notifier) as Arc<dyn AlertSink>,
        query_log: Arc::clone(&app.query_log),
        options: app.flags.rule_options(),
        external_url: app.urls.external().to_owned(),
        path_prefix: app.urls.external_path().to_owned(),
        data: app.flags.storage.path.clone(),
    })?;
    let core = Arc::new(Core {
        source_stats: Arc::clone(&surroundings.stats),
        tailing: Tailing::new(&app, Arc::clone(&log_store), surroundings.clone()),
        notifier,
        rules,
        discovery: scraping::discovery(surroundings),
        engine: Engine::new(EngineOptions {
            workers: Some(app.queries.helpers()),
            ..engine_options
        }),
        log_engine: LogEngine::new(LogEngineOptions {
            workers: Some(app.queries.helpers()),
            ..log_engine_options
        }),
        cache: ResultCache::new(CacheOptions {
            max_bytes: app.flags.query.cache_size.min(app.memory.query_share() / 8),
            memory: Some(Arc::clone(&app.memory) as Arc<dyn MemoryPool>),
        }),
        active_queries: Arc::new(ActiveQueries::open(
            &app.flags.storage.path,
            app.queries.concurrency(),
        )),
        scraping: scraping::pools(
            Arc::clone(&store),
            Arc::clone(&app.memory),
            app.flags.scrape_features(),
        ),
        forwarder: Forwarder::new(Arc::clone(&store), backlog_limits(app.handle())),
        store: Arc::clone(&store),
        logs: Arc::clone(&log_store),
    });
    begin(&app, &core).await;
    if let Surrounding::Program(ready) = &surrounding {
        // Nobody waits any more where the program gave up.
        let _gone = ready.send(Arc::clone(&app));
    }
    let pace = app.flags.scrape.discovery_reload_interval;
    let discovering = [
        tokio::spawn(scraping::discover(Arc::clone(&core), pace)),
        tokio::spawn(Arc::clone(&core.notifier).discover()),
        tokio::spawn(tailing::discover(Arc::clone(&core), pace)),
    ];

    wait_for(stopped).await;
    info!("stopping");
    // First, so that no rule sees the ends of targets and takes them for absent.
    core.rules.shutdown().await;
    for task in &discovering {
        task.abort();
    }
    core.discovery.stop();
    core.scraping.shutdown().await;
    core.tailing.stop().await;
    // Last of those that make alerts or may send them.
    core.notifier.stop().await;
    app.queries.close();
    let tasks = [
        ("listener", Some(serving)),
        ("memory", Some(measuring)),
        ("sync", syncing),
    ];
    for (name, task) in tasks {
        let Some(task) = task else { continue };
        if let Err(panic) = task.await {
            error!(%panic, name, "a task ended in a panic");
        }
    }
    if let Some(signals) = signals {
        signals.abort();
    }
    // Nothing is stored any more.
    core.forwarder.stop(app.flags.storage.flush_deadline).await;
    tokio::task::spawn_blocking(move || {
        log_maintenance.stop();
        maintenance.stop();
        store.settle()?;
        log_store.sync()
    })
    .await??;
    info!("stopped");
    Ok(())
}

/// Returns what tells how much may wait in the log to be handed on: as long as samples are
/// kept, and a part of what they may take on disk.
fn backlog_limits(app: Weak<App>) -> impl Fn() -> BacklogLimits + Send + Sync {
    move || {
        let Some(app) = app.upgrade() else {
            return BacklogLimits::default();
        };
        let retention = app.store_retention();
        BacklogLimits {
            time_ms: retention.time_ms,
            bytes: retention.size_bytes.map(|bytes| bytes / 4),
        }
    }
}

/// Applies the configuration for the first time, then lets requests in, so that whoever
/// finds the server ready finds it doing what it was told.
async fn begin(app: &App, core: &Arc<Core>) {
    let mut config = app.config.current();
    let mut applied = apply_what_can_be(app, core, &config).await;
    if app.core.set(Arc::clone(core)).is_ok() {
        info!("server is ready to receive web requests");
    }
    // A reload that came before there was anything to apply it to.
    let newest = app.config.current();
    if !Arc::ptr_eq(&config, &newest) {
        config = newest;
        applied = apply_what_can_be(app, core, &config).await;
    }
    match applied {
        Ok(()) => app.metrics.reload.succeeded(clock::now_ms()),
        Err(problem) => {
            app.metrics.reload.failed();
            error!(problem, "some parts of the configuration are not in force");
        }
    }
}

/// At the start there is nothing to keep in force in place of what cannot be used.
async fn apply_what_can_be(app: &App, core: &Core, config: &Config) -> Result<(), String> {
    let (ready, outcome) = core.prepare(app, config).await;
    core.commit(app, config, ready).await;
    outcome
}

/// Returns the bytes that the server may hold, and says so.
fn memory_limit(flags: &Flags) -> u64 {
    let available = machine::memory_bytes();
    let limit = flags.storage.memory_limit.bytes(available);
    match available {
        Some(available) if limit > available => warn!(
            limit,
            available, "--memory.limit is more than this machine or its cgroup has"
        ),
        Some(available) => info!(limit, available, "memory limit"),
        None => warn!(
            limit,
            "the system does not tell how much memory there is; set --memory.limit"
        ),
    }
    limit
}

/// Returns the name of this machine.
pub(crate) fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

async fn wait_for(mut stopped: watch::Receiver<bool>) {
    // The sender lives in the app, which outlives this wait.
    let _closed = stopped.wait_for(|stop| *stop).await;
}

async fn open_store(app: &App) -> anyhow::Result<Arc<MetricStore>> {
    let (flags, storage) = (&app.flags, &app.config.current().storage);
    let mut options = StoreOptions::new(flags.storage.path.clone());
    options.wal_sync = flags.storage.wal_sync.into();
    options.max_series = flags.storage.max_series;
    options.max_series_per_metric = flags.storage.max_series_per_metric;
    options.max_series_per_target = flags.storage.max_series_per_target;
    options.max_exemplars = flags.max_exemplars(storage.max_exemplars);
    options.out_of_order_window_ms = storage.out_of_order_window_ms();
    let began = clock::monotonic();
    let progress = Arc::clone(&app.opening);
    let opened =
        tokio::task::spawn_blocking(move || MetricStore::open_watched(&options, &progress));
    let (store, recovery) = opened.await??;
    let Recovery {
        segments,
        bytes,
        snapshot_series,
        series,
        samples,
        damages,
        ..
    } = &recovery;
    for damage in damages {
        maintenance::report(damage);
    }
    let took = began.elapsed();
    app.metrics.store.opened(took);
    info!(
        segments,
        bytes,
        snapshot_series,
        series,
        samples,
        ?took,
        "store is open"
    );
    Ok(Arc::new(store))
}

/// Turns SIGTERM and SIGINT into a clean stop, and SIGHUP into a reload.
async fn signals(app: Arc<App>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    ) else {
        warn!("signals cannot be received; stop the server through /-/quit");
        return;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => info!(signal = "SIGTERM", "asked to stop"),
            _ = interrupt.recv() => info!(signal = "SIGINT", "asked to stop"),
            _ = hangup.recv() => {
                // The outcome is in the log and in the metrics.
                let _outcome = app.reload().await;
                continue;
            }
        }
        app.quit();
    }
}
