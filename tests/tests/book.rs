//! The commands of the book do what it says, in order, from an empty directory; and the
//! files that are written for Grafana fit the server.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kymo_tests::{Kymo, program};

/// How long all commands may take together.
const LIMIT: Duration = Duration::from_secs(120);

/// The chapters with blocks that a reader types, in the order of the book.
const CHAPTERS: [&str; 4] = [
    include_str!("../../docs/start.md"),
    include_str!("../../docs/migrate.md"),
    include_str!("../../docs/security.md"),
    include_str!("../../docs/logs.md"),
];

/// Returns these blocks, one after the other.
fn commands() -> String {
    let mut commands = String::from("set -eu -o pipefail\n");
    let blocks = CHAPTERS
        .iter()
        .flat_map(|text| text.split("```sh\n").skip(1));
    for block in blocks {
        let (block, _) = block.split_once("```").unwrap();
        commands.push_str(block);
    }
    commands
}

/// Makes a directory in which the program is called `kymo`.
fn path_with_program(dir: &Path) -> String {
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(program(), bin.join("kymo")).unwrap();
    let path = std::env::var("PATH").unwrap();
    format!("{}:{path}", bin.display())
}

#[test]
fn the_book_works_from_an_empty_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = path_with_program(dir.path());
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    // Another server may be on the port of the book.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let port = port.unwrap().port().to_string();
    let script = commands().replace("9090", &port);
    assert!(script.matches("kymo ").count() > 10, "{script}");
    let mut shell = Command::new("bash")
        .args(["-c", &script])
        .current_dir(&empty)
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(dir.path().join("out")).unwrap())
        .stderr(std::fs::File::create(dir.path().join("err")).unwrap())
        .process_group(0)
        .spawn()
        .unwrap();
    let end = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = shell.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            break None;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    // A server that a failed script left behind goes with it.
    let group = format!("-{}", shell.id());
    let _none_left = Command::new("kill")
        .args(["-KILL", "--", &group])
        .stderr(Stdio::null())
        .status();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let log = std::fs::read_to_string(empty.join("kymo.log")).unwrap_or_default();
    assert!(
        status.is_some_and(|status| status.success()),
        "{status:?}\n{}\n{}\n{log}",
        read("out"),
        read("err"),
    );
    let out = read("out");
    assert!(out.contains("kymo_build_info{"), "{out}");
    assert!(out.contains("SUCCESS"), "{out}");
    assert!(empty.join("provisioning/datasources/kymo.yaml").is_file());
}

#[test]
fn dashboards_ask_for_metrics_that_exist() {
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new(program())
        .current_dir(dir.path())
        .args(["grafana", "provisioning"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut asked = BTreeSet::new();
    for name in ["server", "hosts"] {
        let path = dir
            .path()
            .join(format!("provisioning/dashboards/kymo/{name}.json"));
        let dashboard: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                asked.extend(names(target["expr"].as_str().unwrap()));
            }
        }
    }
    assert!(asked.len() > 25, "{asked:?}");
    let kymo = Kymo::start(&[]);
    kymo.get("/api/v1/query?query=1");
    let own = kymo.get("/metrics").text();
    // These come from the host's own job, which tests do not run.
    let missing: Vec<&String> = asked
        .iter()
        .filter(|name| !name.starts_with("node_") && *name != "up")
        .filter(|name| !own.contains(&format!("# TYPE {name} ")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Returns the words of a query that can only be names of metrics.
fn names(query: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = query.split(|c: char| !is_word(c));
    let of_metrics = ["node_", "kymo_", "prometheus_", "process_"];
    words
        .filter(|word| of_metrics.iter().any(|start| word.starts_with(start)))
        .map(str::to_owned)
        .collect()
}
