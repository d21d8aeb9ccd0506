//! Sets over changes of configuration: what is shared, kept and forgotten.

use std::path::Path;
use std::time::Duration;

use super::super::{FileConfig, HttpConfig};
use super::{Found, SourceConfig, addresses};
use crate::http::{ClientOptions, PemSource};

fn file(dir: &Path, name: &str) -> SourceConfig {
    SourceConfig::File(FileConfig {
        files: vec![format!("{}/{name}", dir.display())],
        refresh_interval: Duration::from_secs(3600),
    })
}

fn http(url: &str) -> HttpConfig {
    HttpConfig {
        url: url.to_owned(),
        client: ClientOptions::default(),
        refresh_interval: Duration::from_secs(60),
    }
}

#[tokio::test]
async fn sets_share_sources_and_lose_what_they_no_longer_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.yml"), "x:1").unwrap();
    std::fs::write(dir.path().join("y.yml"), "y:1").unwrap();
    let (x, y) = (file(dir.path(), "x.yml"), file(dir.path(), "y.yml"));
    let mut found = Found::new();
    found.apply([("a", vec![x.clone(), y.clone()]), ("b", vec![x.clone()])]);
    found
        .wait_until("both", |last| {
            addresses(last, "a") == ["x:1", "y:1"] && addresses(last, "b") == ["x:1"]
        })
        .await;
    assert_eq!(found.stats.snapshot().file_scans.count, 2);
    found.apply([("b", vec![x, y]), ("c", Vec::new())]);
    found
        .wait_until("the others", |last| {
            !last.contains_key("a")
                && addresses(last, "b") == ["x:1", "y:1"]
                && addresses(last, "c").is_empty()
        })
        .await;
    // Sources that stay are not started again.
    assert_eq!(found.stats.snapshot().file_scans.count, 2);
    let stats = found.discovery.stats();
    let sets: Vec<_> = stats
        .sets
        .iter()
        .map(|s| (s.name.as_str(), s.targets))
        .collect();
    assert_eq!(sets, [("b", 2), ("c", 0)]);
    assert_eq!(stats.sets[0].updated_ms, Some(1_700_000_000_000));
    found.apply([]);
    found.wait_until("nothing", |last| last.is_empty()).await;
    assert!(found.discovery.stats().files.is_empty());
}

/// A source that never answers stands for one that is slow.
#[tokio::test(start_paused = true)]
async fn a_set_keeps_its_targets_until_new_sources_have_tried() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.yml"), "x:1").unwrap();
    let mut found = Found::new();
    found.run(file(dir.path(), "x.yml"));
    found.wait_for(&["x:1"]).await;
    let began = tokio::time::Instant::now();
    found.run(SourceConfig::Http(Box::new(http(&url))));
    found.wait_for(&[]).await;
    let held = began.elapsed();
    assert!(
        (Duration::from_secs(5)..Duration::from_secs(7)).contains(&held),
        "{held:?}"
    );
}

#[tokio::test]
async fn a_source_that_cannot_be_made_is_counted_and_the_others_run() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.yml"), "x:1").unwrap();
    let mut broken = http("http://h/");
    broken.client.tls.ca = Some(PemSource::File("/nonexistent/ca.pem".into()));
    let mut found = Found::new();
    let sources = vec![
        SourceConfig::Http(Box::new(broken)),
        file(dir.path(), "x.yml"),
    ];
    found.apply([("a", sources)]);
    found.wait_for(&["x:1"]).await;
    assert_eq!(found.discovery.stats().failed_configs, 1);
    found.apply([]);
    assert_eq!(found.discovery.stats().failed_configs, 0);
}
