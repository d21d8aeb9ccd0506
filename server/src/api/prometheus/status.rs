//! What is running, with which settings, holding what.

use std::sync::Arc;

use axum::extract::State;
use kymo_storage::metrics::BlockInfo;

use kymo_storage::compat::time::Instant;
use serde::Serialize;

use super::bounds::atoi;
use crate::api::call::Call;
use crate::app::{App, hostname};
use crate::clock;
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::ApiError;
use crate::observe::build;

/// Entries of each list of `/status/tsdb` unless asked otherwise.
const TOP: i64 = 10;
/// Most entries that may be asked for.
const MAX_TOP: i64 = 10_000;

/// `/api/v1/status/buildinfo`
pub(crate) async fn buildinfo(_call: Call) -> ApiResult {
    Answer::value(&build::info())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeInfo {
    start_time: String,
    #[serde(rename = "CWD")]
    cwd: String,
    hostname: String,
    server_time: String,
    reload_config_success: bool,
    last_config_time: String,
    corruption_count: u64,
    /// Threads; there are no goroutines.
    goroutine_count: usize,
    #[serde(rename = "GOMAXPROCS")]
    gomaxprocs: usize,
    #[serde(rename = "GOMEMLIMIT")]
    gomemlimit: i64,
    #[serde(rename = "GOGC")]
    gogc: &'static str,
    #[serde(rename = "GODEBUG")]
    godebug: &'static str,
    storage_retention: String,
}

/// `/api/v1/status/runtimeinfo`
pub(crate) async fn runtimeinfo(call: Call) -> ApiResult {
    let stats = call.core()?.store.stats();
    let app = &call.app;
    let cwd = std::env::current_dir().unwrap_or_default();
    Answer::value(&RuntimeInfo {
        start_time: Instant::from_ms(app.started_ms).rfc3339_nano(),
        cwd: cwd.display().to_string(),
        hostname: hostname(),
        server_time: Instant::from_ms(clock::now_ms()).rfc3339_nano(),
        reload_config_success: app.metrics.reload.successful(),
        last_config_time: Instant::from_ms(app.metrics.reload.success_ms()).rfc3339_nano(),
        corruption_count: stats.wal.corruptions_total,
        goroutine_count: std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count),
        gomaxprocs: std::thread::available_parallelism().map_or(1, usize::from),
        gomemlimit: i64::MAX,
        gogc: "",
        godebug: "",
        storage_retention: app.retention().text(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TsdbStatus {
    head_stats: HeadStats,
    series_count_by_metric_name: Vec<Count>,
    label_value_count_by_label_name: Vec<Count>,
    memory_in_bytes_by_label_name: Vec<Count>,
    series_count_by_label_value_pair: Vec<Count>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadStats {
    num_series: u64,
    num_label_pairs: u64,
    chunk_count: u64,
    min_time: i64,
    max_time: i64,
}

#[derive(Serialize)]
struct Count {
    name: String,
    value: u64,
}

/// `/api/v1/status/tsdb`
pub(crate) async fn tsdb(call: Call) -> ApiResult {
    let top = match call.params.get("limit") {
        "" => TOP,
        text => atoi(text).unwrap_or(0),
    };
    if top < 1 {
        return Err(ApiError::bad_data("limit must be a positive number"));
    }
    if top > MAX_TOP {
        return Err(ApiError::bad_data(format!(
            "limit must not exceed {MAX_TOP}"
        )));
    }
    let store = std::sync::Arc::clone(&call.core()?.store);
    let top = usize::try_from(top).unwrap_or(usize::MAX);
    let found = call
        .lookup(move || Ok::<_, kymo_storage::StorageError>(store.cardinality(top)))
        .await?;
    let counts = |list: Vec<(String, u64)>| {
        list.into_iter()
            .map(|(name, value)| Count { name, value })
            .collect()
    };
    Answer::value(&TsdbStatus {
        head_stats: HeadStats {
            num_series: found.series,
            num_label_pairs: found.label_pairs,
            chunk_count: found.chunks,
            // An empty head has its bounds the wrong way round.
            min_time: found.min_time_ms.unwrap_or(i64::MAX),
            max_time: found.max_time_ms.unwrap_or(i64::MIN),
        },
        series_count_by_metric_name: counts(found.series_by_metric_name),
        label_value_count_by_label_name: counts(found.values_by_label_name),
        memory_in_bytes_by_label_name: counts(found.bytes_by_label_name),
        series_count_by_label_value_pair: counts(found.series_by_label_pair),
    })
}

#[derive(Serialize)]
struct Blocks {
    blocks: Vec<Block>,
}

/// A block as its `meta.json` has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    ulid: String,
    min_time: i64,
    max_time: i64,
    stats: BlockStats,
    compaction: BlockCompaction,
    version: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BlockStats {
    num_samples: u64,
    num_float_samples: u64,
    num_series: u64,
    num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    num_tombstones: u64,
}

#[derive(Serialize)]
struct BlockCompaction {
    level: u32,
    sources: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<BlockInfo> for Block {
    fn from(block: BlockInfo) -> Block {
        Block {
            ulid: block.ulid,
            min_time: block.min_t_ms,
            max_time: block.max_t_ms,
            stats: BlockStats {
                num_samples: block.samples,
                num_float_samples: block.samples,
                num_series: block.series,
                num_chunks: block.chunks,
                num_tombstones: block.tombstones,
            },
            compaction: BlockCompaction {
                level: block.level,
                sources: block.sources,
            },
            version: 1,
        }
    }
}

/// `/api/v1/status/tsdb/blocks`
pub(crate) async fn blocks(call: Call) -> ApiResult {
    let blocks = call.core()?.store.blocks();
    let blocks = blocks.into_iter().map(Block::from).collect();
    Answer::value(&Blocks { blocks })
}

#[derive(Serialize)]
struct WalReplay {
    min: u64,
    max: u64,
    current: u64,
}

/// `/api/v1/status/walreplay`, which is answered while the log is replayed too.
///
/// Shards have logs of their own, so what is counted are the segments of all.
pub(crate) async fn walreplay(State(app): State<Arc<App>>) -> ApiResult {
    Answer::value(&WalReplay {
        min: 0,
        max: app.opening.segments(),
        current: app.opening.segments_read(),
    })
}
