//! One scrape after another, at times given by the test.

use std::time::Duration;

use kymo_storage::compat::name::NameValidation;
use kymo_storage::model::{Labels, RelabelAction, RelabelConfig, RelabelRule};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::HttpClient;
use crate::http::test_server::{Answered, TestServer, answer, text};
use crate::scrape::config::{ScrapeConfig, ScrapeProtocol};
use crate::scrape::negotiate;
use crate::scrape::round::{Board, Memory, Shared, Source, Subject};
use crate::scrape::stats::Counters;
use crate::scrape::target;
use crate::scrape::{ScrapeFeatures, TargetGroup};

/// A target whose answers the test decides, and what was stored of them.
struct Scraped {
    stored: Stored,
    clock: SetClock,
    subject: Arc<Subject>,
    answer: Arc<Mutex<Answered>>,
    /// Why nothing may be scraped.
    shut: Arc<Mutex<Option<String>>>,
    memory: Option<Memory>,
    _server: TestServer,
}

/// Takes samples with the labels that the target would have, or changes the job.
async fn scraped(change: impl FnOnce(&mut ScrapeConfig)) -> Scraped {
    scraped_into(Stored::new(), change).await
}

async fn scraped_into(stored: Stored, change: impl FnOnce(&mut ScrapeConfig)) -> Scraped {
    let answer = Arc::new(Mutex::new(text("")));
    let served = Arc::clone(&answer);
    let server = TestServer::start(move |_| served.lock().clone()).await;
    let group = TargetGroup {
        targets: vec![server.address.to_string()],
        labels: [("instance".to_owned(), "i".to_owned())].into(),
    };
    let mut config = ScrapeConfig::new("j", Duration::from_secs(10), Duration::from_secs(5));
    config.static_configs = vec![group];
    change(&mut config);
    let clock = SetClock::default();
    let shut = Arc::<Mutex<Option<String>>>::default();
    let target = target::resolve(&config, &[]).active[0].clone();
    let subject = Subject {
        shared: Arc::new(Shared {
            store: Arc::clone(&stored.store),
            clock: clock.clock(),
            gate: {
                let shut = Arc::clone(&shut);
                Arc::new(move || shut.lock().clone())
            },
            features: ScrapeFeatures::default(),
            counters: Counters::default(),
            compute: Semaphore::new(1),
        }),
        source: Source::Http(HttpClient::new(&config.client).unwrap()),
        headers: negotiate::headers(&config, target.timeout),
        board: Arc::<Board>::default(),
        forced_error: Mutex::new(None),
        failure_log: Mutex::new(None),
        config: Arc::new(config),
        target,
    };
    Scraped {
        memory: Some(Memory::new(&subject.config, &subject.target)),
        subject: Arc::new(subject),
        stored,
        clock,
        answer,
        shut,
        _server: server,
    }
}

impl Scraped {
    async fn get(&mut self, seconds: f64, answer: Answered) {
        *self.answer.lock() = answer;
        self.clock.set_s(seconds);
        let memory = self.memory.take().unwrap();
        let scrape_ns = (seconds * 1e9) as i64;
        let halt = CancellationToken::new();
        self.memory = Some(self.subject.scrape(memory, scrape_ns, &halt).await);
    }

    async fn text(&mut self, seconds: f64, body: &str) {
        self.get(seconds, text(body.to_owned())).await;
    }

    fn error(&self) -> String {
        let health = self.subject.board.health.lock();
        health.error.clone().unwrap_or_default()
    }

    fn stats(&self) -> crate::scrape::ScrapeStats {
        self.subject.shared.counters.snapshot()
    }

    /// Values of the synthetic series at the last scrape: up, scraped, kept, added.
    fn report(&self) -> [String; 4] {
        let names = [
            "up",
            "scrape_samples_scraped",
            "scrape_samples_post_metric_relabeling",
            "scrape_series_added",
        ];
        names.map(|name| {
            let series = self.stored.samples(name);
            let last = series[0].rsplit('=').next().unwrap();
            last.to_owned()
        })
    }
}

const LABELS: &str = "instance=\"i\", job=\"j\"";

#[tokio::test]
async fn a_good_scrape_is_stored_with_its_report() {
    let mut scraped = scraped(|_| {}).await;
    scraped.text(1.0, "a 1\nb{x=\"y\"} 2\n").await;
    scraped.text(11.0, "a 3\nb{x=\"y\"} 2\n").await;
    assert_eq!(
        scraped
            .stored
            .samples("a|b|up|scrape_samples_.*|scrape_series_added"),
        [
            format!("a{{{LABELS}}} 1=1 11=3"),
            format!("b{{{LABELS}, x=\"y\"}} 1=2 11=2"),
            format!("scrape_samples_post_metric_relabeling{{{LABELS}}} 1=2 11=2"),
            format!("scrape_samples_scraped{{{LABELS}}} 1=2 11=2"),
            format!("scrape_series_added{{{LABELS}}} 1=2 11=0"),
            format!("up{{{LABELS}}} 1=1 11=1"),
        ]
    );
    assert_eq!(scraped.stored.samples("scrape_duration_seconds").len(), 1);
    assert_eq!(scraped.error(), "");
}

#[tokio::test]
async fn series_that_vanish_are_ended_and_may_return() {
    let mut scraped = scraped(|_| {}).await;
    scraped.text(1.0, "a 1\nb 1\nc 1\n").await;
    scraped.text(11.0, "c 2\na 2\n").await;
    scraped.text(21.0, "a 3\nb 3\n").await;
    assert_eq!(
        scraped.stored.samples("a|b|c"),
        [
            format!("a{{{LABELS}}} 1=1 11=2 21=3"),
            format!("b{{{LABELS}}} 1=1 11=stale 21=3"),
            format!("c{{{LABELS}}} 1=1 11=2 21=stale"),
        ]
    );
}

#[tokio::test]
async fn a_shut_gate_fails_scrapes_with_its_reason() {
    let mut scraped = scraped(|_| {}).await;
    scraped.text(1000.0, "m 1\n").await;
    *scraped.shut.lock() = Some("no memory".to_owned());
    scraped.text(1010.0, "m 2\n").await;
    assert_eq!(scraped.error(), "no memory");
    assert_eq!(scraped.report(), ["0", "0", "0", "0"]);
    let stored = scraped.stored.samples("m");
    assert!(!stored[0].contains("=2"), "{stored:?}");
    *scraped.shut.lock() = None;
    scraped.text(1020.0, "m 3\n").await;
    assert_eq!(scraped.error(), "");
    assert_eq!(scraped.report(), ["1", "1", "1", "0"]);
}

#[tokio::test]
async fn a_failed_scrape_ends_all_series_once() {
    let mut scraped = scraped(|_| {}).await;
    scraped.text(1.0, "a 1\n").await;
    scraped.get(11.0, answer(500, &[], "broken")).await;
    assert_eq!(
        scraped.error(),
        "server returned HTTP status 500 Internal Server Error"
    );
    assert_eq!(scraped.report(), ["0", "0", "0", "0"]);
    scraped.get(21.0, answer(503, &[], "")).await;
    scraped.text(31.0, "a 4\n").await;
    assert_eq!(
        scraped.stored.samples("a|up"),
        [
            format!("a{{{LABELS}}} 1=1 11=stale 31=4"),
            format!("up{{{LABELS}}} 1=1 11=0 21=0 31=1"),
        ]
    );
}

#[tokio::test]
async fn a_line_that_cannot_be_read_undoes_the_scrape() {
    let mut scraped = scraped(|_| {}).await;
    scraped.text(1.0, "a 1\n").await;
    scraped.text(11.0, "7&-\na 2\n").await;
    assert!(
        scraped.error().contains("while parsing"),
        "{}",
        scraped.error()
    );
    assert_eq!(
        scraped.stored.samples("a"),
        [format!("a{{{LABELS}}} 1=1 11=stale")]
    );
    scraped.get(21.0, answer(200, &[], "a 1\n")).await;
    assert_eq!(
        scraped.error(),
        "non-compliant scrape target sending blank Content-Type and no \
         fallback_scrape_protocol specified for target"
    );
}

/// Seen in Prometheus 2.42 and in the source of 3.14: what stood before the broken
/// line counts as exposed, so only the other series are ended.
#[tokio::test]
async fn series_in_front_of_a_broken_line_are_not_ended() {
    let mut scraped = scraped(|_| {}).await;
    scraped.text(1.0, "a 1\nb 1\nc 1\n").await;
    scraped.text(11.0, "a 2\nbroken{\n").await;
    assert_eq!(scraped.report(), ["0", "1", "1", "0"]);
    scraped.get(21.0, answer(500, &[], "")).await;
    assert_eq!(
        scraped.stored.samples("a|b|c"),
        [
            format!("a{{{LABELS}}} 1=1 21=stale"),
            format!("b{{{LABELS}}} 1=1 11=stale"),
            format!("c{{{LABELS}}} 1=1 11=stale"),
        ]
    );
}

#[tokio::test]
async fn a_fallback_format_is_used_where_none_is_named() {
    let mut scraped =
        scraped(|config| config.fallback_protocol = Some(ScrapeProtocol::PrometheusText004)).await;
    scraped.get(1.0, answer(200, &[], "a 1\n")).await;
    assert_eq!(scraped.stored.samples("a"), [format!("a{{{LABELS}}} 1=1")]);
}

#[tokio::test]
async fn conflicting_labels_follow_honor_labels() {
    let body = "a{job=\"own\",instance=\"\"} 1\n";
    let mut renamed = scraped(|_| {}).await;
    renamed.text(1.0, body).await;
    assert_eq!(
        renamed.stored.samples("a"),
        ["a{exported_job=\"own\", instance=\"i\", job=\"j\"} 1=1"]
    );
    let mut honored = scraped(|config| config.honor_labels = true).await;
    honored.text(1.0, body).await;
    assert_eq!(honored.stored.samples("a"), ["a{job=\"own\"} 1=1"]);
}

#[tokio::test]
async fn exposed_timestamps_are_honored_unless_told_otherwise() {
    let body = "a 1 5000\nb 2\n";
    let mut honoring = scraped(|_| {}).await;
    honoring.text(10.0, body).await;
    honoring.text(20.0, "x 1\n").await;
    assert_eq!(
        honoring.stored.samples("a|b"),
        [
            // No marker: the target says itself when its samples are.
            format!("a{{{LABELS}}} 5=1"),
            format!("b{{{LABELS}}} 10=2 20=stale"),
        ]
    );
    let mut tracking = scraped(|config| config.track_timestamps_staleness = true).await;
    tracking.text(10.0, body).await;
    tracking.text(20.0, "x 1\n").await;
    assert_eq!(
        tracking.stored.samples("a"),
        [format!("a{{{LABELS}}} 5=1 20=stale")]
    );
    let mut ignoring = scraped(|config| config.honor_timestamps = false).await;
    ignoring.text(10.0, body).await;
    assert_eq!(
        ignoring.stored.samples("a"),
        [format!("a{{{LABELS}}} 10=1")]
    );
}

#[tokio::test]
async fn samples_that_do_not_fit_are_left_out_and_counted() {
    let mut scraped = scraped(|_| {}).await;
    scraped
        .text(1.0, "a 1 9000\nb 1\nb 2\nc 1 601001\nd 1 601000\n")
        .await;
    scraped.text(2.0, "a 2 8000\na 3 9000\n").await;
    let stats = scraped.stats();
    assert_eq!(scraped.error(), "");
    assert_eq!(stats.duplicate_timestamp, 2);
    assert_eq!(stats.out_of_bounds, 1);
    assert_eq!(stats.out_of_order, 1);
    assert_eq!(
        scraped.stored.samples("[abcd]"),
        [
            format!("a{{{LABELS}}} 9=1"),
            format!("b{{{LABELS}}} 1=1 2=stale"),
            format!("d{{{LABELS}}} 601=1"),
        ]
    );
}

#[tokio::test]
async fn one_series_twice_in_two_spellings_is_one_series() {
    let mut scraped = scraped(|_| {}).await;
    scraped
        .text(1.0, "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 5\n")
        .await;
    scraped.text(11.0, "a{y=\"2\",x=\"1\"} 6\n").await;
    assert_eq!(
        scraped.stored.samples("a"),
        [format!("a{{{LABELS}, x=\"1\", y=\"2\"}} 1=1 11=6")]
    );
}

fn rule(action: RelabelAction, source: &str, regex: &str) -> RelabelRule {
    RelabelRule::new(RelabelConfig {
        source_labels: (!source.is_empty()).then(|| vec![source.to_owned()]),
        regex: Some(regex.to_owned()),
        action,
        ..RelabelConfig::default()
    })
    .unwrap()
}

#[tokio::test]
async fn metric_rules_drop_and_change_series() {
    let mut scraped = scraped(|config| {
        config.metric_relabel = vec![
            rule(RelabelAction::Drop, "__name__", "go_.*"),
            rule(RelabelAction::LabelDrop, "", "secret"),
        ];
    })
    .await;
    for seconds in [1.0, 11.0] {
        scraped.text(seconds, "go_x 1\na{secret=\"s\"} 1\n").await;
        assert_eq!(scraped.report()[1..3], ["2", "1"]);
    }
    assert_eq!(
        scraped.stored.samples("a|go_x"),
        [format!("a{{{LABELS}}} 1=1 11=1")]
    );
}

#[tokio::test]
async fn a_series_needs_a_valid_name() {
    let mut nameless = scraped(|config| {
        config.metric_relabel = vec![rule(RelabelAction::LabelDrop, "", "__name__")];
    })
    .await;
    nameless.text(1.0, "a 1\n").await;
    assert_eq!(nameless.error(), "missing metric name (__name__ label)");
    let mut legacy = scraped(|config| config.name_validation = NameValidation::Legacy).await;
    legacy.text(1.0, "{\"a.b\"} 1\n").await;
    assert!(
        legacy
            .error()
            .starts_with("invalid metric name or label names: {")
    );
}

#[tokio::test]
async fn the_sample_limit_refuses_the_whole_scrape() {
    let mut scraped = scraped(|config| config.limits.samples = 2).await;
    scraped.text(1.0, "a 1\nb 1\n").await;
    assert_eq!(scraped.error(), "");
    scraped.text(11.0, "x 1\ny 1\nz 1\n").await;
    assert_eq!(scraped.error(), "sample limit exceeded");
    assert_eq!(scraped.report(), ["0", "3", "3", "2"]);
    assert_eq!(scraped.stats().exceeded_sample_limit, 1);
    assert_eq!(
        scraped.stored.samples("[abxyz]"),
        [
            format!("a{{{LABELS}}} 1=1 11=stale"),
            format!("b{{{LABELS}}} 1=1 11=stale"),
        ]
    );
}

#[tokio::test]
async fn other_limits_refuse_the_whole_scrape() {
    let mut labels = scraped(|config| config.limits.labels = 3).await;
    labels.text(1.0, "a{x=\"1\"} 1\n").await;
    assert_eq!(
        labels.error(),
        "label_limit exceeded (metric: a, number of labels: 4, limit: 3)"
    );
    assert_eq!(labels.stats().exceeded_label_limits, 1);
    let mut body = scraped(|config| {
        config.limits.body_size_bytes = 10;
        config.extra_metrics = true;
    })
    .await;
    body.text(1.0, "a 1\nb 123\n").await;
    assert_eq!(body.error(), "body size limit exceeded");
    assert_eq!(body.stats().exceeded_body_limit, 1);
    assert_eq!(
        body.stored
            .samples("scrape_body_size_bytes|scrape_timeout_seconds|scrape_sample_limit"),
        [
            format!("scrape_body_size_bytes{{{LABELS}}} 1=-1"),
            format!("scrape_sample_limit{{{LABELS}}} 1=0"),
            format!("scrape_timeout_seconds{{{LABELS}}} 1=5"),
        ]
    );
    let forced = scraped(|_| {}).await;
    *forced.subject.forced_error.lock() = Some("target_limit exceeded".to_owned());
    let mut forced = forced;
    forced.text(1.0, "a 1\n").await;
    assert_eq!(forced.error(), "target_limit exceeded");
}

#[tokio::test]
async fn open_metrics_is_read_with_its_metadata() {
    let mut scraped = scraped(|_| {}).await;
    let body = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds Some \\\"help\\\".\n\
                a_seconds_total 1 1.5 # {id=\"x\"} 1\n# EOF\n";
    let kind = [(
        "content-type",
        "application/openmetrics-text; version=1.0.0",
    )];
    scraped.get(2.0, answer(200, &kind, body)).await;
    assert_eq!(scraped.error(), "");
    assert_eq!(
        scraped.stored.samples("a_seconds_total"),
        [format!("a_seconds_total{{{LABELS}}} 1.5=1")]
    );
    let metadata = scraped.subject.board.metadata.lock().list();
    let [family] = &metadata[..] else {
        panic!("{metadata:?}");
    };
    assert_eq!(family.family, "a_seconds");
    assert_eq!(family.kind.as_str(), "counter");
    assert_eq!(
        (family.help.as_str(), family.unit.as_str()),
        ("Some \"help\".", "seconds")
    );
    scraped
        .get(3.0, answer(200, &kind, "a_seconds_total 2\n"))
        .await;
    assert_eq!(scraped.error(), "data does not end with # EOF");
}

const OPEN_METRICS: [(&str, &str); 1] = [(
    "content-type",
    "application/openmetrics-text; version=1.0.0",
)];

#[tokio::test]
async fn exemplars_and_metadata_go_into_the_store() {
    let stored = Stored::with(|options| options.max_exemplars = 10);
    let mut scraped = scraped_into(stored, |_| {}).await;
    let exemplars = |scraped: &Scraped| -> Vec<String> {
        let range = TimeRange::new(i64::MIN, i64::MAX);
        let found = scraped.stored.store.exemplars(&[vec![]], range);
        let lines = found.iter().flat_map(|series| {
            let name = series.labels.metric_name().to_owned();
            let exemplars = series.exemplars.iter();
            exemplars.map(move |e| format!("{name} {:?} {}={}", e.labels, e.t_ms, e.value))
        });
        lines.collect()
    };
    let body = "# TYPE a counter\n# HELP a First.\n\
                a_total 1 # {id=\"x\"} 1\n\
                b_total 1 # {id=\"y\",none=\"\"} 2 1.5\n# EOF\n";
    scraped.get(2.0, answer(200, &OPEN_METRICS, body)).await;
    let first = [
        "a_total {\"id\": \"x\"} 2000=1",
        "b_total {\"id\": \"y\"} 1500=2",
    ];
    assert_eq!(exemplars(&scraped), first);
    let told = scraped.stored.store.metadata(Some("a"));
    assert_eq!(told[0].1.help, "First.");
    // The same ones again are known, with a time or without.
    scraped.get(12.0, answer(200, &OPEN_METRICS, body)).await;
    assert_eq!(exemplars(&scraped), first);
    assert_eq!(scraped.stored.store.stats().metadata.changes_total, 1);
    let body = "# TYPE a counter\n# HELP a Second.\n\
                a_total 1 # {id=\"z\"} 1\n\
                b_total 1 # {id=\"old\"} 2 1.25\n# EOF\n";
    scraped.get(22.0, answer(200, &OPEN_METRICS, body)).await;
    let second = [
        "a_total {\"id\": \"x\"} 2000=1",
        "a_total {\"id\": \"z\"} 22000=1",
        "b_total {\"id\": \"y\"} 1500=2",
    ];
    assert_eq!(exemplars(&scraped), second);
    assert_eq!(scraped.stats().exemplar_out_of_order, 1);
    let told = scraped.stored.store.metadata(Some("a"));
    assert_eq!(told[0].1.help, "Second.");
    // A scrape that fails brings neither.
    let body = "# HELP a Third.\na_total 1 # {id=\"never\"} 1\n";
    scraped.get(32.0, answer(200, &OPEN_METRICS, body)).await;
    assert_eq!(exemplars(&scraped), second);
    let told = scraped.stored.store.metadata(Some("a"));
    assert_eq!(told[0].1.help, "Second.");
}

#[tokio::test]
async fn a_target_at_its_limit_is_seen_as_down() {
    let stored = Stored::with(|options| options.max_series_per_target = 7);
    let mut scraped = scraped_into(stored, |_| {}).await;
    scraped.text(1.0, "a 1\nb 1\nc 1\n").await;
    assert_eq!(
        scraped.error(),
        "target job=\"j\", instance=\"i\" has reached the limit of 7 series per target; raise \
         --storage.max-series-per-target, or drop series of it before they are stored"
    );
    assert_eq!(
        scraped.stored.samples("up"),
        [format!("up{{{LABELS}}} 1=0")]
    );
    assert!(scraped.stored.samples("[abc]").is_empty());
}

#[tokio::test]
async fn a_target_may_expose_its_own_up() {
    let mut scraped = scraped(|_| {}).await;
    scraped.text(1.0, "up 7\n").await;
    assert_eq!(
        scraped.stored.samples("up"),
        [format!("up{{{LABELS}}} 1=7")]
    );
}

#[tokio::test]
async fn an_empty_answer_is_a_good_scrape() {
    let mut scraped = scraped(|_| {}).await;
    scraped.text(1.0, "a 1\n").await;
    scraped.get(11.0, answer(200, &[], "")).await;
    assert_eq!(scraped.error(), "");
    assert_eq!(
        scraped.stored.samples("a"),
        [format!("a{{{LABELS}}} 1=1 11=stale")]
    );
}

/// The window for late samples must not let a marker break a series that goes on.
#[tokio::test]
async fn the_end_of_a_series_that_went_on_elsewhere_is_not_stored() {
    let stored = Stored::with(|options| options.out_of_order_window_ms = 600_000);
    let mut scraped = scraped_into(stored, |_| {}).await;
    scraped.text(10.0, "a 1\n").await;
    {
        let mut appender = scraped.stored.store.appender();
        let labels = Labels::from_pairs([("__name__", "a"), ("instance", "i"), ("job", "j")]);
        let series = appender.series(&labels).unwrap();
        appender.append(series, 40_000, 2.0).unwrap();
        appender.commit().unwrap();
    }
    let memory = scraped.memory.take().unwrap();
    scraped.subject.end(memory, 20_000_000_000).await;
    let expected = format!("a{{{LABELS}}} 10=1 40=2");
    assert_eq!(scraped.stored.samples("a"), [expected]);
}

#[tokio::test]
async fn removing_a_target_ends_its_series_and_reports() {
    let mut scraped = scraped(|_| {}).await;
    scraped.text(1.0, "a 1\n").await;
    let memory = scraped.memory.take().unwrap();
    scraped.subject.end(memory, 11_000_000_000).await;
    assert_eq!(
        scraped.stored.samples("a|up"),
        [
            format!("a{{{LABELS}}} 1=1 11=stale"),
            format!("up{{{LABELS}}} 1=1 11=stale"),
        ]
    );
}
