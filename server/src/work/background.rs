//! What the store needs done from time to time: forcing the log to disk, and
//! forgetting what is older than the retention.

use std::sync::Arc;
use std::time::Duration;

use kymo_storage::metrics::MetricStore;
use kymo_storage::{StorageError, SyncPolicy};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::error;

use crate::app::App;
use crate::work::memory::Memory;

/// Pause between two syncs of the log with `--storage.wal.sync=interval`: what a
/// power loss may take.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Pause between two looks at what is too old.
const TRUNCATE_EVERY: Duration = Duration::from_secs(60);

/// Pause between two looks at the memory of the store.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// Measures the memory of the store until `stop` becomes true.
pub(crate) async fn measure(
    memory: Arc<Memory>,
    store: Arc<MetricStore>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tick = tokio::time::interval(MEASURE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => memory.measured(store.memory_bytes()),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Syncs and truncates until `stop` becomes true.
pub(crate) async fn maintain(
    app: Arc<App>,
    store: Arc<MetricStore>,
    mut stop: watch::Receiver<bool>,
) {
    let policy = SyncPolicy::from(app.flags.wal_sync);
    let mut sync = tokio::time::interval(SYNC_EVERY);
    let mut truncate = tokio::time::interval(TRUNCATE_EVERY);
    sync.set_missed_tick_behavior(MissedTickBehavior::Delay);
    truncate.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // One complaint per failure that lasts, not one per second.
    let mut failing = false;
    loop {
        let job = tokio::select! {
            _ = sync.tick(), if policy == SyncPolicy::Interval => Job::Sync,
            _ = truncate.tick() => Job::Truncate,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let store = Arc::clone(&store);
        let retention = app.retention().time;
        let result = tokio::task::spawn_blocking(move || match job {
            Job::Sync => store.sync(),
            Job::Truncate => truncate_old(&store, retention),
        })
        .await;
        match result {
            Ok(Ok(())) => failing = false,
            Ok(Err(error)) if !failing => {
                failing = true;
                error!(
                    error = &error as &dyn std::error::Error,
                    ?job,
                    "storage maintenance failed"
                );
            }
            Ok(Err(_)) => {}
            Err(panic) => error!(%panic, ?job, "storage maintenance panicked"),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Job {
    Sync,
    Truncate,
}

/// Retention counts back from the newest sample, so that a store which receives
/// nothing for a while does not empty itself.
fn truncate_old(store: &MetricStore, retention: Duration) -> Result<(), StorageError> {
    if retention.is_zero() {
        return Ok(());
    }
    let Some(newest_ms) = store.stats().max_time_ms else {
        return Ok(());
    };
    let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    store.truncate_before(newest_ms.saturating_sub(retention_ms))
}
