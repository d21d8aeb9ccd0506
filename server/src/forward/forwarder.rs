//! All queues: give them a configuration, look at them, stop them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kymo_ingest::http::{ClientError, HttpClient};
use kymo_storage::metrics::{LogTail, MetricStore};
use kymo_storage::model::Labels;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{error, warn};

use super::metadata;
use super::metrics::{QueueMetrics, Shown};
use super::piece::{Collector, Maker};
use super::queue::{BacklogLimits, Phase, Reading, Worker};
use super::send::Sender;
use super::series::SeriesTable;
use crate::clock;
use crate::config::{Config, RemoteWrite, WriteMessage};

/// How long a queue that changes may take to send what is under way.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);

/// Hands on what is stored. All methods may be called from anywhere.
pub(crate) struct Forwarder {
    store: Arc<MetricStore>,
    limits: Arc<dyn Fn() -> BacklogLimits + Send + Sync>,
    /// Held while queues change.
    turn: tokio::sync::Mutex<()>,
    queues: Mutex<Vec<Arc<Queue>>>,
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder")
            .field("queues", &self.queues)
            .finish_non_exhaustive()
    }
}

/// The clients of a configuration, in the order of its sections.
#[derive(Debug)]
pub(crate) struct Clients(Vec<HttpClient>);

/// The queue of a section.
#[derive(Debug)]
struct Queue {
    /// Names its place in the log.
    key: String,
    config: RemoteWrite,
    external: Labels,
    name: String,
    metrics: Arc<QueueMetrics>,
    phase: watch::Sender<Phase>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Queue {
    /// Ends the queue, and returns when it has.
    async fn end(&self, drain: bool, limit: Duration) {
        let until = clock::monotonic() + limit;
        self.phase.send_replace(Phase::Ending { drain, until });
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            if let Err(panic) = task.await {
                error!(%panic, remote_name = self.name, "forwarding broke off");
            }
        }
    }
}

impl Forwarder {
    /// Returns one without queues. `limits` is asked again and again.
    pub(crate) fn new(
        store: Arc<MetricStore>,
        limits: impl Fn() -> BacklogLimits + Send + Sync + 'static,
    ) -> Forwarder {
        Forwarder {
            store,
            limits: Arc::new(limits),
            turn: tokio::sync::Mutex::new(()),
            queues: Mutex::default(),
        }
    }

    /// Makes the clients of a configuration, and changes nothing.
    ///
    /// # Errors
    /// The options of a client cannot be used.
    pub(crate) fn prepare(&self, config: &Config) -> Result<Clients, String> {
        let clients = config.remote_write.iter().map(|section| {
            let client = HttpClient::new(&section.client)?;
            Ok(match section.round_robin_dns {
                true => client.spread(),
                false => client,
            })
        });
        let clients: Result<_, ClientError> = clients.collect();
        let clients = clients.map_err(|error| format!("error creating HTTP client: {error}"))?;
        Ok(Clients(clients))
    }

    /// Hands on as a configuration says from now on. Sections that are the same keep their
    /// queues; those that change go on where they were; new ones begin with what is
    /// stored from now on. Must be called inside a tokio runtime.
    pub(crate) async fn commit(&self, config: &Config, clients: Clients) {
        let _turn = self.turn.lock().await;
        let external = &config.global.external_labels;
        let keys = keys(&config.remote_write);
        let old = self.queues.lock().clone();
        let mut wanted = Vec::new();
        for ((key, section), client) in keys.iter().zip(&config.remote_write).zip(clients.0) {
            let same = old.iter().find(|queue| {
                queue.key == *key && queue.config == *section && queue.external == *external
            });
            wanted.push(match same {
                Some(queue) => Wanted::Kept(Arc::clone(queue)),
                None => Wanted::New(key, section, client),
            });
        }
        let is_kept = |queue: &&Arc<Queue>| {
            let mut kept = wanted.iter();
            kept.any(|wanted| matches!(wanted, Wanted::Kept(kept) if Arc::ptr_eq(kept, queue)))
        };
        let (_, ended): (Vec<_>, Vec<_>) = old.iter().partition(is_kept);
        let mut ending = JoinSet::new();
        for queue in ended {
            let queue = Arc::clone(queue);
            ending.spawn(async move { queue.end(false, CHANGE_LIMIT).await });
        }
        while ending.join_next().await.is_some() {}
        self.retain(&keys).await;
        let metrics: HashMap<&str, &Arc<QueueMetrics>> = old
            .iter()
            .map(|queue| (queue.key.as_str(), &queue.metrics))
            .collect();
        let mut queues = Vec::new();
        for wanted in wanted {
            match wanted {
                Wanted::Kept(queue) => queues.push(queue),
                Wanted::New(key, section, client) => {
                    let known = metrics.get(key.as_str()).map(|metrics| Arc::clone(metrics));
                    let metrics = known.unwrap_or_default();
                    let key = key.clone();
                    match self.start(key, section, external, client, metrics).await {
                        Ok(queue) => queues.push(queue),
                        Err(error) => error!(
                            url = section.shown_url(),
                            error, "a queue cannot begin; remove the cause and reload"
                        ),
                    }
                }
            }
        }
        *self.queues.lock() = queues;
    }

    /// Ends the places in the log that belong to no section any more.
    async fn retain(&self, keys: &[String]) {
        let (store, keys) = (Arc::clone(&self.store), keys.to_vec());
        let retained = tokio::task::spawn_blocking(move || {
            let names: Vec<&str> = keys.iter().map(String::as_str).collect();
            store.retain_tails(&names)
        });
        match retained.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "places in the log are kept that nobody needs"),
            Err(panic) => error!(%panic, "places in the log are kept that nobody needs"),
        }
    }

    async fn start(
        &self,
        key: String,
        config: &RemoteWrite,
        external: &Labels,
        client: HttpClient,
        metrics: Arc<QueueMetrics>,
    ) -> Result<Arc<Queue>, String> {
        let config = config.clone();
        let (store, tail_name) = (Arc::clone(&self.store), key.clone());
        let tail = tokio::task::spawn_blocking(move || LogTail::open(&store, &tail_name)).await;
        let tail = tail.map_err(|panic| panic.to_string())?;
        let tail = tail.map_err(|error| error.to_string())?;
        let name = match config.name.is_empty() {
            true => short_hash(&key),
            false => config.name.clone(),
        };
        let sender = Sender::new(client, config.clone(), name.clone(), Arc::clone(&metrics));
        let sender = Arc::new(sender);
        let table = SeriesTable::new(external.clone(), config.relabel.clone());
        let (phase, watched) = watch::channel(Phase::Running);
        let worker = Worker {
            reading: Reading {
                tail,
                collector: Collector::new(&config, table, Arc::clone(&metrics)),
                maker: Maker::new(&config),
                store: Arc::clone(&self.store),
                config: config.queue,
                metrics: Arc::clone(&metrics),
                synced: clock::monotonic(),
                forgotten: clock::monotonic(),
            },
            sender: Arc::clone(&sender),
            phase: watched.clone(),
            limits: Arc::clone(&self.limits),
            name: name.clone(),
        };
        let mut tasks = vec![tokio::spawn(worker.run())];
        if config.message == WriteMessage::V1 && config.metadata.send {
            let store = Arc::clone(&self.store);
            let sending = metadata::send_all(store, sender, config.metadata, watched);
            tasks.push(tokio::spawn(sending));
        }
        Ok(Arc::new(Queue {
            key,
            config,
            external: external.clone(),
            name,
            metrics,
            phase,
            tasks: Mutex::new(tasks),
        }))
    }

    /// Sends what is left, and returns when all queues have ended, after `limit` at the
    /// latest. What a receiver does not take by then stays in the log.
    pub(crate) async fn stop(&self, limit: Duration) {
        let _turn = self.turn.lock().await;
        let queues = std::mem::take(&mut *self.queues.lock());
        let mut ending = JoinSet::new();
        for queue in queues {
            ending.spawn(async move { queue.end(true, limit).await });
        }
        while ending.join_next().await.is_some() {}
    }

    /// Returns what metrics show of each queue.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let queues = self.queues.lock();
        let shown = queues.iter().map(|queue| Shown {
            name: queue.name.clone(),
            url: queue.config.shown_url(),
            metrics: Arc::clone(&queue.metrics),
            capacity: queue.config.queue.capacity,
            min_shards: queue.config.queue.min_shards,
            max_shards: queue.config.queue.max_shards,
            max_samples: queue.config.queue.max_samples_per_send,
        });
        shown.collect()
    }
}

enum Wanted<'a> {
    Kept(Arc<Queue>),
    New(&'a String, &'a RemoteWrite, HttpClient),
}

/// Returns what names the place of each section in the log: its name, else its URL and how
/// many of the same stand before it. So other keys of a section may change.
fn keys(sections: &[RemoteWrite]) -> Vec<String> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let keys = sections.iter().map(|section| {
        if !section.name.is_empty() {
            return format!("name {}", section.name);
        }
        let nth = seen.entry(&section.url).or_default();
        *nth += 1;
        format!("url {} {nth}", section.url)
    });
    keys.collect()
}

/// Returns a short name for a section that has none.
fn short_hash(key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    let bytes = digest.as_ref().iter().take(3);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}
