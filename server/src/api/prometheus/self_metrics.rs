//! What Kymo says of itself, as JSON: `/api/v1/status/self_metrics`.

use kymo_storage::compat::regex::Regex;
use serde_json::Value;

use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::ApiError;
use crate::observe::metrics;

/// `/api/v1/status/self_metrics`: all families, or those whose whole name matches
/// `metric_name_pattern`.
pub(crate) async fn self_metrics(call: Call) -> ApiResult {
    let wanted = match call.params.get("metric_name_pattern") {
        "" => None,
        pattern => {
            let anchored = Regex::new(&format!("^(?:{pattern})$"));
            Some(anchored.map_err(|error| {
                ApiError::bad_data(format!("invalid metric_name_pattern: {error}"))
            })?)
        }
    };
    let families: Vec<Value> = metrics::families(&call.app)
        .iter()
        .filter(|family| wanted.as_ref().is_none_or(|w| w.is_match(&family.name)))
        .map(|family| family.json())
        .collect();
    Answer::value(&families)
}
