//! Sources against real files and small servers that speak the real protocols.

mod api_server;
mod dns;
mod dns_server;
mod docker;
mod files;
mod http;
mod kubernetes;
mod sets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Changes, ClusterAccess, Discovery, DnsServers, SetConfig, Snapshot, SourceConfig, SourceStats,
    SourcesStats, Surroundings, TargetGroup,
};

/// How long a change may take to be seen on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Discovery with what it uses.
struct Found {
    discovery: Discovery,
    changes: Changes,
    stats: Arc<SourceStats>,
    last: Snapshot,
}

impl Found {
    fn new() -> Found {
        Found::asking(DnsServers::default())
    }

    fn asking(dns: DnsServers) -> Found {
        let stats = Arc::new(SourceStats::default());
        let surroundings = Surroundings {
            read_yaml,
            read_kubeconfig,
            dns,
            clock: Arc::new(|| 1_700_000_000_000_000_000),
            stats: Arc::clone(&stats),
        };
        let discovery = Discovery::new(surroundings, Duration::from_secs(5));
        Found {
            changes: discovery.changes(Duration::from_millis(200)),
            discovery,
            stats,
            last: Snapshot::new(),
        }
    }

    /// Runs one set `a` of one source.
    fn run(&self, source: SourceConfig) {
        self.apply([("a", vec![source])]);
    }

    fn apply<const N: usize>(&self, sets: [(&str, Vec<SourceConfig>); N]) {
        let sets = sets.into_iter().map(|(name, sources)| {
            let set = SetConfig {
                static_configs: Vec::new(),
                sources,
            };
            (name.to_owned(), set)
        });
        self.discovery.apply(sets.collect::<BTreeMap<_, _>>());
    }

    /// Waits until the targets of set `a` are these.
    async fn wait_for(&mut self, expected: &[&str]) {
        self.wait_until(&format!("{expected:?}"), |last| {
            addresses(last, "a") == expected
        })
        .await;
    }

    async fn wait_until(&mut self, what: &str, holds: impl Fn(&Snapshot) -> bool) {
        let waiting = async {
            while !holds(&self.last) {
                self.changes.wait().await;
                self.last = self.changes.take();
            }
        };
        if tokio::time::timeout(LIMIT, waiting).await.is_err() {
            panic!("{what} was not found, but {:?}", self.last);
        }
    }

    /// Waits until sources counted this.
    async fn wait_for_stats(&self, holds: impl Fn(&SourcesStats) -> bool) {
        let waiting = async {
            while !holds(&self.stats.snapshot()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(LIMIT, waiting).await.is_err() {
            panic!("not counted: {:?}", self.stats.snapshot());
        }
    }

    /// Returns the group of an id in set `a`, as text.
    fn group(&self, id: &str) -> String {
        let found = self.last["a"]
            .iter()
            .find(|group| group.id.to_string() == id);
        let group = found.unwrap();
        format!("{:?} {:?}", group.targets, group.labels)
    }
}

/// Returns the addresses of a set, in order.
fn addresses<'a>(snapshot: &'a Snapshot, set: &str) -> Vec<&'a str> {
    let groups = snapshot.get(set).into_iter().flatten();
    let targets = groups.flat_map(|group| &group.targets);
    let mut addresses: Vec<&str> = targets.map(|t| t["__address__"].as_str()).collect();
    addresses.sort_unstable();
    addresses
}

/// Stands for the configuration's reader: the URL is all there is.
fn read_kubeconfig(text: &str, _dir: &std::path::Path) -> Result<ClusterAccess, String> {
    match text.starts_with("http://") {
        true => Ok(ClusterAccess {
            url: text.to_owned(),
            client: crate::http::ClientOptions::default(),
        }),
        false => Err("not a URL".to_owned()),
    }
}

/// Stands for the configuration's reader: one target a line.
fn read_yaml(text: &str) -> Result<Vec<TargetGroup>, String> {
    if text.contains('!') {
        return Err("not a list of groups".to_owned());
    }
    let group = |line: &str| TargetGroup {
        targets: vec![line.to_owned()],
        labels: BTreeMap::new(),
    };
    Ok(text.lines().map(group).collect())
}
