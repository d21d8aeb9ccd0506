//! Calls for administrators. They are off unless `--web.enable-admin-api` is given.
//!
//! They wait for a compaction that runs, and then for the disk, so they run on threads
//! that may block.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use kymo_query::promql::parse_selector;
use kymo_storage::StorageError;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::Matcher;
use serde::Serialize;
use tracing::{info, warn};

use super::bounds::{parse_bool, time_range};
use crate::api::call::Call;
use crate::app::App;
use crate::clock;
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::{ApiError, ErrorKind, with_causes};

/// Where snapshots lie in the data directory.
const SNAPSHOTS_DIR: &str = "snapshots";

/// `/api/v1/admin/tsdb/delete_series`
pub(crate) async fn delete_series(call: Call) -> ApiResult {
    enabled(&call)?;
    if let Some(defect) = call.params.defect() {
        return Err(ApiError::bad_data(format!(
            "error parsing form values: {defect}"
        )));
    }
    if call.params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let range = time_range(&call.params)?;
    let features = call.app.flags.promql_features();
    let sets: Vec<Vec<Matcher>> = call
        .params
        .all("match[]")
        .map(|text| parse_selector(text, &features))
        .collect::<Result<_, _>>()
        .map_err(|error| ApiError::parameter("match[]", error))?;
    blocking(&call, move |_, store| store.delete_series(&sets, range)).await?;
    Ok(Answer::nothing())
}

/// `/api/v1/admin/tsdb/clean_tombstones`
pub(crate) async fn clean_tombstones(call: Call) -> ApiResult {
    enabled(&call)?;
    blocking(&call, |app, store| {
        let began = clock::monotonic();
        let cleaned = store.clean_tombstones(&mut || until_stopped(app));
        app.metrics.store.tombstones_cleaned(began.elapsed());
        cleaned
    })
    .await?;
    Ok(Answer::nothing())
}

#[derive(Serialize)]
struct Snapshot {
    name: String,
}

/// `/api/v1/admin/tsdb/snapshot`: a copy of the store beside it.
pub(crate) async fn snapshot(call: Call) -> ApiResult {
    enabled(&call)?;
    let skip_head = match call.params.get("skip_head") {
        "" => false,
        text => parse_bool(text).map_err(|error| {
            ApiError::parameter(
                "skip_head",
                format_args!("unable to parse boolean: {error}"),
            )
        })?,
    };
    let name = snapshot_name();
    let dir = call.app.flags.storage.path.join(SNAPSHOTS_DIR).join(&name);
    blocking(&call, move |app, store| copy(app, store, &dir, !skip_head)).await?;
    Answer::value(&Snapshot { name })
}

fn copy(app: &App, store: &MetricStore, dir: &Path, with_head: bool) -> Result<(), StorageError> {
    let copied = store.backup(dir, with_head, &mut || until_stopped(app));
    match &copied {
        Ok(()) => info!(dir = %dir.display(), "snapshot taken"),
        // Half a copy looks like a whole one.
        Err(_) => {
            if let Err(error) = std::fs::remove_dir_all(dir) {
                warn!(dir = %dir.display(), %error, "remove this directory, it is half a snapshot");
            }
        }
    }
    copied
}

/// Returns a name as Prometheus gives one: the time, and a number by chance.
fn snapshot_name() -> String {
    let chance = RandomState::new().build_hasher().finish() >> 1;
    format!("{}-{chance:016x}", clock::now().strftime("%Y%m%dT%H%M%SZ"))
}

/// Paces what somebody waits for: it does not sleep, and ends with the server.
fn until_stopped(app: &App) -> ControlFlow<()> {
    match app.core() {
        Ok(_) => ControlFlow::Continue(()),
        Err(_stopping) => ControlFlow::Break(()),
    }
}

fn enabled(call: &Call) -> Result<(), ApiError> {
    match call.app.flags.web.enable_admin_api {
        true => Ok(()),
        false => Err(ApiError::new(ErrorKind::Unavailable, "admin APIs disabled")),
    }
}

/// Runs something long on the store.
async fn blocking(
    call: &Call,
    job: impl FnOnce(&App, &MetricStore) -> Result<(), StorageError> + Send + 'static,
) -> Result<(), ApiError> {
    let app = Arc::clone(&call.app);
    let store = Arc::clone(&call.core()?.store);
    match tokio::task::spawn_blocking(move || job(&app, &store)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(ApiError::internal(with_causes(&error))),
        Err(panic) => Err(ApiError::internal(format!("the call failed: {panic}"))),
    }
}
