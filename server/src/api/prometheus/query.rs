//! Evaluating queries: `/query` and `/query_range`.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use kymo_query::rules::Language;
use kymo_query::{Cancel, QueryError, QueryOptions, QueryResult, QueryStats, RangeQuery, Value};
use kymo_storage::compat::{duration, time};

use super::bounds::{TRUNCATED, cut, limit, parse_bool, time_or};
use super::result;
use crate::api::call::Call;
use crate::app::{App, Core};
use crate::clock;
use crate::http::error::{ApiError, ErrorKind};
use crate::http::params::Params;
use crate::work::queries::Stopped;
use crate::work::query_log::{Logged, Origin};
use crate::work::query_stats::{self, Ran};

/// Most steps of a range query for each series.
const MAX_STEPS: i128 = 11_000;
const NS_PER_MS: i64 = 1_000_000;

/// `/api/v1/query`: a query at one time.
pub(crate) async fn instant(call: Call) -> Result<Response, ApiError> {
    let params = &call.params;
    let limit = limit(params)?;
    let t_ms = time_or(params, "time", clock::now_ms())?;
    let timeout = timeout(&call)?;
    let options = options(&call)?;
    let asked = Asked {
        query: params.get("query").to_owned(),
        start_ms: t_ms,
        end_ms: t_ms,
        step_ms: 0,
        timeout,
        limit,
    };
    let query = asked.query.clone();
    let job = move |core: &Core, cancel: &Cancel| {
        let run = || {
            let (engine, store) = (&core.engine, &*core.store);
            engine.instant(store, &query, t_ms, &options, cancel)
        };
        match run() {
            // What is kept is there to save work, not to be in its way.
            Err(QueryError::NoMemory) if core.cache.give_way() => run(),
            answer => answer,
        }
    };
    run(&call, asked, job).await
}

/// `/api/v1/query_range`: a query at many times.
pub(crate) async fn range(call: Call) -> Result<Response, ApiError> {
    let params = &call.params;
    let limit = limit(params)?;
    let Times {
        start_ms,
        end_ms,
        step_ms,
    } = times(params)?;
    let timeout = timeout(&call)?;
    let options = options(&call)?;
    let asked = Asked {
        query: params.get("query").to_owned(),
        start_ms,
        end_ms,
        step_ms,
        timeout,
        limit,
    };
    // Costs are those of the whole query only where all of it is evaluated.
    let wants_all =
        !params.get("stats").is_empty() || parse_bool(params.get("nocache")) == Ok(true);
    let query = asked.query.clone();
    let job = move |core: &Core, cancel: &Cancel| {
        let (engine, store) = (&core.engine, &*core.store);
        if wants_all {
            return engine.range(store, &query, start_ms, end_ms, step_ms, &options, cancel);
        }
        let range = RangeQuery {
            query: &query,
            start_ms,
            end_ms,
            step_ms,
        };
        let now_ms = clock::now_ms();
        let cache = &core.cache;
        cache.range(engine, store, &range, &options, now_ms, cancel)
    };
    run(&call, asked, job).await
}

/// The times of a range query.
pub(super) struct Times {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    pub(super) step_ms: i64,
}

/// Reads the times of a range query and checks them in Prometheus' order.
pub(super) fn times(params: &Params) -> Result<Times, ApiError> {
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
    Ok(Times {
        start_ms: start.ms(),
        end_ms: end.ms(),
        step_ms: (step_ns / NS_PER_MS).max(1),
    })
}

/// A query with its parameters checked.
struct Asked {
    query: String,
    start_ms: i64,
    end_ms: i64,
    /// 0 for an instant query.
    step_ms: i64,
    timeout: Duration,
    limit: usize,
}

/// Evaluates a query on the pool and answers with its result.
async fn run(
    call: &Call,
    asked: Asked,
    job: impl FnOnce(&Core, &Cancel) -> Result<QueryResult, QueryError> + Send + 'static,
) -> Result<Response, ApiError> {
    let app = Arc::clone(&call.app);
    let core = call.core()?.clone();
    let Asked { timeout, limit, .. } = asked;
    let log = Log {
        app: Arc::clone(&app),
        asked: Arc::new(asked),
        origin: call.origin.clone(),
    };
    let running = Arc::clone(&log.asked);
    let job = move |cancel: &Cancel| {
        let _entered = core.active_queries.enter(&running.query, clock::now_ms());
        job(&core, cancel)
    };
    let of_done = log.clone();
    let then = move |done: &Ran| of_done.done(done);
    let done = match app.queries.query(timeout, job, then).await {
        Ok(done) => done,
        Err(reason) => {
            log.stopped(reason).await;
            return Err(stopped(reason));
        }
    };
    let samples = match &done.result {
        Ok(result) => result.stats,
        Err(_) => QueryStats::default(),
    };
    app.metrics.queries.observe(done.queued, done.ran, samples);
    let asked_stats = call.params.get("stats");
    let stats = (!asked_stats.is_empty()).then(|| query_stats::json(&done));
    let mut result = done.result.map_err(api_error)?;
    let mut notes = Vec::new();
    if truncate(&mut result.value, limit) {
        notes.push(TRUNCATED.to_owned());
    }
    notes.extend(query_stats::deprecated(asked_stats));
    Ok(result::respond(result, stats, notes))
}

/// Writes a query to the query log, if there is one.
#[derive(Clone)]
struct Log {
    app: Arc<App>,
    asked: Arc<Asked>,
    origin: Origin,
}

impl Log {
    /// Logs a query that ran. One that could not even be parsed did not.
    fn done(&self, done: &Ran) {
        let error = match &done.result {
            Ok(_) => None,
            Err(QueryError::Parse(_) | QueryError::Invalid(_)) => return,
            Err(error) => Some(error.to_string()),
        };
        if self.app.query_log.is_on() {
            self.write(error, query_stats::json(done));
        }
    }

    /// Logs a query that had no turn.
    async fn stopped(self, reason: Stopped) {
        if !self.app.query_log.is_on() {
            return;
        }
        let write = move || self.write(Some(reason.to_string()), query_stats::nothing());
        // The line is written by then, or counted as lost.
        let _written = tokio::task::spawn_blocking(write).await;
    }

    fn write(&self, error: Option<String>, stats: Vec<u8>) {
        let entry = Logged {
            language: Language::PromQl,
            query: self.asked.query.clone(),
            start_ms: self.asked.start_ms,
            end_ms: self.asked.end_ms,
            step_ms: self.asked.step_ms,
            error,
            stats,
            origin: self.origin.clone(),
        };
        self.app.query_log.write(&entry, clock::now_ms());
    }
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
    let longest = call.app.flags.query.timeout;
    let asked = match call.params.get("timeout") {
        "" => return Ok(longest),
        text => duration::parse_api(text).map_err(|error| ApiError::parameter("timeout", error))?,
    };
    if asked <= 0 {
        return Err(ApiError::parameter("query", "context deadline exceeded"));
    }
    Ok(longest.min(Duration::from_nanos(asked.unsigned_abs())))
}

pub(super) fn options(call: &Call) -> Result<QueryOptions, ApiError> {
    let lookback_ns = match call.params.get("lookback_delta") {
        "" => 0,
        text => duration::parse_api(text).map_err(|error| {
            ApiError::bad_data(format!("error parsing lookback delta duration: {error}"))
        })?,
    };
    Ok(QueryOptions {
        lookback_delta_ms: lookback_ns / NS_PER_MS,
        count_per_step: call.params.get("stats") == "all" && call.app.flags.counts_per_step(),
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
        QueryError::NoMemory => return ApiError::no_memory(),
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
