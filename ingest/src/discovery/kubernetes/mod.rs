//! Targets in a Kubernetes cluster: `kubernetes_sd_configs`.
//!
//! Each kind of objects that a role needs is a feed: listed once, then followed. All
//! feeds report to one place, where what is known of the cluster is; the groups are made
//! there, one for each object of the role, and made again when one of the objects that
//! they show changes. Nothing is reported before all feeds were listed.
//!
//! Invariants: answers are bounded in size, by page and by change; a feed that fails
//! keeps what it told before.
//!
//! Reading order: `config`, `access` (where the API is, what is asked), `watch` (a feed),
//! `objects` and `store` (what is known), `world` (which groups follow), `targets`,
//! `endpoints` and `labels` (what is in them). Behaviour and names of labels are those
//! of Prometheus' `discovery/kubernetes`; one difference is that a change of a pod is
//! seen at the addresses of its services at once.

mod access;
mod config;
mod endpoints;
mod labels;
mod objects;
mod store;
mod targets;
mod watch;
mod world;

use std::collections::BTreeSet;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use access::{Api, Cluster, Feed};
pub use config::{AttachMetadata, KubernetesConfig, KubernetesRole, KubernetesSelector};
use store::{Event, Kind, News};
use watch::Report;
use world::World;

use super::ReadKubeconfig;
use super::source::{Reports, Source};
use super::stats::SourceStats;
use crate::http::HttpClient;

/// Reports that wait to be taken in; feeds wait when there are more.
const WAITING: usize = 1024;

/// Follows a cluster.
#[derive(Debug)]
pub(super) struct KubernetesTargets {
    config: KubernetesConfig,
    api: Api,
    feeds: Vec<Feed>,
}

/// Tells whether the source can be made, wherever it runs.
///
/// # Errors
/// The options of its HTTP client cannot be used.
pub(super) fn check(config: &KubernetesConfig) -> Result<(), String> {
    let client = HttpClient::new(&config.client);
    client.map(drop).map_err(|error| error.to_string())
}

impl KubernetesTargets {
    /// Makes the source.
    ///
    /// # Errors
    /// The options of its HTTP client cannot be used, or the file that says where the
    /// cluster is, or it is to use what a pod knows and runs in none.
    pub(super) fn new(
        config: &KubernetesConfig,
        read: ReadKubeconfig,
    ) -> Result<KubernetesTargets, String> {
        KubernetesTargets::within(config, read, &Cluster::here())
    }

    fn within(
        config: &KubernetesConfig,
        read: ReadKubeconfig,
        cluster: &Cluster,
    ) -> Result<KubernetesTargets, String> {
        let (api, feeds) = Api::open(config, read, cluster)?;
        Ok(KubernetesTargets {
            config: config.clone(),
            api,
            feeds,
        })
    }

    fn take(&self, (index, report): Report, world: &mut World, reports: &Reports) -> bool {
        let Some(feed) = self.feeds.get(index) else {
            return false;
        };
        let role = self.config.role;
        let news = match report {
            Ok(news) => news,
            Err(error) => {
                SourceStats::bump(&reports.stats.kubernetes_failures);
                let (kind, config) = (feed.kind, &reports.set);
                let role = role.name();
                tracing::warn!(
                    discovery = "kubernetes",
                    config,
                    role,
                    ?kind,
                    error,
                    "feed failed"
                );
                reports.tried();
                return false;
            }
        };
        let is_list = matches!(news, News::All(..));
        world.take(feed.kind, news, |event| {
            if let Some(row) = counted(role, feed.kind, event) {
                reports.stats.kubernetes_event(row, event as usize);
            }
        });
        is_list
    }
}

impl Source for KubernetesTargets {
    async fn run(self, reports: Reports) {
        let (out, mut news) = mpsc::channel(WAITING);
        // The feeds end with this set.
        let mut feeds = JoinSet::new();
        for (index, feed) in self.feeds.iter().enumerate() {
            feeds.spawn(watch::follow(
                index,
                feed.clone(),
                self.api.clone(),
                out.clone(),
            ));
        }
        drop(out);
        let mut world = World::new(self.config.role, self.config.attach);
        let mut unlisted: BTreeSet<usize> = (0..self.feeds.len()).collect();
        while let Some(report) = news.recv().await {
            let was_unlisted = !unlisted.is_empty();
            // What came meanwhile is one change.
            let waiting = std::iter::from_fn(|| news.try_recv().ok()).take(WAITING);
            for report in std::iter::once(report).chain(waiting) {
                let index = report.0;
                if self.take(report, &mut world, &reports) {
                    unlisted.remove(&index);
                }
            }
            if unlisted.is_empty() {
                let groups = world.groups();
                if was_unlisted || !groups.is_empty() {
                    reports.update(groups);
                }
            }
        }
    }
}

/// Returns which role an event is counted for. Of pods behind addresses only changes
/// are, and only for one role.
fn counted(role: KubernetesRole, kind: Kind, event: Event) -> Option<usize> {
    let by_kind = match kind {
        _ if kind == world::primary(role) => role,
        Kind::Service => KubernetesRole::Service,
        Kind::Pod if role == KubernetesRole::Endpoints && event == Event::Update => {
            KubernetesRole::Pod
        }
        _ => return None,
    };
    let mut roles = KubernetesRole::ALL.iter();
    roles.position(|role| *role == by_kind)
}

#[cfg(test)]
mod tests;
