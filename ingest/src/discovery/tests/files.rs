//! Files of targets that are written, broken, repaired and removed while they are
//! watched.

use std::path::Path;
use std::time::Duration;

use super::super::FileConfig;
use super::{Found, SourceConfig};

/// An interval that never comes, so that what is seen was watched.
const NEVER: Duration = Duration::from_secs(3600);

fn files(dir: &Path, patterns: &[&str], interval: Duration) -> SourceConfig {
    let patterns = patterns.iter().map(|p| format!("{}/{p}", dir.display()));
    SourceConfig::File(FileConfig {
        files: patterns.collect(),
        refresh_interval: interval,
    })
}

fn json(targets: &[&str]) -> String {
    let quoted: Vec<String> = targets.iter().map(|t| format!("\"{t}\"")).collect();
    let quoted = quoted.join(",");
    format!("[{{\"targets\":[{quoted}],\"labels\":{{\"zone\":\"z\"}}}}]")
}

#[tokio::test]
async fn files_are_followed_as_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("a.json", &json(&["a:1"]));
    let mut found = Found::new();
    found.run(files(dir.path(), &["*.json", "*.yml"], NEVER));
    found.wait_for(&["a:1"]).await;
    let path = format!("{}/a.json", dir.path().display());
    assert_eq!(
        found.group(&format!("{path}:0")),
        format!(
            "[{{\"__address__\": \"a:1\"}}] {{\"__meta_filepath\": \"{path}\", \"zone\": \"z\"}}"
        )
    );
    write("b.yml", "b:1\nb:2");
    found.wait_for(&["a:1", "b:1", "b:2"]).await;
    write("b.yml", "b:2");
    found.wait_for(&["a:1", "b:2"]).await;
    // Replaced as editors and deployments do it.
    write("new", &json(&["a:9"]));
    std::fs::rename(dir.path().join("new"), dir.path().join("a.json")).unwrap();
    found.wait_for(&["a:9", "b:2"]).await;
    assert_eq!(found.discovery.stats().files.len(), 2);
    std::fs::remove_file(dir.path().join("b.yml")).unwrap();
    found.wait_for(&["a:9"]).await;
    assert_eq!(found.discovery.stats().files.len(), 1);
    write("a.json", "[]");
    found.wait_for(&[]).await;
    assert_eq!(found.stats.snapshot().file_read_errors, 0);
}

#[tokio::test]
async fn a_broken_file_keeps_its_targets_until_it_is_good_again() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("a.json", &json(&["a:1"]));
    write("b.yml", "b:1");
    let mut found = Found::new();
    found.run(files(dir.path(), &["*.json", "*.yml"], NEVER));
    found.wait_for(&["a:1", "b:1"]).await;
    write("a.json", "[{\"targets\":[\"a:2\"]");
    write("b.yml", "!");
    write("c.yml", "c:1");
    found.wait_for(&["a:1", "b:1", "c:1"]).await;
    assert!(found.stats.snapshot().file_read_errors >= 2);
    write("a.json", &json(&["a:2"]));
    found.wait_for(&["a:2", "b:1", "c:1"]).await;
    write("b.yml", "");
    found.wait_for(&["a:2", "c:1"]).await;
}

/// As Kubernetes mounts its maps: the file is a link into a directory that is a link,
/// and only the latter changes.
#[cfg(unix)]
#[tokio::test]
async fn a_directory_that_is_swapped_by_its_link_is_seen() {
    use std::os::unix::fs::symlink;

    let dir = tempfile::tempdir().unwrap();
    for (version, target) in [("v1", "a:1"), ("v2", "a:2")] {
        std::fs::create_dir(dir.path().join(version)).unwrap();
        let path = dir.path().join(version).join("a.json");
        std::fs::write(path, json(&[target])).unwrap();
    }
    symlink("v1", dir.path().join("..data")).unwrap();
    symlink("..data/a.json", dir.path().join("a.json")).unwrap();
    let mut found = Found::new();
    found.run(files(dir.path(), &["a.json"], NEVER));
    found.wait_for(&["a:1"]).await;
    symlink("v2", dir.path().join("..tmp")).unwrap();
    std::fs::rename(dir.path().join("..tmp"), dir.path().join("..data")).unwrap();
    found.wait_for(&["a:2"]).await;
}

#[tokio::test]
async fn what_cannot_be_watched_yet_is_found_at_the_interval() {
    let dir = tempfile::tempdir().unwrap();
    let mut found = Found::new();
    let interval = Duration::from_millis(100);
    found.run(files(dir.path(), &["later/a.json"], interval));
    found.wait_for_stats(|s| s.file_scans.count > 0).await;
    std::fs::create_dir(dir.path().join("later")).unwrap();
    std::fs::write(dir.path().join("later/a.json"), json(&["a:1"])).unwrap();
    found.wait_for(&["a:1"]).await;
    let stats = found.stats.snapshot();
    assert_eq!(stats.file_read_errors, 0);
    assert!(stats.file_scans.count >= 2);
}
