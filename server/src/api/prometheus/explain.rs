//! `/api/v1/explain`: what the engine will do with a query, an addition of Kymo's.
//!
//! Parameters are those of `/query_range` where there is a `step`, else those of `/query`.
//! Nothing is evaluated. The answer is the plan as JSON; `text` has it for people.

use kymo_query::RangeQuery;
use serde_json::json;

use super::bounds::time_or;
use super::query::{Times, api_error, options, times};
use crate::api::call::Call;
use crate::clock;
use crate::http::answer::{Answer, ApiResult};

/// Explains a query.
pub(crate) async fn explain(call: Call) -> ApiResult {
    let params = &call.params;
    let times = match params.get("step") {
        "" => {
            let t_ms = time_or(params, "time", clock::now_ms())?;
            Times {
                start_ms: t_ms,
                end_ms: t_ms,
                step_ms: 0,
            }
        }
        _ => times(params)?,
    };
    let asked = RangeQuery {
        query: params.get("query"),
        start_ms: times.start_ms,
        end_ms: times.end_ms,
        step_ms: times.step_ms,
    };
    let engine = &call.core()?.engine;
    let explained = engine
        .explain(&asked, &options(&call)?)
        .map_err(api_error)?;
    let mut data = explained.to_json();
    if let Some(data) = data.as_object_mut() {
        data.insert("text".to_owned(), json!(explained.to_string()));
    }
    Answer::value(&data)
}
