//! Jobs over time: the beat, changes of configuration, stopping. Time is tokio's
//! paused one, so a minute takes no time and every run is the same.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::discovery::{Group, GroupId, LabelMap, Snapshot};
use crate::scrape::ScrapeFeatures;
use crate::scrape::TargetGroup;
use crate::scrape::config::ScrapeConfig;
use crate::scrape::{Job, LocalSource, ScrapePools, TargetHealth};

/// Counts how often it was asked and says so.
#[derive(Default)]
struct Counting(AtomicU64);

impl LocalSource for Counting {
    fn collect(&self, out: &mut String) {
        let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        out.push_str(&format!("# TYPE asked counter\nasked {count}\n"));
    }
}

struct Running {
    stored: Stored,
    pools: ScrapePools,
    source: Arc<Counting>,
}

/// The clock shows seconds since the test began, 1,000 s ahead.
fn running() -> Running {
    let stored = Stored::new();
    let began = Instant::now();
    let clock: Clock = Arc::new(move || 1_000_000_000_000 + began.elapsed().as_nanos() as i64);
    Running {
        pools: ScrapePools::new(
            Arc::clone(&stored.store),
            clock,
            Arc::new(|| None),
            ScrapeFeatures::default(),
        ),
        stored,
        source: Arc::default(),
    }
}

fn config(targets: &[&str], interval_s: u64) -> ScrapeConfig {
    let interval = Duration::from_secs(interval_s);
    ScrapeConfig {
        static_configs: vec![TargetGroup {
            targets: targets.iter().map(|t| (*t).to_owned()).collect(),
            labels: Default::default(),
        }],
        ..ScrapeConfig::new("j", interval, interval)
    }
}

impl Running {
    fn job(&self, config: ScrapeConfig) -> Job {
        Job {
            config,
            local: Some(Arc::clone(&self.source) as Arc<dyn LocalSource>),
        }
    }

    async fn apply(&self, config: ScrapeConfig) {
        let job = self.job(config);
        self.pools.apply([job], 0).await.unwrap();
    }

    fn asked(&self) -> u64 {
        self.source.0.load(Ordering::SeqCst)
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn targets_are_scraped_once_in_each_interval() {
    let running = running();
    running.apply(config(&["a", "b"], 10)).await;
    assert_eq!(
        running.pools.targets()[0].active[0].health,
        TargetHealth::Unknown
    );
    pass(100).await;
    assert_eq!(running.asked(), 20);
    let series = running.stored.samples("up");
    assert_eq!(series.len(), 2);
    for line in &series {
        let times: Vec<f64> = line
            .split(' ')
            .filter_map(|part| part.split_once('=')?.0.parse().ok())
            .collect();
        assert_eq!(times.len(), 10);
        assert!(
            times
                .windows(2)
                .all(|pair| (pair[1] - pair[0] - 10.0).abs() < 1e-9),
            "{line}"
        );
    }
    let status = running.pools.targets();
    assert_eq!(status[0].active[0].health, TargetHealth::Up);
    assert_eq!(status[0].active[0].interval, "10s");
    let metadata = running.pools.metadata();
    assert_eq!(metadata[0].families[0].family, "asked");
    let stats = running.pools.stats();
    assert_eq!(stats.pools[0].targets, 2);
    assert_eq!(stats.interval_lengths[0].0, "10s");
    assert_eq!(stats.interval_lengths[0].1.count, 18);
}

#[tokio::test(start_paused = true)]
async fn the_same_configuration_again_disturbs_nobody() {
    let running = running();
    running.apply(config(&["a"], 10)).await;
    pass(25).await;
    running.apply(config(&["a"], 10)).await;
    assert_eq!(running.pools.stats().reloads, 0);
    pass(75).await;
    assert_eq!(running.asked(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_removed_target_is_ended_and_the_others_go_on() {
    let running = running();
    running.apply(config(&["a", "b"], 10)).await;
    pass(30).await;
    running.apply(config(&["b", "c"], 10)).await;
    pass(100).await;
    let series = running.stored.samples("up");
    let of = |instance: &str| {
        let found = series
            .iter()
            .find(|line| line.contains(&format!("instance=\"{instance}\"")));
        found.unwrap().clone()
    };
    assert!(of("a").ends_with("=stale"), "{series:?}");
    assert_eq!(of("a").matches("=1").count(), 3, "{series:?}");
    assert_eq!(of("b").matches("=1").count(), 13, "{series:?}");
    assert_eq!(of("c").matches("=1").count(), 10, "{series:?}");
    let asked = running.stored.samples("asked");
    assert!(asked[0].ends_with("=stale"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_limit_keeps_what_a_target_remembers() {
    let running = running();
    running.apply(config(&["a"], 10)).await;
    pass(30).await;
    let mut limited = config(&["a"], 10);
    limited.limits.samples = 100;
    running.apply(limited).await;
    pass(30).await;
    let added = running.stored.samples("scrape_series_added");
    assert_eq!(added[0].matches("=1").count(), 1, "{added:?}");
    assert!(!running.stored.samples("asked")[0].contains("stale"));
    assert_eq!(running.pools.stats().reloads, 1);
    assert_eq!(running.asked(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_new_interval_makes_another_target_of_the_same_series() {
    let running = running();
    running.apply(config(&["a"], 10)).await;
    pass(30).await;
    running.apply(config(&["a"], 5)).await;
    pass(60).await;
    // The old target's markers come too late to disturb the new one's samples.
    assert!(
        !running
            .stored
            .samples("asked|up")
            .concat()
            .contains("stale")
    );
    assert_eq!(running.asked(), 3 + 12);
}

#[tokio::test(start_paused = true)]
async fn a_removed_job_stops_without_markers() {
    let running = running();
    running.apply(config(&["a"], 10)).await;
    pass(30).await;
    let nothing: [Job; 0] = [];
    running.pools.apply(nothing, 0).await.unwrap();
    pass(100).await;
    assert_eq!(running.asked(), 3);
    assert!(!running.stored.samples("up")[0].contains("stale"));
    assert!(running.pools.targets().is_empty());
}

#[tokio::test(start_paused = true)]
async fn too_many_targets_fail_together() {
    let running = running();
    let mut limited = config(&["a", "b"], 10);
    limited.limits.targets = 1;
    running.apply(limited.clone()).await;
    pass(10).await;
    let status = running.pools.targets();
    let error = "target_limit exceeded (number of targets: 2, limit: 1)";
    assert!(
        status[0]
            .active
            .iter()
            .all(|target| target.last_error == error)
    );
    assert_eq!(running.pools.stats().exceeded_target_limit, 1);
    limited.limits.targets = 2;
    running.apply(limited).await;
    pass(10).await;
    assert!(
        running.pools.targets()[0]
            .active
            .iter()
            .all(|t| t.last_error.is_empty())
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_set_up_does_not_stop_the_others() {
    let running = running();
    let mut broken = config(&["x"], 10);
    broken.job_name = "broken".to_owned();
    broken.client.tls.ca = Some(crate::http::PemSource::File("/nonexistent/ca.pem".into()));
    let jobs = [Job::from(broken), running.job(config(&["a"], 10))];
    let error = running.pools.apply(jobs, 0).await.unwrap_err();
    assert_eq!(error.jobs[0].0, "broken");
    assert!(
        error
            .to_string()
            .contains("unable to read CA cert: unable to read file /nonexistent/ca.pem"),
        "{error}"
    );
    pass(10).await;
    assert_eq!(running.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_stops_everything_without_markers() {
    let running = running();
    running.apply(config(&["a", "b"], 10)).await;
    pass(30).await;
    running.pools.shutdown().await;
    let asked = running.asked();
    pass(100).await;
    assert_eq!(running.asked(), asked);
    assert!(!running.stored.samples("up")[0].contains("stale"));
}

fn found(job: &str, targets: &[&str]) -> Snapshot {
    let targets = targets.iter().map(|target| {
        let address = ("__address__".to_owned(), (*target).to_owned());
        LabelMap::from([address, ("__meta_x".to_owned(), "y".to_owned())])
    });
    let group = Group {
        id: GroupId {
            origin: "test".to_owned(),
            index: None,
        },
        targets: targets.collect(),
        labels: LabelMap::from([("zone".to_owned(), "z".to_owned())]),
    };
    Snapshot::from([(job.to_owned(), vec![Arc::new(group)])])
}

#[tokio::test(start_paused = true)]
async fn found_targets_come_and_go_beside_those_of_the_configuration() {
    let running = running();
    running.apply(config(&["a"], 10)).await;
    running.pools.discovered(&found("j", &["b", "c"])).await;
    pass(30).await;
    assert_eq!(running.asked(), 9);
    let status = running.pools.targets();
    let active = status[0].active.iter();
    let labels: Vec<String> = active.map(|target| target.labels.to_string()).collect();
    assert_eq!(
        labels,
        [
            "{instance=\"a\", job=\"j\"}",
            "{instance=\"b\", job=\"j\", zone=\"z\"}",
            "{instance=\"c\", job=\"j\", zone=\"z\"}",
        ]
    );
    let discovered = &status[0].active[1].discovered_labels;
    assert_eq!(discovered.get("__meta_x"), Some("y"));
    // The same again is no work, another list ends who is not on it.
    let syncs = running.pools.stats().pools[0].syncs;
    running.pools.discovered(&found("j", &["b", "c"])).await;
    assert_eq!(running.pools.stats().pools[0].syncs, syncs);
    running.pools.discovered(&found("j", &["c"])).await;
    pass(100).await;
    let series = running.stored.samples("up");
    let of = |instance: &str| {
        let found = series
            .iter()
            .find(|line| line.contains(&format!("instance=\"{instance}\"")));
        found.unwrap().clone()
    };
    assert!(of("b").ends_with("=stale"), "{series:?}");
    assert_eq!(of("b").matches("=1").count(), 3, "{series:?}");
    assert_eq!(of("c").matches("=1").count(), 13, "{series:?}");
    // A new configuration keeps what was found, a list of other jobs does not.
    let mut limited = config(&["a"], 10);
    limited.limits.samples = 100;
    running.apply(limited).await;
    assert_eq!(running.pools.targets()[0].active.len(), 2);
    running.pools.discovered(&found("other", &["x"])).await;
    assert_eq!(running.pools.targets()[0].active.len(), 1);
}
