//! Our own metrics, under Prometheus' names where it has them.
//!
//! Counters live where they are counted; this module holds those of HTTP and of
//! queries and writes all of them when `/metrics` is asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use kymo_query::{CacheStats, QueryStats};
use parking_lot::Mutex;

use super::build;
use super::discovery;
use super::exposition::{Format, Kind, TextWriter};
use super::families::Family;
use super::log_queries::LogQueryMetrics;
use super::process;
use super::rules;
use super::scrape;
use super::store::{self, StoreMetrics};
use super::summary::{Histogram, Summary};
use crate::access::Access;
use crate::app::App;
use crate::forward;
use crate::logs;
use crate::notices::NoticeStats;
use crate::notify;
use crate::tailing;
use crate::work::memory::{Memory, Refused};

const DURATION_BOUNDS: &[f64] = &[0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0];
const SIZE_BOUNDS: &[f64] = &[1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Counters that the server keeps itself.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) http: HttpMetrics,
    pub(crate) federation: FederationMetrics,
    pub(crate) queries: QueryMetrics,
    pub(crate) log_queries: LogQueryMetrics,
    pub(crate) reload: ReloadMetrics,
    pub(crate) store: StoreMetrics,
}

/// What went wrong while others federated.
#[derive(Debug, Default)]
pub(crate) struct FederationMetrics {
    errors: AtomicU64,
}

impl FederationMetrics {
    /// Counts an answer that could not be given.
    pub(crate) fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    fn write(&self, writer: &mut TextWriter) {
        writer.counter(
            "prometheus_web_federation_errors_total",
            "Total number of errors that occurred while sending federation responses.",
            self.errors.load(Ordering::Relaxed),
        );
    }
}

/// Requests by route.
#[derive(Debug, Default)]
pub(crate) struct HttpMetrics {
    routes: Mutex<BTreeMap<String, RouteMetrics>>,
}

#[derive(Debug)]
struct RouteMetrics {
    codes: BTreeMap<u16, u64>,
    durations: Histogram,
    sizes: Histogram,
}

impl HttpMetrics {
    /// Counts an answer of the route `path` (`/api/v1/label/{name}/values`). The
    /// size is known unless the answer is streamed.
    pub(crate) fn observe(
        &self,
        path: &str,
        status: StatusCode,
        took: Duration,
        size_bytes: Option<u64>,
    ) {
        let mut routes = self.routes.lock();
        // Routes are few and fixed, so the map does not grow with requests.
        if !routes.contains_key(path) {
            routes.insert(path.to_owned(), RouteMetrics::new());
        }
        let Some(route) = routes.get_mut(path) else {
            return;
        };
        *route.codes.entry(status.as_u16()).or_default() += 1;
        route.durations.observe(took.as_secs_f64());
        if let Some(size_bytes) = size_bytes {
            route.sizes.observe(size_bytes as f64);
        }
    }

    fn write(&self, writer: &mut TextWriter) {
        let routes = self.routes.lock();
        let named: Vec<(String, &RouteMetrics)> = routes
            .iter()
            .map(|(path, route)| (path.replace('{', ":").replace('}', ""), route))
            .collect();
        let name = "prometheus_http_requests_total";
        writer.family(name, Kind::Counter, "Counter of HTTP requests.");
        for (path, route) in &named {
            for (code, count) in &route.codes {
                let labels = [("handler", path.as_str()), ("code", &code.to_string())];
                writer.sample(name, &labels, *count as f64);
            }
        }
        let name = "prometheus_http_request_duration_seconds";
        writer.family(
            name,
            Kind::Histogram,
            "Histogram of latencies for HTTP requests.",
        );
        for (path, route) in &named {
            route.durations.write(writer, name, &[("handler", path)]);
        }
        let name = "prometheus_http_response_size_bytes";
        writer.family(
            name,
            Kind::Histogram,
            "Histogram of response size for HTTP requests, before compression, of answers that are not streamed.",
        );
        for (path, route) in &named {
            route.sizes.write(writer, name, &[("handler", path)]);
        }
    }
}

impl RouteMetrics {
    fn new() -> RouteMetrics {
        RouteMetrics {
            codes: BTreeMap::new(),
            durations: Histogram::new(DURATION_BOUNDS),
            sizes: Histogram::new(SIZE_BOUNDS),
        }
    }
}

/// Writes how many requests were turned away before they reached a route.
fn denied(writer: &mut TextWriter, access: &Access) {
    let name = "kymo_http_denied_total";
    let help = "Requests that were turned away by credentials, scopes or limits.";
    writer.family(name, Kind::Counter, help);
    for (reason, count) in access.denied().counts() {
        writer.sample(name, &[("reason", reason)], count as f64);
    }
}

/// Queries by what their time went into.
#[derive(Debug, Default)]
pub(crate) struct QueryMetrics {
    queue: Summary,
    inner_eval: Summary,
    samples: AtomicU64,
    samples_read: AtomicU64,
}

impl QueryMetrics {
    /// Counts a query that was evaluated, whatever came of it.
    pub(crate) fn observe(&self, queued: Duration, ran: Duration, samples: QueryStats) {
        self.queue.observe(queued);
        self.inner_eval.observe(ran);
        let counts = [
            (&self.samples, samples.total_samples),
            (&self.samples_read, samples.samples_read),
        ];
        for (counter, count) in counts {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn write(&self, writer: &mut TextWriter, app: &App) {
        writer.gauge(
            "prometheus_engine_queries",
            "The current number of queries being executed or waiting.",
            app.queries.active() as f64,
        );
        writer.gauge(
            "prometheus_engine_queries_concurrent_max",
            "The max number of concurrent queries.",
            app.queries.concurrency() as f64,
        );
        writer.gauge(
            "prometheus_engine_query_log_enabled",
            "State of the query log.",
            f64::from(u8::from(app.query_log.is_on())),
        );
        writer.counter(
            "prometheus_engine_query_log_failures_total",
            "The number of query log failures.",
            app.query_log.failures(),
        );
        writer.counter(
            "prometheus_engine_query_samples_total",
            "The total number of samples loaded by all queries.",
            self.samples.load(Ordering::Relaxed),
        );
        writer.counter(
            "prometheus_engine_query_samples_read_total",
            "The total number of samples read by all queries, each counted once however many windows hold it.",
            self.samples_read.load(Ordering::Relaxed),
        );
        let name = "prometheus_engine_query_duration_seconds";
        writer.family(name, Kind::Summary, "Query timings.");
        self.inner_eval.write(writer, name, ("slice", "inner_eval"));
        self.queue.write(writer, name, ("slice", "queue_time"));
    }
}

/// How the last reload of the configuration went.
#[derive(Debug, Default)]
pub(crate) struct ReloadMetrics {
    /// 1 + the outcome; 0 before the first load.
    outcome: AtomicU64,
    success_ms: AtomicU64,
}

impl ReloadMetrics {
    /// Remembers a load that took effect.
    pub(crate) fn succeeded(&self, now_ms: i64) {
        self.outcome.store(2, Ordering::Relaxed);
        self.success_ms
            .store(now_ms.unsigned_abs(), Ordering::Relaxed);
    }

    /// Remembers a load that changed nothing because of an error.
    pub(crate) fn failed(&self) {
        self.outcome.store(1, Ordering::Relaxed);
    }

    /// Tells whether the last load succeeded.
    pub(crate) fn successful(&self) -> bool {
        self.outcome.load(Ordering::Relaxed) == 2
    }

    /// Returns when a load last succeeded, in milliseconds since the epoch.
    pub(crate) fn success_ms(&self) -> i64 {
        i64::try_from(self.success_ms.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
    }

    fn write(&self, writer: &mut TextWriter) {
        writer.gauge(
            "prometheus_config_last_reload_successful",
            "Whether the last configuration reload attempt was successful.",
            f64::from(u8::from(self.successful())),
        );
        writer.gauge(
            "prometheus_config_last_reload_success_timestamp_seconds",
            "Timestamp of the last successful configuration reload.",
            self.success_ms() as f64 / 1000.0,
        );
    }
}

/// Returns everything that Kymo says of itself as text.
pub(crate) fn exposition(app: &App, format: Format) -> String {
    let mut writer = TextWriter::new(format);
    write(app, &mut writer);
    writer.finish()
}

/// Returns everything that Kymo says of itself, sorted by name.
pub(crate) fn families(app: &App) -> Vec<Family> {
    let mut writer = TextWriter::keeping();
    write(app, &mut writer);
    let mut families = writer.families();
    families.sort_by(|a, b| a.name.cmp(&b.name));
    families
}

fn write(app: &App, writer: &mut TextWriter) {
    for (name, version) in [
        ("kymo_build_info", build::version()),
        ("prometheus_build_info", build::prometheus_version()),
    ] {
        let help = "A metric with a constant '1' value labeled by the version.";
        writer.family(name, Kind::Gauge, help);
        writer.sample(name, &[("version", version)], 1.0);
    }
    let core = app.core();
    writer.gauge(
        "prometheus_ready",
        "Whether Prometheus startup was fully completed and the server is ready for normal operation.",
        f64::from(u8::from(core.is_ok())),
    );
    app.metrics.reload.write(writer);
    app.metrics.http.write(writer);
    app.metrics.federation.write(writer);
    app.metrics.queries.write(writer, app);
    app.metrics.log_queries.write(writer, &app.tails);
    writer.gauge(
        "prometheus_remote_read_handler_queries",
        "The current number of remote read queries that are either in execution or queued on the handler.",
        app.remote_reads.active() as f64,
    );
    notices(writer, app.notices.stats());
    memory(writer, &app.memory);
    denied(writer, &app.access);
    scrape::write_receiver(writer, &app.receiver.stats());
    if app.flags.web.enable_otlp {
        scrape::write_otlp(writer, &app.otlp.stats());
    }
    let log_stats = core.ok().map(|core| core.logs.stats());
    logs::write_metrics(writer, &app.logs, log_stats.as_ref());
    if let Ok(core) = core {
        cache(writer, &core.cache.stats());
        store::write(writer, &core.store.stats(), app);
        scrape::write(writer, &core.scraping.stats());
        let discoveries = [
            ("notify", core.notifier.discovery_stats()),
            ("scrape", core.discovery.stats()),
        ];
        let sources = core.source_stats.snapshot();
        discovery::write(writer, &discoveries, &sources);
        notify::write_metrics(writer, &core.notifier);
        rules::write(writer, &core.rules);
        tailing::write_metrics(writer, &core.tailing);
        let newest_ms = core.store.newest_time_ms();
        forward::write_metrics(writer, &core.forwarder, newest_ms);
    }
    process::write(writer);
}

fn cache(writer: &mut TextWriter, stats: &CacheStats) {
    let name = "kymo_query_cache_requests_total";
    let help = "Range queries by what the cache of answers did: some steps were there (hit), none (miss), or none may be kept (refused).";
    writer.family(name, Kind::Counter, help);
    for (result, count) in [
        ("hit", stats.hits),
        ("miss", stats.misses),
        ("refused", stats.refused),
    ] {
        writer.sample(name, &[("result", result)], count as f64);
    }
    writer.counter(
        "kymo_query_cache_hit_steps_total",
        "Steps of range queries that did not have to be evaluated.",
        stats.hit_steps,
    );
    writer.counter(
        "kymo_query_cache_invalidations_total",
        "Range queries that found kept steps whose samples have changed since.",
        stats.invalidations,
    );
    writer.counter(
        "kymo_query_cache_evictions_total",
        "Kept answers given up for want of room.",
        stats.evictions,
    );
    writer.gauge(
        "kymo_query_cache_entries",
        "Answers kept now.",
        stats.entries as f64,
    );
    writer.gauge(
        "kymo_query_cache_bytes",
        "Memory of kept answers, part of that of queries.",
        stats.bytes as f64,
    );
}

fn notices(writer: &mut TextWriter, stats: NoticeStats) {
    writer.gauge(
        "prometheus_api_notification_active_subscribers",
        "The current number of active notification subscribers.",
        stats.listeners as f64,
    );
    writer.counter(
        "prometheus_api_notification_updates_sent_total",
        "Total number of notification updates sent.",
        stats.sent,
    );
    writer.counter(
        "prometheus_api_notification_updates_dropped_total",
        "Total number of notification updates dropped.",
        stats.dropped,
    );
}

fn memory(writer: &mut TextWriter, memory: &Memory) {
    writer.gauge(
        "kymo_memory_limit_bytes",
        "Memory that the store, request bodies and queries may hold together.",
        memory.limit() as f64,
    );
    let name = "kymo_memory_used_bytes";
    let help = "Memory in use, by what it is for; the store is measured once a second.";
    writer.family(name, Kind::Gauge, help);
    for (purpose, bytes) in memory.used() {
        writer.sample(name, &[("purpose", purpose)], bytes as f64);
    }
    writer.gauge(
        "kymo_memory_full",
        "Whether nothing more is stored because the store is near the memory limit.",
        f64::from(u8::from(memory.is_full())),
    );
    let name = "kymo_memory_refusals_total";
    writer.family(name, Kind::Counter, "What was refused for want of memory.");
    for what in Refused::ALL {
        let labels = [("refused", what.name())];
        writer.sample(name, &labels, memory.refusals(what) as f64);
    }
}
