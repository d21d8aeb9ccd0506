//! Metrics of Loki's calls, of queries of logs and of those who follow logs; under Loki's
//! names where it has them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use parking_lot::Mutex;

use super::exposition::{Kind, TextWriter};
use super::summary::{Histogram, Summary};
use crate::api::Tails;

const DURATION_BOUNDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0,
];
/// What the paths of Loki's calls begin with.
const PREFIXES: [&str; 4] = ["/loki/", "/api/prom/", "/otlp/v1/logs", "/config/tenant/"];

/// Queries of logs, and calls by route.
#[derive(Debug, Default)]
pub(crate) struct LogQueryMetrics {
    bytes: AtomicU64,
    entries: AtomicU64,
    queue: Summary,
    run: Summary,
    routes: Mutex<BTreeMap<Route, Histogram>>,
}

/// Method, name of the route, status.
type Route = (String, String, u16);

impl LogQueryMetrics {
    /// Counts a query that was evaluated, whatever came of it.
    pub(crate) fn observe(&self, queued: Duration, ran: Duration, bytes: u64, entries: u64) {
        self.queue.observe(queued);
        self.run.observe(ran);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.entries.fetch_add(entries, Ordering::Relaxed);
    }

    /// Counts an answer, where the route is one of Loki's.
    pub(crate) fn answered(&self, method: &Method, path: &str, status: StatusCode, took: Duration) {
        if !PREFIXES.iter().any(|prefix| path.starts_with(prefix)) {
            return;
        }
        let name = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let route: String = path.chars().filter(|c| !matches!(c, '{' | '}')).collect();
        let route: String = route.trim_matches('/').chars().map(name).collect();
        let key = (method.as_str().to_owned(), route, status.as_u16());
        // Routes, their methods and their statuses are few.
        let mut routes = self.routes.lock();
        let histogram = routes
            .entry(key)
            .or_insert_with(|| Histogram::new(DURATION_BOUNDS));
        histogram.observe(took.as_secs_f64());
    }

    pub(super) fn write(&self, writer: &mut TextWriter, tails: &Tails) {
        let name = "loki_request_duration_seconds";
        let help = "Time (in seconds) spent serving HTTP requests.";
        writer.family(name, Kind::Histogram, help);
        for ((method, route, status), histogram) in self.routes.lock().iter() {
            let status_code = status.to_string();
            let ws = if route.ends_with("_tail") {
                "true"
            } else {
                "false"
            };
            let labels = [
                ("method", method.as_str()),
                ("route", route),
                ("status_code", &status_code),
                ("ws", ws),
            ];
            histogram.write(writer, name, &labels);
        }
        let name = "kymo_log_query_duration_seconds";
        writer.family(name, Kind::Summary, "Timings of queries of logs.");
        self.run.write(writer, name, ("slice", "run"));
        self.queue.write(writer, name, ("slice", "queue_time"));
        for (name, help, value) in [
            (
                "kymo_log_query_bytes_total",
                "Bytes of lines and structured metadata that queries of logs looked at.",
                self.bytes.load(Ordering::Relaxed),
            ),
            (
                "kymo_log_query_entries_total",
                "Entries that queries of logs looked at.",
                self.entries.load(Ordering::Relaxed),
            ),
            (
                "loki_querier_tail_bytes_total",
                "total bytes tailed",
                tails.sent_bytes(),
            ),
            (
                "kymo_log_tail_dropped_entries_total",
                "Entries that were not sent to clients that follow logs because they were too slow.",
                tails.dropped(),
            ),
        ] {
            writer.counter(name, help, value);
        }
        writer.gauge(
            "loki_querier_tail_active",
            "Number of active tailers",
            tails.active() as f64,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::exposition::Format;
    use super::*;

    #[test]
    fn calls_are_counted_under_the_names_of_their_routes() {
        let metrics = LogQueryMetrics::default();
        let took = Duration::from_millis(7);
        for path in [
            "/loki/api/v1/label/{name}/values",
            "/loki/api/v1/tail",
            "/api/v1/query",
        ] {
            metrics.answered(&Method::GET, path, StatusCode::OK, took);
        }
        metrics.observe(took, took, 100, 3);
        let mut writer = TextWriter::new(Format::Text);
        metrics.write(&mut writer, &Tails::default());
        let text = writer.finish();
        for line in [
            "loki_request_duration_seconds_count{method=\"GET\",\
             route=\"loki_api_v1_label_name_values\",status_code=\"200\",ws=\"false\"} 1\n",
            "loki_request_duration_seconds_bucket{method=\"GET\",route=\"loki_api_v1_tail\",\
             status_code=\"200\",ws=\"true\",le=\"0.01\"} 1\n",
            "kymo_log_query_bytes_total 100\n",
            "kymo_log_query_entries_total 3\n",
            "loki_querier_tail_active 0\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(!text.contains("route=\"api_v1_query\""), "{text}");
    }
}
