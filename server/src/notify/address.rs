//! Where alerts are posted to: from addresses and their labels to URLs.

use std::sync::Arc;

use kymo_ingest::discovery::Group;
use kymo_ingest::http::push_origin;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::{LabelsBuilder, Verdict, relabel};

use crate::config::Alertmanager;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__alerts_path__";

/// What the API's path is below a prefix.
const ENDPOINT: &str = "/api/v2/alerts";

/// The Alertmanagers of a section.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    /// URLs that alerts are posted to, each once, in the order of the groups.
    pub(super) active: Vec<String>,
    /// URLs that relabelling dropped.
    pub(super) dropped: Vec<String>,
    /// Why groups were left out.
    pub(super) failures: Vec<String>,
}

/// Works out the Alertmanagers of a section: those that it lists, and those found.
pub(super) fn resolve(config: &Alertmanager, found: &[Arc<Group>]) -> Addresses {
    let mut addresses = Addresses::default();
    for group in &config.static_configs {
        let targets = group.targets.iter().map(|target| {
            let mut labels = LabelsBuilder::new();
            labels.set(ADDRESS, target);
            labels
        });
        addresses.add(config, targets, &group.labels);
    }
    for group in found {
        let targets = group.targets.iter().map(|target| {
            let mut labels = LabelsBuilder::new();
            for (name, value) in target {
                labels.set(name, value);
            }
            labels
        });
        addresses.add(config, targets, &group.labels);
    }
    addresses
}

/// Returns why addresses of a section cannot be used.
pub(crate) fn refused(config: &Alertmanager, found: &[Arc<Group>]) -> Vec<String> {
    resolve(config, found).failures
}

impl Addresses {
    /// Adds a group, or none of it where one of its addresses is wrong.
    fn add<'a>(
        &mut self,
        config: &Alertmanager,
        targets: impl Iterator<Item = LabelsBuilder>,
        group: impl IntoIterator<Item = (&'a String, &'a String)> + Copy,
    ) {
        let (mut active, mut dropped) = (Vec::new(), Vec::new());
        for mut labels in targets {
            let own: Vec<String> = labels.iter().map(|(name, _)| name.to_owned()).collect();
            labels.set(SCHEME, &config.scheme);
            labels.set(PATH, &path(&config.path_prefix));
            for (name, value) in group {
                if !own.iter().any(|known| known == name) {
                    labels.set(name, value);
                }
            }
            // To rules these are there from the start, not set one after the other.
            labels.rebase();
            let before = url(&labels);
            if relabel(&config.relabel, &mut labels) == Verdict::Drop {
                dropped.push(before);
                continue;
            }
            let address = labels.get(ADDRESS).unwrap_or_default();
            if address.contains('/') {
                let reason = format!("{} is not a valid hostname", quote(address));
                self.failures.push(reason);
                return;
            }
            active.push(url(&labels));
        }
        for url in active {
            if !self.active.contains(&url) {
                self.active.push(url);
            }
        }
        self.dropped.extend(dropped);
    }
}

fn url(labels: &LabelsBuilder) -> String {
    let get = |name| labels.get(name).unwrap_or_default();
    let mut url = String::new();
    push_origin(&mut url, get(SCHEME), get(ADDRESS), get(PATH));
    url
}

/// Joins the prefix and the API's path as Go's `path.Join` does: without empty parts,
/// and with `..` followed.
fn path(prefix: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in prefix.split('/').chain(ENDPOINT.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kymo_ingest::discovery::{GroupId, LabelMap};

    use super::*;
    use crate::config;

    fn section(text: &str) -> Alertmanager {
        let text = format!(
            "alerting:\n  alertmanagers:\n  - {}",
            text.replace('\n', "\n    ")
        );
        let config = config::parse(&text, Path::new("")).unwrap();
        config.alerting.alertmanagers[0].clone()
    }

    #[test]
    fn prefixes_are_joined_as_in_go() {
        for (prefix, expected) in [
            ("", "/api/v2/alerts"),
            ("/", "/api/v2/alerts"),
            ("am", "/am/api/v2/alerts"),
            ("/am//x/", "/am/x/api/v2/alerts"),
            ("../a/./b/..", "/a/api/v2/alerts"),
        ] {
            assert_eq!(path(prefix), expected);
        }
    }

    #[test]
    fn addresses_are_relabelled_and_each_is_there_once() {
        let config = section(
            "scheme: https
path_prefix: /am
relabel_configs:
- {source_labels: [zone], regex: away, action: drop}
- {source_labels: [zone], regex: near, target_label: __alerts_path__, replacement: /n}
- {source_labels: [__address__], regex: 'plain(.*)', target_label: __scheme__, replacement: http}
static_configs:
- {targets: [a:1, 'b:1', 'a:1']}
- {targets: ['c:1', 'plain:1'], labels: {zone: near}}
- {targets: ['d:1'], labels: {zone: away}}
- {targets: ['e:1', 'x/y']}",
        );
        assert_eq!(
            resolve(&config, &[]),
            Addresses {
                active: vec![
                    "https://a:1/am/api/v2/alerts".to_owned(),
                    "https://b:1/am/api/v2/alerts".to_owned(),
                    "https://c:1/n".to_owned(),
                    "http://plain:1/n".to_owned(),
                ],
                dropped: vec!["https://d:1/am/api/v2/alerts".to_owned()],
                failures: vec!["\"x/y\" is not a valid hostname".to_owned()],
            }
        );
    }

    #[test]
    fn found_addresses_stand_behind_the_listed_ones() {
        let map = |pairs: &[(&str, &str)]| -> LabelMap {
            let owned = pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            owned.collect()
        };
        let group = Group {
            id: GroupId {
                origin: "f".to_owned(),
                index: Some(0),
            },
            targets: vec![map(&[(ADDRESS, "f:1")])],
            labels: map(&[(SCHEME, "https"), (ADDRESS, "no:1")]),
        };
        let config = section("static_configs: [{targets: ['s:1']}]");
        let addresses = resolve(&config, &[Arc::new(group)]);
        let urls = ["http://s:1/api/v2/alerts", "https://f:1/api/v2/alerts"];
        assert_eq!(addresses.active, urls);
    }
}
