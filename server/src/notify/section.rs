//! The Alertmanagers of one entry of `alertmanagers`.

use std::sync::Arc;

use kymo_ingest::discovery::Group;
use kymo_ingest::http::{ClientError, HttpClient};
use kymo_storage::model::Labels;
use parking_lot::Mutex;
use tracing::error;

use super::address;
use super::alert::{OutgoingAlert, relabelled};
use super::metrics::NotifyMetrics;
use super::notifier::{NotifyOptions, Tasks};
use super::queue::{Post, Queue, Queues};
use crate::config::Alertmanager;

/// An entry with its Alertmanagers.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) config: Alertmanager,
    post: Post,
    options: NotifyOptions,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    found: Vec<Arc<Group>>,
    active: Vec<String>,
    dropped: Vec<String>,
    queues: Queues,
}

impl Section {
    /// Makes a section without Alertmanagers.
    ///
    /// # Errors
    /// The options of its HTTP client cannot be used.
    pub(super) fn new(
        config: Alertmanager,
        options: NotifyOptions,
    ) -> Result<Section, ClientError> {
        let post = Post {
            client: HttpClient::new(&config.client)?,
            timeout: config.timeout,
        };
        Ok(Section {
            config,
            post,
            options,
            state: Mutex::default(),
        })
    }

    /// Takes what discovery found; queues of Alertmanagers that stay go on. Must be
    /// called inside a tokio runtime.
    pub(super) fn sync(&self, found: Vec<Arc<Group>>, metrics: &NotifyMetrics, tasks: &Tasks) {
        let addresses = address::resolve(&self.config, &found);
        for reason in &addresses.failures {
            error!(error = reason, "creating discovered Alertmanagers failed");
        }
        let mut state = self.state.lock();
        let mut old = std::mem::take(&mut state.queues);
        for url in &addresses.active {
            let queue = old.remove(url).unwrap_or_else(|| {
                let metrics = metrics.of(url);
                let queue = Arc::new(Queue::new(url, self.options, metrics));
                tasks.spawn(Arc::clone(&queue).run(self.post.clone()));
                queue
            });
            state.queues.insert(url.clone(), queue);
        }
        for queue in old.values() {
            queue.end();
        }
        state.found = found;
        state.active = addresses.active;
        state.dropped = addresses.dropped;
    }

    /// Does the same with what was found last.
    pub(super) fn sync_again(&self, metrics: &NotifyMetrics, tasks: &Tasks) {
        let found = self.state.lock().found.clone();
        self.sync(found, metrics, tasks);
    }

    /// Puts alerts into all queues.
    pub(super) fn send(&self, alerts: &[Arc<OutgoingAlert>]) {
        let rules = &self.config.alert_relabel;
        let alerts = relabelled(alerts.to_vec(), &Labels::empty(), rules);
        if alerts.is_empty() {
            return;
        }
        for queue in self.state.lock().queues.values() {
            queue.add(&alerts);
        }
    }

    /// Ends all queues.
    pub(super) fn end(&self) {
        for queue in self.state.lock().queues.values() {
            queue.end();
        }
    }

    /// Adds the URLs of the Alertmanagers, and of those that relabelling dropped.
    pub(super) fn list(&self, active: &mut Vec<String>, dropped: &mut Vec<String>) {
        let state = self.state.lock();
        active.extend_from_slice(&state.active);
        dropped.extend_from_slice(&state.dropped);
    }

    /// Calls `each` with the URL of each queue and how many alerts wait in it.
    pub(super) fn queue_lengths(&self, mut each: impl FnMut(&str, usize)) {
        for (url, queue) in &self.state.lock().queues {
            each(url, queue.len());
        }
    }
}
