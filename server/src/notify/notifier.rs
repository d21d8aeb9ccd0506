//! All sections: give them a configuration and alerts, look at them, stop them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kymo_ingest::discovery::{Discovery, DiscoveryStats, SetConfig, Snapshot, Surroundings};
use kymo_storage::model::{Labels, RelabelRule};
use parking_lot::{Mutex, RwLock};
use tokio::task::JoinSet;

use super::alert::{AlertSink, OutgoingAlert, relabelled};
use super::metrics::NotifyMetrics;
use super::section::Section;
use crate::config::Config;

/// Longest distance between changes of Alertmanagers where they never cease.
const LONGEST_PACE: Duration = Duration::from_secs(5);

/// What the command line says about queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotifyOptions {
    /// Most alerts that wait for one Alertmanager.
    pub(crate) capacity: usize,
    /// Most alerts in one request.
    pub(crate) batch_size: usize,
    /// Whether a queue that ends is emptied first.
    pub(crate) drain: bool,
}

/// Where alerts go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Alertmanagers {
    /// URLs that alerts are posted to.
    pub(crate) active: Vec<String>,
    /// URLs that relabelling dropped.
    pub(crate) dropped: Vec<String>,
}

/// Sends alerts. All methods may be called from anywhere.
#[derive(Debug)]
pub(crate) struct Notifier {
    pub(super) options: NotifyOptions,
    pub(super) metrics: NotifyMetrics,
    discovery: Discovery,
    /// Held while sections and sets change, so that what was found for the sets of one
    /// configuration never reaches the sections of another.
    turn: Mutex<()>,
    state: RwLock<State>,
    tasks: Tasks,
}

#[derive(Debug, Default)]
struct State {
    external_labels: Labels,
    relabel: Vec<RelabelRule>,
    sections: Vec<Arc<Section>>,
    stopped: bool,
}

/// Tasks of queues, those of ended ones included.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    /// Runs a task.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock();
        // Those that are through need not be remembered.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

/// Sections that are ready to be used.
#[derive(Debug)]
pub(crate) struct Sections(Vec<Arc<Section>>);

impl Notifier {
    /// Returns a notifier that knows no Alertmanager.
    pub(crate) fn new(options: NotifyOptions, surroundings: Surroundings) -> Notifier {
        Notifier {
            options,
            metrics: NotifyMetrics::default(),
            // A section that changes starts anew, there is nothing to hold.
            discovery: Discovery::new(surroundings, Duration::ZERO),
            turn: Mutex::new(()),
            state: RwLock::default(),
            tasks: Tasks::default(),
        }
    }

    /// Makes the sections of a configuration, and changes nothing. Those that run just so
    /// already are among them.
    ///
    /// # Errors
    /// The options of an HTTP client cannot be used.
    pub(crate) fn prepare(&self, config: &Config) -> Result<Sections, String> {
        let mut running = self.state.read().sections.clone();
        let mut sections = Vec::new();
        for entry in &config.alerting.alertmanagers {
            let same = running.iter().position(|section| section.config == *entry);
            sections.push(match same {
                Some(at) => running.swap_remove(at),
                None => {
                    let made = Section::new(entry.clone(), self.options);
                    Arc::new(made.map_err(|error| format!("error creating HTTP client: {error}"))?)
                }
            });
        }
        Ok(Sections(sections))
    }

    /// Sends as a configuration says from now on. Sections that are the same go on with
    /// their queues, others end theirs. Must be called inside a tokio runtime.
    pub(crate) fn commit(&self, config: &Config, Sections(sections): Sections) {
        let _turn = self.turn.lock();
        {
            let mut state = self.state.write();
            if state.stopped {
                return;
            }
            for section in &sections {
                section.sync_again(&self.metrics, &self.tasks);
            }
            let stays = |old: &Arc<Section>| sections.iter().any(|new| Arc::ptr_eq(old, new));
            for section in state.sections.iter().filter(|section| !stays(section)) {
                section.end();
            }
            state.external_labels = config.global.external_labels.clone();
            state.relabel = config.alerting.alert_relabel.clone();
            state.sections = sections;
        }
        self.discovery.apply(sets(config));
    }

    /// Takes what discovery finds, for ever.
    pub(crate) async fn discover(self: Arc<Notifier>) {
        let mut changes = self.discovery.changes(LONGEST_PACE);
        loop {
            changes.wait().await;
            let _turn = self.turn.lock();
            self.discovered(&changes.take());
        }
    }

    fn discovered(&self, found: &Snapshot) {
        let state = self.state.read();
        if state.stopped {
            return;
        }
        for (index, section) in state.sections.iter().enumerate() {
            if let Some(groups) = found.get(&set_name(index)) {
                section.sync(groups.clone(), &self.metrics, &self.tasks);
            }
        }
    }

    /// Returns where alerts go.
    pub(crate) fn alertmanagers(&self) -> Alertmanagers {
        let mut listed = Alertmanagers::default();
        for section in &self.state.read().sections {
            section.list(&mut listed.active, &mut listed.dropped);
        }
        listed
    }

    /// Returns what discovery counted.
    pub(crate) fn discovery_stats(&self) -> DiscoveryStats {
        self.discovery.stats()
    }

    /// Returns how many alerts wait, by Alertmanager.
    pub(super) fn queue_lengths(&self) -> BTreeMap<String, usize> {
        let mut lengths: BTreeMap<String, usize> = BTreeMap::new();
        for section in &self.state.read().sections {
            section.queue_lengths(|url, length| {
                *lengths.entry(url.to_owned()).or_default() += length;
            });
        }
        lengths
    }

    /// Takes no more alerts, and returns when all queues have ended.
    pub(crate) async fn stop(&self) {
        self.discovery.stop();
        {
            let mut state = self.state.write();
            state.stopped = true;
            for section in &state.sections {
                section.end();
            }
        }
        let mut tasks = std::mem::take(&mut *self.tasks.0.lock());
        while let Some(ended) = tasks.join_next().await {
            if let Err(panic) = ended {
                tracing::error!(%panic, "sending alerts broke off");
            }
        }
    }
}

impl AlertSink for Notifier {
    fn send(&self, alerts: Vec<OutgoingAlert>) {
        let state = self.state.read();
        if state.stopped || state.sections.is_empty() {
            return;
        }
        let alerts = alerts.into_iter().map(Arc::new).collect();
        let alerts = relabelled(alerts, &state.external_labels, &state.relabel);
        if alerts.is_empty() {
            return;
        }
        for section in &state.sections {
            section.send(&alerts);
        }
    }
}

/// Returns the sets that discovery has to find for a configuration.
fn sets(config: &Config) -> BTreeMap<String, SetConfig> {
    let entries = config.alerting.alertmanagers.iter().enumerate();
    let sets = entries.map(|(index, entry)| {
        let set = SetConfig {
            static_configs: entry.static_configs.clone(),
            sources: entry.discovery.clone(),
        };
        (set_name(index), set)
    });
    sets.collect()
}

/// The name of a section in metrics.
fn set_name(index: usize) -> String {
    format!("config-{index}")
}
