//! What sending alerts counts: `prometheus_notifications_*`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::notifier::Notifier;
use crate::observe::exposition::{Kind, TextWriter};
use crate::observe::summary::{Histogram, Summary};

const LATENCY_BOUNDS: &[f64] = &[0.01, 0.1, 1.0, 10.0];

/// Counts of one Alertmanager, by its URL; queues of the same URL share them.
#[derive(Debug)]
pub(super) struct QueueMetrics {
    sent: AtomicU64,
    errors: AtomicU64,
    dropped: AtomicU64,
    latency: Summary,
    latencies: Mutex<Histogram>,
}

impl QueueMetrics {
    fn new() -> QueueMetrics {
        QueueMetrics {
            sent: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            latency: Summary::default(),
            latencies: Mutex::new(Histogram::new(LATENCY_BOUNDS)),
        }
    }

    /// Counts alerts that were taken.
    pub(super) fn sent(&self, count: usize, took: Duration) {
        self.sent.fetch_add(count as u64, Ordering::Relaxed);
        self.latency.observe(took);
        self.latencies.lock().observe(took.as_secs_f64());
    }

    /// Counts alerts that were refused or not answered, and so lost.
    pub(super) fn failed(&self, count: usize) {
        self.errors.fetch_add(count as u64, Ordering::Relaxed);
        self.dropped(count);
    }

    /// Counts alerts that were lost.
    pub(super) fn dropped(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// The counts of all Alertmanagers that there are; those of one that is gone go too.
#[derive(Debug, Default)]
pub(super) struct NotifyMetrics {
    by_url: Mutex<BTreeMap<String, Weak<QueueMetrics>>>,
}

impl NotifyMetrics {
    /// Returns the counts of an Alertmanager.
    pub(super) fn of(&self, url: &str) -> Arc<QueueMetrics> {
        let mut by_url = self.by_url.lock();
        by_url.retain(|_, metrics| metrics.strong_count() > 0);
        if let Some(metrics) = by_url.get(url).and_then(Weak::upgrade) {
            return metrics;
        }
        let metrics = Arc::new(QueueMetrics::new());
        by_url.insert(url.to_owned(), Arc::downgrade(&metrics));
        metrics
    }

    fn all(&self) -> Vec<(String, Arc<QueueMetrics>)> {
        let by_url = self.by_url.lock();
        let alive = by_url.iter();
        alive
            .filter_map(|(url, metrics)| Some((url.clone(), metrics.upgrade()?)))
            .collect()
    }
}

type Count = fn(&QueueMetrics) -> &AtomicU64;

/// Writes what sending alerts counted.
pub(crate) fn write(writer: &mut TextWriter, notifier: &Notifier) {
    writer.gauge(
        "prometheus_notifications_alertmanagers_discovered",
        "The number of alertmanagers discovered and active.",
        notifier.alertmanagers().active.len() as f64,
    );
    writer.gauge(
        "prometheus_notifications_queue_capacity",
        "The capacity of the alert notifications queue.",
        notifier.options.capacity as f64,
    );
    let all = notifier.metrics.all();
    #[rustfmt::skip]
    let counters: [(&str, &str, Count); 3] = [
        ("prometheus_notifications_sent_total", "Total number of alerts sent.", |m| &m.sent),
        ("prometheus_notifications_errors_total", "Total number of sent alerts affected by errors.", |m| &m.errors),
        ("prometheus_notifications_dropped_total", "Total number of alerts dropped due to errors when sending to Alertmanager.", |m| &m.dropped),
    ];
    for (name, help, count) in counters {
        writer.family(name, Kind::Counter, help);
        for (url, metrics) in &all {
            let value = count(metrics).load(Ordering::Relaxed);
            writer.sample(name, &[("alertmanager", url)], value as f64);
        }
    }
    let name = "prometheus_notifications_queue_length";
    let help = "The number of alert notifications in the queue.";
    writer.family(name, Kind::Gauge, help);
    for (url, length) in notifier.queue_lengths() {
        writer.sample(name, &[("alertmanager", &url)], length as f64);
    }
    let answered = all.iter().filter(|(_, m)| m.latencies.lock().count() > 0);
    let answered: Vec<_> = answered.collect();
    let name = "prometheus_notifications_latency_seconds";
    let help = "Latency quantiles for sending alert notifications.";
    writer.family(name, Kind::Summary, help);
    for (url, metrics) in &answered {
        metrics.latency.write(writer, name, ("alertmanager", url));
    }
    let name = "prometheus_notifications_latency_histogram_seconds";
    let help = "Latency histogram for sending alert notifications.";
    writer.family(name, Kind::Histogram, help);
    for (url, metrics) in &answered {
        let histogram = metrics.latencies.lock();
        histogram.write(writer, name, &[("alertmanager", url)]);
    }
}
