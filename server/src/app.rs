//! The object graph: what exists, in which order it starts and stops.
//!
//! The listener is bound first and answers 503 while the store replays its log.
//! Stopping goes the other way round: no new connections and scrapes, requests that
//! run are finished, the log is synced, the directory is released.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use kymo_ingest::remote_write::Receiver;
use kymo_storage::StoreOptions;
use kymo_storage::metrics::{MetricStore, Recovery};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::api;
use crate::clock;
use crate::config::Config;
use crate::flags::Flags;
use crate::http::body::BodyLimits;
use crate::http::edge::Edge;
use crate::http::listener::{Limits, Listener};
use crate::observe::metrics::Metrics;
use crate::reload::Configured;
use crate::work::background;
use crate::work::queries::QueryPool;

/// Bytes that all request bodies may hold at one time.
const BODY_BUDGET_BYTES: usize = 256 << 20;
/// Threads for short blocking calls.
const BLOCKING_THREADS: usize = 16;

/// Everything that a request may need.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) flags: Flags,
    pub(crate) urls: Urls,
    pub(crate) metrics: Metrics,
    pub(crate) queries: QueryPool,
    pub(crate) bodies: BodyLimits,
    pub(crate) receiver: Receiver,
    pub(crate) config: Configured,
    /// Start of the server in milliseconds since the epoch.
    pub(crate) started_ms: i64,
    core: OnceLock<Core>,
    stop: watch::Sender<bool>,
    quitting: AtomicBool,
}

/// What exists once the store is open.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) store: Arc<MetricStore>,
}

/// Where the server is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Urls {
    /// Prefix of all paths, empty or `/like/this`.
    pub(crate) prefix: String,
    /// Host and port under which others reach the server.
    pub(crate) external: Option<url::Url>,
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
    pub(crate) fn core(&self) -> Result<&Core, NotReady> {
        if *self.stop.borrow() {
            return Err(NotReady::Stopping);
        }
        self.core.get().ok_or(NotReady::Starting)
    }

    /// Reads the configuration again and applies it.
    ///
    /// # Errors
    /// The new configuration has a mistake; the old one stays.
    pub(crate) async fn reload(&self) -> Result<(), String> {
        let apply = async |_config: &Config| Ok(());
        self.config.reload(&self.metrics.reload, apply).await
    }

    /// Asks the server to stop; false where somebody did so before.
    pub(crate) fn quit(&self) -> bool {
        let first = !self.quitting.swap(true, Ordering::Relaxed);
        self.stop.send_replace(true);
        first
    }
}

/// Runs the server until it is told to stop.
pub(crate) fn run(flags: Flags) -> ExitCode {
    let urls = match Urls::new(&flags) {
        Ok(urls) => urls,
        Err(problem) => {
            error!(%problem, "wrong flag");
            return ExitCode::from(2);
        }
    };
    for feature in flags.unknown_features() {
        warn!(feature, "unknown option for --enable-feature");
    }
    let config = match Configured::load(flags.config_file.as_deref()) {
        Ok(config) => config,
        Err(problem) => {
            error!(%problem, "error loading config");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("kymo")
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(serve(flags, urls, config)),
        Err(error) => Err(anyhow::Error::new(error).context("start the runtime")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            error!(error = format!("{problem:#}"), "the server cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn serve(flags: Flags, urls: Urls, config: Configured) -> anyhow::Result<()> {
    let limits = Limits {
        max_connections: flags.max_connections,
        read_timeout: flags.read_timeout,
    };
    let listener = Listener::bind(&flags.listen_addresses, limits).await?;
    for address in listener.addresses() {
        info!(%address, "listening");
    }
    let (stop, stopped) = watch::channel(false);
    let app = Arc::new(App {
        urls,
        metrics: Metrics::default(),
        queries: QueryPool::new(flags.query_max_concurrency)?,
        bodies: BodyLimits::new(BODY_BUDGET_BYTES, flags.read_timeout),
        receiver: Receiver::default(),
        config,
        started_ms: clock::now_ms(),
        core: OnceLock::new(),
        stop,
        quitting: AtomicBool::new(false),
        flags,
    });
    let edge = Edge::new(api::router(Arc::clone(&app)), &app.flags.cors_origin)
        .map_err(anyhow::Error::msg)?;
    let handler = move |request| edge.clone().answer(request);
    let serving = tokio::spawn(listener.serve(handler, stopped.clone()));
    let signals = tokio::spawn(signals(Arc::clone(&app)));

    let store = open_store(&app.flags).await?;
    let maintenance = tokio::spawn(background::maintain(
        Arc::clone(&store),
        app.flags.wal_sync.into(),
        app.flags.retention,
        stopped.clone(),
    ));
    let core = Core {
        store: Arc::clone(&store),
    };
    if app.core.set(core).is_ok() {
        app.metrics.reload.succeeded(clock::now_ms());
        info!("server is ready to receive web requests");
    }

    wait_for(stopped).await;
    info!("stopping");
    app.queries.close();
    for (name, task) in [("listener", serving), ("maintenance", maintenance)] {
        if let Err(panic) = task.await {
            error!(%panic, name, "a task ended in a panic");
        }
    }
    signals.abort();
    tokio::task::spawn_blocking(move || store.sync()).await??;
    info!("stopped");
    Ok(())
}

async fn wait_for(mut stopped: watch::Receiver<bool>) {
    // The sender lives in the app, which outlives this wait.
    let _closed = stopped.wait_for(|stop| *stop).await;
}

async fn open_store(flags: &Flags) -> anyhow::Result<Arc<MetricStore>> {
    let mut options = StoreOptions::new(flags.storage_path.clone());
    options.wal_sync = flags.wal_sync.into();
    options.retention_ms = i64::try_from(flags.retention.as_millis()).unwrap_or(i64::MAX);
    options.max_series = flags.max_series;
    let began = clock::monotonic();
    let (store, recovery) =
        tokio::task::spawn_blocking(move || MetricStore::open(&options)).await??;
    let Recovery {
        segments,
        bytes,
        series,
        samples,
        damages,
        ..
    } = &recovery;
    for damage in damages {
        warn!(
            file = %damage.path.display(),
            offset = damage.offset,
            lost_bytes = damage.lost_bytes,
            "a part of the log could not be read"
        );
    }
    let took = began.elapsed();
    info!(segments, bytes, series, samples, ?took, "store is open");
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

impl Urls {
    fn new(flags: &Flags) -> Result<Urls, String> {
        let external = match flags.external_url.as_deref() {
            None | Some("") => None,
            Some(text) => {
                let url = url::Url::parse(text)
                    .map_err(|error| format!("--web.external-url: {text:?}: {error}"))?;
                if !matches!(url.scheme(), "http" | "https") {
                    return Err(format!(
                        "--web.external-url: {text:?}: the scheme must be http or https"
                    ));
                }
                Some(url)
            }
        };
        let path = external.as_ref().map_or("/", url::Url::path);
        let prefix = flags.route_prefix.as_deref().unwrap_or(path);
        let prefix = prefix.trim_matches('/');
        let prefix = match prefix {
            "" => String::new(),
            prefix => format!("/{prefix}"),
        };
        Ok(Urls { prefix, external })
    }
}
