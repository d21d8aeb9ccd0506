//! One scrape of one target: fetch, append, report, commit.
//!
//! Fetching waits for the network; the rest computes and writes to the log, so it
//! runs on the pool of blocking threads, as many at a time as there are cores.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use kymo_storage::metrics::MetricStore;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::append::{Intake, Tally};
use super::cache::ScrapeCache;
use super::config::ScrapeConfig;
use super::failure_log::FailureLog;
use super::fitting::Fitting;
use super::metadata::MetadataCache;
use super::report::{Report, Reporter};
use super::stats::Counters;
use super::target::Target;
use super::{Clock, Gate, LocalSource, ScrapeFeatures};
use crate::http::{Answer, FetchError, HttpClient};

/// What all targets share.
pub(super) struct Shared {
    pub(super) store: Arc<MetricStore>,
    pub(super) clock: Clock,
    pub(super) gate: Gate,
    pub(super) features: ScrapeFeatures,
    pub(super) counters: Counters,
    /// Bounds how many scrapes compute at a time.
    pub(super) compute: Semaphore,
}

/// Where the text of a target comes from.
#[derive(Clone)]
pub(super) enum Source {
    /// Asked for over HTTP.
    Http(HttpClient),
    /// Made in this process.
    Local(Arc<dyn LocalSource>),
}

/// How a target did in its last scrape.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Health {
    /// When it began, nanoseconds since the epoch; `None` before the first.
    pub(super) last_scrape_ns: Option<i64>,
    /// How long it took.
    pub(super) duration: Duration,
    /// Why it failed; `None` where it worked.
    pub(super) error: Option<String>,
}

/// What the API shows of a target, changed by its scrapes.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) health: Mutex<Health>,
    pub(super) metadata: Mutex<MetadataCache>,
}

/// A target with all that its scrapes need.
pub(super) struct Subject {
    pub(super) shared: Arc<Shared>,
    pub(super) config: Arc<ScrapeConfig>,
    pub(super) target: Target,
    pub(super) source: Source,
    pub(super) headers: HeaderMap,
    pub(super) board: Arc<Board>,
    /// Fails every scrape, where the pool has too many targets.
    pub(super) forced_error: Mutex<Option<String>>,
    /// Takes a line about each scrape that fails.
    pub(super) failure_log: Mutex<Option<Arc<FailureLog>>>,
}

/// What a target carries from one scrape to the next.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) cache: ScrapeCache,
    pub(super) reporter: Reporter,
}

impl Memory {
    /// Returns the memory of a target never scraped.
    pub(super) fn new(config: &ScrapeConfig, target: &Target) -> Memory {
        Memory {
            cache: ScrapeCache::new(),
            reporter: Reporter::new(target.public_labels.clone(), config.extra_metrics),
        }
    }
}

/// What fetching brought.
enum Fetched {
    Answer(Answer),
    Local(Arc<dyn LocalSource>),
    Failed(String, Option<BodyTooLarge>),
    /// Nothing was asked for, because the pool has too many targets.
    Forced(String),
}

struct BodyTooLarge;

/// Type and bytes of what was fetched, or why there is none.
struct Body {
    content_type: String,
    bytes: bytes::Bytes,
}

impl Subject {
    /// Scrapes once; samples without a time get `scrape_ns`, nanoseconds since the
    /// epoch. Nothing is stored where `halt` comes before the answer.
    pub(super) async fn scrape(
        self: &Arc<Self>,
        memory: Memory,
        scrape_ns: i64,
        halt: &CancellationToken,
    ) -> Memory {
        let start_ns = (self.shared.clock)();
        let fetched = tokio::select! {
            biased;
            () = halt.cancelled() => return memory,
            fetched = self.fetch() => fetched,
        };
        let subject = Arc::clone(self);
        self.compute(memory, move |memory| {
            subject.store(memory, fetched, start_ns, scrape_ns);
        })
        .await
    }

    /// Ends all series of the target at `t_ns`.
    pub(super) async fn end(self: &Arc<Self>, memory: Memory, t_ns: i64) {
        let subject = Arc::clone(self);
        self.compute(memory, move |memory| subject.store_end(memory, t_ns))
            .await;
    }

    /// Runs `work` where it may compute and block. A panic in it costs the target its
    /// memory, not its scrapes.
    async fn compute(
        &self,
        mut memory: Memory,
        work: impl FnOnce(&mut Memory) + Send + 'static,
    ) -> Memory {
        let permit = self.shared.compute.acquire().await;
        let done = tokio::task::spawn_blocking(move || {
            work(&mut memory);
            memory
        })
        .await;
        drop(permit);
        match done {
            Ok(memory) => memory,
            Err(error) => {
                tracing::error!(target = self.target.url, %error, "a scrape was given up");
                Memory::new(&self.config, &self.target)
            }
        }
    }

    async fn fetch(&self) -> Fetched {
        if let Some(error) = self.forced_error.lock().clone() {
            return Fetched::Forced(error);
        }
        match &self.source {
            Source::Local(source) => Fetched::Local(Arc::clone(source)),
            Source::Http(client) => {
                if let Some(refusal) = (self.shared.gate)() {
                    return Fetched::Failed(refusal, None);
                }
                let limit = self.config.limits.body_size_bytes;
                let (url, timeout) = (&self.target.url, self.target.timeout);
                match client.get(url, &self.headers, timeout, limit).await {
                    Ok(answer) => Fetched::Answer(answer),
                    Err(error) => failed(&error),
                }
            }
        }
    }

    fn intake<'a>(&'a self, cache: &'a mut ScrapeCache, t_ms: i64, now_ms: i64) -> Intake<'a> {
        Intake {
            store: &self.shared.store,
            config: &self.config,
            histograms: self.target.histograms(&self.config),
            fitting: Fitting::of(&self.config),
            features: self.shared.features,
            target: &self.target.public_labels,
            cache,
            metadata: &self.board.metadata,
            counters: &self.shared.counters,
            t_ms,
            now_ms,
        }
    }

    fn store(&self, memory: &mut Memory, fetched: Fetched, start_ns: i64, scrape_ns: i64) {
        let shared = &self.shared;
        let t_ms = scrape_ns.div_euclid(1_000_000);
        let is_asked = !matches!(fetched, Fetched::Forced(_));
        let (body, too_large) = unpack(fetched);
        // As in Prometheus, only what was asked for and did not come is written down.
        if let Err(text) = &body
            && is_asked
        {
            self.log_failure(text);
        }
        if too_large.is_some() {
            Counters::bump(&shared.counters.exceeded_body_limit);
        }
        let now_ms = (shared.clock)().div_euclid(1_000_000);
        let mut intake = self.intake(&mut memory.cache, t_ms, now_ms);
        let mut appender = shared.store.appender();
        // First, so that a target that reaches a limit on series can still be seen as down.
        memory.reporter.reserve(&mut appender);
        let mut tally = Tally::default();
        let (body_bytes, mut error) = match &body {
            Ok(body) => {
                let result;
                (tally, result) = intake.append(&mut appender, &body.content_type, &body.bytes);
                (body.bytes.len() as i64, result.err().map(|e| e.to_string()))
            }
            Err(error) => (
                if too_large.is_some() { -1 } else { 0 },
                Some(error.clone()),
            ),
        };
        if let Some(text) = &error {
            tracing::debug!(target = self.target.url, error = text, "scrape failed");
            appender.rollback();
            appender = shared.store.appender();
            if let Err(refusal) = intake.end_series(&mut appender) {
                tracing::warn!(target = self.target.url, error = %refusal, "stale markers refused");
            }
        }
        let duration_ns = (shared.clock)() - start_ns;
        let duration = Duration::from_nanos(duration_ns.max(0).unsigned_abs());
        let report = Report {
            up: error.is_none(),
            duration_s: duration.as_secs_f64(),
            scraped: tally.scraped,
            kept: tally.kept,
            added: tally.added,
            timeout_s: self.target.timeout.as_secs_f64(),
            sample_limit: self.config.limits.samples,
            body_bytes,
        };
        let reported = memory.reporter.write(&mut appender, t_ms, &report);
        if let Err(refusal) = reported {
            tracing::warn!(target = self.target.url, error = %refusal, "scrape report refused");
        }
        if let Err(failure) = appender.commit() {
            Counters::bump(&shared.counters.commits_failed);
            tracing::error!(target = self.target.url, error = %failure, "scrape not stored");
            self.board.metadata.lock().store_failed();
            error.get_or_insert_with(|| failure.to_string());
        }
        if self.config.extra_metrics {
            let took_ns = (shared.clock)() - start_ns;
            let mut lengths = shared.counters.scrape_lengths.lock();
            lengths.observe(took_ns as f64 / 1e9);
        }
        *self.board.health.lock() = Health {
            last_scrape_ns: Some(scrape_ns),
            duration,
            error,
        };
    }

    fn log_failure(&self, error: &str) {
        let log = self.failure_log.lock().clone();
        if let Some(log) = log {
            let (job, now_ns) = (&self.config.job_name, (self.shared.clock)());
            log.write(now_ns, job, &self.target.url, error);
        }
    }

    fn store_end(&self, memory: &mut Memory, t_ns: i64) {
        let shared = &self.shared;
        let t_ms = t_ns.div_euclid(1_000_000);
        let mut appender = shared.store.appender();
        // The same series may be scraped elsewhere by now.
        appender.discard_late();
        let mut intake = self.intake(&mut memory.cache, t_ms, t_ms);
        let marked = intake.end_series(&mut appender);
        let reported = memory.reporter.end(&mut appender, t_ms);
        if let Err(refusal) = marked.and(reported) {
            tracing::warn!(target = self.target.url, error = %refusal, "stale markers refused");
        }
        if let Err(failure) = appender.commit() {
            Counters::bump(&shared.counters.commits_failed);
            tracing::error!(target = self.target.url, error = %failure, "stale markers not stored");
        }
    }
}

fn failed(error: &FetchError) -> Fetched {
    let too_large = matches!(error, FetchError::BodyLimit).then_some(BodyTooLarge);
    Fetched::Failed(error.to_string(), too_large)
}

fn unpack(fetched: Fetched) -> (Result<Body, String>, Option<BodyTooLarge>) {
    match fetched {
        Fetched::Failed(error, too_large) => (Err(error), too_large),
        Fetched::Forced(error) => (Err(error), None),
        Fetched::Local(source) => {
            let mut text = String::new();
            source.collect(&mut text);
            let body = Body {
                content_type: "text/plain; version=0.0.4".to_owned(),
                bytes: bytes::Bytes::from(text),
            };
            (Ok(body), None)
        }
        Fetched::Answer(answer) if answer.status != 200 => {
            let text = format!("server returned HTTP status {}", answer.status_text);
            (Err(text), None)
        }
        Fetched::Answer(answer) => {
            let content_type = answer.content_type.clone();
            match answer.into_body() {
                Ok(bytes) => {
                    let body = Body {
                        content_type,
                        bytes,
                    };
                    (Ok(body), None)
                }
                Err(error) => match failed(&error) {
                    Fetched::Failed(text, too_large) => (Err(text), too_large),
                    _ => (Err(error.to_string()), None),
                },
            }
        }
    }
}
