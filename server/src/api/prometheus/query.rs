//! Evaluating queries: `/query` and `/query_range`.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use kymo_query::{Cancel, QueryError, QueryOptions, QueryResult, Value};
use kymo_storage::compat::{duration, time};
use serde::Serialize;

use super::bounds::{TRUNCATED, cut, limit, time_or};
use super::result;
use crate::api::call::Call;
use crate::app::Core;
use crate::clock;
use crate::http::error::{ApiError, ErrorKind};
use crate::http::params::Params;
use crate::work::queries::{Done, Stopped};

/// Most steps of a range query for each series.
const MAX_STEPS: i128 = 11_000;
const NS_PER_MS: i64 = 1_000_000;

/// `/api/v1/query`: a query at one time.
pub(crate) async fn instant(call: Call) -> Result<Response, ApiError> {
    let params = &call.params;
    let limit = limit(params)?;
    let t_ms = time_or(params, "time", clock::now_ms())?;
    let timeout = timeout(&call)?;
    let options = options(params)?;
    let query = params.get("query").to_owned();
    let job = move |core: &Core, cancel: &Cancel| {
        let engine = &core.engine;
        engine.instant(&*core.store, &query, t_ms, &options, cancel)
    };
    run(&call, timeout, limit, job).await
}

/// `/api/v1/query_range`: a query at many times.
pub(crate) async fn range(call: Call) -> Result<Response, ApiError> {
    let params = &call.params;
    let limit = limit(params)?;
    let start = required_time(params, "start")?;
    let end = required_time(params, "end")?;
    let span_ns = nanoseconds(end) - nanoseconds(start);
    if span_ns < 0 {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step_ns = duration::parse_api(params.get("step"))
        .map_err(|error| ApiError::parameter("step", error))?;
    if step_ns <= 0 {
        return Err(ApiError::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. \
             Try a positive integer",
        ));
    }
    // Go's durations end at 64 bits, and a longer span counts as the longest.
    if span_ns.min(i128::from(i64::MAX)) / i128::from(step_ns) > MAX_STEPS {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. \
             Try decreasing the query resolution (?step=XX)",
        ));
    }
    let timeout = timeout(&call)?;
    let options = options(params)?;
    let query = params.get("query").to_owned();
    let (start_ms, end_ms) = (start.ms(), end.ms());
    let step_ms = (step_ns / NS_PER_MS).max(1);
    let job = move |core: &Core, cancel: &Cancel| {
        let (engine, store) = (&core.engine, &*core.store);
        engine.range(store, &query, start_ms, end_ms, step_ms, &options, cancel)
    };
    run(&call, timeout, limit, job).await
}

/// Evaluates a query on the pool and answers with its result.
async fn run(
    call: &Call,
    timeout: Duration,
    limit: usize,
    job: impl FnOnce(&Core, &Cancel) -> Result<QueryResult, QueryError> + Send + 'static,
) -> Result<Response, ApiError> {
    let app = Arc::clone(&call.app);
    let core = call.core()?.clone();
    let done = app
        .queries
        .query(timeout, move |cancel| job(&core, cancel))
        .await
        .map_err(stopped)?;
    let samples = match &done.result {
        Ok(result) => result.stats.total_samples,
        Err(_) => 0,
    };
    app.metrics.queries.observe(done.queued, done.ran, samples);
    let stats = stats(call.params.get("stats"), &done);
    let mut result = done.result.map_err(api_error)?;
    let mut notes = Vec::new();
    if truncate(&mut result.value, limit) {
        notes.push(TRUNCATED.to_owned());
    }
    notes.extend(deprecated_stats(call.params.get("stats")));
    Ok(result::respond(result, stats, notes))
}

fn truncate(value: &mut Value, limit: usize) -> bool {
    match value {
        Value::Vector(samples) => cut(samples, limit),
        Value::Matrix(series) => cut(series, limit),
        _ => false,
    }
}

fn required_time(params: &Params, name: &str) -> Result<time::Instant, ApiError> {
    time::parse_api(params.get(name)).map_err(|error| ApiError::parameter(name, error))
}

fn nanoseconds(instant: time::Instant) -> i128 {
    i128::from(instant.unix_s) * 1_000_000_000 + i128::from(instant.nanos)
}

/// Reads `timeout`, which can only lower the server's own.
fn timeout(call: &Call) -> Result<Duration, ApiError> {
    let longest = call.app.flags.query_timeout;
    let asked = match call.params.get("timeout") {
        "" => return Ok(longest),
        text => duration::parse_api(text).map_err(|error| ApiError::parameter("timeout", error))?,
    };
    if asked <= 0 {
        return Err(ApiError::parameter("query", "context deadline exceeded"));
    }
    Ok(longest.min(Duration::from_nanos(asked.unsigned_abs())))
}

fn options(params: &Params) -> Result<QueryOptions, ApiError> {
    let lookback_ns = match params.get("lookback_delta") {
        "" => 0,
        text => duration::parse_api(text).map_err(|error| {
            ApiError::bad_data(format!("error parsing lookback delta duration: {error}"))
        })?,
    };
    Ok(QueryOptions {
        lookback_delta_ms: lookback_ns / NS_PER_MS,
    })
}

/// Maps what a query can end in to what the API calls it.
pub(super) fn api_error(error: QueryError) -> ApiError {
    let kind = match &error {
        QueryError::Parse(_) | QueryError::Invalid(_) => {
            return ApiError::parameter("query", error);
        }
        QueryError::Timeout(_) => ErrorKind::Timeout,
        QueryError::Canceled(_) => ErrorKind::Canceled,
        QueryError::Storage(_) => ErrorKind::Internal,
        QueryError::NoMemory => {
            return ApiError::new(ErrorKind::Unavailable, format!("{error} (--memory.limit)"))
                .with_status(StatusCode::SERVICE_UNAVAILABLE);
        }
        QueryError::TooMuchMemory { .. } => {
            let text = format!("{error}, or raise --memory.limit");
            return ApiError::new(ErrorKind::Execution, text);
        }
        _ => ErrorKind::Execution,
    };
    ApiError::new(kind, error.to_string())
}

fn stopped(stopped: Stopped) -> ApiError {
    let kind = match stopped {
        Stopped::QueueTimeout => ErrorKind::Timeout,
        Stopped::ShuttingDown => ErrorKind::Canceled,
        Stopped::Panicked => ErrorKind::Internal,
    };
    ApiError::new(kind, stopped.to_string())
}

#[derive(Serialize)]
struct Stats {
    timings: Timings,
    samples: Samples,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    eval_total_time: f64,
    result_sort_time: f64,
    query_preparation_time: f64,
    inner_eval_time: f64,
    exec_queue_time: f64,
    exec_total_time: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples {
    total_queryable_samples: u64,
    samples_read: u64,
    peak_samples: u64,
}

fn stats(asked: &str, done: &Done<Result<QueryResult, QueryError>>) -> Option<Vec<u8>> {
    let Ok(result) = &done.result else {
        return None;
    };
    if asked.is_empty() {
        return None;
    }
    let (ran, queued) = (done.ran.as_secs_f64(), done.queued.as_secs_f64());
    let stats = Stats {
        timings: Timings {
            eval_total_time: ran,
            // Reading, evaluating and sorting are one pass here.
            result_sort_time: 0.0,
            query_preparation_time: 0.0,
            inner_eval_time: ran,
            exec_queue_time: queued,
            exec_total_time: queued + ran,
        },
        samples: Samples {
            total_queryable_samples: result.stats.total_samples,
            samples_read: result.stats.samples_read,
            peak_samples: result.stats.peak_samples,
        },
    };
    serde_json::to_vec(&stats).ok()
}

/// Any text but `true` and `all` asks for statistics too, for the time being.
fn deprecated_stats(asked: &str) -> Option<String> {
    if matches!(asked, "" | "true" | "all") {
        return None;
    }
    let quoted = kymo_storage::compat::quote::quote(asked);
    Some(format!(
        "value {quoted} for parameter \"stats\" is deprecated and will be rejected \
         in the next major release, use \"true\" or \"all\""
    ))
}
