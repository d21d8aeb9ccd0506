//! All groups: started from a configuration, changed by the next one, stopped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use kymo_query::Engine;
use kymo_query::rules::{Group, GroupSettings, Language, Restore, RestoreOptions, RuleLogs};
use kymo_storage::metrics::MetricStore;
use parking_lot::RwLock;
use tokio::sync::watch;
use tracing::{error, info};

use super::file::Accepted;
use super::files::{self, FileGroup};
use super::namespaces::Namespaces;
use super::running::Running;
use super::stats::RuleDurations;
use crate::clock;
use crate::config::{Config, units};
use crate::notify::AlertSink;
use crate::work::memory::Memory;
use crate::work::query_log::QueryLog;

/// Stack of a thread that evaluates, as for queries.
pub(super) const STACK_BYTES: usize = 8 << 20;

/// Least threads: a slow group must not hold up all others.
const MIN_THREADS: usize = 4;
const MAX_THREADS: usize = 16;

/// What the command line says about rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RuleOptions {
    /// How the state of alerts is restored.
    pub(crate) restore: RestoreOptions,
    /// Least milliseconds before an alert is sent again.
    pub(crate) resend_delay_ms: i64,
    /// Most rules that are evaluated beside others of their group; `None` where rules
    /// are evaluated one by one.
    pub(crate) concurrency: Option<usize>,
    /// How long one query may take.
    pub(crate) query_timeout: Duration,
}

/// What all groups share.
pub(crate) struct Context {
    pub(super) store: Arc<MetricStore>,
    /// Answers the queries of rules over logs; `None` where there are no logs.
    pub(super) logs: Option<Arc<dyn RuleLogs>>,
    pub(super) engine: Engine,
    pub(super) memory: Arc<Memory>,
    pub(super) alerts: Arc<dyn AlertSink>,
    pub(super) query_log: Arc<QueryLog>,
    pub(super) options: RuleOptions,
    pub(super) pool: rayon::ThreadPool,
    pub(super) durations: RuleDurations,
    /// How many rules are evaluated beside others now.
    pub(super) evaluated_beside: AtomicUsize,
    external_url: String,
    path_prefix: String,
    /// What rules that clients write may hold.
    pub(super) accepted: Accepted,
    pub(super) namespaces: Namespaces,
}

/// What an [`Evaluator`] works with.
pub(crate) struct Setup {
    pub(crate) store: Arc<MetricStore>,
    /// Answers the queries of rules over logs.
    pub(crate) logs: Option<Arc<dyn RuleLogs>>,
    pub(crate) engine: Engine,
    pub(crate) memory: Arc<Memory>,
    pub(crate) alerts: Arc<dyn AlertSink>,
    pub(crate) query_log: Arc<QueryLog>,
    pub(crate) options: RuleOptions,
    /// The server's URL from outside, without a slash at its end, and its path.
    pub(crate) external_url: String,
    pub(crate) path_prefix: String,
    /// The data directory, for rules that clients write.
    pub(crate) data: PathBuf,
}

/// Evaluates the rules of a configuration.
pub(crate) struct Evaluator {
    pub(super) context: Arc<Context>,
    groups: RwLock<Groups>,
    /// Held while groups change.
    pub(super) turn: tokio::sync::Mutex<Turn>,
    pub(super) stop: watch::Sender<bool>,
}

/// Groups by file and name.
type Groups = BTreeMap<(String, String), Arc<Running>>;

/// What must not be done twice at a time.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The groups of the last configuration and what counts for them. Only groups of the
    /// first one look for the state of an earlier run.
    configured: Option<(Vec<FileGroup>, GroupSettings)>,
}

impl std::fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluator")
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

impl Evaluator {
    /// Returns an evaluator without rules.
    ///
    /// # Errors
    /// The system refused a thread.
    pub(crate) fn new(setup: Setup) -> Result<Evaluator, rayon::ThreadPoolBuildError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let pool = rayon::ThreadPoolBuilder::new()
            .stack_size(STACK_BYTES)
            .num_threads(cores.clamp(MIN_THREADS, MAX_THREADS))
            .thread_name(|index| format!("rules-{index}"))
            .build()?;
        let promql = setup.engine.options().enable;
        let context = Context {
            store: setup.store,
            logs: setup.logs,
            engine: setup.engine,
            memory: setup.memory,
            alerts: setup.alerts,
            query_log: setup.query_log,
            options: setup.options,
            pool,
            durations: RuleDurations::default(),
            evaluated_beside: AtomicUsize::new(0),
            external_url: setup.external_url,
            path_prefix: setup.path_prefix,
            accepted: Accepted {
                language: Language::LogQl,
                promql,
                ..Accepted::default()
            },
            namespaces: Namespaces::below(&setup.data),
        };
        Ok(Evaluator {
            context: Arc::new(context),
            groups: RwLock::default(),
            turn: tokio::sync::Mutex::default(),
            stop: watch::channel(false).0,
        })
    }

    /// Returns the groups, sorted by file and name.
    pub(crate) fn groups(&self) -> Vec<Arc<Running>> {
        self.groups.read().values().cloned().collect()
    }

    /// Returns the groups whose expressions are in one language.
    pub(crate) fn groups_of(&self, language: Language) -> Vec<Arc<Running>> {
        let mut groups = self.groups();
        groups.retain(|running| running.group().definition().language == language);
        groups
    }

    /// Returns durations of all rules and groups.
    pub(crate) fn durations(&self) -> &RuleDurations {
        &self.context.durations
    }

    /// Evaluates rules from now on. Groups that stay the same go on, others begin with the
    /// state of the group of the same name.
    pub(crate) async fn commit(&self, config: &Config, groups: Vec<FileGroup>) {
        let mut turn = self.turn.lock().await;
        if *self.stop.borrow() {
            return;
        }
        let defaults = self.defaults(config);
        let restore = match turn.configured.replace((groups, defaults)) {
            None => Restore::Later,
            Some(_) => Restore::Nothing,
        };
        let read = |namespaces: &Namespaces, accepted: &Accepted| namespaces.read(accepted);
        self.renew(&turn, restore, read).await;
    }

    /// Does something with the rules that clients write, then runs all groups as they are
    /// after it.
    pub(super) async fn renew<T: Send + 'static>(
        &self,
        turn: &Turn,
        restore: Restore,
        work: impl FnOnce(&Namespaces, &Accepted) -> T + Send + 'static,
    ) -> Option<T> {
        let context = Arc::clone(&self.context);
        let on_disk = tokio::task::spawn_blocking(move || {
            let Context {
                namespaces,
                accepted,
                ..
            } = &*context;
            (work(namespaces, accepted), namespaces.read(accepted))
        });
        // It does not panic, and is not stopped.
        let (done, written) = on_disk.await.ok()?;
        if let Some((groups, defaults)) = &turn.configured {
            let mut groups = groups.clone();
            groups.extend(written);
            self.replace(groups, defaults, restore).await;
        }
        Some(done)
    }

    /// Reads the rules of a configuration, and changes nothing.
    ///
    /// # Errors
    /// A file has a mistake.
    pub(crate) async fn prepare(&self, config: &Config) -> Result<Vec<FileGroup>, String> {
        let (config, promql) = (config.clone(), self.context.accepted.promql);
        let read = tokio::task::spawn_blocking(move || files::of_config(&config, promql)).await;
        let mistakes = match read {
            Ok(Ok(groups)) => return Ok(groups),
            Ok(Err(mistakes)) => mistakes,
            Err(panic) => vec![panic.to_string()],
        };
        for error in mistakes {
            error!(error, "loading groups failed");
        }
        Err("error loading rules, previous rule set restored".to_owned())
    }

    fn defaults(&self, config: &Config) -> GroupSettings {
        let global = &config.global;
        GroupSettings {
            interval_ms: units::millis(global.evaluation_interval),
            query_offset_ms: units::millis(global.rule_query_offset),
            resend_delay_ms: self.context.options.resend_delay_ms,
            external_labels: global.external_labels.clone(),
            external_url: self.context.external_url.clone(),
            path_prefix: self.context.path_prefix.clone(),
        }
    }

    async fn replace(&self, groups: Vec<FileGroup>, defaults: &GroupSettings, restore: Restore) {
        let mut old = self.groups.read().clone();
        let mut new = Groups::new();
        let mut changed = Vec::new();
        for (file, definition) in groups {
            let key = (file, definition.name.clone());
            let before = old.remove(&key);
            let same = before.as_ref().filter(|running| {
                let group = running.group();
                *group.definition() == definition && *group.settings() == defaults.of(&definition)
            });
            if let Some(same) = same {
                new.insert(key, Arc::clone(same));
                continue;
            }
            let stats = before.as_ref().map(|running| Arc::clone(&running.stats));
            let group = Group::new(key.0.clone(), definition, defaults, restore);
            let running = Arc::new(Running::new(group, stats.unwrap_or_default()));
            new.insert(key, Arc::clone(&running));
            changed.push((before, running));
        }
        // All are asked first, so that their last rules end at the same time.
        let replaced = changed.iter().filter_map(|(before, _)| before.as_ref());
        for running in replaced.chain(old.values()) {
            running.ask_to_stop();
        }
        for (before, running) in &changed {
            if let Some(before) = before {
                before.ended().await;
                running.group().copy_from(before.group());
            }
        }
        for running in old.into_values() {
            running.ended().await;
            self.abandon(running);
        }
        *self.groups.write() = new;
        for (_, running) in changed {
            running.start(Arc::clone(&self.context), restore);
        }
    }

    /// Ends the series of a group that is gone, but not at once: a group of another name
    /// may have the same rules, and its series must go on without a gap.
    fn abandon(&self, running: Arc<Running>) {
        running.group().abandon();
        let context = Arc::clone(&self.context);
        let mut stop = self.stop.subscribe();
        let at_ns = clock::now_ns();
        let interval_ns = running.group().schedule().interval_ns().unsigned_abs();
        let wait = Duration::from_nanos(interval_ns.saturating_mul(2));
        tokio::spawn(async move {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
            let shared = Arc::clone(&context);
            context
                .pool
                .spawn(move || running.end_orphans(&shared, at_ns));
        });
    }

    /// Stops all groups; queries under way are broken off.
    pub(crate) async fn shutdown(&self) {
        self.stop.send_replace(true);
        let _turn = self.turn.lock().await;
        let groups = std::mem::take(&mut *self.groups.write());
        for running in groups.values() {
            running.ask_to_stop();
            running.cancel();
        }
        for running in groups.values() {
            running.ended().await;
        }
        info!(groups = groups.len(), "rules are stopped");
    }
}
