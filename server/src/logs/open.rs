//! Opening the store of logs.

use std::sync::Arc;

use kymo_storage::logs::{FilterCompiler, LogRecovery, LogStore, LogStoreOptions};
use tracing::info;

use super::filter;
use crate::app::App;
use crate::clock;
use crate::work::maintenance;

/// Opens the store beside that of metrics, and says what was found.
///
/// # Errors
/// It cannot be opened.
pub(crate) async fn open(app: &App) -> anyhow::Result<Arc<LogStore>> {
    let storage = &app.flags.storage;
    let mut options = LogStoreOptions::new(storage.path.clone());
    options.wal_sync = storage.wal_sync.into();
    let limits = &app.config.current().logs.limits;
    options.behind_limit_ns = limits.max_behind_newest_ns;
    options.max_streams = limits.max_streams;
    options.filters = Some(FilterCompiler::new(filter::compile));
    // A small machine has small parts.
    let share = usize::try_from(app.memory.limit() / 16).unwrap_or(usize::MAX);
    options.flush_bytes = options.flush_bytes.min(share);
    let began = clock::monotonic();
    let opened = tokio::task::spawn_blocking(move || LogStore::open(&options));
    let (store, recovery) = opened.await??;
    let LogRecovery {
        streams,
        entries,
        segments,
        wal_bytes,
        parts,
        damages,
        ..
    } = &recovery;
    for damage in damages {
        maintenance::report(damage);
    }
    let took = began.elapsed();
    info!(
        streams,
        entries,
        segments,
        wal_bytes,
        parts,
        ?took,
        "store of logs is open"
    );
    Ok(Arc::new(store))
}
