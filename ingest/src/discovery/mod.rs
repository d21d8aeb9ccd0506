//! Discovery: finding out which targets there are, while they come and go.
//!
//! Scraping and the sending of alerts share it. Each job (or section of Alertmanagers)
//! is a set; a set names [`SourceConfig`]s. A source runs as a task, and what it finds
//! are [`Group`]s: a group that comes again under its [`GroupId`] replaces the one
//! before, an empty one removes it. Two sets with the same source share its task.
//!
//! Invariants: a source that fails changes nothing, the groups it found before stay.
//! After a change of configuration a set keeps what it had until its new sources have
//! tried once, so that a reload never empties it for a moment. Changes are handed out in
//! bundles, and the more seldom the longer they go on, see [`Changes::wait`].
//!
//! Reading order: `group` and `config` (what is found, where), `discovery` (sets and
//! sources), `source` (what a source is), then one file for each kind. Another kind is
//! one more variant of [`SourceConfig`] and one more file.
//!
//! Behaviour, names of labels and texts are those of Prometheus' `discovery`; targets
//! that the configuration itself lists need no finding and are not handled here.

mod config;
#[allow(
    clippy::module_inception,
    reason = "the thing has the name of the field"
)]
mod discovery;
mod dns;
mod docker;
mod file;
mod glob;
mod group;
mod http;
mod json;
mod kubernetes;
mod naming;
mod pace;
mod source;
mod stats;

use std::sync::Arc;

pub use config::{DnsConfig, DnsRecord, FileConfig, HttpConfig, SourceConfig};
pub use discovery::{Changes, Discovery, SetConfig, Snapshot};
pub use dns::DnsServers;
pub use docker::{DockerConfig, DockerFilter};
pub(crate) use glob::matches as fits_part;
pub use glob::{BadPattern, glob};
pub use group::{Group, GroupId, LabelMap, TargetGroup};
pub use kubernetes::{AttachMetadata, KubernetesConfig, KubernetesRole, KubernetesSelector};
pub use stats::{
    DiscoveryStats, RefreshDurations, RefreshStats, SetStats, SourceStats, SourcesStats,
};

/// Reads groups from a text in YAML; the error is complete. The reader is the one of
/// the configuration, so that both take and refuse the same.
pub type ReadYaml = fn(&str) -> Result<Vec<TargetGroup>, String>;

/// Where a cluster is, as a file of `kubectl` says.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterAccess {
    /// The URL of its API.
    pub url: String,
    /// How to reach it.
    pub client: crate::http::ClientOptions,
}

/// Reads a file of `kubectl`, with paths relative to a directory; the error is complete.
pub type ReadKubeconfig = fn(&str, &std::path::Path) -> Result<ClusterAccess, String>;

/// What sources need from their surroundings.
#[derive(Clone)]
pub struct Surroundings {
    /// Reads files of targets.
    pub read_yaml: ReadYaml,
    /// Reads files that say where a cluster is.
    pub read_kubeconfig: ReadKubeconfig,
    /// Which servers are asked for names.
    pub dns: DnsServers,
    /// Tells the time.
    pub clock: crate::scrape::Clock,
    /// What all sources of the process count together.
    pub stats: Arc<SourceStats>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("dns", &self.dns)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
