//! Rules and alerts. There are none yet, so the lists are empty; clients such as Grafana
//! ask for them on every start.

use kymo_storage::compat::quote::quote;
use serde::Serialize;

use super::bounds::match_sets;
use crate::api::call::Call;
use crate::http::answer::{Answer, ApiResult};
use crate::http::error::ApiError;

/// Words that Go's `strconv.ParseBool` takes.
const BOOLEANS: [&str; 12] = [
    "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False",
];

#[derive(Serialize)]
struct Groups {
    groups: [(); 0],
}

/// `/api/v1/rules`
pub(crate) async fn rules(call: Call) -> ApiResult {
    let kind = call.params.get("type").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        let quoted = quote(&kind);
        let cause = format!("not supported value {quoted}");
        return Err(ApiError::parameter("type", cause));
    }
    match_sets(&call).map_err(ApiError::bad_data)?;
    let exclude = call.params.get("exclude_alerts");
    if !exclude.is_empty() && !BOOLEANS.contains(&exclude) {
        let quoted = quote(exclude);
        let cause = format!(
            "error converting exclude_alerts: strconv.ParseBool: parsing {quoted}: invalid syntax"
        );
        return Err(ApiError::parameter("exclude_alerts", cause));
    }
    Answer::value(&Groups { groups: [] })
}

#[derive(Serialize)]
struct Alerts {
    alerts: [(); 0],
}

/// `/api/v1/alerts`
pub(crate) async fn alerts(_call: Call) -> ApiResult {
    Answer::value(&Alerts { alerts: [] })
}
