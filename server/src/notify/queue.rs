//! One Alertmanager: the alerts that wait for it, and the task that posts them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use kymo_ingest::http::HttpClient;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{error, warn};

use super::alert::{OutgoingAlert, payload};
use super::metrics::QueueMetrics;
use super::notifier::NotifyOptions;
use crate::clock;

/// Bytes of an answer that are read, so that its connection can be used again.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// How long a queue that ends may take to be emptied. Prometheus takes as long as its
/// receivers let it; whoever stops a server gives it a minute at most.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// What a queue's task is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Post what comes.
    Running,
    /// Post what is there, then end.
    Draining,
    /// End, whatever is there.
    Dropping,
}

/// The queue of one Alertmanager.
#[derive(Debug)]
pub(super) struct Queue {
    url: String,
    options: NotifyOptions,
    alerts: Mutex<VecDeque<Arc<OutgoingAlert>>>,
    /// Counts additions, so that the task wakes.
    added: watch::Sender<u64>,
    phase: watch::Sender<Phase>,
    pub(super) metrics: Arc<QueueMetrics>,
}

/// How batches are posted.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) client: HttpClient,
    pub(super) timeout: Duration,
}

impl Queue {
    /// Makes an empty queue.
    pub(super) fn new(url: &str, options: NotifyOptions, metrics: Arc<QueueMetrics>) -> Queue {
        Queue {
            url: url.to_owned(),
            options,
            alerts: Mutex::default(),
            added: watch::Sender::new(0),
            phase: watch::Sender::new(Phase::Running),
            metrics,
        }
    }

    /// Adds alerts; the oldest are lost where there is no room for all.
    pub(super) fn add(&self, alerts: &[Arc<OutgoingAlert>]) {
        if *self.phase.borrow() != Phase::Running {
            return;
        }
        let capacity = self.options.capacity;
        let new = &alerts[alerts.len().saturating_sub(capacity)..];
        let mut queue = self.alerts.lock();
        let too_many = (queue.len() + new.len()).saturating_sub(capacity);
        queue.drain(..too_many);
        queue.extend(new.iter().cloned());
        drop(queue);
        let skipped = alerts.len() - new.len();
        if skipped > 0 {
            warn!(
                alertmanager = self.url,
                count = skipped,
                "alert batch larger than queue capacity, dropping alerts"
            );
        }
        if too_many > 0 {
            warn!(
                alertmanager = self.url,
                count = too_many,
                "alert notification queue full, dropping alerts"
            );
        }
        self.metrics.dropped(skipped + too_many);
        self.added.send_modify(|count| *count += 1);
    }

    /// Returns how many alerts wait.
    pub(super) fn len(&self) -> usize {
        self.alerts.lock().len()
    }

    /// Ends the queue: its task posts what is there if the options say so.
    pub(super) fn end(&self) {
        self.phase.send_replace(match self.options.drain {
            true => Phase::Draining,
            false => Phase::Dropping,
        });
    }

    /// Posts batches until the queue is ended. A batch on its way is finished, unless
    /// the queue is dropped.
    pub(super) async fn run(self: Arc<Queue>, post: Post) {
        let mut phase = self.phase.subscribe();
        let mut ended = self.phase.subscribe();
        let limit = async {
            // The sender lives in what this holds.
            let _phase = ended.wait_for(|phase| *phase != Phase::Running).await;
            match *self.phase.borrow() {
                Phase::Draining => DRAIN_LIMIT,
                _ => Duration::ZERO,
            }
        };
        let work = self.post_all(&post, &mut phase);
        tokio::pin!(work);
        tokio::select! {
            () = &mut work => {}
            limit = limit => {
                let _late = tokio::time::timeout(limit, work).await;
            }
        }
        let left = std::mem::take(&mut *self.alerts.lock()).len();
        if left > 0 {
            self.metrics.dropped(left);
            warn!(
                alertmanager = self.url,
                count = left,
                "alert notification queue not drained, dropping alerts"
            );
        }
    }

    async fn post_all(&self, post: &Post, phase: &mut watch::Receiver<Phase>) {
        let mut added = self.added.subscribe();
        loop {
            added.mark_unchanged();
            while let Some(batch) = self.next_batch() {
                self.post_batch(post, &batch).await;
            }
            if *phase.borrow_and_update() != Phase::Running {
                return;
            }
            tokio::select! {
                _added = added.changed() => {}
                _phase = phase.changed() => {}
            }
        }
    }

    fn next_batch(&self) -> Option<Vec<Arc<OutgoingAlert>>> {
        let mut queue = self.alerts.lock();
        let count = queue.len().min(self.options.batch_size);
        let batch: Vec<_> = queue.drain(..count).collect();
        (!batch.is_empty()).then_some(batch)
    }

    async fn post_batch(&self, post: &Post, batch: &[Arc<OutgoingAlert>]) {
        let began = clock::monotonic();
        let mut unsent = Unsent {
            count: batch.len(),
            metrics: &self.metrics,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Bytes::from(payload(batch));
        let sent = post
            .client
            .post(&self.url, &headers, body, post.timeout, MAX_ANSWER_BYTES);
        let error = match sent.await {
            Ok(answer) if answer.status / 100 == 2 => None,
            Ok(answer) => Some(format!("bad response status {}", answer.status_text)),
            Err(error) => Some(error.to_string()),
        };
        unsent.count = 0;
        match error {
            None => self.metrics.sent(batch.len(), began.elapsed()),
            Some(error) => {
                let count = batch.len();
                self.metrics.failed(count);
                error!(
                    alertmanager = self.url,
                    count, error, "error sending alerts"
                );
            }
        }
    }
}

/// A batch on its way, which is lost if it is given up.
struct Unsent<'a> {
    count: usize,
    metrics: &'a QueueMetrics,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        self.metrics.dropped(self.count);
    }
}

/// Queues by the URL that they post to.
pub(super) type Queues = BTreeMap<String, Arc<Queue>>;
