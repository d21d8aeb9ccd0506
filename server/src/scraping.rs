//! What is scraped: the jobs of the configuration, or Kymo itself and its host.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kymo_ingest::discovery::{
    Discovery, DnsServers, SetConfig, SourceConfig, SourceStats, Surroundings,
};
use kymo_ingest::host::{HostCollector, HostPaths};
use kymo_ingest::scrape::{
    Job, LocalSource, Prepared, ScrapeConfig, ScrapeFeatures, ScrapePools, ScrapeProtocol,
    TargetGroup, offset_seed,
};
use kymo_storage::metrics::MetricStore;
use parking_lot::Mutex;

use crate::app::{App, Core, hostname};
use crate::clock;
use crate::config::{self, Config};
use crate::flags::Flags;
use crate::observe::exposition::Format;
use crate::observe::metrics;
use crate::work::memory::{Memory, Refused};

/// Rhythm of the built-in jobs: a newcomer's first `rate(x[1m])`, which needs two
/// scrapes, has an answer within twenty seconds.
const BUILT_IN_INTERVAL: Duration = Duration::from_secs(10);
const BUILT_IN_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts scraping for a store, without any job yet, as far as there is memory.
pub(crate) fn pools(
    store: Arc<MetricStore>,
    memory: Arc<Memory>,
    features: ScrapeFeatures,
) -> ScrapePools {
    let gate = move || {
        let refusal = memory.admit(Refused::Scrape).err()?;
        Some(refusal.to_string())
    };
    ScrapePools::new(store, Arc::new(clock::now_ns), Arc::new(gate), features)
}

/// Returns what discovery needs, of targets and of Alertmanagers.
pub(crate) fn surroundings(flags: &Flags) -> Surroundings {
    Surroundings {
        read_yaml: config::parse_target_groups,
        read_kubeconfig: config::parse_kubeconfig,
        dns: DnsServers {
            server: flags.scrape.dns_server,
            ..DnsServers::default()
        },
        clock: Arc::new(clock::now_ns),
        stats: Arc::new(SourceStats::default()),
    }
}

/// Gives the jobs what discovery finds for them, for ever.
pub(crate) async fn discover(core: Arc<Core>, longest_pace: Duration) {
    let mut changes = core.discovery.changes(longest_pace);
    loop {
        changes.wait().await;
        core.scraping.discovered(&changes.take()).await;
    }
}

/// Makes the jobs of a configuration, or the built-in ones where there is no file, and
/// changes nothing. Jobs that cannot be set up are left out.
///
/// # Errors
/// The jobs that are left out.
pub(crate) async fn prepare(app: &App, core: &Core, config: &Config) -> (Jobs, Result<(), String>) {
    let jobs: Vec<Job> = if app.config.is_built_in() {
        built_in(app)
    } else {
        let zeros = app.flags.scrape_features().start_zero_samples;
        let jobs = config.jobs().cloned().map(|mut job| {
            // Protobuf tells since when series count, so it is preferred where that matters.
            if zeros && job.protocols_by_default {
                job.protocols = ScrapeProtocol::PROTOBUF_FIRST.to_vec();
            }
            Job::from(job)
        });
        jobs.collect()
    };
    let sets = jobs.iter().map(|job| {
        let set = SetConfig {
            static_configs: job.config.static_configs.clone(),
            sources: job.config.discovery.clone(),
        };
        (job.config.job_name.clone(), set)
    });
    let sets = sets.collect();
    let unfound = jobs.iter().find_map(|job| {
        let mistakes = job.config.discovery.iter().map(SourceConfig::check);
        let mistake = mistakes.filter_map(Result::err).next()?;
        Some(format!("job {}: {mistake}", job.config.job_name))
    });
    let (prepared, outcome) = core.scraping.prepare(jobs).await;
    let outcome = outcome.map_err(|error| error.to_string());
    let jobs = Jobs {
        prepared,
        sets,
        seed: offset_seed(&hostname(), &config.global.external_labels),
    };
    (jobs, outcome.and(unfound.map_or(Ok(()), Err)))
}

/// Jobs that are ready to run.
#[derive(Debug)]
pub(crate) struct Jobs {
    prepared: Prepared,
    /// Where their targets are found, by name.
    sets: BTreeMap<String, SetConfig>,
    seed: u64,
}

/// Runs exactly these jobs from now on.
pub(crate) async fn commit(core: &Core, jobs: Jobs) {
    core.scraping.commit(jobs.prepared, jobs.seed).await;
    // Jobs come first: what is found for a job that is not there would be lost.
    core.discovery.apply(jobs.sets);
}

/// How long a job keeps its targets after a reload while new sources have not tried yet.
const HOLD: Duration = Duration::from_secs(5);

/// Returns discovery of targets, without any job yet.
pub(crate) fn discovery(surroundings: Surroundings) -> Discovery {
    Discovery::new(surroundings, HOLD)
}

/// Kymo's own metrics as job `kymo`, and on Linux the host's as job `node`.
fn built_in(app: &App) -> Vec<Job> {
    let Some(address) = app.address() else {
        return Vec::new();
    };
    let job = |name: &str, instance: String, local: Arc<dyn LocalSource>| {
        let mut config = ScrapeConfig::new(name, BUILT_IN_INTERVAL, BUILT_IN_TIMEOUT);
        config.static_configs = vec![TargetGroup {
            targets: vec![address.to_string()],
            labels: BTreeMap::from([("instance".to_owned(), instance)]),
        }];
        Job {
            config,
            local: Some(local),
        }
    };
    let own = Arc::new(Own(app.handle()));
    let mut jobs = vec![job("kymo", address.to_string(), own)];
    if cfg!(target_os = "linux") {
        let host = Host(Mutex::new(HostCollector::new(HostPaths::default())));
        jobs.push(job("node", hostname(), Arc::new(host)));
    }
    jobs
}

/// Kymo's own metrics, without a round trip over the network. The app holds the
/// pools that hold this, so it must not hold the app.
struct Own(Weak<App>);

impl LocalSource for Own {
    fn collect(&self, out: &mut String) {
        if let Some(app) = self.0.upgrade() {
            out.push_str(&metrics::exposition(&app, Format::Text));
        }
    }
}

/// The host's figures.
struct Host(Mutex<HostCollector>);

impl LocalSource for Host {
    fn collect(&self, out: &mut String) {
        self.0.lock().collect(clock::now_ms(), out);
    }
}
