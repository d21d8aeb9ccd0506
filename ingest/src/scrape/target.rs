//! A target: who it is, where it is asked, and when its turn comes.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kymo_storage::compat::duration;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::{Labels, LabelsBuilder};

use super::config::ScrapeConfig;
use crate::discovery::{Group, LabelMap};
use crate::http::{Part, push_escaped, push_origin};

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM: &str = "__param_";
const META: &str = "__meta_";
const RESERVED: &str = "__";
const UNIX_SOCKET: &str = "__unix_socket__";

/// Labels that tell how native histograms are treated, with their words in errors.
const HISTOGRAM_SWITCHES: [(&str, &str); 3] = [
    (
        "__convert_classic_histograms_to_nhcb__",
        "convert classic histograms to nhcb",
    ),
    (
        "__always_scrape_classic_histograms__",
        "always scrape classic histograms",
    ),
    ("__scrape_native_histograms__", "scrape native histograms"),
];

/// How the histograms of a target are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct HistogramSwitches {
    /// Native ones are stored.
    pub(super) native: bool,
    /// Classic ones are stored beside native ones, or those they become.
    pub(super) always_classic: bool,
    /// Classic ones become native ones.
    pub(super) convert_classic: bool,
}

/// One address to scrape, after relabelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// All labels that relabelling left, the internal ones included, `__meta_*` not.
    pub(super) labels: Labels,
    /// The labels that its series get.
    pub(super) public_labels: Labels,
    /// Its labels before relabelling.
    pub(super) discovered_labels: Labels,
    /// What is asked.
    pub(super) url: String,
    /// Time between scrapes.
    pub(super) interval: Duration,
    /// `interval` as its label has it.
    pub(super) interval_text: String,
    /// Longest scrape.
    pub(super) timeout: Duration,
    /// `timeout` as its label has it.
    pub(super) timeout_text: String,
}

/// What a job's groups come to.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Targets to scrape, each once, in the order of the groups.
    pub(super) active: Vec<Target>,
    /// Discovered labels of targets that relabelling dropped, as many as are kept.
    pub(super) dropped: Vec<Labels>,
    /// How many were dropped.
    pub(super) dropped_count: usize,
    /// Why others cannot be targets.
    pub(super) failures: Vec<String>,
}

/// Builds the targets of a job: those it lists, and those that were found for it.
pub(super) fn resolve(config: &ScrapeConfig, found: &[Arc<Group>]) -> Resolved {
    let mut resolved = Resolved::default();
    let mut seen = HashSet::new();
    candidates(config, found, |discovered, place| {
        resolved.add(config, &mut seen, discovered, place);
    });
    resolved
}

/// Hands out the labels of all addresses of a job before relabelling, each with its place
/// for errors: those it lists, then those that were found for it.
pub(super) fn candidates(
    config: &ScrapeConfig,
    found: &[Arc<Group>],
    mut each: impl FnMut(Labels, &dyn Fn() -> String),
) {
    for (group_index, group) in config.static_configs.iter().enumerate() {
        for (index, address) in group.targets.iter().enumerate() {
            let own = [(ADDRESS, address.as_str())];
            let discovered = discovered_labels(config, &group.labels, own);
            each(discovered, &|| {
                format!("instance {index} in group {group_index}")
            });
        }
    }
    for group in found {
        for (index, target) in group.targets.iter().enumerate() {
            let own = target.iter();
            let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
            let discovered = discovered_labels(config, &group.labels, own);
            each(discovered, &|| {
                format!("instance {index} in group {}", group.id)
            });
        }
    }
}

impl Resolved {
    fn add(
        &mut self,
        config: &ScrapeConfig,
        seen: &mut HashSet<(Labels, String)>,
        discovered: Labels,
        place: &dyn Fn() -> String,
    ) {
        match Target::new(config, &discovered) {
            Ok(Some(target)) => {
                if seen.insert(target.identity()) {
                    self.active.push(target);
                }
            }
            Ok(None) => {
                let kept = config.limits.dropped_targets;
                if kept == 0 || (self.dropped.len() as u64) < kept {
                    self.dropped.push(discovered);
                }
                self.dropped_count += 1;
            }
            Err(reason) => self.failures.push(format!("{}: {reason}", place())),
        }
    }
}

/// Returns a target's labels before relabelling: its own, its group's, and what the
/// job adds where they are silent.
fn discovered_labels<'a>(
    config: &ScrapeConfig,
    group: &LabelMap,
    own: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Labels {
    let mut labels = LabelsBuilder::new();
    for (name, value) in group {
        labels.set(name, value);
    }
    for (name, value) in own {
        labels.set(name, value);
    }
    let histograms = [
        config.convert_classic_histograms,
        config.always_classic_histograms,
        config.native_histograms,
    ];
    let defaults = [
        ("job", config.job_name.clone()),
        (INTERVAL, print_duration(config.interval)),
        (TIMEOUT, print_duration(config.timeout)),
        (PATH, config.metrics_path.clone()),
        (SCHEME, config.scheme.clone()),
    ];
    let switches = HISTOGRAM_SWITCHES.iter().zip(histograms);
    let switches = switches.map(|((name, _), on)| (*name, on.to_string()));
    for (name, value) in defaults.into_iter().chain(switches) {
        if labels.get(name).is_none() {
            labels.set(name, &value);
        }
    }
    for (name, values) in &config.params {
        let name = format!("{PARAM}{name}");
        if let Some(first) = values.first()
            && labels.get(&name).is_none()
        {
            labels.set(&name, first);
        }
    }
    labels.labels()
}

impl Target {
    /// Relabels and checks; `None` where the target is dropped.
    ///
    /// # Errors
    /// Prometheus' text for what keeps it from being a target.
    pub(super) fn new(
        config: &ScrapeConfig,
        discovered: &Labels,
    ) -> Result<Option<Target>, String> {
        let mut labels = LabelsBuilder::from_labels(discovered);
        if !super::labels::keeps(&config.relabel, &mut labels) {
            return Ok(None);
        }
        let address = labels.get(ADDRESS).unwrap_or_default().to_owned();
        if address.is_empty() {
            return Err("no address".to_owned());
        }
        if address.contains('/') {
            return Err(format!("{} is not a valid hostname", quote(&address)));
        }
        let interval_text = labels.get(INTERVAL).unwrap_or_default().to_owned();
        let timeout_text = labels.get(TIMEOUT).unwrap_or_default().to_owned();
        let interval = read_duration("interval", &interval_text)?;
        let timeout = read_duration("timeout", &timeout_text)?;
        if timeout > interval {
            let (timeout, interval) = (quote(&timeout_text), quote(&interval_text));
            return Err(format!(
                "scrape timeout cannot be greater than scrape interval ({timeout} > {interval})"
            ));
        }
        check_switches(&labels)?;
        labels.retain(|name, _| !name.starts_with(META));
        if labels.get("instance").is_none() {
            labels.set("instance", &address);
        }
        let url = url(config, &labels);
        let labels = labels.labels();
        let public = labels
            .iter()
            .filter(|(name, _)| !name.starts_with(RESERVED));
        let public_labels = Labels::from_sorted(public);
        if public_labels.is_empty() {
            return Ok(None);
        }
        Ok(Some(Target {
            public_labels,
            labels,
            discovered_labels: discovered.clone(),
            url,
            interval,
            interval_text,
            timeout,
            timeout_text,
        }))
    }

    /// Returns how histograms are treated: as the target's labels say, else as the job does.
    pub(super) fn histograms(&self, config: &ScrapeConfig) -> HistogramSwitches {
        let defaults = [
            config.convert_classic_histograms,
            config.always_classic_histograms,
            config.native_histograms,
        ];
        let mut switches = defaults;
        for (((name, _), switch), default) in
            HISTOGRAM_SWITCHES.iter().zip(&mut switches).zip(defaults)
        {
            let text = self.labels.get(name).unwrap_or_default();
            *switch = read_switch(text).unwrap_or(default);
        }
        let [convert_classic, always_classic, native] = switches;
        HistogramSwitches {
            native,
            always_classic,
            convert_classic,
        }
    }

    /// Returns the socket that is asked in place of the address, where there is one.
    pub(super) fn socket(&self) -> Option<&Path> {
        let path = self.labels.get(UNIX_SOCKET)?;
        (!path.is_empty()).then(|| Path::new(path))
    }

    /// Returns what tells targets of a job apart: labels and URL.
    pub(super) fn identity(&self) -> (Labels, String) {
        (self.labels.clone(), self.url.clone())
    }

    /// Returns a hash of labels and URL that is the same on every machine and in
    /// Prometheus, so that a target keeps its place in the interval.
    pub(super) fn stable_hash(&self) -> u64 {
        let digest = format!("{:016}{}", self.labels.prometheus_hash(), self.url);
        fnv1a(digest.as_bytes())
    }

    /// Returns how long to wait from `now_ns` until the target's first scrape. The
    /// place in the interval depends on the target and the server's seed alone.
    pub(super) fn first_delay(&self, now_ns: i64, seed: u64) -> Duration {
        let interval = i64::try_from(self.interval.as_nanos()).unwrap_or(i64::MAX);
        let offset = (self.stable_hash() ^ seed) % interval.unsigned_abs().max(1);
        let base = interval - now_ns.rem_euclid(interval.max(1));
        let mut next = base.saturating_add_unsigned(offset);
        if next > interval {
            next -= interval;
        }
        Duration::from_nanos(next.unsigned_abs())
    }
}

/// Returns the seed that makes servers with equal targets scrape them at different
/// times: from the host's name and the server's external labels, as in Prometheus.
pub fn offset_seed(host: &str, external_labels: &Labels) -> u64 {
    let digest = format!("{host}{external_labels}");
    fnv1a(digest.as_bytes())
}

fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn print_duration(duration: Duration) -> String {
    duration::format_prometheus(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

fn read_duration(what: &str, text: &str) -> Result<Duration, String> {
    let ns = duration::parse_prometheus(text)
        .map_err(|error| format!("error parsing scrape {what}: {error}"))?;
    if ns == 0 {
        return Err(format!("scrape {what} cannot be 0"));
    }
    Ok(Duration::from_nanos(ns.unsigned_abs()))
}

fn check_switches(labels: &LabelsBuilder) -> Result<(), String> {
    for (name, words) in HISTOGRAM_SWITCHES {
        let text = labels.get(name).unwrap_or_default();
        if !text.is_empty() && read_switch(text).is_none() {
            let text = quote(text);
            return Err(format!(
                "error parsing {words}: strconv.ParseBool: parsing {text}: invalid syntax"
            ));
        }
    }
    Ok(())
}

/// Reads a switch as Go reads booleans.
fn read_switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Puts the URL together as Go does: parameters in order of name.
fn url(config: &ScrapeConfig, labels: &LabelsBuilder) -> String {
    let mut params: BTreeMap<&str, Vec<&str>> = config
        .params
        .iter()
        .map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect()))
        .collect();
    for (name, value) in labels.iter() {
        let Some(name) = name.strip_prefix(PARAM) else {
            continue;
        };
        let values = params.entry(name).or_default();
        match values.first_mut() {
            Some(first) => *first = value,
            None => values.push(value),
        }
    }
    let get = |name| labels.get(name).unwrap_or_default();
    let scheme = get(SCHEME);
    let mut url = String::new();
    push_origin(&mut url, scheme, get(ADDRESS), get(PATH));
    let mut separator = '?';
    for (name, values) in params {
        for value in values {
            url.push(separator);
            separator = '&';
            push_escaped(&mut url, name, Part::Query);
            url.push('=');
            push_escaped(&mut url, value, Part::Query);
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::TargetGroup;

    fn job(labels: &[(&str, &str)], targets: &[&str]) -> ScrapeConfig {
        let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        ScrapeConfig {
            static_configs: vec![TargetGroup {
                targets: targets.iter().map(|t| (*t).to_owned()).collect(),
                labels: labels.iter().map(owned).collect(),
            }],
            ..ScrapeConfig::new("a", Duration::from_secs(15), Duration::from_secs(10))
        }
    }

    fn one(config: &ScrapeConfig) -> Target {
        let resolved = resolve(config, &[]);
        assert_eq!(resolved.failures, [""; 0]);
        resolved.active[0].clone()
    }

    #[test]
    fn a_target_gets_the_labels_of_group_and_job() {
        let config = job(&[("zone", "b"), ("__meta_x", "y")], &["host:9100"]);
        let target = one(&config);
        assert_eq!(
            target.public_labels.to_string(),
            "{instance=\"host:9100\", job=\"a\", zone=\"b\"}"
        );
        assert_eq!(target.labels.get("__meta_x"), None);
        assert_eq!(target.discovered_labels.get("__meta_x"), Some("y"));
        assert_eq!(target.discovered_labels.get(INTERVAL), Some("15s"));
        assert_eq!(
            target.discovered_labels.get("__scrape_native_histograms__"),
            Some("false")
        );
        assert_eq!(target.url, "http://host:9100/metrics");
    }

    #[test]
    fn a_target_may_treat_histograms_otherwise_than_its_job() {
        let labels = [
            ("__scrape_native_histograms__", "T"),
            ("__always_scrape_classic_histograms__", "0"),
            ("__convert_classic_histograms_to_nhcb__", ""),
        ];
        let config = ScrapeConfig {
            always_classic_histograms: true,
            convert_classic_histograms: true,
            ..job(&labels, &["host:9100"])
        };
        let expected = HistogramSwitches {
            native: true,
            always_classic: false,
            convert_classic: true,
        };
        assert_eq!(one(&config).histograms(&config), expected);
    }

    #[test]
    fn group_labels_may_set_what_the_job_would() {
        let config = job(
            &[
                ("job", "other"),
                ("instance", "i"),
                ("__scheme__", "https"),
                ("__metrics_path__", "pro be?"),
                ("__scrape_interval__", "30s"),
                ("__param_module", "x y"),
            ],
            &["h"],
        );
        let config = ScrapeConfig {
            params: BTreeMap::from([
                ("module".to_owned(), vec!["1".to_owned(), "2&".to_owned()]),
                ("a".to_owned(), vec!["b".to_owned()]),
            ]),
            ..config
        };
        let target = one(&config);
        assert_eq!(
            target.url,
            "https://h/pro%20be%3F?a=b&module=x+y&module=2%26"
        );
        assert_eq!(target.interval, Duration::from_secs(30));
        assert_eq!(target.public_labels.get("job"), Some("other"));
        assert_eq!(target.public_labels.get("instance"), Some("i"));
    }

    #[test]
    fn what_cannot_be_a_target_says_why() {
        for (labels, address, expected) in [
            (&[][..], "", "no address"),
            (&[][..], "a/b", "\"a/b\" is not a valid hostname"),
            (
                &[("__scrape_interval__", "x")][..],
                "h",
                "error parsing scrape interval: not a valid duration string: \"x\"",
            ),
            (
                &[("__scrape_interval__", "0")][..],
                "h",
                "scrape interval cannot be 0",
            ),
            (
                &[("__scrape_timeout__", "2m"), ("__scrape_interval__", "1m")][..],
                "h",
                "scrape timeout cannot be greater than scrape interval (\"2m\" > \"1m\")",
            ),
        ] {
            let resolved = resolve(&job(labels, &[address]), &[]);
            let expected = format!("instance 0 in group 0: {expected}");
            assert_eq!(resolved.failures, [expected]);
        }
    }

    #[test]
    fn found_targets_stand_behind_those_of_the_configuration() {
        let map = |pairs: &[(&str, &str)]| -> LabelMap {
            let owned = pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
            owned.collect()
        };
        let group = Group {
            id: crate::discovery::GroupId {
                origin: "f.json".to_owned(),
                index: Some(2),
            },
            targets: vec![
                map(&[(ADDRESS, "g:1"), ("zone", "own"), ("__meta_x", "y")]),
                map(&[(ADDRESS, "a/b")]),
                map(&[(ADDRESS, "h")]),
            ],
            labels: map(&[("zone", "group"), ("job", "found")]),
        };
        let resolved = resolve(&job(&[], &["h"]), &[Arc::new(group)]);
        let labels = resolved.active.iter().map(|t| t.public_labels.to_string());
        assert_eq!(
            labels.collect::<Vec<_>>(),
            [
                "{instance=\"h\", job=\"a\"}",
                "{instance=\"g:1\", job=\"found\", zone=\"own\"}",
                "{instance=\"h\", job=\"found\", zone=\"group\"}",
            ]
        );
        let refused = "instance 1 in group f.json:2: \"a/b\" is not a valid hostname";
        assert_eq!(resolved.failures, [refused]);
        let discovered = &resolved.active[1].discovered_labels;
        assert_eq!(discovered.get("__meta_x"), Some("y"));
    }

    #[test]
    fn equal_targets_are_one() {
        let resolved = resolve(&job(&[], &["h", "h", "g"]), &[]);
        assert_eq!(resolved.active.len(), 2);
    }

    #[test]
    fn the_offset_is_fixed_within_the_interval() {
        let target = one(&job(&[], &["h:1"]));
        let interval = 15_000_000_000;
        let place = |now: i64| (now + target.first_delay(now, 7).as_nanos() as i64) % interval;
        let expected = place(0);
        for now in [1, 14_999_999_999, 1_700_000_000_123_456_789] {
            assert_eq!(place(now), expected);
            assert!(target.first_delay(now, 7) <= Duration::from_secs(15));
        }
        let delays: Vec<_> = (0..50)
            .map(|seed| target.first_delay(0, seed * 977_000_017))
            .collect();
        assert!(delays.iter().any(|delay| *delay != delays[0]));
    }
}
