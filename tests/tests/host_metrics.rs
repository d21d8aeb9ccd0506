//! The host's figures against those of a real node_exporter on the same machine:
//! every family it has is there with the same type and help, every series with the
//! same labels, and what stands still has the same value.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kymo_ingest::exposition::{Entry, Format, Parser, ParserOptions};
use kymo_ingest::host::{HostCollector, HostPaths};
use kymo_tests::Peer;

const PROGRAM: &str = "prometheus-node-exporter";

/// The collectors that Kymo has; the exporter is started with these alone.
const COLLECTORS: [&str; 13] = [
    "cpu",
    "diskstats",
    "filefd",
    "filesystem",
    "loadavg",
    "meminfo",
    "netclass",
    "netdev",
    "pressure",
    "stat",
    "time",
    "uname",
    "vmstat",
];

/// What upstream leaves out by default; packages have their own ideas of that.
const UPSTREAM_DEFAULTS: [&str; 2] = [
    "--collector.netdev.device-exclude=^$",
    "--collector.filesystem.mount-points-exclude=^/(dev|proc|run/credentials/.+|sys|\
     var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
];

/// Families of those collectors that Kymo does not write: the exporter's own business,
/// and what needs the time zone or hardware counters of a physical processor.
const LEFT_OUT: [&str; 6] = [
    "promhttp_metric_handler_errors_total",
    "node_exporter_build_info",
    "node_scrape_collector_duration_seconds",
    "node_time_zone_offset_seconds",
    "node_cpu_core_throttles_total",
    "node_cpu_package_throttles_total",
];

/// Families whose values do not change while the machine runs.
const CONSTANT: [&str; 5] = [
    "node_memory_MemTotal_bytes",
    "node_boot_time_seconds",
    "node_uname_info",
    "node_filesystem_size_bytes",
    "node_network_mtu_bytes",
];

/// Starts the exporter; `None` where it is not installed.
fn exporter(dir: &Path) -> Option<Peer> {
    let collectors = COLLECTORS.map(|name| format!("--collector.{name}"));
    let mut args = vec![
        "--web.disable-exporter-metrics",
        "--collector.disable-defaults",
    ];
    args.extend(UPSTREAM_DEFAULTS);
    args.extend(collectors.iter().map(String::as_str));
    Peer::start(PROGRAM, dir, &args)
}

#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    series: BTreeMap<BTreeSet<(String, String)>, f64>,
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut all: BTreeMap<String, Family> = BTreeMap::new();
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    for entry in Parser::new(Format::Text, text.as_bytes(), ParserOptions::default()) {
        match entry.unwrap() {
            Entry::Help { name, help } => {
                all.entry(utf8(name)).or_default().help = help.unescape().into_owned();
            }
            Entry::Type { name, kind } => {
                all.entry(utf8(name)).or_default().kind = kind.as_str().to_owned();
            }
            Entry::Sample(sample) => {
                let mut labels: BTreeSet<(String, String)> = sample
                    .series
                    .labels()
                    .map(|(n, v)| (utf8(&n), utf8(&v)))
                    .collect();
                let name = labels.pop_first().unwrap().1;
                let family = all.entry(name).or_default();
                family.series.insert(labels, sample.value);
            }
            _ => {}
        }
    }
    all
}

fn differences(ours: &BTreeMap<String, Family>, theirs: &BTreeMap<String, Family>) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, expected) in theirs {
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let Some(family) = ours.get(name) else {
            differences.push(format!("{name} is missing"));
            continue;
        };
        if (&family.kind, &family.help) != (&expected.kind, &expected.help) {
            let (kind, help) = (&family.kind, &family.help);
            differences.push(format!("{name} is {kind} {help:?}, not {expected:?}"));
        }
        for (labels, value) in &expected.series {
            match family.series.get(labels) {
                None => differences.push(format!("{name}{labels:?} is missing")),
                Some(found) if CONSTANT.contains(&name.as_str()) && found != value => {
                    differences.push(format!("{name}{labels:?} is {found}, not {value}"));
                }
                Some(_) => {}
            }
        }
        for labels in family.series.keys() {
            if !expected.series.contains_key(labels) {
                differences.push(format!("{name}{labels:?} is too much"));
            }
        }
    }
    let unknown = ours.keys().filter(|name| !theirs.contains_key(*name));
    differences.extend(unknown.map(|name| format!("{name} is too much")));
    differences
}

#[test]
fn names_and_labels_are_those_of_node_exporter() {
    let dir = tempfile::tempdir().unwrap();
    let Some(exporter) = exporter(dir.path()) else {
        return;
    };
    let mut collector = HostCollector::new(HostPaths::default());
    let mut found = Vec::new();
    // Mounts and devices come and go: both are asked again before they are compared.
    for _ in 0..5 {
        let theirs = families(&exporter.client().get("/metrics").text());
        let mut text = String::new();
        collector.collect(0, &mut text);
        assert!(
            theirs.len() > 50,
            "the exporter has {} families",
            theirs.len()
        );
        found = differences(&families(&text), &theirs);
        if found.is_empty() {
            return;
        }
    }
    panic!("{}", found.join("\n"));
}
