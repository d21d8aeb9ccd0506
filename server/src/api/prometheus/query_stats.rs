//! What a query has cost, as the API and the query log tell it.

use kymo_query::{QueryError, QueryResult, QueryStats};
use kymo_storage::compat::quote::quote;
use serde::Serialize;

use crate::work::queries::Done;

/// A query that ran, and what came of it.
pub(super) type Ran = Done<Result<QueryResult, QueryError>>;

#[derive(Default, Serialize)]
struct Stats {
    timings: Timings,
    samples: Samples,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    eval_total_time: f64,
    result_sort_time: f64,
    query_preparation_time: f64,
    inner_eval_time: f64,
    exec_queue_time: f64,
    exec_total_time: f64,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples {
    total_queryable_samples: u64,
    samples_read: u64,
    peak_samples: u64,
}

/// Returns the costs of a query as JSON.
pub(super) fn json(done: &Ran) -> Vec<u8> {
    // What a query that failed has read is not known.
    let samples = match &done.result {
        Ok(result) => result.stats,
        Err(_) => QueryStats::default(),
    };
    let (ran, queued) = (done.ran.as_secs_f64(), done.queued.as_secs_f64());
    write(&Stats {
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
            total_queryable_samples: samples.total_samples,
            samples_read: samples.samples_read,
            peak_samples: samples.peak_samples,
        },
    })
}

/// Returns the costs of a query that did not run.
pub(super) fn nothing() -> Vec<u8> {
    write(&Stats::default())
}

fn write(stats: &Stats) -> Vec<u8> {
    // Numbers under fixed names can be written; empty text would not be JSON.
    serde_json::to_vec(stats).unwrap_or_else(|_| b"{}".to_vec())
}

/// Any text but `true` and `all` asks for statistics too, for the time being.
pub(super) fn deprecated(asked: &str) -> Option<String> {
    if matches!(asked, "" | "true" | "all") {
        return None;
    }
    let quoted = quote(asked);
    Some(format!(
        "value {quoted} for parameter \"stats\" is deprecated and will be rejected \
         in the next major release, use \"true\" or \"all\""
    ))
}
