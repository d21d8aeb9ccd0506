//! Sets and their sources: which run, what they found, and when that is handed out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Surroundings;
use super::config::SourceConfig;
use super::dns::Dns;
use super::docker::DockerTargets;
use super::file::Files;
use super::group::{Group, TargetGroup};
use super::http::HttpTargets;
use super::kubernetes::KubernetesTargets;
use super::pace::Pace;
use super::source::{Every, Found, Reports, Source};
use super::stats::{DiscoveryStats, SetStats};

/// The groups of each set, in the order of its sources.
pub type Snapshot = BTreeMap<String, Vec<Arc<Group>>>;

/// What a set consists of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SetConfig {
    /// Targets that the configuration lists; they are only counted.
    pub static_configs: Vec<TargetGroup>,
    /// Where others are found.
    pub sources: Vec<SourceConfig>,
}

/// The sources that run. All methods may be called from anywhere.
pub struct Discovery {
    surroundings: Surroundings,
    hold: Duration,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    received: Arc<AtomicU64>,
    delayed: AtomicU64,
    sent: AtomicU64,
    clock: crate::scrape::Clock,
}

#[derive(Default)]
struct State {
    sources: Vec<Running>,
    sets: BTreeMap<String, Set>,
    /// Until when sets wait for sources that have not tried yet.
    held_until: Option<Instant>,
    failed: u64,
}

/// A source and its task, which ends with it.
struct Running {
    config: SourceConfig,
    set: String,
    found: Arc<Mutex<Found>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
struct Set {
    static_targets: u64,
    sources: Vec<Arc<Mutex<Found>>>,
    shown: Vec<Arc<Group>>,
    updated_ms: Option<i64>,
}

impl Discovery {
    /// Returns discovery without any set. `hold` is how long a set keeps what it had
    /// while sources that are new to it have not tried yet.
    pub fn new(surroundings: Surroundings, hold: Duration) -> Discovery {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            received: Arc::default(),
            delayed: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            clock: Arc::clone(&surroundings.clock),
        });
        Discovery {
            surroundings,
            hold,
            shared,
        }
    }

    /// Runs exactly these sets from now on; sources that are running already go on.
    /// Must be called inside a tokio runtime.
    pub fn apply(&self, sets: BTreeMap<String, SetConfig>) {
        let stats = &self.surroundings.stats;
        let mut state = self.shared.state.lock();
        let mut old = std::mem::take(&mut state.sources);
        let mut old_sets = std::mem::take(&mut state.sets);
        let mut fresh = false;
        state.failed = 0;
        for (name, config) in sets {
            let mut set = old_sets.remove(&name).unwrap_or_default();
            let targets = config.static_configs.iter();
            set.static_targets = targets.map(|group| group.targets.len() as u64).sum();
            set.sources.clear();
            for source in config.sources {
                if let Some(at) = old.iter().position(|running| running.config == source) {
                    state.sources.push(old.swap_remove(at));
                } else if !state.sources.iter().any(|running| running.config == source) {
                    match self.start(&name, source.clone()) {
                        Ok(running) => state.sources.push(running),
                        Err(error) => {
                            let discovery = source.mechanism();
                            tracing::error!(
                                discovery,
                                config = name,
                                error,
                                "cannot create service discovery"
                            );
                            state.failed += 1;
                            continue;
                        }
                    }
                    fresh = true;
                }
                let running = state.sources.iter().find(|r| r.config == source);
                set.sources.extend(running.map(|r| Arc::clone(&r.found)));
            }
            state.sets.insert(name, set);
        }
        for ended in &old {
            let (mechanism, set) = (ended.config.mechanism(), &ended.set);
            let same = |r: &Running| r.config.mechanism() == mechanism && r.set == *set;
            if !state.sources.iter().any(same) {
                stats.end(mechanism, set);
            }
        }
        if fresh {
            state.held_until = Some(Instant::now() + self.hold);
        }
        drop(state);
        self.shared.changed.send_modify(|version| *version += 1);
    }

    /// Ends all sources; what was handed out stays valid.
    pub fn stop(&self) {
        let mut state = self.shared.state.lock();
        state.sources.clear();
    }

    /// Returns the changes from now on, what is known now first. `longest` is the
    /// largest distance between two bundles where changes never cease.
    pub fn changes(&self, longest: Duration) -> Changes {
        let mut seen = self.shared.changed.subscribe();
        seen.mark_changed();
        Changes {
            shared: Arc::clone(&self.shared),
            seen,
            pace: Pace::new(longest),
        }
    }

    /// Returns what was counted.
    pub fn stats(&self) -> DiscoveryStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = self.shared.state.lock();
        let mut stats = DiscoveryStats {
            failed_configs: state.failed,
            received: get(&self.shared.received),
            delayed: get(&self.shared.delayed),
            sent: get(&self.shared.sent),
            ..DiscoveryStats::default()
        };
        for (name, set) in &state.sets {
            let found = set.shown.iter().map(|group| group.targets.len() as u64);
            stats.sets.push(SetStats {
                name: name.clone(),
                targets: set.static_targets + found.sum::<u64>(),
                updated_ms: set.updated_ms,
            });
        }
        for running in &state.sources {
            let found = running.found.lock();
            stats.files.extend(found.files.clone());
        }
        stats
    }

    fn start(&self, set: &str, config: SourceConfig) -> Result<Running, String> {
        let stats = Arc::clone(&self.surroundings.stats);
        let reports = Reports {
            set: set.to_owned(),
            stats: Arc::clone(&stats),
            found: Arc::default(),
            received: Arc::clone(&self.shared.received),
            changed: self.shared.changed.clone(),
        };
        let found = Arc::clone(&reports.found);
        let task = match &config {
            SourceConfig::File(config) => {
                let files = Files::new(config, self.surroundings.read_yaml);
                tokio::spawn(files.run(reports))
            }
            SourceConfig::Dns(config) => {
                let servers = self.surroundings.dns.clone();
                let source = Dns::new(config, servers, Arc::clone(&stats));
                let interval = config.refresh_interval;
                stats.begin("dns", set);
                tokio::spawn(Every { interval, source }.run(reports))
            }
            SourceConfig::Http(config) => {
                let source = HttpTargets::new(config, Arc::clone(&stats))?;
                let interval = config.refresh_interval;
                stats.begin("http", set);
                tokio::spawn(Every { interval, source }.run(reports))
            }
            SourceConfig::Docker(config) => {
                let source = DockerTargets::new(config)?;
                let interval = config.refresh_interval;
                stats.begin("docker", set);
                tokio::spawn(Every { interval, source }.run(reports))
            }
            SourceConfig::Kubernetes(config) => {
                let read = self.surroundings.read_kubeconfig;
                tokio::spawn(KubernetesTargets::new(config, read)?.run(reports))
            }
        };
        Ok(Running {
            config,
            set: set.to_owned(),
            found,
            task,
        })
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").finish_non_exhaustive()
    }
}

/// Hands out what was found, each time that it changes.
pub struct Changes {
    shared: Arc<Shared>,
    seen: watch::Receiver<u64>,
    pace: Pace,
}

impl Changes {
    /// Waits for a change that may be handed out now; changes that come soon after each
    /// other are one. Never ends by itself.
    pub async fn wait(&mut self) {
        let held_until = self.shared.held_until();
        tokio::select! {
            // The sender lives in what this holds.
            _changed = self.seen.changed() => {}
            () = until(held_until) => {}
        }
        let at = self.pace.next(Instant::now());
        if at > Instant::now() {
            self.shared.delayed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep_until(at).await;
        }
    }

    /// Returns all groups of all sets.
    pub fn take(&mut self) -> Snapshot {
        self.seen.mark_unchanged();
        self.pace.passed(Instant::now());
        self.shared.sent.fetch_add(1, Ordering::Relaxed);
        self.shared.publish()
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Shared {
    /// Returns when sets that wait for their sources wait no longer; `None` where none
    /// waits.
    fn held_until(&self) -> Option<Instant> {
        let state = self.state.lock();
        let until = state.held_until?;
        let waits = |set: &Set| set.sources.iter().any(|found| !found.lock().tried);
        state.sets.values().any(waits).then_some(until)
    }

    fn publish(&self) -> Snapshot {
        let now_ms = (self.clock)() / 1_000_000;
        let mut state = self.state.lock();
        let held = state.held_until.is_some_and(|until| Instant::now() < until);
        if !held {
            state.held_until = None;
        }
        let mut snapshot = Snapshot::new();
        for (name, set) in &mut state.sets {
            let waits = held && set.sources.iter().any(|found| !found.lock().tried);
            if !waits {
                set.shown.clear();
                for found in &set.sources {
                    set.shown.extend(found.lock().groups.values().cloned());
                }
                set.updated_ms = Some(now_ms);
            }
            snapshot.insert(name.clone(), set.shown.clone());
        }
        snapshot
    }
}
