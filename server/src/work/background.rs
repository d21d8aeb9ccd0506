//! What happens by the clock beside requests: the log is forced to disk, and the memory
//! of the store is measured.

use std::sync::Arc;
use std::time::Duration;

use kymo_storage::StorageError;
use kymo_storage::logs::LogStore;
use kymo_storage::metrics::MetricStore;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::error;

use crate::work::memory::Memory;

/// Pause between two syncs of the log with `--storage.wal.sync=interval`: what a
/// power loss may take.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Pause between two looks at the memory of the store.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The stores of a server.
#[derive(Debug, Clone)]
pub(crate) struct Stores {
    pub(crate) metrics: Arc<MetricStore>,
    pub(crate) logs: Arc<LogStore>,
}

impl Stores {
    /// Returns the memory that they hold, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.metrics.memory_bytes() + self.logs.memory_bytes()
    }

    /// Forces what was written to the disk, of each store whatever becomes of the other.
    fn sync(&self) -> Result<(), StorageError> {
        let of_metrics = self.metrics.sync();
        self.logs.sync()?;
        of_metrics
    }
}

/// Measures the memory of the stores until `stop` becomes true.
pub(crate) async fn measure(memory: Arc<Memory>, stores: Stores, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(MEASURE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => memory.measured(stores.memory_bytes()),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Syncs the logs of the stores until `stop` becomes true.
pub(crate) async fn sync(stores: Stores, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(SYNC_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // One complaint per failure that lasts, not one per second.
    let mut failing = false;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let stores = stores.clone();
        match tokio::task::spawn_blocking(move || stores.sync()).await {
            Ok(Ok(())) => failing = false,
            Ok(Err(error)) if !failing => {
                failing = true;
                let error: &dyn std::error::Error = &error;
                error!(error, "the log could not be forced to the disk");
            }
            Ok(Err(_)) => {}
            Err(panic) => error!(%panic, "forcing the log to the disk panicked"),
        }
    }
}
