use std::fs;

use super::*;
use crate::exposition::{Entry, Format, Parser, ParserOptions};

/// Reads what was written and returns the names of samples.
fn names(text: &str) -> Vec<String> {
    let parser = Parser::new(Format::Text, text.as_bytes(), ParserOptions::default());
    let mut names = Vec::new();
    for entry in parser {
        if let Entry::Sample(sample) = entry.unwrap() {
            let series = String::from_utf8_lossy(sample.series.line().unwrap());
            names.push(series.split('{').next().unwrap_or_default().to_owned());
        }
    }
    names.dedup();
    names
}

#[test]
fn this_machine_is_read_by_every_collector_that_it_has_files_for() {
    let mut out = String::new();
    HostCollector::new(HostPaths::default()).collect(1_500, &mut out);
    let names = names(&out);
    for name in [
        "node_cpu_seconds_total",
        "node_memory_MemTotal_bytes",
        "node_load1",
    ] {
        assert!(names.iter().any(|known| known == name), "{name} is missing");
    }
    assert!(out.contains("\nnode_time_seconds 1.5\n"));
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), names.len(), "a family is written twice");
}

#[test]
fn a_broken_file_costs_its_own_collector_only() {
    let dir = tempfile::tempdir().unwrap();
    let paths = HostPaths {
        proc: dir.path().to_owned(),
        sys: dir.path().join("sys"),
        udev: dir.path().join("udev"),
        root: PathBuf::from("/"),
    };
    fs::write(dir.path().join("stat"), "cpu0 x\n").unwrap();
    fs::write(dir.path().join("loadavg"), "1 2 3 1/2 3\n").unwrap();
    let mut out = String::new();
    HostCollector::new(paths).collect(0, &mut out);
    let success = |collector: &str, value: u8| {
        let line = format!("node_scrape_collector_success{{collector=\"{collector}\"}} {value}\n");
        assert!(out.contains(&line), "{line}");
    };
    success("loadavg", 1);
    success("cpu", 0);
    success("stat", 0);
    success("meminfo", 0);
    assert!(out.contains("node_load15 3\n"));
}
