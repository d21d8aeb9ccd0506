//! What forwarding counts: `prometheus_remote_storage_*`, and what is Kymo's own.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use kymo_ingest::wire::encode::Counts;
use parking_lot::Mutex;

use super::forwarder::Forwarder;
use crate::observe::exposition::{Kind, TextWriter};
use crate::observe::summary::Histogram;

/// Bounds of the durations of requests, in seconds.
const DURATION_BOUNDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0,
];

/// Why something that was read is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// Older than `sample_age_limit`.
    TooOld,
    /// The rules of the section dropped its series.
    Series,
    /// Its series is not known, because the log is damaged.
    Unknown,
    /// Messages of 1.0 have no histograms with bounds of their own.
    CustomBounds,
    /// It waited for longer than it is kept, or took more room.
    Retention,
}

const ALL_DROPPED: [Dropped; 5] = [
    Dropped::TooOld,
    Dropped::Series,
    Dropped::Unknown,
    Dropped::CustomBounds,
    Dropped::Retention,
];

impl Dropped {
    fn reason(self) -> &'static str {
        match self {
            Dropped::TooOld => "too_old",
            Dropped::Series => "dropped_series",
            Dropped::Unknown => "unintentionally_dropped_series",
            Dropped::CustomBounds => "nhcb_in_rw1_not_supported",
            Dropped::Retention => "out_of_retention",
        }
    }
}

/// A count for each kind: samples, exemplars, native histograms.
#[derive(Debug, Default)]
pub(super) struct Kinds([AtomicU64; 3]);

impl Kinds {
    pub(super) fn add(&self, counts: &Counts) {
        for (total, &count) in self.0.iter().zip(counts) {
            if count > 0 {
                total.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn sub(&self, counts: &Counts) {
        for (total, &count) in self.0.iter().zip(counts) {
            total.fetch_sub(count, Ordering::Relaxed);
        }
    }

    pub(super) fn clear(&self) {
        self.0
            .iter()
            .for_each(|count| count.store(0, Ordering::Relaxed));
    }

    fn of(&self, kind: usize) -> u64 {
        self.0
            .get(kind)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// Counts of one queue; they outlive a change of its section.
#[derive(Debug)]
pub(super) struct QueueMetrics {
    pub(super) sent: Kinds,
    pub(super) failed: Kinds,
    pub(super) retried: Kinds,
    pub(super) pending: Kinds,
    dropped: [Kinds; ALL_DROPPED.len()],
    pub(super) metadata: AtomicU64,
    pub(super) metadata_failed: AtomicU64,
    pub(super) metadata_retried: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) metadata_bytes: AtomicU64,
    pub(super) enqueue_retries: AtomicU64,
    pub(super) shards: AtomicU64,
    /// Bits of a float.
    desired_shards: AtomicU64,
    highest_ms: AtomicI64,
    highest_sent_ms: AtomicI64,
    durations: Mutex<Histogram>,
    pub(super) backlog_bytes: AtomicU64,
    pub(super) segment: AtomicU64,
    /// Since the last look of the pace.
    read: AtomicU64,
    done: AtomicU64,
    not_sent: AtomicU64,
    sending_us: AtomicU64,
}

impl Default for QueueMetrics {
    fn default() -> QueueMetrics {
        QueueMetrics {
            sent: Kinds::default(),
            failed: Kinds::default(),
            retried: Kinds::default(),
            pending: Kinds::default(),
            dropped: Default::default(),
            metadata: AtomicU64::new(0),
            metadata_failed: AtomicU64::new(0),
            metadata_retried: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            metadata_bytes: AtomicU64::new(0),
            enqueue_retries: AtomicU64::new(0),
            shards: AtomicU64::new(0),
            desired_shards: AtomicU64::new(0),
            highest_ms: AtomicI64::new(0),
            highest_sent_ms: AtomicI64::new(0),
            durations: Mutex::new(Histogram::new(DURATION_BOUNDS)),
            backlog_bytes: AtomicU64::new(0),
            segment: AtomicU64::new(0),
            read: AtomicU64::new(0),
            done: AtomicU64::new(0),
            not_sent: AtomicU64::new(0),
            sending_us: AtomicU64::new(0),
        }
    }
}

impl QueueMetrics {
    /// Counts what was read from the log.
    pub(super) fn read(&self, n: usize) {
        self.read.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// Counts what is not sent.
    pub(super) fn dropped(&self, why: Dropped, kind: usize, n: u64) {
        if n == 0 {
            return;
        }
        let mut counts = Counts::default();
        if let Some(count) = counts.get_mut(kind) {
            *count = n;
        }
        self.dropped_all(why, &counts);
    }

    /// As [`QueueMetrics::dropped`], for all kinds.
    pub(super) fn dropped_all(&self, why: Dropped, counts: &Counts) {
        if let Some(kinds) = self.dropped.get(why as usize) {
            kinds.add(counts);
        }
        self.not_sent
            .fetch_add(counts.iter().sum(), Ordering::Relaxed);
    }

    /// Notes the newest time of what is to be sent.
    pub(super) fn queued_until(&self, newest_ms: i64) {
        self.highest_ms.fetch_max(newest_ms, Ordering::Relaxed);
    }

    /// Notes the newest time of what was sent.
    pub(super) fn sent_until(&self, newest_ms: i64) {
        self.highest_sent_ms.fetch_max(newest_ms, Ordering::Relaxed);
    }

    /// Counts an attempt.
    pub(super) fn took(&self, duration: Duration) {
        self.durations.lock().observe(duration.as_secs_f64());
    }

    /// Counts what was sent or given up, and the time that took.
    pub(super) fn finished(&self, n: u64, took: Duration) {
        self.done.fetch_add(n, Ordering::Relaxed);
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sending_us.fetch_add(took_us, Ordering::Relaxed);
    }

    pub(super) fn set_desired_shards(&self, desired: f64) {
        self.desired_shards
            .store(desired.to_bits(), Ordering::Relaxed);
    }

    /// Returns what happened since the last call.
    pub(super) fn take_happened(&self, newest_ms: i64) -> super::pace::Happened {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let sent_ms = self.highest_sent_ms.load(Ordering::Relaxed);
        super::pace::Happened {
            read: take(&self.read),
            sent: take(&self.done),
            dropped: take(&self.not_sent),
            sending: Duration::from_micros(take(&self.sending_us)),
            behind_s: newest_ms.saturating_sub(sent_ms).max(0) as f64 / 1000.0,
        }
    }
}

/// What a queue is called and configured to.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) metrics: std::sync::Arc<QueueMetrics>,
    pub(super) capacity: usize,
    pub(super) min_shards: usize,
    pub(super) max_shards: usize,
    pub(super) max_samples: usize,
}

type Value = fn(&Shown) -> f64;

/// Writes what forwarding counted. `newest_ms` is the newest time that was stored.
pub(crate) fn write(writer: &mut TextWriter, forwarder: &Forwarder, newest_ms: Option<i64>) {
    let queues = forwarder.shown();
    if queues.is_empty() {
        return;
    }
    writer.gauge(
        "prometheus_remote_storage_highest_timestamp_in_seconds",
        "Highest timestamp that has come into the remote storage via the Appender interface, in seconds since epoch. Initialized to 0 when no data has been received yet.",
        newest_ms.unwrap_or(0).div_euclid(1000) as f64,
    );
    write_kinds(writer, &queues);
    let simple = |writer: &mut TextWriter, kind, table: &[(&str, &str, Value)]| {
        for (name, help, value) in table {
            writer.family(name, kind, help);
            for queue in &queues {
                writer.sample(name, &labels(queue), value(queue));
            }
        }
    };
    simple(writer, Kind::Counter, COUNTERS);
    simple(writer, Kind::Gauge, GAUGES);
    let name = "prometheus_remote_storage_sent_batch_duration_seconds";
    let help = "Duration of send calls to the remote storage.";
    writer.family(name, Kind::Histogram, help);
    for queue in &queues {
        let durations = queue.metrics.durations.lock();
        durations.write(writer, name, &labels(queue));
    }
    let name = "prometheus_wal_watcher_current_segment";
    let help = "Current segment the WAL watcher is reading records from.";
    writer.family(name, Kind::Gauge, help);
    for queue in &queues {
        let segment = queue.metrics.segment.load(Ordering::Relaxed);
        writer.sample(name, &[("consumer", &queue.name)], segment as f64);
    }
}

fn labels(queue: &Shown) -> [(&str, &str); 2] {
    [("remote_name", &queue.name), ("url", &queue.url)]
}

fn load(count: &AtomicU64) -> f64 {
    count.load(Ordering::Relaxed) as f64
}

#[rustfmt::skip]
const COUNTERS: &[(&str, &str, Value)] = &[
    ("prometheus_remote_storage_metadata_total", "Total number of metadata entries sent to remote storage.", |q| load(&q.metrics.metadata)),
    ("prometheus_remote_storage_metadata_failed_total", "Total number of metadata entries which failed on send to remote storage, non-recoverable errors.", |q| load(&q.metrics.metadata_failed)),
    ("prometheus_remote_storage_metadata_retried_total", "Total number of metadata entries which failed on send to remote storage but were retried because the send error was recoverable.", |q| load(&q.metrics.metadata_retried)),
    ("prometheus_remote_storage_bytes_total", "The total number of bytes of data (not metadata) sent by the queue after compression. Note that when exemplars over remote write is enabled the exemplars included in a remote write request count towards this metric.", |q| load(&q.metrics.bytes)),
    ("prometheus_remote_storage_metadata_bytes_total", "The total number of bytes of metadata sent by the queue after compression.", |q| load(&q.metrics.metadata_bytes)),
    ("prometheus_remote_storage_enqueue_retries_total", "Total number of times enqueue has failed because a shards queue was full.", |q| load(&q.metrics.enqueue_retries)),
];

#[rustfmt::skip]
const GAUGES: &[(&str, &str, Value)] = &[
    ("prometheus_remote_storage_shards", "The number of shards used for parallel sending to the remote storage.", |q| load(&q.metrics.shards)),
    ("prometheus_remote_storage_shards_desired", "The number of shards that the queues shard calculation wants to run based on the rate of samples in vs. samples out.", |q| f64::from_bits(q.metrics.desired_shards.load(Ordering::Relaxed))),
    ("prometheus_remote_storage_shards_max", "The maximum number of shards that the queue is allowed to run.", |q| q.max_shards as f64),
    ("prometheus_remote_storage_shards_min", "The minimum number of shards that the queue is allowed to run.", |q| q.min_shards as f64),
    ("prometheus_remote_storage_shard_capacity", "The capacity of each shard of the queue used for parallel sending to the remote storage.", |q| q.capacity as f64),
    ("prometheus_remote_storage_max_samples_per_send", "The maximum number of samples to be sent, in a single request, to the remote storage. Note that, when sending of exemplars over remote write is enabled, exemplars count towards this limit.", |q| q.max_samples as f64),
    ("prometheus_remote_storage_queue_highest_timestamp_seconds", "Highest timestamp that was enqueued, in seconds since epoch. Initialized to 0 when no data has been received yet.", |q| seconds(&q.metrics.highest_ms)),
    ("prometheus_remote_storage_queue_highest_sent_timestamp_seconds", "Highest timestamp successfully sent by this queue, in seconds since epoch. Initialized to 0 when no data has been sent yet.", |q| seconds(&q.metrics.highest_sent_ms)),
    ("kymo_remote_storage_backlog_bytes", "Bytes of the log that are kept because this queue has not sent them.", |q| load(&q.metrics.backlog_bytes)),
];

fn seconds(ms: &AtomicI64) -> f64 {
    ms.load(Ordering::Relaxed).div_euclid(1000) as f64
}

/// Families that there are of each kind.
fn write_kinds(writer: &mut TextWriter, queues: &[Shown]) {
    type Of = fn(&QueueMetrics) -> &Kinds;
    let families: [(&str, Kind, &str, Of); 4] = [
        ("_total", Kind::Counter, "sent to remote storage.", |m| {
            &m.sent
        }),
        (
            "_failed_total",
            Kind::Counter,
            "which failed on send to remote storage, non-recoverable errors.",
            |m| &m.failed,
        ),
        (
            "_retried_total",
            Kind::Counter,
            "which failed on send to remote storage but were retried because the send error was recoverable.",
            |m| &m.retried,
        ),
        (
            "_pending",
            Kind::Gauge,
            "pending in the queues shards to be sent to the remote storage.",
            |m| &m.pending,
        ),
    ];
    for (kind, what) in ["samples", "exemplars", "histograms"]
        .into_iter()
        .enumerate()
    {
        for (suffix, family, help, of) in families {
            let name = format!("prometheus_remote_storage_{what}{suffix}");
            let begin = match family {
                Kind::Gauge => "The number of",
                _ => "Total number of",
            };
            writer.family(&name, family, &format!("{begin} {what} {help}"));
            for queue in queues {
                writer.sample(&name, &labels(queue), of(&queue.metrics).of(kind) as f64);
            }
        }
        let name = format!("prometheus_remote_storage_{what}_dropped_total");
        let help = format!(
            "Total number of {what} which were dropped after being read from the WAL before being sent via remote write, either via relabelling, due to being too old or unintentionally because of an unknown reference ID."
        );
        writer.family(&name, Kind::Counter, &help);
        for queue in queues {
            for why in ALL_DROPPED {
                let count = queue.metrics.dropped.get(why as usize);
                let count = count.map_or(0, |kinds| kinds.of(kind));
                let [name_label, url] = labels(queue);
                let labels = [name_label, url, ("reason", why.reason())];
                writer.sample(&name, &labels, count as f64);
            }
        }
    }
}
